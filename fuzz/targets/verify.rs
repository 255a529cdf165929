//! Verifying from the signatures on: payloads, each with the letter of who signs it (`v` the vendor, `r` the rebuilder, else somebody unknown)
//! and parted by NUL, signed truly and put into a bundle. Whatever they say, there is one answer and eleven steps; and a yes needs a vendor.
#![no_main]

use countersign::digest::{Wanted, content};
use countersign::keys::SigningKey;
use countersign::verify::{Answer, Expected, FileUnderTest, Question, verify};
use std::sync::LazyLock;

static KEYS: LazyLock<[SigningKey; 3]> = LazyLock::new(|| std::array::from_fn(|_| SigningKey::generate().unwrap()));
// The builder ids are those of the vectors, since the keys are new each time.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let [vendor, rebuilder, _] = KEYS.each_ref().map(SigningKey::public);
    format!(
        "[[signer]]\nname = \"v\"\nroles = [\"vendor\"]\nkey = \"{vendor}\"\n\
         builders = [\"urn:countersign:builder:SHA256:/9VZi1be20JBV3b0pYtJ8lv20vdjcNCMJtiELVIRglo\"]\n\
         [[signer]]\nname = \"r\"\nroles = [\"rebuilder\"]\nkey = \"{rebuilder}\"\n\
         builders = [\"urn:countersign:builder:SHA256:iiiVPinSlWc5IcrrCpwIofi9i3TCcRrJ0Mr/akZQeLI\"]\n\
         [require]\nrebuilders = 1\nobservation = [\"isolated\", \"observed\", \"not-observed\"]\n"
    )
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let mut bundle = Vec::new();
    for (by, payload) in data.split(|byte| *byte == 0).filter_map(<[u8]>::split_first) {
        let key = &KEYS[match by {
            b'v' => 0,
            b'r' => 1,
            _ => 2,
        }];
        bundle.extend(key.sign_envelope(payload.to_vec()).to_line());
        bundle.push(b'\n');
    }
    let files = [FileUnderTest { shown: "app".into(), content: content(b"app 1.0\n", Wanted::SUBJECT) }];
    let expected = Expected::default();
    let report = verify(&Question {
        files: &files,
        tree: None,
        bundle: &bundle,
        policy: POLICY.as_bytes(),
        expected: &expected,
    });
    assert_eq!(report.steps.len(), 11);
    let yes = matches!(report.answer, Answer::Yes(_));
    assert_eq!(yes, report.reason.is_empty());
    assert!(!yes || (data.contains(&b'v') && report.items[0].rebuilds.len() == 1));
});
