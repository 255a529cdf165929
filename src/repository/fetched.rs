//! Commits that are fetched from a server.

use super::received::{MAX_PACK, Received};
use super::{Commit, RepositoryError};
use crate::fetch::{Network, Remote, Server};
use gix::ObjectId;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Longest name of a branch or tag that is asked for.
const MAX_NAME: usize = 4096;

impl Commit {
    /// A commit that a server has, by the name of a branch or tag, or by its id, all of it. Its objects are put below `scratch` for as long as
    /// they are needed.
    pub fn fetched(
        remote: &Remote,
        revision: &str,
        scratch: &Path,
        network: &Network,
    ) -> Result<Commit, RepositoryError> {
        let path = PathBuf::from(remote.to_string());
        let unread = |why: String| RepositoryError::Unreadable { path: path.clone(), why };
        let none = |why: String| RepositoryError::Revision { path: path.clone(), revision: revision.to_owned(), why };
        if revision.len() > MAX_NAME || revision.contains(|c: char| c.is_control()) {
            return Err(none("no branch or tag is called so".to_owned()));
        }
        let mut server = Server::connect(remote, network).map_err(unread)?;
        let hash = if server.sha256 { gix::hash::Kind::Sha256 } else { gix::hash::Kind::Sha1 };
        let asked = super::full_id(revision, hash);
        let id = match asked {
            Some(id) => id,
            None => {
                let names = super::full_names(revision);
                let found = server.references(&names).map_err(unread)?;
                let id = names.iter().find_map(|name| found.get(name));
                let id =
                    id.ok_or_else(|| none("the server has no such branch or tag, and it is no whole id".to_owned()))?;
                super::full_id(id, hash).ok_or_else(|| unread("the server names what is no id".to_owned()))?
            }
        };
        let wanted = |why: Refused| match why {
            Refused::Pack(err) => err,
            Refused::Said(why) => unread(why),
        };
        let received = match receive(&mut server, &[id], true, &path, scratch) {
            // Some servers only give what a branch or tag names, with all that was before it.
            Err(Refused::Said(why)) if asked.is_some() => {
                let mut server = Server::connect(remote, network).map_err(unread)?;
                let ids = tips(&mut server, hash).map_err(unread)?;
                if ids.is_empty() {
                    return Err(unread(why));
                }
                receive(&mut server, &ids, false, &path, scratch).map_err(wanted)?
            }
            result => result.map_err(wanted)?,
        };
        Commit::of(&path, received, id).map_err(|err| match err {
            RepositoryError::Revision { why, .. } => none(why),
            err => err,
        })
    }
}

/// What all branches and tags name.
fn tips(server: &mut Server, hash: gix::hash::Kind) -> Result<Vec<ObjectId>, String> {
    let found = server.references(&["refs/heads/".to_owned(), "refs/tags/".to_owned()])?;
    let mut ids: Vec<ObjectId> = found.values().filter_map(|id| super::full_id(id, hash)).collect();
    ids.sort_unstable();
    ids.dedup();
    Ok(ids)
}

fn receive(
    server: &mut Server,
    ids: &[ObjectId],
    alone: bool,
    path: &Path,
    scratch: &Path,
) -> Result<Arc<Received>, Refused> {
    let hash = ids.first().map_or(gix::hash::Kind::Sha1, |id| id.kind());
    let received = Received::new(scratch, hash).map_err(Refused::Pack)?;
    let ids: Vec<String> = ids.iter().map(ObjectId::to_string).collect();
    server.fetch(&ids, alone, MAX_PACK, &mut |pack| received.take(path, pack).map_err(Refused::Pack))?;
    Ok(Arc::new(received))
}

enum Refused {
    Said(String),
    Pack(RepositoryError),
}

impl From<String> for Refused {
    fn from(why: String) -> Refused {
        Refused::Said(why)
    }
}
