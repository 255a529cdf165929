//! `countersign digest`: what a file, a directory, an archive or a commit hashes to.

use super::exit::{Exit, Failure};
use super::progress::Reading;
use super::sources::Asked;
use super::ui;
use crate::digest::{Sha1, Sha256, Sha256Hasher, TreeDigest, Wanted};
use crate::git;
use crate::glob::Glob;
use crate::path::TreePath;
use crate::repository;
use crate::scan::{self, Listed, ScanError};
use crate::source::{Kind, Source, SourceError};
use crate::statement::SWHID;
use std::io::{BufRead as _, BufReader, IsTerminal as _, Read as _, Seek as _, Write as _};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use tempfile::SpooledTempFile;

/// Print the digest of a file, a directory or an archive
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  countersign digest hello-1.0.tar.gz                     # of the archive's bytes
  countersign digest --tree --strip 1 hello-1.0.tar.gz    # of the source tree in it
  countersign digest --git .                              # of a checkout, with its git ids
  countersign digest --revision v1.0 hello.git            # of a commit: repository, bundle, URL
  countersign digest --tree hello_1.0-1.dsc               # of a Debian source, unpatched
  countersign digest --listing . > listing.txt            # what the digest is the SHA-256 of")]
pub struct Args {
    /// A file, or a directory; with --tree also an archive or a Debian .dsc, with --revision a git repository, bundle or URL
    path: PathBuf,
    /// Print the listing that a tree's digest is the SHA-256 of
    #[arg(long)]
    listing: bool,
    /// Print the git tree id, in both of git's object formats, and the SWHID too
    #[arg(long, conflicts_with = "listing")]
    git: bool,
    /// Take PATH, an archive (tar, tar.gz, tar.xz, tar.zst, zip) or a Debian .dsc, for the tree in it
    #[arg(long)]
    tree: bool,
    /// Take PATH, a git repository, bundle or URL, for the tree of this commit: a branch, a tag or an id
    #[arg(long, value_name = "REV", conflicts_with = "strip")]
    revision: Option<String>,
    /// Leave out what GLOB matches, and all below it; instead of a top-level .git
    #[arg(long, value_name = "GLOB")]
    exclude: Vec<String>,
    /// Remove N leading parts from the names in an archive
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=8), requires = "tree")]
    strip: u8,
    /// Say less on standard error: no progress
    #[arg(long, short)]
    quiet: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let is_tree = matches!(Kind::of(&args.path)?, Kind::Directory | Kind::Url(_));
    if is_tree || args.tree || args.revision.is_some() { tree(args) } else { file(args) }
}

