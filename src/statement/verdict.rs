//! Verdicts: somebody compared a rebuild with a reference (docs/spec.md §6.4).
//!
//! A verdict explains and may veto; it is never counted as a rebuild. What is counted is the rebuilder's own provenance.

use super::{Only, Payload, StatementError, Subject, Time};
use crate::digest::{OrderDigest, PayloadDigest, Sha256, TreeDigest};
use crate::json;
use serde::{Deserialize, Serialize};

/// The result of one comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What it says; becomes the predicate type, because most verifiers look no further.
    pub kind: VerdictKind,
    /// What it says that of: artifacts of the reference, or what only the rebuild has.
    pub subjects: Vec<Subject>,
    /// When.
    pub compared_at: Time,
    /// What was to be built.
    pub order: OrderDigest,
    /// The statement that was compared with.
    pub reference: PayloadDigest,
    /// Whether the reference's signer was checked.
    pub signer: SignerCheck,
    /// The rebuilder's provenance; none when nothing was built.
    pub rebuild: Option<PayloadDigest>,
    /// Builder id of the rebuilder.
    pub rebuilder: String,
    /// Fingerprint that the reference names.
    pub reference_environment: Option<TreeDigest>,
    /// Fingerprint of the rebuild.
    pub rebuild_environment: Option<TreeDigest>,
    /// How many times it was built.
    pub runs: u32,
    /// For people.
    pub reason: String,
    /// Each artifact that the verdict is about.
    pub artifacts: Vec<Artifact>,
    /// An earlier verdict by the same key that this one replaces.
    pub supersedes: Option<Supersedes>,
}

/// What a verdict says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum VerdictKind {
    /// Identical.
    Reproduced,
    /// Equal in a weaker sense.
    Equivalent,
    /// Source, recipe and environment are equal, and a run differs: dissent.
    NotReproduced,
    /// The build failed, or differs in another environment.
    Inconclusive,
}

/// Whether the rebuilder had a policy that the reference's signer is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SignerCheck {
    /// Checked against the rebuilder's policy.
    Checked,
    /// Not checked.
    Claimed,
}

/// One artifact in a comparison.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// Escaped path.
    pub name: String,
    /// How it compares.
    pub verdict: ArtifactVerdict,
    /// Digest of the reference's.
    #[serde(with = "only")]
    pub reference: Option<Sha256>,
    /// Digest of the rebuilt one.
    #[serde(with = "only")]
    pub rebuilt: Option<Sha256>,
}

/// How one artifact compares, from best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ArtifactVerdict {
    /// Every byte and mode bit.
    Identical,
    /// The rebuilder's own runs disagree.
    Nondeterministic,
    /// Other bytes, another mode, or another target.
    Different,
    /// Only the reference has it.
    Missing,
    /// Only the rebuild has it.
    Extra,
    /// The build did not come so far.
    NotBuilt,
}

/// An earlier verdict that is taken back, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Supersedes {
    /// Its payload digest.
    pub payload: PayloadDigest,
    /// For people.
    pub reason: String,
}

impl VerdictKind {
    const ALL: [VerdictKind; 4] =
        [VerdictKind::Reproduced, VerdictKind::Equivalent, VerdictKind::NotReproduced, VerdictKind::Inconclusive];

    /// The predicate type that says so.
    pub fn predicate_type(self) -> &'static str {
        match self {
            VerdictKind::Reproduced => super::REPRODUCED,
            VerdictKind::Equivalent => super::EQUIVALENT,
            VerdictKind::NotReproduced => super::NOT_REPRODUCED,
            VerdictKind::Inconclusive => super::INCONCLUSIVE,
        }
    }

    /// One word, for people.
    pub fn word(self) -> &'static str {
        match self {
            VerdictKind::Reproduced => "reproduced",
            VerdictKind::Equivalent => "equivalent",
            VerdictKind::NotReproduced => "not-reproduced",
            VerdictKind::Inconclusive => "inconclusive",
        }
    }

    pub(super) fn of_predicate(predicate_type: &str) -> Option<VerdictKind> {
        Self::ALL.into_iter().find(|kind| kind.predicate_type() == predicate_type)
    }
}

