//! Images as other tools write them: OCI image layouts (image specification 1.1), as directories or as tar archives of them, with manifests of
//! the OCI or of docker (version 2, schema 2). Nothing is fetched and nobody is asked: what is not in the layout is not there.
//!
//! ```text
//! index.json ─▶ [index ─▶] manifest ─▶ config (diff_ids)
//!                                  └─▶ layers ─▶ tar ─▶ Builder
//! ```
//!
//! Each arrow is a digest and a size. A blob is handed out by [`Verified`] alone, which ends in an error when either does not hold; what was made
//! of the bytes before is then spoiled ([`crate::rootfs::Builder::whole`]). The unpacked bytes of each layer must have its diff id, so that an
//! image is the same files whatever its layers are packed by. Only `index.json` itself has no digest: it says what there is to choose from,
//! and whoever must have one image and no other names the digest of its manifest.

mod blobs;
mod documents;

pub use blobs::{Blobs, Layout, Part, Verified};

use crate::archive::{self, ArchiveError, Packing};
use crate::digest::{Sha256, Sha256Hasher};
use crate::fs::FsError;
use crate::rootfs::{Builder, RootfsError, tar};
use std::fmt;
use std::io::{self, Read};
use std::path::PathBuf;

/// Most layers of an image. Runtimes stop at 127 or 500.
pub const MAX_LAYERS: usize = 500;

/// An image that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum OciError {
    /// The operating system's answer.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// A layer, or the archive of a layout, is not an archive.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// What is in the layers is no root file system.
    #[error(transparent)]
    Rootfs(#[from] RootfsError),
    /// No image layout.
    #[error("{} is not an OCI image layout: {why}", path.display())]
    Layout {
        /// The directory or archive.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// Not every blob is there.
    #[error("blob sha256:{0} is not there")]
    Absent(Sha256),
    /// A blob cannot be read.
    #[error("cannot read blob sha256:{digest}: {}", crate::fs::reason(why))]
    Read {
        /// Its digest.
        digest: Sha256,
        /// Why not.
        why: io::Error,
    },
    /// A blob has another digest than its name.
    #[error("blob sha256:{expected} has the digest sha256:{found}")]
    Digest {
        /// Its name.
        expected: Sha256,
        /// The digest of its bytes.
        found: Sha256,
    },
    /// A blob is not as long as is said of it.
    #[error("blob sha256:{digest} is not {expected} bytes long")]
    Size {
        /// Its digest.
        digest: Sha256,
        /// What is said.
        expected: u64,
    },
    /// The unpacked bytes of a layer are not those that the image's config names.
    #[error("layer sha256:{layer} unpacks to sha256:{found}; the image's config says sha256:{expected}")]
    DiffId {
        /// The digest of the layer as it is packed.
        layer: Sha256,
        /// What the config says.
        expected: Sha256,
        /// The digest of the unpacked bytes.
        found: Sha256,
    },
    /// An index, manifest or config that is refused.
    #[error("{document}: {why}")]
    Document {
        /// `index.json`, or a digest.
        document: String,
        /// Why it is refused.
        why: String,
    },
    /// Nothing that was asked for.
    #[error("there is no image {asked}; there is: {}", there.join(", "))]
    NoImage {
        /// What was asked for.
        asked: Box<Asked>,
        /// What there is.
        there: Vec<String>,
    },
    /// More than one that was asked for.
    #[error("there is more than one image {asked}: {}", there.join(", "))]
    Ambiguous {
        /// What was asked for.
        asked: Box<Asked>,
        /// The manifests.
        there: Vec<String>,
    },
    /// An image for other machines.
    #[error("the image is for {found}, not for {wanted}")]
    Platform {
        /// What was asked for.
        wanted: Box<Platform>,
        /// What its config says.
        found: Box<Platform>,
    },
}

/// Which image of a layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The only one.
    Only,
    /// The one with this name (`org.opencontainers.image.ref.name`).
    Tag(String),
    /// The one whose manifest, or index, has this digest.
    Digest(Sha256),
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Choice::Only => f.write_str("at all"),
            Choice::Tag(tag) => write!(f, "{tag:?}"),
            Choice::Digest(digest) => write!(f, "sha256:{digest}"),
        }
    }
}

