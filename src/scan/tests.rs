use super::*;
use crate::tree::Node;
use std::fs::{create_dir, create_dir_all, write};
use std::os::unix::fs::symlink;

fn scan(root: &Path) -> Result<Scanned, ScanError> {
    tree(root, &Options { threads: NonZeroUsize::new(3).unwrap(), ..Options::new(TreeKind::Source) })
}

fn paths(scanned: &Scanned) -> Vec<String> {
    scanned.tree.entries().iter().map(|e| e.path.escaped()).collect()
}

/// Paths of the machine, as an environment has them.
pub(super) fn host_environment(roots: &[PathBuf], options: &Options<'_>) -> Result<Scanned, ScanError> {
    use std::os::unix::ffi::OsStrExt as _;
    let below = roots.iter().map(|root| TreePath::from_bytes(&root.as_os_str().as_bytes()[1..]).unwrap());
    environment(Path::new("/"), &below.collect::<Vec<_>>(), options, None)
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
    let scanned = tree(dir.path(), &Options { exclude: Some(&exclude), ..Options::new(TreeKind::Source) }).unwrap();
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
        tree(dir.path(), &Options { exclude: Some(&exclude), ..Options::new(TreeKind::Source) }).unwrap()
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
    let roots = ["usr/lib", "lib", "usr", "conf", "gone", "usr", "gone/too"].map(|name| dir.join(name));
    let mut roots = roots.to_vec();
    roots.push("/dev/null".into());
    let scanned = host_environment(&roots, &options).unwrap();
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
        // On a busy machine the writer may not get to write during one reading.
        let one = (0..1000).any(|_| matches!(file(path, Wanted::SUBJECT), Err(ScanError::Changed(_))));
        let all = (0..1000).any(|_| matches!(scan(dir.path()), Err(ScanError::Changed(_))));
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(one, "a file");
        assert!(all, "a tree");
    });
}

#[test]
fn a_file_that_turns_into_a_fifo_is_not_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let aside = tempfile::tempdir_in(dir.path().parent().unwrap()).unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    let stopped = || stop.load(std::sync::atomic::Ordering::Relaxed);
    let (name, fifo, plain) = (dir.path().join("f"), aside.path().join("fifo"), aside.path().join("plain"));
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    write(&name, "x").unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stopped() {
                std::fs::rename(&name, &plain).unwrap();
                std::fs::rename(&fifo, &name).unwrap();
                std::fs::rename(&name, &fifo).unwrap();
                std::fs::rename(&plain, &name).unwrap();
            }
        });
        let mut kinds = [0; 2];
        // On a busy machine it may be long before the other thread has its turn.
        for n in 0..1_000_000 {
            if n >= 500 && kinds[1] > 0 {
                break;
            }
            match scan(dir.path()) {
                Ok(_) => kinds[0] += 1,
                Err(ScanError::Changed(_) | ScanError::Kind { kind: "a FIFO", .. }) => kinds[1] += 1,
                Err(err) => panic!("{err}"),
            }
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(kinds[1] > 0, "the other thread never had its turn: {kinds:?}");
    });
}

/// Root may open everything, so the test runs itself again as somebody else.
#[test]
fn what_may_not_be_opened_is_closed_in_an_environment() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    use std::os::unix::process::CommandExt as _;
    const INNER: &str = "COUNTERSIGN_TEST_CLOSED";
    let mode = |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    if let Some(top) = std::env::var_os(INNER) {
        let top = Path::new(&top);
        let options = Options::new(TreeKind::Environment);
        let all = host_environment(&[top.into()], &options).unwrap();
        let cut = top.to_str().unwrap().len();
        let shown = |scanned: &Scanned| -> Vec<(String, u32)> {
            let lines = scanned.tree.lines().filter(|line| line.sha256.is_none());
            lines.map(|line| (line.path.escaped()[cut - 1..].to_owned(), line.mode)).collect()
        };
        assert_eq!(
            shown(&all),
            [
                (String::new(), 0o040_755),
                ("/listed".into(), 0o040_444),
                ("/none".into(), 0o040_000),
                ("/secret".into(), 0o100_000),
            ]
        );
        assert_eq!(shown(&host_environment(&[top.join("none")], &options).unwrap()), [("/none".into(), 0o040_000)]);
        assert!(matches!(scan(top), Err(ScanError::Fs(_))), "in a source it is an error");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let top = dir.path().canonicalize().unwrap().join("top");
    create_dir_all(top.join("listed/below")).unwrap();
    create_dir(top.join("none")).unwrap();
    write(top.join("none/f"), "x").unwrap();
    write(top.join("secret"), "x").unwrap();
    write(top.join("open"), "x").unwrap();
    let root = std::fs::metadata(&top).unwrap().uid() == 0;
    for (name, bits) in [("listed", 0o444), ("none", 0o000), ("secret", 0o000), ("", 0o755)] {
        mode(&top.join(name), bits);
    }
    mode(dir.path(), 0o755);
    let program = dir.path().join("test");
    // Not by this process: what another test starts meanwhile would hold the file open for writing, and it could not be run.
    let cp = std::process::Command::new("cp").arg(std::env::current_exe().unwrap()).arg(&program).status();
    assert!(cp.unwrap().success());
    mode(&program, 0o755);
    let name = "scan::tests::what_may_not_be_opened_is_closed_in_an_environment";
    let mut again = std::process::Command::new(&program);
    again.args(["--exact", name]).env(INNER, &top);
    if root {
        again.uid(65534).gid(65534);
    }
    let out = again.output().unwrap();
    crate::source::remove_tree(&top).unwrap();
    let text = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success() && text.contains("1 passed"), "{text}");
}

