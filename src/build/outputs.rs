//! What a build left, as a tree; and what of it was there before.

use super::{BuildError, Built, Plan};
use crate::digest::{Sha256, Wanted};
use crate::fs::Why;
use crate::path::TreePath;
use crate::scan::{self, Most, ScanError};
use crate::stop::Stop;
use crate::tree::{Node, Tree, TreeKind};
use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::Mutex;

/// Most entries of an output tree that a build may leave.
const MAX_OUTPUTS: usize = 1_000_000;
/// Names that are collected, and that are shown, when a pattern matches nothing.
const COLLECTED: usize = 1000;
const SHOWN: usize = 8;

/// The outputs that stand in a directory, as the recipe names them. What is no output is not read.
pub fn outputs(plan: &Plan, dir: &Path, stop: &Stop) -> Result<Tree, BuildError> {
    let recipe = &plan.recipe;
    let wanted = |path: &TreePath, is_dir: bool| {
        recipe.is_output(path) || is_dir && recipe.outputs.iter().any(|glob| glob.reaches_below(path))
    };
    let mut options = scan::Options::new(TreeKind::Output);
    options.wanted = Wanted::SUBJECT;
    // Nothing more is wanted of a run that ends.
    let leave_out = |path: &TreePath, is_dir: bool| stop.check().is_err() || !wanted(path, is_dir);
    options.exclude = Some(&leave_out);
    options.note_excluded = false;
    options.most = Most { entries: MAX_OUTPUTS, bytes: recipe.limits.outputs };
    let scanned = scan::tree(dir, &options);
    stop.check()?;
    let entries = scanned.map_err(unreadable)?.tree.into_entries();
    // Directories that could have held an output and did not are no outputs.
    let mut kept: HashMap<TreePath, bool> = HashMap::new();
    for entry in entries.iter().filter(|entry| recipe.is_output(&entry.path)) {
        kept.insert(entry.path.clone(), true);
        let mut above = entry.path.parent();
        while let Some(dir) = above {
            above = dir.parent();
            if kept.insert(dir, true).is_some() {
                break;
            }
        }
    }
    for glob in &recipe.outputs {
        if !kept.keys().any(|path| glob.matches(path)) {
            return Err(BuildError::NoOutput { pattern: glob.to_string(), made: made(plan, dir) });
        }
    }
    let entries: Vec<_> = entries.into_iter().filter(|entry| kept.contains_key(&entry.path)).collect();
    if !entries.iter().any(|entry| matches!(entry.node, Node::File { .. })) {
        if let Some(link) = entries.iter().find(|entry| matches!(entry.node, Node::Link { .. })) {
            return Err(BuildError::OnlyLinks(link.path.clone()));
        }
        let pattern = recipe.outputs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        return Err(BuildError::NoOutput { pattern, made: made(plan, dir) });
    }
    Tree::new(TreeKind::Output, entries).map_err(BuildError::Outputs)
}

/// Outputs that are no tree are a failed build; a disk that gives an error says nothing about the build.
fn unreadable(err: ScanError) -> BuildError {
    match err {
        ScanError::Fs(err) => match err.why {
            Why::Io(ref why) if why.kind() != std::io::ErrorKind::PermissionDenied => BuildError::Fs(err),
            _ => BuildError::OutputScan(ScanError::Fs(err)),
        },
        ScanError::Panicked => BuildError::Scan(ScanError::Panicked),
        err => BuildError::OutputScan(err),
    }
}

/// A few files that are in the build directory and not in the source, for the hint. Nothing is opened but directories.
fn made(plan: &Plan, dir: &Path) -> Vec<TreePath> {
    let known = |path: &TreePath| plan.tree.entries().binary_search_by(|entry| entry.path.cmp(path)).is_ok();
    let new = Mutex::new(Vec::new());
    let note = |path: &TreePath, is_dir: bool| {
        let Ok(mut new) = new.lock() else { return true };
        if !is_dir && !known(path) && new.len() < COLLECTED {
            new.push(path.clone());
        }
        !is_dir || new.len() == COLLECTED
    };
    let mut options = scan::Options::new(TreeKind::Environment);
    options.exclude = Some(&note);
    options.note_excluded = false;
    // What was noted before an error is as good.
    let _ = scan::tree(dir, &options);
    let mut new = new.into_inner().unwrap_or_default();
    new.sort_unstable();
    new.truncate(SHOWN);
    new
}

/// An output that was not built: the same bytes were there before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputCopy {
    /// The output.
    pub output: TreePath,
    /// What has the same bytes.
    pub of: CopyOf,
}

/// Where the bytes of an output were before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CopyOf {
    /// In the source tree.
    Source(TreePath),
    /// In the environment; the path is without its leading `/`.
    Environment(TreePath),
}

/// The contents of the outputs, empty ones aside.
pub(super) fn contents(outputs: &Tree) -> BTreeSet<Sha256> {
    outputs.files().filter(|(_, content)| content.size > 0).map(|(_, content)| content.sha256).collect()
}

/// The outputs, empty ones aside, whose bytes are those of a file in the source or in the environment; for each output the first
/// file of either kind.
pub fn copies(built: &Built, plan: &Plan) -> Vec<OutputCopy> {
    copies_among(&built.outputs, plan, &built.environment_holds)
}

/// The same for any output tree and what is known of an environment, which may be nothing.
pub fn copies_among(outputs: &Tree, plan: &Plan, environment: &HashMap<Sha256, TreePath>) -> Vec<OutputCopy> {
    let mut source: HashMap<Sha256, Option<&TreePath>> =
        contents(outputs).into_iter().map(|sha256| (sha256, None)).collect();
    for (path, content) in plan.tree.files() {
        if let Some(first) = source.get_mut(&content.sha256) {
            first.get_or_insert(path);
        }
    }
    let mut copies = Vec::new();
    for (path, content) in outputs.files().filter(|(_, content)| content.size > 0) {
        let source = source.get(&content.sha256).copied().flatten().cloned();
        let environment = environment.get(&content.sha256).cloned();
        let kinds = source.map(CopyOf::Source).into_iter().chain(environment.map(CopyOf::Environment));
        copies.extend(kinds.map(|of| OutputCopy { output: path.clone(), of }));
    }
    copies
}
