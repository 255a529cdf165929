//! The bytes of an archive: decompressed by what they begin with, counted, and limited.

use super::{ArchiveError, Packing, packed};
use crate::fs::FsError;
use std::cell::Cell;
use std::io::{self, BufRead as _, BufReader, Read};
use std::path::Path;
use std::rc::Rc;

/// A reader that stops at the limits of its [`Meter`].
pub(super) struct Metered<'a> {
    input: Box<dyn Read + 'a>,
    meter: Rc<Meter>,
}

/// What may still be read.
pub(super) struct Meter {
    limit: u64,
    left: Cell<u64>,
    /// Left before the next member.
    between: Cell<u64>,
    ended: Cell<bool>,
}

impl Meter {
    /// At most so many bytes from here to the next content.
    pub(super) fn allow_between(&self, bytes: u64) {
        self.between.set(bytes);
    }

    /// Content follows: only the limit on the whole counts.
    pub(super) fn allow_content(&self) {
        self.between.set(u64::MAX);
    }

    /// How many bytes came so far.
    pub(super) fn read(&self) -> u64 {
        self.limit - self.left.get()
    }

    /// Whether the end of the file was met.
    pub(super) fn ended(&self) -> bool {
        self.ended.get()
    }
}

/// Why a [`Metered`] reader stopped; carried through the tar reader inside an `io::Error`.
#[derive(Debug, thiserror::Error)]
enum Stop {
    #[error("limit of {0}")]
    Total(u64),
    #[error("the headers of a member are too long")]
    Between,
}

impl<'a> Metered<'a> {
    /// Looks at the first bytes and decompresses as they say.
    pub(super) fn open(
        path: &Path,
        input: impl Read + 'a,
        limit: u64,
    ) -> Result<(Metered<'a>, Rc<Meter>), ArchiveError> {
        Metered::plain(path, unpacked(path, input, None)?, limit)
    }

    /// What must be tar already.
    pub(super) fn plain(
        path: &Path,
        input: impl Read + 'a,
        limit: u64,
    ) -> Result<(Metered<'a>, Rc<Meter>), ArchiveError> {
        let mut input = input;
        let mut start = Vec::new();
        input.by_ref().take(512).read_to_end(&mut start).map_err(|err| explain(path, err))?;
        if !looks_like_tar(&start) {
            return Err(ArchiveError::NotTar(path.to_owned()));
        }
        Ok(Metered::new(Box::new(io::Cursor::new(start).chain(input)), limit))
    }

    fn new(input: Box<dyn Read + 'a>, limit: u64) -> (Metered<'a>, Rc<Meter>) {
        let meter = Meter { limit, left: Cell::new(limit), between: Cell::new(u64::MAX), ended: Cell::new(false) };
        let meter = Rc::new(meter);
        (Metered { input, meter: meter.clone() }, meter)
    }
}

/// The tar in what is packed, or not: as the first bytes say, or only as `expected`.
pub(super) fn unpacked<'a>(
    path: &Path,
    input: impl Read + 'a,
    expected: Option<Packing>,
) -> Result<Box<dyn Read + 'a>, ArchiveError> {
    let mut raw = BufReader::with_capacity(64 << 10, input);
    let start = raw.fill_buf().map_err(|err| explain(path, err))?;
    let format = Format::of(start).filter(|_| !looks_like_tar(start));
    let found = match format {
        Some(Format::Gzip) => Packing::Gzip,
        Some(Format::Xz) => Packing::Xz,
        Some(Format::Zstd) => Packing::Zstd,
        Some(Format::Other(format)) => return Err(ArchiveError::Format { path: path.to_owned(), format }),
        Some(Format::Zip) => return Err(ArchiveError::NotTar(path.to_owned())),
        None => Packing::Plain,
    };
    if let Some(expected) = expected.filter(|expected| *expected != found) {
        return Err(ArchiveError::Packed { path: path.to_owned(), expected, found });
    }
    Ok(match found {
        Packing::Plain => Box::new(raw),
        Packing::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(raw)),
        Packing::Xz => Box::new(packed::Xz::new(raw)),
        Packing::Zstd => Box::new(packed::Zstd::new(raw)),
    })
}

/// What a file's first bytes say it is. Its name says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Gzip,
    Xz,
    Zstd,
    Zip,
    Other(&'static str),
}

impl Format {
    pub(super) fn of(start: &[u8]) -> Option<Format> {
        match start {
            [0x1f, 0x8b, ..] => Some(Format::Gzip),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(Format::Xz),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Format::Zstd),
            // A frame to be skipped may come first.
            [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some(Format::Zstd),
            [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => Some(Format::Zip),
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Some(Format::Other("bzip2")),
            [b'L', b'Z', b'I', b'P', ..] => Some(Format::Other("lzip")),
            [b'7', b'z', 0xbc, 0xaf, 0x27, 0x1c, ..] => Some(Format::Other("7-zip")),
            [b'R', b'a', b'r', b'!', 0x1a, 7, ..] => Some(Format::Other("rar")),
            _ => None,
        }
    }
}

/// A header whose check sum holds, or the end mark of an archive without members.
fn looks_like_tar(start: &[u8]) -> bool {
    let Some(block) = start.get(..512) else { return false };
    if block.iter().all(|byte| *byte == 0) {
        return true;
    }
    let sum: u32 =
        block.iter().enumerate().map(|(i, b)| if (148..156).contains(&i) { 32 } else { u32::from(*b) }).sum();
    tar::Header::from_byte_slice(block).cksum().is_ok_and(|stated| stated == sum)
}

impl Read for Metered<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let meter = &self.meter;
        let n = self.input.read(into)?;
        meter.ended.set(n == 0 && !into.is_empty());
        let take = |cell: &Cell<u64>, stop: Stop| match cell.get().checked_sub(n as u64) {
            Some(left) => {
                cell.set(left);
                Ok(())
            }
            None => Err(io::Error::other(stop)),
        };
        if meter.between.get() != u64::MAX {
            take(&meter.between, Stop::Between)?;
        }
        take(&meter.left, Stop::Total(meter.limit))?;
        Ok(n)
    }
}

/// An error of one of the readers in our words.
pub(super) fn explain(path: &Path, err: io::Error) -> ArchiveError {
    let path = path.to_owned();
    if let Some(Stop::Total(limit)) = err.get_ref().and_then(|inner| inner.downcast_ref::<Stop>()) {
        return ArchiveError::TooLarge { path, limit: *limit };
    }
    match err.kind() {
        io::ErrorKind::UnexpectedEof => ArchiveError::Damaged { path, why: "it is cut off".into() },
        io::ErrorKind::OutOfMemory if err.raw_os_error().is_none() => {
            let why = format!("it needs more than {} MiB of memory to decompress", packed::MAX_WINDOW >> 20);
            ArchiveError::Damaged { path, why }
        }
        _ if err.raw_os_error().is_some() => FsError::io("read", &path, err).into(),
        _ => ArchiveError::Damaged { path, why: err.to_string() },
    }
}
