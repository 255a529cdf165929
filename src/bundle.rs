//! Bundles: one file with everything a verifier needs (docs/spec.md §5).
//!
//! A bundle is carried by anybody and authenticated by nobody: lines may be missing, repeated or added. What counts is decided by
//! the signatures on the lines, and a blob only counts where a verified statement names its digest.

use crate::digest::{self, Sha256};
use crate::envelope::{Envelope, EnvelopeError, MAX_LINE};
use crate::json;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// Longest bundle, in bytes.
pub const MAX_BUNDLE: u64 = 512 << 20;
/// Most lines in a bundle.
pub const MAX_LINES: usize = 100_000;
/// The `_type` of a blob.
pub const BLOB_TYPE: &str = "urn:countersign:blob:v1";
/// The media type of a listing.
pub const LISTING_MEDIA_TYPE: &str = "text/vnd.countersign.tree.v1";

/// The lines of a bundle, in order.
#[derive(Debug)]
pub struct Bundle<'a> {
    lines: Vec<(&'a [u8], Line<'a>)>,
}

/// What a line is.
#[derive(Debug)]
pub enum Line<'a> {
    /// An envelope; nothing in it is verified yet.
    Envelope(Envelope),
    /// Text that a statement may name by digest.
    Blob(Blob<'a>),
    /// Something else, ignored and reported.
    Other(EnvelopeError),
}

/// Text beside the statements, such as a listing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blob<'a> {
    #[serde(rename = "_type", borrow)]
    kind: Cow<'a, str>,
    /// What the text is.
    #[serde(rename = "mediaType", borrow)]
    pub media_type: Cow<'a, str>,
    /// The text.
    #[serde(borrow)]
    pub text: Cow<'a, str>,
}

/// Bytes that are too much to be read as a bundle.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// Over [`MAX_BUNDLE`].
    #[error("the bundle is longer than {MAX_BUNDLE} bytes")]
    TooLong,
    /// Over [`MAX_LINES`].
    #[error("the bundle has more than {MAX_LINES} lines")]
    TooManyLines,
    /// Over [`MAX_LINE`].
    #[error("line {0} of the bundle is longer than {MAX_LINE} bytes")]
    LineTooLong(usize),
}

impl<'a> Bundle<'a> {
    /// Splits bytes into lines and reads each. Empty lines are passed over.
    pub fn parse(bytes: &'a [u8]) -> Result<Bundle<'a>, BundleError> {
        if bytes.len() as u64 > MAX_BUNDLE {
            return Err(BundleError::TooLong);
        }
        let mut lines = Vec::new();
        for (at, raw) in bytes.split(|b| *b == b'\n').enumerate() {
            if at > MAX_LINES {
                return Err(BundleError::TooManyLines);
            }
            if raw.len() > MAX_LINE {
                return Err(BundleError::LineTooLong(at + 1));
            }
            if !raw.is_empty() {
                lines.push((raw, read_line(raw)));
            }
        }
        Ok(Bundle { lines })
    }

    /// All lines, in order.
    pub fn lines(&self) -> impl Iterator<Item = &Line<'a>> {
        self.lines.iter().map(|(_, line)| line)
    }

    /// The envelopes, in order.
    pub fn envelopes(&self) -> impl Iterator<Item = &Envelope> {
        self.lines().filter_map(|line| match line {
            Line::Envelope(envelope) => Some(envelope),
            _ => None,
        })
    }

    /// The text with this SHA-256, if the bundle has it.
    pub fn text(&self, sha256: &Sha256) -> Option<&str> {
        self.lines().find_map(|line| match line {
            Line::Blob(blob) if digest::sha256(blob.text.as_bytes()) == *sha256 => Some(&*blob.text),
            _ => None,
        })
    }

    /// Whether this very line is there.
    pub fn has(&self, line: &[u8]) -> bool {
        self.lines.iter().any(|(raw, _)| *raw == line)
    }
}

impl<'a> Blob<'a> {
    /// A listing as a blob.
    pub fn listing(text: &'a str) -> Blob<'a> {
        Blob { kind: BLOB_TYPE.into(), media_type: LISTING_MEDIA_TYPE.into(), text: text.into() }
    }

    /// One line of a bundle, without its line feed.
    pub fn to_line(&self) -> Vec<u8> {
        json::print(self)
    }
}

/// Whether it is sound JSON is looked at once, whatever it turns out to be.
fn read_line(raw: &[u8]) -> Line<'_> {
    let document = match json::Document::check(raw, MAX_LINE) {
        Ok(document) => document,
        Err(err) => return Line::Other(err.into()),
    };
    match document.read::<Blob>() {
        Ok(blob) if blob.kind == BLOB_TYPE && blob.media_type == LISTING_MEDIA_TYPE => Line::Blob(blob),
        _ => Envelope::read(document).map_or_else(Line::Other, Line::Envelope),
    }
}

/// Bytes of a bundle with these lines added at its end. Lines that it has already are not added again.
pub fn append(bundle: &[u8], lines: &[Vec<u8>]) -> Result<Vec<u8>, BundleError> {
    let old = Bundle::parse(bundle)?;
    let mut out = bundle.to_vec();
    if !out.is_empty() && !out.ends_with(b"\n") {
        out.push(b'\n');
    }
    for line in lines.iter().filter(|line| !old.has(line)) {
        out.extend_from_slice(line);
        out.push(b'\n');
    }
    if out.len() as u64 > MAX_BUNDLE { Err(BundleError::TooLong) } else { Ok(out) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_every_kind() {
        let blob = Blob::listing("countersign-tree v1 source\n").to_line();
        let bytes = append(b"nonsense", &[blob.clone(), blob.clone()]).unwrap();
        let bytes = append(&bytes, &[blob]).unwrap();
        let bundle = Bundle::parse(&bytes).unwrap();
        assert_eq!(bundle.lines().count(), 3, "the second append adds nothing that is there");
        assert!(matches!(bundle.lines().next(), Some(Line::Other(_))));
        let sha256 = digest::sha256(b"countersign-tree v1 source\n");
        assert_eq!(bundle.text(&sha256), Some("countersign-tree v1 source\n"));
        assert_eq!(bundle.text(&digest::sha256(b"other")), None);
    }

    #[test]
    fn text_of_another_kind_is_no_blob() {
        let blob = String::from_utf8(Blob::listing("x").to_line()).unwrap();
        for (from, to) in [("tree.v1", "tree.v2"), ("blob:v1", "blob:v2"), ("\"text\"", "\"texts\"")] {
            let changed = blob.replacen(from, to, 1);
            assert_ne!(changed, blob);
            let bundle = Bundle::parse(changed.as_bytes()).unwrap();
            assert!(matches!(bundle.lines().next(), Some(Line::Other(_))), "{changed}");
            assert_eq!(bundle.text(&digest::sha256(b"x")), None);
        }
        assert_eq!(Bundle::parse(blob.as_bytes()).unwrap().text(&digest::sha256(b"x")), Some("x"));
    }

    #[test]
    fn limits_hold_before_parsing() {
        assert_eq!(Bundle::parse(&vec![b'\n'; MAX_LINES + 1]).unwrap_err(), BundleError::TooManyLines);
    }
}
