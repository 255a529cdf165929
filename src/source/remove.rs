//! Removing what a build left, whatever it left: directories without permissions, paths longer than the system takes, any depth.

use crate::fs::FsError;
use crate::scan::beneath;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, Dir, FileType, Mode};
use rustix::io::{Errno, Result};
use std::ffi::CString;
use std::path::Path;

/// Removes the directory `path` and all that is in it, following no link. Directories below are moved up to the top before they are
/// emptied, so that neither depth nor the length of a path matters. Nobody else may write there meanwhile.
pub fn remove_tree(path: &Path) -> std::result::Result<(), FsError> {
    let fail = |err: Errno| FsError::io("remove", path, err.into());
    let root = rustix::fs::open(path, beneath::DIRECTORY, Mode::empty()).or_else(|err| match err {
        Errno::ACCESS => {
            unlock(rustix::fs::CWD, path)?;
            rustix::fs::open(path, beneath::DIRECTORY, Mode::empty())
        }
        err => Err(err),
    });
    let root = root.map_err(fail)?;
    rustix::fs::fchmod(&root, Mode::RWXU).map_err(fail)?;
    let mut moved = 0u64;
    loop {
        let names = empty_but_directories(&root).map_err(fail)?;
        if names.is_empty() {
            break;
        }
        for name in names {
            flatten(&root, &name, &mut moved).map_err(fail)?;
        }
    }
    rustix::fs::unlinkat(rustix::fs::CWD, path, AtFlags::REMOVEDIR).map_err(fail)
}

/// Empties one directory below the root: its own directories are moved to the root.
fn flatten(root: &OwnedFd, name: &CString, moved: &mut u64) -> Result<()> {
    unlock(root, name)?;
    let dir = rustix::fs::openat(root, name, beneath::DIRECTORY, Mode::empty())?;
    for below in empty_but_directories(&dir)? {
        // A directory is moved only with write permission on itself, since its `..` changes.
        unlock(&dir, &below)?;
        loop {
            *moved += 1;
            match rustix::fs::renameat(&dir, &below, root, format!("{moved}.removed")) {
                Err(Errno::EXIST | Errno::NOTEMPTY | Errno::NOTDIR) => {}
                result => break result?,
            }
        }
    }
    rustix::fs::unlinkat(root, name, AtFlags::REMOVEDIR)
}

/// Gives a directory that is known to be one back to its owner.
fn unlock(dir: impl AsFd, name: impl rustix::path::Arg + Copy) -> Result<()> {
    let stat = rustix::fs::statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => rustix::fs::chmodat(&dir, name, Mode::RWXU, AtFlags::empty()),
        _ => Err(Errno::NOTDIR),
    }
}

/// Unlinks everything but directories, which are returned.
fn empty_but_directories(dir: &OwnedFd) -> Result<Vec<CString>> {
    let mut dirs = Vec::new();
    let mut list = Dir::read_from(dir)?;
    while let Some(item) = list.read() {
        let item = item?;
        let name = item.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let is_dir = match item.file_type() {
            FileType::Directory => true,
            FileType::Unknown => {
                let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
                FileType::from_raw_mode(stat.st_mode) == FileType::Directory
            }
            _ => false,
        };
        if is_dir {
            dirs.push(name.to_owned());
        } else {
            rustix::fs::unlinkat(dir, name, AtFlags::empty())?;
        }
    }
    Ok(dirs)
}
