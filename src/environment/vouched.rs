//! Who really vouches for the parts of a lock: from keys of the verifier's own to each part, by bytes alone (docs/spec.md §3.2).
//!
//! ```text
//! a key of the keyring ──signs──▶ release file ──names──▶ index ──names──▶ package
//! ```
//! What a lock says of vouchers is its author's word; here each link is looked at again. Nothing is asked of a clock but that signatures are not
//! from the future: a rebuild may be years later, so a release file that was to be replaced long ago counts, and so does a key that came to its
//! end since it signed.

#[cfg(feature = "debian")]
mod chain;

use super::depot::DepotError;
use crate::digest::Sha256;
use crate::lock::{Class, Part, Pinned, Voucher};
use std::collections::BTreeMap;
use std::io::Read;

/// For how many parts who vouches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ByWhom {
    /// Keys, by fingerprint.
    pub keys: BTreeMap<String, usize>,
    /// The source's own lock files, against which a build holds the lock before anything runs.
    pub source: usize,
    /// Nobody but the vendor.
    pub vendor: usize,
}

/// What was found of the parts of a lock.
#[derive(Debug, Default)]
pub struct Vouched {
    /// Who vouches for those that are as the lock says.
    pub by: ByWhom,
    /// Release files that count.
    pub releases: Vec<Signed>,
    /// Parts for which it is not as the lock says. Those that come first in the chain are the first; empty when all is well.
    pub doubts: Vec<(Part, Doubt)>,
}

/// A release file with a good signature of the key that the lock names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// As the lock calls it: the suite.
    pub suite: String,
    /// Its digest.
    pub sha256: Sha256,
    /// The primary key's fingerprint.
    pub key: String,
    /// When it was made, in seconds since 1970.
    pub date: i64,
    /// Until when it was to be used.
    pub valid_until: Option<i64>,
}

/// Why nobody vouches for a part, although the lock says so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Doubt {
    /// The verifier does not know the key, or does not take its word any more.
    #[error("{0}")]
    Untrusted(String),
    /// The release file is none, is not signed, or not as it says.
    #[error("{0}")]
    NotSigned(String),
    /// All signatures of it count, and that key made none of them.
    #[error("it is signed by {}, and not by that key", .0.join(", "))]
    OtherKey(Vec<String>),
    /// A good release file, of something else.
    #[error("it is the release file of another suite")]
    OtherSuite,
    /// An index that is in no release file.
    #[error(
        "no release file of that suite that the key signed has an index with this digest and size for the component and architecture"
    )]
    NotInRelease,
    /// A package that is in no index.
    #[error("no index that the key vouches for has a package of that name, version and architecture")]
    NotInIndex,
    /// A package that is another in the index.
    #[error("in the index its {what} is {index}, in the lock {lock}")]
    Differs {
        /// In what.
        what: &'static str,
        /// There.
        index: String,
        /// Here.
        lock: String,
    },
    /// Something of which release files say nothing.
    #[error("release files say nothing of a part of the class {0}")]
    Class(&'static str),
}

impl Doubt {
    /// Whether it is about the verifier's keys alone: what was found may be sound.
    pub fn is_of_trust(&self) -> bool {
        matches!(self, Doubt::Untrusted(_))
    }
}

/// Vouchers that cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum VouchError {
    /// A keyring that is none.
    #[cfg(feature = "debian")]
    #[error("keyring: {0}")]
    Keyring(#[from] crate::debian::openpgp::KeyringError),
    /// A release file or index that cannot be had.
    #[error(transparent)]
    Depot(#[from] DepotError),
    /// One that cannot be read, although it is the right one.
    #[error("{what}: {why}")]
    Read {
        /// Which.
        what: String,
        /// Why not.
        why: String,
    },
    /// Without the feature.
    #[error(
        "this program was built without Debian's release files (feature `debian`): it cannot check who vouches for a part"
    )]
    NotBuilt,
}

/// What a lock says, unchecked.
pub fn claimed(pinned: &Pinned) -> ByWhom {
    let mut by = ByWhom::default();
    for part in pinned.parts() {
        match &part.voucher {
            Voucher::OpenPgp(key) => *by.keys.entry(key.clone()).or_default() += 1,
            Voucher::Source => by.source += 1,
            Voucher::Vendor => by.vendor += 1,
        }
    }
    by
}

/// Parts that are read to check vouchers: release files and indices.
pub fn evidence(pinned: &Pinned) -> Vec<Part> {
    let is_needed = |part: &&Part| {
        matches!(part.class, Class::Release | Class::Index) && matches!(part.voucher, Voucher::OpenPgp(_))
    };
    pinned.parts().iter().filter(is_needed).cloned().collect()
}

/// The bytes of a part, which fail to be read where they are not those of its digest.
pub type Open<'o> = dyn FnMut(&Part) -> Result<Box<dyn Read>, DepotError> + 'o;

/// Checks each voucher that a lock names; `now` is in seconds since 1970.
#[cfg(feature = "debian")]
pub fn check(pinned: &Pinned, keyrings: &[Vec<u8>], now: i64, open: &mut Open<'_>) -> Result<Vouched, VouchError> {
    let keyring = super::pin::keyring(keyrings)?;
    let mut chain = chain::Chain::default();
    let all = |class: Class| pinned.parts().iter().filter(move |part| part.class == class);
    for part in all(Class::Release) {
        chain.release(part, &keyring, now, open)?;
    }
    let machine = pinned.image.as_ref().map_or("", |image| image.architecture.as_str());
    let architecture = super::pin::architecture(machine).unwrap_or_default();
    chain.indices(all(Class::Index), architecture, open)?;
    all(Class::Deb).for_each(|part| chain.package(part));
    let of_debian = [Class::Release, Class::Index, Class::Deb];
    for part in pinned.parts().iter().filter(|part| !of_debian.contains(&part.class)) {
        chain.other(part);
    }
    Ok(chain.found)
}

/// The same without the feature: nothing can be said of a lock that claims something.
#[cfg(not(feature = "debian"))]
pub fn check(pinned: &Pinned, _: &[Vec<u8>], _: i64, _: &mut Open<'_>) -> Result<Vouched, VouchError> {
    let by = claimed(pinned);
    if by.keys.is_empty() { Ok(Vouched { by, ..Vouched::default() }) } else { Err(VouchError::NotBuilt) }
}

#[cfg(all(test, feature = "debian"))]
mod tests;
