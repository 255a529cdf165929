//! Tests of `verify`, each yes with its tampered twins.

mod dissent;
mod trees;

use super::*;
use crate::bundle::Blob;
use crate::digest::{self, TreeDigest, Wanted};
use crate::envelope::Envelope;
use crate::signature::PublicKey;
use crate::statement::provenance::tests::{recipe, sample, subject, word};
use crate::statement::{Artifact, ArtifactVerdict, Observation, Verdict, VerdictKind};
use ed25519_dalek::{Signer as _, SigningKey};

const HELLO: &[u8] = b"hello";
const VENDOR: u8 = 1;
const R1: u8 = 2;
const R2: u8 = 3;
const STRANGER: u8 = 9;

fn key(seed: u8) -> (SigningKey, PublicKey) {
    let secret = SigningKey::from_bytes(&[seed; 32]);
    let public = PublicKey::from_bytes(secret.verifying_key().to_bytes()).unwrap();
    (secret, public)
}

fn builder(seed: u8) -> String {
    key(seed).1.default_builder()
}

fn sign(payload: Vec<u8>, seed: u8) -> Vec<u8> {
    let (secret, public) = key(seed);
    Envelope::sign(payload, &public, |message| secret.sign(message).to_bytes()).to_line()
}

/// The sample's build by somebody.
fn built(seed: u8) -> Provenance {
    Provenance { builder: builder(seed), ..sample() }
}

fn line(provenance: &Provenance, seed: u8) -> Vec<u8> {
    sign(provenance.encode(), seed)
}

fn own(seed: u8) -> Vec<u8> {
    line(&built(seed), seed)
}

fn digest_of(payload: &[u8]) -> PayloadDigest {
    PayloadDigest::from_bytes(*digest::sha256(payload).as_bytes())
}

fn dissent(seed: u8) -> Verdict {
    let sample_environment = sample().environment;
    Verdict {
        kind: VerdictKind::NotReproduced,
        subjects: vec![subject("out/hello", HELLO)],
        order: sample().order.digest(),
        reference: digest_of(&built(VENDOR).encode()),
        rebuilder: builder(seed),
        reference_environment: sample_environment,
        rebuild_environment: sample_environment,
        artifacts: vec![artifact(ArtifactVerdict::Different, HELLO)],
        ..crate::statement::verdict::tests::sample()
    }
}

/// Of the reference, `bytes`.
fn artifact(verdict: ArtifactVerdict, bytes: &[u8]) -> Artifact {
    Artifact { name: "out/hello".into(), verdict, reference: Some(digest::sha256(bytes)), rebuilt: None }
}

fn signer(name: &str, seed: u8, role: &str, more: &str) -> String {
    format!("[[signer]]\nname = \"{name}\"\nkey = \"{}\"\nroles = [\"{role}\"]\n{more}\n", key(seed).1)
}

/// A vendor, two rebuilders, and what is required.
fn policy(require: &str) -> String {
    [
        signer("vendor", VENDOR, "vendor", "organisation = \"Example AG\""),
        signer("r1", R1, "rebuilder", "organisation = \"One\"\njurisdiction = \"CH\"\nplatform = \"a\""),
        signer("r2", R2, "rebuilder", "organisation = \"Two\"\njurisdiction = \"DE\""),
        format!("[require]\n{require}\n"),
    ]
    .concat()
}

fn file(shown: &str, bytes: &[u8]) -> FileUnderTest {
    FileUnderTest { shown: shown.into(), content: digest::content(bytes, Wanted::SUBJECT) }
}

struct Ask {
    lines: Vec<Vec<u8>>,
    policy: String,
    files: Vec<FileUnderTest>,
    tree: Option<TreeUnderTest>,
    expected: Expected,
}

impl Ask {
    fn new(lines: Vec<Vec<u8>>, require: &str) -> Ask {
        let files = vec![file("hello", HELLO)];
        Ask { lines, policy: policy(require), files, tree: None, expected: Expected::default() }
    }

    fn report(&self) -> Report {
        let bundle = self.lines.join(&b'\n');
        let report = verify(&Question {
            files: &self.files,
            tree: self.tree.as_ref(),
            bundle: &bundle,
            policy: self.policy.as_bytes(),
            expected: &self.expected,
        });
        // Whatever the answer: eleven steps, a yes only without a failed one, and a no with its reason.
        assert_eq!(report.steps.len(), 11);
        assert!(report.steps.iter().zip(1..).all(|(step, number)| step.number == number));
        let failed = report.steps.iter().any(|step| step.outcome != Outcome::Pass);
        assert_eq!(matches!(report.answer, Answer::Yes(_)), !failed);
        assert_eq!(report.reason.is_empty(), !failed);
        report
    }

