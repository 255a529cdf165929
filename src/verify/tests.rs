//! Tests of `verify`, each yes with its tampered twins.

mod approvals;
mod dissent;
mod rebuilds;
mod steps;
mod strangers;
mod trees;

use super::*;
use crate::bundle::Blob;
use crate::digest::{self, TreeDigest, Wanted};
use crate::envelope::Envelope;
use crate::signature::PublicKey;
use crate::statement::provenance::tests::{recipe, sample, subject, word};
use crate::statement::{Artifact, ArtifactVerdict, Observation, SourceIds, Verdict, VerdictKind};
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

fn not_observed(seed: u8) -> Provenance {
    let (controls, variables) = Default::default();
    Provenance { observation: Observation::NotObserved, controls, variables, environment: None, ..built(seed) }
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

fn release(version: &str, seed: u8) -> Provenance {
    let mut provenance = built(seed);
    provenance.order.release.version = word(version);
    provenance.order.recipe = recipe("hello", version);
    provenance
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
