//! The environment as it was found: every file below the roots, read as the build's id, in a process of that id. Root could read
//! more than the build can, and would find another environment than an ordinary user on the same host.

use super::Host;
use super::cache::{MAX_CACHE, Memory, Moment};
use crate::digest::{self, TreeDigest};
use crate::json;
use crate::sandbox::{Helper, Reader, SandboxError};
use crate::scan::{self, Known, Options};
use crate::tree::{Listing, Node, TreeKind};
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::io::{self, BufRead, Read, Write};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

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
    counts: Counts,
    helper: Helper,
}

/// How many files of an environment were read, and of how many a cache knew the digest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Read now.
    pub read: u64,
    /// Read by an earlier run.
    pub cached: u64,
}

/// What is remembered from one reading of an environment to the next. Who keeps it is the caller's affair, and that nobody else could write it:
/// what it says is believed.
#[derive(Debug)]
pub struct Cache {
    /// What was kept, empty at first.
    pub given: Vec<u8>,
    /// The time now.
    pub now: SystemTime,
    /// What was given is of another form, or another's.
    pub useless: bool,
    /// To keep in its place, where it is not the same.
    pub new: Option<Vec<u8>>,
}

#[derive(Serialize, Deserialize)]
struct Question {
    roots: Vec<OsString>,
    threads: NonZeroUsize,
    cache: Option<CacheFollows>,
}

#[derive(Serialize, Deserialize)]
struct CacheFollows {
    length: u64,
    now: Moment,
}

#[derive(Serialize, Deserialize)]
enum Answer {
    /// So many files and bytes have been read.
    Progress(u64, u64),
    /// So many bytes of listing follow.
    Listing(u64),
    /// So many bytes of a new cache follow, and the one that was given was useless.
    Read(Counts, Option<u64>, bool),
    Unchanged,
    Changed(OsString),
    Failed(String),
}

impl Host {
    /// Reads all that is below the roots with so many threads; with a cache, only what that does not know. `progress` is told files and bytes
    /// now and then.
    pub fn fingerprint(
        &self,
        threads: NonZeroUsize,
        mut cache: Option<&mut Cache>,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Fingerprint, FingerprintError> {
        let mut helper = Helper::environment()?;
        let roots = self.roots().iter().map(|root| root.clone().into()).collect();
        let follows = cache.as_deref().and_then(Cache::follows);
        if follows.is_none() {
            cache = None;
        }
        say(&mut helper.to, &Question { roots, threads, cache: follows }).map_err(FingerprintError::Pipe)?;
        if let Some(cache) = &cache {
            helper.to.write_all(&cache.given).map_err(FingerprintError::Pipe)?;
        }
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
        let Answer::Read(counts, new, useless) = hear(&mut helper.from)? else { return Err(FingerprintError::Answer) };
        if let Some(length) = new {
            let new = exactly(&mut helper.from, length)?;
            let cache = cache.as_deref_mut().ok_or(FingerprintError::Answer)?;
            cache.new = Some(new);
        }
        if let Some(cache) = cache {
            cache.useless = useless;
        }
        let listing = Listing::parse(&text).map_err(|_| FingerprintError::Answer)?;
        if read as u64 != length || listing.kind != TreeKind::Environment {
            return Err(FingerprintError::Answer);
        }
        let digest = TreeDigest::from_bytes(*digest::sha256(text.as_bytes()).as_bytes());
        Ok(Fingerprint { text, digest, counts, helper })
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

    /// How much of it was read.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Looks again, by times, sizes and the like: the first path that is not as it was, or `None`.
    pub fn changed(&mut self) -> Result<Option<PathBuf>, FingerprintError> {
        say(&mut self.helper.to, &"changed").map_err(FingerprintError::Pipe)?;
        match hear(&mut self.helper.from)? {
            Answer::Unchanged => Ok(None),
            Answer::Changed(path) => Ok(Some(path.into())),
            Answer::Failed(why) => Err(FingerprintError::Scan(why)),
            Answer::Listing(_) | Answer::Read(..) | Answer::Progress(..) => Err(FingerprintError::Answer),
        }
    }
}

impl std::fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Fingerprint({:?}, kept by process {})", self.digest, self.helper.id())
    }
}

impl Cache {
    /// `None` with a clock that is before 1970, or more than there may be.
    fn follows(&self) -> Option<CacheFollows> {
        let now = self.now.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        let now = (i64::try_from(now.as_secs()).ok()?, now.subsec_nanos());
        let length = self.given.len() as u64;
        (length <= MAX_CACHE).then_some(CacheFollows { length, now })
    }
}

fn exactly(from: &mut impl Read, length: u64) -> Result<Vec<u8>, FingerprintError> {
    let mut bytes = Vec::new();
    let read = from.take(length.min(MAX_CACHE)).read_to_end(&mut bytes).map_err(FingerprintError::Pipe)?;
    if read as u64 == length { Ok(bytes) } else { Err(FingerprintError::Answer) }
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
    let memory = match question.cache {
        Some(CacheFollows { length, now }) => {
            let given = exactly(from, length).map_err(io::Error::other)?;
            Some(Memory::new(&given, &question.roots, &Reader::own()?, now))
        }
        None => None,
    };
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
        memory.as_ref().map(|(memory, _)| memory as &dyn Known),
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
    read(memory, &scanned, to)?;
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

/// Tells what was read, and what to remember of it.
fn read(memory: Option<(Memory, bool)>, scanned: &scan::Scanned, to: &mut impl Write) -> io::Result<()> {
    let files = scanned.tree.entries().iter().filter(|entry| matches!(entry.node, Node::File { .. })).count() as u64;
    let (cached, new, useless) = match memory {
        Some((memory, good)) => {
            let (cached, new) = memory.finish();
            (cached, new, !good)
        }
        None => (0, None, false),
    };
    let counts = Counts { read: files.saturating_sub(cached), cached };
    say(to, &Answer::Read(counts, new.as_ref().map(|new| new.len() as u64), useless))?;
    to.write_all(&new.unwrap_or_default())?;
    to.flush()
}
