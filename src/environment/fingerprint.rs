//! The environment as it was found: every file below the roots, read as the build's id, in a process of that id. Root could read
//! more than the build can, and would find another environment than an ordinary user on the same host.

use super::View;
use super::cache::{MAX_CACHE, Memory, Moment};
use crate::digest::{self, Sha256, TreeDigest};
use crate::json;
use crate::path::TreePath;
use crate::sandbox::{Helper, Reader, SandboxError};
use crate::scan::{self, Known, Options, ScanError, Scanned};
use crate::stop::Interrupted;
use crate::tree::{Listing, Node, SOCKET, TYPE_BITS, Tree, TreeKind};
use serde::{Deserialize, Serialize};
use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
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
/// Most digests that are asked for in one line; for more the listing is had.
const FEW: usize = 500;
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
    /// It was asked to end.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    /// What it could not read.
    #[error("cannot read the environment: {0}")]
    Scan(String),
}

/// An environment as it was found. The process that read it waits, to look again.
pub struct Fingerprint {
    digest: TreeDigest,
    counts: Counts,
    socket: Option<TreePath>,
    /// With a cache, only once it was asked for: it is long, and seldom wanted then.
    listing: Option<String>,
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
    /// Of each directory the paths below it, escaped.
    layers: Vec<(OsString, Vec<String>)>,
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
    /// So many bytes of a new cache follow.
    Read(Reading),
    /// So many bytes of listing follow.
    Listing(u64),
    /// For each digest the first path, escaped.
    Holds(Vec<Option<String>>),
    Unchanged,
    Changed(OsString),
    Failed(String),
}

/// What a reading came to.
#[derive(Serialize, Deserialize)]
struct Reading {
    counts: Counts,
    /// Only with a cache: without one, the digest is made of the listing itself.
    digest: Option<String>,
    /// The first path of a socket, escaped.
    socket: Option<String>,
    /// Length of the new cache that follows.
    new: Option<u64>,
    /// The cache that was given was none.
    useless: bool,
}

/// What may be asked then.
#[derive(Serialize, Deserialize)]
enum Ask {
    Listing,
    Holds(Vec<Sha256>),
    Changed,
}

impl View {
    /// Reads all that is in it with so many threads; with a cache, only what that does not know. `progress` is told files and bytes
    /// now and then, and may end it.
    pub fn fingerprint(
        &self,
        threads: NonZeroUsize,
        mut cache: Option<&mut Cache>,
        progress: &mut dyn FnMut(u64, u64) -> Result<(), Interrupted>,
    ) -> Result<Fingerprint, FingerprintError> {
        let mut helper = Helper::environment()?;
        let layers = self
            .layers()
            .iter()
            .map(|layer| (layer.base.clone().into(), layer.paths.iter().map(TreePath::escaped).collect()));
        let layers: Vec<_> = layers.collect();
        if layers.len() > 1 {
            // One cache is of one walk.
            cache = None;
        }
        let follows = cache.as_deref().and_then(Cache::follows);
        if follows.is_none() {
            cache = None;
        }
        say(&mut helper.to, &Question { layers, threads, cache: follows }).map_err(FingerprintError::Pipe)?;
        if let Some(cache) = &cache {
            helper.to.write_all(&cache.given).map_err(FingerprintError::Pipe)?;
        }
        let reading = loop {
            match hear(&mut helper.from)? {
                Answer::Progress(files, bytes) => progress(files, bytes)?,
                Answer::Read(reading) => break reading,
                Answer::Failed(why) => return Err(FingerprintError::Scan(why)),
                _ => return Err(FingerprintError::Answer),
            }
        };
        let path = |text: &str| TreePath::from_escaped(text).map_err(|_| FingerprintError::Answer);
        let socket = reading.socket.as_deref().map(path).transpose()?;
        let counts = reading.counts;
        let Some(cache) = cache else {
            let (listing, digest) = listing(&mut helper)?;
            return Ok(Fingerprint { digest, counts, socket, listing: Some(listing), helper });
        };
        cache.new = reading.new.map(|length| exactly(&mut helper.from, length)).transpose()?;
        cache.useless = reading.useless;
        let digest = reading.digest.and_then(|hex| hex.parse().ok()).ok_or(FingerprintError::Answer)?;
        Ok(Fingerprint { digest, counts, socket, listing: None, helper })
    }
}

