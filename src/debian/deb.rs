//! One package file (deb(5)), read as a stream: an `ar` archive of `debian-binary`, `control.tar` and `data.tar`, and of nothing else.
//!
//! dpkg lets unknown members pass and other readers take the first or the last of a name; here each stands once, in its place, and nothing is
//! behind the last. A `data.tar` of another compression than its name says is refused too.

use super::control::{self, ControlError};
use super::relation::{is_architecture, is_name};
use super::version::{Version, VersionError};
use crate::archive::{self, ArchiveError, Packing, RootKind, RootMember};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Most bytes of `control.tar`, packed and unpacked.
const MAX_CONTROL: u64 = 64 << 20;
/// Most files in it.
const MAX_FILES: usize = 1000;

/// A package file that is none.
#[derive(Debug, thiserror::Error)]
pub enum DebError {
    /// One of the archives in it.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// Its frame.
    #[error("{} is not a Debian package: {why}", path.display())]
    Frame {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: &'static str,
    },
    /// Compression that is not read.
    #[error("{}: {member} is packed in a way that is not supported: gzip, xz and zstd are", path.display())]
    Packing {
        /// The file.
        path: PathBuf,
        /// The member.
        member: String,
    },
    /// A file of `control.tar`.
    #[error("{}: control file {}: {why}", path.display(), name.escape_default())]
    File {
        /// The package file.
        path: PathBuf,
        /// The control file.
        name: String,
        /// What is wrong.
        why: &'static str,
    },
    /// The file `control`.
    #[error("{}: {why}", path.display())]
    Control {
        /// The package file.
        path: PathBuf,
        /// What is wrong.
        why: ControlError,
    },
    /// The version in it.
    #[error("{}: {why}", path.display())]
    Version {
        /// The package file.
        path: PathBuf,
        /// What is wrong.
        why: VersionError,
    },
}

/// What a package says of itself.
#[derive(Debug)]
pub struct Control {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: Version,
    /// Its architecture, or `all`.
    pub architecture: String,
    /// The file `control`: one stanza.
    pub text: String,
    /// All others, as `postinst`, `conffiles`, `md5sums` and `triggers`, sorted by name.
    pub files: Vec<ControlFile>,
}

/// A file of `control.tar`.
#[derive(Debug, PartialEq, Eq)]
pub struct ControlFile {
    /// Its name: what may be the name of a package, without points.
    pub name: String,
    /// Whether it may be executed.
    pub exec: bool,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl Control {
    /// A file by its name.
    pub fn file(&self, name: &str) -> Option<&[u8]> {
        self.files.iter().find(|file| file.name == name).map(|file| file.bytes.as_slice())
    }
}

/// A package of which all but the contents were read.
pub struct Deb<'a> {
    shown: &'a Path,
    input: &'a mut dyn Read,
    size: u64,
    packing: Packing,
    /// What it says of itself.
    pub control: Control,
}

impl<'a> Deb<'a> {
    /// Reads up to the contents. `shown` names the file in errors.
    pub fn open(shown: &'a Path, input: &'a mut dyn Read) -> Result<Deb<'a>, DebError> {
        let frame = |why| DebError::Frame { path: shown.to_owned(), why };
        let mut magic = [0; 8];
        exactly(shown, input, &mut magic)?;
        if magic != *b"!<arch>\n" {
            return Err(frame("it does not begin like one"));
        }
        let (name, size) = header(shown, input)?;
        if name != "debian-binary" || !(4..=16).contains(&size) {
            return Err(frame("its first member is not debian-binary"));
        }
        let mut version = vec![0; size as usize];
        exactly(shown, input, &mut version)?;
        let minor = version.strip_prefix(b"2.").and_then(|rest| rest.strip_suffix(b"\n"));
        if !minor.is_some_and(|minor| minor.iter().all(u8::is_ascii_digit)) {
            return Err(frame("its format is not 2.0"));
        }
        padding(shown, input, size)?;
        let (name, size) = header(shown, input)?;
        let packing =
            packing(shown, &name, "control.tar")?.ok_or_else(|| frame("its second member is not control.tar"))?;
        if size > MAX_CONTROL {
            return Err(frame("its control.tar is too long"));
        }
        let control = control(shown, &mut input.take(size), packing)?;
        padding(shown, input, size)?;
        let (name, size) = header(shown, input)?;
        let packing =
            self::packing(shown, &name, "data.tar")?.ok_or_else(|| frame("its third member is not data.tar"))?;
        Ok(Deb { shown, input, size, packing, control })
    }

    /// Gives what is in it to `act`, up to `limit` bytes in all with names and padding, and reads the file to its end.
    pub(crate) fn contents<E: From<ArchiveError> + From<DebError>>(
        self,
        limit: u64,
        act: &mut dyn FnMut(&Control, RootMember<'_>) -> Result<(), E>,
    ) -> Result<Control, E> {
        let Deb { shown, input, size, packing, control } = self;
        let mut plain = archive::unpacked(shown, io::Read::take(&mut *input, size), Some(packing))?;
        archive::plain_root_members(shown, &mut plain, limit, &mut |member| act(&control, member))?;
        drop(plain);
        padding(shown, input, size)?;
        let mut rest = [0; 1];
        match input.read(&mut rest).map_err(|err| archive::explain(shown, err))? {
            0 => Ok(control),
            _ => Err(DebError::Frame { path: shown.to_owned(), why: "something follows data.tar" }.into()),
        }
    }
}

