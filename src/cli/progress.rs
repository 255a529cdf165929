//! How far the program is, on a terminal: one line that is gone when the stage is.

use super::ui;
use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// How far a tree is read; nothing is shown of one that is read at once.
pub struct Reading {
    bar: Option<ProgressBar>,
    begun: Instant,
    /// When it is shown next, in milliseconds.
    next: AtomicU64,
}

/// Milliseconds between two changes, and before the first.
const PAUSE: u64 = 150;

impl Reading {
    /// For one tree, or several.
    pub fn new(shown: bool) -> Reading {
        Reading { bar: shown.then(line).flatten(), begun: Instant::now(), next: AtomicU64::new(PAUSE) }
    }

    /// Takes what was read so far, from any thread.
    pub fn told(&self, files: u64, bytes: u64) {
        let Some(bar) = &self.bar else { return };
        let (now, next) = (self.begun.elapsed().as_millis() as u64, self.next.load(Ordering::Relaxed));
        let mine = || self.next.compare_exchange(next, now + PAUSE, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if now >= next && mine() {
            show(bar, files, bytes);
        }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

/// A line that moves, where one can.
pub(super) fn line() -> Option<ProgressBar> {
    ui::terminal().then(|| {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{msg}") {
            bar.set_style(style);
        }
        bar
    })
}

pub(super) fn show(bar: &ProgressBar, files: u64, bytes: u64) {
    bar.set_message(format!("{}, {}", ui::count(files as usize, "file"), HumanBytes(bytes)));
    bar.tick();
}
