//! The parallel walk: one thread at a time goes through the directories in the order of a listing, all read and hash.
//!
//! Descriptors are kept for so many directories only and opened again by path where one was let go, so that neither width nor depth
//! runs out of them (`order`).

mod order;
mod pool;

use super::known::{self, Asked, Looks, Mounts};
use super::read;
use super::stamp::{self, Stamp, Stamper};
use super::{Ended, Found, Options, ScanError, Sink, beneath};
use crate::digest::Content;
use crate::path::TreePath;
use crate::tree::{Entry, MAX_ENTRIES, Node, TreeError, TreeKind};
use order::{Order, Step};
use rustix::fd::{AsFd as _, OwnedFd};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Walks a directory that the user named.
pub(super) fn root<R: Send>(
    shown: &Path,
    options: &Options<'_>,
    stamper: &Stamper,
    sink: &mut Sink<'_, R>,
) -> Result<Ended, ScanError> {
    let flags = beneath::DIRECTORY.difference(OFlags::NOFOLLOW);
    let fd = rustix::fs::open(shown, flags, Mode::empty()).map_err(|err| match (err, std::fs::metadata(shown)) {
        (Errno::NOTDIR, Ok(meta)) => {
            ScanError::Kind { path: shown.to_owned(), kind: crate::fs::kind_of(&meta.file_type()) }
        }
        _ => ScanError::io("read", shown, err),
    })?;
    let stat = rustix::fs::fstat(&fd).map_err(|err| ScanError::io("read", shown, err))?;
    run(Walk::new(fd, shown, None, options, None, stamper), stamper.stat(&stat), sink)
}

/// Walks one root of an environment, which may be anything; `None` when it is not there.
pub(super) fn named<R: Send>(
    shown: &Path,
    path: &TreePath,
    options: &Options<'_>,
    known: Option<&Asked<'_>>,
    stamper: &Stamper,
    sink: &mut Sink<'_, R>,
) -> Result<Option<Ended>, ScanError> {
    let fail = |err: Errno| ScanError::io("read", shown, err);
    let (dir, name) = (shown.parent().unwrap_or(Path::new("/")), shown.file_name().unwrap_or_default());
    let dir = match rustix::fs::open(dir, beneath::DIRECTORY.difference(OFlags::NOFOLLOW), Mode::empty()) {
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
        dir => dir.map_err(fail)?,
    };
    let stat = match rustix::fs::statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => return Ok(None),
        stat => stat.map_err(fail)?,
    };
    let base = stamper.stat(&stat);
    let found = if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
        match rustix::fs::openat(&dir, name, beneath::DIRECTORY, Mode::empty()) {
            Err(Errno::ACCESS | Errno::PERM) => {
                let entry = Entry { path: path.clone(), node: Node::Closed { mode: beneath::mode(&stat) } };
                Found { entry, stamp: base, listed: true }
            }
            fd => {
                let walk = Walk::new(fd.map_err(fail)?, shown, Some(path), options, known, stamper);
                return run(walk, base, sink).map(Some);
            }
        }
    } else {
        let above = shown.parent().unwrap_or(Path::new("/"));
        let walk = Walk::new(rustix::io::dup(&dir).map_err(fail)?, above, None, options, known, stamper);
        if options.exclude.is_some_and(|exclude| exclude(path, false)) {
            return Ok(Some(Ended { base, excluded: vec![path.clone()], folding: Vec::new() }));
        }
        let kind = FileType::from_raw_mode(stat.st_mode);
        walk.leaf(&dir, path.clone(), kind, walk.place(kind), &mut Vec::new())?
    };
    (sink.take)((sink.prepare)(vec![found]))?;
    Ok(Some(Ended { base, excluded: Vec::new(), folding: Vec::new() }))
}

fn run<R: Send>(walk: Walk<'_>, base: Stamp, sink: &mut Sink<'_, R>) -> Result<Ended, ScanError> {
    let mut order = Order::new(&walk)?;
    let prepare = sink.prepare;
    let work = |steps, buffer: &mut Vec<u8>| walk.read(steps, buffer).map(prepare);
    pool::run(walk.options.threads, &mut || order.batch(), &work, sink.take)?;
    let (excluded, folding) = (order.excluded, order.folding);
    Ok(Ended { base, excluded, folding })
}

struct Walk<'a> {
    base: OwnedFd,
    shown: &'a Path,
    /// The tree path of the base; `None` when it is the tree's root.
    prefix: Option<&'a TreePath>,
    options: &'a Options<'a>,
    known: Option<&'a Asked<'a>>,
    mounts: Mounts,
    stamper: &'a Stamper,
    entries: AtomicUsize,
    files: AtomicU64,
    bytes: AtomicU64,
    /// Of all files that were opened.
    lengths: AtomicU64,
}

