//! A second look at everything that was found, without reading contents.

use super::stamp::{Stamp, Stamper};
use super::{ScanError, Scanned, os};
use crate::path::TreePath;
use crate::tree::{Entry, Node, TreeKind};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Entries that are looked at again in a few milliseconds: for fewer no thread is started.
const LOOKS: usize = 4096;

/// Eight bytes an entry, twice that for a directory.
#[derive(Debug)]
pub(super) struct Stamps {
    pub stamper: Stamper,
    /// What the tree's paths are relative to; of an archive, the archive.
    pub base: PathBuf,
    /// The base itself, unless it is an environment's.
    pub base_stamp: Option<Stamp>,
    /// Of everything but directories, in the order of the tree's entries.
    pub leaves: Vec<u64>,
    /// Of all directories, also those that a source's listing does not name; sorted.
    pub dirs: Vec<(TreePath, Stamp)>,
}

impl Scanned {
    /// Looks at every entry again, without reading contents: the first path that is not as it was when it was read. A directory counts
    /// as changed when it is another one or holds a name that was not there. Its times alone say nothing of what is there now; but that there
    /// was something else between, which a build could have read: one of an environment has changed then too.
    pub fn changed(&self) -> Result<Option<PathBuf>, ScanError> {
        let stamps = &self.stamps;
        let known = |path: &TreePath| {
            self.tree.entries().binary_search_by(|e| e.path.cmp(path)).is_ok()
                || stamps.dirs.binary_search_by(|(p, _)| p.cmp(path)).is_ok()
                || self.excluded.binary_search(path).is_ok()
        };
        for path in &self.absent {
            if stamps.stamper.at(path)?.is_some() {
                return Ok(Some(path.clone()));
            }
        }
        if let Some(then) = &stamps.base_stamp {
            // The user named the base, so a link there is followed as it was.
            let meta = std::fs::metadata(&stamps.base).map_err(|err| ScanError::io("read", &stamps.base, err))?;
            let now = stamps.stamper.meta(&meta);
            if let Some(path) = differing(&stamps.base, None, meta.is_dir(), *then, Some(now), &known)? {
                return Ok(Some(path));
            }
            if !meta.is_dir() {
                return Ok(None);
            }
        }
        let (lasting, between) = (self.tree.kind() != TreeKind::Environment, OnceLock::new());
        let dirs = first_of(&stamps.dirs, |some| {
            let mut looker = Looker::new(stamps);
            for (path, then) in some {
                let now = looker.at(path)?;
                // As nearly all are: then its name is not wanted.
                if now.is_none_or(|now| now.whole != then.whole) {
                    let shown = stamps.base.join(os(path));
                    if let Some(path) = differing(&shown, Some(path), true, *then, now, &known)? {
                        return Ok(Some(path));
                    }
                    if !lasting {
                        // Said where nothing says more.
                        let _ = between.set(shown);
                    }
                }
            }
            Ok(None)
        })?;
        if dirs.is_some() {
            return Ok(dirs);
        }
        let leaves = self.tree.entries().iter().filter(|e| !matches!(e.node, Node::Dir { .. }));
        let leaves: Vec<(&Entry, &u64)> = leaves.zip(&stamps.leaves).collect();
        let leaf = first_of(&leaves, |some| {
            let mut looker = Looker::new(stamps);
            for (entry, then) in some {
                if looker.at(&entry.path)?.is_none_or(|now| now.whole != **then) {
                    return Ok(Some(stamps.base.join(os(&entry.path))));
                }
            }
            Ok(None)
        })?;
        Ok(leaf.or(between.into_inner()))
    }
}

/// Looks at all on as many threads as there are processors: the first path of the first part that has any.
fn first_of<T: Sync>(
    all: &[T],
    look: impl Fn(&[T]) -> Result<Option<PathBuf>, ScanError> + Sync,
) -> Result<Option<PathBuf>, ScanError> {
    let threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let share = all.len().div_ceil(threads).max(LOOKS);
    std::thread::scope(|scope| {
        let look = &look;
        let mut shares = all.chunks(share);
        let first = shares.next().unwrap_or_default();
        let others: Vec<_> = shares.map(|some| scope.spawn(move || look(some))).collect();
        let mut changed = look(first);
        for other in others {
            let other = other.join().map_err(|_| ScanError::Panicked)?;
            if matches!(changed, Ok(None)) {
                changed = other;
            }
        }
        changed
    })
}

