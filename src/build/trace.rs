//! What one run was seen to use of what it was given (docs/spec.md §4.4).

use super::Plan;
use crate::digest::{self, Sha256, TreeDigest};
use crate::environment::{Fingerprint, FingerprintError};
use crate::fs::FsError;
use crate::path::TreePath;
use crate::sandbox::{Attempts, Observed, Watch};
use crate::scan::beneath;
use crate::tree::{Node, Tree};
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, Mode, OFlags, Stat, Timespec, Timestamps};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

/// How much is observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tracing {
    /// What was read, by times of access: at hardly any cost.
    Reads,
    /// What was tried as well, by a tracer.
    All,
}

/// What was observed.
#[derive(Clone, Debug)]
pub struct Trace {
    /// How.
    pub tracing: Tracing,
    /// Of the environment.
    pub environment: EnvironmentTrace,
    /// Of the source.
    pub source: SourceTrace,
    /// What was tried; only with [`Tracing::All`].
    pub attempts: Option<Attempts>,
}

/// By what the reads of a root were observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// Times of access of a copy.
    AccessTimes,
    /// The tracer's log of calls.
    Calls,
}

/// Of the environment.
#[derive(Clone, Debug)]
pub struct EnvironmentTrace {
    /// The fingerprint.
    pub declared: TreeDigest,
    /// Files in it.
    pub files: usize,
    /// Each root inside; `None` where nothing was observed.
    pub roots: Vec<(PathBuf, Option<By>)>,
    /// Files that were read, mapped or executed, sorted.
    pub read: Vec<FileRead>,
    /// Directories of copies that were listed.
    pub listed: Vec<String>,
    /// Links of copies that were followed.
    pub followed: Vec<String>,
    /// What of copies had its times, mode or attributes set by the steps.
    pub touched: Vec<String>,
    /// Digest of the listing's lines of the files that were read, where all roots were observed.
    pub narrowed: Option<TreeDigest>,
}

/// A file that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileRead {
    /// Without its leading `/`, escaped.
    pub path: String,
    /// Its length.
    pub size: u64,
    /// Its digest, from the environment's listing.
    pub sha256: Sha256,
}

/// Of the source.
#[derive(Clone, Debug)]
pub struct SourceTrace {
    /// Files in it.
    pub files: usize,
    /// `None` where the file system that was built on keeps no times of access.
    pub used: Option<SourceUse>,
}

/// What became of the files of the source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceUse {
    /// As they were, and never read.
    pub never_read: Vec<TreePath>,
    /// Written, replaced, removed, or with other times or modes, and not seen to have been read before.
    pub changed: Vec<TreePath>,
}

impl Tracing {
    /// What the sandbox is to observe.
    pub(super) fn watch(self, plan: &Plan) -> Watch {
        Watch { copies: plan.view.image_places(), attempts: self == Tracing::All }
    }
}

impl Trace {
    /// Puts together what was observed.
    pub(super) fn new(
        tracing: Tracing,
        plan: &Plan,
        fingerprint: &mut Fingerprint,
        observed: Observed,
        used: Option<SourceUse>,
    ) -> Result<Trace, FingerprintError> {
        let Observed { copies, attempts } = observed;
        let places = plan.view.image_places();
        let calls = attempts.as_ref().map(|_| By::Calls);
        let by = |place: &PathBuf| if places.contains(place) { Some(By::AccessTimes) } else { calls };
        let roots: Vec<_> = plan.view.mounts().map(|(_, place)| (by(&place), place)).map(|(by, at)| (at, by)).collect();
        let seen = copies.unwrap_or_default();
        let mut wanted: BTreeSet<&str> = seen.files.iter().map(String::as_str).collect();
        // Where times of access say it, a log is not needed.
        let copied = |path: &str| places.iter().any(|place| Path::new("/").join(path).starts_with(place));
        if let Some(attempts) = &attempts {
            wanted.extend(attempts.opened.iter().map(String::as_str).filter(|path| !copied(path)));
        }
        let declared = fingerprint.digest();
        let listing = fingerprint.listing()?;
        let (mut files, mut read, mut narrowed) = (0, Vec::new(), String::new());
        for line in listing.split_inclusive('\n') {
            if !line.starts_with("100") {
                narrowed += if narrowed.is_empty() { line } else { "" };
                continue;
            }
            files += 1;
            // mode, size, sha256, path
            let mut fields = line.trim_end_matches('\n').splitn(4, ' ').skip(1);
            if let (Some(size), Some(sha256), Some(path)) = (fields.next(), fields.next(), fields.next())
                && wanted.contains(path)
                && let (Ok(size), Ok(sha256)) = (size.parse(), sha256.parse())
            {
                narrowed += line;
                read.push(FileRead { path: path.to_owned(), size, sha256 });
            }
        }
        let whole = roots.iter().all(|(_, by)| by.is_some());
        let narrowed = whole.then(|| digest::sha256(narrowed.as_bytes()).into());
        let environment = EnvironmentTrace {
            declared,
            files,
            roots,
            read,
            listed: seen.dirs,
            followed: seen.links,
            touched: seen.touched,
            narrowed,
        };
        let source = SourceTrace { files: plan.tree.files().count(), used };
        Ok(Trace { tracing, environment, source, attempts })
    }
}

