//! What a lock names, unpacked: a directory in the store, made of the locked bytes alone and held against the locked tree digest.

use super::View;
use super::configure;
use super::depot::{Depot, DepotError, named};
use super::pin::{PinError, as_named};
use crate::debian::assemble::{self, AssembleError};
use crate::debian::version::Version;

use crate::digest::{self, Sha256, TreeDigest};
use crate::fetched::{Item, layout};
use crate::lock::{Class, Image, Kind, Part, Pinned, RESERVED};
use crate::oci::{self, Blobs, OciError};
use crate::path::TreePath;
use crate::recipe::{Environment, Fetch, Tool};
use crate::rootfs::{Builder, Found, Last, Limits, RootfsError, below, tar};
use crate::scan::{self, Options, ScanError};
use crate::statement::Word;
use crate::stop::Stop;
use crate::store::StoreError;
use crate::tree::TreeKind;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// Times of all that is unpacked: listings know none, and a build must not see when that was.
pub(super) const TIME: i64 = crate::recipe::DEFAULT_EPOCH as i64;
/// Directories of an image of which the sandbox has a part of its own: what is in them stands there entry by entry.
const SHARED: [&str; 3] = ["etc", "home", "var"];
/// Files that the sandbox makes itself.
const OWN: [&str; 6] = ["etc/passwd", "etc/group", "etc/hosts", "etc/nsswitch.conf", "etc/resolv.conf", "etc/hostname"];

