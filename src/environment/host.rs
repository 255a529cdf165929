//! Paths of this host as the environment of a build. What a root may be, and the text of a lock, is [`crate::lock`]'s.

use crate::lock::{self, LockError, RootRefused, Roots};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// The read-only host paths of a build, sorted, none twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    roots: Vec<PathBuf>,
    named: Roots,
}

/// A lock read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lock {
    /// `SOURCE_DATE_EPOCH`.
    pub epoch: u64,
    /// The roots.
    pub host: Host,
}

impl Host {
    /// The default roots, if wanted, and further ones.
    pub fn new(default_roots: bool, extra: &[PathBuf]) -> Result<Host, RootRefused> {
        Roots::new(default_roots, extra.iter().map(PathBuf::as_path)).map(Host::of)
    }

    fn of(named: Roots) -> Host {
        let path = |below: &crate::path::TreePath| OsString::from_vec([b"/", below.as_bytes()].concat()).into();
        Host { roots: named.below().map(path).collect(), named }
    }

    /// Absolute paths, sorted by their bytes.
    pub fn roots(&self) -> &[PathBuf] {
        &self.roots
    }

    /// The lock (docs/spec.md §3.2).
    pub fn lock_text(&self, epoch: u64) -> String {
        lock::Lock { epoch, roots: self.named.clone() }.to_string()
    }
}

impl Lock {
    /// Reads a lock. What it takes, [`Host::lock_text`] prints again byte for byte.
    pub fn parse(text: &str) -> Result<Lock, LockError> {
        lock::Lock::parse(text).map(|lock| Lock { epoch: lock.epoch, host: Host::of(lock.roots) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_roots_here_and_in_the_lock() {
        let host = Host::new(true, &["/opt/x y\n".into()]).unwrap();
        assert!(host.roots().contains(&"/opt/x y\n".into()) && host.roots().contains(&"/usr".into()));
        assert_eq!(Lock::parse(&host.lock_text(7)), Ok(Lock { epoch: 7, host }));
        assert_eq!(crate::sandbox::RESERVED, lock::RESERVED, "what the sandbox has of its own is no root");
    }
}
