//! Trees and their listings.
//!
//! A listing is UTF-8 text. Its first line is `countersign-tree v1 source`, `… output` or `… environment`; then one line an
//! entry, each ended by one line feed, sorted by the raw bytes of the path:
//!
//! ```text
//! countersign-tree v1 source
//! 100644 6 5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03 hello.txt
//! 100755 31 6c2b1bbb5a6d4a2d2f5a4e9e1b3d5b7f1a0f5f7d1b7f4b6a9b5a1c3e5d7f9b1d tools/run
//! 120000 9 4a1e67f2fe1d1cc7b31d0ca2ec441da4778203a036a77da10344c85e24ff0f92 link
//! 040000 0 - empty
//! ```
//!
//! The fields are mode (six octal digits), size in bytes, SHA-256, path ([`TreePath::escaped`]), one space between. The size and
//! SHA-256 of a link are those of its target's bytes; a directory has size 0 and `-`.
//!
//! | tree | modes | directories |
//! |---|---|---|
//! | source | as git: `100644`, `100755` (the owner may execute), `120000`, `040000` | only those with nothing recorded below |
//! | output | `100` or `104`… and all twelve permission bits: `100755`, `104755`, `040700`; links `120000` | all |
//! | environment | as output; what the build's id cannot open, and devices, sockets and FIFOs, are listed with `-` and size 0 | all |
//!
//! The root has no line. The SHA-256 of the listing is the [`TreeDigest`]; so `sha256sum` of the text is a tree digest, and
//! `docs/spec.md` shows how to write the text with `find` and `sort`.

mod listing;

pub use listing::{Line, Listing, ListingError, output_digest};

use crate::digest::{self, Content, Sha256, TreeDigest};
use crate::path::TreePath;
use std::collections::{BTreeMap, HashMap, HashSet};
use unicode_normalization::UnicodeNormalization as _;

/// Type bits of a mode, as `stat` gives them.
pub const TYPE_BITS: u32 = 0o170_000;
/// A regular file.
pub const FILE: u32 = 0o100_000;
/// A directory.
pub const DIR: u32 = 0o040_000;
/// A symbolic link.
pub const LINK: u32 = 0o120_000;
/// A Unix socket.
pub const SOCKET: u32 = 0o140_000;
/// Most entries in one tree.
pub const MAX_ENTRIES: usize = 10_000_000;

/// What a tree is; part of the listing's first line, so that one kind cannot pass for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TreeKind {
    /// What is built from.
    Source,
    /// What a build made.
    Output,
    /// What a build ran in.
    Environment,
}

impl TreeKind {
    fn word(self) -> &'static str {
        match self {
            TreeKind::Source => "source",
            TreeKind::Output => "output",
            TreeKind::Environment => "environment",
        }
    }

    fn header(self) -> String {
        format!("countersign-tree v1 {}", self.word())
    }

    /// The listing's first line with its line feed.
    pub(crate) fn first_line(self) -> String {
        self.header() + "\n"
    }

    /// Permission bits as a listing has them.
    fn file_perm(self, perm: u32) -> u32 {
        match (self, perm & 0o100) {
            (TreeKind::Source, 0) => 0o644,
            (TreeKind::Source, _) => 0o755,
            _ => perm,
        }
    }
}

/// What stands at one path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// A regular file with its permission bits (twelve of them) and digests.
    File {
        /// Permission bits as found.
        perm: u32,
        /// Digests of the bytes.
        content: Content,
    },
    /// A symbolic link with its target's bytes.
    Link {
        /// The target, uninterpreted.
        target: Box<[u8]>,
    },
    /// A directory with its permission bits.
    Dir {
        /// Permission bits as found.
        perm: u32,
    },
    /// Environment only: something that cannot be opened, with its full mode.
    Closed {
        /// Type and permission bits as found.
        mode: u32,
    },
}

/// One path and what stands there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where.
    pub path: TreePath,
    /// What.
    pub node: Node,
}

/// A sorted, checked tree. There is no other constructor than [`Tree::new`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    kind: TreeKind,
    entries: Vec<Entry>,
}

