//! `countersign digest` through the program: hostile trees, the shell recipe of docs/spec.md, archives.
#![cfg(unix)]

use std::fs::{Permissions, create_dir, create_dir_all, set_permissions, write};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

/// Runs the program; one that hangs fails the test instead of stopping it.
fn run(set_up: impl FnOnce(&mut Command)) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
    command.arg("digest").env_remove("CLICOLOR_FORCE");
    set_up(&mut command);
    command
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    let start = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if start.elapsed() > Duration::from_secs(60) {
            child.kill().unwrap();
            panic!("it hangs");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

fn with(path: &Path, args: &[&str]) -> (i32, String, String) {
    run(|command| {
        command.arg(path).args(args);
    })
}

fn good(path: &Path, args: &[&str]) -> String {
    let (code, out, err) = with(path, args);
    assert_eq!(code, 0, "{err}");
    out
}

fn mkfifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

fn tar(from: &Path, to: &Path, gzip: bool) {
    let done = Command::new("tar").arg(if gzip { "-czf" } else { "-cf" }).arg(to).arg("-C").arg(from).arg(".").status();
    assert!(done.unwrap().success());
}

fn is_root(dir: &Path) -> bool {
    std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(dir).unwrap()) == 0
}

#[test]
fn a_file_has_two_digests_and_a_tree_one() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("abc");
    write(&file, "abc").unwrap();
    assert_eq!(
        good(&file, &[]),
        "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\n\
         blake3:6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85\n"
    );
    let tree = good(dir.path(), &[]);
    assert_eq!((tree.len(), &tree[..7]), (72, "sha256:"));
    let listing = good(dir.path(), &["--listing"]);
    assert_eq!(
        listing,
        "countersign-tree v1 source\n100644 3 ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad abc\n"
    );
    write(&file, &listing).unwrap();
    assert!(good(&file, &[]).starts_with(&tree), "the digest of the listing is the tree's");
    write(&file, "abd").unwrap();
    assert_ne!(good(dir.path(), &[]), tree);
    let git = good(dir.path(), &["--git"]);
    let lines: Vec<&str> = git.lines().collect();
    // `git hash-object`, `git mktree` of the same.
    let id = lines[1].strip_prefix("gitTree:").unwrap();
    assert_eq!(lines[2], format!("swhid:swh:1:dir:{id}"));
    let json: serde_json::Value = serde_json::from_str(&good(dir.path(), &["--git", "--json"])).unwrap();
    assert_eq!(json["schema"], "urn:countersign:schema:digest:v1");
    assert_eq!(json["tree"]["gitTree"], id);
    assert_eq!(format!("sha256:{}", json["tree"]["sha256"].as_str().unwrap()), lines[0]);
    let json: serde_json::Value = serde_json::from_str(&good(&file, &["--json"])).unwrap();
    assert_eq!(json["file"]["size"], 3);
}

#[test]
fn what_counts_and_what_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    create_dir(at("d")).unwrap();
    write(at("d/one"), "same").unwrap();
    write(at("d/two"), "same").unwrap();
    let first = good(dir.path(), &[]);
    let differs = |what: &str| assert_ne!(good(dir.path(), &[]), first, "{what}");
    let again = |what: &str| assert_eq!(good(dir.path(), &[]), first, "{what}");

    set_permissions(at("d/one"), Permissions::from_mode(0o755)).unwrap();
    differs("only the mode");
    set_permissions(at("d/one"), Permissions::from_mode(0o600)).unwrap();
    again("git knows one execute bit");
    std::fs::rename(at("d/one"), at("d/other")).unwrap();
    differs("a name, the content being equal");
    std::fs::rename(at("d/other"), at("d/one")).unwrap();
    create_dir(at("empty")).unwrap();
    differs("an empty directory");
    std::fs::remove_dir(at("empty")).unwrap();
    std::fs::remove_file(at("d/two")).unwrap();
    symlink("one", at("d/two")).unwrap();
    differs("a link to the same bytes");
    std::fs::remove_file(at("d/two")).unwrap();
    std::fs::hard_link(at("d/one"), at("d/two")).unwrap();
    again("a hard link is the file");
    create_dir(at(".git")).unwrap();
    write(at(".git/config"), "x").unwrap();
    again("the top-level .git is left out");
    assert_eq!(with(dir.path(), &[]).2, "note: left out .git\n");
    create_dir(at("d/.git")).unwrap();
    differs("no other .git is");
}

