//! Attacks on bundles, each signed as it should be unless the signature is the subject.

use super::common::command;
use super::sample::{self, subject};
use super::table::Seen;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign::digest::{self, TreeDigest, Wanted};
use countersign::envelope::{MAX_PAYLOAD, PAYLOAD_TYPE, pae};
use countersign::keys::SigningKey;
use countersign::scan::{self, Options};
use countersign::statement::*;
use countersign::tree::TreeKind;
use serde_json::{Value, json};
use std::path::PathBuf;

const HELLO: &[u8] = b"hello\n";
const OTHER: &[u8] = b"other\n";

/// A directory with the file `hello`, the keys of a vendor, a rebuilder and a stranger, and a policy that demands one rebuild; and what
/// came of each try there.
pub struct Tries {
    name: String,
    dir: tempfile::TempDir,
    pub vendor: SigningKey,
    pub rebuilder: SigningKey,
    stranger: SigningKey,
    refused: Vec<Seen>,
    accepted: Vec<Seen>,
}

impl Tries {
    pub fn new(name: &str) -> Tries {
        let [vendor, rebuilder, stranger] = std::array::from_fn(|_| SigningKey::generate().unwrap());
        let dir = tempfile::tempdir().unwrap();
        let tries =
            Tries { name: name.into(), dir, vendor, rebuilder, stranger, refused: Vec::new(), accepted: Vec::new() };
        tries.put("hello", HELLO);
        tries.put("other", OTHER);
        tries.put("policy", tries.policy("", ""));
        tries
    }

    /// The policy, with a line more for the vendor and one more at the end.
    fn policy(&self, of_vendor: &str, at_end: &str) -> String {
        let signer = |name, role, key: &SigningKey, more| {
            format!("[[signer]]\nname = \"{name}\"\nroles = [\"{role}\"]\nkey = \"{}\"\n{more}\n", key.public())
        };
        let vendor = signer("the vendor", "vendor", &self.vendor, of_vendor);
        vendor + &signer("somebody", "rebuilder", &self.rebuilder, "") + "[require]\nrebuilders = 1\n" + at_end
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn put(&self, name: &str, text: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), text).unwrap();
    }

    pub fn run(&self, args: &[&str]) -> Seen {
        Seen::of(command(self.dir.path()).args(args))
    }

    /// This has to end with an answer other than yes.
    pub fn refused(&mut self, args: &[&str]) {
        let seen = self.run(args);
        self.refused.push(seen);
    }

    /// This, nearly the same, has to be accepted.
    pub fn accepted(&mut self, args: &[&str]) -> &Seen {
        let seen = self.run(args);
        assert_eq!(seen.code, 0, "{}: {seen:?}", self.name);
        self.accepted.push(seen);
        self.accepted.last().unwrap()
    }

    /// The bundle of these lines, which must be refused for `hello`.
    fn bad(&mut self, lines: &[Vec<u8>]) {
        self.put("bundle", lines.join(&b'\n'));
        let plain = self.run(&VERIFY[..6]);
        assert!(plain.code != 0 && !plain.out.contains("verified"), "{}: {plain:?}", self.name);
        self.refused(&VERIFY);
    }

    /// The bundle of these lines, which must be accepted for `hello`.
    fn good(&mut self, lines: &[Vec<u8>]) -> &Seen {
        self.put("bundle", lines.join(&b'\n'));
        self.accepted(&VERIFY)
    }

    /// Whether all of it came as the table says.
    pub fn check(&self, exit: i32, kind: &str) {
        assert!(!self.refused.is_empty() && !self.accepted.is_empty(), "{} tries too little", self.name);
        for seen in &self.refused {
            assert!(seen.is(exit, Some(kind)), "{}: expected {exit} at {kind:?}: {seen:?}", self.name);
            assert!(!seen.out.contains("verified"), "{}: {seen:?}", self.name);
        }
    }

    fn vendors(&self) -> Vec<u8> {
        sign(&self.vendor, provenance(&self.vendor).encode())
    }

    fn rebuild(&self) -> Vec<u8> {
        sign(&self.rebuilder, provenance(&self.rebuilder).encode())
    }

    /// A line by nobody of the policy: without it a line that is no envelope leaves none at all, which is another answer.
    fn strange(&self) -> Vec<u8> {
        sign(&self.stranger, b"{}".to_vec())
    }
}

const VERIFY: [&str; 7] = ["verify", "hello", "--bundle", "bundle", "--policy", "policy", "--json"];

fn sign(key: &SigningKey, payload: Vec<u8>) -> Vec<u8> {
    key.sign_envelope(payload).to_line()
}

