//! `countersign compare`: what differs between two files or directories.

use super::exit::{Exit, Failure};
use super::progress::Reading;
use super::ui;
use crate::compare::{self, Difference, What};
use crate::digest::Wanted;
use crate::fs;
use crate::scan;
use crate::tree::{FILE, Line, TYPE_BITS, TreeKind};
use clap::Args as ClapArgs;
use serde_json::{Value, json};
use std::fs::File;
use std::path::{Path, PathBuf};

/// Arguments of `compare`.
#[derive(ClapArgs, Debug)]
#[command(after_help = "Exit codes: 0 equal, 1 different, 7 one of them could not be read.

Examples:
  countersign compare app app.rebuilt          # first differing byte
  countersign compare dist/ rebuilt/ --json    # every entry that differs, and in what")]
pub struct Args {
    /// A file or directory
    a: PathBuf,
    /// Another
    b: PathBuf,
    /// Print nothing: the exit code is the answer
    #[arg(long, short, conflicts_with = "json")]
    quiet: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// One difference with the first differing byte, where both have bytes.
pub struct Located {
    /// What differs.
    pub difference: Difference,
    /// Offset of the first differing byte.
    pub offset: Option<u64>,
}

/// Compares.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let meta = |path: &Path| std::fs::metadata(path).map_err(|err| fs::FsError::io("read", path, err));
    let found = match (meta(&args.a)?.is_dir(), meta(&args.b)?.is_dir()) {
        (true, true) => directories(&args.a, &args.b, args.quiet)?,
        (false, false) => files(&args.a, &args.b)?,
        (a, _) => {
            let (dir, file) = if a { (&args.a, &args.b) } else { (&args.b, &args.a) };
            return Err(Failure::usage(format!("{} is a directory and {} is not", dir.display(), file.display()))
                .hint("two files or two directories can be compared"));
        }
    };
    if args.quiet {
        // Said by the exit code.
    } else if args.json {
        let document = json!({
            "schema": "urn:countersign:schema:compare:v1",
            "equal": found.is_empty(),
            "differences": found.iter().map(Located::json).collect::<Vec<_>>(),
        });
        ui::document(&document);
    } else {
        let mut text: String = found.iter().map(|located| format!("{}\n", located.line("in A", "in B"))).collect();
        text += &match found.len() {
            0 => "equal\n".to_owned(),
            1 => "different: 1 entry\n".to_owned(),
            n => format!("different: {n} entries\n"),
        };
        ui::data(&text);
    }
    Ok(if found.is_empty() { Exit::Yes } else { Exit::Differs })
}

impl Located {
    /// One line for people, with names for the two sides.
    pub fn line(&self, a: &str, b: &str) -> String {
        let mut what: Vec<String> = self.difference.what.iter().map(|what| what.words(a, b)).collect();
        if let Some(offset) = self.offset {
            what.push(format!("first at byte {offset}"));
        }
        format!("{}: {}", ui::escape(&self.difference.path.escaped()), what.join(", "))
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let side = |line: &Option<Line>| {
            line.as_ref()
                .map(|line| json!({"mode": format!("{:06o}", line.mode), "size": line.size, "sha256": line.sha256}))
        };
        json!({
            "path": self.difference.path.escaped(),
            "what": self.difference.what.iter().map(What::word).collect::<Vec<_>>(),
            "a": side(&self.difference.a),
            "b": side(&self.difference.b),
            "firstDifference": self.offset,
        })
    }
}

/// All differences between two directories, permission bits included.
pub fn directories(a: &Path, b: &Path, quiet: bool) -> Result<Vec<Located>, Failure> {
    let lines = |dir: &Path| -> Result<Vec<Line>, Failure> {
        let reading = Reading::new(!quiet);
        let progress = |files, bytes| reading.told(files, bytes);
        let options = scan::Options { progress: Some(&progress), ..scan::Options::new(TreeKind::Output) };
        Ok(scan::tree(dir, &options)?.tree.lines().collect())
    };
    let differences = compare::lines(&lines(a)?, &lines(b)?);
    differences.into_iter().map(|difference| locate(difference, a, b)).collect()
}

/// Finds the first differing byte of a difference between two files below `a` and `b`.
pub fn locate(difference: Difference, a: &Path, b: &Path) -> Result<Located, Failure> {
    let is_file = |line: &Option<Line>| line.as_ref().is_some_and(|line| line.mode & TYPE_BITS == FILE);
    let offset = if difference.what.contains(&What::Content) && is_file(&difference.a) && is_file(&difference.b) {
        // Both may have changed since they were listed, and neither may lead us elsewhere.
        let opened = (scan::open(a, &difference.path)?, scan::open(b, &difference.path)?);
        first((a, b), opened)?
    } else {
        None
    };
    Ok(Located { difference, offset })
}

fn files(a: &Path, b: &Path) -> Result<Vec<Located>, Failure> {
    let line = |path: &Path| -> Result<Line, Failure> {
        let content = scan::file(path, Wanted::default())?;
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let path = crate::path::TreePath::from_bytes(name.as_bytes())
            .map_err(|err| Failure::usage(format!("{}: {err}", path.display())))?;
        Ok(Line { mode: FILE, size: content.size, sha256: Some(content.sha256), path })
    };
    let (left, right) = (line(a)?, line(b)?);
    // Two files are compared whatever they are called.
    let right = Line { path: left.path.clone(), ..right };
    let mut found = Vec::new();
    for difference in compare::lines(&[left], &[right]) {
        found.push(Located { offset: first((a, b), (fs::open_file(a)?, fs::open_file(b)?))?, difference });
    }
    Ok(found)
}

fn first((a, b): (&Path, &Path), (left, right): (File, File)) -> Result<Option<u64>, Failure> {
    compare::first_difference(left, right).map_err(|err| {
        Failure::new(Exit::CouldNotTell, format!("cannot compare {} with {}: {err}", a.display(), b.display()))
    })
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::fs::{create_dir, remove_dir_all, rename, write};
    use std::os::unix::fs::symlink;

    #[test]
    fn no_link_leads_out_of_either_directory() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b, outside) = (dir.path().join("a"), dir.path().join("b"), dir.path().join("outside"));
        for (top, text) in [(&a, "one"), (&b, "two"), (&outside, "tWo")] {
            create_dir(top).unwrap();
            create_dir(top.join("d")).unwrap();
            write(top.join("d/f"), text).unwrap();
        }
        let found = directories(&a, &b, true).unwrap();
        assert_eq!((found.len(), found[0].offset), (1, Some(0)));
        let listed = || compare_lines(&a, &b);
        // After both were listed, a directory or the file itself becomes a link to elsewhere.
        let difference = listed();
        remove_dir_all(b.join("d")).unwrap();
        symlink(outside.join("d"), b.join("d")).unwrap();
        assert!(locate(difference.clone(), &a, &b).is_err());
        std::fs::remove_file(b.join("d")).unwrap();
        create_dir(b.join("d")).unwrap();
        symlink(outside.join("d/f"), b.join("d/f")).unwrap();
        assert!(locate(difference.clone(), &a, &b).is_err());
        rename(outside.join("d/f"), b.join("d/f")).unwrap();
        assert_eq!(locate(difference, &a, &b).unwrap().offset, Some(0));
    }

    fn compare_lines(a: &Path, b: &Path) -> Difference {
        let lines = |dir: &Path| -> Vec<Line> {
            scan::tree(dir, &scan::Options::new(TreeKind::Output)).unwrap().tree.lines().collect()
        };
        compare::lines(&lines(a), &lines(b)).remove(0)
    }
}
