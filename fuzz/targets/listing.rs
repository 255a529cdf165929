//! Any text as a listing: what is read is printed byte for byte.
#![no_main]

use countersign::tree::Listing;

libfuzzer_sys::fuzz_target!(|data: &str| {
    if let Ok(listing) = Listing::parse(data) {
        assert_eq!(listing.to_string(), data);
    }
});
