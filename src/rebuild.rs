//! Blind rebuilding: what is asked for, and what is made of it afterwards.
//!
//! [`Reference::split`] parts a vendor's provenance in two before anything runs: the [`BuildOrder`], which is all that a build gets to
//! see, and the [`Expected`] outputs, which stay shut away until [`judge`] is called with what the rebuilder's own runs made. The type is the order of
//! events: `judge` wants finished runs. This module reports; what a match is worth is for a policy to say.

use crate::compare::{self, Difference, What};
use crate::digest::{PayloadDigest, Sha256, TreeDigest};
use crate::path::TreePath;
use crate::statement::{Artifact, ArtifactVerdict, BuildOrder, Provenance, Subject, VerdictKind};
use crate::tree::{FILE, Line, Listing, TYPE_BITS, Tree};

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
    subjects: Vec<Subject>,
    listing: Option<Listing>,
}

impl Reference {
    /// Parts a provenance. `listing` is the text with the digest that the provenance names for its outputs, if it is to be had.
    pub fn split(payload: PayloadDigest, provenance: Provenance, listing: Option<&str>) -> (Reference, Expected) {
        let listing = listing
            .filter(|text| crate::digest::sha256(text.as_bytes()).as_bytes() == provenance.outputs.as_bytes())
            .and_then(|text| Listing::parse(text).ok());
        let expected = Expected { outputs: provenance.outputs, subjects: provenance.subjects, listing };
        let Provenance { order, builder, environment, .. } = provenance;
        (Reference { payload, builder, environment, order }, expected)
    }
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
    /// Whether it is a regular file (in either), which alone can be a subject.
    pub is_file: bool,
}

/// Compares finished runs with what was expected. `runs` holds at least one.
pub fn judge(expected: &Expected, runs: &[&Tree]) -> Judgement {
    let runs: Vec<Vec<Line>> = runs.iter().map(|tree| tree.lines().collect()).collect();
    let first = &runs[0];
    let unstable: Vec<TreePath> = runs[1..].iter().flat_map(|run| compare::lines(first, run)).map(|d| d.path).collect();
    let (reference, whole) = match &expected.listing {
        Some(listing) => (listing.lines.clone(), true),
        // Without the listing, names and bytes of the files can still be compared, and the listing's digest tells whether that was all.
        None => (subject_lines(&expected.subjects, first), false),
    };
    let differences = compare::lines(&reference, first);
    let mut outputs: Vec<Output> = Vec::new();
    let mut paths: Vec<&TreePath> = reference.iter().chain(runs.iter().flatten()).map(|line| &line.path).collect();
    paths.sort();
    paths.dedup();
    for path in paths {
        let find = |lines: &[Line]| lines.binary_search_by(|line| line.path.cmp(path)).ok().map(|at| lines[at].clone());
        let (a, b) = (find(&reference), find(first));
        let difference = differences.binary_search_by(|d| d.path.cmp(path)).ok().map(|at| &differences[at]);
        let any_file = [&a, &b].into_iter().flatten().any(|line| line.mode & TYPE_BITS == FILE);
        outputs.push(Output {
            path: path.clone(),
            verdict: verdict(difference, unstable.contains(path)),
            what: difference.map(|d| d.what.clone()).unwrap_or_default(),
            reference: a.and_then(|line| line.sha256),
            rebuilt: b.and_then(|line| line.sha256),
            is_file: any_file,
        });
    }
    let same = runs[0].len() == reference.len() && differences.is_empty();
    if !whole && same && crate::tree::output_digest(first) != expected.outputs {
        // Every file is equal and the listings are not: a mode, a link or a directory that cannot be named here.
        for output in &mut outputs {
            output.verdict = ArtifactVerdict::Different;
        }
    }
    Judgement { outputs, deterministic: unstable.is_empty() }
}

fn verdict(difference: Option<&Difference>, unstable: bool) -> ArtifactVerdict {
    match difference.map(|d| d.what[0]) {
        Some(What::OnlyA) => ArtifactVerdict::Missing,
        Some(What::OnlyB) => ArtifactVerdict::Extra,
        // What the rebuilder's own runs disagree about is no statement about the vendor's bytes, equal or not.
        _ if unstable => ArtifactVerdict::Nondeterministic,
        Some(_) => ArtifactVerdict::Different,
        None => ArtifactVerdict::Identical,
    }
}

/// Lines for subjects alone; modes are taken from the run, so that only bytes are compared.
fn subject_lines(subjects: &[Subject], run: &[Line]) -> Vec<Line> {
    let mut lines: Vec<Line> = run.iter().filter(|line| line.mode & TYPE_BITS != FILE).cloned().collect();
    for subject in subjects {
        let twin = run.iter().find(|line| line.path == subject.name);
        lines.retain(|line| line.path != subject.name);
        lines.push(Line {
            mode: twin.map_or(FILE | 0o644, |line| FILE | line.mode & !TYPE_BITS),
            size: twin.map_or(0, |line| line.size),
            sha256: Some(subject.sha256),
            path: subject.name.clone(),
        });
    }
    lines.sort_by(|a, b| a.path.cmp(&b.path));
    lines
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

/// Subjects of a verdict about `outputs`: files by the reference's digests (the rebuild's where the reference has none). Where no file is
/// among them, the reference's output listing stands for them.
pub fn subjects(expected: &Expected, outputs: &[&Output]) -> Vec<Subject> {
    let mut subjects: Vec<Subject> = outputs
        .iter()
        .filter(|output| output.is_file)
        .filter_map(|output| {
            let known = expected.subjects.iter().find(|subject| subject.name == output.path);
            known.cloned().or_else(|| {
                let sha256 = output.reference.or(output.rebuilt)?;
                Some(Subject { name: output.path.clone(), sha256, blake3: None })
            })
        })
        .collect();
    if subjects.is_empty()
        && let Ok(name) = TreePath::from_bytes(b"outputs")
    {
        subjects.push(Subject { name, sha256: Sha256::from_bytes(*expected.outputs.as_bytes()), blake3: None });
    }
    subjects
}

/// All of a reference's subjects, for a verdict about a build that came to nothing.
pub fn all_subjects(expected: &Expected) -> (Vec<Subject>, Vec<Artifact>) {
    let artifacts = expected.subjects.iter().map(|subject| Artifact {
        name: subject.name.escaped(),
        verdict: ArtifactVerdict::NotBuilt,
        reference: Some(subject.sha256),
        rebuilt: None,
    });
    (expected.subjects.clone(), artifacts.collect())
}
