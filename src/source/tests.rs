use super::*;
use crate::scan::Options;
use crate::tree::Tree;
use std::fs::{Permissions, create_dir, create_dir_all, metadata, set_permissions, symlink_metadata, write};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

const EPOCH: i64 = 315_532_800;

fn sample(root: &Path) {
    create_dir_all(root.join("a/b/empty")).unwrap();
    write(root.join("a/run"), "#!").unwrap();
    set_permissions(root.join("a/run"), Permissions::from_mode(0o700)).unwrap();
    write(root.join("a/b/big"), vec![7; 300_000]).unwrap();
    write(root.join("plain"), "").unwrap();
    set_permissions(root.join("plain"), Permissions::from_mode(0o600)).unwrap();
    symlink("/nowhere", root.join("a.link")).unwrap();
}

fn read(source: &Source, wanted: Wanted) -> Tree {
    source.scan(wanted, &|_, _| false, NonZeroUsize::MIN, None).unwrap().tree
}

fn tar(root: &Path) -> tempfile::NamedTempFile {
    let archive = tempfile::NamedTempFile::new().unwrap();
    let done = std::process::Command::new("tar").arg("-cf").arg(archive.path()).arg("-C").arg(root).arg(".").status();
    assert!(done.unwrap().success());
    archive
}

#[test]
fn written_as_recorded_whatever_it_came_from() {
    let from = tempfile::tempdir().unwrap();
    sample(from.path());
    std::fs::hard_link(from.path().join("a/run"), from.path().join("again")).unwrap();
    let archive = tar(from.path());
    for source in [Source::open(from.path(), 0).unwrap(), Source::open(archive.path(), 0).unwrap()] {
        let tree = read(&source, Wanted::ALL);
        let dest = tempfile::tempdir().unwrap();
        source.materialise(&tree, dest.path(), EPOCH).unwrap();
        for (name, mode) in [
            ("a", 0o755),
            ("a/b/empty", 0o755),
            ("a/run", 0o755),
            ("plain", 0o644),
            ("a/b/big", 0o644),
            ("again", 0o755),
        ] {
            assert_eq!(metadata(dest.path().join(name)).unwrap().mode() & 0o7777, mode, "{name}");
        }
        for name in ["", "a", "a/b", "a/b/empty", "a/run", "plain", "a.link", "again"] {
            let meta = symlink_metadata(dest.path().join(name)).unwrap();
            assert_eq!((meta.mtime(), meta.mtime_nsec(), meta.atime()), (EPOCH, 0, EPOCH), "{name}");
        }
        // After the times, since reading moves some of them.
        let written = Source::open(dest.path(), 0).unwrap();
        assert_eq!(read(&written, Wanted::ALL), tree);
        assert!(source.materialise(&tree, dest.path(), EPOCH).is_err(), "only into a fresh directory");
    }
}

#[test]
fn what_changed_between_reading_and_writing_is_refused() {
    type Change = fn(&Path);
    let changes: [Change; 6] = [
        |root| write(root.join("a/run"), "!#").unwrap(),
        |root| write(root.join("plain"), "longer").unwrap(),
        |root| std::fs::remove_file(root.join("plain")).unwrap(),
        |root| set_permissions(root.join("plain"), Permissions::from_mode(0o755)).unwrap(),
        |root| {
            std::fs::rename(root.join("plain"), root.join("kept")).unwrap();
            symlink("kept", root.join("plain")).unwrap();
        },
        |root| {
            std::fs::rename(root.join("a"), root.join("kept")).unwrap();
            symlink("kept", root.join("a")).unwrap();
        },
    ];
    for change in changes {
        let from = tempfile::tempdir().unwrap();
        sample(from.path());
        let source = Source::open(from.path(), 0).unwrap();
        let tree = read(&source, Wanted::default());
        change(from.path());
        let dest = tempfile::tempdir().unwrap();
        let err = source.materialise(&tree, dest.path(), EPOCH).unwrap_err();
        assert!(matches!(err, SourceError::Changed { .. }), "{err}");
    }
    let from = tempfile::tempdir().unwrap();
    sample(from.path());
    let archive = tar(from.path());
    let source = Source::open(archive.path(), 0).unwrap();
    let tree = read(&source, Wanted::default());
    for change in [
        |root: &Path| write(root.join("a/run"), "!#").unwrap(),
        |root: &Path| {
            write(root.join("a/run"), "#!").unwrap();
            std::fs::remove_file(root.join("plain")).unwrap();
        },
    ] {
        change(from.path());
        std::fs::copy(tar(from.path()).path(), archive.path()).unwrap();
        let dest = tempfile::tempdir().unwrap();
        let err = source.materialise(&tree, dest.path(), EPOCH).unwrap_err();
        assert!(matches!(err, SourceError::Changed { .. }), "{err}");
    }
}

