//! `countersign approve`: a second person's approval of a manifest, with its outputs at hand.

use super::exit::{Exit, Failure};
use super::passphrase::{self, PassphraseArgs};
use super::reference::{self, Chosen};
use super::verify::ReleaseDocument;
use super::{policy, rehash, ui};
use crate::bundle::{self, Bundle, MAX_BUNDLE};
use crate::digest::PayloadDigest;
use crate::envelope::Envelope;
use crate::fs;
use crate::policy::Role;
use crate::signature::PublicKey;
use crate::statement::{self, Approval, SignerCheck, Statement, Subject};
use serde_json::json;
use std::path::PathBuf;

/// Approve a vendor's manifest, with its outputs in hand
///
/// For a second person: hashes the outputs again, all of them (--outputs) or those that are given, and adds a signed approval of that very
/// manifest and of these files to the bundle. An approval says that they may go out. It says nothing of how they were built, and never counts
/// as a build or a rebuild. Policies count approvals with `approvals = N`.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
The outputs are hashed again. An approval is of that very manifest and these files; it never counts as a build or a rebuild. Policies count
approvals with `approvals = N`, by keys of the role approver.

Exit codes:
  0  approved
  1  the outputs are not those of the manifest
  2  the command line or the policy is wrong, or the key is not that of another person
  3  the policy accepts no manifest of this bundle
  4  the bundle is broken
  7  a file could not be read

Examples:
  countersign approve hello.intoto.jsonl --key head --outputs hello-1.0 --policy policy.toml
  countersign approve hello.intoto.jsonl --key head hello-1.0/out/hello    # of this file only")]
pub struct Args {
    /// The bundle, to which the approval is added
    #[arg(value_name = "B")]
    bundle: PathBuf,
    /// Files that are approved
    #[arg(value_name = "FILE", required_unless_present = "outputs", conflicts_with = "outputs")]
    files: Vec<PathBuf>,
    /// Approve all outputs, which are in this directory with nothing else
    #[arg(long, value_name = "DIR")]
    outputs: Option<PathBuf>,
    /// The approver's private key
    #[arg(long, value_name = "K")]
    key: PathBuf,
    #[command(flatten)]
    passphrase: PassphraseArgs,
    /// Check the manifest's signer by this policy; the approval says whether that was done
    #[arg(long, value_name = "P")]
    policy: Option<PathBuf>,
    /// The manifest that is meant, where the bundle has several (sha256:…)
    #[arg(long, value_name = "DIGEST", value_parser = digest)]
    manifest: Option<PayloadDigest>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

fn digest(text: &str) -> Result<PayloadDigest, String> {
    crate::recipe::parse_previous(text).map_err(|err| err.to_string())
}

/// Runs the command.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    if let Some(dir) = &args.outputs {
        rehash::not_in_outputs("bundle", &args.bundle, dir)?;
        rehash::not_in_outputs("key", &args.key, dir)?;
    }
    let bytes = super::verify::read_bundle(&args.bundle)?;
    let chosen = reference::choose(&bytes, &args.bundle, args.manifest, args.policy.as_deref())?;
    the_only_one(args, &bytes, &chosen)?;
    let key = passphrase::load_key(&args.key, &args.passphrase)?;
    is_another(args, &bytes, &chosen, &key.public())?;
    let (subjects, outputs): (Vec<Subject>, _) = match &args.outputs {
        Some(dir) => {
            rehash::directory(dir, &chosen.expected)?;
            (chosen.expected.files().cloned().collect(), Some(chosen.expected.outputs()))
        }
        None => (rehash::files(&args.files, &chosen.expected)?, None),
    };
    let signer = if chosen.checked.is_some() { SignerCheck::Checked } else { SignerCheck::Claimed };
    let manifest = chosen.reference.payload;
    let encoded = Approval { subjects: subjects.clone(), manifest, signer, outputs }.encode();
    let payload = statement::payload_digest(&encoded);
    let lines = [key.sign_envelope(encoded).to_line()];
    let mut added = true;
    fs::update(&args.bundle, MAX_BUNDLE, |now| {
        let new = bundle::append(&now, &lines).map_err(|err| Failure::new(Exit::CouldNotTell, err))?;
        added = new.len() != now.len();
        Ok::<_, Failure>(new)
    })?;
    if args.json {
        ui::document(&json!({
            "schema": "urn:countersign:schema:approve:v1",
            "bundle": args.bundle.to_string_lossy(),
            "payload": { "sha256": payload },
            "signer": key.public().fingerprint(),
            "manifest": { "sha256": manifest },
            "manifestSigner": signer,
            "release": ReleaseDocument::of(&chosen.reference.order.release),
            "outputs": outputs.map(|digest| json!({ "sha256": digest })),
            "files": subjects.iter().map(|subject| json!({
                "name": subject.name.escaped(), "sha256": subject.sha256,
            })).collect::<Vec<_>>(),
            "added": added,
        }));
    } else {
        ui::data(&format!("sha256:{payload}\n"));
    }
    let what = match outputs {
        Some(_) => format!("all {}", ui::count(subjects.len(), "file")),
        None => ui::count(subjects.len(), "file"),
    };
    let by = match &chosen.checked {
        Some(name) => format!("signed by {}, checked against the policy", ui::escape(name)),
        None => format!("signed by {} (claimed, not checked)", ui::escape(&chosen.claimed)),
    };
    ui::say(&format!("approved {}: {what}; manifest {by}", chosen.reference.order.release));
    if !added {
        ui::say("note: this approval was in the bundle already");
    }
    Ok(Exit::Yes)
}

