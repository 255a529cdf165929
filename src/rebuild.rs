//! Blind rebuilding: what is asked for, and what is made of it afterwards.
//!
//! [`Reference::split`] parts a vendor's provenance in two before anything runs: the [`BuildOrder`], which is all that a build gets to
//! see, and the [`Expected`] outputs, which stay shut away until [`judge`] is called with what the rebuilder's own runs made. The type is the order of
//! events: `judge` wants finished runs. This module reports; what a match is worth is for a policy to say.

use crate::compare::{self, What};
use crate::digest::{self, Content, PayloadDigest, Sha256, TreeDigest};
use crate::path::TreePath;
use crate::statement::{Artifact, ArtifactVerdict, BuildOrder, Provenance, Subject, VerdictKind};
use crate::tree::{self, FILE, Line, Listing, TYPE_BITS, Tree, TreeKind};
use std::collections::{BTreeMap, HashMap, HashSet};

/// A manifest that is to be answered.
#[derive(Clone, Debug)]
pub struct Reference {
    /// Identity of the manifest.
    pub payload: PayloadDigest,
    /// Who says it built it.
    pub builder: String,
    /// What it was built in.
    pub environment: Option<TreeDigest>,
    /// What is to be built.
    pub order: BuildOrder,
}

/// What the manifest says came out.
#[derive(Clone, Debug)]
pub struct Expected {
    outputs: TreeDigest,
    subjects: BTreeMap<TreePath, Subject>,
    listing: Option<Listing>,
}

impl Expected {
    /// The signed lines for comparing published files with; without the signed listing there are none.
    pub fn lines(&self) -> Option<&[Line]> {
        self.listing.as_ref().map(|listing| listing.lines.as_slice())
    }

    /// Digest of the whole output tree.
    pub fn outputs(&self) -> TreeDigest {
        self.outputs
    }

    /// The signed file of that name.
    pub fn file(&self, name: &TreePath) -> Option<&Subject> {
        self.subjects.get(name)
    }

    /// The signed files.
    pub fn files(&self) -> impl Iterator<Item = &Subject> {
        self.subjects.values()
    }
}

/// A manifest that says two things about its outputs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Inconsistent {
    /// Not a listing of outputs.
    #[error("the manifest's output listing is none")]
    Listing,
    /// A file of the listing and the subject of that name.
    #[error("the manifest's subjects and its output listing disagree about {0}")]
    File(TreePath),
}

impl Reference {
    /// Parts a provenance. `listing` is the text with the digest that the provenance names for its outputs, if it is to be had. Subjects and
    /// listing must say the same: else what is compared would not be what is signed.
    pub fn split(
        payload: PayloadDigest,
        provenance: Provenance,
        listing: Option<&str>,
    ) -> Result<(Reference, Expected), Inconsistent> {
        let named = |text: &&str| digest::sha256(text.as_bytes()).as_bytes() == provenance.outputs.as_bytes();
        let listing = listing.filter(named).map(|text| output_listing(text, &provenance.subjects)).transpose()?;
        let subjects = provenance.subjects.into_iter().map(|subject| (subject.name.clone(), subject)).collect();
        let expected = Expected { outputs: provenance.outputs, subjects, listing };
        let Provenance { order, builder, environment, .. } = provenance;
        Ok((Reference { payload, builder, environment, order }, expected))
    }
}

fn output_listing(text: &str, subjects: &[Subject]) -> Result<Listing, Inconsistent> {
    let listing = Listing::parse(text).map_err(|_| Inconsistent::Listing)?;
    if listing.kind != TreeKind::Output {
        return Err(Inconsistent::Listing);
    }
    let listed: BTreeMap<&TreePath, Option<Sha256>> =
        listing.lines.iter().filter(|line| is_file(line)).map(|line| (&line.path, line.sha256)).collect();
    let stated: BTreeMap<&TreePath, Option<Sha256>> =
        subjects.iter().map(|subject| (&subject.name, Some(subject.sha256))).collect();
    let differs = |path: &&&TreePath| listed.get(**path) != stated.get(**path);
    match listed.keys().chain(stated.keys()).find(differs) {
        Some(path) => Err(Inconsistent::File((*path).clone())),
        None => Ok(listing),
    }
}

