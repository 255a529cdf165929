//! npm packages: the output is the package that would be published.

use super::write::{Project, Variable};
use super::{Failure, Step, text, toolchain};
use serde_json::{Map, Value};
use std::path::Path;

pub(super) fn describe(dir: &Path) -> Result<Project, Failure> {
    let manifest = text::read_json(&dir.join("package.json"))?;
    let full = |table: &Map<String, Value>, key: &str| {
        table.get(key).and_then(Value::as_object).is_some_and(|table| !table.is_empty())
    };
    let string = |key: &str| manifest.get(key).and_then(Value::as_str);
    let mut project = Project { exclude: vec!["node_modules".to_owned()], ..Project::default() };
    // A scoped name, as npm names the package's file.
    let name = string("name").map(|name| name.trim_start_matches('@').replace('/', "-"));
    project.set_name(name.as_deref(), dir);
    project.set_version(string("version"));
    let needs = ["dependencies", "devDependencies", "optionalDependencies"].iter().any(|key| full(&manifest, key));
    if needs {
        project.steps.push(Step::new(
            "ci: the versions in package-lock.json or none. --offline: what is not in the cache is an error at once. --ignore-scripts: no \
             package runs code of its own while it is unpacked.",
            &["npm", "ci", "--offline", "--ignore-scripts"],
        ));
        project.notes.push(
            "the build has no network: fill a cache with `npm ci --ignore-scripts --cache npm-cache` and add npm-cache to the source".to_owned(),
        );
        if !dir.join("package-lock.json").exists() && !dir.join("npm-shrinkwrap.json").exists() {
            project
                .notes
                .push("there is no package-lock.json: run `npm install --package-lock-only` and add it".to_owned());
        }
    }
    let builds =
        manifest.get("scripts").and_then(Value::as_object).is_some_and(|scripts| scripts.contains_key("build"));
    if builds {
        project.steps.push(Step::new("The project's own script.", &["npm", "run", "build"]));
        // Left from a build before this one; the script makes it anew.
        project.exclude.push("dist".to_owned());
    }
    if builds && manifest.get("private") == Some(&Value::Bool(true)) {
        project.outputs.push("dist/**".to_owned());
        project
            .notes
            .push("the package is private, so outputs is a guess: what the script build puts into dist".to_owned());
    } else {
        project.steps.push(Step::new(
            "What would be published. npm gives every file in it one time (1985-10-26) and a plain mode.",
            &["npm", "pack", "--ignore-scripts"],
        ));
        let file = format!("{}-{}.tgz", project.name, project.version);
        project.exclude.push(file.clone());
        project.outputs.push(file);
    }
    let mut set = |key, value: &str, why| project.env.push(Variable(key, value.to_owned(), why));
    if needs {
        set(
            "npm_config_cache",
            "/build/npm-cache",
            "the packages, as they came from the registry; their digests are in package-lock.json",
        );
    }
    set("npm_config_update_notifier", "false", "npm asks nobody for a newer npm");
    set("npm_config_audit", "false", "nor for advisories");
    set("npm_config_fund", "false", "nor prints who wants donations");
    toolchain::add(&mut project, "npm", toolchain::of("node"), "node and npm");
    Ok(project)
}
