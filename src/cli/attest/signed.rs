//! What is signed of a build.

use super::{Times, Vouchers, host};
use crate::build::{Built, Plan};
use crate::bundle::Blob;
use crate::digest::PayloadDigest;
use crate::keys::SigningKey;
use crate::statement::{Log, Provenance, RunRecord, Subject, Tool};
use crate::tree::Tree;

/// Every regular file of an output tree.
pub(super) fn subjects(outputs: &Tree) -> Vec<Subject> {
    let files = outputs.files();
    files
        .map(|(path, content)| Subject { name: path.clone(), sha256: content.sha256, blake3: content.blake3 })
        .collect()
}

/// What this run observed, as a statement.
pub fn provenance(plan: &Plan, built: &Built, builder: String, vouchers: &Vouchers) -> Provenance {
    let mut provenance = Provenance {
        order: plan.order().clone(),
        subjects: subjects(&built.outputs),
        observation: built.observation,
        controls: built.controls(),
        variables: plan.variables(),
        environment: Some(built.environment),
        environment_kind: plan.pinned().kind,
        outputs: built.outputs.digest(),
        builder,
        claimed: None,
    };
    vouchers.note_in(&mut provenance);
    provenance
}

/// The lines of a bundle: provenance, run record, listings.
pub(super) fn sign(
    plan: &Plan,
    built: &Built,
    provenance: &Provenance,
    times: &Times,
    key: &SigningKey,
) -> Vec<Vec<u8>> {
    let payload = provenance.encode();
    let record = run_record(crate::statement::payload_digest(&payload), built, times);
    vec![
        key.sign_envelope(payload).to_line(),
        key.sign_envelope(record.encode()).to_line(),
        Blob::listing(&plan.tree().listing()).to_line(),
        Blob::listing(&built.outputs.listing()).to_line(),
    ]
}

/// What was volatile about a run.
pub fn run_record(manifest: PayloadDigest, built: &Built, times: &Times) -> RunRecord {
    RunRecord {
        manifest,
        started_on: times.started.clone(),
        finished_on: times.finished.clone(),
        tool: Tool { name: "countersign".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() },
        host: host::facts(built.processors),
        log: Log { sha256: built.log.1, size: built.log.0 },
        steps: built.ran.steps.iter().map(|step| step.seconds as u64).collect(),
    }
}
