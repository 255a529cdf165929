//! A directory's entries in the order of a listing, by the raw bytes of their paths, without holding more than the names of the
//! directories between the root and the place where the walk is.
//!
//! Below the directory `a` all paths begin with `a/`, and that sorts after `a-x` and `a.c`. So a directory stands twice among its
//! siblings: as `a`, where its own line goes, and as `a/`, where what is in it goes.

use super::super::stamp::Stamp;
use super::super::{Found, ScanError, beneath};
use super::{Walk, name, pool, word};
use crate::path::TreePath;
use crate::tree::{self, Entry, Node, TreeKind};
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, FileType, Mode};
use rustix::io::Errno;
use std::ffi::CStr;
use std::sync::Arc;

/// Steps that are done by one thread in one go.
const BATCH: usize = 64;
/// Directories whose descriptors the steps of one batch may keep open.
const BATCH_DIRECTORIES: usize = 4;
/// Directories from the root on whose descriptors are kept; those further down are opened again when it is their turn.
const KEPT: usize = 32;
/// Bytes of names that are asked for at once.
#[cfg(target_os = "linux")]
const NAMES: usize = 32 << 10;
/// In each of them, directories that wait for the siblings that sort between `a` and `a/` with their descriptors open.
const KEPT_PENDING: usize = 4;

// All that a walk may hold open at once leaves room in the 1024 descriptors that a process usually may have: directories and a file of each
// thread's batch, one batch that waits (none is made while one does), what is kept above. Test: `descriptors_do_not_run_out`.
const _: () = assert!((pool::MAX_THREADS + 1) * (BATCH_DIRECTORIES + 1) + (KEPT + 2) * (1 + KEPT_PENDING) < 960);

/// Something to read.
pub(super) enum Step {
    /// A directory, or what is closed: nothing more to do.
    Found(Found),
    /// Anything else; `place` is a regular file's for what is known.
    Leaf { dir: Arc<OwnedFd>, path: TreePath, kind: FileType, place: usize },
}

/// The walk, and where it is.
pub(super) struct Order<'w, 'a> {
    walk: &'w Walk<'a>,
    /// The line of the root itself, in an environment.
    first: Option<Found>,
    stack: Vec<Level>,
    /// For the names of a directory as the system gives them.
    buffer: Vec<u8>,
    pub excluded: Vec<TreePath>,
    pub folding: Vec<(TreePath, TreePath)>,
}

/// A directory, and how far the walk has come in it.
struct Level {
    /// `None` when it was let go; see [`Level::opened`].
    dir: Option<Arc<OwnedFd>>,
    path: Option<TreePath>,
    stamp: Stamp,
    /// The names one after another; a directory's ends with `/`.
    names: Vec<u8>,
    /// Sorted.
    children: Vec<Child>,
    next: usize,
    /// Directories that were opened at `a` and wait for `a/`, with the place of their names.
    pending: Vec<(usize, Level)>,
}

#[derive(Clone, Copy)]
struct Child {
    at: usize,
    len: u16,
    what: What,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Leaf(FileType),
    /// The directory `a` itself.
    Directory,
    /// `a/`: what is in it.
    Inside,
}

impl<'w, 'a> Order<'w, 'a> {
    /// Begins at the walk's base.
    pub fn new(walk: &'w Walk<'a>) -> Result<Self, ScanError> {
        let (stack, buffer, excluded, folding) = Default::default();
        let mut order = Order { walk, first: None, stack, buffer, excluded, folding };
        let (found, level) = order.open(walk.prefix.cloned())?;
        order.first = found;
        order.stack.extend(level);
        Ok(order)
    }

    /// The next steps, in order; `None` after the last.
    pub fn batch(&mut self) -> Result<Option<Vec<Step>>, ScanError> {
        let mut batch = Vec::with_capacity(BATCH);
        let mut directories = 0;
        let mut last = std::ptr::null();
        while batch.len() < BATCH && directories < BATCH_DIRECTORIES {
            let Some(step) = self.step()? else { break };
            if let Step::Leaf { dir, .. } = &step
                && Arc::as_ptr(dir) != last
            {
                last = Arc::as_ptr(dir);
                directories += 1;
            }
            batch.push(step);
        }
        Ok((!batch.is_empty()).then_some(batch))
    }