/// Looks at paths in their order, each by its name in its directory: the kernel goes down a long path once, and not for each file there.
struct Looker<'s> {
    stamps: &'s Stamps,
    #[cfg(target_os = "linux")]
    dirs: directories::Held<'s>,
}

impl<'s> Looker<'s> {
    fn new(stamps: &'s Stamps) -> Looker<'s> {
        Looker {
            stamps,
            #[cfg(target_os = "linux")]
            dirs: directories::Held::new(&stamps.base),
        }
    }

    /// The stamp of what stands there now, a link itself and not what it points to; `None` when there is nothing.
    fn at(&mut self, path: &'s TreePath) -> Result<Option<Stamp>, ScanError> {
        #[cfg(target_os = "linux")]
        if let Some((dir, name)) = self.dirs.of(path) {
            use rustix::fs::{AtFlags, statat};
            use rustix::io::Errno;
            return match statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => Ok(Some(self.stamps.stamper.stat(&stat))),
                Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
                Err(err) => Err(ScanError::io("read", &self.stamps.base.join(os(path)), err)),
            };
        }
        self.stamps.stamper.at(&self.stamps.base.join(os(path)))
    }
}

/// Directories on the way to the last path.
#[cfg(target_os = "linux")]
mod directories {
    use crate::path::TreePath;
    use rustix::fd::{AsFd as _, BorrowedFd, OwnedFd};
    use rustix::fs::{Mode, OFlags, ResolveFlags, open, openat2};
    use std::path::Path;

    /// Most that are held open by one thread.
    const HELD: usize = 4;

    pub(super) struct Held<'s> {
        base: Option<OwnedFd>,
        /// Each below the one before it.
        dirs: Vec<(&'s [u8], OwnedFd)>,
    }

    /// Only a place to look from: what may be passed but not listed can be one.
    const PLACE: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

    impl<'s> Held<'s> {
        pub fn new(base: &Path) -> Held<'s> {
            Held { base: open(base, PLACE, Mode::empty()).ok(), dirs: Vec::new() }
        }

        /// The directory and the name in it. `None` where it cannot be had so: there are links on the way to some roots, which are followed,
        /// and the kernel may be too old.
        pub fn of(&mut self, path: &'s TreePath) -> Option<(BorrowedFd<'_>, &'s [u8])> {
            let bytes = path.as_bytes();
            let Some(cut) = bytes.iter().rposition(|b| *b == b'/') else {
                return Some((self.base.as_ref()?.as_fd(), bytes));
            };
            let (dir, name) = (&bytes[..cut], &bytes[cut + 1..]);
            while let Some((held, _)) = self.dirs.last()
                && !(dir.starts_with(held) && matches!(dir.get(held.len()), None | Some(b'/')))
            {
                self.dirs.pop();
            }
            if self.dirs.last().is_none_or(|(held, _)| held.len() < dir.len()) {
                let (above, from) = match self.dirs.last() {
                    Some((held, fd)) => (fd.as_fd(), held.len() + 1),
                    None => (self.base.as_ref()?.as_fd(), 0),
                };
                let way = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
                let fd = openat2(above, &dir[from..], PLACE | OFlags::NOFOLLOW, Mode::empty(), way).ok()?;
                if self.dirs.len() == HELD {
                    self.dirs.pop();
                }
                self.dirs.push((dir, fd));
            }
            self.dirs.last().map(|(_, fd)| (fd.as_fd(), name))
        }
    }
}

/// What of a directory (or an archive) is not as it was.
fn differing(
    shown: &Path,
    path: Option<&TreePath>,
    dir: bool,
    then: Stamp,
    now: Option<Stamp>,
    known: &dyn Fn(&TreePath) -> bool,
) -> Result<Option<PathBuf>, ScanError> {
    match now {
        Some(now) if now.whole == then.whole => return Ok(None),
        Some(now) if dir && now.place == then.place => {}
        _ => return Ok(Some(shown.to_owned())),
    }
    let fail = |err| ScanError::io("read", shown, err);
    for name in std::fs::read_dir(shown).map_err(fail)? {
        let name = name.map_err(fail)?.file_name();
        let bytes = name.as_encoded_bytes();
        let here = match path {
            Some(path) => path.join(bytes),
            None => TreePath::from_bytes(bytes),
        };
        if !here.is_ok_and(|here| known(&here)) {
            return Ok(Some(shown.join(name)));
        }
    }
    Ok(None)
}

#[cfg(all(test, unix))]
mod tests;
