//! Reading objects.

use super::received::Received;
use super::{Kind, MAX_OBJECT, MIN_LIMIT, RepositoryError, member, object_limit};
use crate::path::TreePath;
use crate::tree::MAX_ENTRIES;
use gix::ObjectId;
use gix::objs::{CommitRef, TagRef, TreeRefIter};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A commit that was found, with its tree.
#[derive(Clone, Debug)]
pub struct Commit {
    path: PathBuf,
    /// Where its objects are, if not at `path`.
    received: Option<Arc<Received>>,
    outside: Outside,
    id: ObjectId,
    tree: ObjectId,
    seconds: i64,
}

/// What stands at one path of a commit's tree.
pub(crate) struct Found<'a> {
    pub(crate) kind: Kind,
    /// The id, in the repository's own hash.
    pub(crate) id: &'a [u8],
    reader: &'a Reader,
    oid: ObjectId,
}

impl Found<'_> {
    /// The bytes of a file or link.
    pub(crate) fn bytes(&self) -> Result<Vec<u8>, String> {
        self.reader.object(self.oid, gix::objs::Kind::Blob)
    }
}

/// Whether the repository may have parts elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outside {
    /// A checkout of one's own may be one of several that share their objects.
    Allowed,
    Refused,
}

impl Commit {
    /// The commit that is checked out.
    pub fn head(checkout: &Path) -> Result<Commit, RepositoryError> {
        Commit::new(checkout, "HEAD", Outside::Allowed)
    }

    /// A commit by its id, the beginning of its id, or the name of a branch or tag.
    pub fn find(path: &Path, revision: &str) -> Result<Commit, RepositoryError> {
        Commit::new(path, revision, Outside::Refused)
    }

    fn new(path: &Path, revision: &str, outside: Outside) -> Result<Commit, RepositoryError> {
        let none =
            |why: String| RepositoryError::Revision { path: path.to_owned(), revision: revision.to_owned(), why };
        let reader = Reader::open(path, path, outside)?;
        let id = reader.resolve(revision).map_err(none)?;
        Commit::peel(&reader, path, id, outside).map_err(none)
    }

    /// The commit `id`, or the one that the tag `id` is of, from a repository that was made of what came from `path`.
    pub(super) fn of(path: &Path, received: Arc<Received>, id: ObjectId) -> Result<Commit, RepositoryError> {
        let none = |why| RepositoryError::Revision { path: path.to_owned(), revision: id.to_string(), why };
        let reader = Reader::open(received.path(), path, Outside::Refused)?;
        let commit = Commit::peel(&reader, path, id, Outside::Refused).map_err(none)?;
        Ok(Commit { received: Some(received), ..commit })
    }

    fn peel(reader: &Reader, path: &Path, mut id: ObjectId, outside: Outside) -> Result<Commit, String> {
        // A tag may be of a tag; not for ever.
        for _ in 0..16 {
            let (kind, data) = reader.any(id)?;
            let hash = id.kind();
            match kind {
                gix::objs::Kind::Commit => {
                    let commit = CommitRef::from_bytes(&data, hash).map_err(|err| err.to_string())?;
                    let committer = commit.committer().map_err(|err| err.to_string())?;
                    let seconds = committer.time().map_err(|err| err.to_string())?.seconds;
                    let (path, tree) = (path.to_owned(), commit.tree());
                    return Ok(Commit { path, received: None, outside, id, tree, seconds });
                }
                gix::objs::Kind::Tag => {
                    id = TagRef::from_bytes(&data, hash).map_err(|err| err.to_string())?.target();
                }
                kind => return Err(format!("it is a {kind}, not a commit")),
            }
        }
        Err("it is a tag of a tag of a tag …".to_owned())
    }

    /// The repository, or what it came from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The directory in which its objects are.
    pub(crate) fn store(&self) -> &Path {
        self.received.as_ref().map_or(&self.path, |received| received.path())
    }

