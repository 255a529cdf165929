//! Where files may be: keys, bundles and outputs are never inside the source, nor where the build could read them.

use super::exit::{Exit, Failure};
use crate::bundle::{Bundle, MAX_BUNDLE};
use crate::fs::{self, FsError, Why};
use crate::source;
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

/// The directory below which is built: the one asked for, or the system's. Neither in the source nor where the build could read it.
pub fn scratch(asked: Option<&Path>, source: &Path, roots: &[PathBuf]) -> Result<PathBuf, Failure> {
    let (name, path) = match asked {
        Some(path) => ("scratch directory", path.to_owned()),
        None => ("the system's temporary directory", std::env::temp_dir()),
    };
    let checked = not_in_source(name, &path, source).and_then(|()| not_in_roots(name, &path, roots));
    checked.map_err(|failure| failure.hint("--scratch DIR or TMPDIR names another place to build in"))?;
    absolute(&path)
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

/// Refuses a directory that one of the host roots is in: the build could read what is there, or what comes to be there.
pub fn not_around_roots(what: &str, path: &Path, roots: &[PathBuf]) -> Result<(), Failure> {
    let around = absolute(path)?;
    for root in roots {
        if absolute(root)?.starts_with(&around) {
            let (path, root) = (path.display(), root.display());
            return Err(Failure::usage(format!("{what} {path} holds {root}, which the build can read"))
                .hint("put it elsewhere"));
        }
    }
    Ok(())
}

/// Whether a root is one of these, or below one by its real path too: a link on the way may lead out of them. A root that is a link itself
/// is shown as a link, wherever it leads.
pub fn is_below(root: &Path, these: &[&Path]) -> Result<bool, Failure> {
    let Some(one) = these.iter().find(|one| root.starts_with(one)) else { return Ok(false) };
    if root == *one {
        return Ok(true);
    }
    let above = absolute(root.parent().unwrap_or(root))?;
    for one in these {
        if above.starts_with(absolute(one)?) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A directory of this run's that goes with the value.
pub struct Scratch(PathBuf);

impl Scratch {
    /// Below `above`. The id that builds run as may pass it.
    pub fn new(above: &Path, prefix: &str) -> Result<Scratch, Failure> {
        let name = fs::random_name().map_err(|err| Failure::new(Exit::Internal, err))?;
        let path = absolute(above)?.join(format!("{prefix}-{name}"));
        std::fs::create_dir(&path).map_err(|err| FsError::io("create", &path, err))?;
        let scratch = Scratch(path);
        #[cfg(unix)]
        std::fs::set_permissions(&scratch.0, std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .map_err(|err| FsError::io("create", &scratch.0, err))?;
        Ok(scratch)
    }

    /// Where.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed stays; there is nobody left to tell.
        let _ = source::remove_tree(&self.0);
    }
}

/// What a command wrote, removed again when it fails after that. What was there before it began is none of it.
pub struct Made<'a> {
    /// Files.
    pub files: Vec<&'a Path>,
    /// Directories, with all that is in them.
    pub dirs: Vec<&'a Path>,
}

impl Made<'_> {
    /// All is well.
    pub fn keep(mut self) {
        self.files.clear();
        self.dirs.clear();
    }
}

impl Drop for Made<'_> {
    fn drop(&mut self) {
        // What cannot be removed stays; the failure that led here is the one to tell of.
        for file in &self.files {
            let _ = std::fs::remove_file(file);
        }
        for dir in &self.dirs {
            let _ = source::remove_tree(dir);
        }
    }
}

/// A file that is written only with `--force` when something is there.
pub fn free(path: &Path, force: bool) -> Result<(), Failure> {
    if !force && path.symlink_metadata().is_ok() {
        return Err(Failure::usage(format!("{} is there already", path.display())).hint(
            "--force replaces the bundle, its log and its listing of the environment; keep what is published already",
        ));
    }
    Ok(())
}