fn file(args: &Args) -> Result<Exit, Failure> {
    for (given, flag) in [(args.listing, "--listing"), (args.git, "--git"), (!args.exclude.is_empty(), "--exclude")] {
        if given {
            let fact = format!("{flag} is about trees, and {} is a file", args.path.display());
            return Err(Failure::usage(fact).hint("with --tree an archive is taken for the tree in it"));
        }
    }
    let content = scan::file(&args.path, Wanted::SUBJECT)?;
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

/// What there is to say of a tree.
struct Told {
    digest: TreeDigest,
    listed: Listed,
    /// When they were asked for.
    git: Option<GitIds>,
    /// The commit that it is the tree of.
    commit: Option<String>,
}

struct GitIds {
    tree: Sha1,
    tree_sha256: Sha256,
    swhid: Sha1,
}

fn tree(args: &Args) -> Result<Exit, Failure> {
    let exclude = excluding(&args.exclude)?;
    let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let source = match &args.revision {
        // Also the files of a git repository, as they are.
        None if args.path.is_dir() => Source::open(&args.path, args.strip)?,
        revision => {
            Asked { path: &args.path, revision: revision.as_deref(), strip: args.strip, scratch: None }.open()?
        }
    };
    let commit = source.as_commit().map(repository::Commit::id);
    if commit.is_none() && repository::is_repository(&args.path) {
        ui::say("note: of the files of a git repository as they are; --revision REV takes what is committed");
    }
    let reading = Reading::new(!args.quiet);
    let progress = |files, bytes| reading.told(files, bytes);
    let mut listing = args.listing.then(|| SpooledTempFile::new(SPOOLED));
    let told = if args.git {
        let scanned = source.scan(Wanted::GIT, &exclude, threads, Some(&progress)).map_err(unread)?;
        let fail = |err| Failure::new(Exit::Internal, err);
        let tree = &scanned.tree;
        Told {
            digest: tree.digest(),
            git: Some(GitIds {
                tree: git::tree_id(tree).map_err(fail)?,
                tree_sha256: git::tree_id_sha256(tree).map_err(fail)?,
                swhid: git::swhid(tree).map_err(fail)?,
            }),
            commit,
            listed: Listed { entries: tree.entries().len(), folding: tree.folding_names(), excluded: scanned.excluded },
        }
    } else {
        let mut hasher = Sha256Hasher::default();
        let listed = source.list(&exclude, threads, Some(&progress), &mut |piece| {
            hasher.update(piece);
            listing.as_mut().map_or(Ok(()), |listing| listing.write_all(piece))
        });
        Told { listed: listed.map_err(unread)?, digest: hasher.finish().into(), git: None, commit }
    };
    drop(reading);
    notes(&told.listed.excluded, args.exclude.is_empty(), &told.listed.folding);
    if args.json {
        return json(&told, listing);
    }
    if let Some(listing) = listing {
        return print(listing);
    }
    let mut text = format!("sha256:{}\n", told.digest);
    if let Some(GitIds { tree, tree_sha256, swhid }) = &told.git {
        text += &format!("gitTree:{tree}\nswhid:{SWHID}{swhid}\ngitTreeSha256:{tree_sha256}\n");
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
    ui::note_folding(folding);
}

/// Paths left out that are named one by one.
const SHOWN: usize = 20;
const SCHEMA: &str = "urn:countersign:schema:digest:v1";

/// What the identifier of a directory begins with.
/// Bytes of a listing that are held in memory; a longer one waits in a temporary file. It is not printed as it is made: after an error
/// there would be a part of a listing that looks like one.
const SPOOLED: usize = 4 << 20;

fn print(mut listing: SpooledTempFile) -> Result<Exit, Failure> {
    let fail = |err| Failure::new(Exit::CouldNotTell, format!("cannot read the listing back: {err}"));
    listing.rewind().map_err(fail)?;
    let terminal = std::io::stdout().is_terminal();
    let mut listing = BufReader::with_capacity(1 << 16, listing);
    loop {
        if !terminal {
            // The bytes that the digest is of.
            let piece = listing.fill_buf().map_err(fail)?;
            if piece.is_empty() {
                return Ok(Exit::Yes);
            }
            ui::data_bytes(piece);
            let length = piece.len();
            listing.consume(length);
            continue;
        }
        let mut line = String::new();
        if listing.read_line(&mut line).map_err(fail)? == 0 {
            return Ok(Exit::Yes);
        }
        ui::data(&(ui::escape(line.trim_end_matches('\n')) + "\n"));
    }
}

fn json(told: &Told, listing: Option<SpooledTempFile>) -> Result<Exit, Failure> {
    let listed = &told.listed;
    let escaped = |paths: &[TreePath]| paths.iter().map(TreePath::escaped).collect::<Vec<_>>();
    let folding: Vec<_> = listed.folding.iter().map(|(a, b)| [a.escaped(), b.escaped()]).collect();
    let mut body = serde_json::json!({
        "sha256": told.digest,
        "entries": listed.entries,
        "excluded": escaped(&listed.excluded),
        "foldingNames": folding,
    });
    if let Some(commit) = &told.commit {
        body["commit"] = commit.as_str().into();
    }
    if let Some(GitIds { tree, tree_sha256, swhid }) = &told.git {
        body["gitTree"] = tree.to_string().into();
        body["gitTreeSha256"] = tree_sha256.to_string().into();
        body["swhid"] = format!("{SWHID}{swhid}").into();
    }
    if let Some(mut listing) = listing {
        let mut text = String::new();
        let read = listing.rewind().and_then(|()| listing.read_to_string(&mut text));
        read.map_err(|err| Failure::new(Exit::CouldNotTell, format!("cannot read the listing back: {err}")))?;
        body["listing"] = text.into();
    }
    ui::document(&serde_json::json!({ "schema": SCHEMA, "tree": body }));
    Ok(Exit::Yes)
}

fn unread(err: SourceError) -> Failure {
    let excludable = matches!(err, SourceError::Scan(ScanError::Kind { .. }));
    let failure = Failure::from(err);
    if excludable { failure.hint("remove it, or leave it out with --exclude") } else { failure }
}
