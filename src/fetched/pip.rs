//! Requirements files of pip with hashes, and which of the files that an index has are taken.

use super::{Item, Named, word};
use crate::digest::Sha256;
use crate::lock::Class;
use std::collections::BTreeSet;

/// An option without a value that changes nothing here: hashes are always required.
const REQUIRE_HASHES: &str = "--require-hashes";
/// Options with one value that change nothing here: who is asked is for the mirrors to say.
const OF_AN_INDEX: [&str; 6] = ["-i", "--index-url", "--extra-index-url", "-f", "--find-links", "--trusted-host"];
/// Endings of source distributions.
const SDISTS: [&str; 2] = [".tar.gz", ".zip"];

/// What it names: `NAME==VERSION --hash=sha256:… …` in each line, and nothing else. What pip could read in another way is refused.
pub fn items(text: &str) -> Result<Vec<Item>, String> {
    let mut items = Vec::new();
    for (number, line) in lines(text)? {
        let refused = |why: &str| format!("line {number}: {why}");
        if line.contains('\\') || line.contains("${") {
            return Err(refused("a backslash that does not continue it, or a variable, is not supported"));
        }
        let words: Vec<&str> = line.split(' ').collect();
        if line.starts_with('-') {
            match is_without_effect(&words) {
                true => continue,
                false => return Err(refused(&not_supported(&words))),
            }
        }
        let options = words.iter().position(|word| word.starts_with('-')).unwrap_or(words.len());
        let (wanted, hashes) = (words[..options].join(" "), &words[options..]);
        if hashes.is_empty() {
            return Err(refused("it has no --hash"));
        }
        let (wanted, marker) =
            wanted.split_once(';').map_or((&*wanted, None), |(wanted, marker)| (wanted, Some(marker)));
        let plain = "it is not NAME==VERSION: files, URLs and ranges of versions are not supported";
        let (name, version) = wanted.split_once("==").ok_or_else(|| refused(plain))?;
        let name = without_extras(name.trim()).ok_or_else(|| refused(plain))?;
        let version = version.trim();
        let of_version = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'+' | b'-' | b'_' | b'!');
        if !is_project(name) || version.is_empty() || !version.bytes().all(of_version) {
            return Err(refused(plain));
        }
        if marker.is_some_and(|marker| marker.trim().is_empty()) {
            return Err(refused("nothing is behind its ;"));
        }
        items.push(Item {
            class: Class::Python,
            path: None,
            name: word("the name", &normal(name))?,
            version: word("the version", version)?,
            digest: Named::Sha256(sums(hashes).ok_or_else(|| refused("not all of its hashes are sha256"))?),
            conditional: marker.is_some(),
        });
    }
    Ok(items)
}

/// Whether these words are one known option, and nothing else.
fn is_without_effect(words: &[&str]) -> bool {
    let is_value = |value: &str| !value.is_empty() && !value.starts_with('-') && !value.contains(['"', '\'']);
    match words {
        [REQUIRE_HASHES] => true,
        [option, value] => OF_AN_INDEX.contains(option) && is_value(value),
        [one] => one.split_once('=').is_some_and(|(option, value)| {
            option.starts_with("--") && OF_AN_INDEX.contains(&option) && is_value(value)
        }),
        _ => false,
    }
}

/// Which option that is, or that it is not alone.
fn not_supported(words: &[&str]) -> String {
    let first = words.first().and_then(|word| word.split('=').next()).unwrap_or_default();
    match first == REQUIRE_HASHES || OF_AN_INDEX.contains(&first) {
        true => format!("{first} does not stand alone with what belongs to it: one option in a line is supported"),
        false => format!("{first} is not supported; packages with hashes are"),
    }
}

/// A name without `[EXTRAS]` behind it.
fn without_extras(name: &str) -> Option<&str> {
    let Some((name, extras)) = name.split_once('[') else { return Some(name) };
    let mut each = extras.strip_suffix(']')?.split(',');
    each.all(|extra| is_project(extra.trim())).then(|| name.trim())
}

