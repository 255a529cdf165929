//! What differs between two trees or two files. Pure: lines and readers in, differences out.

use crate::path::TreePath;
use crate::tree::{DIR, FILE, LINK, Line, TYPE_BITS};
use std::io::{self, Read};

/// One path at which two trees differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Where.
    pub path: TreePath,
    /// In what. Never empty.
    pub what: Vec<What>,
    /// The line on the left, if there is one.
    pub a: Option<Line>,
    /// The line on the right, if there is one.
    pub b: Option<Line>,
}

/// In what two entries differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Only on the left.
    OnlyA,
    /// Only on the right.
    OnlyB,
    /// A file here, a directory or a link there.
    Type(&'static str, &'static str),
    /// Permission bits.
    Mode(u32, u32),
    /// Length in bytes.
    Size(u64, u64),
    /// The bytes, or where a link points.
    Content,
}

impl What {
    /// In words, with names for the two sides: `size 77 signed, 91 here`.
    pub fn words(&self, a: &str, b: &str) -> String {
        match self {
            What::OnlyA => format!("only {a}"),
            What::OnlyB => format!("only {b}"),
            What::Type(x, y) => format!("a {x} {a}, a {y} {b}"),
            What::Mode(x, y) => format!("mode {x:04o} {a}, {y:04o} {b}"),
            What::Size(x, y) => format!("size {x} {a}, {y} {b}"),
            What::Content => "content".to_owned(),
        }
    }

    /// A word for machines.
    pub fn word(&self) -> &'static str {
        match self {
            What::OnlyA => "only-a",
            What::OnlyB => "only-b",
            What::Type(..) => "type",
            What::Mode(..) => "mode",
            What::Size(..) => "size",
            What::Content => "content",
        }
    }
}

/// Walks two sorted lists of lines side by side. Empty means equal.
pub fn lines(a: &[Line], b: &[Line]) -> Vec<Difference> {
    let (mut a, mut b) = (a.iter().peekable(), b.iter().peekable());
    let mut found = Vec::new();
    loop {
        let order = match (a.peek(), b.peek()) {
            (None, None) => return found,
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(left), Some(right)) => left.path.cmp(&right.path),
        };
        let (left, right) = match order {
            std::cmp::Ordering::Less => (a.next(), None),
            std::cmp::Ordering::Greater => (None, b.next()),
            std::cmp::Ordering::Equal => (a.next(), b.next()),
        };
        let what = match (left, right) {
            (Some(left), Some(right)) => entry(left, right),
            (Some(_), None) => vec![What::OnlyA],
            (None, _) => vec![What::OnlyB],
        };
        if let (false, Some(line)) = (what.is_empty(), left.or(right)) {
            found.push(Difference { path: line.path.clone(), what, a: left.cloned(), b: right.cloned() });
        }
    }
}

fn entry(a: &Line, b: &Line) -> Vec<What> {
    if a.mode & TYPE_BITS != b.mode & TYPE_BITS {
        return vec![What::Type(type_word(a.mode), type_word(b.mode))];
    }
    let mut what = Vec::new();
    if a.mode != b.mode {
        what.push(What::Mode(a.mode & !TYPE_BITS, b.mode & !TYPE_BITS));
    }
    if a.size != b.size {
        what.push(What::Size(a.size, b.size));
    }
    if a.sha256 != b.sha256 {
        what.push(What::Content);
    }
    what
}

fn type_word(mode: u32) -> &'static str {
    match mode & TYPE_BITS {
        FILE => "file",
        DIR => "directory",
        LINK => "link",
        _ => "special",
    }
}

/// The offset of the first byte at which two streams differ, or `None` when they are equal to the end.
pub fn first_difference(mut a: impl Read, mut b: impl Read) -> io::Result<Option<u64>> {
    let (mut left, mut right) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    let mut offset = 0;
    loop {
        let (n, m) = (fill(&mut a, &mut left)?, fill(&mut b, &mut right)?);
        if let Some(at) = left[..n].iter().zip(&right[..m]).position(|(x, y)| x != y) {
            return Ok(Some(offset + at as u64));
        }
        if n != m {
            return Ok(Some(offset + n.min(m) as u64));
        }
        if n == 0 {
            return Ok(None);
        }
        offset += n as u64;
    }
}

/// Reads until the buffer is full or the stream ends, so that two streams stay in step.
fn fill(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut have = 0;
    while have < buffer.len() {
        match from.read(&mut buffer[have..]) {
            Ok(0) => break,
            Ok(n) => have += n,
            Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
            Err(err) => return Err(err),
        }
    }
    Ok(have)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Listing;

    fn listing(rows: &[&str]) -> Vec<Line> {
        Listing::parse(&format!("countersign-tree v1 output\n{}\n", rows.join("\n"))).unwrap().lines
    }

    #[test]
    fn every_kind_of_difference() {
        let (x, y) = ("a".repeat(64), "b".repeat(64));
        let a = listing(&[
            &format!("100644 1 {x} a"),
            &format!("100644 1 {x} b"),
            &format!("100644 1 {x} c"),
            "040755 0 - d",
        ]);
        let b = listing(&[
            &format!("100644 1 {x} a"),
            &format!("100755 2 {y} b"),
            &format!("120000 1 {x} c"),
            &format!("100644 1 {x} e"),
        ]);
        assert_eq!(lines(&a, &a), []);
        let what: Vec<(String, Vec<What>)> = lines(&a, &b).into_iter().map(|d| (d.path.escaped(), d.what)).collect();
        assert_eq!(
            what,
            [
                ("b".to_owned(), vec![What::Mode(0o644, 0o755), What::Size(1, 2), What::Content]),
                ("c".to_owned(), vec![What::Type("file", "link")]),
                ("d".to_owned(), vec![What::OnlyA]),
                ("e".to_owned(), vec![What::OnlyB]),
            ]
        );
    }

    #[test]
    fn the_first_offset() {
        let long = vec![7u8; 200_000];
        let mut other = long.clone();
        other[150_000] = 8;
        assert_eq!(first_difference(&long[..], &long[..]).unwrap(), None);
        assert_eq!(first_difference(&long[..], &other[..]).unwrap(), Some(150_000));
        assert_eq!(first_difference(&long[..], &long[..199_999]).unwrap(), Some(199_999));
        assert_eq!(first_difference(&b""[..], &b"x"[..]).unwrap(), Some(0));
    }
}