/// To a build, equal manifests are one. An approval names one of them, and without a policy nothing says which is the vendor's and which a
/// rebuilder's; whoever ordered the lines must not choose.
fn the_only_one(args: &Args, bytes: &[u8], chosen: &Chosen) -> Result<(), Failure> {
    if args.policy.is_some() || args.manifest.is_some() {
        return Ok(());
    }
    let bundle = Bundle::parse(bytes).map_err(|err| Failure::new(Exit::Broken, err))?;
    let mut others = bundle.envelopes().filter(|envelope| envelope.payload_digest() != chosen.reference.payload);
    let provenance =
        |envelope: &Envelope| matches!(Statement::decode(envelope.unverified_payload()), Ok(Statement::Provenance(_)));
    if !others.any(provenance) {
        return Ok(());
    }
    let shown = args.bundle.display();
    Err(Failure::usage(format!("{shown} holds several manifests, a rebuilder's perhaps: which one is meant?"))
        .hint("--policy P leaves those that a vendor of yours signed")
        .hint("--manifest sha256:… names one; `countersign inspect` shows them"))
}

/// Nobody approves what they signed: neither the key of the manifest nor one that the policy has in another role.
fn is_another(args: &Args, bytes: &[u8], chosen: &Chosen, key: &PublicKey) -> Result<(), Failure> {
    let shown = args.key.display();
    let bundle = Bundle::parse(bytes).map_err(|err| Failure::new(Exit::Broken, err))?;
    let mut manifests = bundle.envelopes().filter(|envelope| envelope.payload_digest() == chosen.reference.payload);
    if manifests.any(|envelope| !envelope.signers(&[*key]).is_empty()) {
        return Err(Failure::usage(format!("{shown} signed this manifest: nobody approves a statement of their own"))
            .hint("approving is for a second person with a key of their own"));
    }
    let Some(path) = &args.policy else { return Ok(()) };
    let policy = policy::load(path)?;
    match policy.signers().iter().find(|signer| signer.key == *key) {
        Some(signer) if signer.role == Role::Approver => {}
        Some(signer) => {
            let (name, role) = (&signer.name, signer.role.word());
            return Err(Failure::usage(format!("{shown} is the key of {name}, a {role} of the policy"))
                .hint("a signer has one role; an approver needs a key of their own"));
        }
        None => ui::say("note: the policy does not name this key; there the approval counts for nothing"),
    }
    Ok(())
}
