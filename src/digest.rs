//! Digests, as bytes behind types, and the hashers that make them. The only module that names `sha2`, `sha1` and `blake3`.
//!
//! Each id has a type of its own, so that the digest of a tree cannot stand where the digest of a file is asked for. Text is
//! lower-case hex; [`FromStr`] takes nothing else. Statements by other tools may write upper case: `from_any_case`.

use sha2::Digest as _;
use std::fmt;
use std::str::FromStr;

/// Text that is not a digest of the expected kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a {kind} digest: {want} lower-case hex digits are needed")]
pub struct BadDigest {
    kind: &'static str,
    want: usize,
}

const HEX: &[u8; 16] = b"0123456789abcdef";

macro_rules! digest {
    ($(#[$doc:meta])* $name:ident, $len:literal, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $len]);

        impl $name {
            /// The raw bytes.
            pub fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }

            /// Raw bytes as a digest.
            pub fn from_bytes(bytes: [u8; $len]) -> Self {
                Self(bytes)
            }

            /// Hex in either case: what the reader of a foreign statement accepts.
            pub fn from_any_case(text: &str) -> Result<Self, BadDigest> {
                let bad = BadDigest { kind: $kind, want: $len * 2 };
                let hex = text.as_bytes();
                if hex.len() != $len * 2 {
                    return Err(bad);
                }
                let mut bytes = [0u8; $len];
                for (byte, pair) in bytes.iter_mut().zip(hex.chunks_exact(2)) {
                    let digit = |d: u8| (d as char).to_digit(16).ok_or_else(|| bad.clone());
                    *byte = (digit(pair[0])? * 16 + digit(pair[1])?) as u8;
                }
                Ok(Self(bytes))
            }
        }

        impl FromStr for $name {
            type Err = BadDigest;
            fn from_str(text: &str) -> Result<Self, BadDigest> {
                if text.bytes().any(|b| b.is_ascii_uppercase()) {
                    return Err(BadDigest { kind: $kind, want: $len * 2 });
                }
                Self::from_any_case(text)
            }
        }

        impl $name {
            /// Appends the lower-case hex.
            pub fn print(&self, text: &mut String) {
                // In one piece: a listing holds millions of digests, and `{:02x}` for each byte costs more than the hashing.
                let mut hex = [0; $len * 2];
                for (pair, byte) in hex.chunks_exact_mut(2).zip(&self.0) {
                    pair[0] = HEX[usize::from(byte >> 4)];
                    pair[1] = HEX[usize::from(byte & 15)];
                }
                text.extend(std::str::from_utf8(&hex));
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut text = String::with_capacity($len * 2);
                self.print(&mut text);
                f.write_str(&text)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }

        /// Accepts either case of hex, as the reader of statements must.
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(d)?;
                Self::from_any_case(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

digest!(
    /// SHA-256 of some bytes.
    Sha256, 32, "sha256");
digest!(
    /// SHA-512 of some bytes: what npm's lock files name packages by.
    Sha512, 64, "sha512");
digest!(
    /// BLAKE3 (256 bit) of some bytes.
    Blake3, 32, "blake3");
digest!(
    /// SHA-1, as git uses it for object ids. Never trusted alone.
    Sha1, 20, "sha1");
digest!(
    /// SHA-256 of a listing ([`crate::tree`]).
    TreeDigest, 32, "tree");
digest!(
    /// SHA-256 of the payload bytes of an envelope: the identity of a statement.
    PayloadDigest, 32, "payload");
digest!(
    /// SHA-256 of a build order ([`crate::statement`]).
    OrderDigest, 32, "build order");

/// A listing's SHA-256 is its tree's digest.
impl From<Sha256> for TreeDigest {
    fn from(listing: Sha256) -> TreeDigest {
        TreeDigest(listing.0)
    }
}

/// What is known of the bytes of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content {
    /// Length in bytes.
    pub size: u64,
    /// SHA-256, always there.
    pub sha256: Sha256,
    /// BLAKE3, when it was asked for.
    pub blake3: Option<Blake3>,
    /// The id of a git blob with these bytes, when it was asked for.
    pub git_blob: Option<Sha1>,
    /// The id of that blob in a repository of object format `sha256`, when it was asked for.
    pub git_blob_sha256: Option<Sha256>,
}

/// Which digests to compute beside SHA-256.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// BLAKE3.
    pub blake3: bool,
    /// The git blob id (SHA-1).
    pub git_blob: bool,
    /// The git blob id (SHA-256).
    pub git_blob_sha256: bool,
}

impl Wanted {
    /// SHA-256 and BLAKE3: a subject's digests.
    pub const SUBJECT: Wanted = Wanted { blake3: true, git_blob: false, git_blob_sha256: false };
    /// SHA-256 and the git blob id in both object formats: a source file's digests.
    pub const GIT: Wanted = Wanted { blake3: false, git_blob: true, git_blob_sha256: true };
    /// Everything there is.
    pub const ALL: Wanted = Wanted { blake3: true, git_blob: true, git_blob_sha256: true };
}

/// SHA-256 of bytes at hand.
pub fn sha256(bytes: &[u8]) -> Sha256 {
    Sha256(sha2::Sha256::digest(bytes).into())
}

/// SHA-1 of bytes at hand, for git object ids.
pub fn sha1(bytes: &[u8]) -> Sha1 {
    Sha1(sha1::Sha1::digest(bytes).into())
}

/// Everything wanted about bytes at hand.
pub fn content(bytes: &[u8], wanted: Wanted) -> Content {
    let mut hasher = ContentHasher::new(bytes.len() as u64, wanted);
    hasher.update(bytes);
    hasher.finish()
}

/// SHA-256, fed piece by piece.
#[derive(Clone, Default)]
pub struct Sha256Hasher(sha2::Sha256);

impl Sha256Hasher {
    /// Feeds more bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all that was fed.
    pub fn finish(self) -> Sha256 {
        Sha256(self.0.finalize().into())
    }
}

/// SHA-512, fed piece by piece.
#[derive(Clone, Default)]
pub struct Sha512Hasher(sha2::Sha512);

impl Sha512Hasher {
    /// Feeds more bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all that was fed.
    pub fn finish(self) -> Sha512 {
        Sha512(self.0.finalize().into())
    }
}

/// BLAKE3, fed piece by piece.
#[derive(Clone, Default)]
pub struct Blake3Hasher(blake3::Hasher);

impl Blake3Hasher {
    /// Feeds more bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all that was fed.
    pub fn finish(self) -> Blake3 {
        Blake3(*self.0.finalize().as_bytes())
    }
}

/// Every wanted digest of one file in one pass on one thread. Large files are better split over threads: see [`crate::scan`].
#[derive(Clone)]
pub struct ContentHasher {
    size: u64,
    sha256: Sha256Hasher,
    blake3: Option<Blake3Hasher>,
    git: Option<sha1::Sha1>,
    git_sha256: Option<Sha256Hasher>,
}

impl ContentHasher {
    /// `expected` is the file's length as `fstat` gave it; a git blob id begins with it.
    pub fn new(expected: u64, wanted: Wanted) -> ContentHasher {
        ContentHasher {
            size: 0,
            sha256: Sha256Hasher::default(),
            blake3: wanted.blake3.then(Blake3Hasher::default),
            git: wanted.git_blob.then(|| {
                let mut sha1 = sha1::Sha1::new();
                sha1.update(format!("blob {expected}\0").as_bytes());
                sha1
            }),
            git_sha256: wanted.git_blob_sha256.then(|| {
                let mut sha256 = Sha256Hasher::default();
                sha256.update(format!("blob {expected}\0").as_bytes());
                sha256
            }),
        }
    }

    /// Feeds more bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.size += bytes.len() as u64;
        self.sha256.update(bytes);
        if let Some(blake3) = &mut self.blake3 {
            blake3.update(bytes);
        }
        if let Some(git) = &mut self.git {
            git.update(bytes);
        }
        if let Some(git) = &mut self.git_sha256 {
            git.update(bytes);
        }
    }

    /// All digests. The caller compares `size` with what it expected: a difference is a file that changed while it was read.
    pub fn finish(self) -> Content {
        Content {
            size: self.size,
            sha256: self.sha256.finish(),
            blake3: self.blake3.map(Blake3Hasher::finish),
            git_blob: self.git.map(|git| Sha1(git.finalize().into())),
            git_blob_sha256: self.git_sha256.map(Sha256Hasher::finish),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_digests() {
        let abc = content(b"abc", Wanted::ALL);
        assert_eq!(abc.sha256.to_string(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(abc.blake3.unwrap().to_string(), "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85");
        let mut sha512 = Sha512Hasher::default();
        sha512.update(b"abc");
        assert!(sha512.finish().to_string().starts_with("ddaf35a193617abacc417349ae20413112e6fa4e89a97ea2"));
        // `printf abc | git hash-object --stdin`
        assert_eq!(abc.git_blob.unwrap().to_string(), "f2ba8f84ab5c1bce84a7b441cb1959cfc7093b7f");
        // The same in a repository of object format sha256.
        let sha256 = "c1cf6e465077930e88dc5136641d402f72a229ddd996f627d60e9639eaba35a6";
        assert_eq!(abc.git_blob_sha256.unwrap().to_string(), sha256);
    }

    #[test]
    fn one_spelling() {
        let text = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(text.parse::<Sha256>().unwrap().to_string(), text);
        assert!(text.to_uppercase().parse::<Sha256>().is_err());
        assert!(Sha256::from_any_case(&text.to_uppercase()).is_ok());
        assert!(text[1..].parse::<Sha256>().is_err());
        assert!(format!("{}g", &text[1..]).parse::<Sha256>().is_err());
        assert!(format!("+{}", &text[1..]).parse::<Sha256>().is_err());
    }
}
