//! Tests of `provenance.rs`.

use super::super::tests::tampered;
use super::super::{Statement, Word, order};
use super::*;
use crate::path::TreePath;

pub(crate) fn word(text: &str) -> Word {
    text.parse().unwrap()
}

/// A subject with the digests of `bytes`.
pub(crate) fn subject(name: &str, bytes: &[u8]) -> Subject {
    let content = digest::content(bytes, Wanted::SUBJECT);
    Subject { name: TreePath::from_escaped(name).unwrap(), sha256: content.sha256, blake3: content.blake3 }
}

/// A recipe that leaves the epoch to the lock.
pub(crate) fn recipe(name: &str, version: &str) -> String {
    format!(
        "name = \"{name}\"\nversion = \"{version}\"\n[build]\nsteps = [[\"make\"]]\noutputs = [\"out\"]\nsource-date-epoch = \"git\"\n\
         [environment]\ndefault-roots = false\nroots = [\"/usr\"]\n"
    )
}

pub(crate) fn sample() -> Provenance {
    Provenance {
        order: order::tests::sample(recipe("hello", "1.0")),
        subjects: vec![subject("out/a", b"a"), subject("out/hello", b"hello")],
        observation: Observation::Isolated,
        controls: [("network".to_owned(), Control::Enforced), ("landlock".to_owned(), Control::NotEnforced)].into(),
        variables: [("HOME".to_owned(), "/home/build".to_owned())].into(),
        environment: Some(TreeDigest::from_bytes([4; 32])),
        environment_kind: EnvironmentKind::Host,
        outputs: TreeDigest::from_bytes([5; 32]),
        builder: "urn:countersign:builder:x".into(),
        claimed: None,
    }
}

/// The sample as somebody signs it who did not see it being built.
fn elsewhere() -> Provenance {
    let payload = super::super::payload_digest(&sample().encode());
    sample().signed_elsewhere(payload, "urn:countersign:builder:signer".into()).unwrap()
}

