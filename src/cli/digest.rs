//! `countersign digest`: what a file, a directory or an archive hashes to.

use super::exit::{Exit, Failure};
use super::ui;
use crate::archive::ArchiveError;
use crate::digest::{TreeDigest, Wanted};
use crate::git;
use crate::glob::Glob;
use crate::path::TreePath;
use crate::scan::{self, ScanError, Scanned};
use crate::source::{Source, SourceError};
use crate::tree::Tree;
use std::io::IsTerminal as _;
use std::num::NonZeroUsize;
use std::path::PathBuf;

/// Print the digest of a file, a directory or an archive
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  countersign digest hello-1.0.tar.gz                     # of the archive's bytes
  countersign digest --tree --strip 1 hello-1.0.tar.gz    # of the source tree in it
  countersign digest --git .                              # of a checkout, with the ids that git and others use
  countersign digest --listing . > listing.txt            # what the digest is the SHA-256 of")]
pub struct Args {
    /// A file, or a directory
    path: PathBuf,
    /// Print the listing that a tree's digest is the SHA-256 of
    #[arg(long)]
    listing: bool,
    /// Print the git tree id and the SWHID too
    #[arg(long, conflicts_with = "listing")]
    git: bool,
    /// Take PATH, a tar or tar.gz archive, for the tree in it
    #[arg(long)]
    tree: bool,
    /// Leave out what GLOB matches, and all below it; instead of a top-level .git
    #[arg(long, value_name = "GLOB")]
    exclude: Vec<String>,
    /// Remove N leading parts from the names in an archive
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=8), requires = "tree")]
    strip: u8,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let is_dir = std::fs::metadata(&args.path)
        .map_err(|err| Failure::from(crate::fs::FsError::io("read", &args.path, err)))?
        .is_dir();
    if is_dir || args.tree { tree(args) } else { file(args) }
}

fn file(args: &Args) -> Result<Exit, Failure> {
    for (given, flag) in [(args.listing, "--listing"), (args.git, "--git"), (!args.exclude.is_empty(), "--exclude")] {
        if given {
            let fact = format!("{flag} is about trees, and {} is a file", args.path.display());
            return Err(Failure::usage(fact).hint("with --tree a tar archive is taken for the tree in it"));
        }
    }
    let content = scan::file(&args.path, Wanted::SUBJECT).map_err(refused)?;
    let blake3 = content.blake3.map(|blake3| blake3.to_string()).unwrap_or_default();
    if args.json {
        ui::document(&serde_json::json!({
            "schema": SCHEMA,
            "file": { "size": content.size, "sha256": content.sha256, "blake3": blake3 },
        }));
    } else {
        ui::data(&format!("sha256:{}\nblake3:{blake3}\n", content.sha256));
    }
    Ok(Exit::Yes)
}

fn tree(args: &Args) -> Result<Exit, Failure> {
    let exclude = excluding(&args.exclude)?;
    let wanted = if args.git { Wanted::SOURCE } else { Wanted::default() };
    let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let scanned = Source::open(&args.path, args.strip)
        .and_then(|source| source.scan(wanted, &exclude, threads, None))
        .map_err(source_refused)?;
    // Both look at every path of the tree; neither waits for the other.
    let (digest, folding) = std::thread::scope(|scope| {
        let folding = scope.spawn(|| scanned.tree.folding_names());
        (scanned.tree.digest(), folding.join())
    });
    let folding = folding.map_err(|_| Failure::new(Exit::Internal, "a thread panicked"))?;
    notes(&scanned.excluded, args.exclude.is_empty(), &folding);
    if args.json {
        return json(args, &scanned, digest, &folding);
    }
    if args.listing {
        listing(&scanned.tree);
        return Ok(Exit::Yes);
    }
    let mut text = format!("sha256:{digest}\n");
    if let Some((git, swhid)) = git_ids(args, &scanned.tree)? {
        text += &format!("gitTree:{git}\nswhid:{swhid}\n");
    }
    ui::data(&text);
    Ok(Exit::Yes)
}

