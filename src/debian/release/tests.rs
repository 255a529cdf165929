use super::*;
use crate::debian::testing::keys::*;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{RevocationCode, Signature, SignatureConfig, SignatureType, Subpacket, SubpacketData};
use pgp::types::{Duration, KeyDetails as _, Password, Timestamp};

const TEXT: &str = "Origin: Test\nSuite: stable\nCodename: bookworm\nVersion: 12.1\nArchitectures: all amd64\nComponents: main updates/x\n\
                    Date: Sat, 12 Sep 2026 07:55:41 UTC\nValid-Until: Sat, 19 Sep 2026 07:55:41 UTC\nAcquire-By-Hash: yes\nSHA256:\n \
                    0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef   123 main/binary-amd64/Packages.xz";
/// In seconds after the keys were made: when somebody looks.
const NOW: u32 = 2000;

fn open(file: &[u8], ring: &[u8], after: u32) -> Result<Release, ReleaseError> {
    Release::open(file, &Keyring::read(ring).unwrap(), i64::from(BORN + after))
}

/// Why the only signature does not count.
fn why(file: &[u8], ring: &[u8], after: u32) -> String {
    match open(file, ring, after) {
        Err(ReleaseError::Refused(list)) => {
            assert_eq!(list.len(), 1, "{list:?}");
            list[0].to_string().replace(&Key::new(1).name(), "K").replace(&Key::new(2).name(), "S")
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_signed_release() {
    let key = Key::new(1);
    let signed = file(TEXT, &key.signs(TEXT, key.text()));
    let release = open(&signed, &key.ring(), NOW).unwrap();
    assert_eq!((release.suite.as_deref(), release.codename.as_deref()), (Some("stable"), Some("bookworm")));
    assert_eq!(
        (release.origin.as_deref(), release.version.as_deref(), release.by_hash),
        (Some("Test"), Some("12.1"), true)
    );
    assert_eq!((release.date, release.valid_until), (1_789_199_741, Some(1_789_804_541)));
    assert_eq!(
        (release.architectures.join(" "), release.components.join(" ")),
        ("all amd64".into(), "main updates/x".into())
    );
    let (size, digest) = release.files["main/binary-amd64/Packages.xz"];
    assert_eq!((size, digest.to_string().starts_with("0123"), release.files.len()), (123, true, 1));
    assert!(release.is("stable") && release.is("bookworm") && !release.is("sid"));
    let [signer] = &release.signers[..] else { panic!() };
    assert_eq!((signer.key.to_string(), signer.primary.to_string()), (key.name(), key.name()));
    assert_eq!((signer.created, release.refused.len()), (i64::from(BORN + SIGNED), 0));
    // As text, and together with another key.
    let armored = |ring: &[u8]| {
        format!(
            "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n{}\n-----END PGP PUBLIC KEY BLOCK-----\n",
            STANDARD.encode(ring)
        )
    };
    let both = armored(&Key::new(9).ring()) + &armored(&key.ring());
    assert!(open(&signed, both.as_bytes(), NOW).is_ok());
    // Blanks at the end of a line are not signed, and not read.
    let text = String::from_utf8(signed.clone()).unwrap();
    assert_eq!(
        open(text.replace("Test\n", "Test \t\n").as_bytes(), &key.ring(), NOW).unwrap().origin.as_deref(),
        Some("Test")
    );
}

#[test]
fn another_text_or_key() {
    let key = Key::new(1);
    let signature = key.signs(TEXT, key.text());
    assert_eq!(
        why(&file(&TEXT.replace("12.1", "12.2"), &signature), &key.ring(), NOW),
        "the signature of K is not of this text"
    );
    assert_eq!(
        why(&file(&format!("{TEXT}\nX: y"), &signature), &key.ring(), NOW),
        "the signature of K is not of this text"
    );
    assert_eq!(why(&file(TEXT, &signature), &Key::new(9).ring(), NOW), "the key K is not in the keyring");
    let mut forged = key.text();
    forged.hashed_subpackets[1] =
        Subpacket::regular(SubpacketData::IssuerFingerprint(Key::new(2).public.fingerprint())).unwrap();
    let other = Key::new(2).ring();
    assert_eq!(why(&file(TEXT, &key.signs(TEXT, forged)), &other, NOW), "the signature of S is not of this text");
    let none = open(&file(TEXT, &[]), &key.ring(), NOW).unwrap_err();
    assert_eq!(none.to_string(), "it has no valid signature");
    let around = [b"Suite: evil\n".to_vec(), file(TEXT, &signature)].concat();
    assert!(matches!(open(&around, &key.ring(), NOW), Err(ReleaseError::NotSigned(_))));
    assert!(matches!(open(&file(TEXT, &key.ring()), &key.ring(), NOW), Err(ReleaseError::Signatures(_))));
}

#[test]
fn several_signatures() {
    let (key, other) = (Key::new(1), Key::new(2));
    let both = [other.signs(TEXT, other.text()), key.signs(TEXT, key.text())].concat();
    let release = open(&file(TEXT, &both), &key.ring(), NOW).unwrap();
    assert_eq!((release.signers.len(), release.refused.len()), (1, 1));
    assert_eq!(release.signers[0].key.to_string(), key.name());
    let ring = [key.ring(), other.ring()].concat();
    assert_eq!(open(&file(TEXT, &both), &ring, NOW).unwrap().signers.len(), 2);
    assert!(
        matches!(open(&file(TEXT, &both), &Key::new(9).ring(), NOW), Err(ReleaseError::Refused(list)) if list.len() == 2)
    );
    let many = key.signs(TEXT, key.text()).repeat(17);
    assert!(matches!(
        open(&file(TEXT, &many), &key.ring(), NOW),
        Err(ReleaseError::Signatures(KeyringError::TooLarge))
    ));
}

#[test]
fn signatures_that_do_not_count() {
    let key = Key::new(1);
    let made = |config: SignatureConfig| file(TEXT, &key.signs(TEXT, config));
    let kind = |kind, after| key.config(kind, after, vec![]);
    assert_eq!(
        why(&made(kind(SignatureType::Binary, SIGNED)), &key.ring(), NOW),
        "the signature of K is of an unexpected kind or version"
    );
    assert_eq!(
        why(&made(key.text()), &key.ring(), SIGNED - 1),
        "the signature of K is from the future, or older than its key"
    );
    let mut early = key.text();
    early.hashed_subpackets[0] =
        Subpacket::regular(SubpacketData::SignatureCreationTime(Timestamp::from_secs(BORN - 1))).unwrap();
    assert_eq!(why(&made(early), &key.ring(), NOW), "the signature of K is from the future, or older than its key");
    let short = |seconds| SubpacketData::SignatureExpirationTime(Duration::from_secs(seconds));
    let expires = key.config(SignatureType::Text, SIGNED, vec![short(NOW - SIGNED)]);
    assert_eq!(why(&made(expires.clone()), &key.ring(), NOW), "the signature of K expired");
    assert!(open(&made(expires), &key.ring(), NOW - 1).is_ok());
    for hash in [HashAlgorithm::Sha1, HashAlgorithm::Md5, HashAlgorithm::Ripemd160, HashAlgorithm::Sha224] {
        let good = key.text().sign(&key.secret, &Password::empty(), TEXT.replace('\n', "\r\n").as_bytes()).unwrap();
        let mut config = key.text();
        config.hash_alg = hash;
        let weak = Signature::from_config(config, good.signed_hash_value().unwrap(), good.signature().unwrap().clone())
            .unwrap();
        assert_eq!(
            why(&file(TEXT, &packet(&weak)), &key.ring(), NOW),
            format!("the signature of K is by {hash}, which is too weak")
        );
    }
    let mut strong = key.text();
    strong.hash_alg = HashAlgorithm::Sha512;
    assert!(open(&made(strong), &key.ring(), NOW).is_ok());
}

#[test]
fn keys_that_do_not_count() {
    let key = Key::new(1);
    let signed = file(TEXT, &key.signs(TEXT, key.text()));
    // As GnuPG once kept its own keyrings: with a packet of trust behind each other packet.
    let base = [packet(&key.public), packet(&user()), vec![0xcc, 1, 0]].concat();
    let ring = |own: &[Vec<SubpacketData>]| {
        let own = own.iter().enumerate().map(|(at, more)| key.own(key.config(POSITIVE, 1 + at as u32, more.clone())));
        [base.clone(), own.collect::<Vec<_>>().concat()].concat()
    };
    assert!(open(&signed, &ring(&[vec![flags(true)]]), NOW).is_ok());
    assert_eq!(why(&signed, &base, NOW), "the key K is not bound by a valid signature of its primary key");
    assert_eq!(why(&signed, &ring(&[vec![flags(false)]]), NOW), "the key K is not one to sign with");
    assert_eq!(why(&signed, &ring(&[vec![]]), NOW), "the key K is not one to sign with");
    let ends = ring(&[vec![flags(true), life(NOW)]]);
    assert_eq!(why(&signed, &ends, NOW), "the key K expired");
    assert!(open(&signed, &ends, NOW - 1).is_ok());
    // The newest word counts: longer or shorter.
    assert!(open(&signed, &ring(&[vec![flags(true), life(10)], vec![flags(true), life(NOW + 1)]]), NOW).is_ok());
    assert_eq!(why(&signed, &ring(&[vec![flags(true)], vec![flags(true), life(10)]]), NOW), "the key K expired");
    // One from the future, of another key, or by a weak hash, does not count at all.
    let late = key.own(key.config(POSITIVE, NOW + 1, vec![flags(true)]));
    assert!(why(&signed, &[base.clone(), late].concat(), NOW).contains("not bound"));
    let other = Key::new(2).own(Key::new(2).config(POSITIVE, 1, vec![flags(true)]));
    assert!(why(&signed, &[base.clone(), other].concat(), NOW).contains("not bound"));
    // A name that was taken back takes what it says along; what the key says of itself alone counts as well.
    let back = key.own(key.config(SignatureType::CertRevocation, 5, vec![]));
    assert!(why(&signed, &[key.ring(), back.clone()].concat(), NOW).contains("not bound"));
    let direct = key.of_itself(key.config(SignatureType::Key, 1, vec![flags(true)]));
    assert!(open(&signed, &[packet(&key.public), direct, packet(&user()), back].concat(), NOW).is_ok());
    let reason = SubpacketData::RevocationReason(RevocationCode::KeyRetired, Vec::new().into());
    let revoked = key.of_itself(key.config(SignatureType::KeyRevocation, NOW + 5, vec![reason]));
    for ring in [
        [key.ring(), revoked.clone()].concat(),
        [packet(&key.public), revoked, key.ring()[packet(&key.public).len()..].to_vec()].concat(),
    ] {
        assert_eq!(why(&signed, &ring, NOW), "the key K is revoked");
    }
}

#[test]
fn subkeys() {
    let (key, sub) = (Key::new(1), Key::new(2));
    let signed = file(TEXT, &sub.signs(TEXT, sub.text()));
    let ring = |own: Vec<SubpacketData>, bindings: &[Vec<u8>]| {
        let own = key.own(key.config(POSITIVE, 1, own));
        [packet(&key.public), packet(&user()), own, packet(&sub.subkey()), bindings.concat()].concat()
    };
    let bind = |after, more: Vec<SubpacketData>| key.binds(&sub, key.config(SignatureType::SubkeyBinding, after, more));
    let usual = || bind(2, vec![flags(true), sub.back(&key)]);
    let release = open(&signed, &ring(vec![flags(false)], &[usual()]), NOW).unwrap();
    assert_eq!(release.signers[0].key.to_string(), sub.name());
    assert_eq!(release.signers[0].primary.to_string(), key.name());
    let check = |own: Vec<SubpacketData>, bindings: &[Vec<u8>], reason: &str| {
        assert_eq!(why(&signed, &ring(own, bindings), NOW), reason);
    };
    let unbound = "the key S is not bound by a valid signature of its primary key";
    check(vec![flags(false)], &[], unbound);
    check(vec![flags(false)], &[bind(2, vec![flags(true)])], unbound);
    check(vec![flags(false)], &[bind(2, vec![flags(true), sub.back(&Key::new(3))])], unbound);
    check(vec![flags(false)], &[bind(2, vec![flags(true), Key::new(3).back(&key)])], unbound);
    check(vec![flags(false)], &[bind(NOW + 1, vec![flags(true), sub.back(&key)])], unbound);
    let forged =
        Key::new(3).binds(&sub, Key::new(3).config(SignatureType::SubkeyBinding, 2, vec![flags(true), sub.back(&key)]));
    check(vec![flags(false)], &[forged], unbound);
    check(vec![flags(false)], &[bind(2, vec![flags(false), sub.back(&key)])], "the key S is not one to sign with");
    check(
        vec![flags(false)],
        &[usual(), bind(3, vec![flags(false), sub.back(&key)])],
        "the key S is not one to sign with",
    );
    check(vec![flags(false)], &[bind(2, vec![flags(true), sub.back(&key), life(NOW)])], "the key S expired");
    check(vec![flags(false), life(NOW)], &[usual()], "the key K expired");
    let revoked = key.binds(&sub, key.config(SignatureType::SubkeyRevocation, 9, vec![]));
    check(vec![flags(false)], &[usual(), revoked], "the key S is revoked");
    let revoked = key.of_itself(key.config(SignatureType::KeyRevocation, 9, vec![]));
    check(vec![flags(false)], &[usual(), revoked], "the key K is revoked");
}

#[test]
fn keyrings_together() {
    let (key, sub) = (Key::new(1), Key::new(2));
    let signed = file(TEXT, &sub.signs(TEXT, sub.text()));
    let bound = |after, more: Vec<SubpacketData>| {
        let more = [vec![flags(true), sub.back(&key)], more].concat();
        [packet(&sub.subkey()), key.binds(&sub, key.config(SignatureType::SubkeyBinding, after, more))].concat()
    };
    let full = [key.ring(), bound(2, vec![])].concat();
    let alone = |more: &[u8]| [packet(&key.public), more.to_vec()].concat();
    let both = |first: &[u8], second: &[u8]| {
        let ring = Keyring::read(first).unwrap().and(Keyring::read(second).unwrap());
        match Release::open(&signed, &ring, i64::from(BORN + NOW)) {
            Ok(_) => "good".to_owned(),
            Err(ReleaseError::Refused(list)) => list[0].to_string().replace(&key.name(), "K").replace(&sub.name(), "S"),
            Err(other) => panic!("{other}"),
        }
    };
    let revoked = key.of_itself(key.config(SignatureType::KeyRevocation, 9, vec![]));
    let sub_revoked =
        [packet(&sub.subkey()), key.binds(&sub, key.config(SignatureType::SubkeyRevocation, 9, vec![]))].concat();
    let name_revoked = [packet(&user()), key.own(key.config(SignatureType::CertRevocation, 9, vec![]))].concat();
    let ended = [packet(&user()), key.own(key.config(POSITIVE, 9, vec![flags(true), life(10)]))].concat();
    let unbound = "the key K is not bound by a valid signature of its primary key";
    for (other, outcome) in [
        // A key without its subkeys, and other keys, change nothing.
        (alone(&[]), "good"),
        (key.ring(), "good"),
        (
            [Key::new(9).ring(), Key::new(9).of_itself(Key::new(9).config(SignatureType::KeyRevocation, 9, vec![]))]
                .concat(),
            "good",
        ),
        (alone(&revoked), "the key K is revoked"),
        (alone(&sub_revoked), "the key S is revoked"),
        (alone(&name_revoked), unbound),
        (alone(&ended), "the key K expired"),
        (alone(&bound(3, vec![life(10)])), "the key S expired"),
    ] {
        assert_eq!(both(&full, &other), outcome);
        assert_eq!(both(&other, &full), outcome);
        // The same within one file.
        let one = [full.clone(), other].concat();
        assert_eq!(both(&one, &Key::new(8).ring()), outcome);
    }
    // What is of the key in one and of the subkey in the other is enough together.
    assert_eq!(both(&key.ring(), &alone(&bound(2, vec![]))), "good");
    assert_eq!(both(&alone(&bound(2, vec![])), &alone(&[])), unbound);
}

#[test]
fn keyrings_that_are_none() {
    let key = Key::new(1);
    for (bytes, why) in [
        (b"".to_vec(), "there is no key in it"),
        (b"key".to_vec(), "no key is before the end"),
        (packet(&user()), "there is a packet of type"),
        (packet(&key.secret), "there is a packet of type"),
        (vec![0xff; 100], "not a keyring"),
        (key.ring()[..key.ring().len() - 1].to_vec(), "not a keyring"),
        (vec![0xc6; (16 << 20) + 1], "the keyring is larger than"),
        (packet(&key.public).repeat(10_001), "the keyring is larger than"),
    ] {
        let outcome = Keyring::read(&bytes).unwrap_err().to_string();
        assert!(outcome.contains(why), "{outcome}");
    }
}

#[test]
fn texts_that_are_no_release() {
    let key = Key::new(1);
    for (from, to, why) in [
        ("SHA256:", "MD5Sum:", "has no field SHA256"),
        ("Date: Sat", "Date: Sun", "Date is Sun, 12"),
        ("Valid-Until: Sat, 19", "Valid-Until: Sat, 99", "Valid-Until is Sat, 99"),
        ("all amd64", "all ../x", "Architectures is all ../x"),
        ("main updates", "main ..", "Components is main ../x"),
        ("main/binary", "../binary", "SHA256 is"),
        ("main/binary", "/binary", "SHA256 is"),
        ("  123", "  -1", "SHA256 is"),
        (" 01234", " 1234", "SHA256 is"),
        ("Packages.xz", "Packages.xz x", "SHA256 is"),
        ("Suite: ", "codename: ", "the field Codename is there twice"),
        ("Origin: Test", "Origin: Test\n", "more than one stanza"),
    ] {
        let text = TEXT.replacen(from, to, 1);
        assert_ne!(text, TEXT);
        let outcome = open(&file(&text, &key.signs(&text, key.text())), &key.ring(), NOW).unwrap_err().to_string();
        assert!(outcome.contains(why), "{to}: {outcome}");
    }
    let line = TEXT.lines().last().unwrap();
    let twice = format!("{TEXT}\n{line}");
    assert!(
        open(&file(&twice, &key.signs(&twice, key.text())), &key.ring(), NOW)
            .unwrap_err()
            .to_string()
            .contains("SHA256 is")
    );
    assert!(matches!(
        Release::open(&vec![b'x'; MAX + 1], &Keyring::read(&key.ring()).unwrap(), 0),
        Err(ReleaseError::TooLong)
    ));
}

#[test]
fn times() {
    assert_eq!(time("Sat, 12 Sep 2026 07:55:41 UTC"), Some(1_789_199_741));
    assert_eq!(time("Thu, 01 Jan 1970 00:00:00 +0000"), Some(0));
    for text in [
        "Sun, 12 Sep 2026 07:55:41 UTC",
        "Sat, 12 Sep 2026 07:55:41",
        "Sat, 12 Sep 2026 07:55:41 CET",
        "Sat, 32 Sep 2026 07:55:41 UTC",
        "",
        "UTC",
        "12 Sep 2026 07:55:41 UTC",
    ] {
        assert_eq!(time(text), None, "{text}");
    }
}
