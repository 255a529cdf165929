//! Steps 8 to 11 for one build order (step 11 itself is in `dissent.rs`). Where several orders are claimed, each is tried and the best answer is given.

use super::evidence::{Approved, Evidence, Said};
use super::report::{ItemReport, Opinion, Witness};
use super::{Claim, FileUnderTest, Question, TreeUnderTest};
use crate::bundle::Bundle;
use crate::digest::{PayloadDigest, Sha256, TreeDigest};
use crate::path::TreePath;
use crate::policy::{self, Policy, Role, Signer};
use crate::statement::{Provenance, SourceCommitment, SourceIds, Subject};
use crate::tree::{Line, Listing, Node, Tree};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// What came of one build order.
pub(super) struct Trial<'e> {
    /// One of the vendor's statements of this order.
    pub claim: Claim<'e>,
    /// Step 8.
    pub files: Result<String, String>,
    /// Step 9.
    pub rebuilds: String,
    /// Step 10.
    pub thresholds: Result<String, String>,
    /// Step 11.
    pub dissent: Result<String, String>,
    pub source: SourceCommitment,
    pub items: Vec<ItemReport>,
    pub opinions: Vec<Opinion>,
    pub notes: Vec<String>,
    /// Vendor statements that counted.
    pub manifests: Vec<PayloadDigest>,
}

impl Trial<'_> {
    /// Greater is better.
    fn rank(&self) -> (u8, usize, usize) {
        let answer = match (&self.files, &self.dissent, &self.thresholds) {
            (Err(_), ..) => 0,
            (_, Err(_), _) => 1,
            (_, _, Err(_)) => 2,
            _ => 3,
        };
        let matching = self.items.iter().filter(|item| item.matches).count();
        (answer, matching, self.items.iter().map(|item| item.rebuilds.len()).sum())
    }
}

/// Tries each build order that a vendor signed; `claims` is not empty.
pub(super) fn best<'e>(
    question: &Question<'_>,
    bundle: &Bundle<'_>,
    policy: &Policy,
    evidence: &'e Evidence,
    claims: &[Claim<'e>],
) -> Trial<'e> {
    let court = Court { question, bundle, policy, evidence, items: items(question) };
    let mut orders = HashSet::new();
    let firsts = claims.iter().filter(|claim| orders.insert(claim.said.order));
    let mut best: Option<Trial> = None;
    for first in firsts {
        let same: Vec<&Claim> = claims.iter().filter(|claim| claim.said.order == first.said.order).collect();
        let trial = court.hear(first, &same);
        if best.as_ref().is_none_or(|best| trial.rank() > best.rank()) {
            best = Some(trial);
        }
    }
    best.unwrap_or_else(|| unreachable!("step 7 lets no empty list of claims through"))
}

/// What one question asks about.
pub(super) enum Item<'q> {
    File(&'q FileUnderTest),
    Tree { under_test: &'q TreeUnderTest, digest: TreeDigest },
}

fn items<'q>(question: &Question<'q>) -> Vec<Item<'q>> {
    let tree = question.tree.map(|under_test| Item::Tree { under_test, digest: under_test.tree.digest() });
    question.files.iter().map(Item::File).chain(tree).collect()
}

/// As which subject something counts; a whole tree as none in particular.
pub(super) type Name<'e> = Option<&'e TreePath>;

/// A statement with its subjects by digest.
struct Known<'e> {
    said: &'e Said<Provenance>,
    subjects: HashMap<Sha256, Vec<&'e Subject>>,
    /// The signers by which it counts.
    by: Vec<usize>,
}

impl<'e> Known<'e> {
    fn new(said: &'e Said<Provenance>, by: Vec<usize>) -> Known<'e> {
        let mut subjects: HashMap<Sha256, Vec<&Subject>> = HashMap::new();
        for subject in &said.what.subjects {
            subjects.entry(subject.sha256).or_default().push(subject);
        }
        Known { said, subjects, by }
    }
}

impl Item<'_> {
    pub(super) fn shown(&self) -> &str {
        match self {
            Item::File(file) => &file.shown,
            Item::Tree { under_test, .. } => &under_test.shown,
        }
    }

