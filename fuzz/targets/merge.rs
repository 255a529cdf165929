//! Bundles, parted by NUL, made one. No line is lost or made up, and nothing is added when it is done again.
#![no_main]

use countersign::merge::{Manifests, merge};
use std::collections::BTreeSet;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let bundles: Vec<&[u8]> = data.split(|byte| *byte == 0).collect();
    let Ok(merged) = merge(&bundles, &Manifests::Claimed) else { return };
    let lines = |bytes: &[u8]| -> BTreeSet<Vec<u8>> {
        bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect()
    };
    assert_eq!(lines(&merged.bytes), bundles.iter().flat_map(|bundle| lines(bundle)).collect());
    assert_eq!(merged.lines, lines(&merged.bytes).len());
    let again = [&[merged.bytes.as_slice()], bundles.as_slice()].concat();
    assert_eq!(merge(&again, &Manifests::Claimed).unwrap().bytes, merged.bytes);
});
