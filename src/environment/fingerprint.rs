//! The environment as it was found: every file below the roots, read as the build's id, in a process of that id. Root could read
//! more than the build can, and would find another environment than an ordinary user on the same host.

use super::Host;
use crate::digest::{self, TreeDigest};
use crate::json;
use crate::sandbox::{Helper, SandboxError};
use crate::scan::{self, Options};
use crate::tree::{Listing, TreeKind};
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::io::{self, BufRead, Read, Write};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Longest line between us and the helper.
const LINE: usize = 1 << 24;
/// Longest listing that the helper may send.
const MAX_LISTING: u64 = 4 << 30;
/// Time between two reports of progress.
const PAUSE: Duration = Duration::from_millis(100);

/// An environment that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum FingerprintError {
    /// The helper process could not be started.
    #[error(transparent)]
    Start(#[from] SandboxError),
    /// The pipes to it.
    #[error("cannot talk to the process that reads the environment: {0}")]
    Pipe(io::Error),
    /// It said something that it should not.
    #[error("the process that reads the environment ended, or gave no proper answer")]
    Answer,
    /// What it could not read.
    #[error("cannot read the environment: {0}")]
    Scan(String),
}

/// An environment as it was found. The process that read it waits, to look again.
pub struct Fingerprint {
    text: String,
    digest: TreeDigest,
    helper: Helper,
}

#[derive(Serialize, Deserialize)]
struct Question {
    roots: Vec<OsString>,
    threads: NonZeroUsize,
}

#[derive(Serialize, Deserialize)]
enum Answer {
    /// So many files and bytes have been read.
    Progress(u64, u64),
    /// So many bytes of listing follow.
    Listing(u64),
    Unchanged,
    Changed(OsString),
    Failed(String),
}

impl Host {
    /// Reads all that is below the roots with so many threads. `progress` is told files and bytes now and then.
    pub fn fingerprint(
        &self,
        threads: NonZeroUsize,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Fingerprint, FingerprintError> {
        let mut helper = Helper::environment()?;
        let roots = self.roots().iter().map(|root| root.clone().into()).collect();
        say(&mut helper.to, &Question { roots, threads }).map_err(FingerprintError::Pipe)?;
        let length = loop {
            match hear(&mut helper.from)? {
                Answer::Progress(files, bytes) => progress(files, bytes),
                Answer::Listing(length) if length <= MAX_LISTING => break length,
                Answer::Failed(why) => return Err(FingerprintError::Scan(why)),
                _ => return Err(FingerprintError::Answer),
            }
        };
        let mut text = String::new();
        let read = (&mut helper.from).take(length).read_to_string(&mut text).map_err(FingerprintError::Pipe)?;
        let listing = Listing::parse(&text).map_err(|_| FingerprintError::Answer)?;
        if read as u64 != length || listing.kind != TreeKind::Environment {
            return Err(FingerprintError::Answer);
        }
        let digest = TreeDigest::from_bytes(*digest::sha256(text.as_bytes()).as_bytes());
        Ok(Fingerprint { text, digest, helper })
    }
}

impl Fingerprint {
    /// The listing.
    pub fn listing(&self) -> &str {
        &self.text
    }

    /// Its digest.
    pub fn digest(&self) -> TreeDigest {
        self.digest
    }

    /// Looks again, by times, sizes and the like: the first path that is not as it was, or `None`.
    pub fn changed(&mut self) -> Result<Option<PathBuf>, FingerprintError> {
        say(&mut self.helper.to, &"changed").map_err(FingerprintError::Pipe)?;
        match hear(&mut self.helper.from)? {
            Answer::Unchanged => Ok(None),
            Answer::Changed(path) => Ok(Some(path.into())),
            Answer::Failed(why) => Err(FingerprintError::Scan(why)),
            Answer::Listing(_) | Answer::Progress(..) => Err(FingerprintError::Answer),
        }
    }
}

impl std::fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Fingerprint({:?}, kept by process {})", self.digest, self.helper.id())
    }
}

fn say<T: Serialize>(to: &mut impl Write, value: &T) -> io::Result<()> {
    let mut line = json::print(value);
    line.push(b'\n');
    to.write_all(&line)?;
    to.flush()
}

fn hear(from: &mut impl BufRead) -> Result<Answer, FingerprintError> {
    let mut line = Vec::new();
    from.take(LINE as u64).read_until(b'\n', &mut line).map_err(FingerprintError::Pipe)?;
    json::parse(&line, LINE).map_err(|_| FingerprintError::Answer)
}

/// The helper's side: a line with the roots, answered by the listing; then each further line by whether it still holds.
pub fn serve(from: &mut impl BufRead, to: &mut (impl Write + Send)) -> io::Result<()> {
    let mut line = Vec::new();
    from.take(LINE as u64).read_until(b'\n', &mut line)?;
    let question: Question = json::parse(&line, LINE).map_err(io::Error::other)?;
    let roots: Vec<PathBuf> = question.roots.into_iter().map(PathBuf::from).collect();
    let told = Mutex::new((Instant::now(), &mut *to));
    let progress = |files, bytes| {
        if let Ok(mut told) = told.lock()
            && told.0.elapsed() >= PAUSE
        {
            told.0 = Instant::now();
            let _ = say(&mut told.1, &Answer::Progress(files, bytes));
        }
    };
    let scanned = scan::environment(
        &roots,
        &Options { threads: question.threads, progress: Some(&progress), ..Options::new(TreeKind::Environment) },
    );
    let scanned = match scanned {
        Ok(scanned) => scanned,
        Err(err) => return say(to, &Answer::Failed(err.to_string())),
    };
    let listing = scanned.tree.listing();
    say(to, &Answer::Listing(listing.len() as u64))?;
    to.write_all(listing.as_bytes())?;
    to.flush()?;
    drop(listing);
    loop {
        line.clear();
        if from.take(LINE as u64).read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        let answer = match scanned.changed() {
            Ok(None) => Answer::Unchanged,
            Ok(Some(path)) => Answer::Changed(path.into()),
            Err(err) => Answer::Failed(err.to_string()),
        };
        say(to, &answer)?;
    }
}
