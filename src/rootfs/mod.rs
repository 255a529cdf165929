//! Root file systems: the one builder of an environment's directory, for the layers of images, archives and Debian packages alike.
//!
//! What such a directory is to hold is known only when all has been read: later entries replace earlier ones, layers take away what others
//! brought, and each name is looked up through links that came before it (`/lib` is `usr/lib`). So the tree is kept in memory, names are
//! resolved *in that tree* as the kernel would in a chroot, contents go to a spool as they stream by, and [`Builder::finish`] puts everything
//! in place at once. No name of an image ever reaches the operating system before: a content lies in the spool under a number, and the
//! directory is written below descriptors of directories that were just made there, name by name. The spool is a fresh directory that only
//! its owner may enter. So no link of the disk is followed.
//!
//! | entry | onto | gives |
//! |---|---|---|
//! | directory | directory | that directory |
//! | directory | link to a directory | the link, as in dpkg; but a link of an earlier layer gives way, as in every reader of images |
//! | anything | file, other link | the new entry |
//! | file, link | empty directory, directory of an earlier layer | the new entry |
//! | file, link | directory with something of this layer in it | an error |
//!
//! Layers are counted by [`Builder::next_layer`]; without it everything is one layer. What an entry needs above it is made when it is missing.
//!
//! Modes are 0644 or, when anyone may execute it, 0755; directories 0755; there are no owners, no set-id bits, no devices, FIFOs and sockets, and
//! all times are one. So root and anybody else make the same directory. Nothing is synced: a directory is used only after its digest was made
//! again from what is there.

pub mod below;
mod model;
mod spool;
pub mod tar;
mod write;

use crate::archive::ArchiveError;
use crate::fs::FsError;
use model::{Kind, Model, ROOT, Walk};
use spool::Spool;
use std::io::{self, Read};
use std::path::Path;

/// Most links that are followed to find one name, as in Linux.
pub const MAX_LINKS: u32 = 40;
/// Longest single name.
const MAX_NAME: usize = 255;

/// How much a root file system may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Entries at one time. Archives may have four times as many members, since one can hide another.
    pub entries: usize,
    /// Bytes of contents, also of those that are replaced later. The archives that they come from may unpack to twice as much.
    pub bytes: u64,
    /// Bytes of names and targets at one time: they are held in memory.
    pub names: u64,
    /// Length of a path in bytes.
    pub path: usize,
    /// Length of a link's target in bytes.
    pub target: usize,
    /// Parts of a path. Writing holds a descriptor for each.
    pub depth: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            entries: 2_000_000,
            bytes: crate::archive::MAX_UNPACKED,
            names: 256 << 20,
            path: crate::path::MAX_PATH,
            target: 4095,
            depth: 128,
        }
    }
}

/// A root file system that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum RootfsError {
    /// The operating system's answer.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// An archive that is damaged, or not one.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// One entry is refused.
    #[error("{entry}: {why}")]
    Entry {
        /// Its name.
        entry: String,
        /// Why.
        why: Why,
    },
    /// Something before was given up half-way, so what is here is not what was asked for.
    #[error("a root file system of which a part could not be read is not written")]
    Spoiled,
}

/// Why an entry is refused.
#[derive(Debug, thiserror::Error)]
pub enum Why {
    /// NUL, or a part `..`: what a name must not hold. In targets of links `..` is what it is everywhere.
    #[error("it is not the name of something inside the root")]
    Name,
    /// See [`Limits::path`].
    #[error("its path is longer than {0} bytes")]
    PathTooLong(usize),
    /// A single name.
    #[error("it has a part of more than {MAX_NAME} bytes")]
    NameTooLong,
    /// See [`Limits::depth`].
    #[error("it is nested deeper than {0}")]
    TooDeep(usize),
    /// See [`Limits::entries`].
    #[error("there are more than {0} entries")]
    TooMany(usize),
    /// Four times [`Limits::entries`].
    #[error("the archives have more than {0} members")]
    TooManyMembers(usize),
    /// See [`Limits::bytes`].
    #[error("the contents are more than {0} bytes in all")]
    TooLarge(u64),
    /// See [`Limits::names`].
    #[error("names and targets of links are more than {0} bytes in all")]
    Names(u64),
    /// In a layer, names that begin with `.wh.` say what is not there.
    #[error("names that begin with `.wh.` mean that something is taken away, and this one does not say what")]
    Reserved,
    /// Empty, with NUL, or over [`Limits::target`].
    #[error("its target is not a path of at most {0} bytes")]
    Target(usize),
    /// Over [`MAX_LINKS`], or a way that is far longer than any that is meant.
    #[error("the way to it leads over too many links or parts")]
    TooManyLinks,
    /// What should be a directory above it is a file.
    #[error("something above it is not a directory")]
    NotADirectory,
    /// A file or link cannot take the place of a directory with something in it.
    #[error("there is a directory with something in it")]
    NotEmpty,
    /// Hard links are to a file or link that came before.
    #[error("it is a hard link to {0}, which is not a file before it")]
    NoTarget(String),
    /// Of an archive that may have one directory only.
    #[error("it is not below {0}/, where all of the archive should be")]
    NotBelow(String),
    /// The operating system's answer.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// Its content could not be read.
    #[error("its content: {}", crate::fs::reason(.0))]
    Content(io::Error),
}

