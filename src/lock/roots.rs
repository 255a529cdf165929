//! Paths of a machine that a build may read.

use crate::path::TreePath;
use std::collections::BTreeSet;
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

/// Read-only host paths, sorted by their bytes, none twice; each without its leading slash.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roots(pub(super) BTreeSet<TreePath>);

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

impl Roots {
    /// The default roots, if wanted, and further ones.
    pub fn new<'a>(default_roots: bool, extra: impl IntoIterator<Item = &'a Path>) -> Result<Roots, RootRefused> {
        let defaults = DEFAULT_ROOTS.iter().filter(|_| default_roots).map(Path::new);
        defaults.chain(extra).map(root).collect::<Result<_, _>>().map(Roots)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
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

pub(super) fn check(below: TreePath) -> Result<TreePath, RootRefused> {
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
}
