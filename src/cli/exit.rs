//! Exit codes (docs/spec.md §9) and the one error type of the command line.

use crate::fs::{FsError, Why};
use std::fmt;

/// What the program says to the shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Exit {
    /// Yes: identical, accepted, valid.
    Yes = 0,
    /// No: the bytes differ from the signed ones.
    Differs = 1,
    /// The command line, recipe or policy is wrong.
    Usage = 2,
    /// Evidence sound, policy not met.
    Refused = 3,
    /// Bad signature, malformed, proof does not hold.
    Broken = 4,
    /// Two runs of one recipe disagree.
    NotDeterministic = 5,
    /// The build failed.
    BuildFailed = 6,
    /// Source, environment, tool or file not available.
    CouldNotTell = 7,
    /// Nothing against it, thresholds not reached yet.
    Pending = 8,
    /// The source is not the signed one.
    SourceDiffers = 9,
    /// A defect of this program.
    Internal = 70,
    /// Ended by SIGHUP, with nothing left behind; so are the next two.
    HungUp = 129,
    /// Ended by SIGINT.
    Interrupted = 130,
    /// Ended by SIGTERM.
    Terminated = 143,
}

/// Runs the program. A panic is a defect of it, which the shell is told as one and never as a yes; its message stands on standard error by then.
pub(super) fn guard(program: impl FnOnce() -> Exit) -> Exit {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(program)).unwrap_or(Exit::Internal)
}

/// A command that ends without its result: one line of fact, then hints.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// One lower-case line; escaped when it is printed.
    pub fact: String,
    /// What to do.
    pub hints: Vec<String>,
}

impl Failure {
    /// A failure without hints.
    pub fn new(exit: Exit, fact: impl fmt::Display) -> Failure {
        Failure { exit, fact: fact.to_string(), hints: Vec::new() }
    }

    /// Adds a hint.
    pub fn hint(mut self, hint: impl fmt::Display) -> Failure {
        self.hints.push(hint.to_string());
        self
    }

    /// Wrong command line, recipe or policy.
    pub fn usage(fact: impl fmt::Display) -> Failure {
        Failure::new(Exit::Usage, fact)
    }
}

impl From<FsError> for Failure {
    fn from(err: FsError) -> Failure {
        let failure = Failure::new(Exit::CouldNotTell, &err);
        match &err.why {
            Why::Io(_) if err.path.as_os_str() == "-" => failure.hint("standard input is not read: save it to a file"),
            Why::NotAFile("a FIFO") => failure.hint("what comes through a pipe is not read: save it to a file"),
            _ => failure,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_internal_error() {
        assert_eq!(guard(|| panic!("a defect")), Exit::Internal);
        assert_eq!(Exit::Internal as u8, 70);
        assert_eq!(guard(|| Exit::Yes), Exit::Yes);
    }
}