    fn says(&self, answer: &str, step: usize, reason: &str) {
        let report = self.report();
        let got = format!("{:?}", report.answer);
        assert!(got.starts_with(answer), "{got} for {answer}: {report:#?}");
        let failed = report.steps.iter().find(|step| step.outcome == Outcome::Fail).map_or(0, |step| step.number);
        assert_eq!(failed, step, "{report:#?}");
        assert!(report.reason.contains(reason), "{reason:?} is not in {:?}", report.reason);
    }

    fn yes(&self) {
        self.says("Yes", 0, "");
    }
}

fn ask(lines: Vec<Vec<u8>>, require: &str) -> Ask {
    Ask::new(lines, require)
}

fn all() -> Vec<Vec<u8>> {
    vec![own(VENDOR), own(R1), own(R2)]
}

fn with(mut lines: Vec<Vec<u8>>, more: Vec<u8>) -> Vec<Vec<u8>> {
    lines.push(more);
    lines
}

#[test]
fn yes_and_what_it_says() {
    let mut question = ask(all(), "rebuilders = 2\norganisations = 2\njurisdictions = 2");
    question.files.push(file("a", b"a"));
    let report = question.report();
    let Answer::Yes(verified) = &report.answer else { panic!("{report:#?}") };
    assert_eq!(verified.release().to_string(), "hello 1.0 (stable, x86_64-linux)");
    assert_eq!(verified.order(), sample().order.digest());
    assert_eq!(verified.source(), sample().order.source);
    assert_eq!(verified.manifests(), [digest_of(&built(VENDOR).encode())]);
    let item = &report.items[0];
    assert_eq!((item.shown.as_str(), item.subject.as_deref()), ("hello", Some("out/hello")));
    let names: Vec<&str> = item.rebuilds.iter().map(|witness| witness.name.as_str()).collect();
    assert_eq!(names, ["r1", "r2"]);
    assert_eq!(item.rebuilds[0].organisation.as_deref(), Some("One"));
    assert_eq!(report.items[1].subject.as_deref(), Some("out/a"));
    ask(vec![own(VENDOR)], "rebuilders = \"none\"").yes();
}

#[test]
fn step_1_and_2_before_anything_else() {
    let mut question = ask(all(), "rebuilders = 2");
    question.files.clear();
    question.says("Usage", 1, "no file");
    let mut question = ask(vec![vec![b'\n'; crate::bundle::MAX_LINES + 1]], "rebuilders = 2");
    question.says("Broken", 1, "lines");
    question.policy = " ".repeat(policy::MAX_POLICY as usize + 1);
    question.says("Broken", 1, "the policy is longer");
    ask(all(), "rebuilders = 0").says("Usage", 2, "line 20");
    ask(all(), "rebuilders = 3").says("Usage", 2, "2 of 3 rebuilders");
    ask(all(), "").says("Usage", 2, "missing field");
    let mut question = ask(all(), "rebuilders = 2");
    question.policy.clear();
    question.says("Usage", 2, "missing field `require`");
}

#[test]
fn step_3_and_4_broken_or_merely_unknown() {
    let require = "rebuilders = \"none\"";
    ask(vec![], require).says("Broken", 3, "no envelope");
    ask(vec![b"nonsense".to_vec()], require).says("Broken", 3, "no envelope");
    ask(vec![Blob::listing("countersign-tree v1 output\n").to_line()], require).says("Broken", 3, "no envelope");
    let stranger = line(&built(VENDOR), STRANGER);
    ask(vec![stranger.clone()], require).says("Refused", 4, "no vendor of the policy signed");
    ask(vec![stranger.clone(), b"nonsense".to_vec()], require).says("Broken", 4, "not envelopes");
    ask(vec![own(R1)], require).says("Refused", 4, "no vendor of the policy signed");
    // The same envelope under the vendor's name is a claim that does not hold.
    let name = |seed| key(seed).1.fingerprint();
    let renamed =
        |line: &[u8], from, to| String::from_utf8(line.to_vec()).unwrap().replace(&name(from), &name(to)).into_bytes();
    ask(vec![renamed(&stranger, STRANGER, VENDOR)], require).says("Broken", 4, "does not verify");
    let mut bad = own(VENDOR);
    let at = bad.windows(7).position(|w| w == b"\"sig\":\"").unwrap() + 12;
    bad[at] = if bad[at] == b'A' { b'B' } else { b'A' };
    ask(vec![bad.clone()], require).says("Broken", 4, "the key of vendor");
    // Beside a good one neither matters, and neither does a wrong or missing name on the good one.
    ask(vec![bad, renamed(&stranger, STRANGER, VENDOR), own(VENDOR), b"{}".to_vec()], require).yes();
    ask(vec![renamed(&own(VENDOR), VENDOR, R1)], require).yes();
    ask(vec![String::from_utf8(own(VENDOR)).unwrap().replace(&name(VENDOR), "").into_bytes()], require).yes();
}

