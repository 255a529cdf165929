//! Whether a tree is that of a commit.

use super::{Commit, Kind, RepositoryError};
use crate::digest;
use crate::path::TreePath;
use crate::tree::{Node, Tree};
use std::collections::BTreeMap;

/// How a path is not as the commit has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Differs {
    /// Other content, or another kind of thing.
    Content,
    /// Only executable here, or only there.
    Mode,
    /// Not in the commit: untracked, ignored, or added and not committed.
    Uncommitted,
    /// An empty directory, which no commit holds.
    EmptyDirectory,
    /// In the commit only.
    Missing,
    /// A submodule: of its files the commit says nothing but an id.
    Submodule,
}

impl Differs {
    /// In words.
    pub fn word(self) -> &'static str {
        match self {
            Differs::Content => "is not as committed",
            Differs::Mode => "has another mode than committed",
            Differs::Uncommitted => "is not in the commit (untracked, ignored, or not committed yet)",
            Differs::EmptyDirectory => "is an empty directory, which no commit holds",
            Differs::Missing => "is in the commit and not here",
            Differs::Submodule => "is a submodule, whose files are in no commit of this repository",
        }
    }
}

impl Commit {
    /// Every path at which a source tree is not that of the commit, sorted; what is excluded counts in neither. The tree must have been read
    /// with git ids of the repository's kind.
    pub fn differs(
        &self,
        tree: &Tree,
        exclude: &dyn Fn(&TreePath, bool) -> bool,
    ) -> Result<Vec<(TreePath, Differs)>, RepositoryError> {
        let mut committed: BTreeMap<TreePath, (Kind, Box<[u8]>)> = BTreeMap::new();
        self.walk::<RepositoryError>(&mut |at, found| {
            if exclude(&at, found.kind == Kind::Dir) {
                return Ok(false);
            }
            if found.kind != Kind::Dir && committed.insert(at.clone(), (found.kind, found.id.into())).is_some() {
                return Err(super::member(self.path(), &self.id(), &at, "it is there twice"));
            }
            Ok(true)
        })?;
        let modules: Vec<TreePath> =
            committed.iter().filter(|(_, (kind, _))| *kind == Kind::Submodule).map(|(at, _)| at.clone()).collect();
        let mut differs: Vec<(TreePath, Differs)> = Vec::new();
        for entry in tree.entries() {
            let at = &entry.path;
            let inside = |module: &TreePath| {
                at == module || at.as_bytes().strip_prefix(module.as_bytes()).is_some_and(|rest| rest.starts_with(b"/"))
            };
            // Named once, below.
            if modules.iter().any(inside) {
                continue;
            }
            let (here, id) = match &entry.node {
                Node::File { perm, content } => {
                    let sha1 = content.git_blob.map(|id| id.as_bytes().to_vec());
                    let sha256 = content.git_blob_sha256.map(|id| id.as_bytes().to_vec());
                    let id = if self.is_sha256() { sha256 } else { sha1 };
                    (Kind::File { executable: perm & 0o100 != 0 }, id)
                }
                Node::Link { target } => {
                    let blob = [format!("blob {}\0", target.len()).as_bytes(), target].concat();
                    let id = match self.is_sha256() {
                        true => digest::sha256(&blob).as_bytes().to_vec(),
                        false => digest::sha1(&blob).as_bytes().to_vec(),
                    };
                    (Kind::Link, Some(id))
                }
                Node::Dir { .. } | Node::Closed { .. } => {
                    // In place of a file it is named as what is not as committed.
                    let what = match committed.remove(at) {
                        Some(_) => Differs::Content,
                        None => Differs::EmptyDirectory,
                    };
                    differs.push((at.clone(), what));
                    continue;
                }
            };
            match committed.remove(at) {
                None => differs.push((at.clone(), Differs::Uncommitted)),
                Some((there, want)) if id.as_deref() == Some(&want) => {
                    if there != here {
                        let modes = matches!((there, here), (Kind::File { .. }, Kind::File { .. }));
                        differs.push((at.clone(), if modes { Differs::Mode } else { Differs::Content }));
                    }
                }
                Some(_) => differs.push((at.clone(), Differs::Content)),
            }
        }
        let rest = committed.into_iter().map(|(at, (kind, _))| match kind {
            Kind::Submodule => (at, Differs::Submodule),
            _ => (at, Differs::Missing),
        });
        differs.extend(rest);
        differs.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        Ok(differs)
    }
}
