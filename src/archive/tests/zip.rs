//! Zip: the same tree, and twins that say two things.

use super::*;
use std::path::Path;
use std::process::Command;

/// One entry to be written: what both headers say, and what is really there.
struct Item<'a> {
    name: &'a [u8],
    data: &'a [u8],
    host: u8,
    mode: u32,
    /// What DOS says: 0x10 is a directory.
    dos: u32,
    flags: u16,
    extra: &'a [u8],
}

impl<'a> Item<'a> {
    fn file(name: &'a [u8], data: &'a [u8]) -> Item<'a> {
        Item { name, data, host: 3, mode: 0o100_644, dos: 0, flags: 0, extra: b"" }
    }
}

fn crc(data: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(data);
    crc.sum()
}

/// A stored entry, its local header first.
fn local(item: &Item<'_>) -> Vec<u8> {
    let mut out = b"PK\x03\x04\x14\0".to_vec();
    out.extend(item.flags.to_le_bytes());
    out.extend([0; 6]);
    out.extend(crc(item.data).to_le_bytes());
    out.extend((item.data.len() as u32).to_le_bytes());
    out.extend((item.data.len() as u32).to_le_bytes());
    out.extend((item.name.len() as u16).to_le_bytes());
    out.extend((item.extra.len() as u16).to_le_bytes());
    [&out, item.name, item.extra, item.data].concat()
}

fn central(item: &Item<'_>, offset: u32) -> Vec<u8> {
    let mut out = vec![b'P', b'K', 1, 2, 20, item.host, 20, 0];
    out.extend(item.flags.to_le_bytes());
    out.extend([0; 6]);
    out.extend(crc(item.data).to_le_bytes());
    out.extend((item.data.len() as u32).to_le_bytes());
    out.extend((item.data.len() as u32).to_le_bytes());
    out.extend((item.name.len() as u16).to_le_bytes());
    out.extend((item.extra.len() as u16).to_le_bytes());
    out.extend([0; 6]);
    out.extend((item.mode << 16 | item.dos).to_le_bytes());
    out.extend(offset.to_le_bytes());
    [&out, item.name, item.extra].concat()
}

fn end(entries: u16, size: usize, offset: usize, comment: &[u8]) -> Vec<u8> {
    let mut out = b"PK\x05\x06\0\0\0\0".to_vec();
    out.extend(entries.to_le_bytes());
    out.extend(entries.to_le_bytes());
    out.extend((size as u32).to_le_bytes());
    out.extend((offset as u32).to_le_bytes());
    out.extend((comment.len() as u16).to_le_bytes());
    [&out, comment].concat()
}

