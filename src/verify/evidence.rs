//! Steps 3 to 5: from lines to statements by signers of the policy.

use super::report::Notes;
use super::{Answer, Found};
use crate::bundle::{Bundle, Line};
use crate::digest::{OrderDigest, PayloadDigest};
use crate::envelope::{self, Budget, Envelope, Signers};
use crate::policy::{Policy, Role};
use crate::signature::PublicKey;
use crate::statement::{Approval, Observation, Provenance, Statement, Verdict};
use std::collections::{BTreeSet, HashMap, HashSet};

/// What signers of the policy said.
pub(super) struct Evidence {
    pub provenances: Vec<Said<Provenance>>,
    pub verdicts: Vec<Said<Verdict>>,
    pub approvals: Vec<Approved>,
}

/// An approval and who signed it, as [`Said`]. What it approves, it names by payload; a build order of its own it has none.
pub(super) struct Approved {
    pub payload: PayloadDigest,
    pub signers: Vec<usize>,
    pub what: Approval,
}

/// A statement and who signed it: indices into the policy's signers, each once, never none.
pub(super) struct Said<T> {
    pub payload: PayloadDigest,
    pub signers: Vec<usize>,
    /// The digest of its build order, computed once.
    pub order: OrderDigest,
    pub what: T,
}

impl Said<Provenance> {
    /// Whether this counts by that signer: the pair of key and builder id, and the level of observation.
    pub fn counts_by(&self, at: usize, policy: &Policy) -> Result<(), String> {
        let signer = &policy.signers()[at];
        if !signer.builders.contains(&self.what.builder) {
            return Err(format!(
                "{} signed for the builder {}, which is not one of its builders",
                signer.name, self.what.builder
            ));
        }
        // Whatever the policy accepts of a vendor: who did not build did not build again.
        if signer.role == Role::Rebuilder && self.what.observation == Observation::NotObserved {
            return Err(format!("what {} signed was not built by it, and is no rebuild", signer.name));
        }
        policy.require().builds.accepts(&self.what, signer)
    }
}

/// The envelopes of a bundle with their line numbers, and how many lines are nothing at all.
pub(super) struct Envelopes<'b> {
    all: Vec<(usize, &'b Envelope)>,
    malformed: usize,
}

/// Step 3.
pub(super) fn envelopes<'b>(bytes: &[u8], bundle: &'b Bundle<'_>, notes: &mut Notes) -> Found<Envelopes<'b>> {
    let numbers = bytes.split(|b| *b == b'\n').enumerate().filter(|(_, line)| !line.is_empty()).map(|(at, _)| at + 1);
    let mut found = Envelopes { all: Vec::new(), malformed: 0 };
    for (number, line) in numbers.zip(bundle.lines()) {
        match line {
            Line::Envelope(envelope) => found.all.push((number, envelope)),
            Line::Blob(_) => {}
            Line::Other(err) => {
                found.malformed += 1;
                notes.add(format!("line {number} is ignored: {err}"));
            }
        }
    }
    if found.all.is_empty() {
        return Err((Answer::Broken, "the bundle holds no envelope: it is no bundle, or nothing is left of it".into()));
    }
    let says = format!("envelopes: {}, lines ignored: {}", found.all.len(), found.malformed);
    Ok((found, says))
}

/// An envelope that somebody of the policy signed.
pub(super) struct Signed<'b> {
    line: usize,
    envelope: &'b Envelope,
    signers: BTreeSet<usize>,
}

