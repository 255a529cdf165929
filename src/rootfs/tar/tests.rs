use super::*;
use crate::archive::{ArchiveError, Packing};
use crate::rootfs::tests::Place;
use crate::rootfs::{LeftOut, Limits};
use std::io::Write as _;
use tar::{EntryType, Header};

/// An archive in the making, without the checks of the writer.
pub(crate) struct Made(tar::Builder<Vec<u8>>);

impl Made {
    pub(crate) fn new() -> Made {
        Made(tar::Builder::new(Vec::new()))
    }

    pub(crate) fn add(self, kind: EntryType, name: &str, mode: u32, link: &str, data: &str) -> Made {
        self.add_bytes(kind, name, mode, link, data.as_bytes())
    }

    pub(crate) fn bytes_of(self, name: &str, data: &[u8]) -> Made {
        self.add_bytes(EntryType::Regular, name, 0o644, "", data)
    }

    fn add_bytes(mut self, kind: EntryType, name: &str, mode: u32, link: &str, data: &[u8]) -> Made {
        let mut header = Header::new_ustar();
        header.set_entry_type(kind);
        header.set_size(data.len() as u64);
        header.set_mode(mode);
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_cksum();
        self.0.append(&header, data).unwrap();
        self
    }

    pub(crate) fn file(self, name: &str, data: &str) -> Made {
        self.add(EntryType::Regular, name, 0o644, "", data)
    }

    pub(crate) fn dir(self, name: &str) -> Made {
        self.add(EntryType::Directory, name, 0o700, "", "")
    }

    pub(crate) fn link(self, name: &str, target: &str) -> Made {
        self.add(EntryType::Symlink, name, 0o777, target, "")
    }

    pub(crate) fn hard(self, name: &str, target: &str) -> Made {
        self.add(EntryType::Link, name, 0o644, target, "")
    }

    fn pax(mut self, items: &[(&str, &[u8])]) -> Made {
        self.0.append_pax_extensions(items.iter().copied()).unwrap();
        self
    }

    pub(crate) fn bytes(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }
}

fn layer(builder: &mut Builder, made: Made) -> Result<(), RootfsError> {
    builder.next_layer();
    apply(builder, Path::new("layer"), &*made.bytes(), Whiteouts::Apply)
}

/// What comes of layers, or why nothing does.
fn layers(all: Vec<Made>) -> Result<Vec<String>, String> {
    let place = Place::new();
    let mut builder = place.builder();
    for made in all {
        layer(&mut builder, made).map_err(|err| err.to_string())?;
    }
    Ok(place.written(builder))
}

#[test]
fn modes_and_what_is_left_out() {
    let place = Place::new();
    let mut builder = place.builder();
    let made = Made::new()
        .dir("./")
        .dir("./dev/")
        .add(EntryType::Char, "./dev/null", 0o666, "", "")
        .add(EntryType::Block, "./dev/sda", 0o660, "", "")
        .add(EntryType::Fifo, "./dev/initctl", 0o600, "", "")
        .add(EntryType::Regular, "bin/su", 0o4755, "", "su")
        .add(EntryType::Regular, "bin/write", 0o2711, "", "w")
        .add(EntryType::Regular, "etc/shadow", 0o000, "", "s")
        .add(EntryType::Regular, "etc/run", 0o001, "", "r")
        .pax(&[("SCHILY.xattr.security.capability", b"\0\x01")])
        .file("ping", "p")
        .hard("/again", "./bin/su");
    apply(&mut builder, Path::new("a"), &*made.bytes(), Whiteouts::Names).unwrap();
    let left_out = LeftOut { devices: 2, fifos: 1, set_ids: 2, attributes: 1, bookkeeping: 0 };
    assert_eq!(builder.left_out, left_out);
    let want = [
        "x again su",
        "d bin",
        "x bin/su su",
        "x bin/write w",
        "d dev",
        "d etc",
        "x etc/run r",
        "f etc/shadow s",
        "f ping p",
    ];
    assert_eq!(place.written(builder), want);
}

#[test]
fn a_device_hides_what_was_there() {
    let lower = Made::new().file("dev/null", "a file").file("dev/zero/x", "");
    let upper =
        Made::new().add(EntryType::Char, "dev/null", 0o666, "", "").add(EntryType::Fifo, "dev/zero", 0o666, "", "");
    assert_eq!(layers(vec![lower, upper]).unwrap(), ["d dev"]);
}

