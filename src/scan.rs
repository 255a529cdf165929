//! Stands in until the real one is merged: link roots and the top of directory roots only.

use crate::path::TreePath;
use crate::tree::{Entry, Node, Tree, TreeKind};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// A tree with what it takes to look again.
pub struct Scanned {
    /// The tree.
    pub tree: Tree,
}

/// What could not be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read")]
pub struct ScanError;

impl Scanned {
    /// The first path that changed.
    pub fn changed(&self) -> Result<Option<TreePath>, ScanError> {
        Ok(None)
    }
}

/// The tree of host roots.
pub fn environment(roots: &[PathBuf]) -> Result<Scanned, ScanError> {
    let mut entries = Vec::new();
    for root in roots {
        let Ok(meta) = std::fs::symlink_metadata(root) else { continue };
        let path = TreePath::from_bytes(&root.as_os_str().as_bytes()[1..]).map_err(|_| ScanError)?;
        let node = if meta.is_symlink() {
            Node::Link { target: std::fs::read_link(root).map_err(|_| ScanError)?.as_os_str().as_bytes().into() }
        } else if meta.is_dir() {
            Node::Dir { perm: meta.mode() & 0o7777 }
        } else {
            Node::Closed { mode: meta.mode() }
        };
        entries.push(Entry { path, node });
    }
    Ok(Scanned { tree: Tree::new(TreeKind::Environment, entries).map_err(|_| ScanError)? })
}
