//! Opening below a directory without following a link, whatever others do to the tree meanwhile.
//!
//! The kernel resolves the whole path in one call where it can (`openat2`); elsewhere each part is opened relative to the one before.
//! Either way no descriptor is kept for the directories between, so depth costs none.

use crate::path::TreePath;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags, Stat};
use rustix::io::Result;

/// Flags that every open of foreign files has: no link followed, no waiting for a FIFO's other end, no terminal taken.
pub(crate) const CAREFUL: OFlags =
    OFlags::NOFOLLOW.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

/// A directory to read.
pub(crate) const DIRECTORY: OFlags = CAREFUL.union(OFlags::DIRECTORY);

/// Type and permissions, in the width that the rest of the program has them: some systems keep 16 bits.
#[allow(clippy::useless_conversion)]
pub(crate) fn mode(stat: &Stat) -> u32 {
    u32::from(stat.st_mode)
}

/// Opens `path` (tree path bytes, or empty for the root itself) below `root`.
pub(crate) fn open(root: impl AsFd, path: &[u8], flags: OFlags, mode: Mode) -> Result<OwnedFd> {
    let root = root.as_fd();
    let path = if path.is_empty() { b".".as_slice() } else { path };
    let flags = flags | CAREFUL;
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::ResolveFlags;
        use rustix::io::Errno;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        match rustix::fs::openat2(root, path, flags, mode, resolve) {
            // An older kernel, a system call filter, a path that fits only in pieces, a rename seen half-way.
            Err(Errno::NOSYS | Errno::PERM | Errno::NAMETOOLONG | Errno::AGAIN) => {}
            result => return result,
        }
    }
    part_by_part(root, path, flags, mode)
}

fn part_by_part(root: BorrowedFd<'_>, path: &[u8], flags: OFlags, mode: Mode) -> Result<OwnedFd> {
    let mut held: Option<OwnedFd> = None;
    let mut rest = path;
    while let Some(cut) = rest.iter().position(|b| *b == b'/') {
        let next =
            rustix::fs::openat(held.as_ref().map_or(root, |fd| fd.as_fd()), &rest[..cut], DIRECTORY, Mode::empty())?;
        held = Some(next);
        rest = &rest[cut + 1..];
    }
    rustix::fs::openat(held.as_ref().map_or(root, |fd| fd.as_fd()), rest, flags, mode)
}

/// The directory that holds `path`, opened, and the last part.
pub(crate) fn parent(root: impl AsFd, path: &TreePath) -> Result<(OwnedFd, &[u8])> {
    let bytes = path.as_bytes();
    let (dir, name) = match bytes.iter().rposition(|b| *b == b'/') {
        Some(cut) => (&bytes[..cut], &bytes[cut + 1..]),
        None => (&bytes[..0], bytes),
    };
    Ok((open(root, dir, DIRECTORY, Mode::empty())?, name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::Errno;

    #[test]
    fn no_link_is_followed_in_either_way() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("a/b")).unwrap();
        std::fs::write(dir.path().join("a/b/c"), "x").unwrap();
        std::os::unix::fs::symlink("a", dir.path().join("l")).unwrap();
        std::os::unix::fs::symlink("c", dir.path().join("a/b/k")).unwrap();
        let root = rustix::fs::open(dir.path(), OFlags::DIRECTORY, Mode::empty()).unwrap();
        for way in [
            |r: BorrowedFd<'_>, p: &[u8]| open(r, p, OFlags::RDONLY, Mode::empty()),
            |r: BorrowedFd<'_>, p: &[u8]| part_by_part(r, p, CAREFUL, Mode::empty()),
        ] {
            assert!(way(root.as_fd(), b"a/b/c").is_ok());
            assert!(matches!(way(root.as_fd(), b"l/b/c"), Err(Errno::LOOP | Errno::NOTDIR)));
            assert_eq!(way(root.as_fd(), b"a/b/k").unwrap_err(), Errno::LOOP);
        }
    }
}
