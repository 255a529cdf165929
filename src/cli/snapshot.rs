//! `countersign snapshot`: everything that a rebuild needs, in one directory that works without a network.

use super::depot::{DepotFlags, Telling};
use super::exit::{Exit, Failure};
use super::rebuild::{read_plan, source_is_signed};
use super::sources::Asked;
use super::{places, reference, signals, ui};
use crate::bundle;
use crate::digest::PayloadDigest;
use crate::environment::{Depot, Doing};
use crate::fs::{self, Existing, FsError};
use crate::lock::Part;
use crate::recipe;
use crate::store::Store;
use clap::Args as ClapArgs;
use serde_json::json;
use std::path::{Path, PathBuf};

/// Where the source is, in a snapshot.
pub(super) const SOURCE: &str = "source";
/// The bundle that was answered to, in a snapshot.
const BUNDLE: &str = "bundle.intoto.jsonl";

/// Arguments of `snapshot`.
#[derive(ClapArgs, Debug)]
#[command(
    after_help = "Writes a directory: bundle.intoto.jsonl, blobs/ with each part of the environment by its digest, and with --source the \
signed source as source/. Nothing in it is trusted by who uses it: every byte is held against what is signed.

Exit codes: 0 written, 2 the command line is wrong, 3 the policy accepts no manifest, 4 the bundle is broken, 7 could not tell, 9 the \
source is not the signed one.

Example, for `countersign rebuild all/bundle.intoto.jsonl` with all as its materials:
  countersign snapshot hello.intoto.jsonl --source hello-1.0 -o all"
)]
pub struct Args {
    /// The bundle with the manifest
    bundle: PathBuf,
    /// Put it there; a directory that is not there yet
    #[arg(short, long, value_name = "DIR")]
    out: PathBuf,
    /// The source, to be collected too, as `rebuild` takes it; without it the materials are for who has the source already
    #[arg(long, value_name = "S")]
    source: Option<PathBuf>,
    /// The commit of the source that is meant
    #[arg(long, value_name = "REV", requires = "source")]
    revision: Option<String>,
    /// Check the manifest's signer against this policy
    #[arg(long, value_name = "P")]
    policy: Option<PathBuf>,
    /// Which manifest of the bundle, where it holds several
    #[arg(long, value_name = "DIGEST", value_parser = payload)]
    manifest: Option<PayloadDigest>,
    #[command(flatten)]
    depot: DepotFlags,
    /// Show no progress
    #[arg(long, short)]
    quiet: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

fn payload(text: &str) -> Result<PayloadDigest, String> {
    recipe::parse_previous(text).map_err(|err| err.to_string())
}

/// Collects.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    places::absent(&args.out)?;
    let bytes = fs::read(&args.bundle, bundle::MAX_BUNDLE)?;
    let chosen = reference::choose(&bytes, &args.bundle, args.manifest, args.policy.as_deref())?;
    let order = &chosen.reference.order;
    let lock = crate::lock::Lock::parse(&order.lock).map_err(|err| Failure::new(Exit::Broken, err))?;
    let parts = lock.pinned.parts();
    let source = match &args.source {
        Some(path) => {
            places::not_in_source("output directory", &args.out, path)?;
            let plan = read_plan(order, |strip| {
                Asked { path, revision: args.revision.as_deref(), strip, scratch: None }.open()
            })?;
            source_is_signed(path, &plan, order, chosen.source_listing.as_deref())?;
            Some(plan)
        }
        None => None,
    };
    let stop = signals::watch()?;
    // Made beside its place, and moved there when it is whole.
    let above = args.out.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let making = places::Scratch::new(above, "countersign-snapshot")?;
    if !parts.is_empty() {
        let depot = args.depot.depot(None)?;
        let telling = Telling::new(!args.quiet);
        depot.get_all(parts, &stop, &|left| telling.told(Doing::Fetching(left)))?;
        copy(&depot, parts, &making.path().join("store"))?;
        let (from, to) = (making.path().join("store/blobs"), making.path().join("all/blobs"));
        create(&making.path().join("all"))?;
        std::fs::rename(&from, &to).map_err(|err| FsError::io("write", &to, err))?;
    } else {
        create(&making.path().join("all"))?;
        create(&making.path().join("all/blobs"))?;
        ui::say("note: the environment is the host's own paths; nothing of it can be collected");
    }
    let all = making.path().join("all");
    if let Some(plan) = &source {
        let to = all.join(SOURCE);
        create(&to)?;
        plan.source().materialise(plan.tree(), &to, recipe::DEFAULT_EPOCH as i64)?;
    }
    fs::write(&all.join(BUNDLE), &bytes, 0o644, Existing::Refuse)?;
    stop.check()?;
    places::absent(&args.out)?;
    std::fs::rename(&all, &args.out).map_err(|err| FsError::io("write", &args.out, err))?;
    let size: u64 = parts.iter().map(|part| part.size).sum();
    if args.json {
        ui::document(&json!({
            "schema": "urn:countersign:schema:snapshot:v1", "out": args.out.to_string_lossy(), "parts": parts.len(),
            "bytes": size, "source": source.is_some(), "release": order.release.to_string(),
        }));
    }
    ui::say(&format!(
        "collected {}: {}, {}, {} the source, in {}",
        order.release,
        ui::count(parts.len(), "part"),
        indicatif::HumanBytes(size),
        if source.is_some() { "with" } else { "without" },
        ui::escape(&args.out.display().to_string())
    ));
    Ok(Exit::Yes)
}

/// Each part once more, held against its digest on the way.
fn copy(depot: &Depot, parts: &[Part], to: &Path) -> Result<(), Failure> {
    let store = Store::open(to)?;
    for part in parts {
        let what = format!("{} {}", part.name, part.version);
        store.keep_blob(&what, &part.sha256, part.size, &mut depot.part(part)?)?;
    }
    Ok(())
}

fn create(dir: &Path) -> Result<(), Failure> {
    std::fs::create_dir(dir).map_err(|err| FsError::io("create", dir, err).into())
}
