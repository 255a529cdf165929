//! What the source depends on: each file from its mirror, held against what the lock file in the source names it by.

use super::{DepotError, PinError, Pinning, word};
use crate::archive::{self, ArchiveError};
use crate::digest::{Sha256, Sha512Hasher, Wanted};
use crate::environment::depot::{Depot, each_of, named};
use crate::environment::image::Doing;
use crate::fetched::pip::{self, Link, Target};
use crate::fetched::{Item, Named, go, layout};
use crate::fs::FsError;
use crate::lock::{Class, Part, PartWord, Place, Voucher};
use crate::mirrors::MirrorError;
use crate::recipe::Fetch;
use crate::tree::Node;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;

/// Longest file that somebody depends on.
const MOST: u64 = 8 << 30;
/// Longest page of an index, and longest `go.mod`.
const MOST_TEXT: u64 = 64 << 20;

/// A file that is not what the source's lock file names, or that cannot be found.
#[derive(Debug, thiserror::Error)]
pub enum DependencyError {
    /// Other bytes.
    #[error("{what}: it is {found} and should be {named}, as the source's lock file says")]
    Unlike {
        /// Where they came from.
        what: String,
        /// What they are.
        found: String,
        /// What they should be.
        named: String,
    },
    /// A part of which the source's lock files say nothing.
    #[error("{0}: the source's lock files do not name it")]
    NotNamed(String),
    /// A zip of a module that cannot be read.
    #[error(transparent)]
    Zip(#[from] ArchiveError),
    /// Its place is none that a lock could hold.
    #[error("{0}: its lock file names no place for it below a mirror")]
    NoPlace(String),
    /// A page of an index.
    #[error("cannot get the page of {project} in the index {mirror}: {why}")]
    Page {
        /// Of which project.
        project: PartWord,
        /// Of which mirror.
        mirror: String,
        /// Why not.
        why: MirrorError,
    },
    /// A page that is too long or no text.
    #[error("the page of {0} in the index is not a text of at most {MOST_TEXT} bytes")]
    NotAPage(PartWord),
    /// Nothing of what is listed suits.
    #[error(
        "of {0} {1} the index has no file that the source lists and that suits: a wheel for every machine, one for this one, or the source"
    )]
    NoFile(PartWord, PartWord),
    /// A link that leads to a host that is no mirror.
    #[error("{file} is at {href}, and that is below no mirror")]
    Elsewhere {
        /// What is there.
        file: String,
        /// Where.
        href: String,
    },
}

/// Has all files of some lock files, several at a time.
pub(super) fn pin(pinning: &Pinning<'_>, fetch: &Fetch, items: &[Item]) -> Result<Vec<Part>, PinError> {
    let progress = |left| (pinning.progress)(Doing::Fetching(left));
    let parts = each_of(items, pinning.stop, &progress, &|item| one(pinning, fetch, item))?;
    Ok(parts.into_iter().flatten().collect())
}

fn one(pinning: &Pinning<'_>, fetch: &Fetch, item: &Item) -> Result<Vec<Part>, PinError> {
    let shown = || format!("{} {}", item.name, item.version);
    if let Some(parts) = kept(pinning, item)? {
        return Ok(parts);
    }
    if item.class == Class::Python {
        return python(pinning, fetch, item);
    }
    let path = item.path.as_deref().unwrap_or_default();
    let place: Place = format!("{}:{path}", fetch.mirror).parse().map_err(|_| DependencyError::NoPlace(shown()))?;
    let held = match &item.digest {
        Named::Sha256(some) => some.first().map(|sha256| held(pinning, sha256)).transpose()?.flatten(),
        _ => None,
    };
    let (sha256, size) = match held {
        Some(held) => held,
        None => {
            pinning.depot.learn_if(&place, MOST, &|what, path, sha256| is_named(&item.digest, what, path, sha256))?
        }
    };
    let name = item.name.clone();
    Ok(vec![part(item, name, sha256, size, place)])
}

fn part(item: &Item, name: PartWord, sha256: Sha256, size: u64, place: Place) -> Part {
    let (class, version) = (item.class, item.version.clone());
    Part { class, name, version, sha256, size, voucher: Voucher::Source, place }
}

/// A file in the store, which is read to see whether it is what its name says.
fn held(pinning: &Pinning<'_>, sha256: &Sha256) -> Result<Option<(Sha256, u64)>, PinError> {
    let held = pinning.depot.store().held(sha256).map_err(DepotError::from)?;
    Ok(held.map(|(_, size)| (*sha256, size)))
}

/// What an earlier lock has, where all of it is in the store and is still what the source names.
fn kept(pinning: &Pinning<'_>, item: &Item) -> Result<Option<Vec<Part>>, PinError> {
    let before = pinning.before.unwrap_or_default().iter().filter(|part| item.is(part));
    let parts: Vec<Part> = before.cloned().collect();
    for part in &parts {
        let held = pinning.depot.store().held(&part.sha256).map_err(DepotError::from)?;
        let Some((path, size)) = held else { return Ok(None) };
        if size != part.size || is_named(&item.digest, "", &path, &part.sha256).is_err() {
            return Ok(None);
        }
    }
    // Only Python has several files of one item.
    Ok((parts.len() == 1 || (item.class == Class::Python && !parts.is_empty())).then_some(parts))
}

