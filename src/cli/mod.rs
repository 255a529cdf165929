//! The command line: one file a command. The only room that knows clap, standard output and error, the environment, the working
//! directory, the clock and exit codes.

pub mod exit;
mod failures;
#[cfg_attr(not(unix), allow(dead_code))] // as below
mod places;
pub mod ui;

mod passphrase;
mod progress;
#[cfg_attr(not(unix), allow(dead_code))] // as below
mod reference;
mod rehash;

pub mod approve;
pub mod bundle;
pub mod compare;
pub mod completions;
pub mod digest;
pub mod inspect;
pub mod key;
pub mod man;
mod merge;
pub mod policy;
pub mod sign;
pub mod verify;

mod usage;

// What builds: a recipe's steps and roots are those of a Unix system.
#[cfg(unix)]
pub mod attest;
#[cfg(unix)]
pub mod build;
#[cfg(unix)]
mod buildlog;
#[cfg(unix)]
mod cache;
#[cfg(unix)]
mod checkout;
#[cfg(unix)]
mod copies;
#[cfg(unix)]
mod depot;
#[cfg(unix)]
mod flags;
#[cfg(unix)]
mod host;
#[cfg(unix)]
pub mod init;
#[cfg(unix)]
pub mod lock;
#[cfg(unix)]
mod materials;
#[cfg(unix)]
pub mod rebuild;
#[cfg(unix)]
mod signals;
#[cfg(unix)]
pub mod snapshot;
mod sources;
#[cfg(unix)]
mod stages;
#[cfg(unix)]
pub mod store;
#[cfg(unix)]
mod trace;
#[cfg(unix)]
mod vouchers;

use clap::{CommandFactory as _, Parser as _};
use exit::{Exit, Failure};

/// Ties a binary update to the exact source it was built from, and lets somebody other than the vendor say so
#[derive(clap::Parser)]
#[command(
    name = "countersign",
    version,
    after_help = "Exit codes: 0 yes, 1 the bytes differ, 2 usage, 3 refused by the policy, 4 evidence broken, 5 not deterministic, \
6 the build failed, 7 could not tell, 8 pending, 9 the source is not the signed one, 70 internal error, \
129, 130, 143 ended by a signal.

The main job, by three people:
  # the vendor, in the project
  countersign attest --key vendor --bundle hello.intoto.jsonl
  # an independent reviewer
  countersign rebuild hello.intoto.jsonl --source hello-1.0 --key reviewer --append
  # the customer, offline
  countersign verify hello --bundle hello.intoto.jsonl --policy policy.toml"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

// What help says of a command stands at its arguments, or here where that is for maintainers.
#[derive(clap::Subcommand)]
enum Command {
    /// Write a commented recipe for the project found in a directory
    #[cfg(unix)]
    Init(init::Args),
    Digest(digest::Args),
    /// Pin the environment of a recipe: each part by its digest
    #[cfg(unix)]
    Lock(lock::Args),
    Key(key::Args),
    /// Build in the sandbox, without signing
    #[cfg(unix)]
    Build(build::Args),
    /// Build in the sandbox, hash, and sign what was observed
    #[cfg(unix)]
    Attest(attest::Args),
    /// Rebuild what a manifest says, blind; compare; sign the verdict
    #[cfg(unix)]
    Rebuild(rebuild::Args),
    /// Collect everything that a rebuild needs in one directory or file
    #[cfg(unix)]
    Snapshot(snapshot::Args),
    #[cfg(unix)]
    Cache(store::Args),
    /// Sign what `build` observed on another machine
    Sign(sign::Args),
    /// Approve a vendor's manifest, with its outputs in hand
    Approve(approve::Args),
    /// Show what differs between two files or directories
    Compare(compare::Args),
    Verify(verify::Args),
    Inspect(inspect::Args),
    Policy(policy::Args),
    Bundle(bundle::Args),
    Completions(completions::Args),
    Man(man::Args),
}

/// Parses the command line and runs it; gives the exit code.
pub fn main() -> u8 {
    let exit = exit::guard(|| {
        let exit = match Cli::try_parse() {
            Ok(cli) => run(cli.command),
            Err(err) => usage::not_parsed(err, &Cli::command()),
        };
        exit.unwrap_or_else(|failure| {
            ui::fail(&failure);
            failure.exit
        })
    });
    match exit {
        Exit::Internal => exit as u8,
        _ => ui::lost().unwrap_or(exit as u8),
    }
}

fn run(command: Command) -> Result<Exit, Failure> {
    match command {
        #[cfg(unix)]
        Command::Init(args) => init::run(&args),
        Command::Digest(args) => digest::run(&args),
        #[cfg(unix)]
        Command::Lock(args) => lock::run(&args),
        Command::Key(args) => key::run(args),
        #[cfg(unix)]
        Command::Build(args) => build::run(&args),
        #[cfg(unix)]
        Command::Attest(args) => attest::run(&args),
        #[cfg(unix)]
        Command::Rebuild(args) => rebuild::run(&args),
        #[cfg(unix)]
        Command::Snapshot(args) => snapshot::run(&args),
        #[cfg(unix)]
        Command::Cache(args) => store::run(&args),
        Command::Sign(args) => sign::run(&args),
        Command::Approve(args) => approve::run(&args),
        Command::Compare(args) => compare::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Policy(args) => policy::run(&args),
        Command::Bundle(args) => bundle::run(&args),
        Command::Completions(args) => completions::run(&args, Cli::command()),
        Command::Man(args) => man::run(&args, Cli::command()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// clap breaks longer lines, and half an example is no command.
    #[test]
    fn examples_fit_on_a_line() {
        let mut waiting = vec![Cli::command()];
        let mut examples = 0;
        while let Some(command) = waiting.pop() {
            for help in [command.get_after_help(), command.get_after_long_help()].into_iter().flatten() {
                let help = help.to_string();
                for line in help.lines().filter(|line| line.starts_with("  ")) {
                    assert!(line.chars().count() <= 100, "{}: {line}", command.get_name());
                    examples += 1;
                }
            }
            waiting.extend(command.get_subcommands().cloned());
        }
        assert!(examples > 20, "{examples}");
    }
}