#[test]
fn an_archive_that_was_replaced_is_seen() {
    let from = tempfile::tempdir().unwrap();
    sample(from.path());
    let archive = tar(from.path());
    let source = Source::open(archive.path(), 0).unwrap();
    let scanned = source.scan(Wanted::default(), &|_, _| false, NonZeroUsize::MIN, None).unwrap();
    assert_eq!(scanned.changed().unwrap(), None);
    std::fs::rename(tar(from.path()).path(), archive.path()).unwrap();
    assert_eq!(scanned.changed().unwrap(), Some(archive.path().to_owned()));
}

#[test]
fn outputs_keep_every_bit() {
    let from = tempfile::tempdir().unwrap();
    sample(from.path());
    set_permissions(from.path().join("a/run"), Permissions::from_mode(0o4751)).unwrap();
    set_permissions(from.path().join("a/b"), Permissions::from_mode(0o2570)).unwrap();
    let options = Options { wanted: Wanted::SUBJECT, ..Options::new(TreeKind::Output) };
    let tree = scan::tree(from.path(), &options).unwrap().tree;
    let scratch = tempfile::tempdir().unwrap();
    let to = scratch.path().join("out");
    export(from.path(), &tree, &to, Special::Keep).unwrap();
    assert_eq!(scan::tree(&to, &options).unwrap().tree, tree);
    let mode = |path: &Path| metadata(path).unwrap().mode() & 0o7777;
    assert_eq!((mode(&to.join("a/run")), mode(&to)), (0o4751, 0o700), "kept where nobody else can start it");
    let stripped = scratch.path().join("stripped");
    export(from.path(), &tree, &stripped, Special::Strip).unwrap();
    assert_eq!((mode(&stripped.join("a/run")), mode(&stripped)), (0o751, 0o755));
    // Without such a file there is nothing to close.
    let entries = tree.entries().iter().filter(|entry| entry.path.as_bytes() != b"a/run").cloned().collect();
    let harmless = Tree::new(TreeKind::Output, entries).unwrap();
    let open = scratch.path().join("open");
    export(from.path(), &harmless, &open, Special::Keep).unwrap();
    assert_eq!(mode(&open), 0o755);
    assert!(export(from.path(), &tree, &to, Special::Keep).is_err(), "never into what is there");
    write(from.path().join("plain"), "other").unwrap();
    let second = scratch.path().join("second");
    assert!(matches!(export(from.path(), &tree, &second, Special::Keep), Err(SourceError::Changed { .. })));
    assert!(!second.exists(), "nothing half-written is left");
}

#[test]
fn progress_is_told_of_both_forms() {
    let from = tempfile::tempdir().unwrap();
    sample(from.path());
    let archive = tar(from.path());
    for path in [from.path(), archive.path()] {
        let most = std::sync::Mutex::new((0, 0));
        let told = |files: u64, bytes: u64| *most.lock().unwrap() = (files, bytes);
        Source::open(path, 0).unwrap().scan(Wanted::default(), &|_, _| false, NonZeroUsize::MIN, Some(&told)).unwrap();
        let (files, bytes) = *most.lock().unwrap();
        assert!(files > 0 && bytes == 300_002, "{files} {bytes}");
    }
}

#[test]
fn strip_is_for_archives() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(Source::open(dir.path(), 1), Err(SourceError::Strip(_))));
    assert!(Source::open(&dir.path().join("gone"), 0).is_err());
}

#[test]
fn removed_whatever_is_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let top = dir.path().join("top");
    let outside = dir.path().join("outside");
    create_dir(&outside).unwrap();
    write(outside.join("kept"), "x").unwrap();
    create_dir_all(top.join("a/b/c")).unwrap();
    write(top.join("a/b/f"), "x").unwrap();
    symlink(&outside, top.join("a/b/link")).unwrap();
    create_dir(top.join("1.removed")).unwrap();
    write(top.join("1.removed/f"), "x").unwrap();
    for (name, mode) in [("a/b/c", 0), ("a/b", 0o500), ("a", 0o100), ("", 0o500)] {
        set_permissions(top.join(name), Permissions::from_mode(mode)).unwrap();
    }
    remove_tree(&top).unwrap();
    assert!(!top.exists());
    assert!(outside.join("kept").exists());
    symlink(&outside, &top).unwrap();
    assert!(remove_tree(&top).is_err(), "a link is not followed");
}
