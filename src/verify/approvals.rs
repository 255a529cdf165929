//! Approvals, which step 10 counts where the policy asks for them.
//!
//! An approval stands beside builds and is none: it counts in no other number. It must name the very statement of a vendor that counts for the
//! item, and state the item under the name under which that counts; so an approval of another release, or of other bytes, is worth nothing here.

use super::evidence::Approved;
use super::report::ApprovedBy;
use super::trial::{Count, Court, Item, Name, are_the_files};
use crate::digest::{OrderDigest, PayloadDigest};
use crate::policy::Role;
use std::collections::{BTreeMap, BTreeSet};

impl<'e> Court<'_, 'e> {
    /// Who approved one item: signer to approval, each key once.
    pub(super) fn approvals(
        &self,
        item: &Item<'_>,
        name: Name<'_>,
        manifests: &BTreeSet<PayloadDigest>,
    ) -> BTreeMap<usize, &'e Approved> {
        let mut found = BTreeMap::new();
        for approved in &self.evidence.approvals {
            if manifests.contains(&approved.what.manifest) && states(approved, item, name) {
                for at in self.approvers(approved) {
                    found.entry(at).or_insert(approved);
                }
            }
        }
        found
    }

    fn approvers(&self, approved: &'e Approved) -> impl Iterator<Item = usize> {
        approved.signers.iter().copied().filter(|at| self.signer(*at).role == Role::Approver)
    }

    pub(super) fn approved_by(&self, by: &BTreeMap<usize, &'e Approved>) -> Vec<ApprovedBy> {
        let one = |(at, approved): (&usize, &&Approved)| ApprovedBy {
            name: self.signer(*at).name.clone(),
            organisation: self.signer(*at).organisation.as_ref().map(|text| text.as_str().to_owned()),
            payload: approved.payload,
            manifest: approved.what.manifest,
        };
        by.iter().map(one).collect()
    }

    /// What looks as if it counted and does not.
    pub(super) fn note_approvals(&self, order: OrderDigest, counts: &[Count<'e>], notes: &mut Vec<String>) {
        let of_order = |said: &&super::evidence::Said<_>| said.order == order;
        let manifests: BTreeSet<PayloadDigest> =
            self.evidence.provenances.iter().filter(of_order).map(|said| said.payload).collect();
        for approved in &self.evidence.approvals {
            let (payload, manifest) = (approved.payload, approved.what.manifest);
            for at in approved.signers.iter().map(|at| self.signer(*at)).filter(|signer| signer.role != Role::Approver)
            {
                let (name, role) = (&at.name, at.role.word());
                notes.push(format!("{name} is a {role}; its approval sha256:{payload} does not count"));
            }
            let counted = |count: &Count| count.approvals.values().any(|one| one.payload == payload);
            if self.approvers(approved).next().is_none() || counts.iter().all(counted) {
                continue;
            }
            let names = self.approvers(approved).map(|at| self.signer(at).name.as_str()).collect::<Vec<_>>().join(", ");
            notes.push(match manifests.contains(&manifest) {
                true => format!("{names} approved sha256:{manifest}, but not all of these files (sha256:{payload})"),
                false => format!("{names} approved another statement, sha256:{manifest} (sha256:{payload})"),
            });
        }
    }
}

/// Whether an approval is about this: the subject of that name, or the whole tree.
fn states(approved: &Approved, item: &Item<'_>, name: Name<'_>) -> bool {
    match (item, name) {
        (Item::File(file), Some(name)) => {
            let mut same = approved.what.subjects.iter().filter(|subject| subject.name == *name);
            same.any(|subject| subject.agrees(&file.content))
        }
        (Item::Tree { under_test, digest }, None) => {
            approved.what.outputs == Some(*digest) && are_the_files(&approved.what.subjects, &under_test.tree)
        }
        _ => false,
    }
}
