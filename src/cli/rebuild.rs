//! `countersign rebuild`: answer a manifest's build order blind, then compare, then sign.
//!
//! The order of events is the point. Bundle and source are checked; the runs are made from the [`BuildOrder`](crate::statement::BuildOrder) alone; their digests are
//! written down and, with a key, signed; only then are the expected outputs and the published files looked at.

mod given;
mod place;
mod published;
mod report;
mod signed;
mod verdict;

use place::Place;
use verdict::{verdict, verdicts};

use super::attest::{self, Times};
use super::copies::{note_copies, note_opaque};
use super::depot::{self, DepotFlags};
use super::exit::{Exit, Failure};
use super::flags::{BuildFlags, ManifestFlags, SandboxFlag, payload};
use super::materials::Materials;
use super::passphrase::{self, PassphraseArgs};
use super::reference::{self, Chosen};
use super::sources::Asked;
use super::vouchers::{self, Vouchers};
use super::{places, signals, ui};
use crate::build::{self, BuildError, Built, OutputCopy, Plan, Special};
use crate::bundle;
use crate::digest::PayloadDigest;
use crate::environment::DEFAULT_ROOTS;
use crate::fs::{self, FsError};
use crate::keys::SigningKey;
use crate::rebuild::{self, Judgement};
use crate::statement::{Artifact, ArtifactVerdict, Provenance, SignerCheck, Subject, Verdict};
use crate::stop::Stop;
use clap::Args as ClapArgs;
use given::Given;
use published::published;
use report::report;
pub(super) use signed::{read_plan, source_is_signed};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

/// Arguments of `rebuild`.
#[derive(ClapArgs, Debug)]
#[command(
    after_help = "The build sees neither the bundle nor published files, nor their digests; its own digests are written down before anything \
is compared. Without --policy the manifest's signer is `claimed, not checked`, and the signed verdict says so.

Exit codes:
  0  identical
  1  different
  2  the command line or the policy is wrong
  3  the policy accepts no manifest of the bundle, or no key of --keyring signed a release file
  4  the bundle or what is signed in it is broken, or a part is not vouched for as the lock says
  5  the runs disagree with one another
  6  the build failed
  7  could not tell
  9  the source is not the signed one

Examples:
  countersign rebuild hello.intoto.jsonl --source hello-1.0
  countersign rebuild hello.intoto.jsonl --source hello-1.0.tar.xz
  countersign rebuild hello.intoto.jsonl --source hello.git --revision v1.0
  countersign rebuild hello.intoto.jsonl --source https://example.org/hello.git --revision v1.0
  countersign rebuild hello.intoto.jsonl --source hello_1.0-1.dsc
  countersign rebuild hello.intoto.jsonl --source hello-1.0 --key reviewer --append --runs 2
  countersign rebuild hello.intoto.jsonl --source hello-1.0 --against downloads/ --out result
  countersign rebuild --materials all.tar --keyring debian-archive-keyring.gpg --out result"
)]
pub struct Args {
    /// The bundle with the manifest to answer [default: the one among the materials]
    #[arg(required_unless_present = "materials")]
    bundle: Option<PathBuf>,
    /// The source: a directory, an archive (tar, tar.gz, tar.xz, tar.zst, zip: also .crate, sdist and npm's .tgz), a Debian .dsc, or with
    /// --revision a git repository, bundle or URL (https, http, git, file)
    #[arg(long, value_name = "S", required_unless_present = "materials")]
    source: Option<PathBuf>,
    /// The commit of the source that is meant: a branch, a tag or an id. Its files are taken, not those of the checkout
    #[arg(long, value_name = "REV")]
    revision: Option<String>,
    /// The published outputs, looked at after the build: shows where they differ
    #[arg(long, value_name = "DIR")]
    against: Option<PathBuf>,
    /// Sign the rebuild's provenance and its verdict
    #[arg(long, value_name = "K")]
    key: Option<PathBuf>,
    #[command(flatten)]
    passphrase: PassphraseArgs,
    /// Add the signed statements to the bundle
    #[arg(long, requires = "key")]
    append: bool,
    /// Build so many times; all runs must agree
    #[arg(long, value_name = "N", default_value = "1")]
    runs: NonZeroU32,
    /// Run so many builds at a time
    #[arg(long, value_name = "N", default_value = "1")]
    jobs: NonZeroU32,
    /// Keep outputs, logs and statements there; a directory that is not there yet
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    which: ManifestFlags,
    /// Check who vouches for the parts of the environment: whose keys may sign release files of Debian
    #[arg(long, value_name = "F")]
    keyring: Vec<PathBuf>,
    /// Let the build read this path of yours, which the recipe asks for
    #[arg(long, value_name = "PATH")]
    allow_root: Vec<PathBuf>,
    /// `none` builds without isolation: recorded as `observed`, and blind only by good will
    #[arg(long, value_enum, default_value_t = SandboxFlag::Auto)]
    sandbox: SandboxFlag,
    /// Builder id [default: `urn:countersign:builder:` and the fingerprint of the key]
    #[arg(long, value_name = "ID", requires = "key")]
    builder_id: Option<String>,
    /// Payload digest of an earlier verdict by this key that this one replaces
    #[arg(long, value_name = "DIGEST", requires = "reason", requires = "key", value_parser = payload)]
    supersedes: Option<PayloadDigest>,
    /// Why the earlier verdict is replaced
    #[arg(long, value_name = "TEXT", requires = "supersedes")]
    reason: Option<String>,
    /// A directory or file that `countersign snapshot` wrote: the environment is made of what is there and of nothing else; bundle and source
    /// are those that are there, unless others are named
    #[arg(long, value_name = "PATH", conflicts_with_all = ["store", "mirror"])]
    materials: Option<PathBuf>,
    #[command(flatten)]
    depot: DepotFlags,
    #[command(flatten)]
    flags: BuildFlags,
}

