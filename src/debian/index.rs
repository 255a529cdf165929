//! `Packages` files: which packages there are. Several of them, as of a suite, its updates and its security updates, are one index.

use super::control::{ControlError, Stanza, Stanzas};
use super::relation::{self, Relation, RelationError};
use super::version::{Version, VersionError};
use crate::digest::Sha256;
use crate::path::TreePath;
use std::collections::HashMap;
use std::io::BufRead;

/// Most packages in an index. Debian has 70,000.
const MAX_PACKAGES: usize = 1 << 20;

/// A package that can be had.
#[derive(Clone, Debug)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: Version,
    /// That of the index, or `all`.
    pub architecture: String,
    /// Where the file is, below the root of the mirror of [`origin`](Self::origin).
    pub filename: String,
    /// The length of the file, in bytes.
    pub size: u64,
    /// The digest of the file.
    pub sha256: Sha256,
    /// Which `Packages` file names it: the number that was given to [`Index::add`].
    pub origin: usize,
    pub(super) essential: bool,
    pub(super) rank: Rank,
    pub(super) multi_arch_allowed: bool,
    pub(super) relations: [Option<Box<str>>; 4],
}

/// The fields of [`Package::relations`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    PreDepends,
    Depends,
    Conflicts,
    Breaks,
}

impl Field {
    pub(super) fn name(self) -> &'static str {
        match self {
            Field::PreDepends => "Pre-Depends",
            Field::Depends => "Depends",
            Field::Conflicts => "Conflicts",
            Field::Breaks => "Breaks",
        }
    }
}

impl Package {
    pub(super) fn relations(&self, field: Field) -> Result<Vec<Vec<Relation>>, RelationError> {
        self.relations[field as usize].as_deref().map_or_else(|| Ok(Vec::new()), relation::parse)
    }
}

/// The field `Priority`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    Required,
    Important,
    Standard,
    Other,
}

/// A name that a package provides.
#[derive(Debug)]
pub(super) struct Provided {
    pub(super) by: usize,
    pub(super) version: Option<Version>,
}

/// All packages of one architecture, and those of all.
#[derive(Debug)]
pub struct Index {
    pub(super) architecture: String,
    pub(super) packages: Vec<Package>,
    /// The highest version first; of those with the same, that which was added first.
    pub(super) by_name: HashMap<String, Vec<usize>>,
    pub(super) provided: HashMap<String, Vec<Provided>>,
}

/// A `Packages` file that is none.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// It is no control file.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// One of its packages.
    #[error("the package in line {line}: {why}")]
    Package {
        /// Where its stanza begins.
        line: u64,
        /// What is wrong with it.
        why: Refused,
    },
    /// More than the limit.
    #[error("there are more than {MAX_PACKAGES} packages")]
    TooMany,
}