#[test]
fn excluding_is_said_and_replaces_the_default() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["a.o", "sub/b.o", "sub/c.c", ".git/config"] {
        create_dir_all(dir.path().join(name).parent().unwrap()).unwrap();
        write(dir.path().join(name), name).unwrap();
    }
    let (code, out, err) = with(dir.path(), &["--listing", "--exclude", "**/*.o", "--exclude", ".git"]);
    assert_eq!(code, 0);
    assert_eq!(out.lines().skip(1).map(|line| line.rsplit(' ').next().unwrap()).collect::<Vec<_>>(), ["sub/c.c"]);
    assert_eq!(err, "note: left out .git\nnote: left out a.o\nnote: left out sub/b.o\n");
    assert!(good(dir.path(), &["--listing", "--exclude", "sub"]).contains(".git/config"));
    assert_eq!(with(dir.path(), &["--exclude", "[ab]"]).0, 2);
}

#[test]
fn what_is_no_file_is_refused_by_name_and_never_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |name: &str, word: &str| {
        for path in [dir.path(), &dir.path().join(name)] {
            let (code, out, err) = with(path, &[]);
            assert_eq!((code, out.as_str()), (7, ""), "{err}");
            assert!(err.contains(name) && err.contains(word), "{err}");
        }
        std::fs::remove_file(dir.path().join(name)).unwrap();
    };
    mkfifo(&dir.path().join("pipe"));
    refused("pipe", "a FIFO");
    let socket = std::os::unix::net::UnixListener::bind(dir.path().join("sock")).unwrap();
    drop(socket);
    // A socket cannot be opened at all: the file form says so in the system's words.
    let (code, _, err) = with(dir.path(), &[]);
    assert!(code == 7 && err.contains("sock is a socket"), "{err}");
    assert_eq!(with(&dir.path().join("sock"), &[]).0, 7);
    std::fs::remove_file(dir.path().join("sock")).unwrap();
    let made = Command::new("mknod").arg(dir.path().join("null")).args(["c", "1", "3"]).output().unwrap();
    if made.status.success() {
        refused("null", "a device");
    }
    assert!(with(Path::new("/dev/null"), &[]).2.contains("a device"));
    assert_eq!(with(Path::new("/dev/null"), &["--tree"]).0, 7);
    assert_eq!(with(&dir.path().join("gone"), &[]).0, 7);
    good(dir.path(), &[]);
}

#[test]
fn what_cannot_be_read_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let top = dir.path().join("top");
    create_dir(&top).unwrap();
    write(top.join("secret"), "x").unwrap();
    let root = is_root(dir.path());
    set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
    // The program itself may lie where only root can go: a copy that everybody can run.
    let program = dir.path().join("program");
    // Not by this process: what another test starts meanwhile would hold the file open for writing, and it could not be run.
    assert!(Command::new("cp").arg(env!("CARGO_BIN_EXE_countersign")).arg(&program).status().unwrap().success());
    set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    let as_nobody = || {
        let mut command = Command::new(&program);
        command.arg("digest").arg(&top);
        if root {
            command.uid(65534).gid(65534);
        }
        let out = command.output().unwrap();
        (out.status.code().unwrap(), String::from_utf8(out.stderr).unwrap())
    };
    assert_eq!(as_nobody(), (0, String::new()));
    set_permissions(top.join("secret"), Permissions::from_mode(0o000)).unwrap();
    let (code, err) = as_nobody();
    assert!(code == 7 && err.contains("top/secret: Permission denied"), "{err}");
    set_permissions(top.join("secret"), Permissions::from_mode(0o644)).unwrap();
    create_dir(top.join("closed")).unwrap();
    set_permissions(top.join("closed"), Permissions::from_mode(0o000)).unwrap();
    let (code, err) = as_nobody();
    assert!(code == 7 && err.contains("top/closed: Permission denied"), "{err}");
    set_permissions(top.join("closed"), Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn links_that_loop_and_names_of_any_bytes() {
    let dir = tempfile::tempdir().unwrap();
    symlink(".", dir.path().join("self")).unwrap();
    symlink("ring", dir.path().join("ring")).unwrap();
    symlink("/", dir.path().join("root")).unwrap();
    write(dir.path().join(std::ffi::OsStr::from_bytes(b"\xff\n")), "").unwrap();
    write(dir.path().join("esc\x1b[31m"), "").unwrap();
    create_dir(dir.path().join("empty")).unwrap();
    let listing = good(dir.path(), &["--listing"]);
    let modes: Vec<_> = listing.lines().skip(1).map(|line| (&line[..6], line.rsplit(' ').next().unwrap())).collect();
    assert_eq!(
        modes,
        [
            ("040000", "empty"),
            ("100644", "esc\x1b[31m"),
            ("120000", "ring"),
            ("120000", "root"),
            ("120000", "self"),
            ("100644", "\\xff\\n"),
        ]
    );
}

#[test]
fn names_that_fold_are_noted_without_touching_the_terminal() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path().join("Read\x1b[2J"), "").unwrap();
    write(dir.path().join("read\x1b[2J"), "").unwrap();
    let (code, _, err) = with(dir.path(), &[]);
    assert_eq!(code, 0);
    assert!(err.contains("are one name") && err.contains("Read\\u{1b}[2J"), "{err}");
    assert!(!err.contains('\x1b'));
}

