//! Where files may be: keys, bundles and outputs are never inside the source, nor where the build could read them.

use super::exit::{Exit, Failure};
use std::path::{Path, PathBuf};

/// The path with links and `..` resolved, also when its last parts are not there yet.
pub fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    let path = std::path::absolute(path)
        .map_err(|err| Failure::new(Exit::CouldNotTell, format!("{}: {err}", path.display())))?;
    let mut missing = Vec::new();
    let mut at = path.as_path();
    loop {
        if let Ok(found) = at.canonicalize() {
            return Ok(missing.iter().rev().fold(found, |path, part| path.join(part)));
        }
        match (at.parent(), at.file_name()) {
            (Some(parent), Some(name)) => {
                missing.push(name.to_owned());
                at = parent;
            }
            _ => return Ok(path),
        }
    }
}

/// Refuses a path that is inside the source tree: it would be part of what it is about.
pub fn not_in_source(what: &str, path: &Path, source: &Path) -> Result<(), Failure> {
    if source.is_dir() && absolute(path)?.starts_with(absolute(source)?) {
        return Err(Failure::usage(format!("{what} {} is inside the source {}", path.display(), source.display()))
            .hint("put it beside the source, or elsewhere"));
    }
    Ok(())
}

/// Refuses a path that is below one of the host roots: the build could read it.
pub fn not_in_roots(what: &str, path: &Path, roots: &[PathBuf]) -> Result<(), Failure> {
    let path = absolute(path)?;
    for root in roots {
        if path.starts_with(absolute(root)?) {
            return Err(Failure::usage(format!(
                "{what} {} is below {}, which the build can read",
                path.display(),
                root.display()
            ))
            .hint("put it elsewhere"));
        }
    }
    Ok(())
}