/// Entries that are not a tree.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// One path twice.
    #[error("{0} is there twice")]
    Twice(TreePath),
    /// Something below a path that is not a directory.
    #[error("{0} is below {1}, which is not a directory")]
    BelowFile(TreePath, TreePath),
    /// Outputs whose names some file systems take for one.
    #[error("{0} and {1} are one name where case or Unicode form is not distinguished")]
    Folds(TreePath, TreePath),
    /// Over [`MAX_ENTRIES`].
    #[error("the tree has more than {MAX_ENTRIES} entries")]
    TooMany,
    /// A node that this kind of tree cannot hold.
    #[error("{0} cannot be opened")]
    Closed(TreePath),
}

impl Tree {
    /// Sorts and checks entries. For a source tree, directories that hold something are dropped and modes are reduced to
    /// git's; for an output tree, names that fold to one another are an error.
    pub fn new(kind: TreeKind, mut entries: Vec<Entry>) -> Result<Tree, TreeError> {
        if entries.len() > MAX_ENTRIES {
            return Err(TreeError::TooMany);
        }
        // A walk gives them sorted.
        if !entries.is_sorted_by(|a, b| a.path < b.path) {
            entries.sort_unstable_by(|a, b| a.path.cmp(&b.path));
            if let Some(pair) = entries.windows(2).find(|pair| pair[0].path == pair[1].path) {
                return Err(TreeError::Twice(pair[0].path.clone()));
            }
        }
        // What is in a directory of the tree needs no more than that: the directory is an entry and is looked at as such. A source's are
        // not kept, and must be known.
        let dirs: HashSet<&[u8]> = match kind {
            TreeKind::Source => HashSet::new(),
            _ => entries.iter().filter(|e| matches!(e.node, Node::Dir { .. })).map(|e| e.path.as_bytes()).collect(),
        };
        let mut parents = HashSet::new();
        // Entries of one directory mostly follow one another: their parent is looked at once.
        let mut last: &[u8] = b"";
        for entry in &entries {
            if kind != TreeKind::Environment && matches!(entry.node, Node::Closed { .. }) {
                return Err(TreeError::Closed(entry.path.clone()));
            }
            let dir = entry.path.as_bytes().iter().rposition(|b| *b == b'/').map(|cut| &entry.path.as_bytes()[..cut]);
            if dir.is_none_or(|dir| dir == last) {
                continue;
            }
            last = dir.unwrap_or_default();
            if dirs.contains(last) {
                continue;
            }
            let mut above = entry.path.parent();
            while let Some(parent) = above {
                let found = entries.binary_search_by(|e| e.path.cmp(&parent)).map(|at| &entries[at].node);
                if found.is_ok_and(|node| !matches!(node, Node::Dir { .. })) {
                    return Err(TreeError::BelowFile(entry.path.clone(), parent));
                }
                above = parent.parent();
                if !parents.insert(parent) {
                    break;
                }
            }
        }
        if kind == TreeKind::Source {
            entries.retain(|e| !(matches!(e.node, Node::Dir { .. }) && parents.contains(&e.path)));
            for entry in &mut entries {
                match &mut entry.node {
                    Node::File { perm, .. } => *perm = kind.file_perm(*perm),
                    Node::Dir { perm } => *perm = 0o755,
                    Node::Link { .. } | Node::Closed { .. } => {}
                }
            }
        }
        let tree = Tree { kind, entries };
        if kind == TreeKind::Output
            && let Some((a, b)) = tree.folded_entries()
        {
            return Err(TreeError::Folds(a, b));
        }
        Ok(tree)
    }

    /// What kind of tree this is.
    pub fn kind(&self) -> TreeKind {
        self.kind
    }

    /// All entries, sorted by raw path.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The regular files; of an output tree, they are the subjects of a statement.
    pub fn files(&self) -> impl Iterator<Item = (&TreePath, &Content)> {
        self.entries.iter().filter_map(|entry| match &entry.node {
            Node::File { content, .. } => Some((&entry.path, content)),
            _ => None,
        })
    }

