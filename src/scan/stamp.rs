//! What `stat` says of a file, in eight or sixteen bytes: a keyed hash, so that ten million entries cost little and nobody can aim at
//! a collision.

use super::ScanError;
use std::fs::Metadata;
use std::hash::{BuildHasher, Hash, RandomState};
use std::path::Path;

/// Two hashes of what `stat` said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    /// Which thing it is: device, inode, mode.
    pub place: u64,
    /// The same with size and times.
    pub whole: u64,
}

/// Whether two looks at an open file see the same: nobody wrote between them.
#[cfg(unix)]
pub(super) fn same(a: &rustix::fs::Stat, b: &rustix::fs::Stat) -> bool {
    let place = |stat: &rustix::fs::Stat| (stat.st_dev, stat.st_ino, stat.st_mode, stat.st_size);
    let times = |stat: &rustix::fs::Stat| (stat.st_mtime, stat.st_mtime_nsec, stat.st_ctime, stat.st_ctime_nsec);
    place(a) == place(b) && times(a) == times(b)
}

/// Makes stamps that can be compared with one another, not with those of another run.
#[derive(Clone, Debug, Default)]
pub(super) struct Stamper(RandomState);

impl Stamper {
    fn stamp(&self, place: impl Hash, rest: impl Hash) -> Stamp {
        Stamp { place: self.0.hash_one(&place), whole: self.0.hash_one((place, rest)) }
    }

    #[cfg(unix)]
    #[allow(clippy::unnecessary_cast)] // the widths differ from system to system
    pub(super) fn stat(&self, stat: &rustix::fs::Stat) -> Stamp {
        // To the types of `Metadata`: the two must agree.
        let place = (stat.st_dev as u64, stat.st_ino as u64, stat.st_mode as u32);
        let modified = (stat.st_mtime as i64, stat.st_mtime_nsec as i64);
        self.stamp(place, (stat.st_size as u64, modified, stat.st_ctime as i64, stat.st_ctime_nsec as i64))
    }

    #[cfg(unix)]
    pub(super) fn meta(&self, meta: &Metadata) -> Stamp {
        use std::os::unix::fs::MetadataExt as _;
        let place = (meta.dev(), meta.ino(), meta.mode());
        self.stamp(place, (meta.size(), (meta.mtime(), meta.mtime_nsec()), meta.ctime(), meta.ctime_nsec()))
    }

    #[cfg(not(unix))]
    pub(super) fn meta(&self, meta: &Metadata) -> Stamp {
        self.stamp(meta.is_dir(), (meta.len(), meta.modified().ok(), meta.created().ok()))
    }

    /// The stamp of what stands at a path now, a link itself and not what it points to; `None` when there is nothing.
    pub(super) fn at(&self, path: &Path) -> Result<Option<Stamp>, ScanError> {
        match std::fs::symlink_metadata(path) {
            Ok(meta) => Ok(Some(self.meta(&meta))),
            Err(err) if matches!(err.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
                Ok(None)
            }
            Err(err) => Err(ScanError::io("read", path, err)),
        }
    }
}
