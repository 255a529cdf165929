//! The end of a zip archive and its central directory.

use crate::archive::{ArchiveError, most_names, stream};
use crate::tree::{MAX_ENTRIES, TreeError};
use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _, SeekFrom};
use std::path::Path;

/// One entry as the central directory has it.
pub(super) struct Central {
    pub(super) name: Vec<u8>,
    pub(super) flags: u16,
    pub(super) deflated: bool,
    pub(super) crc: u32,
    pub(super) packed: u64,
    pub(super) size: u64,
    pub(super) offset: u64,
    pub(super) kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Dir,
    File { perm: u32 },
    Link,
}

impl Central {
    /// Check sum and lengths stand behind the data.
    pub(super) fn has_descriptor(&self) -> bool {
        self.flags & DESCRIPTOR != 0
    }
}

const ENCRYPTED: u16 = 1 | 1 << 6 | 1 << 13;
const LEVEL: u16 = 0b110;
const DESCRIPTOR: u16 = 1 << 3;
const UTF8: u16 = 1 << 11;
/// Longest comment at the end.
const MAX_COMMENT: u64 = u16::MAX as u64;
/// Length of the end record without its comment.
const END: u64 = 22;

/// Where the central directory is.
struct Place {
    offset: u64,
    size: u64,
    entries: u64,
}

/// The entries, in the order in which they lie in the file, and where the central directory begins.
pub(super) fn directory(path: &Path, file: &File, limit: u64) -> Result<(Vec<Central>, u64), ArchiveError> {
    let fail = |err: io::Error| stream::explain(path, err);
    let damaged = |why: &str| ArchiveError::Damaged { path: path.to_owned(), why: why.into() };
    let place = place(file).map_err(fail)?;
    if place.entries > MAX_ENTRIES as u64 {
        return Err(ArchiveError::Tree { path: path.to_owned(), why: TreeError::TooMany });
    }
    let mut file = file;
    file.seek(SeekFrom::Start(place.offset)).map_err(fail)?;
    let mut input = BufReader::with_capacity(64 << 10, file).take(place.size);
    let mut entries = Vec::new();
    let (mut names, mut total) = (0, 0u64);
    for _ in 0..place.entries {
        let entry = entry(path, &mut input)?;
        names += (entry.name.len() + size_of::<Central>()) as u64;
        if names > most_names(limit) {
            return Err(ArchiveError::Names { path: path.to_owned(), limit: most_names(limit) });
        }
        total = total.saturating_add(entry.size);
        if total > limit {
            return Err(ArchiveError::TooLarge { path: path.to_owned(), limit });
        }
        entries.push(entry);
    }
    if input.limit() != 0 {
        return Err(damaged("its central directory holds more than it says"));
    }
    entries.sort_by_key(|entry| entry.offset);
    Ok((entries, place.offset))
}

