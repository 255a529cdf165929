//! Paths of this host as the environment of a build (docs/spec.md §3.2, §4.1).

use crate::path::TreePath;
use crate::sandbox::RESERVED;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

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

/// Directories of everybody's data: as a whole they are no environment, a toolchain below them may be one.
const PRIVATE: [&str; 7] = ["/etc", "/home", "/media", "/mnt", "/root", "/srv", "/var"];

/// Longest lock that is read.
const MAX_LOCK: usize = 1 << 20;
/// The read-only host paths of a build, sorted, none twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    roots: Vec<PathBuf>,
}

/// A path that cannot be a root.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RootRefused {
    /// Relative, `/`, or with parts such as `..`.
    #[error("the root {0:?} is not an absolute path below `/`, without `.`, `..` and empty parts")]
    Shape(PathBuf),
    /// One of the sandbox's own places, or above or below one.
    #[error("the root {0:?} is not to be had: the sandbox has its own {1}")]
    Reserved(PathBuf, &'static str),
    /// A directory of everybody's data as a whole.
    #[error("the root {0:?} as a whole holds more than tools; name the directory below it that is needed")]
    Private(PathBuf),
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
    /// Over a mebibyte.
    #[error("the lock is longer than {MAX_LOCK} bytes")]
    TooLong,
}

impl Host {
    /// The default roots, if wanted, and further ones.
    pub fn new(default_roots: bool, extra: &[PathBuf]) -> Result<Host, RootRefused> {
        let defaults = DEFAULT_ROOTS.iter().filter(|_| default_roots).map(PathBuf::from);
        let mut roots: Vec<PathBuf> = defaults.chain(extra.iter().cloned()).collect();
        roots.iter().try_for_each(|root| check(root))?;
        roots.sort_by(|a, b| a.as_os_str().as_bytes().cmp(b.as_os_str().as_bytes()));
        roots.dedup();
        Ok(Host { roots })
    }

    /// Absolute paths, sorted by their bytes.
    pub fn roots(&self) -> &[PathBuf] {
        &self.roots
    }

    /// The lock (docs/spec.md §3.2).
    pub fn lock_text(&self, epoch: u64) -> String {
        let mut text = format!("countersign-lock v1\nkind host\nsource-date-epoch {epoch}\n");
        for root in &self.roots {
            // Checked by `check`: what follows the slash is a path of a tree.
            if let Ok(path) = below_root(root) {
                text.push_str(&format!("root /{}\n", path.escaped()));
            }
        }
        text
    }
}

fn below_root(root: &Path) -> Result<TreePath, crate::path::PathRefused> {
    let bytes = root.as_os_str().as_bytes();
    TreePath::from_bytes(bytes.strip_prefix(b"/").unwrap_or(b""))
}

fn check(root: &Path) -> Result<(), RootRefused> {
    if !root.is_absolute() || below_root(root).is_err() || root.components().any(|part| part == Component::ParentDir) {
        return Err(RootRefused::Shape(root.to_owned()));
    }
    for own in RESERVED {
        if root.starts_with(own) || Path::new(own).starts_with(root) {
            return Err(RootRefused::Reserved(root.to_owned(), own));
        }
    }
    if PRIVATE.iter().any(|private| Path::new(private) == root) {
        return Err(RootRefused::Private(root.to_owned()));
    }
    Ok(())
}

/// A lock read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lock {
    /// `SOURCE_DATE_EPOCH`.
    pub epoch: u64,
    /// The roots.
    pub host: Host,
}

