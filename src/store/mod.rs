//! Files by their SHA-256, and unpacked trees by the digest of their listing: what environments are made of, kept from one run to the next.
//!
//! ```text
//! blobs/ab/abcd…      a file, read-only, one name
//! trees/abcd…/        a directory; its own time is that of its last use
//! tmp/                what is being made; renamed into its place when it is whole
//! lock                held shared by whoever uses the store, alone by who removes something
//! ```
//!
//! Nothing here is believed: a blob is hashed while it is read ([`Blob`] fails at its end when it is another), a tree is read by whoever
//! builds in it. A run that is killed leaves something in `tmp/`, which the next one removes that is alone. Results are never kept here.

mod blob;
mod sweep;

pub use blob::{Blob, Unlike};
pub use sweep::{Removed, Sweep};

use crate::digest::{Sha256, Sha256Hasher, TreeDigest};
use crate::fs::FsError;
use crate::source::remove_tree;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// A store that is used by this process.
#[derive(Debug)]
pub struct Store {
    dir: PathBuf,
    /// Shared, for as long as this value is there.
    _lock: File,
}

/// A store that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file or directory of it.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// It could be written by others.
    #[error("{} is not a directory that only its owner can write, or it is another's", .0.display())]
    Others(PathBuf),
    /// Bytes that were given are not those that were announced.
    #[error("{what}: {why}")]
    Unlike {
        /// Where the bytes came from.
        what: String,
        /// In what they differ.
        why: Unlike,
    },
}

fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    move |err| StoreError::Fs(FsError::io(what, path, err))
}

impl Store {
    /// Opens the store in a directory, which is made if need be. It waits while another process removes something.
    pub fn open(dir: &Path) -> Result<Store, StoreError> {
        make(dir)?;
        let dir = dir.canonicalize().map_err(io("open", dir))?;
        ours(&dir)?;
        for name in ["blobs", "trees", "tmp"] {
            make(&dir.join(name))?;
            ours(&dir.join(name))?;
        }
        let path = dir.join("lock");
        let file =
            OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(io("open", &path))?;
        // Alone for a moment: then nobody is making anything, and what is in tmp/ was left by a process that was killed.
        if file.try_lock().is_ok() {
            sweep::leavings(&dir.join("tmp"))?;
        }
        file.lock_shared().map_err(io("lock", &path))?;
        Ok(Store { dir, _lock: file })
    }

