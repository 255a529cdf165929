//! Java projects with Maven: the output is the jar, or what else the project is packed as.

use super::write::{Project, Variable};
use super::{Failure, Step, text, toolchain};
use std::path::Path;

/// Where Debian's packages put plugins and libraries for Maven.
const DEBIAN_REPOSITORY: &str = "/usr/share/maven-repo";
/// A repository in the source, where Debian's has not all that is needed.
const OWN_REPOSITORY: &str = "maven-repo";
/// What a project states so that its archives hold no other time.
const TIMESTAMP: &str = "project.build.outputTimestamp";

pub(super) fn describe(dir: &Path) -> Result<Project, Failure> {
    let pom = text::read(&dir.join("pom.xml"))?;
    let element = |path: &[&str]| text::element(&pom, path);
    let mut project = Project { exclude: vec!["target".to_owned()], ..Project::default() };
    project.set_name(element(&["project", "artifactId"]), dir);
    let version = element(&["project", "version"]).or_else(|| element(&["project", "parent", "version"]));
    project.set_version(version);
    let own = dir.join(OWN_REPOSITORY).is_dir();
    let repository = if own { format!("/build/{OWN_REPOSITORY}") } else { DEBIAN_REPOSITORY.to_owned() };
    let mut words = vec!["mvn".to_owned(), "--offline".to_owned(), "--batch-mode".to_owned()];
    words.push(format!("-Dmaven.repo.local={repository}"));
    if element(&["project", "properties", TIMESTAMP]).is_none() {
        // Zip archives have no earlier times than 1980, and those of the very first hours of it are not taken.
        words.push(format!("-D{TIMESTAMP}=1980-02-01T00:00:00Z"));
    }
    words.extend(["-DskipTests".to_owned(), "package".to_owned()]);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    project.steps.push(Step::new(
        "--offline: what is not in the local repository is an error at once. outputTimestamp: each entry of the archives has this time (where \
         the project states none itself); else that of the build. -DskipTests: what tests leave is no part of the output.",
        &words,
    ));
    if element(&["project", "modules"]).is_some() {
        project.exclude.push("*/target".to_owned());
        project.outputs.push("**/target/*.jar".to_owned());
        project.notes.push("the project has modules, so outputs is a guess: the jars of all of them".to_owned());
    } else {
        // A property in it is not known here.
        let packaging = element(&["project", "packaging"]).unwrap_or("jar");
        let packaging = if ["jar", "war", "ear"].contains(&packaging) { packaging } else { "jar" };
        project.outputs.push(format!("target/*.{packaging}"));
    }
    if !own {
        project.notes.push(format!(
            "the build has no network: plugins and libraries are those of Debian's packages in {DEBIAN_REPOSITORY}; or fill a repository with \
             `mvn -Dmaven.repo.local={OWN_REPOSITORY} package`, add it to the source, and run init again"
        ));
    }
    toolchain::add(&mut project, "mvn", toolchain::of("mvn"), "Maven");
    if !toolchain::is_standard("javac") {
        match toolchain::of("javac").as_deref().and_then(Path::to_str) {
            Some(root) => {
                project.env.push(Variable("JAVA_HOME", root.to_owned(), "the JDK below environment.roots"));
                if !root.starts_with("/usr/") {
                    project.roots.push(root.to_owned());
                }
            }
            None => project
                .notes
                .push("no JDK was found: name its directory in environment.roots and in JAVA_HOME".to_owned()),
        }
    }
    // Debian's packages keep these below /etc, and neither starts without its own.
    project.roots.extend(toolchain::configuration("mvn", "bin/m2.conf"));
    project.roots.extend(toolchain::configuration("javac", "lib/jvm.cfg"));
    Ok(project)
}
