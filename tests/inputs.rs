//! One digest for one tree, whatever it comes as; and git's ids of it are those that git gives.
#![cfg(unix)]

use std::ffi::OsStr;
use std::fs::{Permissions, create_dir_all, set_permissions, write};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

fn digest(path: &Path, args: &[&str]) -> (i32, String, String) {
    let out = Command::new(env!("CARGO_BIN_EXE_countersign")).arg("digest").arg(path).args(args).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (out.status.code().unwrap(), text(out.stdout), text(out.stderr))
}

#[track_caller]
fn good(path: &Path, args: &[&str]) -> String {
    let (code, out, err) = digest(path, args);
    assert_eq!(code, 0, "{}: {err}", path.display());
    out
}

fn command(program: &str, dir: &Path, args: &[&OsStr]) -> String {
    let out = Command::new(program)
        .args(args)
        .current_dir(dir)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_AUTHOR_NAME", "n")
        .env("GIT_AUTHOR_EMAIL", "e@example.org")
        .env("GIT_COMMITTER_NAME", "n")
        .env("GIT_COMMITTER_EMAIL", "e@example.org")
        .output()
        .unwrap();
    assert!(out.status.success(), "{program} {args:?}: {out:?}");
    String::from_utf8(out.stdout).unwrap().trim().to_owned()
}

fn run(program: &str, dir: &Path, args: &[&str]) -> String {
    command(program, dir, &args.iter().map(OsStr::new).collect::<Vec<_>>())
}

fn put(root: &Path, name: &[u8], bytes: &[u8]) {
    let at = root.join(OsStr::from_bytes(name));
    create_dir_all(at.parent().unwrap()).unwrap();
    write(at, bytes).unwrap();
}

fn mode(root: &Path, name: &str, mode: u32) {
    set_permissions(root.join(name), Permissions::from_mode(mode)).unwrap();
}

fn link(root: &Path, target: &str, name: &str) {
    let at = root.join(name);
    create_dir_all(at.parent().unwrap()).unwrap();
    symlink(target, at).unwrap();
}

/// What cannot hold a tree.
const GIT: &str = "git has no empty directories";
const ZIP: &str = "zip has UTF-8 names without backslashes and control characters, and at least one entry";

type Make = fn(&Path);

const TREES: [(&str, &[&str], Make); 23] = [
    ("nothing", &[ZIP], |_| ()),
    ("one file", &[], |root| put(root, b"a", b"x")),
    ("an empty file", &[], |root| put(root, b"a", b"")),
    ("an empty directory", &[GIT], |root| {
        put(root, b"a", b"x");
        create_dir_all(root.join("e/inside")).unwrap();
    }),
    ("only an empty directory", &[GIT], |root| create_dir_all(root.join("e")).unwrap()),
    ("execute bits", &[], |root| {
        for (n, bits) in [0o755, 0o644, 0o744, 0o655, 0o700, 0o600, 0o4755].into_iter().enumerate() {
            put(root, format!("f{n}").as_bytes(), b"#!");
            mode(root, &format!("f{n}"), bits);
        }
    }),
    ("links", &[], |root| {
        put(root, b"d/f", b"x");
        link(root, "f", "d/to-file");
        link(root, "d", "to-directory");
        link(root, "d/to-file", "to-link");
    }),
    ("dangling links", &[], |root| {
        link(root, "nowhere", "a");
        link(root, "/etc/passwd", "b");
        link(root, "../../up", "c/d");
        link(root, "itself", "itself");
        link(root, &"long/".repeat(60), "long");
    }),
    ("a name with a line feed", &[], |root| put(root, b"a\nb", b"x")),
    ("names that are not UTF-8", &[ZIP], |root| {
        put(root, b"\xff", b"x");
        put(root, b"d\xc3/\xe4", b"y");
    }),
    ("names with leading dots and dashes", &[], |root| {
        for name in [&b".hidden"[..], b"...", b"..a", b".d/.e", b"-n", b"--", b"-d/-e", b"~"] {
            put(root, name, name);
        }
    }),
    ("names with backslashes", &[ZIP], |root| {
        put(root, b"a\\b", b"x");
        put(root, b"\\", b"y");
    }),
    ("names in two Unicode forms", &[], |root| {
        put(root, "u\u{308}".as_bytes(), b"decomposed");
        put(root, "\u{fc}".as_bytes(), b"composed");
        put(root, "\u{212b}\u{1f600}".as_bytes(), b"x");
    }),
    ("names that differ in case", &[], |root| {
        put(root, b"Makefile", b"x");
        put(root, b"makefile", b"y");
    }),
    ("the order of git", &[], |root| {
        for name in [&b"a.c"[..], b"a/x", b"a0", b"a-b", b"a/", b"b/c/d", b"b.", b"b0"] {
            if let Some(dir) = name.strip_suffix(b"/") {
                create_dir_all(root.join(OsStr::from_bytes(dir))).unwrap();
            } else {
                put(root, name, name);
            }
        }
    }),
    ("deep", &[], |root| put(root, [&b"d/".repeat(200)[..], b"f"].concat().as_slice(), b"x")),
    ("a long name", &[], |root| put(root, &[b'n'; 250], b"x")),
    ("a large file", &[], |root| {
        let mut state = 1u64;
        let mut bytes = Vec::new();
        while bytes.len() < 9 << 20 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            bytes.extend((state >> 16).to_le_bytes());
        }
        put(root, b"large", &bytes);
    }),
    ("a thousand files", &[], |root| {
        (0..1000).for_each(|n| put(root, format!("{}/{n}", n % 37).as_bytes(), n.to_string().as_bytes()));
    }),
    ("equal contents", &[], |root| {
        for name in [&b"a"[..], b"b", b"c/d"] {
            put(root, name, b"the same");
        }
        std::fs::hard_link(root.join("a"), root.join("hard")).unwrap();
    }),
    ("line ends and bytes of every kind", &[], |root| {
        put(root, b"crlf", b"a\r\nb\r\n");
        put(root, b"no-end", b"a");
        put(root, b"bytes", &(0..=255).collect::<Vec<u8>>());
        put(root, b"blob", b"blob 1\0x");
        put(root, b".gitattributes", b"* text=auto eol=lf\n*.x filter=y export-ignore\n");
        put(root, b".gitignore", b"*\n");
    }),
    // Info-ZIP gives such a file a second name without them.
    ("names with control characters", &[ZIP], |root| {
        put(root, b"a\rb", b"x");
        put(root, b"\x7f\x1b[31m", b"y");
    }),
    ("names with spaces and signs", &[], |root| {
        for name in [&b"a b"[..], b" a", b"a ", b"a\tb", b"*", b"?", b"[a]", b"$HOME", b"'\""] {
            put(root, name, name);
        }
    }),
];

