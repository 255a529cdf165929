//! OpenSSH's private key files (PROTOCOL.key of OpenSSH), as `ssh-keygen` writes them.
//!
//! ```text
//! -----BEGIN OPENSSH PRIVATE KEY-----      base64 of:
//! "openssh-key-v1\0"
//! string cipher, string kdf, string kdf options (bcrypt: string salt, uint32 rounds)
//! uint32 number of keys
//! string public key                         in clear
//! string private part                       encrypted, unless cipher and kdf are "none"
//! ```
//!
//! The clear part is read here, because what `ssh-key` says of a file that it refuses is not enough to tell a person what to do,
//! and because the rounds must be known before they are computed. The private part is `ssh-key`'s.

use super::{KeyError, Passphrase, SigningKey, random};
use crate::signature::{BadKey, PublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ssh_key::private::{Ed25519Keypair, Ed25519PrivateKey, KeypairData};
use ssh_key::public::Ed25519PublicKey;
use ssh_key::{Cipher, Kdf, LineEnding, PrivateKey};
use std::fmt;
use zeroize::Zeroizing;

/// Most rounds of bcrypt that are computed; `ssh-keygen` writes 16 or 24. More would let a file stop the program for hours.
pub const MAX_ROUNDS: u32 = 1024;
/// Rounds of the files that are written.
const ROUNDS: u32 = 32;
const BEGIN: &str = "-----BEGIN ";
const LABEL: &str = "OPENSSH PRIVATE KEY";
const MAGIC: &[u8] = b"openssh-key-v1\0";

/// A private key file whose clear part was read. The private part may still be locked.
pub struct KeyFile {
    raw: Zeroizing<Vec<u8>>,
    public: PublicKey,
    encrypted: bool,
}

/// A private key and the comment that stood beside it.
#[derive(Debug)]
pub struct Unlocked {
    /// The key.
    pub key: SigningKey,
    /// Whatever its maker wrote; untrusted text.
    pub comment: String,
}

impl KeyFile {
    /// Reads the clear part.
    pub fn parse(pem: &[u8]) -> Result<KeyFile, KeyError> {
        let raw = unwrap_pem(pem)?;
        let (public, encrypted) = clear_part(&raw)?;
        Ok(KeyFile { raw, public, encrypted })
    }

    /// Whether a passphrase is needed.
    pub fn needs_passphrase(&self) -> bool {
        self.encrypted
    }

    /// The public key as the clear part states it, **not checked** against the private part; [`unlock`](Self::unlock) does that.
    pub fn stated_public(&self) -> PublicKey {
        self.public
    }

    /// Opens the private part. A passphrase that is not needed is not looked at.
    pub fn unlock(&self, passphrase: Option<&Passphrase>) -> Result<Unlocked, KeyError> {
        let damaged = KeyError::Damaged("its private part does not fit together");
        let closed = PrivateKey::from_bytes(&self.raw).map_err(|err| match err {
            ssh_key::Error::PublicKey => KeyError::Mismatch,
            _ => damaged.clone(),
        })?;
        let open = if self.encrypted {
            let passphrase = passphrase.ok_or(KeyError::MissingPassphrase)?;
            closed.decrypt(&passphrase.0[..]).map_err(|err| match err {
                ssh_key::Error::PublicKey => KeyError::Mismatch,
                ssh_key::Error::Crypto => KeyError::WrongPassphrase,
                _ => damaged.clone(),
            })?
        } else {
            closed
        };
        let pair = open.key_data().ed25519().ok_or(damaged)?;
        let key = SigningKey::from_seed(pair.private.as_ref())?;
        // `ssh-key` compares the copies of the public part with one another; none of them need belong to the seed.
        if key.public != self.public {
            return Err(KeyError::Mismatch);
        }
        Ok(Unlocked { key, comment: open.comment().to_owned() })
    }
}

impl fmt::Debug for KeyFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyFile({})", self.public.fingerprint())
    }
}

/// Writes a key file.
pub(super) fn print(
    key: &SigningKey,
    passphrase: Option<&Passphrase>,
    comment: &str,
) -> Result<Zeroizing<String>, KeyError> {
    print_with(key, passphrase, comment, ROUNDS)
}

