use crate::scan::tests::host_environment;
use crate::scan::{Options, Scanned};
use crate::tree::TreeKind;
use std::fs::{create_dir_all, write};
use std::os::unix::fs::{PermissionsExt, symlink};

fn paths(scanned: &Scanned) -> Vec<String> {
    scanned.tree.entries().iter().map(|e| e.path.escaped()).collect()
}

#[test]
fn a_second_look_at_each_kind_of_change() {
    let top = tempfile::tempdir().unwrap();
    let top = top.path().canonicalize().unwrap();
    // A root is reached by a link on the way to it; below it nothing is.
    let real = top.join("real");
    create_dir_all(real.join("root/d/e/f/g/h/i")).unwrap();
    symlink("real", top.join("way")).unwrap();
    for name in ["a", "d/b", "d/e/f/g/h/i/deep", "d/z", "d.x"] {
        write(real.join("root").join(name), name).unwrap();
    }
    symlink("a", real.join("root/l")).unwrap();
    let options = Options { threads: std::num::NonZeroUsize::new(2).unwrap(), ..Options::new(TreeKind::Environment) };
    for root in [top.join("way/root"), real.join("root")] {
        let at = |name: &str| root.join(name);
        let look = || host_environment(&[root.clone(), at("d")], &options).unwrap();
        let seen = |name: &str, change: &dyn Fn()| {
            let scanned = look();
            assert_eq!(scanned.changed().unwrap(), None);
            change();
            assert_eq!(scanned.changed().unwrap(), Some(at(name)), "{}", root.display());
            assert_eq!(look().changed().unwrap(), None);
        };
        seen("d/e/f/g/h/i/deep", &|| write(at("d/e/f/g/h/i/deep"), "other").unwrap());
        seen("d/e/f/new", &|| write(at("d/e/f/new"), "").unwrap());
        seen("d/e/f/new", &|| std::fs::remove_file(at("d/e/f/new")).unwrap());
        seen("d/y", &|| std::fs::rename(at("d/z"), at("d/y")).unwrap());
        seen("d/z", &|| std::fs::rename(at("d/y"), at("d/z")).unwrap());
        seen("l", &|| {
            std::fs::remove_file(at("l")).unwrap();
            symlink("d.x", at("l")).unwrap();
        });
        seen("d/e", &|| {
            let mode = if at("d/e").metadata().unwrap().permissions().mode() & 0o777 == 0o711 { 0o755 } else { 0o711 };
            std::fs::set_permissions(at("d/e"), PermissionsExt::from_mode(mode)).unwrap();
        });
        // The same files by way of a link.
        seen("d/e", &|| {
            std::fs::rename(at("d/e"), top.join("moved")).unwrap();
            symlink(top.join("moved"), at("d/e")).unwrap();
        });
        seen("d/e", &|| {
            std::fs::remove_file(at("d/e")).unwrap();
            std::fs::rename(top.join("moved"), at("d/e")).unwrap();
        });
        // All as it was, and for a while something else: what read it then read what is not in the listing.
        let later = || std::thread::sleep(std::time::Duration::from_millis(20));
        seen("d", &|| {
            later();
            std::fs::rename(at("d/e"), top.join("moved")).unwrap();
            create_dir_all(at("d/e/f")).unwrap();
            std::fs::remove_dir_all(at("d/e")).unwrap();
            std::fs::rename(top.join("moved"), at("d/e")).unwrap();
        });
        seen("d/e/f", &|| {
            later();
            write(at("d/e/f/new"), "").unwrap();
            std::fs::remove_file(at("d/e/f/new")).unwrap();
        });
    }
}

#[test]
fn roots_that_do_not_follow_one_another() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().canonicalize().unwrap();
    create_dir_all(dir.join("a")).unwrap();
    for name in ["a/x", "a-b", "a.c"] {
        write(dir.join(name), name).unwrap();
    }
    let roots = ["a", "a-b", "a.c"].map(|name| dir.join(name));
    let scanned = host_environment(&roots, &Options::new(TreeKind::Environment)).unwrap();
    let top = dir.to_str().unwrap().trim_start_matches('/').to_owned();
    assert_eq!(paths(&scanned), ["a", "a-b", "a.c", "a/x"].map(|name| format!("{top}/{name}")));
    assert_eq!(scanned.changed().unwrap(), None);
    // In the order of the listing: the first of those that changed.
    for name in ["a/x", "a.c", "a-b"] {
        write(dir.join(name), "other").unwrap();
        assert_eq!(scanned.changed().unwrap(), Some(dir.join(name)));
    }
}
