//! Signing. With `signature.rs` the only user of `ed25519-dalek`; `openssh.rs` is the only user of `ssh-key`.
//!
//! A secret lives in three types: [`SigningKey`], [`Passphrase`] and [`KeyFile`]. None of them shows itself, none can be copied, and all wipe their
//! memory when they go. The seed leaves this room in one way: as the text of a key file.

pub mod file;
mod openssh;

pub use openssh::{KeyFile, Unlocked};

use crate::envelope::Envelope;
use crate::signature::{PublicKey, SIGNATURE_LEN};
use ed25519_dalek::Signer as _;
use std::fmt;
use zeroize::Zeroizing;

/// A private key, ready to sign.
pub struct SigningKey {
    secret: ed25519_dalek::SigningKey,
    public: PublicKey,
}

/// What opens an encrypted key file: bytes, not necessarily UTF-8.
pub struct Passphrase(Zeroizing<Vec<u8>>);

/// Why text is not a private key that can be used. Never holds a part of the text but names of algorithms.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Encrypted, and no passphrase was given.
    #[error("the key is encrypted and no passphrase was given")]
    MissingPassphrase,
    /// The passphrase does not open it. Only an authenticated cipher could tell this from damage.
    #[error("wrong passphrase (or the file is damaged)")]
    WrongPassphrase,
    /// A public key where a private one belongs.
    #[error("this is a public key; the private one is needed")]
    Public,
    /// A private key in another format, with its PEM label.
    #[error("a key in the format \"BEGIN {0}\"; only \"BEGIN OPENSSH PRIVATE KEY\" is read")]
    Format(String),
    /// No key of any kind.
    #[error("not an OpenSSH private key")]
    NotAKey,
    /// A key of another algorithm.
    #[error("a key of type {0:?}; only ssh-ed25519 is supported")]
    Algorithm(String),
    /// Encrypted by other means than OpenSSH's own.
    #[error("encrypted with {0:?}; aes256-ctr, aes256-gcm@openssh.com and aes256-cbc with bcrypt are read")]
    Cipher(String),
    /// So many rounds that opening the file would not end.
    #[error("its passphrase is stretched by {0} rounds; at most {max} are computed", max = openssh::MAX_ROUNDS)]
    Rounds(u32),
    /// More than one key.
    #[error("it holds {0} keys; exactly one is read")]
    SeveralKeys(usize),
    /// The public part is not that of the secret.
    #[error("its public part does not belong to its private part")]
    Mismatch,
    /// Cut off or changed.
    #[error("the key file is damaged: {0}")]
    Damaged(&'static str),
    /// No random bytes from the operating system.
    #[error("the operating system gave no random bytes: {0}")]
    Random(String),
}

impl SigningKey {
    /// A new key from the random bytes of the operating system.
    pub fn generate() -> Result<SigningKey, KeyError> {
        let mut seed = Zeroizing::new([0u8; 32]);
        random(&mut *seed)?;
        SigningKey::from_seed(&seed)
    }

    /// Reads the text of an OpenSSH private key file.
    pub fn from_openssh(pem: &[u8], passphrase: Option<&Passphrase>) -> Result<SigningKey, KeyError> {
        Ok(KeyFile::parse(pem)?.unlock(passphrase)?.key)
    }

    /// The text of an OpenSSH private key file, encrypted when a passphrase is given. `comment` is for people.
    pub fn to_openssh(&self, passphrase: Option<&Passphrase>, comment: &str) -> Result<Zeroizing<String>, KeyError> {
        openssh::print(self, passphrase, comment)
    }

    /// The public key.
    pub fn public(&self) -> PublicKey {
        self.public
    }

    /// Signs bytes: pure Ed25519 (RFC 8032), deterministic.
    pub fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_LEN] {
        self.secret.sign(message).to_bytes()
    }

    /// Puts a payload into an envelope with one signature.
    pub fn sign_envelope(&self, payload: Vec<u8>) -> Envelope {
        Envelope::sign(payload, &self.public, |message| self.sign(message))
    }

    fn from_seed(seed: &[u8; 32]) -> Result<SigningKey, KeyError> {
        let secret = ed25519_dalek::SigningKey::from_bytes(seed);
        // dalek computes the public part from the seed, so a signature can never be made with another's.
        let public = PublicKey::from_bytes(secret.verifying_key().to_bytes()).map_err(|_| KeyError::Mismatch)?;
        Ok(SigningKey { secret, public })
    }

    fn seed(&self) -> &[u8; 32] {
        self.secret.as_bytes()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public.fingerprint())
    }
}

impl Passphrase {
    /// Takes the bytes over; they are wiped in the end.
    pub fn new(bytes: Vec<u8>) -> Passphrase {
        Passphrase(Zeroizing::new(bytes))
    }

    /// Whether it has no bytes: it opens nothing and protects nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether both are the same.
    pub fn is(&self, other: &Passphrase) -> bool {
        self.0 == other.0
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase")
    }
}

fn random(bytes: &mut [u8]) -> Result<(), KeyError> {
    getrandom::fill(bytes).map_err(|err| KeyError::Random(err.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8032, section 7.1, test 2.
    #[test]
    fn signs_as_the_rfc_does() {
        let hex = |text: &str| -> Vec<u8> {
            (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
        };
        let seed = hex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb");
        let key = SigningKey::from_seed(seed[..].try_into().unwrap()).unwrap();
        assert_eq!(
            key.public().as_bytes()[..],
            hex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
        );
        let sig = key.sign(&[0x72]);
        assert_eq!(
            sig[..],
            hex(
                "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
            )
        );
        assert!(key.public().verifies(&[0x72], &sig));
        assert!(!key.public().verifies(&[0x73], &sig));
    }

    #[test]
    fn envelopes_are_by_this_key_and_no_other() {
        let (key, other) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
        let envelope = key.sign_envelope(b"{}".to_vec());
        assert_eq!(envelope.signers(&[other.public(), key.public()]), [1]);
        assert_eq!(envelope.signers(&[other.public()]), [0usize; 0]);
        assert_eq!(envelope.signatures()[0].keyid, key.public().fingerprint());
    }

    #[test]
    fn secrets_do_not_show_themselves() {
        let key = SigningKey::from_seed(&[0x41; 32]).unwrap();
        assert_eq!(format!("{key:?}"), format!("SigningKey({})", key.public().fingerprint()));
        assert_eq!(format!("{:?}", Passphrase::new(b"hunter2".to_vec())), "Passphrase");
    }
}