/// Refuses a path at which no file can come to be, before anything is done for it.
pub fn file(what: &str, path: &Path) -> Result<(), Failure> {
    if path.is_dir() || path.to_string_lossy().ends_with(std::path::is_separator) {
        return Err(Failure::usage(format!("the {what} {} is a directory", path.display())).hint("name a file"));
    }
    let above = path.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if above.metadata().is_err_and(|err| err.kind() == std::io::ErrorKind::NotFound) {
        let fact =
            format!("the {what} {} cannot be written: there is no directory {}", path.display(), above.display());
        return Err(Failure::new(Exit::CouldNotTell, fact));
    }
    Ok(())
}

/// A bundle that is written: with `--force` it replaces another bundle, but nothing else, least of all the key that was named.
pub fn bundle(path: &Path, force: bool) -> Result<(), Failure> {
    file("bundle", path)?;
    free(path, force)?;
    let there = path.symlink_metadata();
    if there.is_ok_and(|meta| meta.is_file()) {
        let bytes = fs::read(path, MAX_BUNDLE)?;
        let has_envelopes = Bundle::parse(&bytes).is_ok_and(|bundle| bundle.envelopes().next().is_some());
        if !bytes.is_empty() && !has_envelopes {
            let fact = format!("{} is no bundle, and --force replaces nothing else", path.display());
            return Err(Failure::usage(fact).hint("name another file for the bundle, or remove this one"));
        }
    }
    Ok(())
}

/// Refuses an output directory that is there: what is in it was not made by this run.
pub fn absent(out: &Path) -> Result<(), Failure> {
    if out.symlink_metadata().is_ok() {
        let why = FsError { what: "create", path: out.to_owned(), why: Why::Exists };
        return Err(Failure::usage(why).hint("name a directory that is not there yet"));
    }
    // Found out now, not when the build is over.
    let above = out.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    above.metadata().map_err(|err| FsError::io("create", out, err))?;
    Ok(())
}

/// `NAME` of `NAME.intoto.jsonl`, with its directory.
pub fn stem(bundle: &Path) -> PathBuf {
    let name = bundle.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let stem = name.strip_suffix(".intoto.jsonl").or_else(|| name.strip_suffix(".jsonl")).unwrap_or(&name);
    bundle.with_file_name(stem)
}

/// The same path with something added to its name.
pub fn beside(path: &Path, ending: &str) -> PathBuf {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    path.with_file_name(format!("{name}{ending}"))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::fs::{create_dir, create_dir_all};
    use std::os::unix::fs::symlink;

    #[test]
    fn a_link_that_leads_out_is_no_part_of_a_root() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        create_dir_all(at("usr/lib/deep")).unwrap();
        create_dir(at("private")).unwrap();
        for (target, link) in
            [("usr/lib", "lib"), ("../private", "usr/out"), ("lib", "usr/lib64"), ("out", "usr/twice")]
        {
            symlink(target, at(link)).unwrap();
        }
        let (usr, lib) = (at("usr"), at("lib"));
        let is_below = |path: &str| is_below(&at(path), &[&lib, &usr]).unwrap();
        for inside in
            ["usr", "lib", "usr/lib/deep", "lib/deep/x", "usr/lib64/deep", "usr/none/x", "usr/out", "usr/twice"]
        {
            assert!(is_below(inside), "{inside}");
        }
        for outside in
            ["usr/out/x", "usr/out/x/y", "usr/twice/x", "private", "private/x", "usrx", "lib/../../private/x"]
        {
            assert!(!is_below(outside), "{outside}");
        }
    }

    #[test]
    fn a_root_may_not_be_in_what_is_compared_with() {
        let dir = tempfile::tempdir().unwrap();
        create_dir_all(dir.path().join("pub/v1")).unwrap();
        symlink("pub", dir.path().join("link")).unwrap();
        let refused = |path: &str, root: &str| {
            not_around_roots("directory", &dir.path().join(path), &[dir.path().join(root)]).is_err()
        };
        for (path, root) in
            [("pub", "pub/v1"), ("link", "pub/v1"), ("pub", "link/v1"), ("pub", "pub"), ("new", "new/run-1")]
        {
            assert!(refused(path, root), "{path} {root}");
        }
        for (path, root) in [("pub/v1", "pub"), ("pub", "pub-v1"), ("new", "pub/v1")] {
            assert!(!refused(path, root), "{path} {root}");
        }
    }
}
