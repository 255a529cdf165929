//! Ending a run before its time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Longest time between two looks at the flag while a run waits for something else.
const PAUSE: Duration = Duration::from_millis(100);

/// Whether a run shall end early. Who sets the flag (a signal's handler, say) is the caller's affair; a run looks at it, and ends with
/// [`Interrupted`], nothing of it left. Without a flag nobody asks, and nobody looks.
#[derive(Clone, Debug, Default)]
pub struct Stop(Option<Arc<AtomicBool>>);

impl Stop {
    /// Ends runs once the flag is set.
    pub fn when(flag: Arc<AtomicBool>) -> Stop {
        Stop(Some(flag))
    }

    /// Whether to go on.
    pub fn check(&self) -> Result<(), Interrupted> {
        match &self.0 {
            Some(flag) if flag.load(Ordering::SeqCst) => Err(Interrupted),
            _ => Ok(()),
        }
    }

    /// How long a wait may last before the next look.
    pub fn pause(&self) -> Option<Duration> {
        self.0.as_ref().map(|_| PAUSE)
    }
}

/// A run that was asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("interrupted")]
pub struct Interrupted;
