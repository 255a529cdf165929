//! A source (directory, archive, or commit of a git repository), and its recorded files written to a fresh directory.
//!
//! What is written is what was recorded: each byte is hashed again on its way, so that nothing can be slipped in between reading and
//! building. Links are made last and nothing is opened through one, in neither tree.

mod commit;
#[cfg(unix)]
mod materialise;
#[cfg(unix)]
mod opaque;
#[cfg(unix)]
mod remove;
#[cfg(unix)]
mod write;

#[cfg(unix)]
pub use materialise::{Special, export};
#[cfg(unix)]
pub use opaque::Opaque;
#[cfg(unix)]
pub use remove::remove_tree;

use crate::archive::{self, ArchiveError};
use crate::digest::Wanted;
use crate::fs::FsError;
use crate::path::TreePath;
use crate::repository::{self, Commit, RepositoryError};
use crate::scan::{self, Exclude, Listed, Options, Progress, ScanError, Scanned};
use crate::tree::TreeKind;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

/// What is built from, where it was found.
#[derive(Clone, Debug)]
pub struct Source {
    path: PathBuf,
    form: Form,
}

#[derive(Clone, Debug)]
enum Form {
    Directory,
    Archive { strip: u8, limit: u64 },
    Commit(Commit),
}

/// A source that could not be read or written out.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The operating system's answer.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// The directory could not be read.
    #[error(transparent)]
    Scan(#[from] ScanError),
    /// The archive could not be read.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// `strip` is about archives.
    #[error("{} is no archive: only members of an archive can be stripped", .0.display())]
    Strip(PathBuf),
    /// A repository or its commit could not be read.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// Not the bytes that were recorded.
    #[error("{path} in {} changed since it was read", source_path.display())]
    Changed {
        /// The directory or archive.
        source_path: PathBuf,
        /// What in it.
        path: TreePath,
    },
}

impl SourceError {
    fn io(what: &'static str, path: &Path, err: impl Into<std::io::Error>) -> SourceError {
        SourceError::Fs(FsError::io(what, path, err.into()))
    }
}

impl Source {
    /// A directory, or a file that is taken for a tar archive; of its members `strip` leading parts are removed.
    pub fn open(path: &Path, strip: u8) -> Result<Source, SourceError> {
        let meta = std::fs::metadata(path).map_err(|err| SourceError::io("read", path, err))?;
        let form = match (meta.is_dir(), strip) {
            (true, 0) => Form::Directory,
            (true, _) => return Err(SourceError::Strip(path.to_owned())),
            (false, strip) => Form::Archive { strip, limit: archive::MAX_UNPACKED },
        };
        Ok(Source { path: path.to_owned(), form })
    }

    /// The tree of a commit, by its id or the name of a branch or tag, in a bare repository or that of a checkout.
    pub fn commit(repository: &Path, revision: &str) -> Result<Source, SourceError> {
        let commit = Commit::find(repository, revision)?;
        Ok(Source { path: repository.to_owned(), form: Form::Commit(commit) })
    }

    /// The commit that it is, when it is one.
    pub fn as_commit(&self) -> Option<&Commit> {
        match &self.form {
            Form::Commit(commit) => Some(commit),
            _ => None,
        }
    }

    /// Whether it is the files of a directory.
    pub fn is_directory(&self) -> bool {
        matches!(self.form, Form::Directory)
    }

    /// Committer time of the commit that it is, or that is checked out there; in seconds since 1970.
    pub fn commit_time(&self) -> Result<u64, RepositoryError> {
        match &self.form {
            Form::Commit(commit) => commit.time(),
            _ => repository::committer_time(&self.path),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Hands its listing to `write`, piece by piece and in order; of a directory nothing is kept of what was handed over.
    pub fn list(
        &self,
        exclude: &Exclude<'_>,
        threads: NonZeroUsize,
        progress: Option<&Progress<'_>>,
        write: &mut (dyn FnMut(&[u8]) -> std::io::Result<()> + Send),
    ) -> Result<Listed, SourceError> {
        if self.is_directory() {
            let options = Options { exclude: Some(exclude), threads, progress, ..Options::new(TreeKind::Source) };
            return Ok(scan::list(&self.path, &options, write)?);
        }
        let scanned = self.scan(Wanted::default(), exclude, threads, progress)?;
        let fail = |err| SourceError::io("write the listing of", &self.path, err);
        scanned.tree.pieces(&mut |piece| write(piece.as_bytes())).map_err(fail)?;
        let (entries, folding) = (scanned.tree.entries().len(), scanned.tree.folding_names());
        Ok(Listed { entries, folding, excluded: scanned.excluded })
    }

    /// Reads it as a source tree.
    pub fn scan(
        &self,
        wanted: Wanted,
        exclude: &Exclude<'_>,
        threads: NonZeroUsize,
        progress: Option<&Progress<'_>>,
    ) -> Result<Scanned, SourceError> {
        match &self.form {
            Form::Directory => {
                let options =
                    Options { wanted, exclude: Some(exclude), threads, progress, ..Options::new(TreeKind::Source) };
                Ok(scan::tree(&self.path, &options)?)
            }
            Form::Archive { strip, limit } => Ok(archive::tree(&self.path, *strip, wanted, exclude, *limit, progress)?),
            Form::Commit(commit) => commit::tree(commit, wanted, exclude, progress),
        }
    }
}

/// Removes a directory and all that is in it.
#[cfg(not(unix))]
pub fn remove_tree(path: &Path) -> Result<(), FsError> {
    std::fs::remove_dir_all(path).map_err(|err| FsError::io("remove", path, err))
}

#[cfg(all(test, unix))]
mod tests;
