use super::*;
use crate::digest;
use crate::scan::{self, Options};
use crate::tree::TreeKind;
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

fn part(bytes: &[u8]) -> Part {
    let line = format!("tool t{} 1 {} {} vendor -", bytes.len(), digest::sha256(bytes), bytes.len());
    line.parse().unwrap()
}

const BLOB: [&[u8]; 2] = [b"a part", b"another part"];

/// A source with what a source may have.
fn source(dir: &Path) -> PathBuf {
    let source = dir.join("from");
    std::fs::create_dir_all(source.join("a/deep")).unwrap();
    std::fs::create_dir(source.join("empty")).unwrap();
    std::fs::write(source.join("a/deep/file"), "text\n").unwrap();
    std::fs::write(source.join("a-b"), "").unwrap();
    std::fs::write(source.join("run"), "#!/bin/sh\n").unwrap();
    std::fs::set_permissions(source.join("run"), PermissionsExt::from_mode(0o755)).unwrap();
    // Where a link leads is the source's affair, and nobody follows it.
    symlink("/etc/passwd", source.join("out")).unwrap();
    symlink("a//deep", source.join("in")).unwrap();
    source
}

fn tree(dir: &Path) -> Tree {
    scan::tree(dir, &Options::new(TreeKind::Source)).unwrap().tree
}

fn pack(with: Option<&Path>) -> Vec<u8> {
    let parts: Vec<Part> = BLOB.iter().map(|bytes| part(bytes)).chain([part(BLOB[0])]).collect();
    let tree = with.map(tree);
    let collected = Collected { parts: &parts, bundle: b"{}\n", source: with.zip(tree.as_ref()) };
    let mut out = Vec::new();
    let mut open = |part: &Part| -> Result<Box<dyn Read>, DepotError> {
        Ok(Box::new(BLOB.into_iter().find(|bytes| digest::sha256(bytes) == part.sha256).unwrap()))
    };
    collected.pack(&mut out, Path::new("out"), &mut open, &Stop::default()).unwrap();
    out
}

struct Place {
    dir: tempfile::TempDir,
    store: Store,
}

impl Place {
    fn new() -> Place {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store")).unwrap();
        Place { dir, store }
    }

    fn unpack(&self, bytes: &[u8]) -> Result<Unpacked, MaterialsError> {
        let file = self.dir.path().join("all.tar");
        std::fs::write(&file, bytes).unwrap();
        let to = self.dir.path().join("to");
        let _ = std::fs::remove_dir_all(&to);
        std::fs::create_dir(&to).unwrap();
        unpack(&file, &self.store, &to, &Stop::default())
    }

    fn why(&self, bytes: &[u8]) -> String {
        self.unpack(bytes).unwrap_err().to_string()
    }
}

#[test]
fn what_is_packed_is_unpacked() {
    let place = Place::new();
    let source = source(place.dir.path());
    let bytes = pack(Some(&source));
    assert_eq!(bytes, pack(Some(&source)), "the same bytes every time");
    assert_eq!(place.unpack(&bytes).unwrap(), Unpacked { bundle: b"{}\n".to_vec(), has_source: true });
    assert_eq!(tree(&place.dir.path().join("to")).listing(), tree(&source).listing());
    for bytes in BLOB {
        let mut found = Vec::new();
        let blob = place.store.blob(&digest::sha256(bytes), bytes.len() as u64).unwrap();
        blob.unwrap().read_to_end(&mut found).unwrap();
        assert_eq!(found, bytes);
    }
    let without = pack(None);
    assert_eq!(place.unpack(&without).unwrap(), Unpacked { bundle: b"{}\n".to_vec(), has_source: false });
    assert!(bytes.len() > without.len());
}

/// One member that is put in place of the end mark of good materials; what is at it is replaced first.
struct Odd<'a> {
    name: &'a [u8],
    kind: tar::EntryType,
    content: &'a [u8],
    target: &'a str,
}

fn with(good: &[u8], odd: &[Odd<'_>]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for Odd { name, kind, content, target } in odd {
        let mut header = tar::Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
        header.set_entry_type(*kind);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(content.len() as u64);
        header.set_link_name_literal(target).unwrap();
        header.set_cksum();
        tar.append(&header, *content).unwrap();
    }
    [&good[..good.len() - 1024], &tar.into_inner().unwrap()].concat()
}

