//! Listings: the text of a tree, line by line, and the text read back. What it looks like, [`crate::tree`] says.

use super::{DIR, Entry, FILE, LINK, MAX_ENTRIES, TYPE_BITS, TreeKind, folding};
use crate::digest::{self, Sha256, TreeDigest};
use crate::path::{PathRefused, TreePath};
use std::fmt;

/// One line of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Type and permission bits.
    pub mode: u32,
    /// Size in bytes.
    pub size: u64,
    /// SHA-256, or `None` for `-`.
    pub sha256: Option<Sha256>,
    /// Path.
    pub path: TreePath,
}

impl Line {
    pub(super) fn of(kind: TreeKind, entry: &Entry) -> Line {
        let (mode, size, sha256) = entry.node.fields(kind);
        Line { mode, size, sha256, path: entry.path.clone() }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        print_line(self.mode, self.size, self.sha256.as_ref(), &self.path, &mut text);
        f.write_str(text.trim_end_matches('\n'))
    }
}

/// Appends one line. Not by `write!`: there are millions of them.
pub(super) fn print_line(mode: u32, size: u64, sha256: Option<&Sha256>, path: &TreePath, text: &mut String) {
    text.extend((0..6).rev().map(|digit| char::from(b'0' + (mode >> (3 * digit) & 7) as u8)));
    text.push(' ');
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut rest = size;
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    text.extend(digits[at..].iter().copied().map(char::from));
    text.push(' ');
    match sha256 {
        Some(sha256) => sha256.print(text),
        None => text.push('-'),
    }
    text.push(' ');
    path.escape_to(text);
    text.push('\n');
}

/// Digest of the output listing that these lines, which are sorted, make.
pub fn output_digest(lines: &[Line]) -> TreeDigest {
    let mut hasher = digest::Sha256Hasher::default();
    hasher.update(format!("{}\n", TreeKind::Output.header()).as_bytes());
    for line in lines {
        hasher.update(format!("{line}\n").as_bytes());
    }
    TreeDigest::from_bytes(*hasher.finish().as_bytes())
}

/// A listing read back from text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// What it lists.
    pub kind: TreeKind,
    /// Its lines, sorted.
    pub lines: Vec<Line>,
}

/// Text that is not a listing; the number is the line's, from 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListingError {
    /// The first line is not one that this version knows.
    #[error("line 1 is not `countersign-tree v1 source`, `… output` or `… environment`")]
    Header,
    /// The last line has no line feed.
    #[error("the last line does not end with a line feed")]
    Unterminated,
    /// A line that no tree prints.
    #[error("line {0} is not `mode size sha256 path`")]
    Line(usize),
    /// A path that no tree holds.
    #[error("line {0}: {1}")]
    Path(usize, PathRefused),
    /// Not sorted, or twice the same path.
    #[error("line {0} is not after the one before it")]
    Order(usize),
    /// Above it stands what is no directory, or nothing where there must be one; or a directory of a source tree that is not empty.
    #[error("line {0}: no tree has this above it: {1}")]
    Above(usize, TreePath),
    /// Outputs whose names some file systems take for one.
    #[error("{0} and {1} are one name where case or Unicode form is not distinguished")]
    Folds(TreePath, TreePath),
    /// Over [`MAX_ENTRIES`].
    #[error("the listing has more than {MAX_ENTRIES} lines")]
    TooMany,
}

impl Listing {
    /// Reads a listing. What it takes, it prints again byte for byte.
    pub fn parse(text: &str) -> Result<Listing, ListingError> {
        let body = text.strip_suffix('\n').ok_or(ListingError::Unterminated)?;
        let mut rows = body.split('\n');
        let header = rows.next().unwrap_or_default();
        let kind = [TreeKind::Source, TreeKind::Output, TreeKind::Environment]
            .into_iter()
            .find(|kind| kind.header() == header)
            .ok_or(ListingError::Header)?;
        let mut lines: Vec<Line> = Vec::new();
        for (at, row) in rows.enumerate() {
            let number = at + 2;
            if at == MAX_ENTRIES {
                return Err(ListingError::TooMany);
            }
            let line = parse_line(kind, row, number)?;
            if lines.last().is_some_and(|last| last.path >= line.path) {
                return Err(ListingError::Order(number));
            }
            lines.push(line);
        }
        let listing = Listing { kind, lines };
        listing.is_a_tree()?;
        Ok(listing)
    }

