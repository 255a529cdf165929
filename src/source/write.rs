//! Recorded entries into a fresh directory.

use super::{Opaque, SourceError, Special, opaque};
use crate::digest::{Content, ContentHasher, Wanted};
use crate::path::TreePath;
use crate::scan::{beneath, read};
use crate::tree::{Entry, Node, Tree, TreeKind};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawMode, Timespec, Timestamps};
use rustix::io::Errno;
use std::fs::File;
use std::io::{Read, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Bytes copied at a time.
const BLOCK: usize = 128 << 10;
/// Threads that copy; they wait for the disk more than they hash.
const THREADS: usize = 4;

/// Writes the entries of one tree.
pub(super) struct Writer<'a> {
    tree: &'a Tree,
    dest: OwnedFd,
    dest_path: &'a Path,
    from_path: &'a Path,
    times: Option<Timestamps>,
    /// Permission bits that are given.
    mask: u32,
    /// Permission bits of the directory itself, where it is not to stay as it is.
    root: Option<u32>,
    opaque: Mutex<Vec<Opaque>>,
}

/// A recorded file.
#[derive(Clone, Copy)]
pub(super) struct Recorded<'a> {
    path: &'a TreePath,
    perm: u32,
    content: &'a Content,
}

pub(super) fn is_file(entry: &Entry) -> bool {
    matches!(entry.node, Node::File { .. })
}

fn recorded(entry: &Entry) -> Option<Recorded<'_>> {
    match &entry.node {
        Node::File { perm, content } => Some(Recorded { path: &entry.path, perm: *perm, content }),
        _ => None,
    }
}

