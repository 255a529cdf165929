//! A bare repository put together from any records of kind, length in two bytes, and bytes: one of its files as it is, a loose object (packed, and
//! under the id that it has, unless it is to lie about that), an entry of a pack, or the name that is asked for. `@` twenty times stands for the
//! id of the object before, and forty times for that in hex, so that a changed object is still found. What is read is not different from itself.
#![no_main]

use countersign::digest::{Wanted, sha1};
use countersign::source::Source;
use countersign::tree::Listing;
use std::io::Write as _;
use std::num::NonZeroUsize;
use std::path::Path;

const FILES: [&str; 10] = [
    "HEAD",
    "config",
    "packed-refs",
    "refs/heads/main",
    "refs/tags/v1",
    "shallow",
    "objects/pack/multi-pack-index",
    "objects/pack/pack-0000000000000000000000000000000000000000.idx",
    "objects/pack/pack-0000000000000000000000000000000000000000.pack",
    "objects/info/commit-graph",
];

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    for inner in ["objects/pack", "objects/info", "refs/heads", "refs/tags"] {
        std::fs::create_dir_all(root.join(inner)).unwrap();
    }
    std::fs::write(root.join("HEAD"), "ref: refs/heads/main\n").unwrap();
    let (mut last, mut revision, mut entries) = ([0; 20], "HEAD".to_owned(), Vec::new());
    let mut rest = data;
    while let Some((&[kind, low, high], after)) = rest.split_first_chunk::<3>() {
        let Some((bytes, after)) = after.split_at_checked(u16::from_le_bytes([low, high]).into()) else { break };
        rest = after;
        let bytes = marked(bytes, &last);
        match kind {
            b'a'..=b'j' => std::fs::write(root.join(FILES[usize::from(kind - b'a')]), bytes).unwrap(),
            b'B' | b'T' | b'C' | b'G' | b'O' => {
                let word = match kind {
                    b'B' => "blob",
                    b'T' => "tree",
                    b'C' => "commit",
                    b'G' => "tag",
                    _ => "",
                };
                // Without a word, the header is its own.
                let head = if word.is_empty() { String::new() } else { format!("{word} {}\0", bytes.len()) };
                let whole = [head.as_bytes(), &bytes].concat();
                last = *sha1(&whole).as_bytes();
                loose(root, &last, &zlib(&whole));
            }
            b'L' => {
                // Under an id that it need not have, and not packed here.
                let Some((id, bytes)) = bytes.split_first_chunk() else { continue };
                last = *id;
                loose(root, id, bytes);
            }
            b'P' => {
                let Some((kind, bytes)) = bytes.split_first() else { continue };
                // Of what is made from a base the id is not known here: it is read all the same before that is seen.
                let word = ["commit", "tree", "blob", "tag"].get(usize::from(*kind).wrapping_sub(1)).unwrap_or(&"");
                last = *sha1(&[format!("{word} {}\0", bytes.len()).as_bytes(), bytes].concat()).as_bytes();
                entries.push((last, *kind, bytes.to_vec()));
            }
            b'R' => revision = String::from_utf8_lossy(&bytes).into_owned(),
            _ => {}
        }
    }
    if !entries.is_empty() {
        pack(root, entries);
    }
    let begun = std::time::Instant::now();
    let read = Source::commit(root, &revision)
        .and_then(|source| Ok((source.scan(Wanted::GIT, &|_, _| false, NonZeroUsize::MIN, None)?, source)));
    assert!(begun.elapsed().as_secs() < 5, "slow");
    let Ok((scanned, source)) = read else { return };
    let text = scanned.tree.listing();
    assert_eq!(Listing::parse(&text).unwrap().to_string(), text);
    assert_eq!(source.as_commit().unwrap().differs(&scanned.tree, &|_, _| false).unwrap(), []);
});

fn marked(bytes: &[u8], id: &[u8; 20]) -> Vec<u8> {
    let hex: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut out = Vec::new();
    let mut rest = bytes;
    while let Some((first, after)) = rest.split_first() {
        if rest.starts_with(&[b'@'; 40]) {
            out.extend(hex.as_bytes());
            rest = &rest[40..];
        } else if rest.starts_with(&[b'@'; 20]) {
            out.extend(id);
            rest = &rest[20..];
        } else {
            out.push(*first);
            rest = after;
        }
    }
    out
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

fn loose(root: &Path, id: &[u8; 20], bytes: &[u8]) {
    let hex: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
    let dir = root.join("objects").join(&hex[..2]);
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join(&hex[2..]), bytes).unwrap();
}

/// A pack and its index. The low three bits of an entry's first byte are its type; the highest says that its length is stated in the next four,
/// the one below how far the base is away (type 6) or that the data are not packed here. The base of type 7 stands first.
fn pack(root: &Path, mut entries: Vec<([u8; 20], u8, Vec<u8>)>) {
    let mut pack = [&b"PACK\0\0\0\x02"[..], &(entries.len() as u32).to_be_bytes()].concat();
    let mut offsets = Vec::new();
    for (id, kind, bytes) in &entries {
        offsets.push((*id, pack.len() as u32));
        let (mut bytes, kind) = (bytes.as_slice(), *kind);
        let stated = if kind & 0x80 == 0 { None } else { bytes.split_off(..4.min(bytes.len())) };
        let base = match kind & 7 {
            6 => bytes.split_off(
                ..bytes.iter().take(9).take_while(|byte| **byte & 0x80 != 0).count().saturating_add(1).min(bytes.len()),
            ),
            7 => bytes.split_off(..20.min(bytes.len())),
            _ => None,
        };
        let mut size =
            stated.map_or(bytes.len() as u64, |at| at.iter().fold(0, |size, byte| size << 8 | u64::from(*byte)));
        let mut head = (kind & 7) << 4 | (size & 15) as u8;
        size >>= 4;
        while size > 0 {
            pack.push(head | 0x80);
            head = (size & 0x7f) as u8;
            size >>= 7;
        }
        pack.push(head);
        pack.extend(base.unwrap_or_default());
        pack.extend(if kind & 0x40 == 0 { zlib(bytes) } else { bytes.to_vec() });
    }
    pack.extend(sha1(&pack).as_bytes());
    entries.sort();
    entries.dedup_by_key(|entry| entry.0);
    offsets.sort();
    offsets.dedup_by_key(|entry| entry.0);
    let mut index = b"\xfftOc\0\0\0\x02".to_vec();
    for first in 0..=255 {
        index.extend((offsets.iter().filter(|(id, _)| id[0] <= first).count() as u32).to_be_bytes());
    }
    index.extend(offsets.iter().flat_map(|(id, _)| *id));
    index.extend(offsets.iter().flat_map(|_| [0; 4]));
    index.extend(offsets.iter().flat_map(|(_, offset)| offset.to_be_bytes()));
    index.extend(&pack[pack.len() - 20..]);
    index.extend(sha1(&index).as_bytes());
    std::fs::write(root.join(FILES[7]), index).unwrap();
    std::fs::write(root.join(FILES[8]), pack).unwrap();
}