fn is_file(line: &Line) -> bool {
    line.mode & TYPE_BITS == FILE
}

/// What a comparison came to.
#[derive(Clone, Debug)]
pub struct Judgement {
    /// Each output, sorted by path.
    pub outputs: Vec<Output>,
    /// Whether all runs made the same.
    pub deterministic: bool,
}

/// One output and what became of it.
#[derive(Clone, Debug)]
pub struct Output {
    /// Path below the build directory.
    pub path: TreePath,
    /// The verdict.
    pub verdict: ArtifactVerdict,
    /// In what it differs from the reference; empty when it does not.
    pub what: Vec<What>,
    /// SHA-256 in the reference.
    pub reference: Option<Sha256>,
    /// SHA-256 in the first run.
    pub rebuilt: Option<Sha256>,
    /// All digests of the first run's file.
    pub content: Option<Content>,
    /// Whether it is a regular file (in either), which alone can be a subject.
    pub is_file: bool,
}

/// Compares finished runs with what was expected. `runs` holds at least one.
pub fn judge(expected: &Expected, runs: &[&Tree]) -> Judgement {
    let lines: Vec<Vec<Line>> = runs.iter().map(|tree| tree.lines().collect()).collect();
    let first = &lines[0];
    let unstable: HashSet<TreePath> =
        lines[1..].iter().flat_map(|run| compare::lines(first, run)).map(|difference| difference.path).collect();
    let reference = match &expected.listing {
        Some(listing) => listing.lines.clone(),
        // Without the listing, names and bytes of the files can still be compared, and the listing's digest tells whether that was all.
        None => subject_lines(&expected.subjects, first),
    };
    let here: HashMap<&TreePath, &Content> = runs[0].files().collect();
    let mut outputs: BTreeMap<&TreePath, Output> = BTreeMap::new();
    for line in reference.iter().chain(lines.iter().flatten()) {
        outputs.entry(&line.path).or_insert_with(|| Output {
            path: line.path.clone(),
            verdict: ArtifactVerdict::Identical,
            what: Vec::new(),
            reference: None,
            rebuilt: None,
            content: here.get(&line.path).map(|content| **content),
            is_file: false,
        });
    }
    for (lines, side) in [(&reference, Side::Reference), (first, Side::Rebuilt)] {
        for line in lines {
            if let Some(output) = outputs.get_mut(&line.path) {
                output.is_file |= is_file(line);
                match side {
                    Side::Reference => output.reference = line.sha256,
                    Side::Rebuilt => output.rebuilt = line.sha256,
                }
            }
        }
    }
    for difference in compare::lines(&reference, first) {
        if let Some(output) = outputs.get_mut(&difference.path) {
            output.verdict = match difference.what[0] {
                What::OnlyA => ArtifactVerdict::Missing,
                What::OnlyB => ArtifactVerdict::Extra,
                _ => ArtifactVerdict::Different,
            };
            output.what = difference.what;
        }
    }
    for (path, output) in &mut outputs {
        // Every recognised digest must agree, not just the one that listings have.
        let known = expected.subjects.get(path);
        if output.verdict == ArtifactVerdict::Identical
            && let (Some(subject), Some(content)) = (known, &output.content)
            && !subject.agrees(content)
        {
            output.verdict = ArtifactVerdict::Different;
            output.what = vec![What::Content];
        }
        // What the rebuilder's own runs disagree about is no statement about the vendor's bytes, equal or not.
        if unstable.contains(*path) && !matches!(output.verdict, ArtifactVerdict::Missing | ArtifactVerdict::Extra) {
            output.verdict = ArtifactVerdict::Nondeterministic;
        }
    }
    let mut outputs: Vec<Output> = outputs.into_values().collect();
    if expected.listing.is_none() && tree::output_digest(first) != expected.outputs {
        // Files may be equal and the listings are not: a mode, a link or a directory that cannot be named here.
        for output in outputs.iter_mut().filter(|output| output.verdict == ArtifactVerdict::Identical) {
            output.verdict = ArtifactVerdict::Different;
        }
    }
    Judgement { outputs, deterministic: unstable.is_empty() }
}

