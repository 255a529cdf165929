//! `countersign verify`: the answer, offline.

use super::exit::{Exit, Failure};
use super::progress::Reading;
use super::ui;
use crate::bundle::MAX_BUNDLE;
use crate::digest::{OrderDigest, Wanted};
use crate::fs::{self, FsError, Why};
use crate::path::TreePath;
use crate::scan::{self, Options, ScanError};
use crate::statement::{Release, SWHID, SourceCommitment, Word};
use crate::tree::TreeKind;
use crate::verify;
use crate::verify::{
    Answer, Effect, Expected, FileUnderTest, ItemReport, Notes, Opinion, Outcome, Question, Report, Step,
    TreeUnderTest, Witness,
};
use serde::Serialize;
use std::fmt::Write as _;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

/// Decide whether files are what a vendor signed and enough others rebuilt
///
/// Every FILE must equal a file that the bundle's statements are about, on every digest. Who counts, and how many are needed, is in the
/// policy, which is yours: nothing in the bundle can change it. No network is used, and nothing from the bundle is run.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit codes:
  0  yes
  1  a file differs from what was signed
  2  the command line or the policy is wrong
  3  the evidence is sound and the policy refuses it
  4  the evidence is broken
  7  a file could not be read
  8  pending: nothing against it, not enough signatures or rebuilds yet

Examples:
  countersign verify hello-1.0 --bundle hello.intoto.jsonl --policy policy.toml
  countersign verify a.bin --bundle B --policy P --version 1.1 --as out/a.bin
  countersign verify --tree unpacked/ --bundle B --policy P --json")]
pub struct Args {
    /// The files
    #[arg(value_name = "FILE", required_unless_present = "tree")]
    files: Vec<PathBuf>,
    /// The bundle: statements by the vendor and by rebuilders
    #[arg(long, value_name = "B")]
    bundle: PathBuf,
    /// The policy, which must be given: whose signature counts as what
    #[arg(long, value_name = "P")]
    policy: Option<PathBuf>,
    /// Accept only a release of this product
    #[arg(long)]
    product: Option<Word>,
    /// Accept only a release of this version
    #[arg(long)]
    version: Option<Word>,
    /// Accept the file only as this one of the signed outputs
    #[arg(long = "as", value_name = "SUBJECT")]
    subject: Option<String>,
    /// A directory that must be all of the signed outputs, with modes, links and directories
    #[arg(long, value_name = "DIR")]
    tree: Option<PathBuf>,
    /// Print nothing: the exit code is the answer
    #[arg(long, short, conflicts_with = "json")]
    quiet: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let expected = expected(args)?;
    let policy = args.policy.as_deref().ok_or_else(|| {
        Failure::usage("--policy is not given: whose signature counts is for you to say, and for nobody else")
            .hint("`countersign policy init --vendor V.pub --rebuilder R.pub --rebuilders 1 -o policy.toml` begins one")
    })?;
    let policy = super::policy::read(policy)?;
    let bundle = read_bundle(&args.bundle)?;
    let files = args.files.iter().map(|path| file(path)).collect::<Result<Vec<_>, Failure>>()?;
    let tree = args.tree.as_deref().map(|dir| directory(dir, args.quiet)).transpose()?;
    let question =
        Question { files: &files, tree: tree.as_ref(), bundle: &bundle, policy: &policy, expected: &expected };
    let report = verify::verify(&question);
    let exit = exit_of(&report.answer);
    let last = last_line(&report);
    if args.quiet {
        return Ok(exit);
    }
    if args.json {
        ui::document(&Document::of(&report, exit));
        ui::say(&ui::escape(&last));
    } else {
        ui::data(&format!("{}{}\n", table(&report), ui::escape(&last)));
    }
    if let (Answer::Usage, Some(path)) = (&report.answer, &args.policy) {
        ui::say(&ui::escape(&format!("hint: the policy is {}; docs/policy.md has examples", path.display())));
    }
    Ok(exit)
}

/// What each answer is to the shell.
fn exit_of(answer: &Answer) -> Exit {
    match answer {
        Answer::Yes(_) => Exit::Yes,
        Answer::Differs => Exit::Differs,
        Answer::Refused => Exit::Refused,
        Answer::Broken => Exit::Broken,
        Answer::Pending => Exit::Pending,
        Answer::Usage => Exit::Usage,
    }
}

