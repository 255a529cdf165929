//! The fingerprint, read by a process of the build's id.

use super::setup::{Test, uid};
use countersign::digest;
use countersign::environment::{FingerprintError, Host};
use std::num::NonZeroUsize;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

pub const TESTS: &[Test] = &[
    ("fingerprint_of_what_the_build_can_read", fingerprint_of_what_the_build_can_read),
    ("fingerprint_of_links_and_absent_roots", fingerprint_of_links_and_absent_roots),
    ("fingerprint_of_a_compiler", fingerprint_of_a_compiler),
];

const ONE: NonZeroUsize = NonZeroUsize::MIN;

fn fingerprint_of_links_and_absent_roots() {
    let host = Host::new(false, &["/bin".into(), "/no/such".into()]).unwrap();
    let mut fingerprint = host.fingerprint(ONE, &mut |_, _| {}).unwrap();
    assert!(fingerprint.listing().starts_with("countersign-tree v1 environment\n"));
    assert_eq!(fingerprint.digest().as_bytes(), digest::sha256(fingerprint.listing().as_bytes()).as_bytes());
    assert_eq!(fingerprint.changed().unwrap(), None);
}

/// A directory for a root: roots below `/tmp` are refused, so this is for those who may write elsewhere.
fn root() -> Option<tempfile::TempDir> {
    let made = ["/var/lib", "/opt", "/var/cache"].into_iter().find_map(|dir| tempfile::tempdir_in(dir).ok());
    assert!(made.is_some() || uid() != 0);
    made.inspect(|dir| std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap())
}

fn fingerprint_of_what_the_build_can_read() {
    let Some(dir) = root() else { return };
    let file = |name: &str, mode| {
        std::fs::write(dir.path().join(name), name).unwrap();
        std::fs::set_permissions(dir.path().join(name), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    file("open", 0o644);
    file("secret", 0o600);
    let host = Host::new(false, &[dir.path().to_owned()]).unwrap();
    let mut fingerprint = host.fingerprint(ONE, &mut |_, _| {}).unwrap();
    let line =
        |name: &str| fingerprint.listing().lines().find(|line| line.ends_with(name)).unwrap_or_default().to_owned();
    assert!(line("/open").starts_with(&format!("100644 4 {} ", digest::sha256(b"open"))), "{}", line("/open"));
    assert!(line("/secret").starts_with("100600 0 - "), "root sees no more than the build does: {}", line("/secret"));
    assert_eq!(fingerprint.changed().unwrap(), None);
    file("open", 0o640);
    let changed = fingerprint.changed().unwrap();
    assert_eq!(changed, Some(dir.path().join("open")));
}

fn fingerprint_of_a_compiler() {
    let host = Host::new(false, &[PathBuf::from("/usr/lib/gcc")]).unwrap();
    let four = NonZeroUsize::new(4).unwrap();
    let (one, more) = (host.fingerprint(ONE, &mut |_, _| {}), host.fingerprint(four, &mut |_, _| {}));
    let (one, more): (Result<_, FingerprintError>, _) = (one, more);
    assert_eq!(one.unwrap().digest(), more.unwrap().digest());
}
