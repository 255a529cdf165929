//! Bundles of git: references and one pack in a file.

use super::received::{MAX_PACK, Received};
use super::{Commit, RepositoryError};
use crate::fs::FsError;
use gix::ObjectId;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read as _};
use std::path::Path;
use std::sync::Arc;

/// Longest header.
const MAX_HEADER: u64 = 64 << 20;
/// Longest line of it: an id and the name of a reference, which is a path.
const MAX_LINE: u64 = 8 << 10;

/// What stands before the pack: all of which must be understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    hash: gix::hash::Kind,
    references: BTreeMap<String, ObjectId>,
}

impl Header {
    /// Reads a header to its end, where the pack begins.
    pub fn read(input: &mut dyn BufRead) -> Result<Header, String> {
        let mut left = MAX_HEADER;
        let version = match line(input, &mut left)?.as_slice() {
            b"# v2 git bundle" => 2,
            b"# v3 git bundle" => 3,
            first if super::is_bundle(&[first, b"\n"].concat()) => {
                return Err("it is a bundle of another version than 2 and 3".to_owned());
            }
            _ => return Err("it is no git bundle".to_owned()),
        };
        let mut format: Option<gix::hash::Kind> = None;
        let mut references = BTreeMap::new();
        loop {
            let line = line(input, &mut left)?;
            let Some(first) = line.first() else { break };
            let text = std::str::from_utf8(&line).map_err(|_| "its header is not UTF-8".to_owned())?;
            if text.contains(|char: char| char.is_control()) {
                return Err("its header has control characters".to_owned());
            }
            match first {
                b'@' if version == 3 && references.is_empty() => match &text[1..] {
                    _ if text.starts_with("@filter=") => {
                        return Err("it was made with a filter, and some objects are not in it".to_owned());
                    }
                    "object-format=sha1" if format.is_none() => format = Some(gix::hash::Kind::Sha1),
                    "object-format=sha256" if format.is_none() => format = Some(gix::hash::Kind::Sha256),
                    other => return Err(format!("it asks for {other}, which is not known or there twice")),
                },
                b'-' => return Err("it needs commits that are not in it, and says so".to_owned()),
                _ => {
                    let hash = format.unwrap_or(gix::hash::Kind::Sha1);
                    let (id, name) = reference(text, hash)?;
                    if references.insert(name.to_owned(), id).is_some() {
                        return Err(format!("it names {name} twice"));
                    }
                }
            }
        }
        if references.is_empty() {
            return Err("it names no branch or tag".to_owned());
        }
        Ok(Header { hash: format.unwrap_or(gix::hash::Kind::Sha1), references })
    }

    /// What a revision stands for, and whether that must be looked for among what the references lead to.
    fn resolve(&self, revision: &str) -> Option<(ObjectId, bool)> {
        if let Some(id) = super::full_id(revision, self.hash) {
            return Some((id, !self.references.values().any(|tip| *tip == id)));
        }
        super::full_names(revision).iter().find_map(|name| self.references.get(name)).map(|id| (*id, false))
    }
}

fn line(input: &mut dyn BufRead, left: &mut u64) -> Result<Vec<u8>, String> {
    let mut line = Vec::new();
    let most = MAX_LINE.min(*left);
    input.take(most).read_until(b'\n', &mut line).map_err(|err| crate::fs::reason(&err))?;
    *left -= line.len() as u64;
    match line.pop() {
        Some(b'\n') => Ok(line),
        _ if line.len() as u64 + 1 >= most => Err("its header is too long".to_owned()),
        _ => Err("it is cut off".to_owned()),
    }
}

/// `ID NAME`.
fn reference(line: &str, hash: gix::hash::Kind) -> Result<(ObjectId, &str), String> {
    let wrong = || "its header is damaged".to_owned();
    let (id, name) = line.split_once(' ').ok_or_else(wrong)?;
    if id.len() != hash.len_in_hex() || id.bytes().any(|b| !matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return Err(wrong());
    }
    if name != "HEAD" && !name.starts_with("refs/") {
        return Err(format!("it names {name}, which is no branch or tag"));
    }
    Ok((ObjectId::from_hex(id.as_bytes()).map_err(|_| wrong())?, name))
}

impl Commit {
    /// A commit in a bundle, by the name of one of its references, or by the id of one of those or of a commit that they lead to. The objects
    /// are put below `scratch` for as long as they are needed.
    pub fn bundled(path: &Path, revision: &str, scratch: &Path) -> Result<Commit, RepositoryError> {
        let unread = |why: String| RepositoryError::Unreadable { path: path.to_owned(), why };
        let none = |why: &str| RepositoryError::Revision {
            path: path.to_owned(),
            revision: revision.to_owned(),
            why: why.to_owned(),
        };
        let file = crate::fs::open_file(path)?;
        let length = file.metadata().map_err(|err| FsError::io("read", path, err))?.len();
        if length > MAX_PACK + MAX_HEADER {
            return Err(unread(format!("it is longer than {MAX_PACK} bytes")));
        }
        let mut input = BufReader::with_capacity(64 << 10, file);
        let header = Header::read(&mut input).map_err(unread)?;
        // Before the pack, which may be long.
        let (id, hidden) = header
            .resolve(revision)
            .ok_or_else(|| none("the bundle has no such branch or tag, and it is no whole id"))?;
        let received = Arc::new(Received::new(scratch, header.hash)?);
        received.take(path, &mut input)?;
        if hidden {
            let tips: Vec<ObjectId> = header.references.values().copied().collect();
            if !Commit::reaches(path, &received, &tips, id)? {
                return Err(none("no branch or tag of the bundle leads to it"));
            }
        }
        Commit::of(path, received, id).map_err(|err| match err {
            RepositoryError::Revision { why, .. } => none(&why),
            err => err,
        })
    }
}

#[cfg(test)]
mod tests;
