//! The fingerprint, read by a process of the build's id.

use super::setup::{Test, root, uid};
use countersign::digest;
use countersign::environment::{Cache, Counts, FingerprintError, View};
use std::fs::{File, FileTimes, rename, write};
use std::num::NonZeroUsize;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

pub const TESTS: &[Test] = &[
    ("fingerprint_of_what_the_build_can_read", fingerprint_of_what_the_build_can_read),
    ("fingerprint_of_links_and_absent_roots", fingerprint_of_links_and_absent_roots),
    ("fingerprint_of_a_compiler", fingerprint_of_a_compiler),
    ("fingerprint_remembered", fingerprint_remembered),
    ("fingerprint_remembered_of_other_names", fingerprint_remembered_of_other_names),
    ("fingerprint_holds_what_is_there", fingerprint_holds_what_is_there),
    ("fingerprint_remembered_of_what_was_just_written", fingerprint_remembered_of_what_was_just_written),
    ("fingerprint_remembered_wrongly", fingerprint_remembered_wrongly),
];

const ONE: NonZeroUsize = NonZeroUsize::MIN;

fn fingerprint_of_links_and_absent_roots() {
    let host = View::of_host(false, &["/bin".into(), "/no/such".into()]).unwrap();
    let mut fingerprint = host.fingerprint(ONE, None, &mut |_, _| Ok(())).unwrap();
    let listing = fingerprint.listing().unwrap().to_owned();
    assert!(listing.starts_with("countersign-tree v1 environment\n"));
    assert_eq!(fingerprint.digest().as_bytes(), digest::sha256(listing.as_bytes()).as_bytes());
    assert_eq!(fingerprint.changed().unwrap(), None);
}

