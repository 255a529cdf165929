//! Debian's control files: stanzas of fields, as in `Packages`, `Release` and a package's `control` (Debian policy, chapter 5).
//!
//! ```text
//! Package: hello
//! Version: 2.10-3
//! Description: example package
//!  which goes on here
//! ```
//! Strict where readers differ: a field twice (dpkg refuses it, others take the first or the last), a separator with blanks in it, comments, a
//! carriage return, or text that is not UTF-8 are errors.

use std::io::{self, BufRead};

/// Most bytes of one stanza. The longest of Debian's have 200 KiB.
pub const MAX_STANZA: usize = 4 << 20;
/// Most fields of one stanza.
const MAX_FIELDS: usize = 256;

/// A control file that is none.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The reader's answer.
    #[error("cannot read it: {}", crate::fs::reason(.0))]
    Io(#[from] io::Error),
    /// A line against the rules.
    #[error("line {line}: {why}")]
    Line {
        /// Counted from 1.
        line: u64,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The same field twice in one stanza.
    #[error("line {line}: the field {name} is there twice")]
    Twice {
        /// That of the second one.
        line: u64,
        /// The field.
        name: String,
    },
    /// A field that must be there.
    #[error("the stanza that begins in line {line} has no field {name}")]
    Missing {
        /// The stanza's first line.
        line: u64,
        /// The field.
        name: &'static str,
    },
    /// Where one stanza is expected, there are none or several.
    #[error("it has {0} than one stanza")]
    Count(&'static str),
}

/// One stanza: fields in the order in which they stand.
#[derive(Clone, Copy, Debug)]
pub struct Stanza<'a> {
    line: u64,
    text: &'a str,
    fields: &'a [Span],
}

/// Where a field stands in the text of its stanza.
#[derive(Clone, Copy, Debug)]
struct Span {
    start: usize,
    colon: usize,
    end: usize,
}

impl<'a> Stanza<'a> {
    /// The value of a field, whose name may be written in any case: without blanks around it, with the line ends and first blanks of
    /// continuation lines.
    pub fn get(&self, name: &str) -> Option<&'a str> {
        let span = self.fields.iter().find(|span| self.text[span.start..span.colon].eq_ignore_ascii_case(name))?;
        Some(self.text[span.colon + 1..span.end].trim_matches([' ', '\t', '\n']))
    }

    /// As [`get`](Self::get), for a field that must be there.
    pub fn need(&self, name: &'static str) -> Result<&'a str, ControlError> {
        self.get(name).ok_or(ControlError::Missing { line: self.line, name })
    }

    /// Names and values, in the order in which they stand.
    pub fn fields(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let (text, fields) = (self.text, self.fields);
        fields.iter().map(move |span| {
            let value = text[span.colon + 1..span.end].trim_matches([' ', '\t', '\n']);
            (&text[span.start..span.colon], value)
        })
    }

    /// The line in which it begins, counted from 1.
    pub fn line(&self) -> u64 {
        self.line
    }
}

/// Reads stanza after stanza, in memory of one.
pub struct Stanzas<R> {
    input: R,
    line: u64,
    text: Vec<u8>,
    fields: Vec<Span>,
}

impl<R: BufRead> Stanzas<R> {
    /// Of a reader that the caller has limited.
    pub fn new(input: R) -> Stanzas<R> {
        Stanzas { input, line: 0, text: Vec::new(), fields: Vec::new() }
    }

    /// The next stanza; `None` at the end.
    // Not an iterator: each stanza borrows the buffer of the one before.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Result<Option<Stanza<'_>>, ControlError> {
        self.text.clear();
        self.fields.clear();
        let mut first = self.line + 1;
        loop {
            let start = self.text.len();
            let room = (MAX_STANZA + 1).saturating_sub(start);
            let n = io::Read::take(&mut self.input, room as u64).read_until(b'\n', &mut self.text)?;
            if n == 0 && start <= MAX_STANZA {
                break;
            }
            self.line += 1;
            if self.text.len() > MAX_STANZA {
                return Err(self.wrong("the stanza is too long"));
            }
            let line = &self.text[start..];
            if line == b"\n" {
                self.text.truncate(start);
                if self.fields.is_empty() {
                    first = self.line + 1;
                    continue;
                }
                break;
            }
            self.field(start)?;
        }
        if self.fields.is_empty() {
            return Ok(None);
        }
        match std::str::from_utf8(&self.text) {
            Ok(text) => Ok(Some(Stanza { line: first, text, fields: &self.fields })),
            Err(_) => Err(ControlError::Line { line: first, why: "the stanza is not UTF-8" }),
        }
    }

    /// Takes the line that begins at `start` as a field, or as the continuation of one.
    fn field(&mut self, start: usize) -> Result<(), ControlError> {
        let line = &self.text[start..];
        if line.iter().any(|byte| matches!(byte, 0 | b'\r')) {
            return Err(self.wrong("it has a carriage return or a NUL"));
        }
        let end = self.text.len();
        if matches!(line[0], b' ' | b'\t') {
            if line.iter().all(u8::is_ascii_whitespace) {
                return Err(self.wrong("it has nothing but blanks: to some readers that is the end of a stanza"));
            }
            return match self.fields.last_mut() {
                Some(last) => {
                    last.end = end;
                    Ok(())
                }
                None => Err(self.wrong("it goes on with a field that did not begin")),
            };
        }
        let Some(length) = line.iter().position(|byte| *byte == b':') else {
            return Err(self.wrong("it is no field: there is no colon"));
        };
        let name = &line[..length];
        if name.is_empty() || matches!(name[0], b'#' | b'-') || !name.iter().all(u8::is_ascii_graphic) {
            return Err(self.wrong("the name of the field is not one"));
        }
        let twice = |span: &Span| self.text[span.start..span.colon].eq_ignore_ascii_case(name);
        if self.fields.iter().any(twice) {
            let name = String::from_utf8_lossy(name).into_owned();
            return Err(ControlError::Twice { line: self.line, name });
        }
        if self.fields.len() == MAX_FIELDS {
            return Err(self.wrong("the stanza has too many fields"));
        }
        self.fields.push(Span { start, colon: start + length, end });
        Ok(())
    }

    fn wrong(&self, why: &'static str) -> ControlError {
        ControlError::Line { line: self.line, why }
    }
}

