//! One run of a plan, with its log and its progress.

use super::{Times, What, note_absent_roots};
use crate::build::{self, BuildError, Built, Isolation, Plan, Reading};
use crate::cli::buildlog::BuildLog;
use crate::cli::exit::{Exit, Failure};
use crate::cli::stages::Progress;
use crate::cli::{host, places, trace};
use crate::fs::Existing;
use crate::stop::Stop;
use std::path::Path;

/// One run of what a command line names.
pub fn once(
    plan: &Plan,
    what: &What,
    reading: Reading<'_>,
    source: &Path,
    log: &Path,
    failed: &Path,
    stop: &Stop,
) -> Result<(Built, Times), Failure> {
    note_absent_roots(plan);
    let scratch = places::scratch(what.flags.scratch.as_deref(), source, &plan.roots())?;
    let logs = Logs { log, failed, trace: what.trace.trace_out.as_deref() };
    run_logged(plan, what.sandbox.isolation(), reading, &scratch, logs, !what.flags.quiet, stop)
}

/// A defect: what is kept for good is of a run that read everything, and such a run has its listing.
pub fn not_whole() -> Failure {
    Failure::new(Exit::Internal, "the environment was not read as a whole")
}

/// One run of a plan with its log; the whole environment is read.
pub fn run_once(
    plan: &Plan,
    isolation: Isolation,
    scratch: &Path,
    log: &Path,
    live: bool,
    stop: &Stop,
) -> Result<(Built, Times), Failure> {
    run_logged(plan, isolation, Reading::Whole, scratch, Logs { log, failed: log, trace: None }, live, stop)
}

/// What is kept of a run. The log of one that was interrupted is kept nowhere.
struct Logs<'a> {
    log: &'a Path,
    /// The log of a run that failed.
    failed: &'a Path,
    /// What was observed of a run that failed.
    trace: Option<&'a Path>,
}

fn run_logged(
    plan: &Plan,
    isolation: Isolation,
    reading: Reading<'_>,
    scratch: &Path,
    Logs { log, failed, trace: trace_out }: Logs<'_>,
    live: bool,
    stop: &Stop,
) -> Result<(Built, Times), Failure> {
    // The sandbox stands in another directory than we do.
    let scratch = places::absolute(scratch)?;
    let mut log = BuildLog::create(log, live)?;
    let started = host::now()?;
    let mut progress = Progress::new(live);
    let mut stage = |stage| progress.stage(stage, &plan.roots());
    match build::run(plan, isolation, reading, &scratch, &mut |bytes| log.take(bytes), &mut stage, stop) {
        Ok(built) => {
            log.finish()?;
            Ok((built, Times { started, finished: host::now()? }))
        }
        Err(err) => {
            // Whatever came of it meanwhile.
            stop.check()?;
            let (err, trace) = match err {
                BuildError::Traced { why, trace } => (*why, Some(trace)),
                err => (err, None),
            };
            let mut failure = Failure::from(err);
            if failure.exit != Exit::BuildFailed && log.is_empty() {
                // There was no build; a log would say that there was one.
                return Err(failure);
            }
            drop(progress);
            let kept = log.finish_failed(failed);
            if let Some(trace) = &trace {
                trace::say(trace);
                trace::explain(trace, &mut failure);
                trace_out.map_or(Ok(()), |path| trace::write(trace, false, path, Existing::Refuse))?;
            }
            Err(if failure.exit == Exit::BuildFailed { failure.hint(kept) } else { failure })
        }
    }
}