    /// The entries, to make another tree of.
    pub fn into_entries(self) -> Vec<Entry> {
        self.entries
    }

    /// Pairs of names in one directory that differ only in case or Unicode form, as some file systems do not tell them apart; sorted.
    /// Directories count whether or not they have a line.
    pub fn folding_names(&self) -> Vec<(TreePath, TreePath)> {
        let mut names: BTreeMap<&[u8], Vec<&[u8]>> = BTreeMap::new();
        let mut last: &[u8] = b"";
        for entry in &self.entries {
            let mut path = entry.path.as_bytes();
            // Up to where it parts from the entry before it.
            loop {
                let (dir, name) = match path.iter().rposition(|b| *b == b'/') {
                    Some(cut) => (&path[..cut], &path[cut + 1..]),
                    None => (&path[..0], path),
                };
                names.entry(dir).or_default().push(name);
                if dir.is_empty() || (last.starts_with(dir) && last.get(dir.len()) == Some(&b'/')) {
                    break;
                }
                path = dir;
            }
            last = entry.path.as_bytes();
        }
        let path = |dir: &[u8], name: &[u8]| match dir {
            b"" => TreePath::from_bytes(name).ok(),
            dir => TreePath::from_bytes(&[dir, b"/", name].concat()).ok(),
        };
        let pairs = names.into_iter().flat_map(|(dir, names)| {
            let pairs = folding(names.into_iter());
            pairs.into_iter().filter_map(move |(a, b)| path(dir, a).zip(path(dir, b)))
        });
        let mut pairs: Vec<_> = pairs.collect();
        pairs.sort_unstable();
        pairs
    }

    /// The first pair of entries whose whole paths differ only in case or Unicode form.
    fn folded_entries(&self) -> Option<(TreePath, TreePath)> {
        let (a, b) = folding(self.entries.iter().map(|entry| entry.path.as_bytes())).into_iter().next()?;
        TreePath::from_bytes(a).ok().zip(TreePath::from_bytes(b).ok())
    }

    /// The lines of the listing.
    pub fn lines(&self) -> impl Iterator<Item = Line> + '_ {
        self.entries.iter().map(|entry| Line::of(self.kind, entry))
    }

    /// The listing.
    pub fn listing(&self) -> String {
        let mut text = self.kind.first_line();
        self.entries.iter().for_each(|entry| entry.print(self.kind, &mut text));
        text
    }

    /// Hands out the listing line by line.
    pub fn pieces<E>(&self, write: &mut dyn FnMut(&str) -> Result<(), E>) -> Result<(), E> {
        let mut text = self.kind.first_line();
        for entry in &self.entries {
            write(&text)?;
            text.clear();
            entry.print(self.kind, &mut text);
        }
        write(&text)
    }

    /// SHA-256 of the listing, without holding it whole.
    pub fn digest(&self) -> TreeDigest {
        let mut hasher = digest::Sha256Hasher::default();
        let Ok(()) = self.pieces(&mut |piece| {
            hasher.update(piece.as_bytes());
            Ok::<_, std::convert::Infallible>(())
        });
        hasher.finish().into()
    }
}

impl Entry {
    /// Appends its line to the listing of a tree of this kind.
    pub(crate) fn print(&self, kind: TreeKind, text: &mut String) {
        let (mode, size, sha256) = self.node.fields(kind);
        listing::print_line(mode, size, sha256.as_ref(), &self.path, text);
    }
}

impl Node {
    fn fields(&self, kind: TreeKind) -> (u32, u64, Option<Sha256>) {
        match self {
            Node::File { perm, content } => (FILE | kind.file_perm(*perm), content.size, Some(content.sha256)),
            Node::Link { target } => (LINK, target.len() as u64, Some(digest::sha256(target))),
            Node::Dir { .. } if kind == TreeKind::Source => (DIR, 0, None),
            Node::Dir { perm } => (DIR | perm, 0, None),
            Node::Closed { mode } => (*mode, 0, None),
        }
    }
}

