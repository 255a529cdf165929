//! Indexes, manifests and configs: JSON from whoever made the image. Read by the types of `oci-spec`, behind the strict parser, and then held
//! to what those types leave open. Nothing of a config is used but what it is for and its diff ids.

use super::blobs::{Blobs, Layout, Part, Verified};
use super::{Asked, Choice, Image, Layer, MAX_LAYERS, OciError, Platform};
use crate::archive::Packing;
use crate::digest::Sha256;
use crate::json::Document;
use oci_spec::image::{Descriptor, ImageConfiguration, ImageIndex, ImageManifest, OciLayout};
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::collections::BTreeMap;
use std::io::Read as _;

/// Longest document. Registries take no more.
pub(super) const MAX_DOCUMENT: u64 = 4 << 20;
/// Indexes in indexes.
const MAX_DEPTH: usize = 4;
/// Most documents that are read to find one image.
const MAX_INDEXES: usize = 100;
/// How many images an error names.
const MAX_NAMED: usize = 20;

const TAG: &str = "org.opencontainers.image.ref.name";
const INDEXES: [&str; 2] =
    ["application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"];
const MANIFESTS: [&str; 2] =
    ["application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json"];
const CONFIGS: [&str; 2] =
    ["application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"];

/// Layers that may be used by everybody. Those that may not, "foreign" or "nondistributable", are elsewhere and not in the layout.
fn packing(media_type: &str) -> Option<Packing> {
    match media_type {
        "application/vnd.oci.image.layer.v1.tar" | "application/vnd.docker.image.rootfs.diff.tar" => {
            Some(Packing::Plain)
        }
        "application/vnd.oci.image.layer.v1.tar+gzip" | "application/vnd.docker.image.rootfs.diff.tar.gzip" => {
            Some(Packing::Gzip)
        }
        "application/vnd.oci.image.layer.v1.tar+zstd" | "application/vnd.docker.image.rootfs.diff.tar.zstd" => {
            Some(Packing::Zstd)
        }
        _ => None,
    }
}

/// What tells a manifest from an index. A document that is both is one image to one reader and another to the next (CVE-2021-41190).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shape {
    media_type: Option<String>,
    schema_version: u64,
    manifests: Option<IgnoredAny>,
    config: Option<IgnoredAny>,
    layers: Option<IgnoredAny>,
    fs_layers: Option<IgnoredAny>,
}

fn refuse(document: &str, why: impl Into<String>) -> OciError {
    OciError::Document { document: document.to_owned(), why: why.into() }
}

fn check<'a>(name: &str, bytes: &'a [u8]) -> Result<Document<'a>, OciError> {
    Document::check(bytes, MAX_DOCUMENT as usize).map_err(|err| refuse(name, err.to_string()))
}

fn read<'a, T: Deserialize<'a>>(name: &str, document: Document<'a>) -> Result<T, OciError> {
    document.read().map_err(|err| refuse(name, err.to_string()))
}

/// Checks the file `oci-layout`.
pub(super) fn layout_version(bytes: &[u8]) -> Result<(), String> {
    let layout: OciLayout =
        crate::json::parse(bytes, MAX_DOCUMENT as usize).map_err(|err| format!("oci-layout: {err}"))?;
    match layout.image_layout_version().as_str() {
        "1.0.0" => Ok(()),
        other => Err(format!("it is of version {other:?}, not 1.0.0")),
    }
}

fn blob(blobs: &dyn Blobs, part: Part) -> Result<Vec<u8>, OciError> {
    if part.size > MAX_DOCUMENT {
        return Err(refuse(&format!("sha256:{}", part.digest), format!("it is longer than {MAX_DOCUMENT} bytes")));
    }
    let mut bytes = Vec::new();
    let mut verified = Verified::open(blobs, part)?;
    // `finish` says in full what is wrong.
    let _ = verified.read_to_end(&mut bytes);
    verified.finish()?;
    Ok(bytes)
}

/// What a descriptor names. `document` is where it stands.
fn part(document: &str, descriptor: &Descriptor) -> Result<Part, OciError> {
    let digest = descriptor.as_digest_sha256().and_then(|hex| hex.parse().ok());
    let digest = digest.ok_or_else(|| refuse(document, format!("{} is no SHA-256 digest", descriptor.digest())))?;
    Ok(Part { digest, size: descriptor.size() })
}

fn index(name: &str, bytes: &[u8]) -> Result<Vec<Descriptor>, OciError> {
    let document = check(name, bytes)?;
    let shape: Shape = read(name, document)?;
    if shape.schema_version != 2 || shape.config.is_some() || shape.layers.is_some() || shape.fs_layers.is_some() {
        return Err(refuse(name, "it is not an index of images"));
    }
    if let Some(other) = shape.media_type.filter(|found| !INDEXES.contains(&&**found)) {
        return Err(refuse(name, format!("it says that it is {other:?}, not an index of images")));
    }
    let index: ImageIndex = read(name, document)?;
    Ok(index.manifests().clone())
}