    /// As which subjects of a statement this counts.
    fn names<'e>(&self, known: &Known<'e>, wanted: Option<&TreePath>) -> Vec<Name<'e>> {
        match self {
            Item::File(file) => {
                let same = known.subjects.get(&file.content.sha256).into_iter().flatten();
                let same = same.filter(|subject| subject.agrees(&file.content)).map(|subject| &subject.name);
                same.filter(|name| wanted.is_none_or(|wanted| wanted == *name)).map(Some).collect()
            }
            Item::Tree { under_test, digest } => {
                // The digest covers modes, links and directories; the subjects have a second digest of each file.
                let signed = &known.said.what.subjects;
                let same = known.said.what.outputs == *digest && are_the_files(signed, &under_test.tree);
                if same { vec![None] } else { Vec::new() }
            }
        }
    }
}

/// Whether these subjects are the regular files of a tree, all of them.
pub(super) fn are_the_files(subjects: &[Subject], tree: &Tree) -> bool {
    let by_name: HashMap<&TreePath, &Subject> = subjects.iter().map(|s| (&s.name, s)).collect();
    let mut files = 0;
    let all_agree = tree.entries().iter().all(|entry| match &entry.node {
        Node::File { content, .. } => {
            files += 1;
            by_name.get(&entry.path).is_some_and(|subject| subject.agrees(content))
        }
        _ => true,
    });
    all_agree && files == subjects.len()
}

/// Whose statements count for one item under one name: signer to statement.
#[derive(Default, Clone)]
pub(super) struct Count<'e> {
    vendors: BTreeMap<usize, &'e Said<Provenance>>,
    rebuilds: BTreeMap<usize, &'e Said<Provenance>>,
    pub(super) approvals: BTreeMap<usize, &'e Approved>,
    /// What the vendors' statements name.
    pub(super) environments: BTreeSet<TreeDigest>,
    /// What each rebuilder's do.
    rebuilt_in: BTreeMap<usize, BTreeSet<TreeDigest>>,
    pub(super) manifests: BTreeSet<PayloadDigest>,
}

pub(super) struct Court<'a, 'e> {
    question: &'a Question<'a>,
    bundle: &'a Bundle<'a>,
    pub(super) policy: &'a Policy,
    pub(super) evidence: &'e Evidence,
    pub(super) items: Vec<Item<'a>>,
}

