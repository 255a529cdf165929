//! The walk where `openat` is not to be had: one thread, paths instead of descriptors.

use super::stamp::Stamper;
use super::{Ended, Found, Options, ScanError, Sink};
use crate::path::TreePath;
use crate::tree::{Entry, MAX_ENTRIES, Node, Tree, TreeError, TreeKind};
use std::collections::HashSet;
use std::path::Path;

pub(super) fn root<R: Send>(
    shown: &Path,
    options: &Options<'_>,
    stamper: &Stamper,
    sink: &mut Sink<'_, R>,
) -> Result<Ended, ScanError> {
    let base = std::fs::metadata(shown).map_err(|err| ScanError::io("read", shown, err))?;
    if !base.is_dir() {
        return Err(ScanError::Kind { path: shown.to_owned(), kind: crate::fs::kind_of(&base.file_type()) });
    }
    let mut found: Vec<Found> = Vec::new();
    let mut excluded = Vec::new();
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
        if options.exclude.is_some_and(|exclude| exclude(&path, kind.is_dir())) {
            if options.note_excluded {
                excluded.push(path);
            }
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
        if found.len() >= options.most.entries {
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
        if found.len() >= MAX_ENTRIES {
            return Err(TreeError::TooMany.into());
        }
        found.push(Found { entry: Entry { path, node }, stamp: stamper.meta(&meta), listed: true });
    }
    if options.kind == TreeKind::Source {
        let holding: HashSet<_> = found.iter().filter_map(|found| found.entry.path.parent()).collect();
        for found in &mut found {
            found.listed = !holding.contains(&found.entry.path);
        }
    }
    found.sort_by(|a, b| a.entry.path.cmp(&b.entry.path));
    let entries = found.iter().map(|found| found.entry.clone()).collect();
    let folding = Tree::new(TreeKind::Source, entries)?.folding_names();
    (sink.take)((sink.prepare)(found))?;
    Ok(Ended { base: stamper.meta(&base), excluded, folding })
}
