//! CMake projects.

use super::write::{Project, compiler_flags};
use super::{Failure, Step, text};
use std::path::Path;

const SPACE: [char; 4] = [' ', '\t', '\n', '\r'];

pub(super) fn describe(dir: &Path) -> Result<Project, Failure> {
    let lists = text::read(&dir.join("CMakeLists.txt"))?;
    let words = text::call(&lists, "project", &SPACE).unwrap_or_default();
    let version = words.iter().position(|word| word == "VERSION").and_then(|at| words.get(at + 1));
    let mut project = Project { exclude: vec!["_build".to_owned(), "_out".to_owned()], ..Project::default() };
    project.set_name(words.first().map(String::as_str), dir);
    project.set_version(version.map(String::as_str));
    project.steps = vec![
        Step::new(
            "The generator is named, since CMake's default is another one on another machine. Release: no assertions.",
            &[
                "cmake",
                "-S",
                ".",
                "-B",
                "_build",
                "-G",
                "Unix Makefiles",
                "-DCMAKE_BUILD_TYPE=Release",
                "-DCMAKE_INSTALL_PREFIX=/usr",
            ],
        ),
        Step::new("One job at a time, unless --parallel is added.", &["cmake", "--build", "_build"]),
    ];
    if text::call(&lists, "install", &SPACE).is_some() {
        project.steps.push(Step::new(
            "Installed below DESTDIR: paths within the files are those of /usr, and run paths of the build directory are removed.",
            &["cmake", "-E", "env", "DESTDIR=/build/_out", "cmake", "--install", "_build"],
        ));
        project.outputs.push("_out/**".to_owned());
    } else {
        let plain = |name: &String| !name.is_empty() && !name.contains(['$', '{', '[', ']']);
        let programs = text::calls(&lists, "add_executable", &SPACE);
        project.outputs =
            programs.iter().filter_map(|words| words.first()).filter(|name| plain(name)).cloned().collect();
        if project.outputs.is_empty() {
            project.outputs.push(project.name.clone());
        }
        project.outputs.iter_mut().for_each(|name| *name = format!("_build/{name}"));
        project
            .notes
            .push("CMakeLists.txt installs nothing, so outputs is a guess: the programs that it names".to_owned());
    }
    if ["FetchContent_Declare", "ExternalProject_Add"].iter().any(|name| text::call(&lists, name, &SPACE).is_some()) {
        project.notes.push(
            "CMakeLists.txt fetches from the network, and the build has none: add what it fetches to the source, and \
             -DFETCHCONTENT_FULLY_DISCONNECTED=ON with FETCHCONTENT_SOURCE_DIR_… to the first step"
                .to_owned(),
        );
    }
    // CMake adds the optimisation of the build type.
    project.env = compiler_flags("");
    Ok(project)
}
