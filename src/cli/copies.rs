//! Outputs that were there before they were built, in words.

use super::ui;
use crate::build::{CopyOf, OutputCopy};
use serde_json::json;

/// An output that was there before was not built; whoever believes that it was should know.
pub fn note_copies(copies: &[OutputCopy]) {
    for copy in copies {
        let output = ui::escape(&copy.output.escaped());
        ui::say(&match &copy.of {
            CopyOf::Source(path) => {
                format!("note: output {output} is a copy of the source file {}", ui::escape(&path.escaped()))
            }
            CopyOf::Environment(path) => {
                format!("note: output {output} is a copy of /{} in the environment", ui::escape(&path.escaped()))
            }
        });
    }
}

/// For programs.
pub fn copies_json(copies: &[OutputCopy]) -> serde_json::Value {
    let one = |copy: &OutputCopy| {
        let (of, path) = match &copy.of {
            CopyOf::Source(path) => ("source", path.escaped()),
            CopyOf::Environment(path) => ("environment", format!("/{}", path.escaped())),
        };
        json!({ "name": copy.output.escaped(), "of": of, "path": path })
    };
    copies.iter().map(one).collect()
}
