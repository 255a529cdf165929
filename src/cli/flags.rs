//! Flags that several commands have.

use crate::build::Isolation;
use crate::digest::PayloadDigest;
use crate::recipe;
use std::path::PathBuf;

/// Which manifest of a bundle is meant, and who may have signed it.
#[derive(clap::Args, Debug)]
pub struct ManifestFlags {
    /// Check the manifest's signer against this policy
    #[arg(long, value_name = "P")]
    pub policy: Option<PathBuf>,
    /// Which manifest of the bundle, where it holds several
    #[arg(long, value_name = "DIGEST", value_parser = payload)]
    pub manifest: Option<PayloadDigest>,
}

/// A payload digest, `sha256:…`.
pub fn payload(text: &str) -> Result<PayloadDigest, String> {
    recipe::parse_previous(text).map_err(|err| err.to_string())
}

/// What is shown of a command that does not build.
#[derive(clap::Args, Debug)]
pub struct ShownFlags {
    /// Show no progress
    #[arg(long, short)]
    pub quiet: bool,
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
}

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
