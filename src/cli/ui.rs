//! Words to the user. The rules of the terminal:
//!
//! - Data goes to standard output, words to standard error.
//! - An error is one lower-case line of fact, then `hint:` lines that say what to do.
//! - Colour only on a terminal, never with `NO_COLOR` or `TERM=dumb`.
//! - Text that came from outside is escaped: control characters and those that reorder text are shown as `\u{..}`.
//! - What moves (progress) is shown on a terminal only, never with `TERM=dumb` or `--quiet`, and is gone at the end.
//! - A signal that ends a command is one line, `interrupted`.
//! - A closed pipe ends the program quietly, with 141.

use super::exit::{Exit, Failure};
use crate::json;
use crate::path::TreePath;
use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicU8, Ordering};

/// Shows untrusted text harmlessly: control characters, bidirectional overrides, line and paragraph separators and other invisible format
/// characters become `\u{..}`.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            c if c.is_control() => out.extend(c.escape_default()),
            c if json::hidden(c) => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    out
}

/// Prints a JSON document: one line, for programs; what a terminal would obey stands in it as `\u` escapes.
pub fn document<T: serde::Serialize>(value: &T) {
    data(&(json::print_harmless(value) + "\n"));
}

/// Writes data to standard output. Where that is closed, nothing more is said on any stream, and the program comes to its end, so that what it
/// made in passing is removed.
pub fn data(text: &str) {
    data_bytes(text.as_bytes());
}

/// The same for bytes.
pub fn data_bytes(bytes: &[u8]) {
    if lost().is_some() {
        return;
    }
    let mut out = io::stdout().lock();
    if let Err(err) = out.write_all(bytes).and_then(|()| out.flush()) {
        let closed = err.kind() == io::ErrorKind::BrokenPipe;
        if !closed {
            let failure = Failure::new(Exit::CouldNotTell, format!("cannot write to standard output: {err}"));
            fail(&failure.hint("what was printed is not whole: do not use it"));
        }
        let code = if closed { SIGPIPE } else { Exit::CouldNotTell as u8 };
        LOST.store(code, Ordering::Relaxed);
    }
}

/// The exit code once data could not be written: the one that the shell gives to a program killed by SIGPIPE when the pipe was closed.
pub fn lost() -> Option<u8> {
    Some(LOST.load(Ordering::Relaxed)).filter(|code| *code != 0)
}

static LOST: AtomicU8 = AtomicU8::new(0);
const SIGPIPE: u8 = 141;

/// Says a line on standard error; nothing that can go wrong there matters.
pub fn say(text: &str) {
    if lost().is_none() {
        let _ = writeln!(io::stderr().lock(), "{text}");
    }
}

/// Says which names of a source other systems take for one.
pub fn note_folding(pairs: &[(TreePath, TreePath)]) {
    for (a, b) in pairs {
        let (a, b) = (escape(&a.escaped()), escape(&b.escaped()));
        say(&format!("note: {a} and {b} are one name where case or Unicode form is not distinguished"));
    }
}

/// Prints a failure.
pub fn fail(failure: &Failure) {
    if matches!(failure.exit, Exit::HungUp | Exit::Interrupted | Exit::Terminated) {
        // Who asked for it needs no advice.
        return say(&failure.fact);
    }
    let red = if colour() { ("\x1b[31m", "\x1b[0m") } else { ("", "") };
    say(&format!("{}error:{} {}", red.0, red.1, escape(&failure.fact)));
    for hint in &failure.hints {
        say(&format!("hint: {}", escape(hint)));
    }
}

/// `1 file`, `2 files`.
pub fn count(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

/// Whether standard error takes colour.
fn colour() -> bool {
    terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
}

/// Whether standard error is a terminal that obeys: one on which a line can be written over.
pub fn terminal() -> bool {
    io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_moves_the_cursor_or_turns_the_text() {
        assert_eq!(escape("a\x1b[2Jb\u{202e}c\nü"), "a\\u{1b}[2Jb\\u{202e}c\\nü");
    }
}
