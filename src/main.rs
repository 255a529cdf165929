//! The program: parse, run, exit code.

use clap::Parser;
use countersign::cli::{key, ui};
use std::process::ExitCode;

/// Ties a binary update to the exact source it was built from
#[derive(Parser)]
#[command(name = "countersign", version)]
enum Command {
    Key(key::Args),
}

fn main() -> ExitCode {
    let Command::Key(args) = Command::parse();
    let exit = key::run(args).unwrap_or_else(|failure| {
        ui::fail(&failure);
        failure.exit
    });
    ExitCode::from(exit as u8)
}