fn expected(args: &Args) -> Result<Expected, Failure> {
    if args.subject.is_some() && (args.files.len() != 1 || args.tree.is_some()) {
        return Err(Failure::usage("--as says what one file is").hint("give one FILE, and no --tree"));
    }
    let subject = args.subject.as_deref().map(TreePath::from_escaped).transpose();
    let subject = subject.map_err(|err| {
        Failure::usage(format!("--as: {err}"))
            .hint("it is one of the files that `countersign inspect` shows, as it is shown")
    })?;
    Ok(Expected { product: args.product.clone(), version: args.version.clone(), subject })
}

/// Reads a bundle within the limit of the specification: step 1 of verifying.
pub(super) fn read_bundle(path: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(path, MAX_BUNDLE).map_err(|err| match err {
        FsError { why: Why::TooLong(_), .. } => Failure::new(Exit::Broken, err),
        err => err.into(),
    })
}

fn file(path: &Path) -> Result<FileUnderTest, Failure> {
    let content = scan::file(path, Wanted::SUBJECT).map_err(|err| {
        let is_dir = matches!(&err, ScanError::Fs(FsError { why: Why::NotAFile("a directory"), .. }));
        let failure = Failure::new(Exit::CouldNotTell, err);
        if is_dir { failure.hint("--tree takes a directory") } else { failure }
    })?;
    Ok(FileUnderTest { shown: path.display().to_string(), content })
}

fn directory(path: &Path, quiet: bool) -> Result<TreeUnderTest, Failure> {
    if std::fs::metadata(path).is_ok_and(|meta| !meta.is_dir()) {
        let fact = format!("{} is not a directory, and --tree takes one", path.display());
        return Err(Failure::new(Exit::CouldNotTell, fact).hint("give a file as FILE, without --tree"));
    }
    let reading = Reading::new(!quiet);
    let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let progress = |files, bytes| reading.told(files, bytes);
    let options =
        Options { wanted: Wanted::SUBJECT, threads, progress: Some(&progress), ..Options::new(TreeKind::Output) };
    let scanned = scan::tree(path, &options).map_err(|err| Failure::new(Exit::CouldNotTell, err))?;
    Ok(TreeUnderTest { shown: path.display().to_string(), tree: scanned.tree })
}

fn last_line(report: &Report) -> String {
    let rebuilds = report.items.iter().map(|item| item.rebuilds.len()).min().unwrap_or(0);
    match &report.answer {
        Answer::Yes(verified) => {
            let files = report.items.iter().filter(|item| item.subject.is_some()).count();
            let what: Vec<String> =
                [(files, "file", "files"), (report.items.len() - files, "directory", "directories")]
                    .into_iter()
                    .filter(|(count, ..)| *count > 0)
                    .map(|(count, one, many)| format!("{count} {}", if count == 1 { one } else { many }))
                    .collect();
            let what = what.join(" and ");
            format!("yes: {}: {what} verified, {}", verified.release(), ui::count(rebuilds, "independent rebuild"))
        }
        Answer::Pending => format!("pending: {}", report.reason),
        Answer::Differs | Answer::Refused | Answer::Broken | Answer::Usage => format!("no: {}", report.reason),
    }
}

/// Everything but the last line.
fn table(report: &Report) -> String {
    let mut text = String::new();
    for step in &report.steps {
        let outcome = match step.outcome {
            Outcome::Pass => "pass",
            Outcome::Fail => "FAIL",
            Outcome::Skipped => "skipped",
        };
        let row = format!("{:>2}  {:<18}  {outcome:<7}  {}", step.number, step.name, ui::escape(&step.detail));
        let _ = writeln!(text, "{}", row.trim_end());
    }
    for item in report.items.iter().filter(|item| item.matches) {
        let subject = item.subject.as_ref().map_or("the whole output tree".into(), |name| format!("is {name}"));
        let _ = writeln!(text, "{}", ui::escape(&format!("{}: {subject}", item.shown)));
        for (did, witnesses) in [("signed", &item.vendors), ("rebuilt", &item.rebuilds)] {
            for witness in witnesses {
                let _ = writeln!(text, "  {did} by {}", ui::escape(&who(witness)));
            }
        }
        for by in &item.approvals {
            let of = by.organisation.as_ref().map_or(String::new(), |organisation| format!(" ({organisation})"));
            let line = format!("{}{of}, statement sha256:{}", by.name, by.manifest);
            let _ = writeln!(text, "  approved by {}", ui::escape(&line));
        }
    }
    if let Some(SourceCommitment::Public { listing, ids }) = &report.source {
        // The third id is in the document: a line has an end.
        let git = ids.git_tree.map_or(String::new(), |id| format!(", git tree {id}"));
        let swhid = ids.swhid.map_or(String::new(), |id| format!(", {SWHID}{id}"));
        let _ = writeln!(text, "source: sha256:{listing}{git}{swhid}");
    }
    for opinion in &report.opinions {
        let _ = writeln!(text, "{}", ui::escape(&opinion_line(opinion)));
    }
    for note in &report.notes.lines {
        let _ = writeln!(text, "note: {}", ui::escape(note));
    }
    if report.notes.more > 0 {
        let _ = writeln!(text, "note: and {} more", report.notes.more);
    }
    text
}

