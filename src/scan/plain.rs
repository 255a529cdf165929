//! The walk where `openat` is not to be had: one thread, paths instead of descriptors.

use super::stamp::{Stamp, Stamper};
use super::{Found, Options, ScanError};
use crate::path::TreePath;
use crate::tree::{Entry, MAX_ENTRIES, Node, TreeError};
use std::path::Path;

pub(super) struct Walked {
    pub found: Vec<Found>,
    pub excluded: Vec<TreePath>,
    pub base: Stamp,
}

pub(super) fn root(shown: &Path, options: &Options<'_>, stamper: &Stamper) -> Result<Walked, ScanError> {
    let meta = std::fs::metadata(shown).map_err(|err| ScanError::io("read", shown, err))?;
    if !meta.is_dir() {
        return Err(ScanError::Kind { path: shown.to_owned(), kind: crate::fs::kind_of(&meta.file_type()) });
    }
    let mut walked = Walked { found: Vec::new(), excluded: Vec::new(), base: stamper.meta(&meta) };
    let mut lengths = 0u64;
    let mut walk = walkdir::WalkDir::new(shown).min_depth(1).follow_links(false).max_open(8).into_iter();
    while let Some(item) = walk.next() {
        let item = item.map_err(|err| {
            let path = err.path().unwrap_or(shown).to_owned();
            ScanError::io("read", &path, err)
        })?;
        let inside = item.path().strip_prefix(shown).unwrap_or(item.path());
        let bytes: Vec<&[u8]> = inside.components().map(|part| part.as_os_str().as_encoded_bytes()).collect();
        let path = TreePath::from_bytes(&bytes.join(&b'/'))
            .map_err(|why| ScanError::Path { path: item.path().to_owned(), why })?;
        let kind = item.file_type();
        if (options.exclude)(&path, kind.is_dir()) {
            walked.excluded.push(path);
            if kind.is_dir() {
                walk.skip_current_dir();
            }
            continue;
        }
        let meta = item.metadata().map_err(|err| ScanError::io("read", item.path(), err))?;
        let too_much = |most, what| ScanError::TooMuch { path: item.path().to_owned(), most, what };
        if kind.is_file() {
            lengths = meta.len().saturating_add(lengths);
            if lengths > options.most.bytes {
                return Err(too_much(options.most.bytes, "bytes"));
            }
        }
        if walked.found.len() >= options.most.entries {
            return Err(too_much(options.most.entries as u64, "entries"));
        }
        let node = if kind.is_dir() {
            Node::Dir { perm: 0o755 }
        } else if kind.is_symlink() {
            let target = std::fs::read_link(item.path()).map_err(|err| ScanError::io("read", item.path(), err))?;
            Node::Link { target: target.as_os_str().as_encoded_bytes().into() }
        } else if kind.is_file() {
            Node::File { perm: 0o644, content: super::file(item.path(), options.wanted)? }
        } else {
            return Err(ScanError::Kind { path: item.path().to_owned(), kind: crate::fs::kind_of(&kind) });
        };
        if walked.found.len() >= MAX_ENTRIES {
            return Err(TreeError::TooMany.into());
        }
        walked.found.push(Found { entry: Entry { path, node }, stamp: stamper.meta(&meta) });
    }
    Ok(walked)
}
