//! Packages of Debian: from the signed release files of its suites to the closed set of packages.

use super::{DepotError, PinError, Pinning, word};
use crate::archive::{self, ArchiveError};
use crate::debian::index::{Index, IndexError};
use crate::debian::openpgp::{Keyring, KeyringError};
use crate::debian::release::{self, Release, ReleaseError};
use crate::debian::resolve::{self, Base, ResolveError, Wanted};
use crate::lock::{Class, Part, PartWord, Place, Voucher};
use crate::recipe::Suite;
use std::io::{BufReader, Read as _};
use std::path::Path;

/// Packages that cannot be had, or not be believed.
#[derive(Debug, thiserror::Error)]
pub enum DebianError {
    /// No key to believe.
    #[error("no keyring is named to check the signature of {0}")]
    NoKeyring(String),
    /// A keyring that is none.
    #[error("keyring: {0}")]
    Keyring(#[from] KeyringError),
    /// A release file that is not believed.
    #[error("{what}: {why}")]
    Release {
        /// The place.
        what: String,
        /// Why not.
        why: ReleaseError,
    },
    /// A release file of another suite: what a mirror says is signed, and not what was asked for.
    #[error("{0} is of another suite")]
    OtherSuite(String),
    /// One that says that it is too old, or is from the future.
    #[error("{0} was good until {1}; a newer one may be withheld")]
    Expired(String, String),
    /// A component or architecture that it has not.
    #[error("{what} has no {file}")]
    NoIndex {
        /// The release file.
        what: String,
        /// Which index.
        file: String,
    },
    /// An index that cannot be read.
    #[error("{what}: {why}")]
    Index {
        /// The place.
        what: String,
        /// Why not.
        why: IndexError,
    },
    /// One that cannot be unpacked.
    #[error("{what}: {why}")]
    Packed {
        /// The place.
        what: String,
        /// Why not.
        why: ArchiveError,
    },
    /// Packages that cannot be there together, or not at all.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// A machine that Debian has another name for, or none.
    #[error("Debian has no name for the architecture {0}")]
    Architecture(String),
}

/// Names of machines, as `uname -m` and as Debian has them.
const ARCHITECTURES: [(&str, &str); 8] = [
    ("x86_64", "amd64"),
    ("aarch64", "arm64"),
    ("x86", "i386"),
    ("arm", "armhf"),
    ("powerpc64le", "ppc64el"),
    ("powerpc64", "ppc64el"),
    ("riscv64", "riscv64"),
    ("s390x", "s390x"),
];

/// What Debian calls a machine.
pub(in crate::environment) fn architecture(machine: &str) -> Option<&'static str> {
    ARCHITECTURES.iter().find(|(own, _)| *own == machine).map(|(_, name)| *name)
}

/// Where a release file lists the packages of a component, as they are packed.
pub(in crate::environment) fn indices(component: &str, architecture: &str) -> [String; 3] {
    [".xz", ".gz", ""].map(|ending| format!("{component}/binary-{architecture}/Packages{ending}"))
}

pub(super) fn pin(
    pinning: &Pinning<'_>,
    suites: &[Suite],
    components: &[PartWord],
    packages: &[PartWord],
) -> Result<Vec<Part>, PinError> {
    let machine = pinning.architecture.as_str();
    let architecture = architecture(machine).ok_or_else(|| DebianError::Architecture(machine.to_owned()))?;
    let mut parts = Vec::new();
    let mut index = Index::new(architecture);
    // Of each index: the mirror, and who vouches for what it says.
    let mut origins: Vec<(&str, Voucher)> = Vec::new();
    for suite in suites {
        let (release, voucher) = release(pinning, suite, &mut parts)?;
        for component in components {
            let part = index_of(suite, &release, component, architecture, &voucher)?;
            let what = part.place.to_string();
            pinning.depot.get_all(std::slice::from_ref(&part), pinning.stop, &|_| ())?;
            let blob = pinning.depot.part(&part)?;
            let plain = archive::unpacked(Path::new(&what), blob, None);
            let plain = plain.map_err(|why| DebianError::Packed { what: what.clone(), why })?;
            let origin = origins.len();
            origins.push((&suite.mirror, voucher.clone()));
            index.add(origin, BufReader::new(plain)).map_err(|why| DebianError::Index { what, why })?;
            parts.push(part);
        }
    }
    let wanted: Result<Vec<Wanted>, ResolveError> = packages.iter().map(|name| Wanted::parse(name.as_str())).collect();
    let chosen =
        resolve::resolve(&index, Base::Essential, &wanted.map_err(DebianError::from)?).map_err(DebianError::from)?;
    for package in chosen {
        let (mirror, voucher) = &origins[package.origin];
        parts.push(Part {
            class: Class::Deb,
            name: word(&format!("{}:{}", package.name, package.architecture))?,
            version: word(&package.version.to_string())?,
            sha256: package.sha256,
            size: package.size,
            voucher: voucher.clone(),
            place: place(mirror, &package.filename),
        });
    }
    Ok(parts)
}

