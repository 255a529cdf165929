//! Running the steps of a build where nothing but the declared inputs can be read. The only user of `std::process` and of
//! the nix, landlock and seccompiler crates.
//!
//! Three processes, all this program, started again under another `argv[0]` (no `fork` of our own, so no unsafe code):
//!
//! ```text
//! run()        the caller's process: writes the spec, reads the log and the reports
//!  └ outer     as the build's id: new namespaces, puts the root together, waits, keeps the time limit
//!     └ inner  process 1: joins them, moves into the root, limits, filters, then the steps, one after the other
//!        └ the steps, user id 1000 without capabilities
//! ```
//!
//! | what | by |
//! |---|---|
//! | files | an empty root; the roots read-only; `/build`, `/tmp`, `/home/build`, `/dev/shm` writable; landlock says it again |
//! | network | a network namespace with a loopback; sockets other than Unix, IP and netlink for routes are refused |
//! | processes | a process namespace; process 1 is not dumpable, so `/proc/1/exe` (this program's file) cannot be opened |
//! | privilege | user id 1000 in a user namespace of its own, no capabilities, `no_new_privs`, system call filter |
//! | determinism | host name, ids, umask, environment, limits, address layout, working directory are fixed |
//!
//! A step is over when its first process ends; what it left running is killed before the next step begins. The end of process 1
//! ends everything in the namespace, and process 1 dies with `outer`, which dies with the caller.
//!
//! Not hidden: `/proc/self/mountinfo` names the build directory's path inside its file system, and the kernel's release,
//! the processor and the wall clock are the host's. Signals that the caller ignores stay ignored in the steps. A Unix socket that lies
//! below a root can be connected to: a root is for tools, not for `/run`.
//!
//! Each claim is tried in `tests/sandbox/`, as root and as an ordinary user; what a hostile build tries in vain is in `tests/escape/`.

mod loader;
mod observed;
mod plain;
mod reexec;
mod step;

#[cfg(target_os = "linux")]
mod attempts;
#[cfg(target_os = "linux")]
mod confine;
#[cfg(target_os = "linux")]
mod copies;
#[cfg(target_os = "linux")]
mod inner;
#[cfg(target_os = "linux")]
mod loopback;
#[cfg(target_os = "linux")]
mod mounts;
#[cfg(target_os = "linux")]
mod outer;
#[cfg(target_os = "linux")]
mod processors;
#[cfg(target_os = "linux")]
mod syscalls;
#[cfg(target_os = "linux")]
mod tracer;

pub use observed::{Address, Attempts, Missing, Observed, Program, Seen, Wanted, WantedKind, Watch};
pub use plain::run_plain;
pub use reexec::{BuildId, Helper, Reader, build_id, enter_if_asked, own_build_dir};

pub use crate::recipe::Limits;
pub use crate::statement::CONTROLS;
use crate::stop::{Interrupted, Stop};

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// What a sandbox is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Purpose {
    /// To build: the root is read-only, [`Spec::build_dir`] is `/build`.
    #[default]
    Build,
    /// To configure a root file system: [`Spec::build_dir`] is `/`, the steps run in it as what they take for root. Ids of owners are not
    /// changed, though the calls that would do it succeed.
    Install,
}

/// What is run, and in what.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Host directory that is `/build` inside; the build's id must own it and be able to reach it.
    pub build_dir: PathBuf,
    /// What for.
    pub purpose: Purpose,
    /// Absolute host paths, each read-only at the absolute path beside it inside; what is not there is left out.
    pub roots: Vec<(PathBuf, PathBuf)>,
    /// The environment of each step: these variables and no others.
    pub variables: BTreeMap<String, String>,
    /// Argument vectors; the first element is looked up in `PATH` of the variables, inside the sandbox.
    pub steps: Vec<Vec<String>>,
    /// Limits.
    pub limits: Limits,
    /// Ends the run early; everything is killed then.
    pub stop: Stop,
    /// What is to be observed of it.
    pub watch: Option<Watch>,
}

/// A run whose steps all ended with 0.
#[derive(Clone, Debug, PartialEq)]
pub struct Ran {
    /// In order.
    pub steps: Vec<StepRan>,
    /// Each of [`CONTROLS`]: `enforced` or `not-enforced`.
    pub controls: BTreeMap<String, String>,
}

/// One step that ended with 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepRan {
    /// Wall time.
    pub seconds: f64,
}

/// Host paths that the sandbox makes itself; a root is none of them, nor below or above one.
pub const RESERVED: [&str; 8] = ["/proc", "/sys", "/dev", "/run", "/tmp", "/var/tmp", "/home/build", "/build"];

