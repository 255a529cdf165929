//! Any bytes as an archive, of whatever form they begin like; the first one says how much is stripped. What is read is a tree with a listing.
#![no_main]

use countersign::archive::tree;
use countersign::digest::Wanted;
use countersign::tree::Listing;
use std::io::Write as _;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((strip, bytes)) = data.split_first() else { return };
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    if let Ok(scanned) = tree(file.path(), strip % 9, Wanted::GIT, &|_, _| false, 1 << 20, None) {
        let text = scanned.tree.listing();
        assert_eq!(Listing::parse(&text).unwrap().to_string(), text);
    }
});