#[test]
fn the_listing_that_is_written_as_it_is_read_is_that_of_the_tree() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    // `a` stands before, what is in it after names that begin with `a` and sort before `a/`.
    for name in [
        "a/x",
        "a/b/c",
        "a-x/y",
        "a-/z",
        "a.c",
        "a0",
        "a/b.c",
        "a/b-/d",
        "a!/e",
        "B/f",
        "b/f",
        "A.C",
        "é/g",
        "e\u{301}/g",
    ] {
        create_dir_all(root.join(name).parent().unwrap()).unwrap();
        write(root.join(name), name).unwrap();
    }
    create_dir_all(root.join("hollow/only/this")).unwrap();
    create_dir_all(root.join("skipped/.git")).unwrap();
    symlink("a", root.join("a.link")).unwrap();
    // More directories that wait for `a/` than descriptors are kept for, and more deep ones.
    for i in 0..100 {
        write(root.join("a-x").join("n".repeat(i + 1)), "").unwrap();
        create_dir_all(root.join("w").join(format!("d{}", "-".repeat(i)))).unwrap();
        write(root.join("w").join(format!("d{}", "-".repeat(i))).join("f"), format!("{i}")).unwrap();
        let deep = root.join(["deep"; 100][..=i].join("/"));
        create_dir_all(&deep).unwrap();
        write(deep.join("zz"), format!("{i}")).unwrap();
    }
    let exclude = |path: &TreePath, _: bool| path.as_bytes().ends_with(b".git");
    for kind in [TreeKind::Source, TreeKind::Environment] {
        for threads in [1, 4] {
            let threads = NonZeroUsize::new(threads).unwrap();
            let options = Options { threads, exclude: Some(&exclude), ..Options::new(kind) };
            let scanned = tree(root, &options).unwrap();
            let mut text = Vec::new();
            let listed = list(root, &options, &mut |piece| {
                text.extend_from_slice(piece);
                Ok(())
            })
            .unwrap();
            let text = String::from_utf8(text).unwrap();
            assert_eq!(text, scanned.tree.listing());
            assert_eq!(crate::tree::Listing::parse(&text).unwrap().lines.len(), listed.entries);
            assert_eq!(scanned.changed().unwrap(), None);
            let names = |paths: &[TreePath]| paths.iter().map(|p| p.escaped()).collect::<Vec<_>>();
            assert_eq!(names(&listed.excluded), ["skipped/.git"]);
            assert_eq!(listed.folding, scanned.tree.folding_names());
            let pairs: Vec<_> = listed.folding.iter().map(|(a, b)| [a.escaped(), b.escaped()]).collect();
            assert_eq!(pairs, [["A.C", "a.c"], ["B", "b"], ["e\u{301}", "é"]]);
        }
    }
    let stopped = list(root, &Options::new(TreeKind::Source), &mut |_| Err(std::io::Error::other("no more")));
    assert!(stopped.unwrap_err().to_string().contains("no more"));
}

#[test]
fn a_directory_that_is_another_one_when_it_is_opened_again() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    // The last file of each comes after what is below it: then the directory is opened again, if it is deep.
    let deep = |n: usize| root.join(["d"; 60][..n].join("/"));
    create_dir_all(deep(60)).unwrap();
    let fill = || (1..61).for_each(|n| write(deep(n).join("z"), "").unwrap());
    fill();
    assert!(scan(root).is_ok());
    let exclude = |path: &TreePath, _: bool| {
        // While the lowest is read, those above it that are not kept open are replaced by their like.
        if path.parts().count() == 61 {
            std::fs::rename(deep(40), root.join("aside")).unwrap();
            create_dir_all(deep(60)).unwrap();
            fill();
        }
        false
    };
    let got = tree(root, &Options { exclude: Some(&exclude), ..Options::new(TreeKind::Source) });
    assert!(matches!(&got, Err(ScanError::Changed(path)) if *path == deep(59)), "{got:?}");
}

