//! `countersign attest`: build in the sandbox, hash and sign. What the other commands that build need of it, too.

mod run;
mod signed;

pub use run::{not_whole, once, run_once};
pub use signed::{provenance, run_record};
use signed::{sign, subjects};

use super::checkout;
use super::copies::{copies_json, note_copies, note_opaque, opaque_json};
use super::depot::{self, DepotFlags};
use super::exit::{Exit, Failure};
use super::flags::{BuildFlags, SandboxFlag, payload};
use super::passphrase::{self, PassphraseArgs};
use super::places::{Made, free};
pub use super::places::{absent, beside, stem};
use super::sources::Asked;
use super::trace::{self, TraceFlags};
use super::verify::ReleaseDocument;
use super::vouchers::Vouchers;
use super::{host, places, signals, ui};
use crate::build::{self, BuildError, Built, OutputCopy, Plan, Reading, ReleaseFlags, Special};
use crate::bundle::{self, Blob};
use crate::digest::PayloadDigest;
use crate::environment::Depot;
use crate::fs::{self, Existing};
use crate::keys::SigningKey;
use crate::lock::{self, MAX_LOCK_FILE};
use crate::recipe::{self, Recipe};
use crate::source::Kind;
use crate::statement::{Observation, Provenance, Time, Word};
use crate::stop::Stop;
use crate::tree::{Entry, Tree};
use clap::Args as ClapArgs;
use serde_json::json;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// What is built, and as which release.
#[derive(ClapArgs, Debug)]
pub struct What {
    /// The source: a directory, an archive (tar, tar.gz, tar.xz, tar.zst, zip: also .crate, sdist and npm's .tgz), a Debian .dsc, or with
    /// --revision a git repository, bundle or URL (https, http, git, file) [default: the working directory]
    #[arg(long, value_name = "PATH")]
    source: Option<PathBuf>,
    /// The commit of the source that is meant: a branch, a tag or an id. Its files are taken, not those of the checkout
    #[arg(long, value_name = "REV")]
    revision: Option<String>,
    /// The recipe [default: countersign.toml in the source]
    #[arg(long, value_name = "F")]
    recipe: Option<PathBuf>,
    /// Release channel, in place of the recipe's
    #[arg(long)]
    channel: Option<Word>,
    /// Release target such as x86_64-linux, in place of the recipe's
    #[arg(long)]
    target: Option<Word>,
    /// Release sequence number, in place of the recipe's
    #[arg(long, value_name = "N")]
    sequence: Option<u64>,
    /// Payload digest (sha256:…) of the release before, in place of the recipe's
    #[arg(long, value_name = "DIGEST", value_parser = payload)]
    previous: Option<PayloadDigest>,
    /// `auto` builds in the sandbox or not at all; `none` builds without isolation, which is recorded as `observed`
    #[arg(long, value_enum, default_value_t = SandboxFlag::Auto)]
    sandbox: SandboxFlag,
    /// Keep the build's log there
    #[arg(long, value_name = "F")]
    pub(super) log: Option<PathBuf>,
    #[command(flatten)]
    pub(super) depot: DepotFlags,
    #[command(flatten)]
    pub(super) trace: TraceFlags,
    #[command(flatten)]
    pub(super) flags: BuildFlags,
}

/// Arguments of `attest`.
#[derive(ClapArgs, Debug)]
#[command(
    after_help = "Writes the bundle: the signed manifest, the signed run record, and the listings of source and outputs. Beside it stand \
the build's log (NAME.log) and the listing of the environment (NAME.environment).

Exit codes: 0 signed, 2 the command line or the recipe is wrong or the source is not as committed, 6 the build failed, 7 could not tell.

Examples:
  countersign attest --key vendor --bundle hello.intoto.jsonl
  countersign attest --source a.tar.xz --recipe a.toml --key vendor --bundle a.intoto.jsonl --out a
  countersign attest --source a.git --revision v1.0 --key vendor --bundle a.intoto.jsonl
  countersign attest --source a_1.0-1.dsc --recipe a.toml --key vendor --bundle a.intoto.jsonl"
)]
pub struct Args {
    #[command(flatten)]
    what: What,
    /// The private key, as `countersign key generate` or ssh-keygen writes it
    #[arg(long, value_name = "K")]
    key: PathBuf,
    #[command(flatten)]
    passphrase: PassphraseArgs,
    /// Write the bundle there (NAME.intoto.jsonl)
    #[arg(long, value_name = "B")]
    bundle: PathBuf,
    /// Put the outputs there; a directory that is not there yet
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Sign outputs that were built elsewhere, below this directory; the statement says `not-observed`, which policies refuse unless they
    /// say otherwise
    #[arg(long, value_name = "DIR", conflicts_with_all = ["out", "sandbox", "log", "scratch", "trace"])]
    outputs: Option<PathBuf>,
    /// Sign although the source is a git checkout with files that are not as its commit has them
    #[arg(long)]
    allow_dirty: bool,
    /// Builder id [default: `urn:countersign:builder:` and the fingerprint of the key]
    #[arg(long, value_name = "ID")]
    builder_id: Option<String>,
    /// Replace a bundle that is there, with its log and its listing of the environment
    #[arg(long)]
    force: bool,
}