impl<'e> Court<'_, 'e> {
    fn hear(&self, first: &Claim<'e>, claims: &[&Claim<'e>]) -> Trial<'e> {
        let mut notes = Vec::new();
        let vendors: Vec<Known> = claims.iter().map(|claim| Known::new(claim.said, claim.vendors.clone())).collect();
        let rebuilds = self.rebuilds(first, &mut notes);

        let mut counts = Vec::new();
        let mut items = Vec::new();
        let mut differing = Vec::new();
        for item in &self.items {
            let (name, count) = self.count(item, &vendors, &rebuilds);
            let matches = !count.vendors.is_empty();
            if !matches {
                differing.push(self.difference(item, &first.said.what));
            }
            items.push(ItemReport {
                shown: item.shown().to_owned(),
                subject: name.map(TreePath::escaped),
                matches,
                vendors: self.witnesses(&count.vendors),
                rebuilds: self.witnesses(&count.rebuilds),
                approvals: self.approved_by(&count.approvals),
                short_of: self.short_of(&count),
            });
            counts.push(count);
        }
        for known in &rebuilds {
            let agrees = |count: &Count| count.rebuilds.values().any(|said| said.payload == known.said.payload);
            if differing.is_empty() && !counts.iter().all(agrees) {
                let names = known.by.iter().map(|at| self.signer(*at).name.as_str()).collect::<Vec<_>>().join(", ");
                notes.push(format!(
                    "{names} built the same order and got something else (statement sha256:{})",
                    known.said.payload
                ));
            }
        }
        self.note_approvals(first.said.order, &counts, &mut notes);
        let (opinions, dissent) = self.dissent(first, &counts);
        Trial {
            claim: first.clone(),
            files: match differing.is_empty() {
                true => Ok("all are what was signed".into()),
                false => Err(some(differing, "; ")),
            },
            rebuilds: match items.iter().map(|item| item.rebuilds.len()).min() {
                Some(least) => format!("of each at least: {least}"),
                None => "none".into(),
            },
            thresholds: thresholds(&items, self.policy),
            dissent,
            source: self.source(first, &counts),
            items,
            opinions,
            notes,
            manifests: counts
                .iter()
                .flat_map(|count| &count.manifests)
                .copied()
                .collect::<BTreeSet<_>>()
                .into_iter()
                .collect(),
        }
    }

    pub(super) fn signer(&self, at: usize) -> &Signer {
        &self.policy.signers()[at]
    }

    /// Step 9: provenance of this order by rebuilders. What they built is compared later, by [`Court::count`].
    fn rebuilds(&self, first: &Claim<'e>, notes: &mut Vec<String>) -> Vec<Known<'e>> {
        let mut rebuilds = Vec::new();
        for said in &self.evidence.provenances {
            let mut by = Vec::new();
            for at in said.signers.iter().copied().filter(|at| self.signer(*at).role == Role::Rebuilder) {
                if said.order != first.said.order {
                    if said.what.order.release == first.said.what.order.release {
                        let name = &self.signer(at).name;
                        notes.push(format!(
                            "{name} built this release from another source, recipe or lock; that does not count"
                        ));
                    }
                    continue;
                }
                match said.counts_by(at, self.policy) {
                    Ok(()) if self.policy.independent(self.signer(at)) => by.push(at),
                    Ok(()) => {
                        notes.push(format!("{} is of a vendor's organisation and does not count", self.signer(at).name))
                    }
                    Err(why) => notes.push(why),
                }
            }
            if !by.is_empty() {
                rebuilds.push(Known::new(said, by));
            }
        }
        rebuilds
    }

    /// Who vouches for one item. A rebuild counts only under the name under which the vendor signed these bytes: two outputs that were
    /// exchanged are not the same release. Where the bytes have several names, the one with most support stands.
    fn count(&self, item: &Item<'_>, vendors: &[Known<'e>], rebuilds: &[Known<'e>]) -> (Name<'e>, Count<'e>) {
        let wanted = self.question.expected.subject.as_ref();
        let mut counts: BTreeMap<Name<'e>, Count<'e>> = BTreeMap::new();
        for known in vendors {
            for name in item.names(known, wanted) {
                let count = counts.entry(name).or_default();
                count.environments.extend(known.said.what.environment);
                count.manifests.insert(known.said.payload);
                for at in &known.by {
                    count.vendors.entry(*at).or_insert(known.said);
                }
            }
        }
        for known in rebuilds {
            for name in item.names(known, wanted) {
                if let Some(count) = counts.get_mut(&name) {
                    for at in &known.by {
                        count.rebuilt_in.entry(*at).or_default().extend(known.said.what.environment);
                        count.rebuilds.entry(*at).or_insert(known.said);
                    }
                }
            }
        }
        for (name, count) in &mut counts {
            count.approvals = self.approvals(item, *name, &count.manifests);
        }
        let rank =
            |count: &Count| (std::cmp::Reverse(self.short_of(count).len()), count.rebuilds.len(), count.vendors.len());
        // Of equals the first in the order of names.
        counts.into_iter().rev().max_by_key(|(_, count)| rank(count)).unwrap_or_default()
    }

    /// Step 10 for one item.
    fn short_of(&self, count: &Count<'_>) -> Vec<String> {
        let want = self.policy.require().vendor.get();
        let mut short = Vec::new();
        if (count.vendors.len() as u64) < u64::from(want) {
            short.push(policy::of(count.vendors.len(), want, "vendor"));
        }
        let rebuilders: Vec<&Signer> = count.rebuilds.keys().map(|at| self.signer(*at)).collect();
        short.extend(self.policy.rebuilders_short_of(&rebuilders, &count.rebuilt_in));
        short.extend(self.policy.approvals_short_of(count.approvals.len()));
        short
    }

    fn witnesses(&self, by: &BTreeMap<usize, &Said<Provenance>>) -> Vec<Witness> {
        let text = |attribute: &Option<crate::policy::Attribute>| attribute.as_ref().map(|a| a.as_str().to_owned());
        by.iter()
            .map(|(at, said)| {
                let signer = self.signer(*at);
                Witness {
                    name: signer.name.clone(),
                    builder: said.what.builder.clone(),
                    organisation: text(&signer.organisation),
                    jurisdiction: text(&signer.jurisdiction),
                    platform: text(&signer.platform),
                    observation: said.what.observation,
                    claimed: said.what.claimed.as_ref().map(|claimed| claimed.observation),
                    environment: said.what.environment,
                    payload: said.payload,
                }
            })
            .collect()
    }

    /// The source, with the ids that nothing rests on only where the vendor and every rebuild that counts state the same: they are not in
    /// the build order, so that nobody else has confirmed a vendor's.
    fn source(&self, first: &Claim<'e>, counts: &[Count<'e>]) -> SourceCommitment {
        let SourceCommitment::Public { listing, mut ids } = first.said.what.order.source;
        let rebuilt = counts.iter().all(|count| !count.rebuilds.is_empty());
        for said in counts.iter().flat_map(|count| count.vendors.values().chain(count.rebuilds.values())) {
            let SourceCommitment::Public { ids: theirs, .. } = said.what.order.source;
            ids = ids.common(theirs);
        }
        SourceCommitment::Public { listing, ids: if rebuilt { ids } else { SourceIds::default() } }
    }

    /// In words, how an item is not what was signed.
    fn difference(&self, item: &Item<'_>, signed: &Provenance) -> String {
        let wanted = self.question.expected.subject.as_ref();
        match item {
            Item::File(file) => {
                let stated = |name: &TreePath| match signed.subject(name) {
                    Some(subject) if subject.sha256 == file.content.sha256 => {
                        format!("{}: its SHA-256 is that of {name}, its BLAKE3 is not", file.shown)
                    }
                    Some(subject) => format!(
                        "{}: its SHA-256 is {}, that of the signed {name} is {}",
                        file.shown, file.content.sha256, subject.sha256
                    ),
                    None => {
                        let names: Vec<String> =
                            signed.subjects.iter().take(5).map(|each| each.name.escaped()).collect();
                        let more = if signed.subjects.len() > names.len() { ", …" } else { "" };
                        format!("{}: nothing named {name} was signed, but {}{more}", file.shown, names.join(", "))
                    }
                };
                match (wanted, &signed.subjects[..]) {
                    (Some(name), _) => stated(name),
                    (None, [only]) => stated(&only.name),
                    _ => format!(
                        "{}: none of the {} signed files has its SHA-256, {}",
                        file.shown,
                        signed.subjects.len(),
                        file.content.sha256
                    ),
                }
            }
            Item::Tree { under_test, digest } if *digest != signed.outputs => {
                let listing = self.bundle.text(&Sha256::from_bytes(*signed.outputs.as_bytes()));
                match listing.and_then(|text| Listing::parse(text).ok()) {
                    Some(listing) => format!("{}: {}", under_test.shown, first_differences(&listing.lines, under_test)),
                    None => format!(
                        "{}: its digest is sha256:{digest}, that of the signed tree sha256:{}; the bundle has no listing to say what differs",
                        under_test.shown, signed.outputs
                    ),
                }
            }
            Item::Tree { under_test, .. } => {
                format!("{}: the signed files are not those of the signed tree", under_test.shown)
            }
        }
    }
}