/// An environment that cannot be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// A part cannot be had.
    #[error(transparent)]
    Depot(#[from] DepotError),
    /// A part cannot be unpacked.
    #[error("{part}: {why}")]
    Part {
        /// Name and version.
        part: String,
        /// Why not.
        why: RootfsError,
    },
    /// It cannot be written.
    #[error(transparent)]
    Rootfs(#[from] RootfsError),
    /// It cannot be read again.
    #[error(transparent)]
    Scan(#[from] ScanError),
    /// An OCI image.
    #[error(transparent)]
    Oci(#[from] OciError),
    /// A Debian package.
    #[error("{0}: {1}")]
    Package(String, String),
    /// Debian packages together.
    #[error(transparent)]
    Assemble(#[from] AssembleError),
    /// Packages that could not be configured.
    #[error(transparent)]
    Configure(#[from] configure::ConfigureError),
    /// A directory that is a link, or no directory.
    #[error("the image's /{0} is not a directory")]
    Shared(&'static str),
    /// A part that is not what the source's lock files name.
    #[error(transparent)]
    Dependency(Box<PinError>),
    /// Something is where the dependencies of the source go.
    #[error("the environment has something in /{0}, where what the source depends on goes")]
    Occupied(TreePath),
    /// The locked parts do not make the locked tree.
    #[error("the parts of the lock make another environment than it says: sha256:{found}, locked is sha256:{locked}")]
    Tree {
        /// What they make.
        found: TreeDigest,
        /// What they should.
        locked: TreeDigest,
    },
    /// What is unpacked was changed since.
    #[error("what is unpacked in {} is not what was unpacked", .0.display())]
    Damaged(PathBuf),
    /// The lock is for another machine.
    #[error("the environment is for {wanted}, and this machine is {own}")]
    Architecture {
        /// In the lock.
        wanted: Word,
        /// As `uname -m` says.
        own: String,
    },
}

impl From<StoreError> for ImageError {
    fn from(err: StoreError) -> ImageError {
        ImageError::Depot(err.into())
    }
}

/// What one unpacks: the environment of a recipe.
pub struct Unpacking<'e> {
    /// Its parts.
    pub parts: &'e [Part],
    /// What the recipe says of it.
    pub environment: &'e Environment,
    /// What the source's lock files name, for each of the recipe's `fetch`.
    pub dependencies: &'e [Vec<Item>],
    /// The machine that they are for, as `uname -m` says.
    pub architecture: &'e str,
    /// Whether everything is unpacked once more, whatever was unpacked before.
    pub fresh: bool,
    /// Where the parts are.
    pub depot: &'e Depot,
    /// To end early.
    pub stop: &'e Stop,
    /// Told what is being done.
    pub progress: &'e (dyn Fn(Doing<'_>) + Sync),
}

/// What is being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing<'a> {
    /// Files are being fetched; so many are left.
    Fetching(usize),
    /// A part is being unpacked.
    Unpacking(&'a str),
    /// Packages are being configured.
    Configuring,
}

/// The image of a lock, unpacked, if it has one. [`Unpacking::architecture`] is this machine's.
pub fn furnish(pinned: &Pinned, unpacking: &Unpacking<'_>) -> Result<Option<View>, ImageError> {
    let Some(image) = &pinned.image else { return Ok(None) };
    let own = unpacking.architecture;
    let Image { architecture, tree, .. } = image;
    if architecture.as_str() != own {
        return Err(ImageError::Architecture { wanted: architecture.clone(), own: own.to_owned() });
    }
    // One that came of other parts would make a lie of what the lock says of its parts.
    let there = unpacking.depot.store().tree(tree, &unpacking.origin(tree)).filter(|_| !unpacking.fresh);
    let base = match there {
        Some(base) => base,
        None => unpacking.unpack(Some(*tree))?.1,
    };
    // What stands there under the name is believed by nobody. Who builds in an image reads all of it; tools beside a host's paths are read here.
    if pinned.kind == Kind::Host && tree_of(&base)? != *tree {
        return Err(ImageError::Damaged(base));
    }
    Ok(Some(unpacking.view(base)?))
}

impl Unpacking<'_> {
    /// A digest of all that a tree is made of.
    fn origin(&self, tree: &TreeDigest) -> Sha256 {
        let mut text = format!("countersign-image v1\n{}\n{tree}\n{}\n", self.architecture, self.environment.digest);
        for Part { class, name, version, sha256, size, .. } in self.parts {
            text += &format!("{} {name} {version} {sha256} {size}\n", class.word());
        }
        // Each was held against its own when that was made.
        self.dependencies.iter().flatten().for_each(|item| text += &format!("{item:?}\n"));
        digest::sha256(text.as_bytes())
    }

    /// Unpacks all parts, and keeps what they make; an error where that should be another tree.
    pub fn unpack(&self, wanted: Option<TreeDigest>) -> Result<(TreeDigest, PathBuf), ImageError> {
        let fetching = |left| (self.progress)(Doing::Fetching(left));
        self.depot.get_all(self.parts, self.stop, &fetching)?;
        let making = self.depot.store().temporary()?;
        let mut builder = Builder::new(&making.path().join("spool"), Limits::default())?;
        match self.environment.kind() {
            Kind::Host | Kind::Rootfs => {}
            Kind::Oci => self.oci(&mut builder)?,
            Kind::Debian => builder = self.debian(builder)?,
        }
        let (dependencies, others): (Vec<&Part>, Vec<&Part>) =
            self.parts.iter().partition(|part| part.class.is_dependency());
        for part in others {
            self.stop.check().map_err(DepotError::from)?;
            self.one(part, &mut builder)?;
        }
        for Fetch { at, .. } in &self.environment.fetch {
            // What lies there is found by the tools beside what the source names.
            let free = match builder.at(at.as_bytes(), Last::Itself)? {
                None => true,
                Some(found) => matches!(found, Found::Dir) && builder.names(at.as_bytes())?.is_empty(),
            };
            if !free {
                return Err(ImageError::Occupied(at.clone()));
            }
        }
        for part in dependencies {
            self.stop.check().map_err(DepotError::from)?;
            self.one(part, &mut builder)?;
        }
        for fetch in &self.environment.fetch {
            layout::finish(&mut builder, fetch)?;
        }
        let root = making.path().join("root");
        builder.finish(&root, TIME)?;
        if self.environment.kind() == Kind::Debian {
            (self.progress)(Doing::Configuring);
            configure::packages(&root, self.stop)?;
        }
        let digest = tree_of(&root)?;
        if let Some(locked) = wanted.filter(|wanted| *wanted != digest) {
            return Err(ImageError::Tree { found: digest, locked });
        }
        Ok((digest, self.depot.store().keep_tree(&digest, &self.origin(&digest), &root)?))
    }

    fn one(&self, part: &Part, builder: &mut Builder) -> Result<(), ImageError> {
        let name = named(part);
        (self.progress)(Doing::Unpacking(&name));
        let fail = |why| ImageError::Part { part: named(part), why };
        match part.class {
            Class::Archive => {
                let blob = self.depot.part(part)?;
                tar::apply(builder, Path::new("the archive"), blob, tar::Whiteouts::Names).map_err(fail)
            }
            Class::Tool => match self.environment.tools.iter().find(|tool| tool.name == part.name) {
                Some(Tool { at, strip, .. }) => {
                    let blob = self.depot.part(part)?;
                    below::apply(builder, Path::new("the archive"), blob, at, *strip).map_err(fail)
                }
                // The lock fits the recipe, or there is no plan.
                None => Ok(()),
            },
            class if class.is_dependency() => {
                let of_it = |fetch: &&Fetch| fetch.kind.classes().contains(&class);
                let all = self.environment.fetch.iter().zip(self.dependencies);
                let Some((fetch, items)) = all.into_iter().find(|(fetch, _)| of_it(fetch)) else {
                    return Err(ImageError::Package(name, "no fetch of the recipe has such a part".into()));
                };
                as_named(self.depot, items, part).map_err(|err| ImageError::Dependency(Box::new(err)))?;
                layout::put(builder, fetch, part, &mut || self.depot.part(part).map_err(Laid::Depot)).map_err(|err| {
                    match err {
                        Laid::Depot(err) => err.into(),
                        Laid::Rootfs(err) => fail(err),
                    }
                })
            }
            _ => Ok(()),
        }
    }

    fn oci(&self, builder: &mut Builder) -> Result<(), ImageError> {
        let Some(manifest) = self.parts.iter().find(|part| part.class == Class::Manifest) else { return Ok(()) };
        (self.progress)(Doing::Unpacking(&named(manifest)));
        let part = oci::Part { digest: manifest.sha256, size: manifest.size };
        let platform = super::pin::platform(self.architecture);
        let image = oci::Image::read(&Locked(self), part, &platform)?;
        Ok(image.unpack(&Locked(self), builder)?)
    }

    fn debian(&self, builder: Builder) -> Result<Builder, ImageError> {
        let debs: Vec<&Part> = self.parts.iter().filter(|part| part.class == Class::Deb).collect();
        let fail = |part: &Part, why: &dyn std::fmt::Display| ImageError::Package(named(part), why.to_string());
        let mut versions = Vec::new();
        for part in &debs {
            versions.push(Version::parse(part.version.as_str()).map_err(|err| fail(part, &err))?);
        }
        let mut packages = Vec::new();
        for (part, version) in debs.iter().zip(&versions) {
            let (name, architecture) =
                part.name.as_str().split_once(':').ok_or_else(|| fail(part, &"its name lacks an architecture"))?;
            packages.push(assemble::Part { name, version, architecture });
        }
        let mut open = |at: usize| -> std::io::Result<Box<dyn std::io::Read>> {
            self.stop.check().map_err(std::io::Error::other)?;
            (self.progress)(Doing::Unpacking(&named(debs[at])));
            Ok(Box::new(self.depot.part(debs[at]).map_err(std::io::Error::other)?))
        };
        let (builder, _) = assemble::assemble(builder, &packages, &mut open)?;
        self.stop.check().map_err(DepotError::from)?;
        Ok(builder)
    }

    fn view(&self, base: PathBuf) -> Result<View, ImageError> {
        let paths = match self.environment.kind() {
            Kind::Host => {
                let tools = self.environment.tools.iter().map(|tool| &tool.at);
                tools.chain(self.environment.fetch.iter().map(|fetch| &fetch.at)).cloned().collect()
            }
            _ => paths(&base)?,
        };
        Ok(View::image(base, paths))
    }
}

/// Why a dependency is not unpacked.
enum Laid {
    Depot(DepotError),
    Rootfs(RootfsError),
}

impl From<RootfsError> for Laid {
    fn from(err: RootfsError) -> Laid {
        Laid::Rootfs(err)
    }
}

/// Blobs of an image that the lock names, and no others.
struct Locked<'u, 'e>(&'u Unpacking<'e>);

impl Blobs for Locked<'_, '_> {
    fn open(&self, digest: &Sha256) -> Result<Box<dyn std::io::Read + '_>, OciError> {
        let part = self.0.parts.iter().find(|part| part.sha256 == *digest).ok_or(OciError::Absent(*digest))?;
        let blob = self.0.depot.part(part);
        Ok(Box::new(blob.map_err(|err| OciError::Read { digest: *digest, why: std::io::Error::other(err) })?))
    }
}

/// The tree digest of something unpacked: of the listing, as an environment, of what of it can be seen.
pub fn tree_of(base: &Path) -> Result<TreeDigest, ImageError> {
    let threads = std::thread::available_parallelism().unwrap_or(std::num::NonZeroUsize::MIN);
    let options = Options { threads, ..Options::new(TreeKind::Environment) };
    Ok(scan::environment(base, &paths(base)?, &options, None)?.tree.digest())
}

/// What of an unpacked image is to be seen (docs/spec.md §4.2).
fn paths(base: &Path) -> Result<Vec<TreePath>, ImageError> {
    let mut paths = Vec::new();
    for name in names(base)? {
        match SHARED.iter().find(|shared| name.as_bytes() == shared.as_bytes()) {
            None => paths.push(name),
            Some(shared) => {
                let dir = base.join(shared);
                let meta = dir.symlink_metadata().map_err(|err| ScanError::io("read", &dir, err))?;
                if !meta.is_dir() {
                    return Err(ImageError::Shared(shared));
                }
                for below in names(&dir)? {
                    let path = [shared.as_bytes(), b"/", below.as_bytes()].concat();
                    paths.extend(TreePath::from_bytes(&path));
                }
            }
        }
    }
    let own = |path: &TreePath| {
        let reserved = RESERVED.iter().map(|path| path.trim_start_matches('/'));
        reserved.chain(OWN).any(|own| own.as_bytes() == path.as_bytes())
    };
    paths.retain(|path| !own(path));
    Ok(paths)
}

fn names(dir: &Path) -> Result<Vec<TreePath>, ImageError> {
    let fail = |err| ScanError::io("read", dir, err);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(fail)? {
        let name: &OsStr = &entry.map_err(fail)?.file_name();
        // A name of a directory is a path of one part.
        names.extend(TreePath::from_bytes(name.as_bytes()));
    }
    Ok(names)
}
