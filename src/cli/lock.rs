//! `countersign lock`: pin the environment of a recipe.

use super::depot::{DepotFlags, Telling};
use super::exit::{Exit, Failure};
use super::{places, signals, ui};
use crate::environment::{Archive, Doing, Pinning};
use crate::fetched::{self, Item, Refused};
use crate::fs::{self, Existing};
use crate::lock::{self, Kind, Lock, LockFile, MAX_LOCK_FILE, Pinned};
use crate::recipe::{self, Fetch, Recipe};
use crate::source;
use clap::Args as ClapArgs;
use serde_json::json;
use std::path::{Path, PathBuf};

/// Arguments of `lock`.
#[derive(ClapArgs, Debug)]
#[command(
    after_help = "Writes countersign.lock beside the recipe: each part of the environment by its digest, and the digest of what they make \
together. A lock that is there and fits the recipe stays as it is, but for --update.

What the source depends on is had from the mirrors too, where [[environment.fetch]] names the lock files of cargo, pip, npm or go: each file \
is held against the digest there, and no package manager runs. When only such a lock file has changed, the rest of the lock stays, but for \
--update.

A place is MIRROR:PATH. The mirror `local` is the directory of the recipe; others are named by --mirror, or in mirrors.toml:
  [mirrors]
  debian = [\"http://…\", \"/srv/debian\"]
  crates = [\"https://…/crates\"]

Exit codes: 0 locked, 1 with --check: there is no lock or a stale one, 2 the command line or the recipe is wrong, 7 could not tell.

Examples:
  countersign lock
  countersign lock --check
  countersign lock --update --mirror debian=/srv/debian"
)]
pub struct Args {
    /// The directory of the recipe [default: the working directory]
    #[arg(long, value_name = "DIR", default_value = ".")]
    source: PathBuf,
    /// The recipe [default: countersign.toml in the source]
    #[arg(long, value_name = "F")]
    recipe: Option<PathBuf>,
    /// Who may sign release files of Debian [default: the machine's debian-archive-keyring.gpg]
    #[arg(long, value_name = "F")]
    keyring: Vec<PathBuf>,
    /// Take release files that are older than they say that they are good for: of a suite that is archived, say
    #[arg(long)]
    allow_expired: bool,
    /// Only say whether there is a lock that fits the recipe and the source's lock files; nothing is fetched
    #[arg(long, conflicts_with = "update")]
    check: bool,
    /// Pin anew, also what is pinned already
    #[arg(long)]
    update: bool,
    #[command(flatten)]
    depot: DepotFlags,
    /// Show no progress
    #[arg(long, short)]
    quiet: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// Locks, or looks.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let path = args.recipe.clone().unwrap_or_else(|| args.source.join(recipe::FILE_NAME));
    let recipe = super::attest::read_recipe(&path)?;
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let file = dir.join(lock::FILE_NAME);
    if !recipe.environment.needs_lock() {
        ui::say("nothing to lock: the environment is the host's own paths, which are read at each build");
        if args.json {
            ui::document(&json!({ "schema": SCHEMA, "lock": null, "state": "not-needed" }));
        }
        return Ok(Exit::Yes);
    }
    let own = std::env::consts::ARCH;
    let there = read(&file)?;
    let dependencies = dependencies(args, &recipe, own)?;
    let state = state(&recipe, there.as_ref(), own, &dependencies);
    if args.check {
        return Ok(tell_state(args, &file, state));
    }
    if let (Ok(()), Some(there), false) = (&state, &there, args.update) {
        ui::say(&format!("{} fits the recipe; --update pins anew", ui::escape(&file.display().to_string())));
        report(args, &file, "fits", there, own);
        return Ok(Exit::Yes);
    }
    let stop = signals::watch()?;
    let depot = args.depot.depot(Some(&places::absolute(dir)?))?;
    let architecture = own.parse().map_err(|err| Failure::new(Exit::Internal, format!("{own:?}: {err}")))?;
    let archive = archive(args, &recipe)?;
    let telling = Telling::new(!args.quiet);
    let progress = |doing: Doing<'_>| telling.told(doing);
    // When only what the source depends on is another, the rest of the environment stays.
    let of_this = there.as_ref().filter(|there| !args.update && there.environment == recipe.environment.digest);
    let before =
        of_this.and_then(|there| there.pinned.get(own)).filter(|pinned| recipe.environment.fits(pinned).is_ok());
    let pinning = Pinning {
        environment: &recipe.environment,
        dependencies: &dependencies,
        before: before.map(Pinned::parts),
        architecture: &architecture,
        depot: &depot,
        archive: &archive,
        stop: &stop,
        progress: &progress,
    };
    let pinned = pinning.pin()?;
    drop(telling);
    recipe.environment.fits(&pinned).map_err(|what| Failure::usage(format!("{}: {what}", path.display())))?;
    let epoch = u64::MAX;
    let text = Lock { epoch, pinned: pinned.clone() }.to_string();
    Lock::parse(&text)
        .map_err(|err| Failure::new(Exit::CouldNotTell, format!("what is pinned makes no lock: {err}")))?;
    // Of other architectures what still fits.
    let mut new = LockFile { environment: recipe.environment.digest, pinned: Default::default() };
    if let Some(there) = there.filter(|there| there.environment == new.environment) {
        new.pinned = there.pinned;
    }
    new.pinned.insert(own.to_owned(), pinned);
    fs::write(&file, new.to_string().as_bytes(), 0o644, Existing::Replace)?;
    report(args, &file, "written", &new, own);
    Ok(Exit::Yes)
}

