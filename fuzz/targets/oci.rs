//! Images, in three ways. The first byte says which:
//! - `t`: lines that name the members of layers, so that no header's check sum is in the way: a letter, a name, a blank and a target;
//! - `l`: layers as bytes, parted by NUL-NUL-NUL-NUL-`|`, in an image that is otherwise right;
//! - else: documents, parted by NUL, each a blob, the last one `index.json`; `@N` stands for the digest and the size of the document N.
//!
//! Whatever is in them: nothing is written outside the root, what is there is what the builder said, and nothing else than files of two modes,
//! links and directories.
#![no_main]

use countersign::digest::{Sha256, sha256};
use countersign::oci::{Choice, Image, Layout, Platform};
use countersign::rootfs::tar::{Whiteouts, apply};
use countersign::rootfs::{Builder, Found, Last, Limits};
use std::ffi::OsStr;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

const LIMITS: Limits = Limits { entries: 200, bytes: 1 << 20, names: 100_000, path: 1000, target: 1000, depth: 20 };

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((way, data)) = data.split_first() else { return };
    let dir = tempfile::tempdir().unwrap();
    let mut builder = Builder::new(&dir.path().join("spool"), LIMITS).unwrap();
    let begun = std::time::Instant::now();
    match way {
        b't' => members(&mut builder, data),
        b'l' => {
            let layers: Vec<&[u8]> = split(data, b"\0\0\0\0|");
            for layer in &layers {
                builder.next_layer();
                let _ = apply(&mut builder, Path::new("layer"), *layer, Whiteouts::Apply);
            }
        }
        _ => {
            image(dir.path(), data, &mut builder);
        }
    }
    assert!(begun.elapsed().as_secs() < 5);
    finish(dir.path(), builder);
});

fn split<'a>(data: &'a [u8], mark: &[u8]) -> Vec<&'a [u8]> {
    let (mut parts, mut from) = (Vec::new(), 0);
    while let Some(at) = data[from..].windows(mark.len()).position(|window| window == mark) {
        parts.push(&data[from..from + at]);
        from += at + mark.len();
    }
    parts.push(&data[from..]);
    parts
}

/// Errors of single members are what they are: the others must hold all the same.
fn members(builder: &mut Builder, data: &[u8]) {
    for line in data.split(|byte| *byte == b'\n').take(300) {
        let Some((letter, rest)) = line.split_first() else { continue };
        let (name, target) = rest.split_at(rest.iter().position(|byte| *byte == b' ').unwrap_or(rest.len()));
        let target = target.get(1..).unwrap_or_default();
        let there = builder.at(name, Last::Itself).ok().flatten().is_some();
        let done = match letter {
            b'd' => builder.dir(name),
            b'f' => builder.file(name, false, &mut &*target),
            b'x' => builder.file(name, true, &mut &*target),
            b'l' => builder.symlink(name, target),
            b'h' => builder.hardlink(name, target),
            b'r' => builder.remove(name),
            b'w' => builder.whiteout(name),
            b'o' => builder.opaque(name),
            b'n' => builder.nothing(name),
            _ => {
                builder.next_layer();
                continue;
            }
        };
        if done.is_ok() {
            match (letter, builder.at(name, Last::Itself).unwrap()) {
                (b'f' | b'x', Some(Found::File { exec, size })) if !there => {
                    assert_eq!((exec, size), (*letter == b'x', target.len() as u64));
                }
                (b'l', Some(Found::Link { target: found })) if !there => assert_eq!(found, target),
                (b'd', Some(Found::Dir | Found::Link { .. })) => {}
                (b'h', Some(Found::File { .. } | Found::Link { .. })) | (b'r' | b'n', None) | (b'o', _) => {}
                (b'w', found) => assert!(there || found.is_none()),
                // What it took the place of may have been a link on the way to it.
                _ if there => {}
                (_, found) => panic!("{} {found:?}", *letter as char),
            }
        }
    }
}

