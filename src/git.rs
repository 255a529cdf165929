//! Git's ids of a source tree, and its SWHID.
//!
//! They stand beside the tree digest, never instead of it. `git write-tree` knows no empty directories and leaves them
//! out; a SWHID (`swh:1:dir:…`, ISO/IEC 18670) is computed the same way with them in.

use crate::digest::{self, Content, Sha1, Sha256};
use crate::path::TreePath;
use crate::tree::{Entry, Node, Tree, TreeKind};

/// A tree that has no git id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GitError {
    /// Modes of other trees are not git's.
    #[error("only a source tree has a git id")]
    NotASource,
    /// It was read without git blob ids.
    #[error("{0} was read without its git id")]
    NotHashed(TreePath),
}

/// The id that `git write-tree` gives to the tree: empty directories left out.
pub fn tree_id(tree: &Tree) -> Result<Sha1, GitError> {
    top(tree, false)
}

/// The same in a repository of object format `sha256`.
pub fn tree_id_sha256(tree: &Tree) -> Result<Sha256, GitError> {
    top(tree, false)
}

/// The hash in the tree's SWHID (`swh:1:dir:<hash>`): empty directories in.
pub fn swhid(tree: &Tree) -> Result<Sha1, GitError> {
    top(tree, true)
}

/// An object id of one of git's formats.
trait Id: Copy + Ord {
    fn hash(object: &[u8]) -> Self;
    fn of(content: &Content) -> Option<Self>;
    fn raw(&self) -> &[u8];
}

impl Id for Sha1 {
    fn hash(object: &[u8]) -> Sha1 {
        digest::sha1(object)
    }

    fn of(content: &Content) -> Option<Sha1> {
        content.git_blob
    }

