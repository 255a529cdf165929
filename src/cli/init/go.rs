//! Go modules.

use super::write::{Project, Variable};
use super::{Failure, Step, text, toolchain};
use std::path::Path;

pub(super) fn describe(dir: &Path) -> Result<Project, Failure> {
    let module = text::read(&dir.join("go.mod"))?;
    let path = module.lines().find_map(|line| {
        line.trim().strip_prefix("module")?.split("//").next().map(|path| path.trim().trim_matches('"'))
    });
    // The last part that is no major version.
    let major =
        |part: &str| part.strip_prefix('v').is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
    let name = path.and_then(|path| path.rsplit('/').find(|part| !major(part)));
    let mut project =
        Project { exclude: vec!["out".to_owned()], outputs: vec!["out/**".to_owned()], ..Project::default() };
    project.set_name(name, dir);
    // Go modules are versioned by git tags alone.
    project.set_version(None);
    let packages = if has_main(dir) {
        "."
    } else if dir.join("cmd").is_dir() {
        "./cmd/..."
    } else {
        project.notes.push("no program was found at the top or below cmd: name the package in the step".to_owned());
        "./..."
    };
    project.steps.push(Step::new("All programs, into out.", &["go", "build", "-o", "out/", packages]));
    let requires = module.lines().any(|line| line.trim_start().starts_with("require"));
    let flags = if requires { "-mod=vendor -trimpath -buildvcs=false" } else { "-trimpath -buildvcs=false" };
    if requires && !dir.join("vendor").exists() {
        project.notes.push("the build has no network: run `go mod vendor` and add vendor/".to_owned());
    }
    let mut set = |key, value: &str, why| project.env.push(Variable(key, value.to_owned(), why));
    set(
        "GOFLAGS",
        flags,
        "-mod=vendor: dependencies from vendor/ alone. -trimpath: no paths of this machine. -buildvcs=false: no state of a .git that is not there",
    );
    set("CGO_ENABLED", "0", "no C compiler and C library in the program; 1 where a package needs cgo");
    set("GOPROXY", "off", "a module that is not there is an error at once");
    set("GOTOOLCHAIN", "local", "the Go of the environment; from 1.21 on it would download the one that go.mod names");
    toolchain::add(&mut project, "go", toolchain::of("go"), "Go toolchain");
    Ok(project)
}

fn has_main(dir: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(dir) else { return false };
    entries.filter_map(|entry| Some(entry.ok()?.path())).any(|path| {
        path.extension().is_some_and(|ext| ext == "go")
            && text::read(&path).is_ok_and(|text| text.lines().any(|line| line.trim_end() == "package main"))
    })
}