    /// Its id, as hex.
    pub fn id(&self) -> String {
        self.id.to_string()
    }

    /// Whether the repository names its objects by SHA-256.
    pub fn is_sha256(&self) -> bool {
        self.id.as_bytes().len() == 32
    }

    /// Committer time, in seconds since 1970.
    pub fn time(&self) -> Result<u64, RepositoryError> {
        u64::try_from(self.seconds).map_err(|_| RepositoryError::Time(self.path.clone()))
    }

    /// Gives each entry of the commit's tree to `visit`, directories before what is in them; a directory for which it says false is not
    /// entered.
    pub(crate) fn walk<E: From<RepositoryError>>(
        &self,
        visit: &mut dyn FnMut(TreePath, Found<'_>) -> Result<bool, E>,
    ) -> Result<(), E> {
        let reader = Reader::open(self.store(), &self.path, self.outside)?;
        let commit = self.id();
        let mut waiting: Vec<(Option<TreePath>, ObjectId)> = vec![(None, self.tree)];
        let mut seen = 0;
        while let Some((above, tree)) = waiting.pop() {
            let wrong = |at: &Option<TreePath>, why: String| match at {
                Some(at) => member(&self.path, &commit, at, why),
                None => RepositoryError::Revision { path: self.path.clone(), revision: commit.clone(), why },
            };
            let data = reader.object(tree, gix::objs::Kind::Tree).map_err(|why| wrong(&above, why))?;
            if data.is_empty() && above.is_some() {
                return Err(wrong(&above, "it is an empty directory, which git does not write".into()).into());
            }
            for entry in TreeRefIter::from_bytes(&data, tree.kind()) {
                let entry = entry.map_err(|err| wrong(&above, format!("its directory is damaged: {err}")))?;
                seen += 1;
                if seen > MAX_ENTRIES {
                    return Err(wrong(&above, format!("the tree has more than {MAX_ENTRIES} entries")).into());
                }
                let at = match &above {
                    Some(above) => above.join(entry.filename),
                    None => TreePath::from_bytes(entry.filename),
                };
                let name = String::from_utf8_lossy(entry.filename);
                let at = at.map_err(|err| wrong(&above, format!("the name {name:?}: {err}")))?;
                let kind = match entry.mode.value() {
                    0o040_000 => Kind::Dir,
                    // The last two are of old versions of git.
                    0o100_644 | 0o100_664 | 0o100_600 => Kind::File { executable: false },
                    0o100_755 => Kind::File { executable: true },
                    0o120_000 => Kind::Link,
                    0o160_000 => Kind::Submodule,
                    mode => return Err(member(&self.path, &commit, &at, format!("its mode is {mode:o}")).into()),
                };
                let oid = entry.oid.to_owned();
                let enter = visit(at.clone(), Found { kind, id: oid.as_bytes(), reader: &reader, oid })?;
                if kind == Kind::Dir && enter {
                    waiting.push((Some(at), oid));
                }
            }
        }
        Ok(())
    }

    /// Whether a commit or tag is one of these, or before one of them.
    pub(super) fn reaches(
        path: &Path,
        received: &Received,
        tips: &[ObjectId],
        wanted: ObjectId,
    ) -> Result<bool, RepositoryError> {
        let reader = Reader::open(received.path(), path, Outside::Refused)?;
        let unread = |why: String| RepositoryError::Unreadable { path: path.to_owned(), why };
        let mut waiting = tips.to_vec();
        let mut seen: HashSet<ObjectId> = tips.iter().copied().collect();
        while let Some(id) = waiting.pop() {
            if id == wanted {
                return Ok(true);
            }
            let (kind, data) = reader.any(id).map_err(unread)?;
            let above = match kind {
                gix::objs::Kind::Commit => {
                    let commit = CommitRef::from_bytes(&data, id.kind()).map_err(|err| unread(err.to_string()))?;
                    commit.parents().collect()
                }
                gix::objs::Kind::Tag => {
                    vec![TagRef::from_bytes(&data, id.kind()).map_err(|err| unread(err.to_string()))?.target()]
                }
                _ => Vec::new(),
            };
            waiting.extend(above.into_iter().filter(|id| seen.insert(*id)));
        }
        Ok(false)
    }

    /// The same commit, with the directory `path` of its tree in place of the whole.
    pub(super) fn below(self, path: &TreePath) -> Result<Option<Commit>, RepositoryError> {
        let mut tree = None;
        self.walk::<RepositoryError>(&mut |at, found| {
            if at == *path && found.kind == Kind::Dir {
                tree = Some(found.oid);
            }
            Ok(path.as_bytes().strip_prefix(at.as_bytes()).is_some_and(|rest| rest.starts_with(b"/")))
        })?;
        Ok(tree.map(|tree| Commit { tree, ..self }))
    }

    /// The bytes of one file of the commit's tree; `None` when there is no such file.
    pub fn file(&self, path: &TreePath) -> Result<Option<Vec<u8>>, RepositoryError> {
        let mut bytes = None;
        self.walk::<RepositoryError>(&mut |at, found| {
            if at == *path && matches!(found.kind, Kind::File { .. }) {
                bytes = Some(found.bytes().map_err(|why| member(&self.path, &self.id(), &at, why))?);
            }
            let below = path.as_bytes().strip_prefix(at.as_bytes());
            Ok(below.is_some_and(|rest| rest.starts_with(b"/")))
        })?;
        Ok(bytes)
    }
}

pub(super) struct Reader {
    repo: gix::Repository,
    /// Largest object.
    limit: u64,
}

impl Reader {
    /// Opens the repository `path`, which errors call `named`.
    fn open(path: &Path, named: &Path, outside: Outside) -> Result<Reader, RepositoryError> {
        let unreadable = |why: String| RepositoryError::Unreadable { path: named.to_owned(), why };
        let limit = match outside {
            Outside::Refused => object_limit(contained(path)?),
            // Of a checkout commits and directories are read, and no file.
            Outside::Allowed => {
                own(path)?;
                MIN_LIMIT
            }
        };
        let options = gix::open::Options::isolated()
            // Nothing that it says is done; and its format must be read whoever owns it.
            .with(gix::sec::Trust::Full)
            .config_overrides([
                format!("gitoxide.objects.allocLimit={limit}"),
                "gitoxide.objects.noReplace=true".to_owned(),
                "core.useReplaceRefs=false".to_owned(),
            ]);
        let mut repo = gix::open_opts(path, options).map_err(|err| unreadable(err.to_string()))?;
        repo.objects.ignore_replacements = true;
        repo.object_cache_size(None);
        if outside == Outside::Refused && path_of(repo.common_dir()) != path_of(repo.git_dir()) {
            let why = "its objects are in another directory".to_owned();
            return Err(RepositoryError::Outside { path: path.to_owned(), why });
        }
        Ok(Reader { repo, limit })
    }