/// Step 4. `budget` is [`Budget::FULL`].
pub(super) fn signatures<'b>(
    found: &Envelopes<'b>,
    policy: &Policy,
    budget: Budget,
    notes: &mut Notes,
) -> Found<Signatures<'b>> {
    let signers = policy.signers();
    let keys: Vec<PublicKey> = signers.iter().map(|signer| signer.key).collect();
    let envelopes: Vec<&Envelope> = found.all.iter().map(|(_, envelope)| *envelope).collect();
    let (by, enough) = envelope::signers(&envelopes, &keys, budget);
    let mut signed = Vec::new();
    let mut broken = BTreeSet::new();
    for ((line, envelope), Signers { by, misnamed }) in found.all.iter().zip(by) {
        if let Some(at) = misnamed.iter().find(|_| by.is_empty()) {
            let name = &signers[*at].name;
            notes.add(format!("line {line} is ignored: it names the key of {name}, and its signature does not verify"));
        } else if by.is_empty() {
            let keyid = envelope.signatures().first().map_or("", |signature| &signature.keyid);
            notes.add(format!("line {line} is ignored: signed by no key of the policy (it names {keyid:?})"));
        }
        broken.extend(misnamed);
        signed.push(Signed { line: *line, envelope, signers: by });
    }
    if !enough {
        notes.add(
            "there are too many signatures that do not name their key; some of them were not tried with every key",
        );
    }
    signed.retain(|entry| !entry.signers.is_empty());
    let have: BTreeSet<usize> = signed.iter().flat_map(|entry| &entry.signers).copied().collect();
    let vendor = |at: &&usize| signers[**at].role == Role::Vendor;
    let vendors = have.iter().filter(vendor).count();
    if (vendors as u64) < u64::from(policy.require().vendor.get()) {
        if let Some(at) = broken.iter().filter(vendor).find(|at| !have.contains(at)) {
            return Err((
                Answer::Broken,
                format!("an envelope names the key of {} and its signature does not verify", signers[*at].name),
            ));
        }
        if vendors == 0 && found.malformed > 0 {
            return Err((
                Answer::Broken,
                format!("no vendor of the policy signed, and lines that are not envelopes: {}", found.malformed),
            ));
        }
        if vendors == 0 {
            return Err((Answer::Refused, "no vendor of the policy signed anything in the bundle".into()));
        }
    }
    let says = format!("envelopes by signers of the policy: {}, signers: {}", signed.len(), have.len());
    let forged = broken.iter().find(vendor).map(|at| signers[*at].name.clone());
    Ok((Signatures { signed, forged }, says))
}

/// What came of step 4.
pub(super) struct Signatures<'b> {
    /// The envelopes by signers of the policy.
    pub signed: Vec<Signed<'b>>,
    /// A vendor whose key an envelope names by which it does not verify. Where nothing is left of the vendor's, that is broken evidence and
    /// not the lack of any.
    pub forged: Option<String>,
}

/// Step 5.
pub(super) fn statements(signed: &[Signed<'_>], policy: &Policy, notes: &mut Notes) -> Found<Evidence> {
    let name = |at: &usize| policy.signers()[*at].name.as_str();
    let mut evidence = Evidence { provenances: Vec::new(), verdicts: Vec::new(), approvals: Vec::new() };
    // One payload is one statement, in however many envelopes.
    let mut signers: HashMap<PayloadDigest, BTreeSet<usize>> = HashMap::new();
    let digests: Vec<PayloadDigest> = signed.iter().map(|entry| entry.envelope.payload_digest()).collect();
    for (entry, digest) in signed.iter().zip(&digests) {
        signers.entry(*digest).or_default().extend(&entry.signers);
    }
    let mut seen = HashSet::new();
    for (entry, payload) in signed.iter().zip(&digests).filter(|(_, digest)| seen.insert(**digest)) {
        let by: Vec<usize> = signers[payload].iter().copied().collect();
        let names = by.iter().map(name).collect::<Vec<_>>().join(", ");
        match Statement::decode(entry.envelope.unverified_payload()) {
            Ok(Statement::Provenance(what)) => {
                let order = what.order.digest();
                evidence.provenances.push(Said { payload: *payload, signers: by, order, what: *what });
            }
            Ok(Statement::Verdict(what)) => {
                evidence.verdicts.push(Said { payload: *payload, signers: by, order: what.order, what: *what });
            }
            Ok(Statement::Approval(what)) => {
                evidence.approvals.push(Approved { payload: *payload, signers: by, what: *what });
            }
            Ok(Statement::RunRecord(_)) => {}
            Ok(Statement::Other { predicate_type }) => {
                notes.add(format!("line {} by {names} is of a type that is not read: {predicate_type}", entry.line));
            }
            Err(err) if by.iter().any(|at| policy.signers()[*at].role == Role::Vendor) => {
                return Err((
                    Answer::Broken,
                    format!("what {names} signed (line {}) cannot be read: {err}", entry.line),
                ));
            }
            Err(err) => notes.add(format!("line {} by {names} is ignored: {err}", entry.line)),
        }
    }
    let mut says = format!("provenance: {}, verdicts: {}", evidence.provenances.len(), evidence.verdicts.len());
    if !evidence.approvals.is_empty() {
        says += &format!(", approvals: {}", evidence.approvals.len());
    }
    Ok((evidence, says))
}
