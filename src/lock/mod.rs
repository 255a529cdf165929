//! The lock: what the environment of a build is pinned to, as text (docs/spec.md §3.2, §4.1). Pure: whether it is there, and what is
//! in it, `environment/` says.
//!
//! ```text
//! countersign-lock v1                 countersign-lock v1
//! kind host                           kind debian
//! source-date-epoch 1700000000        source-date-epoch 1700000000
//! root /bin                           architecture x86_64
//! root /usr                           tree <digest of the listing of the root file system>
//!                                     part deb gcc 4:12.2.0-3 <sha256> <size> openpgp:<fingerprint> debian:pool/…
//! ```

mod file;
mod part;
mod roots;

pub use file::{FILE_NAME, LockFile, LockFileError, MAX_LOCK_FILE};
pub use part::{Class, MAX_PARTS, Part, PartRefused, PartWord, Place, Voucher};
pub use roots::{DEFAULT_ROOTS, RESERVED, RootRefused, Roots};

use crate::digest::TreeDigest;
use crate::path::TreePath;
use crate::statement::Word;
use std::collections::BTreeSet;
use std::fmt;

/// Longest lock that is read.
const MAX_LOCK: usize = 1 << 20;

/// What a lock says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lock {
    /// `SOURCE_DATE_EPOCH`.
    pub epoch: u64,
    /// What is built in.
    pub pinned: Pinned,
}

/// What an environment is pinned to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pinned {
    /// What kind it is.
    pub kind: Kind,
    /// Paths of the machine; none but with [`Kind::Host`].
    pub roots: Roots,
    /// What is unpacked; with [`Kind::Host`] the tools, if there are any, with every other kind always there.
    pub image: Option<Image>,
}

/// Files that are unpacked to be an environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The machine that they are for, as `uname -m` calls it.
    pub architecture: Word,
    /// Digest of the listing of what is unpacked, as an environment.
    pub tree: TreeDigest,
    /// What it is made of, sorted, none twice.
    pub parts: Vec<Part>,
}

/// Kinds of environment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Read-only paths of the machine.
    #[default]
    Host,
    /// A root file system from an archive.
    Rootfs,
    /// An OCI image.
    Oci,
    /// Packages of Debian.
    Debian,
}

const KINDS: [(Kind, &str); 4] =
    [(Kind::Host, "host"), (Kind::Rootfs, "rootfs"), (Kind::Oci, "oci"), (Kind::Debian, "debian")];

impl Kind {
    /// As it is written.
    pub fn word(self) -> &'static str {
        KINDS.iter().find(|(kind, _)| *kind == self).map_or("", |(_, word)| word)
    }

    fn of(word: &str) -> Option<Kind> {
        KINDS.iter().find(|(_, own)| *own == word).map(|(kind, _)| *kind)
    }
}

/// A lock that is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LockError {
    /// Not `countersign-lock v1`.
    #[error("the lock does not begin with `countersign-lock v1`")]
    Version,
    /// A kind that this version does not know.
    #[error("the lock is of no kind that this version knows")]
    Kind,
    /// A line out of place; the number is from 1.
    #[error("line {0} of the lock is not what stands there in a lock")]
    Line(usize),
    /// A root that no recipe can name.
    #[error("line {0} of the lock: {1}")]
    Root(usize, RootRefused),
    /// A part that is none.
    #[error("line {0} of the lock: {1}")]
    Part(usize, PartRefused),
    /// More than [`MAX_PARTS`].
    #[error("the lock has more than {MAX_PARTS} parts")]
    TooMany,
    /// The last line has no line feed.
    #[error("the last line of the lock does not end with a line feed")]
    Unterminated,
    /// Over a mebibyte.
    #[error("the lock is longer than {MAX_LOCK} bytes")]
    TooLong,
}

impl fmt::Display for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "countersign-lock v1\nkind {}\nsource-date-epoch {}\n", self.pinned.kind.word(), self.epoch)?;
        self.pinned.lines(f)
    }
}

impl Pinned {
    /// Paths of the machine and nothing else.
    pub fn host(roots: Roots) -> Pinned {
        Pinned { kind: Kind::Host, roots, image: None }
    }

