//! `countersign policy`: begin one, and see what it accepts.

use super::exit::{Exit, Failure};
use super::ui;
use crate::fs::{self, Existing, FsError, Why};
use crate::policy::{Attribute, MAX_POLICY, Policy, Role, Signer, template};
use crate::signature::PublicKey;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Begin a policy, or see what one accepts
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Init(Init),
    Check(Check),
}

/// Write a policy for these keys
///
/// The names are the comments of the keys, or the names of their files. Organisations, jurisdictions and platforms are yours to fill in:
/// they count only as you know them.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  countersign policy init --vendor v.pub --rebuilder a.pub --rebuilder b.pub --rebuilders 2 -o p
  countersign policy init --vendor v.pub --rebuilders none -o p")]
struct Init {
    /// A vendor's public key
    #[arg(long, value_name = "K.pub", required = true)]
    vendor: Vec<PathBuf>,
    /// A rebuilder's public key
    #[arg(long, value_name = "K.pub")]
    rebuilder: Vec<PathBuf>,
    /// How many rebuilders are needed, or `none`
    #[arg(long, value_name = "N")]
    rebuilders: Count,
    /// An approver's public key
    #[arg(long, value_name = "K.pub")]
    approver: Vec<PathBuf>,
    /// How many of the approvers must have approved the vendor's statement
    #[arg(long, value_name = "N")]
    approvals: Option<NonZeroU32>,
    /// Where the policy goes
    #[arg(short = 'o', long = "out", value_name = "P")]
    out: PathBuf,
    /// Replace what is there
    #[arg(long)]
    force: bool,
    /// Print one JSON document: what the policy accepts
    #[arg(long)]
    json: bool,
}

/// Say in words what a policy accepts, and what may surprise in it
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  countersign policy check policy.toml")]
struct Check {
    /// The policy
    #[arg(value_name = "P")]
    policy: PathBuf,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug)]
struct Count(Option<NonZeroU32>);

impl FromStr for Count {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Count, &'static str> {
        match text {
            "none" => Ok(Count(None)),
            text => text.parse().map(|count| Count(Some(count))).map_err(|_| "a number from 1, or `none`"),
        }
    }
}

/// Runs the command.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    match &args.command {
        Command::Init(args) => init(args),
        Command::Check(args) => {
            let policy = load(&args.policy)?;
            if args.json {
                document(&policy);
            } else {
                ui::data(&in_words(&policy).iter().map(|line| ui::escape(line) + "\n").collect::<String>());
            }
            Ok(Exit::Yes)
        }
    }
}

/// What it accepts, then what may surprise.
fn in_words(policy: &Policy) -> Vec<String> {
    let warnings = policy.warnings().into_iter().map(|warning| format!("warning: {warning}"));
    policy.explain().into_iter().chain(warnings).collect()
}

fn document(policy: &Policy) {
    let text = |attribute: &Option<Attribute>| attribute.as_ref().map(|attribute| attribute.as_str().to_owned());
    let signer = |signer: &Signer| {
        serde_json::json!({
            "name": signer.name,
            "key": signer.key.to_string(),
            "fingerprint": signer.key.fingerprint(),
            "role": signer.role.word(),
            "builders": signer.builders,
            "organisation": text(&signer.organisation),
            "jurisdiction": text(&signer.jurisdiction),
            "platform": text(&signer.platform),
            "counts": signer.role != Role::Rebuilder || policy.independent(signer),
        })
    };
    let require = policy.require();
    ui::document(&serde_json::json!({
        "schema": "urn:countersign:schema:policy:v1",
        "signers": policy.signers().iter().map(signer).collect::<Vec<_>>(),
        "require": {
            "vendor": require.vendor,
            "rebuilders": require.rebuilders,
            "organisations": require.organisations,
            "jurisdictions": require.jurisdictions,
            "platforms": require.platforms,
            "approvals": require.approvals,
            "environments": require.environments,
            "observation": require.builds.observation,
            "controls": require.builds.controls,
            "environment": require.builds.environment,
            "vouchers": require.builds.vouchers.as_ref().map(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>()),
            "vetoes": require.vetoes,
        },
        "says": policy.explain(),
        "warnings": policy.warnings(),
    }));
}

/// The bytes of a policy. One that is too long is an error of the policy (docs/spec.md §7), not of the evidence.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(path, MAX_POLICY).map_err(|err| match err {
        FsError { why: Why::TooLong(_), .. } => Failure::usage(err),
        err => err.into(),
    })
}

/// Reads a policy from the path that the user gave.
pub(super) fn load(path: &Path) -> Result<Policy, Failure> {
    let text = String::from_utf8(read(path)?)
        .map_err(|_| Failure::usage(format!("{}: the policy is not UTF-8", path.display())))?;
    Policy::parse(&text).map_err(|err| {
        let line = err.line.map(|line| format!("line {line}: ")).unwrap_or_default();
        Failure::usage(format!("{}: {line}{}", path.display(), err.why))
            .hint("docs/policy.md has every key, with examples; `countersign policy init` begins one")
    })
}

fn init(args: &Init) -> Result<Exit, Failure> {
    let mut taken = Vec::new();
    let mut keys = |paths: &[PathBuf]| paths.iter().map(|path| key(path, &mut taken)).collect::<Result<Vec<_>, _>>();
    let (vendors, rebuilders) = (keys(&args.vendor)?, keys(&args.rebuilder)?);
    let approvers = keys(&args.approver)?;
    let text = template(&vendors, &rebuilders, args.rebuilders.0, &approvers, args.approvals);
    let policy = Policy::parse(&text).map_err(|err| {
        let fact = format!("{} is not written: {}", args.out.display(), err.why);
        Failure::usage(fact).hint(match (err.why.contains("the same key"), err.why.contains("approv")) {
            (true, _) => "give each key once: whoever is a vendor is no independent rebuilder",
            (_, true) => "--approvals N needs N keys given by --approver",
            _ => "--rebuilders N needs N keys given by --rebuilder, none of them a vendor's",
        })
    })?;
    let existing = if args.force { Existing::Replace } else { Existing::Refuse };
    fs::write(&args.out, text.as_bytes(), 0o644, existing).map_err(|err| match err {
        FsError { why: Why::Exists, .. } => Failure::usage(err).hint("--force replaces it"),
        err => err.into(),
    })?;
    ui::say(&ui::escape(&format!("wrote {}", args.out.display())));
    in_words(&policy).iter().for_each(|line| ui::say(&ui::escape(line)));
    if args.json {
        document(&policy);
    }
    Ok(Exit::Yes)
}

/// A key and a name for it that no other has.
fn key(path: &Path, taken: &mut Vec<String>) -> Result<(String, PublicKey), Failure> {
    let (key, text) = super::key::public_line(path)?;
    let comment = text.trim().splitn(3, ' ').nth(2).map(str::trim).filter(|comment| !comment.is_empty());
    let stem = || path.file_stem().map_or("signer".into(), |stem| stem.to_string_lossy().into_owned());
    let name = comment.map_or_else(stem, str::to_owned);
    let free = (1..).map(|n| if n == 1 { name.clone() } else { format!("{name}-{n}") });
    let name = free.into_iter().find(|name| !taken.contains(name)).unwrap_or(name);
    taken.push(name.clone());
    Ok((name, key))
}
