//! Meson projects.

use super::write::{Project, compiler_flags};
use super::{Failure, Step, text};
use std::path::Path;

pub(super) fn describe(dir: &Path) -> Result<Project, Failure> {
    let build = text::read(&dir.join("meson.build"))?;
    let words = text::call(&build, "project", &[',']).unwrap_or_default();
    let version = words.iter().find_map(|word| {
        let value = word.strip_prefix("version")?.trim_start().strip_prefix(':')?.trim();
        value.strip_prefix('\'')?.strip_suffix('\'')
    });
    let mut project = Project { exclude: vec!["_build".to_owned(), "_out".to_owned()], ..Project::default() };
    project.set_name(words.first().map(String::as_str), dir);
    project.set_version(version);
    project.steps = vec![
        Step::new(
            "--wrap-mode=nodownload: a subproject that is not in the source is an error at once. --backend: ninja, whatever is installed.",
            &[
                "meson",
                "setup",
                "_build",
                "--prefix=/usr",
                "--libdir=lib",
                "--buildtype=release",
                "--backend=ninja",
                "--wrap-mode=nodownload",
            ],
        ),
        Step::new(
            "As many jobs as there are processors; Meson writes the dependencies down in full.",
            &["meson", "compile", "-C", "_build"],
        ),
    ];
    if build.contains("install") {
        project.steps.push(Step::new(
            "Installed below a directory of its own: run paths of the build directory are removed.",
            &["meson", "install", "-C", "_build", "--no-rebuild", "--destdir", "/build/_out"],
        ));
        project.outputs.push("_out/**".to_owned());
    } else {
        let programs = text::calls(&build, "executable", &[',']);
        let plain = |name: &&String| name.chars().all(|c| c.is_alphanumeric() || "._+-".contains(c));
        project.outputs = programs
            .iter()
            .filter_map(|words| words.first())
            .filter(plain)
            .map(|name| format!("_build/{name}"))
            .collect();
        if project.outputs.is_empty() {
            project.outputs.push(format!("_build/{}", project.name));
        }
        project
            .notes
            .push("meson.build installs nothing, so outputs is a guess: the programs that it names".to_owned());
    }
    // Meson adds the optimisation of the build type.
    project.env = compiler_flags("");
    Ok(project)
}