/// The limit is the process's, so the test runs itself again with the usual one.
#[test]
fn descriptors_do_not_run_out() {
    use rustix::fs::{Mode, OFlags, mkdirat, openat};
    const INNER: &str = "COUNTERSIGN_TEST_DESCRIPTORS";
    if let Some(top) = std::env::var_os(INNER) {
        // As on a large machine with a slow disk: every thread is in the middle of a file.
        let slow = |_, _| std::thread::sleep(std::time::Duration::from_millis(100));
        let threads = NonZeroUsize::new(300).unwrap();
        let options = Options { threads, progress: Some(&slow), ..Options::new(TreeKind::Source) };
        let lines = |name: &str| tree(&Path::new(&top).join(name), &options).unwrap().tree.entries().len();
        assert_eq!((lines("deep"), lines("wide")), (1301, 1500));
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    // In each directory one that waits while its sibling is walked.
    create_dir(dir.path().join("deep")).unwrap();
    let mut at = rustix::fs::open(dir.path().join("deep"), beneath::DIRECTORY, Mode::empty()).unwrap();
    for _ in 0..1300 {
        mkdirat(&at, "a", Mode::RWXU).unwrap();
        openat(&at, "a/f", OFlags::CREATE | OFlags::WRONLY, Mode::RUSR).unwrap();
        mkdirat(&at, "a-", Mode::RWXU).unwrap();
        at = openat(&at, "a-", beneath::DIRECTORY, Mode::empty()).unwrap();
    }
    for i in 0..1500 {
        create_dir_all(dir.path().join(format!("wide/{i}"))).unwrap();
        let file = std::fs::File::create(dir.path().join(format!("wide/{i}/f"))).unwrap();
        file.set_len(read::SMALL as u64).unwrap();
    }
    let mut again = std::process::Command::new("sh");
    again.args(["-c", "ulimit -n 1024 && exec \"$0\" --exact scan::tests::descriptors_do_not_run_out"]);
    let out = again.arg(std::env::current_exe().unwrap()).env(INNER, dir.path()).output().unwrap();
    drop(at);
    crate::source::remove_tree(dir.path()).unwrap();
    let text = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success() && text.contains("1 passed"), "{}", &text[..text.len().min(2000)]);
}

#[test]
fn directories_that_wait_at_any_depth_need_no_descriptors() {
    use rustix::fs::{Mode, mkdirat, openat};
    let dir = tempfile::tempdir().unwrap();
    let base = rustix::fs::open(dir.path(), beneath::DIRECTORY, Mode::empty()).unwrap();
    // In each, four wait at `a` for what sorts between it and `a/`, and the way goes on in the fifth.
    let mut at = rustix::io::dup(&base).unwrap();
    for _ in 0..300 {
        for name in ["a", "a!", "a!!", "a!!!", "a!!!!"] {
            mkdirat(&at, name, Mode::RWXU).unwrap();
            if name.len() < 5 {
                mkdirat(openat(&at, name, beneath::DIRECTORY, Mode::empty()).unwrap(), "x", Mode::RWXU).unwrap();
            }
        }
        at = openat(&at, "a!!!!", beneath::DIRECTORY, Mode::empty()).unwrap();
    }
    drop((at, base));
    let open = || std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    let (before, most) = (open(), std::sync::atomic::AtomicUsize::new(0));
    let exclude = |_: &TreePath, _: bool| {
        most.fetch_max(open(), std::sync::atomic::Ordering::Relaxed);
        false
    };
    let scanned = tree(dir.path(), &Options { exclude: Some(&exclude), ..Options::new(TreeKind::Source) }).unwrap();
    assert_eq!(scanned.tree.entries().len(), 300 * 4 + 1);
    let most = most.into_inner();
    // Other tests open files meanwhile; without the limit it would be four for each of the 300.
    assert!(most < before + 600, "{most} descriptors, {before} before");
    crate::source::remove_tree(dir.path()).unwrap();
}

#[test]
fn what_is_left_out_counts_where_it_is_noted() {
    let dir = tempfile::tempdir().unwrap();
    for n in 0..20 {
        write(dir.path().join(format!("{n}.o")), "").unwrap();
    }
    write(dir.path().join("app"), "").unwrap();
    let exclude = |path: &TreePath, _: bool| path.as_bytes().ends_with(b".o");
    let most = Most { entries: 20, ..Most::ANY };
    let options = Options { exclude: Some(&exclude), most, ..Options::new(TreeKind::Output) };
    assert!(matches!(tree(dir.path(), &options), Err(ScanError::TooMuch { what: "entries", .. })));
    let scanned = tree(dir.path(), &Options { note_excluded: false, ..options }).unwrap();
    assert_eq!((scanned.tree.entries().len(), scanned.excluded), (1, Vec::new()));
    let most = Most { entries: 21, ..most };
    assert_eq!(tree(dir.path(), &Options { most, ..options }).unwrap().excluded.len(), 20);
}
