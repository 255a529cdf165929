//! Archives as source trees: tar, plain or packed by gzip, xz or zstd, and zip; told apart by what they begin with, never by their names. The
//! only user of `tar`, `flate2`, `lzma-rust2` and `ruzstd`.
//!
//! Strict, since two readers that disagree about an archive are how one source is reviewed and another built (docs/spec.md §2): every
//! member is a file, link or directory; none is there twice, outside, or after the end; nothing is cut off. Read as a stream: memory does not
//! grow with contents, names have a limit, and unpacked bytes are counted against a limit as they come.

#[cfg(unix)]
mod pack;
mod packed;
mod root;
mod stream;
mod zip;

use crate::digest::{ContentHasher, Wanted};
use crate::fs::FsError;
use crate::path::{PathRefused, TreePath};
use crate::scan::{Exclude, Progress, ScanError, Scanned};
use crate::tree::{Entry, MAX_ENTRIES, Node, Tree, TreeError, TreeKind};
#[cfg(unix)]
pub(crate) use pack::Packer;
pub(crate) use root::{RootKind, RootMember, explain, plain_root_members, unpacked};
use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs::File;
use std::io::{self, Read, Seek as _};
use std::path::{Path, PathBuf};
use stream::{Format, Meter, Metered};

/// Most bytes that an archive may unpack to unless the caller says otherwise: 64 GiB.
pub const MAX_UNPACKED: u64 = 64 << 30;
/// Most bytes of long names, extended headers and padding between two members.
const MAX_BETWEEN: u64 = 1 << 20;
/// Where a header of tar has the beginning of a long name, if it is of the form that has one.
const PREFIX: usize = 345;
/// Longest target of a link.
const MAX_TARGET: usize = 65_536;
/// Names, those of directories that are only implied too, and targets are held in memory; together they may be one part in so many of what an archive may unpack to, or [`LEAST_NAMES`].
const NAMES: u64 = 64;
/// See [`NAMES`].
const LEAST_NAMES: u64 = 1 << 20;

/// How a tar archive is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// Not at all.
    Plain,
    /// gzip.
    Gzip,
    /// xz.
    Xz,
    /// zstd.
    Zstd,
}

impl std::fmt::Display for Packing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Packing::Plain => "not packed",
            Packing::Gzip => "packed by gzip",
            Packing::Xz => "packed by xz",
            Packing::Zstd => "packed by zstd",
        })
    }
}

/// An archive that is not a source tree.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The operating system's answer.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// Another format.
    #[error("{} is {format}, which is not supported: tar, tar.gz, tar.xz, tar.zst and zip are", path.display())]
    Format {
        /// The archive.
        path: PathBuf,
        /// What it begins like.
        format: &'static str,
    },
    /// No archive at all.
    #[error("{} is not an archive: neither tar nor zip", .0.display())]
    NotTar(PathBuf),
    /// Packed in another way than whoever names it says.
    #[error("{} should be {expected}, but is {found}", path.display())]
    Packed {
        /// The archive.
        path: PathBuf,
        /// As it should be.
        expected: Packing,
        /// As it is.
        found: Packing,
    },
    /// Cut off, damaged, or with something behind its end.
    #[error("{}: {why}", path.display())]
    Damaged {
        /// The archive.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A member that a source tree cannot hold.
    #[error("{}: member {member}: {why}", path.display())]
    Member {
        /// The archive.
        path: PathBuf,
        /// Its name, escaped.
        member: String,
        /// What is wrong.
        why: String,
    },
    /// The members are not a tree.
    #[error("{}: {why}", path.display())]
    Tree {
        /// The archive.
        path: PathBuf,
        /// Why not.
        why: TreeError,
    },
    /// It unpacks to more than the limit.
    #[error("{} unpacks to more than {limit} bytes", path.display())]
    TooLarge {
        /// The archive.
        path: PathBuf,
        /// The limit.
        limit: u64,
    },
    /// Names and targets that are too much to be held in memory.
    #[error("{}: its names and the targets of its links are more than {limit} bytes in all", path.display())]
    Names {
        /// The archive.
        path: PathBuf,
        /// The limit.
        limit: u64,
    },
    /// The file is not what it was a moment ago.
    #[error("{} changed while it was read", .0.display())]
    Changed(PathBuf),
    /// What the caller does with members failed.
    #[error(transparent)]
    Scan(#[from] ScanError),
}

/// A member of an archive, its path checked and stripped.
pub(crate) enum Member<'a> {
    Dir,
    File {
        perm: u32,
        size: u64,
        data: &'a mut dyn Read,
    },
    Link {
        target: Vec<u8>,
    },
    /// Another name of a member that came before.
    Hard {
        target: TreePath,
    },
}

