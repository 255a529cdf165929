//! Reading what build files plainly state. None is interpreted: what takes more than a literal to find out is not known here.

use super::{Exit, Failure};
use crate::fs;
use std::path::Path;

/// Longest build file that is looked at.
const MOST: u64 = 16 << 20;

/// A file's text; bytes that are not UTF-8 are replaced.
pub(super) fn read(path: &Path) -> Result<String, Failure> {
    Ok(String::from_utf8_lossy(&fs::read(path, MOST)?).into_owned())
}

/// A TOML file's table.
pub(super) fn read_toml(path: &Path) -> Result<toml::Table, Failure> {
    let wrong = |what: &str| Failure::usage(format!("{}: {what}", path.display()));
    let bytes = fs::read(path, MOST)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| wrong("it is not UTF-8"))?;
    toml::from_str(text).map_err(|err| wrong(err.message()))
}

/// A JSON file's object.
pub(super) fn read_json(path: &Path) -> Result<serde_json::Map<String, serde_json::Value>, Failure> {
    let bytes = fs::read(path, MOST)?;
    serde_json::from_slice(&bytes).map_err(|err| Failure::new(Exit::Usage, format!("{}: {err}", path.display())))
}

/// The arguments of the first call of `function`, split at `separators` outside quotes and brackets. Comments begin with `#` (and `dnl`,
/// where a line begins with it). Names of functions are compared without case.
pub(super) fn call(text: &str, function: &str, separators: &[char]) -> Option<Vec<String>> {
    calls(text, function, separators).into_iter().next()
}

/// The arguments of every call of `function`.
pub(super) fn calls(text: &str, function: &str, separators: &[char]) -> Vec<Vec<String>> {
    let code: String = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("dnl"))
        .map(|line| format!("{}\n", uncommented(line)))
        .collect();
    let lower = code.to_ascii_lowercase();
    let function = function.to_ascii_lowercase();
    let mut found = Vec::new();
    for (at, _) in lower.match_indices(&function) {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '.') {
            continue;
        }
        if let Some(inside) = code[at + function.len()..].trim_start().strip_prefix('(') {
            found.push(arguments(inside, separators));
        }
    }
    found
}

fn uncommented(line: &str) -> &str {
    let mut quoted = None;
    for (at, c) in line.char_indices() {
        match quoted {
            Some(q) if c == q => quoted = None,
            Some(_) => {}
            None if c == '"' || c == '\'' => quoted = Some(c),
            None if c == '#' => return &line[..at],
            None => {}
        }
    }
    line
}

fn arguments(inside: &str, separators: &[char]) -> Vec<String> {
    let (mut found, mut word, mut depth, mut quoted) = (Vec::new(), String::new(), 0_u32, None);
    for c in inside.chars() {
        match quoted {
            Some(q) if c == q => quoted = None,
            None if c == '"' || c == '\'' => quoted = Some(c),
            None if c == ')' && depth == 0 => break,
            None if separators.contains(&c) && depth == 0 => {
                found.push(std::mem::take(&mut word));
                continue;
            }
            None if c == '(' || c == '[' => depth += 1,
            None if c == ')' || c == ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        word.push(c);
    }
    found.push(word);
    found.into_iter().map(|word| bare(&word)).filter(|word| separators == [','] || !word.is_empty()).collect()
}

/// Without white space, quotes and m4's brackets around it.
fn bare(word: &str) -> String {
    let mut word = word.trim();
    for (open, close) in [('"', '"'), ('\'', '\''), ('[', ']')] {
        if let Some(inside) = word.strip_prefix(open).and_then(|rest| rest.strip_suffix(close)) {
            word = inside.trim();
        }
    }
    word.to_owned()
}

/// The value of the first line `KEY<between>'VALUE'`, as shell assignments and Python modules have it.
pub(super) fn assigned<'a>(text: &'a str, key: &str, between: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let value = line.strip_prefix(key)?.trim_start().strip_prefix(between)?.trim();
        let quote = value.chars().next().filter(|c| "'\"".contains(*c));
        Some(quote.and_then(|q| value.strip_prefix(q)?.strip_suffix(q)).unwrap_or(value))
    })
}