fn provenance(by: &SigningKey) -> Provenance {
    sample::provenance(by.public().default_builder())
}

/// N1: each byte of the three that are signed, one bit of it.
pub fn flipped_bits(tries: &mut Tries) {
    let (payload, rebuild, strange) = (provenance(&tries.vendor).encode(), tries.rebuild(), tries.strange());
    let kind = PAYLOAD_TYPE.as_bytes().to_vec();
    let sig = tries.vendor.sign(&pae(PAYLOAD_TYPE, &payload)).to_vec();
    let line = |tries: &Tries, kind: &[u8], payload: &[u8], sig: &[u8]| {
        let signature = json!({"keyid": tries.vendor.public().fingerprint(), "sig": STANDARD.encode(sig)});
        let kind = std::str::from_utf8(kind).unwrap();
        let envelope = json!({"payloadType": kind, "payload": STANDARD.encode(payload), "signatures": [signature]});
        envelope.to_string().into_bytes()
    };
    let flip = |bytes: &[u8], at: usize, bit: usize| {
        let mut flipped = bytes.to_vec();
        flipped[at] ^= 1 << bit;
        flipped
    };
    let good = line(tries, &kind, &payload, &sig);
    tries.good(&[good, rebuild.clone(), strange.clone()]);
    for at in (0..payload.len()).step_by(payload.len() / 24) {
        let bad = line(tries, &kind, &flip(&payload, at, at % 8), &sig);
        tries.bad(&[bad, rebuild.clone(), strange.clone()]);
    }
    for at in (0..64).step_by(3) {
        let bad = line(tries, &kind, &payload, &flip(&sig, at, at % 8));
        tries.bad(&[bad, rebuild.clone(), strange.clone()]);
    }
    for at in 0..kind.len() {
        let bad = line(tries, &flip(&kind, at, at % 7), &payload, &sig);
        tries.bad(&[bad, rebuild.clone(), strange.clone()]);
    }
}

/// N11: truly signed, the length counted in bytes as it should be; and in characters, as it should not.
pub fn payload_type_of_many_bytes(tries: &mut Tries) {
    let payload = provenance(&tries.vendor).encode();
    let line = |tries: &Tries, kind: &str, message: &[u8]| {
        let signature = json!({"sig": STANDARD.encode(tries.vendor.sign(message))});
        let envelope = json!({"payloadType": kind, "payload": STANDARD.encode(&payload), "signatures": [signature]});
        envelope.to_string().into_bytes()
    };
    let (rebuild, strange) = (tries.rebuild(), tries.strange());
    let kind = format!("{PAYLOAD_TYPE}\u{fc}");
    let characters =
        [format!("DSSEv1 {} {kind} {} ", kind.chars().count(), payload.len()).as_bytes(), &payload].concat();
    for message in [pae(&kind, &payload), characters] {
        let bad = line(tries, &kind, &message);
        tries.bad(&[bad, rebuild.clone(), strange.clone()]);
    }
    let good = line(tries, PAYLOAD_TYPE, &pae(PAYLOAD_TYPE, &payload));
    tries.good(&[good, rebuild, strange]);
}

/// N12.
pub fn too_many_subjects(tries: &mut Tries) {
    let of = |tries: &Tries, most: usize| {
        let more = (1..most).map(|n| subject(&format!("out/{n}"), b""));
        let subjects = std::iter::once(subject("out/hello", HELLO)).chain(more).collect();
        sign(&tries.vendor, Provenance { subjects, ..provenance(&tries.vendor) }.encode())
    };
    let rebuild = tries.rebuild();
    let good = of(tries, MAX_SUBJECTS);
    tries.good(&[good, rebuild.clone()]);
    let bad = of(tries, MAX_SUBJECTS + 1);
    tries.bad(&[bad, rebuild]);
}

/// N12: white space behind the statement, up to the limit and one byte beyond.
pub fn payload_too_long(tries: &mut Tries) {
    let of = |tries: &Tries, len: usize| {
        let mut payload = provenance(&tries.vendor).encode();
        payload.resize(len, b' ');
        sign(&tries.vendor, payload)
    };
    let (rebuild, strange) = (tries.rebuild(), tries.strange());
    let good = of(tries, MAX_PAYLOAD);
    tries.good(&[good, rebuild.clone(), strange.clone()]);
    let bad = of(tries, MAX_PAYLOAD + 1);
    tries.bad(&[bad, rebuild, strange]);
}

/// N12: a file with a hole, which costs nothing to make and is not read.
pub fn bundle_too_long(tries: &mut Tries) {
    let lines = [tries.vendors(), tries.rebuild()];
    tries.good(&lines);
    let file = std::fs::File::options().write(true).open(tries.path("bundle")).unwrap();
    file.set_len(countersign::bundle::MAX_BUNDLE + 1).unwrap();
    tries.refused(&VERIFY);
    tries.refused(&["inspect", "bundle"]);
}

