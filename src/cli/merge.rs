//! `countersign bundle merge`: one bundle of several.

use super::exit::{Exit, Failure};
use super::{places, policy, ui};
use crate::bundle::MAX_BUNDLE;
use crate::envelope::Envelope;
use crate::fs::{self, Existing, FsError, Why};
use crate::merge::{self, Manifests, MergeError, Merged};
use crate::policy::Role;
use crate::signature::PublicKey;
use serde_json::json;
use std::path::{Path, PathBuf};

/// Make one bundle of several copies to which others added
///
/// The result has each line of each bundle once: the first bundle's in their order, then of each further one what is new. Nothing is left out,
/// not even what is no line of a bundle, and nothing is verified. All must be about the same manifest: without a policy, have one in common; with
/// one, have the same manifests of its vendors.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  countersign bundle merge lab-1.jsonl lab-2.jsonl lab-3.jsonl -o hello.intoto.jsonl
  countersign bundle merge hello.intoto.jsonl lab-4.jsonl -o hello.intoto.jsonl --force")]
pub struct Args {
    /// The bundles, two or more
    #[arg(value_name = "B", num_args = 2.., required = true)]
    bundles: Vec<PathBuf>,
    /// Where the merged bundle goes
    #[arg(short, long, value_name = "C")]
    out: PathBuf,
    /// Whose signature makes a manifest a vendor's
    #[arg(long, value_name = "P")]
    policy: Option<PathBuf>,
    /// Replace what is there, also where that is one of the bundles
    #[arg(long)]
    force: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let input = args.bundles.iter().position(|path| same_file(path, &args.out));
    if !args.force && args.out.symlink_metadata().is_ok() {
        let out = args.out.display();
        return Err(match input {
            Some(at) => Failure::usage(format!("{out} is {} itself, one of the bundles", args.bundles[at].display()))
                .hint("--force replaces it by the merged one, which has all of its lines"),
            None => Failure::usage(format!("{out} is there already")).hint("--force replaces it"),
        });
    }
    places::bundle(&args.out, true)?;
    let vendors: Option<Vec<PublicKey>> = match &args.policy {
        None => None,
        Some(path) => {
            let policy = policy::load(path)?;
            let vendors = policy.signers().iter().filter(|signer| signer.role == Role::Vendor);
            Some(vendors.map(|signer| signer.key).collect())
        }
    };
    let read = |path: &PathBuf| super::verify::read_bundle(path);
    let mut bytes = args.bundles.iter().map(read).collect::<Result<Vec<_>, Failure>>()?;
    let merged = match input {
        None => {
            let merged = union(args, &bytes, vendors.as_deref())?;
            let existing = if args.force { Existing::Replace } else { Existing::Refuse };
            fs::write(&args.out, &merged.bytes, 0o644, existing).map_err(|err| match err {
                FsError { why: Why::Exists, .. } => Failure::usage(err).hint("--force replaces it"),
                err => err.into(),
            })?;
            merged
        }
        // What somebody adds to it meanwhile stays.
        Some(at) => {
            let mut done = None;
            fs::update(&args.out, MAX_BUNDLE, |now| {
                bytes[at] = now;
                let merged = union(args, &bytes, vendors.as_deref())?;
                Ok::<_, Failure>(done.insert(merged).bytes.clone())
            })?;
            done.ok_or_else(|| Failure::new(Exit::Internal, "nothing was merged"))?
        }
    };
    report(args, &merged, input);
    Ok(Exit::Yes)
}

fn same_file(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

fn union(args: &Args, bytes: &[Vec<u8>], vendors: Option<&[PublicKey]>) -> Result<Merged, Failure> {
    let by_vendor = |envelope: &Envelope| vendors.is_some_and(|keys| !envelope.signers(keys).is_empty());
    let manifests = if vendors.is_some() { Manifests::Of(&by_vendor) } else { Manifests::Claimed };
    let bytes: Vec<&[u8]> = bytes.iter().map(Vec::as_slice).collect();
    let shown = |at: usize| args.bundles[at].display();
    let of = if vendors.is_some() { " that a vendor of the policy signed" } else { "" };
    merge::merge(&bytes, &manifests).map_err(|err| match err {
        MergeError::Bundle(at, err) => Failure::new(Exit::Broken, format!("{}: {err}", shown(at))),
        MergeError::NoManifest(at) => Failure::new(Exit::Broken, format!("{} holds no manifest{of}", shown(at))),
        MergeError::OtherManifest(a, b) => {
            let fact = format!("{} and {} are not about the same manifest{of}", shown(a), shown(b));
            Failure::new(Exit::Refused, fact).hint("`countersign inspect` shows what each is about")
        }
        MergeError::TooMuch(err) => Failure::new(Exit::CouldNotTell, format!("all together: {err}")),
    })
}

fn report(args: &Args, merged: &Merged, replaced: Option<usize>) {
    for (path, part) in args.bundles.iter().zip(&merged.from) {
        for (number, why) in part.strange.iter().take(5) {
            let path = path.display();
            ui::say(&ui::escape(&format!("note: {path}, line {number} is kept, and verifiers pass over it: {why}")));
        }
        if part.strange.len() > 5 {
            ui::say(&format!("note: and {} more such lines", part.strange.len() - 5));
        }
    }
    if args.json {
        let from = |(path, part): (&PathBuf, &merge::Part)| {
            json!({
                "bundle": path.to_string_lossy(),
                "lines": part.lines,
                "new": part.new,
                "strange": part.strange.iter().map(|(line, why)| json!({ "line": line, "why": why })).collect::<Vec<_>>(),
            })
        };
        ui::document(&json!({
            "schema": "urn:countersign:schema:merge:v1",
            "bundle": args.out.to_string_lossy(),
            "lines": merged.lines,
            "from": args.bundles.iter().zip(&merged.from).map(from).collect::<Vec<_>>(),
            "manifests": merged.manifests,
            "replaced": replaced.map(|at| args.bundles[at].to_string_lossy()),
        }));
    } else {
        let line = |(path, part): (&PathBuf, &merge::Part)| {
            let lines = ui::count(part.lines, "line");
            format!("{}: {lines}, {} new\n", ui::escape(&path.display().to_string()), part.new)
        };
        ui::data(&args.bundles.iter().zip(&merged.from).map(line).collect::<String>());
    }
    let out = ui::escape(&args.out.display().to_string());
    let lines = ui::count(merged.lines, "line");
    match replaced {
        Some(_) => ui::say(&format!("merged into {out}, which was one of them: {lines}; nothing was verified")),
        None => ui::say(&format!("merged into {out}: {lines}; nothing was verified")),
    }
}
