//! Any bytes as a git bundle. The first says whether the pack's check sum is made to hold. What is read is a tree with a listing, the same one
//! twice, and nothing stays behind.
#![no_main]

use countersign::digest::{Wanted, sha1};
use countersign::source::Source;
use countersign::tree::Listing;
use std::num::NonZeroUsize;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((kind, bytes)) = data.split_first() else { return };
    let mut bytes = bytes.to_vec();
    if kind % 2 == 1 {
        let Some(at) = bytes.windows(2).position(|two| two == b"\n\n") else { return };
        let sum = sha1(&bytes[at + 2..]);
        bytes.extend(sum.as_bytes());
    }
    let dir = tempfile::tempdir().unwrap();
    let scratch = dir.path().join("scratch");
    std::fs::create_dir(&scratch).unwrap();
    let bundle = dir.path().join("bundle");
    std::fs::write(&bundle, bytes).unwrap();
    let read = || {
        let source = Source::bundled(&bundle, "main", &scratch).ok()?;
        let scanned = source.scan(Wanted::GIT, &|_, _| false, NonZeroUsize::MIN, None).ok()?;
        Some(scanned.tree.listing())
    };
    let text = read();
    assert_eq!(std::fs::read_dir(&scratch).unwrap().count(), 0);
    let Some(text) = text else { return };
    assert_eq!(Listing::parse(&text).unwrap().to_string(), text);
    assert_eq!(read(), Some(text));
});
