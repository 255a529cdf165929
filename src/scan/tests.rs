use super::*;
use std::fs::{create_dir, create_dir_all, write};
use std::os::unix::fs::symlink;

fn scan(root: &Path) -> Result<Scanned, ScanError> {
    tree(root, &Options { threads: NonZeroUsize::new(3).unwrap(), ..Options::new(TreeKind::Source) })
}

fn paths(scanned: &Scanned) -> Vec<String> {
    scanned.tree.entries().iter().map(|e| e.path.escaped()).collect()
}

#[test]
fn any_name_and_any_depth() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    for name in ["line\nfeed", "back\\slash", " ", "-rf", "\u{202e}x"] {
        write(root.join(name), "x").unwrap();
    }
    write(root.join(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"\xff\xfe")), "x").unwrap();
    // Deeper than there are descriptors.
    let deep = ["d"; 1500].join("/");
    create_dir_all(root.join(&deep)).unwrap();
    write(root.join(&deep).join("f"), "x").unwrap();
    let scanned = scan(root).unwrap();
    assert_eq!(scanned.tree.entries().len(), 7);
    assert_eq!(scanned.changed().unwrap(), None);
    // Too long for a path of a tree: an error, not a file left out.
    let long = "n".repeat(250);
    let mut at = rustix::fs::open(root, beneath::DIRECTORY, rustix::fs::Mode::empty()).unwrap();
    for _ in 0..17 {
        rustix::fs::mkdirat(&at, &long, 0o700.into()).unwrap();
        at = rustix::fs::openat(&at, &long, beneath::DIRECTORY, rustix::fs::Mode::empty()).unwrap();
    }
    assert!(matches!(scan(root), Err(ScanError::Path { why: PathRefused::TooLong, .. })));
    // So that the directory can be removed by the test's own means.
    drop(at);
    crate::source::remove_tree(root).unwrap();
}

#[test]
fn many_files_in_one_directory_and_many_directories() {
    let dir = tempfile::tempdir().unwrap();
    for i in 0..1000 {
        write(dir.path().join(format!("f{i}")), format!("{i}")).unwrap();
        let sub = dir.path().join(format!("d{}/e{i}", i % 7));
        create_dir_all(&sub).unwrap();
        write(sub.join("f"), "x").unwrap();
    }
    let one = tree(dir.path(), &Options::new(TreeKind::Source)).unwrap();
    let three = scan(dir.path()).unwrap();
    assert_eq!(one.tree.entries().len(), 2000);
    assert_eq!(one.tree, three.tree);
}

#[test]
fn excluded_directories_are_not_entered() {
    let dir = tempfile::tempdir().unwrap();
    create_dir_all(dir.path().join("a/skip")).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(dir.path().join("a/skip/fifo")).status().unwrap().success());
    assert!(matches!(scan(dir.path()), Err(ScanError::Kind { kind: "a FIFO", .. })));
    let exclude = |path: &TreePath, is_dir: bool| is_dir && path.as_bytes().ends_with(b"skip");
    let scanned = tree(dir.path(), &Options { exclude: &exclude, ..Options::new(TreeKind::Source) }).unwrap();
    assert_eq!(paths(&scanned), ["a"], "a directory all of whose content is excluded is listed as empty");
    assert_eq!(scanned.excluded.iter().map(|p| p.escaped()).collect::<Vec<_>>(), ["a/skip"]);
}

#[test]
fn links_are_recorded_and_never_followed() {
    let dir = tempfile::tempdir().unwrap();
    create_dir(dir.path().join("real")).unwrap();
    symlink("..", dir.path().join("real/up")).unwrap();
    symlink("/etc/passwd", dir.path().join("out")).unwrap();
    symlink("loop", dir.path().join("loop")).unwrap();
    symlink("real", dir.path().join("root")).unwrap();
    let scanned = scan(dir.path()).unwrap();
    assert!(scanned.tree.entries().iter().all(|e| matches!(e.node, Node::Link { .. })));
    assert_eq!(paths(&scanned), ["loop", "out", "real/up", "root"]);
    assert_eq!(paths(&scan(&dir.path().join("root")).unwrap()), ["up"], "the root itself may be a link");
    assert!(scan(&dir.path().join("loop")).is_err());
    write(dir.path().join("file"), "x").unwrap();
    assert!(matches!(scan(&dir.path().join("file")), Err(ScanError::Kind { kind: "a file", .. })));
}

