use super::*;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use tar::{Builder, EntryType, Header};

fn header(kind: EntryType, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(0o644);
    header
}

/// Adds a member without the checks of the writer.
fn add(tar: &mut Builder<Vec<u8>>, name: &[u8], kind: EntryType, link: &[u8], data: &[u8]) {
    let mut header = header(kind, data.len() as u64);
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.as_old_mut().linkname[..link.len()].copy_from_slice(link);
    header.set_cksum();
    tar.append(&header, data).unwrap();
}

fn file(tar: &mut Builder<Vec<u8>>, name: &[u8], data: &[u8]) {
    add(tar, name, EntryType::Regular, b"", data);
}

fn written(bytes: &[u8]) -> tempfile::NamedTempFile {
    let mut archive = tempfile::NamedTempFile::new().unwrap();
    archive.write_all(bytes).unwrap();
    archive
}

fn read_with(bytes: &[u8], strip: u8, limit: u64) -> Result<Scanned, ArchiveError> {
    tree(written(bytes).path(), strip, Wanted::default(), &|_, _| false, limit, None)
}

fn read(bytes: &[u8]) -> Result<Scanned, ArchiveError> {
    read_with(bytes, 0, MAX_UNPACKED)
}

fn made(members: impl FnOnce(&mut Builder<Vec<u8>>)) -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    members(&mut tar);
    tar.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(bytes).unwrap();
    gz.finish().unwrap()
}

/// What a tool makes of its standard input.
pub(super) fn piped(tool: &str, args: &[&str], bytes: &[u8]) -> Vec<u8> {
    use std::process::{Command, Stdio};
    let mut child =
        Command::new(tool).args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the tool is there");
    let mut input = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || input.write_all(bytes).unwrap());
        let out = child.wait_with_output().unwrap();
        assert!(out.status.success(), "{tool} {args:?}");
        out.stdout
    })
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    piped("xz", &["-c", "-0"], bytes)
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    piped("zstd", &["-q", "-c", "-1"], bytes)
}

fn names(scanned: &Scanned) -> Vec<String> {
    scanned.tree.entries().iter().map(|e| e.path.escaped()).collect()
}

fn refusal(bytes: &[u8]) -> String {
    read(bytes).unwrap_err().to_string()
}