    /// The one fingerprint that the environment can have: that of the image, where all of it is one.
    pub fn fingerprint(&self) -> Option<TreeDigest> {
        self.image.as_ref().filter(|_| self.kind != Kind::Host).map(|image| image.tree)
    }

    /// The lines after the epoch's.
    fn lines(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(image) = &self.image {
            writeln!(f, "architecture {}\ntree {}", image.architecture, image.tree)?;
        }
        self.roots.below().try_for_each(|root| writeln!(f, "root /{}", root.escaped()))?;
        self.parts().iter().try_for_each(|part| writeln!(f, "part {part}"))
    }

    /// The parts, if there are any.
    pub fn parts(&self) -> &[Part] {
        self.image.as_ref().map_or(&[], |image| &image.parts)
    }

    /// Reads [`Pinned::lines`] with the numbers of their lines.
    fn parse<'t>(kind: Kind, lines: impl Iterator<Item = (usize, &'t str)>) -> Result<Pinned, LockError> {
        let mut lines = lines.peekable();
        let mut field = |name: &str| {
            let (number, line) = *lines.peek()?;
            let value = line.strip_prefix(name)?;
            lines.next();
            Some((number, value))
        };
        let mut image = None;
        if let Some((number, architecture)) = field("architecture ") {
            let architecture = architecture.parse().map_err(|_| LockError::Line(number))?;
            let (number, tree) = field("tree ").ok_or(LockError::Line(number + 1))?;
            let tree = tree.parse().map_err(|_| LockError::Line(number))?;
            image = Some(Image { architecture, tree, parts: Vec::new() });
        }
        let mut roots = BTreeSet::new();
        while let Some((number, path)) = field("root /") {
            let path = TreePath::from_escaped(path).map_err(|_| LockError::Line(number))?;
            let path = roots::check(path).map_err(|why| LockError::Root(number, why))?;
            if kind != Kind::Host || roots.last().is_some_and(|last| *last >= path) {
                return Err(LockError::Line(number));
            }
            roots.insert(path);
        }
        let mut last = 3;
        while let Some(image) = &mut image
            && let Some((number, line)) = field("part ")
        {
            let part: Part = line.parse().map_err(|why| LockError::Part(number, why))?;
            let after = image.parts.last().is_none_or(|before| *before < part);
            if !after || (kind == Kind::Host && !part.class.is_of_every_kind()) {
                return Err(LockError::Line(number));
            }
            if image.parts.len() == MAX_PARTS {
                return Err(LockError::TooMany);
            }
            image.parts.push(part);
            last = number;
        }
        if let Some((number, _)) = lines.next() {
            return Err(LockError::Line(number));
        }
        match &image {
            Some(image) if image.parts.is_empty() => Err(LockError::Line(last + 1)),
            None if kind != Kind::Host => Err(LockError::Line(last + 1)),
            _ => Ok(Pinned { kind, roots: Roots(roots), image }),
        }
    }
}