/// What images hold and a directory of ours does not, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Character and block devices.
    pub devices: u64,
    /// FIFOs.
    pub fifos: u64,
    /// Files that lost a set-id bit.
    pub set_ids: u64,
    /// Entries that lost extended attributes: capabilities, access control lists, labels.
    pub attributes: u64,
    /// Bookkeeping of another tool's (`.wh..wh.*`).
    pub bookkeeping: u64,
}

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Directories, without the root itself.
    pub dirs: u64,
    /// Files; each name of a hard-linked one.
    pub files: u64,
    /// Symbolic links.
    pub links: u64,
    /// Bytes of contents; once for all names of a hard-linked file.
    pub bytes: u64,
    /// What was not.
    pub left_out: LeftOut,
}

/// What stands at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// A directory.
    Dir,
    /// A file.
    File {
        /// Whether it may be executed.
        exec: bool,
        /// Its length.
        size: u64,
    },
    /// A symbolic link.
    Link {
        /// Its target.
        target: &'a [u8],
    },
}

/// What is meant by a path that ends in a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Last {
    /// The link.
    Itself,
    /// What it leads to.
    Follow,
}

/// A root file system in the making. Paths are bytes; a leading `/` or `./` means nothing, nor does a `/` at the end.
pub struct Builder {
    limits: Limits,
    model: Model,
    spool: Spool,
    left_out: LeftOut,
    /// What archives unpacked to.
    unpacked: u64,
    /// Members of archives.
    members: usize,
    spoiled: bool,
}

impl Builder {
    /// `spool` is made, and removed in the end; it must not be there, and must be on the file system of the destination.
    pub fn new(spool: &Path, limits: Limits) -> Result<Builder, RootfsError> {
        let spool = Spool::new(spool)?;
        Ok(Builder {
            limits,
            model: Model::new(),
            spool,
            left_out: LeftOut::default(),
            unpacked: 0,
            members: 0,
            spoiled: false,
        })
    }

    /// The limits that were given.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// What follows is another layer: it replaces what is there, directories too, and whiteouts are of what came before.
    pub fn next_layer(&mut self) {
        self.model.layer += 1;
    }

    /// A directory. Nothing happens where one is, or a link to one.
    pub fn dir(&mut self, path: &[u8]) -> Result<(), RootfsError> {
        named(path, self.try_dir(path))
    }

    fn try_dir(&mut self, path: &[u8]) -> Result<(), Why> {
        let (above, name) = self.split(path)?;
        if name.is_empty() {
            return Ok(());
        }
        let parent = self.make_way(above)?;
        if let Some(id) = self.model.child(parent, name) {
            let keep = match &self.model.node(id).kind {
                Kind::Dir { .. } => true,
                Kind::Link(_) if self.model.is_lower(id) => false,
                Kind::Link(_) => {
                    matches!(self.model.walk(parent, name, &mut model::Way::default()), Ok(Walk::At(id)) if self.model.is_dir(id))
                }
                Kind::File(_) => false,
            };
            if keep {
                self.model.touch(id);
                return Ok(());
            }
        }
        self.place(parent, name, Kind::empty_dir())
    }

    /// A file, which may be executed or not.
    pub fn file(&mut self, path: &[u8], exec: bool, content: &mut dyn Read) -> Result<(), RootfsError> {
        // Looked at before anything is read of it.
        let (parent, name) = named(path, self.seat(path))?;
        let id = named(path, self.spool.add(exec, content, self.limits.bytes))?;
        let placed = self.place(parent, name, Kind::File(id));
        if placed.is_err() {
            self.spool.release(id)?;
        }
        named(path, placed)
    }

