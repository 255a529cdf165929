//! The control file of a Debian source package (`.dsc`): its text alone.

use crate::digest::Sha256;
use std::collections::BTreeMap;

/// Longest control file.
pub(super) const MAX_DSC: u64 = 1 << 20;
/// Most files of a package.
const MAX_FILES: usize = 256;
const SIGNED: &str = "-----BEGIN PGP SIGNED MESSAGE-----";

/// Whether a file begins like one.
pub(super) fn is_dsc(start: &[u8]) -> bool {
    start.starts_with(SIGNED.as_bytes()) || start.starts_with(b"Format: ")
}

/// What a control file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dsc {
    /// `1.0`, `3.0 (quilt)`, `3.0 (native)`, or another one.
    pub format: String,
    /// The package.
    pub source: String,
    /// Its version, without what stands before a colon.
    pub version: String,
    /// Its files by name.
    pub files: BTreeMap<String, File>,
    /// Whether it is inside of a signature.
    pub is_signed: bool,
}

/// A file that it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct File {
    /// Its length.
    pub size: u64,
    /// Its digest.
    pub sha256: Sha256,
}

impl Dsc {
    /// Reads one, all of which must be one.
    pub fn parse(bytes: &[u8]) -> Result<Dsc, String> {
        let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())?;
        let is_signed = text.starts_with(SIGNED);
        let lines = if is_signed { inside(text)? } else { text.lines().collect() };
        let fields = fields(&lines)?;
        let field = |name: &str| fields.get(name).ok_or_else(|| format!("it has no field {name}"));
        let one = |name: &str| match field(name)?.as_slice() {
            [value] => Ok((*value).to_owned()),
            _ => Err(format!("its field {name} is not of one line")),
        };
        let (source, version) = (one("source")?, one("version")?);
        let version = version.split_once(':').map_or(version.as_str(), |(_, version)| version).to_owned();
        let plain = |text: &str, more: &[u8]| {
            text.starts_with(|c: char| c.is_ascii_alphanumeric())
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || more.contains(&byte))
        };
        if !plain(&source, b"+-.") || !plain(&version, b"+-.~") {
            return Err("its name or version is none".to_owned());
        }
        let mut files = BTreeMap::new();
        for words in listed(field("checksums-sha256")?)? {
            let [digest, size, name] = words;
            let sha256 = digest.parse().map_err(|_| format!("the digest of {name} is none"))?;
            if files.insert(name.to_owned(), File { size: number(size)?, sha256 }).is_some() {
                return Err(format!("it names {name} twice"));
            }
        }
        // Readers that look there first find the same.
        let mut others = 0;
        for words in listed(field("files")?)? {
            let [_, size, name] = words;
            if files.get(name).map(|file| file.size) != Some(number(size)?) {
                return Err(format!("its fields Files and Checksums-Sha256 do not agree on {name}"));
            }
            others += 1;
        }
        if others != files.len() {
            return Err("its fields Files and Checksums-Sha256 do not agree".to_owned());
        }
        Ok(Dsc { format: one("format")?, source, version, files, is_signed })
    }
}

/// What was signed, by RFC 9580: the lines between the headings, a dash and a blank before some of them removed.
fn inside(text: &str) -> Result<Vec<&str>, String> {
    let wrong = || "its signature is not in the form that it should have".to_owned();
    let mut lines = text.lines().skip_while(|line| *line == SIGNED);
    // Names of hashes, up to an empty line.
    for line in lines.by_ref() {
        match line {
            "" => break,
            line if line.starts_with("Hash: ") => {}
            _ => return Err(wrong()),
        }
    }
    let mut signed = Vec::new();
    loop {
        match lines.next().ok_or_else(wrong)? {
            "-----BEGIN PGP SIGNATURE-----" => break,
            line => match line.strip_prefix("- ") {
                Some(line) => signed.push(line),
                None if line.starts_with('-') => return Err(wrong()),
                None => signed.push(line),
            },
        }
    }
    if !lines.by_ref().any(|line| line == "-----END PGP SIGNATURE-----") || lines.any(|line| !line.trim().is_empty()) {
        return Err(wrong());
    }
    Ok(signed)
}

/// Fields by their names in lower case; each value as its lines, trimmed, without an empty first one.
fn fields<'a>(lines: &[&'a str]) -> Result<BTreeMap<String, Vec<&'a str>>, String> {
    let mut fields: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    let mut last: Option<String> = None;
    let mut ended = false;
    for line in lines {
        if line.chars().any(|c| c.is_control() && c != '\t') {
            return Err("it has control characters".to_owned());
        }
        if line.trim().is_empty() {
            ended = true;
            continue;
        }
        if ended {
            return Err("it has more than one paragraph".to_owned());
        }
        if line.starts_with([' ', '\t']) {
            let value = last.as_ref().and_then(|name| fields.get_mut(name));
            value.ok_or("it does not begin with a field")?.push(line.trim());
            continue;
        }
        let (name, value) = line.split_once(':').ok_or("it has a line that is no field")?;
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if name.is_empty() || !name.bytes().all(is_name) {
            return Err("it has a line that is no field".to_owned());
        }
        let name = name.to_ascii_lowercase();
        let value = Some(value.trim()).filter(|value| !value.is_empty()).into_iter().collect();
        if fields.insert(name.clone(), value).is_some() {
            return Err(format!("it has the field {name} twice"));
        }
        last = Some(name);
    }
    Ok(fields)
}

/// `DIGEST SIZE NAME` a line. Names are those of files beside the control file.
fn listed<'a>(lines: &[&'a str]) -> Result<Vec<[&'a str; 3]>, String> {
    if lines.is_empty() || lines.len() > MAX_FILES {
        return Err(format!("it names no files, or more than {MAX_FILES}"));
    }
    let one = |line: &&'a str| {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let words: [&str; 3] = words.try_into().map_err(|_| "it names a file in another form".to_owned())?;
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"+-._~".contains(&byte);
        match words[2].starts_with('.') || !words[2].bytes().all(is_plain) {
            true => Err(format!("{} is no name of a file beside it", words[2])),
            false => Ok(words),
        }
    };
    lines.iter().map(one).collect()
}

fn number(text: &str) -> Result<u64, String> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| plain).ok_or_else(|| format!("{text} is no length of a file"))
}
