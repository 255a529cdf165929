//! The fingerprint, read by a process of the build's id.

use super::setup::Test;
use countersign::digest;
use countersign::environment::Host;

pub const TESTS: &[Test] = &[("fingerprint_of_a_root", fingerprint_of_a_root)];

fn fingerprint_of_a_root() {
    let host = Host::new(false, &["/bin".into(), "/no/such".into()]).unwrap();
    let fingerprint = host.fingerprint().unwrap();
    assert!(fingerprint.listing().starts_with("countersign-tree v1 environment\n"));
    assert_eq!(fingerprint.digest().as_bytes(), digest::sha256(fingerprint.listing().as_bytes()).as_bytes());
    assert_eq!(fingerprint.changed().unwrap(), None);
}
