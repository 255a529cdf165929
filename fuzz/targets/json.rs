//! Any bytes as strict JSON. What is read says the same when it is printed and read again.
#![no_main]

use countersign::json::{Value, parse, print, print_harmless};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(value) = parse::<Value>(data, 1 << 20) else { return };
    assert_eq!(parse::<Value>(&print(&value), 1 << 24).as_ref(), Ok(&value));
    assert_eq!(parse::<Value>(print_harmless(&value).as_bytes(), 1 << 24), Ok(value));
});