/// The text at the beginning of the first element with these names, from the outermost on, in an XML document; of one that holds elements
/// alone it is empty. Entities, attributes and name spaces mean nothing here.
pub(super) fn element<'a>(xml: &'a str, path: &[&str]) -> Option<&'a str> {
    let (mut rest, mut open) = (xml, Vec::new());
    loop {
        rest = &rest[rest.find('<')? + 1..];
        let end = [("!--", "-->"), ("![CDATA[", "]]>"), ("?", "?>")].iter().find(|(begin, _)| rest.starts_with(begin));
        if let Some((_, end)) = end {
            rest = &rest[rest.find(end)? + end.len()..];
            continue;
        }
        let (tag, after) = rest.split_once('>')?;
        rest = after;
        if tag.starts_with('/') {
            open.pop();
        } else if !tag.starts_with('!') && !tag.ends_with('/') {
            open.push(tag.split_ascii_whitespace().next().unwrap_or_default());
            if open == path {
                return Some(rest.split('<').next().unwrap_or_default().trim());
            }
        }
    }
}

/// The directory's own name, of such characters as a product's name may have.
pub(super) fn directory_name(dir: &Path) -> String {
    let name = dir.canonicalize().ok().and_then(|dir| Some(dir.file_name()?.to_string_lossy().into_owned()));
    let word: String = name
        .unwrap_or_default()
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || "._+~-".contains(*c))
        .take(100)
        .collect();
    let word = word.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
    if word.is_empty() { "project".to_owned() } else { word.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_read_as_their_languages_have_them() {
        let cmake = "# project(not this)\ncmake_minimum_required(VERSION 3.10)\nmy_project(x)\nPROJECT (hello\n  VERSION 1.2.3 # why\n  LANGUAGES C)\n";
        let words = call(cmake, "project", &[' ', '\n', '\t']).unwrap();
        assert_eq!(words, ["hello", "VERSION", "1.2.3", "LANGUAGES", "C"]);
        let meson = "project('hello', ['c', 'cpp'], version : '1.2', license: 'MIT')\nexecutable('a', f('x', 'y'))";
        assert_eq!(call(meson, "project", &[',']).unwrap()[2], "version : '1.2'");
        assert_eq!(call(meson, "executable", &[',']).unwrap(), ["a", "f('x', 'y')"]);
        let m4 = "dnl AC_INIT([no],[0])\nAC_INIT([GNU Hello], [2.10], [bug@example.org])\n";
        assert_eq!(call(m4, "AC_INIT", &[',']).unwrap()[..2], ["GNU Hello", "2.10"]);
        assert_eq!(call("project", "project", &[',']), None);
        assert_eq!(call("project(never closed", "project", &[',']).unwrap(), ["never closed"]);
    }

    #[test]
    fn elements_are_found_by_their_place() {
        let xml = "<?xml version=\"1.0\"?>\n<!-- <project><version>0</version> -->\n<project xmlns=\"x\">\n<parent><version>1</version></parent>\n\
                   <skip/><version>\n 2 <!-- why -->\n</version><modules>\n<module>a</module></modules><version>3</version></project>";
        assert_eq!(element(xml, &["project", "version"]), Some("2"));
        assert_eq!(element(xml, &["project", "parent", "version"]), Some("1"));
        assert_eq!(element(xml, &["project", "modules"]), Some(""));
        assert_eq!(element(xml, &["project", "skip"]), None);
        assert_eq!(element(xml, &["version"]), None);
        for broken in ["<project", "<project><!-- <version>1</version>", "<", "</project><project>"] {
            assert_eq!(element(broken, &["project", "version"]), None, "{broken}");
        }
    }

    #[test]
    fn assignments() {
        assert_eq!(assigned("A='1'\nPACKAGE_VERSION='2.10'\n", "PACKAGE_VERSION", "="), Some("2.10"));
        assert_eq!(assigned("PACKAGE_VERSION_X='1'\nPACKAGE_VERSION=3\n", "PACKAGE_VERSION", "="), Some("3"));
        assert_eq!(assigned("x = 1", "y", "="), None);
        assert_eq!(assigned("a='", "a", "="), Some("'"));
    }
}