/// The field that a line of `digest --git` begins with.
fn field<'a>(text: &'a str, name: &str) -> &'a str {
    text.lines().find_map(|line| line.strip_prefix(name)).unwrap()
}

#[test]
fn twenty_trees_from_nine_kinds_of_source() {
    for (name, cannot, make) in TREES {
        let scratch = tempfile::tempdir().unwrap();
        let at = |name: &str| scratch.path().join(name);
        let root = at("src");
        create_dir_all(&root).unwrap();
        make(&root);
        let want = good(&root, &["--git"]);
        let same = |path: &Path, args: &[&str]| {
            assert_eq!(good(path, &[args, &["--git"]].concat()), want, "{name}: {} {args:?}", path.display());
        };

        run("tar", scratch.path(), &["-cf", "a", "-C", "src", "."]);
        same(&at("a"), &["--tree"]);
        run("tar", scratch.path(), &["--format=pax", "-cf", "a-top", "src"]);
        same(&at("a-top"), &["--tree", "--strip", "1"]);
        // Named for what they are not: only their first bytes say it.
        for (tool, packed) in [("gzip", "b.zip"), ("xz", "c.tar"), ("zstd", "d.gz")] {
            let script = format!("{tool} -c < a > {packed}");
            run("sh", scratch.path(), &["-c", &script]);
            same(&at(packed), &["--tree"]);
        }
        if !cannot.contains(&ZIP) {
            run("zip", &root, &["-q", "-r", "-y", "../e", "."]);
            std::fs::rename(at("e.zip"), at("e.tar.gz")).unwrap();
            same(&at("e.tar.gz"), &["--tree"]);
        } else if name != "nothing" {
            run("zip", &root, &["-q", "-r", "-y", "../e", "."]);
            let (code, out, err) = digest(&at("e.zip"), &["--tree"]);
            assert!(code == 7 && out.is_empty() && err.contains("name"), "{name}: {err}");
        }

        for (format, id) in [("sha1", "gitTree:"), ("sha256", "gitTreeSha256:")] {
            let bare = at(&format!("{format}.git"));
            let object_format = format!("--object-format={format}");
            run("git", scratch.path(), &["init", "-q", "--bare", &object_format, bare.to_str().unwrap()]);
            // The directory as it is: nothing is ignored or converted by what is in it.
            write(bare.join("info/attributes"), "* -text -filter\n").unwrap();
            let git = |args: &[&str]| {
                let places = [format!("--git-dir={}", bare.display()), format!("--work-tree={}", root.display())];
                let args: Vec<&str> = places.iter().map(String::as_str).chain(args.iter().copied()).collect();
                run("git", &root, &args)
            };
            git(&["add", "-A", "-f", "."]);
            let tree = git(&["write-tree"]);
            assert_eq!(field(&want, id), tree, "{name} {format}");
            let commit = git(&["commit-tree", "-m", "x", &tree]);
            git(&["update-ref", "refs/heads/main", &commit]);
            if cannot.contains(&GIT) {
                assert_ne!(good(&bare, &["--revision", "main"]), want.lines().next().unwrap(), "{name}: {GIT}");
                continue;
            }
            assert_eq!(field(&want, "swhid:"), format!("swh:1:dir:{}", field(&want, "gitTree:")), "{name}");
            same(&bare, &["--revision", "main"]);
            same(&bare, &["--revision", &commit]);
            let bundle = at(&format!("{format}.bundle"));
            run("git", &bare, &["bundle", "create", "-q", bundle.to_str().unwrap(), "main"]);
            same(&bundle, &["--revision", "main"]);
            same(&bundle, &["--revision", &commit]);
            let checkout = at(&format!("{format}-checkout"));
            let (from, to) = (bare.to_str().unwrap(), checkout.to_str().unwrap());
            run("git", scratch.path(), &["clone", "-q", "-n", "--no-local", "-b", "main", from, to]);
            write(checkout.join(".git/info/attributes"), "* -text -filter\n").unwrap();
            run("git", &checkout, &["checkout", "-q", "main"]);
            same(&checkout, &[]);
            same(&checkout, &["--revision", "HEAD"]);
        }
    }
}