fn odd<'a>(name: &'a str, kind: tar::EntryType, target: &'a str) -> Odd<'a> {
    let content: &[u8] = if kind == tar::EntryType::Regular { b"content" } else { b"" };
    Odd { name: name.as_bytes(), kind, content, target }
}

#[test]
fn members_that_have_no_place() {
    use tar::EntryType as Type;
    let place = Place::new();
    let good = pack(Some(&source(place.dir.path())));
    assert!(place.unpack(&with(&good, &[])).is_ok());
    assert!(place.unpack(&with(&good, &[odd("source/x", Type::Regular, "")])).is_ok());
    let blob = format!("blobs/aa/{}", "ab".repeat(32));
    let other = format!("blobs/{}/{}", &digest::sha256(b"content").to_string()[..2], "cd".repeat(32));
    let own = digest::sha256(BLOB[0]).to_string();
    let misplaced = format!("blobs/{}/{}", &own[..2], "cd".repeat(32));
    let none = "it is no part of materials";
    for (name, kind, target, why) in [
        ("x", Type::Regular, "", none),
        ("x", Type::Directory, "", none),
        ("blobs/x", Type::Regular, "", none),
        ("blobs/zz", Type::Directory, "", none),
        (&misplaced, Type::Regular, "", none),
        (&blob, Type::Regular, "", "the directory above it does not come before it"),
        (&other, Type::Regular, "", "the directory above it does not come before it"),
        ("bundle.intoto.jsonl", Type::Regular, "", "it is there twice"),
        ("source/run", Type::Regular, "", "it is there twice"),
        ("source", Type::Directory, "", "it is there twice"),
        ("/source/x", Type::Regular, "", "absolute"),
        ("source/../x", Type::Regular, "", "`..`"),
        ("../x", Type::Regular, "", "`..`"),
        ("source/in/x", Type::Regular, "", "the directory above it does not come before it"),
        ("source/new/x", Type::Regular, "", "the directory above it does not come before it"),
        ("source/x", Type::Link, "source/run", "it is a hard link"),
        ("source/x", Type::Fifo, "", "a FIFO"),
        ("source/x", Type::Char, "", "a device"),
        ("x", Type::Symlink, "/etc", none),
    ] {
        let said = place.why(&with(&good, &[odd(name, kind, target)]));
        assert!(said.contains(why), "{name}: {said}");
    }
    // Written through a link that the archive brings itself.
    let link = [odd("source/l", Type::Symlink, "/tmp"), odd("source/l/x", Type::Regular, "")];
    assert!(place.why(&with(&good, &link)).contains("does not come before it"));
    let empty = with(&[0; 1024], &[]);
    for (odd, why) in [
        (vec![odd("blobs", Type::Symlink, "/tmp")], none),
        (vec![odd("bundle.intoto.jsonl", Type::Symlink, "/etc/passwd")], none),
        (vec![odd("source", Type::Symlink, "/tmp")], none),
        (vec![odd("source", Type::Regular, "")], none),
        (vec![odd("blobs", Type::Directory, "")], "it has no bundle.intoto.jsonl"),
        (vec![odd("bundle.intoto.jsonl", Type::Regular, "")], "it has no directory blobs"),
    ] {
        let said = place.why(&with(&empty, &odd));
        assert!(said.contains(why), "{said}");
    }
}

#[test]
fn bytes_that_are_others() {
    let place = Place::new();
    let good = pack(Some(&source(place.dir.path())));
    let at = good.windows(6).position(|bytes| bytes == BLOB[0]).unwrap();
    let mut bad = good.clone();
    bad[at] ^= 1;
    let hex = digest::sha256(BLOB[0]).to_string();
    let said = place.why(&bad);
    assert!(said.contains(&format!("blobs/{}/{hex}", &hex[..2])) && said.contains("should be sha256:"), "{said}");
    for cut in [good.len() - 1024, good.len() - 2048, at, 512, 100, 0] {
        assert!(place.unpack(&good[..cut]).is_err(), "{cut}");
    }
    assert!(place.why(&[&good[..], b"x"].concat()).contains("something follows"));
    // Packed is not what was handed over.
    assert!(place.unpack(&crate::debian::testing::gzip(&good)).is_err());
    let stop = Stop::when(std::sync::Arc::new(true.into()));
    let file = place.dir.path().join("all.tar");
    std::fs::write(&file, &good).unwrap();
    assert!(matches!(unpack(&file, &place.store, place.dir.path(), &stop), Err(MaterialsError::Interrupted(_))));
}