fn thresholds(items: &[ItemReport], policy: &Policy) -> Result<String, String> {
    let approvals = items.iter().map(|item| item.approvals.len()).min().unwrap_or(0);
    match items.iter().find(|item| !item.short_of.is_empty()) {
        Some(item) => Err(format!("{}: {}", item.shown, item.short_of.join(", "))),
        None => Ok(match policy.require().approvals {
            Some(want) => format!("reached for each; approvals of each at least: {approvals}, needed: {want}"),
            None => "reached for each".into(),
        }),
    }
}

const SHOWN_DIFFERENCES: usize = 10;

fn first_differences(signed: &[Line], under_test: &TreeUnderTest) -> String {
    let signed: BTreeMap<&TreePath, &Line> = signed.iter().map(|line| (&line.path, line)).collect();
    let found: Vec<Line> = under_test.tree.lines().collect();
    let found: BTreeMap<&TreePath, &Line> = found.iter().map(|line| (&line.path, line)).collect();
    let paths: BTreeSet<&TreePath> = signed.keys().chain(found.keys()).copied().collect();
    let differences: Vec<String> = paths
        .into_iter()
        .filter_map(|path| match (signed.get(path), found.get(path)) {
            (Some(_), None) => Some(format!("{path} is missing")),
            (None, Some(_)) => Some(format!("{path} was not signed")),
            (Some(a), Some(b)) if a.mode != b.mode => {
                Some(format!("{path} has mode {:o}, signed is {:o}", b.mode, a.mode))
            }
            (Some(a), Some(b)) if a != b => Some(format!("{path} has other bytes")),
            _ => None,
        })
        .collect();
    some(differences, ", ")
}

/// The first of many.
fn some(all: Vec<String>, between: &str) -> String {
    let more = all.len().saturating_sub(SHOWN_DIFFERENCES);
    let mut text = all.into_iter().take(SHOWN_DIFFERENCES).collect::<Vec<_>>().join(between);
    if more > 0 {
        text += &format!("{between}and {more} more");
    }
    text
}
