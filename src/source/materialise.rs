//! Writing recorded trees: a source to build from, outputs to keep.

use super::write::{self, Writer};
use super::{Form, Opaque, Source, SourceError, commit, remove_tree};
use crate::archive::{self, ArchiveError, Member};
use crate::path::TreePath;
use crate::tree::{Entry, Node, Tree};
use std::path::Path;

impl Source {
    /// Writes exactly the files of `tree`, as it was scanned from here, into `dest`, a fresh empty directory of ours: directories and
    /// executable files 0755, others 0644, whatever the umask; every time is `epoch`, in seconds. Returns the compiled code
    /// among them.
    pub fn materialise(&self, tree: &Tree, dest: &Path, epoch: i64) -> Result<Vec<Opaque>, SourceError> {
        let writer = Writer::new(tree, dest, &self.path, Some(epoch))?;
        writer.directories()?;
        match &self.form {
            Form::Directory => writer.files_from_directory()?,
            Form::Archive { strip, limit } => {
                let all = Part { path: &self.path, strip: *strip, limit: *limit, place: &|path| Some(path) };
                self.files_from_archives(&writer, &[all])?;
            }
            Form::Commit(commit) => commit::files(commit, &writer)?,
            Form::Debian(package) => {
                let place = |part| move |path: TreePath| package.place(part, &path);
                let places: Vec<_> = package.parts().iter().map(place).collect();
                let each = package.parts().iter().zip(&places);
                let parts: Vec<Part<'_>> = each
                    .map(|(part, place)| Part { path: part.path(), strip: 0, limit: archive::MAX_UNPACKED, place })
                    .collect();
                self.files_from_archives(&writer, &parts)?;
            }
        }
        writer.finish()?;
        Ok(writer.opaque())
    }

    fn files_from_archives(&self, writer: &Writer<'_>, parts: &[Part<'_>]) -> Result<(), SourceError> {
        let mut written = vec![false; writer.tree().entries().len()];
        for part in parts {
            let mut failed = None;
            let result = archive::members(part.path, part.strip, part.limit, &mut |path, member| {
                let Some(path) = (part.place)(path) else { return Ok(()) };
                let Some((at, file)) = writer.recorded(&path) else { return Ok(()) };
                let done = match member {
                    Member::File { data, size, .. } if !written[at] => writer.file_from_stream(file, size, data),
                    Member::Hard { target } if !written[at] => {
                        let place = (part.place)(target.clone());
                        match place.and_then(|target| Some((writer.recorded(&target)?.0, target))) {
                            Some((first, target)) if written[first] => writer.file_from_written(file, &target),
                            _ => Err(archive::no_target(part.path, &path, &target).into()),
                        }
                    }
                    _ => Err(self.changed(&path)),
                };
                written[at] = true;
                done.map_err(|err| {
                    let stop = ArchiveError::Changed(part.path.to_owned());
                    failed = Some(err);
                    stop
                })
            });
            if let Some(err) = failed {
                return Err(err);
            }
            result?;
        }
        match writer.tree().entries().iter().zip(written).find(|(entry, done)| !done && write::is_file(entry)) {
            Some((entry, _)) => Err(self.changed(&entry.path)),
            None => Ok(()),
        }
    }

    fn changed(&self, path: &TreePath) -> SourceError {
        SourceError::Changed { source_path: self.path.clone(), path: path.clone() }
    }
}

/// An archive, and where in the tree its members are, if they are in it.
struct Part<'a> {
    path: &'a Path,
    strip: u8,
    limit: u64,
    place: &'a dyn Fn(TreePath) -> Option<TreePath>,
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
