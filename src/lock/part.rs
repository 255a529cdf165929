//! What an image is made of: each part by its digest.

use crate::digest::Sha256;
use std::fmt;
use std::str::FromStr;

/// Most parts of one lock: ten times what a large build environment has packages.
pub const MAX_PARTS: usize = 16_384;
/// Longest name or version.
const MAX_WORD: usize = 256;
/// Longest place.
const MAX_PLACE: usize = 2048;

/// One file that an environment is made of, or that says what it is made of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Part {
    /// What it is.
    pub class: Class,
    /// Name, such as that of a package.
    pub name: PartWord,
    /// Version; `-` where there is none.
    pub version: PartWord,
    /// What decides.
    pub sha256: Sha256,
    /// Bytes.
    pub size: u64,
    /// Who says that these are the bytes.
    pub voucher: Voucher,
    /// Where they were had.
    pub place: Place,
}

/// What a part is. The order is that of the lines in a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// A root file system: a tar archive.
    Archive,
    /// A Debian package.
    Deb,
    /// A Debian `Packages` file, compressed or not.
    Index,
    /// Manifest of an OCI image.
    Manifest,
    /// Configuration of an OCI image.
    Config,
    /// Layer of an OCI image.
    Layer,
    /// A Debian `InRelease` file: what is signed.
    Release,
    /// An archive with a tool, unpacked where the recipe says.
    Tool,
    /// A crate of Rust's.
    Crate,
    /// A wheel or source distribution of Python's.
    Python,
    /// A tarball of an npm package.
    Npm,
    /// The `go.mod` of a Go module.
    GoMod,
    /// The files of a Go module.
    GoZip,
}

/// 1 to 256 printable characters of ASCII without blanks.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartWord(String);

/// Who says that a part is what it is called.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Voucher {
    /// Nobody but who wrote the lock.
    Vendor,
    /// A distribution: the fingerprint of the OpenPGP key that signed the release file that names the part, in lower-case hex digits.
    OpenPgp(String),
    /// The source that is built: a lock file in it names the part by a digest.
    Source,
}

/// A hint where a part can be had: a mirror's name and a path there. The digest decides what is taken.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// Not told.
    Unknown,
    /// `MIRROR:PATH`.
    Mirror {
        /// As the user's configuration or command line calls it.
        mirror: String,
        /// Relative, with `/`, without `.` and `..`.
        path: String,
    },
}

/// Text that stands for no part of a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PartRefused {
    /// See [`PartWord`].
    #[error("not 1 to 256 printable characters of ASCII without blanks")]
    Word,
    /// See [`Place`].
    #[error("not a place: `MIRROR:PATH`, the path relative and without `.`, `..` and blanks")]
    Place,
    /// See [`Voucher`].
    #[error(
        "neither `vendor` nor `openpgp:` and 40 or 64 lower-case hex digits; `source` for what the source depends on, and for that alone"
    )]
    Voucher,
    /// Not the seven fields.
    #[error("not class, name, version, digest, size, voucher and place")]
    Fields,
}

const CLASSES: [(Class, &str); 13] = [
    (Class::Archive, "archive"),
    (Class::Deb, "deb"),
    (Class::Index, "index"),
    (Class::Manifest, "oci-manifest"),
    (Class::Config, "oci-config"),
    (Class::Layer, "oci-layer"),
    (Class::Release, "release"),
    (Class::Tool, "tool"),
    (Class::Crate, "crate"),
    (Class::Python, "python"),
    (Class::Npm, "npm"),
    (Class::GoMod, "go-mod"),
    (Class::GoZip, "go-zip"),
];

impl Class {
    /// As a lock has it.
    pub fn word(self) -> &'static str {
        CLASSES.iter().find(|(class, _)| *class == self).map_or("", |(_, word)| word)
    }

    /// Whether it is something that the source depends on, named by a lock file in the source.
    pub fn is_dependency(self) -> bool {
        matches!(self, Class::Crate | Class::Python | Class::Npm | Class::GoMod | Class::GoZip)
    }

    /// Whether it may be there with every kind of environment.
    pub fn is_of_every_kind(self) -> bool {
        self == Class::Tool || self.is_dependency()
    }
}

