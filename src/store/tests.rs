use super::*;
use crate::digest;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::time::Duration;

fn new() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("store")).unwrap();
    (dir, store)
}

fn read(store: &Store, bytes: &[u8]) -> Option<io::Result<Vec<u8>>> {
    let mut blob = store.blob(&digest::sha256(bytes), bytes.len() as u64).unwrap()?;
    let mut out = Vec::new();
    Some(blob.read_to_end(&mut out).map(|_| out))
}

#[test]
fn a_blob_is_kept_and_checked_at_every_reading() {
    let (_dir, store) = new();
    let sha256 = digest::sha256(b"part");
    assert!(read(&store, b"part").is_none());
    store.keep_blob("here", &sha256, 4, &mut &b"part"[..]).unwrap();
    store.keep_blob("here", &sha256, 4, &mut &b"part"[..]).unwrap();
    assert_eq!(read(&store, b"part").unwrap().unwrap(), b"part");
    for (bytes, size) in [(&b"parT"[..], 4), (b"par", 4), (b"parts", 4), (b"part", 5), (b"part", 3)] {
        let err = store.keep_blob("there", &sha256, size, &mut &*bytes).unwrap_err();
        assert!(matches!(err, StoreError::Unlike { .. }) && err.to_string().starts_with("there: it"), "{err}");
    }
    assert_eq!(std::fs::read_dir(store.dir().join("tmp")).unwrap().count(), 0);
    let path = store.blob_path(&sha256);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    std::fs::write(&path, "parT").unwrap();
    assert!(read(&store, b"part").unwrap().is_err(), "written over");
    std::fs::remove_file(&path).unwrap();
    symlink("/etc/hostname", &path).unwrap();
    assert!(!matches!(read(&store, b"part"), Some(Ok(_))));
}

#[test]
fn what_is_wrong_or_old_goes_and_the_rest_stays() {
    let (dir, store) = new();
    for bytes in [&b"one"[..], b"two", b"three"] {
        store.keep_blob("here", &digest::sha256(bytes), bytes.len() as u64, &mut &*bytes).unwrap();
    }
    let old = store.blob_path(&digest::sha256(b"one"));
    let bad = store.blob_path(&digest::sha256(b"two"));
    std::fs::set_permissions(&bad, std::fs::Permissions::from_mode(0o644)).unwrap();
    std::fs::write(&bad, "TWO").unwrap();
    let making = store.temporary().unwrap();
    std::fs::create_dir(making.path().join("tree")).unwrap();
    let tree = TreeDigest::from(digest::sha256(b"a listing"));
    let (origin, other) = (digest::sha256(b"parts"), digest::sha256(b""));
    store.keep_tree(&tree, &origin, &making.path().join("tree")).unwrap();
    assert!(store.tree(&tree, &origin).is_some() && store.tree(&TreeDigest::from(other), &origin).is_none());
    assert!(store.tree(&tree, &other).is_none(), "the same tree of other parts is no answer");
    drop(making);

    let sweep = Sweep::begin(store, true).unwrap().unwrap();
    let mut told = Vec::new();
    let removed = sweep.wrong(&|_, name| name == tree.to_string(), &mut |path| told.push(path.to_owned())).unwrap();
    assert_eq!((removed, told), (Removed { count: 1, bytes: 3, kept: 3 }, vec![bad]));
    assert_eq!(sweep.wrong(&|_, _| false, &mut |_| ()).unwrap().count, 1, "a tree that is not as its name says");
    let month = Duration::from_secs(30 * 86_400);
    let now = SystemTime::now();
    assert_eq!(sweep.older_than(month, now).unwrap().count, 0);
    File::options().read(true).open(&old).unwrap().set_modified(now - month).unwrap();
    assert_eq!(sweep.older_than(month, now).unwrap(), Removed { count: 1, bytes: 3, kept: 1 });
    drop(sweep);
    let store = Store::open(&dir.path().join("store")).unwrap();
    assert!(read(&store, b"one").is_none() && read(&store, b"three").is_some());
}

#[test]
fn nothing_is_removed_while_somebody_uses_it() {
    let (dir, store) = new();
    let making = store.temporary().unwrap();
    let other = Store::open(&dir.path().join("store")).unwrap();
    assert!(making.path().is_dir(), "what another process makes is not taken from it");
    assert!(Sweep::begin(other, false).unwrap().is_none());
    let left = making.path().to_owned();
    std::mem::forget(making);
    drop(store);
    let store = Store::open(&dir.path().join("store")).unwrap();
    assert!(!left.exists(), "what a killed process left goes");
    assert!(Sweep::begin(store, false).unwrap().is_some());
}

#[test]
fn a_store_that_others_can_write_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().join("store");
    Store::open(&at).unwrap();
    for (path, mode) in [(at.clone(), 0o777), (at.join("trees"), 0o775)] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        assert!(matches!(Store::open(&at), Err(StoreError::Others(_))), "{mode:o}");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    std::fs::remove_dir(at.join("tmp")).unwrap();
    symlink("/tmp", at.join("tmp")).unwrap();
    assert!(Store::open(&at).is_err());
}