fn damaged(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// The end record is the last thing in the file, and there is one that is.
fn place(file: &File) -> io::Result<Place> {
    let length = file.metadata()?.len();
    let from = length.saturating_sub(END + MAX_COMMENT + 76);
    let mut file = file;
    file.seek(SeekFrom::Start(from))?;
    let mut tail = Vec::new();
    file.take(length - from).read_to_end(&mut tail)?;
    let is_end = |at: usize| {
        let bytes = &tail[at..];
        bytes.starts_with(b"PK\x05\x06")
            && bytes.len() >= END as usize
            && bytes.len() as u64 == END + u64::from(u16_at(bytes, 20))
    };
    let mut ends = (0..tail.len()).filter(|at| is_end(*at));
    let at = match (ends.next(), ends.next()) {
        (None, _) => return Err(damaged("it is cut off, or something follows its end")),
        (Some(_), Some(_)) => return Err(damaged("it has more than one end")),
        (Some(at), None) => at,
    };
    // Most readers take the last mark, whether or not what follows is as long as it says: a whole archive of its own could stand in the comment.
    if tail[at + 1..].windows(4).any(|bytes| bytes == b"PK\x05\x06") {
        return Err(damaged("it has more than one end"));
    }
    let end = &tail[at..];
    let short: [u64; 5] = [
        u16_at(end, 4).into(),
        u16_at(end, 6).into(),
        u16_at(end, 8).into(),
        u16_at(end, 10).into(),
        u32_at(end, 12).into(),
    ];
    let mut place = Place { offset: u32_at(end, 16).into(), size: short[4], entries: short[3] };
    let (mut disk, mut first, mut here) = (short[0], short[1], short[2]);
    let mut ends_at = from + at as u64;
    let small = u64::from(u16::MAX);
    if place.entries == small || here == small || place.size == LARGE || place.offset == LARGE {
        // The 64-bit end and what points to it stand right before.
        let wide = at.checked_sub(76).map(|wide| &tail[wide..at]).ok_or_else(|| damaged("its zip64 end is missing"))?;
        ends_at -= 76;
        let pointed = wide.starts_with(b"PK\x06\x06")
            && u64_at(wide, 4) == 44
            && wide[56..].starts_with(b"PK\x06\x07")
            && u32_at(wide, 60) == 0
            && u64_at(wide, 64) == ends_at
            && u32_at(wide, 72) == 1;
        if !pointed {
            return Err(damaged("its zip64 end is missing or damaged"));
        }
        let long = Place { entries: u64_at(wide, 32), size: u64_at(wide, 40), offset: u64_at(wide, 48) };
        let agrees = |short: u64, most: u64, long: u64| short == most || short == long;
        let all = agrees(here, small, u64_at(wide, 24))
            && agrees(place.entries, small, long.entries)
            && agrees(place.size, LARGE, long.size)
            && agrees(place.offset, LARGE, long.offset)
            && agrees(disk, small, u32_at(wide, 16).into())
            && agrees(first, small, u32_at(wide, 20).into());
        if !all {
            return Err(damaged("its two ends do not agree"));
        }
        (disk, first, here) = (u32_at(wide, 16).into(), u32_at(wide, 20).into(), u64_at(wide, 24));
        place = long;
    }
    if disk != 0 || first != 0 || here != place.entries {
        return Err(damaged("it is one part of several"));
    }
    if place.offset.checked_add(place.size) != Some(ends_at) {
        return Err(damaged(
            "its central directory is not where its end says, or something stands before its first entry",
        ));
    }
    Ok(place)
}

/// What a 32-bit field holds when the value is in the zip64 extra field.
const LARGE: u64 = u32::MAX as u64;

fn entry(path: &Path, input: &mut impl Read) -> Result<Central, ArchiveError> {
    let fail = |err: io::Error| stream::explain(path, err);
    let mut head = [0; 46];
    input.read_exact(&mut head).map_err(fail)?;
    if head[..4] != *b"PK\x01\x02" {
        return Err(fail(damaged("its central directory is damaged")));
    }
    let [name, extra, comment] = [28, 30, 32].map(|at| usize::from(u16_at(&head, at)));
    let mut rest = vec![0; name + extra + comment];
    input.read_exact(&mut rest).map_err(fail)?;
    let (name, rest) = rest.split_at(name);
    let refuse = |why: &str| {
        let member = String::from_utf8_lossy(name).into_owned();
        ArchiveError::Member { path: path.to_owned(), member, why: why.to_owned() }
    };
    let (host, flags, method) = (head[5], u16_at(&head, 8), u16_at(&head, 10));
    if flags & ENCRYPTED != 0 || method == 99 {
        return Err(refuse("it is encrypted"));
    }
    if flags & !(LEVEL | DESCRIPTOR | UTF8) != 0 {
        return Err(refuse("it has flags that are not known"));
    }
    if !matches!(method, 0 | 8) {
        return Err(refuse(&format!("it is packed by method {method}: stored (0) and deflated (8) are supported")));
    }
    let unix = matches!(host, UNIX | DARWIN);
    if std::str::from_utf8(name).is_err() || !(name.is_ascii() || flags & UTF8 != 0 || unix) {
        return Err(refuse("its name is not UTF-8, or not said to be"));
    }
    if name.contains(&b'\\') {
        return Err(refuse("its name has a backslash, which some readers take for a slash"));
    }
    let (mut packed, mut size, mut offset) =
        (u64::from(u32_at(&head, 20)), u64::from(u32_at(&head, 24)), u64::from(u32_at(&head, 42)));
    let large = self::extra(&rest[..extra], name).map_err(|err| refuse(&err.to_string()))?;
    let mut large = large.unwrap_or_default();
    for value in [&mut size, &mut packed, &mut offset] {
        if *value == LARGE {
            let (long, after) = large.split_at_checked(8).ok_or_else(|| refuse("its zip64 field is too short"))?;
            *value = u64_at(long, 0);
            large = after;
        }
    }
    if !large.is_empty() {
        return Err(refuse("its zip64 field says what was said before"));
    }
    if u16_at(&head, 34) != 0 {
        return Err(refuse("it is in another part of the archive"));
    }
    let kind = kind(name, unix, u32_at(&head, 38)).map_err(refuse)?;
    if kind == Kind::Dir && size != 0 {
        return Err(refuse("it has content but is not a file"));
    }
    if method == 0 && packed != size {
        return Err(refuse("it is stored, and has two lengths"));
    }
    let (name, deflated, crc) = (name.to_vec(), method == 8, u32_at(&head, 16));
    Ok(Central { name, flags, deflated, crc, packed, size, offset, kind })
}

/// Systems whose programs write Unix modes.
const UNIX: u8 = 3;
const DARWIN: u8 = 19;

fn kind(name: &[u8], unix: bool, attributes: u32) -> Result<Kind, &'static str> {
    let (mode, is_dir) = (attributes >> 16, name.ends_with(b"/"));
    let kind = match mode & 0o170_000 {
        0 if is_dir => Kind::Dir,
        0 => Kind::File { perm: mode & 0o7777 },
        0o040_000 => Kind::Dir,
        0o100_000 => Kind::File { perm: mode & 0o7777 },
        0o120_000 => Kind::Link,
        _ => return Err("it is a device, FIFO or socket: a tree holds files, links and directories only"),
    };
    // The second is DOS's.
    if (kind == Kind::Dir) != is_dir || (attributes & 0x10 != 0 && !is_dir) {
        return Err("its name and its mode do not agree on whether it is a directory");
    }
    match kind {
        // Some readers would make a link or an executable file of it, others would not.
        Kind::Link if !unix => Err("it has a Unix mode and is not by a Unix program"),
        Kind::File { perm } if !unix && perm & 0o111 != 0 => Err("it has a Unix mode and is not by a Unix program"),
        // Of a program that writes no modes, or of one that wrote none.
        Kind::File { perm } if !unix || (mode & 0o170_000 == 0 && perm == 0) => Ok(Kind::File { perm: 0o644 }),
        kind => Ok(kind),
    }
}

/// Checks extra fields and returns the zip64 one.
pub(super) fn extra<'a>(mut fields: &'a [u8], name: &[u8]) -> io::Result<Option<&'a [u8]>> {
    let mut large = None;
    while !fields.is_empty() {
        let head = fields.split_at_checked(4).ok_or_else(|| damaged("its extra fields are damaged"))?;
        let (tag, length) = (u16_at(head.0, 0), usize::from(u16_at(head.0, 2)));
        let (value, rest) = head.1.split_at_checked(length).ok_or_else(|| damaged("its extra fields are damaged"))?;
        fields = rest;
        match tag {
            0x0001 if large.is_some() => return Err(damaged("it has two zip64 fields")),
            0x0001 => large = Some(value),
            // A second name: the readers that know the field take that one.
            0x7075 if value.get(5..) != Some(name) => return Err(damaged("it has two names")),
            // A second mode, or the target of a link.
            0x756e => return Err(damaged("it has two modes")),
            0x9901 => return Err(damaged("it is encrypted")),
            _ => {}
        }
    }
    Ok(large)
}

pub(super) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(array(bytes, at))
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array(bytes, at))
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array(bytes, at))
}

/// The callers know the length of what they look at.
fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&bytes[at..at + N]);
    array
}
