//! A directory to a [`Tree`]. The only room that walks directories.
//!
//! The tree is hostile: it may hold FIFOs, devices, links that point out of it, names of any bytes, and it may change while it is
//! read. Everything is opened relative to a directory and without following links (`beneath`); nothing but regular files and
//! directories is ever opened; what cannot be read is an error that names it, never left out in silence. Each entry's stamp (device,
//! inode, mode, size, times) is noted as it is read, so that [`Scanned::changed`] can say afterwards whether all of it stood still.

mod again;
#[cfg(unix)]
pub(crate) mod beneath;
mod gather;
#[cfg(unix)]
mod known;
#[cfg(not(unix))]
mod plain;
pub(crate) mod read;
mod stamp;
#[cfg(unix)]
mod walk;

use crate::digest::{Content, Wanted};
use crate::fs::FsError;
use crate::path::{PathRefused, TreePath};
use crate::tree::{Entry, MAX_ENTRIES, Tree, TreeError, TreeKind};
use again::Stamps;
use gather::Gathered;
#[cfg(unix)]
pub use known::{Known, Looks};
use stamp::{Stamp, Stamper};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

/// Decides what is left out: the path, and whether it is a directory. An excluded directory is not entered.
pub type Exclude<'a> = dyn Fn(&TreePath, bool) -> bool + Sync + 'a;

/// Is told how many files and bytes have been read so far.
pub type Progress<'a> = dyn Fn(u64, u64) + Sync + 'a;

/// How to scan.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// What the tree is for. An environment may hold what cannot be opened; the others may not.
    pub kind: TreeKind,
    /// Digests beside SHA-256.
    pub wanted: Wanted,
    /// What is left out.
    pub exclude: Option<&'a Exclude<'a>>,
    /// Whether [`Scanned::excluded`] names what is left out, which then counts as entries do. What a build left beside its outputs may be
    /// any number of paths, and nobody asks for them; without them [`Scanned::changed`] takes them for new.
    pub note_excluded: bool,
    /// Threads that read and hash.
    pub threads: NonZeroUsize,
    /// Who is told how far it is.
    pub progress: Option<&'a Progress<'a>>,
    /// Most that the tree may hold; more is an error before it is read.
    pub most: Most,
}

/// Most that a tree may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Most {
    /// Entries.
    pub entries: usize,
    /// Bytes of all files, by their lengths: a hole costs as much to hash as what is there.
    pub bytes: u64,
}

impl Most {
    /// What any tree may hold.
    pub const ANY: Most = Most { entries: MAX_ENTRIES, bytes: u64::MAX };
}

impl<'a> Options<'a> {
    /// Nothing excluded, SHA-256 only, one thread.
    pub fn new(kind: TreeKind) -> Options<'a> {
        Options {
            kind,
            wanted: Wanted::default(),
            exclude: None,
            note_excluded: true,
            threads: NonZeroUsize::MIN,
            progress: None,
            most: Most::ANY,
        }
    }
}

/// A directory, archive or environment that could not be read as a tree.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// The operating system's answer.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// Not a file, link or directory.
    #[error("{} is {kind}: a tree holds files, symbolic links and directories only", path.display())]
    Kind {
        /// Where.
        path: PathBuf,
        /// What, in words.
        kind: &'static str,
    },
    /// More than [`Most`] says.
    #[error("{}: more than {most} {what} in all", path.display())]
    TooMuch {
        /// Where it became too much.
        path: PathBuf,
        /// What is allowed.
        most: u64,
        /// Of what.
        what: &'static str,
    },
    /// Two looks at one thing disagree.
    #[error("{} changed while it was read", .0.display())]
    Changed(PathBuf),
    /// A name that no tree can hold.
    #[error("{}: {why}", path.display())]
    Path {
        /// Where.
        path: PathBuf,
        /// Why not.
        why: PathRefused,
    },
    /// The entries are not a tree of this kind.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// A defect: a thread of the scan panicked.
    #[error("a scanning thread panicked")]
    Panicked,
}

impl ScanError {
    pub(crate) fn io(what: &'static str, path: &Path, err: impl Into<std::io::Error>) -> ScanError {
        ScanError::Fs(FsError::io(what, path, err.into()))
    }
}