fn exactly(shown: &Path, input: &mut dyn Read, into: &mut [u8]) -> Result<(), DebError> {
    input.read_exact(into).map_err(|err| archive::explain(shown, err).into())
}

/// Name and length of the next member.
fn header(shown: &Path, input: &mut dyn Read) -> Result<(String, u64), DebError> {
    let mut header = [0; 60];
    exactly(shown, input, &mut header)?;
    let text = |field: &[u8]| std::str::from_utf8(field).ok().map(|text| text.trim_end_matches(' ').to_owned());
    let size = text(&header[48..58]).and_then(|text| super::index::number(&text));
    match (text(&header[..16]), size, &header[58..]) {
        // The form with a slash behind the name is another reader's.
        (Some(name), Some(size), b"`\n") => Ok((name, size)),
        _ => Err(DebError::Frame { path: shown.to_owned(), why: "the header of a member is damaged" }),
    }
}

/// Members begin at even places.
fn padding(shown: &Path, input: &mut dyn Read, size: u64) -> Result<(), DebError> {
    let mut padding = [b'\n'; 1];
    if size % 2 == 1 {
        exactly(shown, input, &mut padding)?;
    }
    if padding == *b"\n" {
        return Ok(());
    }
    Err(DebError::Frame { path: shown.to_owned(), why: "a member is longer than its header says" })
}

/// How a member is packed; `None` if it is another one.
fn packing(shown: &Path, name: &str, want: &str) -> Result<Option<Packing>, DebError> {
    Ok(Some(match name.strip_prefix(want) {
        Some("") => Packing::Plain,
        Some(".gz") => Packing::Gzip,
        Some(".xz") => Packing::Xz,
        Some(".zst") => Packing::Zstd,
        Some(_) => return Err(DebError::Packing { path: shown.to_owned(), member: name.escape_default().to_string() }),
        None => return Ok(None),
    }))
}

fn control(shown: &Path, input: &mut dyn Read, packing: Packing) -> Result<Control, DebError> {
    let mut files: Vec<ControlFile> = Vec::new();
    let mut plain = archive::unpacked(shown, input, Some(packing))?;
    archive::plain_root_members(shown, &mut plain, MAX_CONTROL, &mut |member| {
        let raw = String::from_utf8_lossy(member.name).into_owned();
        let refuse = |why| DebError::File { path: shown.to_owned(), name: raw.clone(), why };
        let name = raw.strip_prefix("./").unwrap_or(&raw);
        let (perm, data) = match member.kind {
            RootKind::Dir if matches!(name, "" | ".") => return Ok(()),
            RootKind::File { perm, data, .. } => (perm, data),
            _ => return Err(refuse("it is not a file")),
        };
        // It becomes the end of a file name, behind the package's and a point: `a` and `b.list` would be `a.b` and `list`.
        if !is_name(name) || name.contains('.') {
            return Err(refuse("its name is not one"));
        }
        if files.iter().any(|file| file.name == name) {
            return Err(refuse("it is there twice"));
        }
        if files.len() == MAX_FILES {
            return Err(refuse("there are too many"));
        }
        let mut bytes = Vec::new();
        data.read_to_end(&mut bytes).map_err(|err| archive::explain(shown, err))?;
        files.push(ControlFile { name: name.to_owned(), exec: perm & 0o111 != 0, bytes });
        Ok(())
    })?;
    files.sort_by(|a, b| a.name.cmp(&b.name));
    let missing = DebError::Frame { path: shown.to_owned(), why: "there is no control file in it" };
    let at = files.iter().position(|file| file.name == "control").ok_or(missing)?;
    let text = files.remove(at).bytes;
    let refuse = |why| DebError::Control { path: shown.to_owned(), why };
    let (name, version, architecture) = control::one(&text, |stanza| {
        let field = |name| stanza.need(name).map(str::to_owned);
        Ok((field("Package")?, field("Version")?, field("Architecture")?))
    })
    .and_then(|fields| fields)
    .map_err(refuse)?;
    if !is_name(&name) || !is_architecture(&architecture) {
        return Err(DebError::Frame { path: shown.to_owned(), why: "its name or architecture is not one" });
    }
    let version = Version::parse(&version).map_err(|why| DebError::Version { path: shown.to_owned(), why })?;
    // It was read as UTF-8 just now.
    Ok(Control { name, version, architecture, text: String::from_utf8_lossy(&text).into_owned(), files })
}

#[cfg(test)]
mod tests;
