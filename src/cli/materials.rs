//! `--materials`: what was handed over, as a directory or as one file, and nothing else.

use super::exit::{Exit, Failure};
use super::places::{self, Scratch};
use crate::bundle::MAX_BUNDLE;
use crate::environment::{self, BUNDLE, Depot, SOURCE, Unpacked};
use crate::fs;
use crate::stop::Stop;
use crate::store::Store;
use std::path::{Path, PathBuf};

/// What `countersign snapshot` wrote.
pub struct Materials {
    path: PathBuf,
    /// Of a file: what was in it, below the scratch directory.
    unpacked: Option<Unpacked>,
    /// Gone with the value.
    scratch: Scratch,
}

impl Materials {
    /// Opens them; a file is unpacked below `scratch`.
    pub fn open(path: &Path, scratch: &Path, stop: &Stop) -> Result<Materials, Failure> {
        let is_file = path.metadata().map_err(|err| fs::FsError::io("read", path, err))?.is_file();
        if !is_file && !environment::are_materials(path) {
            let fact = format!("{} holds no materials: it has no directory blobs", path.display());
            return Err(Failure::new(Exit::CouldNotTell, fact).hint(HINT));
        }
        let scratch = Scratch::new(scratch, "countersign-store")?;
        let mut materials = Materials { path: places::absolute(path)?, unpacked: None, scratch };
        if is_file {
            let to = materials.scratch.path().join(SOURCE);
            std::fs::create_dir(&to).map_err(|err| fs::FsError::io("create", &to, err))?;
            let unpacked = environment::unpack(path, &materials.store()?, &to, stop);
            materials.unpacked = Some(unpacked.map_err(|err| Failure::from(err).hint(HINT))?);
        }
        Ok(materials)
    }

    fn store(&self) -> Result<Store, Failure> {
        Ok(Store::open(&self.scratch.path().join("store"))?)
    }

    /// The bundle, and what to call it.
    pub fn bundle(&self) -> Result<(PathBuf, Vec<u8>), Failure> {
        Ok(match &self.unpacked {
            Some(unpacked) => (self.path.clone(), unpacked.bundle.clone()),
            None => {
                let path = self.path.join(BUNDLE);
                let bytes = fs::read(&path, MAX_BUNDLE)?;
                (path, bytes)
            }
        })
    }

    /// Whether they are one file, to whose bundle nothing can be added.
    pub fn is_file(&self) -> bool {
        self.unpacked.is_some()
    }

    /// The source.
    pub fn source(&self) -> Result<PathBuf, Failure> {
        let (dir, there) = match &self.unpacked {
            Some(unpacked) => (self.scratch.path(), unpacked.has_source),
            None => (self.path.as_path(), self.path.join(SOURCE).is_dir()),
        };
        match there {
            true => Ok(dir.join(SOURCE)),
            false => Err(Failure::new(Exit::CouldNotTell, format!("{} holds no source", self.path.display()))
                .hint("name it with --source; `countersign snapshot B --source S` puts it among the materials")),
        }
    }

    /// The parts.
    pub fn depot(&self) -> Result<Depot, Failure> {
        let store = self.store()?;
        Ok(match self.is_file() {
            true => Depot::of_unpacked(store),
            false => Depot::of_materials(store, self.path.clone()),
        })
    }
}

const HINT: &str = "`countersign snapshot B -o all.tar` collects them in a file, `-o DIR` in a directory";