/// The listing and its digest.
fn listing(helper: &mut Helper) -> Result<(String, TreeDigest), FingerprintError> {
    let Answer::Listing(length @ ..=MAX_LISTING) = ask(helper, &Ask::Listing)? else {
        return Err(FingerprintError::Answer);
    };
    let mut text = String::new();
    let read = (&mut helper.from).take(length).read_to_string(&mut text).map_err(FingerprintError::Pipe)?;
    let parsed = Listing::parse(&text).map_err(|_| FingerprintError::Answer)?;
    if read as u64 != length || parsed.kind != TreeKind::Environment {
        return Err(FingerprintError::Answer);
    }
    let digest = digest::sha256(text.as_bytes()).into();
    Ok((text, digest))
}

fn ask(helper: &mut Helper, ask: &Ask) -> Result<Answer, FingerprintError> {
    say(&mut helper.to, ask).map_err(FingerprintError::Pipe)?;
    match hear(&mut helper.from)? {
        Answer::Failed(why) => Err(FingerprintError::Scan(why)),
        answer => Ok(answer),
    }
}

impl Fingerprint {
    /// The listing.
    pub fn listing(&mut self) -> Result<&str, FingerprintError> {
        let had = self.listing.take();
        let text = match had {
            Some(text) => text,
            None => {
                let (text, digest) = listing(&mut self.helper)?;
                if digest != self.digest {
                    return Err(FingerprintError::Answer);
                }
                text
            }
        };
        Ok(self.listing.insert(text))
    }

    /// The listing, where all was read.
    pub fn into_listing(self) -> Option<String> {
        self.listing
    }

    /// Its digest.
    pub fn digest(&self) -> TreeDigest {
        self.digest
    }

    /// How much of it was read.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The first Unix socket in it.
    pub fn socket(&self) -> Option<&TreePath> {
        self.socket.as_ref()
    }

    /// Which of these are contents of files in it, each with the first path.
    pub fn holds(&mut self, wanted: &BTreeSet<Sha256>) -> Result<HashMap<Sha256, TreePath>, FingerprintError> {
        let mut held = HashMap::new();
        if wanted.is_empty() {
            return Ok(held);
        }
        let path = |text: &str| TreePath::from_escaped(text).map_err(|_| FingerprintError::Answer);
        if self.listing.is_none() && wanted.len() <= FEW {
            let asked = Ask::Holds(wanted.iter().copied().collect());
            let Answer::Holds(paths) = ask(&mut self.helper, &asked)? else { return Err(FingerprintError::Answer) };
            for (sha256, found) in wanted.iter().zip(paths) {
                if let Some(found) = found {
                    held.insert(*sha256, path(&found)?);
                }
            }
            return Ok(held);
        }
        let names: HashMap<String, Sha256> = wanted.iter().map(|sha256| (sha256.to_string(), *sha256)).collect();
        for line in self.listing()?.lines().filter(|line| line.starts_with("100")) {
            // mode, size, sha256, path
            let mut fields = line.splitn(4, ' ').skip(2);
            if let Some(sha256) = fields.next().and_then(|hex| names.get(hex))
                && let Entry::Vacant(place) = held.entry(*sha256)
            {
                place.insert(path(fields.next().unwrap_or_default())?);
            }
        }
        Ok(held)
    }