impl ArtifactVerdict {
    /// As it is written.
    pub fn word(self) -> &'static str {
        match self {
            ArtifactVerdict::Identical => "identical",
            ArtifactVerdict::Different => "different",
            ArtifactVerdict::Nondeterministic => "nondeterministic",
            ArtifactVerdict::Missing => "missing",
            ArtifactVerdict::Extra => "extra",
            ArtifactVerdict::NotBuilt => "not-built",
        }
    }
}

impl Verdict {
    /// The payload.
    pub fn encode(&self) -> Vec<u8> {
        let only = |digest: Option<TreeDigest>| digest.map(|sha256| Only { sha256 });
        let predicate = Predicate {
            compared_at: self.compared_at.to_string(),
            build_order: Only { sha256: self.order },
            reference: Reference { payload: Only { sha256: self.reference }, signer: self.signer },
            rebuild: self.rebuild.map(Payload::of),
            rebuilder: Rebuilder { id: self.rebuilder.clone() },
            environment: Environments {
                reference: only(self.reference_environment),
                rebuild: only(self.rebuild_environment),
            },
            runs: self.runs,
            reason: self.reason.clone(),
            artifacts: self.artifacts.clone(),
            supersedes: self
                .supersedes
                .as_ref()
                .map(|old| WireSupersedes { payload: Only { sha256: old.payload }, reason: old.reason.clone() }),
        };
        super::encode(self.kind.predicate_type(), self.subjects.iter().map(Subject::to_wire).collect(), predicate)
    }
}