#[test]
fn step_5_a_vendors_statement_that_cannot_be_read() {
    let good = String::from_utf8(built(VENDOR).encode()).unwrap();
    let require = "rebuilders = \"none\"";
    for bad in [
        good.replacen("\"isolated\"", "\"perfect\"", 1),
        good.replacen("\"version\":\"1.0\"", "\"version\":\"1.1\"", 1),
        good.replacen("{\"_type\"", "{\"subject\":[],\"_type\"", 1),
        good.replacen("Statement/v1", "Statement/v2", 1),
        "nonsense".into(),
    ] {
        assert_ne!(bad, good);
        ask(vec![sign(bad.clone().into_bytes(), VENDOR)], require).says("Broken", 5, "vendor signed");
        ask(vec![own(VENDOR), sign(bad.clone().into_bytes(), VENDOR)], require).says("Broken", 5, "line 2");
        // By anybody else it is only passed over.
        ask(with(vec![own(VENDOR)], sign(bad.clone().into_bytes(), R1)), require).yes();
        ask(with(vec![own(VENDOR)], sign(bad.into_bytes(), STRANGER)), require).yes();
    }
    let other = good.replacen("urn:countersign:buildtype:recipe:v1", "https://example.org/b", 1).into_bytes();
    ask(vec![sign(other.clone(), VENDOR), own(VENDOR)], require).yes();
    ask(vec![sign(other, VENDOR)], require).says("Refused", 6, "no vendor of the policy signed provenance");
}

#[test]
fn step_6_pairs_roles_and_levels() {
    let require = "rebuilders = \"none\"";
    ask(vec![line(&built(R1), VENDOR)], require).says("Refused", 6, "not one of its builders");
    ask(vec![line(&built(R1), VENDOR), own(VENDOR)], require).yes();
    let mut seen = built(VENDOR);
    seen.observation = Observation::Observed;
    ask(vec![line(&seen, VENDOR)], require).says("Refused", 6, "observed");
    ask(vec![line(&seen, VENDOR)], &format!("{require}\nobservation = [\"isolated\", \"observed\"]")).yes();
    let mut question = ask(vec![line(&built(R1), VENDOR)], require);
    question.policy = question.policy.replacen(
        "organisation = \"Example AG\"",
        &format!("builders = [\"{}\"]", builder(STRANGER)),
        1,
    );
    question.says("Refused", 6, "not one of its builders");
    question.lines = vec![line(&built(STRANGER), VENDOR)];
    question.yes();
}

fn release(version: &str, seed: u8) -> Provenance {
    let mut provenance = built(seed);
    provenance.order.release.version = word(version);
    provenance.order.recipe = recipe("hello", version);
    provenance
}

