//! A repository of our own, for as long as it is needed, of objects that came in one pack.

use super::{RepositoryError, pack};
use crate::fs::FsError;
use std::fs::{self, File};
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Most bytes of a pack that are taken from somebody.
pub const MAX_PACK: u64 = 16 << 30;
/// Bytes copied at a time.
const BLOCK: usize = 64 << 10;

/// A bare repository without references, below a directory that nobody else can enter. It goes with this value.
#[derive(Debug)]
pub(super) struct Received {
    dir: TempDir,
    hash: gix::hash::Kind,
}

impl Received {
    /// Makes an empty one below `scratch`.
    pub(super) fn new(scratch: &Path, hash: gix::hash::Kind) -> Result<Received, RepositoryError> {
        let fail = |err: io::Error| RepositoryError::from(FsError::io("create a directory in", scratch, err));
        let dir = tempfile::Builder::new().prefix("countersign-git-").tempdir_in(scratch).map_err(fail)?;
        let received = Received { dir, hash };
        let at = |name: &str| received.path().join(name);
        for name in ["objects/pack", "refs"] {
            fs::create_dir_all(at(name)).map_err(fail)?;
        }
        let format = match hash {
            gix::hash::Kind::Sha256 => "\tobjectformat = sha256\n",
            _ => "",
        };
        let config = format!("[core]\n\trepositoryformatversion = 1\n\tbare = true\n[extensions]\n{format}");
        fs::write(at("config"), config).map_err(fail)?;
        fs::write(at("HEAD"), "ref: refs/heads/none\n").map_err(fail)?;
        Ok(received)
    }

    /// Takes the pack that is all of `input`, which came from `from`.
    pub(super) fn take(&self, from: &Path, input: &mut dyn Read) -> Result<(), RepositoryError> {
        let unread = |why: String| RepositoryError::Unreadable { path: from.to_owned(), why };
        let pack = self.name("pack");
        let fail = |err: io::Error| RepositoryError::from(FsError::io("write", &pack, err));
        let mut out = File::create_new(&pack).map_err(fail)?;
        let (mut left, mut buffer) = (MAX_PACK, [0; BLOCK]);
        loop {
            let n = match input.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => n,
                Err(err) if err.kind() == io::ErrorKind::Interrupted => continue,
                Err(err) => return Err(unread(crate::fs::reason(&err))),
            };
            left =
                left.checked_sub(n as u64).ok_or_else(|| unread(format!("its pack is more than {MAX_PACK} bytes")))?;
            out.write_all(&buffer[..n]).map_err(fail)?;
        }
        pack::index(&pack, &self.name("idx"), self.hash).map_err(|why| unread(format!("its pack: {why}")))?;
        Ok(())
    }

    /// The directory.
    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }

    fn name(&self, ending: &str) -> PathBuf {
        // Any id will do, as long as it is in hex and as long as one.
        self.path().join(format!("objects/pack/pack-{:0width$}.{ending}", 0, width = self.hash.len_in_hex()))
    }
}
