//! Flags that every command that builds has.

use crate::build::Isolation;
use std::path::PathBuf;

/// Where is built, and what is shown of it.
#[derive(clap::Args, Debug)]
pub struct BuildFlags {
    /// Build below this directory [default: the system's temporary directory]
    #[arg(long, value_name = "DIR")]
    pub scratch: Option<PathBuf>,
    /// Show less: not the build's output
    #[arg(long, short)]
    pub quiet: bool,
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
}

/// How to isolate. Each command says in words of its own what `none` comes to.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum SandboxFlag {
    /// Build in the sandbox, or not at all
    Auto,
    /// Build without isolation
    None,
}

impl SandboxFlag {
    /// For the library.
    pub fn isolation(self) -> Isolation {
        match self {
            SandboxFlag::Auto => Isolation::Sandbox,
            SandboxFlag::None => Isolation::None,
        }
    }
}
