//! The index of a pack that came without one.
//!
//! The pack may be anybody's. It is read as a stream: each object is unpacked into no more than it says, hashed (with detection of SHA-1
//! collisions), and only then named in the index. Deltas are resolved with what memory the limits below allow, however they are chained, and no
//! more is unpacked in all than a pack of that length may come to.

mod delta;

use super::object_limit;
use flate2::Crc;
use flate2::bufread::ZlibDecoder;
use gix::ObjectId;
use gix::objs::Kind as ObjectKind;
use gix::odb::pack::data::Entry as Header;
use gix::odb::pack::data::entry::Header as What;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek as _, Write};
use std::path::Path;

/// Most objects of a pack: what is known of each is held in memory.
const MAX_OBJECTS: u32 = 16 << 20;
/// A pack may unpack to so many times its length, all objects together, deltas resolved; honest ones of long histories come to some hundreds.
const MAX_WORK: u64 = 1024;
/// The limit for the smallest packs.
const MIN_WORK: u64 = 4 << 30;
/// Who reads one object makes all that its chain of deltas makes; for every object once, that may be so many times as much.
const MAX_CHAINS: u64 = 64;

/// What is known of an object.
struct Entry {
    offset: u64,
    /// Of the data at `offset`, which is a delta's where it has a base.
    size: u64,
    base: Base,
    crc: u32,
    /// Its index is that of the delta's base.
    above: u32,
    /// In a delta chain, counted from its base.
    depth: u16,
    /// Bytes that are made to have it, its base and all before that included.
    cost: u64,
    kind: ObjectKind,
    id: Option<ObjectId>,
}

#[derive(Clone, Copy)]
enum Base {
    None,
    At(u64),
    Id(ObjectId),
}

/// Counts what is unpacked.
struct Work {
    left: u64,
    /// For every object with all that it is made from.
    chains: u64,
    /// Largest object.
    limit: u64,
}

impl Work {
    fn of(length: u64) -> Work {
        let left = length.saturating_mul(MAX_WORK).max(MIN_WORK);
        Work { left, chains: left.saturating_mul(MAX_CHAINS), limit: object_limit(length) }
    }

    /// Before an object, or a delta, of so many bytes is made.
    fn take(&mut self, bytes: u64) -> Result<(), String> {
        if bytes > self.limit {
            return Err(format!(
                "one of its objects says that it is of {bytes} bytes, which is too much for what it is"
            ));
        }
        self.left = self.left.checked_sub(bytes).ok_or("its objects are too much for a pack of its length")?;
        Ok(())
    }

    /// When it is known what reading an object comes to.
    fn take_chain(&mut self, cost: u64) -> Result<(), String> {
        self.chains = self.chains.checked_sub(cost).ok_or("its deltas are too much for a pack of its length")?;
        Ok(())
    }
}

/// Writes the index of the pack `pack`, all of which must be one, to `index`. Gives the number of its objects.
pub(super) fn index(pack: &Path, index: &Path, hash: gix::hash::Kind) -> Result<usize, String> {
    let io = |err: io::Error| explain(&err);
    let file = File::open(pack).map_err(io)?;
    let length = file.metadata().map_err(io)?.len();
    let (entries, trailer) = read(&file, length, hash, &mut Work::of(length))?;
    let mut named: Vec<(ObjectId, u32, u64)> = Vec::with_capacity(entries.len());
    for entry in entries {
        let id = entry.id.ok_or("it needs objects that are not in it")?;
        named.push((id, entry.crc, entry.offset));
    }
    named.sort_unstable();
    named.dedup_by_key(|(id, _, _)| *id);
    let count = named.len();
    let out = File::create_new(index).map_err(io)?;
    write_index(out, &named, &trailer, hash)?;
    Ok(count)
}

/// All objects of a pack with their ids, but for those that need others, and its check sum.
fn read(file: &File, length: u64, hash: gix::hash::Kind, work: &mut Work) -> Result<(Vec<Entry>, ObjectId), String> {
    let (mut entries, trailer) = entries(file, length, hash, work)?;
    delta::resolve(file, &mut entries, hash, work)?;
    Ok((entries, trailer))
}

/// An error of reading in few words.
fn explain(err: &io::Error) -> String {
    match err.kind() {
        io::ErrorKind::UnexpectedEof => "it is cut off".to_owned(),
        _ => crate::fs::reason(err),
    }
}

/// Hashes what is read.
struct Stream<R> {
    input: R,
    hash: gix::hash::Hasher,
    crc: Crc,
    at: u64,
}

impl<R: BufRead> Read for Stream<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let n = self.fill_buf()?.read(into)?;
        self.consume(n);
        Ok(n)
    }
}

impl<R: BufRead> BufRead for Stream<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.input.fill_buf()
    }

    fn consume(&mut self, n: usize) {
        // What was filled is there still, and nothing is read for it.
        if let Some(bytes) = self.input.fill_buf().ok().and_then(|buffer| buffer.get(..n)) {
            self.hash.update(bytes);
            self.crc.update(bytes);
        }
        self.at += n as u64;
        self.input.consume(n);
    }
}

