//! Where a rebuild keeps what it made.

use super::Args;
use crate::cli::exit::{Exit, Failure};
use crate::fs::{self, Existing};
use crate::source;
use std::path::{Path, PathBuf};

/// Where a rebuild's results are put. It goes with this value unless something in it is worth a look: a run that ended in an error leaves
/// nothing half-written.
pub(super) struct Place {
    pub(super) dir: PathBuf,
    pub(super) wanted: bool,
    pub(super) kept: bool,
}

impl Place {
    pub(super) fn new(args: &Args, scratch: &Path) -> Result<Place, Failure> {
        let dir = match &args.out {
            Some(out) => out.clone(),
            None => {
                let name = fs::random_name().map_err(|err| Failure::new(Exit::Internal, err))?;
                scratch.join(format!("countersign-rebuild-{name}"))
            }
        };
        let mut builder = std::fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&dir).map_err(|err| fs::FsError::io("create", &dir, err))?;
        Ok(Place { dir, wanted: args.out.is_some(), kept: false })
    }

    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> Result<(), Failure> {
        Ok(fs::write(&self.dir.join(name), bytes, 0o644, Existing::Replace)?)
    }

    /// What nobody asked for is kept only when there is something to look at.
    pub(super) fn keep(&mut self, exit: Exit) {
        self.kept = self.wanted || exit != Exit::Yes;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.kept {
            let _ = source::remove_tree(&self.dir);
        }
    }
}
