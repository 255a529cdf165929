//! The `countersign` program: parse, run, exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    #[cfg(unix)] // the sandbox is this program again under another name: before anything else, threads above all.
    countersign::sandbox::enter_if_asked();
    ExitCode::from(countersign::cli::main())
}