/// Finished runs and what they came to.
struct Outcome<'a> {
    args: &'a Args,
    chosen: &'a Chosen,
    vouchers: &'a Vouchers,
    plan: &'a Plan,
    built: &'a [(Built, Times)],
    judgement: &'a Judgement,
    copies: &'a [OutputCopy],
}

impl Outcome<'_> {
    /// How many runs were compared: not as many as were asked for, where one failed.
    fn runs(&self) -> u32 {
        self.built.len() as u32
    }
}

/// Rebuilds.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    if args.key.is_some() && !args.append && args.out.is_none() {
        return Err(Failure::usage("--key signs, and nothing says where the signed statements go")
            .hint("--append adds them to the bundle; --out DIR keeps them there"));
    }
    if let Some(out) = &args.out {
        attest::absent(out)?;
    }
    // From here on there is something to remove, where materials are unpacked.
    let materials = args.materials.as_ref().map(|path| {
        let scratch = args.flags.scratch.clone().unwrap_or_else(std::env::temp_dir);
        let stop = signals::watch()?;
        Ok::<_, Failure>((Materials::open(path, &scratch, &stop)?, stop))
    });
    let (materials, stop) = materials.transpose()?.unzip();
    let (given, bytes) = Given::of(args, materials.as_ref())?;
    let chosen = reference::choose(&bytes, &given.bundle, args.which.manifest, args.which.policy.as_deref())?;
    let mut plan = plan(&given, &chosen)?;
    let key = args.key.as_deref().map(|path| passphrase::load_key(path, &args.passphrase)).transpose()?;
    if key.as_ref().is_some_and(|key| key.public().fingerprint() == chosen.claimed) {
        ui::say("note: this is the key that signed the manifest; policies do not count it as a rebuild");
    }
    let scratch = places::scratch(args.flags.scratch.as_deref(), &given.source, &plan.roots())?;
    let stop = stop.map_or_else(signals::watch, Ok)?;
    let depot = || materials.as_ref().map_or_else(|| args.depot.depot(None), Materials::depot);
    let depot = plan.pinned().image.is_some().then(depot).transpose()?;
    // The lock was held against the source when the plan was made.
    let source = vouchers::Source::Read;
    let vouchers = Vouchers::of(plan.pinned(), &args.keyring, source, depot.as_ref(), !args.flags.quiet, &stop)?;
    if let Some(depot) = &depot {
        // Where it will be signed that the parts were checked, no tree that was unpacked before stands for them.
        depot::furnish(&mut plan, depot, vouchers.hold(), !args.flags.quiet, &stop)?;
    }
    let mut place = Place::new(args, &scratch)?;
    let (built, failure) = build(args, &plan, &scratch, &place, &stop);
    stop.check()?;
    let failure = match failure {
        Some(Stopped { failure, begun }) if built.is_empty() || failure.exit != Exit::BuildFailed => {
            return failed(&given, &chosen, &plan, &mut place, key.as_ref(), failure, begun);
        }
        failure => failure,
    };
    if built.iter().any(|(run, _)| run.environment != built[0].0.environment) {
        return Err(Failure::new(Exit::CouldNotTell, "the environment changed between the runs")
            .hint("run it again when nothing installs or removes packages"));
    }
    // Provenance is signed for what every run made; where one failed, there is no such thing.
    let own = write_down(args, &plan, &vouchers, &built, &place, key.as_ref().filter(|_| failure.is_none()))?;
    // From here on, and not before, the expected outputs are looked at.
    let trees: Vec<_> = built.iter().map(|(built, _)| &built.outputs).collect();
    let judgement = rebuild::judge(&chosen.expected, &trees);
    if let Some(Stopped { failure, begun }) = failure {
        // A run that differed is not made undone by another one that failed.
        if judgement.worst() == ArtifactVerdict::Identical {
            return failed(&given, &chosen, &plan, &mut place, key.as_ref(), failure, begun);
        }
        ui::say(&format!("note: another run failed: {}", ui::escape(&failure.fact)));
    }
    let copies = build::copies(&built[0].0, &plan);
    note_copies(&copies);
    note_opaque(&built[0].0.opaque);
    let published = published(args, &chosen, &built[0].0, &place.dir)?;
    let (chosen, plan) = (&chosen, &plan);
    let outcome =
        Outcome { args, chosen, vouchers: &vouchers, plan, built: &built, judgement: &judgement, copies: &copies };
    // The last look: what comes later finds the statements whole.
    stop.check()?;
    let verdicts = verdicts(&outcome, &own, key.as_ref())?;
    let lines: Vec<Vec<u8>> = own.lines.iter().chain(verdicts.iter().map(|(_, line)| line)).cloned().collect();
    keep(&given, &place, &lines)?;
    let signed: Vec<&str> = verdicts.iter().map(|(kind, _)| kind.word()).collect();
    let exit = match judgement.worst() {
        ArtifactVerdict::Identical if published.is_signed() => Exit::Yes,
        ArtifactVerdict::Nondeterministic => Exit::NotDeterministic,
        _ => Exit::Differs,
    };
    place.keep(exit);
    if !signed.is_empty() {
        let bundle = args.append.then(|| format!(", added to {}", ui::escape(&given.bundle.display().to_string())));
        ui::say(&format!("signed: {}{}", signed.join(", "), bundle.unwrap_or_default()));
    }
    report(&outcome, &published, place.kept.then_some(place.dir.as_path()), exit);
    Ok(exit)
}