fn fingerprint_of_what_the_build_can_read() {
    let dir = root();
    let file = |name: &str, mode| {
        std::fs::write(dir.path().join(name), name).unwrap();
        std::fs::set_permissions(dir.path().join(name), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    file("open", 0o644);
    file("secret", 0o600);
    let host = View::of_host(false, &[dir.path().to_owned()]).unwrap();
    let mut fingerprint = host.fingerprint(ONE, None, &mut |_, _| Ok(())).unwrap();
    let listing = fingerprint.listing().unwrap().to_owned();
    let line = |name: &str| listing.lines().find(|line| line.ends_with(name)).unwrap_or_default().to_owned();
    assert!(line("/open").starts_with(&format!("100644 4 {} ", digest::sha256(b"open"))), "{}", line("/open"));
    // An ordinary user may read its own file; so here the two rounds differ, as the builds do.
    let closed = line("/secret").starts_with("100600 0 - ");
    assert_eq!(closed, uid() == 0, "root sees no more than the build does: {}", line("/secret"));
    assert_eq!(fingerprint.changed().unwrap(), None);
    file("open", 0o640);
    let changed = fingerprint.changed().unwrap();
    assert_eq!(changed, Some(dir.path().join("open")));
}

fn fingerprint_of_a_compiler() {
    let host = View::of_host(false, &[PathBuf::from("/usr/lib/gcc")]).unwrap();
    let four = NonZeroUsize::new(4).unwrap();
    let (one, more) =
        (host.fingerprint(ONE, None, &mut |_, _| Ok(())), host.fingerprint(four, None, &mut |_, _| Ok(())));
    let (one, more): (Result<_, FingerprintError>, _) = (one, more);
    assert_eq!(one.unwrap().digest(), more.unwrap().digest());
}

/// When a file that was just written has become old: until then it is not remembered.
fn later() -> SystemTime {
    SystemTime::now() + Duration::from_secs(10)
}

/// Reads a root with a cache at this time.
fn remembered(root: &Path, given: &[u8], now: SystemTime) -> (String, Counts, Cache) {
    let mut cache = Cache { given: given.to_owned(), now, useless: false, new: None };
    let host = View::of_host(false, &[root.to_owned()]).unwrap();
    let mut fingerprint = host.fingerprint(ONE, Some(&mut cache), &mut |_, _| Ok(())).unwrap();
    assert_eq!(fingerprint.changed().unwrap(), None);
    let (digest, counts) = (fingerprint.digest(), fingerprint.counts());
    let listing = fingerprint.listing().unwrap().to_owned();
    assert_eq!(digest.as_bytes(), digest::sha256(listing.as_bytes()).as_bytes(), "kept or not, of this listing");
    (listing, counts, cache)
}

fn whole(root: &Path) -> String {
    let host = View::of_host(false, &[root.to_owned()]).unwrap();
    host.fingerprint(ONE, None, &mut |_, _| Ok(())).unwrap().into_listing().unwrap()
}

/// Writes a file and puts its time back to what it was.
fn put_back(path: &Path, text: &str) {
    let before = path.metadata().unwrap();
    write(path, text).unwrap();
    let times = FileTimes::new().set_modified(before.modified().unwrap());
    File::options().write(true).open(path).unwrap().set_times(times).unwrap();
    let after = path.metadata().unwrap();
    assert_eq!((before.mtime(), before.mtime_nsec(), before.size()), (after.mtime(), after.mtime_nsec(), after.size()));
    assert_ne!((before.ctime(), before.ctime_nsec()), (after.ctime(), after.ctime_nsec()));
}

fn fingerprint_remembered() {
    let dir = root();
    let at = |name: &str| dir.path().join(name);
    let put = |name: &str| {
        write(at(name), name).unwrap();
        std::fs::set_permissions(at(name), std::fs::Permissions::from_mode(0o644)).unwrap();
    };
    ["one", "two", "six", "secret"].iter().copied().for_each(put);
    std::fs::set_permissions(at("secret"), std::fs::Permissions::from_mode(0o600)).unwrap();
    std::os::unix::fs::symlink("one", at("link")).unwrap();
    let readable = if uid() == 0 { 3 } else { 4 };
    let (text, counts, cache) = remembered(dir.path(), b"", later());
    assert_eq!((text, counts), (whole(dir.path()), Counts { read: readable, cached: 0 }));
    let mut kept = cache.new.unwrap();
    let mut look = |read: u64, why: &str| {
        let (text, counts, cache) = remembered(dir.path(), &kept, later());
        assert_eq!(text, whole(dir.path()), "{why}");
        assert_eq!(counts, Counts { read, cached: readable - read }, "{why}");
        assert!(!cache.useless);
        assert_eq!(cache.new.is_some(), read > 0, "{why}");
        kept = cache.new.unwrap_or_else(|| kept.clone());
    };
    look(0, "nothing changed");
    put_back(&at("one"), "eno");
    look(1, "a byte changed, the time was put back");
    look(0, "nothing changed since");
    // Another file of the same length and time.
    write(at("new"), "owt").unwrap();
    let times = FileTimes::new().set_modified(at("two").metadata().unwrap().modified().unwrap());
    File::options().write(true).open(at("new")).unwrap().set_times(times).unwrap();
    std::fs::set_permissions(at("new"), std::fs::Permissions::from_mode(0o644)).unwrap();
    rename(at("new"), at("two")).unwrap();
    look(1, "another file in its place");
    std::fs::set_permissions(at("six"), std::fs::Permissions::from_mode(0o755)).unwrap();
    look(1, "another mode");
    look(0, "nothing changed since");
    rename(at("one"), at("moved")).unwrap();
    // A new name changes the file on some file systems.
    let (text, ..) = remembered(dir.path(), &kept, later());
    assert_eq!(text, whole(dir.path()));
    assert!(text.contains("/moved\n") && !text.contains("/one\n"));
}

/// What is no file's content: each changes the listing, and the kept digest of it is not used.
fn fingerprint_remembered_of_other_names() {
    let dir = root();
    let at = |name: &str| dir.path().join(name);
    let mode = |name: &str, mode| {
        std::fs::set_permissions(at(name), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    std::fs::create_dir(at("dir")).unwrap();
    mode("dir", 0o755);
    for name in ["a", "b", "c", "dir/d"] {
        write(at(name), name).unwrap();
        mode(name, 0o644);
    }
    std::os::unix::fs::symlink("a", at("link")).unwrap();
    let mut kept = remembered(dir.path(), b"", later()).2.new.unwrap();
    let mut listings = vec![whole(dir.path())];
    let mut look = |cached: Option<u64>, why: &str| {
        let (text, counts, cache) = remembered(dir.path(), &kept, later());
        assert_eq!(text, whole(dir.path()), "{why}");
        assert!(cached.is_none_or(|cached| counts.cached == cached), "{why}: {counts:?}");
        assert!(!listings.contains(&text), "{why}");
        kept = cache.new.unwrap_or_else(|| panic!("{why}: there is something new to keep"));
        let (again, counts, cache) = remembered(dir.path(), &kept, later());
        assert_eq!((&again, counts.read, cache.new), (&text, 0, None), "{why}, and nothing after that");
        listings.push(text);
    };
    write(at("Z"), "new").unwrap();
    mode("Z", 0o644);
    look(Some(4), "a file before all others");
    std::fs::remove_file(at("b")).unwrap();
    look(Some(4), "a file is gone");
    // A new name changes the file on some file systems.
    rename(at("c"), at("dir/c")).unwrap();
    look(None, "a file has another name");
    std::fs::remove_file(at("link")).unwrap();
    std::os::unix::fs::symlink("d", at("link")).unwrap();
    look(Some(4), "a link points elsewhere");
    mode("dir", 0o711);
    look(if uid() == 0 { None } else { Some(4) }, "a directory's mode");
    std::fs::create_dir(at("empty")).unwrap();
    look(None, "a directory with nothing in it");
}

fn fingerprint_holds_what_is_there() {
    let dir = root();
    for (name, text) in [("a", "one"), ("b\n", "two"), ("c", "two")] {
        write(dir.path().join(name), text).unwrap();
        std::fs::set_permissions(dir.path().join(name), std::fs::Permissions::from_mode(0o644)).unwrap();
    }
    let host = View::of_host(false, &[dir.path().to_owned()]).unwrap();
    let known = ["one", "two", "three"].map(|text| digest::sha256(text.as_bytes()));
    // More than are asked for one by one.
    let many = (0..1000u32).map(|n| digest::sha256(&n.to_le_bytes()));
    for wanted in [known.into(), known.into_iter().chain(many).collect(), std::collections::BTreeSet::new()] {
        let mut cache = Cache { given: Vec::new(), now: later(), useless: false, new: None };
        for cache in [None, Some(&mut cache)] {
            let held = host.fingerprint(ONE, cache, &mut |_, _| Ok(())).unwrap().holds(&wanted).unwrap();
            let name = |at: usize| held.get(&known[at]).map(|path| path.parts().next_back().unwrap_or_default());
            let expected = if wanted.is_empty() { [None; 3] } else { [Some(&b"a"[..]), Some(b"b\n"), None] };
            assert_eq!([0, 1, 2].map(name), expected);
        }
    }
}

fn fingerprint_remembered_of_what_was_just_written() {
    let dir = root();
    let path = dir.path().join("f");
    write(&path, "one").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let written = || path.metadata().unwrap().modified().unwrap() + Duration::from_secs(1);
    let (_, counts, cache) = remembered(dir.path(), b"", written());
    assert_eq!(counts, Counts { read: 1, cached: 0 });
    // It could be written again within this tick of the clock.
    let kept = cache.new.unwrap_or_default();
    put_back(&path, "two");
    let (text, counts, cache) = remembered(dir.path(), &kept, written());
    assert_eq!((text, counts), (whole(dir.path()), Counts { read: 1, cached: 0 }));
    let kept = cache.new.unwrap_or(kept);
    let (_, counts, cache) = remembered(dir.path(), &kept, later());
    assert_eq!(counts, Counts { read: 1, cached: 0 }, "not remembered until it is older than the cache");
    assert_eq!(remembered(dir.path(), &cache.new.unwrap(), later()).1, Counts { read: 0, cached: 1 });
}

fn fingerprint_remembered_wrongly() {
    let dir = root();
    let path = dir.path().join("f");
    write(&path, "one").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let kept = remembered(dir.path(), b"", later()).2.new.unwrap();
    let (mut poisoned, mut damaged) = (kept.clone(), kept.clone());
    let end = kept.len() - 32;
    for bytes in [&mut poisoned, &mut damaged] {
        bytes[end - 1] ^= 1;
    }
    let mut sum = digest::Blake3Hasher::default();
    sum.update(&poisoned[..end]);
    let sum = sum.finish();
    poisoned[end..].copy_from_slice(sum.as_bytes());
    // Accidents are noticed; the owner's own forgery is not, which is why no signature stands on it.
    let (text, counts, cache) = remembered(dir.path(), &damaged, later());
    assert_eq!((text, counts, cache.useless), (whole(dir.path()), Counts { read: 1, cached: 0 }, true));
    assert_eq!(remembered(dir.path(), &cache.new.unwrap(), later()).1, Counts { read: 0, cached: 1 }, "made anew");
    let (text, counts, _) = remembered(dir.path(), &poisoned, later());
    assert_eq!(counts, Counts { read: 0, cached: 1 });
    assert_ne!(text, whole(dir.path()));
    // Nothing of it in one without.
    assert!(whole(dir.path()).contains(&digest::sha256(b"one").to_string()));
}
