//! Verifying: files, a bundle and a policy to an answer (docs/spec.md §8; the steps have the same numbers there). Pure.
//!
//! | step | | says no with |
//! |---|---|---|
//! | 1 | limits | broken |
//! | 2 | policy | usage |
//! | 3 | envelopes | broken |
//! | 4 | signatures | refused, broken |
//! | 5 | statements | broken |
//! | 6 | roles and builders | refused |
//! | 7 | release identity | refused |
//! | 8 | files | differs |
//! | 9 | rebuilds | |
//! | 10 | thresholds | pending |
//! | 11 | dissent | refused |
//!
//! A bundle is carried by anybody. So what a stranger can add to it (lines that are no envelopes, envelopes by unknown keys, a vendor's
//! statement under another key's name, the same line again, a verdict by nobody) is reported and changes no yes into a no; and what a
//! stranger can take away can only turn a yes into something else, but for dissent, which is why safety rests on the thresholds.
//! `tests.rs` has each of these with its tampered twin.

mod approvals;
mod dissent;
mod evidence;
mod report;
mod trial;

pub use report::{ApprovedBy, Effect, ItemReport, Notes, Opinion, Outcome, Report, Step, Witness};

use crate::bundle::Bundle;
use crate::digest::{Content, OrderDigest, PayloadDigest};
use crate::envelope::Budget;
use crate::path::TreePath;
use crate::policy::{Policy, Role};
use crate::statement::{Provenance, Release, SourceCommitment, Word};
use crate::tree::Tree;
use evidence::{Evidence, Said};
use trial::Trial;

/// What is asked.
#[derive(Clone, Copy)]
pub struct Question<'a> {
    /// The files.
    pub files: &'a [FileUnderTest],
    /// A directory that must be the whole output tree, modes, links and directories included.
    pub tree: Option<&'a TreeUnderTest>,
    /// The bundle's bytes.
    pub bundle: &'a [u8],
    /// The policy's bytes.
    pub policy: &'a [u8],
    /// What the release is expected to be.
    pub expected: &'a Expected,
}

/// One file.
#[derive(Clone, Debug)]
pub struct FileUnderTest {
    /// What to call it.
    pub shown: String,
    /// Its digests; [`crate::digest::Wanted::SUBJECT`].
    pub content: Content,
}

/// One directory.
#[derive(Clone, Debug)]
pub struct TreeUnderTest {
    /// What to call it.
    pub shown: String,
    /// Its entries, with [`crate::digest::Wanted::SUBJECT`].
    pub tree: Tree,
}

/// What the release must be, so that a genuine 1.0 is not taken for 1.1, nor a debug tool for the installer.
#[derive(Clone, Debug, Default)]
pub struct Expected {
    /// Product.
    pub product: Option<Word>,
    /// Version.
    pub version: Option<Word>,
    /// The subject that each file must be.
    pub subject: Option<TreePath>,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Everything asked for holds.
    Yes(Box<Verified>),
    /// A file is not what was signed.
    Differs,
    /// The evidence is sound and the policy does not accept it.
    Refused,
    /// The evidence is not sound.
    Broken,
    /// Nothing is against it, and not enough is for it yet.
    Pending,
    /// The question or the policy is wrong.
    Usage,
}

/// What was verified. Only [`verify`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    release: Release,
    order: OrderDigest,
    source: SourceCommitment,
    manifests: Vec<PayloadDigest>,
}

impl Verified {
    /// The release that all files are of.
    pub fn release(&self) -> &Release {
        &self.release
    }

    /// What was built.
    pub fn order(&self) -> OrderDigest {
        self.order
    }

    /// From what. Its other ids are there where every rebuild that counts states them too.
    pub fn source(&self) -> SourceCommitment {
        self.source
    }

    /// The vendor's statements that counted.
    pub fn manifests(&self) -> &[PayloadDigest] {
        &self.manifests
    }
}

/// A step's result and what to say of it, or the answer that it forces and why.
type Found<T> = Result<(T, String), (Answer, String)>;

/// Answers a question.
pub fn verify(question: &Question<'_>) -> Report {
    let mut report = Report::begin();
    let answer = match steps(question, &mut report) {
        Ok(verified) => Answer::Yes(Box::new(verified)),
        Err(answer) => answer,
    };
    report.end(answer)
}

fn steps(question: &Question<'_>, report: &mut Report) -> Result<Verified, Answer> {
    let bundle = report.step(1, limits(question))?;
    let policy = report.step(2, read_policy(question.policy))?;
    let envelopes = evidence::envelopes(question.bundle, &bundle, &mut report.notes);
    let envelopes = report.step(3, envelopes)?;
    let signed = evidence::signatures(&envelopes, &policy, Budget::FULL, &mut report.notes);
    let signed = report.step(4, signed)?;
    let evidence = evidence::statements(&signed.signed, &policy, &mut report.notes);
    let evidence = report.step(5, evidence)?;
    let claims = roles_and_builders(&evidence, &policy, signed.forged.as_deref(), &mut report.notes);
    let claims = report.step(6, claims)?;
    let claims = report.step(7, release_identity(claims, question.expected))?;
    let trial = trial::best(question, &bundle, &policy, &evidence, &claims);
    conclude(trial, report)
}