    /// Whether its entries could stand together; the lines are sorted. Looks for what is below each, not for all that is above: a path can
    /// have two thousand directories above it.
    fn is_a_tree(&self) -> Result<(), ListingError> {
        let lines = &self.lines;
        let first_from = |key: &[u8]| lines.partition_point(|line| line.path.as_bytes() < key);
        for (at, line) in lines.iter().enumerate() {
            if self.kind == TreeKind::Source || line.mode & TYPE_BITS != DIR {
                let below = [line.path.as_bytes(), b"/"].concat();
                let first = first_from(&below);
                if lines.get(first).is_some_and(|other| other.path.as_bytes().starts_with(&below)) {
                    return Err(ListingError::Above(first + 2, line.path.clone()));
                }
            }
            if self.kind == TreeKind::Output
                && let Some(dir) = line.path.parent()
                && lines.get(first_from(dir.as_bytes())).is_none_or(|found| found.path != dir)
            {
                return Err(ListingError::Above(at + 2, dir));
            }
        }
        if self.kind == TreeKind::Output
            && let Some((a, b)) = folding(lines.iter().map(|line| line.path.as_bytes())).into_iter().next()
        {
            let line = |path: &[u8]| lines[first_from(path)].path.clone();
            return Err(ListingError::Folds(line(a), line(b)));
        }
        Ok(())
    }
}

fn parse_line(kind: TreeKind, row: &str, number: usize) -> Result<Line, ListingError> {
    let bad = || ListingError::Line(number);
    let mut fields = row.splitn(4, ' ');
    let mut field = || fields.next().ok_or_else(bad);
    let (mode, size, sha256, path) = (field()?, field()?, field()?, field()?);
    if mode.len() != 6 || !mode.bytes().all(|b| (b'0'..b'8').contains(&b)) {
        return Err(bad());
    }
    let line = Line {
        mode: u32::from_str_radix(mode, 8).map_err(|_| bad())?,
        size: size.parse().map_err(|_| bad())?,
        sha256: match sha256 {
            "-" => None,
            hex => Some(hex.parse().map_err(|_| bad())?),
        },
        path: TreePath::from_escaped(path).map_err(|err| ListingError::Path(number, err))?,
    };
    let (kind_bits, perm) = (line.mode & TYPE_BITS, line.mode & !TYPE_BITS);
    let shape_holds = match (kind, kind_bits, line.sha256.is_some()) {
        (TreeKind::Source, FILE, true) => matches!(perm, 0o644 | 0o755),
        (_, LINK, true) => perm == 0,
        (TreeKind::Source, DIR, false) => perm == 0 && line.size == 0,
        (TreeKind::Output | TreeKind::Environment, FILE, true) => true,
        (TreeKind::Output | TreeKind::Environment, DIR, false) => line.size == 0,
        (TreeKind::Environment, _, false) => line.size == 0,
        _ => false,
    };
    if shape_holds && line.to_string() == row { Ok(line) } else { Err(bad()) }
}

impl fmt::Display for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.kind.header())?;
        self.lines.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_has_one_spelling() {
        let hello = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";
        for (text, err) in [
            (format!("countersign-tree v2 source\n100644 6 {hello} a\n"), ListingError::Header),
            (format!("countersign-tree v1 source\n100644 6 {hello} a"), ListingError::Unterminated),
            (format!("countersign-tree v1 source\n100644 06 {hello} a\n"), ListingError::Line(2)),
            (format!("countersign-tree v1 source\n100600 6 {hello} a\n"), ListingError::Line(2)),
            (format!("countersign-tree v1 source\n100644 6 {} a\n", hello.to_uppercase()), ListingError::Line(2)),
            ("countersign-tree v1 source\n100644 0 - a\n".into(), ListingError::Line(2)),
            (
                format!("countersign-tree v1 source\n100644 6 {hello} ../a\n"),
                ListingError::Path(2, PathRefused::DotPart),
            ),
            (format!("countersign-tree v1 source\n100644 6 {hello} b\n100644 6 {hello} a\n"), ListingError::Order(3)),
            (format!("countersign-tree v1 source\n100644 6 {hello} a\n\n"), ListingError::Line(3)),
        ] {
            assert_eq!(Listing::parse(&text), Err(err), "{text}");
        }
    }
}
