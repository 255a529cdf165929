//! Words to the user. The rules of the terminal:
//!
//! - Data goes to standard output, words to standard error.
//! - An error is one lower-case line of fact, then `hint:` lines that say what to do.
//! - Colour only on a terminal, never with `NO_COLOR` or `TERM=dumb`.
//! - Text that came from outside is escaped: control characters and those that reorder text are shown as `\u{..}`.
//! - A closed pipe ends the program quietly.

use super::exit::Failure;
use crate::json;
use crate::path::TreePath;
use std::io::{self, IsTerminal, Write};

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

/// Writes data to standard output. A closed pipe ends the program with the status that the shell gives to one killed by SIGPIPE.
pub fn data(text: &str) {
    data_bytes(text.as_bytes());
}

/// The same for bytes.
pub fn data_bytes(bytes: &[u8]) {
    let mut out = io::stdout().lock();
    if let Err(err) = out.write_all(bytes).and_then(|()| out.flush()) {
        if err.kind() == io::ErrorKind::BrokenPipe {
            std::process::exit(141);
        }
        say(&format!("error: cannot write to standard output: {err}"));
        std::process::exit(super::exit::Exit::CouldNotTell as i32);
    }
}

/// Says a line on standard error; nothing that can go wrong there matters.
pub fn say(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
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
    io::stderr().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
        && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_moves_the_cursor_or_turns_the_text() {
        assert_eq!(escape("a\x1b[2Jb\u{202e}c\nü"), "a\\u{1b}[2Jb\\u{202e}c\\nü");
    }
}