    /// Where it is.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn blob_path(&self, sha256: &Sha256) -> PathBuf {
        blob_path(&self.dir, sha256)
    }

    /// A file, if it is there. Its bytes are checked while they are read.
    pub fn blob(&self, sha256: &Sha256, size: u64) -> Result<Option<Blob<'static>>, StoreError> {
        let Some(file) = open_blob(&self.dir, sha256)? else { return Ok(None) };
        touch(&file);
        Ok(Some(Blob::new(Box::new(file), *sha256, size)))
    }

    /// Keeps the bytes of a file, when they are those of the digest and as many. `what` is where they come from.
    pub fn keep_blob(&self, what: &str, sha256: &Sha256, size: u64, from: &mut dyn Read) -> Result<(), StoreError> {
        let making = self.temporary()?;
        let path = making.path().join("blob");
        let mut file = File::create_new(&path).map_err(io("create", &path))?;
        let mut blob = Blob::new(Box::new(from), *sha256, size);
        let mut buffer = vec![0; 1 << 16];
        loop {
            let count = match blob.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(err) => {
                    return Err(match err.downcast::<Unlike>() {
                        Ok(why) => StoreError::Unlike { what: what.to_owned(), why },
                        Err(err) => StoreError::Fs(FsError::io("read", Path::new(what), err)),
                    });
                }
            };
            file.write_all(&buffer[..count]).map_err(io("write", &path))?;
        }
        self.settle(file, &path, sha256)
    }

    /// Where a file is and how long it is, when it is there and is what its name says.
    pub fn held(&self, sha256: &Sha256) -> Result<Option<(PathBuf, u64)>, StoreError> {
        let Some(mut file) = open_blob(&self.dir, sha256)? else { return Ok(None) };
        let path = self.blob_path(sha256);
        let (mut hasher, mut size) = (Sha256Hasher::default(), 0);
        let mut buffer = vec![0; 1 << 16];
        loop {
            match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => {
                    size += count as u64;
                    hasher.update(&buffer[..count]);
                }
                Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
                Err(err) => return Err(io("read", &path)(err)),
            }
        }
        touch(&file);
        Ok((hasher.finish() == *sha256).then_some((path, size)))
    }

    /// Keeps the bytes of a file, whatever they are, but no more than `most`: what they are pinned to from now on.
    pub fn learn_blob(&self, what: &str, from: &mut dyn Read, most: u64) -> Result<(Sha256, u64), StoreError> {
        self.learn_blob_if(what, from, most, &|_, _| Ok(()))
    }

    /// The same, if `good` says so of the file and its digest; otherwise nothing is kept.
    pub fn learn_blob_if<E: From<StoreError>>(
        &self,
        what: &str,
        from: &mut dyn Read,
        most: u64,
        good: &dyn Fn(&Path, &Sha256) -> Result<(), E>,
    ) -> Result<(Sha256, u64), E> {
        let making = self.temporary()?;
        let path = making.path().join("blob");
        let (mut hasher, mut size) = (Sha256Hasher::default(), 0);
        let mut file = File::create_new(&path).map_err(io("create", &path))?;
        let mut buffer = vec![0; 1 << 16];
        loop {
            let count = match from.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(err) if err.kind() == io::ErrorKind::Interrupted => continue,
                Err(err) => return Err(StoreError::Fs(FsError::io("read", Path::new(what), err)).into()),
            };
            size += count as u64;
            if size > most {
                return Err(StoreError::Unlike { what: what.to_owned(), why: Unlike::Long(most) }.into());
            }
            hasher.update(&buffer[..count]);
            file.write_all(&buffer[..count]).map_err(io("write", &path))?;
        }
        let sha256 = hasher.finish();
        good(&path, &sha256)?;
        self.settle(file, &path, &sha256)?;
        Ok((sha256, size))
    }

    /// A file that is whole goes to its place.
    fn settle(&self, file: File, path: &Path, sha256: &Sha256) -> Result<(), StoreError> {
        let mut mode = file.metadata().map_err(io("write", path))?.permissions();
        mode.set_readonly(true);
        file.set_permissions(mode).map_err(io("write", path))?;
        file.sync_all().map_err(io("write", path))?;
        let to = self.blob_path(sha256);
        make(to.parent().unwrap_or(&self.dir))?;
        std::fs::rename(path, &to).map_err(io("write", &to))
    }

    /// A directory that goes with the value, in the store's own file system.
    pub fn temporary(&self) -> Result<Temporary, StoreError> {
        let name = crate::fs::random_name().map_err(io("create", &self.dir))?;
        let path = self.dir.join("tmp").join(name);
        make(&path)?;
        Ok(Temporary { path })
    }

    fn tree_path(&self, tree: &TreeDigest, origin: &Sha256) -> PathBuf {
        self.dir.join("trees").join(format!("{tree}-{origin}"))
    }

    /// An unpacked tree, if it is there as one that was made of what `origin` is the digest of: the same tree that came of something else is
    /// no answer. Whoever uses it reads it and looks whether it is that one.
    pub fn tree(&self, tree: &TreeDigest, origin: &Sha256) -> Option<PathBuf> {
        let path = self.tree_path(tree, origin);
        let there = path.symlink_metadata().is_ok_and(|meta| meta.is_dir());
        if there && let Ok(dir) = File::open(&path) {
            touch(&dir);
        }
        there.then_some(path)
    }

    /// Keeps a tree that was made in a [`Temporary`] directory. When another process was first, its tree stays.
    pub fn keep_tree(&self, tree: &TreeDigest, origin: &Sha256, made: &Path) -> Result<PathBuf, StoreError> {
        let to = self.tree_path(tree, origin);
        match std::fs::rename(made, &to) {
            Ok(()) => {}
            Err(_) if to.is_dir() => {}
            Err(err) => return Err(io("write", &to)(err)),
        }
        if let Ok(dir) = File::open(&to) {
            touch(&dir);
        }
        Ok(to)
    }
}

/// A directory that is being filled.
#[derive(Debug)]
pub struct Temporary {
    path: PathBuf,
}

impl Temporary {
    /// Where.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // What cannot be removed stays, for the next one who opens the store.
        let _ = remove_tree(&self.path);
    }
}

fn blob_path(dir: &Path, sha256: &Sha256) -> PathBuf {
    let hex = sha256.to_string();
    dir.join("blobs").join(&hex[..2]).join(hex)
}

fn open_blob(dir: &Path, sha256: &Sha256) -> Result<Option<File>, StoreError> {
    match crate::fs::open_file(&blob_path(dir, sha256)) {
        Err(err) if err.is_not_found() => Ok(None),
        file => Ok(Some(file?)),
    }
}

/// Which tree the name of a directory in `trees/` says that it is.
fn tree_of_name(name: &str) -> &str {
    name.split_once('-').map_or(name, |(tree, _)| tree)
}

/// A file of a directory that holds blobs as a store does, and that nobody uses as one: materials that were handed over.
pub fn blob_in(dir: &Path, sha256: &Sha256, size: u64) -> Result<Option<Blob<'static>>, StoreError> {
    Ok(open_blob(dir, sha256)?.map(|file| Blob::new(Box::new(file), *sha256, size)))
}

/// The time of the last use. A store that cannot be written is no worse for it.
fn touch(file: &File) {
    let _ = file.set_modified(SystemTime::now());
}

fn make(dir: &Path) -> Result<(), StoreError> {
    if dir.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).create(dir).map_err(io("create", dir))?;
    // The build's id must be able to pass to the trees, whatever the umask.
    #[cfg(unix)]
    std::fs::set_permissions(dir, std::os::unix::fs::PermissionsExt::from_mode(0o755)).map_err(io("create", dir))?;
    Ok(())
}

/// Who can write in it can lead us to other places. What they lead to would still be hashed, but not what is removed.
fn ours(dir: &Path) -> Result<(), StoreError> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        let meta = dir.symlink_metadata().map_err(io("open", dir))?;
        if !meta.is_dir() || meta.uid() != rustix::process::geteuid().as_raw() || meta.mode() & 0o022 != 0 {
            return Err(StoreError::Others(dir.to_owned()));
        }
    }
    let _ = dir;
    Ok(())
}

#[cfg(all(test, unix))]
mod tests;