fn print_with(
    key: &SigningKey,
    passphrase: Option<&Passphrase>,
    comment: &str,
    rounds: u32,
) -> Result<Zeroizing<String>, KeyError> {
    let pair = Ed25519Keypair {
        public: Ed25519PublicKey(*key.public.as_bytes()),
        private: Ed25519PrivateKey::from_bytes(key.seed()),
    };
    // What could fail here is an empty passphrase and a comment of four gigabytes.
    let failed = |_| KeyError::Damaged("it cannot be written with this passphrase and comment");
    let mut file = PrivateKey::new(KeypairData::Ed25519(pair), comment).map_err(failed)?;
    if let Some(passphrase) = passphrase {
        let (mut salt, mut check) = ([0u8; 16], [0u8; 4]);
        random(&mut salt)?;
        random(&mut check)?;
        let kdf = Kdf::Bcrypt { salt: salt.to_vec(), rounds };
        file =
            file.encrypt_with(Cipher::Aes256Ctr, kdf, u32::from_be_bytes(check), &passphrase.0[..]).map_err(failed)?;
    }
    file.to_openssh(LineEnding::LF).map_err(failed)
}

/// The bytes inside the one block of a file that holds nothing else.
fn unwrap_pem(pem: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let text = std::str::from_utf8(pem).map_err(|_| KeyError::NotAKey)?;
    let Some(label) = text.trim_start().strip_prefix(BEGIN).and_then(|rest| rest.split("-----").next()) else {
        return Err(match text.trim_start().lines().next().unwrap_or_default().parse::<PublicKey>() {
            Ok(_) | Err(BadKey::Algorithm(_) | BadKey::Point) => KeyError::Public,
            _ => KeyError::NotAKey,
        });
    };
    match text.matches(BEGIN).count() {
        1 => {}
        n => return Err(KeyError::SeveralKeys(n)),
    }
    match label {
        LABEL => {}
        label if label.ends_with("PUBLIC KEY") => return Err(KeyError::Public),
        label if label.ends_with("PRIVATE KEY") => return Err(KeyError::Format(label.to_owned())),
        _ => return Err(KeyError::NotAKey),
    }
    let mut lines = text.trim().lines();
    if lines.next() != Some("-----BEGIN OPENSSH PRIVATE KEY-----") {
        return Err(KeyError::Damaged("more on its first line than the mark of its beginning"));
    }
    // Large enough at once: a buffer that grows leaves copies of the secret behind.
    let mut base64 = Zeroizing::new(String::with_capacity(text.len()));
    let mut ended = false;
    for line in lines {
        match line {
            _ if ended => return Err(KeyError::Damaged("text after its end")),
            "-----END OPENSSH PRIVATE KEY-----" => ended = true,
            line => base64.push_str(line),
        }
    }
    if !ended {
        return Err(KeyError::Damaged("its end is missing"));
    }
    let mut raw = Zeroizing::new(Vec::with_capacity(text.len()));
    STANDARD.decode_vec(base64.as_bytes(), &mut raw).map_err(|_| KeyError::Damaged("not base64"))?;
    Ok(raw)
}

/// The public key, and whether the private part is encrypted.
fn clear_part(raw: &[u8]) -> Result<(PublicKey, bool), KeyError> {
    let cut = || KeyError::Damaged("it is cut off");
    let mut fields = Fields(raw.strip_prefix(MAGIC).ok_or(KeyError::Damaged("not in the format openssh-key-v1"))?);
    let (cipher, kdf) = (fields.string().ok_or_else(cut)?, fields.string().ok_or_else(cut)?);
    let options = fields.string().ok_or_else(cut)?;
    match fields.number().ok_or_else(cut)? {
        1 => {}
        0 => return Err(KeyError::Damaged("it holds no key")),
        n => return Err(KeyError::SeveralKeys(n as usize)),
    }
    let mut public = Fields(fields.string().ok_or_else(cut)?);
    let algorithm = public.string().ok_or_else(cut)?;
    if algorithm != b"ssh-ed25519" {
        return Err(KeyError::Algorithm(String::from_utf8_lossy(algorithm).into_owned()));
    }
    let bytes = public.string().and_then(|bytes| bytes.try_into().ok()).filter(|_| public.0.is_empty());
    let public = bytes.and_then(|bytes| PublicKey::from_bytes(bytes).ok());
    let public = public.ok_or(KeyError::Damaged("its public part is not an Ed25519 key"))?;
    match (cipher, kdf) {
        (b"none", b"none") => Ok((public, false)),
        (b"aes256-ctr" | b"aes256-gcm@openssh.com" | b"aes256-cbc", b"bcrypt") => {
            let mut options = Fields(options);
            options.string().ok_or_else(cut)?;
            match options.number().ok_or_else(cut)? {
                0 => Err(KeyError::Damaged("its passphrase is stretched by 0 rounds")),
                rounds if rounds > MAX_ROUNDS => Err(KeyError::Rounds(rounds)),
                _ => Ok((public, true)),
            }
        }
        (cipher, kdf) => {
            Err(KeyError::Cipher(format!("{} {}", String::from_utf8_lossy(cipher), String::from_utf8_lossy(kdf))))
        }
    }
}