/// Checks everything that can be checked before anything runs.
fn plan(given: &Given<'_>, chosen: &Chosen) -> Result<Plan, Failure> {
    let args = given.args;
    let order = &chosen.reference.order;
    let (path, revision, scratch) = (&given.source, args.revision.as_deref(), args.flags.scratch.as_deref());
    let plan = read_plan(order, |strip| Asked { path, revision, strip, scratch }.open())?;
    source_is_signed(path, &plan, order, chosen.source_listing.as_deref())?;
    if plan.order().digest() != order.digest() {
        return Err(Failure::new(Exit::Broken, "the manifest's build order is not what its recipe and lock make"));
    }
    plan.follows_source().map_err(|err| match err {
        // Both are signed, and do not belong together.
        BuildError::NotOfSource(_) | BuildError::Dependencies(_) => Failure::new(Exit::Broken, err),
        err => err.into(),
    })?;
    let default_roots = DEFAULT_ROOTS.map(Path::new);
    for root in &plan.roots() {
        if !places::is_below(root, &default_roots)? && !args.allow_root.iter().any(|allowed| allowed == root) {
            let root = root.display();
            return Err(Failure::new(Exit::CouldNotTell, format!("the recipe asks for {root} of this machine"))
                .hint(format!("--allow-root {root} lets the build read it; look at what is there first")));
        }
    }
    let places = [
        ("bundle", Some(&given.bundle)),
        ("materials", args.materials.as_ref()),
        ("key", args.key.as_ref()),
        ("output directory", args.out.as_ref()),
        ("directory", args.against.as_ref()),
    ];
    for (name, path) in places {
        if let Some(path) = path {
            places::not_in_source(name, path, &given.source)?;
            places::not_in_roots(name, path, &plan.roots())?;
            places::not_around_roots(name, path, &plan.roots())?;
        }
    }
    attest::note_absent_roots(&plan);
    // Found out now, not when the build is over.
    if let Some(dir) = &args.against {
        let meta = dir.metadata().map_err(|err| FsError::io("read", dir, err))?;
        if !meta.is_dir() {
            return Err(Failure::usage(format!("{} is not a directory", dir.display()))
                .hint("--against takes the directory with all published outputs"));
        }
    }
    Ok(plan)
}

/// Why no further run began.
struct Stopped {
    failure: Failure,
    /// How many runs had begun.
    begun: u32,
}