/// What is done with each member.
pub(crate) type Visit<'a> = dyn FnMut(TreePath, Member<'_>) -> Result<(), ArchiveError> + 'a;

/// Whose right to execute counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Executable {
    ByOwner,
    ByAnybody,
}

/// Reads the archive `path` as a source tree, `strip` leading parts of every member removed.
pub fn tree(
    path: &Path,
    strip: u8,
    wanted: Wanted,
    exclude: &Exclude<'_>,
    limit: u64,
    progress: Option<&Progress<'_>>,
) -> Result<Scanned, ArchiveError> {
    tree_of(path, strip, wanted, exclude, limit, progress, Executable::ByOwner)
}

/// The same, with a file executable by somebody for an executable file where that is wanted.
pub(crate) fn tree_of(
    path: &Path,
    strip: u8,
    wanted: Wanted,
    exclude: &Exclude<'_>,
    limit: u64,
    progress: Option<&Progress<'_>>,
    executable: Executable,
) -> Result<Scanned, ArchiveError> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut files: HashMap<TreePath, usize> = HashMap::new();
    let mut excluded: BTreeSet<TreePath> = BTreeSet::new();
    let mut dirs: HashSet<TreePath> = HashSet::new();
    let mut total = 0;
    let most_names = most_names(limit);
    let mut names = 0;
    let mut hold = |bytes: usize| {
        names += bytes as u64;
        if names > most_names { Err(ArchiveError::Names { path: path.to_owned(), limit: most_names }) } else { Ok(()) }
    };
    let mut buffer = vec![0; crate::scan::read::SMALL];
    let meta = members(path, strip, limit, &mut |at, member| {
        if entries.len() == MAX_ENTRIES {
            return Err(ArchiveError::Tree { path: path.to_owned(), why: TreeError::TooMany });
        }
        let is_dir = matches!(member, Member::Dir);
        if let Some(top) = left_out(&at, is_dir, exclude) {
            let length = top.as_bytes().len();
            return if excluded.insert(top) { hold(length) } else { Ok(()) };
        }
        hold(at.as_bytes().len())?;
        // A tree knows each directory once, and a name can be of two thousand that no member is.
        let mut above = at.parent();
        while let Some(dir) = above {
            if dirs.contains(&dir) {
                break;
            }
            hold(dir.as_bytes().len())?;
            above = dir.parent();
            dirs.insert(dir);
        }
        let node = match member {
            Member::Dir => Node::Dir { perm: 0o755 },
            Member::Link { target } => {
                hold(target.len())?;
                Node::Link { target: target.into() }
            }
            Member::File { perm, size, data } => {
                let mut hasher = ContentHasher::new(size, wanted);
                copy(path, data, size, &mut buffer, &mut |bytes| {
                    hasher.update(bytes);
                    total += bytes.len() as u64;
                    if let Some(progress) = progress {
                        progress(files.len() as u64, total);
                    }
                    Ok(())
                })?;
                files.insert(at.clone(), entries.len());
                let perm = if executable == Executable::ByAnybody && perm & 0o111 != 0 { 0o755 } else { perm };
                Node::File { perm, content: hasher.finish() }
            }
            Member::Hard { target } => match files.get(&target) {
                Some(&index) => {
                    files.insert(at.clone(), index);
                    entries[index].node.clone()
                }
                None => return Err(no_target(path, &at, &target)),
            },
        };
        entries.push(Entry { path: at, node });
        Ok(())
    })?;
    // A directory of which all is left out is there still, and need not be a member.
    let mut implied: BTreeSet<TreePath> = excluded.iter().filter_map(TreePath::parent).collect();
    for entry in entries.iter().filter(|entry| matches!(entry.node, Node::Dir { .. })) {
        implied.remove(&entry.path);
    }
    for path in implied {
        hold(path.as_bytes().len())?;
        entries.push(Entry { path, node: Node::Dir { perm: 0o755 } });
    }
    let tree = Tree::new(TreeKind::Source, entries).map_err(|why| ArchiveError::Tree { path: path.to_owned(), why })?;
    Ok(Scanned::of_archive(path, &meta, tree, excluded.into_iter().collect()))
}

