//! What `stat` says of a file, in eight or sixteen bytes: a keyed hash, so that ten million entries cost little and nobody can aim at
//! a collision.

use super::ScanError;
#[cfg(unix)]
use rustix::fs::FileType;
use std::fs::Metadata;
#[cfg(unix)]
use std::hash::Hasher as _;
use std::hash::{BuildHasher, RandomState};
use std::path::Path;

/// Of the eight numbers that are hashed, those that say which thing it is.
#[cfg(unix)]
const PLACE: usize = 3;

/// Two hashes of what `stat` said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    /// Which directory it is: device, inode, mode. Of anything else nobody asks.
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
    /// In one piece: number by number it takes twice as long, and there are millions.
    #[cfg(unix)]
    fn words(&self, dir: bool, words: [u64; 8]) -> Stamp {
        let hash = |words: &[[u8; 8]]| {
            let mut hasher = self.0.build_hasher();
            hasher.write(words.as_flattened());
            hasher.finish()
        };
        let words = words.map(u64::to_le_bytes);
        Stamp { place: if dir { hash(&words[..PLACE]) } else { 0 }, whole: hash(&words) }
    }

    #[cfg(unix)]
    #[allow(clippy::unnecessary_cast)] // the widths differ from system to system
    pub(super) fn stat(&self, stat: &rustix::fs::Stat) -> Stamp {
        // To the types of `Metadata`: the two must agree.
        let [device, inode, mode] = [stat.st_dev as u64, stat.st_ino as u64, u64::from(stat.st_mode as u32)];
        let modified = [stat.st_mtime as i64 as u64, stat.st_mtime_nsec as i64 as u64];
        let changed = [stat.st_ctime as i64 as u64, stat.st_ctime_nsec as i64 as u64];
        let dir = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        let size = stat.st_size as u64;
        self.words(dir, [device, inode, mode, size, modified[0], modified[1], changed[0], changed[1]])
    }

    #[cfg(unix)]
    pub(super) fn meta(&self, meta: &Metadata) -> Stamp {
        use std::os::unix::fs::MetadataExt as _;
        let modified = [meta.mtime() as u64, meta.mtime_nsec() as u64];
        let changed = [meta.ctime() as u64, meta.ctime_nsec() as u64];
        let [device, inode, mode, size] = [meta.dev(), meta.ino(), u64::from(meta.mode()), meta.size()];
        self.words(meta.is_dir(), [device, inode, mode, size, modified[0], modified[1], changed[0], changed[1]])
    }

    #[cfg(not(unix))]
    pub(super) fn meta(&self, meta: &Metadata) -> Stamp {
        let times = (meta.modified().ok(), meta.created().ok());
        let place = self.0.hash_one(meta.is_dir());
        Stamp { place, whole: self.0.hash_one((meta.is_dir(), meta.len(), times)) }
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