/// Pairs of names, each with the one like it before it, that differ only in case or Unicode form. What is not UTF-8 is like nothing.
pub(crate) fn folding<'n>(names: impl Iterator<Item = &'n [u8]> + Clone) -> Vec<(&'n [u8], &'n [u8])> {
    // Lower-case ASCII is its own folding, and so are most trees.
    if names.clone().all(|name| name.iter().all(|b| b.is_ascii() && !b.is_ascii_uppercase())) {
        return Vec::new();
    }
    let mut seen: HashMap<String, &[u8]> = HashMap::new();
    let mut pairs = Vec::new();
    for name in names {
        let Ok(text) = std::str::from_utf8(name) else { continue };
        let folded: String = match text.is_ascii() {
            true => text.to_ascii_lowercase(),
            false => text.nfkc().flat_map(char::to_lowercase).nfkc().collect(),
        };
        if let Some(first) = seen.insert(folded, name)
            && first != name
        {
            pairs.push((first, name));
        }
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::{Wanted, content};

    fn file(path: &[u8], perm: u32) -> Entry {
        Entry {
            path: TreePath::from_bytes(path).unwrap(),
            node: Node::File { perm, content: content(b"hello\n", Wanted::default()) },
        }
    }

    fn dir(path: &[u8]) -> Entry {
        Entry { path: TreePath::from_bytes(path).unwrap(), node: Node::Dir { perm: 0o750 } }
    }

    fn link(path: &[u8]) -> Entry {
        Entry { path: TreePath::from_bytes(path).unwrap(), node: Node::Link { target: b"hello.txt"[..].into() } }
    }

    #[test]
    fn listing_of_a_source_and_of_an_output() {
        let entries = vec![file(b"b/x", 0o4711), dir(b"b"), dir(b"e"), link(b"l"), file(b"a b\n", 0o600)];
        let source = Tree::new(TreeKind::Source, entries.clone()).unwrap();
        let hello = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";
        let target = digest::sha256(b"hello.txt");
        assert_eq!(
            source.listing(),
            format!(
                "countersign-tree v1 source\n100644 6 {hello} a b\\n\n100755 6 {hello} b/x\n040000 0 - e\n120000 9 {target} l\n"
            )
        );
        let output = Tree::new(TreeKind::Output, entries).unwrap();
        assert!(output.listing().contains(&format!("040750 0 - b\n104711 6 {hello} b/x\n")));
        for tree in [source, output] {
            assert_eq!(tree.digest().as_bytes(), digest::sha256(tree.listing().as_bytes()).as_bytes());
            let back = Listing::parse(&tree.listing()).unwrap();
            assert_eq!(back.to_string(), tree.listing());
            assert!(back.lines.iter().eq(tree.lines().collect::<Vec<_>>().iter()));
        }
    }

    #[test]
    fn sorted_by_raw_bytes_not_by_directory() {
        let tree = Tree::new(TreeKind::Source, vec![file(b"a/b", 0), file(b"a.c", 0), file(b"a", 0)]);
        assert!(matches!(tree, Err(TreeError::BelowFile(..))));
        let tree = Tree::new(TreeKind::Source, vec![file(b"a/b", 0), file(b"a.c", 0), file(b"\xff", 0)]).unwrap();
        let paths: Vec<String> = tree.lines().map(|line| line.path.escaped()).collect();
        assert_eq!(paths, ["a.c", "a/b", "\\xff"]);
    }

    #[test]
    fn names_that_fold() {
        let pair = || vec![file("É".as_bytes(), 0), file("e\u{301}".as_bytes(), 0)];
        assert!(matches!(Tree::new(TreeKind::Output, pair()), Err(TreeError::Folds(..))));
        assert_eq!(Tree::new(TreeKind::Source, pair()).unwrap().folding_names().len(), 1);
        assert!(matches!(Tree::new(TreeKind::Source, vec![file(b"a", 0), dir(b"a")]), Err(TreeError::Twice(_))));
    }
}