/// Of `--hash=sha256:HEX` and `--hash sha256:HEX`, and nothing else.
fn sums(words: &[&str]) -> Option<BTreeSet<Sha256>> {
    let mut sums = BTreeSet::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let value = match *word {
            "--hash" => words.next()?,
            word => word.strip_prefix("--hash=")?,
        };
        sums.insert(value.strip_prefix("sha256:")?.parse().ok()?);
    }
    Some(sums)
}

/// Lines with what continues them, without comments, blanks as one; each with the number of its first line.
fn lines(text: &str) -> Result<Vec<(usize, String)>, String> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    let mut open = false;
    for (number, line) in (1..).zip(text.split('\n')) {
        let line = line.strip_suffix('\r').unwrap_or(line);
        let refused = |why: &str| Err(format!("line {number}: {why}"));
        // pip ends lines at some of them and takes others for blanks.
        let odd = |c: &char| !matches!(c, ' ' | '\t') && (c.is_whitespace() || c.is_control());
        if let Some(odd) = line.chars().find(odd) {
            return refused(&format!("the character U+{:04X} is not supported", u32::from(odd)));
        }
        if number <= 2 && line.starts_with('#') && !is_utf8_said(line) {
            return refused("a comment that names a coding other than utf-8 is not supported");
        }
        let comment =
            line.match_indices('#').map(|(at, _)| at).find(|at| *at == 0 || line[..*at].ends_with([' ', '\t']));
        let (more, line) = match (comment, line.strip_suffix('\\')) {
            (None, Some(line)) => (true, line),
            // pip joins some of them with the next line.
            (Some(_), Some(_)) => return refused("a comment that ends in a backslash is not supported"),
            (at, None) => (false, &line[..at.unwrap_or(line.len())]),
        };
        match lines.last_mut() {
            Some((_, last)) if open => *last += line,
            _ => lines.push((number, line.to_owned())),
        }
        open = more;
    }
    for (_, line) in &mut lines {
        *line = line.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
    }
    lines.retain(|(_, line)| !line.is_empty());
    Ok(lines)
}

/// Whether a comment, where it names a coding (PEP 263), names this one.
fn is_utf8_said(comment: &str) -> bool {
    let comment = comment.to_ascii_lowercase();
    comment.match_indices("coding").all(|(at, coding)| {
        let Some(rest) = comment[at + coding.len()..].strip_prefix([':', '=']) else { return true };
        let name = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
        matches!(rest.trim_start().split(name).next(), Some("utf-8" | "utf8"))
    })
}

fn is_project(name: &str) -> bool {
    let end = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_alphanumeric());
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    end(name.bytes().next()) && end(name.bytes().last()) && name.bytes().all(inner)
}

/// A project's name as indices have it (PEP 503): in small letters, runs of `-`, `_` and `.` as one `-`.
pub fn normal(name: &str) -> String {
    let parts = name.split(['-', '_', '.']).filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join("-").to_ascii_lowercase()
}

/// The project that a file of an index is of, by the file's name; `None` where it is neither wheel nor source distribution.
pub fn project(file: &str) -> Option<String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'+' | b'!');
    if !file.bytes().all(plain) {
        return None;
    }
    let name = match file.strip_suffix(".whl") {
        Some(wheel) if matches!(wheel.split('-').count(), 5 | 6) => wheel.split('-').next()?,
        Some(_) => return None,
        None => SDISTS.iter().find_map(|ending| file.strip_suffix(ending))?.rsplit_once('-')?.0,
    };
    is_project(name).then(|| normal(name))
}

/// A file that an index has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its name.
    pub file: String,
    /// Where it is: a URL, or a path from the page.
    pub href: String,
    /// What the index says that it is.
    pub sha256: Sha256,
}

/// The links of a page of an index that name a file with its SHA-256 (PEP 503).
pub fn links(page: &str) -> Vec<Link> {
    let anchors = page.split('<').filter_map(|tag| {
        let rest = tag.strip_prefix(['a', 'A'])?;
        rest.starts_with(|c: char| c.is_ascii_whitespace()).then_some(rest)
    });
    anchors.filter_map(link).collect()
}

