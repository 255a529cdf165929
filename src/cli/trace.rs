//! `--trace`: what a build was seen to use, in words and as a document (docs/spec.md §4.4).

use super::exit::Failure;
use super::ui;
use crate::build::{By, Trace, Tracing};
use crate::fs::{self, Existing};
use crate::path::TreePath;
use crate::sandbox::{Address, Attempts, Missing, Program, Wanted};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Files that are named, each time.
const NAMED: usize = 10;
/// Places that are named where something was looked for in many.
const PLACES: usize = 3;
/// Things that a failed build is said to have wanted.
const WANTED: usize = 5;

/// What helps with a step that failed.
pub const ADVICE: &str = "`countersign build --trace=all` shows what it looked for and did not find";

/// What is observed of a build.
#[derive(clap::Args, Debug)]
pub struct TraceFlags {
    /// Observe what the build reads, at hardly any cost; with `all`, also what it looks for in vain, runs and reaches for, in two to four times
    /// the time
    #[arg(long, value_enum, value_name = "HOW", num_args = 0..=1, require_equals = true, default_missing_value = "reads")]
    pub trace: Option<TraceFlag>,
    /// Write what was observed there, one JSON document; also of a build that fails
    #[arg(long, value_name = "F", requires = "trace")]
    pub trace_out: Option<PathBuf>,
}

/// How much.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceFlag {
    /// What is read
    Reads,
    /// What is tried, too
    All,
}

impl TraceFlag {
    /// For the library.
    pub fn tracing(self) -> Tracing {
        match self {
            TraceFlag::Reads => Tracing::Reads,
            TraceFlag::All => Tracing::All,
        }
    }
}

/// Writes the document.
pub fn write(trace: &Trace, built: bool, path: &Path, existing: Existing) -> Result<(), Failure> {
    let mut bytes = crate::json::print(&document(trace, built));
    bytes.push(b'\n');
    Ok(fs::write(path, &bytes, 0o644, existing)?)
}

fn document(trace: &Trace, built: bool) -> Value {
    let environment = &trace.environment;
    let read = environment
        .read
        .iter()
        .map(|file| json!({ "path": absolute(&file.path), "size": file.size, "sha256": file.sha256 }));
    let roots =
        environment.roots.iter().map(|(at, by)| json!({ "path": at.to_string_lossy(), "observed": by.map(word) }));
    let all = |paths: &[String]| paths.iter().map(|path| absolute(path)).collect::<Vec<_>>();
    let source = &trace.source;
    let paths = |paths: &[TreePath]| paths.iter().map(TreePath::escaped).collect::<Vec<_>>();
    json!({
        "schema": "urn:countersign:schema:trace:v1",
        "mode": match trace.tracing { Tracing::Reads => "reads", Tracing::All => "all" },
        "outcome": if built { "built" } else { "failed" },
        "environment": {
            "sha256": environment.declared,
            "files": environment.files,
            "roots": roots.collect::<Vec<_>>(),
            "read": read.collect::<Vec<_>>(),
            "listed": all(&environment.listed),
            "followed": all(&environment.followed),
            "touched": all(&environment.touched),
            "narrowed": environment.narrowed.map(|digest| json!({ "sha256": digest })),
        },
        "source": {
            "files": source.files,
            "observed": source.used.as_ref().map(|_| word(By::AccessTimes)),
            "neverRead": source.used.as_ref().map(|used| paths(&used.never_read)),
            "changed": source.used.as_ref().map(|used| paths(&used.changed)),
        },
        "attempts": trace.attempts.as_ref().map(attempts),
    })
}

fn attempts(attempts: &Attempts) -> Value {
    let program = |one: &Program| json!({ "path": absolute(&one.path), "argv0": one.argv0, "times": one.times });
    let missing = |one: &Missing| json!({ "path": absolute(&one.path), "by": absolute(&one.by), "times": one.times });
    let address = |one: &Address| json!({ "to": one.to, "by": absolute(&one.by), "result": one.result });
    let wanted = |one: &Wanted| {
        let paths: Vec<String> = one.paths.iter().map(|path| absolute(path)).collect();
        json!({ "kind": one.kind, "name": one.name, "by": absolute(&one.by), "paths": paths })
    };
    json!({
        "programs": attempts.programs.iter().map(program).collect::<Vec<_>>(),
        "missing": attempts.missing.iter().map(missing).collect::<Vec<_>>(),
        "wanted": attempts.wanted.iter().map(wanted).collect::<Vec<_>>(),
        "addresses": attempts.addresses.iter().map(address).collect::<Vec<_>>(),
        "resolvers": attempts.resolvers,
        "leftOut": attempts.left_out,
    })
}