/// Reads the whole pack once: where its objects are, and the ids of those that are no deltas.
fn entries(file: &File, length: u64, hash: gix::hash::Kind, work: &mut Work) -> Result<(Vec<Entry>, ObjectId), String> {
    let io = |err: io::Error| explain(&err);
    let input = BufReader::with_capacity(64 << 10, file);
    let mut stream = Stream { input, hash: gix::hash::hasher(hash), crc: Crc::new(), at: 0 };
    let mut start = [0; 12];
    stream.read_exact(&mut start).map_err(io)?;
    let (_, count) = gix::odb::pack::data::header::decode(&start).map_err(|err| err.to_string())?;
    // Nine bytes are the least that an object takes.
    if count > MAX_OBJECTS || u64::from(count) > length / 9 {
        return Err(format!("it says that it holds {count} objects, which is too many"));
    }
    let mut entries = Vec::with_capacity(count as usize);
    for _ in 0..count {
        entries.push(entry(&mut stream, hash, work)?);
    }
    let want = stream.hash.clone().try_finalize().map_err(|err| err.to_string())?;
    let mut trailer = vec![0; hash.len_in_bytes()];
    stream.read_exact(&mut trailer).map_err(io)?;
    if trailer != want.as_bytes() {
        return Err("it is damaged: its check sum does not hold".to_owned());
    }
    if !stream.fill_buf().map_err(io)?.is_empty() {
        return Err("something follows its end".to_owned());
    }
    Ok((entries, want))
}

fn entry<R: BufRead>(stream: &mut Stream<R>, hash: gix::hash::Kind, work: &mut Work) -> Result<Entry, String> {
    let offset = stream.at;
    stream.crc.reset();
    let at = |err: io::Error| format!("its object at {offset}: {}", explain(&err));
    let header = Header::from_read(stream, offset, hash.len_in_bytes()).map_err(at)?;
    let size = header.decompressed_size;
    work.take(size)?;
    let (kind, base) = match header.header {
        What::OfsDelta { base_distance } => {
            let base = offset.checked_sub(base_distance).filter(|base| *base < offset);
            (ObjectKind::Blob, Base::At(base.ok_or_else(|| format!("its object at {offset} has no base"))?))
        }
        What::RefDelta { base_id } => (ObjectKind::Blob, Base::Id(base_id)),
        other => (other.as_kind().ok_or("it holds what is no object")?, Base::None),
    };
    let mut hasher = gix::hash::hasher(hash);
    hasher.update(&gix::objs::encode::loose_header(kind, size));
    let mut inflated = ZlibDecoder::new(&mut *stream);
    let (mut read, mut buffer) = (0, [0; 16 << 10]);
    loop {
        let n = inflated.read(&mut buffer).map_err(at)?;
        if n == 0 {
            break;
        }
        read += n as u64;
        if read > size {
            break;
        }
        hasher.update(&buffer[..n]);
    }
    if read != size {
        return Err(format!("its object at {offset} is not of the length that it says"));
    }
    let id = match base {
        Base::None => Some(hasher.try_finalize().map_err(|err| err.to_string())?),
        _ => None,
    };
    Ok(Entry { offset, size, base, crc: stream.crc.sum(), above: 0, depth: 0, cost: size, kind, id })
}

/// The data of an entry, unpacked once more.
fn inflate(file: &File, entry: &Entry, hash: gix::hash::Kind, work: &mut Work) -> Result<Vec<u8>, String> {
    let io = |err: io::Error| explain(&err);
    work.take(entry.size)?;
    let mut file = file;
    file.seek(io::SeekFrom::Start(entry.offset)).map_err(io)?;
    let mut input = BufReader::with_capacity(8 << 10, file);
    Header::from_read(&mut input, entry.offset, hash.len_in_bytes()).map_err(io)?;
    let mut bytes = Vec::with_capacity(entry.size as usize);
    ZlibDecoder::new(input).take(entry.size + 1).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 != entry.size {
        return Err("it changed while it was read".to_owned());
    }
    Ok(bytes)
}

/// Offsets from here on stand in a table of their own.
const LARGE: u64 = 1 << 31;

/// Version 2 of git's format.
fn write_index(
    out: File,
    named: &[(ObjectId, u32, u64)],
    pack: &ObjectId,
    hash: gix::hash::Kind,
) -> Result<(), String> {
    let io = |err: io::Error| explain(&err);
    let mut out = BufWriter::new(out);
    let mut hasher = gix::hash::hasher(hash);
    let mut put = |bytes: &[u8]| {
        hasher.update(bytes);
        out.write_all(bytes).map_err(io)
    };
    put(b"\xfftOc\0\0\0\x02")?;
    let mut below = [0u32; 256];
    for (id, _, _) in named {
        below[usize::from(id.as_bytes()[0])] += 1;
    }
    let mut sum = 0;
    for count in below {
        sum += count;
        put(&sum.to_be_bytes())?;
    }
    for (id, _, _) in named {
        put(id.as_bytes())?;
    }
    for (_, crc, _) in named {
        put(&crc.to_be_bytes())?;
    }
    let mut large: Vec<u64> = Vec::new();
    for (_, _, offset) in named {
        let word = if *offset < LARGE {
            *offset as u32
        } else {
            large.push(*offset);
            LARGE as u32 | (large.len() - 1) as u32
        };
        put(&word.to_be_bytes())?;
    }
    for offset in large {
        put(&offset.to_be_bytes())?;
    }
    put(pack.as_bytes())?;
    let sum = hasher.try_finalize().map_err(|err| err.to_string())?;
    out.write_all(sum.as_bytes()).and_then(|()| out.flush()).map_err(io)
}

#[cfg(test)]
mod tests;
