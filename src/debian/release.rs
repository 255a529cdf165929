//! `InRelease` files: what a suite consists of, signed by the archive. Nothing in it is believed before a signature holds, and nothing of the
//! file but the signed text is looked at.

use super::clearsign::{self, NotSigned};
use super::control::{self, ControlError, Stanza};
use super::index::{is_filename, number};
use super::openpgp::{Alive, Keyring, KeyringError, Refused, Signer};
use super::relation::{is_architecture, is_name};
use crate::digest::Sha256;
use std::collections::BTreeMap;

/// Most bytes of the file. Debian's have 200 KiB.
pub const MAX: usize = 32 << 20;

/// A signed `InRelease` file: only [`Release::open`] makes one.
#[derive(Debug)]
pub struct Release {
    /// Whose signatures are good; at least one.
    pub signers: Vec<Signer>,
    /// Why other signatures were not counted.
    pub refused: Vec<Refused>,
    /// As `stable`, which names another suite in two years.
    pub suite: Option<String>,
    /// As `bookworm`.
    pub codename: Option<String>,
    /// Who publishes it.
    pub origin: Option<String>,
    /// As `13.1`.
    pub version: Option<String>,
    /// Architectures, as `amd64`.
    pub architectures: Vec<String>,
    /// Components, as `main`.
    pub components: Vec<String>,
    /// When it was made, in seconds since 1970.
    pub date: i64,
    /// Until when it is valid. A mirror can withhold what is newer for so long, and for ever when there is no such time.
    pub valid_until: Option<i64>,
    /// Whether indices are also to be had by their digest.
    pub by_hash: bool,
    /// The index files: paths below the directory of the suite, with length and digest.
    pub files: BTreeMap<String, (u64, Sha256)>,
}

/// An `InRelease` file that is not to be believed.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    /// More than the limit.
    #[error("it is longer than {MAX} bytes")]
    TooLong,
    /// It is not a signed text.
    #[error("it is not a signed text: {0}")]
    NotSigned(#[from] NotSigned),
    /// The signatures cannot be read.
    #[error("its signatures cannot be read: {0}")]
    Signatures(KeyringError),
    /// No signature counts.
    #[error("it has no valid signature{}", reasons(.0))]
    Refused(Vec<Refused>),
    /// What is signed is no control file.
    #[error("the signed text: {0}")]
    Control(#[from] ControlError),
    /// A field that cannot be understood.
    #[error("the signed text: {field} is {}", value.escape_default())]
    Value {
        /// Which.
        field: &'static str,
        /// What stands there.
        value: String,
    },
}

fn reasons(refused: &[Refused]) -> String {
    refused.iter().enumerate().map(|(at, why)| format!("{} {why}", if at == 0 { ":" } else { ";" })).collect()
}

impl Release {
    /// Reads the file if one of its signatures is by a key of `keyring` that may sign at the time `at`, in seconds since 1970. Whether it is
    /// too old by [`date`](Self::date) and [`valid_until`](Self::valid_until) is the caller's to judge.
    pub fn open(bytes: &[u8], keyring: &Keyring, at: i64) -> Result<Release, ReleaseError> {
        Release::signed(bytes, keyring, at, Alive::Now)
    }

    /// The same for a file that was believed once: keys and signatures that have come to their end since then count, by the time at which the
    /// signature says that it was made.
    pub fn reopen(bytes: &[u8], keyring: &Keyring, now: i64) -> Result<Release, ReleaseError> {
        Release::signed(bytes, keyring, now, Alive::Then)
    }

    fn signed(bytes: &[u8], keyring: &Keyring, at: i64, alive: Alive) -> Result<Release, ReleaseError> {
        if bytes.len() > MAX {
            return Err(ReleaseError::TooLong);
        }
        let clear = clearsign::split(bytes)?;
        let (signers, refused) =
            keyring.check(&clear.text, &clear.signatures, at, alive).map_err(ReleaseError::Signatures)?;
        if signers.is_empty() {
            return Err(ReleaseError::Refused(refused));
        }
        control::one(clear.text.as_bytes(), |stanza| Release::read(&stanza, signers, refused))?
    }

    fn read(stanza: &Stanza<'_>, signers: Vec<Signer>, refused: Vec<Refused>) -> Result<Release, ReleaseError> {
        let text = |field: &str| stanza.get(field).map(str::to_owned);
        let list = |field: &'static str, right: fn(&str) -> bool| {
            let value = stanza.need(field)?;
            let words: Vec<String> = value.split_whitespace().map(str::to_owned).collect();
            if words.iter().all(|word| right(word)) { Ok(words) } else { Err(wrong(field, value)) }
        };
        // Security updates have components of the form `updates/main`.
        let is_component = |word: &str| word.split('/').all(is_name);
        let moment = |field: &'static str, value: &str| time(value).ok_or_else(|| wrong(field, value));
        Ok(Release {
            signers,
            refused,
            suite: text("Suite"),
            codename: text("Codename"),
            origin: text("Origin"),
            version: text("Version"),
            architectures: list("Architectures", is_architecture)?,
            components: list("Components", is_component)?,
            date: moment("Date", stanza.need("Date")?)?,
            valid_until: stanza.get("Valid-Until").map(|value| moment("Valid-Until", value)).transpose()?,
            by_hash: stanza.get("Acquire-By-Hash") == Some("yes"),
            files: files(stanza.need("SHA256")?)?,
        })
    }

    /// Whether a suite of this name was asked for. A mirror may answer with another suite of the same signer, as with last year's.
    pub fn is(&self, name: &str) -> bool {
        // For security updates the directory is `bookworm-security`, and so is the code name; the suite is `stable-security`.
        [&self.suite, &self.codename].into_iter().flatten().any(|own| own == name)
    }
}

fn wrong(field: &'static str, value: &str) -> ReleaseError {
    ReleaseError::Value { field, value: value.chars().take(200).collect() }
}

/// Lines of digest, length and path.
fn files(table: &str) -> Result<BTreeMap<String, (u64, Sha256)>, ReleaseError> {
    let mut files = BTreeMap::new();
    for line in table.lines().filter(|line| !line.is_empty()) {
        let mut words = line.split_ascii_whitespace();
        let (digest, size, path) = (words.next(), words.next(), words.next());
        let digest = digest.and_then(|digest| digest.parse().ok());
        let (Some(digest), Some(size), Some(path), None) = (digest, size.and_then(number), path, words.next()) else {
            return Err(wrong("SHA256", line));
        };
        if !is_filename(path) || files.insert(path.to_owned(), (size, digest)).is_some() {
            return Err(wrong("SHA256", line));
        }
    }
    Ok(files)
}

/// `Sat, 12 Sep 2026 07:55:41 UTC`. Debian writes no other time zone.
fn time(text: &str) -> Option<i64> {
    let text =
        ["UTC", "GMT", "+0000"].into_iter().find_map(|zone| text.strip_suffix(zone)).filter(|_| text.is_ascii())?;
    let time = jiff::fmt::strtime::parse("%a, %d %b %Y %H:%M:%S", text.trim_ascii_end()).ok()?;
    Some(time.to_datetime().ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_second())
}

#[cfg(test)]
mod tests;
