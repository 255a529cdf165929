//! Any text as an OpenSSH public key line: a key that is read is printed in its one form and read again.
#![no_main]

use countersign::signature::PublicKey;

libfuzzer_sys::fuzz_target!(|data: &str| {
    if let Ok(key) = data.parse::<PublicKey>() {
        assert!(data.starts_with(&key.to_string()));
        assert_eq!(key.to_string().parse(), Ok(key));
    }
});