/// Whether a part is one that the source's lock files name, by the digests that they have. It is read from the store.
pub(in crate::environment) fn as_named(depot: &Depot, items: &[Item], part: &Part) -> Result<(), PinError> {
    let what = named(part);
    let mut found = Err(DependencyError::NotNamed(what.clone()).into());
    // Trees of npm may have one version from two places, with two digests.
    for item in items.iter().filter(|item| item.is(part)) {
        let held = depot.store().held(&part.sha256).map_err(DepotError::from)?;
        let (path, _) = held.ok_or_else(|| DepotError::NoMaterial(what.clone()))?;
        found = is_named(&item.digest, &what, &path, &part.sha256);
        if found.is_ok() {
            break;
        }
    }
    found
}

/// Whether a file is what a lock file of the source names.
fn is_named(named: &Named, what: &str, path: &Path, sha256: &Sha256) -> Result<(), PinError> {
    let unlike = |found: String, named: String| DependencyError::Unlike { what: what.to_owned(), found, named }.into();
    let read = |err| PinError::from(DepotError::Store(FsError::io("read", path, err).into()));
    let h1 = |hash: &Sha256| format!("h1:{}", STANDARD.encode(hash.as_bytes()));
    let (found, wanted) = match named {
        Named::Sha256(some) if some.contains(sha256) => return Ok(()),
        Named::Sha256(some) => {
            let some: Vec<String> = some.iter().map(|sha256| format!("sha256:{sha256}")).collect();
            return Err(unlike(format!("sha256:{sha256}"), some.join(" or ")));
        }
        Named::Sha512(wanted) => {
            let mut hasher = Sha512Hasher::default();
            let mut file = crate::fs::open_file(path).map_err(|err| DepotError::Store(err.into()))?;
            layout::each(&mut file, &mut |bytes| hasher.update(bytes)).map_err(read)?;
            let found = hasher.finish();
            if found == *wanted {
                return Ok(());
            }
            return Err(unlike(format!("sha512:{found}"), format!("sha512:{wanted}")));
        }
        Named::File(wanted) => {
            let bytes = crate::fs::read(path, MOST_TEXT).map_err(|err| DepotError::Store(err.into()))?;
            (go::h1_of_mod(&bytes), wanted)
        }
        Named::Files(wanted) => (go::h1(&zipped(what, path)?), wanted),
    };
    if found == *wanted { Ok(()) } else { Err(unlike(h1(&found), h1(wanted))) }
}

/// The files of a zip with their digests. What is in it besides is not counted by `h1`, so it may not be there.
fn zipped(what: &str, path: &Path) -> Result<BTreeMap<String, Sha256>, DependencyError> {
    let damaged = |why: String| ArchiveError::Damaged { path: what.into(), why };
    let scanned = archive::tree(path, 0, Wanted::default(), &|_, _| false, MOST, None);
    let mut files = BTreeMap::new();
    for entry in scanned.map_err(|err| damaged(err.to_string()))?.tree.into_entries() {
        let name = String::from_utf8(entry.path.as_bytes().to_vec()).ok().filter(|name| !name.contains('\n'));
        match (name, entry.node) {
            (Some(name), Node::File { content, .. }) => drop(files.insert(name, content.sha256)),
            _ => return Err(damaged(format!("{} is no file of a module", entry.path)).into()),
        }
    }
    Ok(files)
}

/// The files of a project that its index has, of those that the source lists.
fn python(pinning: &Pinning<'_>, fetch: &Fetch, item: &Item) -> Result<Vec<Part>, PinError> {
    let mirrors = pinning.depot.mirrors();
    let dir = format!("simple/{}", item.name);
    let page = mirrors.page(&fetch.mirror, &dir);
    let page =
        page.map_err(|why| DependencyError::Page { project: item.name.clone(), mirror: fetch.mirror.clone(), why })?;
    let mut text = String::new();
    let read = page.bytes.take(MOST_TEXT + 1).read_to_string(&mut text);
    if read.is_err() || text.len() as u64 > MOST_TEXT {
        return Err(DependencyError::NotAPage(item.name.clone()).into());
    }
    let chosen = pip::choose(item, pip::links(&text), pinning.architecture.as_str());
    if chosen.is_empty() && !item.conditional {
        return Err(DependencyError::NoFile(item.name.clone(), item.version.clone()).into());
    }
    let mut parts = Vec::new();
    for Link { file, href, sha256 } in chosen {
        let place = match pip::target(&dir, &href) {
            Some(Target::Path(path)) => format!("{}:{path}", fetch.mirror).parse().ok(),
            Some(Target::Absolute(path)) => mirrors.place_on_host(&fetch.mirror, &path),
            Some(Target::Url(url)) => mirrors.place_of(&url),
            None => None,
        };
        let place = place.ok_or_else(|| DependencyError::Elsewhere { file: file.clone(), href })?;
        let (sha256, size) = match held(pinning, &sha256)? {
            Some(held) => held,
            None => {
                let only = Named::Sha256([sha256].into());
                pinning.depot.learn_if(&place, MOST, &|what, path, sha256| is_named(&only, what, path, sha256))?
            }
        };
        parts.push(part(item, word(&file)?, sha256, size, place));
    }
    Ok(parts)
}
