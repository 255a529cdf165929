//! The command line: one file a command. The only room that knows clap, standard output and error, the environment, the working
//! directory, the clock and exit codes.

pub mod exit;
mod failures;
mod host;
mod places;
pub mod ui;

mod buildlog;
mod checkout;
mod copies;
mod flags;
mod passphrase;
mod progress;
mod reference;

pub mod attest;
pub mod bundle;
pub mod compare;
pub mod digest;
pub mod init;
pub mod inspect;
pub mod key;
pub mod policy;
pub mod rebuild;
pub mod verify;

use clap::Parser as _;
use exit::{Exit, Failure};

/// Ties a binary update to the exact source it was built from, and lets somebody other than the vendor say so
#[derive(clap::Parser)]
#[command(
    name = "countersign",
    version,
    after_help = "Exit codes: 0 yes, 1 the bytes differ, 2 usage, 3 refused by the policy, 4 evidence broken, 5 not deterministic, \
6 the build failed, 7 could not tell, 8 pending, 9 the source is not the signed one, 70 internal error.

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

#[derive(clap::Subcommand)]
enum Command {
    /// Write a commented recipe for the project found in a directory
    Init(init::Args),
    /// Print the digest of a file, a directory or an archive
    Digest(digest::Args),
    /// Make, show and take over signing keys
    Key(key::Args),
    /// Build in the sandbox, without signing
    Build(attest::BuildArgs),
    /// Build in the sandbox, hash, and sign what was observed
    Attest(attest::AttestArgs),
    /// Rebuild what a manifest says, blind; compare; sign the verdict
    Rebuild(rebuild::Args),
    /// Show what differs between two files or directories
    Compare(compare::Args),
    /// Verify files against a bundle, by your policy, offline
    Verify(verify::Args),
    /// Show what a bundle says and who signed it
    Inspect(inspect::Args),
    /// Make and check policies
    Policy(policy::Args),
    /// Take bundles apart for other tools
    Bundle(bundle::Args),
}

/// Parses the command line and runs it.
pub fn main() -> Exit {
    let result = match Cli::try_parse() {
        Ok(cli) => run(cli.command),
        Err(err) => return not_parsed(&err),
    };
    result.unwrap_or_else(|failure| {
        ui::fail(&failure);
        failure.exit
    })
}

fn run(command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Init(args) => init::run(&args),
        Command::Digest(args) => digest::run(&args),
        Command::Key(args) => key::run(args),
        Command::Build(args) => attest::run_build(&args),
        Command::Attest(args) => attest::run_attest(&args),
        Command::Rebuild(args) => rebuild::run(&args),
        Command::Compare(args) => compare::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Policy(args) => policy::run(&args),
        Command::Bundle(args) => bundle::run(&args),
    }
}

/// Help and version are data; everything else that clap says is a usage error.
fn not_parsed(err: &clap::Error) -> Exit {
    if err.use_stderr() {
        let _ = err.print();
        Exit::Usage
    } else {
        ui::data(&err.render().to_string());
        Exit::Yes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

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