#[test]
fn a_tree_that_is_written_to_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    write(&log, vec![b'x'; 32 << 20]).unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            use std::io::Write as _;
            let mut file = std::fs::OpenOptions::new().append(true).open(&log).unwrap();
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                file.write_all(b"x").unwrap();
                std::thread::sleep(Duration::from_micros(50));
            }
        });
        let results = [with(dir.path(), &[]), with(&log, &[])];
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        for (code, out, err) in results {
            assert_eq!((code, out.as_str()), (7, ""));
            assert!(err.contains("log changed while it was read") && err.contains("hint: "), "{err}");
        }
    });
    assert_eq!(with(&log, &[]).0, 0);
}

#[test]
fn an_archive_is_a_file_unless_it_is_asked_for_as_a_tree() {
    let dir = tempfile::tempdir().unwrap();
    let src = dir.path().join("src");
    create_dir_all(src.join("a/empty")).unwrap();
    write(src.join("a/f"), "x").unwrap();
    std::fs::hard_link(src.join("a/f"), src.join("g")).unwrap();
    symlink("a", src.join("l")).unwrap();
    let want = good(&src, &["--git"]);
    for gzip in [false, true] {
        let archive = dir.path().join("archive");
        tar(&src, &archive, gzip);
        assert_eq!(good(&archive, &["--tree", "--git"]), want);
        assert!(good(&archive, &[]).contains("blake3:"));
        assert_ne!(good(&archive, &[]).lines().next(), want.lines().next());
        let bytes = std::fs::read(&archive).unwrap();
        write(&archive, &bytes[..bytes.len() / 3]).unwrap();
        let (code, out, _) = with(&archive, &["--tree"]);
        assert_eq!((code, out.as_str()), (7, ""));
    }
    let other = dir.path().join("archive.tar");
    write(&other, b"BZh9").unwrap();
    let (code, _, err) = with(&other, &["--tree"]);
    assert!(code == 7 && err.contains("bzip2, which is not supported") && err.contains("hint: "), "{err}");
    assert_eq!(with(&src, &["--strip", "1"]).0, 2, "without --tree");
    assert_eq!(with(&src, &["--tree", "--strip", "1"]).0, 2, "a directory");
    assert_eq!(with(&other, &["--git"]).0, 2, "a file has no git tree");
}

#[test]
fn the_shell_recipe_of_the_specification_gives_the_same_digest() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    for name in ["a/x", "a.c", "a0", "ü b", ".git/config", "sub/.git/kept", "-n", "z"] {
        create_dir_all(at(name).parent().unwrap()).unwrap();
        write(at(name), name).unwrap();
    }
    for (name, mode) in [("a.c", 0o711), ("a0", 0o655), ("z", 0o4744)] {
        set_permissions(at(name), Permissions::from_mode(mode)).unwrap();
    }
    symlink("a/x", at("link")).unwrap();
    symlink("with line\n", at("feed")).unwrap();
    let spec = include_str!("../docs/spec.md");
    let section = spec.split("### 2.1 ").nth(1).unwrap();
    let script = section.split("```sh\n").nth(1).unwrap().split("```").next().unwrap();
    let out = Command::new("sh").arg("-c").arg(script).current_dir(dir.path()).output().unwrap();
    let theirs = String::from_utf8(out.stdout).unwrap();
    let ours = good(dir.path(), &[]);
    assert_eq!(Some(ours.trim()), theirs.split(' ').next().map(|hex| format!("sha256:{hex}")).as_deref());
    write(at("a/x"), "other").unwrap();
    assert_ne!(good(dir.path(), &[]), ours);
}