#[test]
fn what_changed_since_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    create_dir(at("d")).unwrap();
    create_dir(at("out")).unwrap();
    let exclude = |path: &TreePath, _: bool| path.as_bytes() == b"out";
    let fresh = || {
        write(at("d/f"), "one").unwrap();
        tree(dir.path(), &Options { exclude: &exclude, ..Options::new(TreeKind::Source) }).unwrap()
    };
    let scanned = fresh();
    assert_eq!(scanned.changed().unwrap(), None);
    write(at("out/x"), "").unwrap();
    assert_eq!(scanned.changed().unwrap(), None, "what is excluded may change");
    write(at("new"), "").unwrap();
    assert_eq!(scanned.changed().unwrap(), Some(at("new")));
    std::fs::remove_file(at("new")).unwrap();
    assert_eq!(scanned.changed().unwrap(), None);
    write(at("d/new"), "").unwrap();
    assert_eq!(scanned.changed().unwrap(), Some(at("d/new")));
    std::fs::remove_file(at("d/new")).unwrap();
    write(at("d/f"), "two").unwrap();
    assert_eq!(scanned.changed().unwrap(), Some(at("d/f")));

    let scanned = fresh();
    write(at("other"), "one").unwrap();
    std::fs::rename(at("other"), at("d/f")).unwrap();
    assert_eq!(scanned.changed().unwrap(), Some(at("d/f")));
    let scanned = fresh();
    std::fs::rename(at("d"), at("e")).unwrap();
    assert!(scanned.changed().unwrap().is_some());
}

#[test]
fn an_environment_of_roots() {
    use std::os::unix::fs::FileTypeExt as _;
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().canonicalize().unwrap();
    create_dir_all(dir.join("usr/lib")).unwrap();
    write(dir.join("usr/lib/so"), "x").unwrap();
    write(dir.join("conf"), "y").unwrap();
    symlink("usr/lib", dir.join("lib")).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(dir.join("usr/pipe")).status().unwrap().success());
    let options = Options::new(TreeKind::Environment);
    let roots = ["usr/lib", "lib", "usr/", "conf", "gone", "usr", "gone/too"].map(|name| dir.join(name));
    let mut roots = roots.to_vec();
    roots.push("/dev/null".into());
    let scanned = environment(&roots, &options).unwrap();
    let top = dir.to_str().unwrap().trim_start_matches('/').to_owned();
    let mut want: Vec<String> = ["conf", "lib", "usr", "usr/lib", "usr/lib/so", "usr/pipe"]
        .iter()
        .map(|name| format!("{top}/{name}"))
        .collect();
    want.push("dev/null".into());
    want.sort();
    assert_eq!(paths(&scanned), want);
    assert_eq!(scanned.absent, [dir.join("gone"), dir.join("gone/too")]);
    let closed: Vec<_> = scanned.tree.entries().iter().filter(|e| matches!(e.node, Node::Closed { .. })).collect();
    assert_eq!(closed.len(), 2, "the FIFO and the device");
    assert!(std::fs::metadata("/dev/null").unwrap().file_type().is_char_device());
    assert_eq!(scanned.changed().unwrap(), None);
    write(dir.join("usr/lib/so"), "z").unwrap();
    assert_eq!(scanned.changed().unwrap(), Some(dir.join("usr/lib/so")));
    write(dir.join("gone"), "").unwrap();
    assert_eq!(scanned.changed().unwrap(), Some(dir.join("gone")));
    for bad in ["relative", "/", "/a/../b"] {
        assert!(matches!(environment(&[bad.into()], &options), Err(ScanError::Root(_))), "{bad}");
    }
}

#[test]
fn a_file_that_grows_while_it_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    write(&path, vec![b'x'; 8 << 20]).unwrap();
    assert!(file(&path, Wanted::SUBJECT).is_ok());
    let stop = std::sync::atomic::AtomicBool::new(false);
    let stop = &stop;
    std::thread::scope(|scope| {
        let (started, ready) = std::sync::mpsc::channel();
        let path = &path;
        scope.spawn(move || {
            use std::io::Write as _;
            let mut log = std::fs::OpenOptions::new().append(true).open(path).unwrap();
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                log.write_all(b"more").unwrap();
                let _ = started.send(());
            }
        });
        ready.recv().unwrap();
        let (one, all) = (file(path, Wanted::SUBJECT), scan(dir.path()));
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(matches!(one, Err(ScanError::Changed(_))), "{one:?}");
        assert!(matches!(all, Err(ScanError::Changed(_))), "{all:?}");
    });
}
