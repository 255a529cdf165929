//! `countersign bundle export`: a bundle's envelopes in the forms that other tools read.

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

/// Take bundles apart for other tools
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    Export(Export),
}

/// Write each envelope to a file of its own, in a form that another tool reads
///
/// Nothing is verified and nothing is signed anew: the bytes that were signed stay as they are.
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
    let Command::Export(args) = &args.command;
    places::absent(&args.out)?;
    let keys = args.key.iter().map(|path| super::key::public_key(path)).collect::<Result<Vec<PublicKey>, Failure>>()?;
    let bytes = super::verify::read_bundle(&args.bundle)?;
    let broken = |why: String| Failure::new(Exit::Broken, format!("{}: {why}", args.bundle.display()));
    let bundle = Bundle::parse(&bytes).map_err(|err| broken(err.to_string()))?;
    let files: Vec<(String, Value)> =
        (1..).zip(bundle.envelopes()).map(|(n, e)| file(n, e, args.format, &keys)).collect();
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

fn file(number: usize, envelope: &Envelope, format: Format, keys: &[PublicKey]) -> (String, Value) {
    let what = match Statement::decode(envelope.unverified_payload()) {
        Ok(Statement::Provenance(_)) => "provenance",
        Ok(Statement::RunRecord(_)) => "run-record",
        Ok(Statement::Verdict(verdict)) => verdict.kind.word(),
        Ok(Statement::Other { .. }) | Err(_) => "other",
    };
    let dsse = envelope.to_json();
    match format {
        Format::Dsse => (format!("{number}.{what}.dsse.json"), dsse),
        Format::Sigstore => {
            let keyid = envelope.signatures().first().map(|signature| signature.keyid.as_str()).unwrap_or_default();
            let key = keys.iter().find(|key| key.fingerprint() == keyid);
            let spki = |key: &PublicKey| STANDARD.encode(crate::digest::sha256(&key.to_spki_der()).as_bytes());
            // A hint is for finding the key; who has the key needs none.
            let hint = key.map_or_else(|| keyid.to_owned(), spki);
            let document = json!({
                "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
                "verificationMaterial": { "publicKey": { "hint": hint } },
                "dsseEnvelope": dsse,
            });
            (format!("{number}.{what}.sigstore.json"), document)
        }
    }
}
