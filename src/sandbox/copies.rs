//! Roots as a copy in memory, so that the kernel notes what is read: a file system of our own with `strictatime`, on which every time of
//! access is a constant before the steps. After them, what has another one was read.
//!
//! A mount that is read-only notes nothing, so this one is writable; landlock, which must be enforced, keeps the steps from writing there.
//! Modes and times of change stay as they are, since a build may copy them into its outputs.
//!
//! The steps own the copy (an ordinary user has no second id to give it to). What a reader can do against it: `O_NOATIME`, which the system
//! call filter refuses, and setting the times again, which sets the time of status change, and that nobody can set. Such a file is told as
//! `touched`, and counts as read.

use super::observed::Seen;
use super::outer::Report;
use crate::path::TreePath;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use rustix::fs::{AtFlags, Timespec, Timestamps};
use std::collections::HashMap;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Every time of access before the steps.
const BEFORE: i64 = 1;
/// Longer than the kernel's clock for files takes for a tick.
const TICK: Duration = Duration::from_millis(20);

/// Copies that are made, not yet bound at their places.
pub(super) struct Copies {
    at: PathBuf,
    /// Place inside to the copy.
    made: HashMap<PathBuf, PathBuf>,
}

/// A time of status change, seconds and nanoseconds.
pub(super) type Moment = (i64, i64);

impl Copies {
    /// Copies the roots whose places are wanted to a new file system of at most `size` bytes that is mounted at `at`, an empty directory.
    pub(super) fn make<'r>(
        at: &Path,
        size: u64,
        roots: impl Iterator<Item = (&'r Path, &'r Path)>,
    ) -> Result<Copies, Report> {
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_STRICTATIME;
        mount(Some("tmpfs"), at, Some("tmpfs"), flags, Some(format!("mode=0755,size={size}").as_str()))
            .map_err(Report::refused("mount a tmpfs for the copy of the environment"))?;
        let mut made = HashMap::new();
        for (number, (from, place)) in roots.enumerate() {
            let to = at.join(number.to_string());
            match fs::symlink_metadata(from) {
                Err(err) if err.kind() == io::ErrorKind::NotFound => continue,
                // A link is put there as a link.
                Ok(meta) if meta.is_symlink() => continue,
                meta => meta.and_then(|meta| copy(from, &meta, &to)),
            }
            .map_err(Report::refused_io(format!("copy {} into memory, for --trace", from.display())))?;
            made.insert(place.to_owned(), to);
        }
        Ok(Copies { at: at.to_owned(), made })
    }

    /// The copy of what stands at a place.
    pub(super) fn of(&self, place: &Path) -> Option<&Path> {
        self.made.get(place).map(PathBuf::as_path)
    }

    /// Leaves the copies to their places. What changes its status from the moment on that is returned was touched by the steps.
    pub(super) fn leave(self) -> Result<Moment, Report> {
        let fail = |what| Report::refused_io(what);
        // The kernel's clock for files goes in ticks: the next one must be later than that of the last copy.
        std::thread::sleep(TICK);
        let probe = self.at.join("probe");
        let made = fs::write(&probe, "").and_then(|()| fs::metadata(&probe));
        let made = made.map_err(fail("write into the copy of the environment"))?;
        fs::remove_file(&probe).map_err(fail("write into the copy of the environment"))?;
        umount2(&self.at, MntFlags::MNT_DETACH).map_err(Report::refused("leave the copy of the environment"))?;
        fs::remove_dir(&self.at).map_err(fail("leave the copy of the environment"))?;
        Ok((made.ctime(), made.ctime_nsec()))
    }
}

/// A file, directory or link and all below it; what is none of these cannot be read anyway.
fn copy(from: &Path, meta: &Metadata, to: &Path) -> io::Result<()> {
    if meta.is_dir() {
        fs::DirBuilder::new().mode(0o700).create(to)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            copy(&entry.path(), &entry.metadata()?, &to.join(entry.file_name()))?;
        }
        fs::set_permissions(to, meta.permissions())?;
    } else if meta.is_symlink() {
        symlink(fs::read_link(from)?, to)?;
    } else if meta.is_file() {
        // With its mode.
        fs::copy(from, to)?;
    } else {
        return Ok(());
    }
    let times = Timestamps {
        last_access: Timespec { tv_sec: BEFORE, tv_nsec: 0 },
        last_modification: Timespec { tv_sec: meta.mtime(), tv_nsec: meta.mtime_nsec() },
    };
    Ok(rustix::fs::utimensat(rustix::fs::CWD, to, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

/// Looks at the copies after the steps; `root` is where the sandbox's root is to be found. What was read of them, sorted.
pub(super) fn look(root: &Path, places: &[PathBuf], left: Moment) -> io::Result<Seen> {
    let mut seen = Seen::default();
    for place in places {
        let below = place.strip_prefix("/").unwrap_or(place);
        match fs::symlink_metadata(root.join(below)) {
            Err(err) if err.kind() == io::ErrorKind::NotFound => {}
            // It was made a link of the root's, which keeps no such times.
            Ok(meta) if meta.is_symlink() => {}
            meta => seen.walk(root, below, &meta?, left)?,
        }
    }
    for list in [&mut seen.files, &mut seen.dirs, &mut seen.links, &mut seen.touched] {
        list.sort_unstable();
    }
    Ok(seen)
}

impl Seen {
    /// `meta` is from before our own reading.
    fn walk(&mut self, root: &Path, path: &Path, meta: &Metadata, left: Moment) -> io::Result<()> {
        let touched = (meta.ctime(), meta.ctime_nsec()) >= left;
        if touched || (meta.atime(), meta.atime_nsec()) != (BEFORE, 0) {
            let name = TreePath::from_bytes(path.as_os_str().as_bytes()).map_err(io::Error::other)?.escaped();
            if touched {
                self.touched.push(name.clone());
            }
            let list = match meta {
                meta if meta.is_dir() => &mut self.dirs,
                meta if meta.is_symlink() => &mut self.links,
                _ => &mut self.files,
            };
            list.push(name);
        }
        if meta.is_dir() {
            for entry in fs::read_dir(root.join(path))? {
                let entry = entry?;
                self.walk(root, &path.join(entry.file_name()), &entry.metadata()?, left)?;
            }
        }
        Ok(())
    }
}
