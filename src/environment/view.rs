//! What of this machine a build sees, read-only. What a path of the host may be, and the text of a lock, is [`crate::lock`]'s.

use crate::lock::{RootRefused, Roots};
use crate::path::TreePath;
use std::path::{Path, PathBuf};

/// Paths below directories of this machine, each of which is at the same path below `/` in the sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    layers: Vec<Layer>,
}

/// Some paths below one directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layer {
    /// `/`, or where an image is unpacked.
    pub base: PathBuf,
    /// Sorted, none twice.
    pub paths: Vec<TreePath>,
}

impl View {
    /// Paths of the host, at which they are in the sandbox too.
    pub fn host(roots: &Roots) -> View {
        View { layers: vec![Layer { base: "/".into(), paths: roots.below().cloned().collect() }] }
    }

    /// The default roots, if wanted, and further ones.
    pub fn of_host(default_roots: bool, extra: &[PathBuf]) -> Result<View, RootRefused> {
        Roots::new(default_roots, extra.iter().map(PathBuf::as_path)).map(|roots| View::host(&roots))
    }

    /// An image that is unpacked at `base`, an absolute path without links in it.
    pub fn image(base: PathBuf, mut paths: Vec<TreePath>) -> View {
        paths.sort_unstable();
        paths.dedup();
        View { layers: vec![Layer { base, paths }] }
    }

    /// Both.
    pub fn and(mut self, other: View) -> View {
        self.layers.extend(other.layers);
        self.layers.retain(|layer| !layer.paths.is_empty());
        self
    }

    pub(super) fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// Where each thing is on this machine, and where it is in the sandbox.
    pub fn mounts(&self) -> impl Iterator<Item = (PathBuf, PathBuf)> {
        self.layers.iter().flat_map(|layer| {
            layer.paths.iter().map(|path| (layer.base.join(path.to_os()), Path::new("/").join(path.to_os())))
        })
    }

    /// Places inside of what is of an image.
    pub fn image_places(&self) -> Vec<PathBuf> {
        let images = self.layers.iter().filter(|layer| layer.base != Path::new("/"));
        images.flat_map(|layer| layer.paths.iter().map(|path| Path::new("/").join(path.to_os()))).collect()
    }

    /// Paths of this machine that the build can read.
    pub fn sources(&self) -> Vec<PathBuf> {
        self.mounts().map(|(from, _)| from).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lock::{self, Lock, Pinned};

    #[test]
    fn the_same_roots_here_and_in_the_lock() {
        let roots = Roots::new(true, [Path::new("/opt/x y\n")]).unwrap();
        let sources = View::host(&roots).sources();
        assert!(sources.contains(&"/opt/x y\n".into()) && sources.contains(&"/usr".into()));
        let lock = Lock { epoch: 7, pinned: Pinned::host(roots) };
        assert_eq!(Lock::parse(&lock.to_string()), Ok(lock));
        assert_eq!(crate::sandbox::RESERVED, lock::RESERVED, "what the sandbox has of its own is no root");
    }

    #[test]
    fn an_image_beside_the_host() {
        let path = |text: &str| TreePath::from_bytes(text.as_bytes()).unwrap();
        let image = View::image("/cache/tree".into(), vec![path("usr"), path("opt/go"), path("usr")]);
        let both = View::host(&Roots::new(false, [Path::new("/bin")]).unwrap()).and(image);
        let mounts: Vec<_> = both.mounts().collect();
        let mount = |from: &str, at: &str| (PathBuf::from(from), PathBuf::from(at));
        assert_eq!(
            mounts,
            [mount("/bin", "/bin"), mount("/cache/tree/opt/go", "/opt/go"), mount("/cache/tree/usr", "/usr")]
        );
        assert_eq!(both.image_places(), [Path::new("/opt/go"), Path::new("/usr")]);
    }
}
