//! Materials as one file: what a rebuild needs, as a tar archive (docs/spec.md §4.3).
//!
//! ```text
//! blobs/                  each directory stands before what is in it; all of it is sorted by the bytes of the names
//! blobs/ab/abcd…          a part of the lock, by its SHA-256
//! bundle.intoto.jsonl     the bundle that is to be answered
//! source/…                the source's files, where it was asked for
//! ```
//!
//! Whoever hands it over is not trusted: a member that has no place here ends it, a blob goes to the store only when it has its digest, links are
//! made and never followed, and what is below `source/` is the signed source only when its tree digest says so, which is looked at later.

use super::depot::DepotError;
use super::vouched::Open;
use crate::archive::{self, ArchiveError, Member, Packer};
use crate::bundle::MAX_BUNDLE;
use crate::digest::Sha256;
use crate::fs::FsError;
use crate::lock::{MAX_PARTS, Part};
use crate::path::{PathRefused, TreePath};
use crate::stop::{Interrupted, Stop};
use crate::store::{Store, StoreError, Unlike};
use crate::tree::{Node, Tree};
use std::collections::{BTreeMap, HashSet};
use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

/// The source, among materials.
pub const SOURCE: &str = "source";
/// The bundle, among materials.
pub const BUNDLE: &str = "bundle.intoto.jsonl";
/// The parts, among materials.
pub(super) const BLOBS: &str = "blobs";

/// Longest file of materials.
const MOST: u64 = 128 << 30;
/// Most files, links and directories below `source/`, and most bytes of all names and targets.
const MOST_ENTRIES: usize = 2_000_000;
const MOST_NAMES: usize = 256 << 20;