/// Reads a file that is one stanza, as a package's `control` is, and gives it to `with`.
pub fn one<T>(bytes: &[u8], with: impl FnOnce(Stanza<'_>) -> T) -> Result<T, ControlError> {
    let mut stanzas = Stanzas::new(bytes);
    let Some(stanza) = stanzas.next()? else { return Err(ControlError::Count("less")) };
    let answer = with(stanza);
    match stanzas.next()? {
        None => Ok(answer),
        Some(_) => Err(ControlError::Count("more")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &[u8]) -> Result<Vec<Vec<(String, String)>>, String> {
        let mut stanzas = Stanzas::new(text);
        let mut list = Vec::new();
        while let Some(stanza) = stanzas.next().map_err(|err| err.to_string())? {
            list.push(stanza.fields().map(|(name, value)| (name.to_owned(), value.to_owned())).collect());
        }
        Ok(list)
    }

    #[test]
    fn stanzas_of_fields() {
        let text = b"\n\nPackage: a\nDepends:b,\n c\nEmpty:\n\n\n\nPackage:\t d \nDescription: x\n .\n y";
        let list = all(text).unwrap();
        let of = |list: &[(&str, &str)]| -> Vec<(String, String)> {
            list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        assert_eq!(list[0], of(&[("Package", "a"), ("Depends", "b,\n c"), ("Empty", "")]));
        assert_eq!(list[1], of(&[("Package", "d"), ("Description", "x\n .\n y")]));
        assert_eq!(list.len(), 2);
        let mut stanzas = Stanzas::new(&text[..]);
        let first = stanzas.next().unwrap().unwrap();
        assert_eq!((first.line(), first.get("dEPENDS"), first.get("Depend")), (3, Some("b,\n c"), None));
        assert_eq!(
            first.need("Version").unwrap_err().to_string(),
            "the stanza that begins in line 3 has no field Version"
        );
        let second = stanzas.next().unwrap().unwrap();
        assert_eq!(second.line(), 10);
        assert!(stanzas.next().unwrap().is_none() && all(b"").unwrap().is_empty() && all(b"\n\n").unwrap().is_empty());
    }

    #[test]
    fn what_readers_disagree_about_is_refused() {
        for (text, why) in [
            (&b"A: 1\na: 2\n"[..], "line 2: the field a is there twice"),
            (b"A: 1\n \t\nB: 2\n", "line 2: it has nothing but blanks: to some readers that is the end of a stanza"),
            (b" A: 1\n", "line 1: it goes on with a field that did not begin"),
            (b"A: 1\n\n b\n", "line 3: it goes on with a field that did not begin"),
            (b"A: 1\r\n", "line 1: it has a carriage return or a NUL"),
            (b"A: \0\n", "line 1: it has a carriage return or a NUL"),
            (b"A: 1\nword\n", "line 2: it is no field: there is no colon"),
            (b"#A: 1\n", "line 1: the name of the field is not one"),
            (b"-A: 1\n", "line 1: the name of the field is not one"),
            (b": 1\n", "line 1: the name of the field is not one"),
            (b"A B: 1\n", "line 1: the name of the field is not one"),
            (b"\xc3\xa4: 1\n", "line 1: the name of the field is not one"),
            (b"A: 1\nB: \xff\n", "line 1: the stanza is not UTF-8"),
        ] {
            assert_eq!(all(text).unwrap_err(), why);
        }
    }

    #[test]
    fn limits() {
        let long = |more: usize| [b"A: ".to_vec(), vec![b'x'; MAX_STANZA - 4 + more], b"\n".to_vec()].concat();
        assert_eq!(all(&long(0)).unwrap().len(), 1);
        assert_eq!(all(&long(1)).unwrap_err(), "line 1: the stanza is too long");
        let endless = [b"A: ".to_vec(), b"x\n y".repeat(MAX_STANZA)].concat();
        assert!(all(&endless).unwrap_err().ends_with("the stanza is too long"));
        let many = |n: usize| (0..n).map(|i| format!("F{i}: \n")).collect::<String>();
        assert_eq!(all(many(MAX_FIELDS).as_bytes()).unwrap()[0].len(), MAX_FIELDS);
        assert!(all(many(MAX_FIELDS + 1).as_bytes()).unwrap_err().ends_with("too many fields"));
    }

    #[test]
    fn exactly_one() {
        assert_eq!(one(b"\nA: 1\n\n", |stanza| stanza.get("a").map(str::to_owned)).unwrap().as_deref(), Some("1"));
        assert_eq!(one(b"\n", |_| ()).unwrap_err().to_string(), "it has less than one stanza");
        assert_eq!(one(b"A: 1\n\nB: 1", |_| ()).unwrap_err().to_string(), "it has more than one stanza");
    }
}
