//! Bounded reads and durable writes, with the path in every error.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// An operation on a path that failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} {}: {why}", path.display())]
pub struct FsError {
    /// What was tried: `read`, `write`, `create`, ….
    pub what: &'static str,
    /// On what.
    pub path: PathBuf,
    /// Why it failed.
    pub why: Why,
}

/// Why an operation on a path failed.
#[derive(Debug, thiserror::Error)]
pub enum Why {
    /// The operating system's reason.
    #[error("{}", reason(.0))]
    Io(#[from] io::Error),
    /// Longer than the reader allows, in bytes.
    #[error("it is longer than {0} bytes")]
    TooLong(u64),
    /// A FIFO, socket, device or directory where a file is needed.
    #[error("it is {0}, not a file")]
    NotAFile(&'static str),
    /// Something is there already.
    #[error("it is there already")]
    Exists,
}

impl FsError {
    /// Ties an error of the operating system to its path.
    pub fn io(what: &'static str, path: &Path, err: io::Error) -> FsError {
        FsError { what, path: path.to_owned(), why: Why::Io(err) }
    }

    /// Whether the path does not exist.
    pub fn is_not_found(&self) -> bool {
        matches!(&self.why, Why::Io(err) if err.kind() == io::ErrorKind::NotFound)
    }
}

/// The operating system's reason in words, without its number.
pub fn reason(err: &io::Error) -> String {
    let text = err.to_string();
    let number = err.raw_os_error().map(|number| format!(" (os error {number})")).unwrap_or_default();
    text.strip_suffix(&number).unwrap_or(&text).to_owned()
}

/// Opens a regular file for reading. Links are followed (the user named it); a FIFO or a device is refused without
/// waiting for its other end.
pub fn open_file(path: &Path) -> Result<std::fs::File, FsError> {
    let mut options = std::fs::OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.custom_flags((rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY).bits() as i32);
    }
    let file = options.open(path).map_err(|err| FsError::io("read", path, err))?;
    let meta = file.metadata().map_err(|err| FsError::io("read", path, err))?;
    if !meta.is_file() {
        let kind = kind_of(&meta.file_type());
        return Err(FsError { what: "read", path: path.to_owned(), why: Why::NotAFile(kind) });
    }
    Ok(file)
}

/// Reads a whole file of at most `limit` bytes.
pub fn read(path: &Path, limit: u64) -> Result<Vec<u8>, FsError> {
    let file = open_file(path)?;
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(|err| FsError::io("read", path, err))?;
    if bytes.len() as u64 > limit {
        return Err(FsError { what: "read", path: path.to_owned(), why: Why::TooLong(limit) });
    }
    Ok(bytes)
}

/// What may stand at the path that is written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// Nothing.
    Refuse,
    /// A file, which is replaced in one step.
    Replace,
}

/// Writes a file so that a crash at any instant leaves the old one or the new one: aside, fsync, rename, fsync the directory.
/// `mode` holds Unix permission bits; the umask does not change them.
pub fn write(path: &Path, bytes: &[u8], mode: u32, existing: Existing) -> Result<(), FsError> {
    write_by(path, mode, existing, |file| file.write_all(bytes).map_err(|err| FsError::io("write", path, err)))
}

/// The same for what is made piece by piece. Whoever is killed meanwhile leaves what there was of it under a hidden name beside.
pub fn write_by<E: From<FsError>>(
    path: &Path,
    mode: u32,
    existing: Existing,
    make: impl FnOnce(&mut std::fs::File) -> Result<(), E>,
) -> Result<(), E> {
    let fail = |err| FsError::io("write", path, err);
    let dir = match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    let name = path.file_name().ok_or_else(|| fail(io::ErrorKind::InvalidInput.into()))?;
    let mut aside_name = std::ffi::OsString::from(".");
    aside_name.push(name);
    aside_name.push(format!(".{}.new", random_name().map_err(fail)?));
    let aside = dir.join(aside_name);
    let result = (|| {
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt;
            options.mode(mode & 0o700);
        }
        let mut file = options.open(&aside).map_err(fail)?;
        make(&mut file)?;
        set_mode(&file, mode).map_err(fail)?;
        file.sync_all().map_err(fail)?;
        match existing {
            Existing::Replace => std::fs::rename(&aside, path).map_err(fail),
            // A link, unlike a rename, fails when the name is taken: no race between looking and writing.
            Existing::Refuse => match std::fs::hard_link(&aside, path) {
                Ok(()) => std::fs::remove_file(&aside).map_err(fail),
                Err(err) if err.kind() == io::ErrorKind::AlreadyExists => {
                    Err(FsError { what: "write", path: path.to_owned(), why: Why::Exists })
                }
                Err(err) => Err(fail(err)),
            },
        }
        .map_err(E::from)?;
        #[cfg(unix)]
        std::fs::File::open(dir).and_then(|dir| dir.sync_all()).map_err(fail)?;
        Ok(())
    })();
    if result.is_err() {
        let _ = std::fs::remove_file(&aside);
    }
    result
}

