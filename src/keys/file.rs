//! Private key files on the disk: who else could have read or changed one, and writing a pair.

use crate::fs::{self, Existing, FsError, Why};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Longest key file, in bytes.
pub const MAX_FILE: u64 = 64 << 10;

/// A key file that is not read or not written.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The file system refused.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// A private key which others could have read or replaced.
    #[error("the private key {} is {why}", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// To whom.
        why: Exposure,
    },
}

/// Who but the user can get at a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Exposure {
    /// Group or others, by these permission bits.
    #[error("open to other users (mode {0:04o})")]
    Mode(u32),
    /// Its owner, another user.
    #[error("owned by another user (uid {0})")]
    Owner(u32),
}

/// A file that holds a key of either kind.
pub struct Contents {
    bytes: Zeroizing<Vec<u8>>,
    exposure: Option<Exposure>,
    path: PathBuf,
}

impl Contents {
    /// Reads a file of at most [`MAX_FILE`] bytes.
    pub fn read(path: &Path) -> Result<Contents, KeyFileError> {
        let fail = |err| FsError::io("read", path, err);
        let file = fs::open_file(path)?;
        // Asked of the open file, not of the name: what is checked is what is read.
        let exposure = exposure_of(&file.metadata().map_err(fail)?);
        // Large enough at once: a buffer that grows leaves copies of the secret behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_FILE as usize + 1));
        file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(fail)?;
        if bytes.len() as u64 > MAX_FILE {
            return Err(FsError { what: "read", path: path.to_owned(), why: Why::TooLong(MAX_FILE) }.into());
        }
        Ok(Contents { bytes, exposure, path: path.to_owned() })
    }

    /// Whether this is some kind of private key, or looks like one.
    pub fn looks_private(&self) -> bool {
        self.bytes.windows(11).any(|text| text == b"PRIVATE KEY")
    }

    /// The bytes. Of a private key only after [`check_private`](Self::check_private).
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// An error when other users can get at the file.
    pub fn check_private(&self) -> Result<(), KeyFileError> {
        match self.exposure {
            Some(why) => Err(KeyFileError::Exposed { path: self.path.clone(), why }),
            None => Ok(()),
        }
    }
}

#[cfg(unix)]
fn exposure_of(meta: &std::fs::Metadata) -> Option<Exposure> {
    use std::os::unix::fs::MetadataExt;
    judge(meta.mode(), meta.uid(), rustix::process::geteuid().as_raw())
}

#[cfg(not(unix))]
fn exposure_of(_: &std::fs::Metadata) -> Option<Exposure> {
    None
}

/// A file of root's is not refused: root could read and replace every file anyway.
#[cfg(unix)]
fn judge(mode: u32, owner: u32, us: u32) -> Option<Exposure> {
    if owner != us && owner != 0 {
        Some(Exposure::Owner(owner))
    } else if mode & 0o077 != 0 {
        Some(Exposure::Mode(mode & 0o7777))
    } else {
        None
    }
}

/// The name of the public key that goes with a private one.
pub fn public_path(private: &Path) -> PathBuf {
    let mut name = private.as_os_str().to_owned();
    name.push(".pub");
    name.into()
}

/// An error when a file that [`write_pair`] would write is there already: to say so before a passphrase is asked for.
pub fn is_free(private: &Path) -> Result<(), FsError> {
    for path in [private.to_owned(), public_path(private)] {
        match std::fs::symlink_metadata(&path) {
            Ok(_) => return Err(FsError { what: "write", path, why: Why::Exists }),
            Err(err) if err.kind() == std::io::ErrorKind::NotFound => {}
            Err(err) => return Err(FsError::io("write", &path, err)),
        }
    }
    Ok(())
}

/// Writes the private key to `path` (mode 0600) and the public line to `path.pub` (0644): both or none, and over nothing.
pub fn write_pair(path: &Path, private: &str, public: &str) -> Result<(), FsError> {
    is_free(path)?;
    write_both(path, private, public)
}

fn write_both(path: &Path, private: &str, public: &str) -> Result<(), FsError> {
    let beside = public_path(path);
    // The public one first: what a crash in between leaves is no secret.
    fs::write(&beside, public.as_bytes(), 0o644, Existing::Refuse)?;
    fs::write(path, private.as_bytes(), 0o600, Existing::Refuse).inspect_err(|_| {
        // Ours: it was written only because nothing was there.
        let _ = std::fs::remove_file(&beside);
    })
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn others_must_not_get_at_it() {
        assert_eq!(judge(0o100600, 1000, 1000), None);
        assert_eq!(judge(0o100400, 0, 1000), None);
        assert_eq!(judge(0o100600, 1001, 1000), Some(Exposure::Owner(1001)));
        assert_eq!(judge(0o100600, 1001, 0), Some(Exposure::Owner(1001)));
        for mode in [0o640, 0o604, 0o620, 0o602, 0o644, 0o666] {
            assert_eq!(judge(0o100000 | mode, 1000, 1000), Some(Exposure::Mode(mode)));
        }
    }

    #[test]
    fn read_whole_or_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("k");
        std::fs::write(&path, vec![b'a'; MAX_FILE as usize]).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        assert_eq!(Contents::read(&path).unwrap().bytes().len() as u64, MAX_FILE);
        assert!(Contents::read(&path).unwrap().check_private().is_ok());
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
        let open = Contents::read(&path).unwrap();
        assert!(matches!(open.check_private(), Err(KeyFileError::Exposed { why: Exposure::Mode(0o640), .. })));
        std::fs::write(&path, vec![b'a'; MAX_FILE as usize + 1]).unwrap();
        assert!(matches!(Contents::read(&path), Err(KeyFileError::Fs(FsError { why: Why::TooLong(MAX_FILE), .. }))));
    }

    #[test]
    fn both_files_or_none() {
        let dir = tempfile::tempdir().unwrap();
        let names = || std::fs::read_dir(dir.path()).unwrap().count();
        let path = dir.path().join("k");
        write_pair(&path, "private", "public").unwrap();
        assert_eq!(names(), 2);
        // Both names taken, then the private one alone, then the public one alone; the second time as by somebody who is quicker.
        for free in [None, Some(public_path(&path)), Some(path.clone())] {
            if let Some(free) = &free {
                std::fs::write(&path, "theirs").unwrap();
                std::fs::remove_file(free).unwrap();
            }
            let before = names();
            assert!(matches!(write_pair(&path, "x", "x").unwrap_err().why, Why::Exists));
            assert!(matches!(write_both(&path, "x", "x").unwrap_err().why, Why::Exists));
            assert_eq!(names(), before);
            std::fs::write(public_path(&path), "theirs").unwrap();
        }
    }
}