impl What {
    /// Gives the plan the image of its lock, which stays in the store for as long as the depot is there. What it is made of may be beside the
    /// recipe.
    pub(super) fn furnish(&self, plan: &mut Plan, source: &Path, stop: &Stop) -> Result<Option<Depot>, Failure> {
        if plan.pinned().image.is_none() {
            return Ok(None);
        }
        let beside = self.recipe.as_deref().map_or(source, |file| file.parent().unwrap_or(file));
        places::not_in_source("store", &self.depot.place()?, source)?;
        let beside = if beside.as_os_str().is_empty() { Path::new(".") } else { beside };
        let local = places::absolute(beside)?;
        let depot = self.depot.depot(local.is_dir().then_some(local.as_path()))?;
        depot::furnish(plan, &depot, false, !self.flags.quiet, stop)?;
        Ok(Some(depot))
    }
}

/// Builds and signs.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let what = &args.what;
    let stem = stem(&args.bundle);
    let log = what.log.clone().unwrap_or_else(|| beside(&stem, ".log"));
    let environment = beside(&stem, ".environment");
    let trace = what.trace.trace.map(|_| what.trace.trace_out.clone().unwrap_or_else(|| beside(&stem, ".trace")));
    if let Some(out) = &args.out {
        absent(out)?;
    }
    places::bundle(&args.bundle, args.force)?;
    if args.outputs.is_none() {
        free(&log, args.force)?;
        free(&environment, args.force)?;
        trace.iter().try_for_each(|path| free(path, args.force))?;
    }
    let key = passphrase::load_key(&args.key, &args.passphrase)?;
    let (mut plan, source) = plan(what)?;
    checkout::refuse_dirty(&plan, args.allow_dirty)?;
    let places = [
        ("key", Some(&args.key)),
        ("bundle", Some(&args.bundle)),
        ("output directory", args.out.as_ref()),
        ("log", Some(&log)),
        ("environment", Some(&environment)),
        ("trace", trace.as_ref()),
    ];
    for (name, path) in places {
        check_place(name, path, &source, &plan)?;
    }
    let builder = args.builder_id.clone().unwrap_or_else(|| key.public().default_builder());
    if let Some(dir) = &args.outputs {
        return not_observed(args, &plan, dir, builder, &key);
    }
    let stop = signals::watch()?;
    let _depot = what.furnish(&mut plan, &source, &stop)?;
    // Under a name of its own: the next attempt does not find it in its way.
    let (built, times) = once(&plan, what, Reading::Whole, &source, &log, &beside(&stem, ".failed.log"), &stop)?;
    let mut made = Made { files: vec![&log], dirs: Vec::new() };
    stop.check()?;
    let provenance = provenance(&plan, &built, builder, &Vouchers::claimed(plan.pinned()));
    let lines = sign(&plan, &built, &provenance, &times, &key);
    let bytes = bundle::append(b"", &lines).map_err(|err| Failure::new(Exit::CouldNotTell, err))?;
    // Outputs first, the signature over them last: whoever sees the bundle sees everything that belongs to it.
    if let Some(out) = &args.out {
        export(&built, out)?;
        made.dirs.push(out);
    }
    let listing = built.environment_listing.as_deref().ok_or_else(not_whole)?;
    let existing = if args.force { Existing::Replace } else { Existing::Refuse };
    fs::write(&environment, listing.as_bytes(), 0o644, existing)?;
    made.files.push(&environment);
    if let (Some(trace), Some(path)) = (&built.trace, &trace) {
        trace::write(trace, true, path, existing)?;
        made.files.push(path);
    }
    // The last look: what comes later finds the bundle whole.
    stop.check()?;
    fs::write(&args.bundle, &bytes, 0o644, existing)?;
    made.keep();
    let copies = build::copies(&built, &plan);
    report(&built, &copies);
    let mut document = document(&plan, &provenance, &built.outputs, &copies);
    document["opaque"] = opaque_json(&built.opaque);
    print_attested(args, &key, document, &provenance);
    ui::say(&format!(
        "attested {}: {} in {}",
        plan.order().release,
        ui::count(provenance.subjects.len(), "file"),
        ui::escape(&args.bundle.display().to_string())
    ));
    ui::say(&format!(
        "kept beside it: {}, {} ({}){}",
        ui::escape(&log.display().to_string()),
        ui::escape(&environment.display().to_string()),
        bytes_in_words(listing.len()),
        trace.map(|path| format!(", {}", ui::escape(&path.display().to_string()))).unwrap_or_default()
    ));
    Ok(Exit::Yes)
}

