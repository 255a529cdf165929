//! Strict JSON. The only door to `serde_json`.
//!
//! Two parsers that read one document differently are how a signed statement comes to say two things. So [`parse`] first
//! walks the whole document and refuses what parsers disagree about: a key given twice in one object (compared after
//! `\u` escapes are resolved, and also when the two differ only in ASCII case), depth over [`MAX_DEPTH`], more than
//! [`MAX_VALUES`] values, anything after the value, a byte order mark, lone surrogates, invalid UTF-8, NaN. Only then are the same bytes read into
//! a type. Unknown fields are the type's business: `#[serde(deny_unknown_fields)]` where the format is closed.

mod objects;

use serde::de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use std::cell::Cell;
use std::collections::HashSet;
use std::fmt;

/// Deepest nesting of arrays and objects.
pub const MAX_DEPTH: usize = 32;
/// Most values (of any kind) in one document.
pub const MAX_VALUES: usize = 4_000_000;

/// A JSON document that is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// Over the caller's limit.
    #[error("it is {0} bytes long; the limit is {1}")]
    TooLong(usize, usize),
    /// Not JSON, or not the expected shape; the text names line and column.
    #[error("{0}")]
    Refused(String),
}

/// Reads one document of at most `limit` bytes into `T`.
pub fn parse<'a, T: Deserialize<'a>>(bytes: &'a [u8], limit: usize) -> Result<T, JsonError> {
    Document::check(bytes, limit)?.read()
}

/// Bytes that are one document that all parsers read alike. What it says is another matter.
#[derive(Clone, Copy, Debug)]
pub struct Document<'a>(&'a [u8]);

impl<'a> Document<'a> {
    /// Walks a document of at most `limit` bytes.
    pub fn check(bytes: &'a [u8], limit: usize) -> Result<Document<'a>, JsonError> {
        if bytes.len() > limit {
            return Err(JsonError::TooLong(bytes.len(), limit));
        }
        let values = Cell::new(0);
        let mut de = serde_json::Deserializer::from_slice(bytes);
        Check { depth: 0, values: &values }.deserialize(&mut de).map_err(refuse)?;
        de.end().map_err(refuse)?;
        Ok(Document(bytes))
    }

    /// Reads it into `T`.
    pub fn read<T: Deserialize<'a>>(self) -> Result<T, JsonError> {
        let mut de = serde_json::Deserializer::from_slice(self.0);
        T::deserialize(objects::Objects(&mut de)).map_err(refuse)
    }
}

fn refuse(err: serde_json::Error) -> JsonError {
    JsonError::Refused(err.to_string())
}

/// A value as compact JSON: no spaces, fields in the order of the type, maps sorted. Types of this crate that are written
/// hold no floats and no maps with keys other than strings, so this cannot fail.
pub fn print<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_else(|err| unreachable!("a type of ours did not serialise: {err}"))
}

/// As [`print()`], with what is [`hidden`] as `\u` escapes: the same document, harmless on a terminal.
pub fn print_harmless<T: Serialize>(value: &T) -> String {
    let text = serde_json::to_string(value);
    escape_hidden(&text.unwrap_or_else(|err| unreachable!("a type of ours did not serialise: {err}")))
}

/// Characters that a terminal obeys or that reorder or hide text: control characters, bidirectional overrides, line and paragraph separators
/// and other invisible format characters.
pub fn hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// In JSON such a character is part of a string, where an escape says the same.
fn escape_hidden(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if hidden(c) && c != '\n' {
            let mut units = [0; 2];
            c.encode_utf16(&mut units).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}")));
        } else {
            out.push(c);
        }
    }
    out
}

/// A value as part of another document.
pub fn value<T: Serialize>(value: &T) -> Value {
    serde_json::to_value(value).unwrap_or_else(|err| unreachable!("a type of ours did not serialise: {err}"))
}

/// Any JSON value, for fields that are carried and not read.
pub type Value = serde_json::Value;

#[derive(Clone, Copy)]
struct Check<'a> {
    depth: usize,
    values: &'a Cell<usize>,
}

