//! Ctrl-C and the like, for the commands that build: what was begun is removed, and the exit code says which signal it was.

use super::exit::{Exit, Failure};
use crate::stop::{Interrupted, Stop};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

/// Each with what the program ends with, which is 128 and the signal's number.
const SIGNALS: [(i32, Exit); 3] = [(SIGHUP, Exit::HungUp), (SIGINT, Exit::Interrupted), (SIGTERM, Exit::Terminated)];

/// The number of the signal that came.
static CAME: OnceLock<Arc<AtomicUsize>> = OnceLock::new();

/// From here on a signal asks for an end, and a second one makes it at once, with whatever is left behind. Not before there is something
/// to remove: until then a signal ends the program by itself.
pub fn watch() -> Result<Stop, Failure> {
    let came = CAME.get_or_init(Arc::default);
    let asked = Arc::new(AtomicBool::new(false));
    let ignored = ignored();
    for (signal, exit) in SIGNALS {
        // `nohup` and the shell's `&` say that a signal shall not matter.
        if ignored & 1 << (signal - 1) != 0 {
            continue;
        }
        // In this order: what a first signal sets is not there for the first. When a terminal is closed, the kernel and the shell may
        // both say so: that is one end, not two.
        let second = if signal == SIGHUP { Ok(()) } else { shutdown(signal, exit, &asked) };
        let registered = second
            .and_then(|()| flag::register_usize(signal, came.clone(), signal.unsigned_abs() as usize))
            .and_then(|_| flag::register(signal, asked.clone()));
        registered.map_err(|err| Failure::new(Exit::Internal, format!("cannot take signals: {err}")))?;
    }
    Ok(Stop::when(asked))
}

fn shutdown(signal: i32, exit: Exit, asked: &Arc<AtomicBool>) -> std::io::Result<()> {
    flag::register_conditional_shutdown(signal, exit as i32, asked.clone()).map(drop)
}

/// Signals that this process was told to ignore, a bit each (proc_pid_status(5)). Where nobody says, SIGHUP is left alone: it is the one
/// that programs are told to ignore.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(1 << (SIGHUP - 1))
}

impl From<Interrupted> for Failure {
    fn from(interrupted: Interrupted) -> Failure {
        let came = CAME.get().map_or(0, |came| came.load(Ordering::SeqCst));
        let exit = SIGNALS.iter().find(|(signal, _)| signal.unsigned_abs() as usize == came);
        Failure::new(exit.map_or(Exit::Interrupted, |(_, exit)| *exit), interrupted)
    }
}
