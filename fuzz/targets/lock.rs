//! Any text as a lock: what is read is printed byte for byte.
#![no_main]

use countersign::lock::Lock;

libfuzzer_sys::fuzz_target!(|data: &str| {
    if let Ok(lock) = Lock::parse(data) {
        assert_eq!(lock.to_string(), data);
    }
});
