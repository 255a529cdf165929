//! How far the program is, on a terminal: one line that is gone when the stage is.

use super::ui;
use crate::build::Stage;
use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Shows stages; with `shown` off, nothing at all.
pub struct Progress {
    shown: bool,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// For one run. Words go to standard error wherever it leads, the moving line only to a terminal.
    pub fn new(shown: bool) -> Progress {
        Progress { shown, bar: None }
    }

    /// Takes the next stage of a build that sees `roots`.
    pub fn stage(&mut self, stage: Stage, roots: &[PathBuf]) {
        match stage {
            Stage::Environment(0, 0) if self.shown && !roots.is_empty() => {
                ui::say(&reading(roots));
                self.bar = line();
            }
            Stage::Environment(files, bytes) => {
                if let Some(bar) = &self.bar {
                    show(bar, files, bytes);
                }
            }
            // What the steps print comes next.
            Stage::Steps | Stage::Outputs => self.clear(),
        }
    }

    fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

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
fn line() -> Option<ProgressBar> {
    ui::terminal().then(|| {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{msg}") {
            bar.set_style(style);
        }
        bar
    })
}

fn show(bar: &ProgressBar, files: u64, bytes: u64) {
    bar.set_message(format!("{}, {}", ui::count(files as usize, "file"), HumanBytes(bytes)));
    bar.tick();
}

/// `/usr` is what takes the time, and what people know.
fn reading(roots: &[PathBuf]) -> String {
    let usr = roots.iter().find(|root| *root == Path::new("/usr"));
    let named = usr.or(roots.first()).map(|root| ui::escape(&root.display().to_string())).unwrap_or_default();
    match roots.len() {
        0 | 1 => format!("reading the environment: {named}"),
        n => format!("reading the environment: {named} and {}", ui::count(n - 1, "more root")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_that_counts_is_named() {
        let roots = |names: &[&str]| reading(&names.iter().map(PathBuf::from).collect::<Vec<_>>());
        assert_eq!(roots(&["/bin", "/usr", "/x"]), "reading the environment: /usr and 2 more roots");
        assert_eq!(roots(&["/opt\u{1b}", "/x"]), "reading the environment: /opt\\u{1b} and 1 more root");
        assert_eq!(roots(&["/opt"]), "reading the environment: /opt");
    }
}
