//! What may be named as a source on the command line.

use super::exit::{Exit, Failure};
use super::ui;
use crate::repository;
use crate::source::{Kind, Source};
use std::path::Path;

/// A source as it was asked for.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Where it is.
    pub path: &'a Path,
    /// Which commit of it.
    pub revision: Option<&'a str>,
    /// Leading parts that are removed from the names in an archive.
    pub strip: u8,
    /// Where there is room for what is unpacked on the way; else in the system's temporary directory.
    pub scratch: Option<&'a Path>,
}

impl Asked<'_> {
    /// What it is; whether it has revisions, and which one is meant, is the first question.
    pub fn kind(self) -> Result<Kind, Failure> {
        let (path, kind) = (self.path, Kind::of(self.path)?);
        let needs = match kind {
            Kind::Bundle => Some("bundle"),
            // Its files are nobody's source.
            Kind::Directory if repository::is_repository(path) => Some("repository"),
            Kind::Directory | Kind::File => None,
        };
        match (needs, self.revision) {
            (Some(what), None) => {
                Err(Failure::usage(format!("{} is a git {what}: which commit is meant?", path.display()))
                    .hint("name it with --revision REV: a branch, a tag or an id"))
            }
            (None, Some(_)) if kind != Kind::Directory => Err(Failure::new(
                Exit::CouldNotTell,
                format!("{} is neither a git repository nor a bundle: it has no revisions", path.display()),
            )),
            _ => Ok(kind),
        }
    }

    /// Opens it. Leading parts are only removed from an archive's names.
    pub fn open(self) -> Result<Source, Failure> {
        let (path, kind) = (self.path, self.kind()?);
        let scratch = self.scratch.map_or_else(std::env::temp_dir, Path::to_owned);
        let source = match (kind, self.revision) {
            (Kind::Bundle, Some(revision)) => Source::bundled(path, revision, &scratch)?,
            (_, Some(revision)) => Source::commit(path, revision)?,
            (Kind::Directory, None) => Source::open(path, 0)?,
            (_, None) => Source::open(path, self.strip)?,
        };
        if let Some(commit) = source.as_commit() {
            ui::say(&format!("note: the source is commit {}", commit.id()));
        }
        Ok(source)
    }
}