fn image(dir: &Path, data: &[u8], builder: &mut Builder) {
    let root = dir.join("layout");
    std::fs::create_dir_all(root.join("blobs/sha256")).unwrap();
    std::fs::write(root.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    let mut parts: Vec<(Sha256, usize)> = Vec::new();
    let mut last = Vec::new();
    for document in data.split(|byte| *byte == 0).take(10) {
        let mut bytes = Vec::new();
        let mut rest = document;
        while let Some(at) = rest.iter().position(|byte| *byte == b'@') {
            let number = rest.get(at + 1).map_or(usize::MAX, |digit| usize::from(digit.wrapping_sub(b'0')));
            bytes.extend(&rest[..at]);
            match parts.get(number) {
                Some((digest, size)) => write!(bytes, r#""digest":"sha256:{digest}","size":{size}"#).unwrap(),
                None => bytes.push(b'@'),
            }
            rest = &rest[(at + 2).min(rest.len())..];
        }
        bytes.extend(rest);
        parts.push((sha256(&bytes), bytes.len()));
        std::fs::write(root.join(format!("blobs/sha256/{}", sha256(&bytes))), &bytes).unwrap();
        last = bytes;
    }
    std::fs::write(root.join("index.json"), last).unwrap();
    let platform = Platform { os: "linux".into(), architecture: "amd64".into(), variant: None };
    let layout = Layout::open(&root).unwrap();
    if let Ok(image) = Image::choose(&layout, &Choice::Only, &platform) {
        assert_eq!(Image::read(&layout, image.manifest, &platform).unwrap(), image);
        let _ = image.unpack(&layout, builder);
    }
    // As an archive too, whatever it is.
    let archive = dir.join("archive");
    std::fs::write(&archive, data).unwrap();
    if let Ok(layout) = Layout::open(&archive) {
        let _ = Image::choose(&layout, &Choice::Only, &platform);
    }
    std::fs::remove_file(archive).unwrap();
    std::fs::remove_dir_all(root).unwrap();
}

fn finish(dir: &Path, builder: Builder) {
    let root = dir.join("root");
    let mut said = Vec::new();
    gather(&builder, b"", &mut said);
    match builder.finish(&root, 1) {
        Ok(written) => {
            let mut found = Vec::new();
            walk(&root, b"", &mut found);
            assert_eq!(found, said);
            assert_eq!(written.dirs + written.files + written.links, said.len() as u64);
            std::fs::remove_dir_all(root).unwrap();
        }
        Err(err) => assert!(!root.exists() && err.to_string().contains("could not be read"), "{err}"),
    }
    assert_eq!(std::fs::read_dir(dir).unwrap().count(), 0);
}

fn below(above: &[u8], name: &[u8]) -> Vec<u8> {
    if above.is_empty() { name.to_vec() } else { [above, b"/", name].concat() }
}

/// What the builder says is there.
fn gather(builder: &Builder, above: &[u8], all: &mut Vec<(Vec<u8>, Vec<u8>)>) {
    for name in builder.names(above).unwrap() {
        let path = below(above, &name);
        match builder.at(&path, Last::Itself).unwrap().unwrap() {
            Found::Dir => {
                all.push((path.clone(), b"d".to_vec()));
                gather(builder, &path, all);
            }
            Found::File { exec, size } => all.push((path, format!("{exec} {size}").into_bytes())),
            Found::Link { target } => all.push((path, [b"l", target].concat())),
        }
    }
}

/// What is there.
fn walk(root: &Path, above: &[u8], all: &mut Vec<(Vec<u8>, Vec<u8>)>) {
    let mut names: Vec<_> = std::fs::read_dir(root.join(OsStr::from_bytes(above)))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    for name in names {
        let path = below(above, name.as_bytes());
        let full = root.join(OsStr::from_bytes(&path));
        let meta = full.symlink_metadata().unwrap();
        assert_eq!((meta.mtime(), meta.mtime_nsec()), (1, 0));
        if meta.is_dir() {
            assert_eq!(meta.mode() & 0o7777, 0o755);
            all.push((path.clone(), b"d".to_vec()));
            walk(root, &path, all);
        } else if meta.is_symlink() {
            let target = std::fs::read_link(&full).unwrap();
            all.push((path, [b"l", target.as_os_str().as_bytes()].concat()));
        } else {
            assert!(meta.is_file() && matches!(meta.mode() & 0o7777, 0o644 | 0o755));
            all.push((path, format!("{} {}", meta.mode() & 0o111 != 0, meta.len()).into_bytes()));
        }
    }
}
