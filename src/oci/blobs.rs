//! Blobs by digest: where they are, and reading them so that none is used that is not what its name says.

use super::OciError;
use super::documents::MAX_DOCUMENT;
use crate::archive::{self, ArchiveError, Packing, RootKind};
use crate::digest::{Sha256, Sha256Hasher};
use crate::fs::{FsError, Why};
use crate::scan::beneath;
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

/// Most blobs that are looked at in the archive of a layout.
const MAX_BLOBS: usize = 100_000;
const BLOBS: &[u8] = b"blobs/sha256/";

/// One blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// SHA-256 of its bytes.
    pub digest: Sha256,
    /// Their number.
    pub size: u64,
}

/// Something that holds blobs by their digests.
pub trait Blobs {
    /// Opens a blob. What is read need not be true: [`Verified`] sees to that.
    fn open(&self, digest: &Sha256) -> Result<Box<dyn Read + '_>, OciError>;
}

/// The bytes of a blob. The last read, the one that says that there are no more, is an error when digest or size do not hold; so is each that
/// would give more than the size.
pub struct Verified<'a> {
    part: Part,
    input: Box<dyn Read + 'a>,
    hasher: Sha256Hasher,
    read: u64,
    end: Option<Result<(), Fault>>,
}

/// Why a blob is not what its name says.
#[derive(Clone, Copy, Debug, thiserror::Error)]
enum Fault {
    #[error("the blob is not as long as it should be")]
    Size,
    #[error("the blob has another digest")]
    Digest(Sha256),
}

impl<'a> Verified<'a> {
    /// Opens one.
    pub fn open(blobs: &'a dyn Blobs, part: Part) -> Result<Verified<'a>, OciError> {
        Ok(Verified { part, input: blobs.open(&part.digest)?, hasher: Sha256Hasher::default(), read: 0, end: None })
    }

    /// Reads what is left, and says whether it was the blob.
    pub fn finish(mut self) -> Result<(), OciError> {
        let copied = io::copy(&mut self, &mut io::sink());
        let Part { digest, size } = self.part;
        match self.end {
            Some(Ok(())) => Ok(()),
            Some(Err(Fault::Size)) => Err(OciError::Size { digest, expected: size }),
            Some(Err(Fault::Digest(found))) => Err(OciError::Digest { expected: digest, found }),
            None => {
                let why = copied.err().unwrap_or_else(|| io::ErrorKind::UnexpectedEof.into());
                Err(OciError::Read { digest, why })
            }
        }
    }
}

impl Read for Verified<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.end.is_none() && !into.is_empty() {
            let n = self.input.read(into)?;
            self.read += n as u64;
            self.hasher.update(&into[..n]);
            if self.read > self.part.size || (n == 0 && self.read != self.part.size) {
                self.end = Some(Err(Fault::Size));
            } else if n > 0 {
                return Ok(n);
            } else {
                let found = std::mem::take(&mut self.hasher).finish();
                self.end = Some(if found == self.part.digest { Ok(()) } else { Err(Fault::Digest(found)) });
            }
        }
        match self.end {
            Some(Err(fault)) => Err(io::Error::new(io::ErrorKind::InvalidData, fault)),
            _ => Ok(0),
        }
    }
}

/// An image layout on disk. The user named it, but not what is in it: no link in it is followed, and nothing but a file is opened.
pub struct Layout {
    path: PathBuf,
    at: At,
    index: Vec<u8>,
}

enum At {
    Directory(OwnedFd),
    /// With where each blob begins, and its length.
    Archive(File, HashMap<Sha256, (u64, u64)>),
}

impl Layout {
    /// Opens a directory, or a tar archive, that is not packed, of one.
    pub fn open(path: &Path) -> Result<Layout, OciError> {
        let is_dir = std::fs::metadata(path).map_err(|err| FsError::io("read", path, err))?.is_dir();
        let (at, mark, index) = if is_dir { directory(path)? } else { archive(path)? };
        let refuse = |why: &str| OciError::Layout { path: path.to_owned(), why: why.to_owned() };
        super::documents::layout_version(&mark.ok_or_else(|| refuse("there is no file oci-layout"))?)
            .map_err(|why| refuse(&why))?;
        let index = index.ok_or_else(|| refuse("there is no file index.json"))?;
        Ok(Layout { path: path.to_owned(), at, index })
    }