#[test]
fn step_7_and_8_the_right_release_and_the_right_file() {
    let require = "rebuilders = \"none\"";
    let mut question = ask(vec![own(VENDOR)], require);
    question.expected = Expected { product: Some(word("hello")), version: Some(word("1.0")), subject: None };
    question.yes();
    question.expected.version = Some(word("1.1"));
    question.says("Refused", 7, "asked for hello 1.1, signed is hello 1.0");
    question.expected.product = Some(word("hullo"));
    question.expected.version = None;
    question.says("Refused", 7, "hullo");

    let mut next = release("1.1", VENDOR);
    next.subjects = vec![subject("out/hello", b"hello 1.1")];
    let mut question = ask(vec![own(VENDOR), line(&next, VENDOR)], require);
    question.yes();
    question.expected.version = Some(word("1.1"));
    question.says("Differs", 8, "the signed out/hello");
    question.files = vec![file("new", b"hello 1.1")];
    question.yes();
    // Files of two releases are not one release.
    question.expected.version = None;
    question.files.push(file("old", HELLO));
    question.says("Differs", 8, "");

    let mut question = ask(vec![own(VENDOR)], require);
    question.expected.subject = Some(TreePath::from_escaped("out/hello").unwrap());
    question.yes();
    question.expected.subject = Some(TreePath::from_escaped("out/a").unwrap());
    question.says("Differs", 8, "the signed out/a");
    question.expected.subject = Some(TreePath::from_escaped("out/b").unwrap());
    question.says("Differs", 8, "nothing named out/b");
    question.expected.subject = None;
    question.files.push(file("other", b"hellp"));
    question.says("Differs", 8, "other: none of the 2 signed files");
    question.files = vec![file("hello", HELLO)];
    question.files[0].content.blake3 = digest::content(b"x", Wanted::SUBJECT).blake3;
    question.says("Differs", 8, "");
    question.expected.subject = Some(TreePath::from_escaped("out/hello").unwrap());
    question.says("Differs", 8, "BLAKE3");
}

#[test]
fn step_9_what_counts_as_a_rebuild() {
    let require = "rebuilders = 1";
    ask(vec![own(VENDOR), own(R1)], require).yes();
    let short = "0 of 1 rebuilder";
    ask(vec![own(VENDOR)], require).says("Pending", 10, short);
    let twins: Vec<(&str, Vec<u8>)> = vec![
        ("the vendor's own statement under the rebuilder's key", line(&built(VENDOR), R1)),
        ("another rebuilder's statement", line(&built(R2), R1)),
        ("by a stranger", line(&built(R1), STRANGER)),
        ("by the vendor", line(&built(R1), VENDOR)),
        ("another release", line(&release("1.1", R1), R1)),
        ("not isolated", line(&Provenance { observation: Observation::Observed, ..built(R1) }, R1)),
        ("other bytes", line(&Provenance { subjects: vec![subject("out/hello", b"x")], ..built(R1) }, R1)),
        ("another name", line(&Provenance { subjects: vec![subject("out/b", HELLO)], ..built(R1) }, R1)),
        (
            "names exchanged",
            line(&Provenance { subjects: vec![subject("out/hello", b"a"), subject("out/a", HELLO)], ..built(R1) }, R1),
        ),
        ("a verdict", sign(Verdict { kind: VerdictKind::Reproduced, ..dissent(R1) }.encode(), R1)),
    ];
    for (what, twin) in twins {
        let report = ask(vec![own(VENDOR), twin.clone()], require).report();
        assert_eq!(report.answer, Answer::Pending, "{what}");
        assert!(report.reason.contains(short), "{what}");
        ask(vec![own(VENDOR), twin, own(R1)], require).yes();
    }
    let mut other_recipe = built(R1);
    other_recipe.order.recipe += "# changed\n";
    let mut other_lock = built(R1);
    other_lock.order.lock = other_lock.order.lock.replace("epoch 1", "epoch 2");
    let mut other_source = built(R1);
    let SourceCommitment::Public { listing, .. } = &mut other_source.order.source;
    *listing = TreeDigest::from_bytes([0xee; 32]);
    for other in [other_recipe, other_lock, other_source] {
        let question = ask(vec![own(VENDOR), line(&other, R1)], require);
        question.says("Pending", 10, short);
        assert!(question.report().notes.lines.iter().any(|note| note.contains("another source, recipe or lock")));
    }
    // Another environment is no other order.
    let elsewhere = Provenance { environment: Some(TreeDigest::from_bytes([7; 32])), ..built(R1) };
    ask(vec![own(VENDOR), line(&elsewhere, R1)], require).yes();
    let differs = Provenance { subjects: vec![subject("out/hello", b"x")], ..built(R1) };
    let notes = ask(vec![own(VENDOR), line(&differs, R1)], require).report().notes;
    assert!(
        notes.lines.iter().any(|note| note.contains("r1 built the same order and got something else")),
        "{notes:?}"
    );
}

