//! `countersign build`: build in the sandbox, without signing.

use super::attest::{
    What, absent, beside, check_place, document, export, list, once, plan, provenance, report, run_record,
};
use super::cache::{self, Kept};
use super::copies::opaque_json;
use super::exit::{Exit, Failure};
use super::places::Made;
use super::vouchers::Vouchers;
use super::{checkout, signals, trace, ui};
use crate::build::{self, Reading};
use crate::fs::{self, Existing};
use crate::{statement, unsigned};
use clap::Args as ClapArgs;
use serde_json::json;
use std::path::PathBuf;

/// Arguments of `build`.
#[derive(ClapArgs, Debug)]
#[command(
    after_help = "Exit codes: 0 built, 2 the command line or the recipe is wrong, 6 the build failed, 7 could not tell.

Examples:
  countersign build --out /tmp/try                       # the project in this directory
  countersign build --source https://example.org/hello.git --revision v1.0 --out try
  countersign build --source ../hello --out hello-1.0 --statement hello.unsigned   # then: sign"
)]
pub struct Args {
    #[command(flatten)]
    what: What,
    /// Put the outputs there; a directory that is not there yet
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Write what was observed there, unsigned, with the run record and the listings: `countersign sign` takes it on another machine
    #[arg(long, value_name = "F")]
    statement: Option<PathBuf>,
    /// Builder id of the statement; who signs it may have one of its own
    #[arg(long, value_name = "ID", requires = "statement", default_value = "urn:countersign:builder:unsigned")]
    builder_id: String,
    /// Read the whole environment, also what did not change since an earlier build; so does `--statement`
    #[arg(long)]
    no_cache: bool,
}

/// Builds, without signing.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let what = &args.what;
    absent(&args.out)?;
    let log = what.log.clone().unwrap_or_else(|| beside(&args.out, ".log"));
    let (mut plan, source) = plan(what)?;
    checkout::note_dirty(&plan)?;
    let trace_out = what.trace.trace_out.as_ref();
    let places = [
        ("output directory", Some(&args.out)),
        ("statement", args.statement.as_ref()),
        ("log", Some(&log)),
        ("trace", trace_out),
    ];
    for (name, path) in places {
        check_place(name, path, &source, &plan)?;
    }
    // The log beside the outputs is a build's own, also that of one that failed; a file that was named may be anything.
    for path in [args.statement.as_ref(), what.log.as_ref(), trace_out].into_iter().flatten() {
        if path.symlink_metadata().is_ok() {
            return Err(Failure::usage(format!("{} is there already", path.display())).hint("name another file"));
        }
    }
    let stop = signals::watch()?;
    let _depot = what.furnish(&mut plan, &source, &stop)?;
    // A statement may be signed elsewhere, and nothing that was remembered is on the way to a signature.
    let mut kept = match args.no_cache || args.statement.is_some() {
        true => None,
        false => Kept::open(&source, &plan.roots()),
    };
    let reading = kept.as_mut().map_or(Reading::Whole, |kept| Reading::Changes(&mut kept.cache));
    let built = once(&plan, what, reading, &source, &log, &log, &stop);
    // What was read was read, whatever came of the build.
    kept.into_iter().for_each(Kept::keep);
    let (built, times) = built?;
    stop.check()?;
    let provenance = provenance(&plan, &built, args.builder_id.clone(), &Vouchers::claimed(plan.pinned()));
    export(&built, &args.out)?;
    let made = Made { files: Vec::new(), dirs: vec![&args.out] };
    if let Some(path) = &args.statement {
        let record = run_record(statement::payload_digest(&provenance.encode()), &built, &times);
        let bytes = unsigned::encode(&provenance, &record, &plan.tree().listing(), &built.outputs.listing());
        fs::write(path, &bytes, 0o644, Existing::Refuse)?;
    }
    if let (Some(trace), Some(path)) = (&built.trace, trace_out) {
        trace::write(trace, true, path, Existing::Refuse)?;
    }
    made.keep();
    let copies = build::copies(&built, &plan);
    report(&built, &copies);
    if what.flags.json {
        let mut document = document(&plan, &provenance, &built.outputs, &copies);
        document["schema"] = "urn:countersign:schema:build:v1".into();
        document["environmentFiles"] = json!(built.environment_read);
        document["opaque"] = opaque_json(&built.opaque);
        document["out"] = args.out.to_string_lossy().into();
        document["statement"] = args.statement.as_ref().map(|path| path.to_string_lossy()).into();
        ui::document(&document);
    } else {
        list(&built);
    }
    if built.environment_read.cached > 0 && !what.flags.quiet {
        ui::say(&cache::words(built.environment_read));
    }
    ui::say(&format!("built {}; nothing is signed", plan.order().release));
    Ok(Exit::Yes)
}