/// What an image runs on, in the words of Go: `linux`, `amd64`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Platform {
    /// `GOOS`.
    pub os: String,
    /// `GOARCH`.
    pub architecture: String,
    /// Of the architecture, where it matters: `v7`. `None` is any.
    pub variant: Option<String>,
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.iter().try_for_each(|variant| write!(f, "/{variant}"))
    }
}

impl Platform {
    /// Whether something for `other` is what was asked for.
    fn takes(&self, other: &Platform) -> bool {
        self.os == other.os
            && self.architecture == other.architecture
            && (self.variant.is_none() || self.variant == other.variant)
    }
}

/// What somebody looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Which image.
    pub choice: Choice,
    /// For what.
    pub platform: Platform,
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} for {}", self.choice, self.platform)
    }
}

/// One layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layer {
    /// The blob.
    pub blob: Part,
    /// How it is packed, by its media type.
    pub packing: Packing,
    /// SHA-256 of what it unpacks to.
    pub diff_id: Sha256,
}

/// An image whose manifest and config are read and agree with each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The manifest's blob: its digest is the identity of the image.
    pub manifest: Part,
    /// The config's blob.
    pub config: Part,
    /// What the config says it is for.
    pub platform: Platform,
    /// The layers, lowest first.
    pub layers: Vec<Layer>,
}

impl Image {
    /// Finds the one image of a layout that is asked for.
    pub fn choose(layout: &Layout, choice: &Choice, platform: &Platform) -> Result<Image, OciError> {
        let manifest = documents::find(layout, choice, platform)?;
        Image::read(layout, manifest, platform)
    }

    /// Reads the image with this manifest, out of a layout or out of whatever else holds its blobs.
    pub fn read(blobs: &dyn Blobs, manifest: Part, platform: &Platform) -> Result<Image, OciError> {
        let image = documents::image(blobs, manifest)?;
        if !platform.takes(&image.platform) {
            let (wanted, found) = (Box::new(platform.clone()), Box::new(image.platform));
            return Err(OciError::Platform { wanted, found });
        }
        Ok(image)
    }

    /// Every blob that [`Image::read`] and [`Image::unpack`] need. One may be there twice.
    pub fn parts(&self) -> impl Iterator<Item = Part> {
        [self.manifest, self.config].into_iter().chain(self.layers.iter().map(|layer| layer.blob))
    }

    /// Puts the layers onto what is there, one after the other. After an error the builder is spoiled.
    pub fn unpack(&self, blobs: &dyn Blobs, builder: &mut Builder) -> Result<(), OciError> {
        builder.whole(|builder| self.layers.iter().try_for_each(|layer| layer.unpack(blobs, builder)))
    }
}

impl Layer {
    fn unpack(&self, blobs: &dyn Blobs, builder: &mut Builder) -> Result<(), OciError> {
        builder.next_layer();
        let shown = PathBuf::from(format!("layer sha256:{}", self.blob.digest));
        let mut blob = Verified::open(blobs, self.blob)?;
        let applied = self.apply(&shown, &mut blob, builder);
        // A blob that is not what it should be is the reason for all that is wrong with what is in it.
        blob.finish()?;
        let found = applied?;
        if found != self.diff_id {
            return Err(OciError::DiffId { layer: self.blob.digest, expected: self.diff_id, found });
        }
        Ok(())
    }

    /// Returns the digest of the unpacked bytes.
    fn apply(
        &self,
        shown: &std::path::Path,
        blob: &mut Verified<'_>,
        builder: &mut Builder,
    ) -> Result<Sha256, OciError> {
        let plain = archive::unpacked(shown, blob, Some(self.packing))?;
        let mut plain = Hashing { input: plain, hasher: Sha256Hasher::default() };
        // It reads to the end: zeros behind the archive are a part of what has the diff id.
        tar::apply_plain(builder, shown, &mut plain, tar::Whiteouts::Apply)?;
        Ok(plain.hasher.finish())
    }
}

/// A reader that hashes what goes by.
struct Hashing<R> {
    input: R,
    hasher: Sha256Hasher,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let n = self.input.read(into)?;
        self.hasher.update(&into[..n]);
        Ok(n)
    }
}

#[cfg(test)]
mod tests;
