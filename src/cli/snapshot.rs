//! `countersign snapshot`: everything that a rebuild needs, in one directory or one file that works without a network.

use super::depot::{DepotFlags, Telling};
use super::exit::{Exit, Failure};
use super::flags::{ManifestFlags, ShownFlags};
use super::rebuild::{read_plan, source_is_signed};
use super::sources::Asked;
use super::{places, reference, signals, ui};
use crate::build::Plan;
use crate::bundle;
use crate::digest::{Sha256, Sha256Hasher};
use crate::environment::{BUNDLE, Collected, Depot, DepotError, Doing, MaterialsError, SOURCE};
use crate::fs::{self, Existing, FsError};
use crate::lock::Part;
use crate::recipe;
use crate::stop::Stop;
use crate::store::Store;
use clap::Args as ClapArgs;
use serde_json::json;
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};

/// Arguments of `snapshot`.
#[derive(ClapArgs, Debug)]
#[command(
    after_help = "Writes a directory: bundle.intoto.jsonl, blobs/ with each part of the environment by its digest, and with --source the \
signed source as source/. Where the name of --out ends in .tar, it is one file of that: a tar archive, the same bytes whenever the same is \
collected. Nothing in either is trusted by who uses it: every byte is held against what is signed.

Exit codes: 0 written, 2 the command line is wrong, 3 the policy accepts no manifest, 4 the bundle is broken, 7 could not tell, 9 the \
source is not the signed one.

Examples, for `countersign rebuild --materials all.tar` or all:
  countersign snapshot hello.intoto.jsonl --source hello-1.0 -o all.tar
  countersign snapshot hello.intoto.jsonl --source hello-1.0 -o all"
)]
pub struct Args {
    /// The bundle with the manifest
    bundle: PathBuf,
    /// Put it there: a directory, or with a name that ends in .tar a file; neither may be there yet
    #[arg(short, long, value_name = "PATH")]
    out: PathBuf,
    /// The source, to be collected too, as `rebuild` takes it; without it the materials are for who has the source already
    #[arg(long, value_name = "S")]
    source: Option<PathBuf>,
    /// The commit of the source that is meant
    #[arg(long, value_name = "REV", requires = "source")]
    revision: Option<String>,
    #[command(flatten)]
    which: ManifestFlags,
    #[command(flatten)]
    depot: DepotFlags,
    #[command(flatten)]
    shown: ShownFlags,
}

/// Collects.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    places::absent(&args.out)?;
    let bytes = fs::read(&args.bundle, bundle::MAX_BUNDLE)?;
    let chosen = reference::choose(&bytes, &args.bundle, args.which.manifest, args.which.policy.as_deref())?;
    let order = &chosen.reference.order;
    let lock = crate::lock::Lock::parse(&order.lock).map_err(|err| Failure::new(Exit::Broken, err))?;
    let parts = lock.pinned.parts();
    let source = match &args.source {
        Some(path) => {
            places::not_in_source("output", &args.out, path)?;
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
    let depot = match parts.is_empty() {
        false => {
            let depot = args.depot.depot(None)?;
            let telling = Telling::new(!args.shown.quiet);
            depot.get_all(parts, &stop, &|left| telling.told(Doing::Fetching(left)))?;
            Some(depot)
        }
        true => {
            ui::say("note: the environment is the host's own paths; nothing of it can be collected");
            None
        }
    };
    let collecting = Collecting { parts, depot: depot.as_ref(), bundle: &bytes, source: source.as_ref() };
    let is_file = args.out.extension().is_some_and(|ending| ending == "tar");
    let sha256 = match is_file {
        true => Some(collecting.file(&args.out, making.path(), &stop)?),
        false => {
            collecting.directory(&args.out, making.path(), &stop)?;
            None
        }
    };
    let size: u64 = parts.iter().map(|part| part.size).sum();
    if args.shown.json {
        ui::document(&json!({
            "schema": "urn:countersign:schema:snapshot:v1", "out": args.out.to_string_lossy(), "parts": parts.len(),
            "bytes": size, "source": source.is_some(), "release": order.release.to_string(), "sha256": sha256,
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

/// What is collected.
struct Collecting<'c> {
    parts: &'c [Part],
    /// There where there are parts.
    depot: Option<&'c Depot>,
    bundle: &'c [u8],
    source: Option<&'c Plan>,
}

impl Collecting<'_> {
    /// The source as it is signed, in a directory that is made for it.
    fn materialise(&self, to: &Path) -> Result<(), Failure> {
        if let Some(plan) = self.source {
            create(to)?;
            plan.source().materialise(plan.tree(), to, recipe::DEFAULT_EPOCH as i64)?;
        }
        Ok(())
    }

    fn directory(&self, out: &Path, making: &Path, stop: &Stop) -> Result<(), Failure> {
        let all = making.join("all");
        create(&all)?;
        match self.depot {
            None => create(&all.join("blobs"))?,
            Some(depot) => {
                copy(depot, self.parts, &making.join("store"))?;
                let (from, to) = (making.join("store/blobs"), all.join("blobs"));
                std::fs::rename(&from, &to).map_err(|err| FsError::io("write", &to, err))?;
            }
        }
        self.materialise(&all.join(SOURCE))?;
        fs::write(&all.join(BUNDLE), self.bundle, 0o644, Existing::Refuse)?;
        stop.check()?;
        places::absent(out)?;
        Ok(std::fs::rename(&all, out).map_err(|err| FsError::io("write", out, err))?)
    }

    /// One file, and its digest.
    fn file(&self, out: &Path, making: &Path, stop: &Stop) -> Result<Sha256, Failure> {
        let source = making.join(SOURCE);
        self.materialise(&source)?;
        let Collecting { parts, depot, bundle, .. } = *self;
        let tree = self.source.map(|plan| (source.as_path(), plan.tree()));
        let collected = Collected { parts, bundle, source: tree };
        let mut sha256 = None;
        fs::write_by(out, 0o644, Existing::Refuse, |file| {
            let mut file = Hashed { out: BufWriter::with_capacity(1 << 20, file), hasher: Sha256Hasher::default() };
            let mut open = |part: &Part| -> Result<Box<dyn Read>, DepotError> {
                let depot = depot.ok_or_else(|| DepotError::NoMaterial(part.name.to_string()))?;
                Ok(Box::new(depot.part(part)?))
            };
            collected.pack(&mut file, out, &mut open, stop)?;
            file.flush().map_err(|err| FsError::io("write", out, err))?;
            sha256 = Some(file.hasher.finish());
            Ok::<(), MaterialsError>(())
        })?;
        sha256.ok_or_else(|| Failure::new(Exit::Internal, "nothing was written"))
    }
}

/// Hashes what is written.
struct Hashed<W> {
    out: W,
    hasher: Sha256Hasher,
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let n = self.out.write(bytes)?;
        self.hasher.update(&bytes[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
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
