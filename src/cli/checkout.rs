//! Sources in git: the recipe in a commit, and a checkout that is not what its commit says.

use super::exit::{Exit, Failure};
use super::ui;
use crate::build::Plan;
use crate::path::TreePath;
use crate::recipe::{self, Recipe};
use crate::repository::{self, Differs};
use crate::source::Source;
use std::path::Path;

/// A commit with the recipe that is in it.
pub fn recipe_and_source(path: &Path, source: Source, revision: &str) -> Result<(Recipe, Source), Failure> {
    let found = match (source.as_commit(), TreePath::from_bytes(recipe::FILE_NAME.as_bytes())) {
        (Some(commit), Ok(name)) => commit.file(&name)?,
        _ => None,
    };
    let bytes = found.ok_or_else(|| {
        Failure::usage(format!("there is no recipe {} in {} at {revision}", recipe::FILE_NAME, path.display()))
            .hint("--recipe F names one elsewhere")
    })?;
    let named = |err: &dyn std::fmt::Display| {
        Failure::usage(format!("{} in {} at {revision}: {err}", recipe::FILE_NAME, path.display()))
    };
    if bytes.len() as u64 > recipe::MAX_RECIPE {
        return Err(named(&format!("it is longer than {} bytes", recipe::MAX_RECIPE)));
    }
    let recipe = Recipe::parse(&bytes).map_err(|err| named(&err))?;
    Ok((recipe, source))
}

/// The lock file of a commit.
pub fn lock(source: &Source) -> Result<Option<Vec<u8>>, Failure> {
    match (source.as_commit(), TreePath::from_bytes(crate::lock::FILE_NAME.as_bytes())) {
        (Some(commit), Ok(name)) => Ok(commit.file(&name)?),
        _ => Ok(None),
    }
}

/// How the source is not what is committed there; `None` where it is no checkout and in none, or equal. A comparison with the commit itself, so that
/// neither ignored files, an index that was told to look away, nor filters can hide anything.
fn dirty(plan: &Plan) -> Result<Option<Dirty>, Failure> {
    let path = plan.source().path();
    if !plan.source().is_directory() {
        return Ok(None);
    }
    let head = match repository::checked_out(path) {
        Ok(Some(head)) => head,
        Ok(None) => return Ok(None),
        Err(err) => return Ok(Some(Dirty { commit: None, why: err.to_string(), paths: Vec::new() })),
    };
    let differs = head.differs(plan.tree(), &|at: &TreePath, _| plan.excludes(at))?;
    Ok((!differs.is_empty()).then(|| Dirty { commit: Some(head.id()), why: String::new(), paths: differs }))
}

struct Dirty {
    commit: Option<String>,
    /// Why it cannot be compared with a commit.
    why: String,
    paths: Vec<(TreePath, Differs)>,
}

impl Dirty {
    fn fact(&self, path: &Path) -> String {
        match &self.commit {
            Some(commit) => format!(
                "{} is not as committed: {} not as in {commit}",
                path.display(),
                match self.paths.len() {
                    1 => "1 path is".to_owned(),
                    n => format!("{n} paths are"),
                }
            ),
            None => {
                format!("{} is a git checkout that cannot be compared with its commit: {}", path.display(), self.why)
            }
        }
    }

    fn say(&self) {
        for (path, differs) in self.paths.iter().take(SHOWN) {
            ui::say(&format!("{}: {}", ui::escape(&path.escaped()), differs.word()));
        }
        if self.paths.len() > SHOWN {
            ui::say(&format!("… and {} more", self.paths.len() - SHOWN));
        }
    }
}

/// Paths that are named one by one.
const SHOWN: usize = 20;

/// Refuses to sign what no commit says, unless that was allowed.
pub fn refuse_dirty(plan: &Plan, allowed: bool) -> Result<(), Failure> {
    let Some(dirty) = dirty(plan)? else { return Ok(()) };
    let path = plan.source().path();
    dirty.say();
    if allowed {
        ui::say(&format!("note: {}; signed all the same (--allow-dirty)", ui::escape(&dirty.fact(path))));
        return Ok(());
    }
    let mut failure = Failure::new(Exit::Usage, dirty.fact(path));
    if dirty.commit.is_some() {
        failure = failure
            .hint("who checks out that commit would have another source, and could not rebuild this one")
            .hint("commit or remove it, or leave it out with source.exclude in the recipe; `git status --ignored` shows ignored files too")
            .hint("filters (line ends, LFS), sparse checkouts and submodules make a checkout another tree than its commit");
    }
    Err(failure.hint("--revision HEAD takes the committed files; --allow-dirty signs these all the same"))
}

/// A try may be of anything; it is only said.
pub fn note_dirty(plan: &Plan) -> Result<(), Failure> {
    if let Some(dirty) = dirty(plan)? {
        let fact = dirty.fact(plan.source().path());
        ui::say(&format!("note: {}; `attest` would refuse it", ui::escape(&fact)));
    }
    Ok(())
}
