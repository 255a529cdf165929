//! Outputs that are at hand, against those that a statement is about: hashed anew, each time.

use super::exit::{Exit, Failure};
use super::{places, ui};
use crate::compare;
use crate::digest::Wanted;
use crate::path::TreePath;
use crate::rebuild::Expected;
use crate::scan::{self, Options};
use crate::statement::Subject;
use crate::tree::{Line, Tree, TreeKind};
use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

/// Differences that are named.
const SHOWN: usize = 20;

/// Reads a directory and ends with what differs unless it is, modes, links and directories included, the output tree that is expected.
pub fn directory(dir: &Path, expected: &Expected) -> Result<Tree, Failure> {
    let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let options = Options { wanted: Wanted::SUBJECT, threads, ..Options::new(TreeKind::Output) };
    let tree = scan::tree(dir, &options)?.tree;
    let others =
        tree.files().filter(|(path, content)| !expected.file(path).is_some_and(|subject| subject.agrees(content)));
    let others: Vec<String> = others.map(|(path, _)| ui::escape(&path.escaped())).collect();
    if tree.digest() == expected.outputs() && others.is_empty() {
        return Ok(tree);
    }
    let here: Vec<Line> = tree.lines().collect();
    let named: Vec<String> = match expected.lines() {
        Some(stated) if !compare::lines(stated, &here).is_empty() => compare::lines(stated, &here)
            .iter()
            .map(|difference| {
                let what: Vec<String> = difference.what.iter().map(|what| what.words("stated", "here")).collect();
                format!("{}: {}", ui::escape(&difference.path.escaped()), what.join(", "))
            })
            .collect(),
        _ => {
            let here: HashSet<&TreePath> = tree.files().map(|(path, _)| path).collect();
            let missing = expected.files().filter(|subject| !here.contains(&subject.name));
            let missing = missing.map(|subject| format!("{}: only stated", ui::escape(&subject.name.escaped())));
            others.into_iter().map(|name| format!("{name}: other bytes here, or not stated")).chain(missing).collect()
        }
    };
    for line in named.iter().take(SHOWN) {
        ui::say(line);
    }
    if named.len() > SHOWN {
        ui::say(&format!("… and {} more", named.len() - SHOWN));
    }
    let fact = match named.len() {
        0 => format!("{} has other directories, links or modes than the statement is about", dir.display()),
        1 => format!("{} is not what the statement is about: 1 entry differs", dir.display()),
        n => format!("{} is not what the statement is about: {n} entries differ", dir.display()),
    };
    Err(Failure::new(Exit::Differs, fact))
}

/// The subjects that files are, in the statement's order; ends where a file is none of them.
pub fn files(paths: &[PathBuf], expected: &Expected) -> Result<Vec<Subject>, Failure> {
    let mut found = Vec::new();
    let mut strange = Vec::new();
    for path in paths {
        let content = scan::file(path, Wanted::SUBJECT)?;
        let before = found.len();
        found.extend(expected.files().filter(|subject| subject.agrees(&content)).cloned());
        if found.len() == before {
            ui::say(&format!("{}: sha256:{}", ui::escape(&path.display().to_string()), content.sha256));
            strange.push(path.display().to_string());
        }
    }
    if !strange.is_empty() {
        let fact = format!("not among the files that the statement is about: {}", strange.join(", "));
        return Err(Failure::new(Exit::Differs, fact));
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found.dedup();
    Ok(found)
}

/// Refuses a path inside the outputs: there would be one file more than was signed.
pub fn not_in_outputs(what: &str, path: &Path, outputs: &Path) -> Result<(), Failure> {
    if outputs.is_dir() && places::absolute(path)?.starts_with(places::absolute(outputs)?) {
        let fact = format!("{what} {} is inside the outputs {}", path.display(), outputs.display());
        return Err(Failure::usage(fact).hint("put it beside them"));
    }
    Ok(())
}