/// N13: a line that wraps an envelope, as some tools write it, is none.
pub fn wrapper_with_two_signatures(tries: &mut Tries) {
    let mut envelope: Value = serde_json::from_slice(&tries.vendors()).unwrap();
    let again = envelope["signatures"][0].clone();
    envelope["signatures"].as_array_mut().unwrap().push(again);
    let twice = envelope.to_string().into_bytes();
    let wrapper = json!({"mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json", "dsseEnvelope": envelope,
        "verificationMaterial": {"publicKey": {"hint": "x"}}});
    let wrapper = wrapper.to_string().into_bytes();
    tries.bad(std::slice::from_ref(&wrapper));
    let rebuild = tries.rebuild();
    tries.good(&[wrapper, twice, rebuild]);
}

/// N18.
pub fn legacy_link(tries: &mut Tries) {
    let products = json!({"out/hello": {"sha256": digest::sha256(HELLO).to_string()}});
    let link = json!({"_type": "link", "name": "build", "materials": {}, "products": products, "byproducts": {}, "command": []});
    let (good, rebuild) = (tries.vendors(), tries.rebuild());
    let link = sign(&tries.vendor, link.to_string().into_bytes());
    tries.bad(&[link.clone(), rebuild.clone()]);
    tries.bad(&[good.clone(), link, rebuild.clone()]);
    tries.good(&[good, rebuild]);
}

/// N25: which of the subjects it is has to be said, and can be demanded.
pub fn second_subject(tries: &mut Tries) {
    let lines = [&tries.vendor, &tries.rebuilder].map(|key| {
        let subjects = vec![subject("out/first", OTHER), subject("out/second", HELLO)];
        sign(key, Provenance { subjects, ..provenance(key) }.encode())
    });
    let seen = tries.good(&lines);
    let document: Value = serde_json::from_str(&seen.out).unwrap();
    assert_eq!(document["items"][0]["subject"], "out/second");
    let plain = tries.accepted(&VERIFY[..6]);
    assert!(plain.out.contains("hello: is out/second"), "{plain:?}");
    tries.accepted(&[&VERIFY[..], &["--as", "out/second"]].concat());
    tries.refused(&[&VERIFY[..], &["--as", "out/first"]].concat());
}

/// N28: two sources with one git tree, which SHA-1 does not rule out and which empty directories make easy.
pub fn git_tree_is_no_alternative(tries: &mut Tries) {
    let mut other = provenance(&tries.rebuilder);
    let SourceCommitment::Public { ids, .. } = other.order.source;
    assert!(ids.git_tree.is_some());
    other.order.source = SourceCommitment::Public { listing: TreeDigest::from_bytes([9; 32]), ids };
    let (good, rebuild) = (tries.vendors(), tries.rebuild());
    let other = sign(&tries.rebuilder, other.encode());
    tries.bad(&[good.clone(), other]);
    tries.good(&[good, rebuild]);
}

/// A verification summary about `hello`.
fn summary(tries: &Tries, by: &SigningKey, result: &str, resource: &str) -> Vec<u8> {
    let level = if result == "PASSED" { "SLSA_BUILD_LEVEL_3" } else { "FAILED" };
    let summary = json!({
        "_type": STATEMENT_TYPE,
        "subject": [{"name": "out/hello", "digest": {"sha256": digest::sha256(HELLO).to_string()}}],
        "predicateType": "https://slsa.dev/verification_summary/v1",
        "predicate": {
            "verifier": {"id": by.public().default_builder()}, "timeVerified": "2026-01-01T00:00:00Z", "resourceUri": resource,
            "policy": {"uri": "https://example.org/policy"}, "verificationResult": result, "verifiedLevels": [level],
            "inputAttestations": [{"digest": {"sha256": payload_digest(&provenance(&tries.vendor).encode()).to_string()}}],
        },
    });
    sign(by, summary.to_string().into_bytes())
}

const SUMMARIES: [(&str, &str); 4] = [
    ("FAILED", "https://example.org/hello"),
    ("PASSED", "https://example.org/hello"),
    ("PASSED", "https://example.org/another"),
    ("FAILED", ""),
];

/// N34, N35: in place of the vendor's provenance it shows nothing, whatever it says and about what.
pub fn summary_as_manifest(tries: &mut Tries) {
    let (good, rebuild) = (tries.vendors(), tries.rebuild());
    for (result, resource) in SUMMARIES {
        let summary = summary(tries, &tries.vendor, result, resource);
        tries.bad(&[summary.clone(), rebuild.clone()]);
        tries.good(&[summary, good.clone(), rebuild.clone()]);
    }
}