    fn step(&mut self) -> Result<Option<Step>, ScanError> {
        if let Some(found) = self.first.take() {
            return Ok(Some(Step::Found(found)));
        }
        loop {
            let Some(level) = self.stack.last_mut() else { return Ok(None) };
            let Some(&child) = level.children.get(level.next) else {
                self.stack.pop();
                continue;
            };
            level.next += 1;
            let name = &level.names[child.at..child.at + usize::from(child.len)];
            match child.what {
                What::Leaf(kind) => {
                    let path = self.walk.path(&level.path, name)?;
                    let place = self.walk.place(kind);
                    return Ok(Some(Step::Leaf { dir: level.opened(self.walk)?, path, kind, place }));
                }
                What::Directory => {
                    let path = self.walk.path(&level.path, name)?;
                    let (found, below) = self.open(Some(path))?;
                    if let (Some(level), Some(mut below)) = (self.stack.last_mut(), below) {
                        if level.pending.len() >= KEPT_PENDING {
                            below.dir = None;
                        }
                        level.pending.push((child.at, below));
                    }
                    if let Some(found) = found {
                        return Ok(Some(Step::Found(found)));
                    }
                }
                // Not there when it is closed, or nothing is in it.
                What::Inside => {
                    if let Some(at) = level.pending.iter().position(|(at, _)| *at == child.at) {
                        let below = level.pending.swap_remove(at).1;
                        if self.stack.len() > KEPT
                            && let Some(level) = self.stack.last_mut()
                        {
                            level.let_go();
                        }
                        self.stack.push(below);
                    }
                }
            }
        }
    }

    /// The directory's own entry, unless it is the root of a tree, and what is in it, if anything is.
    fn open(&mut self, path: Option<TreePath>) -> Result<(Option<Found>, Option<Level>), ScanError> {
        let walk = self.walk;
        let closed = |path| Ok((Some(walk.closed_dir(path)?), None));
        // By its name where the directory it is in is open: that is one step, and not one for each directory above it.
        let above = self.stack.last().and_then(|level| level.dir.as_ref());
        let fd = match (above, &path) {
            (Some(above), Some(path)) => rustix::fs::openat(above, name(path), beneath::DIRECTORY, Mode::empty()),
            _ => beneath::open(&walk.base, walk.relative(&path), beneath::DIRECTORY, Mode::empty()),
        };
        let fd = match fd {
            Ok(fd) => fd,
            Err(Errno::ACCESS | Errno::PERM) if walk.lenient() => return closed(path),
            Err(err) => return Err(walk.error(&path, err)),
        };
        // By a name in it: what can be listed but not entered says so here.
        let stat = match rustix::fs::statat(&fd, ".", AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::ACCESS | Errno::PERM) if walk.lenient() => return closed(path),
            Err(err) => return Err(walk.error(&path, err)),
        };
        if path.is_some() {
            walk.count()?;
        }
        let dir = Arc::new(fd);
        let mut level = Level {
            stamp: walk.stamper.stat(&stat),
            dir: Some(dir.clone()),
            path,
            names: Vec::new(),
            children: Vec::new(),
            next: 0,
            pending: Vec::new(),
        };
        let mut buffer = std::mem::take(&mut self.buffer);
        let noted = names(&dir, &mut buffer, &mut |name, kind| match name.to_bytes() {
            b"." | b".." => Ok(()),
            _ => self.note(&mut level, name, kind),
        });
        self.buffer = buffer;
        noted.map_err(|unread| match unread {
            Unread::List(err) => walk.error(&level.path, err),
            Unread::Note(err) => err,
        })?;
        level.sort();
        // Nobody asks for those of an environment, which alone is read with something known.
        if walk.known.is_none() {
            level.fold(&mut self.folding);
        }
        let listed = walk.options.kind != TreeKind::Source || level.children.is_empty();
        let found = level.path.clone().map(|path| {
            let entry = Entry { path, node: Node::Dir { perm: beneath::mode(&stat) & 0o7777 } };
            Found { entry, stamp: level.stamp, listed }
        });
        Ok((found, (!level.children.is_empty()).then_some(level)))
    }

    fn note(&mut self, level: &mut Level, name: &CStr, kind: FileType) -> Result<(), ScanError> {
        let walk = self.walk;
        // Made only where it is wanted already: it is made again when it is the name's turn.
        let path = || walk.path(&level.path, name.to_bytes());
        let kind = match (kind, &level.dir) {
            (FileType::Unknown, Some(dir)) => {
                FileType::from_raw_mode(walk.look(dir, name.to_bytes(), &path()?)?.st_mode)
            }
            (kind, _) => kind,
        };
        if let Some(exclude) = walk.options.exclude {
            let path = path()?;
            if exclude(&path, kind == FileType::Directory) {
                if walk.options.note_excluded {
                    // It is held: as many as there may be entries, and no more.
                    walk.count()?;
                    self.excluded.push(path);
                }
                return Ok(());
            }
        }
        let (at, len) = (level.names.len(), name.count_bytes() as u16);
        level.names.extend_from_slice(name.to_bytes());
        match kind {
            FileType::Directory => {
                level.names.push(b'/');
                level.children.push(Child { at, len, what: What::Directory });
                level.children.push(Child { at, len: len + 1, what: What::Inside });
            }
            FileType::RegularFile | FileType::Symlink => {
                walk.count()?;
                level.children.push(Child { at, len, what: What::Leaf(kind) });
            }
            kind if walk.lenient() => {
                walk.count()?;
                level.children.push(Child { at, len, what: What::Leaf(kind) });
            }
            kind => return Err(ScanError::Kind { path: walk.show(&path()?), kind: word(kind) }),
        }
        Ok(())
    }
}