    fn resolve(&self, revision: &str) -> Result<ObjectId, String> {
        let hash = self.repo.object_hash();
        if let Some(id) = super::full_id(revision, hash) {
            return Ok(id);
        }
        for name in super::full_names(revision) {
            let found = self.repo.try_find_reference(name.as_str()).map_err(|err| err.to_string())?;
            let Some(mut reference) = found else { continue };
            let id = reference.follow_to_object();
            return id
                .map(gix::Id::detach)
                .map_err(|_| "there is no commit yet, or the reference is broken".to_owned());
        }
        let is_hex = revision.bytes().all(|b| b.is_ascii_hexdigit());
        if is_hex && (7..hash.len_in_hex()).contains(&revision.len()) {
            // Of the length that this repository's ids have.
            let padded = format!("{:0<width$}", revision.to_ascii_lowercase(), width = hash.len_in_hex());
            let id = ObjectId::from_hex(padded.as_bytes()).map_err(|err| err.to_string())?;
            let prefix = gix::hash::Prefix::new(&id, revision.len()).map_err(|err| err.to_string())?;
            return match self.repo.objects.lookup_prefix(prefix, None).map_err(|err| err.to_string())? {
                Some(Ok(id)) => Ok(id),
                Some(Err(())) => Err("more than one object begins so".to_owned()),
                None => Err("there is no such commit".to_owned()),
            };
        }
        Err("there is no such branch, tag or commit".to_owned())
    }