/// Looks for one manifest.
pub(super) fn find(layout: &Layout, choice: &Choice, platform: &Platform) -> Result<Part, OciError> {
    let top = index("index.json", layout.index())?;
    let tag = |descriptor: &Descriptor| descriptor.annotations().as_ref().and_then(|all| all.get(TAG)).cloned();
    let list: Vec<&Descriptor> = top
        .iter()
        .filter(|descriptor| !matches!(choice, Choice::Tag(wanted) if tag(descriptor).as_ref() != Some(wanted)))
        .collect();
    let wanted = if let Choice::Digest(digest) = choice { Some(*digest) } else { None };
    let mut search = Search { blobs: layout, platform, found: BTreeMap::new(), read: 0 };
    search.list("index.json", &list, wanted, 0)?;
    let asked = Box::new(Asked { choice: choice.clone(), platform: platform.clone() });
    let mut found = search.found.into_iter();
    match (found.next(), found.next()) {
        (Some((digest, size)), None) => Ok(Part { digest, size }),
        (Some(one), Some(other)) => {
            let all = [one, other].into_iter().chain(found);
            let there = all.take(MAX_NAMED).map(|(digest, _)| format!("sha256:{digest}")).collect();
            Err(OciError::Ambiguous { asked, there })
        }
        (None, _) => {
            let named = |descriptor: &Descriptor| match tag(descriptor) {
                Some(tag) => format!("{tag:?} ({})", descriptor.digest()),
                None => descriptor.digest().to_string(),
            };
            let there = top.iter().take(MAX_NAMED).map(named).collect();
            Err(OciError::NoImage { asked, there })
        }
    }
}

struct Search<'a> {
    blobs: &'a dyn Blobs,
    platform: &'a Platform,
    /// Manifests with their sizes.
    found: BTreeMap<Sha256, u64>,
    read: usize,
}

impl Search<'_> {
    fn list(&mut self, name: &str, list: &[&Descriptor], wanted: Option<Sha256>, depth: usize) -> Result<(), OciError> {
        for descriptor in list {
            let media_type = descriptor.media_type().as_ref();
            // What else there may be, signatures and lists of parts, is not ours to read.
            let is_index = INDEXES.contains(&media_type);
            if !is_index && !MANIFESTS.contains(&media_type) {
                continue;
            }
            let part = part(name, descriptor)?;
            let hit = wanted == Some(part.digest);
            if is_index {
                self.read += 1;
                if depth == MAX_DEPTH || self.read > MAX_INDEXES {
                    return Err(refuse(name, "there are too many indexes in indexes"));
                }
                let inner_name = format!("sha256:{}", part.digest);
                let inner = index(&inner_name, &blob(self.blobs, part)?)?;
                let inner: Vec<&Descriptor> = inner.iter().collect();
                self.list(&inner_name, &inner, wanted.filter(|_| !hit), depth + 1)?;
            } else if hit || (wanted.is_none() && self.fits(descriptor)) {
                self.found.insert(part.digest, part.size);
            }
        }
        Ok(())
    }

    /// What a descriptor does not say, the config will.
    fn fits(&self, descriptor: &Descriptor) -> bool {
        descriptor.platform().as_ref().is_none_or(|platform| {
            self.platform.takes(&Platform {
                os: platform.os().to_string(),
                architecture: platform.architecture().to_string(),
                variant: platform.variant().clone(),
            })
        })
    }
}

/// Reads a manifest and its config.
pub(super) fn image(blobs: &dyn Blobs, manifest_part: Part) -> Result<Image, OciError> {
    let name = format!("sha256:{}", manifest_part.digest);
    let bytes = blob(blobs, manifest_part)?;
    let document = check(&name, &bytes)?;
    let shape: Shape = read(&name, document)?;
    if shape.schema_version != 2 || shape.manifests.is_some() || shape.fs_layers.is_some() {
        return Err(refuse(&name, "it is not the manifest of an image"));
    }
    if let Some(other) = shape.media_type.filter(|found| !MANIFESTS.contains(&&**found)) {
        return Err(refuse(&name, format!("it says that it is {other:?}, not the manifest of an image")));
    }
    let manifest: ImageManifest = read(&name, document)?;
    let config_type = manifest.config().media_type().as_ref();
    if !CONFIGS.contains(&config_type) {
        return Err(refuse(&name, format!("its config is {config_type:?}: it is not an image of files")));
    }
    let config_part = part(&name, manifest.config())?;
    let config_name = format!("sha256:{}", config_part.digest);
    let config_bytes = blob(blobs, config_part)?;
    let config: ImageConfiguration = read(&config_name, check(&config_name, &config_bytes)?)?;
    let diff_ids = config.rootfs().diff_ids();
    if config.rootfs().typ() != "layers" || diff_ids.len() != manifest.layers().len() {
        return Err(refuse(&config_name, "its diff_ids are not those of the manifest's layers"));
    }
    if diff_ids.len() > MAX_LAYERS {
        return Err(refuse(&name, format!("it has more than {MAX_LAYERS} layers")));
    }
    let mut layers = Vec::new();
    for (descriptor, diff_id) in manifest.layers().iter().zip(diff_ids) {
        let media_type = descriptor.media_type().as_ref();
        if descriptor.urls().as_ref().is_some_and(|urls| !urls.is_empty()) {
            return Err(refuse(&name, "it has a layer that is to be fetched from elsewhere"));
        }
        let packing =
            packing(media_type).ok_or_else(|| refuse(&name, format!("it has a layer that is {media_type:?}")))?;
        let hex = diff_id.strip_prefix("sha256:").and_then(|hex| hex.parse().ok());
        let diff_id = hex.ok_or_else(|| refuse(&config_name, format!("{diff_id:?} is no SHA-256 digest")))?;
        layers.push(Layer { blob: part(&name, descriptor)?, packing, diff_id });
    }
    let platform = Platform {
        os: config.os().to_string(),
        architecture: config.architecture().to_string(),
        variant: config.variant().clone(),
    };
    Ok(Image { manifest: manifest_part, config: config_part, platform, layers })
}