/// N34, N35: nor in place of a rebuild.
pub fn summary_as_rebuild(tries: &mut Tries) {
    let (good, rebuild) = (tries.vendors(), tries.rebuild());
    for (result, resource) in SUMMARIES {
        let summary = summary(tries, &tries.rebuilder, result, resource);
        tries.bad(&[good.clone(), summary.clone()]);
        tries.good(&[good.clone(), summary, rebuild.clone()]);
    }
}

/// N38: a directory with nothing in it is not a directory with nothing wrong in it.
pub fn empty_directory(tries: &mut Tries) {
    for dir in ["empty", "full", "full/out"] {
        std::fs::create_dir(tries.path(dir)).unwrap();
    }
    tries.put("full/out/hello", HELLO);
    let options = Options { wanted: Wanted::SUBJECT, ..Options::new(TreeKind::Output) };
    let outputs = scan::tree(&tries.path("full"), &options).unwrap().tree.digest();
    let lines =
        [&tries.vendor, &tries.rebuilder].map(|key| sign(key, Provenance { outputs, ..provenance(key) }.encode()));
    tries.put("bundle", lines.join(&b'\n'));
    let of = |dir| ["verify", "--tree", dir, "--bundle", "bundle", "--policy", "policy", "--json"];
    tries.accepted(&of("full"));
    tries.refused(&of("empty"));
    tries.refused(&of("full/out"));
}

/// N38: a directory that may hold no bundle at all is not searched for one.
pub fn directory_as_bundle(tries: &mut Tries) {
    let lines = [tries.vendors(), tries.rebuild()];
    tries.good(&lines);
    for dir in ["empty", "full"] {
        std::fs::create_dir(tries.path(dir)).unwrap();
        std::fs::copy(tries.path("bundle"), tries.path("full/bundle")).ok();
        tries.refused(&["verify", "hello", "--bundle", dir, "--policy", "policy", "--json"]);
    }
}

/// N40: dissent is about the statement whose payload it names. A signature more on that statement's envelope takes nothing from it; where it
/// names another, it does not count.
pub fn verdict_by_payload(tries: &mut Tries) {
    let manifest = provenance(&tries.vendor).encode();
    let about = |tries: &Tries, reference| {
        let verdict = Verdict {
            kind: VerdictKind::NotReproduced,
            subjects: provenance(&tries.vendor).subjects,
            compared_at: "2026-01-01T00:00:00Z".parse().unwrap(),
            order: provenance(&tries.vendor).order.digest(),
            reference,
            signer: SignerCheck::Checked,
            rebuild: None,
            rebuilder: tries.rebuilder.public().default_builder(),
            reference_environment: provenance(&tries.vendor).environment,
            rebuild_environment: provenance(&tries.vendor).environment,
            runs: 1,
            reason: "it differs".into(),
            artifacts: vec![Artifact {
                name: "out/hello".into(),
                verdict: ArtifactVerdict::Different,
                reference: Some(digest::sha256(HELLO)),
                rebuilt: Some(digest::sha256(OTHER)),
            }],
            supersedes: None,
        };
        sign(&tries.rebuilder, verdict.encode())
    };
    let (good, rebuild) = (tries.vendors(), tries.rebuild());
    let mut envelope: Value = serde_json::from_slice(&good).unwrap();
    let theirs =
        json!({"keyid": "somebody", "sig": STANDARD.encode(tries.stranger.sign(&pae(PAYLOAD_TYPE, &manifest)))});
    envelope["signatures"].as_array_mut().unwrap().push(theirs);
    let more = envelope.to_string().into_bytes();
    assert_ne!(digest::sha256(&more), digest::sha256(&good));
    let named = about(tries, payload_digest(&manifest));
    tries.bad(&[good.clone(), rebuild.clone(), named.clone()]);
    tries.bad(&[more.clone(), rebuild.clone(), named]);
    let another = about(tries, payload_digest(&good));
    tries.good(&[more, rebuild, another]);
}

/// N41: as long as validity is not looked at, a policy cannot state any: whoever wrote it would believe that it is.
pub fn validity_is_not_promised(tries: &mut Tries) {
    let lines = [tries.vendors(), tries.rebuild()];
    tries.good(&lines);
    for line in ["expires = 2020-01-01", "not-before = \"2999-01-01T00:00:00Z\"", "revoked = true"] {
        tries.put("policy", tries.policy(line, ""));
        tries.bad(&lines);
        tries.put("policy", tries.policy("", &format!("{line}\n")));
        tries.bad(&lines);
    }
}