#[test]
fn packed_and_checked_to_the_end() {
    let plain = Made::new().file("f", "content").bytes();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&plain).unwrap();
    let gzip = gzip.finish().unwrap();
    let try_to = |bytes: &[u8], packing| {
        let place = Place::new();
        let mut builder = place.builder();
        let done = match packing {
            None => apply(&mut builder, Path::new("a.tar"), bytes, Whiteouts::Names),
            // As a layer of an image is.
            Some(_) => builder.whole(|builder| {
                let mut plain = archive::unpacked(Path::new("a.tar"), bytes, packing)?;
                apply_plain(builder, Path::new("a.tar"), &mut plain, Whiteouts::Names)
            }),
        };
        // Whoever looks away from the error gets nothing.
        match done {
            Ok(()) => {
                assert_eq!(place.written(builder), ["f f content"]);
                Ok(())
            }
            Err(err) => {
                assert!(matches!(builder.finish(&place.root(), 0), Err(RootfsError::Spoiled)));
                assert!(!place.root().exists());
                Err(err)
            }
        }
    };
    for (bytes, packing, other) in [(&plain, Packing::Plain, Packing::Gzip), (&gzip, Packing::Gzip, Packing::Zstd)] {
        try_to(bytes, None).unwrap();
        try_to(bytes, Some(packing)).unwrap();
        let err = try_to(bytes, Some(other)).unwrap_err();
        assert!(matches!(err, RootfsError::Archive(ArchiveError::Packed { .. })), "{err}");
        for cut in [0, 10, bytes.len() / 2, bytes.len() - 1] {
            let cut = bytes.get(..if packing == Packing::Plain { cut / 2 } else { cut }).unwrap();
            assert!(matches!(try_to(cut, None), Err(RootfsError::Archive(_))), "{}", cut.len());
        }
        let err = try_to(&[bytes, &b"more"[..]].concat(), None).unwrap_err();
        assert!(matches!(err, RootfsError::Archive(ArchiveError::Damaged { .. })), "{err}");
    }
    for junk in [&b"junk"[..], b"", b"PK\x03\x04", b"BZh9"] {
        assert!(matches!(try_to(junk, None), Err(RootfsError::Archive(_))));
    }
}

#[test]
fn long_names() {
    let (name, target) = (format!("{}/f", "d".repeat(200)), "t".repeat(300));
    for format in ["gnu", "pax"] {
        let made = match format {
            "gnu" => {
                let mut made = Made::new();
                let mut header = Header::new_gnu();
                header.set_entry_type(EntryType::Symlink);
                header.set_size(0);
                made.0.append_link(&mut header, &name, &target).unwrap();
                made
            }
            _ => Made::new().pax(&[("path", name.as_bytes()), ("linkpath", target.as_bytes())]).link("x", "y"),
        };
        let want = [format!("d {}", "d".repeat(200)), format!("l {name} {target}")];
        assert_eq!(layers(vec![made]).unwrap(), want, "{format}");
    }
    let nul = Made::new().pax(&[("path", b"a\0b")]).file("x", "");
    assert!(layers(vec![nul]).unwrap_err().contains("not the name of something inside"));
    let twice = Made::new().pax(&[("path", b"a"), ("path", b"b")]).file("x", "");
    assert!(layers(vec![twice]).is_err());
}

#[test]
fn hostile_names() {
    let outside = tempfile::tempdir().unwrap();
    let path = outside.path().to_str().unwrap();
    let lines = layers(vec![Made::new().link("etc", path), Made::new().file("etc/passwd", "p")]).unwrap();
    assert!(lines.contains(&format!("f {}/passwd p", &path[1..])), "{lines:?}");
    assert_eq!(std::fs::read_dir(path).unwrap().count(), 0);
    for (made, why) in [
        (Made::new().file("../x", ""), "not the name"),
        (Made::new().file("a/../../x", ""), "not the name"),
        (Made::new().dir(".."), "not the name"),
        (Made::new().file("", "x"), "not the name"),
        (Made::new().hard("h", "../../etc/passwd"), "which is not a file before it"),
        (Made::new().hard("h", "/etc/passwd"), "which is not a file before it"),
        (Made::new().dir("d").hard("h", "d"), "which is not a file before it"),
        (Made::new().link("l", ""), "target is missing"),
        (Made::new().file("a", "").file("a/b", ""), "not a directory"),
        (Made::new().file("a/b", "").file("a", ""), "a directory with something in it"),
        (Made::new().add(EntryType::Char, "../null", 0o666, "", ""), "not the name"),
        (Made::new().add(EntryType::new(b'7'), "x", 0o666, "", ""), "of an unknown type"),
        (Made::new().add(EntryType::GNUSparse, "x", 0o666, "", ""), "sparse"),
        (Made::new().add(EntryType::Directory, "x", 0o755, "", "content"), "has content"),
    ] {
        let err = layers(vec![made]).unwrap_err();
        assert!(err.contains(why), "{err}");
    }
}

