//! Projects with a `configure` script, or with what autoconf makes one of.

use super::write::{Project, compiler_flags};
use super::{Failure, Step, text};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

pub(super) fn describe(dir: &Path, file: &str) -> Result<Project, Failure> {
    let source = text::read(&dir.join(file))?;
    let mut project = Project { exclude: vec!["_out".to_owned()], ..Project::default() };
    let (name, version) = if file == "configure" {
        let value = |key| text::assigned(&source, key, "=").map(str::to_owned);
        (value("PACKAGE_TARNAME"), value("PACKAGE_VERSION"))
    } else {
        let words = text::call(&source, "AC_INIT", &[',']).unwrap_or_default();
        let tarname = words.get(3).filter(|word| !word.is_empty()).cloned();
        (tarname.or_else(|| words.first().map(|name| tar_name(name))), words.get(1).cloned())
    };
    project.set_name(name.as_deref(), dir);
    project.set_version(version.as_deref());
    let mut configure = vec!["./configure", "--prefix=/usr", "--disable-dependency-tracking"];
    if file == "configure" {
        let executable = std::fs::metadata(dir.join(file)).is_ok_and(|meta| meta.permissions().mode() & 0o100 != 0);
        if !executable {
            configure.insert(0, "sh");
        }
    } else {
        project.steps.push(Step::new(
            "Makes `configure`; its text depends on the versions of autoconf and automake, which are part of the environment.",
            &["autoreconf", "--install", "--force"],
        ));
    }
    project.steps.extend([
        Step::new(
            "A fixed prefix, since it gets into the files. Dependencies between files help a second build only.",
            &configure,
        ),
        Step::new(
            "One job at a time: with -j a Makefile that leaves a dependency out may build something else each time.",
            &["make"],
        ),
        Step::new(
            "Installed below DESTDIR: the outputs are what would be in /usr.",
            &["make", "install", "DESTDIR=/build/_out"],
        ),
    ]);
    project.outputs.push("_out/**".to_owned());
    if dir.join("config.status").exists() {
        project.notes.push(
            "there is a config.status: this directory was configured already, and what was made is taken for source; \
             better run init in a clean copy (`make distclean`)"
                .to_owned(),
        );
    }
    project.env = compiler_flags("-g -O2");
    Ok(project)
}

/// The name of the archive that autoconf derives from the package's name.
fn tar_name(name: &str) -> String {
    let name = name.strip_prefix("GNU ").unwrap_or(name);
    name.chars()
        .map(|c| if c.is_ascii_alphanumeric() || "_.+".contains(c) { c.to_ascii_lowercase() } else { '-' })
        .collect()
}
