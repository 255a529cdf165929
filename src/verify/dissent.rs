//! Step 11: rebuilders who could not reproduce it.
//!
//! Dissent is only as good as what it points at. It must name, as its reference, a statement that a vendor of the policy signed and that is
//! in the bundle; and it speaks of the reference's side of the comparison, never of what only the dissenter's own rebuild has. And a vendor
//! who signs the same source, recipe and lock again under another sequence, target or channel does not shed it: what was built is the same.

use super::Claim;
use super::evidence::Said;
use super::report::{Effect, Opinion};
use super::trial::{Count, Court, Item};
use crate::digest::{OrderDigest, PayloadDigest, Sha256, TreeDigest};
use crate::policy::Role;
use crate::statement::{ArtifactVerdict, BuildOrder, Provenance, SourceCommitment, Verdict, VerdictKind};
use crate::tree::Node;
use std::collections::{BTreeSet, HashMap, HashSet};

/// What speaks against one item, ready to be looked up.
struct Against {
    /// Of the reference, what the verdict says is not reproduced.
    digests: HashSet<Sha256>,
}

impl Against {
    /// Digests that are among the subjects and, in the comparison itself, the reference's side of an artifact that is not identical. A
    /// directory or mode has no bytes and no artifact digest; its subject is the whole tree's digest, by the name `outputs`.
    fn of(verdict: &Verdict) -> Against {
        let differs = verdict.artifacts.iter().filter(|artifact| artifact.verdict != ArtifactVerdict::Identical);
        let differs: HashSet<Sha256> = differs.filter_map(|artifact| artifact.reference).collect();
        let subjects = verdict.subjects.iter().map(|subject| subject.sha256);
        Against { digests: subjects.filter(|sha256| differs.contains(sha256)).collect() }
    }

    fn concerns(&self, item: &Item<'_>, verdict: &Verdict, manifests: &BTreeSet<PayloadDigest>) -> bool {
        match item {
            Item::File(file) => self.digests.contains(&file.content.sha256),
            // What only the rebuild has is against the tree as well.
            Item::Tree { under_test, digest } => {
                let digest = Sha256::from_bytes(*digest.as_bytes());
                manifests.contains(&verdict.reference)
                    || verdict.subjects.iter().any(|subject| subject.sha256 == digest)
                    || under_test.tree.entries().iter().any(|entry| match &entry.node {
                        Node::File { content, .. } => self.digests.contains(&content.sha256),
                        _ => false,
                    })
            }
        }
    }
}

/// Equal in all that decides what is built; what it is called may differ.
fn same_build(one: &BuildOrder, other: &BuildOrder) -> bool {
    let SourceCommitment::Public { listing: a, .. } = one.source;
    let SourceCommitment::Public { listing: b, .. } = other.source;
    a == b && one.recipe == other.recipe && one.lock == other.lock
}

/// Dissent is about the environment that the vendor names; or, where another of the vendor's statements was compared with, about the one
/// that the dissenter names as that statement's.
fn equal_environment(verdict: &Verdict, signed: &BTreeSet<TreeDigest>) -> bool {
    verdict
        .rebuild_environment
        .is_some_and(|rebuilt| signed.contains(&rebuilt) || verdict.reference_environment == Some(rebuilt))
}