/// A tree that was read, and what is needed to see whether it changed since.
#[derive(Debug)]
pub struct Scanned {
    /// The tree.
    pub tree: Tree,
    /// What was left out, top-most paths only, sorted.
    pub excluded: Vec<TreePath>,
    /// Roots of an environment that are not there.
    pub absent: Vec<PathBuf>,
    stamps: Stamps,
}

/// One thing that was found.
struct Found {
    entry: Entry,
    stamp: Stamp,
    /// Has a line in the listing: all but a source's directories that hold something.
    listed: bool,
}

/// Where what was found goes, in the order of the listing.
struct Sink<'s, R> {
    /// Called by any thread.
    prepare: &'s (dyn Fn(Vec<Found>) -> R + Sync),
    /// Given what `prepare` made, in order.
    take: &'s mut (dyn FnMut(R) -> Result<(), ScanError> + Send),
}

/// What is known at the end of a walk.
struct Ended {
    /// The stamp of the root itself.
    base: Stamp,
    excluded: Vec<TreePath>,
    folding: Vec<(TreePath, TreePath)>,
}

#[cfg(unix)]
use walk::root as walk_root;

#[cfg(not(unix))]
use plain::root as walk_root;

/// Reads the directory `root` (which may be a link: the user named it) as a tree.
pub fn tree(root: &Path, options: &Options<'_>) -> Result<Scanned, ScanError> {
    let stamper = Stamper::default();
    let mut gathered = Gathered::default();
    let mut sink = Sink { prepare: &|found| found, take: &mut |more| gathered.take(more) };
    let ended = walk_root(root, options, &stamper, &mut sink)?;
    gathered.assemble(options.kind, ended.excluded, root.to_owned(), Some(ended.base), stamper)
}

/// What is known of a directory whose listing was written out.
#[derive(Debug)]
pub struct Listed {
    /// Lines but the first.
    pub entries: usize,
    /// What was left out, top-most paths only, sorted.
    pub excluded: Vec<TreePath>,
    /// As [`Tree::folding_names`] gives them.
    pub folding: Vec<(TreePath, TreePath)>,
}

/// Hands the listing of the directory `root` to `write`, piece by piece and in order, while it is read. Nothing is kept of what was
/// handed over, so memory is bounded by the largest directory, whatever the size of the tree. After an error the pieces are no listing.
/// An error of `write` is reported as one of `root`.
pub fn list(
    root: &Path,
    options: &Options<'_>,
    write: &mut (dyn FnMut(&[u8]) -> std::io::Result<()> + Send),
) -> Result<Listed, ScanError> {
    let kind = options.kind;
    let prepare = |found: Vec<Found>| {
        let (mut text, mut entries) = (String::with_capacity(128 * found.len()), 0);
        for found in found.iter().filter(|found| found.listed) {
            found.entry.print(kind, &mut text);
            entries += 1;
        }
        (text, entries)
    };
    let mut entries = 0;
    let mut put = |text: &str| write(text.as_bytes()).map_err(|err| ScanError::io("write the listing of", root, err));
    put(&kind.first_line())?;
    let mut take = |(text, more): (String, usize)| {
        entries += more;
        put(&text)
    };
    let ended = walk_root(root, options, &Stamper::default(), &mut Sink { prepare: &prepare, take: &mut take })?;
    let (mut excluded, mut folding) = (ended.excluded, ended.folding);
    excluded.sort_unstable();
    folding.sort_unstable();
    Ok(Listed { entries, excluded, folding })
}

