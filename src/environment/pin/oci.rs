//! An OCI image: its manifest, its config and its layers.

use super::{PinError, Pinning, last_name, word};
use crate::lock::{Class, Part, Place, Voucher};
use crate::oci::{self, Blobs, Choice, Layout, Platform};

/// What the machine that `uname -m` calls so is called by Go, and so in images.
pub(in crate::environment) fn platform(architecture: &str) -> Platform {
    let architecture = match architecture {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" | "i686" => "386",
        "powerpc64" => "ppc64",
        "powerpc64le" => "ppc64le",
        other => other,
    };
    Platform { os: "linux".to_owned(), architecture: architecture.to_owned(), variant: None }
}

pub(super) fn pin(pinning: &Pinning<'_>, image: &Place, reference: Option<&str>) -> Result<Vec<Part>, PinError> {
    let path = pinning.depot.mirrors().local(image).ok_or_else(|| PinError::NotLocal(image.clone()))?;
    let choice = match reference {
        None => Choice::Only,
        Some(text) => match text.strip_prefix("sha256:").and_then(|hex| hex.parse().ok()) {
            Some(digest) => Choice::Digest(digest),
            None => Choice::Tag(text.to_owned()),
        },
    };
    let layout = Layout::open(&path)?;
    let found = oci::Image::choose(&layout, &choice, &platform(pinning.architecture.as_str()))?;
    let layers = found.layers.iter().map(|layer| (Class::Layer, layer.blob));
    let all = [(Class::Manifest, found.manifest), (Class::Config, found.config)].into_iter().chain(layers);
    let mut parts = Vec::new();
    for (class, oci::Part { digest, size }) in all {
        let what = format!("sha256:{digest} in {}", path.display());
        pinning
            .depot
            .store()
            .keep_blob(&what, &digest, size, &mut layout.open(&digest)?)
            .map_err(super::DepotError::from)?;
        parts.push(Part {
            class,
            name: word(last_name(image))?,
            version: word(reference.unwrap_or("-"))?,
            sha256: digest,
            size,
            voucher: Voucher::Vendor,
            // A blob of a layout has no place of its own that a mirror could have.
            place: match (path.is_dir(), image) {
                (true, Place::Mirror { mirror, path }) => {
                    Place::Mirror { mirror: mirror.clone(), path: format!("{path}/blobs/sha256/{digest}") }
                }
                _ => Place::Unknown,
            },
        });
    }
    Ok(parts)
}
