//! `countersign lock`: pin the environment of a recipe.

use super::depot::{DepotFlags, Telling};
use super::exit::{Exit, Failure};
use super::flags::{ManifestFlags, ShownFlags};
use super::materials::Materials;
use super::vouchers::{self, Source, Vouchers};
use super::{places, reference, signals, ui};
use crate::bundle::MAX_BUNDLE;
use crate::environment::{Archive, Doing, Pinning};
use crate::fetched::{self, Item, Refused};
use crate::fs::{self, Existing};
use crate::lock::{self, Kind, Lock, LockFile, MAX_LOCK_FILE, Pinned};
use crate::recipe::{self, Fetch, Recipe};
use crate::source;
use crate::statement::Word;
use crate::stop::Stop;
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

With --check and --keyring the lock's word about who vouches for its parts is checked, without a build: the signature of each release file \
by a key of the keyring, the indices that it names, the packages that they name. With --bundle it is the lock that is signed there.

Exit codes: 0 locked, 1 with --check: there is no lock or a stale one, 2 the command line or the recipe is wrong, 7 could not tell; with \
--keyring also 3 a release file is signed by no key of it, 4 a part is not vouched for as the lock says; with --bundle as `rebuild`.

Examples:
  countersign lock
  countersign lock --check
  countersign lock --check --keyring debian-archive-keyring.gpg --bundle hello.intoto.jsonl
  countersign lock --update --mirror debian=/srv/debian
  countersign lock --architecture aarch64"
)]
pub struct Args {
    /// The directory of the recipe [default: the working directory]
    #[arg(long, value_name = "DIR", default_value = ".")]
    source: PathBuf,
    /// The recipe [default: countersign.toml in the source]
    #[arg(long, value_name = "F")]
    recipe: Option<PathBuf>,
    /// Who may sign release files of Debian; with --check: check who did [default, without --check: the machine's debian-archive-keyring.gpg]
    #[arg(long, value_name = "F")]
    keyring: Vec<PathBuf>,
    /// Take release files that are older than they say that they are good for: of a suite that is archived, say
    #[arg(long)]
    allow_expired: bool,
    /// Only say whether there is a lock that fits the recipe and the source's lock files. Nothing is fetched, but with --keyring what shows
    /// who vouches for the parts
    #[arg(long, conflicts_with_all = ["update", "allow_expired"])]
    check: bool,
    /// Check the lock that is signed in this bundle, and not the lock file
    #[arg(long, value_name = "B", requires = "check", requires = "keyring", conflicts_with_all = ["source", "recipe"])]
    bundle: Option<PathBuf>,
    #[command(flatten)]
    which: ManifestFlags,
    /// Take what is checked from a directory or file that `countersign snapshot` wrote
    #[arg(long, value_name = "PATH", requires = "check", requires = "keyring", conflicts_with_all = ["store", "mirror"])]
    materials: Option<PathBuf>,
    /// The machine to lock for, such as aarch64, beside what is locked for others [default: this one]
    #[arg(long, value_name = "ARCH", conflicts_with = "bundle")]
    architecture: Option<Word>,
    /// Pin anew, also what is pinned already
    #[arg(long)]
    update: bool,
    #[command(flatten)]
    depot: DepotFlags,
    #[command(flatten)]
    shown: ShownFlags,
}

/// Locks, or looks.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    if let Some(bundle) = &args.bundle {
        return check_signed(args, bundle);
    }
    if args.which.policy.is_some() || args.which.manifest.is_some() {
        return Err(Failure::usage(
            "--policy and --manifest say which manifest of a bundle is meant, and no --bundle is named",
        ));
    }
    let path = args.recipe.clone().unwrap_or_else(|| args.source.join(recipe::FILE_NAME));
    let recipe = super::attest::read_recipe(&path)?;
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let file = dir.join(lock::FILE_NAME);
    if !recipe.environment.needs_lock() {
        ui::say("nothing to lock: the environment is the host's own paths, which are read at each build");
        if args.shown.json {
            ui::document(&json!({ "schema": SCHEMA, "lock": null, "state": "not-needed" }));
        }
        return Ok(Exit::Yes);
    }
    let own = args.architecture.as_ref().map_or(std::env::consts::ARCH, Word::as_str);
    let there = read(&file)?;
    let dependencies = dependencies(args, &recipe, own)?;
    let state = state(&recipe, there.as_ref(), own, &dependencies);
    if args.check {
        let pinned = there.as_ref().and_then(|there| there.pinned.get(own)).filter(|_| state.is_ok());
        let vouchers = pinned.map(|pinned| vouchers(args, pinned, Source::Read, Some(&places::absolute(dir)?)));
        let vouchers = vouchers.transpose()?;
        return Ok(tell_state(args, &file, state, vouchers.as_ref()));
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
    let telling = Telling::new(!args.shown.quiet);
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

/// Who vouches for the parts: checked, where a keyring is named.
fn vouchers(args: &Args, pinned: &Pinned, source: Source, local: Option<&Path>) -> Result<Vouchers, Failure> {
    if args.keyring.is_empty() || pinned.parts().is_empty() {
        return Vouchers::of(pinned, &args.keyring, source, None, false, &Stop::default());
    }
    let stop = signals::watch()?;
    let materials =
        args.materials.as_ref().map(|path| Materials::open(path, &std::env::temp_dir(), &stop)).transpose()?;
    let depot = match &materials {
        Some(materials) => materials.depot()?,
        None => args.depot.depot(local)?,
    };
    Vouchers::of(pinned, &args.keyring, source, Some(&depot), !args.shown.quiet, &stop)
}

/// Of the lock that somebody signed.
fn check_signed(args: &Args, path: &Path) -> Result<Exit, Failure> {
    let bytes = fs::read(path, MAX_BUNDLE)?;
    let chosen = reference::choose(&bytes, path, args.which.manifest, args.which.policy.as_deref())?;
    let lock = Lock::parse(&chosen.reference.order.lock).map_err(|err| Failure::new(Exit::Broken, err))?;
    let vouchers = vouchers(args, &lock.pinned, Source::Absent, None)?;
    // That it fits its recipe is a part of its being signed (docs/spec.md §6.1).
    Ok(tell_state(args, path, Ok(()), Some(&vouchers)))
}

/// Where Debian's own keys are, on Debian.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

fn archive(args: &Args, recipe: &Recipe) -> Result<Archive, Failure> {
    if recipe.environment.kind() != Kind::Debian {
        return Ok(Archive::default());
    }
    let default = [PathBuf::from(KEYRING)];
    let paths = if args.keyring.is_empty() { &default[..] } else { &args.keyring };
    Ok(Archive {
        keyrings: vouchers::keyrings(paths)?,
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

fn tell_state(args: &Args, file: &Path, state: Result<(), String>, vouchers: Option<&Vouchers>) -> Exit {
    let shown = ui::escape(&file.display().to_string());
    let word = if state.is_ok() { "fits" } else { "stale" };
    if args.shown.json {
        ui::document(&json!({
            "schema": SCHEMA, "lock": file.to_string_lossy(), "state": word, "why": state.as_ref().err(),
            "vouchers": vouchers.map(Vouchers::json),
        }));
    }
    match state {
        Ok(()) => {
            match args.bundle {
                None => ui::say(&format!("{shown} fits the recipe")),
                Some(_) => ui::say(&format!("the lock that is signed in {shown} fits its recipe")),
            }
            for (name, value) in vouchers.iter().flat_map(|vouchers| vouchers.rows()) {
                ui::say(&format!("{name}: {}", ui::escape(&value)));
            }
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
    if args.shown.json {
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
