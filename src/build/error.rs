//! Why a build did not come to outputs.

use super::trace::Trace;
use crate::digest::TreeDigest;
use crate::environment::FingerprintError;
use crate::fetched;
use crate::lock::{LockError, RootRefused};
use crate::path::TreePath;
use crate::sandbox::SandboxError;
use crate::scan::ScanError;
use crate::source::SourceError;
use crate::stop::Interrupted;
use crate::tree::TreeError;
use std::path::PathBuf;

/// A build that did not come to outputs.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The source could not be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A file or directory could not be read.
    #[error(transparent)]
    Scan(#[from] ScanError),
    /// A host root that no build may have.
    #[error(transparent)]
    Root(#[from] RootRefused),
    /// A lock that is none.
    #[error("lock: {0}")]
    Lock(#[from] LockError),
    /// A lock of another environment than the recipe's.
    #[error("the lock is not of what the recipe asks for: {0}")]
    Unfit(String),
    /// A lock file of the source's dependencies that is not to be had, or refused.
    #[error(transparent)]
    Dependencies(#[from] fetched::Refused),
    /// What the source depends on is not what is locked.
    #[error("the lock is not of what the source depends on: {0}")]
    NotOfSource(String),
    /// The environment could not be read.
    #[error(transparent)]
    Fingerprint(#[from] FingerprintError),
    /// The source could not be given its git id.
    #[error(transparent)]
    Git(#[from] crate::git::GitError),
    /// The sandbox was not to be had, or a step failed.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// `source-date-epoch = "git"` and no commit.
    #[error("cannot read the commit time: {0}")]
    CommitTime(crate::repository::RepositoryError),
    /// A file could not be written.
    #[error(transparent)]
    Fs(#[from] crate::fs::FsError),
    /// Outputs that are not a tree.
    #[error("outputs: {0}")]
    Outputs(TreeError),
    /// Outputs that cannot be read as a tree: a FIFO, more than there may be.
    #[error("outputs: {0}")]
    OutputScan(ScanError),
    /// An output is in the source already: the build could leave it as it is.
    #[error("{0} is an output and is in the source already")]
    Stale(TreePath),
    /// A pattern of `outputs` matches nothing.
    #[error("the build made nothing that matches {pattern:?}")]
    NoOutput {
        /// The pattern.
        pattern: String,
        /// Files that the build did make, some of them.
        made: Vec<TreePath>,
    },
    /// Outputs without a file: links name bytes, and what they name is not looked at.
    #[error("no output is a file: {0} is a symbolic link, which is not followed")]
    OnlyLinks(TreePath),
    /// A socket below a root: whoever listens there could be talked to from inside.
    #[error("there is a socket below the roots: /{0}")]
    Socket(TreePath),
    /// The image was not unpacked before the run: a defect of the caller.
    #[error("the environment's image is not there")]
    NoImage,
    /// Without the sandbox the steps would run in this machine's own file system.
    #[error("the environment is an image, which a build without the sandbox is not in")]
    NotInImage,
    /// What is unpacked is not what the lock says.
    #[error("the image that is unpacked in {} is not the locked one: sha256:{found}, locked is sha256:{locked}", base.display())]
    Image {
        /// Where.
        base: PathBuf,
        /// Digest of what is there.
        found: TreeDigest,
        /// Digest in the lock.
        locked: TreeDigest,
    },
    /// It was asked to end; nothing of it is left.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    /// The environment changed while the build ran.
    #[error("the environment changed during the build: {}", .0.display())]
    EnvironmentChanged(PathBuf),
    /// The steps ran, were observed, and came to nothing.
    #[error("{why}")]
    Traced {
        /// Why.
        why: Box<BuildError>,
        /// What was observed.
        trace: Box<Trace>,
    },
    /// Without the sandbox nothing is observed.
    #[error("a build without the sandbox cannot be traced")]
    Untraceable,
    /// A signed order with a source epoch that no clock has.
    #[error("SOURCE_DATE_EPOCH {0} is out of range")]
    Epoch(u64),
}
