//! Where the parts of an environment come from: the store, materials that were handed over, or mirrors. Which of them it was makes no
//! difference: every byte is held against the digest in the lock.

use crate::digest::Sha256;
use crate::lock::{Part, Place};
use crate::mirrors::{MirrorError, Mirrors};
use crate::stop::{Interrupted, Stop};
use crate::store::{self, Blob, Store, StoreError};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Files that are fetched at a time.
const AT_ONCE: usize = 4;
/// Longest file that is taken without knowing its size: an archive of a large root file system.
pub const MOST: u64 = 64 << 30;

/// A store, and where to get what it has not.
#[derive(Debug)]
pub struct Depot {
    store: Store,
    beyond: Beyond,
    mirrors: Mirrors,
}

/// What may be asked for what the store has not.
#[derive(Debug)]
enum Beyond {
    Mirrors,
    Materials(PathBuf),
    Nothing,
}

/// A part that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum DepotError {
    /// The store, or bytes that are not the locked ones.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No mirror has it.
    #[error("cannot get {what}: {why}")]
    Fetch {
        /// Name and version of the part, or a place.
        what: String,
        /// Why not.
        why: MirrorError,
    },
    /// It is not among the materials, and nothing else may be used.
    #[error("{0} is not among the materials")]
    NoMaterial(String),
    /// It was asked to end.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    /// A defect.
    #[error("a thread that fetches panicked")]
    Panicked,
}

/// Why a file is not kept.
enum Refusal<E> {
    Store(StoreError),
    Theirs(E),
}

impl<E> From<StoreError> for Refusal<E> {
    fn from(err: StoreError) -> Refusal<E> {
        Refusal::Store(err)
    }
}

impl Depot {
    /// The store first, then the mirrors.
    pub fn new(store: Store, mirrors: Mirrors) -> Depot {
        Depot { store, beyond: Beyond::Mirrors, mirrors }
    }

    /// The files below `materials` and nothing else. The store is one that has nothing and is kept by nobody.
    pub fn of_materials(empty: Store, materials: PathBuf) -> Depot {
        Depot { store: empty, beyond: Beyond::Materials(materials), mirrors: Mirrors::default() }
    }

    /// What is in this store and nothing else: the parts of materials, unpacked.
    pub fn of_unpacked(store: Store) -> Depot {
        Depot { store, beyond: Beyond::Nothing, mirrors: Mirrors::default() }
    }

    /// Where it keeps what it gets.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The mirrors.
    pub fn mirrors(&self) -> &Mirrors {
        &self.mirrors
    }

    /// The bytes of a part; got first, if need be.
    pub fn part(&self, part: &Part) -> Result<Blob<'static>, DepotError> {
        self.get(part)?;
        let blob = self.store.blob(&part.sha256, part.size)?;
        blob.ok_or_else(|| DepotError::NoMaterial(named(part)))
    }

    /// Gets all that the store has not, several at a time. `progress` is told how many are still to be got.
    pub fn get_all(&self, parts: &[Part], stop: &Stop, progress: &(dyn Fn(usize) + Sync)) -> Result<(), DepotError> {
        let mut missing = Vec::new();
        for part in parts {
            if self.store.blob(&part.sha256, part.size)?.is_none() {
                missing.push(part);
            }
        }
        each_of(&missing, stop, progress, &|part| self.get(part)).map(drop)
    }

    fn get(&self, part: &Part) -> Result<(), DepotError> {
        if self.store.blob(&part.sha256, part.size)?.is_some() {
            return Ok(());
        }
        let absent = || DepotError::NoMaterial(named(part));
        let (what, mut bytes): (_, Box<dyn std::io::Read>) = match &self.beyond {
            Beyond::Nothing => return Err(absent()),
            Beyond::Materials(dir) => {
                let blob = store::blob_in(dir, &part.sha256, part.size)?;
                (format!("{} among the materials", named(part)), Box::new(blob.ok_or_else(absent)?))
            }
            Beyond::Mirrors => {
                let fetched = self.mirrors.open(&part.place);
                let fetched = fetched.map_err(|why| DepotError::Fetch { what: named(part), why })?;
                (fetched.what, fetched.bytes)
            }
        };
        Ok(self.store.keep_blob(&what, &part.sha256, part.size, &mut bytes)?)
    }

    /// Gets what is at a place, whatever it is: it is pinned from now on.
    pub fn learn(&self, place: &Place, most: u64) -> Result<(Sha256, u64), DepotError> {
        let fetched = self.mirrors.open(place);
        let mut fetched = fetched.map_err(|why| DepotError::Fetch { what: place.to_string(), why })?;
        Ok(self.store.learn_blob(&fetched.what, &mut fetched.bytes, most)?)
    }

    /// The same, if `good` says so of the file: it is told what the file is called for people, where it lies for now, and its digest.
    pub fn learn_if<E: From<DepotError>>(
        &self,
        place: &Place,
        most: u64,
        good: &dyn Fn(&str, &Path, &Sha256) -> Result<(), E>,
    ) -> Result<(Sha256, u64), E> {
        let fetched = self.mirrors.open(place);
        let mut fetched = fetched.map_err(|why| DepotError::Fetch { what: place.to_string(), why })?;
        let what = fetched.what.clone();
        let found = self.store.learn_blob_if(&what, &mut fetched.bytes, most, &|path, sha256| {
            good(&what, path, sha256).map_err(Refusal::Theirs)
        });
        found.map_err(|refusal| match refusal {
            Refusal::Store(err) => DepotError::from(err).into(),
            Refusal::Theirs(err) => err,
        })
    }
}

/// Does the same with each of several things, some of them at a time; what came of it, in their order, or the first error. `progress` is told
/// how many are still to be done.
pub(super) fn each_of<T: Sync, R: Send, E: From<DepotError> + Send>(
    all: &[T],
    stop: &Stop,
    progress: &(dyn Fn(usize) + Sync),
    act: &(dyn Fn(&T) -> Result<R, E> + Sync),
) -> Result<Vec<R>, E> {
    let (next, left) = (AtomicUsize::new(0), AtomicUsize::new(all.len()));
    let (failed, done) = (Mutex::new(None), Mutex::new(Vec::with_capacity(all.len())));
    let work = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(one) = all.get(at) else { return };
            progress(left.load(Ordering::Relaxed));
            match stop.check().map_err(|err| E::from(DepotError::from(err))).and_then(|()| act(one)) {
                Ok(result) => done.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((at, result)),
                Err(err) => {
                    // The first to fail is told of, and nothing more begun.
                    next.store(all.len(), Ordering::Relaxed);
                    failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get_or_insert(err);
                }
            }
            left.fetch_sub(1, Ordering::Relaxed);
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..AT_ONCE.min(all.len())).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| DepotError::Panicked))
    })?;
    if let Some(err) = failed.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
        return Err(err);
    }
    let mut done = done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    done.sort_unstable_by_key(|(at, _)| *at);
    Ok(done.into_iter().map(|(_, result)| result).collect())
}

/// For people.
pub(super) fn named(part: &Part) -> String {
    match part.version.as_str() {
        "-" => part.name.to_string(),
        version => format!("{} {version}", part.name),
    }
}

/// Whether a directory holds materials.
pub fn are_materials(dir: &Path) -> bool {
    dir.join(super::materials::BLOBS).is_dir()
}