fn who(witness: &Witness) -> String {
    let known = [&witness.organisation, &witness.jurisdiction, &witness.platform];
    let known: Vec<&str> = known.into_iter().flatten().map(String::as_str).collect();
    let known = if known.is_empty() { String::new() } else { format!(" ({})", known.join(", ")) };
    let environment = witness.environment.map_or(String::new(), |digest| format!(", environment sha256:{digest}"));
    let claimed = witness.claimed.map_or(String::new(), |level| format!(" (a builder's claim: {})", level.word()));
    let level = witness.observation.word();
    format!("{}{known}, {level}{claimed}, builder {}{environment}", witness.name, witness.builder)
}

fn opinion_line(opinion: &Opinion) -> String {
    let effect = match opinion.effect {
        Effect::Veto => "counts against it",
        Effect::OtherEnvironment => "in another environment, does not count",
        Effect::OtherFiles => "about other files",
        Effect::OtherOrder => "under another build order, does not count",
        Effect::OtherReference => "compared with what no vendor signed here, does not count",
        Effect::Superseded => "taken back since",
        Effect::Explains => "explains, is not counted",
    };
    format!("verdict: {} says {} ({effect}), {}: {}", opinion.name, opinion.says, opinion.compared_at, opinion.reason)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    schema: &'static str,
    answer: &'static str,
    exit: u8,
    reason: &'a str,
    release: Option<ReleaseDocument>,
    build_order: Option<OrderDigest>,
    source: Option<SourceDocument>,
    steps: &'a [Step],
    items: &'a [ItemReport],
    opinions: &'a [Opinion],
    notes: &'a Notes,
}

/// A release in JSON output.
#[derive(Serialize)]
pub(super) struct ReleaseDocument {
    product: Word,
    version: Word,
    channel: Word,
    target: Word,
    sequence: Option<u64>,
    previous: Option<String>,
}

/// A source in JSON output.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SourceDocument {
    listing: String,
    git_tree: Option<String>,
    git_tree_sha256: Option<String>,
    swhid: Option<String>,
}

impl ReleaseDocument {
    pub(super) fn of(release: &Release) -> ReleaseDocument {
        let Release { product, version, channel, target, sequence, previous } = release.clone();
        let previous = previous.map(|digest| format!("sha256:{digest}"));
        ReleaseDocument { product, version, channel, target, sequence, previous }
    }
}

impl std::fmt::Display for ReleaseDocument {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} ({}, {})", self.product, self.version, self.channel, self.target)
    }
}

impl SourceDocument {
    pub(super) fn listing(&self) -> &str {
        &self.listing
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let ids = [("git tree", &self.git_tree), ("git tree 256", &self.git_tree_sha256), ("swhid", &self.swhid)];
        ids.into_iter().filter_map(|(name, id)| Some((name, id.as_deref()?)))
    }

    pub(super) fn of(source: &SourceCommitment) -> SourceDocument {
        let SourceCommitment::Public { listing, ids } = source;
        SourceDocument {
            listing: listing.to_string(),
            git_tree: ids.git_tree.map(|id| id.to_string()),
            git_tree_sha256: ids.git_tree_sha256.map(|id| id.to_string()),
            swhid: ids.swhid.map(|id| format!("{SWHID}{id}")),
        }
    }
}

impl<'a> Document<'a> {
    fn of(report: &'a Report, exit: Exit) -> Document<'a> {
        Document {
            schema: "urn:countersign:schema:verify:v1",
            answer: match &report.answer {
                Answer::Yes(_) => "yes",
                Answer::Differs => "differs",
                Answer::Refused => "refused",
                Answer::Broken => "broken",
                Answer::Pending => "pending",
                Answer::Usage => "usage",
            },
            exit: exit as u8,
            reason: &report.reason,
            release: report.release.as_ref().map(ReleaseDocument::of),
            build_order: report.order,
            source: report.source.as_ref().map(SourceDocument::of),
            steps: &report.steps,
            items: &report.items,
            opinions: &report.opinions,
            notes: &report.notes,
        }
    }
}
