use super::*;
use crate::digest::Wanted;
use crate::source::Source;
use crate::tree::Tree;
use std::num::NonZeroUsize;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::process::Command;

pub(super) fn git(dir: &Path, args: &[&str]) -> String {
    let out = Command::new("git")
        .args(["-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "commit.gpgsign=false"])
        .args(["-c", "protocol.file.allow=always"])
        .args(args)
        .current_dir(dir)
        .env("GIT_COMMITTER_DATE", "1700000001 +0900")
        .env("GIT_AUTHOR_DATE", "1600000000 +0000")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .output()
        .unwrap();
    assert!(out.status.success(), "{args:?}: {out:?}");
    String::from_utf8(out.stdout).unwrap().trim().to_owned()
}

/// A checkout with one commit.
pub(super) fn checkout(format: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    git(dir.path(), &["init", "-q", "-b", "main", &format!("--object-format={format}")]);
    std::fs::create_dir_all(at("a/b")).unwrap();
    for (name, text) in [("a.c", "1"), ("a/x", "2"), ("a/b/y", "3"), ("a0", "4"), ("run", "5"), ("empty", "")] {
        std::fs::write(at(name), text).unwrap();
    }
    std::fs::write(at("big"), "one line of many\n".repeat(100_000)).unwrap();
    std::fs::set_permissions(at("run"), std::fs::Permissions::from_mode(0o755)).unwrap();
    symlink("a/x", at("link")).unwrap();
    git(dir.path(), &["add", "-A"]);
    git(dir.path(), &["commit", "-q", "-m", "x"]);
    dir
}

fn not_git(path: &TreePath, _: bool) -> bool {
    path.as_bytes() == b".git"
}

pub(super) fn read(source: &Source) -> Tree {
    source.scan(Wanted::GIT, &not_git, NonZeroUsize::MIN, None).unwrap().tree
}

pub(super) fn of_commit(path: &Path, revision: &str) -> Tree {
    read(&Source::commit(path, revision).unwrap())
}

fn refusal(path: &Path, revision: &str) -> String {
    let source = match Source::commit(path, revision) {
        Ok(source) => source,
        Err(err) => return err.to_string(),
    };
    source.scan(Wanted::GIT, &not_git, NonZeroUsize::MIN, None).expect_err("refused").to_string()
}

#[test]
fn one_commit_however_it_is_stored_and_named() {
    for format in ["sha1", "sha256"] {
        let dir = checkout(format);
        let root = dir.path();
        let want = read(&Source::open(root, 0).unwrap());
        let id = git(root, &["rev-parse", "HEAD"]);
        git(root, &["tag", "light"]);
        git(root, &["tag", "-a", "-m", "t", "v1"]);
        git(root, &["tag", "-a", "-m", "t", "v1-again", "v1"]);
        git(root, &["branch", "topic/one"]);
        // Not what is checked out.
        std::fs::write(root.join("a0"), "other").unwrap();
        let names = ["HEAD", "main", "refs/heads/main", "light", "v1", "v1-again", "topic/one", &id, &id[..9]];
        let check = |at: &Path| {
            for name in names {
                assert_eq!(of_commit(at, name), want, "{format} {name}");
            }
        };
        check(root);
        check(&root.join(".git"));
        git(root, &["gc", "-q", "--aggressive"]);
        check(root);
        let bare = tempfile::tempdir().unwrap();
        git(root, &["clone", "-q", "--bare", "--no-local", ".", bare.path().join("r.git").to_str().unwrap()]);
        let bare = bare.path().join("r.git");
        check(&bare);
        let commit = Commit::find(&bare, "v1").unwrap();
        assert_eq!((commit.id(), commit.time().unwrap()), (id.clone(), 1_700_000_001));
        assert_eq!(commit.is_sha256(), format == "sha256");
        let at = |name: &str| TreePath::from_bytes(name.as_bytes()).unwrap();
        assert_eq!(commit.file(&at("a/b/y")).unwrap().as_deref(), Some(&b"3"[..]));
        for none in ["a/b", "a", "link", "nothing", "a/b/y/z"] {
            assert_eq!(commit.file(&at(none)).unwrap(), None, "{none}");
        }
        // Written out as it was read.
        let source = Source::commit(&bare, "v1").unwrap();
        let dest = tempfile::tempdir().unwrap();
        source.materialise(&want, dest.path(), 1).unwrap();
        assert_eq!(read(&Source::open(dest.path(), 0).unwrap()), want);
        for none in ["nothing", "v2", "../HEAD", "", "main~1", &"0".repeat(id.len()), "0000000", "config"] {
            let said = refusal(&bare, none);
            assert!(said.contains("revision"), "{none:?}: {said}");
        }
        let tree = git(&bare, &["rev-parse", "main^{tree}"]);
        assert!(refusal(&bare, &tree).contains("it is a tree, not a commit"));
    }
}

#[test]
fn what_is_excluded_is_not_entered() {
    let dir = checkout("sha1");
    let source = Source::commit(dir.path(), "HEAD").unwrap();
    let exclude = |path: &TreePath, _: bool| matches!(path.as_bytes(), b"a/b" | b"big" | b"link");
    let here = Source::open(dir.path(), 0).unwrap();
    let want = here.scan(Wanted::GIT, &|p, d| exclude(p, d) || not_git(p, d), NonZeroUsize::MIN, None).unwrap();
    let scanned = source.scan(Wanted::GIT, &exclude, NonZeroUsize::MIN, None).unwrap();
    assert_eq!(scanned.tree, want.tree);
    assert_eq!(scanned.excluded.len(), 3);
}

/// Writes over a loose object.
fn overwrite(root: &Path, id: &str, bytes: &[u8]) {
    let path = root.join(".git/objects").join(&id[..2]).join(&id[2..]);
    std::fs::remove_file(&path).unwrap();
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn an_object_must_be_what_its_id_says() {
    for what in ["HEAD", "HEAD^{tree}", "HEAD:a", "HEAD:a0", "HEAD:link"] {
        let dir = checkout("sha1");
        let root = dir.path();
        let id = git(root, &["rev-parse", what]);
        // Another object of the same kind, whole in itself, under this one's name.
        let other = match what {
            "HEAD" => git(root, &["commit-tree", "-m", "other", "HEAD^{tree}"]),
            "HEAD^{tree}" => git(root, &["rev-parse", "HEAD:a"]),
            "HEAD:a" => git(root, &["rev-parse", "HEAD:a/b"]),
            _ => git(root, &["rev-parse", "HEAD:a.c"]),
        };
        let bytes = std::fs::read(root.join(".git/objects").join(&other[..2]).join(&other[2..])).unwrap();
        overwrite(root, &id, &bytes);
        let said = refusal(root, "HEAD");
        assert!(said.contains("is damaged: it hashes to"), "{what}: {said}");
        overwrite(root, &id, &bytes[..bytes.len() / 2]);
        assert!(refusal(root, "HEAD").contains(&id), "{what}, cut off");
        std::fs::remove_file(root.join(".git/objects").join(&id[..2]).join(&id[2..])).unwrap();
        assert!(refusal(root, "HEAD").contains(&id), "{what}, missing");
    }
}

/// Found by fuzzing: two gigabytes of memory for a kilobyte of repository.
#[test]
fn an_object_that_says_it_is_larger_than_it_can_be() {
    let dir = checkout("sha1");
    let root = dir.path();
    let id = git(root, &["rev-parse", "HEAD:a0"]);
    // As zlib has what is not packed: two bytes, the mark of the last block, its length twice; and Adler's sum behind it.
    let stored = |text: &[u8]| {
        let length = text.len() as u16;
        let (a, b) = text.iter().fold((1, 0), |(a, b), byte| (a + u32::from(*byte), b + a + u32::from(*byte)));
        let sum = ((b % 65_521) << 16) | (a % 65_521);
        [&b"\x78\x01\x01"[..], &length.to_le_bytes(), &(!length).to_le_bytes(), text, &sum.to_be_bytes()].concat()
    };
    for (size, why) in
        [(1900u64 << 20, "too much for what it is"), ((128 << 20) + 1, "too much for what it is"), (1, "")]
    {
        overwrite(root, &id, &stored(format!("blob {size}\0x").as_bytes()));
        let said = refusal(root, "HEAD");
        assert!(said.contains(&id) && said.contains(why) && said.contains("too much") != why.is_empty(), "{said}");
    }
    // Nothing packs better than zeros do.
    let dir = checkout("sha1");
    let root = dir.path();
    std::fs::File::create(root.join("zeros")).unwrap().set_len(144 << 20).unwrap();
    git(root, &["-c", "core.compression=9", "add", "zeros"]);
    git(root, &["commit", "-q", "-m", "zeros"]);
    let stored = git(root, &["cat-file", "--batch-check=%(objectsize:disk)", "--batch-all-objects"]);
    assert!(stored.lines().all(|size| size.parse::<u64>().unwrap() < 160 << 10), "{stored}");
    assert_eq!(of_commit(root, "HEAD"), read(&Source::open(root, 0).unwrap()));
}

#[test]
fn a_damaged_pack() {
    let dir = checkout("sha1");
    let root = dir.path();
    git(root, &["gc", "-q"]);
    let want = of_commit(root, "HEAD");
    let packs = root.join(".git/objects/pack");
    let mut pack = std::fs::read_dir(packs).unwrap().map(|item| item.unwrap().path());
    let pack = pack.find(|path| path.extension().is_some_and(|end| end == "pack")).unwrap();
    let whole = std::fs::read(&pack).unwrap();
    std::fs::set_permissions(&pack, std::fs::Permissions::from_mode(0o644)).unwrap();
    let mut refused = 0;
    for at in (12..whole.len()).step_by(7) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x40;
        std::fs::write(&pack, &bytes).unwrap();
        let source = Source::commit(root, "HEAD");
        match source.and_then(|source| source.scan(Wanted::GIT, &not_git, NonZeroUsize::MIN, None)) {
            Ok(scanned) => assert_eq!(scanned.tree, want, "{at}"),
            Err(_) => refused += 1,
        }
    }
    assert!(refused > 10, "{refused}");
}

#[test]
fn nothing_outside_of_the_repository_is_read() {
    let lender = checkout("sha1");
    let borrower = tempfile::tempdir().unwrap();
    let at = borrower.path().join("b");
    let said = |at: &Path| refusal(at, "HEAD");
    git(lender.path(), &["clone", "-q", "--shared", ".", at.to_str().unwrap()]);
    assert!(said(&at).contains("borrows objects"), "{}", said(&at));
    // A checkout that shares its objects with others is one's own: its time can be told, but it is no source by itself.
    let tree = borrower.path().join("worktree");
    git(lender.path(), &["worktree", "add", "-q", "--detach", tree.to_str().unwrap()]);
    assert_eq!(committer_time(&tree).unwrap(), 1_700_000_001);
    assert!(said(&tree).contains(".git is not a directory"), "{}", said(&tree));
    let inner = lender.path().join(".git/worktrees/worktree");
    assert!(said(&inner).contains("commondir"), "{}", said(&inner));

    let mut odd = 0;
    for change in [
        |git: &Path| symlink("/etc/passwd", git.join("objects/pack/pack-1.idx")).unwrap(),
        |git: &Path| {
            std::fs::rename(git.join("objects"), git.join("kept")).unwrap();
            symlink("kept", git.join("objects")).unwrap();
        },
        |git: &Path| assert!(Command::new("mkfifo").arg(git.join("refs/heads/f")).status().unwrap().success()),
        |git: &Path| {
            std::fs::remove_file(git.join("config")).unwrap();
            assert!(Command::new("mkfifo").arg(git.join("config")).status().unwrap().success());
        },
        |git: &Path| {
            std::fs::remove_file(git.join("HEAD")).unwrap();
            symlink("refs/heads/main", git.join("HEAD")).unwrap();
        },
    ] {
        let dir = checkout("sha1");
        change(&dir.path().join(".git"));
        let said = said(dir.path());
        assert!(said.contains("is a link or device"), "{said}");
        odd += 1;
    }
    assert_eq!(odd, 5);
    // What its configuration asks for is not done: no include is read, no replaced object taken.
    let dir = checkout("sha1");
    let root = dir.path();
    let want = of_commit(root, "HEAD");
    let fifo = root.join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    git(root, &["config", "include.path", fifo.to_str().unwrap()]);
    let config = root.join(".git/config");
    let text = std::fs::read_to_string(&config).unwrap();
    assert!(text.contains("include"), "{text}");
    assert_eq!(of_commit(root, "HEAD"), want);
    std::fs::write(&config, text.split("[include]").next().unwrap()).unwrap();
    let (this, other) = (git(root, &["rev-parse", "HEAD:a0"]), git(root, &["rev-parse", "HEAD:a.c"]));
    git(root, &["replace", &this, &other]);
    assert_eq!(of_commit(root, "HEAD"), want);
}

#[test]
fn trees_that_are_no_source() {
    let dir = checkout("sha1");
    let root = dir.path();
    let (blob, empty) =
        (git(root, &["rev-parse", "HEAD:a0"]), git(root, &["hash-object", "-w", "-t", "tree", "/dev/null"]));
    let make = |lines: &str| {
        // With --missing a submodule's commit need not be there.
        let mut child = Command::new("git")
            .args(["mktree", "--missing"])
            .current_dir(root)
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), lines.as_bytes()).unwrap();
        let out = child.wait_with_output().unwrap();
        let tree = String::from_utf8(out.stdout).unwrap().trim().to_owned();
        git(root, &["commit-tree", "-m", "odd", &tree])
    };
    let submodule = make(&format!("100644 blob {blob}\ta\n160000 commit {}\tsub\n", "1".repeat(40)));
    let said = refusal(root, &submodule);
    assert!(said.contains("sub: it is a submodule"), "{said}");
    let said = refusal(root, &make(&format!("040000 tree {empty}\te\n")));
    assert!(said.contains("e: it is an empty directory"), "{said}");
    for name in ["..", "."] {
        // git refuses to make such a tree by itself.
        let raw = [format!("100644 {name}\0").as_bytes(), &hex(&blob)].concat();
        std::fs::write(root.join("raw"), raw).unwrap();
        let tree = git(root, &["hash-object", "--literally", "-w", "-t", "tree", "raw"]);
        let commit = git(root, &["commit-tree", "-m", "odd", &tree]);
        assert!(refusal(root, &commit).contains("`.` or `..`"), "{name}");
    }
    let raw = [b"100644 a\0".as_slice(), &hex(&blob), b"100644 a\0", &hex(&blob)].concat();
    std::fs::write(root.join("raw"), raw).unwrap();
    let tree = git(root, &["hash-object", "--literally", "-w", "-t", "tree", "raw"]);
    let commit = git(root, &["commit-tree", "-m", "odd", &tree]);
    assert!(refusal(root, &commit).contains("a is there twice"));
    // Nor is a checkout clean that is one of the two.
    git(root, &["update-ref", "HEAD", &commit]);
    let tree = read(&Source::open(root, 0).unwrap());
    assert!(
        Commit::head(root).unwrap().differs(&tree, &not_git).unwrap_err().to_string().contains("a: it is there twice")
    );
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn a_checkout_that_would_be_waited_for() {
    let dir = checkout("sha1");
    let root = dir.path();
    let clean = || Commit::head(root).map(|head| head.id()).map_err(|err| err.to_string());
    let id = clean().unwrap();
    let fifo = |at: &Path| assert!(std::process::Command::new("mkfifo").arg(at).status().unwrap().success());
    for name in [
        "config.worktree",
        "packed-refs",
        "shallow",
        "objects/info/alternates",
        "objects/pack/pack-1.idx",
        "refs/heads/x",
    ] {
        let at = root.join(".git").join(name);
        fifo(&at);
        assert!(clean().unwrap_err().ends_with(&format!("{name} is a link or device")), "{name}");
        std::fs::remove_file(&at).unwrap();
        symlink("/dev/zero", &at).unwrap();
        assert!(clean().unwrap_err().ends_with("is a link or device"), "{name}");
        std::fs::remove_file(&at).unwrap();
    }
    assert_eq!(clean().unwrap(), id);
    // What it borrows is looked at as well; and a second worktree, which has its parts in the first, is one's own.
    let borrowed = tempfile::tempdir().unwrap();
    git(borrowed.path(), &["clone", "-q", "--shared", &root.display().to_string(), "it"]);
    git(root, &["worktree", "add", "-q", &borrowed.path().join("second").display().to_string()]);
    let others = || ["it", "second"].map(|name| Commit::head(&borrowed.path().join(name)).map(|head| head.id()).ok());
    assert_eq!(others(), [Some(id.clone()), Some(id)]);
    fifo(&root.join(".git/objects/pack/pack-2.idx"));
    assert_eq!(others(), [None, None]);
    std::fs::remove_file(root.join(".git/objects/pack/pack-2.idx")).unwrap();
    // A quoted name, which is another to gix; a repository without `.git` around it.
    let alternates = borrowed.path().join("it/.git/objects/info/alternates");
    let plain = std::fs::read_to_string(&alternates).unwrap();
    std::fs::write(&alternates, format!("\"{}\"\n", plain.trim_end())).unwrap();
    assert!(Commit::head(&borrowed.path().join("it")).unwrap_err().to_string().ends_with("a name that is not plain"));
    let bare = borrowed.path().join("bare.git");
    git(borrowed.path(), &["clone", "-q", "--bare", &root.display().to_string(), "bare.git"]);
    assert!(Commit::head(&bare).is_ok());
    std::fs::remove_file(bare.join("HEAD")).unwrap();
    fifo(&bare.join("HEAD"));
    assert!(Commit::head(&bare).unwrap_err().to_string().ends_with("HEAD is a link or device"));
    std::fs::write(borrowed.path().join("second/.git"), "x").unwrap();
    let err = Commit::head(&borrowed.path().join("second")).unwrap_err().to_string();
    assert!(err.ends_with(".git leads nowhere"), "{err}");
}

#[test]
fn a_revision_is_found_among_the_references() {
    let dir = checkout("sha1");
    let root = dir.path();
    git(root, &["tag", "v1"]);
    git(root, &["update-ref", "refs/remotes/origin/far", "HEAD"]);
    let id = git(root, &["rev-parse", "HEAD"]);
    std::fs::write(root.join(".git/FETCH_HEAD"), format!("{id}\n")).unwrap();
    std::fs::write(root.join(".git/ORIG_HEAD"), format!("{id}\n")).unwrap();
    for revision in ["HEAD", "main", "v1", "heads/main", "refs/tags/v1", "origin/far", &id[..8]] {
        assert_eq!(Commit::find(root, revision).unwrap().id(), id, "{revision}");
    }
    for revision in ["FETCH_HEAD", "ORIG_HEAD", "v2", "refs/v1", ""] {
        assert!(Commit::find(root, revision).is_err(), "{revision}");
    }
}

#[test]
fn a_checkout_is_clean_when_it_is_its_commit() {
    for format in ["sha1", "sha256"] {
        let dir = checkout(format);
        let root = dir.path();
        let at = |name: &str| root.join(name);
        let said = || {
            let tree = read(&Source::open(root, 0).unwrap());
            let differs = Commit::head(root).unwrap().differs(&tree, &not_git).unwrap();
            differs.into_iter().map(|(path, what)| (path.escaped(), what)).collect::<Vec<_>>()
        };
        let one = |path: &str, what: Differs| assert_eq!(said(), [(path.to_owned(), what)], "{format}");
        assert_eq!(said(), [], "{format}");
        std::fs::write(at("a0"), "other").unwrap();
        one("a0", Differs::Content);
        git(root, &["add", "a0"]);
        one("a0", Differs::Content);
        git(root, &["update-index", "--assume-unchanged", "a0"]);
        one("a0", Differs::Content);
        git(root, &["update-index", "--no-assume-unchanged", "a0"]);
        git(root, &["reset", "-q", "--hard"]);
        std::fs::set_permissions(at("a0"), std::fs::Permissions::from_mode(0o755)).unwrap();
        one("a0", Differs::Mode);
        git(root, &["reset", "-q", "--hard"]);
        std::fs::write(at(".git/info/exclude"), "*.o\n").unwrap();
        std::fs::write(at("x.o"), "ignored").unwrap();
        assert_eq!(git(root, &["status", "--porcelain"]), "");
        one("x.o", Differs::Uncommitted);
        std::fs::remove_file(at("x.o")).unwrap();
        std::fs::create_dir(at("hollow")).unwrap();
        one("hollow", Differs::EmptyDirectory);
        std::fs::remove_dir(at("hollow")).unwrap();
        std::fs::remove_file(at("link")).unwrap();
        one("link", Differs::Missing);
        std::fs::write(at("link"), "a/x").unwrap();
        one("link", Differs::Content);
        git(root, &["reset", "-q", "--hard"]);
        std::fs::remove_dir_all(at("a")).unwrap();
        std::fs::write(at("a"), "in its place").unwrap();
        let want = [("a", Differs::Uncommitted), ("a/b/y", Differs::Missing), ("a/x", Differs::Missing)];
        assert_eq!(said(), want.map(|(path, what)| (path.to_owned(), what)), "{format}");
        std::fs::remove_file(at("a")).unwrap();
        git(root, &["reset", "-q", "--hard"]);
        assert_eq!(said(), []);
        let other = checkout(format);
        git(root, &["submodule", "--quiet", "add", other.path().to_str().unwrap(), "sub"]);
        git(root, &["commit", "-q", "-m", "with a submodule"]);
        one("sub", Differs::Submodule);
    }
}

#[test]
fn no_commit_and_no_repository() {
    let dir = tempfile::tempdir().unwrap();
    assert!(committer_time(dir.path()).is_err());
    assert!(!is_checkout(dir.path()) && !is_repository(dir.path()));
    git(dir.path(), &["init", "-q"]);
    assert!(is_checkout(dir.path()) && is_repository(&dir.path().join(".git")));
    let said = committer_time(dir.path()).unwrap_err().to_string();
    assert!(said.contains("HEAD"), "{said}");
    git(dir.path(), &["commit", "-q", "--allow-empty", "-m", "x"]);
    assert_eq!(committer_time(dir.path()).unwrap(), 1_700_000_001);
    assert_eq!(of_commit(dir.path(), "HEAD").entries().len(), 0);
}
