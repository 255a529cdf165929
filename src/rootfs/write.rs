//! The tree in memory becomes a directory: aside in the spool, then in one step where it belongs.

use super::model::{Kind, Model, ROOT};
use super::spool::{self, Spool};
use super::{Builder, RootfsError, Written};
use crate::fs::{FsError, Why};
use rustix::fd::{AsFd as _, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, Timespec, Timestamps};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// The name in the spool: no number, so no content has it.
const ASIDE: &str = "root";

pub(super) fn all(builder: &Builder, dest: &Path, mtime: i64) -> Result<Written, RootfsError> {
    let Builder { model, spool, limits, left_out, .. } = builder;
    let there = || FsError { what: "create", path: dest.to_owned(), why: Why::Exists };
    match std::fs::symlink_metadata(dest) {
        Ok(_) => return Err(there().into()),
        Err(err) if err.kind() == io::ErrorKind::NotFound => {}
        Err(err) => return Err(FsError::io("create", dest, err).into()),
    }
    let time = Timespec { tv_sec: mtime as _, tv_nsec: 0 };
    let mut writer = Writer {
        model,
        spool,
        most: limits.bytes,
        left: (0..spool.len()).map(|id| spool.get(id).uses).collect(),
        times: Timestamps { last_access: time, last_modification: time },
        written: Written { left_out: *left_out, ..Written::default() },
    };
    let fail = |err: Errno| FsError::io("create", dest, err.into());
    rustix::fs::mkdirat(spool.dir(), ASIDE, Mode::RWXU).map_err(fail)?;
    let root = open(spool.dir(), ASIDE.as_bytes()).map_err(fail)?;
    writer.dir(ROOT, &root)?;
    match put(spool.dir(), OsStr::new(ASIDE), CWD, dest.as_os_str()) {
        Err(Errno::EXIST | Errno::NOTEMPTY) => Err(there().into()),
        result => result.map(|()| writer.written).map_err(|err| fail(err).into()),
    }
}

/// Gives something another place, where nothing may be. A file system that folds names could take one entry for another otherwise.
fn put(from: &OwnedFd, name: &OsStr, to: BorrowedFd<'_>, new: &OsStr) -> rustix::io::Result<()> {
    #[cfg(target_os = "linux")]
    match rustix::fs::renameat_with(from, name, to, new, rustix::fs::RenameFlags::NOREPLACE) {
        // Not every file system can.
        Err(Errno::INVAL | Errno::NOSYS) => {}
        result => return result,
    }
    match rustix::fs::statat(to, new, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => rustix::fs::renameat(from, name, to, new),
        result => result.and(Err(Errno::EXIST)),
    }
}

fn open(above: &OwnedFd, name: &[u8]) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(above, OsStr::from_bytes(name), flags, Mode::empty())
}

struct Writer<'a> {
    model: &'a Model,
    spool: &'a Spool,
    most: u64,
    /// Names that each content has yet to get.
    left: Vec<usize>,
    times: Timestamps,
    written: Written,
}

impl Writer<'_> {
    fn failed(&self, id: usize, err: impl Into<io::Error>) -> FsError {
        let path = self.spool.path().join(ASIDE).join(OsStr::from_bytes(&self.model.path(id)));
        FsError::io("write", &path, err.into())
    }

    /// What is in the directory `id`, which is open and empty; then its mode and times. As deep as [`super::Limits::depth`].
    fn dir(&mut self, id: usize, fd: &OwnedFd) -> Result<(), FsError> {
        let model = self.model;
        let Kind::Dir { children, .. } = &model.node(id).kind else { return Ok(()) };
        for (name, &child) in children {
            let os_name = OsStr::from_bytes(name);
            match &model.node(child).kind {
                Kind::Dir { .. } => {
                    let made = rustix::fs::mkdirat(fd, os_name, Mode::RWXU).and_then(|()| open(fd, name));
                    let inner = made.map_err(|err| self.failed(child, err))?;
                    self.dir(child, &inner)?;
                    self.written.dirs += 1;
                    continue;
                }
                Kind::Link(target) => {
                    let made = rustix::fs::symlinkat(OsStr::from_bytes(target), fd, os_name);
                    made.map_err(|err| self.failed(child, err))?;
                    self.written.links += 1;
                }
                Kind::File(content) => {
                    self.file(*content, fd, os_name).map_err(|err| self.failed(child, err))?;
                    self.written.files += 1;
                }
            }
            let set = rustix::fs::utimensat(fd, os_name, &self.times, AtFlags::SYMLINK_NOFOLLOW);
            set.map_err(|err| self.failed(child, err))?;
        }
        let set =
            rustix::fs::fchmod(fd, Mode::from_raw_mode(0o755)).and_then(|()| rustix::fs::futimens(fd, &self.times));
        set.map_err(|err| self.failed(id, err))
    }

    /// One of the names of a content. The last takes the file itself.
    fn file(&mut self, content: usize, fd: &OwnedFd, name: &OsStr) -> io::Result<()> {
        let (from, number) = (self.spool.dir(), Spool::name(content));
        self.left[content] -= 1;
        if self.left[content] == 0 {
            self.written.bytes += self.spool.get(content).size;
            return Ok(put(from, OsStr::new(&number), fd.as_fd(), name)?);
        }
        match rustix::fs::linkat(from, &number, fd, name, AtFlags::empty()) {
            // A file has as many names as the file system allows, be it one; what is read is the same.
            Err(Errno::MLINK | Errno::PERM | Errno::NOTSUP) => {}
            result => return Ok(result?),
        }
        self.written.bytes += self.spool.get(content).size;
        if self.written.bytes > self.most {
            return Err(io::Error::other(super::Why::TooLarge(self.most)));
        }
        let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut old = File::from(rustix::fs::openat(from, &number, flags | OFlags::RDONLY, Mode::empty())?);
        let new = flags | OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        let mut new = File::from(rustix::fs::openat(fd, name, new, Mode::RUSR | Mode::WUSR)?);
        io::copy(&mut old, &mut new)?;
        Ok(rustix::fs::fchmod(&new, spool::mode(self.spool.get(content).exec))?)
    }
}