impl PartWord {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn plain(text: &str, most: usize) -> bool {
    (1..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

impl FromStr for PartWord {
    type Err = PartRefused;

    fn from_str(text: &str) -> Result<PartWord, PartRefused> {
        if plain(text, MAX_WORD) { Ok(PartWord(text.to_owned())) } else { Err(PartRefused::Word) }
    }
}

impl FromStr for Place {
    type Err = PartRefused;

    fn from_str(text: &str) -> Result<Place, PartRefused> {
        if text == "-" {
            return Ok(Place::Unknown);
        }
        let (mirror, path) = text.split_once(':').ok_or(PartRefused::Place)?;
        let name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        let mirror_is_one = !mirror.is_empty() && mirror.bytes().all(name);
        let parts = path.split('/').all(|part| !matches!(part, "" | "." | ".."));
        // `//` after a colon would make a URL of it.
        if !mirror_is_one || !parts || !plain(text, MAX_PLACE) {
            return Err(PartRefused::Place);
        }
        Ok(Place::Mirror { mirror: mirror.to_owned(), path: path.to_owned() })
    }
}

impl FromStr for Voucher {
    type Err = PartRefused;

    fn from_str(text: &str) -> Result<Voucher, PartRefused> {
        let hex = |text: &str| {
            matches!(text.len(), 40 | 64) && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        };
        match text.strip_prefix("openpgp:") {
            None if text == "vendor" => Ok(Voucher::Vendor),
            None if text == "source" => Ok(Voucher::Source),
            Some(fingerprint) if hex(fingerprint) => Ok(Voucher::OpenPgp(fingerprint.to_owned())),
            _ => Err(PartRefused::Voucher),
        }
    }
}

impl fmt::Display for PartWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Unknown => f.write_str("-"),
            Place::Mirror { mirror, path } => write!(f, "{mirror}:{path}"),
        }
    }
}

impl fmt::Display for Voucher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Voucher::Vendor => f.write_str("vendor"),
            Voucher::Source => f.write_str("source"),
            Voucher::OpenPgp(fingerprint) => write!(f, "openpgp:{fingerprint}"),
        }
    }
}

/// The line without `part ` in front.
impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Part { class, name, version, sha256, size, voucher, place } = self;
        write!(f, "{} {name} {version} {sha256} {size} {voucher} {place}", class.word())
    }
}

impl FromStr for Part {
    type Err = PartRefused;

    fn from_str(text: &str) -> Result<Part, PartRefused> {
        let fields: Vec<&str> = text.split(' ').collect();
        let [class, name, version, sha256, size, voucher, place] = fields[..] else { return Err(PartRefused::Fields) };
        let part = Part {
            class: CLASSES.iter().find(|(_, word)| *word == class).ok_or(PartRefused::Fields)?.0,
            name: name.parse()?,
            version: version.parse()?,
            sha256: sha256.parse().map_err(|_| PartRefused::Fields)?,
            size: size.parse().map_err(|_| PartRefused::Fields)?,
            voucher: voucher.parse()?,
            place: place.parse()?,
        };
        if part.class.is_dependency() != (part.voucher == Voucher::Source) {
            return Err(PartRefused::Voucher);
        }
        // Of spellings only the number's is left (`+5`, `007`).
        if part.to_string() == text { Ok(part) } else { Err(PartRefused::Fields) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_has_one_spelling() {
        let hex = "ab".repeat(32);
        let key = "0f".repeat(20);
        let good =
            format!("deb libc6-dev 2:2.36-9+deb12u10 {hex} 1903264 openpgp:{key} debian:pool/main/g/glibc/x.deb");
        let part: Part = good.parse().unwrap();
        assert_eq!((part.class, part.size, part.version.as_str()), (Class::Deb, 1_903_264, "2:2.36-9+deb12u10"));
        assert_eq!(part.to_string(), good);
        assert_eq!(format!("tool go 1 {hex} 0 vendor -").parse::<Part>().unwrap().place, Place::Unknown);
        let serde = format!("crate serde 1.0.219 {hex} 5 source crates:serde/serde-1.0.219.crate");
        assert_eq!(serde.parse::<Part>().unwrap().to_string(), serde);
        assert_eq!(serde.replace("source", "vendor").parse::<Part>(), Err(PartRefused::Voucher));
        assert_eq!(serde.replace("crate serde", "tool serde").parse::<Part>(), Err(PartRefused::Voucher));
        for (from, to, why) in [
            ("deb ", "rpm ", PartRefused::Fields),
            ("deb ", "deb  ", PartRefused::Fields),
            ("libc6-dev", "libc6\u{e9}", PartRefused::Word),
            ("1903264", "01903264", PartRefused::Fields),
            ("1903264", "+1903264", PartRefused::Fields),
            ("abab", "ABab", PartRefused::Fields),
            ("openpgp:0f", "openpgp:0F", PartRefused::Voucher),
            ("openpgp:0f", "openpgp:", PartRefused::Voucher),
            ("openpgp:0f", "trusted:0f", PartRefused::Voucher),
            ("debian:pool", ":pool", PartRefused::Place),
            ("debian:pool", "debian:/pool", PartRefused::Place),
            ("debian:pool", "debian:../pool", PartRefused::Place),
            ("debian:pool", "http://debian:pool", PartRefused::Place),
            ("debian:pool", "pool", PartRefused::Place),
            (" debian", " debian debian", PartRefused::Fields),
        ] {
            assert!(good.contains(from), "{from}");
            assert_eq!(good.replace(from, to).parse::<Part>(), Err(why), "{to}");
        }
    }
}
