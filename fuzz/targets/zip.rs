//! A zip archive put together from any entries: each of method, flags, host, mode, lengths of name, extra fields and data, and those. Both headers
//! say the same and lengths and check sums are right, so that what counts is what they say. What is read has the names and contents given.
#![no_main]

use countersign::archive::tree;
use countersign::digest::{Wanted, content};
use countersign::tree::{Listing, Node};
use std::collections::HashMap;
use std::io::{Read as _, Write as _};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let (mut archive, mut directory, mut count) = (Vec::new(), Vec::new(), 0u16);
    let mut given: HashMap<&[u8], Vec<u8>> = HashMap::new();
    let mut rest = data;
    while let Some((&[method, flags, host, mode, perm, name, extra, long, short], after)) =
        rest.split_first_chunk::<9>()
    {
        let Some((name, after)) = after.split_at_checked(name.into()) else { break };
        let Some((extra, after)) = after.split_at_checked(extra.into()) else { break };
        let Some((body, after)) = after.split_at_checked(u16::from_be_bytes([long, short]).into()) else { break };
        rest = after;
        let mut plain = body.to_vec();
        if method == 8 {
            plain.clear();
            // Damaged data are for the program to find.
            let _ = flate2::read::DeflateDecoder::new(body).take(1 << 20).read_to_end(&mut plain);
        }
        let mut crc = flate2::Crc::new();
        crc.update(&plain);
        let sums = [crc.sum(), body.len() as u32, plain.len() as u32].map(u32::to_le_bytes).concat();
        let lengths = [name.len() as u16, extra.len() as u16].map(u16::to_le_bytes).concat();
        // Bit 6 stands for bit 11, that of UTF-8, so that one byte is enough.
        let common = [
            &[20, 0, flags & !0x40, if flags & 0x40 == 0 { 0 } else { 8 }, method, 0, 0, 0, 0, 0],
            &sums[..],
            &lengths,
        ]
        .concat();
        let offset = (archive.len() as u32).to_le_bytes();
        let attributes = [0, 0, perm, mode];
        directory
            .extend([b"PK\x01\x02\x14", &[host][..], &common, &[0; 6], &attributes, &offset, name, extra].concat());
        archive.extend([b"PK\x03\x04", &common[..], name, extra, body].concat());
        if flags & 8 != 0 {
            archive.extend([b"PK\x07\x08", &sums[..]].concat());
        }
        given.insert(name, plain);
        count += 1;
    }
    let places = [(directory.len() as u32).to_le_bytes(), (archive.len() as u32).to_le_bytes()].concat();
    let counts = [count.to_le_bytes(), count.to_le_bytes()].concat();
    archive.extend([&directory[..], b"PK\x05\x06\0\0\0\0", &counts, &places, &[0, 0]].concat());
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&archive).unwrap();
    let Ok(scanned) = tree(file.path(), 0, Wanted::SUBJECT, &|_, _| false, 1 << 22, None) else { return };
    let text = scanned.tree.listing();
    assert_eq!(Listing::parse(&text).unwrap().to_string(), text);
    for entry in scanned.tree.entries() {
        let from = given.iter().find(|(name, _)| plain_name(name) == entry.path.as_bytes());
        match &entry.node {
            Node::File { content: found, .. } => assert_eq!(*found, content(from.unwrap().1, Wanted::SUBJECT)),
            Node::Link { target } => assert_eq!(target[..], from.unwrap().1[..]),
            _ => {}
        }
    }
});

fn plain_name(mut name: &[u8]) -> &[u8] {
    while let Some(rest) = name.strip_prefix(b"./") {
        name = rest;
    }
    name
}