/// Reads the paths `roots` below the directory `base` as an environment; a root may be a file, a directory or a link, or absent.
/// What this process may not open and what must not be opened stands as [`Node::Closed`](crate::tree::Node::Closed). Roots below other roots are read once. Files that
/// are `known` are not opened: that goes for SHA-256 alone, and for no other kind of tree.
#[cfg(unix)]
pub fn environment(
    base: &Path,
    roots: &[TreePath],
    options: &Options<'_>,
    known: Option<&dyn Known>,
) -> Result<Scanned, ScanError> {
    let stamper = Stamper::default();
    let options = Options { kind: TreeKind::Environment, ..*options };
    let known = known.filter(|_| options.wanted == Wanted::default()).map(known::Asked::new);
    let mut paths = roots.to_vec();
    paths.sort_unstable_by(|a, b| a.parts().cmp(b.parts()));
    paths.dedup();
    let (mut gathered, mut excluded, mut absent): (Gathered, Vec<TreePath>, Vec<PathBuf>) = Default::default();
    let mut inside: Option<TreePath> = None;
    for path in paths {
        if inside.as_ref().is_some_and(|dir| below(&path, dir)) {
            continue;
        }
        let shown = base.join(path.to_os());
        let before = gathered.entries().len();
        let mut sink = Sink { prepare: &|found| found, take: &mut |more| gathered.take(more) };
        match walk::named(&shown, &path, &options, known.as_ref(), &stamper, &mut sink)? {
            None => absent.push(shown),
            Some(ended) => {
                if gathered
                    .entries()
                    .get(before)
                    .is_some_and(|first| matches!(first.node, crate::tree::Node::Dir { .. }))
                {
                    inside = Some(path);
                }
                excluded.extend(ended.excluded);
            }
        }
    }
    let mut scanned = gathered.assemble(TreeKind::Environment, excluded, base.to_owned(), None, stamper)?;
    scanned.absent = absent;
    Ok(scanned)
}

/// Opens a regular file of the tree below `root`, following no link but `root` itself.
pub fn open(root: &Path, path: &TreePath) -> Result<std::fs::File, ScanError> {
    let shown = root.join(os(path));
    #[cfg(unix)]
    let file = {
        use rustix::fs::{Mode, OFlags};
        let fail = |err: rustix::io::Errno| ScanError::io("read", &shown, err);
        let dir = rustix::fs::open(root, beneath::DIRECTORY.difference(OFlags::NOFOLLOW), Mode::empty());
        let file = beneath::open(dir.map_err(fail)?, path.as_bytes(), OFlags::RDONLY, Mode::empty());
        std::fs::File::from(file.map_err(fail)?)
    };
    #[cfg(not(unix))]
    let file = {
        let linked = shown.ancestors().take_while(|at| *at != root).any(|at| at.is_symlink());
        if linked {
            return Err(ScanError::Kind { path: shown, kind: "a symbolic link" });
        }
        crate::fs::open_file(&shown)?
    };
    let kind = file.metadata().map_err(|err| ScanError::io("read", &shown, err))?.file_type();
    if !kind.is_file() {
        return Err(ScanError::Kind { path: shown, kind: crate::fs::kind_of(&kind) });
    }
    Ok(file)
}

#[cfg(unix)]
fn below(path: &TreePath, dir: &TreePath) -> bool {
    path.as_bytes().strip_prefix(dir.as_bytes()).is_some_and(|rest| rest.first() == Some(&b'/'))
}

/// Every wanted digest of one file that the user named, in one pass. Links are followed; FIFOs and devices are refused.
pub fn file(path: &Path, wanted: Wanted) -> Result<Content, ScanError> {
    let mut file = crate::fs::open_file(path)?;
    let stamper = Stamper::default();
    let look = |file: &std::fs::File| file.metadata().map_err(|err| ScanError::io("read", path, err));
    let before = look(&file)?;
    let content = read::content(&mut file, before.len(), wanted, &mut vec![0; read::SMALL], &|_| ())
        .map_err(|err| ScanError::io("read", path, err))?;
    let same = stamper.meta(&before).whole == stamper.meta(&look(&file)?).whole;
    if !same || content.size != before.len() {
        return Err(ScanError::Changed(path.to_owned()));
    }
    Ok(content)
}

impl Scanned {
    /// A tree that was read from one file, an archive, whose metadata was `meta` before and after.
    pub(crate) fn of_archive(
        path: &Path,
        meta: &std::fs::Metadata,
        tree: Tree,
        mut excluded: Vec<TreePath>,
    ) -> Scanned {
        let stamper = Stamper::default();
        excluded.sort_unstable();
        let base_stamp = Some(stamper.meta(meta));
        let stamps = Stamps { stamper, base: path.to_owned(), base_stamp, leaves: Vec::new(), dirs: Vec::new() };
        Scanned { tree, excluded, absent: Vec::new(), stamps }
    }
}

#[cfg(unix)]
fn os(path: &TreePath) -> &Path {
    path.to_os()
}

#[cfg(not(unix))]
fn os(path: &TreePath) -> PathBuf {
    PathBuf::from(String::from_utf8_lossy(path.as_bytes()).into_owned())
}

#[cfg(all(test, unix))]
mod tests;
