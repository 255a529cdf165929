//! A build's output: shown live, kept as a file, its last lines remembered for the message when a step fails.

use super::exit::Failure;
use super::ui;
use crate::fs::FsError;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// Lines shown again when a step fails.
const TAIL: usize = 25;
/// Longest piece of a line that is held back for its end.
const MAX_LINE: usize = 4096;

/// Where a build's output goes.
pub struct BuildLog {
    path: PathBuf,
    aside: PathBuf,
    file: BufWriter<File>,
    failed: Option<std::io::Error>,
    live: bool,
    empty: bool,
    partial: Vec<u8>,
    tail: VecDeque<String>,
}

impl BuildLog {
    /// Begins a log that will stand at `path`. `live`: also on standard error.
    pub fn create(path: &Path, live: bool) -> Result<BuildLog, Failure> {
        let random = crate::fs::random_name().map_err(|err| FsError::io("create", path, err))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let aside = path.with_file_name(format!(".{name}.{random}.part"));
        // New, under a name that nobody could foresee: a link that was laid there is not written through.
        let file = File::create_new(&aside).map_err(|err| FsError::io("create", path, err))?;
        Ok(BuildLog {
            path: path.to_owned(),
            aside,
            file: BufWriter::new(file),
            failed: None,
            live,
            empty: true,
            partial: Vec::new(),
            tail: VecDeque::new(),
        })
    }

    /// Takes what the steps printed.
    pub fn take(&mut self, bytes: &[u8]) {
        self.empty &= bytes.is_empty();
        if let Err(err) = self.file.write_all(bytes) {
            self.failed.get_or_insert(err);
        }
        for mut piece in bytes.split_inclusive(|b| *b == b'\n') {
            while !piece.is_empty() {
                let (now, later) = piece.split_at(piece.len().min(MAX_LINE - self.partial.len()));
                self.partial.extend_from_slice(now);
                piece = later;
                if now.ends_with(b"\n") || self.partial.len() == MAX_LINE {
                    self.line();
                }
            }
        }
    }

    fn line(&mut self) {
        let text = String::from_utf8_lossy(&self.partial);
        // Tabs are harmless; everything else that moves the cursor is not.
        let shown = text.trim_end_matches(['\n', '\r']).split('\t').map(ui::escape).collect::<Vec<_>>().join("\t");
        if self.live {
            ui::say(&shown);
        }
        if self.tail.len() == TAIL {
            self.tail.pop_front();
        }
        self.tail.push_back(shown);
        self.partial.clear();
    }

    /// Whether nothing was printed so far.
    pub fn is_empty(&self) -> bool {
        self.empty
    }

    /// Ends the log; the file stands at its path from now on.
    pub fn finish(mut self) -> Result<PathBuf, Failure> {
        self.close()?;
        Ok(self.path.clone())
    }

    /// Ends the log of a failed build, which is kept at `path`: the last lines are shown again where the whole was not seen just now.
    pub fn finish_failed(mut self, path: &Path) -> String {
        self.path = path.to_owned();
        let kept = self.close();
        if !self.live && !self.tail.is_empty() {
            ui::say("--- last lines of the build:");
            for line in &self.tail {
                ui::say(line);
            }
            ui::say("---");
        }
        match kept {
            Ok(()) => format!("the whole log is in {}", self.path.display()),
            Err(failure) => failure.fact,
        }
    }

    fn close(&mut self) -> Result<(), Failure> {
        if !self.partial.is_empty() {
            self.line();
        }
        let fail = |err| Failure::from(FsError::io("write", &self.path, err));
        if let Some(err) = self.failed.take() {
            return Err(fail(err));
        }
        self.file.flush().map_err(fail)?;
        std::fs::rename(&self.aside, &self.path).map_err(fail)
    }
}

impl Drop for BuildLog {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.aside);
    }
}
