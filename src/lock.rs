//! The lock: what the environment of a build is pinned to, as text (docs/spec.md §3.2, §4.1). Pure: whether a root is there, and what is
//! in it, `environment/` says.
//!
//! ```text
//! countersign-lock v1
//! kind host
//! source-date-epoch 1700000000
//! root /bin
//! root /usr
//! ```

use crate::path::TreePath;
use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

/// The roots that a recipe gets unless it says otherwise.
pub const DEFAULT_ROOTS: [&str; 11] = [
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/usr",
    "/etc/alternatives",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
];

/// The sandbox's own places: no root is one of them, above one or below one.
pub const RESERVED: [&str; 8] = ["/proc", "/sys", "/dev", "/run", "/tmp", "/var/tmp", "/home/build", "/build"];

/// Directories of everybody's data: as a whole they are no environment, a toolchain below them may be one.
const PRIVATE: [&str; 7] = ["/etc", "/home", "/media", "/mnt", "/root", "/srv", "/var"];

/// Longest lock that is read.
const MAX_LOCK: usize = 1 << 20;

/// What a lock says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lock {
    /// `SOURCE_DATE_EPOCH`.
    pub epoch: u64,
    /// The roots.
    pub roots: Roots,
}

/// Read-only host paths, sorted by their bytes, none twice; each without its leading slash.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roots(BTreeSet<TreePath>);

/// A path that cannot be a root.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RootRefused {
    /// Relative, `/`, or with parts such as `..`.
    #[error("the root {0:?} is not an absolute path below `/`, without `.`, `..` and empty parts")]
    Shape(String),
    /// One of the sandbox's own places, or above or below one.
    #[error("the root {0:?} is not to be had: the sandbox has its own {1}")]
    Reserved(String, &'static str),
    /// A directory of everybody's data as a whole.
    #[error("the root {0:?} as a whole holds more than tools; name the directory below it that is needed")]
    Private(String),
}

/// A lock that is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LockError {
    /// Not `countersign-lock v1`.
    #[error("the lock does not begin with `countersign-lock v1`")]
    Version,
    /// A kind that this version does not know.
    #[error("the lock is not of the kind `host`")]
    Kind,
    /// A line out of place; the number is from 1.
    #[error("line {0} of the lock is not what stands there in a lock")]
    Line(usize),
    /// A root that no recipe can name.
    #[error("line {0} of the lock: {1}")]
    Root(usize, RootRefused),
    /// The last line has no line feed.
    #[error("the last line of the lock does not end with a line feed")]
    Unterminated,
    /// Over a mebibyte.
    #[error("the lock is longer than {MAX_LOCK} bytes")]
    TooLong,
}

impl Roots {
    /// The default roots, if wanted, and further ones.
    pub fn new<'a>(default_roots: bool, extra: impl IntoIterator<Item = &'a Path>) -> Result<Roots, RootRefused> {
        let defaults = DEFAULT_ROOTS.iter().filter(|_| default_roots).map(Path::new);
        defaults.chain(extra).map(root).collect::<Result<_, _>>().map(Roots)
    }

    /// The paths below `/`, sorted by their bytes.
    pub fn below(&self) -> impl Iterator<Item = &TreePath> {
        self.0.iter()
    }
}

/// A recipe's text and a lock's lines are UTF-8, or escaped so that they are; a path of this machine that is not is refused as one.
fn root(path: &Path) -> Result<TreePath, RootRefused> {
    let shape = || RootRefused::Shape(path.to_string_lossy().into_owned());
    let text = path.to_str().ok_or_else(shape)?;
    let below = text.strip_prefix('/').ok_or_else(shape)?;
    let below = TreePath::from_bytes(below.as_bytes()).map_err(|_| shape())?;
    check(below)
}

fn check(below: TreePath) -> Result<TreePath, RootRefused> {
    let shown = || format!("/{}", String::from_utf8_lossy(below.as_bytes()));
    let within = |inner: &[u8], outer: &[u8]| {
        inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
    };
    for own in RESERVED {
        let bytes = own.as_bytes().strip_prefix(b"/").unwrap_or_default();
        if within(below.as_bytes(), bytes) || within(bytes, below.as_bytes()) {
            return Err(RootRefused::Reserved(shown(), own));
        }
    }
    if PRIVATE.iter().any(|private| private.as_bytes().strip_prefix(b"/") == Some(below.as_bytes())) {
        return Err(RootRefused::Private(shown()));
    }
    Ok(below)
}

impl fmt::Display for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "countersign-lock v1\nkind host\nsource-date-epoch {}\n", self.epoch)?;
        self.roots.below().try_for_each(|root| writeln!(f, "root /{}", root.escaped()))
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
        if lines.next() != Some("kind host") {
            return Err(LockError::Kind);
        }
        let epoch = lines.next().and_then(|line| line.strip_prefix("source-date-epoch "));
        let epoch = epoch.and_then(|digits| digits.parse().ok()).ok_or(LockError::Line(3))?;
        let mut roots = BTreeSet::new();
        for (number, line) in (4..).zip(lines) {
            let path = line.strip_prefix("root /").ok_or(LockError::Line(number))?;
            let path = TreePath::from_escaped(path).map_err(|_| LockError::Line(number))?;
            let path = check(path).map_err(|why| LockError::Root(number, why))?;
            if roots.last().is_some_and(|last| *last >= path) {
                return Err(LockError::Line(number));
            }
            roots.insert(path);
        }
        let lock = Lock { epoch, roots: Roots(roots) };
        // Of spellings only the number's is left (`+5`, `007`).
        if lock.to_string() == text { Ok(lock) } else { Err(LockError::Line(3)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roots(default: bool, extra: &[&str]) -> Result<Roots, RootRefused> {
        Roots::new(default, extra.iter().map(Path::new))
    }

    #[test]
    fn roots_that_are_tools_and_those_that_are_not() {
        let good =
            ["/opt", "/opt/tools", "/home/me/.rustup/toolchains/1.90", "/root/x", "/etc/ssl", "/var/lib/x", "/tmpx"];
        assert!(roots(false, &good).is_ok());
        for bad in ["usr", "", "/", "/usr/../etc", "/usr/", "/usr//bin", "/usr/./bin", "/a\0b"] {
            assert!(matches!(roots(false, &[bad]), Err(RootRefused::Shape(_))), "{bad}");
        }
        for own in [
            "/proc",
            "/proc/self",
            "/sys/x",
            "/dev",
            "/tmp/x",
            "/var/tmp",
            "/home/build/x",
            "/build",
            "/run/user",
            "/home",
        ] {
            assert!(matches!(roots(false, &[own]), Err(RootRefused::Reserved(..))), "{own}");
        }
        for private in ["/etc", "/root", "/mnt", "/srv"] {
            assert!(matches!(roots(false, &[private]), Err(RootRefused::Private(_))), "{private}");
        }
        assert!(roots(true, &[]).is_ok());
    }

    #[test]
    fn a_lock_has_one_spelling() {
        let roots_of = roots(true, &["/opt/a b\n", "/opt/x", "/opt/x"]).unwrap();
        let lock = Lock { epoch: 1_700_000_000, roots: roots_of };
        let text = lock.to_string();
        assert!(text.starts_with(
            "countersign-lock v1\nkind host\nsource-date-epoch 1700000000\nroot /bin\nroot /etc/alternatives\n"
        ));
        assert!(text.contains("root /opt/a b\\n\nroot /opt/x\nroot /sbin\n"));
        assert_eq!(Lock::parse(&text), Ok(lock));
        let empty = Lock { epoch: 0, roots: Roots::default() };
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
}