/// Step 1.
fn limits<'a>(question: &Question<'a>) -> Found<Bundle<'a>> {
    if question.files.is_empty() && question.tree.is_none() {
        return Err((Answer::Usage, "no file was given".into()));
    }
    let bundle = Bundle::parse(question.bundle).map_err(|err| (Answer::Broken, err.to_string()))?;
    let size = format!("lines: {}, bytes: {}", bundle.lines().count(), question.bundle.len());
    Ok((bundle, size))
}

/// Step 2.
fn read_policy(bytes: &[u8]) -> Found<Policy> {
    let text = std::str::from_utf8(bytes).map_err(|_| (Answer::Usage, "the policy is not UTF-8".to_owned()))?;
    let policy = Policy::parse(text).map_err(|err| (Answer::Usage, err.to_string()))?;
    let count = |role| policy.signers().iter().filter(|signer| signer.role == role).count();
    let mut says = format!("vendors: {}, rebuilders: {}", count(Role::Vendor), count(Role::Rebuilder));
    if count(Role::Approver) > 0 {
        says += &format!(", approvers: {}", count(Role::Approver));
    }
    Ok((policy, says))
}

/// A vendor's provenance that counts, and the keys by which it does.
#[derive(Clone)]
struct Claim<'e> {
    said: &'e Said<Provenance>,
    vendors: Vec<usize>,
}

/// Step 6.
fn roles_and_builders<'e>(
    evidence: &'e Evidence,
    policy: &Policy,
    forged: Option<&str>,
    notes: &mut Notes,
) -> Found<Vec<Claim<'e>>> {
    let mut claims = Vec::new();
    let mut against = Vec::new();
    for said in &evidence.provenances {
        let mut vendors = Vec::new();
        for at in said.signers.iter().copied().filter(|at| policy.signers()[*at].role == Role::Vendor) {
            match said.counts_by(at, policy) {
                Ok(()) => vendors.push(at),
                Err(why) => against.push(why),
            }
        }
        if !vendors.is_empty() {
            claims.push(Claim { said, vendors });
        }
    }
    if claims.is_empty() {
        if let Some(name) = forged {
            let why = format!("an envelope names the key of {name} and its signature does not verify");
            return Err((Answer::Broken, why));
        }
        let why = against.into_iter().next();
        return Err((Answer::Refused, why.unwrap_or_else(|| "no vendor of the policy signed provenance".into())));
    }
    against.into_iter().for_each(|why| notes.add(why));
    let says = format!("provenance by vendors: {}", claims.len());
    Ok((claims, says))
}

/// Step 7.
fn release_identity<'e>(claims: Vec<Claim<'e>>, expected: &Expected) -> Found<Vec<Claim<'e>>> {
    let fits = |release: &Release| {
        expected.product.as_ref().is_none_or(|product| *product == release.product)
            && expected.version.as_ref().is_none_or(|version| *version == release.version)
    };
    let first = claims[0].said.what.order.release.to_string();
    let fitting: Vec<Claim> = claims.into_iter().filter(|claim| fits(&claim.said.what.order.release)).collect();
    if fitting.is_empty() {
        let wanted = [expected.product.as_ref(), expected.version.as_ref()];
        let wanted: Vec<&str> = wanted.into_iter().flatten().map(Word::as_str).collect();
        return Err((Answer::Refused, format!("asked for {}, signed is {first}", wanted.join(" "))));
    }
    let says = match (&expected.product, &expected.version) {
        (None, None) => "not asked for".to_owned(),
        _ => format!("provenance of that release: {}", fitting.len()),
    };
    Ok((fitting, says))
}

/// Steps 8 to 11, of the build order that comes out best.
fn conclude(trial: Trial<'_>, report: &mut Report) -> Result<Verified, Answer> {
    let Trial { claim, files, rebuilds, thresholds, dissent, source, items, opinions, notes, manifests } = trial;
    let order = &claim.said.what.order;
    report.release = Some(order.release.clone());
    report.order = Some(claim.said.order);
    report.source = Some(source);
    report.items = items;
    notes.into_iter().for_each(|note| report.notes.add(note));
    report.step(8, files.map(|says| ((), says)).map_err(|why| (Answer::Differs, why)))?;
    report.opinions = opinions;
    report.step(9, Ok(((), rebuilds)))?;
    // "Pending" means that nothing is against it, so step 11 is carried out too, and its answer goes before that of step 10.
    let thresholds = report.step(10, thresholds.map(|says| ((), says)).map_err(|why| (Answer::Pending, why)));
    report.step(11, dissent.map(|says| ((), says)).map_err(|why| (Answer::Refused, why)))?;
    thresholds?;
    Ok(Verified { release: order.release.clone(), order: claim.said.order, source, manifests })
}

#[cfg(test)]
mod tests;
