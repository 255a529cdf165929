//! Where the parts of an environment are kept and had: the store, mirrors, materials; and a plan that is given its image.

use super::exit::{Exit, Failure};
use super::progress::line;
use super::sources::network;
use super::ui;
use crate::build::Plan;
use crate::environment::{self, Depot, Doing, Unpacking};
use crate::fs;
use crate::lock::{LockFile, Pinned};
use crate::mirrors::Mirrors;
use crate::recipe::Recipe;
use crate::sandbox;
use crate::stop::Stop;
use crate::store::Store;
use indicatif::ProgressBar;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// Where root's cache is: builds run as another id, which cannot pass root's home.
const OF_ROOT: &str = "/var/cache";
/// Longest file of mirrors.
const MAX_MIRRORS: u64 = 1 << 20;

/// Flags of what needs the parts of an environment.
#[derive(clap::Args, Debug, Default)]
pub struct DepotFlags {
    /// Where parts of environments are kept [default: countersign/store in the user's cache directory]
    #[arg(long, value_name = "DIR")]
    pub store: Option<PathBuf>,
    /// Where a mirror is: a URL or an absolute directory. Asked before those in countersign/mirrors.toml in the user's configuration directory
    #[arg(long, value_name = "NAME=BASE")]
    pub mirror: Vec<String>,
}

/// `mirrors.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Configured {
    #[serde(default)]
    mirrors: BTreeMap<String, Vec<String>>,
}

/// A directory of the user's by the XDG Base Directory Specification, in which a path that is not absolute is to be ignored.
fn of_the_user(variable: &str, below_home: &str) -> Option<PathBuf> {
    let path = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    path(variable).or_else(|| Some(path("HOME")?.join(below_home)))
}

impl DepotFlags {
    /// The directory of the store.
    pub fn place(&self) -> Result<PathBuf, Failure> {
        if let Some(dir) = &self.store {
            return Ok(dir.clone());
        }
        let other = sandbox::build_id().uid != rustix::process::geteuid().as_raw();
        let base = if other { Some(OF_ROOT.into()) } else { of_the_user("XDG_CACHE_HOME", ".cache") };
        base.map(|base| base.join("countersign/store")).ok_or_else(|| {
            Failure::new(Exit::CouldNotTell, "neither XDG_CACHE_HOME nor HOME names a directory for the store")
                .hint("--store DIR names one")
        })
    }

    /// The store.
    pub fn store(&self) -> Result<Store, Failure> {
        Ok(Store::open(&self.place()?)?)
    }

    /// The mirrors; `local` is a directory that is known without being named.
    pub fn mirrors(&self, local: Option<&Path>) -> Result<Mirrors, Failure> {
        let mut mirrors = Mirrors::new(network());
        for text in &self.mirror {
            let (name, base) = text.split_once('=').ok_or_else(|| {
                Failure::usage(format!("--mirror {text:?} is not NAME=BASE")).hint("such as --mirror debian=URL")
            })?;
            mirrors.add(name, base).map_err(Failure::usage)?;
        }
        let path = of_the_user("XDG_CONFIG_HOME", ".config").map(|dir| dir.join("countersign/mirrors.toml"));
        if let Some(path) = path.filter(|path| path.symlink_metadata().is_ok()) {
            let bytes = fs::read(&path, MAX_MIRRORS)?;
            let wrong = |why: &dyn std::fmt::Display| Failure::usage(format!("{}: {why}", path.display()));
            let text = std::str::from_utf8(&bytes).map_err(|_| wrong(&"it is not UTF-8"))?;
            let configured: Configured = toml::from_str(text).map_err(|err| wrong(&err.message()))?;
            for (name, bases) in &configured.mirrors {
                bases.iter().try_for_each(|base| mirrors.add(name, base)).map_err(|err| wrong(&err))?;
            }
        }
        if let Some(dir) = local {
            mirrors.add("local", &dir.to_string_lossy()).map_err(Failure::usage)?;
        }
        Ok(mirrors)
    }

    /// Both.
    pub fn depot(&self, local: Option<&Path>) -> Result<Depot, Failure> {
        Ok(Depot::new(self.store()?, self.mirrors(local)?))
    }
}

/// Gives a plan the image that its lock names, if it names one. While it is used nothing may be removed from the store: the depot must stay.
/// `fresh`: what was unpacked before does not count, so that it is seen here what the parts make.
pub fn furnish(plan: &mut Plan, depot: &Depot, fresh: bool, shown: bool, stop: &Stop) -> Result<(), Failure> {
    // Before anything is fetched or unpacked.
    let dependencies = &plan.follows_source()?[..];
    let telling = Telling::new(shown);
    let (parts, progress) = (plan.pinned().parts(), |doing: Doing<'_>| telling.told(doing));
    let (environment, architecture) = (plan.environment(), std::env::consts::ARCH);
    let progress = &progress;
    let unpacking = Unpacking { parts, environment, dependencies, architecture, fresh, depot, stop, progress };
    let image = environment::furnish(plan.pinned(), &unpacking)?;
    drop(telling);
    if let Some(image) = image {
        plan.furnish(image);
    }
    Ok(())
}

/// What a lock file pins the environment of a recipe to on this machine; `None` where there is nothing to pin. `file` has its bytes, `name` is
/// what to call it.
pub fn locked(
    recipe: &Recipe,
    name: &str,
    file: impl FnOnce() -> Result<Option<Vec<u8>>, Failure>,
) -> Result<Option<Pinned>, Failure> {
    if !recipe.environment.needs_lock() {
        return Ok(None);
    }
    let again = "`countersign lock` writes it";
    let bytes = file()?;
    let bytes = bytes.ok_or_else(|| {
        Failure::usage(format!("there is no lock {name}, and the recipe's environment needs one")).hint(again)
    })?;
    let mut lock = LockFile::parse(&bytes).map_err(|err| Failure::usage(format!("{name}: {err}")).hint(again))?;
    if lock.environment != recipe.environment.digest {
        return Err(Failure::usage(format!("{name} was made for another [environment] than the recipe has now"))
            .hint("`countersign lock` makes it anew"));
    }
    let own = std::env::consts::ARCH;
    let pinned = lock.pinned.remove(own).ok_or_else(|| {
        let there: Vec<&str> = lock.pinned.keys().map(String::as_str).collect();
        Failure::usage(format!("{name} is for {}, and this machine is {own}", there.join(", ")))
            .hint("`countersign lock` on this machine adds it")
    })?;
    recipe.environment.fits(&pinned).map_err(|what| Failure::usage(format!("{name}: {what}")).hint(again))?;
    Ok(Some(pinned))
}

/// A line on a terminal that says what is being fetched and unpacked.
pub struct Telling {
    bar: Mutex<Option<ProgressBar>>,
}

impl Telling {
    /// Shows nothing where nothing is to be shown.
    pub fn new(shown: bool) -> Telling {
        Telling { bar: Mutex::new(shown.then(line).flatten()) }
    }

    /// Takes what is being done, from any thread.
    pub fn told(&self, doing: Doing<'_>) {
        let bar = self.bar.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(bar) = bar.as_ref() {
            bar.set_message(match doing {
                Doing::Fetching(left) => format!("fetching: {} to go", ui::count(left, "part")),
                Doing::Unpacking(part) => format!("unpacking {}", ui::escape(part)),
                Doing::Configuring => "configuring the packages".to_owned(),
            });
            bar.tick();
        }
    }
}

impl Drop for Telling {
    fn drop(&mut self) {
        if let Some(bar) = self.bar.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner).take() {
            bar.finish_and_clear();
        }
    }
}
