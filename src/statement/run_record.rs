//! Run records: what was volatile about a build (docs/spec.md §6.3), apart from the provenance so that that stays the same each time.

use super::{Only, StatementError, Time, WireSubject, digests};
use crate::digest::{PayloadDigest, Sha256};
use serde::{Deserialize, Serialize};

const SUBJECT: &str = "manifest";

/// Times, log and machine of one build. Nobody's decision rests on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunRecord {
    /// The provenance that this belongs to.
    pub manifest: PayloadDigest,
    /// Begin of the first step.
    pub started_on: Time,
    /// End of the last.
    pub finished_on: Time,
    /// What ran it.
    pub tool: Tool,
    /// Where.
    pub host: Host,
    /// What the steps printed.
    pub log: Log,
    /// Wall time of each step in whole seconds.
    pub steps: Vec<u64>,
}

/// A program and its version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tool {
    /// `countersign`.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// A machine, as `uname` tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// Kernel.
    pub system: String,
    /// Its release.
    pub release: String,
    /// Architecture.
    pub machine: String,
    /// Processors that the build could use.
    pub processors: u32,
}

/// A log by its digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    /// SHA-256.
    pub sha256: Sha256,
    /// Length in bytes.
    pub size: u64,
}

impl RunRecord {
    /// The payload.
    pub fn encode(&self) -> Vec<u8> {
        let manifest = Sha256::from_bytes(*self.manifest.as_bytes());
        let subject = WireSubject { name: SUBJECT.into(), digest: digests(manifest, None) };
        let predicate = Predicate {
            started_on: self.started_on.to_string(),
            finished_on: self.finished_on.to_string(),
            tool: self.tool.clone(),
            host: self.host.clone(),
            log: WireLog { digest: Only { sha256: self.log.sha256 }, size: self.log.size },
            steps: self.steps.iter().map(|seconds| WireStep { seconds: *seconds }).collect(),
        };
        super::encode(super::RUN_RECORD, vec![subject], predicate)
    }
}

pub(super) fn decode(payload: crate::json::Document<'_>) -> Result<RunRecord, StatementError> {
    let (subjects, predicate) = super::decode::<Predicate>(payload)?;
    let [subject] = &subjects[..] else { return Err(StatementError::Count(SUBJECT, subjects.len(), "exactly one is")) };
    if subject.name != SUBJECT {
        return Err(StatementError::Value("subject", subject.name.clone(), "`manifest`"));
    }
    let (manifest, _) = super::read_digests(SUBJECT, &subject.digest)?;
    Ok(RunRecord {
        manifest: PayloadDigest::from_bytes(*manifest.as_bytes()),
        started_on: predicate.started_on.parse()?,
        finished_on: predicate.finished_on.parse()?,
        tool: predicate.tool,
        host: predicate.host,
        log: Log { sha256: predicate.log.digest.sha256, size: predicate.log.size },
        steps: predicate.steps.into_iter().map(|step| step.seconds).collect(),
    })
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Predicate {
    started_on: String,
    finished_on: String,
    tool: Tool,
    host: Host,
    log: WireLog,
    steps: Vec<WireStep>,
}

#[derive(Serialize, Deserialize)]
struct WireLog {
    digest: Only<Sha256>,
    size: u64,
}

#[derive(Serialize, Deserialize)]
struct WireStep {
    seconds: u64,
}

#[cfg(test)]
mod tests {
    use super::super::Statement;
    use super::super::tests::tampered;
    use super::*;

    #[test]
    fn round_trip_both_ways_and_tampered_twins() {
        let record = RunRecord {
            manifest: PayloadDigest::from_bytes([1; 32]),
            started_on: "2026-01-01T00:00:00Z".parse().unwrap(),
            finished_on: "2026-01-01T00:01:00Z".parse().unwrap(),
            tool: Tool { name: "countersign".into(), version: "0.1.0".into() },
            host: Host { system: "Linux".into(), release: "6.1".into(), machine: "x86_64".into(), processors: 2 },
            log: Log { sha256: Sha256::from_bytes([2; 32]), size: 17 },
            steps: vec![1, 59],
        };
        let bytes = record.encode();
        let Statement::RunRecord(back) = Statement::decode(&bytes).unwrap() else { panic!() };
        assert_eq!(*back, record);
        assert_eq!(back.encode(), bytes);
        for (from, to, why) in [
            (r#""name":"manifest""#, r#""name":"manifesto""#, "subject"),
            (r#""subject":["#, r#""subject":[{"name":"manifest","digest":{"sha256":""}},"#, "2 entries"),
            ("2026-01-01T00:00:00Z", "yesterday", "time"),
            (r#""size":17"#, r#""size":-1"#, "invalid value"),
            (r#""seconds":59"#, r#""second":59"#, "missing field"),
        ] {
            let err = tampered(&bytes, from, to).unwrap_err().to_string();
            assert!(err.contains(why), "{to}: {err}");
        }
    }
}
