//! A source (directory, archive, or commit of a git repository), and its recorded files written to a fresh directory.
//!
//! What is written is what was recorded: each byte is hashed again on its way, so that nothing can be slipped in between reading and
//! building. Links are made last and nothing is opened through one, in neither tree.

mod commit;
mod remove;
mod write;

pub use remove::remove_tree;

use crate::archive::{self, ArchiveError, Member};
use crate::digest::Wanted;
use crate::fs::FsError;
use crate::path::TreePath;
use crate::repository::{self, Commit, RepositoryError};
use crate::scan::{self, Exclude, Listed, Options, Progress, ScanError, Scanned};
use crate::tree::{Entry, Node, Tree, TreeKind};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use write::Writer;

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

    /// Writes exactly the files of `tree`, as it was scanned from here, into `dest`, a fresh empty directory of ours: directories and
    /// executable files 0755, others 0644, whatever the umask; every time is `epoch`, in seconds.
    pub fn materialise(&self, tree: &Tree, dest: &Path, epoch: i64) -> Result<(), SourceError> {
        let writer = Writer::new(tree, dest, &self.path, Some(epoch))?;
        writer.directories()?;
        match &self.form {
            Form::Directory => writer.files_from_directory()?,
            Form::Archive { strip, limit } => self.files_from_archive(&writer, *strip, *limit)?,
            Form::Commit(commit) => commit::files(commit, &writer)?,
        }
        writer.finish()
    }

    fn files_from_archive(&self, writer: &Writer<'_>, strip: u8, limit: u64) -> Result<(), SourceError> {
        let mut written = vec![false; writer.tree().entries().len()];
        let mut failed = None;
        let result = archive::members(&self.path, strip, limit, &mut |path, member| {
            let Some((at, file)) = writer.recorded(&path) else { return Ok(()) };
            let done = match member {
                Member::File { data, size, .. } if !written[at] => writer.file_from_stream(file, size, data),
                Member::Hard { target } if !written[at] => match writer.recorded(&target) {
                    Some((first, _)) if written[first] => writer.file_from_written(file, &target),
                    _ => Err(archive::no_target(&self.path, &path, &target).into()),
                },
                _ => Err(self.changed(&path)),
            };
            written[at] = true;
            done.map_err(|err| {
                let stop = ArchiveError::Changed(self.path.clone());
                failed = Some(err);
                stop
            })
        });
        if let Some(err) = failed {
            return Err(err);
        }
        result?;
        match writer.tree().entries().iter().zip(written).find(|(entry, done)| !done && write::is_file(entry)) {
            Some((entry, _)) => Err(self.changed(&entry.path)),
            None => Ok(()),
        }
    }

    fn changed(&self, path: &TreePath) -> SourceError {
        SourceError::Changed { source_path: self.path.clone(), path: path.clone() }
    }
}

/// What becomes of set-user-id, set-group-id and sticky bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Special {
    /// They are kept, in a directory that others cannot enter.
    Keep,
    /// They are never written: the recipe is somebody else's, and what it built belongs to whoever runs it here.
    Strip,
}

/// Copies the entries of an output tree, as it was scanned from the directory `from`, to the new directory `to`, with the recorded
/// permission bits but for what [`Special`] says; every byte is hashed again on its way. `to` itself is closed to others where a set-user-id
/// or set-group-id file is kept, from the first moment on.
pub fn export(from: &Path, tree: &Tree, to: &Path, special: Special) -> Result<(), SourceError> {
    use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
    let sets_id = |entry: &Entry| matches!(entry.node, Node::File { perm, .. } if perm & 0o6000 != 0);
    let closed = special == Special::Keep && tree.entries().iter().any(sets_id);
    let mode = if closed { 0o700 } else { 0o755 };
    let fail = |err| SourceError::io("create", to, err);
    std::fs::DirBuilder::new().mode(mode).create(to).map_err(fail)?;
    let result = (|| {
        // The umask may have taken some of them.
        std::fs::set_permissions(to, std::fs::Permissions::from_mode(mode)).map_err(fail)?;
        let writer = Writer::new(tree, to, from, None)?.with_modes(mode, special);
        writer.directories()?;
        writer.files_from_directory()?;
        writer.finish()
    })();
    if result.is_err() {
        // It was not there before: a failed run leaves nothing half-written. The first error is the one that counts.
        let _ = remove_tree(to);
    }
    result
}

#[cfg(test)]
mod tests;