/// All keys of several keyrings.
pub(in crate::environment) fn keyring(files: &[Vec<u8>]) -> Result<Keyring, KeyringError> {
    files.iter().try_fold(Keyring::default(), |keyring, file| Ok(keyring.and(Keyring::read(file)?)))
}

/// The release file of a suite, and who signed it.
fn release(pinning: &Pinning<'_>, suite: &Suite, parts: &mut Vec<Part>) -> Result<(Release, Voucher), PinError> {
    let place = place(&suite.mirror, &format!("dists/{}/InRelease", suite.name));
    let what = place.to_string();
    let (sha256, size) = pinning.depot.learn(&place, release::MAX as u64)?;
    let mut part = Part {
        class: Class::Release,
        name: suite.name.clone(),
        version: word("-")?,
        sha256,
        size,
        voucher: Voucher::Vendor,
        place,
    };
    let mut bytes = Vec::new();
    let read = pinning.depot.part(&part)?.read_to_end(&mut bytes);
    read.map_err(|err| DepotError::Store(crate::fs::FsError::io("read", Path::new(&what), err).into()))?;
    let archive = pinning.archive;
    if archive.keyrings.is_empty() {
        return Err(DebianError::NoKeyring(what).into());
    }
    let keyring = keyring(&archive.keyrings).map_err(DebianError::from)?;
    let release = match Release::open(&bytes, &keyring, archive.now) {
        Ok(release) => release,
        Err(why) => return Err(DebianError::Release { what, why }.into()),
    };
    if !release.is(suite.name.as_str()) {
        return Err(DebianError::OtherSuite(what).into());
    }
    if let Some(until) = release.valid_until.filter(|until| *until < archive.now && !archive.expired) {
        let until = jiff::Timestamp::from_second(until).map_or_else(|_| until.to_string(), |time| time.to_string());
        return Err(DebianError::Expired(what, until).into());
    }
    let fingerprint = release.signers.first().map(|signer| signer.primary.to_string().to_ascii_lowercase());
    let voucher = fingerprint.and_then(|hex| format!("openpgp:{hex}").parse().ok()).unwrap_or(Voucher::Vendor);
    part.voucher = voucher.clone();
    parts.push(part);
    Ok((release, voucher))
}

/// The smallest form of the list of packages of a component.
fn index_of(
    suite: &Suite,
    release: &Release,
    component: &PartWord,
    architecture: &str,
    voucher: &Voucher,
) -> Result<Part, PinError> {
    let names = indices(component.as_str(), architecture);
    let found = names.iter().find_map(|name| Some((name, release.files.get(name)?)));
    let (name, (size, sha256)) = found.ok_or_else(|| DebianError::NoIndex {
        what: format!("{}:dists/{}/InRelease", suite.mirror, suite.name),
        file: names[2].clone(),
    })?;
    // By its digest it is also there while the mirror changes from one state to the next.
    let path = match release.by_hash {
        true => format!("{component}/binary-{architecture}/by-hash/SHA256/{sha256}"),
        false => name.clone(),
    };
    Ok(Part {
        class: Class::Index,
        name: word(&format!("{}/{component}", suite.name))?,
        version: word("-")?,
        sha256: *sha256,
        size: *size,
        voucher: voucher.clone(),
        place: place(&suite.mirror, &format!("dists/{}/{path}", suite.name)),
    })
}

/// What is no place is a hint that cannot be given.
fn place(mirror: &str, path: &str) -> Place {
    format!("{mirror}:{path}").parse().unwrap_or(Place::Unknown)
}