/// Changes a file of at most `limit` bytes in one step: `change` makes the new bytes from those that are there. Two processes that
/// do this at once wait for each other, so neither loses what the other added.
#[cfg(unix)]
pub fn update<E: From<FsError>>(
    path: &Path,
    limit: u64,
    change: impl FnOnce(Vec<u8>) -> Result<Vec<u8>, E>,
) -> Result<(), E> {
    use std::os::unix::fs::MetadataExt;
    let fail = |err: io::Error| FsError::io("update", path, err);
    let held = loop {
        let file = open_file(path)?;
        rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive).map_err(|err| fail(err.into()))?;
        // Whoever held the lock before may have put another file there: that one must be locked.
        let (mine, there) = (file.metadata().map_err(fail)?, std::fs::metadata(path).map_err(fail)?);
        if (mine.dev(), mine.ino()) == (there.dev(), there.ino()) {
            break file;
        }
    };
    let bytes = change(read(path, limit)?)?;
    let mode = held.metadata().map_err(fail)?.mode() & 0o777;
    // A link that the user named stays a link; what it names is replaced.
    let real = path.canonicalize().map_err(fail)?;
    Ok(write(&real, &bytes, mode, Existing::Replace)?)
}

/// The same where nothing waits: of two processes that do this at once, one may lose what the other added.
#[cfg(not(unix))]
pub fn update<E: From<FsError>>(
    path: &Path,
    limit: u64,
    change: impl FnOnce(Vec<u8>) -> Result<Vec<u8>, E>,
) -> Result<(), E> {
    let bytes = change(read(path, limit)?)?;
    let real = path.canonicalize().map_err(|err| FsError::io("update", path, err))?;
    Ok(write(&real, &bytes, 0o644, Existing::Replace)?)
}

#[cfg(unix)]
fn set_mode(file: &std::fs::File, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(std::fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
fn set_mode(_: &std::fs::File, _: u32) -> io::Result<()> {
    Ok(())
}

/// Sixteen hex digits for a temporary name.
pub fn random_name() -> io::Result<String> {
    let mut bytes = [0u8; 8];
    getrandom::fill(&mut bytes).map_err(|err| io::Error::other(err.to_string()))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A word for a type of file, for messages.
pub fn kind_of(kind: &std::fs::FileType) -> &'static str {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        if kind.is_fifo() {
            return "a FIFO";
        } else if kind.is_socket() {
            return "a socket";
        } else if kind.is_char_device() || kind.is_block_device() {
            return "a device";
        }
    }
    match kind {
        kind if kind.is_dir() => "a directory",
        kind if kind.is_symlink() => "a symbolic link",
        kind if kind.is_file() => "a file",
        _ => "something else",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn updates_lose_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        write(&path, b"", 0o640, Existing::Refuse).unwrap();
        let add = || update::<FsError>(&path, 1000, |old| Ok([&old[..], b"x"].concat())).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..25).for_each(|_| add()));
            }
        });
        assert_eq!(read(&path, 1000).unwrap(), vec![b'x'; 100]);
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    }

    #[test]
    fn written_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        write(&path, b"one", 0o600, Existing::Refuse).unwrap();
        assert!(matches!(write(&path, b"two", 0o600, Existing::Refuse).unwrap_err().why, Why::Exists));
        assert_eq!(read(&path, 3).unwrap(), b"one");
        write(&path, b"three", 0o600, Existing::Replace).unwrap();
        assert_eq!(read(&path, 5).unwrap(), b"three");
        assert!(matches!(read(&path, 4).unwrap_err().why, Why::TooLong(4)));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left aside");
        assert!(write(&dir.path().join("no/such"), b"", 0o600, Existing::Replace).unwrap_err().is_not_found());
    }
}