impl Lock {
    /// Reads a lock. What it takes is printed again byte for byte.
    pub fn parse(text: &str) -> Result<Lock, LockError> {
        if text.len() > MAX_LOCK {
            return Err(LockError::TooLong);
        }
        let mut lines = text.strip_suffix('\n').ok_or(LockError::Unterminated)?.split('\n');
        if lines.next() != Some("countersign-lock v1") {
            return Err(LockError::Version);
        }
        let kind =
            lines.next().and_then(|line| line.strip_prefix("kind ")).and_then(Kind::of).ok_or(LockError::Kind)?;
        let epoch = lines.next().and_then(|line| line.strip_prefix("source-date-epoch "));
        let epoch = epoch.and_then(|digits| digits.parse().ok()).ok_or(LockError::Line(3))?;
        let lock = Lock { epoch, pinned: Pinned::parse(kind, (4..).zip(lines))? };
        // Of spellings only the number's is left (`+5`, `007`).
        if lock.to_string() == text { Ok(lock) } else { Err(LockError::Line(3)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn roots(default: bool, extra: &[&str]) -> Roots {
        Roots::new(default, extra.iter().map(Path::new)).unwrap()
    }

    fn host(epoch: u64, roots: Roots) -> Lock {
        Lock { epoch, pinned: Pinned::host(roots) }
    }

    #[test]
    fn a_lock_has_one_spelling() {
        let lock = host(1_700_000_000, roots(true, &["/opt/a b\n", "/opt/x", "/opt/x"]));
        let text = lock.to_string();
        assert!(text.starts_with(
            "countersign-lock v1\nkind host\nsource-date-epoch 1700000000\nroot /bin\nroot /etc/alternatives\n"
        ));
        assert!(text.contains("root /opt/a b\\n\nroot /opt/x\nroot /sbin\n"));
        assert_eq!(Lock::parse(&text), Ok(lock));
        let empty = host(0, Roots::default());
        assert_eq!(Lock::parse(&empty.to_string()), Ok(empty));
        for (bad, err) in [
            (text.trim_end().to_owned(), LockError::Unterminated),
            (text.replace("lock v1", "lock v2"), LockError::Version),
            (text.replace("kind host", "kind guest"), LockError::Kind),
            (text.replace("epoch 17", "epoch +17"), LockError::Line(3)),
            (text.replace("epoch 17", "epoch 017"), LockError::Line(3)),
            (text.replace("epoch 17", "epoch -17"), LockError::Line(3)),
            (text.replace("root /opt/x\n", "root /opt/x\nroot /opt/x\n"), LockError::Line(15)),
            (text.replace("root /bin\n", "root /usr\n"), LockError::Line(5)),
            (text.replace("root /bin\n", "root /bin/\n"), LockError::Line(4)),
            (text.replace("root /bin\n", "root \\x2fbin\n"), LockError::Line(4)),
            (text.replace("root /bin\n", "file /bin\n"), LockError::Line(4)),
            (
                text.replace("root /bin\n", "root /dev\n"),
                LockError::Root(4, RootRefused::Reserved("/dev".into(), "/dev")),
            ),
            (format!("{text}\n"), LockError::Line(text.lines().count() + 1)),
        ] {
            assert_eq!(Lock::parse(&bad), Err(err), "{bad}");
        }
    }

    #[test]
    fn a_lock_of_an_image() {
        let (hex, key) = ("ab".repeat(32), "0f".repeat(20));
        let text = format!(
            "countersign-lock v1\nkind debian\nsource-date-epoch 5\narchitecture x86_64\ntree {hex}\n\
             part deb a 1 {hex} 7 openpgp:{key} debian:pool/a.deb\npart deb b 1 {hex} 7 openpgp:{key} debian:pool/b.deb\n\
             part tool go 1.22 {hex} 9 vendor -\n"
        );
        let lock = Lock::parse(&text).unwrap();
        assert_eq!(lock.to_string(), text);
        assert_eq!((lock.pinned.kind, lock.pinned.parts().len()), (Kind::Debian, 3));
        let line = |number| Err(LockError::Line(number));
        for (from, to, why) in [
            ("architecture x86_64\n", "", line(4)),
            ("architecture x86_64", "architecture x86 64", line(4)),
            ("tree ab", "tree AB", line(5)),
            ("part deb a", "root /usr\npart deb a", line(6)),
            ("part deb a", "part deb c", line(7)),
            ("part tool", "tool", line(8)),
            ("vendor -\n", "vendor -\n\n", line(9)),
            ("kind debian", "kind host", line(6)),
            ("1 abab", "1 abaB", Err(LockError::Part(6, PartRefused::Fields))),
        ] {
            assert!(text.contains(from), "{from}");
            assert_eq!(Lock::parse(&text.replacen(from, to, 1)), why, "{to}");
        }
        let none = text.split("part").next().unwrap();
        assert!(Lock::parse(none).is_err(), "an image of nothing");
        assert!(Lock::parse("countersign-lock v1\nkind oci\nsource-date-epoch 5\n").is_err());
        let tools = format!(
            "countersign-lock v1\nkind host\nsource-date-epoch 5\narchitecture x86_64\ntree {hex}\nroot /usr\n\
             part tool go 1.22 {hex} 9 vendor -\n"
        );
        assert_eq!(Lock::parse(&tools).unwrap().to_string(), tools);
    }
}
