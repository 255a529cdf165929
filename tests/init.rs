//! `countersign init`: what it writes can be built, and nothing is overwritten.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn countersign(dir: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_countersign")).args(args).current_dir(dir).output().unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_make_project_builds_with_the_recipe_made_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/projects/hello-c");
    for entry in fs::read_dir(sample).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap() != "countersign.toml" {
            fs::copy(&path, dir.path().join(path.file_name().unwrap())).unwrap();
        }
    }
    let output = countersign(dir.path(), &["init"]);
    assert_eq!(code(&output), 0, "{}", said(&output));
    let recipe = fs::read_to_string(dir.path().join("countersign.toml")).unwrap();
    assert!(recipe.contains(r#"outputs = ["out/**"]"#), "{recipe}");
    let out = dir.path().with_extension("built");
    let output = countersign(dir.path(), &["build", "--quiet", "--out", out.to_str().unwrap()]);
    assert_eq!(code(&output), 0, "{}", said(&output));
    assert!(out.join("out/hello").exists());
    fs::remove_dir_all(&out).unwrap();
    let _ = fs::remove_file(out.with_extension("built.log"));

    let output = countersign(dir.path(), &["init"]);
    assert_eq!(code(&output), 2);
    assert!(said(&output).contains("--force"), "{}", said(&output));
    assert_eq!(fs::read_to_string(dir.path().join("countersign.toml")).unwrap(), recipe);
}

#[test]
fn a_cargo_project_is_described_and_a_workspace_is_not_guessed() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("src")).unwrap();
    fs::write(dir.path().join("src/main.rs"), "fn main() {}\n").unwrap();
    fs::write(dir.path().join("Cargo.toml"), "[package]\nname = \"app\"\nversion = \"2.1.0\"\nedition = \"2024\"\n")
        .unwrap();
    let output = countersign(dir.path(), &["init", "--stdout"]);
    assert_eq!(code(&output), 0, "{}", said(&output));
    let recipe = String::from_utf8(output.stdout).unwrap();
    for text in [
        "name = \"app\"",
        "version = \"2.1.0\"",
        "target/release/app",
        "\"--offline\"",
        "exclude = [\".git\", \"target\"]",
    ] {
        assert!(recipe.contains(text), "{text} in {recipe}");
    }
    assert!(said(&countersign(dir.path(), &["init", "--stdout"])).contains("cargo generate-lockfile"));
    assert!(!dir.path().join("countersign.toml").exists(), "--stdout writes nothing");
    // What the manifest does not say is not made up in silence.
    let manifest = |text: &str| fs::write(dir.path().join("Cargo.toml"), text).unwrap();
    manifest("[package]\nname = \"app\"\nversion.workspace = true\n");
    let output = countersign(dir.path(), &["init", "--stdout"]);
    assert!(String::from_utf8(output.stdout.clone()).unwrap().contains("version = \"0.0.0\""));
    assert!(said(&output).contains("note: version is not known here"), "{}", said(&output));
    // Cargo takes it with a warning; as the name of a product it is none.
    manifest("[package]\nname = \"äpp\"\nversion = \"1.0.0\"\n");
    let output = countersign(dir.path(), &["init", "--stdout"]);
    assert_eq!((code(&output), output.stdout.len()), (2, 0));
    assert!(said(&output).contains("Cargo.toml: package.name = \"äpp\": "), "{}", said(&output));
    fs::write(dir.path().join("Cargo.toml"), "[workspace]\nmembers = [\"a\"]\n").unwrap();
    let output = countersign(dir.path(), &["init"]);
    assert_eq!(code(&output), 2);
    assert!(said(&output).contains("workspace"), "{}", said(&output));
}

#[test]
fn an_unknown_project_is_said_to_be_one() {
    let dir = tempfile::tempdir().unwrap();
    let output = countersign(dir.path(), &["init"]);
    assert_eq!(code(&output), 7);
    assert!(said(&output).contains("no Makefile and no Cargo.toml"), "{}", said(&output));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}
