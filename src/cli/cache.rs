//! Where `build` keeps what it remembers of the environment: `countersign/` in `$XDG_CACHE_HOME` or `~/.cache`, a file for each set of roots.
//!
//! What the file says is believed, so it must be ours: a regular file with one name, in a directory of ours, both of our own and writable by
//! nobody else, neither reached through a link. What is not like that is left alone or replaced, with a note, and everything is read.

use super::{places, ui};
use crate::digest;
use crate::environment::{Cache, Counts, MAX_CACHE};
use crate::fs::random_name;
use crate::sandbox;
use std::fs::{DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Files that are kept at most: as many sets of roots and reading ids.
const KEPT: usize = 8;
const PREFIX: &str = "environment-";

/// A cache, and where it is kept.
pub struct Kept {
    path: PathBuf,
    /// For the build.
    pub cache: Cache,
}

impl Kept {
    /// What is kept for these roots; `None`, with a note, where nothing can be kept. Not in the source, and not where the build could read it.
    pub fn open(source: &Path, roots: &[PathBuf]) -> Option<Kept> {
        let opened = place(source, roots).and_then(|dir| {
            own_directory(&dir)?;
            Ok(dir.join(name(roots)))
        });
        let path = match opened {
            Ok(path) => path,
            Err(why) => {
                ui::say(&format!("note: the environment's digests are not kept: {}", ui::escape(&why)));
                return None;
            }
        };
        let given = match read(&path) {
            Ok(given) => given,
            Err(why) => {
                useless(&path, &why);
                Vec::new()
            }
        };
        Some(Kept { path, cache: Cache { given, now: SystemTime::now(), useless: false, new: None } })
    }

    /// Keeps what was learned. The build is no worse for it when that fails.
    pub fn keep(self) {
        if self.cache.useless {
            useless(&self.path, "it is not for this version, id and clock, or it is damaged");
        }
        let Some(new) = &self.cache.new else { return };
        if let Err(err) = write(&self.path, new) {
            let path = ui::escape(&self.path.display().to_string());
            ui::say(&format!("note: cannot write the cache {path}: {err}"));
        }
    }
}

/// In words how much was read.
pub fn words(counts: Counts) -> String {
    let files = ui::count((counts.read + counts.cached) as usize, "file");
    format!("{files} of the environment: {} read, {} known from before", counts.read, counts.cached)
}

fn useless(path: &Path, why: &str) {
    ui::say(&format!("note: the cache {} is not used: {why}", ui::escape(&path.display().to_string())));
}

/// The directory, which need not be there.
fn place(source: &Path, roots: &[PathBuf]) -> Result<PathBuf, String> {
    // A path that is not absolute is to be ignored (XDG Base Directory Specification).
    let variable = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = match (variable("XDG_CACHE_HOME"), variable("HOME")) {
        (Some(base), _) => base,
        (None, Some(home)) => home.join(".cache"),
        (None, None) => return Err("neither XDG_CACHE_HOME nor HOME names a directory".to_owned()),
    };
    let dir = base.join("countersign");
    let what = "the cache directory";
    places::not_in_source(what, &dir, source)
        .and_then(|()| places::not_in_roots(what, &dir, roots))
        .map_err(|failure| failure.fact)?;
    Ok(dir)
}

fn name(roots: &[PathBuf]) -> String {
    let mut text = format!("{:?}\0", sandbox::build_id()).into_bytes();
    for root in roots {
        text.extend_from_slice(root.as_os_str().as_bytes());
        text.push(0);
    }
    let digest = digest::sha256(&text).to_string();
    format!("{PREFIX}{}", &digest[..16])
}

/// The directory and the one above it, made if need be. In somebody else's home nothing is made: they could not use it, nor remove it.
fn own_directory(dir: &Path) -> Result<(), String> {
    let words = |path: &Path, why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
    for dir in dir.parent().into_iter().chain([dir]) {
        if dir.symlink_metadata().is_ok() {
            continue;
        }
        let above = dir.parent().unwrap_or(dir);
        let meta = std::fs::metadata(above).map_err(|err| words(above, &err))?;
        if meta.uid() != uid() {
            return Err(words(above, &"it belongs to somebody else"));
        }
        match DirBuilder::new().mode(0o700).create(dir) {
            Err(err) if err.kind() != io::ErrorKind::AlreadyExists => return Err(words(dir, &err)),
            _ => {}
        }
    }
    let meta = dir.symlink_metadata().map_err(|err| words(dir, &err))?;
    if !meta.is_dir() {
        return Err(words(dir, &"it is not a directory"));
    }
    ours(&meta).map_err(|why| words(dir, &why))
}

/// The bytes of a cache; none when there is no file.
fn read(path: &Path) -> Result<Vec<u8>, String> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
    let file = match OpenOptions::new().read(true).custom_flags(flags.bits() as i32).open(path) {
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        file => file.map_err(|err| err.to_string())?,
    };
    let meta = file.metadata().map_err(|err| err.to_string())?;
    if !meta.is_file() || meta.nlink() != 1 {
        return Err("it is not a file with one name".to_owned());
    }
    ours(&meta)?;
    if meta.len() > MAX_CACHE {
        return Err(format!("it is longer than {MAX_CACHE} bytes"));
    }
    let mut bytes = Vec::with_capacity(meta.len() as usize);
    file.take(MAX_CACHE).read_to_end(&mut bytes).map_err(|err| err.to_string())?;
    Ok(bytes)
}

