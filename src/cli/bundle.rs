//! `countersign bundle`: one of several; and a bundle's envelopes in the forms that other tools read.

use super::exit::{Exit, Failure};
use super::{places, ui};
use crate::bundle::Bundle;
use crate::envelope::Envelope;
use crate::fs::{self, Existing};
use crate::json::{self, Value};
use crate::signature::PublicKey;
use crate::source;
use crate::statement::Statement;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use std::path::PathBuf;

/// Make one bundle of several; take bundles apart for other tools
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    Merge(super::merge::Args),
    Export(Export),
}

/// Write each envelope to a file of its own, in a form that another tool reads
///
/// Nothing is verified and nothing is signed anew: the bytes that were signed stay as they are. A Sigstore bundle has one signature, so
/// an envelope with several becomes several files.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  countersign bundle export hello.intoto.jsonl --format sigstore -o for-cosign --key vendor.pub
  cosign verify-blob-attestation --key vendor.pem --insecure-ignore-tlog --type slsaprovenance1 \\
    --bundle for-cosign/1.provenance.sigstore.json hello
  # vendor.pem: countersign key show vendor.pub --pem")]
struct Export {
    /// The bundle
    bundle: PathBuf,
    /// `sigstore`: Sigstore bundles v0.3, as cosign reads them; `dsse`: bare envelopes
    #[arg(long, value_enum)]
    format: Format,
    /// Put the files there; a directory that is not there yet
    #[arg(short, long, value_name = "DIR")]
    out: PathBuf,
    /// Public keys, for the key hints in Sigstore bundles
    #[arg(long, value_name = "K.pub")]
    key: Vec<PathBuf>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Sigstore,
    Dsse,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    match &args.command {
        Command::Merge(args) => super::merge::run(args),
        Command::Export(args) => export(args),
    }
}

/// Most subjects of a statement that cosign reads.
const MAX_SIGSTORE_SUBJECTS: usize = 1024;

fn export(args: &Export) -> Result<Exit, Failure> {
    places::absent(&args.out)?;
    let keys = args.key.iter().map(|path| super::key::public_key(path)).collect::<Result<Vec<PublicKey>, Failure>>()?;
    let bytes = super::verify::read_bundle(&args.bundle)?;
    let broken = |why: String| Failure::new(Exit::Broken, format!("{}: {why}", args.bundle.display()));
    let bundle = Bundle::parse(&bytes).map_err(|err| broken(err.to_string()))?;
    let mut files: Vec<(String, Value)> = Vec::new();
    for (number, envelope) in (1..).zip(bundle.envelopes()) {
        let statement = Statement::decode(envelope.unverified_payload()).ok();
        let subjects = statement.as_ref().map_or(0, Statement::subjects);
        if args.format == Format::Sigstore && subjects > MAX_SIGSTORE_SUBJECTS {
            let fact = format!(
                "envelope {number} is about {subjects} files; cosign reads no more than {MAX_SIGSTORE_SUBJECTS} of a statement"
            );
            return Err(Failure::new(Exit::CouldNotTell, fact).hint("--format dsse writes it as it is"));
        }
        let what = statement.as_ref().map_or("other", word);
        match args.format {
            Format::Dsse => files.push((format!("{number}.{what}.dsse.json"), envelope.to_json())),
            Format::Sigstore => files.extend(sigstore(number, what, envelope, &keys)),
        }
    }
    if files.is_empty() {
        return Err(broken("it holds no envelope".to_owned()).hint(super::inspect::NO_BUNDLE));
    }
    std::fs::create_dir(&args.out).map_err(|err| fs::FsError::io("create", &args.out, err))?;
    for (name, document) in &files {
        if let Err(err) = fs::write(&args.out.join(name), &json::print(document), 0o644, Existing::Refuse) {
            let _ = source::remove_tree(&args.out);
            return Err(err.into());
        }
    }
    let names: Vec<&String> = files.iter().map(|(name, _)| name).collect();
    if args.json {
        let document =
            json!({ "schema": "urn:countersign:schema:export:v1", "dir": args.out.to_string_lossy(), "files": names });
        ui::document(&document);
    } else {
        ui::data(&names.iter().map(|name| format!("{name}\n")).collect::<String>());
    }
    ui::say(&format!("exported {}; nothing was verified", ui::count(names.len(), "envelope")));
    Ok(Exit::Yes)
}

fn word(statement: &Statement) -> &'static str {
    match statement {
        Statement::Provenance(_) => "provenance",
        Statement::RunRecord(_) => "run-record",
        Statement::Verdict(verdict) => verdict.kind.word(),
        Statement::Approval(_) => "approval",
        Statement::Other { .. } => "other",
    }
}

/// One file a signature.
fn sigstore(number: usize, what: &str, envelope: &Envelope, keys: &[PublicKey]) -> Vec<(String, Value)> {
    let each = envelope.each_signature();
    let several = each.len() > 1;
    let one = |(nth, envelope): (usize, Envelope)| {
        let keyid = envelope.signatures().first().map(|signature| signature.keyid.as_str()).unwrap_or_default();
        let key = keys.iter().find(|key| key.fingerprint() == keyid);
        let spki = |key: &PublicKey| STANDARD.encode(crate::digest::sha256(&key.to_spki_der()).as_bytes());
        // A hint is for finding the key; who has the key needs none.
        let hint = key.map_or_else(|| keyid.to_owned(), spki);
        let document = json!({
            "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial": { "publicKey": { "hint": hint } },
            "dsseEnvelope": envelope.to_json(),
        });
        let name = if several { format!("{number}.{what}.{nth}") } else { format!("{number}.{what}") };
        (format!("{name}.sigstore.json"), document)
    };
    (1..).zip(each).map(one).collect()
}
