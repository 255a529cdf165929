//! Contents on their way into a tree: files with a number for a name, in a directory that nobody else may enter.

use super::Why;
use crate::fs::FsError;
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use std::fs::File;
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};

/// One content and how many names it has.
pub(super) struct Content {
    pub(super) exec: bool,
    pub(super) size: u64,
    pub(super) uses: usize,
}

pub(super) struct Spool {
    path: PathBuf,
    dir: OwnedFd,
    contents: Vec<Content>,
    /// Numbers of contents that are gone.
    free: Vec<usize>,
    taken: u64,
    buffer: Vec<u8>,
}

impl Spool {
    pub(super) fn new(path: &Path) -> Result<Spool, FsError> {
        let fail = |err: rustix::io::Errno| FsError::io("create", path, err.into());
        rustix::fs::mkdirat(CWD, path, Mode::RWXU).map_err(fail)?;
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let dir = match rustix::fs::open(path, flags, Mode::empty()) {
            Ok(dir) => dir,
            Err(err) => {
                let _ = std::fs::remove_dir(path);
                return Err(fail(err));
            }
        };
        let buffer = vec![0; 64 << 10];
        Ok(Spool { path: path.to_owned(), dir, contents: Vec::new(), free: Vec::new(), taken: 0, buffer })
    }

    pub(super) fn dir(&self) -> &OwnedFd {
        &self.dir
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn name(id: usize) -> String {
        id.to_string()
    }

    pub(super) fn len(&self) -> usize {
        self.contents.len()
    }

    pub(super) fn get(&self, id: usize) -> &Content {
        &self.contents[id]
    }

    fn failed(&self, what: &'static str, id: usize, err: impl Into<io::Error>) -> FsError {
        FsError::io(what, &self.path.join(Spool::name(id)), err.into())
    }

    /// Takes a content to its end, or until there are `limit` bytes of all contents together.
    pub(super) fn add(&mut self, exec: bool, content: &mut dyn Read, limit: u64) -> Result<usize, Why> {
        let id = self.free.pop().unwrap_or(self.contents.len());
        let result = self.fill(id, exec, content, limit);
        match result {
            Ok(size) => {
                let content = Content { exec, size, uses: 1 };
                match self.contents.get_mut(id) {
                    Some(gone) => *gone = content,
                    None => self.contents.push(content),
                }
                Ok(id)
            }
            Err(why) => {
                let _ = rustix::fs::unlinkat(&self.dir, Spool::name(id), AtFlags::empty());
                if id < self.contents.len() {
                    self.free.push(id);
                }
                Err(why)
            }
        }
    }

    fn fill(&mut self, id: usize, exec: bool, content: &mut dyn Read, limit: u64) -> Result<u64, Why> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.dir, Spool::name(id), flags, Mode::RUSR | Mode::WUSR);
        let mut file = File::from(file.map_err(|err| self.failed("create", id, err))?);
        let mut size = 0;
        loop {
            let n = match content.read(&mut self.buffer) {
                Err(err) if err.kind() == io::ErrorKind::Interrupted => continue,
                result => result.map_err(Why::Content)?,
            };
            if n == 0 {
                break;
            }
            self.taken += n as u64;
            if self.taken > limit {
                return Err(Why::TooLarge(limit));
            }
            file.write_all(&self.buffer[..n]).map_err(|err| self.failed("write", id, err))?;
            size += n as u64;
        }
        rustix::fs::fchmod(&file, mode(exec)).map_err(|err| self.failed("write", id, err))?;
        Ok(size)
    }

    /// One name more.
    pub(super) fn hold(&mut self, id: usize) {
        self.contents[id].uses += 1;
    }

    /// One name less.
    pub(super) fn release(&mut self, id: usize) -> Result<(), FsError> {
        self.contents[id].uses -= 1;
        if self.contents[id].uses > 0 {
            return Ok(());
        }
        self.free.push(id);
        rustix::fs::unlinkat(&self.dir, Spool::name(id), AtFlags::empty()).map_err(|err| self.failed("remove", id, err))
    }
}

/// The mode of a file.
pub(super) fn mode(exec: bool) -> Mode {
    Mode::from_raw_mode(if exec { 0o755 } else { 0o644 })
}

impl Drop for Spool {
    fn drop(&mut self) {
        // What cannot be removed is in the way of nothing: each spool has a name of its own.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}