fn word(by: By) -> &'static str {
    match by {
        By::AccessTimes => "access-times",
        By::Calls => "calls",
    }
}

fn absolute(path: &str) -> String {
    format!("/{path}")
}

/// Says it in a few lines.
pub fn say(trace: &Trace) {
    for line in lines(trace) {
        ui::say(&format!("trace: {}", ui::escape(&line)));
    }
}

fn lines(trace: &Trace) -> Vec<String> {
    let environment = &trace.environment;
    let mut lines = Vec::new();
    if environment.roots.iter().any(|(_, by)| by.is_some()) {
        let files = ui::count(environment.files, "file");
        lines.push(format!("the build read {} of {files} of the environment", environment.read.len()));
    }
    if environment.roots.iter().any(|(_, by)| by.is_none()) {
        lines.push("what was read of this machine's own files was not observed; --trace=all observes it".to_owned());
    }
    if !environment.touched.is_empty() {
        let files = named(environment.touched.iter().map(|path| absolute(path)));
        lines.push(format!("the build set times or modes of {files}: counted as read"));
    }
    let files = ui::count(trace.source.files, "source file");
    match &trace.source.used {
        None => lines.push(
            "what was read of the source was not observed: the file system that was built on keeps no times of access; --scratch DIR names another"
                .to_owned(),
        ),
        Some(used) if used.never_read.is_empty() => lines.push(format!("no source file of {files} was left unread")),
        Some(used) => {
            let unread = named(used.never_read.iter().map(TreePath::escaped));
            lines.push(format!("{} of {files} never read: {unread}", used.never_read.len()));
        }
    }
    if let Some(attempts) = &trace.attempts {
        lines.push(format!("{} ran", ui::count(programs(attempts), "program")));
        if !attempts.addresses.is_empty() {
            let to = attempts
                .addresses
                .iter()
                .map(|address| format!("{} ({}, by {})", address.to, address.result, absolute(&address.by)));
            lines.push(format!("it reached for {}", named(to)));
        }
        if !attempts.resolvers.is_empty() {
            lines.push(format!("it wanted the address of a name: {}", named(attempts.resolvers.iter().cloned())));
        }
        if attempts.left_out > 0 {
            lines.push(format!("{} more paths are left out", attempts.left_out));
        }
    }
    lines
}

/// Different files that ran.
fn programs(attempts: &Attempts) -> usize {
    let mut paths: Vec<&str> = attempts.programs.iter().map(|program| program.path.as_str()).collect();
    paths.dedup();
    paths.len()
}

fn named(names: impl Iterator<Item = String>) -> String {
    let names: Vec<String> = names.collect();
    let more = if names.len() > NAMED { format!(" and {} more", names.len() - NAMED) } else { String::new() };
    names.into_iter().take(NAMED).collect::<Vec<_>>().join(", ") + &more
}

/// Adds to a failure what the build seems to have wanted, in place of the advice to look for it.
pub fn explain(trace: &Trace, failure: &mut Failure) {
    if trace.tracing == Tracing::All {
        failure.hints.retain(|hint| hint != ADVICE);
    }
    failure.hints.extend(wants(trace));
}

fn wants(trace: &Trace) -> Vec<String> {
    let Some(attempts) = &trace.attempts else { return Vec::new() };
    let mut hints: Vec<String> = attempts.wanted.iter().take(WANTED).map(want).collect();
    if let Some(address) = attempts.addresses.iter().find(|address| address.is_foreign()) {
        hints.push(format!("the build reached for {}, and there is no network", address.to));
    }
    if let Some(line) = attempts.resolvers.last() {
        hints.push(format!("the build wanted the address of a name, and there is no network: {line}"));
    }
    hints
}

fn want(wanted: &Wanted) -> String {
    let places: Vec<String> = wanted.paths.iter().map(|path| absolute(path)).collect();
    let by = absolute(&wanted.by);
    match &places[..] {
        [only] => format!("the build looked for {only}, which is not there (a {}, by {by})", wanted.kind),
        _ => {
            let more = places.len().saturating_sub(PLACES);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            let named = places[..places.len().min(PLACES)].join(", ");
            format!(
                "the build looked for the {} {}, which is nowhere (by {by}, at {named}{more})",
                wanted.kind, wanted.name
            )
        }
    }
}