#[test]
fn the_same_tree_as_the_directory_it_was_made_from() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("src");
    std::fs::create_dir_all(root.join("a/empty")).unwrap();
    std::fs::write(root.join("a/run"), "#!").unwrap();
    std::fs::set_permissions(root.join("a/run"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let long = "n".repeat(200);
    std::fs::write(root.join(&long), "x").unwrap();
    std::fs::write(root.join("ü"), "y").unwrap();
    symlink("a/run", root.join("link")).unwrap();
    symlink("t".repeat(150), root.join("long-link")).unwrap();
    std::fs::hard_link(root.join("a/run"), root.join("z-hard")).unwrap();
    let want = crate::scan::tree(&root, &crate::scan::Options::new(TreeKind::Source)).unwrap().tree;
    for format in ["gnu", "pax", "ustar"] {
        // The longest link does not fit in a ustar header.
        let skip: &[&str] = if format == "ustar" { &["--exclude=long-link", "--exclude=nnn*"] } else { &[] };
        for (top, strip) in [(".", 0), ("src", 1)] {
            let at = if strip == 0 { &root } else { dir.path() };
            let out = std::process::Command::new("tar")
                .args(["-c", &format!("--format={format}")])
                .args(skip)
                .arg("-C")
                .arg(at)
                .arg(top)
                .output()
                .unwrap();
            for bytes in [out.stdout.clone(), gzip(&out.stdout), xz(&out.stdout), zstd(&out.stdout)] {
                let scanned = read_with(&bytes, strip, MAX_UNPACKED).unwrap();
                let want = want.entries().iter().filter(|e| skip.is_empty() || !e.path.escaped().contains("long"));
                let want: Vec<_> = want.filter(|e| skip.is_empty() || e.path.escaped() != long).collect();
                assert_eq!(scanned.tree.entries().iter().collect::<Vec<_>>(), want, "{format} {strip}");
            }
        }
    }
}

#[test]
fn names_that_leave_the_tree() {
    for name in [&b"/abs"[..], b"../up", b"a/../../up", b"a//b", b"a/./b", b".."] {
        let said = refusal(&made(|tar| file(tar, name, b"x")));
        assert!(said.contains("the path"), "{said}");
    }
    assert!(read(&made(|tar| file(tar, b"./a/b", b"x"))).is_ok());
    for target in [&b"/etc/passwd"[..], b"../up", b"nowhere"] {
        let bytes = made(|tar| add(tar, b"hard", EntryType::Link, target, b""));
        assert!(read(&bytes).is_err());
    }
    // A link may point anywhere: it is recorded, not followed. Nothing may be below it.
    let below = made(|tar| {
        add(tar, b"l", EntryType::Symlink, b"/etc", b"");
        file(tar, b"l/passwd", b"x");
    });
    assert!(matches!(read(&below), Err(ArchiveError::Tree { why: TreeError::BelowFile(..), .. })));
}

#[test]
fn a_member_twice_and_odd_members() {
    let twice = made(|tar| {
        file(tar, b"a", b"x");
        file(tar, b"./a", b"x");
    });
    assert!(matches!(read(&twice), Err(ArchiveError::Tree { why: TreeError::Twice(_), .. })));
    for kind in [EntryType::Char, EntryType::Block, EntryType::Fifo, EntryType::Continuous, EntryType::new(b'Z')] {
        assert!(refusal(&made(|tar| add(tar, b"odd", kind, b"", b""))).contains("odd"));
    }
    let heavy = made(|tar| add(tar, b"d/", EntryType::Directory, b"", b"content"));
    assert!(refusal(&heavy).contains("has content"));
    let sparse = made(|tar| {
        tar.append_pax_extensions([("GNU.sparse.major", &b"1"[..])]).unwrap();
        file(tar, b"s", b"x");
    });
    assert!(refusal(&sparse).contains("sparse"));
}

#[test]
fn headers_that_readers_disagree_about() {
    let said = |pax: &[(&str, &[u8])], global: bool| {
        let bytes = made(|tar| {
            tar.append_pax_extensions(pax.iter().copied()).unwrap();
            file(tar, b"a", b"x");
        });
        let mut bytes = bytes;
        if global {
            let mut header = Header::new_ustar();
            header.as_mut_bytes().copy_from_slice(&bytes[..512]);
            header.set_entry_type(EntryType::XGlobalHeader);
            header.set_cksum();
            bytes[..512].copy_from_slice(header.as_bytes());
        }
        read(&bytes).map(|scanned| names(&scanned)).map_err(|err| err.to_string())
    };
    assert_eq!(said(&[("path", b"b"), ("comment", b"c")], false), Ok(vec!["b".into()]));
    assert_eq!(said(&[("comment", b"c")], true), Ok(vec!["a".into()]));
    assert!(said(&[("path", b"b"), ("path", b"c")], false).unwrap_err().contains("do not agree"));
    assert!(said(&[("path", b"b")], true).unwrap_err().contains("do not agree"));
    assert!(said(&[("path", b"../b")], false).is_err());
    // A length that is no plain number is the header's to some readers, and 0 to others, who find the next member in the content.
    for good in [&b"1"[..], b"01"] {
        assert_eq!(said(&[("size", good)], false), Ok(vec!["a".into()]));
    }
    for bad in [&b"0\0"[..], b"1\0", b"+1", b" 1", b"x", b"", b"1.0", b"99999999999999999999"] {
        assert!(said(&[("size", bad)], false).is_err(), "{bad:?}");
    }
    for key in [" path", "\tpath", "path\0"] {
        assert!(said(&[(key, b"b")], false).unwrap_err().contains("a key that readers understand differently"));
    }
    assert_eq!(said(&[("PATH", b"b")], false), Ok(vec!["a".into()]), "another key");
}

#[test]
fn the_beginning_of_a_name_where_some_readers_look_for_it() {
    let said = |magic: &[u8; 8], prefix: &[u8]| {
        let mut header = header(EntryType::Regular, 1);
        header.as_old_mut().name[0] = b'a';
        let bytes = header.as_mut_bytes();
        bytes[257..265].copy_from_slice(magic);
        bytes[PREFIX..PREFIX + prefix.len()].copy_from_slice(prefix);
        header.set_cksum();
        read(&made(|tar| tar.append(&header, &b"x"[..]).unwrap())).map(|scanned| names(&scanned))
    };
    assert_eq!(said(b"ustar\x0000", b"p").unwrap(), ["p/a"]);
    for magic in [b"ustar\0\0\0", b"ustar\x001\0", b"ustar 00", b"ustar  \0", b"\0\0\0\0\0\0\0\0"] {
        assert_eq!(said(magic, b"").unwrap(), ["a"]);
        assert!(said(magic, b"p").unwrap_err().to_string().contains("the beginning of its name"), "{magic:?}");
    }
}

#[test]
fn cut_off_or_with_something_behind() {
    let whole = made(|tar| {
        file(tar, b"a", &[b'x'; 3000]);
        file(tar, b"b", b"y");
    });
    assert!(read(&whole).is_ok());
    let end = whole.len() - 1024;
    for cut in [1, 511, 512, 1000, 3584, 4000, end - 512, end] {
        assert!(read(&whole[..cut]).is_err(), "{cut}");
    }
    assert!(read(&[&whole[..], &[0; 4096]].concat()).is_ok(), "zeros are padding");
    assert!(refusal(&[&whole[..], b"more"].concat()).contains("follows the end"));
    assert!(refusal(&[&whole[..], &whole[..]].concat()).contains("follows the end"));
    let packed = gzip(&whole);
    for cut in [5, packed.len() / 2, packed.len() - 8, packed.len() - 1] {
        assert!(read(&packed[..cut]).is_err(), "{cut}");
    }
    for garbage in [&b"g"[..], b"garbage garbage garbage", &[0; 3], &[0; 512]] {
        assert!(read(&[&packed[..], garbage].concat()).is_err(), "{garbage:?}");
    }
    let mut damaged = whole.clone();
    damaged[600] ^= 1;
    assert_ne!(read(&damaged).unwrap().tree, read(&whole).unwrap().tree);
    damaged[0] ^= 1;
    assert!(read(&damaged).is_err(), "the header's check sum");
}

#[test]
fn bombs() {
    let big = gzip(&made(|tar| file(tar, b"zeros", &vec![0; 16 << 20])));
    assert!(big.len() < 1 << 20);
    assert!(matches!(read_with(&big, 0, 8 << 20), Err(ArchiveError::TooLarge { limit, .. }) if limit == 8 << 20));
    assert!(read_with(&big, 0, 17 << 20).is_ok());
    // A long name that is 16 MiB long would be held in memory.
    let name = gzip(&made(|tar| {
        let mut header = header(EntryType::GNULongName, 16 << 20);
        header.set_cksum();
        tar.append(&header, &vec![b'n'; 16 << 20][..]).unwrap();
        file(tar, b"a", b"x");
    }));
    assert!(refusal(&name).contains("too long"));
}

#[test]
fn other_formats_are_named() {
    for (start, word) in [
        (&b"BZh9"[..], "bzip2, which is not supported"),
        (b"LZIP\x01", "lzip, which is not supported"),
        (b"7z\xbc\xaf\x27\x1c", "7-zip, which is not supported"),
        (b"Rar!\x1a\x07", "rar, which is not supported"),
        (b"\xfd7zXZ\0", "cut off"),
        (b"\x28\xb5\x2f\xfd", "cut off"),
        (b"PK\x03\x04", "cut off"),
        (b"text", "not an archive"),
        (b"", "not an archive"),
    ] {
        assert!(refusal(start).contains(word), "{word}: {}", refusal(start));
    }
    assert!(refusal(&gzip(b"text")).contains("not an archive"));
}

#[test]
fn stripping_and_excluding() {
    let bytes = made(|tar| {
        add(tar, b"p-1/", EntryType::Directory, b"", b"");
        file(tar, b"p-1/.git/config", b"c");
        file(tar, b"p-1/a", b"x");
        add(tar, b"p-1/b", EntryType::Link, b"p-1/a", b"");
    });
    assert_eq!(names(&read_with(&bytes, 1, MAX_UNPACKED).unwrap()), [".git/config", "a", "b"]);
    assert!(read_with(&bytes, 2, MAX_UNPACKED).is_err(), "a file of which nothing is left");
    let exclude = |path: &TreePath, _: bool| path.as_bytes() == b".git";
    let scanned = tree(written(&bytes).path(), 1, Wanted::default(), &exclude, MAX_UNPACKED, None).unwrap();
    assert_eq!(names(&scanned), ["a", "b"]);
    assert_eq!(scanned.excluded.iter().map(|p| p.escaped()).collect::<Vec<_>>(), [".git"]);
}

#[test]
fn a_directory_of_which_all_is_left_out() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("a/b")).unwrap();
    for name in ["a/b/x.o", "a/b/y.o", "z", "z.o"] {
        std::fs::write(dir.path().join(name), name).unwrap();
    }
    let exclude = |path: &TreePath, _: bool| path.as_bytes().ends_with(b".o");
    let options = crate::scan::Options { exclude: Some(&exclude), ..crate::scan::Options::new(TreeKind::Source) };
    let want = crate::scan::tree(dir.path(), &options).unwrap().tree;
    let members = |with: &[&str]| {
        let bytes = made(|tar| {
            with.iter().for_each(|name| add(tar, name.as_bytes(), EntryType::Directory, b"", b""));
            ["a/b/x.o", "a/b/y.o", "z", "z.o"].iter().for_each(|name| file(tar, name.as_bytes(), name.as_bytes()));
        });
        tree(written(&bytes).path(), 0, Wanted::default(), &exclude, MAX_UNPACKED, None)
    };
    for with in [&[][..], &["a/"], &["a/", "a/b/"]] {
        assert_eq!(members(with).unwrap().tree, want);
    }
    // What is a file cannot be a directory too, whatever is left out of it.
    let both = made(|tar| ["a", "a/x.o"].iter().for_each(|name| file(tar, name.as_bytes(), b"")));
    assert!(tree(written(&both).path(), 0, Wanted::default(), &exclude, MAX_UNPACKED, None).is_err());
}

