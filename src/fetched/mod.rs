//! What a source depends on, as the lock files of its ecosystems name it: each file by a digest (docs/spec.md §3.4). Pure, but for
//! `layout`, which puts the files where cargo, pip, npm and go find them without a network.
//!
//! No package manager runs to fetch anything: what is to be had is read from the lock files, had by `countersign lock`, and held against
//! the digests there. So nothing of anybody's runs with a network, and the list is the source's own.
//!
//! ```text
//! Cargo.lock         crate   NAME VERSION       sha256
//! requirements.txt   python  FILE VERSION       sha256, one of those that the line lists
//! package-lock.json  npm     NAME VERSION       sha512
//! go.sum             go-mod  MODULE VERSION     h1: SHA-256 of a list of files with their SHA-256
//!                    go-zip  MODULE VERSION     the same
//! ```

pub mod cargo;
pub mod go;
#[cfg(unix)]
pub mod layout;
pub mod npm;
pub mod pip;

use crate::digest::{Sha256, Sha512};
use crate::lock::{Class, MAX_PARTS, Part, PartWord};
use crate::path::TreePath;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Longest lock file of an ecosystem that is read.
pub const MAX_FILE: u64 = 32 << 20;

/// Who has lock files that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ecosystem {
    /// `Cargo.lock`.
    Cargo,
    /// A requirements file with hashes.
    Pip,
    /// `package-lock.json` or `npm-shrinkwrap.json`.
    Npm,
    /// `go.sum`.
    Go,
}

impl Ecosystem {
    /// As a recipe has it.
    pub fn word(self) -> &'static str {
        match self {
            Ecosystem::Cargo => "cargo",
            Ecosystem::Pip => "pip",
            Ecosystem::Npm => "npm",
            Ecosystem::Go => "go",
        }
    }

    /// The mirror that has its files, where a recipe names no other.
    pub fn mirror(self) -> &'static str {
        match self {
            Ecosystem::Cargo => "crates",
            Ecosystem::Pip => "pypi",
            Ecosystem::Npm => "npm",
            Ecosystem::Go => "go",
        }
    }

    /// What its parts are in a lock.
    pub fn classes(self) -> &'static [Class] {
        match self {
            Ecosystem::Cargo => &[Class::Crate],
            Ecosystem::Pip => &[Class::Python],
            Ecosystem::Npm => &[Class::Npm],
            Ecosystem::Go => &[Class::GoMod, Class::GoZip],
        }
    }
}

/// Something that a lock file names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Item {
    /// What it is.
    pub class: Class,
    /// Its name; of Python's the project, of which the files have names of their own.
    pub name: PartWord,
    /// Its version.
    pub version: PartWord,
    /// What the lock file names it by.
    pub digest: Named,
    /// Where it is below a mirror; of Python's an index says that.
    pub path: Option<String>,
    /// Whether it is needed only in circumstances that the lock file tells, and may not be to be had here.
    pub conditional: bool,
}

/// A digest as the ecosystems have it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Named {
    /// SHA-256 of the file, which is one of these.
    Sha256(BTreeSet<Sha256>),
    /// SHA-512 of the file.
    Sha512(Sha512),
    /// `h1:` of `go.mod` files: the file is the only one on the list.
    File(Sha256),
    /// `h1:` of the files in a zip.
    Files(Sha256),
}

/// A lock file that is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {why}")]
pub struct Refused {
    /// Its path in the source.
    pub file: String,
    /// What is wrong, or not supported.
    pub why: String,
}

impl Refused {
    /// One that is no file of the source, or far too long to be one.
    pub fn absent(path: &TreePath) -> Refused {
        let why = format!("environment.fetch names it, and it is no file of the source of at most {MAX_FILE} bytes");
        Refused { file: path.to_string(), why }
    }
}

/// What the lock files name together, sorted, nothing twice. Each file comes with its path; `architecture` is the machine's, as `uname -m`
/// says.
pub fn items(kind: Ecosystem, files: &[(String, Vec<u8>)], architecture: &str) -> Result<Vec<Item>, Refused> {
    let mut all: BTreeMap<(Class, PartWord, PartWord, Option<Named>), Item> = BTreeMap::new();
    for (file, bytes) in files {
        let refused = |why: String| Refused { file: file.clone(), why };
        if bytes.len() as u64 > MAX_FILE {
            return Err(refused(format!("it is longer than {MAX_FILE} bytes")));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| refused("it is not UTF-8".to_owned()))?;
        let found = match kind {
            Ecosystem::Cargo => cargo::items(text),
            Ecosystem::Pip => pip::items(text),
            Ecosystem::Npm => npm::items(text, architecture),
            Ecosystem::Go => go::items(text),
        };
        for item in found.map_err(refused)? {
            // Trees of npm may have one version from two places; the others know only one of each.
            let own = (kind == Ecosystem::Npm).then(|| item.digest.clone());
            let key = (item.class, item.name.clone(), item.version.clone(), own);
            match all.get_mut(&key) {
                None => drop(all.insert(key, item)),
                Some(there) if there.digest == item.digest => there.conditional &= item.conditional,
                Some(_) => {
                    return Err(refused(format!("{} {} is named by two digests", item.name, item.version)));
                }
            }
            if all.len() > MAX_PARTS {
                return Err(refused(format!("it names more than {MAX_PARTS} files")));
            }
        }
    }
    if all.is_empty() {
        let file = files.iter().map(|(file, _)| file.as_str()).collect::<Vec<_>>().join(", ");
        return Err(Refused { file, why: "nothing is to be fetched for it".to_owned() });
    }
    Ok(all.into_values().collect())
}

