//! Paths inside a tree.
//!
//! A [`TreePath`] is bytes, not text: what a file system can hold, a listing can hold. It cannot hold what would let
//! it leave the tree: a root, an empty part, `.`, `..` or NUL. In text (listings, statements, terminals) it has exactly one
//! form, [`TreePath::escaped`]:
//!
//! | byte | written as |
//! |---|---|
//! | backslash | `\\` |
//! | line feed | `\n` |
//! | carriage return | `\r` |
//! | a byte that is not part of well-formed UTF-8 | `\xhh`, lower-case hex |
//! | anything else | itself |

use std::fmt;

/// Longest path inside a tree, in bytes (Linux `PATH_MAX`).
pub const MAX_PATH: usize = 4096;

/// A relative path of one or more parts, raw bytes joined by `/`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TreePath(Box<[u8]>);

/// Why bytes or text are not a [`TreePath`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathRefused {
    /// No bytes at all.
    #[error("the path is empty")]
    Empty,
    /// Begins with `/`.
    #[error("the path is absolute")]
    Absolute,
    /// `a//b`, or a slash at the end.
    #[error("the path has an empty part")]
    EmptyPart,
    /// A part is `.` or `..`.
    #[error("the path has a part `.` or `..`")]
    DotPart,
    /// A NUL byte.
    #[error("the path has a NUL byte")]
    Nul,
    /// Over [`MAX_PATH`] bytes.
    #[error("the path is longer than {MAX_PATH} bytes")]
    TooLong,
    /// The text is not what [`TreePath::escaped`] would print.
    #[error("the path is not escaped as a listing escapes it")]
    Escape,
}

impl TreePath {
    /// Checks raw bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<TreePath, PathRefused> {
        if bytes.is_empty() {
            return Err(PathRefused::Empty);
        }
        if bytes.len() > MAX_PATH {
            return Err(PathRefused::TooLong);
        }
        if bytes[0] == b'/' {
            return Err(PathRefused::Absolute);
        }
        if bytes.contains(&0) {
            return Err(PathRefused::Nul);
        }
        for part in bytes.split(|b| *b == b'/') {
            match part {
                b"" => return Err(PathRefused::EmptyPart),
                b"." | b".." => return Err(PathRefused::DotPart),
                _ => {}
            }
        }
        Ok(TreePath(bytes.into()))
    }

    /// Reads the one text form back. Any other spelling of the same bytes is refused.
    pub fn from_escaped(text: &str) -> Result<TreePath, PathRefused> {
        let mut raw = Vec::with_capacity(text.len());
        let mut rest = text.as_bytes();
        while let Some((&first, tail)) = rest.split_first() {
            if first != b'\\' {
                raw.push(first);
                rest = tail;
                continue;
            }
            match tail {
                [b'\\', tail @ ..] => (raw.push(b'\\'), rest = tail).1,
                [b'n', tail @ ..] => (raw.push(b'\n'), rest = tail).1,
                [b'r', tail @ ..] => (raw.push(b'\r'), rest = tail).1,
                [b'x', high, low, tail @ ..] => {
                    let digit = |d: &u8| (*d as char).to_digit(16).ok_or(PathRefused::Escape);
                    raw.push((digit(high)? * 16 + digit(low)?) as u8);
                    rest = tail;
                }
                _ => return Err(PathRefused::Escape),
            }
        }
        let path = TreePath::from_bytes(&raw)?;
        // One value, one encoding: `\x41` for `A` would be a second spelling.
        if path.escaped() != text {
            return Err(PathRefused::Escape);
        }
        Ok(path)
    }

    /// The raw bytes, by which trees are sorted.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text form; see the module's table.
    pub fn escaped(&self) -> String {
        let mut out = String::with_capacity(self.0.len());
        self.escape_to(&mut out);
        out
    }

    /// Appends the text form.
    pub(crate) fn escape_to(&self, out: &mut String) {
        // Nearly every path is its own text.
        if let Ok(text) = std::str::from_utf8(&self.0)
            && !self.0.iter().any(|b| matches!(b, b'\\' | b'\n' | b'\r'))
        {
            return out.push_str(text);
        }
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                match c {
                    '\\' => out.push_str("\\\\"),
                    '\n' => out.push_str("\\n"),
                    '\r' => out.push_str("\\r"),
                    c => out.push(c),
                }
            }
            for byte in chunk.invalid() {
                out.push_str(&format!("\\x{byte:02x}"));
            }
        }
    }

    /// The parts, outermost first; never empty.
    pub fn parts(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        self.0.split(|b| *b == b'/')
    }

    /// The directory this is in, or `None` at the top of the tree.
    pub fn parent(&self) -> Option<TreePath> {
        let cut = self.0.iter().rposition(|b| *b == b'/')?;
        Some(TreePath(self.0[..cut].into()))
    }

    /// This path with one more part; the part is checked.
    pub fn join(&self, part: &[u8]) -> Result<TreePath, PathRefused> {
        let whole = [&self.0, b"/".as_slice(), part].concat();
        match part {
            // A part is nearly always plain; then this path need not be looked at again.
            [first, ..] if *first != b'.' && whole.len() <= MAX_PATH && !part.iter().any(|b| matches!(b, 0 | b'/')) => {
                Ok(TreePath(whole.into()))
            }
            _ => TreePath::from_bytes(&whole),
        }
    }

    /// The same path for the operating system, still relative.
    #[cfg(unix)]
    pub fn to_os(&self) -> &std::path::Path {
        use std::os::unix::ffi::OsStrExt;
        std::path::Path::new(std::ffi::OsStr::from_bytes(&self.0))
    }
}

impl fmt::Display for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.escaped())
    }
}

impl fmt::Debug for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TreePath({})", self.escaped())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_text_form_each_way() {
        for raw in [&b"a"[..], b"a/b c", b"a\\b", b"l\nf\r", b"\xff\xfe/x", "ü/é".as_bytes(), b"\x1b[31m", b"a\xc3"] {
            let path = TreePath::from_bytes(raw).unwrap();
            let back = TreePath::from_escaped(&path.escaped()).unwrap();
            assert_eq!(back, path);
            assert_eq!(back.as_bytes(), raw);
        }
        for text in ["\\x41", "\\xFF", "\\xf", "\\t", "a\\", "a\nb", "\\xc3\\xa9"] {
            assert_eq!(TreePath::from_escaped(text), Err(PathRefused::Escape), "{text:?}");
        }
    }

    #[test]
    fn a_joined_part_is_checked_as_the_whole_is() {
        let long = vec![b'n'; MAX_PATH - 3];
        for part in [&b"b"[..], b".b", b"..", b".", b"", b"b/c", b"b/../c", b"b\0", b"/", b"b/", &long, &long[1..]] {
            let whole = [b"a/b/".as_slice(), part].concat();
            let joined = TreePath::from_bytes(b"a/b").unwrap().join(part);
            assert_eq!(joined, TreePath::from_bytes(&whole), "{part:?}");
        }
    }

    #[test]
    fn nothing_that_leaves_the_tree() {
        for (raw, why) in [
            (&b""[..], PathRefused::Empty),
            (b"/a", PathRefused::Absolute),
            (b"a//b", PathRefused::EmptyPart),
            (b"a/", PathRefused::EmptyPart),
            (b".", PathRefused::DotPart),
            (b"a/../b", PathRefused::DotPart),
            (b"a\0b", PathRefused::Nul),
        ] {
            assert_eq!(TreePath::from_bytes(raw), Err(why));
        }
    }
}