#[test]
fn whiteouts() {
    let lower = || Made::new().file("a/1", "").file("a/2", "").file("b/1", "").file("c", "").link("l", "a");
    let upper = Made::new()
        .file("a/.wh.1", "")
        .file("b/.wh..wh..opq", "")
        .file("b/2", "")
        .file(".wh.absent", "")
        .file("no/.wh.x", "");
    let want = ["d a", "f a/2 ", "d b", "f b/2 ", "f c ", "l l a"];
    assert_eq!(layers(vec![lower(), upper]).unwrap(), want);
    // The same layer's own files stay, whichever comes first.
    let upper =
        Made::new().file("b/2", "").file("b/.wh..wh..opq", "").file("c", "").file(".wh.c", "").file("./a/2/../1", "");
    assert!(layers(vec![lower(), upper]).is_err());
    let upper = Made::new()
        .file("b/2", "")
        .file("b/.wh..wh..opq", "")
        .file("c", "")
        .file("./.wh.c", "")
        .file(".wh.a", "")
        .file("l/x", "");
    assert_eq!(layers(vec![lower(), upper]).unwrap(), ["d a", "f a/x ", "d b", "f b/2 ", "f c ", "l l a"]);
    // A link is taken away itself; one on the way is followed, inside.
    assert!(layers(vec![lower(), Made::new().file(".wh.l", "")]).unwrap().contains(&"f a/1 ".into()));
    assert!(!layers(vec![lower(), Made::new().file("l/.wh.1", "")]).unwrap().contains(&"f a/1 ".into()));
    assert_eq!(layers(vec![lower(), Made::new().file(".wh..wh..opq", "")]).unwrap(), [""; 0]);
    // Bookkeeping is no file; neither is what would lead outside or says nothing.
    assert_eq!(layers(vec![Made::new().file(".wh..wh.aufs", "").file(".wh..wh.plnk/1.2", "")]).unwrap(), [""; 0]);
    for bad in [".wh.", "a/.wh..", "a/.wh...", "../.wh.x", "a/../.wh.x", "../.wh..wh..opq", ".wh.a/x", ".wh.a\0"] {
        let upper = Made::new().pax(&[("path", bad.as_bytes())]).file("x", "");
        let err = layers(vec![lower(), upper]).unwrap_err();
        assert!(err.contains("not the name") || err.contains("does not say what"), "{bad}: {err}");
    }
    // Elsewhere they are names like others.
    let place = Place::new();
    let mut builder = place.builder();
    apply(&mut builder, Path::new("a"), &*Made::new().file(".wh.x", "").bytes(), Whiteouts::Names).unwrap();
    assert_eq!(place.written(builder), ["f .wh.x "]);
}

#[test]
fn bombs() {
    let place = Place::new();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&Made::new().file("zeros", &"\0".repeat(4 << 20)).bytes()).unwrap();
    let bomb = gzip.finish().unwrap();
    let mut builder = place.limited(Limits { bytes: 1 << 20, ..Limits::default() });
    let err = apply(&mut builder, Path::new("bomb"), &*bomb, Whiteouts::Names).unwrap_err();
    assert!(matches!(err, RootfsError::Entry { why: Why::TooLarge(_), .. }), "{err}");
    drop(builder);
    // Members that leave nothing are counted too, over all archives together.
    let empty = Made::new().file("d/f", "").bytes();
    let mut builder = place.limited(Limits { bytes: 3000, ..Limits::default() });
    let mut done = || apply(&mut builder, Path::new("a"), &*empty, Whiteouts::Names);
    assert!(
        (0..3).all(|_| done().is_ok()) && matches!(done(), Err(RootfsError::Archive(ArchiveError::TooLarge { .. })))
    );
    drop(builder);
    // So are those of which each hides the one before, or that are left out.
    let made = (0..9).fold(Made::new(), |made, _| made.add(EntryType::Fifo, "f", 0o644, "", ""));
    let mut builder = place.limited(Limits { entries: 2, ..Limits::default() });
    let err = apply(&mut builder, Path::new("a"), &*made.bytes(), Whiteouts::Names).unwrap_err();
    assert!(matches!(err, RootfsError::Entry { why: Why::TooManyMembers(8), .. }), "{err}");
}