/// SSH's wire form: numbers of four bytes, strings with their length before them.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn number(&mut self) -> Option<u32> {
        let (head, tail) = self.0.split_first_chunk()?;
        self.0 = tail;
        Some(u32::from_be_bytes(*head))
    }

    fn string(&mut self) -> Option<&'a [u8]> {
        let len = self.number()? as usize;
        let (head, tail) = self.0.split_at_checked(len)?;
        self.0 = tail;
        Some(head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> SigningKey {
        SigningKey::from_seed(&[7; 32]).unwrap()
    }

    fn pass(text: &str) -> Passphrase {
        Passphrase::new(text.as_bytes().to_vec())
    }

    fn pem(raw: &[u8]) -> String {
        format!("-----BEGIN OPENSSH PRIVATE KEY-----\n{}\n-----END OPENSSH PRIVATE KEY-----\n", STANDARD.encode(raw))
    }

    fn open(raw: &[u8], passphrase: Option<&Passphrase>) -> Result<Unlocked, KeyError> {
        KeyFile::parse(pem(raw).as_bytes())?.unlock(passphrase)
    }

    fn raw(text: &str) -> Vec<u8> {
        unwrap_pem(text.as_bytes()).unwrap().to_vec()
    }

    fn at(raw: &[u8], part: &[u8], nth: usize) -> usize {
        (0..raw.len()).filter(|at| raw[*at..].starts_with(part)).nth(nth).unwrap()
    }

    #[test]
    fn in_clear_and_its_tampered_twins() {
        let text = key().to_openssh(None, "a comment").unwrap();
        let file = KeyFile::parse(text.as_bytes()).unwrap();
        assert!(!file.needs_passphrase());
        assert_eq!(file.stated_public(), key().public());
        let unlocked = file.unlock(None).unwrap();
        assert_eq!((unlocked.key.seed(), &unlocked.comment[..]), (&[7; 32], "a comment"));
        let crlf = text.replace('\n', "\r\n");
        assert_eq!(SigningKey::from_openssh(crlf.as_bytes(), None).unwrap().public(), key().public());

        // A flipped bit never gives another key. Where `ssh-key` does not look closely (lengths in the private part) it gives the same.
        let good = raw(&text);
        let mut refused = 0;
        for byte in 0..good.len() {
            let mut bad = good.clone();
            bad[byte] ^= 1;
            match open(&bad, None) {
                Ok(unlocked) => assert_eq!(unlocked.key.seed(), &[7; 32], "byte {byte}"),
                Err(_) => refused += 1,
            }
        }
        assert!(refused > good.len() - 20, "{refused} of {}", good.len());
        for len in 0..good.len() {
            assert!(open(&good[..len], None).is_err(), "{len}");
        }
        assert!(open(&[&good[..], b"\0"].concat(), None).is_err());
    }

    #[test]
    fn public_part_of_another_key() {
        let other = SigningKey::from_seed(&[8; 32]).unwrap();
        let good = raw(&key().to_openssh(None, "").unwrap());
        let put = |which: &[usize]| {
            let mut bad = good.clone();
            for nth in which {
                let at = at(&good, key().public().as_bytes(), *nth);
                bad[at..at + 32].copy_from_slice(other.public().as_bytes());
            }
            open(&bad, None).unwrap_err()
        };
        assert_eq!(put(&[0]), KeyError::Mismatch);
        assert_eq!(put(&[0, 1, 2]), KeyError::Mismatch);
        assert!(matches!(put(&[1]), KeyError::Damaged(_)));
        assert!(matches!(put(&[2]), KeyError::Damaged(_)));

        let mut bad = raw(&print_with(&key(), Some(&pass("p")), "", 1).unwrap());
        let at = at(&bad, key().public().as_bytes(), 0);
        bad[at..at + 32].copy_from_slice(other.public().as_bytes());
        assert_eq!(open(&bad, Some(&pass("p"))).unwrap_err(), KeyError::Mismatch);
    }

    #[test]
    fn encrypted_and_its_tampered_twins() {
        let text = print_with(&key(), Some(&pass("correct horse")), "c", 1).unwrap();
        let file = KeyFile::parse(text.as_bytes()).unwrap();
        assert!(file.needs_passphrase());
        assert_eq!(file.unlock(Some(&pass("correct horse"))).unwrap().key.seed(), &[7; 32]);
        assert_eq!(file.unlock(None).unwrap_err(), KeyError::MissingPassphrase);
        for wrong in ["", "correct hors", "correct horse\n", "Correct horse"] {
            assert_eq!(file.unlock(Some(&pass(wrong))).unwrap_err(), KeyError::WrongPassphrase);
        }
        assert!(!raw(&text).windows(32).any(|part| part == [7; 32]));
        // Salt and checkint are new each time.
        assert_ne!(print_with(&key(), Some(&pass("correct horse")), "c", 1).unwrap(), text);
        assert!(key().to_openssh(Some(&pass("")), "").is_err());
    }

    #[test]
    fn rounds_are_bounded_before_they_are_computed() {
        let good = raw(&print_with(&key(), Some(&pass("p")), "", 1).unwrap());
        // cipher "aes256-ctr", kdf "bcrypt", options: length, salt's length, salt, rounds.
        let at = MAGIC.len() + 4 + 10 + 4 + 6 + 4 + 4 + 16;
        let with = |rounds: u32| {
            let mut bad = good.clone();
            bad[at..at + 4].copy_from_slice(&rounds.to_be_bytes());
            KeyFile::parse(pem(&bad).as_bytes()).map(|_| ())
        };
        assert_eq!(with(1), Ok(()));
        assert_eq!(with(MAX_ROUNDS), Ok(()));
        assert_eq!(with(MAX_ROUNDS + 1), Err(KeyError::Rounds(MAX_ROUNDS + 1)));
        assert_eq!(with(u32::MAX), Err(KeyError::Rounds(u32::MAX)));
        assert!(matches!(with(0), Err(KeyError::Damaged(_))));
    }

    #[test]
    fn what_is_no_such_file() {
        let text = key().to_openssh(None, "").unwrap().to_string();
        let line = key().public().to_string();
        let two = raw(&text);
        let count = at(&two, &[0, 0, 0, 1], 0);
        let with_count = |n: u8| {
            let mut bad = two.clone();
            bad[count + 3] = n;
            pem(&bad)
        };
        let rsa = [MAGIC, b"\0\0\0\x04none\0\0\0\x04none\0\0\0\0\0\0\0\x01\0\0\0\x0b\0\0\0\x07ssh-rsa"].concat();
        let own = [MAGIC, b"\0\0\0\x03rot\0\0\0\x06bcrypt", &two[MAGIC.len() + 16..]].concat();
        let damaged = |why| KeyError::Damaged(why);
        for (text, why) in [
            (String::new(), KeyError::NotAKey),
            ("hello".into(), KeyError::NotAKey),
            ("-----BEGIN CERTIFICATE-----\n".into(), KeyError::NotAKey),
            (format!("{line} c\n"), KeyError::Public),
            ("ssh-rsa AAAAB3NzaC1yc2E= c".into(), KeyError::Public),
            (key().public().to_pem(), KeyError::Public),
            (
                "-----BEGIN PRIVATE KEY-----\nMC4=\n-----END PRIVATE KEY-----".into(),
                KeyError::Format("PRIVATE KEY".into()),
            ),
            ("-----BEGIN RSA PRIVATE KEY-----\n".into(), KeyError::Format("RSA PRIVATE KEY".into())),
            (format!("{text}{text}"), KeyError::SeveralKeys(2)),
            (with_count(3), KeyError::SeveralKeys(3)),
            (with_count(0), damaged("it holds no key")),
            (format!("{text}{line}\n"), damaged("text after its end")),
            (text.replace("-----END OPENSSH PRIVATE KEY-----", ""), damaged("its end is missing")),
            (text.replacen("AAAA", "AA*A", 1), damaged("not base64")),
            (pem(b"openssh-key-v2\0"), damaged("not in the format openssh-key-v1")),
            (pem(MAGIC), damaged("it is cut off")),
            (pem(&rsa), KeyError::Algorithm("ssh-rsa".into())),
            (pem(&own), KeyError::Cipher("rot bcrypt".into())),
        ] {
            assert_eq!(KeyFile::parse(text.as_bytes()).map(|_| ()), Err(why), "{text}");
        }
        assert_eq!(KeyFile::parse(b"\xff").map(|_| ()), Err(KeyError::NotAKey));
    }
}