/// Where Debian's own keys are, on Debian.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// Longest keyring.
const MAX_KEYRING: u64 = 16 << 20;

fn archive(args: &Args, recipe: &Recipe) -> Result<Archive, Failure> {
    if recipe.environment.kind() != Kind::Debian {
        return Ok(Archive::default());
    }
    let default = [PathBuf::from(KEYRING)];
    let paths = if args.keyring.is_empty() { &default[..] } else { &args.keyring };
    let keyrings = paths.iter().map(|path| {
        fs::read(path, MAX_KEYRING).map_err(|err| {
            Failure::from(err)
                .hint("--keyring F names the keys that may sign; on Debian they are in debian-archive-keyring")
        })
    });
    Ok(Archive {
        keyrings: keyrings.collect::<Result<_, _>>()?,
        now: jiff::Timestamp::now().as_second(),
        expired: args.allow_expired,
    })
}

const SCHEMA: &str = "urn:countersign:schema:lock:v1";

fn read(file: &Path) -> Result<Option<LockFile>, Failure> {
    match fs::read(file, MAX_LOCK_FILE) {
        Err(err) if err.is_not_found() => Ok(None),
        Err(err) => Err(err.into()),
        Ok(bytes) => LockFile::parse(&bytes).map(Some).map_err(|err| {
            Failure::usage(format!("{}: {err}", file.display()))
                .hint("remove it, and `countersign lock` writes another")
        }),
    }
}

/// What the lock files in the source name.
fn dependencies(args: &Args, recipe: &Recipe, own: &str) -> Result<Vec<Vec<Item>>, Failure> {
    let one = |fetch: &Fetch| {
        let files = fetch.from.iter().map(|path| {
            let bytes = match recipe.excludes(path) {
                true => None,
                false => source::file_below(&args.source, path, fetched::MAX_FILE)?,
            };
            Ok((path.to_string(), bytes.ok_or_else(|| Failure::usage(Refused::absent(path)))?))
        });
        let files = files.collect::<Result<Vec<_>, Failure>>()?;
        fetched::items(fetch.kind, &files, own).map_err(Failure::usage)
    };
    recipe.environment.fetch.iter().map(one).collect()
}

/// Whether there is a lock of this recipe and source for this machine, or why not.
fn state(recipe: &Recipe, there: Option<&LockFile>, own: &str, dependencies: &[Vec<Item>]) -> Result<(), String> {
    let there = there.ok_or("there is none")?;
    if there.environment != recipe.environment.digest {
        return Err("it was made for another [environment] than the recipe has now".to_owned());
    }
    let pinned = there.pinned.get(own).ok_or_else(|| format!("it has nothing for {own}"))?;
    recipe.environment.fits(pinned)?;
    let mut each = recipe.environment.fetch.iter().zip(dependencies);
    each.try_for_each(|(fetch, items)| fetched::fits(fetch.kind, items, pinned.parts()))
}

fn tell_state(args: &Args, file: &Path, state: Result<(), String>) -> Exit {
    let shown = ui::escape(&file.display().to_string());
    let word = if state.is_ok() { "fits" } else { "stale" };
    if args.json {
        ui::document(
            &json!({ "schema": SCHEMA, "lock": file.to_string_lossy(), "state": word, "why": state.as_ref().err() }),
        );
    }
    match state {
        Ok(()) => {
            ui::say(&format!("{shown} fits the recipe"));
            Exit::Yes
        }
        Err(why) => {
            ui::say(&format!("{shown}: {}", ui::escape(&why)));
            ui::say("hint: `countersign lock` makes it anew");
            Exit::Differs
        }
    }
}

fn report(args: &Args, file: &Path, state: &str, lock: &LockFile, own: &str) {
    let Some(Pinned { image: Some(image), kind, .. }) = lock.pinned.get(own) else { return };
    if args.json {
        let parts: Vec<_> = image
            .parts
            .iter()
            .map(|part| {
                json!({
                    "class": part.class.word(), "name": part.name.as_str(), "version": part.version.as_str(),
                    "sha256": part.sha256, "size": part.size, "voucher": part.voucher.to_string(),
                    "place": part.place.to_string(),
                })
            })
            .collect();
        ui::document(&json!({
            "schema": SCHEMA, "lock": file.to_string_lossy(), "state": state, "kind": kind.word(), "architecture": own,
            "tree": { "sha256": image.tree.to_string() }, "parts": parts,
        }));
    } else {
        ui::data(&format!("sha256:{}\n", image.tree));
    }
    if state == "written" {
        let bytes: u64 = image.parts.iter().map(|part| part.size).sum();
        let parts = ui::count(image.parts.len(), "part");
        let bytes = indicatif::HumanBytes(bytes);
        ui::say(&format!("locked {parts}, {bytes}, in {}", ui::escape(&file.display().to_string())));
    }
}