#[test]
fn names_and_targets_have_a_limit_of_their_own() {
    let links = |n: usize| {
        made(|tar| {
            for i in 0..n {
                let mut header = header(EntryType::Symlink, 0);
                tar.append_link(&mut header, format!("l{i}"), "x".repeat(60_000)).unwrap();
            }
        })
    };
    let limit = 64 << 20;
    assert_eq!(read_with(&links(17), 0, limit).unwrap().tree.entries().len(), 17);
    let err = read_with(&links(18), 0, limit).unwrap_err();
    assert!(matches!(err, ArchiveError::Names { limit: 1_048_576, .. }), "{err}");
    // What is left out is held once, however often it is named; and counts when it is not the same.
    let long = "n".repeat(90);
    let members = |same: bool| {
        made(|tar| {
            for i in 0..12_000 {
                let dir = if same { 0 } else { i };
                file(tar, format!("{dir:05}/{long}{i:x}").as_bytes(), b"");
            }
        })
    };
    let exclude = |same: bool| {
        let left_out: Box<Exclude> = match same {
            true => Box::new(|path, _| path.as_bytes() == b"00000"),
            false => Box::new(|_, is_dir| !is_dir),
        };
        tree(written(&members(same)).path(), 0, Wanted::default(), &*left_out, limit, None)
    };
    assert_eq!(exclude(true).unwrap().excluded.len(), 1);
    assert!(matches!(exclude(false).unwrap_err(), ArchiveError::Names { .. }));
    // Directories that no member is: each once.
    let deep = |tops: usize| {
        made(|tar| {
            for i in 0..4 {
                let mut header = header(EntryType::Regular, 0);
                let name = format!("{}/{}{i}", i % tops, "d/".repeat(800));
                tar.append_data(&mut header, name, &b""[..]).unwrap();
            }
        })
    };
    assert_eq!(read_with(&deep(1), 0, limit).unwrap().tree.entries().len(), 4);
    assert!(matches!(read_with(&deep(4), 0, limit).unwrap_err(), ArchiveError::Names { .. }));
}

mod packed;
mod zip;