    fn raw(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl Id for Sha256 {
    fn hash(object: &[u8]) -> Sha256 {
        digest::sha256(object)
    }

    fn of(content: &Content) -> Option<Sha256> {
        content.git_blob_sha256
    }

    fn raw(&self) -> &[u8] {
        self.as_bytes()
    }
}

fn top<I: Id>(tree: &Tree, keep_empty: bool) -> Result<I, GitError> {
    if tree.kind() != TreeKind::Source {
        return Err(GitError::NotASource);
    }
    Ok(dir(tree.entries(), 0, keep_empty)?.unwrap_or_else(|| object(b"")))
}

/// The id of the directory whose entries these are, all paths sharing `cut` bytes; `None` for one without content that is left out.
/// The recursion is as deep as a path has parts, at most 2,048.
fn dir<I: Id>(entries: &[Entry], cut: usize, keep_empty: bool) -> Result<Option<I>, GitError> {
    // (sort key, mode, name, id): git sorts a directory as if its name ended in a slash.
    let mut rows: Vec<(Vec<u8>, &str, &[u8], I)> = Vec::new();
    let mut rest = entries;
    while let Some(first) = rest.first() {
        let tail = &first.path.as_bytes()[cut..];
        let name = tail.split(|b| *b == b'/').next().unwrap_or(tail);
        if name.len() < tail.len() {
            let inside = cut + name.len() + 1;
            let prefix = &first.path.as_bytes()[..inside];
            let end = rest.partition_point(|e| e.path.as_bytes().starts_with(prefix));
            let (below, after) = rest.split_at(end);
            if let Some(id) = dir(below, inside, keep_empty)? {
                rows.push(([name, b"/"].concat(), "40000", name, id));
            }
            rest = after;
            continue;
        }
        match &first.node {
            Node::File { perm, content } => {
                let id = I::of(content).ok_or_else(|| GitError::NotHashed(first.path.clone()))?;
                rows.push((name.to_vec(), if perm & 0o100 != 0 { "100755" } else { "100644" }, name, id));
            }
            Node::Link { target } => {
                let blob = [format!("blob {}\0", target.len()).as_bytes(), target].concat();
                rows.push((name.to_vec(), "120000", name, I::hash(&blob)));
            }
            Node::Dir { .. } if keep_empty => rows.push(([name, b"/"].concat(), "40000", name, object(b""))),
            // A source tree holds nothing that is closed.
            Node::Dir { .. } | Node::Closed { .. } => {}
        }
        rest = &rest[1..];
    }
    if rows.is_empty() {
        return Ok(None);
    }
    rows.sort_unstable();
    let mut body = Vec::new();
    for (_, mode, name, id) in rows {
        body.extend_from_slice(mode.as_bytes());
        body.push(b' ');
        body.extend_from_slice(name);
        body.push(0);
        body.extend_from_slice(id.raw());
    }
    Ok(Some(object(&body)))
}

fn object<I: Id>(body: &[u8]) -> I {
    I::hash(&[format!("tree {}\0", body.len()).as_bytes(), body].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::{Wanted, content};

    fn entry(path: &[u8], node: Node) -> Entry {
        Entry { path: TreePath::from_bytes(path).unwrap(), node }
    }

    fn run(dir: &std::path::Path, args: &[&str]) -> String {
        let mut git = std::process::Command::new("git");
        git.args(args).current_dir(dir).env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
        let out = git.output().unwrap();
        assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap().trim().to_owned()
    }

    #[test]
    fn the_id_that_git_write_tree_gives() {
        use std::os::unix::fs::PermissionsExt as _;
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path();
        // `a.c`, `a/`, `a0`: the order in which git and raw bytes of whole paths disagree.
        std::fs::create_dir_all(root.join("a/deep/er")).unwrap();
        for (path, text) in [("a.c", "1"), ("a/x", "2"), ("a/deep/er/y", "3"), ("a0", "4"), ("run", "5")] {
            std::fs::write(root.join(path), text).unwrap();
        }
        std::fs::set_permissions(root.join("run"), std::fs::Permissions::from_mode(0o750)).unwrap();
        std::os::unix::fs::symlink("a/x", root.join("l")).unwrap();
        run(root, &["init", "-q"]);
        run(root, &["add", "-A"]);
        let theirs = run(root, &["write-tree"]);
        std::fs::create_dir_all(root.join("empty/inside")).unwrap();

        let exclude = |path: &TreePath, _: bool| path.as_bytes() == b".git";
        let options = crate::scan::Options {
            wanted: Wanted::GIT,
            exclude: Some(&exclude),
            ..crate::scan::Options::new(TreeKind::Source)
        };
        let tree = crate::scan::tree(root, &options).unwrap().tree;
        assert_eq!(tree_id(&tree).unwrap().to_string(), theirs);
        assert_ne!(
            format!("swh:1:dir:{}", swhid(&tree).unwrap()),
            format!("swh:1:dir:{theirs}"),
            "empty directories are in a SWHID"
        );
        std::fs::remove_dir_all(root.join("empty")).unwrap();
        let tree = crate::scan::tree(root, &options).unwrap().tree;
        assert_eq!(format!("swh:1:dir:{}", swhid(&tree).unwrap()), format!("swh:1:dir:{theirs}"));

        std::fs::write(root.join("a0"), "5").unwrap();
        let tampered = crate::scan::tree(root, &options).unwrap().tree;
        assert_ne!(tree_id(&tampered).unwrap().to_string(), theirs);
    }

    #[test]
    fn empty_trees_and_what_has_no_id() {
        let empty = Tree::new(TreeKind::Source, vec![]).unwrap();
        assert_eq!(tree_id(&empty).unwrap().to_string(), "4b825dc642cb6eb9a060e54bf8d69288fbee4904");
        let sha256 = "6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321";
        assert_eq!(tree_id_sha256(&empty).unwrap().to_string(), sha256);
        // `git mktree` of one entry `040000 tree 4b825dc…\te`.
        let hollow = Tree::new(TreeKind::Source, vec![entry(b"e", Node::Dir { perm: 0o755 })]).unwrap();
        assert_eq!(tree_id(&hollow), tree_id(&empty));
        assert_eq!(swhid(&hollow).unwrap().to_string(), "1ae11ad4a07730268bfe7856fda56a8ccf11fa19");
        let plain = entry(b"p", Node::File { perm: 0o644, content: content(b"x", Wanted::default()) });
        let only_sha1 = Wanted { git_blob_sha256: false, ..Wanted::GIT };
        let first = entry(b"a", Node::File { perm: 0o644, content: content(b"x", only_sha1) });
        let tree = Tree::new(TreeKind::Source, vec![first, plain]).unwrap();
        assert!(matches!(tree_id(&tree), Err(GitError::NotHashed(path)) if path.as_bytes() == b"p"));
        assert!(matches!(tree_id_sha256(&tree), Err(GitError::NotHashed(path)) if path.as_bytes() == b"a"));
        assert_eq!(tree_id(&Tree::new(TreeKind::Output, vec![]).unwrap()), Err(GitError::NotASource));
    }
}