fn zip(items: &[Item<'_>]) -> Vec<u8> {
    let (mut body, mut directory) = (Vec::new(), Vec::new());
    for item in items {
        directory.extend(central(item, body.len() as u32));
        body.extend(local(item));
    }
    let end = end(items.len() as u16, directory.len(), body.len(), b"");
    [body, directory, end].concat()
}

fn one(item: Item<'_>) -> Vec<u8> {
    zip(&[item])
}

#[track_caller]
fn refused(bytes: &[u8], why: &str) {
    let said = refusal(bytes);
    assert!(said.contains(why), "{said}");
}

/// What `zip` makes of a directory.
fn packed(root: &Path, options: &[&str]) -> Vec<u8> {
    let archive = tempfile::tempdir().unwrap();
    let file = archive.path().join("z.zip");
    let out = Command::new("zip").args(["-q", "-r", "-y"]).args(options).arg(&file).arg(".").current_dir(root).output();
    let out = out.unwrap();
    assert!(out.status.success(), "{out:?}");
    std::fs::read(file).unwrap()
}

fn sample(root: &Path) {
    std::fs::create_dir_all(root.join("a/empty")).unwrap();
    std::fs::write(root.join("a/run"), "#!").unwrap();
    std::fs::set_permissions(root.join("a/run"), std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::write(root.join("long"), "one line of many\n".repeat(20_000)).unwrap();
    std::fs::write(root.join("nothing"), "").unwrap();
    std::fs::write(root.join("ü"), "y").unwrap();
    symlink("a/run", root.join("link")).unwrap();
    symlink("/nowhere at all", root.join("dangling")).unwrap();
}

#[test]
fn the_same_tree_as_the_directory() {
    let dir = tempfile::tempdir().unwrap();
    sample(dir.path());
    let want = crate::scan::tree(dir.path(), &crate::scan::Options::new(TreeKind::Source)).unwrap().tree;
    for options in [&[][..], &["-9"], &["-X"], &["-UN=UTF8"], &["-fz"]] {
        assert_eq!(read(&packed(dir.path(), options)).unwrap().tree, want, "{options:?}");
    }
    // By a program that writes to a pipe, entry by entry, lengths behind the data; and by one that marks UTF-8.
    let script = "import os,sys,zipfile,io\n\
         class Pipe(io.RawIOBase):\n def writable(self): return True\n def write(self, b): return os.write(1, b)\n\
         z = zipfile.ZipFile(Pipe(), 'w', zipfile.ZIP_DEFLATED)\n\
         for top, dirs, files in os.walk('.'):\n\
         \x20for name in dirs + files:\n\
         \x20 p = os.path.relpath(os.path.join(top, name))\n\
         \x20 i = zipfile.ZipInfo(p + '/' * (os.path.isdir(p) and not os.path.islink(p)))\n\
         \x20 i.external_attr = os.lstat(p).st_mode << 16\n\
         \x20 i.compress_type = zipfile.ZIP_DEFLATED\n\
         \x20 z.writestr(i, os.readlink(p) if os.path.islink(p) else b'' if os.path.isdir(p) else open(p, 'rb').read())\n\
         z.close()\n";
    let out = Command::new("python3").args(["-c", script]).current_dir(dir.path()).output().unwrap();
    assert!(out.status.success(), "{out:?}");
    assert_eq!(out.stdout[6] & 8, 8, "with data descriptors");
    assert_eq!(read(&out.stdout).unwrap().tree, want);
    let mut other = out.stdout.clone();
    let at = other.windows(4).position(|four| four == b"PK\x07\x08").unwrap();
    for wrong in [at, at + 4, at + 8, at + 12] {
        other[wrong] ^= 1;
        assert!(read(&other).is_err(), "{wrong}");
        other[wrong] ^= 1;
    }
    assert_eq!(read(&packed(dir.path().join("a").as_path(), &[])).unwrap().tree.entries().len(), 2);
}

#[test]
fn cut_off_damaged_or_followed() {
    let dir = tempfile::tempdir().unwrap();
    sample(dir.path());
    let whole = packed(dir.path(), &[]);
    let want = read(&whole).unwrap().tree;
    for part in 0..8 {
        assert!(read(&whole[..whole.len() * part / 8]).is_err(), "{part}");
    }
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x04;
        // Times, versions and comments are no part of a tree; nothing else may change unseen, but for modes in the central directory.
        if let Ok(scanned) = read(&bytes) {
            let names = |tree: &Tree| tree.entries().iter().map(|entry| entry.path.clone()).collect::<Vec<_>>();
            assert_eq!(names(&scanned.tree), names(&want), "{at}");
        }
    }
    refused(&[&whole[..], b"more"].concat(), "something follows its end");
    refused(&[&whole[..], &whole[..]].concat(), "something stands before its first entry");
    refused(&[&b"PK\x03\x04 and so on"[..], &whole[..]].concat(), "something stands before its first entry");
    assert!(read(&[&b"#!/bin/sh\n"[..], &whole[..]].concat()).is_err());
    // A comment is allowed, as git writes one; one with another end in it is not.
    let mut commented = whole.clone();
    let length = commented.len();
    commented[length - 2] = 3;
    assert_eq!(read(&[&commented[..], b"abc"].concat()).unwrap().tree, want);
    commented[length - 2] = 22;
    refused(&[&commented[..], &end(0, 0, 0, b"")].concat(), "more than one end");
    // Nor one with another that ends too early or too late: most readers take it all the same, and with it the archive before it.
    let other = zip(&[Item::file(b"a/run", b"another")]);
    let (mut long, short) = (other.clone(), [&other[..], b"\n"].concat());
    long[other.len() - 2] = 1;
    for comment in [long, short, b"PK\x05\x06".to_vec()] {
        let length = comment.len() as u16;
        commented.truncate(whole.len() - 2);
        commented.extend(length.to_le_bytes());
        refused(&[&commented[..], &comment].concat(), "more than one end");
    }
    assert_eq!(read(&end(0, 0, 0, b"")).unwrap().tree.entries().len(), 0, "no entries");
}

#[test]
fn names_and_kinds() {
    for name in [&b"/abs"[..], b"../up", b"a/../../up", b"a//b", b"a/./b", b"..", b"a\0b", b""] {
        refused(&one(Item::file(name, b"x")), "the path");
    }
    refused(&one(Item::file(b"a\\b", b"x")), "backslash");
    refused(&one(Item::file(b"\xff", b"x")), "not UTF-8");
    refused(&one(Item { flags: 1 << 11, ..Item::file(b"\xff", b"x") }), "not UTF-8");
    refused(&one(Item { host: 0, mode: 0, ..Item::file("ü".as_bytes(), b"x") }), "not UTF-8");
    assert!(read(&one(Item { host: 0, mode: 0, flags: 1 << 11, ..Item::file("ü".as_bytes(), b"x") })).is_ok());
    assert!(matches!(
        read(&zip(&[Item::file(b"a", b"x"), Item::file(b"a", b"y")])),
        Err(ArchiveError::Tree { why: TreeError::Twice(_), .. })
    ));
    let link = || Item { mode: 0o120_777, ..Item::file(b"l", b"/etc") };
    assert!(matches!(
        read(&zip(&[link(), Item::file(b"l/passwd", b"x")])),
        Err(ArchiveError::Tree { why: TreeError::BelowFile(..), .. })
    ));
    refused(&one(Item { mode: 0o120_777, ..Item::file(b"l", b"") }), "its target");
    refused(&one(Item { mode: 0o120_777, ..Item::file(b"l", b"a\0b") }), "its target");
    refused(&one(Item { mode: 0o120_777, ..Item::file(b"l", &[b'x'; MAX_TARGET + 1]) }), "its target");
    refused(&one(Item { host: 0, ..link() }), "not by a Unix program");
    refused(&one(Item { host: 0, mode: 0o100_755, ..Item::file(b"a", b"x") }), "not by a Unix program");
    for mode in [0o020_644, 0o060_644, 0o010_644, 0o140_644] {
        refused(&one(Item { mode, ..Item::file(b"odd", b"") }), "device, FIFO or socket");
    }
    refused(&one(Item { mode: 0o040_755, ..Item::file(b"d", b"") }), "do not agree on whether");
    refused(&one(Item::file(b"d/", b"")), "do not agree on whether");
    refused(&one(Item { host: 0, mode: 0, dos: 0x10, ..Item::file(b"d", b"") }), "do not agree on whether");
    assert!(read(&one(Item { host: 0, mode: 0, dos: 0x10, ..Item::file(b"d/", b"") })).is_ok());
    assert!(read(&one(Item { host: 0, mode: 0, dos: 0x20, ..Item::file(b"d", b"") })).is_ok());
    refused(&one(Item { mode: 0o040_755, ..Item::file(b"d/", b"x") }), "has content");
    assert_eq!(names(&read(&one(Item { mode: 0o040_755, ..Item::file(b"d/", b"") })).unwrap()), ["d"]);
}

#[test]
fn what_cannot_be_read_or_is_said_twice() {
    for flags in [1, 1 << 6 | 1, 1 << 13] {
        refused(&one(Item { flags, ..Item::file(b"a", b"x") }), "encrypted");
    }
    refused(&one(Item { flags: 1 << 5, ..Item::file(b"a", b"x") }), "flags");
    let field = |tag: u16, value: &[u8]| [&tag.to_le_bytes()[..], &(value.len() as u16).to_le_bytes(), value].concat();
    refused(&one(Item { extra: &field(0x7075, b"\x01\0\0\0\0other"), ..Item::file(b"a", b"x") }), "two names");
    assert!(read(&one(Item { extra: &field(0x7075, b"\x01\0\0\0\0a"), ..Item::file(b"a", b"x") })).is_ok());
    refused(&one(Item { extra: &field(0x756e, &[0; 14]), ..Item::file(b"a", b"x") }), "two modes");
    refused(&one(Item { extra: &field(0x0001, &[0; 8]), ..Item::file(b"a", b"x") }), "said before");
    refused(&one(Item { extra: b"\x01\0\xff\0", ..Item::file(b"a", b"x") }), "extra fields are damaged");
    // The two headers: each field of the local one that says what the central one says.
    let item = Item::file(b"name", b"content");
    let good = one(item);
    for (at, what) in [(6, "flags"), (8, "packed"), (14, "check sum"), (18, "length"), (22, "length"), (30, "name")] {
        let mut bytes = good.clone();
        bytes[at] ^= if at == 6 { 4 } else { 1 };
        refused(&bytes, &format!("do not agree on {}", if what == "packed" { "how it is packed" } else { "" }));
        assert!(refusal(&bytes).contains(what), "{at}: {}", refusal(&bytes));
    }
    let mut bytes = good.clone();
    bytes[0] ^= 1;
    refused(&bytes, "not an archive");
    let mut bytes = good.clone();
    bytes[34] ^= 1;
    refused(&bytes, "check sum does not hold");
}

#[test]
fn overlaps_gaps_and_parts() {
    let item = || Item::file(b"a", b"x");
    let (body, entry) = (local(&item()), central(&item(), 0));
    let join = |body: &[u8], directory: &[u8], entries: u16| {
        [body, directory, &end(entries, directory.len(), body.len(), b"")].concat()
    };
    assert!(read(&join(&body, &entry, 1)).is_ok());
    // One entry twice, which is how a small file becomes a large tree.
    refused(&join(&body, &[&entry[..], &entry].concat(), 2), "overlap");
    let other = central(&Item::file(b"b", b"x"), 0);
    refused(&join(&body, &[&entry[..], &other].concat(), 2), "overlap");
    refused(&join(&[&body[..], b"gap"].concat(), &entry, 1), "belongs to nothing");
    refused(&join(&[b"PK\x03\x04", &body[..]].concat(), &central(&item(), 4), 1), "something between them");
    refused(&join(&body, b"", 0), "between its last entry");
    refused(&join(&body, &entry, 2), "cut off");
    refused(&join(&body, &[&entry[..], &entry].concat(), 1), "holds more than it says");
    let mut part = join(&body, &entry, 1);
    let at = part.len() - 22;
    part[at + 4] = 1;
    refused(&part, "one part of several");
    // The end says what only a zip64 end could.
    let mut long = join(&body, &entry, 1);
    long[at + 16..at + 20].fill(0xff);
    refused(&long, "zip64 end is missing");
}

#[test]
fn zip64_says_the_same_twice_or_is_refused() {
    let item = Item::file(b"a", b"content");
    let (body, entry) = (local(&item), central(&item, 0));
    let wide = |entries: u64, size: u64, offset: u64, record: u64, here: u64| {
        let mut out = b"PK\x06\x06".to_vec();
        out.extend(44u64.to_le_bytes());
        out.extend([45, 3, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        for value in [here, entries, size, offset] {
            out.extend(value.to_le_bytes());
        }
        out.extend(b"PK\x06\x07\0\0\0\0");
        out.extend(record.to_le_bytes());
        out.extend(1u32.to_le_bytes());
        out
    };
    let (size, offset) = (entry.len() as u64, body.len() as u64);
    let make = |wide: Vec<u8>, short: [u8; 12]| {
        let end = [&b"PK\x05\x06\0\0\0\0"[..], &short, &[0, 0]].concat();
        [&body[..], &entry, &wide, &end].concat()
    };
    let unsaid = [0xff; 12];
    assert_eq!(names(&read(&make(wide(1, size, offset, offset + size, 1), unsaid)).unwrap()), ["a"]);
    for (wide, why) in [
        (wide(2, size, offset, offset + size, 1), "one part of several"),
        (wide(2, size, offset, offset + size, 2), "cut off"),
        (wide(1, size + 1, offset, offset + size, 1), "central directory is not where"),
        (wide(1, size, u64::MAX, offset + size, 1), "central directory is not where"),
        (wide(1, size, offset, offset, 1), "zip64 end"),
        (wide(u64::MAX, size, offset, offset + size, u64::MAX), "entries"),
    ] {
        refused(&make(wide, unsaid), why);
    }
    let mut said = unsaid;
    said[..4].copy_from_slice(&[2, 0, 2, 0]);
    refused(&make(wide(1, size, offset, offset + size, 1), said), "do not agree");
}

#[test]
fn bombs() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("zeros"), vec![0; 16 << 20]).unwrap();
    let bomb = packed(dir.path(), &[]);
    assert!(bomb.len() < 1 << 20);
    assert!(matches!(read_with(&bomb, 0, 8 << 20), Err(ArchiveError::TooLarge { limit, .. }) if limit == 8 << 20));
    assert!(read_with(&bomb, 0, 17 << 20).is_ok());
    // It says less than it holds, in both headers: then it is not read further than it says.
    let mut lies = bomb.clone();
    let at = lies.windows(4).position(|four| four == b"PK\x01\x02").unwrap();
    lies[22..26].copy_from_slice(&100u32.to_le_bytes());
    lies[at + 24..at + 28].copy_from_slice(&100u32.to_le_bytes());
    refused(&lies, "longer than it says");
    // And more than it holds.
    let mut lies = bomb.clone();
    lies[22..26].copy_from_slice(&(17u32 << 20).to_le_bytes());
    lies[at + 24..at + 28].copy_from_slice(&(17u32 << 20).to_le_bytes());
    refused(&lies, "cut off");
    let (name, many) = (vec![b'n'; 4000], 300);
    let items: Vec<Vec<u8>> = (0..many).map(|n| [&name[..], format!("{n:05}").as_bytes()].concat()).collect();
    let items: Vec<Item<'_>> = items.iter().map(|name| Item::file(name, b"")).collect();
    assert!(matches!(read_with(&zip(&items), 0, 8 << 20), Err(ArchiveError::Names { limit: 1_048_576, .. })));
}
