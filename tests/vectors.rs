//! `fixtures/vectors/`: for each directory that has an `expect.json`, `countersign verify` must give the exit code, and fail at the
//! step, that is written there. `tests/stranger/run_vectors.py` runs a second implementation over the same files.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Fewer than this means that the fixtures were not found, not that all is well.
const AT_LEAST: usize = 300;

#[test]
fn verify_agrees_with_every_vector() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/vectors");
    let vectors = vectors(&root);
    assert!(vectors.len() >= AT_LEAST, "only {} vectors in {}", vectors.len(), root.display());

    let mismatches: Vec<String> = vectors.iter().filter_map(|directory| mismatch(directory)).collect();
    assert!(mismatches.is_empty(), "{} of {} vectors:\n{}", mismatches.len(), vectors.len(), mismatches.join("\n"));
}

#[test]
fn listings_are_read_as_every_vector_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/vectors/tree");
    let texts: Vec<PathBuf> =
        children(&root).into_iter().filter(|path| path.extension().is_some_and(|ending| ending == "txt")).collect();
    assert!(texts.len() >= 50, "only {} listings", texts.len());
    for path in texts {
        let expected = std::fs::read_to_string(path.with_extension("expect")).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let read = std::str::from_utf8(&bytes).ok().and_then(|text| countersign::tree::Listing::parse(text).ok());
        assert_eq!(read.is_some(), expected.starts_with("valid"), "{}: {expected}", path.display());
        assert!(read.is_none_or(|listing| listing.to_string().as_bytes() == bytes), "{}", path.display());
    }
}

/// The directories two levels down that hold an `expect.json`, sorted.
fn vectors(root: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = children(root)
        .iter()
        .filter(|group| group.is_dir())
        .flat_map(|group| children(group))
        .filter(|directory| directory.join("expect.json").is_file())
        .collect();
    found.sort();
    found
}

fn children(directory: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(directory)
        .unwrap_or_else(|error| panic!("{}: {error}", directory.display()))
        .map(|entry| entry.unwrap().path())
        .collect()
}

/// One line of what was expected and what was found, or nothing where they are equal.
fn mismatch(directory: &Path) -> Option<String> {
    let expect: Value = serde_json::from_slice(&std::fs::read(directory.join("expect.json")).unwrap()).unwrap();
    let output = verify(directory, &expect).output().unwrap();
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);

    let expected = (expect["exit"].as_i64(), expect["step"].as_i64());
    let found = (output.status.code().map(i64::from), failed_step(&answer));
    // The steps are part of the answer: without them the failed one would be none, as it is for a yes.
    (expected != found || !answer["steps"].is_array()).then(|| {
        format!(
            "{}: {}; expected exit and step {expected:?}, found {found:?}; {}",
            directory.display(),
            expect["what"],
            String::from_utf8_lossy(&output.stderr).lines().next().unwrap_or_default(),
        )
    })
}

fn failed_step(answer: &Value) -> Option<i64> {
    answer["steps"].as_array()?.iter().find(|step| step["outcome"] == "fail")?["number"].as_i64()
}

fn verify(directory: &Path, expect: &Value) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
    command.arg("verify");
    for name in expect["args"].as_array().unwrap() {
        command.arg(directory.join(name.as_str().unwrap()));
    }
    command.arg("--bundle").arg(directory.join("bundle.intoto.jsonl"));
    command.arg("--policy").arg(directory.join("policy.toml"));
    for option in ["product", "version", "as"] {
        if let Some(value) = expect[option].as_str() {
            command.arg(format!("--{option}")).arg(value);
        }
    }
    command.arg("--json");
    command
}