#[derive(Clone, Copy)]
enum Side {
    Reference,
    Rebuilt,
}

/// Lines for subjects alone; modes and sizes are taken from the run, so that only bytes are compared.
fn subject_lines(subjects: &BTreeMap<TreePath, Subject>, run: &[Line]) -> Vec<Line> {
    let mut lines: BTreeMap<&TreePath, Line> = run
        .iter()
        .filter(|line| !is_file(line) || subjects.contains_key(&line.path))
        .map(|line| (&line.path, line.clone()))
        .collect();
    for subject in subjects.values() {
        let twin = lines.get(&subject.name).filter(|line| is_file(line));
        let (mode, size) = twin.map_or((FILE | 0o644, 0), |line| (line.mode, line.size));
        let sha256 = Some(subject.sha256);
        lines.insert(&subject.name, Line { mode, size, sha256, path: subject.name.clone() });
    }
    lines.into_values().collect()
}

impl Judgement {
    /// The whole takes the worst of its outputs.
    pub fn worst(&self) -> ArtifactVerdict {
        self.outputs.iter().map(|output| output.verdict).max().unwrap_or(ArtifactVerdict::Missing)
    }

    /// Outputs that are not identical.
    pub fn differing(&self) -> impl Iterator<Item = &Output> {
        self.outputs.iter().filter(|output| output.verdict != ArtifactVerdict::Identical)
    }

    /// The statements that follow, each with the outputs it is about. A difference is dissent only in an equal environment; elsewhere
    /// it is inconclusive.
    pub fn statements(&self, same_environment: bool) -> Vec<(VerdictKind, Vec<&Output>)> {
        let bad = if same_environment { VerdictKind::NotReproduced } else { VerdictKind::Inconclusive };
        let (good, rest): (Vec<&Output>, Vec<&Output>) =
            self.outputs.iter().partition(|output| output.verdict == ArtifactVerdict::Identical);
        let good: Vec<&Output> = good.into_iter().filter(|output| output.is_file).collect();
        [(VerdictKind::Reproduced, good), (bad, rest)].into_iter().filter(|(_, outputs)| !outputs.is_empty()).collect()
    }
}

impl Output {
    /// As it stands in a verdict.
    pub fn artifact(&self) -> Artifact {
        Artifact { name: self.path.escaped(), verdict: self.verdict, reference: self.reference, rebuilt: self.rebuilt }
    }
}

/// Subjects of a verdict about `outputs`. Of what was reproduced they are what the rebuilder's own run made. Otherwise they are the
/// reference's; what only the rebuild has is none of them, so that nobody can be led to speak against bytes that he built himself. Where no
/// file of the reference is among them, its output listing stands for them.
pub fn subjects(kind: VerdictKind, expected: &Expected, outputs: &[&Output]) -> Vec<Subject> {
    let own = |output: &&Output| {
        let content = output.content?;
        Some(Subject { name: output.path.clone(), sha256: content.sha256, blake3: content.blake3 })
    };
    let theirs = |output: &&Output| expected.subjects.get(&output.path).cloned();
    let mut subjects: Vec<Subject> = match kind {
        VerdictKind::Reproduced => outputs.iter().filter_map(own).collect(),
        _ => outputs.iter().filter_map(theirs).collect(),
    };
    if subjects.is_empty()
        && let Ok(name) = TreePath::from_bytes(b"outputs")
    {
        subjects.push(Subject { name, sha256: Sha256::from_bytes(*expected.outputs.as_bytes()), blake3: None });
    }
    subjects
}

/// All of a reference's subjects, for a verdict about a build that came to nothing.
pub fn all_subjects(expected: &Expected) -> (Vec<Subject>, Vec<Artifact>) {
    let artifacts = expected.subjects.values().map(|subject| Artifact {
        name: subject.name.escaped(),
        verdict: ArtifactVerdict::NotBuilt,
        reference: Some(subject.sha256),
        rebuilt: None,
    });
    (expected.subjects.values().cloned().collect(), artifacts.collect())
}

#[cfg(test)]
mod tests;
