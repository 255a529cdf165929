//! Zip archives. Strict, since a zip says most things twice and readers differ in which they believe: the entries must lie one behind the
//! other from the first byte to the central directory, with nothing between, and that to the end; what an entry says of itself must be what
//! the central directory says of it. So nothing overlaps, is there unseen, or is one file to one reader and another to the next.
//!
//! ```text
//! (local header, name, extra, data [, data descriptor])*  (central header)*  [zip64 end, locator]  end, comment
//! ```
//!
//! Names are UTF-8, marked as such (bit 11) or written by a Unix program; without backslashes. Methods are `stored` and `deflated`. Modes and
//! links are those of Unix programs; of others, every file is 0644.

mod central;

use super::{ArchiveError, MAX_TARGET, Member, Visit, inside, stream};
use central::{Central, Kind, directory, u16_at, u32_at, u64_at};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek as _, SeekFrom};
use std::path::Path;

/// Gives each entry to `visit`, in the order in which they lie in the file.
pub(super) fn members(
    path: &Path,
    file: &File,
    strip: u8,
    limit: u64,
    visit: &mut Visit<'_>,
) -> Result<(), ArchiveError> {
    let fail = |err: io::Error| stream::explain(path, err);
    let (entries, end) = directory(path, file, limit)?;
    let mut file = file;
    file.seek(SeekFrom::Start(0)).map_err(fail)?;
    let mut input = BufReader::with_capacity(64 << 10, file);
    let mut at = 0;
    for (n, entry) in entries.iter().enumerate() {
        let next = entries.get(n + 1).map_or(end, |next| next.offset);
        if entry.offset != at {
            let why = "its entries overlap, or there is something between them".into();
            return Err(ArchiveError::Damaged { path: path.to_owned(), why });
        }
        one(path, strip, entry, &mut input, next, visit)?;
        at = next;
    }
    if at != end {
        let why = "there is something between its last entry and its central directory".into();
        return Err(ArchiveError::Damaged { path: path.to_owned(), why });
    }
    Ok(())
}

fn one(
    path: &Path,
    strip: u8,
    entry: &Central,
    input: &mut (impl BufRead + ?Sized),
    next: u64,
    visit: &mut Visit<'_>,
) -> Result<(), ArchiveError> {
    let refuse = |why: String| {
        let member = String::from_utf8_lossy(&entry.name).into_owned();
        ArchiveError::Member { path: path.to_owned(), member, why }
    };
    let fail = |err: io::Error| match err.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => refuse(err.to_string()),
        _ => stream::explain(path, err),
    };
    let head = local(entry, input).map_err(fail)?;
    let data_end = entry.offset.checked_add(head).and_then(|at| at.checked_add(entry.packed));
    let Some(behind) = data_end.and_then(|at| next.checked_sub(at)) else {
        return Err(refuse("it overlaps with what comes after it".into()));
    };
    if behind != 0 && !entry.has_descriptor() {
        return Err(refuse("there is something behind it that belongs to nothing".into()));
    }
    let is_dir = entry.kind == Kind::Dir;
    let name = if is_dir { entry.name.strip_suffix(b"/").unwrap_or(&entry.name) } else { &entry.name };
    let at = inside(name, strip, is_dir).map_err(|why| refuse(why.to_string()))?;
    if at.is_none() && !is_dir {
        return Err(refuse(format!("it has no more than {strip} parts (strip = {strip})")));
    }
    let mut packed = (&mut *input).take(entry.packed);
    let mut body = Body { left: entry.size, crc: flate2::Crc::new(), inner: Inner::new(entry.deflated, &mut packed) };
    match (at, entry.kind) {
        (Some(at), Kind::Dir) => visit(at, Member::Dir)?,
        (Some(at), Kind::File { perm }) => visit(at, Member::File { perm, size: entry.size, data: &mut body })?,
        (Some(at), Kind::Link) => {
            if entry.size > MAX_TARGET as u64 {
                return Err(refuse("its target is missing or not a path".into()));
            }
            let mut target = Vec::new();
            body.read_to_end(&mut target).map_err(fail)?;
            if target.is_empty() || target.contains(&0) {
                return Err(refuse("its target is missing or not a path".into()));
            }
            visit(at, Member::Link { target })?;
        }
        (None, _) => {}
    }
    io::copy(&mut body, &mut io::sink()).map_err(fail)?;
    if body.left != 0 {
        return Err(refuse("it is shorter than it says".into()));
    }
    if body.crc.sum() != entry.crc {
        return Err(refuse("its check sum does not hold".into()));
    }
    drop(body);
    if packed.limit() != 0 {
        return Err(refuse("there is something behind its data that belongs to nothing".into()));
    }
    if entry.has_descriptor() {
        descriptor(entry, input, behind).map_err(fail)?;
    }
    Ok(())
}

