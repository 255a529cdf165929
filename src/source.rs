//! A source (directory, archive, Debian source package, or commit of a git repository), and its recorded files written to a fresh directory.
//!
//! What is written is what was recorded: each byte is hashed again on its way, so that nothing can be slipped in between reading and
//! building. Links are made last and nothing is opened through one, in neither tree.

mod commit;
#[cfg(unix)]
mod contents;
mod debian;
mod dsc;
#[cfg(unix)]
mod materialise;
#[cfg(unix)]
mod opaque;
#[cfg(unix)]
mod remove;
#[cfg(unix)]
mod write;

#[cfg(unix)]
pub use contents::file_below;
#[cfg(unix)]
pub use materialise::{Special, export};
#[cfg(unix)]
pub use opaque::Opaque;
#[cfg(unix)]
pub use remove::remove_tree;

pub use dsc::Dsc;

use crate::archive::{self, ArchiveError};
use crate::digest::Wanted;
use crate::fetch::{Network, Remote, Url, UrlRefused};
use crate::fs::FsError;
use crate::path::TreePath;
use crate::repository::{self, Commit, RepositoryError};
use crate::scan::{self, Exclude, Listed, Options, Progress, ScanError, Scanned};
use crate::tree::TreeKind;
use debian::Package;
use std::io::Read as _;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

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
    Debian(Arc<Package>),
}

/// What a path leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A git repository that a URL names.
    Url(Url),
    /// A directory.
    Directory,
    /// A bundle of git.
    Bundle,
    /// The control file of a Debian source package.
    Debian,
    /// Any other file, which may be an archive.
    File,
}

impl Kind {
    /// Told by the first bytes, never by the name.
    pub fn of(path: &Path) -> Result<Kind, SourceError> {
        let refused = |why| SourceError::Url { text: path.to_string_lossy().into_owned(), why };
        if let Some(url) = Url::of(path) {
            return url.map(Kind::Url).map_err(refused);
        }
        let meta = std::fs::metadata(path).map_err(|err| match Url::is_ssh(path) {
            true => refused(UrlRefused::Ssh),
            false => SourceError::io("read", path, err),
        })?;
        if meta.is_dir() {
            return Ok(Kind::Directory);
        }
        let mut start = Vec::new();
        let file = crate::fs::open_file(path)?;
        file.take(64).read_to_end(&mut start).map_err(|err| SourceError::io("read", path, err))?;
        Ok(match () {
            () if repository::is_bundle(&start) => Kind::Bundle,
            () if dsc::is_dsc(&start) => Kind::Debian,
            () => Kind::File,
        })
    }
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
    /// A Debian source package that is not taken.
    #[error("{}: {why}", path.display())]
    Debian {
        /// Its control file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// `strip` is about archives.
    #[error("{} is no archive: only members of an archive can be stripped", .0.display())]
    Strip(PathBuf),
    /// A URL that is not used.
    #[error("{text}: {why}")]
    Url {
        /// As it was typed.
        text: String,
        /// Why it is not.
        why: UrlRefused,
    },
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

    /// What `dpkg-source` unpacks of a Debian source package, patches not applied. The files that its control file names are beside it, and are
    /// those that it names; that somebody signed it is not looked at.
    pub fn debian(dsc: &Path) -> Result<Source, SourceError> {
        let package = Package::open(dsc)?;
        Ok(Source { path: dsc.to_owned(), form: Form::Debian(Arc::new(package)) })
    }

    /// Whether it is signed by somebody, which nothing here looks at.
    pub fn has_unchecked_signature(&self) -> bool {
        matches!(&self.form, Form::Debian(package) if package.is_signed())
    }

    /// The tree of a commit, by its id or the name of a branch or tag, in a bare repository or that of a checkout.
    pub fn commit(repository: &Path, revision: &str) -> Result<Source, SourceError> {
        let commit = Commit::find(repository, revision)?;
        Ok(Source { path: repository.to_owned(), form: Form::Commit(commit) })
    }

    /// The tree of a commit in a bundle of git: one that a reference in it names or leads to. What is in the bundle is put below `scratch` for as
    /// long as this value is there.
    pub fn bundled(bundle: &Path, revision: &str, scratch: &Path) -> Result<Source, SourceError> {
        let commit = Commit::bundled(bundle, revision, scratch)?;
        Ok(Source { path: bundle.to_owned(), form: Form::Commit(commit) })
    }

    /// The tree of a commit that a server has, by the name of a branch or tag, or its whole id. What is fetched is put below `scratch` for as long
    /// as this value is there.
    pub fn fetched(remote: &Remote, revision: &str, scratch: &Path, network: &Network) -> Result<Source, SourceError> {
        let commit = Commit::fetched(remote, revision, scratch, network)?;
        Ok(Source { path: PathBuf::from(remote.to_string()), form: Form::Commit(commit) })
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
            Form::Debian(package) => package.tree(wanted, exclude, progress),
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