/// Signs what somebody else built: source, recipe and outputs as they are, and nothing about how the one came from the other.
fn not_observed(args: &Args, plan: &Plan, dir: &Path, builder: String, key: &SigningKey) -> Result<Exit, Failure> {
    plan.nothing_stale()?;
    // What was built elsewhere is no build of ours that could fail.
    let outputs = build::outputs(plan, dir, &Stop::default()).map_err(|err| match err {
        BuildError::OutputScan(err) => Failure::from(err),
        err => Failure::from(err),
    })?;
    let copies = build::copies_among(&outputs, plan, &HashMap::new());
    note_copies(&copies);
    let provenance = Provenance {
        order: plan.order().clone(),
        subjects: subjects(&outputs),
        observation: Observation::NotObserved,
        controls: Default::default(),
        variables: Default::default(),
        environment: None,
        environment_kind: Default::default(),
        outputs: outputs.digest(),
        builder,
        claimed: None,
    };
    let lines = [
        key.sign_envelope(provenance.encode()).to_line(),
        Blob::listing(&plan.tree().listing()).to_line(),
        Blob::listing(&outputs.listing()).to_line(),
    ];
    let bytes = bundle::append(b"", &lines).map_err(|err| Failure::new(Exit::CouldNotTell, err))?;
    let existing = if args.force { Existing::Replace } else { Existing::Refuse };
    fs::write(&args.bundle, &bytes, 0o644, existing)?;
    print_attested(args, key, document(plan, &provenance, &outputs, &copies), &provenance);
    ui::say(
        "note: nothing was built; the statement says `not-observed`, which policies refuse unless they say otherwise",
    );
    Ok(Exit::Yes)
}

/// What was signed, to standard output.
fn print_attested(args: &Args, key: &SigningKey, mut document: serde_json::Value, provenance: &Provenance) {
    let payload = crate::statement::payload_digest(&provenance.encode());
    if args.what.flags.json {
        document["schema"] = "urn:countersign:schema:attest:v1".into();
        document["bundle"] = args.bundle.to_string_lossy().into();
        document["payload"] = json!({ "sha256": payload });
        document["signer"] = key.public().fingerprint().into();
        ui::document(&document);
    } else {
        ui::data(&format!("sha256:{payload}\n"));
    }
}

/// Begin and end of a run.
pub struct Times {
    /// Begin.
    pub started: Time,
    /// End.
    pub finished: Time,
}

pub(super) fn plan(what: &What) -> Result<(Plan, PathBuf), Failure> {
    let path = what.source.clone().unwrap_or_else(|| PathBuf::from("."));
    let (revision, scratch) = (what.revision.as_deref(), what.flags.scratch.as_deref());
    let asked = |strip| Asked { path: &path, revision, strip, scratch };
    // Before the recipe, which is looked for in it.
    let kind = asked(0).kind()?;
    let (recipe, source, lock) = match (&what.recipe, revision) {
        (None, Some(revision)) => {
            let (recipe, source) = checkout::recipe_and_source(&path, asked(0).open()?, revision)?;
            (recipe, source, None)
        }
        (None, None) if kind != Kind::Directory => {
            return Err(Failure::usage(format!("the source {} is a file, and no recipe is named", path.display()))
                .hint("name it with --recipe F; in a directory it would be countersign.toml"));
        }
        (recipe, _) => {
            let file = recipe.clone().unwrap_or_else(|| path.join(recipe::FILE_NAME));
            let recipe = read_recipe(&file)?;
            let source = asked(recipe.strip).open()?;
            (recipe, source, Some(file.with_file_name(lock::FILE_NAME)))
        }
    };
    let strip = recipe.strip;
    let flags = ReleaseFlags {
        channel: what.channel.clone(),
        target: what.target.clone(),
        sequence: what.sequence,
        previous: what.previous,
    };
    let locked = match &lock {
        Some(file) => depot::locked(&recipe, &file.display().to_string(), || match fs::read(file, MAX_LOCK_FILE) {
            Err(err) if err.is_not_found() => Ok(None),
            bytes => Ok(Some(bytes?)),
        }),
        None => depot::locked(&recipe, &format!("{} in the commit", lock::FILE_NAME), || checkout::lock(&source)),
    }?;
    let mut plan = Plan::new(recipe, source, flags, host::target()?, locked)?;
    what.trace.trace.into_iter().for_each(|how| plan.trace(how.tracing()));
    if !plan.excluded().is_empty() {
        let names: Vec<String> = plan.excluded().iter().take(5).map(|path| ui::escape(&path.escaped())).collect();
        let more = plan.excluded().len().saturating_sub(5);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        ui::say(&format!("note: left out of the source: {}{more}", names.join(", ")));
    }
    if let (Kind::File, 0, Some(top)) = (kind, strip, top(plan.tree())) {
        let top = ui::escape(&top);
        ui::say(&format!(
            "note: all of the source is below {top}/; with source.strip = 1 in the recipe the build begins there"
        ));
    }
    ui::note_folding(&plan.tree().folding_names());
    Ok((plan, path))
}