    /// A symbolic link. What it leads to need not be there.
    pub fn symlink(&mut self, path: &[u8], target: &[u8]) -> Result<(), RootfsError> {
        if target.is_empty() || target.len() > self.limits.target || target.contains(&0) {
            return Err(refused(path, Why::Target(self.limits.target)));
        }
        let placed = self.seat(path).and_then(|(parent, name)| self.place(parent, name, Kind::Link(target.into())));
        named(path, placed)
    }

    /// Another name of a file, or of a link, that is there. The target is a path in the root.
    pub fn hardlink(&mut self, path: &[u8], target: &[u8]) -> Result<(), RootfsError> {
        named(path, self.try_hardlink(path, target))
    }

    fn try_hardlink(&mut self, path: &[u8], target: &[u8]) -> Result<(), Why> {
        let no_target = || Why::NoTarget(shown(target));
        let found = self.find(target, Last::Itself).map_err(|_| no_target())?.ok_or_else(no_target)?;
        let kind = match &self.model.node(found).kind {
            Kind::File(id) => Kind::File(*id),
            Kind::Link(target) => Kind::Link(target.clone()),
            Kind::Dir { .. } => return Err(no_target()),
        };
        let (parent, name) = self.seat(path)?;
        // What made way for the new name may have been what the old one is in.
        if self.find(target, Last::Itself)? != Some(found) {
            return Err(no_target());
        }
        if let Kind::File(id) = kind {
            self.spool.hold(id);
        }
        self.place(parent, name, kind)
    }

    /// An entry of a kind that is left out. What it would have taken the place of is gone all the same.
    pub fn nothing(&mut self, path: &[u8]) -> Result<(), RootfsError> {
        let (parent, name) = named(path, self.seat(path))?;
        self.model.remove(parent, name);
        Ok(self.release()?)
    }

    /// Takes away what is at `path` and below, of whatever layer. A link is not followed; nothing happens where nothing is.
    pub fn remove(&mut self, path: &[u8]) -> Result<(), RootfsError> {
        if let Some((parent, name)) = named(path, self.find_place(path))? {
            self.model.remove(parent, name);
        }
        Ok(self.release()?)
    }

    /// Takes away what earlier layers left at `path` and below: a whiteout. What this layer has there stays, whichever came first.
    pub fn whiteout(&mut self, path: &[u8]) -> Result<(), RootfsError> {
        if let Some((parent, name)) = named(path, self.find_place(path))? {
            self.model.sweep(parent, name);
        }
        Ok(self.release()?)
    }

    /// Takes away what earlier layers left in the directory `path`: an opaque whiteout.
    pub fn opaque(&mut self, path: &[u8]) -> Result<(), RootfsError> {
        if let Some(id) = named(path, self.find(path, Last::Follow))? {
            self.model.sweep_below(id);
        }
        Ok(self.release()?)
    }