    /// The bytes of `index.json`.
    pub(super) fn index(&self) -> &[u8] {
        &self.index
    }
}

impl Blobs for Layout {
    fn open(&self, digest: &Sha256) -> Result<Box<dyn Read + '_>, OciError> {
        match &self.at {
            At::Directory(dir) => {
                let name = format!("blobs/sha256/{digest}");
                let file = file(dir, &self.path, &name)?.ok_or(OciError::Absent(*digest))?;
                Ok(Box::new(file))
            }
            At::Archive(file, blobs) => {
                let (at, left) = *blobs.get(digest).ok_or(OciError::Absent(*digest))?;
                Ok(Box::new(Range { file, at, left }))
            }
        }
    }
}

type Opened = (At, Option<Vec<u8>>, Option<Vec<u8>>);

fn directory(path: &Path) -> Result<Opened, OciError> {
    let dir = rustix::fs::open(path, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    let dir = dir.map_err(|err| FsError::io("read", path, err.into()))?;
    let read = |name: &str| -> Result<Option<Vec<u8>>, OciError> {
        let Some(file) = file(&dir, path, name)? else { return Ok(None) };
        let mut bytes = Vec::new();
        let read = file.take(MAX_DOCUMENT + 1).read_to_end(&mut bytes);
        read.map_err(|err| FsError::io("read", &path.join(name), err))?;
        Ok(Some(bytes))
    };
    let (mark, index) = (read("oci-layout")?, read("index.json")?);
    Ok((At::Directory(dir), mark, index))
}

/// A regular file below `dir`, on the way to which there is no link; `None` when nothing is there.
fn file(dir: &OwnedFd, shown: &Path, name: &str) -> Result<Option<File>, OciError> {
    let path = shown.join(name);
    let fail = |err: io::Error| FsError::io("read", &path, err);
    let file = match beneath::open(dir, name.as_bytes(), OFlags::RDONLY, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(rustix::io::Errno::NOENT) => return Ok(None),
        Err(err) => return Err(fail(err.into()).into()),
    };
    let kind = file.metadata().map_err(fail)?.file_type();
    if !kind.is_file() {
        let why = Why::NotAFile(crate::fs::kind_of(&kind));
        return Err(FsError { what: "read", path, why }.into());
    }
    Ok(Some(file))
}

fn archive(path: &Path) -> Result<Opened, OciError> {
    let file = crate::fs::open_file(path)?;
    let length = file.metadata().map_err(|err| FsError::io("read", path, err))?.len();
    let (mut mark, mut index) = (None, None);
    let mut blobs = HashMap::new();
    let mut input = archive::unpacked(path, &file, Some(Packing::Plain))?;
    archive::plain_root_members(path, &mut input, length, &mut |member| -> Result<(), OciError> {
        let RootKind::File { offset, size, data, .. } = member.kind else { return Ok(()) };
        let name = member.name.strip_prefix(b"./").unwrap_or(member.name);
        let document = match name {
            b"oci-layout" => &mut mark,
            b"index.json" => &mut index,
            _ => {
                let digest = name.strip_prefix(BLOBS).and_then(|hex| std::str::from_utf8(hex).ok()?.parse().ok());
                let Some(digest) = digest else { return Ok(()) };
                if blobs.len() == MAX_BLOBS || blobs.insert(digest, (offset, size)).is_some() {
                    return Err(twice(path, name).into());
                }
                return Ok(());
            }
        };
        let mut bytes = Vec::new();
        let read = data.take(MAX_DOCUMENT + 1).read_to_end(&mut bytes);
        read.map_err(|err| archive::explain(path, err))?;
        if document.replace(bytes).is_some() {
            return Err(twice(path, name).into());
        }
        Ok(())
    })?;
    drop(input);
    Ok((At::Archive(file, blobs), mark, index))
}

fn twice(path: &Path, name: &[u8]) -> ArchiveError {
    let member = String::from_utf8_lossy(name).into_owned();
    let why = format!("it is there twice, or one of more than {MAX_BLOBS}");
    ArchiveError::Member { path: path.to_owned(), member, why }
}

/// One member of an archive.
struct Range<'a> {
    file: &'a File,
    at: u64,
    left: u64,
}

impl Read for Range<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let most = into.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let n = self.file.read_at(&mut into[..most], self.at)?;
        self.at += n as u64;
        self.left -= n as u64;
        Ok(n)
    }
}