/// What an entry says of itself must be what the central directory says of it. Returns the length of header, name and extra fields.
fn local(entry: &Central, input: &mut (impl BufRead + ?Sized)) -> io::Result<u64> {
    let differs =
        |what: &str| io::Error::new(io::ErrorKind::InvalidData, format!("its two headers do not agree on {what}"));
    let mut head = [0; 30];
    input.read_exact(&mut head)?;
    if head[..4] != *b"PK\x03\x04" {
        return Err(differs("where it begins"));
    }
    let (name, extra) = (u16_at(&head, 26), u16_at(&head, 28));
    let mut rest = vec![0; usize::from(name) + usize::from(extra)];
    input.read_exact(&mut rest)?;
    let (name, extra) = rest.split_at(usize::from(name));
    if name != entry.name {
        return Err(differs("its name"));
    }
    if u16_at(&head, 6) != entry.flags {
        return Err(differs("its flags"));
    }
    if (u16_at(&head, 8) == 8) != entry.deflated || !matches!(u16_at(&head, 8), 0 | 8) {
        return Err(differs("how it is packed"));
    }
    let (mut packed, mut size) = (u64::from(u32_at(&head, 18)), u64::from(u32_at(&head, 22)));
    let large = central::extra(extra, &entry.name)?;
    if packed == u64::from(u32::MAX) || size == u64::from(u32::MAX) {
        let Some(large) = large.filter(|large| large.len() == 16) else { return Err(differs("its length")) };
        for (value, at) in [(&mut size, 0), (&mut packed, 8)] {
            if *value == u64::from(u32::MAX) {
                *value = u64_at(large, at);
            }
        }
    }
    // With a data descriptor they follow the data, and may be zero here.
    let agrees = |here: u64, there: u64| here == there || (entry.has_descriptor() && here == 0);
    if !agrees(size, entry.size) || !agrees(packed, entry.packed) {
        return Err(differs("its length"));
    }
    if !agrees(u32_at(&head, 14).into(), entry.crc.into()) {
        return Err(differs("its check sum"));
    }
    Ok((head.len() + rest.len()) as u64)
}

/// Crc and lengths behind the data: with and without a mark before them, in 32 and in 64 bits; its length tells which.
fn descriptor(entry: &Central, input: &mut (impl BufRead + ?Sized), length: u64) -> io::Result<()> {
    let wrong = || {
        io::Error::new(io::ErrorKind::InvalidData, "what follows its data does not agree with the central directory")
    };
    if !matches!(length, 12 | 16 | 20 | 24) {
        return Err(wrong());
    }
    let mut bytes = vec![0; length as usize];
    input.read_exact(&mut bytes)?;
    let mut rest = bytes.as_slice();
    if length.is_multiple_of(8) {
        rest = rest.strip_prefix(b"PK\x07\x08").ok_or_else(wrong)?;
    }
    let (packed, size) = match rest.len() {
        12 => (u32_at(rest, 4).into(), u32_at(rest, 8).into()),
        _ => (u64_at(rest, 4), u64_at(rest, 12)),
    };
    if (u32_at(rest, 0), packed, size) == (entry.crc, entry.packed, entry.size) { Ok(()) } else { Err(wrong()) }
}

/// The unpacked bytes of one entry: no more than it says, and their check sum.
struct Body<R> {
    left: u64,
    crc: flate2::Crc,
    inner: Inner<R>,
}

enum Inner<R> {
    Stored(R),
    Deflated(flate2::bufread::DeflateDecoder<R>),
}

impl<R: BufRead> Inner<R> {
    fn new(deflated: bool, packed: R) -> Inner<R> {
        if deflated { Inner::Deflated(flate2::bufread::DeflateDecoder::new(packed)) } else { Inner::Stored(packed) }
    }
}

impl<R: BufRead> Read for Body<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let n = match &mut self.inner {
            Inner::Stored(data) => data.read(into)?,
            Inner::Deflated(data) => data.read(into)?,
        };
        self.left = self
            .left
            .checked_sub(n as u64)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "it is longer than it says"))?;
        self.crc.update(&into[..n]);
        Ok(n)
    }
}