/// Why a step is not a success.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum How {
    /// It ended with this code.
    Exit(i32),
    /// This signal ended it.
    Signal(i32),
    /// No such program in `PATH`.
    NotFound,
    /// There is a program, and it cannot be started.
    CannotStart(String),
}

impl std::fmt::Display for How {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            How::Exit(code) => write!(f, "ended with exit code {code}"),
            How::Signal(number) => write!(f, "was ended by signal {number}"),
            How::NotFound => f.write_str("is not in PATH"),
            How::CannotStart(why) => write!(f, "cannot be started: {why}"),
        }
    }
}

/// A limit that a step stood at when it ended.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Met {
    /// No space, or no room for a further name, in this directory.
    Full(String),
    /// No further process.
    Processes,
}

impl std::fmt::Display for Met {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Met::Full(path) => write!(f, "{path} was full"),
            Met::Processes => f.write_str("there were as many processes as there may be"),
        }
    }
}

/// A run that did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// This host gives no namespaces; nothing was built.
    #[error("no sandbox on this host: {what}: {why}")]
    Unavailable {
        /// The step that was refused.
        what: String,
        /// The operating system's reason.
        why: String,
    },
    /// The build's id cannot reach a root; nothing was built.
    #[error("cannot put {} into the sandbox: {why}", path.display())]
    Root {
        /// The host path.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The same of the build directory.
    #[error("cannot put the build directory {} into the sandbox: {why}", path.display())]
    BuildDir {
        /// The host path.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The recipe asks for more processors than there are; nothing was built.
    #[error("the recipe asks for {wanted} processors, and of this machine {there} can be used")]
    Processors {
        /// In the recipe.
        wanted: u32,
        /// What this process may use.
        there: u32,
    },
    /// A step failed.
    #[error("step {}: {argv0:?} {how}{}", step + 1, met.iter().map(|met| format!("; {met}")).collect::<String>())]
    StepFailed {
        /// From 0.
        step: usize,
        /// As in the recipe.
        argv0: String,
        /// In what way.
        how: How,
        /// What it stood at then.
        met: Vec<Met>,
    },
    /// The time limit passed; everything was killed.
    #[error("the steps took longer than {} s", after.as_secs_f64())]
    TimedOut {
        /// The limit.
        after: Duration,
    },
    /// The steps printed more than they may; everything was killed.
    #[error("the steps printed more than {most} bytes")]
    LogTooLong {
        /// The limit.
        most: u64,
    },
    /// It was asked to end; everything was killed.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    /// The caller's side failed.
    #[error("cannot {what}: {why}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        why: std::io::Error,
    },
    /// A helper process did what it should not.
    #[error("the sandbox's helper process: {0}")]
    Helper(String),
}

/// Runs the steps in the sandbox. `output` gets their standard output and error as they come. Returns when nothing of the build
/// is left running.
pub fn run(spec: &Spec, output: &mut dyn FnMut(&[u8])) -> Result<Ran, SandboxError> {
    run_watched(spec, output).0
}

/// The same, with what was observed, also of steps that failed; nothing where nothing was to be.
pub fn run_watched(spec: &Spec, output: &mut dyn FnMut(&[u8])) -> (Result<Ran, SandboxError>, Option<Box<Observed>>) {
    let mut observed = None;
    #[cfg(target_os = "linux")]
    let result = outer::run(spec, output, &mut observed);
    #[cfg(not(target_os = "linux"))]
    let result = {
        let _ = (spec, output, &mut observed);
        Err(SandboxError::Unavailable { what: "namespaces".into(), why: "there is a sandbox for Linux only".into() })
    };
    (result, observed)
}

/// Counts what the steps print.
struct Printed {
    left: u64,
    most: u64,
}

impl Printed {
    fn new(spec: &Spec) -> Printed {
        Printed { left: spec.limits.log, most: spec.limits.log }
    }

    /// Passes on what still fits.
    fn more(&mut self, bytes: &[u8], output: &mut dyn FnMut(&[u8])) -> Result<(), SandboxError> {
        let fits = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
        self.left -= fits as u64;
        if fits > 0 {
            output(&bytes[..fits]);
        }
        if fits < bytes.len() { Err(SandboxError::LogTooLong { most: self.most }) } else { Ok(()) }
    }
}

fn controls(holds: impl Fn(&str) -> bool) -> BTreeMap<String, String> {
    let word = |name| if holds(name) { "enforced" } else { "not-enforced" };
    CONTROLS.iter().map(|name| (name.to_string(), word(name).to_owned())).collect()
}