impl<'a> Walk<'a> {
    fn new(
        base: OwnedFd,
        shown: &'a Path,
        prefix: Option<&'a TreePath>,
        options: &'a Options<'a>,
        known: Option<&'a Asked<'a>>,
        stamper: &'a Stamper,
    ) -> Walk<'a> {
        let (mounts, entries, files, bytes, lengths) = Default::default();
        Walk { base, shown, prefix, options, known, mounts, stamper, entries, files, bytes, lengths }
    }

    fn read(&self, steps: Vec<Step>, buffer: &mut Vec<u8>) -> Result<Vec<Found>, ScanError> {
        let mut files = 0;
        let mut all = Vec::with_capacity(steps.len());
        for step in steps {
            all.push(match step {
                Step::Found(found) => found,
                Step::Leaf { dir, path, kind, place } => {
                    files += u64::from(kind == FileType::RegularFile);
                    self.leaf(&dir, path, kind, place, buffer)?
                }
            });
        }
        let files = self.files.fetch_add(files, Ordering::Relaxed) + files;
        if let Some(progress) = self.options.progress {
            progress(files, self.bytes.load(Ordering::Relaxed));
        }
        Ok(all)
    }

    /// The number of a regular file for [`known::Known`].
    fn place(&self, kind: FileType) -> usize {
        match self.known {
            Some(asked) if kind == FileType::RegularFile => asked.place(),
            _ => 0,
        }
    }

    /// Reads what is not a directory.
    fn leaf(
        &self,
        dir: &OwnedFd,
        path: TreePath,
        kind: FileType,
        place: usize,
        buffer: &mut Vec<u8>,
    ) -> Result<Found, ScanError> {
        let node = match kind {
            FileType::RegularFile => return self.file(dir, path, place, buffer),
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(dir, name(&path), Vec::new()).map_err(|err| match err {
                    Errno::INVAL | Errno::NOENT => ScanError::Changed(self.show(&path)),
                    err => ScanError::io("read", &self.show(&path), err),
                })?;
                Node::Link { target: target.into_bytes().into() }
            }
            _ => Node::Closed { mode: 0 },
        };
        let stat = self.look(dir, name(&path), &path)?;
        if FileType::from_raw_mode(stat.st_mode) != kind {
            return Err(ScanError::Changed(self.show(&path)));
        }
        let node = if let Node::Closed { .. } = node { Node::Closed { mode: beneath::mode(&stat) } } else { node };
        Ok(Found { entry: Entry { path, node }, stamp: self.stamper.stat(&stat), listed: true })
    }

    fn file(&self, dir: &OwnedFd, path: TreePath, place: usize, buffer: &mut Vec<u8>) -> Result<Found, ScanError> {
        let fail = |err: Errno| ScanError::io("read", &self.show(&path), err);
        if let Some(asked) = self.known {
            let stat = self.look(dir, name(&path), &path)?;
            if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
                && let Some(sha256) = asked.known.find(place, &Looks::of(&stat, &self.mounts, dir))
            {
                let content =
                    Content { size: stat.st_size as u64, sha256, blake3: None, git_blob: None, git_blob_sha256: None };
                self.room(content.size, &path)?;
                let entry = Entry { path, node: Node::File { perm: beneath::mode(&stat) & 0o7777, content } };
                return Ok(Found { entry, stamp: self.stamper.stat(&stat), listed: true });
            }
        }
        let fd = match rustix::fs::openat(dir, name(&path), OFlags::RDONLY | beneath::CAREFUL, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::ACCESS | Errno::PERM) if self.lenient() => {
                let stat = self.look(dir, name(&path), &path)?;
                let entry = Entry { path, node: Node::Closed { mode: beneath::mode(&stat) } };
                return Ok(Found { entry, stamp: self.stamper.stat(&stat), listed: true });
            }
            Err(Errno::LOOP | Errno::NOENT | Errno::NXIO) => return Err(ScanError::Changed(self.show(&path))),
            Err(err) => return Err(fail(err)),
        };
        let before = rustix::fs::fstat(&fd).map_err(fail)?;
        if FileType::from_raw_mode(before.st_mode) != FileType::RegularFile {
            return Err(ScanError::Changed(self.show(&path)));
        }
        let mut file = std::fs::File::from(fd);
        let size = before.st_size as u64;
        self.room(size, &path)?;
        buffer.resize(read::SMALL, 0);
        let content = read::content(&mut file, size, self.options.wanted, buffer, &|n| self.told(n))
            .map_err(|err| ScanError::io("read", &self.show(&path), err))?;
        let after = rustix::fs::fstat(file.as_fd()).map_err(fail)?;
        if content.size != size || !stamp::same(&before, &after) {
            return Err(ScanError::Changed(self.show(&path)));
        }
        if let Some(asked) = self.known
            && known::keeps_times(&file)
        {
            asked.known.learn(place, Looks::of(&before, &self.mounts, dir), content.sha256);
        }
        let entry = Entry { path, node: Node::File { perm: beneath::mode(&before) & 0o7777, content } };
        Ok(Found { entry, stamp: self.stamper.stat(&before), listed: true })
    }

    /// Counts the length of a file.
    fn room(&self, size: u64, path: &TreePath) -> Result<(), ScanError> {
        let most = self.options.most.bytes;
        if self.lengths.fetch_add(size.min(1 << 62), Ordering::Relaxed).saturating_add(size) > most {
            return Err(ScanError::TooMuch { path: self.show(path), most, what: "bytes" });
        }
        Ok(())
    }

    fn told(&self, bytes: u64) {
        let total = self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        // Small files are told of by the batch.
        if bytes >= read::SMALL as u64
            && let Some(progress) = self.options.progress
        {
            progress(self.files.load(Ordering::Relaxed), total);
        }
    }

    /// A directory of an environment that this process may not list.
    fn closed_dir(&self, path: Option<TreePath>) -> Result<Found, ScanError> {
        let Some(path) = path else { return Err(self.error(&None, Errno::ACCESS)) };
        let fail = |err: Errno| ScanError::io("read", &self.show(&path), err);
        let stat = match self.relative(&Some(path.clone())) {
            b"" => rustix::fs::fstat(&self.base),
            relative => TreePath::from_bytes(relative).map_err(|_| Errno::INVAL).and_then(|relative| {
                let (dir, name) = beneath::parent(&self.base, &relative)?;
                rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)
            }),
        }
        .map_err(fail)?;
        self.count()?;
        let stamp = self.stamper.stat(&stat);
        Ok(Found { entry: Entry { path, node: Node::Closed { mode: beneath::mode(&stat) } }, stamp, listed: true })
    }

    fn lenient(&self) -> bool {
        self.options.kind == TreeKind::Environment
    }

    fn count(&self) -> Result<(), ScanError> {
        let most = self.options.most.entries;
        match self.entries.fetch_add(1, Ordering::Relaxed) {
            MAX_ENTRIES.. => Err(TreeError::TooMany.into()),
            had if had >= most => {
                Err(ScanError::TooMuch { path: self.shown.to_owned(), most: most as u64, what: "entries" })
            }
            _ => Ok(()),
        }
    }

    fn look(&self, dir: &OwnedFd, name: &[u8], path: &TreePath) -> Result<Stat, ScanError> {
        rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW).map_err(|err| match err {
            Errno::NOENT => ScanError::Changed(self.show(path)),
            err => ScanError::io("read", &self.show(path), err),
        })
    }

    /// The tree path of a name in a directory.
    fn path(&self, dir: &Option<TreePath>, name: &[u8]) -> Result<TreePath, ScanError> {
        match dir {
            Some(path) => path.join(name),
            None => TreePath::from_bytes(name),
        }
        .map_err(|why| {
            let dir = dir.as_ref().map_or(self.shown.to_owned(), |path| self.show(path));
            ScanError::Path { path: dir.join(OsStr::from_bytes(name)), why }
        })
    }

    /// The path below the base.
    fn relative<'p>(&self, path: &'p Option<TreePath>) -> &'p [u8] {
        let cut = self.prefix.map_or(0, |prefix| prefix.as_bytes().len() + 1);
        path.as_ref().and_then(|path| path.as_bytes().get(cut..)).unwrap_or_default()
    }

    /// The path as the user knows it.
    fn show(&self, path: &TreePath) -> PathBuf {
        match self.options.kind {
            TreeKind::Environment => Path::new("/").join(path.to_os()),
            _ => self.shown.join(path.to_os()),
        }
    }

    fn error(&self, path: &Option<TreePath>, err: Errno) -> ScanError {
        let shown = path.as_ref().map_or(self.shown.to_owned(), |path| self.show(path));
        match err {
            // It was a directory a moment ago.
            Errno::NOTDIR | Errno::LOOP | Errno::NOENT => ScanError::Changed(shown),
            err => ScanError::io("read", &shown, err),
        }
    }
}

/// The last part.
fn name(path: &TreePath) -> &[u8] {
    let bytes = path.as_bytes();
    bytes.iter().rposition(|b| *b == b'/').map_or(bytes, |cut| &bytes[cut + 1..])
}

fn word(kind: FileType) -> &'static str {
    match kind {
        FileType::Fifo => "a FIFO",
        FileType::Socket => "a socket",
        FileType::CharacterDevice | FileType::BlockDevice => "a device",
        _ => "something else",
    }
}