fn ours(meta: &Metadata) -> Result<(), String> {
    if meta.uid() != uid() {
        return Err("it belongs to somebody else".to_owned());
    }
    if meta.mode() & 0o022 != 0 {
        return Err("others can write it".to_owned());
    }
    Ok(())
}

fn uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// In one step, so that two at once leave the file of one of them. Nothing waits for the disk: what a crash leaves does not verify.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let aside = path.with_extension(format!("{}.new", random_name()?));
    let written = (|| {
        let mut file: File = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside)?;
        file.write_all(bytes)?;
        std::fs::rename(&aside, path)
    })();
    if written.is_err() {
        let _ = std::fs::remove_file(&aside);
    } else if let Some(dir) = path.parent() {
        forget(dir);
    }
    written
}

/// Removes all but the last few; also what a killed process left aside, in its turn.
fn forget(dir: &Path) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    let ours = entries.flatten().filter(|entry| entry.file_name().as_bytes().starts_with(PREFIX.as_bytes()));
    let mut files: Vec<(SystemTime, PathBuf)> =
        ours.filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path()))).collect();
    files.sort_unstable();
    let gone = files.len().saturating_sub(KEPT);
    for (_, path) in files.into_iter().take(gone) {
        let _ = std::fs::remove_file(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{create_dir, hard_link, set_permissions, write as put};
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn chmod(path: &Path, mode: u32) {
        set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    }

    #[test]
    fn only_what_is_ours_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("environment-x");
        assert_eq!(read(&path), Ok(Vec::new()));
        write(&path, b"abc").unwrap();
        assert_eq!(read(&path).as_deref(), Ok(&b"abc"[..]));
        assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o600);
        for mode in [0o620, 0o602] {
            chmod(&path, mode);
            assert_eq!(read(&path), Err("others can write it".to_owned()));
        }
        chmod(&path, 0o600);
        hard_link(&path, dir.path().join("other")).unwrap();
        assert_eq!(read(&path), Err("it is not a file with one name".to_owned()));
        std::fs::rename(dir.path().join("other"), dir.path().join("real")).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(read(&dir.path().join("real")).is_ok());
        symlink("real", &path).unwrap();
        assert!(read(&path).is_err());
        // Replaced itself, not what it points to.
        write(&path, b"new").unwrap();
        assert_eq!(read(&path).as_deref(), Ok(&b"new"[..]));
        assert_eq!(std::fs::read(dir.path().join("real")).unwrap(), b"abc");
        create_dir(dir.path().join("dir")).unwrap();
        assert!(read(&dir.path().join("dir")).is_err());
        if uid() == 0 {
            std::os::unix::fs::chown(&path, Some(1), None).unwrap();
            assert_eq!(read(&path), Err("it belongs to somebody else".to_owned()));
        }
    }

    #[test]
    fn only_a_directory_of_ours_is_used() {
        let top = tempfile::tempdir().unwrap();
        let dir = top.path().join("cache/countersign");
        own_directory(&dir).unwrap();
        assert_eq!(dir.metadata().unwrap().mode() & 0o777, 0o700);
        own_directory(&dir).unwrap();
        chmod(&dir, 0o770);
        assert!(own_directory(&dir).unwrap_err().ends_with("others can write it"));
        std::fs::remove_dir(&dir).unwrap();
        symlink(top.path(), &dir).unwrap();
        assert!(own_directory(&dir).unwrap_err().ends_with("it is not a directory"));
        if uid() == 0 {
            let home = top.path().join("home");
            create_dir(&home).unwrap();
            std::os::unix::fs::chown(&home, Some(1), None).unwrap();
            assert!(own_directory(&home.join(".cache/countersign")).unwrap_err().ends_with("somebody else"));
            assert!(!home.join(".cache").exists());
        }
    }

    #[test]
    fn no_more_than_a_few() {
        let dir = tempfile::tempdir().unwrap();
        put(dir.path().join("of somebody else"), "").unwrap();
        for number in 0..KEPT + 3 {
            write(&dir.path().join(format!("{PREFIX}{number}")), b"").unwrap();
            std::thread::sleep(std::time::Duration::from_millis(12));
        }
        let names: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names.len(), KEPT + 1);
        for (number, there) in [(2, false), (3, true), (KEPT + 2, true)] {
            assert_eq!(dir.path().join(format!("{PREFIX}{number}")).exists(), there, "{number}");
        }
    }
}
