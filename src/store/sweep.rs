//! What is removed from a store.

use super::{Blob, Store, StoreError, io};
use crate::digest::Sha256;
use crate::source::remove_tree;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// A store that no other process uses while this value is there.
#[derive(Debug)]
pub struct Sweep {
    dir: PathBuf,
    _lock: File,
}

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Files and trees.
    pub count: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files and trees that stay.
    pub kept: u64,
}

/// What tells whether an unpacked tree is the one of its name.
pub type IsTree<'f> = &'f dyn Fn(&Path, &str) -> bool;

impl Sweep {
    /// Waits until no other process uses the store. `None`: one does, and `wait` is off.
    pub fn begin(store: Store, wait: bool) -> Result<Option<Sweep>, StoreError> {
        let Store { dir, _lock: file } = store;
        let path = dir.join("lock");
        file.unlock().map_err(io("unlock", &path))?;
        match (wait, file.try_lock()) {
            (_, Ok(())) => {}
            (true, Err(_)) => file.lock().map_err(io("lock", &path))?,
            (false, Err(_)) => return Ok(None),
        }
        Ok(Some(Sweep { dir, _lock: file }))
    }

    /// Removes what was last used longer ago than that.
    pub fn older_than(&self, age: Duration, now: SystemTime) -> Result<Removed, StoreError> {
        self.remove(&mut |path| {
            let meta = path.symlink_metadata();
            let used = meta.and_then(|meta| meta.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
            // A time to come is no long time ago.
            Ok(now.duration_since(used).is_ok_and(|ago| ago >= age))
        })
    }

    /// Removes what is not what its name says. `told` is given each name that goes.
    pub fn wrong(&self, is_tree: IsTree<'_>, told: &mut dyn FnMut(&Path)) -> Result<Removed, StoreError> {
        let trees = self.dir.join("trees");
        self.remove(&mut |path| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let right =
                if path.starts_with(&trees) { is_tree(path, super::tree_of_name(name)) } else { is_blob(path, name) };
            if !right {
                told(path);
            }
            Ok(!right)
        })
    }

    fn remove(&self, goes: &mut dyn FnMut(&Path) -> Result<bool, StoreError>) -> Result<Removed, StoreError> {
        leavings(&self.dir.join("tmp"))?;
        let mut removed = Removed::default();
        let mut things = entries(&self.dir.join("trees"))?;
        for dir in entries(&self.dir.join("blobs"))? {
            if dir.is_dir() {
                things.extend(entries(&dir)?);
            } else {
                things.push(dir);
            }
        }
        for path in things {
            if goes(&path)? {
                removed.bytes += size(&path);
                removed.count += 1;
                // Out of the way first: what is half removed is in tmp/, and has no digest for a name.
                let away = self.dir.join("tmp").join(crate::fs::random_name().map_err(io("remove", &path))?);
                std::fs::rename(&path, &away).map_err(io("remove", &path))?;
                remove_one(&away)?;
            } else {
                removed.kept += 1;
            }
        }
        Ok(removed)
    }
}

fn is_blob(path: &Path, name: &str) -> bool {
    let Ok(wanted) = name.parse::<Sha256>() else { return false };
    let Ok(mut file) = crate::fs::open_file(path) else { return false };
    let Ok(size) = file.metadata().map(|meta| meta.len()) else { return false };
    std::io::copy(&mut Blob::new(Box::new(&mut file), wanted, size), &mut std::io::sink()).is_ok()
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(io("read", dir))? {
        found.push(entry.map_err(io("read", dir))?.path());
    }
    found.sort();
    Ok(found)
}

/// What killed processes left.
pub(super) fn leavings(tmp: &Path) -> Result<(), StoreError> {
    for path in entries(tmp)? {
        remove_one(&path)?;
    }
    Ok(())
}

fn remove_one(path: &Path) -> Result<(), StoreError> {
    if path.symlink_metadata().map_err(io("remove", path))?.is_dir() {
        return Ok(remove_tree(path)?);
    }
    std::fs::remove_file(path).map_err(io("remove", path))
}

fn size(path: &Path) -> u64 {
    let files = walkdir::WalkDir::new(path).follow_links(false).into_iter().flatten();
    files.filter_map(|entry| entry.metadata().ok()).filter(|meta| meta.is_file()).map(|meta| meta.len()).sum()
}
