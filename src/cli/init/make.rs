//! Projects with a Makefile.

use super::write::Project;
use super::{Failure, Step, text};
use std::path::Path;

pub(super) fn describe(dir: &Path, file: &str) -> Result<Project, Failure> {
    let makefile = text::read(&dir.join(file))?;
    let mut project = Project { name: text::directory_name(dir), ..Project::default() };
    // Where the rules put their results, if they name a usual place.
    let place = ["out", "build", "bin", "dist"].into_iter().find(|place| {
        makefile
            .split(|c: char| !(c.is_alphanumeric() || "/._-".contains(c)))
            .any(|word| word.starts_with(&format!("{place}/")))
    });
    match place {
        Some(place) => {
            project.outputs.push(format!("{place}/**"));
            project.exclude.push(place.to_owned());
        }
        None => {
            project.outputs.push(project.name.clone());
            project.notes.push(format!(
                "outputs is a guess ({:?}); `countersign build` lists what the build really makes",
                project.name
            ));
        }
    }
    // Only an assignment of a literal counts; what is computed is not known here.
    let version = text::assigned(&makefile, "VERSION", "=").or_else(|| text::assigned(&makefile, "VERSION", ":="));
    project.set_version(version);
    project.steps.push(Step::new(
        "One job at a time: with -j a Makefile that leaves a dependency out may build something else each time.",
        &["make"],
    ));
    Ok(project)
}