/// The runs that were finished, each with its outputs, listing and log in the place; and the first failure, after which no further run
/// begins.
fn build(
    args: &Args,
    plan: &Plan,
    scratch: &Path,
    place: &Place,
    stop: &Stop,
) -> (Vec<(Built, Times)>, Option<Stopped>) {
    let one = |number: u32| {
        let log = place.dir.join(format!("run-{number}.log"));
        // Several at a time would be shown mixed up.
        let live = !args.flags.quiet && args.jobs.get() == 1;
        let run = attest::run_once(plan, args.sandbox.isolation(), scratch, &log, live, stop)?;
        run.0.export(&place.dir.join(format!("run-{number}")), Special::Strip)?;
        let environment = run.0.environment_listing.as_deref().ok_or_else(attest::not_whole)?;
        place.write(&format!("run-{number}.environment"), environment.as_bytes())?;
        place.write(&format!("run-{number}.listing"), run.0.outputs.listing().as_bytes())?;
        Ok(run)
    };
    let numbers: Vec<u32> = (1..=args.runs.get()).collect();
    let (mut done, mut begun) = (Vec::new(), 0);
    for some in numbers.chunks(args.jobs.get() as usize) {
        let results: Vec<Result<(Built, Times), Failure>> = std::thread::scope(|scope| {
            let threads: Vec<_> = some.iter().map(|number| scope.spawn(|| one(*number))).collect();
            let panicked = || Err(Failure::new(Exit::Internal, "a build thread panicked"));
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| panicked())).collect()
        });
        let mut failed = None;
        for result in results {
            begun += 1;
            match result {
                Ok(run) => done.push(run),
                Err(failure) => failed = failed.or(Some(failure)),
            }
        }
        if let Some(failure) = failed {
            return (done, Some(Stopped { failure, begun }));
        }
    }
    (done, None)
}

/// The rebuilder's own account, made before anything is compared.
struct Own {
    payload: Option<PayloadDigest>,
    lines: Vec<Vec<u8>>,
}

/// Writes down what came out, durably, and signs it, where there is a key and the runs agree. The listings stand in the place already.
fn write_down(
    args: &Args,
    plan: &Plan,
    vouchers: &Vouchers,
    built: &[(Built, Times)],
    place: &Place,
    key: Option<&SigningKey>,
) -> Result<Own, Failure> {
    let (first, times) = &built[0];
    let agree = built.iter().all(|(run, _)| run.outputs.digest() == first.outputs.digest());
    let (Some(key), true) = (key, agree) else { return Ok(Own { payload: None, lines: Vec::new() }) };
    let provenance: Provenance = attest::provenance(plan, first, builder_id(args, key), vouchers);
    let encoded = provenance.encode();
    let payload = crate::statement::payload_digest(&encoded);
    let record = attest::run_record(payload, first, times);
    let lines = vec![
        key.sign_envelope(encoded).to_line(),
        key.sign_envelope(record.encode()).to_line(),
        bundle::Blob::listing(&first.outputs.listing()).to_line(),
    ];
    let bytes = bundle::append(b"", &lines).map_err(|err| Failure::new(Exit::CouldNotTell, err))?;
    place.write(STATEMENTS, &bytes)?;
    Ok(Own { payload: Some(payload), lines })
}

/// The rebuilder's statements, in the output directory.
const STATEMENTS: &str = "rebuild.intoto.jsonl";

fn builder_id(args: &Args, key: &SigningKey) -> String {
    args.builder_id.clone().unwrap_or_else(|| key.public().default_builder())
}

/// A build that came to nothing: said, signed as inconclusive, never a veto.
fn failed(
    given: &Given<'_>,
    chosen: &Chosen,
    plan: &Plan,
    place: &mut Place,
    key: Option<&SigningKey>,
    failure: Failure,
    begun: u32,
) -> Result<Exit, Failure> {
    if let (Some(key), Exit::BuildFailed) = (key, failure.exit) {
        let (subjects, artifacts): (Vec<Subject>, Vec<Artifact>) = rebuild::all_subjects(&chosen.expected);
        let reason = format!("the build failed: {}", failure.fact);
        let verdict = Verdict { subjects, artifacts, reason, runs: begun, ..verdict(given.args, chosen, plan, key)? };
        keep(given, place, &[key.sign_envelope(verdict.encode()).to_line()])?;
        ui::say("signed: inconclusive");
    }
    if failure.exit == Exit::BuildFailed {
        place.keep(failure.exit);
    }
    Err(failure)
}

/// Puts the signed statements where they were asked for. What others added to the bundle while the build ran stays.
fn keep(given: &Given<'_>, place: &Place, lines: &[Vec<u8>]) -> Result<(), Failure> {
    if lines.is_empty() {
        return Ok(());
    }
    let too_much = |err| Failure::new(Exit::CouldNotTell, err);
    place.write(STATEMENTS, &bundle::append(b"", lines).map_err(too_much)?)?;
    if given.args.append {
        fs::update(&given.bundle, bundle::MAX_BUNDLE, |now| bundle::append(&now, lines).map_err(too_much))?;
    }
    Ok(())
}

impl Chosen {
    /// For the signed verdict.
    fn signer_check(&self) -> SignerCheck {
        if self.checked.is_some() { SignerCheck::Checked } else { SignerCheck::Claimed }
    }

    fn signer_words(&self) -> String {
        match &self.checked {
            Some(name) => format!("{name}, checked against the policy"),
            None => format!("{} (claimed, not checked)", self.claimed),
        }
    }
}
