//! Commits of a git repository as sources, be it on disk, a bundle or somewhere else, and whether a checkout is what its commit says. The only
//! user of gix.
//!
//! The repository may be anybody's. No `git` is run, no configuration but its own is read and of that nothing is followed: no includes, hooks,
//! filters, helpers or replaced objects. Nothing outside of it is read: a repository that borrows objects from another, that is a part of
//! another, or that holds links or devices is refused. Every object is hashed again (with detection of SHA-1 collisions) and must have the id
//! under which it was asked for.

#[cfg(feature = "git")]
mod bundle;
#[cfg(feature = "git")]
mod dirty;
#[cfg(feature = "fetch")]
mod fetched;
#[cfg(feature = "git")]
mod odb;
#[cfg(feature = "git")]
mod pack;
#[cfg(feature = "git")]
mod received;

use crate::path::TreePath;
use std::path::{Path, PathBuf};

#[cfg(feature = "git")]
pub use bundle::Header as BundleHeader;
#[cfg(feature = "git")]
pub use dirty::Differs;
#[cfg(feature = "git")]
pub use odb::Commit;
#[cfg(feature = "git")]
pub(crate) use odb::Found;

/// Largest object that is read: it is held in memory.
pub const MAX_OBJECT: u64 = 2 << 30;
/// No byte of a repository becomes more than so many of an object: deflate comes to 1032. What deltas can make beyond that, honest ones do not.
#[cfg(feature = "git")]
const MAX_PACKED: u64 = 1100;
/// The limit for the smallest repositories.
#[cfg(feature = "git")]
const MIN_LIMIT: u64 = 128 << 20;

/// Largest object of a repository or pack that is of so many bytes in all: an object states its length, and memory is taken for it before it
/// is seen to be another.
#[cfg(feature = "git")]
fn object_limit(length: u64) -> u64 {
    length.saturating_mul(MAX_PACKED).clamp(MIN_LIMIT, MAX_OBJECT)
}

/// Whether a file begins as bundles of git do.
pub fn is_bundle(start: &[u8]) -> bool {
    start.starts_with(b"# v") && start.get(4..).is_some_and(|rest| rest.starts_with(b" git bundle\n"))
}

/// What an entry of a commit's tree is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "git"), allow(dead_code))] // made where commits are read
pub(crate) enum Kind {
    Dir,
    File { executable: bool },
    Link,
    Submodule,
}

/// A repository or commit that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RepositoryError {
    /// The operating system's answer.
    #[error(transparent)]
    Fs(#[from] crate::fs::FsError),
    /// The repository as a whole.
    #[error("cannot read the git repository {}: {why}", path.display())]
    Unreadable {
        /// Where it is.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// Something outside of it would be read.
    #[error("the git repository {} is not whole in itself: {why}", path.display())]
    Outside {
        /// Where it is.
        path: PathBuf,
        /// What leads out.
        why: String,
    },
    /// No such commit.
    #[error("{}: revision {revision}: {why}", path.display())]
    Revision {
        /// The repository.
        path: PathBuf,
        /// As it was asked for.
        revision: String,
        /// Why it is none.
        why: String,
    },
    /// Something in the commit's tree.
    #[error("{} at {commit}: {member}: {why}", path.display())]
    Member {
        /// The repository.
        path: PathBuf,
        /// The commit.
        commit: String,
        /// Where in its tree, escaped.
        member: String,
        /// What is wrong.
        why: String,
    },
    /// A program without the cargo feature `git`.
    #[error("cannot read the git repository {}: this program was built without the feature `git`", .0.display())]
    NotBuilt(PathBuf),
    /// A program without the cargo feature `fetch`.
    #[error("cannot read the git repository {0}: this program was built without the feature `fetch`")]
    NoNetwork(String),
    /// The commit's time is before 1970.
    #[error("the commit of {} is from before 1970", .0.display())]
    Time(PathBuf),
}

/// Whether a directory is a checkout: it holds `.git`.
fn is_checkout(path: &Path) -> bool {
    path.join(".git").symlink_metadata().is_ok()
}

/// Whether a directory is a repository itself, bare or the `.git` of a checkout.
pub fn is_repository(path: &Path) -> bool {
    path.join("HEAD").is_file() && path.join("objects").is_dir() && path.join("refs").is_dir()
}

/// The checkout that a directory is or is in, and where in it: the nearest one.
fn checkout(path: &Path) -> Option<(PathBuf, Option<TreePath>)> {
    if is_checkout(path) {
        return Some((path.to_owned(), None));
    }
    let real = path.canonicalize().ok()?;
    let top = real.ancestors().skip(1).find(|above| is_checkout(above))?;
    let inside = real.strip_prefix(top).ok()?;
    let parts: Vec<&[u8]> = inside.iter().map(|part| part.as_encoded_bytes()).collect();
    Some((top.to_owned(), Some(TreePath::from_bytes(&parts.join(&b'/')).ok()?)))
}

/// Committer time of the `HEAD` of the checkout that a directory is or is in, in seconds since 1970.
pub fn committer_time(path: &Path) -> Result<u64, RepositoryError> {
    let top = checkout(path).map_or_else(|| path.to_owned(), |(top, _)| top);
    Commit::head(&top)?.time()
}

/// The commit that is checked out where a directory is, with what it holds of that directory as its tree. None where there is no checkout, or
/// the commit has no such directory: what nobody committed is no part of it.
pub fn checked_out(path: &Path) -> Result<Option<Commit>, RepositoryError> {
    match checkout(path) {
        None => Ok(None),
        Some((top, None)) => Commit::head(&top).map(Some),
        Some((top, Some(inside))) => Commit::head(&top)?.below(&inside),
    }
}

/// A revision that is an id, all of it.
#[cfg(feature = "git")]
fn full_id(revision: &str, hash: gix::hash::Kind) -> Option<gix::ObjectId> {
    let is_hex = revision.len() == hash.len_in_hex() && revision.bytes().all(|b| b.is_ascii_hexdigit());
    is_hex.then(|| gix::ObjectId::from_hex(revision.to_ascii_lowercase().as_bytes()).ok()).flatten()
}

/// What a revision that is no id may name, in git's order, but for what stands beside `refs`: that is no branch and no tag.
#[cfg(feature = "git")]
fn full_names(revision: &str) -> Vec<String> {
    match revision {
        "HEAD" => vec![revision.to_owned()],
        _ if revision.starts_with("refs/") => vec![revision.to_owned()],
        _ => ["refs", "refs/tags", "refs/heads", "refs/remotes"].iter().map(|at| format!("{at}/{revision}")).collect(),
    }
}

/// Where a member of a commit's tree stands, in an error.
#[cfg(feature = "git")]
fn member(path: &Path, commit: &str, member: &TreePath, why: impl std::fmt::Display) -> RepositoryError {
    let (path, commit) = (path.to_owned(), commit.to_owned());
    RepositoryError::Member { path, commit, member: member.escaped(), why: why.to_string() }
}

#[cfg(not(feature = "fetch"))]
impl Commit {
    /// Always an error.
    pub fn fetched(
        remote: &crate::fetch::Remote,
        _: &str,
        _: &Path,
        _: &crate::fetch::Network,
    ) -> Result<Commit, RepositoryError> {
        Err(RepositoryError::NoNetwork(remote.to_string()))
    }
}

#[cfg(not(feature = "git"))]
mod without;
#[cfg(not(feature = "git"))]
pub(crate) use without::Found;
#[cfg(not(feature = "git"))]
pub use without::{Commit, Differs};

#[cfg(all(test, feature = "git"))]
mod tests;