/// See [`NAMES`].
pub(crate) fn most_names(limit: u64) -> u64 {
    (limit / NAMES).max(LEAST_NAMES)
}

/// Leaves out what is excluded of entries that were read without that.
pub(crate) fn without(entries: Vec<Entry>, exclude: &Exclude<'_>) -> (Vec<Entry>, Vec<TreePath>) {
    let (mut kept, mut excluded) = (Vec::new(), BTreeSet::new());
    for entry in entries {
        match left_out(&entry.path, matches!(entry.node, Node::Dir { .. }), exclude) {
            Some(top) => drop(excluded.insert(top)),
            None => kept.push(entry),
        }
    }
    let mut implied: BTreeSet<TreePath> = excluded.iter().filter_map(TreePath::parent).collect();
    for entry in kept.iter().filter(|entry| matches!(entry.node, Node::Dir { .. })) {
        implied.remove(&entry.path);
    }
    kept.extend(implied.into_iter().map(|path| Entry { path, node: Node::Dir { perm: 0o755 } }));
    (kept, excluded.into_iter().collect())
}

/// An archive names what is below an excluded directory too: the top-most excluded path, if there is one.
fn left_out(path: &TreePath, is_dir: bool, exclude: &Exclude<'_>) -> Option<TreePath> {
    let mut above = path.parent();
    let mut top = exclude(path, is_dir).then(|| path.clone());
    while let Some(dir) = above {
        above = dir.parent();
        if exclude(&dir, true) {
            top = Some(dir);
        }
    }
    top
}

pub(crate) fn no_target(path: &Path, member: &TreePath, target: &TreePath) -> ArchiveError {
    let why = format!("it is a hard link to {target}, which is not a file before it in the tree");
    ArchiveError::Member { path: path.to_owned(), member: member.escaped(), why }
}

/// Passes on exactly `size` bytes.
pub(crate) fn copy(
    path: &Path,
    data: &mut dyn Read,
    size: u64,
    buffer: &mut [u8],
    to: &mut dyn FnMut(&[u8]) -> Result<(), ArchiveError>,
) -> Result<(), ArchiveError> {
    let mut left = size;
    while left > 0 {
        let n = crate::scan::read::read(&mut &mut *data, buffer).map_err(|err| stream::explain(path, err))?;
        if n == 0 {
            return Err(ArchiveError::Damaged { path: path.to_owned(), why: "it is cut off".into() });
        }
        left = left.saturating_sub(n as u64);
        to(&buffer[..n])?;
    }
    Ok(())
}

/// Gives each member to `visit`, checks that the archive is whole, and returns the metadata of the file that was read.
pub(crate) fn members(
    path: &Path,
    strip: u8,
    limit: u64,
    visit: &mut Visit<'_>,
) -> Result<std::fs::Metadata, ArchiveError> {
    let fail = |err: io::Error| stream::explain(path, err);
    let file = crate::fs::open_file(path)?;
    let before = file.metadata().map_err(fail)?;
    let mut start = Vec::new();
    (&file).take(8).read_to_end(&mut start).map_err(fail)?;
    (&file).rewind().map_err(fail)?;
    match Format::of(&start) {
        Some(Format::Zip) => zip::members(path, &file, strip, limit, visit)?,
        _ => tar_members(path, &file, strip, limit, visit)?,
    }
    let after = file.metadata().map_err(fail)?;
    if before.len() != after.len() || before.modified().ok() != after.modified().ok() {
        return Err(ArchiveError::Changed(path.to_owned()));
    }
    Ok(before)
}

