//! What a walk found, piece by piece, to a tree and its stamps.

use super::again::Stamps;
use super::stamp::{Stamp, Stamper};
use super::{Found, ScanError, Scanned};
use crate::path::TreePath;
use crate::tree::{Entry, MAX_ENTRIES, Node, Tree, TreeError, TreeKind};
use std::path::PathBuf;

/// Taken apart at once: what was found is held in one form only.
#[derive(Default)]
pub(super) struct Gathered {
    entries: Vec<Entry>,
    leaves: Vec<u64>,
    dirs: Vec<(TreePath, Stamp)>,
    /// Some entry is not after the one before it.
    mixed: bool,
}

impl Gathered {
    pub fn take(&mut self, found: Vec<Found>) -> Result<(), ScanError> {
        if self.entries.len() + found.len() > MAX_ENTRIES {
            return Err(TreeError::TooMany.into());
        }
        for Found { entry, stamp, listed } in found {
            match entry.node {
                Node::Dir { .. } => self.dirs.push((entry.path.clone(), stamp)),
                _ => self.leaves.push(stamp.whole),
            }
            if listed {
                self.mixed |= self.entries.last().is_some_and(|last| last.path >= entry.path);
                self.entries.push(entry);
            }
        }
        Ok(())
    }

    /// All that is listed so far.
    #[cfg(unix)]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub fn assemble(
        mut self,
        kind: TreeKind,
        mut excluded: Vec<TreePath>,
        base: PathBuf,
        base_stamp: Option<Stamp>,
        stamper: Stamper,
    ) -> Result<Scanned, ScanError> {
        self.sort();
        self.leaves.shrink_to_fit();
        excluded.sort_unstable();
        let tree = Tree::new(kind, self.entries)?;
        let stamps = Stamps { stamper, base, base_stamp, leaves: self.leaves, dirs: self.dirs };
        Ok(Scanned { tree, excluded, absent: Vec::new(), stamps })
    }

    /// Each walk is sorted; the roots of an environment among one another need not be.
    fn sort(&mut self) {
        if self.mixed {
            let mut leaves = std::mem::take(&mut self.leaves).into_iter();
            let with_stamps = std::mem::take(&mut self.entries).into_iter().map(|entry| {
                let stamp = if matches!(entry.node, Node::Dir { .. }) { None } else { leaves.next() };
                (entry, stamp)
            });
            let mut with_stamps: Vec<_> = with_stamps.collect();
            with_stamps.sort_by(|(a, _), (b, _)| a.path.cmp(&b.path));
            for (entry, stamp) in with_stamps {
                self.entries.push(entry);
                self.leaves.extend(stamp);
            }
        }
        self.dirs.sort_by(|(a, _), (b, _)| a.cmp(b));
    }
}
