//! What [`super::verify`] says beside its answer.

use super::{Answer, Found};
use crate::digest::{OrderDigest, PayloadDigest, TreeDigest};
use crate::statement::{Observation, Release, SourceCommitment};
use serde::Serialize;

const STEPS: [&str; 11] = [
    "limits",
    "policy",
    "envelopes",
    "signatures",
    "statements",
    "roles and builders",
    "release identity",
    "files",
    "rebuilds",
    "thresholds",
    "dissent",
];

/// Everything that came of a question.
#[derive(Debug)]
pub struct Report {
    /// The steps of docs/spec.md §8, all of them.
    pub steps: Vec<Step>,
    /// The answer.
    pub answer: Answer,
    /// Why it is not yes; empty when it is.
    pub reason: String,
    /// The release, from step 8 on.
    pub release: Option<Release>,
    /// The build order, from step 8 on.
    pub order: Option<OrderDigest>,
    /// The source, from step 8 on.
    pub source: Option<SourceCommitment>,
    /// Each thing under test, from step 8 on.
    pub items: Vec<ItemReport>,
    /// Verdicts by rebuilders of the policy about this build order or against these files, from step 9 on.
    pub opinions: Vec<Opinion>,
    /// What was passed over, and why.
    pub notes: Notes,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// As in docs/spec.md §8.
    pub number: usize,
    /// Its name there.
    pub name: &'static str,
    /// How it went.
    pub outcome: Outcome,
    /// What was found, or why it failed.
    pub detail: String,
}

/// How a step went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It holds.
    Pass,
    /// It does not.
    Fail,
    /// It was not reached.
    Skipped,
}

/// One file or directory under test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ItemReport {
    /// What it is called.
    pub shown: String,
    /// The subject that it is; of a directory, none.
    pub subject: Option<String>,
    /// Whether it is what was signed.
    pub matches: bool,
    /// Vendors that signed it.
    pub vendors: Vec<Witness>,
    /// Rebuilders that count.
    pub rebuilds: Vec<Witness>,
    /// Approvers of the policy who approved one of the vendors' statements that count, with this in hand.
    pub approvals: Vec<ApprovedBy>,
    /// What is missing to the thresholds.
    pub short_of: Vec<String>,
}

/// A signer whose statement counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Witness {
    /// The policy's name for it.
    pub name: String,
    /// Builder id.
    pub builder: String,
    /// As the policy says.
    pub organisation: Option<String>,
    /// As the policy says.
    pub jurisdiction: Option<String>,
    /// As the policy says.
    pub platform: Option<String>,
    /// How much of the build it saw.
    pub observation: Observation,
    /// What a builder said that it saw, where the signer did not; it counts for nothing.
    pub claimed: Option<Observation>,
    /// Fingerprint of the environment.
    pub environment: Option<TreeDigest>,
    /// Its statement.
    pub payload: PayloadDigest,
}

/// An approver whose approval counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ApprovedBy {
    /// The policy's name for it.
    pub name: String,
    /// As the policy says.
    pub organisation: Option<String>,
    /// The approval.
    pub payload: PayloadDigest,
    /// The vendor's statement that it approves.
    pub manifest: PayloadDigest,
}

/// A verdict by a rebuilder of the policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Opinion {
    /// The policy's name for who signed it.
    pub name: String,
    /// `reproduced`, `not-reproduced`, ….
    pub says: &'static str,
    /// What it is worth here.
    pub effect: Effect,
    /// When it was made, as it says.
    pub compared_at: String,
    /// Its own words.
    pub reason: String,
    /// Its statement.
    pub payload: PayloadDigest,
}

/// What a verdict is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// Dissent that counts.
    Veto,
    /// Not reproduced, in another environment: nothing follows.
    OtherEnvironment,
    /// Not reproduced, but about other files.
    OtherFiles,
    /// Not reproduced, under a build order of another source, recipe or lock.
    OtherOrder,
    /// Not reproduced, but compared with what no vendor of the policy signed in this bundle.
    OtherReference,
    /// Replaced by a later verdict of the same key.
    Superseded,
    /// It explains; rebuilds are counted by provenance.
    Explains,
}

/// Remarks, bounded: a bundle may have a hundred thousand lines by strangers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Notes {
    /// The first of them.
    pub lines: Vec<String>,
    /// How many more there were.
    pub more: usize,
}

impl Notes {
    const MAX: usize = 100;
    const MAX_LEN: usize = 400;

    pub(super) fn add(&mut self, note: impl Into<String>) {
        if self.lines.len() == Self::MAX {
            self.more += 1;
            return;
        }
        let note: String = note.into();
        let cut = note.char_indices().nth(Self::MAX_LEN).map(|(at, _)| at);
        self.lines.push(cut.map_or_else(|| note.clone(), |at| format!("{}…", &note[..at])));
    }
}

impl Report {
    pub(super) fn begin() -> Report {
        Report {
            steps: Vec::new(),
            answer: Answer::Usage,
            reason: String::new(),
            release: None,
            order: None,
            source: None,
            items: Vec::new(),
            opinions: Vec::new(),
            notes: Notes::default(),
        }
    }

    /// Notes how a step went and hands on what it found.
    pub(super) fn step<T>(&mut self, number: usize, found: Found<T>) -> Result<T, Answer> {
        debug_assert_eq!(self.steps.len() + 1, number);
        let (outcome, detail, result) = match found {
            Ok((value, detail)) => (Outcome::Pass, detail, Ok(value)),
            Err((answer, why)) => (Outcome::Fail, why, Err(answer)),
        };
        if outcome == Outcome::Fail {
            if !self.reason.is_empty() {
                self.reason += "; ";
            }
            self.reason += &detail;
        }
        self.steps.push(Step { number, name: STEPS[number - 1], outcome, detail });
        result
    }

    pub(super) fn end(mut self, answer: Answer) -> Report {
        for (at, name) in STEPS.iter().enumerate().skip(self.steps.len()) {
            self.steps.push(Step { number: at + 1, name, outcome: Outcome::Skipped, detail: String::new() });
        }
        self.answer = answer;
        self
    }
}
