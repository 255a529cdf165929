//! The tree of a commit as a source.

use super::SourceError;
#[cfg(unix)]
use super::write::{self, Writer};
use crate::archive::{MAX_UNPACKED, most_names};
use crate::digest::{Wanted, content};
use crate::fs::FsError;
use crate::path::TreePath;
use crate::repository::{Commit, Found, Kind, RepositoryError};
use crate::scan::{Exclude, Progress, Scanned};
use crate::tree::{Entry, Node, Tree, TreeKind};

/// Reads a commit as a source tree. Limits are those of archives.
pub(super) fn tree(
    commit: &Commit,
    wanted: Wanted,
    exclude: &Exclude<'_>,
    progress: Option<&Progress<'_>>,
) -> Result<Scanned, SourceError> {
    let (mut entries, mut excluded) = (Vec::new(), Vec::new());
    let (mut names, mut files, mut total) = (0, 0, 0u64);
    commit.walk::<SourceError>(&mut |at, found| {
        let is_dir = found.kind == Kind::Dir;
        names += at.as_bytes().len() as u64;
        if names > most_names(MAX_UNPACKED) {
            return Err(refuse(commit, &at, "the names up to here are too much to be held in memory"));
        }
        if exclude(&at, is_dir) {
            excluded.push(at);
            return Ok(false);
        }
        let node = match found.kind {
            Kind::Dir => Node::Dir { perm: 0o755 },
            Kind::File { executable } => {
                let bytes = bytes(commit, &at, &found)?;
                total += bytes.len() as u64;
                files += 1;
                if total > MAX_UNPACKED {
                    return Err(refuse(
                        commit,
                        &at,
                        format!("the files up to here are more than {MAX_UNPACKED} bytes"),
                    ));
                }
                if let Some(progress) = progress {
                    progress(files, total);
                }
                Node::File { perm: if executable { 0o755 } else { 0o644 }, content: content(&bytes, wanted) }
            }
            Kind::Link => {
                let target = bytes(commit, &at, &found)?;
                names += target.len() as u64;
                if target.is_empty() || target.contains(&0) {
                    return Err(refuse(commit, &at, "its target is not a path"));
                }
                Node::Link { target: target.into() }
            }
            Kind::Submodule => {
                let why = "it is a submodule, whose files are in another repository";
                return Err(refuse(commit, &at, why));
            }
        };
        entries.push(Entry { path: at, node });
        Ok(true)
    })?;
    let tree = Tree::new(TreeKind::Source, entries).map_err(crate::scan::ScanError::Tree)?;
    let meta = commit.store().metadata().map_err(|err| FsError::io("read", commit.store(), err))?;
    Ok(Scanned::of_archive(commit.store(), &meta, tree, excluded))
}

#[cfg(unix)]
/// Writes the recorded files from the commit.
pub(super) fn files(commit: &Commit, writer: &Writer<'_>) -> Result<(), SourceError> {
    let mut left = writer.tree().entries().iter().filter(|entry| write::is_file(entry)).count();
    commit.walk::<SourceError>(&mut |at, found| {
        if let (Kind::File { .. }, Some((_, file))) = (found.kind, writer.recorded(&at)) {
            let bytes = bytes(commit, &at, &found)?;
            writer.file_from_stream(file, bytes.len() as u64, &mut &bytes[..])?;
            left -= 1;
        }
        Ok(found.kind == Kind::Dir)
    })?;
    if left == 0 {
        return Ok(());
    }
    // It was scanned from this commit, and a commit cannot change.
    Err(crate::scan::ScanError::Changed(commit.path().to_owned()).into())
}

fn bytes(commit: &Commit, at: &TreePath, found: &Found<'_>) -> Result<Vec<u8>, SourceError> {
    found.bytes().map_err(|why| refuse(commit, at, why))
}

fn refuse(commit: &Commit, at: &TreePath, why: impl std::fmt::Display) -> SourceError {
    RepositoryError::Member {
        path: commit.path().to_owned(),
        commit: commit.id(),
        member: at.escaped(),
        why: why.to_string(),
    }
    .into()
}
