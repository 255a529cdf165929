//! What may be named as a source on the command line.

use super::exit::{Exit, Failure};
use super::ui;
use crate::fetch::{Network, Url};
use crate::fs;
use crate::repository;
use crate::source::{Kind, Source};
use std::path::{Path, PathBuf};

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
            Kind::Url(_) => Some("repository"),
            // Its files are nobody's source.
            Kind::Directory if repository::is_repository(path) => Some("repository"),
            Kind::Directory | Kind::Debian | Kind::File => None,
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
            (Kind::Url(Url::File(path)), Some(revision)) => Source::commit(&path, revision)?,
            (Kind::Url(Url::Remote(remote)), Some(revision)) => {
                ui::say(&format!("note: fetching {} of {remote}", ui::escape(revision)));
                Source::fetched(&remote, revision, &scratch, &network())?
            }
            (Kind::Bundle, Some(revision)) => Source::bundled(path, revision, &scratch)?,
            (_, Some(revision)) => Source::commit(path, revision)?,
            (Kind::Directory, None) => Source::open(path, 0)?,
            (Kind::Debian, None) => Source::debian(path)?,
            (_, None) => Source::open(path, self.strip)?,
        };
        if source.has_unchecked_signature() {
            ui::say(&format!("note: the signature in {} is not checked", ui::escape(&path.display().to_string())));
        }
        if let Some(commit) = source.as_commit() {
            ui::say(&format!("note: the source is commit {}", commit.id()));
        }
        Ok(source)
    }
}

/// Where systems have the certificates of the authorities that they trust.
const AUTHORITIES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];
/// Longest of these files.
const MAX_AUTHORITIES: u64 = 16 << 20;

/// Of the surroundings nothing but the authorities is used, which is what keeps others from listening; that the source is the right one, its
/// digest says.
pub fn network() -> Network {
    let named = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
    let places = named.map_or_else(|| AUTHORITIES.map(PathBuf::from).to_vec(), |file| vec![file]);
    let found = places.iter().find_map(|file| fs::read(file, MAX_AUTHORITIES).ok());
    Network { authorities: found.unwrap_or_default() }
}
