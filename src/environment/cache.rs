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
//! The form, numbers little-endian, for this machine and version only:
//!
//! ```text
//! magic                          24 bytes
//! scope                          32: SHA-256 of reader and roots
//! begun                          8 + 4: seconds and nanoseconds
//! a record for each file         92, sorted by device and inode, no pair twice
//!   device inode size            8 each
//!   mode                         4
//!   modified, changed            8 + 4 each
//!   mounting                     8
//!   SHA-256                      32
//! SHA-256 of all that           32
//! ```
//!
//! The last is against accidents. Whoever may write the file may make one that verifies; see docs/threats.md.

use crate::digest::{self, Sha256};
use crate::sandbox::Reader;
use crate::scan::{Known, Looks};
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Longest cache that is read or written: a million files.
pub const MAX_CACHE: u64 = (HEAD + RECORD * MAX_RECORDS + SUM) as u64;

const MAGIC: &[u8; 24] = b"countersign-cache v1\n\0\0\0";
const HEAD: usize = 24 + 32 + 12;
const RECORD: usize = 92;
const SUM: usize = 32;
const MAX_RECORDS: usize = 1_000_000;
/// Seconds by which a change must be older than a cache: the coarsest times of any file system.
const SLACK: i64 = 2;

/// Seconds and nanoseconds since 1970.
pub(super) type Moment = (i64, u32);

/// What was read from, and what is written to, a cache during one reading of an environment.
pub(super) struct Memory {
    /// Records of the cache that was given.
    old: Vec<u8>,
    /// Of changes at this moment or later neither the cache that was given nor the new one knows anything.
    old_limit: Moment,
    limit: Moment,
    scope: [u8; 32],
    now: Moment,
    new: Mutex<Vec<[u8; RECORD]>>,
    hits: AtomicU64,
}

impl Memory {
    /// Begins with a cache, which may be empty. `false` beside it when what was given is none, or is another's.
    pub fn new(given: &[u8], roots: &[OsString], reader: &Reader, now: Moment) -> (Memory, bool) {
        let scope = scope(roots, reader);
        let (old, begun) = parse(given, &scope, now).unwrap_or_default();
        let good = given.is_empty() || begun.is_some();
        let old_limit = before(begun.unwrap_or((i64::MIN, 0)));
        let (old, limit) = (old.to_vec(), before(now));
        let (new, hits) = Default::default();
        (Memory { old, old_limit, limit, scope, now, new, hits }, good)
    }

    /// How many files the cache knew; and the new cache, unless it would be the old one.
    pub fn finish(self) -> (u64, Option<Vec<u8>>) {
        let mut new = self.new.into_inner().unwrap_or_else(PoisonError::into_inner);
        new.sort_unstable_by_key(key);
        // The names of a hard link.
        new.dedup_by_key(|record| key(record));
        new.truncate(MAX_RECORDS);
        let hits = self.hits.into_inner();
        let records = new.as_flattened();
        if records == self.old {
            return (hits, None);
        }
        let mut bytes = Vec::with_capacity(HEAD + records.len() + SUM);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&self.scope);
        bytes.extend_from_slice(&self.now.0.to_le_bytes());
        bytes.extend_from_slice(&self.now.1.to_le_bytes());
        bytes.extend_from_slice(records);
        let sum = digest::sha256(&bytes);
        bytes.extend_from_slice(sum.as_bytes());
        (hits, Some(bytes))
    }

    fn remember(&self, record: [u8; RECORD]) {
        self.new.lock().unwrap_or_else(PoisonError::into_inner).push(record);
    }
}

impl Known for Memory {
    fn find(&self, looks: &Looks) -> Option<Sha256> {
        let wanted = record(looks, Sha256::from_bytes([0; 32]));
        let (records, _) = self.old.as_chunks::<RECORD>();
        let at = records.binary_search_by(|record| key(record).cmp(&key(&wanted))).ok()?;
        let found = records[at];
        let (what, sha256) = found.split_last_chunk::<32>()?;
        if what != &wanted[..RECORD - 32] || !told(looks, self.old_limit) {
            return None;
        }
        self.hits.fetch_add(1, Ordering::Relaxed);
        self.remember(found);
        Some(Sha256::from_bytes(*sha256))
    }