/// Why the names of a directory were not all had.
enum Unread {
    List(Errno),
    Note(ScanError),
}

/// Hands over each name, `.` and `..` among them, in the order of the system.
#[cfg(target_os = "linux")]
fn names(
    dir: &OwnedFd,
    buffer: &mut Vec<u8>,
    note: &mut dyn FnMut(&CStr, FileType) -> Result<(), ScanError>,
) -> Result<(), Unread> {
    buffer.reserve(NAMES);
    let mut list = rustix::fs::RawDir::new(dir, buffer.spare_capacity_mut());
    while let Some(item) = list.next() {
        let item = item.map_err(Unread::List)?;
        note(item.file_name(), item.file_type()).map_err(Unread::Note)?;
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn names(
    dir: &OwnedFd,
    _: &mut Vec<u8>,
    note: &mut dyn FnMut(&CStr, FileType) -> Result<(), ScanError>,
) -> Result<(), Unread> {
    let mut list = rustix::fs::Dir::read_from(dir).map_err(Unread::List)?;
    while let Some(item) = list.read() {
        let item = item.map_err(Unread::List)?;
        note(item.file_name(), item.file_type()).map_err(Unread::Note)?;
    }
    Ok(())
}

impl Level {
    fn sort(&mut self) {
        let names = &self.names;
        let name = |child: &Child| &names[child.at..child.at + usize::from(child.len)];
        self.children.sort_unstable_by(|a, b| name(a).cmp(name(b)));
    }

    /// Names that fold to one another.
    fn fold(&self, folding: &mut Vec<(TreePath, TreePath)>) {
        let name = |child: &Child| &self.names[child.at..child.at + usize::from(child.len)];
        let own = self.children.iter().filter(|child| child.what != What::Inside);
        for (first, second) in tree::folding(own.map(name)) {
            let path = |name| match &self.path {
                Some(path) => path.join(name),
                None => TreePath::from_bytes(name),
            };
            // Both were paths when they were noted.
            folding.extend(path(first).ok().zip(path(second).ok()));
        }
    }

    /// Closes the directory, and those in it that wait: their number grows with the depth otherwise.
    fn let_go(&mut self) {
        self.dir = None;
        self.pending.iter_mut().for_each(|(_, below)| below.dir = None);
    }

    /// The directory's descriptor, opened again if it was let go.
    fn opened(&mut self, walk: &Walk<'_>) -> Result<Arc<OwnedFd>, ScanError> {
        if let Some(dir) = &self.dir {
            return Ok(dir.clone());
        }
        let fail = |err: Errno| walk.error(&self.path, err);
        let fd =
            beneath::open(&walk.base, walk.relative(&self.path), beneath::DIRECTORY, Mode::empty()).map_err(fail)?;
        let stat = rustix::fs::fstat(&fd).map_err(fail)?;
        if walk.stamper.stat(&stat).place != self.stamp.place {
            return Err(walk.error(&self.path, Errno::NOENT));
        }
        Ok(self.dir.insert(Arc::new(fd)).clone())
    }
}