/// The one place that decides what is left out.
fn excluding(globs: &[String]) -> Result<impl Fn(&TreePath, bool) -> bool + Sync + use<>, Failure> {
    let parse = |glob: &String| Glob::parse(glob).map_err(|err| Failure::usage(format!("--exclude {glob}: {err}")));
    let globs = globs.iter().map(parse).collect::<Result<Vec<Glob>, Failure>>()?;
    Ok(move |path: &TreePath, _is_dir: bool| match globs.is_empty() {
        true => path.as_bytes() == b".git",
        false => globs.iter().any(|glob| glob.matches(path)),
    })
}

/// What somebody who compares digests must know, on standard error.
fn notes(excluded: &[TreePath], by_default: bool, folding: &[(TreePath, TreePath)]) {
    match excluded {
        [] => {}
        [one] if by_default => ui::say(&format!("note: left out {}", ui::escape(&one.escaped()))),
        many => {
            for path in many.iter().take(SHOWN) {
                ui::say(&format!("note: left out {}", ui::escape(&path.escaped())));
            }
            if many.len() > SHOWN {
                ui::say(&format!("note: left out {} more", many.len() - SHOWN));
            }
        }
    }
    for (a, b) in folding {
        let (a, b) = (ui::escape(&a.escaped()), ui::escape(&b.escaped()));
        ui::say(&format!("note: {a} and {b} are one name where case or Unicode form is not distinguished"));
    }
}

/// Paths left out that are named one by one.
const SHOWN: usize = 20;
const SCHEMA: &str = "urn:countersign:schema:digest:v1";

fn listing(tree: &Tree) {
    let text = tree.listing();
    if !std::io::stdout().is_terminal() {
        // The bytes that the digest is of.
        return ui::data(&text);
    }
    let mut shown = String::with_capacity(text.len());
    for line in text.lines() {
        shown += &ui::escape(line);
        shown.push('\n');
    }
    ui::data(&shown);
}

/// `None` when they were not asked for.
fn git_ids(args: &Args, tree: &Tree) -> Result<Option<(String, String)>, Failure> {
    if !args.git {
        return Ok(None);
    }
    let fail = |err| Failure::new(Exit::Internal, err);
    Ok(Some((git::tree_id(tree).map_err(fail)?.to_string(), format!("swh:1:dir:{}", git::swhid(tree).map_err(fail)?))))
}

fn json(args: &Args, scanned: &Scanned, digest: TreeDigest, folding: &[(TreePath, TreePath)]) -> Result<Exit, Failure> {
    let tree = &scanned.tree;
    let escaped = |paths: &[TreePath]| paths.iter().map(TreePath::escaped).collect::<Vec<_>>();
    let folding: Vec<_> = folding.iter().map(|(a, b)| [a.escaped(), b.escaped()]).collect();
    let mut body = serde_json::json!({
        "sha256": digest,
        "entries": tree.entries().len(),
        "excluded": escaped(&scanned.excluded),
        "foldingNames": folding,
    });
    if let Some((git, swhid)) = git_ids(args, tree)? {
        body["gitTree"] = git.into();
        body["swhid"] = swhid.into();
    }
    if args.listing {
        body["listing"] = tree.listing().into();
    }
    ui::document(&serde_json::json!({ "schema": SCHEMA, "tree": body }));
    Ok(Exit::Yes)
}

pub(super) fn refused(err: ScanError) -> Failure {
    let exit = if matches!(err, ScanError::Panicked) { Exit::Internal } else { Exit::CouldNotTell };
    let failure = Failure::new(exit, &err);
    match err {
        ScanError::Kind { .. } => failure.hint("remove it, or leave it out with --exclude"),
        ScanError::Changed(_) => failure.hint("run it again when nothing writes there"),
        _ => failure,
    }
}

pub(super) fn source_refused(err: SourceError) -> Failure {
    match err {
        SourceError::Scan(err) => refused(err),
        SourceError::Strip(_) => Failure::usage(err),
        SourceError::Archive(ArchiveError::Format { .. }) => {
            let hint = "decompress it first, or unpack it and give the directory";
            Failure::new(Exit::CouldNotTell, err).hint(hint)
        }
        err => Failure::new(Exit::CouldNotTell, err),
    }
}
