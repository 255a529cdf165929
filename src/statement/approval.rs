//! Approvals: a second person read a manifest, and had the files in hand that it is about (docs/spec.md §6.5).
//!
//! An approval is made after the outputs were hashed again. It says that these bytes may go out, and nothing about how they came to be: it is
//! never taken for an observation of a build, nor for a rebuild. It holds no time, so that the same approval is the same bytes.

use super::verdict::SignerCheck;
use super::{Only, StatementError, Subject};
use crate::digest::{PayloadDigest, TreeDigest};
use crate::json;
use serde::{Deserialize, Serialize};

/// One approval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval {
    /// The files that were hashed, as the manifest names them.
    pub subjects: Vec<Subject>,
    /// The vendor's statement that is approved; no other.
    pub manifest: PayloadDigest,
    /// Whether the manifest's signer was checked.
    pub signer: SignerCheck,
    /// Digest of the whole output tree, where that was read; none where single files were.
    pub outputs: Option<TreeDigest>,
}

impl Approval {
    /// The payload. Equal values give equal bytes.
    pub fn encode(&self) -> Vec<u8> {
        let predicate = Predicate {
            manifest: Manifest { payload: Only { sha256: self.manifest }, signer: self.signer },
            outputs: self.outputs.map(|sha256| Only { sha256 }),
        };
        super::encode(super::APPROVAL, self.subjects.iter().map(Subject::to_wire).collect(), predicate)
    }
}

pub(super) fn decode(payload: json::Document<'_>) -> Result<Approval, StatementError> {
    let (subjects, predicate) = super::decode::<Predicate>(payload)?;
    Ok(Approval {
        subjects: super::subjects(subjects)?,
        manifest: predicate.manifest.payload.sha256,
        signer: predicate.manifest.signer,
        outputs: predicate.outputs.map(|only| only.sha256),
    })
}

#[derive(Serialize, Deserialize)]
struct Predicate {
    manifest: Manifest,
    #[serde(deserialize_with = "stated")]
    outputs: Option<Only<TreeDigest>>,
}

/// Null where it says so, but not left out.
fn stated<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Option<Only<TreeDigest>>, D::Error> {
    Option::deserialize(d)
}

#[derive(Serialize, Deserialize)]
struct Manifest {
    payload: Only<PayloadDigest>,
    signer: SignerCheck,
}

#[cfg(test)]
mod tests {
    use super::super::Statement;
    use super::super::provenance::tests::subject;
    use super::super::tests::tampered;
    use super::*;

    fn sample() -> Approval {
        Approval {
            subjects: vec![subject("out/hello", b"hello")],
            manifest: PayloadDigest::from_bytes([2; 32]),
            signer: SignerCheck::Checked,
            outputs: Some(TreeDigest::from_bytes([5; 32])),
        }
    }

    #[test]
    fn written_as_the_specification_shows() {
        let text = String::from_utf8(sample().encode()).unwrap();
        let predicate = format!(
            r#""predicateType":"urn:countersign:predicate:approval:v1","predicate":{{"manifest":{{"payload":{{"sha256":"{}"}},"signer":"checked"}},"outputs":{{"sha256":"{}"}}}}}}"#,
            "02".repeat(32),
            "05".repeat(32),
        );
        assert!(text.ends_with(&predicate), "{text}");
    }

    #[test]
    fn round_trip_both_ways_and_tampered_twins() {
        let of_files = Approval { outputs: None, signer: SignerCheck::Claimed, ..sample() };
        for approval in [sample(), of_files] {
            let bytes = approval.encode();
            let Statement::Approval(back) = Statement::decode(&bytes).unwrap() else { panic!() };
            assert_eq!(*back, approval);
            assert_eq!(back.encode(), bytes);
        }
        let bytes = sample().encode();
        let outputs = format!(r#","outputs":{{"sha256":"{}"}}"#, "05".repeat(32));
        for (from, to, why) in [
            (outputs.as_str(), "", "missing field `outputs`"),
            (r#""checked""#, r#""trusted""#, "unknown variant"),
            (r#""manifest":{"#, r#""manifests":{"#, "missing field `manifest`"),
            (&"02".repeat(32), "02", "payload digest"),
            (r#""name":"out/hello""#, r#""name":"../hello""#, "`..`"),
            (r#""subject":[{"#, r#""subject":[],"x":[{"#, "0 subjects"),
        ] {
            let err = tampered(&bytes, from, to).unwrap_err().to_string();
            assert!(err.contains(why), "{to}: {err}");
        }
        let other = tampered(&bytes, "approval:v1", "approval:v2").unwrap();
        assert!(matches!(other, Statement::Other { .. }));
    }
}