    /// What is at `path`, if anything is. A way that leads through a file leads to nothing.
    pub fn at(&self, path: &[u8], last: Last) -> Result<Option<Found<'_>>, RootfsError> {
        let found = named(path, self.find(path, last))?;
        Ok(found.map(|id| match &self.model.node(id).kind {
            Kind::Dir { .. } => Found::Dir,
            Kind::File(id) => Found::File { exec: self.spool.get(*id).exec, size: self.spool.get(*id).size },
            Kind::Link(target) => Found::Link { target },
        }))
    }

    /// The names in the directory `path`, sorted; none where no directory is.
    pub fn names(&self, path: &[u8]) -> Result<Vec<Box<[u8]>>, RootfsError> {
        let found = named(path, self.find(path, Last::Follow))?;
        Ok(match found.map(|id| &self.model.node(id).kind) {
            Some(Kind::Dir { children, .. }) => children.keys().cloned().collect(),
            _ => Vec::new(),
        })
    }

    /// Counts what a caller could not put here.
    pub fn leave_out(&mut self, count: impl FnOnce(&mut LeftOut)) {
        count(&mut self.left_out);
    }

    /// Does several things of which all must succeed: after an error nothing can be written any more, even if it goes unheeded.
    pub fn whole<T, E>(&mut self, act: impl FnOnce(&mut Builder) -> Result<T, E>) -> Result<T, E> {
        let before = std::mem::replace(&mut self.spoiled, true);
        let result = act(self);
        if result.is_ok() {
            self.spoiled = before;
        }
        result
    }

    /// Writes it to `dest`, which must not be there. All times are `mtime`, in seconds since 1970.
    pub fn finish(self, dest: &Path, mtime: i64) -> Result<Written, RootfsError> {
        if self.spoiled {
            return Err(RootfsError::Spoiled);
        }
        write::all(&self, dest, mtime)
    }

    /// Looking up a name costs its maker nothing: so many are looked up, and no more.
    fn count_member(&mut self, name: &[u8]) -> Result<(), RootfsError> {
        let most = self.limits.entries.saturating_mul(4);
        self.members += 1;
        if self.members > most { Err(refused(name, Why::TooManyMembers(most))) } else { Ok(()) }
    }

    /// The path above and the last name, which is empty for the root itself.
    fn split<'a>(&self, path: &'a [u8]) -> Result<(&'a [u8], &'a [u8]), Why> {
        let mut parts = path.split(|byte| *byte == b'/');
        if path.contains(&0) || parts.any(|part| part == b"..") {
            return Err(Why::Name);
        }
        // Each part is looked up, also those that mean nothing.
        if path.len() > 2 * self.limits.path {
            return Err(Why::PathTooLong(self.limits.path));
        }
        let mut rest = path;
        loop {
            let cut = rest.iter().rposition(|byte| *byte == b'/').map_or(0, |at| at + 1);
            let (above, name) = rest.split_at(cut);
            if !matches!(name, b"" | b".") || above.is_empty() {
                return Ok((above, if name == b"." { b"" } else { name }));
            }
            rest = &above[..cut - 1];
        }
    }

    /// The directory `path`; what is missing of it is made.
    fn make_way(&mut self, path: &[u8]) -> Result<usize, Why> {
        let mut way = model::Way::default();
        let (mut at, mut path) = (ROOT, path.to_vec());
        loop {
            match self.model.walk(at, &path, &mut way)? {
                Walk::At(id) if self.model.is_dir(id) => return Ok(id),
                Walk::At(_) => return Err(Why::NotADirectory),
                Walk::Missing { parent, mut rest } => {
                    let cut = rest.iter().position(|byte| *byte == b'/').unwrap_or(rest.len());
                    path = rest.split_off(cut);
                    at = self.model.add(parent, &rest, Kind::empty_dir(), &self.limits)?;
                }
            }
        }
    }

    /// The place of something that is no directory: whatever is there now may be replaced.
    fn seat<'a>(&mut self, path: &'a [u8]) -> Result<(usize, &'a [u8]), Why> {
        let (above, name) = self.split(path)?;
        if name.is_empty() {
            return Err(Why::Name);
        }
        let parent = self.make_way(above)?;
        if let Some(id) = self.model.child(parent, name) {
            if self.model.is_dir(id) {
                self.model.sweep(parent, name);
            }
            if self.model.child(parent, name).is_some_and(|id| self.model.holds_something(id)) {
                return Err(Why::NotEmpty);
            }
        }
        Ok((parent, name))
    }

    /// Puts `kind` there, in the place of what is there.
    fn place(&mut self, parent: usize, name: &[u8], kind: Kind) -> Result<(), Why> {
        self.model.remove(parent, name);
        let added = self.model.add(parent, name, kind, &self.limits);
        self.release()?;
        added.map(drop)
    }

    /// Contents that have no name any more are given up.
    fn release(&mut self) -> Result<(), FsError> {
        for id in std::mem::take(&mut self.model.released) {
            self.spool.release(id)?;
        }
        Ok(())
    }

    /// The directory and the name of something that is there, and not the root.
    fn find_place<'a>(&self, path: &'a [u8]) -> Result<Option<(usize, &'a [u8])>, Why> {
        let (above, name) = self.split(path)?;
        if name.is_empty() {
            return Err(Why::Name);
        }
        let parent = self.find(above, Last::Follow)?;
        Ok(parent.filter(|parent| self.model.child(*parent, name).is_some()).map(|parent| (parent, name)))
    }

    fn find(&self, path: &[u8], last: Last) -> Result<Option<usize>, Why> {
        let mut way = model::Way::default();
        let (above, name) = self.split(path)?;
        let path = if last == Last::Follow { path } else { above };
        let id = match self.model.walk(ROOT, path, &mut way) {
            Ok(Walk::At(id)) => id,
            Ok(Walk::Missing { .. }) | Err(Why::NotADirectory) => return Ok(None),
            Err(why) => return Err(why),
        };
        Ok(if last == Last::Follow || name.is_empty() { Some(id) } else { self.model.child(id, name) })
    }
}

fn shown(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

fn refused(path: &[u8], why: Why) -> RootfsError {
    RootfsError::Entry { entry: shown(path), why }
}

fn named<T>(path: &[u8], result: Result<T, Why>) -> Result<T, RootfsError> {
    result.map_err(|why| match why {
        Why::Fs(err) => RootfsError::Fs(err),
        why => refused(path, why),
    })
}

#[cfg(test)]
pub(crate) mod tests;
