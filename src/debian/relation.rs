//! Relations between packages: `a (>= 1) | b:any, c` (Debian policy, chapter 7).

use super::version::{Version, VersionError};
use std::fmt;

/// Most bytes of one field. The longest of Debian's `Provides` have 60 KiB.
const MAX_TEXT: usize = 1 << 20;

/// One package, or one of several alternatives, that another one names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relation {
    /// The package.
    pub name: String,
    /// What is behind its colon: an architecture, `any` or `native`.
    pub qualifier: Option<String>,
    /// Which versions of it.
    pub version: Option<(Operator, Version)>,
}

/// How a version must compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `<<`
    Before,
    /// `<=`
    UpTo,
    /// `=`
    Exactly,
    /// `>=`
    From,
    /// `>>`
    After,
}

/// A field that is no list of relations.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RelationError {
    /// A relation against the grammar.
    #[error("{} is not a relation to a package", .0.escape_default())]
    Relation(String),
    /// Its version.
    #[error(transparent)]
    Version(#[from] VersionError),
    /// More than the limit.
    #[error("the list of packages is too long")]
    TooLong,
}

impl Operator {
    /// Whether `version` is one of those meant.
    pub fn holds(self, version: &Version, than: &Version) -> bool {
        match self {
            Operator::Before => version < than,
            Operator::UpTo => version <= than,
            Operator::Exactly => version == than,
            Operator::From => version >= than,
            Operator::After => version > than,
        }
    }
}

impl Relation {
    /// Whether `version` of the package is meant.
    pub fn admits(&self, version: &Version) -> bool {
        self.version.as_ref().is_none_or(|(operator, than)| operator.holds(version, than))
    }
}

/// All of the groups must hold, and of each group one relation.
pub fn parse(text: &str) -> Result<Vec<Vec<Relation>>, RelationError> {
    if text.len() > MAX_TEXT {
        return Err(RelationError::TooLong);
    }
    // dpkg lets a comma stand at the end.
    let text = text.trim_matches(BLANKS);
    let text = text.strip_suffix(',').unwrap_or(text);
    if text.trim_matches(BLANKS).is_empty() {
        return Ok(Vec::new());
    }
    text.split(',').map(|group| group.split('|').map(one).collect()).collect()
}

const BLANKS: [char; 3] = [' ', '\t', '\n'];

fn one(text: &str) -> Result<Relation, RelationError> {
    let text = text.trim_matches(BLANKS);
    let refuse = || RelationError::Relation(text.chars().take(200).collect());
    let (named, version) = match text.split_once('(') {
        None => (text, None),
        Some((named, rest)) => {
            let inside = rest.strip_suffix(')').ok_or_else(refuse)?.trim_matches(BLANKS);
            let length = inside.bytes().take_while(|byte| matches!(byte, b'<' | b'=' | b'>')).count();
            let operator = match &inside[..length] {
                "<<" => Operator::Before,
                "<=" => Operator::UpTo,
                "=" => Operator::Exactly,
                ">=" => Operator::From,
                ">>" => Operator::After,
                // `<` and `>` once meant `<=` and `>=`.
                _ => return Err(refuse()),
            };
            (named.trim_matches(BLANKS), Some((operator, Version::parse(inside[length..].trim_matches(BLANKS))?)))
        }
    };
    let (name, qualifier) = match named.split_once(':') {
        None => (named, None),
        Some((name, qualifier)) => (name, Some(qualifier)),
    };
    if !is_name(name) || qualifier.is_some_and(|qualifier| !is_architecture(qualifier)) {
        return Err(refuse());
    }
    Ok(Relation { name: name.to_owned(), qualifier: qualifier.map(str::to_owned), version })
}

/// Whether this is the name of a package: it becomes a part of file names. Some names that other packages provide have capitals.
pub fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.' | b'_');
    name.len() <= 200 && name.bytes().all(plain) && name.starts_with(|first: char| first.is_ascii_alphanumeric())
}

/// Whether this is the name of an architecture.
pub fn is_architecture(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    name.len() <= 64 && name.bytes().all(plain) && name.starts_with(|first: char| first.is_ascii_alphanumeric())
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Operator::Before => "<<",
            Operator::UpTo => "<=",
            Operator::Exactly => "=",
            Operator::From => ">=",
            Operator::After => ">>",
        })
    }
}

impl fmt::Display for Relation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if let Some(qualifier) = &self.qualifier {
            write!(f, ":{qualifier}")?;
        }
        match &self.version {
            Some((operator, version)) => write!(f, " ({operator} {version})"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn print(list: &[Vec<Relation>]) -> String {
        let group = |group: &Vec<Relation>| group.iter().map(Relation::to_string).collect::<Vec<_>>().join(" | ");
        list.iter().map(group).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn lists_of_alternatives() {
        let list = parse(" a (>=1:2-3)|b:any,\n c ( << 4~ ) ,d:amd64 (=1)").unwrap();
        assert_eq!(print(&list), "a (>= 1:2-3) | b:any, c (<< 4~), d:amd64 (= 1)");
        assert_eq!(parse(&print(&list)).unwrap(), list);
        assert_eq!(print(&parse("a,").unwrap()), "a");
        assert!(parse("").unwrap().is_empty() && parse(" \n").unwrap().is_empty());
        let admits = |text: &str, version: &str| parse(text).unwrap()[0][0].admits(&Version::parse(version).unwrap());
        for (operator, holds) in [
            ("<<", [true, false, false]),
            ("<=", [true, true, false]),
            ("=", [false, true, false]),
            (">=", [false, true, true]),
            (">>", [false, false, true]),
        ] {
            assert_eq!(["1", "2-0", "3"].map(|version| admits(&format!("a ({operator} 2)"), version)), holds);
        }
        assert!(admits("a", "1"));
    }

    #[test]
    fn text_that_is_no_relation() {
        for text in [
            "a,,b",
            "|",
            "a |",
            "a (1)",
            "a (< 1)",
            "a (> 1)",
            "a (== 1)",
            "a (>= )",
            "a (>= 1",
            "a (>= 1) b",
            "a >= 1",
            "a [amd64]",
            "a <!nocheck>",
            "../a",
            "a/b",
            ".a",
            "-a",
            "a:",
            "a:b/c",
            "a:AMD64",
            "a:amd64:any",
            "\u{e4}",
            "a (>= 1/2)",
            "a (>= 1) (<< 2)",
            "${misc:Depends}",
            ",",
        ] {
            let outcome = parse(text);
            assert!(outcome.is_err() || (text == "," && outcome == Ok(Vec::new())), "{text}: {outcome:?}");
        }
        assert_eq!(parse(&"a,".repeat(MAX_TEXT)).unwrap_err(), RelationError::TooLong);
        assert!(is_name(&"a".repeat(200)) && !is_name(&"a".repeat(201)) && !is_name(""));
    }
}
