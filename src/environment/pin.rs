//! A recipe's environment to what it is pinned to: each part had once, hashed, and all of them unpacked once, so that the lock can say what
//! they make.

#[cfg(feature = "debian")]
mod debian;
mod fetched;
mod oci;

#[cfg(feature = "debian")]
pub use debian::DebianError;
#[cfg(feature = "debian")]
pub(super) use debian::{architecture, indices, keyring};
pub use fetched::DependencyError;
pub(super) use fetched::as_named;
pub(super) use oci::platform;

use super::depot::{Depot, DepotError, MOST};
use super::image::{Doing, ImageError, Unpacking};
use crate::fetched::Item;
use crate::lock::{Class, Image, Kind, Part, PartRefused, PartWord, Pinned, Place, RootRefused, Roots, Voucher};
use crate::oci::OciError;
use crate::recipe::{Environment, Tool, Wants};
use crate::statement::Word;
use crate::stop::Stop;
use std::path::PathBuf;

/// An environment that cannot be pinned.
#[derive(Debug, thiserror::Error)]
pub enum PinError {
    /// A path of the machine that no build may have.
    #[error(transparent)]
    Root(#[from] RootRefused),
    /// A part cannot be had.
    #[error(transparent)]
    Depot(#[from] DepotError),
    /// What the parts make cannot be unpacked.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// An image that cannot be read.
    #[error(transparent)]
    Oci(#[from] OciError),
    /// An image that is not in a directory.
    #[error("the image {0} is not below a mirror that is a directory")]
    NotLocal(Place),
    /// Packages that cannot be had, or not be believed.
    #[cfg(feature = "debian")]
    #[error(transparent)]
    Debian(#[from] DebianError),
    /// Release files are not checked by this program.
    #[error(
        "this program was built without Debian's release files (feature `debian`): it can use such a lock, but not make one"
    )]
    NotBuilt,
    /// What the source depends on.
    #[error(transparent)]
    Dependency(#[from] DependencyError),
    /// A name or version that no lock can hold.
    #[error("{0:?}: {1}")]
    Word(String, PartRefused),
    /// Packages whose scripts do not run here.
    #[error("packages of Debian for {0} can be configured only on such a machine: lock there")]
    Foreign(String),
    /// A tool that is not for this machine.
    #[error("the tool {tool} is not to be had for {architecture}: the recipe has it for {there}")]
    Tool {
        /// Its name.
        tool: PartWord,
        /// As `uname -m` says.
        architecture: String,
        /// For what it is.
        there: String,
    },
}

/// What is believed of Debian's archives.
#[derive(Debug, Default)]
pub struct Archive {
    /// Bytes of keyrings: who may sign release files.
    pub keyrings: Vec<Vec<u8>>,
    /// The time now, in seconds since 1970.
    pub now: i64,
    /// Whether a release file may be older than it says that it is good for.
    pub expired: bool,
}

/// What is needed to pin.
pub struct Pinning<'p> {
    /// What the recipe asks for.
    pub environment: &'p Environment,
    /// What the lock files in the source name, for each of the recipe's `fetch`.
    pub dependencies: &'p [Vec<Item>],
    /// The parts of an earlier lock of the same environment, where they are to stay as far as they are still right.
    pub before: Option<&'p [Part]>,
    /// The machine, as `uname -m` says.
    pub architecture: &'p Word,
    /// Where parts come from and go to.
    pub depot: &'p Depot,
    /// What is believed of Debian's archives, and when.
    pub archive: &'p Archive,
    /// To end early.
    pub stop: &'p Stop,
    /// Told what is being done.
    pub progress: &'p (dyn Fn(Doing<'_>) + Sync),
}

impl Pinning<'_> {
    /// Pins it.
    pub fn pin(&self) -> Result<Pinned, PinError> {
        if self.environment.kind() == Kind::Debian && self.architecture.as_str() != std::env::consts::ARCH {
            return Err(PinError::Foreign(self.architecture.to_string()));
        }
        let mut parts = match self.before {
            Some(before) => before.iter().filter(|part| !part.class.is_dependency()).cloned().collect(),
            None => self.of_the_environment()?,
        };
        for (fetch, items) in self.environment.fetch.iter().zip(self.dependencies) {
            parts.extend(fetched::pin(self, fetch, items)?);
        }
        parts.sort();
        parts.dedup();
        let roots = match &self.environment.wants {
            Wants::Host { default_roots, roots } => Roots::new(*default_roots, roots.iter().map(PathBuf::as_path))?,
            _ => Roots::default(),
        };
        let Pinning { environment, architecture, depot, stop, progress, .. } = *self;
        let image = match parts.is_empty() {
            true => None,
            false => {
                let machine = architecture.as_str();
                let unpacking = Unpacking {
                    parts: &parts,
                    environment,
                    dependencies: self.dependencies,
                    architecture: machine,
                    fresh: false,
                    depot,
                    stop,
                    progress,
                };
                let (tree, _) = unpacking.unpack(None)?;
                Some(Image { architecture: architecture.clone(), tree, parts })
            }
        };
        Ok(Pinned { kind: environment.kind(), roots, image })
    }

    /// All parts but what the source depends on.
    fn of_the_environment(&self) -> Result<Vec<Part>, PinError> {
        let mut parts = match &self.environment.wants {
            Wants::Host { .. } => Vec::new(),
            Wants::Rootfs { image } => vec![self.learn(Class::Archive, last_name(image), "-", image)?],
            Wants::Oci { image, reference } => oci::pin(self, image, reference.as_deref())?,
            #[cfg(feature = "debian")]
            Wants::Debian { suites, components, packages } => debian::pin(self, suites, components, packages)?,
            #[cfg(not(feature = "debian"))]
            Wants::Debian { .. } => return Err(PinError::NotBuilt),
        };
        for tool in &self.environment.tools {
            parts.push(self.learn(Class::Tool, tool.name.as_str(), tool.version.as_str(), self.place(tool)?)?);
        }
        Ok(parts)
    }

    fn learn(&self, class: Class, name: &str, version: &str, place: &Place) -> Result<Part, PinError> {
        (self.progress)(Doing::Fetching(1));
        let (sha256, size) = self.depot.learn(place, MOST)?;
        let (name, version, place) = (word(name)?, word(version)?, place.clone());
        Ok(Part { class, name, version, sha256, size, voucher: Voucher::Vendor, place })
    }

    fn place<'t>(&self, tool: &'t Tool) -> Result<&'t Place, PinError> {
        let from = tool.from.get(self.architecture.as_str()).or_else(|| tool.from.get(""));
        from.ok_or_else(|| PinError::Tool {
            tool: tool.name.clone(),
            architecture: self.architecture.to_string(),
            there: tool.from.keys().map(String::as_str).collect::<Vec<_>>().join(", "),
        })
    }
}

fn word(text: &str) -> Result<PartWord, PinError> {
    text.parse().map_err(|why| PinError::Word(text.to_owned(), why))
}

fn last_name(place: &Place) -> &str {
    match place {
        Place::Mirror { path, .. } => path.rsplit('/').next().unwrap_or(path),
        Place::Unknown => "image",
    }
}