    /// An object whose hash is its id.
    fn any(&self, id: ObjectId) -> Result<(gix::objs::Kind, Vec<u8>), String> {
        let unread = |err: &dyn std::fmt::Display| format!("the object {id} cannot be read: {err}");
        let header = self.repo.try_find_header(id).map_err(|err| unread(&err))?;
        let header = header.ok_or_else(|| format!("the object {id} is missing"))?;
        if header.size() > self.limit {
            let (size, limit) = (header.size(), self.limit);
            return Err(match limit {
                MAX_OBJECT => format!("the object {id} is larger than {limit} bytes"),
                _ => format!("the object {id} says that it is of {size} bytes, which is too much for what it is"),
            });
        }
        let object = self.repo.find_object(id).map_err(|err| unread(&err))?;
        let (kind, data) = (object.kind, object.detach().data);
        let hashed =
            gix::objs::compute_hash(id.kind(), kind, &data).map_err(|err| format!("the object {id}: {err}"))?;
        if hashed != id {
            return Err(format!("the object {id} is damaged: it hashes to {hashed}"));
        }
        Ok((kind, data))
    }

    fn object(&self, id: ObjectId, wanted: gix::objs::Kind) -> Result<Vec<u8>, String> {
        match self.any(id)? {
            (kind, data) if kind == wanted => Ok(data),
            (kind, _) => Err(format!("the object {id} is a {kind}, not a {wanted}")),
        }
    }
}

fn path_of(path: &Path) -> Option<PathBuf> {
    path.canonicalize().ok()
}

/// Most files of a repository that are looked at before it is opened.
const MAX_FILES: usize = 10_000_000;
/// Longest of the files that are read as a whole.
const MAX_TEXT: u64 = 256 << 20;

/// Files beside the objects and references that gix reads, or may read.
const BESIDE: [&str; 8] =
    ["HEAD", "FETCH_HEAD", "config", "config.worktree", "packed-refs", "shallow", "commondir", "gitdir"];
/// Repositories that a checkout of one's own may borrow objects from, and those that these borrow from.
const MAX_BORROWED: usize = 64;

/// Whether all that would be read is below `path`, and files and directories only: gix would follow links and wait for FIFOs. Gives the length
/// of all files together.
fn contained(path: &Path) -> Result<u64, RepositoryError> {
    let outside = |why: String| RepositoryError::Outside { path: path.to_owned(), why };
    let inner = path.join(".git");
    let dir = match inner.symlink_metadata() {
        Ok(meta) if meta.is_dir() => inner,
        Ok(_) => return Err(outside(".git is not a directory: give the repository that it leads to".to_owned())),
        Err(_) => path.to_owned(),
    };
    for (name, what) in [
        ("objects/info/alternates", "it borrows objects from another repository (objects/info/alternates)"),
        ("objects/info/http-alternates", "it borrows objects from another repository (objects/info/http-alternates)"),
        ("commondir", "it is a part of another repository (commondir)"),
    ] {
        if dir.join(name).symlink_metadata().is_ok() {
            return Err(outside(what.to_owned()));
        }
    }
    let parts = BESIDE.iter().chain(&["objects", "refs"]);
    regular(path, parts.map(|name| dir.join(name)).collect(), &dir.join("objects"))
}

/// The same for a checkout of one's own, which may have its parts in other places: nothing that is read waits or has no end.
fn own(path: &Path) -> Result<(), RepositoryError> {
    let inner = path.join(".git");
    let git = match inner.symlink_metadata() {
        // Then gix takes the directory itself for one.
        Err(_) => path.to_owned(),
        Ok(meta) if meta.is_dir() => inner,
        Ok(_) => path.join(leads_to(path, &inner, "gitdir: ")?),
    };
    let common = match git.join("commondir").symlink_metadata() {
        Err(_) => git.clone(),
        Ok(_) => git.join(leads_to(path, &git.join("commondir"), "")?),
    };
    let mut borrowed = vec![common.join("objects")];
    for dir in [&git, &common] {
        let parts = BESIDE.iter().chain(&["refs"]);
        regular(path, parts.map(|name| dir.join(name)).collect(), &dir.join("objects"))?;
    }
    let mut at = 0;
    while let Some(objects) = borrowed.get(at).cloned() {
        regular(path, vec![objects.clone()], &objects)?;
        let alternates = objects.join("info/alternates");
        if alternates.symlink_metadata().is_ok() {
            let why = |why: String| RepositoryError::Unreadable { path: path.to_owned(), why };
            let text = crate::fs::read(&alternates, MAX_LEADS).map_err(|err| why(err.to_string()))?;
            // A quoted name stands for another, which would not be looked at.
            let text = String::from_utf8(text).ok().filter(|text| !text.contains('"'));
            let text = text.ok_or_else(|| why(format!("{} has a name that is not plain", alternates.display())))?;
            borrowed.extend(text.lines().filter(|name| !name.is_empty()).map(|name| objects.join(name)));
        }
        at += 1;
        if at > MAX_BORROWED || borrowed.len() > 2 * MAX_BORROWED {
            let why = "it borrows from too many other repositories".to_owned();
            return Err(RepositoryError::Unreadable { path: path.to_owned(), why });
        }
    }
    Ok(())
}

/// Longest file that says where a part of a repository is.
const MAX_LEADS: u64 = 64 << 10;

/// The path in a file that says where something else is.
fn leads_to(path: &Path, file: &Path, before: &str) -> Result<PathBuf, RepositoryError> {
    regular(path, vec![file.to_owned()], path)?;
    let why = |why: String| RepositoryError::Unreadable { path: path.to_owned(), why };
    let bytes = crate::fs::read(file, MAX_LEADS).map_err(|err| why(err.to_string()))?;
    let text = String::from_utf8(bytes).ok();
    let found = text.as_deref().and_then(|text| text.trim_end_matches(['\n', '\r']).strip_prefix(before));
    found.map(PathBuf::from).ok_or_else(|| why(format!("{} leads nowhere", file.display())))
}

/// That there are only directories and regular files, at and below those of `waiting` that are there. Files outside of `objects` are short.
fn regular(path: &Path, mut waiting: Vec<PathBuf>, objects: &Path) -> Result<u64, RepositoryError> {
    let outside = |why: String| RepositoryError::Outside { path: path.to_owned(), why };
    let fail = |at: &Path, err: std::io::Error| RepositoryError::Unreadable {
        path: path.to_owned(),
        why: format!("{}: {err}", at.display()),
    };
    waiting.retain(|at| at.symlink_metadata().is_ok());
    let (mut seen, mut length) = (0, 0u64);
    while let Some(at) = waiting.pop() {
        let meta = at.symlink_metadata().map_err(|err| fail(&at, err))?;
        seen += 1;
        if seen > MAX_FILES {
            return Err(outside(format!("it has more than {MAX_FILES} files")));
        }
        if meta.is_dir() {
            for item in std::fs::read_dir(&at).map_err(|err| fail(&at, err))? {
                waiting.push(item.map_err(|err| fail(&at, err))?.path());
            }
        } else if !meta.is_file() {
            return Err(outside(format!("{} is a link or device", at.display())));
        } else if meta.len() > MAX_TEXT && !at.starts_with(objects) {
            return Err(outside(format!("{} is longer than {MAX_TEXT} bytes", at.display())));
        } else {
            length = length.saturating_add(meta.len());
        }
    }
    Ok(length)
}
