//! Public keys and verifying. Pure; with `keys/` the only module that names `ed25519-dalek`.
//!
//! A public key is written as OpenSSH writes it: `ssh-ed25519 AAAA… comment`. Verifying is strict (RFC 8032 with S < L, canonical
//! encodings, no points of small order), because two verifiers that disagree about one signature are a way to show different
//! people different truths. The hard cases of Wycheproof run in this module's tests.

use crate::digest;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use std::fmt;
use std::str::FromStr;

/// Length of a signature in bytes.
pub const SIGNATURE_LEN: usize = 64;

/// An Ed25519 public key. Two are equal when their bytes are; there is one encoding a key, since others are refused.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PublicKey([u8; 32]);

/// Why text or bytes are not a public key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    /// A private key where a public one belongs. Its text is not shown.
    #[error("this is a private key; the public one is needed (the line in the .pub file)")]
    Private,
    /// A key of another algorithm.
    #[error("a key of type {0:?}; only ssh-ed25519 is supported")]
    Algorithm(String),
    /// Anything else that is not `ssh-ed25519 AAAA… [comment]`.
    #[error("not an OpenSSH public key line (`ssh-ed25519 AAAA… [comment]`)")]
    Malformed,
    /// Not a point, not canonical, or of small order.
    #[error("not a valid Ed25519 public key")]
    Point,
}

impl PublicKey {
    /// Checks 32 raw bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<PublicKey, BadKey> {
        let point = ed25519_dalek::VerifyingKey::from_bytes(&bytes).map_err(|_| BadKey::Point)?;
        // Re-encoding the point shows whether these bytes are its one canonical spelling: thresholds count keys by their bytes.
        if point.is_weak() || point.to_edwards().compress().to_bytes() != bytes {
            return Err(BadKey::Point);
        }
        Ok(PublicKey(bytes))
    }

    /// The raw bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// As `ssh-keygen -l` shows it: `SHA256:` and unpadded base64. The `keyid` of our envelopes.
    pub fn fingerprint(&self) -> String {
        format!("SHA256:{}", STANDARD_NO_PAD.encode(digest::sha256(&self.blob()).as_bytes()))
    }

    /// The builder id that goes with this key when no other is given.
    pub fn default_builder(&self) -> String {
        format!("urn:countersign:builder:{}", self.fingerprint())
    }

    /// The DER form (SubjectPublicKeyInfo) that OpenSSL reads.
    pub fn to_spki_der(&self) -> Vec<u8> {
        // SEQUENCE { SEQUENCE { OID 1.3.101.112 } BIT STRING }, RFC 8410.
        let mut der = vec![0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
        der.extend_from_slice(&self.0);
        der
    }

    /// The same as PEM.
    pub fn to_pem(&self) -> String {
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(self.to_spki_der()))
    }

    /// Whether `signature` is this key's strict, pure Ed25519 signature over `message`.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let Ok(signature) = ed25519_dalek::Signature::from_slice(signature) else { return false };
        let Ok(key) = ed25519_dalek::VerifyingKey::from_bytes(&self.0) else { return false };
        key.verify_strict(message, &signature).is_ok()
    }

    /// The SSH wire form: the algorithm's name and the key, each with a four-byte length.
    fn blob(&self) -> Vec<u8> {
        [&11u32.to_be_bytes()[..], b"ssh-ed25519", &32u32.to_be_bytes(), &self.0].concat()
    }
}

impl FromStr for PublicKey {
    type Err = BadKey;

    /// Reads one OpenSSH line; a line feed at its end may be there.
    fn from_str(text: &str) -> Result<PublicKey, BadKey> {
        if text.contains("PRIVATE KEY") {
            return Err(BadKey::Private);
        }
        let line = text.strip_suffix('\n').unwrap_or(text);
        if line.contains(['\n', '\r']) {
            return Err(BadKey::Malformed);
        }
        let mut words = line.splitn(3, ' ');
        match (words.next(), words.next()) {
            (Some("ssh-ed25519"), Some(base64)) => {
                let blob = STANDARD.decode(base64).map_err(|_| BadKey::Malformed)?;
                let bytes: [u8; 32] = blob.get(19..).and_then(|tail| tail.try_into().ok()).ok_or(BadKey::Malformed)?;
                let key = PublicKey::from_bytes(bytes)?;
                if key.blob() == blob { Ok(key) } else { Err(BadKey::Malformed) }
            }
            (Some(name), Some(base64)) if base64.starts_with("AAAA") => Err(BadKey::Algorithm(name.to_owned())),
            _ => Err(BadKey::Malformed),
        }
    }
}

impl fmt::Display for PublicKey {
    /// The OpenSSH line without comment.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ssh-ed25519 {}", STANDARD.encode(self.blob()))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.fingerprint())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop";

    #[test]
    fn one_line_each_way() {
        let key: PublicKey = LINE.parse().unwrap();
        assert_eq!(key.to_string(), LINE);
        assert_eq!(format!("{LINE} somebody\n").parse::<PublicKey>().unwrap(), key);
        // `ssh-keygen -l` of the same line.
        assert_eq!(key.fingerprint(), "SHA256:tAXFyTXI8xtDaujAEcwJslAYc9/6FKcUkd2Lw0xDhPo");
        for (text, why) in [
            ("ssh-rsa AAAAB3NzaC1yc2E=", BadKey::Algorithm("ssh-rsa".into())),
            ("-----BEGIN OPENSSH PRIVATE KEY-----", BadKey::Private),
            (&LINE.replace("ssh-ed25519 ", "ssh-ed25519  "), BadKey::Malformed),
            (&format!("{LINE}\n{LINE}\n"), BadKey::Malformed),
            (&LINE[..LINE.len() - 4], BadKey::Malformed),
            ("", BadKey::Malformed),
        ] {
            assert_eq!(text.parse::<PublicKey>(), Err(why), "{text}");
        }
    }

    #[test]
    fn points_of_small_order_and_second_spellings_are_no_keys() {
        let mut one = [0; 32];
        one[0] = 1;
        assert_eq!(PublicKey::from_bytes(one), Err(BadKey::Point));
        assert_eq!(PublicKey::from_bytes([0; 32]), Err(BadKey::Point));
        // y = p + 1, a second spelling of y = 1.
        let mut second = [0xff; 32];
        second[0] = 0xee;
        second[31] = 0x7f;
        assert_eq!(PublicKey::from_bytes(second), Err(BadKey::Point));
    }

    #[test]
    fn wycheproof() {
        let set = wycheproof::eddsa::TestSet::load(wycheproof::eddsa::TestName::Ed25519).unwrap();
        let (mut valid, mut refused) = (0, 0);
        for group in set.test_groups {
            let key = PublicKey::from_bytes(group.key.pk[..].try_into().unwrap());
            for case in group.tests {
                let good = key.as_ref().is_ok_and(|key| key.verifies(&case.msg, &case.sig));
                assert_eq!(good, case.result == wycheproof::TestResult::Valid, "case {}: {}", case.tc_id, case.comment);
                *(if good { &mut valid } else { &mut refused }) += 1;
            }
        }
        assert!(valid >= 80 && refused >= 60, "{valid} valid, {refused} refused");
    }
}