/// The files of a source before the steps.
pub(super) struct SourceWatch {
    dir: OwnedFd,
    before: Vec<(TreePath, Stamp)>,
}

/// What of a file shows that it is the same, and read.
#[derive(PartialEq, Eq)]
struct Stamp {
    inode: (u64, u64),
    status: (i64, i64),
    access: (i64, i64),
}

impl Stamp {
    fn of(stat: &Stat) -> Stamp {
        Stamp {
            inode: (stat.st_dev, stat.st_ino),
            status: (stat.st_ctime, stat.st_ctime_nsec as i64),
            access: (stat.st_atime, stat.st_atime_nsec as i64),
        }
    }
}

impl SourceWatch {
    /// Looks at the files as they stand in `dir`, with the times that [`crate::source::Source::materialise`] gives: a time of access that is
    /// no later than that of the last change is moved by the first reading, also with `relatime`. `None` where it is not: a mount with `noatime`, say.
    pub(super) fn begin(tree: &Tree, dir: &Path, beside: &Path) -> Result<Option<SourceWatch>, FsError> {
        if !keeps_access_times(&beside.join("probe"))? {
            return Ok(None);
        }
        let fail = |err: rustix::io::Errno| FsError::io("read", dir, err.into());
        let open = rustix::fs::open(dir, beneath::DIRECTORY, Mode::empty()).map_err(fail)?;
        let mut before = Vec::new();
        for entry in tree.entries().iter().filter(|entry| matches!(entry.node, Node::File { .. })) {
            before.push((entry.path.clone(), stamp(&open, &entry.path).map_err(fail)?));
        }
        Ok(Some(SourceWatch { dir: open, before }))
    }

    /// Looks again.
    pub(super) fn end(self) -> SourceUse {
        let mut used = SourceUse::default();
        for (path, before) in self.before {
            match stamp(&self.dir, &path) {
                Ok(now) if now.inode != before.inode => used.changed.push(path),
                Ok(now) if now == before => used.never_read.push(path),
                // Setting the time back changes that of the status.
                Ok(now) if now.access == before.access => used.changed.push(path),
                Ok(_) => {}
                Err(_) => used.changed.push(path),
            }
        }
        used
    }
}

fn stamp(dir: &OwnedFd, path: &TreePath) -> rustix::io::Result<Stamp> {
    let (above, name) = beneath::parent(dir, path)?;
    Ok(Stamp::of(&rustix::fs::statat(&above, name, AtFlags::SYMLINK_NOFOLLOW)?))
}

/// Tries it out.
fn keeps_access_times(probe: &Path) -> Result<bool, FsError> {
    let fail = |err| FsError::io("write", probe, err);
    let mut file = File::create_new(probe).map_err(fail)?;
    file.write_all(b"read me").map_err(fail)?;
    let then = Timespec { tv_sec: 1, tv_nsec: 0 };
    let times = Timestamps { last_access: then, last_modification: then };
    rustix::fs::futimens(&file, &times).map_err(|err| fail(err.into()))?;
    let mut again = File::from(
        rustix::fs::open(probe, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map_err(|err| fail(err.into()))?,
    );
    again.read_to_end(&mut Vec::new()).map_err(fail)?;
    let stat = rustix::fs::fstat(&again).map_err(|err| fail(err.into()))?;
    std::fs::remove_file(probe).map_err(fail)?;
    Ok(stat.st_atime != 1)
}
