//! Cargo packages.

use super::write::{Project, Variable};
use super::{BY_HAND, Failure, Step, text, toolchain};
use crate::statement::Word;
use std::path::Path;

pub(super) fn describe(dir: &Path) -> Result<Project, Failure> {
    let path = dir.join("Cargo.toml");
    let wrong = |what: &str| Failure::usage(format!("{}: {what}", path.display()));
    let manifest = text::read_toml(&path)?;
    let package = manifest.get("package").and_then(toml::Value::as_table).ok_or_else(|| {
        wrong("a workspace without a package of its own").hint("run init in the member that has the program")
    })?;
    let text = |key: &str| package.get(key).and_then(toml::Value::as_str);
    let name = text("name").ok_or_else(|| wrong("package.name is not there"))?.to_owned();
    if let Err(err) = name.parse::<Word>() {
        return Err(wrong(&format!("package.name = {name:?}: {err}")).hint(BY_HAND));
    }
    let mut programs: Vec<String> = manifest
        .get("bin")
        .and_then(toml::Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|bin| bin.get("name").and_then(toml::Value::as_str).map(str::to_owned))
        .collect();
    if programs.is_empty() && dir.join("src/main.rs").exists() {
        programs.push(name.clone());
    }
    let mut outputs: Vec<String> = programs.iter().map(|program| format!("target/release/{program}")).collect();
    if outputs.is_empty() {
        outputs.push(format!("target/release/lib{}.rlib", name.replace('-', "_")));
    }
    let mut project = Project { name, outputs, exclude: vec!["target".to_owned()], ..Project::default() };
    project.set_version(text("version"));
    if !dir.join("Cargo.lock").exists() {
        project
            .notes
            .push("there is no Cargo.lock: run `cargo generate-lockfile` and add it, or the step fails".to_owned());
    }
    let needs = manifest.get("dependencies").and_then(toml::Value::as_table).is_some_and(|table| !table.is_empty());
    if needs && !dir.join("vendor").exists() {
        project.notes.push(
            "the build has no network: run `cargo vendor` and add vendor/ and what it prints to .cargo/config.toml"
                .into(),
        );
    }
    project.steps.push(Step::new(
        "--locked: the versions in Cargo.lock or none. --offline: a crate that is not vendored is an error at once.",
        &["cargo", "build", "--release", "--locked", "--offline"],
    ));
    project.env.push(Variable(
        "RUSTFLAGS",
        "--remap-path-prefix=/build=.".to_owned(),
        "panic messages and debug information say `.` instead of /build; this replaces build.rustflags of .cargo/config.toml",
    ));
    project.env.push(Variable(
        "CARGO_INCREMENTAL",
        "0".to_owned(),
        "incremental builds cut the code into other units, also where a profile asks for them",
    ));
    toolchain::add(&mut project, "cargo", toolchain::rust(), "Rust toolchain");
    Ok(project)
}