/// Materials that cannot be written, or are none.
#[derive(Debug, thiserror::Error)]
pub enum MaterialsError {
    /// A part cannot be had.
    #[error(transparent)]
    Depot(#[from] DepotError),
    /// A part that is another.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The operating system's answer.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// It is no tar archive, or a damaged one.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// A name of the source that is too long with `source/` before it.
    #[error("{0}: {1}")]
    Name(String, PathRefused),
    /// Something that is none of materials.
    #[error("{file}: member {member}: {why}")]
    Member {
        /// The file.
        file: String,
        /// The name, escaped.
        member: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Something that is missing.
    #[error("{0} holds no materials: it has no {1}")]
    Lacks(String, &'static str),
    /// It was asked to end.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

/// What is collected.
pub struct Collected<'c> {
    /// Parts of the lock.
    pub parts: &'c [Part],
    /// The bundle's bytes.
    pub bundle: &'c [u8],
    /// The source: its files, written below a directory of ours, and its tree.
    pub source: Option<(&'c Path, &'c Tree)>,
}

impl Collected<'_> {
    /// Writes it as one file: the same bytes for the same materials. Of each part the reader that `open` gives must fail where it is another.
    pub fn pack(
        &self,
        out: &mut dyn Write,
        shown: &Path,
        open: &mut Open<'_>,
        stop: &Stop,
    ) -> Result<(), MaterialsError> {
        let fail = |err| MaterialsError::Fs(FsError::io("write", shown, err));
        let mut packer = Packer::new(out);
        packer.dir(&named(BLOBS)?).map_err(fail)?;
        let blobs: BTreeMap<String, &Part> = self.parts.iter().map(|part| (part.sha256.to_string(), part)).collect();
        let mut above = String::new();
        for (hex, part) in blobs {
            stop.check()?;
            let dir = format!("{BLOBS}/{}", &hex[..2]);
            if dir != above {
                packer.dir(&named(&dir)?).map_err(fail)?;
            }
            let mut data = open(part)?;
            let name = named(&format!("{dir}/{hex}"))?;
            packer.file(&name, false, part.size, &mut data).map_err(|err| match err.downcast::<Unlike>() {
                Ok(why) => StoreError::Unlike { what: super::depot::named(part), why }.into(),
                Err(err) => fail(err),
            })?;
            above = dir;
        }
        packer.file(&named(BUNDLE)?, false, self.bundle.len() as u64, &mut &*self.bundle).map_err(fail)?;
        if let Some((dir, tree)) = self.source {
            let mut entries: BTreeMap<TreePath, &Node> = BTreeMap::new();
            let mut dirs = std::collections::BTreeSet::from([named(SOURCE)?]);
            for entry in tree.entries() {
                let mut above = entry.path.parent();
                while let Some(path) = above {
                    above = path.parent();
                    dirs.insert(below(&path)?);
                }
                match &entry.node {
                    Node::Dir { .. } => drop(dirs.insert(below(&entry.path)?)),
                    node => drop(entries.insert(below(&entry.path)?, node)),
                }
            }
            let all = dirs.iter().map(|path| (path, None)).chain(entries.iter().map(|(path, node)| (path, Some(node))));
            let mut all: Vec<_> = all.collect();
            all.sort_by_key(|(path, _)| path.as_bytes());
            let at = |path: &TreePath| dir.join(path.to_os().strip_prefix(SOURCE).unwrap_or(path.to_os()));
            for (path, node) in all {
                stop.check()?;
                match node {
                    None => packer.dir(path).map_err(fail)?,
                    Some(Node::File { perm, content }) => {
                        let mut file = crate::fs::open_file(&at(path))?;
                        packer.file(path, perm & 0o100 != 0, content.size, &mut file).map_err(fail)?;
                    }
                    Some(Node::Link { target }) => packer.link(path, target).map_err(fail)?,
                    Some(_) => {}
                }
            }
        }
        packer.finish().map_err(fail)?;
        Ok(())
    }
}

fn named(name: &str) -> Result<TreePath, MaterialsError> {
    TreePath::from_bytes(name.as_bytes()).map_err(|why| MaterialsError::Name(name.to_owned(), why))
}

fn below(path: &TreePath) -> Result<TreePath, MaterialsError> {
    let name = [SOURCE.as_bytes(), b"/", path.as_bytes()].concat();
    TreePath::from_bytes(&name).map_err(|why| MaterialsError::Name(path.escaped(), why))
}

/// What was in a file of materials, beside the parts.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Unpacked {
    /// The bundle's bytes.
    pub bundle: Vec<u8>,
    /// Whether there was a source.
    pub has_source: bool,
}

/// Reads a file of materials: parts go to the store, the source below `to`, which is a fresh, empty directory of ours that nobody else can write.
pub fn unpack(file: &Path, store: &Store, to: &Path, stop: &Stop) -> Result<Unpacked, MaterialsError> {
    let shown = file.display().to_string();
    let mut reading =
        Reading { file, shown: &shown, store, to, seen: HashSet::new(), dirs: HashSet::new(), blobs: 0, names: 0 };
    let (mut bundle, source) = (None, named(SOURCE)?);
    archive::plain_members(file, MOST, &mut |path, member| {
        stop.check()?;
        reading.member(path, member, &mut bundle)
    })?;
    if !reading.dirs.contains(&named(BLOBS)?) {
        return Err(MaterialsError::Lacks(shown, "directory blobs"));
    }
    let has_source = reading.dirs.contains(&source);
    let bundle = bundle.ok_or(MaterialsError::Lacks(shown.clone(), BUNDLE))?;
    Ok(Unpacked { bundle, has_source })
}

struct Reading<'r> {
    file: &'r Path,
    shown: &'r str,
    store: &'r Store,
    to: &'r Path,
    seen: HashSet<TreePath>,
    /// Made by us, and nothing else: no link is on the way to what is below them.
    dirs: HashSet<TreePath>,
    blobs: usize,
    names: usize,
}