impl Lock {
    /// Reads a lock. What it takes, [`Host::lock_text`] prints again byte for byte.
    pub fn parse(text: &str) -> Result<Lock, LockError> {
        if text.len() > MAX_LOCK {
            return Err(LockError::TooLong);
        }
        let mut lines = text.strip_suffix('\n').unwrap_or_default().split('\n');
        if lines.next() != Some("countersign-lock v1") {
            return Err(LockError::Version);
        }
        if lines.next() != Some("kind host") {
            return Err(LockError::Kind);
        }
        let epoch = lines.next().and_then(|line| line.strip_prefix("source-date-epoch "));
        let epoch = epoch.and_then(|digits| digits.parse().ok()).ok_or(LockError::Line(3))?;
        let mut roots = Vec::new();
        for (number, line) in (4..).zip(lines) {
            let path = line.strip_prefix("root /").ok_or(LockError::Line(number))?;
            let path = TreePath::from_escaped(path).map_err(|_| LockError::Line(number))?;
            let root = PathBuf::from(OsString::from_vec([b"/", path.as_bytes()].concat()));
            check(&root).map_err(|why| LockError::Root(number, why))?;
            roots.push(root);
        }
        let lock = Lock { epoch, host: Host { roots } };
        // Order, repetition and spelling (`+5`, `007`) at once: the first line that would be printed otherwise.
        let host = Host::new(false, lock.host.roots()).map_err(|why| LockError::Root(4, why))?;
        let again = host.lock_text(lock.epoch);
        if again == text {
            return Ok(lock);
        }
        let differs = again.lines().zip(text.lines()).position(|(a, b)| a != b);
        Err(LockError::Line(differs.unwrap_or_else(|| again.lines().count().min(text.lines().count())) + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(extra: &[&str]) -> Result<Host, RootRefused> {
        Host::new(false, &extra.iter().map(PathBuf::from).collect::<Vec<_>>())
    }

    #[test]
    fn roots_that_are_tools_and_those_that_are_not() {
        assert!(
            host(&["/opt", "/opt/tools", "/home/me/.rustup/toolchains/1.90", "/root/x", "/etc/ssl", "/var/lib/x"])
                .is_ok()
        );
        for bad in ["usr", "", "/", "/usr/../etc", "/usr/", "/usr//bin", "/usr/./bin"] {
            assert!(matches!(host(&[bad]), Err(RootRefused::Shape(_))), "{bad}");
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
            assert!(matches!(host(&[own]), Err(RootRefused::Reserved(..))), "{own}");
        }
        for private in ["/etc", "/root", "/mnt", "/srv"] {
            assert!(matches!(host(&[private]), Err(RootRefused::Private(_))), "{private}");
        }
        assert!(Host::new(true, &[]).is_ok());
    }

    #[test]
    fn a_lock_has_one_spelling() {
        let host = Host::new(true, &["/opt/a b\n".into(), "/opt/x".into(), "/opt/x".into()]).unwrap();
        let text = host.lock_text(1_700_000_000);
        assert!(text.starts_with(
            "countersign-lock v1\nkind host\nsource-date-epoch 1700000000\nroot /bin\nroot /etc/alternatives\n"
        ));
        assert!(text.contains("root /opt/a b\\n\nroot /opt/x\nroot /sbin\n"));
        let lock = Lock::parse(&text).unwrap();
        assert_eq!((lock.epoch, &lock.host), (1_700_000_000, &host));
        assert_eq!(lock.host.lock_text(lock.epoch), text);
        let empty = Host::new(false, &[]).unwrap();
        assert_eq!(Lock::parse(&empty.lock_text(0)).unwrap().host, empty);
        for (bad, err) in [
            (text.trim_end().to_owned(), LockError::Line(text.lines().count())),
            (text.replace("lock v1", "lock v2"), LockError::Version),
            (text.replace("kind host", "kind guest"), LockError::Kind),
            (text.replace("epoch 17", "epoch +17"), LockError::Line(3)),
            (text.replace("epoch 17", "epoch 017"), LockError::Line(3)),
            (text.replace("epoch 17", "epoch -17"), LockError::Line(3)),
            (text.replace("root /opt/x\n", "root /opt/x\nroot /opt/x\n"), LockError::Line(13)),
            (text.replace("root /bin\n", "root /usr\n"), LockError::Line(4)),
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
