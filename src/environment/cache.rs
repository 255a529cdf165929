//! A cache of the digests of an environment's files, so that the second reading of a large `/usr` costs a `stat` for each file.
//!
//! A file is taken to be unchanged when device, inode, size, mode and both times are, to the nanosecond. Who may write a file can set the time
//! of its content back; the time of its last change, which that sets, only the clock can. That time is worth nothing where
//!
//! - it is not older than the moment the cache was begun: what is written within the same tick of the clock has the same time (git's rule
//!   for racy entries). Such files are not in the cache;
//! - it has no fraction of a second: then it was set by who made an image of the file system, and may be the same in the next image. Such a
//!   file must be in the same mounting too, which no other image is;
//! - the file system does not set it at all, or another machine does ([`crate::scan`] does not tell of those).
//!
//! What a process of another id could open is not what this one can, so a cache says who read, and what; another's is not used.
//!
//! Names, and what is not a regular file, are always looked at. Only the text of the listing is not made again, and its digest not computed,
//! when all that it is made of is the same ([`Shape`]).
//!
//! The form, numbers little-endian, for this machine and version only:
//!
//! ```text
//! magic                          24 bytes
//! scope                          32: SHA-256 of reader and roots
//! begun                          8 + 4: seconds and nanoseconds
//! shape                          32: BLAKE3 of what the listing is made of
//! listing                        32: SHA-256 of it
//! a record for each file         92, in the order of the walk; a hard link's for each name
//!   device inode size            8 each
//!   mode                         4
//!   modified, changed            8 + 4 each
//!   mounting                     8
//!   SHA-256                      32
//! BLAKE3 of all that            32
//! ```
//!
//! For 131,000 files that is 12 MB; a process that reads such an environment with it holds 60 MB at most.
//!
//! The last is against accidents. Whoever may write the file may make one that verifies; see docs/threats.md.