fn link(attributes: &str) -> Option<Link> {
    let at = attributes.find("href=")? + "href=".len();
    let quote = attributes[at..].chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let (value, _) = attributes[at + 1..].split_once(quote)?;
    let value = value.replace("&quot;", "\"").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
    let (href, fragment) = value.split_once('#')?;
    let sha256 = fragment.split('&').find_map(|one| one.strip_prefix("sha256=")?.parse().ok())?;
    let file = href.rsplit('/').next()?.replace("%2B", "+").replace("%2b", "+").replace("%21", "!");
    Some(Link { file, href: href.to_owned(), sha256 })
}

/// What is taken of the files of an index that a requirement lists: wheels that run everywhere; else those that run on Linux of this
/// machine's kind, or on anything with some Python; else the source distributions. Of one content and name one.
pub fn choose(item: &Item, links: Vec<Link>, architecture: &str) -> Vec<Link> {
    let Named::Sha256(listed) = &item.digest else { return Vec::new() };
    let mut links: Vec<Link> = links
        .into_iter()
        .filter(|link| listed.contains(&link.sha256) && project(&link.file).as_deref() == Some(item.name.as_str()))
        .collect();
    links.sort_by(|a, b| (&a.file, a.sha256).cmp(&(&b.file, b.sha256)));
    links.dedup_by(|a, b| a.file == b.file && a.sha256 == b.sha256);
    let best = links.iter().map(|link| rank(&link.file, architecture)).min().unwrap_or(Rank::Other);
    links.retain(|link| best != Rank::Other && rank(&link.file, architecture) == best);
    links
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Everywhere,
    Here,
    Sdist,
    Other,
}

fn rank(file: &str, architecture: &str) -> Rank {
    let Some(wheel) = file.strip_suffix(".whl") else { return Rank::Sdist };
    let mut tags = wheel.rsplit('-');
    let (Some(platforms), Some(abi), Some(python)) = (tags.next(), tags.next(), tags.next()) else {
        return Rank::Other;
    };
    let machine = match architecture {
        "x86" => "i686",
        "arm" => "armv7l",
        "powerpc64" | "powerpc64le" => "ppc64le",
        other => other,
    };
    let here = |platform: &str| {
        let linux = ["manylinux", "musllinux", "linux_"].iter().any(|start| platform.starts_with(start));
        linux && platform.strip_suffix(machine).is_some_and(|rest| rest.ends_with('_'))
    };
    match platforms {
        "any" if abi == "none" && python.split('.').any(|tag| tag == "py3") => Rank::Everywhere,
        "any" => Rank::Here,
        platforms if platforms.split('.').any(here) => Rank::Here,
        _ => Rank::Other,
    }
}

/// Where a link leads, seen from the page of a project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Below the mirror that has the page.
    Path(String),
    /// Below the host that has the page; where that is a directory, below the mirror.
    Absolute(String),
    /// Elsewhere.
    Url(String),
}

/// `page` is the path of the page's directory below its mirror. Nothing where it leads out of the mirror.
pub fn target(page: &str, href: &str) -> Option<Target> {
    if href.starts_with("https://") || href.starts_with("http://") {
        return Some(Target::Url(href.to_owned()));
    }
    if href.starts_with("//") || href.contains([':', '?']) {
        return None;
    }
    if let Some(path) = href.strip_prefix('/') {
        return inside(path.split('/')).map(Target::Absolute);
    }
    inside(page.split('/').chain(href.split('/'))).map(Target::Path)
}

fn inside<'p>(parts: impl Iterator<Item = &'p str>) -> Option<String> {
    let mut path = Vec::new();
    for part in parts {
        match part {
            "" | "." => {}
            ".." => drop(path.pop()?),
            part => path.push(part),
        }
    }
    (!path.is_empty()).then(|| path.join("/"))
}

#[cfg(test)]
mod tests;