impl<'e> Court<'_, 'e> {
    /// Verdicts by rebuilders of the policy about this build or these files, and whether they refuse.
    pub(super) fn dissent(&self, first: &Claim<'e>, counts: &[Count<'e>]) -> (Vec<Opinion>, Result<String, String>) {
        let references = self.references();
        let replaced = self.replaced();
        let mut opinions = Vec::new();
        let mut vetoes: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); counts.len()];
        for said in &self.evidence.verdicts {
            let against = Against::of(&said.what);
            for at in said.signers.iter().copied().filter(|at| self.speaks(*at, &said.what)) {
                let concerned: Vec<usize> = (0..self.items.len())
                    .filter(|n| against.concerns(&self.items[*n], &said.what, &counts[*n].manifests))
                    .collect();
                let is_this_order = said.order == first.said.order;
                let reference = references.get(&said.what.reference).filter(|vendors| vendors.order == said.order);
                let same = reference.is_some_and(|vendors| same_build(&vendors.what.order, &first.said.what.order));
                if !is_this_order && !same && (concerned.is_empty() || said.what.kind != VerdictKind::NotReproduced) {
                    continue;
                }
                let effect = match said.what.kind {
                    _ if replaced.contains(&(said.order, said.payload, at)) => Effect::Superseded,
                    VerdictKind::NotReproduced if concerned.is_empty() => Effect::OtherFiles,
                    VerdictKind::NotReproduced if !is_this_order && !same => Effect::OtherOrder,
                    VerdictKind::NotReproduced if reference.is_none() => Effect::OtherReference,
                    VerdictKind::NotReproduced => {
                        let mut effect = Effect::OtherEnvironment;
                        for n in concerned {
                            if equal_environment(&said.what, &counts[n].environments) {
                                effect = Effect::Veto;
                                vetoes[n].insert(at);
                            }
                        }
                        effect
                    }
                    _ => Effect::Explains,
                };
                opinions.push(Opinion {
                    name: self.signer(at).name.clone(),
                    says: said.what.kind.word(),
                    effect,
                    compared_at: said.what.compared_at.to_string(),
                    reason: said.what.reason.clone(),
                    payload: said.payload,
                });
            }
        }
        let outcome = self.outcome(&opinions, &vetoes);
        (opinions, outcome)
    }

    fn outcome(&self, opinions: &[Opinion], vetoes: &[BTreeSet<usize>]) -> Result<String, String> {
        let needed = self.policy.require().vetoes.get();
        if let Some((item, by)) = self.items.iter().zip(vetoes).find(|(_, by)| by.len() as u64 >= u64::from(needed)) {
            let names = by.iter().map(|at| self.signer(*at).name.as_str()).collect::<Vec<_>>().join(", ");
            return Err(format!("{}: not reproduced by {names} in an equal environment", item.shown()));
        }
        let of = |effect| opinions.iter().filter(|opinion| opinion.effect == effect).count();
        let elsewhere = of(Effect::OtherOrder);
        Ok(match vetoes.iter().map(BTreeSet::len).max() {
            Some(some) if some > 0 => format!("{some}, fewer than the {needed} that refuse"),
            _ if elsewhere > 0 => format!("none that counts; under another build order: {elsewhere}"),
            _ if of(Effect::OtherReference) + of(Effect::OtherEnvironment) > 0 => "none that counts".into(),
            _ => "none in the bundle".into(),
        })
    }

    /// What dissent may be about: provenance that a vendor of the policy signed.
    fn references(&self) -> HashMap<PayloadDigest, &'e Said<Provenance>> {
        let vendor = |said: &&Said<Provenance>| said.signers.iter().any(|at| self.signer(*at).role == Role::Vendor);
        self.evidence.provenances.iter().filter(vendor).map(|said| (said.payload, said)).collect()
    }

    /// What a signer took back: by a later verdict that names the same order, its own key's and for a builder of its own.
    fn replaced(&self) -> HashSet<(OrderDigest, PayloadDigest, usize)> {
        let later = self.evidence.verdicts.iter().filter_map(|later| Some((later, later.what.supersedes.as_ref()?)));
        later
            .flat_map(|(later, old)| {
                let by = later.signers.iter().filter(|at| self.speaks(**at, &later.what));
                by.map(|at| (later.order, old.payload, *at))
            })
            .collect()
    }

    /// Whether this verdict is by a rebuilder of the policy and for one of its builders.
    fn speaks(&self, at: usize, verdict: &Verdict) -> bool {
        let signer = self.signer(at);
        signer.role == Role::Rebuilder && signer.builders.contains(&verdict.rebuilder)
    }
}
