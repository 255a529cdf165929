//! The parallel walk: threads take directories and batches of files from one queue.
//!
//! A directory waits as a path, not as a descriptor, so that neither width nor depth runs out of them. Files of a directory are handed out in
//! batches that share its descriptor; batches are taken before directories and their number is bounded, so few directories are open at a time.

use super::read;
use super::stamp::{Stamp, Stamper};
use super::{Found, Options, ScanError, beneath};
use crate::path::TreePath;
use crate::tree::{Entry, MAX_ENTRIES, Node, TreeError, TreeKind};
use rustix::fd::{AsFd as _, OwnedFd};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use std::ffi::{CStr, OsStr};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Files that are handed out at a time.
const BATCH: usize = 64;
/// Batches that may wait; beyond, the thread that found them reads them itself.
const WAITING: usize = 64;

/// What a walk found.
pub(super) struct Walked {
    pub found: Vec<Found>,
    pub excluded: Vec<TreePath>,
    /// The stamp of the root itself.
    pub base: Stamp,
}

/// Walks a directory that the user named.
pub(super) fn root(shown: &Path, options: &Options<'_>, stamper: &Stamper) -> Result<Walked, ScanError> {
    let flags = beneath::DIRECTORY.difference(OFlags::NOFOLLOW);
    let fd = rustix::fs::open(shown, flags, Mode::empty()).map_err(|err| match (err, std::fs::metadata(shown)) {
        (Errno::NOTDIR, Ok(meta)) => {
            ScanError::Kind { path: shown.to_owned(), kind: crate::fs::kind_of(&meta.file_type()) }
        }
        _ => ScanError::io("read", shown, err),
    })?;
    let stat = rustix::fs::fstat(&fd).map_err(|err| ScanError::io("read", shown, err))?;
    run(fd, shown, None, stamper.stat(&stat), options, stamper)
}

/// Walks one root of an environment, which may be anything; `None` when it is not there.
pub(super) fn named(
    shown: &Path,
    path: &TreePath,
    options: &Options<'_>,
    stamper: &Stamper,
) -> Result<Option<Walked>, ScanError> {
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
    let alone = |node| {
        let entry = Entry { path: path.clone(), node };
        Ok(Some(Walked { found: vec![Found { entry, stamp: base }], excluded: Vec::new(), base }))
    };
    if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
        return match rustix::fs::openat(&dir, name, beneath::DIRECTORY, Mode::empty()) {
            Err(Errno::ACCESS | Errno::PERM) => alone(Node::Closed { mode: stat.st_mode }),
            fd => run(fd.map_err(fail)?, shown, Some(path), base, options, stamper).map(Some),
        };
    }
    let walk = Walk::new(dir, shown.parent().unwrap_or(Path::new("/")), None, options, stamper);
    let mut local = Local::default();
    let cname = std::ffi::CString::new(name.as_bytes()).map_err(|_| fail(Errno::INVAL))?;
    let dir = Arc::new(Opened { fd: rustix::io::dup(&walk.base).map_err(fail)?, path: path.parent() });
    walk.entry(&dir, &cname, FileType::from_raw_mode(stat.st_mode), &mut local)?;
    local.finish(&walk, &dir)?;
    Ok(Some(Walked { found: local.found, excluded: local.excluded, base }))
}

fn run(
    base: OwnedFd,
    shown: &Path,
    prefix: Option<&TreePath>,
    stamp: Stamp,
    options: &Options<'_>,
    stamper: &Stamper,
) -> Result<Walked, ScanError> {
    let walk = Walk::new(base, shown, prefix, options, stamper);
    walk.lock().dirs.push(prefix.cloned());
    let mut walked = Walked { found: Vec::new(), excluded: Vec::new(), base: stamp };
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..options.threads.get()).map(|_| scope.spawn(|| walk.work())).collect();
        let mut locals = vec![walk.work()];
        for other in others {
            locals.push(other.join().map_err(|_| ScanError::Panicked)?);
        }
        walked.found.reserve_exact(locals.iter().map(|local| local.found.len()).sum());
        for local in locals {
            walked.found.extend(local.found);
            walked.excluded.extend(local.excluded);
        }
        Ok::<_, ScanError>(())
    })?;
    match walk.lock().failed.take() {
        Some(err) => Err(err),
        None => Ok(walked),
    }
}

struct Walk<'a> {
    base: OwnedFd,
    shown: &'a Path,
    /// The tree path of the base; `None` when it is the tree's root.
    prefix: Option<&'a TreePath>,
    options: &'a Options<'a>,
    stamper: &'a Stamper,
    queue: Mutex<Queue>,
    ready: Condvar,
    entries: AtomicUsize,
    files: AtomicU64,
    bytes: AtomicU64,
    /// Of all files that were opened.
    lengths: AtomicU64,
}

#[derive(Default)]
struct Queue {
    dirs: Vec<Option<TreePath>>,
    batches: Vec<Batch>,
    busy: usize,
    failed: Option<ScanError>,
}