    fn learn(&self, looks: Looks, sha256: Sha256) {
        if told(&looks, self.limit) {
            self.remember(record(&looks, sha256));
        }
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

/// The records of a cache, and when it was begun.
fn parse<'b>(bytes: &'b [u8], scope: &[u8; 32], now: Moment) -> Option<(&'b [u8], Option<Moment>)> {
    let (rest, sum) = bytes.split_last_chunk::<SUM>()?;
    if digest::sha256(rest).as_bytes() != sum {
        return None;
    }
    let rest = rest.strip_prefix(MAGIC)?.strip_prefix(scope)?;
    let (seconds, rest) = rest.split_first_chunk()?;
    let (nanoseconds, rest) = rest.split_first_chunk()?;
    let begun = (i64::from_le_bytes(*seconds), u32::from_le_bytes(*nanoseconds));
    let (records, none) = rest.as_chunks::<RECORD>();
    let sorted = records.windows(2).all(|pair| key(&pair[0]) < key(&pair[1]));
    // One from the future was made by a clock that nothing can be said of.
    (none.is_empty() && sorted && begun <= now).then_some((rest, Some(begun)))
}

fn key(record: &[u8; RECORD]) -> (u64, u64) {
    let number = |at: usize| u64::from_le_bytes(std::array::from_fn(|n| record[at + n]));
    (number(0), number(8))
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
mod tests {
    use super::*;

    const NOW: Moment = (1_000_000, 500);

    fn memory(given: &[u8], now: Moment) -> (Memory, bool) {
        Memory::new(given, &["/r".into()], &Reader::own().unwrap(), now)
    }

    fn looks(inode: u64) -> Looks {
        Looks { device: 1, inode, size: 10, mode: 0o100_644, modified: (900_000, 0), changed: (900_000, 7), mounted: 0 }
    }

    fn sha256(n: u8) -> Sha256 {
        Sha256::from_bytes([n; 32])
    }

    fn cache(of: &[(Looks, u8)]) -> Vec<u8> {
        let (memory, good) = memory(b"", NOW);
        assert!(good, "nothing is no bad cache");
        of.iter().for_each(|(looks, n)| memory.learn(*looks, sha256(*n)));
        memory.finish().1.unwrap_or_default()
    }

    #[test]
    fn the_same_is_found_and_anything_else_is_not() {
        let bytes = cache(&[(looks(5), 1), (looks(3), 2), (looks(4), 3)]);
        assert_eq!(bytes.len(), HEAD + 3 * RECORD + SUM);
        let (same, good) = memory(&bytes, NOW);
        assert!(good);
        assert_eq!([3, 4, 5].map(|n| same.find(&looks(n))), [2, 3, 1].map(|n| Some(sha256(n))));
        assert_eq!(same.finish(), (3, None), "the same cache is not written again");
        let was = looks(3);
        let (memory, _) = memory(&bytes, (2_000_000, 0));
        for other in [
            Looks { device: 2, ..was },
            Looks { inode: 6, ..was },
            Looks { size: 11, ..was },
            Looks { mode: 0o100_755, ..was },
            Looks { modified: (900_000, 1), ..was },
            Looks { modified: (900_001, 0), ..was },
            Looks { changed: (900_000, 8), ..was },
            Looks { changed: (900_001, 7), ..was },
            Looks { mounted: 1, ..was },
        ] {
            assert_eq!(memory.find(&other), None, "{other:?}");
        }
        assert_eq!(memory.find(&was), Some(sha256(2)));
        memory.learn(Looks { size: 11, ..looks(4) }, sha256(9));
        let (hits, new) = memory.finish();
        assert_eq!((hits, new.unwrap().len()), (1, HEAD + 2 * RECORD + SUM), "what is gone is forgotten");
    }

    #[test]
    fn times_that_tell_nothing_are_not_believed() {
        let told = |looks| !cache(&[(looks, 1)]).is_empty();
        let at = |modified, changed| Looks { modified, changed, ..looks(1) };
        let old = (900_000, 7);
        assert!(told(at(old, old)));
        assert!(told(at(old, (NOW.0 - SLACK, NOW.1 - 1))));
        assert!(!told(at(old, (NOW.0 - SLACK, NOW.1))), "just written");
        assert!(!told(at((NOW.0 - SLACK, NOW.1), old)));
        assert!(!told(at(old, (NOW.0 + 9, 1))), "from the future");
        assert!(!told(at(old, (900_000, 0))), "no clock says a whole second");
        assert!(told(Looks { mounted: 1, ..at(old, (900_000, 0)) }));
        // A cache that holds one all the same: the same rule again.
        let racy = at(old, (NOW.0 - SLACK, NOW.1));
        let mut bytes = cache(&[(looks(1), 1)]);
        bytes[HEAD..HEAD + RECORD].copy_from_slice(&record(&racy, sha256(1)));
        sign(&mut bytes);
        let (memory, good) = memory(&bytes, (2_000_000, 0));
        assert!(good);
        assert_eq!(memory.find(&racy), None);
    }

    fn sign(bytes: &mut [u8]) {
        let end = bytes.len() - SUM;
        let sum = digest::sha256(&bytes[..end]);
        bytes[end..].copy_from_slice(sum.as_bytes());
    }

    #[test]
    fn a_damaged_cache_is_none() {
        let good = cache(&[(looks(1), 1), (looks(2), 2)]);
        let is_good = |bytes: &[u8]| {
            let (memory, good) = memory(bytes, NOW);
            assert_eq!(memory.find(&looks(1)).is_some(), good);
            good
        };
        assert!(is_good(&good));
        for at in [0, 30, HEAD - 1, HEAD + 60, good.len() - 1] {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert!(!is_good(&bad), "{at}");
        }
        for cut in [1, SUM, HEAD, HEAD + SUM, good.len() - 1] {
            assert!(!is_good(&good[..cut]), "{cut}");
        }
        // Each signed: what is wrong is in the form.
        let signed = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut bytes = good.clone();
            change(&mut bytes);
            sign(&mut bytes);
            is_good(&bytes)
        };
        assert!(signed(&|_| ()));
        assert!(!signed(&|bytes| bytes[20] ^= 1), "another version");
        assert!(!signed(&|bytes| bytes[30] ^= 1), "another scope");
        assert!(!signed(&|bytes| bytes[56..64].copy_from_slice(&(NOW.0 + 1).to_le_bytes())), "from the future");
        assert!(!signed(&|bytes| bytes[HEAD..HEAD + 2 * RECORD].rotate_left(RECORD)), "not sorted");
        assert!(!signed(&|bytes| bytes.copy_within(HEAD..HEAD + RECORD, HEAD + RECORD)), "a pair twice");
        assert!(!signed(&|bytes| bytes.insert(HEAD, 0)), "not whole");
    }

    #[test]
    fn each_reader_and_each_set_of_roots_has_its_own() {
        let bytes = cache(&[(looks(1), 1)]);
        let me = Reader::own().unwrap();
        assert!(Memory::new(&bytes, &["/r".into()], &me, NOW).1);
        for roots in [&["/".into()][..], &["/r".into(), "/s".into()], &[]] {
            assert!(!Memory::new(&bytes, roots, &me, NOW).1);
        }
        assert!(!Memory::new(&bytes, &["/r".into()], &Reader::of(&[4, 5, 6]), NOW).1);
    }

    #[test]
    fn names_of_one_file_that_disagree() {
        assert_eq!(cache(&[(looks(1), 1), (looks(1), 1)]).len(), HEAD + RECORD + SUM);
        let changed = Looks { changed: (900_000, 9), ..looks(1) };
        assert_eq!(cache(&[(looks(1), 1), (changed, 2)]).len(), HEAD + RECORD + SUM, "one of two true ones is kept");
    }
}
