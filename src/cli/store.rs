//! `countersign cache`: the store of environments and their parts.

use super::depot::DepotFlags;
use super::exit::{Exit, Failure};
use super::ui;
use crate::environment;
use crate::store::{Removed, Sweep};
use serde_json::json;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

/// Look after the store of environments and their parts
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Nothing in the store is trusted without its digest, and it never holds results. Each command waits until no other \
process uses the store.

Examples:
  countersign cache path
  countersign cache verify
  countersign cache gc --older-than 7"
)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    /// Say where the store is
    #[command(after_help = "Example:\n  countersign cache path")]
    Path(Flags),
    /// Read everything, and remove what is not what its name says; exit code 1 when there was such a thing
    #[command(after_help = "Example:\n  countersign cache verify")]
    Verify(Flags),
    /// Remove what was not used for a time
    #[command(after_help = "Example:\n  countersign cache gc --older-than 7")]
    Gc(Gc),
}

#[derive(clap::Args, Debug)]
struct Flags {
    /// The store [default: countersign/store in the user's cache directory]
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args, Debug)]
struct Gc {
    /// Days since the last use; 0 removes everything
    #[arg(long, value_name = "DAYS", default_value = "30")]
    older_than: u32,
    #[command(flatten)]
    flags: Flags,
}

const SCHEMA: &str = "urn:countersign:schema:cache:v1";

/// Runs the command.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    match &args.command {
        Command::Path(flags) => {
            let path = depot(flags).place()?;
            if flags.json {
                ui::document(&json!({ "schema": SCHEMA, "path": path.to_string_lossy() }));
            } else {
                ui::data(&format!("{}\n", path.display()));
            }
            Ok(Exit::Yes)
        }
        Command::Verify(flags) => {
            let Some(sweep) = sweep(flags)? else { return none(flags) };
            let is_tree = |path: &std::path::Path, name: &str| {
                environment::tree_of(path).is_ok_and(|tree| tree.to_string() == name)
            };
            let mut gone = Vec::new();
            let removed = sweep.wrong(&is_tree, &mut |path| {
                ui::say(&format!("{}: not what its name says; removed", ui::escape(&path.display().to_string())));
                gone.push(path.to_string_lossy().into_owned());
            })?;
            tell(flags, removed, &gone);
            Ok(if removed.count == 0 { Exit::Yes } else { Exit::Differs })
        }
        Command::Gc(args) => {
            let Some(sweep) = sweep(&args.flags)? else { return none(&args.flags) };
            let age = Duration::from_secs(u64::from(args.older_than) * 86_400);
            let removed = sweep.older_than(age, SystemTime::now())?;
            tell(&args.flags, removed, &[]);
            Ok(Exit::Yes)
        }
    }
}

fn depot(flags: &Flags) -> DepotFlags {
    DepotFlags { store: flags.store.clone(), mirror: Vec::new() }
}

/// A store that is not there is not made.
fn sweep(flags: &Flags) -> Result<Option<Sweep>, Failure> {
    let depot = depot(flags);
    if depot.place()?.symlink_metadata().is_err() {
        return Ok(None);
    }
    Ok(Sweep::begin(depot.store()?, true)?)
}

fn none(flags: &Flags) -> Result<Exit, Failure> {
    tell(flags, Removed::default(), &[]);
    Ok(Exit::Yes)
}

fn tell(flags: &Flags, removed: Removed, gone: &[String]) {
    if flags.json {
        ui::document(&json!({
            "schema": SCHEMA, "removed": removed.count, "bytes": removed.bytes, "kept": removed.kept, "wrong": gone,
        }));
    }
    ui::say(&format!("removed {}, {}; {} kept", removed.count, indicatif::HumanBytes(removed.bytes), removed.kept));
}