fn tar_members(path: &Path, file: &File, strip: u8, limit: u64, visit: &mut Visit<'_>) -> Result<(), ArchiveError> {
    let (input, meter) = Metered::open(path, file, limit)?;
    each(path, input, &meter, &mut |member| one(path, strip, member, visit))
}

/// Gives each member of a tar archive that is not packed to `visit`, and checks that it is whole.
#[cfg(unix)]
pub(crate) fn plain_members<E: From<ArchiveError>>(
    path: &Path,
    limit: u64,
    visit: &mut dyn FnMut(TreePath, Member<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let file = crate::fs::open_file(path).map_err(ArchiveError::from)?;
    let (input, meter) = Metered::plain(path, io::BufReader::with_capacity(64 << 10, file), limit)?;
    each(path, input, &meter, &mut |member| one(path, 0, member, visit))
}

/// Gives each member of a tar archive to `act`, and checks that nothing is behind the last.
fn each<'a, E: From<ArchiveError>>(
    path: &Path,
    input: Metered<'a>,
    meter: &Meter,
    act: &mut dyn FnMut(&mut tar::Entry<'_, Metered<'a>>) -> Result<(), E>,
) -> Result<(), E> {
    let fail = |err: io::Error| stream::explain(path, err);
    let mut archive = tar::Archive::new(input);
    let mut list = archive.entries().map_err(fail)?;
    loop {
        // Names and extended headers are held in memory by the reader of tar: little of them, however much the headers promise.
        meter.allow_between(MAX_BETWEEN);
        let Some(member) = list.next() else { break };
        let mut member = member.map_err(fail)?;
        meter.allow_content();
        act(&mut member)?;
        io::copy(&mut member, &mut io::sink()).map_err(fail)?;
    }
    if meter.ended() {
        let why = "it is cut off: its end mark is missing".into();
        return Err(ArchiveError::Damaged { path: path.to_owned(), why }.into());
    }
    meter.allow_content();
    let mut rest = archive.into_inner();
    let mut buffer = [0; 4096];
    loop {
        let n = rest.read(&mut buffer).map_err(fail)?;
        if n == 0 {
            break;
        }
        if buffer[..n].iter().any(|byte| *byte != 0) {
            let why = "something follows the end of the archive".into();
            return Err(ArchiveError::Damaged { path: path.to_owned(), why }.into());
        }
    }
    Ok(())
}

/// Whether a member is a directory; `None` when it is about those that follow. An error is what readers of tar understand differently.
fn sound<R: Read>(member: &mut tar::Entry<'_, R>, raw: &[u8]) -> Result<Option<bool>, String> {
    let kind = member.header().entry_type();
    extensions(member, kind.is_pax_global_extensions(), raw)?;
    if kind.is_pax_global_extensions() {
        return Ok(None);
    }
    let header = member.header();
    if header.as_ustar().is_none() && header.as_bytes()[PREFIX] != 0 {
        return Err("some readers take what stands in its header for the beginning of its name, others do not".into());
    }
    // A name that ends in a slash is a directory to every reader of tar, whatever its type says.
    let is_dir = kind.is_dir() || (kind.is_file() && raw.ends_with(b"/"));
    if member.size() != 0 && (is_dir || !kind.is_file()) {
        return Err("it has content but is not a file".into());
    }
    Ok(Some(is_dir))
}