/// The directory that all of a tree is below, where there is one.
fn top(tree: &Tree) -> Option<String> {
    let first = tree.entries().first()?.path.parts().next()?;
    let below = |entry: &Entry| entry.path.as_bytes().strip_prefix(first).is_some_and(|rest| rest.starts_with(b"/"));
    tree.entries().iter().all(below).then(|| String::from_utf8_lossy(first).into_owned())
}

pub(super) fn read_recipe(path: &Path) -> Result<Recipe, Failure> {
    let bytes = fs::read(path, recipe::MAX_RECIPE).map_err(|err| match err.is_not_found() {
        true => Failure::usage(format!("there is no recipe {}", path.display()))
            .hint("`countersign init` writes one for the project found there; --recipe F names one elsewhere"),
        false => Failure::from(err),
    })?;
    Recipe::parse(&bytes).map_err(|err| {
        Failure::usage(format!("{}: {err}", path.display()))
            .hint("docs/spec.md, section 3, has every key and an example")
    })
}

/// What a recipe names and is not there may be a slip.
pub fn note_absent_roots(plan: &Plan) {
    for root in plan.absent_roots() {
        let root = ui::escape(&root.display().to_string());
        ui::say(&format!("note: the recipe's root {root} is not there; the build does without it"));
    }
}

/// Copies the outputs to where the user wants them; half of them are never there.
pub fn export(built: &Built, out: &Path) -> Result<(), Failure> {
    built.export(out, Special::Keep).map_err(Failure::from)
}

fn bytes_in_words(n: usize) -> String {
    match n {
        0..1000 => ui::count(n, "byte"),
        1000..1_000_000 => format!("{} kB", n / 1000),
        _ => format!("{} MB", n / 1_000_000),
    }
}

pub(super) fn report(built: &Built, copies: &[OutputCopy]) {
    note_copies(copies);
    note_opaque(&built.opaque);
    built.trace.iter().for_each(|trace| trace::say(trace));
    if built.observation != Observation::Isolated {
        ui::say(
            "note: built without isolation; the statement says `observed`, which policies refuse unless they say otherwise",
        );
    }
}

pub(super) fn list(built: &Built) {
    let mut text = String::new();
    for (path, content) in built.outputs.files() {
        text += &format!("{}  {}\n", content.sha256, ui::escape(&path.escaped()));
    }
    ui::data(&text);
}

pub(super) fn document(
    plan: &Plan,
    provenance: &Provenance,
    outputs: &Tree,
    copies: &[OutputCopy],
) -> serde_json::Value {
    json!({
        "release": ReleaseDocument::of(&plan.order().release),
        "source": { "sha256": plan.tree().digest() },
        "buildOrder": { "sha256": plan.order().digest() },
        "environment": { "sha256": provenance.environment },
        "observation": provenance.observation,
        "controls": provenance.controls,
        "builder": provenance.builder,
        "outputs": { "sha256": provenance.outputs },
        "copies": copies_json(copies),
        "files": outputs.files().map(|(path, content)| json!({
            "name": path.escaped(), "size": content.size, "sha256": content.sha256, "blake3": content.blake3,
        })).collect::<Vec<_>>(),
    })
}

pub(super) fn check_place(name: &str, path: Option<&PathBuf>, source: &Path, plan: &Plan) -> Result<(), Failure> {
    let Some(path) = path else { return Ok(()) };
    places::not_in_source(name, path, source)?;
    places::not_in_roots(name, path, &plan.roots())
}