#[test]
fn signed_elsewhere_keeps_what_was_observed_as_a_claim() {
    let signed = elsewhere();
    let bytes = signed.encode();
    let text = String::from_utf8(bytes.clone()).unwrap();
    let claim = format!(
        r#""observation":"not-observed","controls":{{}},"variables":{{}},"claimed":{{"statement":{{"sha256":"{}"}},"builder":{{"id":"urn:countersign:builder:x"}},"observation":"isolated","controls":{{"landlock":"not-enforced","network":"enforced"}},"variables":{{"HOME":"/home/build"}},"environment":{{"sha256":"{}"}}}}}}"#,
        super::super::payload_digest(&sample().encode()),
        "04".repeat(32),
    );
    assert!(text.contains(&claim), "{text}");
    assert!(!text.contains(r#""name":"environment""#));
    assert_eq!((signed.order.digest(), &signed.subjects), (sample().order.digest(), &sample().subjects));
    // What was not seen cannot be claimed of a build, and is not passed on once more.
    assert_eq!(signed.signed_elsewhere(super::super::payload_digest(&bytes), "x".into()), None);
    for (from, to, why) in [
        (r#""observation":"not-observed""#, r#""observation":"isolated""#, "saw the build itself"),
        (r#""observation":"isolated""#, r#""observation":"not-observed""#, "`isolated` or `observed`"),
        (r#""id":"urn:countersign:builder:x""#, r#""id":"""#, "claimed.builder.id"),
        (&claim[claim.find(r#"{"statement""#).unwrap()..claim.len() - 1], "null", "invalid type: null"),
        (r#""claimed":{"statement""#, r#""claimed":{"statements""#, "missing field"),
        (r#""environment":{"sha256":"04"#, r#""environment":{"sha256":"4"#, "tree digest"),
        (r#""landlock":"not-enforced""#, r#""landlock":"perhaps""#, "unknown variant"),
    ] {
        let err = tampered(&bytes, from, to).unwrap_err().to_string();
        assert!(err.contains(why), "{to}: {err}");
    }
}

#[test]
fn the_fingerprint_of_an_image_is_what_its_lock_says() {
    let hex = "04".repeat(32);
    let mut image = sample();
    let host = image.order.recipe.find("default-roots").unwrap();
    image.order.recipe.truncate(host);
    image.order.recipe += "kind = \"rootfs\"\nimage = \"local:a.tar\"\n";
    image.order.lock = format!(
        "countersign-lock v1\nkind rootfs\nsource-date-epoch 1\narchitecture x86_64\ntree {hex}\npart archive a.tar - {hex} 1 vendor -\n"
    );
    image.environment_kind = EnvironmentKind::Rootfs;
    let read = |provenance: &Provenance| Statement::decode(&provenance.encode()).map_err(|err| err.to_string());
    let Ok(Statement::Provenance(back)) = read(&image) else { panic!() };
    assert_eq!(*back, image);
    let claims = |image: &Provenance| {
        let payload = super::super::payload_digest(&image.encode());
        image.signed_elsewhere(payload, "urn:countersign:builder:signer".into()).unwrap()
    };
    let Ok(Statement::Provenance(back)) = read(&claims(&image)) else { panic!() };
    assert_eq!(*back, claims(&image));
    let other = Provenance { environment: Some(TreeDigest::from_bytes([5; 32])), ..image };
    let why = format!("it is sha256:{}, and the lock's tree is sha256:{hex}", "05".repeat(32));
    for other in [claims(&other), other] {
        let err = read(&other).unwrap_err();
        assert!(err.contains(&why), "{err}");
    }
}

#[test]
fn written_as_the_specification_shows() {
    let provenance = sample();
    let bytes = provenance.encode();
    let text = String::from_utf8(bytes.clone()).unwrap();
    let order = provenance.order.digest();
    let lock = digest::sha256(provenance.order.lock.as_bytes());
    let [a, hello] = [&provenance.subjects[0], &provenance.subjects[1]];
    let expected = format!(
        r#"{{"_type":"https://in-toto.io/Statement/v1","subject":[{{"name":"out/a","digest":{{"blake3":"{}","sha256":"{}"}}}},{{"name":"out/hello","digest":{{"blake3":"{}","sha256":"{}"}}}}],"predicateType":"https://slsa.dev/provenance/v1","predicate":{{"buildDefinition":{{"buildType":"urn:countersign:buildtype:recipe:v1","externalParameters":{{"recipe":{},"release":{{"product":"hello","version":"1.0","channel":"stable","target":"x86_64-linux","sequence":null,"previous":null}}}},"internalParameters":{{"buildOrder":{{"sha256":"{order}"}},"observation":"isolated","controls":{{"landlock":"not-enforced","network":"enforced"}},"variables":{{"HOME":"/home/build"}}}},"resolvedDependencies":[{{"name":"source","digest":{{"gitTree":"{}"}},"annotations":{{"gitTreeSha256":"{}","swhid":"swh:1:dir:{}"}}}},{{"name":"source-listing","digest":{{"sha256":"{}"}},"mediaType":"text/vnd.countersign.tree.v1"}},{{"name":"lock","digest":{{"sha256":"{lock}"}},"content":"{}"}},{{"name":"environment","digest":{{"sha256":"{}"}},"mediaType":"text/vnd.countersign.tree.v1","annotations":{{"kind":"host","vouchedBy":"builder"}}}}]}},"runDetails":{{"builder":{{"id":"urn:countersign:builder:x"}},"byproducts":[{{"name":"outputs","digest":{{"sha256":"{}"}},"mediaType":"text/vnd.countersign.tree.v1"}}]}}}}}}"#,
        a.blake3.unwrap(),
        a.sha256,
        hello.blake3.unwrap(),
        hello.sha256,
        serde_json::to_string(&provenance.order.recipe).unwrap(),
        "02".repeat(20),
        "04".repeat(32),
        "03".repeat(20),
        "01".repeat(32),
        STANDARD.encode(&provenance.order.lock),
        "04".repeat(32),
        "05".repeat(32),
    );
    assert_eq!(text, expected);
}

#[test]
fn round_trip_both_ways() {
    let mut bare = sample();
    bare.order.source =
        SourceCommitment::Public { listing: TreeDigest::from_bytes([1; 32]), ids: SourceIds::default() };
    bare.observation = Observation::NotObserved;
    bare.environment = None;
    bare.variables.clear();
    bare.order.release.sequence = Some(u64::MAX);
    bare.order.release.previous = Some(crate::digest::PayloadDigest::from_bytes([8; 32]));
    bare.subjects = vec![subject("a\\n\\xffü", b"")];
    for provenance in [sample(), bare, elsewhere()] {
        let bytes = provenance.encode();
        let Statement::Provenance(back) = Statement::decode(&bytes).unwrap() else { panic!() };
        assert_eq!(*back, provenance);
        assert_eq!(back.encode(), bytes);
    }
}

#[test]
fn what_other_tools_may_add_and_what_nobody_may() {
    let bytes = sample().encode();
    let read = |from: &str, to: &str| tampered(&bytes, from, to);
    let good = Statement::decode(&bytes).unwrap();
    for (from, to) in [
        (r#"{"_type""#, r#"{"x":1,"_type""#),
        (r#""predicate":{"#, r#""predicate":{"x_y":[{}],"#),
        (r#""byproducts":["#, r#""byproducts":[{"name":"log"},{"uri":"x"},"#),
        (r#""resolvedDependencies":["#, r#""resolvedDependencies":[{"name":"image","digest":{"sha512":"1"}},"#),
        (r#""name":"out/a","digest":{"#, r#""name":"out/a","annotations":{"a":1},"digest":{"md5":"no","#),
        (r#""annotations":{"kind""#, r#""annotations":{"other":1,"kind""#),
        (&"01".repeat(32), &"01".repeat(32)),
    ] {
        assert_eq!(read(from, to).as_ref(), Ok(&good), "{to}");
    }
    let lock = sample().order.lock;
    let blake3 = digest::content(lock.as_bytes(), Wanted::SUBJECT).blake3.unwrap();
    let with_blake3 =
        |hex: &str| read(r#""name":"lock","digest":{"#, &format!(r#""name":"lock","digest":{{"blake3":"{hex}","#));
    assert_eq!(with_blake3(&blake3.to_string()).as_ref(), Ok(&good));
    assert!(matches!(with_blake3(&"00".repeat(32)), Err(StatementError::Entry("lock", _))), "every digest must agree");
    let upper = digest::sha256(b"a").to_string();
    assert_eq!(read(&upper, &upper.to_uppercase()).as_ref(), Ok(&good));

    let hello = digest::sha256(b"hello").to_string();
    let blake3 = digest::content(b"a", Wanted::SUBJECT).blake3.unwrap().to_string();
    for (from, to, why) in [
        (r#"externalParameters":{"#, r#"externalParameters":{"steps":1,"#, "unknown field"),
        (r#""release":{"#, r#""release":{"edition":"x","#, "unknown field"),
        (r#","sequence":null"#, "", "missing field"),
        (r#","previous":null"#, "", "missing field"),
        (r#""previous":null"#, r#""previous":"aa""#, "previous"),
        (r#""sequence":null"#, r#""sequence":1"#, "build order"),
        (r#""sequence":null"#, r#""sequence":-1"#, "invalid value"),
        (r#""product":"hello""#, r#""product":"hello world""#, "is not"),
        (r#""recipe":"name"#, r#""recipe":"eman"#, "build order"),
        (&"01".repeat(32), &"0f".repeat(32), "build order"),
        (r#""isolated""#, r#""perfect""#, "unknown variant"),
        (r#""isolated""#, r#""not-observed""#, "not observed"),
        (r#""network":"enforced""#, r#""network":"yes""#, "unknown variant"),
        (r#""name":"lock""#, r#""name":"lokc""#, "0 entries \"lock\""),
        (r#""name":"source""#, r#""name":"lock""#, "2 entries \"lock\""),
        (r#""name":"source""#, r#""name":"source-listing""#, "2 entries"),
        (r#""name":"source""#, r#""name":"environment""#, "2 entries"),
        (r#""name":"outputs""#, r#""name":"output""#, "0 entries"),
        (r#""byproducts":["#, r#""byproducts":[{"name":"outputs"},"#, "2 entries"),
        (r#""content":""#, r#""content":"AAAA"#, "another digest"),
        (r#""content":""#, r#""content":"-"#, "not base64"),
        (r#""content":""#, r#""Content":""#, "no content"),
        (r#""vouchedBy":"builder""#, r#""vouchedBy":"vendor""#, "unknown variant"),
        (r#""kind":"host","#, "", "lack kind"),
        (r#""kind":"host","#, r#""kind":"oci","#, "its kind is not host"),
        ("tree.v1", "tree.v2", "media type"),
        ("swh:1:dir:", "swh:1:rev:", "swhid"),
        (r#""gitTreeSha256":"04"#, r#""gitTreeSha256":"4"#, "gitTreeSha256"),
        (&"02".repeat(20), &"02".repeat(32), "not a sha1 digest"),
        (r#""id":"urn:countersign:builder:x""#, r#""id":"""#, "builder.id"),
        (r#""name":"out/a""#, r#""name":"out/hello""#, "twice"),
        (r#""name":"out/a""#, r#""name":"out/Hello""#, "one name"),
        (r#""name":"out/a""#, r#""name":"out/hello/a""#, "below"),
        (r#""name":"out/a""#, r#""name":"../a""#, "part `.` or `..`"),
        (r#""name":"out/a""#, r#""name":"/a""#, "absolute"),
        (r#""name":"out/a""#, r#""name":"\u0000""#, "NUL"),
        (r#""name":"out/a""#, r#""name":"out/\\x61""#, "escaped"),
        (r#""name":"out/a","#, "", "missing field"),
        (r#""subject":["#, r#""Subject":["#, "missing field"),
        (r#""subject":["#, r#""subject":[],"Subject":["#, "twice"),
        (r#""digest":{"#, r#""digest":{"SHA256":"x","#, "twice"),
        (&format!(r#""sha256":"{hello}""#), r#""sha512":"ab""#, "no sha256"),
        (&hello, &hello[1..], "not a sha256 digest"),
        (&hello, &"00".repeat(64), "not a sha256 digest"),
        (&blake3, &blake3[2..], "not a blake3 digest"),
    ] {
        let err = read(from, to).unwrap_err().to_string();
        assert!(err.contains(why), "{to}: {err}");
    }
    let many: String = (0..16).map(|n| format!(r#""x{n}":"","#)).collect();
    assert!(matches!(read(r#""digest":{"#, &format!(r#""digest":{{{many}"#)), Err(StatementError::Digest(..))));
}

#[test]
fn subjects_are_counted() {
    let mut provenance = sample();
    provenance.subjects.clear();
    assert_eq!(Statement::decode(&provenance.encode()), Err(StatementError::Subjects(0)));
    provenance.subjects = (0..=super::super::MAX_SUBJECTS).map(|n| subject(&format!("s{n}"), b"")).collect();
    assert_eq!(Statement::decode(&provenance.encode()), Err(StatementError::Subjects(65_537)));
}

#[test]
fn every_digest_must_agree() {
    let both = subject("a", b"one");
    let one = digest::content(b"one", Wanted::SUBJECT);
    let two = digest::content(b"two", Wanted::SUBJECT);
    assert!(both.agrees(&one) && !both.agrees(&two));
    assert!(!both.agrees(&Content { blake3: two.blake3, ..one }));
    assert!(!both.agrees(&Content { sha256: two.sha256, ..one }));
    assert!(!both.agrees(&Content { blake3: None, ..one }), "a digest that was not computed does not agree");
    assert!(Subject { blake3: None, ..both }.agrees(&one));
}

#[test]
fn release_and_lock_are_the_recipes() {
    let said = |change: &dyn Fn(&mut BuildOrder)| {
        let mut other = sample();
        change(&mut other.order);
        Statement::decode(&other.encode()).map(drop).map_err(|err| err.to_string())
    };
    let fixed = |order: &mut BuildOrder, epoch: &str| order.recipe = order.recipe.replace("\"git\"", epoch);
    // What may differ: the epoch of a commit, and what the command line may give beside the recipe.
    assert_eq!(said(&|order| order.lock = order.lock.replace("epoch 1", "epoch 7")), Ok(()));
    assert_eq!(said(&|order| order.release.channel = word("beta")), Ok(()));
    assert_eq!(said(&|order| order.release.sequence = Some(2)), Ok(()));
    assert_eq!(said(&|order| fixed(order, "1")), Ok(()));
    assert_eq!(said(&|order| order.recipe += "# changed\n"), Ok(()));
    for (change, why) in [
        (
            &(|order: &mut BuildOrder| order.release.product = word("openssl")) as &dyn Fn(&mut BuildOrder),
            "the product",
        ),
        (&|order| order.release.version = word("9.9"), "the version"),
        (&|order| order.recipe = recipe("tiny-sh", "1.0"), "hello and tiny-sh"),
        (&|order| order.recipe.clear(), "its recipe"),
        (&|order| order.recipe += "x = 1\n", "its recipe: line 10"),
        (&|order| order.recipe = "#".repeat(1 + crate::recipe::MAX_RECIPE as usize), "longer than"),
        (&|order| fixed(order, "2"), "source-date-epoch 1 and 2"),
        (&|order| order.lock += "root /usr2\n", "other roots"),
        (&|order| order.lock = order.lock.replace("root /usr\n", ""), "other roots"),
        (&|order| order.recipe = order.recipe.replace("false", "true"), "other roots"),
        (&|order| order.recipe = order.recipe.replace("/usr", "/proc"), "its own /proc"),
        (&|order| order.lock = order.lock.replace("/usr", "/proc"), "line 4 of the lock"),
        (&|order| order.lock = "countersign-lock v1\n".into(), "of no kind"),
    ] {
        let err = said(change).unwrap_err();
        assert!(err.contains(why), "{why}: {err}");
    }
}