impl<'a> Writer<'a> {
    pub(super) fn new(
        tree: &'a Tree,
        dest_path: &'a Path,
        from_path: &'a Path,
        epoch: Option<i64>,
    ) -> Result<Writer<'a>, SourceError> {
        let dest = rustix::fs::open(dest_path, beneath::DIRECTORY, Mode::empty())
            .map_err(|err| SourceError::io("open", dest_path, err))?;
        let times = epoch.map(|tv_sec| {
            let time = Timespec { tv_sec, tv_nsec: 0 };
            Timestamps { last_access: time, last_modification: time }
        });
        Ok(Writer { tree, dest, dest_path, from_path, times, mask: 0o7777, root: None, opaque: Mutex::default() })
    }

    /// The directory itself gets the permission bits `root`; of the others, those that [`Special`] says.
    pub(super) fn with_modes(self, root: u32, special: Special) -> Writer<'a> {
        let mask = match special {
            Special::Keep => 0o7777,
            Special::Strip => 0o777,
        };
        Writer { mask, root: Some(root), ..self }
    }

    pub(super) fn tree(&self) -> &'a Tree {
        self.tree
    }

    /// The file that is recorded at a path, with its place among the entries.
    pub(super) fn recorded(&self, path: &TreePath) -> Option<(usize, Recorded<'a>)> {
        let at = self.tree.entries().binary_search_by(|entry| entry.path.cmp(path)).ok()?;
        Some((at, recorded(&self.tree.entries()[at])?))
    }

    /// Makes all directories, for us alone until their content is there.
    pub(super) fn directories(&self) -> Result<(), SourceError> {
        self.each_directory(|path, _| {
            let (dir, name) = beneath::parent(&self.dest, path).map_err(|err| self.fail(path, err))?;
            rustix::fs::mkdirat(&dir, name, Mode::RWXU).map_err(|err| self.fail(path, err))
        })
    }

    /// Every directory once, those above first, with its permission bits.
    fn each_directory(
        &self,
        mut visit: impl FnMut(&TreePath, u32) -> Result<(), SourceError>,
    ) -> Result<(), SourceError> {
        let mut last: Option<TreePath> = None;
        let mut seen = std::collections::HashSet::new();
        for entry in self.tree.entries() {
            let (own, above) = match entry.node {
                Node::Dir { perm } => (Some((entry.path.clone(), perm)), entry.path.parent()),
                _ => (None, entry.path.parent()),
            };
            let mut missing = Vec::new();
            // In a source tree only empty directories are entries; the others follow from what is in them.
            let mut next = if above == last { None } else { above.clone() };
            while let Some(dir) = next {
                if seen.contains(&dir) {
                    break;
                }
                next = dir.parent();
                missing.push((dir, 0o755));
            }
            missing.reverse();
            missing.extend(own);
            for (dir, perm) in missing {
                if seen.insert(dir.clone()) {
                    visit(&dir, perm)?;
                }
            }
            last = above;
        }
        Ok(())
    }

    /// Copies every file from the directory that the tree was read from.
    pub(super) fn files_from_directory(&self) -> Result<(), SourceError> {
        // The user named it, so it may be a link.
        let flags = beneath::DIRECTORY.difference(OFlags::NOFOLLOW);
        let from = rustix::fs::open(self.from_path, flags, Mode::empty())
            .map_err(|err| SourceError::io("open", self.from_path, err))?;
        let next = AtomicUsize::new(0);
        let work = || {
            let mut buffer = vec![0; BLOCK];
            while let Some(entry) = self.tree.entries().get(next.fetch_add(1, Ordering::Relaxed)) {
                let Some(file) = recorded(entry) else { continue };
                let fd = beneath::open(&from, file.path.as_bytes(), OFlags::RDONLY, Mode::empty());
                let done = fd.map_err(|err| self.unread(file.path, err)).and_then(|fd| {
                    let stat = rustix::fs::fstat(&fd).map_err(|err| self.unread(file.path, err))?;
                    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile
                        || !self.same_mode(file, beneath::mode(&stat))
                    {
                        return Err(self.changed(file.path));
                    }
                    self.copy(file, stat.st_size as u64, &mut File::from(fd), &mut buffer)
                });
                if let Err(err) = done {
                    next.store(self.tree.entries().len(), Ordering::Relaxed);
                    return Err(err);
                }
            }
            Ok(())
        };
        std::thread::scope(|scope| {
            let others: Vec<_> = (1..THREADS).map(|_| scope.spawn(work)).collect();
            let mut result = work();
            for other in others {
                let theirs = other.join().map_err(|_| crate::scan::ScanError::Panicked)?;
                result = result.and(theirs);
            }
            result
        })
    }

    fn same_mode(&self, file: Recorded<'_>, mode: u32) -> bool {
        match self.tree.kind() {
            TreeKind::Source => (mode & 0o100 != 0) == (file.perm & 0o100 != 0),
            TreeKind::Output | TreeKind::Environment => mode & 0o7777 == file.perm,
        }
    }

    /// Writes a file from a stream that should hold `size` bytes.
    pub(super) fn file_from_stream(
        &self,
        file: Recorded<'_>,
        size: u64,
        data: &mut dyn Read,
    ) -> Result<(), SourceError> {
        self.copy(file, size, &mut &mut *data, &mut vec![0; BLOCK])
    }

    /// Writes a file that has the bytes of one that was written before.
    pub(super) fn file_from_written(&self, file: Recorded<'_>, first: &TreePath) -> Result<(), SourceError> {
        let fd = beneath::open(&self.dest, first.as_bytes(), OFlags::RDONLY, Mode::empty())
            .map_err(|err| self.fail(first, err))?;
        let mut from = File::from(fd);
        self.copy(file, file.content.size, &mut from, &mut vec![0; BLOCK])?;
        // Reading moved its time of access.
        match &self.times {
            Some(times) => rustix::fs::futimens(&from, times).map_err(|err| self.fail(first, err)),
            None => Ok(()),
        }
    }

    fn copy(&self, file: Recorded<'_>, size: u64, data: &mut impl Read, buffer: &mut [u8]) -> Result<(), SourceError> {
        if size != file.content.size {
            return Err(self.changed(file.path));
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        let fd = beneath::open(&self.dest, file.path.as_bytes(), flags, Mode::RUSR | Mode::WUSR)
            .map_err(|err| self.fail(file.path, err))?;
        let mut out = File::from(fd);
        let mut hasher = ContentHasher::new(
            size,
            Wanted {
                blake3: file.content.blake3.is_some(),
                git_blob: file.content.git_blob.is_some(),
                git_blob_sha256: file.content.git_blob_sha256.is_some(),
            },
        );
        let (mut total, mut start) = (0, Vec::new());
        loop {
            let n = read::read(data, buffer).map_err(|err| SourceError::io("read", self.from_path, err))?;
            // A stream may give a few bytes at a time.
            start.extend_from_slice(&buffer[..n.min(opaque::ENOUGH - start.len())]);
            total += n as u64;
            if n == 0 || total > size {
                break;
            }
            hasher.update(&buffer[..n]);
            out.write_all(&buffer[..n]).map_err(|err| self.fail(file.path, err))?;
            if total == size && n < buffer.len() {
                break;
            }
        }
        if total > size || hasher.finish() != *file.content {
            return Err(self.changed(file.path));
        }
        if let Some(kind) = opaque::kind(&start) {
            let mut found = self.opaque.lock().unwrap_or_else(PoisonError::into_inner);
            found.push(Opaque { path: file.path.clone(), kind });
        }
        // Last, since writing takes away set-user-id bits and changes times.
        self.seal(&out, file.path, file.perm)
    }

    /// Makes the links, then gives every directory, the deepest first, its mode and time.
    pub(super) fn finish(&self) -> Result<(), SourceError> {
        for entry in self.tree.entries() {
            let Node::Link { target } = &entry.node else { continue };
            let made = beneath::parent(&self.dest, &entry.path).and_then(|(dir, name)| {
                rustix::fs::symlinkat(&target[..], &dir, name)?;
                match &self.times {
                    Some(times) => rustix::fs::utimensat(&dir, name, times, AtFlags::SYMLINK_NOFOLLOW),
                    None => Ok(()),
                }
            });
            made.map_err(|err| self.fail(&entry.path, err))?;
        }
        let mut dirs = Vec::new();
        self.each_directory(|path, perm| {
            dirs.push((path.clone(), perm));
            Ok(())
        })?;
        // Sorted by path, what is below comes after.
        dirs.sort_unstable_by(|a, b| b.0.cmp(&a.0));
        for (path, perm) in dirs {
            let fd = beneath::open(&self.dest, path.as_bytes(), beneath::DIRECTORY, Mode::empty())
                .map_err(|err| self.fail(&path, err))?;
            self.seal(fd, &path, perm)?;
        }
        let root =
            self.root.map_or(Ok(()), |mode| rustix::fs::fchmod(&self.dest, Mode::from_raw_mode(mode as RawMode)));
        let root =
            root.and_then(|()| self.times.as_ref().map_or(Ok(()), |times| rustix::fs::futimens(&self.dest, times)));
        root.map_err(|err| SourceError::io("write", self.dest_path, err))
    }

    /// Compiled code among what was written, sorted.
    pub(super) fn opaque(self) -> Vec<Opaque> {
        let mut found = self.opaque.into_inner().unwrap_or_else(PoisonError::into_inner);
        found.sort_unstable();
        found
    }

    fn seal(&self, fd: impl AsFd, path: &TreePath, perm: u32) -> Result<(), SourceError> {
        let mode = Mode::from_raw_mode((perm & self.mask) as RawMode);
        rustix::fs::fchmod(&fd, mode).map_err(|err| self.fail(path, err))?;
        match &self.times {
            Some(times) => rustix::fs::futimens(&fd, times).map_err(|err| self.fail(path, err)),
            None => Ok(()),
        }
    }

    fn fail(&self, path: &TreePath, err: impl Into<std::io::Error>) -> SourceError {
        SourceError::io("write", &self.dest_path.join(path.to_os()), err)
    }

    fn unread(&self, path: &TreePath, err: Errno) -> SourceError {
        match err {
            Errno::NOENT | Errno::LOOP | Errno::NOTDIR | Errno::NXIO => self.changed(path),
            err => SourceError::io("read", &self.from_path.join(path.to_os()), err),
        }
    }

    fn changed(&self, path: &TreePath) -> SourceError {
        SourceError::Changed { source_path: self.from_path.to_owned(), path: path.clone() }
    }
}