/// Whether the parts of a lock are what the lock files name; in words, the first thing that is not.
pub fn fits(kind: Ecosystem, items: &[Item], parts: &[Part]) -> Result<(), String> {
    let shown = |name: &PartWord, version: &PartWord| format!("{name} {version}");
    let mut used = vec![false; items.len()];
    for part in parts.iter().filter(|part| kind.classes().contains(&part.class)) {
        let found = items.iter().enumerate().position(|(at, item)| {
            let free = part.class == Class::Python || !used[at];
            free && part.class == item.class && item.is(part)
        });
        match found {
            Some(at) => used[at] = true,
            None => {
                return Err(format!("the source does not name {} as it is locked", shown(&part.name, &part.version)));
            }
        }
    }
    match items.iter().zip(used).find(|(item, used)| !used && !item.conditional) {
        Some((item, _)) => {
            Err(format!("the source names {}, which is not locked so", shown(&item.name, &item.version)))
        }
        None => Ok(()),
    }
}

impl Item {
    /// Whether a part is called like this, and has its SHA-256 where one is known.
    pub fn is(&self, part: &Part) -> bool {
        let name = match self.class {
            Class::Python => pip::project(part.name.as_str()).is_some_and(|name| name == self.name.as_str()),
            _ => part.name == self.name,
        };
        let digest = match &self.digest {
            Named::Sha256(some) => some.contains(&part.sha256),
            _ => true,
        };
        name && digest && part.class == self.class && part.version == self.version
    }
}

/// A word of a lock, or why it is none.
fn word(what: &str, text: &str) -> Result<PartWord, String> {
    text.parse().map_err(|_| format!("{what} {text:?} is not 1 to 256 printable characters of ASCII without blanks"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(n: u8) -> String {
        format!("{n:02x}").repeat(32)
    }

    fn lock(packages: &[(&str, &str, u8)]) -> Vec<u8> {
        let mut text = "version = 4\n".to_owned();
        for (name, version, n) in packages {
            let source = "registry+https://registry.example/index";
            text += &format!(
                "[[package]]\nname = \"{name}\"\nversion = \"{version}\"\nsource = \"{source}\"\nchecksum = \"{}\"\n",
                sum(*n)
            );
        }
        text.into_bytes()
    }

    fn part(name: &str, version: &str, n: u8) -> Part {
        format!("crate {name} {version} {} 5 source -", sum(n)).parse().unwrap()
    }

    #[test]
    fn several_files_and_what_is_locked() {
        let files = [
            ("a.lock".into(), lock(&[("x", "1.0.0", 1)])),
            ("b.lock".into(), lock(&[("x", "1.0.0", 1), ("y", "2.0.0", 2)])),
        ];
        let items = items(Ecosystem::Cargo, &files, "x86_64").unwrap();
        assert_eq!(items.len(), 2);
        let good = [part("x", "1.0.0", 1), part("y", "2.0.0", 2)];
        let fits = |parts: &[Part]| fits(Ecosystem::Cargo, &items, parts);
        assert_eq!(fits(&good), Ok(()));
        for (bad, why) in [
            (vec![part("x", "1.0.0", 1)], "names y 2.0.0"),
            (vec![part("x", "1.0.0", 1), part("y", "2.0.0", 3)], "does not name y 2.0.0"),
            (vec![part("x", "1.0.0", 1), part("y", "2.0.1", 2)], "does not name y 2.0.1"),
            ([&good[..], &[part("z", "1.0.0", 1)]].concat(), "does not name z"),
            ([&good[..], &[part("y", "2.0.0", 2)]].concat(), "does not name y"),
        ] {
            assert!(fits(&bad).unwrap_err().contains(why), "{bad:?}");
        }
    }

    #[test]
    fn files_that_are_refused() {
        let refused = |files: &[(String, Vec<u8>)]| items(Ecosystem::Cargo, files, "x86_64").unwrap_err().to_string();
        let one = ("a.lock".to_owned(), lock(&[("x", "1.0.0", 1)]));
        let other = ("b.lock".to_owned(), lock(&[("x", "1.0.0", 2)]));
        assert_eq!(refused(&[one, other]), "b.lock: x 1.0.0 is named by two digests");
        assert_eq!(refused(&[("a.lock".into(), lock(&[]))]), "a.lock: nothing is to be fetched for it");
        assert_eq!(refused(&[("a.lock".into(), vec![0xff])]), "a.lock: it is not UTF-8");
        let long = vec![b' '; MAX_FILE as usize + 1];
        assert!(refused(&[("a.lock".into(), long)]).contains("longer than"));
    }
}
