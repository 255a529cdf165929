//! The command line: one file a command. The only room that knows clap, standard output and error, the environment, the working
//! directory, the clock and exit codes.

pub mod digest;
pub mod exit;
pub mod inspect;
pub mod policy;
pub mod ui;
pub mod verify;

use clap::Parser as _;
use exit::Exit;

#[derive(clap::Parser)]
#[command(name = "countersign", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    Digest(digest::Args),
    Verify(verify::Args),
    Inspect(inspect::Args),
    Policy(policy::Args),
}

/// Parses the command line and runs it.
pub fn main() -> Exit {
    let result = match Cli::parse().command {
        Command::Digest(args) => digest::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Policy(args) => policy::run(&args),
    };
    result.unwrap_or_else(|failure| {
        ui::fail(&failure);
        failure.exit
    })
}
