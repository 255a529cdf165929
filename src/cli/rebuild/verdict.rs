//! What is signed of the comparison.

use super::{Args, Outcome, Own, builder_id};
use crate::build::{OutputCopy, Plan};
use crate::cli::exit::Failure;
use crate::cli::reference::Chosen;
use crate::cli::{host, ui};
use crate::keys::SigningKey;
use crate::rebuild::{self, Judgement, Output};
use crate::statement::{Artifact, Supersedes, Verdict, VerdictKind};

/// Signs the statements that explain.
pub(super) fn verdicts(
    outcome: &Outcome,
    own: &Own,
    key: Option<&SigningKey>,
) -> Result<Vec<(VerdictKind, Vec<u8>)>, Failure> {
    let Outcome { args, chosen, vouchers, plan, built, judgement, copies } = outcome;
    let Some(key) = key else { return Ok(Vec::new()) };
    let environment = built[0].0.environment;
    let same = chosen.reference.environment == Some(environment);
    let mut lines = Vec::new();
    for (kind, outputs) in judgement.statements(same) {
        let verdict = verdict(args, chosen, plan, key)?;
        let artifacts: Vec<Artifact> = outputs.iter().map(|output| output.artifact()).collect();
        let verdict = Verdict {
            kind,
            subjects: rebuild::subjects(kind, &chosen.expected, &outputs),
            rebuild: own.payload,
            rebuild_environment: Some(environment),
            runs: outcome.runs(),
            reason: reason(kind, &outputs, judgement, same) + &copied(copies, &outputs) + &vouchers.reason(),
            artifacts,
            ..verdict
        };
        lines.push((kind, key.sign_envelope(verdict.encode()).to_line()));
    }
    Ok(lines)
}

/// A verdict about nothing yet.
pub(super) fn verdict(args: &Args, chosen: &Chosen, plan: &Plan, key: &SigningKey) -> Result<Verdict, Failure> {
    Ok(Verdict {
        kind: VerdictKind::Inconclusive,
        subjects: Vec::new(),
        compared_at: host::now()?,
        order: plan.order().digest(),
        reference: chosen.reference.payload,
        signer: chosen.signer_check(),
        rebuild: None,
        rebuilder: builder_id(args, key),
        reference_environment: chosen.reference.environment,
        rebuild_environment: None,
        runs: 0,
        reason: String::new(),
        artifacts: Vec::new(),
        supersedes: args
            .supersedes
            .map(|payload| Supersedes { payload, reason: args.reason.clone().unwrap_or_default() }),
    })
}

fn reason(kind: VerdictKind, outputs: &[&Output], judgement: &Judgement, same: bool) -> String {
    let environment = if same { "in an equal environment" } else { "in another environment" };
    match kind {
        VerdictKind::Reproduced => format!("{} identical, {environment}", ui::count(outputs.len(), "output")),
        _ if !judgement.deterministic => format!("the runs disagree with one another, {environment}"),
        _ => format!("{} not as signed, {environment}", ui::count(outputs.len(), "output")),
    }
}

/// Whoever reads the verdict should know which outputs were not made but copied.
fn copied(copies: &[OutputCopy], outputs: &[&Output]) -> String {
    let n = outputs.iter().filter(|output| copies.iter().any(|copy| copy.output == output.path)).count();
    if n == 0 { String::new() } else { format!("; {} copied from source or environment", ui::count(n, "file")) }
}
