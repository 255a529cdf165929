//! The bytes of an archive: decompressed by what they begin with, counted, and limited.

use super::ArchiveError;
use crate::fs::FsError;
use std::cell::Cell;
use std::fs::File;
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
    pub(super) fn open(path: &Path, file: &'a File, limit: u64) -> Result<(Metered<'a>, Rc<Meter>), ArchiveError> {
        let mut raw = BufReader::with_capacity(64 << 10, file);
        let start = raw.fill_buf().map_err(|err| FsError::io("read", path, err))?;
        let format = match start {
            [0x1f, 0x8b, ..] => None,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some("xz"),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Some("zstd"),
            [b'B', b'Z', b'h', ..] => Some("bzip2"),
            [b'L', b'Z', b'I', b'P', ..] => Some("lzip"),
            [b'P', b'K', 3 | 5, 4 | 6, ..] => Some("zip"),
            start if looks_like_tar(start) => None,
            _ => return Err(ArchiveError::NotTar(path.to_owned())),
        };
        let gzip = start.starts_with(&[0x1f, 0x8b]);
        if let Some(format) = format {
            return Err(ArchiveError::Format { path: path.to_owned(), format });
        }
        let input: Box<dyn Read + 'a> = if gzip {
            let mut inner = flate2::bufread::MultiGzDecoder::new(raw);
            let mut start = Vec::new();
            inner.by_ref().take(512).read_to_end(&mut start).map_err(|err| explain(path, err))?;
            if !looks_like_tar(&start) {
                return Err(ArchiveError::NotTar(path.to_owned()));
            }
            Box::new(io::Cursor::new(start).chain(inner))
        } else {
            Box::new(raw)
        };
        let meter = Meter { limit, left: Cell::new(limit), between: Cell::new(u64::MAX), ended: Cell::new(false) };
        let meter = Rc::new(meter);
        Ok((Metered { input, meter: meter.clone() }, meter))
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

/// An error of the tar or gzip reader in our words.
pub(super) fn explain(path: &Path, err: io::Error) -> ArchiveError {
    let path = path.to_owned();
    if let Some(Stop::Total(limit)) = err.get_ref().and_then(|inner| inner.downcast_ref::<Stop>()) {
        return ArchiveError::TooLarge { path, limit: *limit };
    }
    match err.kind() {
        io::ErrorKind::UnexpectedEof => ArchiveError::Damaged { path, why: "it is cut off".into() },
        _ if err.raw_os_error().is_some() => FsError::io("read", &path, err).into(),
        _ => ArchiveError::Damaged { path, why: err.to_string() },
    }
}