    /// Looks again, by times, sizes and the like: the first path that is not as it was, or `None`.
    pub fn changed(&mut self) -> Result<Option<PathBuf>, FingerprintError> {
        match ask(&mut self.helper, &Ask::Changed)? {
            Answer::Unchanged => Ok(None),
            Answer::Changed(path) => Ok(Some(path.into())),
            _ => Err(FingerprintError::Answer),
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
    let most = length.min(MAX_CACHE);
    let mut bytes = Vec::with_capacity(most as usize);
    let read = from.take(most).read_to_end(&mut bytes).map_err(FingerprintError::Pipe)?;
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

/// The helper's side: a line with the layers, answered by the listing; then each further line by whether it still holds.
pub fn serve(from: &mut impl BufRead, to: &mut (impl Write + Send)) -> io::Result<()> {
    let mut line = Vec::new();
    from.take(LINE as u64).read_until(b'\n', &mut line)?;
    let question: Question = json::parse(&line, LINE).map_err(io::Error::other)?;
    let mut layers = Vec::new();
    for (base, paths) in &question.layers {
        let paths: Result<Vec<_>, _> = paths.iter().map(|path| TreePath::from_escaped(path)).collect();
        layers.push((PathBuf::from(base), paths.map_err(io::Error::other)?));
    }
    let memory = match question.cache {
        Some(CacheFollows { length, now }) => {
            let given = exactly(from, length).map_err(io::Error::other)?;
            let roots = layers.iter().flat_map(|(base, paths)| paths.iter().map(|path| base.join(path.to_os()).into()));
            Some(Memory::new(given, &roots.collect::<Vec<_>>(), &Reader::own()?, now))
        }
        None => None,
    };
    let told = Mutex::new((Instant::now(), &mut *to));
    let progress = |files, bytes| {
        if let Ok(mut told) = told.lock()
            && told.0.elapsed() >= PAUSE
        {
            told.0 = Instant::now();
            let _ = say(&mut told.1, &Answer::Progress(files, bytes));
        }
    };
    let options =
        Options { threads: question.threads, progress: Some(&progress), ..Options::new(TreeKind::Environment) };
    let known = memory.as_ref().map(|(memory, _)| memory as &dyn Known);
    let scanned: Result<Vec<Scanned>, ScanError> =
        layers.iter().map(|(base, paths)| scan::environment(base, paths, &options, known)).collect();
    let merged = scanned.and_then(|mut scanned| Ok((tree_of_all(&mut scanned)?, scanned)));
    let (tree, scanned) = match merged {
        Ok(read) => read,
        Err(err) => return say(to, &Answer::Failed(err.to_string())),
    };
    let tree = tree.as_ref().or(scanned.first().map(|only| &only.tree)).ok_or(io::ErrorKind::InvalidInput)?;
    read(memory, tree, to)?;
    loop {
        line.clear();
        if from.take(LINE as u64).read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        let answer = match json::parse(&line, LINE).map_err(io::Error::other)? {
            Ask::Listing => {
                let listing = tree.listing();
                say(to, &Answer::Listing(listing.len() as u64))?;
                to.write_all(listing.as_bytes())?;
                to.flush()?;
                continue;
            }
            Ask::Holds(wanted) => Answer::Holds(holds(tree, &wanted)),
            Ask::Changed => match first_changed(&scanned) {
                Ok(None) => Answer::Unchanged,
                Ok(Some(path)) => Answer::Changed(path.into()),
                Err(err) => Answer::Failed(err.to_string()),
            },
        };
        say(to, &answer)?;
    }
}

/// Of several layers, one tree; `None` of one, which is its own. Where two have one path, the environment is no tree.
fn tree_of_all(scanned: &mut [Scanned]) -> Result<Option<Tree>, ScanError> {
    if scanned.len() < 2 {
        return Ok(None);
    }
    let entries = scanned.iter().flat_map(|one| one.tree.entries().iter().cloned());
    Ok(Some(Tree::new(TreeKind::Environment, entries.collect())?))
}

fn first_changed(scanned: &[Scanned]) -> Result<Option<PathBuf>, ScanError> {
    for one in scanned {
        if let Some(path) = one.changed()? {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

/// Tells what was read, and what to remember of it.
fn read(memory: Option<(Memory, bool)>, tree: &Tree, to: &mut impl Write) -> io::Result<()> {
    let (mut files, mut socket) = (0, None);
    for entry in tree.entries() {
        match entry.node {
            Node::File { .. } => files += 1,
            Node::Closed { mode } if mode & TYPE_BITS == SOCKET && socket.is_none() => {
                socket = Some(entry.path.escaped());
            }
            _ => {}
        }
    }
    let useless = memory.as_ref().is_some_and(|(_, good)| !good);
    let (cached, digest, new) = match memory.map(|(memory, _)| memory.finish(tree)) {
        Some(finished) => (finished.cached, Some(finished.digest.to_string()), finished.new),
        None => (0, None, None),
    };
    let counts = Counts { read: u64::saturating_sub(files, cached), cached };
    let length = new.as_ref().map(|new| new.len() as u64);
    say(to, &Answer::Read(Reading { counts, digest, socket, new: length, useless }))?;
    to.write_all(&new.unwrap_or_default())?;
    to.flush()
}

/// For each digest the first path of a file with such bytes.
fn holds(tree: &Tree, wanted: &[Sha256]) -> Vec<Option<String>> {
    let mut paths: HashMap<Sha256, Option<String>> = wanted.iter().map(|sha256| (*sha256, None)).collect();
    for entry in tree.entries() {
        if let Node::File { content, .. } = &entry.node
            && let Some(path @ None) = paths.get_mut(&content.sha256)
        {
            *path = Some(entry.path.escaped());
        }
    }
    wanted.iter().map(|sha256| paths.get(sha256).cloned().flatten()).collect()
}
