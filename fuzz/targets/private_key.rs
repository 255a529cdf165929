//! Any bytes as an OpenSSH private key file. One that opens without a passphrase is written and read again, the same.
#![no_main]

use countersign::keys::{KeyFile, SigningKey};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(file) = KeyFile::parse(data) else { return };
    // Up to 1024 rounds of bcrypt are for people who know the passphrase.
    if !file.needs_passphrase()
        && let Ok(unlocked) = file.unlock(None)
    {
        assert_eq!(unlocked.key.public(), file.stated_public());
        let text = unlocked.key.to_openssh(None, "").unwrap();
        assert_eq!(SigningKey::from_openssh(text.as_bytes(), None).unwrap().public(), unlocked.key.public());
    }
});
