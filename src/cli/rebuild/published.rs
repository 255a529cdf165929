//! The published files beside the signed and the rebuilt ones. Looked at after the build, never followed out of their directory.

use super::super::compare::{self as compare_command, Located};
use super::super::exit::{Exit, Failure};
use super::super::reference::Chosen;
use super::Args;
use crate::build::Built;
use crate::compare;
use crate::scan;
use crate::source;
use crate::tree::{Line, Tree, TreeKind};
use std::path::Path;

/// How the published files differ from the signed ones, and from the rebuilt.
#[derive(Default)]
pub(super) struct Published {
    /// Published against signed.
    pub foreign: Vec<compare::Difference>,
    /// Published against rebuilt, with offsets.
    pub located: Vec<Located>,
}

impl Published {
    /// Whether what is published is what is signed.
    pub fn is_signed(&self) -> bool {
        self.foreign.is_empty()
    }
}

/// Looks at the published files, all of them, and keeps those that are not what was rebuilt.
pub(super) fn published(args: &Args, chosen: &Chosen, built: &Built, place: &Path) -> Result<Published, Failure> {
    let Some(dir) = &args.against else { return Ok(Published::default()) };
    let scanned = scan::tree(dir, &scan::Options::new(TreeKind::Output))?;
    let there: Vec<Line> = scanned.tree.lines().collect();
    let rebuilt: Vec<Line> = built.outputs.lines().collect();
    let signed = chosen.expected.lines().ok_or_else(|| {
        Failure::new(Exit::CouldNotTell, "the bundle does not hold the listing of the outputs, which --against needs")
    })?;
    let mut result = Published { foreign: compare::lines(&there, signed), located: Vec::new() };
    let mut kept = std::collections::BTreeSet::new();
    for difference in compare::lines(&there, &rebuilt) {
        if difference.a.is_some() {
            let mut at = Some(difference.path.clone());
            while let Some(path) = at {
                at = path.parent();
                kept.insert(path);
            }
        }
        result.located.push(compare_command::locate(difference, dir, &built.dir())?);
    }
    if !kept.is_empty() {
        let entries = scanned.tree.into_entries().into_iter().filter(|entry| kept.contains(&entry.path)).collect();
        let tree = Tree::new(TreeKind::Output, entries)
            .map_err(|err| Failure::new(Exit::CouldNotTell, format!("{}: {err}", dir.display())))?;
        // Kept beside the rebuilt ones, so that the two can be looked at later.
        source::export(dir, &tree, &place.join("published"), source::Special::Strip)?;
    }
    Ok(result)
}
