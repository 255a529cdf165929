//! Python projects: the output is the wheel.

use super::write::{Project, Variable};
use super::{Failure, Step, text};
use std::path::Path;

/// What builds where `[build-system]` names nothing.
const DEFAULT_BACKEND: &str = "setuptools.build_meta";

/// Whether pyproject.toml is there for more than the configuration of other tools. One that cannot be read counts, so that it is an error.
pub(super) fn is_project(dir: &Path) -> bool {
    text::read_toml(&dir.join("pyproject.toml"))
        .map_or(true, |table| table.contains_key("project") || table.contains_key("build-system"))
}

pub(super) fn describe(dir: &Path, file: &str) -> Result<Project, Failure> {
    let manifest = if file == "pyproject.toml" { text::read_toml(&dir.join(file))? } else { toml::Table::default() };
    let table = |path: &[&str]| -> Option<&toml::Table> {
        path.iter().try_fold(&manifest, |table, key| table.get(*key)?.as_table())
    };
    let string = |path: &[&str], key: &str| table(path)?.get(key)?.as_str().map(str::to_owned);
    // In an unpacked sdist; says what the backend found out.
    let pkg_info = dir.join("PKG-INFO");
    let pkg_info = if pkg_info.is_file() { text::read(&pkg_info)? } else { String::new() };
    let stated = |key: &str| {
        string(&["project"], key).or_else(|| string(&["tool", "poetry"], key)).or_else(|| {
            text::assigned(&pkg_info, if key == "name" { "Name" } else { "Version" }, ":").map(str::to_owned)
        })
    };
    let backend = string(&["build-system"], "build-backend").unwrap_or_else(|| DEFAULT_BACKEND.to_owned());
    let exclude = ["dist", "**/__pycache__", "**/*.egg-info"];
    let mut project = Project { exclude: exclude.map(str::to_owned).to_vec(), ..Project::default() };
    if backend.starts_with("setuptools") {
        // Where setuptools puts intermediate files, which it would take up again.
        project.exclude.push("build".to_owned());
    }
    project.set_name(stated("name").as_deref(), dir);
    let version = stated("version");
    project.set_version(version.as_deref());
    project.steps.push(Step::new(
        "--no-isolation: the build backend is the one in the environment; with isolation it would be downloaded.",
        &["python3", "-m", "build", "--wheel", "--no-isolation", "--outdir", "dist"],
    ));
    project.outputs.push("dist/*.whl".to_owned());
    project.env = vec![
        Variable("PYTHONHASHSEED", "0".to_owned(), "sets and their like come in one order"),
        Variable("PYTHONDONTWRITEBYTECODE", "1".to_owned(), "no .pyc files, which hold times, among the sources"),
        Variable("PYTHONNOUSERSITE", "1".to_owned(), "no packages but those of the environment"),
    ];
    let requires: Vec<&str> = table(&["build-system"])
        .and_then(|table| table.get("requires")?.as_array())
        .into_iter()
        .flatten()
        .filter_map(toml::Value::as_str)
        .collect();
    let from_git = |name: &str| {
        ["setuptools_scm", "setuptools-scm", "hatch-vcs", "hatch_vcs"].iter().any(|tool| name.starts_with(tool))
    };
    if requires.iter().any(|name| from_git(name)) {
        let why = "the version would be taken from .git, which is no part of the source";
        project.env.push(Variable("SETUPTOOLS_SCM_PRETEND_VERSION", project.version.clone(), why));
    }
    let needed = if requires.is_empty() { "setuptools, wheel".to_owned() } else { requires.join(", ") };
    project.notes.push(format!(
        "the build has no network: python3 needs the module `build` and {needed} from the system's packages, or from a directory that \
         environment.roots and PYTHONPATH in build.env name"
    ));
    Ok(project)
}