use super::shape::Shape;
use crate::digest::{self, Blake3Hasher, Sha256, TreeDigest};
use crate::sandbox::Reader;
use crate::scan::{Known, Looks};
use crate::tree::Tree;
use std::collections::HashMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::sync::atomic::{AtomicIsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

/// Longest cache that is read or written: a million files.
pub const MAX_CACHE: u64 = (HEAD + RECORD * MAX_RECORDS + SUM) as u64;

const MAGIC: &[u8; 24] = b"countersign-cache v2\n\0\0\0";
const HEAD: usize = 24 + 32 + 12 + 64;
const RECORD: usize = 92;
const SUM: usize = 32;
const MAX_RECORDS: usize = 1_000_000;
/// Seconds by which a change must be older than a cache: the coarsest times of any file system.
const SLACK: i64 = 2;

/// Seconds and nanoseconds since 1970.
pub(super) type Moment = (i64, u32);

/// What was read from, and what is written to, a cache during one reading of an environment.
pub(super) struct Memory {
    /// The cache that was given, if it is good.
    old: Option<Old>,
    limit: Moment,
    scope: [u8; 32],
    now: Moment,
    /// By how much the place of a record was off when last one was found elsewhere.
    off: AtomicIsize,
    new: Mutex<New>,
}

/// A cache that was given.
struct Old {
    bytes: Vec<u8>,
    /// Of changes at this moment or later neither this nor the new cache knows anything.
    limit: Moment,
    /// Places by device and inode, made when first a record is not where it was.
    index: OnceLock<HashMap<Key, usize>>,
}

type Key = [u8; 16];

/// What there will be to remember, with the places of the files.
#[derive(Default)]
struct New {
    /// Known, and where in the old records.
    found: Vec<(usize, usize)>,
    learned: Vec<(usize, [u8; RECORD])>,
}

/// What a reading with a cache came to.
pub(super) struct Finished {
    /// The environment's fingerprint.
    pub digest: TreeDigest,
    /// How many files the cache knew.
    pub cached: u64,
    /// The new cache, unless it would be the old one.
    pub new: Option<Vec<u8>>,
}

impl Memory {
    /// Begins with a cache, which may be empty. `false` beside it when what was given is none, or is another's.
    pub fn new(given: Vec<u8>, roots: &[OsString], reader: &Reader, now: Moment) -> (Memory, bool) {
        let scope = scope(roots, reader);
        let empty = given.is_empty();
        let old = Old::parse(given, &scope, now);
        let good = empty || old.is_some();
        let (off, new) = Default::default();
        (Memory { old, limit: before(now), scope, now, off, new }, good)
    }

    /// Ends with what was read.
    pub fn finish(self, tree: &Tree) -> Finished {
        let shape = Shape::of(tree);
        let New { mut found, mut learned } = self.new.into_inner().unwrap_or_else(PoisonError::into_inner);
        let cached = found.len() as u64;
        let before = self.old.as_ref().and_then(|old| old.listing(&shape));
        let digest = before.unwrap_or_else(|| tree.digest());
        // Nearly sorted: the order is that in which threads came.
        found.sort_by_key(|(place, _)| *place);
        let records = self.old.as_ref().map(Old::records).unwrap_or_default();
        if before.is_some() && learned.is_empty() && found.iter().map(|(_, at)| *at).eq(0..records.len()) {
            return Finished { digest, cached, new: None };
        }
        learned.sort_by_key(|(place, _)| *place);
        let mut bytes = Vec::with_capacity(HEAD + (found.len() + learned.len()) * RECORD + SUM);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&self.scope);
        bytes.extend_from_slice(&self.now.0.to_le_bytes());
        bytes.extend_from_slice(&self.now.1.to_le_bytes());
        bytes.extend_from_slice(shape.as_bytes());
        bytes.extend_from_slice(digest.as_bytes());
        let mut learned = learned.iter().peekable();
        let mut found = found.iter().peekable();
        for _ in 0..MAX_RECORDS {
            let first = match (found.peek(), learned.peek()) {
                (Some((known, _)), Some((new, _))) => known < new,
                (known, _) => known.is_some(),
            };
            let record =
                if first { found.next().map(|(_, at)| &records[*at]) } else { learned.next().map(|(_, new)| new) };
            let Some(record) = record else { break };
            bytes.extend_from_slice(record);
        }
        let sum = sum(&bytes);
        bytes.extend_from_slice(&sum);
        Finished { digest, cached, new: Some(bytes) }
    }

    fn notes(&self) -> std::sync::MutexGuard<'_, New> {
        self.new.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known for Memory {
    fn find(&self, place: usize, looks: &Looks) -> Option<Sha256> {
        let old = self.old.as_ref()?;
        if !told(looks, old.limit) {
            return None;
        }
        let wanted = record(looks, Sha256::from_bytes([0; 32]));
        let (wanted, _) = wanted.split_last_chunk::<32>()?;
        let records = old.records();
        let at = |at: usize| {
            let (what, sha256) = records.get(at)?.split_last_chunk::<32>()?;
            (what == wanted).then(|| Sha256::from_bytes(*sha256))
        };
        let here = place.wrapping_add_signed(self.off.load(Ordering::Relaxed));
        let (found, sha256) = match at(here) {
            Some(sha256) => (here, sha256),
            None => {
                let there = *old.index().get(wanted.first_chunk::<16>()?)?;
                let sha256 = at(there)?;
                self.off.store((there as isize).wrapping_sub(place as isize), Ordering::Relaxed);
                (there, sha256)
            }
        };
        self.notes().found.push((place, found));
        Some(sha256)
    }

    fn learn(&self, place: usize, looks: Looks, sha256: Sha256) {
        if told(&looks, self.limit) {
            self.notes().learned.push((place, record(&looks, sha256)));
        }
    }
}

impl Old {
    fn parse(bytes: Vec<u8>, scope: &[u8; 32], now: Moment) -> Option<Old> {
        let (rest, given) = bytes.split_last_chunk::<SUM>()?;
        if sum(rest) != *given {
            return None;
        }
        let rest = rest.strip_prefix(MAGIC)?.strip_prefix(scope)?;
        let (seconds, rest) = rest.split_first_chunk()?;
        let (nanoseconds, rest) = rest.split_first_chunk()?;
        let begun = (i64::from_le_bytes(*seconds), u32::from_le_bytes(*nanoseconds));
        let (_, none) = rest.get(64..)?.as_chunks::<RECORD>();
        // One from the future was made by a clock that nothing can be said of.
        let good = none.is_empty() && begun <= now;
        good.then(|| Old { bytes, limit: before(begun), index: OnceLock::new() })
    }

    fn records(&self) -> &[[u8; RECORD]] {
        let records = self.bytes.get(HEAD..self.bytes.len() - SUM);
        records.unwrap_or_default().as_chunks().0
    }

    /// The digest of the listing, if it was made of the same.
    fn listing(&self, shape: &Shape) -> Option<TreeDigest> {
        let (then, rest) = self.bytes.get(HEAD - 64..)?.split_first_chunk::<32>()?;
        let (listing, _) = rest.split_first_chunk::<32>()?;
        (then == shape.as_bytes()).then(|| TreeDigest::from_bytes(*listing))
    }

    fn index(&self) -> &HashMap<Key, usize> {
        self.index.get_or_init(|| self.records().iter().enumerate().map(|(at, record)| (key(record), at)).collect())
    }
}

/// Whether a change after `limit` would be seen in the times.
fn told(looks: &Looks, limit: Moment) -> bool {
    looks.changed < limit && looks.modified < limit && (looks.changed.1 != 0 || looks.mounted != 0)
}

fn before(moment: Moment) -> Moment {
    (moment.0.saturating_sub(SLACK), moment.1)
}

fn scope(roots: &[OsString], reader: &Reader) -> [u8; 32] {
    let mut text = format!("{reader:?}\0").into_bytes();
    for root in roots {
        text.extend_from_slice(root.as_bytes());
        text.push(0);
    }
    *digest::sha256(&text).as_bytes()
}

fn sum(bytes: &[u8]) -> [u8; SUM] {
    let mut hasher = Blake3Hasher::default();
    hasher.update(bytes);
    *hasher.finish().as_bytes()
}

/// Device and inode.
fn key(record: &[u8; RECORD]) -> Key {
    std::array::from_fn(|n| record[n])
}

fn record(looks: &Looks, sha256: Sha256) -> [u8; RECORD] {
    let mut record = [0; RECORD];
    let mut at = 0;
    let mut put = |bytes: &[u8]| {
        record[at..at + bytes.len()].copy_from_slice(bytes);
        at += bytes.len();
    };
    put(&looks.device.to_le_bytes());
    put(&looks.inode.to_le_bytes());
    put(&looks.size.to_le_bytes());
    put(&looks.mode.to_le_bytes());
    for (seconds, nanoseconds) in [looks.modified, looks.changed] {
        put(&seconds.to_le_bytes());
        put(&nanoseconds.to_le_bytes());
    }
    put(&looks.mounted.to_le_bytes());
    put(sha256.as_bytes());
    record
}

#[cfg(test)]
mod tests;
