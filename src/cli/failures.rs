//! Which exit code and which hints the library's errors get.

#[cfg(unix)]
mod build;
#[cfg(unix)]
mod environment;

use super::exit::{Exit, Failure};
use crate::archive::ArchiveError;
use crate::fetch::UrlRefused;
use crate::repository::RepositoryError;
use crate::scan::ScanError;
use crate::source::SourceError;

impl From<ScanError> for Failure {
    fn from(err: ScanError) -> Failure {
        let exit = if matches!(err, ScanError::Panicked) { Exit::Internal } else { Exit::CouldNotTell };
        let failure = Failure::new(exit, &err);
        match err {
            ScanError::Changed(_) => failure.hint("run it again when nothing writes there"),
            _ => failure,
        }
    }
}

impl From<SourceError> for Failure {
    fn from(err: SourceError) -> Failure {
        match err {
            SourceError::Scan(err) => err.into(),
            SourceError::Strip(_) => Failure::usage(err).hint("leave --strip out"),
            SourceError::Archive(ArchiveError::NotTar(_)) => Failure::new(Exit::CouldNotTell, err)
                .hint("a source tree is a directory, or a tar (.gz, .xz, .zst) or zip archive"),
            SourceError::Archive(ArchiveError::Format { .. }) => {
                Failure::new(Exit::CouldNotTell, err).hint("decompress it first, or unpack it and give the directory")
            }
            SourceError::Repository(err) => err.into(),
            SourceError::Url { why: UrlRefused::Ssh | UrlRefused::Login, .. } => Failure::usage(err).hint(
                "fetch it yourself: `git clone --bare` makes a repository, and `git bundle create` one file of it",
            ),
            SourceError::Url { .. } => Failure::usage(err),
            SourceError::Debian { .. } => Failure::new(Exit::CouldNotTell, err)
                .hint("`dpkg-source --skip-patches -x` unpacks it; give the directory"),
            err => Failure::new(Exit::CouldNotTell, err),
        }
    }
}

impl From<RepositoryError> for Failure {
    fn from(err: RepositoryError) -> Failure {
        let failure = Failure::new(Exit::CouldNotTell, &err);
        match err {
            RepositoryError::Outside { .. } => failure.hint("`git clone --bare --no-local` makes a copy that is whole"),
            RepositoryError::Revision { .. } => {
                failure.hint("a branch, a tag, or the id of a commit is meant, such as --revision v1.0")
            }
            RepositoryError::NotBuilt(_) => failure.hint("give the files, or an archive of them"),
            RepositoryError::NoNetwork(_) => failure.hint("fetch it yourself, and give the clone or a bundle of it"),
            _ => failure,
        }
    }
}