/// What is wrong with a package in an index.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// Its name, file name, size or digest.
    #[error("its {field} is {}", value.escape_default())]
    Value {
        /// Which.
        field: &'static str,
        /// What stands there.
        value: String,
    },
    /// Its version.
    #[error(transparent)]
    Version(#[from] VersionError),
    /// What it provides.
    #[error(transparent)]
    Provides(#[from] RelationError),
}

impl Index {
    /// An empty index of an architecture in Debian's words, as `amd64`.
    pub fn new(architecture: &str) -> Index {
        Index {
            architecture: architecture.to_owned(),
            packages: Vec::new(),
            by_name: HashMap::new(),
            provided: HashMap::new(),
        }
    }

    /// Adds a `Packages` file, to which the caller gives a number. The reader is the caller's to limit and to check against the digest in
    /// the [`Release`](super::release::Release): nothing of the index may be used before that.
    pub fn add(&mut self, origin: usize, input: impl BufRead) -> Result<(), IndexError> {
        let mut stanzas = Stanzas::new(input);
        while let Some(stanza) = stanzas.next()? {
            if self.packages.len() == MAX_PACKAGES {
                return Err(IndexError::TooMany);
            }
            let line = stanza.line();
            let package = self.package(&stanza, origin)?;
            let by = self.packages.len();
            for provided in provides(&stanza).map_err(|why| IndexError::Package { line, why })? {
                let version = provided.version.map(|(_, version)| version);
                self.provided.entry(provided.name).or_default().push(Provided { by, version });
            }
            let same = self.by_name.entry(package.name.clone()).or_default();
            let at = same.partition_point(|other| self.packages[*other].version >= package.version);
            same.insert(at, by);
            self.packages.push(package);
        }
        Ok(())
    }

    fn package(&self, stanza: &Stanza<'_>, origin: usize) -> Result<Package, IndexError> {
        let name = value(stanza, "Package", |text| relation::is_name(text).then(|| text.to_owned()))?;
        // Another architecture's index in the place of ours would be a set of packages that cannot run.
        let ours = |text: &str| (text == "all" || text == self.architecture).then(|| text.to_owned());
        let architecture = value(stanza, "Architecture", ours)?;
        let filename = value(stanza, "Filename", |text| is_filename(text).then(|| text.to_owned()))?;
        let size = value(stanza, "Size", number)?;
        let sha256 = value(stanza, "SHA256", |text| text.parse().ok())?;
        let version = Version::parse(stanza.need("Version")?)
            .map_err(|why| IndexError::Package { line: stanza.line(), why: why.into() })?;
        let text = |field: Field| stanza.get(field.name()).filter(|text| !text.is_empty()).map(Box::from);
        Ok(Package {
            name,
            version,
            architecture,
            filename,
            size,
            sha256,
            origin,
            essential: stanza.get("Essential") == Some("yes"),
            rank: match stanza.get("Priority") {
                Some("required") => Rank::Required,
                Some("important") => Rank::Important,
                Some("standard") => Rank::Standard,
                _ => Rank::Other,
            },
            multi_arch_allowed: stanza.get("Multi-Arch") == Some("allowed"),
            relations: [Field::PreDepends, Field::Depends, Field::Conflicts, Field::Breaks].map(text),
        })
    }

    /// The packages of a name, the highest version first.
    pub fn named(&self, name: &str) -> impl Iterator<Item = &Package> {
        self.by_name.get(name).into_iter().flatten().map(|at| &self.packages[*at])
    }

    /// How many packages, all versions counted.
    pub fn len(&self) -> usize {
        self.packages.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.packages.is_empty()
    }
}

fn value<T>(stanza: &Stanza<'_>, field: &'static str, right: impl FnOnce(&str) -> Option<T>) -> Result<T, IndexError> {
    let value = stanza.need(field)?;
    right(value).ok_or_else(|| {
        let value = value.chars().take(200).collect();
        IndexError::Package { line: stanza.line(), why: Refused::Value { field, value } }
    })
}

fn provides(stanza: &Stanza<'_>) -> Result<Vec<Relation>, Refused> {
    let text = stanza.get("Provides").unwrap_or_default();
    let mut list = Vec::new();
    for group in relation::parse(text)? {
        // No alternatives, and no other relation than `=`. What is provided for another architecture is of no use to this one.
        match <[Relation; 1]>::try_from(group) {
            Ok([one]) if matches!(one.version, None | Some((relation::Operator::Exactly, _))) => {
                if one.qualifier.is_none() {
                    list.push(one);
                }
            }
            _ => return Err(Refused::Value { field: "Provides", value: text.chars().take(200).collect() }),
        }
    }
    Ok(list)
}

/// A path below the root of a mirror, that can be a part of a URL and of a line.
pub(super) fn is_filename(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#' | b'\\');
    name.bytes().all(plain) && TreePath::from_bytes(name.as_bytes()).is_ok()
}

/// A plain decimal number.
pub(super) fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "Package: a\nVersion: 1\nArchitecture: amd64\nProvides: b, c (= 2), d:i386 (= 1)\nFilename: pool/a.deb\nSize: 10\n\
                        SHA256: 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n";

    #[test]
    fn packages_of_files() {
        let mut index = Index::new("amd64");
        index.add(0, GOOD.as_bytes()).unwrap();
        let newer = GOOD.replace("Version: 1", "Version: 1.1").replace("amd64", "all");
        index.add(1, format!("{newer}\n{GOOD}").as_bytes()).unwrap();
        let order: Vec<(&str, usize)> =
            index.named("a").map(|package| (package.version.as_str(), package.origin)).collect();
        assert_eq!(order, [("1.1", 1), ("1", 0), ("1", 1)], "the highest first, then the first");
        let first = &index.packages[0];
        assert_eq!((first.size, first.filename.as_str(), first.architecture.as_str()), (10, "pool/a.deb", "amd64"));
        assert_eq!(index.named("b").count(), 0);
        assert_eq!((index.len(), index.provided["b"].len(), index.provided.contains_key("d")), (3, 3, false));
    }

    #[test]
    fn packages_that_are_none() {
        for (from, to, why) in [
            ("Package: a", "Package: ../a", "its Package is ../a"),
            ("amd64", "i386", "its Architecture is i386"),
            ("pool/a.deb", "../a.deb", "its Filename is ../a.deb"),
            ("pool/a.deb", "/a.deb", "its Filename is /a.deb"),
            ("pool/a.deb", "pool/a.deb?b", "its Filename is pool/a.deb?b"),
            ("pool/a.deb", "pool//a.deb", "its Filename is pool//a.deb"),
            ("Size: 10", "Size: +10", "its Size is +10"),
            ("Size: 10", "Size:", "its Size is "),
            ("Size: 10", "Size: 99999999999999999999", "its Size is 99999999999999999999"),
            ("SHA256: 0", "SHA256: A", "its SHA256 is A1"),
            ("SHA256: 0", "SHA256: ", "its SHA256 is 1"),
            ("Version: 1", "Version: -1", "-1 is not a version"),
            ("Version: 1", "Version: ", " is not a version"),
            ("b, c", "b | c", "its Provides is b | c"),
            ("c (= 2)", "c (>= 2)", "its Provides is b, c (>= 2)"),
            ("Filename:", "X:", "has no field Filename"),
            ("SHA256:", "MD5sum:", "has no field SHA256"),
            ("Size: 10", "Size: 10\nSize: 10", "the field Size is there twice"),
        ] {
            let text = GOOD.replacen(from, to, 1);
            assert_ne!(text, GOOD);
            let outcome = Index::new("amd64").add(0, text.as_bytes()).unwrap_err().to_string();
            assert!(outcome.contains(why), "{to}: {outcome}");
        }
    }
}
