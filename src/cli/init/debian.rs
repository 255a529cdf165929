//! Debian source packages, as a tree with `debian/`: the output is the binary packages.

use super::write::{Project, Variable};
use super::{Failure, Step, text};
use std::path::Path;

pub(super) fn describe(dir: &Path, file: &str) -> Result<Project, Failure> {
    let control = text::read(&dir.join(file))?;
    let changelog = dir.join("debian/changelog");
    let changelog = if changelog.is_file() { text::read(&changelog)? } else { String::new() };
    let mut project = Project { exclude: vec!["_out".to_owned()], ..Project::default() };
    project.set_name(text::assigned(&control, "Source", ":"), dir);
    // `hello (1:2.10-3) unstable; urgency=medium`; an epoch is in no file's name either.
    let version = changelog.lines().next().and_then(|line| line.split_once('(')?.1.split_once(')'));
    project.set_version(version.map(|(version, _)| version.split_once(':').map_or(version, |(_, rest)| rest)));
    project.steps = vec![
        Step::new(
            "What is made is put beside the tree, where nothing can be written: so the tree goes down, below _out.",
            &[
                "sh",
                "-c",
                "mkdir -p _out/source && find . -mindepth 1 -maxdepth 1 ! -name _out -exec mv -t _out/source {} +",
            ],
        ),
        Step::new(
            "Without SOURCE_DATE_EPOCH dpkg takes the time of the newest entry of debian/changelog, as Debian's own builders do. dpkg's flags \
             have -ffile-prefix-map for this directory. --no-sign: the bundle is signed.",
            &[
                "env",
                "-u",
                "SOURCE_DATE_EPOCH",
                "-C",
                "_out/source",
                "dpkg-buildpackage",
                "--build=binary",
                "--no-sign",
            ],
        ),
    ];
    project.outputs.push("_out/*.deb".to_owned());
    let why = "one job at a time: with more a build that leaves a dependency out may make something else each time";
    project.env.push(Variable("DEB_BUILD_OPTIONS", "parallel=1".to_owned(), why));
    if text::assigned(&control, "Rules-Requires-Root", ":") != Some("no") {
        let why =
            "fakeroot only remembers who shall own a file: there is no root in the build to whom it could be given";
        project.env.push(Variable("FAKEROOTDONTTRYCHOWN", "1".to_owned(), why));
    }
    // Which distribution this is, which changes flags; what is installed, and which package a library is from.
    let roots = ["/etc/dpkg", "/var/lib/dpkg/info", "/var/lib/dpkg/status"];
    project.roots.extend(roots.map(str::to_owned));
    project.notes.push(
        "the build has no network: build-essential and what Build-Depends names must be installed; or pin them for everybody, with kind = \
         \"debian\" and packages in [environment], and `countersign lock`"
            .to_owned(),
    );
    project.notes.push(
        "in a tree all files have one time, in a source package each its own: for the very bytes that Debian publishes, take the .dsc and its \
         files as source and let `dpkg-source --extract` be the first step"
            .to_owned(),
    );
    Ok(project)
}