fn one<R: Read, E: From<ArchiveError>>(
    path: &Path,
    strip: u8,
    member: &mut tar::Entry<'_, R>,
    visit: &mut dyn FnMut(TreePath, Member<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let raw = member.path_bytes().into_owned();
    let refuse = |why: String| {
        let member = String::from_utf8_lossy(&raw).into_owned();
        ArchiveError::Member { path: path.to_owned(), member, why }
    };
    let Some(is_dir) = sound(member, &raw).map_err(&refuse)? else { return Ok(()) };
    let (kind, size) = (member.header().entry_type(), member.size());
    let mut name = raw.as_slice();
    while is_dir && name.ends_with(b"/") {
        name = &name[..name.len() - 1];
    }
    let Some(at) = inside(name, strip, is_dir).map_err(|why| refuse(why.to_string()))? else {
        return if is_dir {
            Ok(())
        } else {
            Err(refuse(format!("it has no more than {strip} parts (strip = {strip})")).into())
        };
    };
    let target = || target(member).ok_or_else(|| refuse("its target is missing or not a path".into()));
    if is_dir {
        visit(at, Member::Dir)
    } else if kind.is_file() {
        let perm = member.header().mode().map_err(|err| refuse(err.to_string()))? & 0o7777;
        visit(at, Member::File { perm, size, data: member })
    } else if kind.is_symlink() {
        visit(at, Member::Link { target: target()? })
    } else if kind.is_hard_link() {
        let target = target()?;
        let target = inside(&target, strip, false).map_err(|why| refuse(format!("its target: {why}")))?;
        let target = target.ok_or_else(|| refuse("its target is outside of the tree".into()))?;
        visit(at, Member::Hard { target })
    } else {
        Err(refuse(format!("it is {}: a tree holds files, links and directories only", word(kind))).into())
    }
}

fn target<R: Read>(member: &tar::Entry<'_, R>) -> Option<Vec<u8>> {
    let target = member.link_name_bytes()?;
    (!target.is_empty() && target.len() <= MAX_TARGET && !target.contains(&0)).then(|| target.into_owned())
}

/// The path below the stripped parts; `None` when nothing is left.
fn inside(name: &[u8], strip: u8, is_dir: bool) -> Result<Option<TreePath>, PathRefused> {
    let mut name = name;
    while let Some(rest) = name.strip_prefix(b"./") {
        name = rest;
    }
    if is_dir && matches!(name, b"" | b".") {
        return Ok(None);
    }
    // The whole name is checked, also the parts that go.
    let whole = TreePath::from_bytes(name)?;
    let parts: Vec<&[u8]> = whole.parts().skip(strip.into()).collect();
    if parts.is_empty() { Ok(None) } else { TreePath::from_bytes(&parts.join(&b'/')).map(Some) }
}

/// Refuses extended headers that readers of tar understand differently.
fn extensions<R: Read>(member: &mut tar::Entry<'_, R>, global: bool, name: &[u8]) -> Result<(), String> {
    let mut text = Vec::new();
    if global {
        member.take(MAX_BETWEEN).read_to_end(&mut text).map_err(|err| err.to_string())?;
    }
    let target = member.link_name_bytes().map(Cow::into_owned);
    let size = member.size().to_string();
    let items = match member.pax_extensions().map_err(|err| err.to_string())? {
        Some(items) if !global => items,
        _ => tar::PaxExtensions::new(&text),
    };
    let mut seen: Vec<&[u8]> = Vec::new();
    for item in items {
        let item = item.map_err(|err| err.to_string())?;
        let (key, value) = (item.key_bytes(), item.value_bytes());
        // Blanks before a key are a part of it, or are not; a NUL ends it, or does not.
        if key.starts_with(b" ") || key.starts_with(b"\t") || key.contains(&0) {
            return Err("its extended headers have a key that readers understand differently".into());
        }
        if key.starts_with(b"GNU.sparse.") {
            return Err("it is a sparse file, which is not supported".into());
        }
        // Said twice, for all members, or against a GNU long name: readers disagree about which one counts.
        let twice = match key {
            b"path" => value != name,
            b"linkpath" => target.as_deref() != Some(value),
            // What is no plain number is one to some readers: `0` with a NUL, `+0`, `x`.
            b"size" => without_zeros(value) != size.as_bytes(),
            _ => continue,
        };
        if global || twice || seen.contains(&key) {
            return Err(format!("its extended headers do not agree on its {}", String::from_utf8_lossy(key)));
        }
        seen.push(key);
    }
    Ok(())
}

/// A decimal number as it is printed.
fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|digit| **digit == b'0').count();
    &number[zeros.min(number.len().saturating_sub(1))..]
}

fn word(kind: tar::EntryType) -> &'static str {
    match kind {
        tar::EntryType::Fifo => "a FIFO",
        tar::EntryType::Char | tar::EntryType::Block => "a device",
        tar::EntryType::GNUSparse => "a sparse file",
        _ => "of an unknown type",
    }
}

#[cfg(test)]
mod tests;
