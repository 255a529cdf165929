//! What a build cannot vouch for, in words: outputs that were there before they were built, compiled code in the source.

use super::ui;
use crate::build::{CopyOf, OutputCopy};
use crate::source::Opaque;
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

/// Files that are named in a note.
pub(super) const NAMED: usize = 10;

/// Compiled code in the source: reproducing it says nothing of where it came from.
pub fn note_opaque(found: &[Opaque]) {
    if found.is_empty() {
        return;
    }
    let named = found.iter().take(NAMED).map(|file| format!("{} ({})", ui::escape(&file.path.escaped()), file.kind));
    let named: Vec<String> = named.collect();
    let more = if found.len() > NAMED { format!(" and {} more", found.len() - NAMED) } else { String::new() };
    let files = ui::count(found.len(), "file");
    ui::say(&format!(
        "note: compiled code in the source, which nobody can review: {files}: {}{more}",
        named.join(", ")
    ));
}

/// For programs: how many, and the first of them.
pub fn opaque_json(found: &[Opaque]) -> serde_json::Value {
    let first = found.iter().take(NAMED).map(|file| json!({ "name": file.path.escaped(), "kind": file.kind }));
    json!({ "count": found.len(), "files": first.collect::<Vec<_>>() })
}