enum Job {
    Dir(Option<TreePath>),
    Files(Batch),
}

/// An open directory; without a path, the tree's root.
struct Opened {
    fd: OwnedFd,
    path: Option<TreePath>,
}

/// Names of regular files in one directory, each ended by NUL.
struct Batch {
    dir: Arc<Opened>,
    names: Vec<u8>,
}

/// What one thread has for itself.
#[derive(Default)]
struct Local {
    found: Vec<Found>,
    excluded: Vec<TreePath>,
    buffer: Vec<u8>,
    names: Vec<u8>,
    count: usize,
}

impl Local {
    /// Reads the files that are noted but not handed out.
    fn finish(&mut self, walk: &Walk<'_>, dir: &Opened) -> Result<(), ScanError> {
        let names = std::mem::take(&mut self.names);
        self.count = 0;
        walk.files(dir, &names, self)?;
        self.names = names;
        self.names.clear();
        Ok(())
    }
}

impl<'a> Walk<'a> {
    fn new(
        base: OwnedFd,
        shown: &'a Path,
        prefix: Option<&'a TreePath>,
        options: &'a Options<'a>,
        stamper: &'a Stamper,
    ) -> Walk<'a> {
        let (queue, ready) = Default::default();
        let (entries, files, bytes, lengths) = Default::default();
        Walk { base, shown, prefix, options, stamper, queue, ready, entries, files, bytes, lengths }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // A thread that panicked is reported when it is joined.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) -> Local {
        let mut local = Local::default();
        // A panic must not leave the others waiting for this thread.
        let _guard = Leave(self);
        let mut worked = false;
        while let Some(job) = self.next(worked) {
            worked = true;
            let result = match job {
                Job::Files(batch) => self.files(&batch.dir, &batch.names, &mut local),
                Job::Dir(path) => self.dir(path, &mut local),
            };
            if let Err(err) = result {
                self.lock().failed.get_or_insert(err);
            }
        }
        // Each thread sorts what it found; putting sorted runs together is cheap.
        local.found.sort_unstable_by(|a, b| a.entry.path.cmp(&b.entry.path));
        local
    }

    /// The next job, once there is one; `None` when all is done or something failed.
    fn next(&self, worked: bool) -> Option<Job> {
        let mut queue = self.lock();
        queue.busy -= usize::from(worked);
        loop {
            if queue.failed.is_some() {
                break;
            }
            let job = queue.batches.pop().map(Job::Files).or_else(|| queue.dirs.pop().map(Job::Dir));
            if job.is_some() {
                queue.busy += 1;
                return job;
            }
            if queue.busy == 0 {
                break;
            }
            queue = self.ready.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        self.ready.notify_all();
        None
    }

    fn dir(&self, path: Option<TreePath>, local: &mut Local) -> Result<(), ScanError> {
        let fd = match beneath::open(&self.base, self.relative(&path), beneath::DIRECTORY, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::ACCESS | Errno::PERM) if self.lenient() => return self.closed_dir(path, local),
            Err(err) => return Err(self.error(&path, err)),
        };
        let stat = rustix::fs::fstat(&fd).map_err(|err| self.error(&path, err))?;
        let mut list = match rustix::fs::Dir::read_from(&fd) {
            Ok(list) => list,
            // It can be listed but not entered.
            Err(Errno::ACCESS | Errno::PERM) if self.lenient() => return self.closed_dir(path, local),
            Err(err) => return Err(self.error(&path, err)),
        };
        if let Some(path) = &path {
            self.count()?;
            let entry = Entry { path: path.clone(), node: Node::Dir { perm: stat.st_mode & 0o7777 } };
            local.found.push(Found { entry, stamp: self.stamper.stat(&stat) });
        }
        let dir = Arc::new(Opened { fd, path });
        while let Some(item) = list.read() {
            let item = item.map_err(|err| self.error(&dir.path, err))?;
            if !matches!(item.file_name().to_bytes(), b"." | b"..") {
                self.entry(&dir, item.file_name(), item.file_type(), local)?;
            }
        }
        local.finish(self, &dir)
    }

    fn entry(&self, dir: &Arc<Opened>, name: &CStr, kind: FileType, local: &mut Local) -> Result<(), ScanError> {
        let path = self.path(dir, name)?;
        let kind = match kind {
            FileType::Unknown => FileType::from_raw_mode(self.look(dir, name, &path)?.st_mode),
            kind => kind,
        };
        if (self.options.exclude)(&path, kind == FileType::Directory) {
            local.excluded.push(path);
            return Ok(());
        }
        let node = match kind {
            FileType::RegularFile => {
                local.names.extend_from_slice(name.to_bytes_with_nul());
                local.count += 1;
                if local.count < BATCH {
                    return Ok(());
                }
                if self.options.threads.get() > 1 {
                    let mut queue = self.lock();
                    if queue.batches.len() < WAITING {
                        queue.batches.push(Batch { dir: dir.clone(), names: std::mem::take(&mut local.names) });
                        local.count = 0;
                        self.ready.notify_one();
                        return Ok(());
                    }
                }
                return local.finish(self, dir);
            }
            FileType::Directory => {
                self.lock().dirs.push(Some(path));
                self.ready.notify_one();
                return Ok(());
            }
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(&dir.fd, name, Vec::new()).map_err(|err| match err {
                    Errno::INVAL | Errno::NOENT => ScanError::Changed(self.show(&path)),
                    err => ScanError::io("read", &self.show(&path), err),
                })?;
                Node::Link { target: target.into_bytes().into() }
            }
            _ if self.lenient() => Node::Closed { mode: 0 },
            kind => return Err(ScanError::Kind { path: self.show(&path), kind: word(kind) }),
        };
        let stat = self.look(dir, name, &path)?;
        if FileType::from_raw_mode(stat.st_mode) != kind {
            return Err(ScanError::Changed(self.show(&path)));
        }
        let node = if let Node::Closed { .. } = node { Node::Closed { mode: stat.st_mode } } else { node };
        self.count()?;
        local.found.push(Found { entry: Entry { path, node }, stamp: self.stamper.stat(&stat) });
        Ok(())
    }

    fn files(&self, dir: &Opened, names: &[u8], local: &mut Local) -> Result<(), ScanError> {
        let (mut files, mut rest) = (0, names);
        while let Ok(name) = CStr::from_bytes_until_nul(rest) {
            rest = &rest[name.count_bytes() + 1..];
            let path = self.path(dir, name)?;
            self.count()?;
            let found = self.file(dir, name, path, &mut local.buffer)?;
            local.found.push(found);
            files += 1;
        }
        let files = self.files.fetch_add(files, Ordering::Relaxed) + files;
        if let Some(progress) = self.options.progress {
            progress(files, self.bytes.load(Ordering::Relaxed));
        }
        Ok(())
    }

    fn file(&self, dir: &Opened, name: &CStr, path: TreePath, buffer: &mut Vec<u8>) -> Result<Found, ScanError> {
        let fail = |err: Errno| ScanError::io("read", &self.show(&path), err);
        let fd = match rustix::fs::openat(&dir.fd, name, OFlags::RDONLY | beneath::CAREFUL, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::ACCESS | Errno::PERM) if self.lenient() => {
                let stat = self.look(dir, name, &path)?;
                let entry = Entry { path, node: Node::Closed { mode: stat.st_mode } };
                return Ok(Found { entry, stamp: self.stamper.stat(&stat) });
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
        let most = self.options.most.bytes;
        if self.lengths.fetch_add(size.min(1 << 62), Ordering::Relaxed).saturating_add(size) > most {
            return Err(ScanError::TooMuch { path: self.show(&path), most, what: "bytes" });
        }
        buffer.resize(read::SMALL, 0);
        let content = read::content(&mut file, size, self.options.wanted, buffer, &|n| self.told(n))
            .map_err(|err| ScanError::io("read", &self.show(&path), err))?;
        let stamp = self.stamper.stat(&before);
        let after = rustix::fs::fstat(file.as_fd()).map_err(fail)?;
        if content.size != size || self.stamper.stat(&after).whole != stamp.whole {
            return Err(ScanError::Changed(self.show(&path)));
        }
        let entry = Entry { path, node: Node::File { perm: before.st_mode & 0o7777, content } };
        Ok(Found { entry, stamp })
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
    fn closed_dir(&self, path: Option<TreePath>, local: &mut Local) -> Result<(), ScanError> {
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
        local.found.push(Found { entry: Entry { path, node: Node::Closed { mode: stat.st_mode } }, stamp });
        Ok(())
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

    fn look(&self, dir: &Opened, name: &CStr, path: &TreePath) -> Result<Stat, ScanError> {
        rustix::fs::statat(&dir.fd, name, AtFlags::SYMLINK_NOFOLLOW).map_err(|err| match err {
            Errno::NOENT => ScanError::Changed(self.show(path)),
            err => ScanError::io("read", &self.show(path), err),
        })
    }

    fn path(&self, dir: &Opened, name: &CStr) -> Result<TreePath, ScanError> {
        match &dir.path {
            Some(path) => path.join(name.to_bytes()),
            None => TreePath::from_bytes(name.to_bytes()),
        }
        .map_err(|why| {
            let dir = dir.path.as_ref().map_or(self.shown.to_owned(), |path| self.show(path));
            ScanError::Path { path: dir.join(OsStr::from_bytes(name.to_bytes())), why }
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

/// Ends the walk for all when a thread panics.
struct Leave<'w, 'a>(&'w Walk<'a>);

impl Drop for Leave<'_, '_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.lock().failed.get_or_insert(ScanError::Panicked);
            self.0.ready.notify_all();
        }
    }
}

fn word(kind: FileType) -> &'static str {
    match kind {
        FileType::Fifo => "a FIFO",
        FileType::Socket => "a socket",
        FileType::CharacterDevice | FileType::BlockDevice => "a device",
        _ => "something else",
    }
}