impl Reading<'_> {
    fn member(
        &mut self,
        path: TreePath,
        member: Member<'_>,
        bundle: &mut Option<Vec<u8>>,
    ) -> Result<(), MaterialsError> {
        let shown = self.shown;
        let refuse = |why| Err(MaterialsError::Member { file: shown.to_owned(), member: path.escaped(), why });
        self.names += path.as_bytes().len();
        if let Member::Link { target } = &member {
            self.names += target.len();
        }
        if self.names > MOST_NAMES || self.seen.len() == MOST_ENTRIES {
            return refuse("there are too many before it");
        }
        if !self.seen.insert(path.clone()) {
            return refuse("it is there twice");
        }
        if path.parent().is_some_and(|above| !self.dirs.contains(&above)) {
            return refuse("the directory above it does not come before it");
        }
        let parts: Vec<&[u8]> = path.parts().collect();
        let is_source = parts[0] == SOURCE.as_bytes();
        match (&parts[..], member) {
            ([one], Member::Dir) if *one == BLOBS.as_bytes() => {}
            ([one, two], Member::Dir) if *one == BLOBS.as_bytes() && is_hex(two, 2) => {}
            ([one, two, name], Member::File { size, data, .. })
                if *one == BLOBS.as_bytes() && is_hex(name, 64) && name.starts_with(two) =>
            {
                if self.blobs == MAX_PARTS {
                    return refuse("there are more blobs than a lock has parts");
                }
                self.blobs += 1;
                let Ok(sha256) = String::from_utf8_lossy(name).parse::<Sha256>() else {
                    return refuse("its name is no digest");
                };
                let what = format!("{} in {}", path.escaped(), self.shown);
                return Ok(self.store.keep_blob(&what, &sha256, size, data)?);
            }
            ([one], Member::File { size, data, .. }) if *one == BUNDLE.as_bytes() => {
                if size > MAX_BUNDLE {
                    return refuse("it is longer than a bundle may be");
                }
                let mut bytes = Vec::new();
                data.read_to_end(&mut bytes).map_err(|err| archive::explain(self.file, err))?;
                *bundle = Some(bytes);
                return Ok(());
            }
            ([_], Member::Dir) if is_source => {}
            ([_, _, ..], member) if is_source => return self.source(&path, member),
            _ => return refuse("it is no part of materials"),
        }
        self.dirs.insert(path);
        Ok(())
    }

    /// Whatever stands there is made anew, in a directory that was made before: nothing is written through a link.
    fn source(&mut self, path: &TreePath, member: Member<'_>) -> Result<(), MaterialsError> {
        let at = self.to.join(path.to_os().strip_prefix(SOURCE).unwrap_or(path.to_os()));
        let fail = |err: io::Error| MaterialsError::Fs(FsError::io("create", &at, err));
        match member {
            Member::Dir => {
                DirBuilder::new().mode(0o755).create(&at).map_err(fail)?;
                self.dirs.insert(path.clone());
            }
            Member::Link { target } => {
                use std::os::unix::ffi::OsStrExt as _;
                std::os::unix::fs::symlink(std::ffi::OsStr::from_bytes(&target), &at).map_err(fail)?;
            }
            Member::File { perm, size, data } => {
                let mode = if perm & 0o100 != 0 { 0o755 } else { 0o644 };
                let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&at).map_err(fail)?;
                let mut buffer = vec![0; 64 << 10];
                archive::copy(self.file, data, size, &mut buffer, &mut |bytes| {
                    file.write_all(bytes).map_err(|err| FsError::io("write", &at, err).into())
                })?;
                // Whatever the umask.
                file.set_permissions(std::fs::Permissions::from_mode(mode)).map_err(fail)?;
            }
            Member::Hard { .. } => {
                let why = "it is a hard link";
                return Err(MaterialsError::Member { file: self.shown.to_owned(), member: path.escaped(), why });
            }
        }
        Ok(())
    }
}

fn is_hex(text: &[u8], length: usize) -> bool {
    text.len() == length && text.iter().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(b))
}

#[cfg(test)]
mod tests;