#[test]
fn step_10_distinct_keys_and_attributes_for_each_file() {
    ask(all(), "rebuilders = 2").yes();
    ask(vec![own(VENDOR), own(R1)], "rebuilders = 2").says("Pending", 10, "hello: 1 of 2 rebuilders");
    // The same again is one: the line, the payload, and another statement by the same key.
    let again = Provenance { environment: None, ..built(R1) };
    ask(vec![own(VENDOR), own(R1), own(R1), line(&again, R1)], "rebuilders = 2").says(
        "Pending",
        10,
        "1 of 2 rebuilders",
    );
    // r1 alone has a platform; without r1 there is one jurisdiction.
    for (threshold, short) in [
        ("organisations = 2", "1 of 2 organisations"),
        ("platforms = 1", "0 of 1 platform"),
        ("jurisdictions = 2", "1 of 2 jurisdictions"),
    ] {
        let mut question = ask(all(), &format!("rebuilders = 1\n{threshold}"));
        question.yes();
        question.lines.remove(1);
        question.says("Pending", 10, short);
    }
    // Each file by itself: r2 has only one of two.
    let half = Provenance { subjects: vec![subject("out/hello", HELLO)], ..built(R2) };
    let mut question = ask(vec![own(VENDOR), own(R1), line(&half, R2)], "rebuilders = 2");
    question.yes();
    question.files.push(file("a", b"a"));
    question.says("Pending", 10, "a: 1 of 2 rebuilders");
    // The vendor's own organisation does not count.
    let mut question = ask(all(), "rebuilders = 1");
    question.policy = question.policy.replace("\"One\"", "\"example AG\"");
    question.yes();
    question.lines.pop();
    question.says("Pending", 10, "0 of 1 rebuilder");
}

#[test]
fn of_several_names_the_one_with_most_support() {
    let both = [subject("out/1", HELLO), subject("out/2", HELLO)];
    let of = |seed, subjects: &[crate::statement::Subject]| {
        line(&Provenance { subjects: subjects.to_vec(), ..built(seed) }, seed)
    };
    let lines = vec![of(VENDOR, &both), of(R1, &both), of(R2, &both[1..]), of(4, &both[..1])];
    let mut question = ask(lines, "rebuilders = 2\norganisations = 2");
    question.policy = format!("{}{}", signer("r4", 4, "rebuilder", "organisation = \"One\""), question.policy);
    question.yes();
    assert_eq!(question.report().items[0].subject.as_deref(), Some("out/2"));
    question.expected.subject = Some(TreePath::from_escaped("out/1").unwrap());
    question.says("Pending", 10, "1 of 2 organisations");
    question.expected.subject = None;
    question.lines.remove(2);
    question.says("Pending", 10, "1 of 2 organisations");
}

#[test]
fn two_vendors() {
    let second = signer("second", 4, "vendor", "");
    let mut question = ask(vec![own(VENDOR), own(4)], "vendor = 2\nrebuilders = \"none\"");
    question.policy = format!("{second}{}", question.policy);
    question.yes();
    question.lines.pop();
    question.says("Pending", 10, "1 of 2 vendors");
    question.lines.push(b"nonsense".to_vec());
    question.says("Pending", 10, "1 of 2 vendors");
    question.lines.push(line(&built(VENDOR), VENDOR));
    question.says("Pending", 10, "1 of 2 vendors");
    question.lines.push(line(&release("1.1", 4), 4));
    question.says("Pending", 10, "1 of 2 vendors");
    let naming = |seed: u8| {
        let text = String::from_utf8(own(STRANGER)).unwrap();
        text.replace(&key(STRANGER).1.fingerprint(), &key(seed).1.fingerprint()).into_bytes()
    };
    question.lines = vec![own(VENDOR), naming(VENDOR)];
    question.says("Pending", 10, "1 of 2 vendors");
    question.lines = vec![own(VENDOR), naming(4)];
    question.says("Broken", 4, "the key of second");
}

#[test]
fn strangers_change_no_yes() {
    let mut lines = vec![
        b"nonsense".to_vec(),
        b"{}".to_vec(),
        b"{\"_type\":\"urn:countersign:blob:v1\",\"mediaType\":\"x\",\"text\":\"y\"}".to_vec(),
        line(&built(VENDOR), STRANGER),
        line(&release("6.6", STRANGER), STRANGER),
        sign(dissent(R1).encode(), STRANGER),
        sign(dissent(STRANGER).encode(), STRANGER),
        own(VENDOR),
    ];
    lines.extend(all());
    for _ in 0..2 {
        ask(lines.clone(), "rebuilders = 2").yes();
        lines.reverse();
    }
    let notes = ask(lines, "rebuilders = 2").report().notes;
    assert!(notes.lines.iter().any(|note| note.contains("signed by no key of the policy")), "{notes:?}");
    // However many there are, they neither fill the report nor use up the tries of others.
    let many: Vec<Vec<u8>> = vec![b"x".to_vec(); 5000];
    let report = ask([many, all()].concat(), "rebuilders = 2").report();
    assert!(matches!(report.answer, Answer::Yes(_)));
    assert_eq!((report.notes.lines.len(), report.notes.more), (100, 4900));
}