impl Check<'_> {
    fn deeper<E: de::Error>(self) -> Result<Self, E> {
        if self.depth == MAX_DEPTH {
            return Err(E::custom(format_args!("nested deeper than {MAX_DEPTH}")));
        }
        Ok(Check { depth: self.depth + 1, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Check<'_> {
    type Value = ();

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        self.values.set(self.values.get() + 1);
        if self.values.get() > MAX_VALUES {
            return Err(de::Error::custom(format_args!("more than {MAX_VALUES} values")));
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Check<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let inner = self.deeper()?;
        while seq.next_element_seed(inner)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let inner = self.deeper()?;
        let mut seen = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            // Go's parser matches names without regard to case: `Subject` beside `subject` would be read as either.
            if !seen.insert(key.to_ascii_lowercase()) {
                return Err(de::Error::custom(format_args!("the key {key:?} is there twice")));
            }
            map.next_value_seed(inner)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &[u8]) -> String {
        parse::<Value>(text, 1 << 20).unwrap_err().to_string()
    }

    #[test]
    fn what_parsers_disagree_about_is_refused() {
        for (text, why) in [
            (&br#"{"a":1,"a":2}"#[..], "twice"),
            (br#"{"a":1,"\u0061":2}"#, "twice"),
            (br#"{"a":1,"A":2}"#, "twice"),
            (br#"[{"b":{"a":1,"a":1}}]"#, "twice"),
            (br#"{} {}"#, "trailing"),
            (b"\xef\xbb\xbf{}", "expected value"),
            (br#"NaN"#, "expected"),
            (br#""\ud800""#, "escape"),
            (b"\"\xff\"", "unicode"),
            (br#"{"a":1,}"#, "trailing comma"),
            (b"1e999", "out of range"),
        ] {
            let said = refused(text);
            assert!(said.contains(why), "{}: {said}", String::from_utf8_lossy(text));
        }
        assert_eq!(parse::<Value>(b"[1]", 2), Err(JsonError::TooLong(3, 2)));
    }

    /// Found by fuzzing: a number was read as the double beside the one that other parsers read.
    #[test]
    fn a_number_is_the_nearest_double() {
        for text in [
            "116000000000000000000000000000000000.000000000000000000000000000000000",
            "1.7976931348623158e308",
            "5e-324",
        ] {
            let value: Value = parse(text.as_bytes(), 1000).unwrap();
            assert_eq!(value.as_f64(), text.parse().ok(), "{text}");
            assert_eq!(parse::<Value>(&print(&value), 1000), Ok(value), "{text}");
        }
        assert!(refused(b"1.7976931348623159e308").contains("out of range"), "the nearest is infinite");
    }

    #[test]
    fn what_is_hidden_is_shown_and_means_the_same() {
        let value = Value::from("a\u{9b}2J\u{7f}\u{202e}\u{2066}\u{e0001}\n\u{2028}\u{feff} \u{e4}\u{1f600}");
        let text = print_harmless(&value);
        assert_eq!(text, "\"a\\u009b2J\\u007f\\u202e\\u2066\\udb40\\udc01\\n\\u2028\\ufeff \u{e4}\u{1f600}\"");
        assert!(!text.chars().any(hidden), "{text:?}");
        assert_eq!(parse::<Value>(text.as_bytes(), 1000), Ok(value));
    }

    #[test]
    fn an_array_is_no_struct() {
        #[derive(Deserialize, Debug, PartialEq)]
        struct Inner {
            a: u8,
        }
        #[derive(Deserialize, Debug, PartialEq)]
        struct Outer {
            one: Option<Inner>,
            many: Vec<Inner>,
        }
        let read = |text: &[u8]| parse::<Outer>(text, 1000);
        let good = Outer { one: Some(Inner { a: 1 }), many: vec![Inner { a: 2 }] };
        assert_eq!(read(br#"{"one":{"a":1},"many":[{"a":2}]}"#), Ok(good));
        for text in [&br#"[{"a":1},[{"a":2}]]"#[..], br#"{"one":[1],"many":[]}"#, br#"{"one":null,"many":[[2]]}"#] {
            let said = read(text).unwrap_err().to_string();
            assert!(said.contains("sequence"), "{said}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        let nest = |n: usize| [vec![b'['; n], vec![b']'; n]].concat();
        assert!(parse::<Value>(&nest(MAX_DEPTH), 1000).is_ok());
        assert!(refused(&nest(MAX_DEPTH + 1)).contains("nested deeper"));
        assert!(refused(&nest(500_000)).contains("nested deeper"));
    }
}