/// Names need only be distinct here, not apart when case is folded: a rebuild that spells a name differently is something to say.
pub(super) fn decode(kind: VerdictKind, payload: json::Document<'_>) -> Result<Verdict, StatementError> {
    let (subjects, predicate) = super::decode::<Predicate>(payload)?;
    Ok(Verdict {
        kind,
        subjects: super::subjects(subjects)?,
        compared_at: predicate.compared_at.parse()?,
        order: predicate.build_order.sha256,
        reference: predicate.reference.payload.sha256,
        signer: predicate.reference.signer,
        rebuild: predicate.rebuild.map(|rebuild| rebuild.payload.sha256),
        rebuilder: predicate.rebuilder.id,
        reference_environment: predicate.environment.reference.map(|only| only.sha256),
        rebuild_environment: predicate.environment.rebuild.map(|only| only.sha256),
        runs: predicate.runs,
        reason: predicate.reason,
        artifacts: predicate.artifacts,
        supersedes: predicate.supersedes.map(|old| Supersedes { payload: old.payload.sha256, reason: old.reason }),
    })
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Predicate {
    compared_at: String,
    build_order: Only<OrderDigest>,
    reference: Reference,
    rebuild: Option<Payload>,
    rebuilder: Rebuilder,
    environment: Environments,
    runs: u32,
    reason: String,
    artifacts: Vec<Artifact>,
    supersedes: Option<WireSupersedes>,
}

#[derive(Serialize, Deserialize)]
struct Reference {
    payload: Only<PayloadDigest>,
    signer: SignerCheck,
}

#[derive(Serialize, Deserialize)]
struct Rebuilder {
    id: String,
}

#[derive(Serialize, Deserialize)]
struct Environments {
    reference: Option<Only<TreeDigest>>,
    rebuild: Option<Only<TreeDigest>>,
}

#[derive(Serialize, Deserialize)]
struct WireSupersedes {
    payload: Only<PayloadDigest>,
    reason: String,
}

/// `{"sha256":"…"}` or null.
mod only {
    use super::{Only, Sha256};
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    pub fn serialize<S: Serializer>(digest: &Option<Sha256>, s: S) -> Result<S::Ok, S::Error> {
        digest.map(|sha256| Only { sha256 }).serialize(s)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Sha256>, D::Error> {
        Ok(Option::<Only<Sha256>>::deserialize(d)?.map(|only| only.sha256))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::Statement;
    use super::super::provenance::tests::subject;
    use super::super::tests::tampered;
    use super::*;

    pub(crate) fn sample() -> Verdict {
        Verdict {
            kind: VerdictKind::NotReproduced,
            subjects: vec![subject("out/hello", b"hello")],
            compared_at: "2026-01-01T00:00:00Z".parse().unwrap(),
            order: OrderDigest::from_bytes([1; 32]),
            reference: PayloadDigest::from_bytes([2; 32]),
            signer: SignerCheck::Claimed,
            rebuild: Some(PayloadDigest::from_bytes([3; 32])),
            rebuilder: "urn:countersign:builder:y".into(),
            reference_environment: Some(TreeDigest::from_bytes([4; 32])),
            rebuild_environment: Some(TreeDigest::from_bytes([4; 32])),
            runs: 1,
            reason: "out/hello differs".into(),
            artifacts: vec![Artifact {
                name: "out/hello".into(),
                verdict: ArtifactVerdict::Different,
                reference: Some(Sha256::from_bytes([5; 32])),
                rebuilt: None,
            }],
            supersedes: None,
        }
    }

    #[test]
    fn written_as_the_specification_shows() {
        let text = String::from_utf8(sample().encode()).unwrap();
        let [one, two, three, four, five] = ["01", "02", "03", "04", "05"].map(|byte| byte.repeat(32));
        let predicate = format!(
            r#""predicateType":"urn:countersign:predicate:not-reproduced:v1","predicate":{{"comparedAt":"2026-01-01T00:00:00Z","buildOrder":{{"sha256":"{one}"}},"reference":{{"payload":{{"sha256":"{two}"}},"signer":"claimed"}},"rebuild":{{"payload":{{"sha256":"{three}"}}}},"rebuilder":{{"id":"urn:countersign:builder:y"}},"environment":{{"reference":{{"sha256":"{four}"}},"rebuild":{{"sha256":"{four}"}}}},"runs":1,"reason":"out/hello differs","artifacts":[{{"name":"out/hello","verdict":"different","reference":{{"sha256":"{five}"}},"rebuilt":null}}],"supersedes":null}}}}"#
        );
        assert!(text.ends_with(&predicate), "{text}");
    }

    #[test]
    fn round_trip_both_ways_and_tampered_twins() {
        let mut full = sample();
        full.supersedes = Some(Supersedes { payload: PayloadDigest::from_bytes([7; 32]), reason: "bad disk".into() });
        full.signer = SignerCheck::Checked;
        let mut bare = sample();
        (bare.rebuild, bare.reference_environment, bare.rebuild_environment) = (None, None, None);
        bare.subjects = vec![subject("a", b"x"), subject("A", b"y")];
        for verdict in [full, bare] {
            for kind in VerdictKind::ALL {
                let verdict = Verdict { kind, ..verdict.clone() };
                let bytes = verdict.encode();
                let Statement::Verdict(back) = Statement::decode(&bytes).unwrap() else { panic!() };
                assert_eq!(*back, verdict);
                assert_eq!(back.encode(), bytes);
            }
        }
        let bytes = sample().encode();
        for (from, to, why) in [
            (r#""different""#, r#""similar""#, "unknown variant"),
            (r#""claimed""#, r#""trusted""#, "unknown variant"),
            ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00+01:00", "time"),
            (r#""runs":1"#, r#""runs":-1"#, "invalid value"),
            (&"02".repeat(32), "02", "payload digest"),
            (r#""buildOrder""#, r#""buildorder""#, "missing field"),
            (r#""name":"out/hello","digest""#, r#""name":"..","digest""#, "`..`"),
        ] {
            let err = tampered(&bytes, from, to).unwrap_err().to_string();
            assert!(err.contains(why), "{to}: {err}");
        }
        // The words of a predicate type are not taken for one another.
        let other = tampered(&bytes, "not-reproduced:v1", "not-reproduced:v2").unwrap();
        assert!(matches!(other, Statement::Other { .. }));
    }
}
