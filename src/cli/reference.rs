//! Which manifest of a bundle is answered, and what is known of its signer.

use super::exit::{Exit, Failure};
use super::{policy, ui};
use crate::bundle::Bundle;
use crate::digest::{OrderDigest, PayloadDigest, Sha256};
use crate::envelope::Envelope;
use crate::policy::{Policy, Role};
use crate::rebuild::{Expected, Reference};
use crate::signature::PublicKey;
use crate::statement::{Provenance, SourceCommitment, Statement};
use std::path::Path;

/// The manifest that is answered.
pub struct Chosen {
    /// What is to be built.
    pub reference: Reference,
    /// What is said to have come out; for after the build.
    pub expected: Expected,
    /// The listing of the signed source, if the bundle holds it.
    pub source_listing: Option<String>,
    /// What the signer calls its key.
    pub claimed: String,
    /// The policy's name for the signer, if there was a policy.
    pub checked: Option<String>,
}

/// Chooses: with a policy, what one of its vendors signed; without, what claims to be a manifest. More than one build order in what is
/// left is a question for the caller.
pub fn choose(
    bytes: &[u8],
    path: &Path,
    manifest: Option<PayloadDigest>,
    policy: Option<&Path>,
) -> Result<Chosen, Failure> {
    let shown = path.display();
    let bundle = Bundle::parse(bytes).map_err(|err| Failure::new(Exit::Broken, format!("{shown}: {err}")))?;
    let policy = policy.map(policy::load).transpose()?;
    let mut found: Vec<(PayloadDigest, OrderDigest, Provenance, String, Option<String>)> = Vec::new();
    let mut broken = None;
    let (mut untrusted, mut forged) = (0, false);
    for envelope in bundle.envelopes() {
        let signer = match &policy {
            None => None,
            Some(policy) => match vendors(envelope, policy) {
                names if names.is_empty() => {
                    if names_a_vendor(envelope, policy) {
                        forged = true;
                    }
                    untrusted += 1;
                    continue;
                }
                names => Some(names),
            },
        };
        let provenance = match Statement::decode(envelope.unverified_payload()) {
            Ok(Statement::Provenance(provenance)) => provenance,
            Ok(_) => continue,
            Err(err) => {
                broken.get_or_insert(err);
                continue;
            }
        };
        let digest = envelope.payload_digest();
        let name = match &signer {
            None => None,
            Some(names) => match names.iter().find(|(_, builders)| builders.contains(&provenance.builder)) {
                Some((name, _)) if counts(&provenance, policy.as_ref()) => Some(name.clone()),
                _ => {
                    untrusted += 1;
                    continue;
                }
            },
        };
        if manifest.is_some_and(|wanted| wanted != digest) {
            continue;
        }
        let keyid = envelope.signatures().first().map(|signature| signature.keyid.clone()).unwrap_or_default();
        found.push((digest, provenance.order.digest(), *provenance, keyid, name));
    }
    if found.is_empty() {
        return Err(match (manifest, broken) {
            (_, Some(err)) => Failure::new(Exit::Broken, format!("{shown}: {err}")),
            (Some(wanted), _) => Failure::new(Exit::CouldNotTell, format!("{shown} holds no manifest sha256:{wanted}"))
                .hint("`countersign inspect` shows the payload digest of each manifest in its first line"),
            (None, None) if forged => Failure::new(
                Exit::Broken,
                format!("{shown}: a signature that names a vendor of the policy does not verify"),
            ),
            (None, None) if untrusted > 0 => {
                Failure::new(Exit::Refused, format!("{shown} holds no manifest that the policy accepts of a vendor"))
                    .hint("`countersign inspect` shows who signed what")
            }
            (None, None) => Failure::new(Exit::Broken, format!("{shown} holds no manifest")).hint(
                "a manifest is what `countersign attest` writes; `countersign inspect` shows what a bundle holds",
            ),
        });
    }
    // Whoever orders the lines must not choose what is answered.
    let first = &found[0];
    let another = found.iter().find(|(_, order, provenance, ..)| {
        *order != first.1 || provenance.subjects != first.2.subjects || provenance.outputs != first.2.outputs
    });
    if let Some((_, order, ..)) = another {
        let what = if *order == first.1 { "that disagree about the outputs" } else { "of several build orders" };
        let mut failure = Failure::usage(format!("{shown} holds manifests {what}, and which is meant is not said"));
        if policy.is_none() {
            failure = failure.hint("--policy P leaves those that a vendor of yours signed");
        }
        for (digest, _, provenance, claimed, _) in found.iter().take(10) {
            let release = &provenance.order.release;
            failure = failure.hint(format!("--manifest sha256:{digest}    # {release}, by {claimed}"));
        }
        return Err(failure);
    }
    let (payload, _, provenance, claimed, checked) = found.swap_remove(0);
    let SourceCommitment::Public { listing, .. } = provenance.order.source;
    let text = |digest: &[u8; 32]| bundle.text(&Sha256::from_bytes(*digest)).map(str::to_owned);
    let source_listing = text(listing.as_bytes());
    let outputs = text(provenance.outputs.as_bytes());
    let (reference, expected) = Reference::split(payload, provenance, outputs.as_deref())
        .map_err(|err| Failure::new(Exit::Broken, format!("{shown}: {err}")))?;
    let claimed = if claimed.is_empty() { "a key without a name".to_owned() } else { claimed };
    if policy.is_none() {
        ui::say(&format!("note: signer {} is claimed, not checked: no --policy", ui::escape(&claimed)));
    }
    Ok(Chosen { reference, expected, source_listing, claimed, checked })
}

/// The policy's vendors by whose keys an envelope verifies, with their builder ids.
fn vendors(envelope: &Envelope, policy: &Policy) -> Vec<(String, Vec<String>)> {
    let vendors: Vec<_> = policy.signers().iter().filter(|signer| signer.role == Role::Vendor).collect();
    let keys: Vec<PublicKey> = vendors.iter().map(|signer| signer.key).collect();
    envelope.signers(&keys).into_iter().map(|at| (vendors[at].name.clone(), vendors[at].builders.clone())).collect()
}

fn counts(provenance: &Provenance, policy: Option<&Policy>) -> bool {
    policy.is_none_or(|policy| policy.require().builds.refuses(provenance, false).is_none())
}

/// Whether a signature claims to be by one of the policy's vendors. Only for the wording: broken evidence is not the same as none.
fn names_a_vendor(envelope: &Envelope, policy: &Policy) -> bool {
    let mut vendors = policy.signers().iter().filter(|signer| signer.role == Role::Vendor);
    vendors.any(|signer| {
        let name = signer.key.fingerprint();
        envelope.signatures().iter().any(|signature| signature.keyid == name)
    })
}
