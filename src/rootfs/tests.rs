use super::*;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::PathBuf;

/// A builder in a fresh directory, where its root is written to.
pub(crate) struct Place {
    pub(crate) dir: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Place {
        Place { dir: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn builder(&self) -> Builder {
        self.limited(Limits::default())
    }

    pub(crate) fn limited(&self, limits: Limits) -> Builder {
        Builder::new(&self.dir.path().join("spool"), limits).unwrap()
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    /// Writes it, and lists it: `d path`, `f path content`, `x path content`, `l path target`.
    pub(crate) fn written(&self, builder: Builder) -> Vec<String> {
        builder.finish(&self.root(), 1_000_000_000).unwrap();
        assert!(!self.dir.path().join("spool").exists());
        list(&self.root())
    }
}

fn list(root: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    for item in walkdir::WalkDir::new(root).min_depth(1).sort_by_file_name() {
        let item = item.unwrap();
        let (path, meta) = (item.path().strip_prefix(root).unwrap().display(), item.metadata().unwrap());
        let mode = meta.mode() & 0o7777;
        lines.push(if meta.is_dir() {
            assert_eq!(mode, 0o755);
            format!("d {path}")
        } else if meta.is_symlink() {
            format!("l {path} {}", std::fs::read_link(item.path()).unwrap().display())
        } else {
            assert!(meta.is_file() && matches!(mode, 0o644 | 0o755));
            let kind = if mode == 0o755 { 'x' } else { 'f' };
            format!("{kind} {path} {}", std::fs::read_to_string(item.path()).unwrap())
        });
        assert_eq!((meta.mtime(), meta.mtime_nsec()), (1_000_000_000, 0), "{path}");
    }
    assert_eq!(std::fs::metadata(root).unwrap().mtime(), 1_000_000_000);
    lines
}

fn file(builder: &mut Builder, path: &str, content: &str) -> Result<(), RootfsError> {
    builder.file(path.as_bytes(), false, &mut content.as_bytes())
}

fn refusal(result: Result<(), RootfsError>) -> Why {
    match result.unwrap_err() {
        RootfsError::Entry { why, .. } => why,
        err => panic!("{err}"),
    }
}

#[test]
fn files_links_and_what_is_above_them() {
    let place = Place::new();
    let mut b = place.builder();
    file(&mut b, "usr/share/a", "A").unwrap();
    b.file(b"/usr/bin/run", true, &mut &b"#!"[..]).unwrap();
    b.dir(b"./empty/").unwrap();
    b.dir(b".").unwrap();
    b.symlink(b"bin", b"usr/bin").unwrap();
    b.hardlink(b"bin/again", b"/usr/bin/run").unwrap();
    assert_eq!(b.at(b"bin/run", Last::Itself).unwrap(), Some(Found::File { exec: true, size: 2 }));
    assert_eq!(b.at(b"bin", Last::Itself).unwrap(), Some(Found::Link { target: b"usr/bin" }));
    assert_eq!(b.at(b"bin", Last::Follow).unwrap(), Some(Found::Dir));
    assert_eq!(b.at(b"bin/none", Last::Follow).unwrap(), None);
    assert_eq!(b.at(b"usr/share/a/below", Last::Follow).unwrap(), None);
    assert_eq!(b.names(b"bin").unwrap(), [Box::from(&b"again"[..]), Box::from(&b"run"[..])]);
    assert!(b.names(b"nowhere").unwrap().is_empty());
    let want = [
        "l bin usr/bin",
        "d empty",
        "d usr",
        "d usr/bin",
        "x usr/bin/again #!",
        "x usr/bin/run #!",
        "d usr/share",
        "f usr/share/a A",
    ];
    assert_eq!(place.written(b), want);
    let (one, other) = (place.root().join("usr/bin/run"), place.root().join("usr/bin/again"));
    assert_eq!(std::fs::metadata(one).unwrap().ino(), std::fs::metadata(other).unwrap().ino());
}

#[test]
fn counts() {
    let place = Place::new();
    let mut b = place.builder();
    file(&mut b, "d/a", "12345").unwrap();
    b.hardlink(b"d/b", b"d/a").unwrap();
    b.symlink(b"l", b"d").unwrap();
    b.leave_out(|left_out| left_out.fifos += 2);
    let left_out = LeftOut { fifos: 2, ..LeftOut::default() };
    let want = Written { dirs: 1, files: 2, links: 1, bytes: 5, left_out };
    assert_eq!(b.finish(&place.root(), 0).unwrap(), want);
}

#[test]
fn nothing_gets_outside() {
    let place = Place::new();
    let outside = place.dir.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    let mut b = place.builder();
    b.symlink(b"etc", outside.as_os_str().as_encoded_bytes()).unwrap();
    file(&mut b, "etc/passwd", "p").unwrap();
    b.symlink(b"up", b"../../../../../..").unwrap();
    file(&mut b, "up/top", "t").unwrap();
    b.symlink(b"a/b/c", b"../../.././x/../y").unwrap();
    file(&mut b, "a/b/c/z", "z").unwrap();
    for bad in ["../x", "a/../../x", "..", "a/..", "a\0b"] {
        assert!(matches!(refusal(file(&mut b, bad, "")), Why::Name), "{bad}");
        assert!(matches!(refusal(b.dir(bad.as_bytes())), Why::Name), "{bad}");
        assert!(matches!(refusal(b.remove(bad.as_bytes())), Why::Name), "{bad}");
        assert!(matches!(refusal(b.whiteout(bad.as_bytes())), Why::Name), "{bad}");
        assert!(matches!(refusal(b.hardlink(b"h", bad.as_bytes())), Why::NoTarget(_)), "{bad}");
    }
    for root in ["", "/", "./", "."] {
        assert!(matches!(refusal(file(&mut b, root, "")), Why::Name));
        assert!(matches!(refusal(b.remove(root.as_bytes())), Why::Name));
    }
    assert!(matches!(refusal(b.hardlink(b"h", b"/etc/shadow")), Why::NoTarget(_)));
    assert!(matches!(refusal(b.hardlink(b"h", b"a")), Why::NoTarget(_)), "a directory");
    assert!(matches!(refusal(b.symlink(b"l", b"a\0")), Why::Target(_)));
    assert!(matches!(refusal(b.symlink(b"l", b"")), Why::Target(_)));
    let lines = place.written(b);
    let inside = format!("f {}/passwd p", outside.strip_prefix("/").unwrap().display());
    for want in [&*inside, "f top t", "f y/z z"] {
        assert!(lines.iter().any(|line| line == want), "{want}: {lines:?}");
    }
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
}

#[test]
fn a_chain_of_links_ends() {
    let place = Place::new();
    let mut b = place.builder();
    b.dir(b"end").unwrap();
    b.symlink(b"l0", b"end").unwrap();
    for n in 1..41 {
        b.symlink(format!("l{n}").as_bytes(), format!("l{}", n - 1).as_bytes()).unwrap();
    }
    file(&mut b, "l39/forty", "").unwrap();
    assert!(matches!(refusal(file(&mut b, "l40/forty-one", "")), Why::TooManyLinks));
    assert!(matches!(b.at(b"l40", Last::Follow), Err(RootfsError::Entry { why: Why::TooManyLinks, .. })));
    b.symlink(b"self", b"self").unwrap();
    assert!(matches!(refusal(file(&mut b, "self/x", "")), Why::TooManyLinks));
    // Long ways are not walked either.
    b.dir(b"d").unwrap();
    b.symlink(b"way", "d/../".repeat(800).as_bytes()).unwrap();
    assert!(matches!(refusal(file(&mut b, "way/x", "")), Why::TooManyLinks));
    b.symlink(b"twice", [&b"twice/"[..], &b"./".repeat(2000)].concat().as_slice()).unwrap();
    assert!(matches!(refusal(file(&mut b, "twice/x", "")), Why::TooManyLinks));
}

#[test]
fn what_takes_the_place_of_what() {
    let place = Place::new();
    let mut b = place.builder();
    file(&mut b, "f", "old").unwrap();
    file(&mut b, "f", "new").unwrap();
    b.symlink(b"f2l", b"f").unwrap();
    file(&mut b, "f2l", "file").unwrap();
    file(&mut b, "l", "x").unwrap();
    b.symlink(b"l", b"f").unwrap();
    b.dir(b"empty").unwrap();
    file(&mut b, "empty", "now a file").unwrap();
    file(&mut b, "full/x", "x").unwrap();
    assert!(matches!(refusal(file(&mut b, "full", "")), Why::NotEmpty));
    assert!(matches!(refusal(b.symlink(b"full", b"f")), Why::NotEmpty));
    assert!(matches!(refusal(b.hardlink(b"full", b"f")), Why::NotEmpty));
    assert!(matches!(refusal(file(&mut b, "f/below", "")), Why::NotADirectory));
    // A directory onto a link to one is the one that is there.
    b.symlink(b"lib", b"usr/lib").unwrap();
    b.dir(b"usr/lib").unwrap();
    b.dir(b"lib").unwrap();
    file(&mut b, "lib/so", "so").unwrap();
    b.symlink(b"dangling", b"nowhere").unwrap();
    b.dir(b"dangling").unwrap();
    b.dir(b"l").unwrap();
    // One name of a file is replaced, the other stays.
    file(&mut b, "h1", "shared").unwrap();
    b.hardlink(b"h2", b"h1").unwrap();
    b.hardlink(b"h2", b"h2").unwrap();
    file(&mut b, "h1", "alone").unwrap();
    b.hardlink(b"h3", b"lib").unwrap();
    let want = [
        "d dangling",
        "f empty now a file",
        "f f new",
        "f f2l file",
        "d full",
        "f full/x x",
        "f h1 alone",
        "f h2 shared",
        "l h3 usr/lib",
        "d l",
        "l lib usr/lib",
        "d usr",
        "d usr/lib",
        "f usr/lib/so so",
    ];
    assert_eq!(place.written(b), want);
}

#[test]
fn layers() {
    let place = Place::new();
    let mut b = place.builder();
    for path in ["a/1", "a/2", "a/d/3", "b/1", "c/1", "o/old", "o/d/old", "gone"] {
        file(&mut b, path, "1").unwrap();
    }
    b.symlink(b"link", b"b").unwrap();
    b.next_layer();
    // In whatever order: only what was there before goes.
    file(&mut b, "a/2", "2").unwrap();
    b.whiteout(b"a").unwrap();
    b.whiteout(b"a").unwrap();
    file(&mut b, "a/4", "2").unwrap();
    file(&mut b, "o/new", "2").unwrap();
    file(&mut b, "o/d/new", "2").unwrap();
    b.opaque(b"o").unwrap();
    b.whiteout(b"gone").unwrap();
    b.whiteout(b"never/was").unwrap();
    b.whiteout(b"b/1/below").unwrap();
    b.opaque(b"never").unwrap();
    // A directory of an earlier layer makes way, and so does a link for a directory.
    file(&mut b, "c", "file").unwrap();
    b.dir(b"link").unwrap();
    file(&mut b, "link/x", "2").unwrap();
    assert!(matches!(refusal(file(&mut b, "link", "")), Why::NotEmpty));
    let want = [
        "d a",
        "f a/2 2",
        "f a/4 2",
        "d b",
        "f b/1 1",
        "f c file",
        "d link",
        "f link/x 2",
        "d o",
        "d o/d",
        "f o/d/new 2",
        "f o/new 2",
    ];
    assert_eq!(place.written(b), want);
}

#[test]
fn a_hard_link_into_what_makes_way_for_it() {
    let place = Place::new();
    let mut b = place.builder();
    file(&mut b, "a/f", "1").unwrap();
    b.next_layer();
    assert!(matches!(refusal(b.hardlink(b"a", b"a/f")), Why::NoTarget(_)));
}

#[test]
fn removing_frees_the_room() {
    let place = Place::new();
    let limits = Limits { entries: 4, names: 12, ..Limits::default() };
    let mut b = place.limited(limits);
    for _ in 0..10 {
        file(&mut b, "d/d/f", "x").unwrap();
        b.hardlink(b"h", b"d/d/f").unwrap();
        assert!(matches!(refusal(b.dir(b"e")), Why::TooMany(4)));
        b.remove(b"d").unwrap();
        b.remove(b"d").unwrap();
        b.remove(b"h").unwrap();
        assert_eq!(std::fs::read_dir(place.dir.path().join("spool")).unwrap().count(), 0);
    }
    assert!(place.written(b).is_empty());
}

#[test]
fn limits() {
    let place = Place::new();
    let limits = Limits { entries: 6, bytes: 10, names: 60, path: 30, target: 20, depth: 3 };
    let mut b = place.limited(limits);
    assert!(matches!(refusal(b.dir(b"1/2/3/4")), Why::TooDeep(3)));
    assert!(matches!(refusal(b.dir(b"1234567890/1234567890/123456789")), Why::PathTooLong(30)));
    assert!(matches!(refusal(b.dir("./".repeat(31).as_bytes())), Why::PathTooLong(30)));
    b.remove(b"1234567890").unwrap();
    assert!(matches!(refusal(b.symlink(b"l", &[b'x'; 21])), Why::Target(20)));
    b.symlink(b"l", &[b'x'; 20]).unwrap();
    b.symlink(b"m", &[b'x'; 20]).unwrap();
    assert!(matches!(refusal(b.symlink(b"n", &[b'x'; 20])), Why::Names(60)));
    file(&mut b, "f", "12345").unwrap();
    assert!(matches!(refusal(file(&mut b, "g", "123456")), Why::TooLarge(10)));
    assert!(matches!(refusal(b.dir(b"g")), Why::TooMany(6)));
    let place = Place::new();
    let mut b = place.builder();
    b.dir(&[b'n'; 255]).unwrap();
    assert!(matches!(refusal(b.dir(&[b'n'; 256])), Why::NameTooLong));
}

#[test]
fn nothing_is_replaced_and_nothing_left_behind() {
    let place = Place::new();
    let spool = place.dir.path().join("spool");
    std::fs::create_dir(&spool).unwrap();
    assert!(Builder::new(&spool, Limits::default()).is_err());
    std::fs::remove_dir(&spool).unwrap();
    for make in [|p: &Path| std::fs::create_dir(p), |p: &Path| std::os::unix::fs::symlink("nowhere", p)] {
        let mut b = place.builder();
        assert_eq!(std::fs::metadata(&spool).unwrap().permissions().mode() & 0o7777, 0o700);
        file(&mut b, "f", "x").unwrap();
        make(&place.root()).unwrap();
        let err = b.finish(&place.root(), 0).unwrap_err();
        assert!(err.to_string().contains("it is there already"), "{err}");
        assert!(!spool.exists());
        std::fs::remove_dir(place.root()).or_else(|_| std::fs::remove_file(place.root())).unwrap();
    }
    let mut b = place.builder();
    let failed = b.whole(|b| file(b, "f", "x").and_then(|()| file(b, "..", "")));
    assert!(failed.is_err());
    assert!(b.whole(|b| file(b, "g", "")).is_ok());
    assert!(matches!(b.finish(&place.root(), 0), Err(RootfsError::Spoiled)));
    assert!(!place.root().exists() && !spool.exists());
}

#[test]
fn a_content_that_breaks_off() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("broken"))
        }
    }
    let place = Place::new();
    let mut b = place.builder();
    file(&mut b, "f", "old").unwrap();
    assert!(matches!(refusal(b.file(b"f", false, &mut Broken)), Why::Content(_)));
    assert_eq!(place.written(b), ["f f old"]);
}