#[test]
fn what_digest_says_of_a_commit() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    put(root, b"a", b"x");
    run("git", root, &["init", "-q", "-b", "main"]);
    run("git", root, &["add", "-A"]);
    run("git", root, &["commit", "-q", "-m", "x"]);
    let id = run("git", root, &["rev-parse", "HEAD"]);
    let committed = good(root, &[]);
    put(root, b"a", b"changed");
    assert_ne!(good(root, &[]), committed);
    let (code, out, err) = digest(root, &["--revision", "main"]);
    assert!(code == 0 && out == committed && err.contains(&format!("the source is commit {id}")), "{err}");
    let json: serde_json::Value =
        serde_json::from_str(&good(root, &["--revision", "main", "--git", "--json"])).unwrap();
    assert_eq!(json["tree"]["commit"], id);
    assert_eq!(json["tree"]["gitTree"].as_str().unwrap().len(), 40);
    assert_eq!(json["tree"]["gitTreeSha256"].as_str().unwrap().len(), 64);
    let (code, _, err) = digest(&root.join(".git"), &[]);
    assert!(code == 0 && err.contains("--revision REV takes what is committed"), "{err}");
    for revision in ["nothing", "main~1", "0000000"] {
        let (code, out, err) = digest(root, &["--revision", revision]);
        assert!(code == 7 && out.is_empty() && err.contains(revision) && err.contains("hint: "), "{err}");
    }
    assert_eq!(digest(&root.join("a"), &["--revision", "main"]).0, 7, "a file");
    assert_eq!(digest(root, &["--revision", "main", "--tree", "--strip", "1"]).0, 2);
}

/// Damaged in every eighth of its length, each kind of archive ends with 7, names the file, and says nothing on standard output.
#[test]
fn damaged_archives() {
    let scratch = tempfile::tempdir().unwrap();
    let at = |name: &str| scratch.path().join(name);
    create_dir_all(at("src")).unwrap();
    (0..40).for_each(|n| put(&at("src"), format!("f{n}").as_bytes(), &[n; 3000]));
    run("tar", scratch.path(), &["-cf", "a.tar", "-C", "src", "."]);
    for script in ["gzip -k a.tar", "xz -k a.tar", "zstd -q -k a.tar", "cd src && zip -q -r -y ../a.zip ."] {
        run("sh", scratch.path(), &["-c", script]);
    }
    for kind in ["a.tar", "a.tar.gz", "a.tar.xz", "a.tar.zst", "a.zip"] {
        let whole = std::fs::read(at(kind)).unwrap();
        let refused = |what: &str, bytes: &[u8]| {
            write(at("damaged"), bytes).unwrap();
            let (code, out, err) = digest(&at("damaged"), &["--tree"]);
            assert_eq!((code, out.as_str()), (7, ""), "{kind} {what}: {err}");
            assert!(err.contains("damaged: ") || err.contains("damaged is not an archive"), "{kind} {what}: {err}");
            err
        };
        for part in 0..8 {
            refused(&format!("{part}/8"), &whole[..whole.len() * part / 8]);
        }
        refused("garbage behind", &[&whole[..], b"garbage behind the end"].concat());
        refused("itself behind", &[&whole[..], &[1; 512]].concat());
        // A byte of a check sum: of the first header, or at the end of what is packed.
        let mut flipped = whole.clone();
        let checked = match kind {
            "a.tar" => 150,
            "a.tar.gz" => whole.len() - 6,
            "a.tar.xz" => whole.len() - 10,
            "a.tar.zst" => whole.len() - 2,
            _ => 14,
        };
        flipped[checked] ^= 1;
        refused("a check sum", &flipped);
    }
    put(&at("src"), b"secret", b"x");
    run("sh", scratch.path(), &["-c", "cd src && zip -q -P password ../e.zip secret"]);
    let (code, _, err) = digest(&at("e.zip"), &["--tree"]);
    assert!(code == 7 && err.contains("e.zip: member secret: it is encrypted"), "{err}");
}