#[test]
fn the_order_that_comes_out_best_answers() {
    // The same bytes in two releases: rebuilt in one, disputed in the other.
    let next = release("1.1", VENDOR);
    let disputed = Verdict { order: next.order.digest(), reference: digest_of(&next.encode()), ..dissent(R1) };
    let mut question = ask(with(all(), line(&next, VENDOR)), "rebuilders = 2");
    question.lines.push(sign(disputed.encode(), R1));
    for _ in 0..2 {
        let report = question.report();
        assert_eq!(report.release.clone().unwrap().version.as_str(), "1.0", "{report:#?}");
        question.yes();
        question.lines.reverse();
    }
    question.expected.version = Some(word("1.1"));
    question.says("Refused", 10, "not reproduced by r1");
}

#[test]
fn strangers_cannot_use_up_the_tries() {
    let strangers: Vec<Vec<u8>> = (0..4).map(|n| line(&release(&format!("{n}"), STRANGER), STRANGER)).collect();
    let nameless = String::from_utf8(own(R2)).unwrap().replace(&key(R2).1.fingerprint(), "").into_bytes();
    let bytes = [strangers, vec![own(VENDOR), own(R1), nameless]].concat().join(&b'\n');
    let bundle = Bundle::parse(&bytes).unwrap();
    let policy = Policy::parse(&policy("rebuilders = 1")).unwrap();
    let signers = |budget| {
        let mut notes = Notes::default();
        let (found, _) = evidence::envelopes(&bytes, &bundle, &mut notes).unwrap();
        let (_, says) = evidence::signatures(&found, &policy, budget, &mut notes).unwrap_or_else(|_| panic!());
        (says, notes.lines.iter().any(|note| note.contains("too many signatures")))
    };
    let tries = |tries| signers(Budget { tries, ..Budget::FULL });
    // Those that name their key are found without a try.
    assert_eq!(tries(0), ("envelopes by signers of the policy: 2, signers: 2".into(), true));
    // The rest takes turns: with three keys, two rounds of five lines and the last try of the third one.
    assert_eq!(tries(14), ("envelopes by signers of the policy: 2, signers: 2".into(), true));
    assert_eq!(tries(15), ("envelopes by signers of the policy: 3, signers: 3".into(), false));
    let message =
        |line: &Envelope| crate::envelope::pae(crate::envelope::PAYLOAD_TYPE, line.unverified_payload()).len();
    let round: usize =
        bundle.envelopes().filter(|line| line.signatures()[0].keyid != key(VENDOR).1.fingerprint()).map(message).sum();
    let own = message(bundle.envelopes().nth(5).unwrap());
    let three = 3 * (round - own) as u64;
    assert_eq!(signers(Budget { bytes: three, ..Budget::FULL }).0, "envelopes by signers of the policy: 3, signers: 3");
    assert!(signers(Budget { bytes: three - 1, ..Budget::FULL }).1);
}

#[test]
fn ids_that_nobody_confirmed_are_not_shown() {
    let ids = |lines: Vec<Vec<u8>>, require: &str| {
        let report = ask(lines, require).report();
        let Answer::Yes(verified) = report.answer else { panic!("{:?}", report.reason) };
        assert_eq!(report.source, Some(verified.source()));
        let SourceCommitment::Public { git_tree, swhid, .. } = verified.source();
        (git_tree.is_some(), swhid.is_some())
    };
    let mut other = built(R2);
    let SourceCommitment::Public { git_tree, .. } = &mut other.order.source;
    *git_tree = None;
    assert_eq!(ids(all(), "rebuilders = 2"), (true, true));
    assert_eq!(ids(vec![own(VENDOR), own(R1), line(&other, R2)], "rebuilders = 2"), (false, true));
    assert_eq!(ids(vec![own(VENDOR)], "rebuilders = \"none\""), (false, false));
    let SourceCommitment::Public { swhid, .. } = &mut other.order.source;
    *swhid = Some(digest::sha1(b"another"));
    assert_eq!(ids(vec![own(VENDOR), own(R1), line(&other, R2)], "rebuilders = 1"), (false, false));
}
