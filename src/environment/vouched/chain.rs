//! The chain, link by link.

use super::{Doubt, Open, Signed, VouchError, Vouched};
use crate::archive;
use crate::debian::index::Index;
use crate::debian::openpgp::{Keyring, Refused};
use crate::debian::release::{self, Release, ReleaseError};
use crate::environment::depot::named;
use crate::environment::pin;
use crate::lock::{Part, Voucher};
use std::io::BufReader;
use std::path::Path;

/// The links that hold so far.
#[derive(Default)]
pub(super) struct Chain<'p> {
    pub(super) found: Vouched,
    /// Release files, with suite and key.
    releases: Vec<(&'p str, &'p str, Release)>,
    /// Packages of the indices that are in them.
    packages: Option<Index>,
    /// Of each index the key.
    keys: Vec<&'p str>,
}

impl<'p> Chain<'p> {
    /// The key that the lock names; `None` where that is no key, which is counted.
    fn claimed(&mut self, part: &'p Part) -> Option<&'p str> {
        let by = &mut self.found.by;
        match &part.voucher {
            Voucher::OpenPgp(key) => return Some(key),
            Voucher::Source => by.source += 1,
            Voucher::Vendor => by.vendor += 1,
        }
        None
    }

    fn settle(&mut self, part: &Part, key: &str, found: Result<(), Doubt>) {
        match found {
            Ok(()) => *self.found.by.keys.entry(key.to_owned()).or_default() += 1,
            Err(doubt) => self.found.doubts.push((part.clone(), doubt)),
        }
    }

    pub(super) fn release(
        &mut self,
        part: &'p Part,
        keyring: &Keyring,
        now: i64,
        open: &mut Open<'_>,
    ) -> Result<(), VouchError> {
        let Some(key) = self.claimed(part) else { return Ok(()) };
        let found = match part.size > release::MAX as u64 {
            true => Err(Doubt::NotSigned(ReleaseError::TooLong.to_string())),
            false => {
                let mut bytes = Vec::new();
                open(part)?.read_to_end(&mut bytes).map_err(|why| unreadable(part, &why))?;
                Release::reopen(&bytes, keyring, now).map_err(|why| doubt(&why))
            }
        };
        let found = found.and_then(|release| signed_by(part, key, release));
        let found = found.map(|release| {
            self.found.releases.push(Signed {
                suite: part.name.to_string(),
                sha256: part.sha256,
                key: key.to_owned(),
                date: release.date,
                valid_until: release.valid_until,
            });
            self.releases.push((part.name.as_str(), key, release));
        });
        self.settle(part, key, found);
        Ok(())
    }

    pub(super) fn indices(
        &mut self,
        parts: impl Iterator<Item = &'p Part>,
        architecture: &str,
        open: &mut Open<'_>,
    ) -> Result<(), VouchError> {
        let mut packages = Index::new(architecture);
        for part in parts {
            let Some(key) = self.claimed(part) else { continue };
            if !self.is_in_release(part, key, architecture) {
                self.settle(part, key, Err(Doubt::NotInRelease));
                continue;
            }
            let origin = self.keys.len();
            self.keys.push(key);
            let packed = open(part)?;
            let name = named(part);
            let plain = archive::unpacked(Path::new(&name), packed, None).map_err(|why| unreadable(part, &why))?;
            packages.add(origin, BufReader::new(plain)).map_err(|why| unreadable(part, &why))?;
            self.settle(part, key, Ok(()));
        }
        self.packages = Some(packages);
        Ok(())
    }

    fn is_in_release(&self, part: &Part, key: &str, architecture: &str) -> bool {
        let Some((suite, component)) = part.name.as_str().split_once('/') else { return false };
        let names = pin::indices(component, architecture);
        let right = |(own, signer, _): &&(&str, &str, Release)| *own == suite && *signer == key;
        self.releases
            .iter()
            .filter(right)
            .any(|(_, _, release)| names.iter().any(|name| release.files.get(name) == Some(&(part.size, part.sha256))))
    }

    pub(super) fn package(&mut self, part: &'p Part) {
        let Some(key) = self.claimed(part) else { return };
        let found = self.is_in_index(part, key);
        self.settle(part, key, found);
    }

    fn is_in_index(&self, part: &Part, key: &str) -> Result<(), Doubt> {
        let (name, architecture) = part.name.as_str().split_once(':').ok_or(Doubt::NotInIndex)?;
        let packages = self.packages.as_ref().ok_or(Doubt::NotInIndex)?;
        let mut other = Doubt::NotInIndex;
        for package in packages.named(name) {
            let same = package.version.as_str() == part.version.as_str() && package.architecture == architecture;
            if !same || self.keys.get(package.origin) != Some(&key) {
                continue;
            }
            let differs = |what, index, lock| Doubt::Differs { what, index, lock };
            other = match () {
                () if package.sha256 != part.sha256 => {
                    differs("digest", format!("sha256:{}", package.sha256), format!("sha256:{}", part.sha256))
                }
                () if package.size != part.size => differs("size", package.size.to_string(), part.size.to_string()),
                () => return Ok(()),
            };
        }
        Err(other)
    }

    /// A part of which no release file speaks.
    pub(super) fn other(&mut self, part: &'p Part) {
        if let Some(key) = self.claimed(part) {
            self.settle(part, key, Err(Doubt::Class(part.class.word())));
        }
    }
}

fn unreadable(part: &Part, why: &dyn std::fmt::Display) -> VouchError {
    VouchError::Read { what: named(part), why: why.to_string() }
}

/// A signature that is not of the text is a lie; one that cannot be told, or does not count any more, is not.
fn doubt(why: &ReleaseError) -> Doubt {
    match why {
        ReleaseError::Refused(list) if !list.is_empty() && !list.iter().any(is_wrong) => {
            Doubt::Untrusted(why.to_string())
        }
        _ => Doubt::NotSigned(why.to_string()),
    }
}

fn is_wrong(refused: &Refused) -> bool {
    matches!(refused, Refused::Wrong(_))
}

fn signed_by(part: &Part, key: &str, release: Release) -> Result<Release, Doubt> {
    let names: Vec<String> =
        release.signers.iter().map(|signer| signer.primary.to_string().to_ascii_lowercase()).collect();
    if !names.iter().any(|name| name == key) {
        // Of those that do not count it may be one.
        return Err(match release.refused.iter().map(ToString::to_string).collect::<Vec<_>>() {
            none if none.is_empty() => Doubt::OtherKey(names),
            some if release.refused.iter().any(is_wrong) => Doubt::NotSigned(some.join("; ")),
            some => Doubt::Untrusted(some.join("; ")),
        });
    }
    if release.is(part.name.as_str()) { Ok(release) } else { Err(Doubt::OtherSuite) }
}
