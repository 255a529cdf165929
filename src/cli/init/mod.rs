//! `countersign init`: a commented recipe for the project found there.
//!
//! Which kind a project is of is decided by the files at its top alone, in the order of `KINDS`; `--kind` takes another. Nothing of the
//! project is run. Each kind has a file of its own here; [`write`] makes the text of all.

mod autotools;
mod cargo;
mod cmake;
mod debian;
mod go;
mod make;
mod maven;
mod meson;
mod npm;
mod python;
mod text;
mod toolchain;
mod write;

use super::exit::{Exit, Failure};
use super::ui;
use crate::fs::{self, Existing};
use crate::recipe::{self, Recipe};
use clap::{Args as ClapArgs, ValueEnum};
use std::path::{Path, PathBuf};
use write::{Project, Step};

/// Arguments of `init`.
#[derive(ClapArgs, Debug)]
#[command(
    after_help = "The first of these that is there, at the top of the directory, decides what kind of project it is:
  debian/control                  debian    (a source package; its outputs are .deb files)
  Cargo.toml                      cargo
  go.mod                          go
  pom.xml                         maven
  pyproject.toml, setup.py        python    (pyproject.toml: with [build-system] or [project])
  meson.build                     meson
  CMakeLists.txt                  cmake
  configure, configure.ac         autotools
  package.json                    npm
  GNUmakefile, makefile, Makefile make
What else was found is printed; --kind takes it instead.

Examples:
  countersign init                     # the project in this directory
  countersign init ../hello --stdout   # show the recipe, write nothing
  countersign init --kind make         # the Makefile counts, whatever else is there"
)]
pub struct Args {
    /// The project's directory
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// The kind of project, where several would do
    #[arg(long, value_enum)]
    kind: Option<Kind>,
    /// Print the recipe instead of writing countersign.toml
    #[arg(long)]
    stdout: bool,
    /// Replace a countersign.toml that is there
    #[arg(long)]
    force: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// The kinds of project that are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    Debian,
    Cargo,
    Go,
    Maven,
    Python,
    Meson,
    Cmake,
    Autotools,
    Npm,
    Make,
}

/// The kinds in the order in which they win, each with the files that show it. What a language's own tool reads comes first: a Makefile
/// beside it mostly calls that tool, and debian/rules all of them. pyproject.toml stands before meson.build and CMakeLists.txt, since the backends that it names call
/// them; package.json stands after those, where it is often there for a formatter only.
const KINDS: [(Kind, &[&str]); 10] = [
    (Kind::Debian, &["debian/control"]),
    (Kind::Cargo, &["Cargo.toml"]),
    (Kind::Go, &["go.mod"]),
    (Kind::Maven, &["pom.xml"]),
    (Kind::Python, &["pyproject.toml", "setup.py"]),
    (Kind::Meson, &["meson.build"]),
    (Kind::Cmake, &["CMakeLists.txt"]),
    (Kind::Autotools, &["configure", "configure.ac"]),
    (Kind::Npm, &["package.json"]),
    (Kind::Make, &["GNUmakefile", "makefile", "Makefile"]),
];

const BY_HAND: &str = "write countersign.toml by hand: docs/spec.md, section 3, has every key and an example";

impl Kind {
    /// As a sentence has it.
    fn word(self) -> &'static str {
        match self {
            Kind::Debian => "Debian",
            Kind::Cargo => "Cargo",
            Kind::Go => "Go",
            Kind::Maven => "Maven",
            Kind::Python => "Python",
            Kind::Meson => "Meson",
            Kind::Cmake => "CMake",
            Kind::Autotools => "autotools",
            Kind::Npm => "npm",
            Kind::Make => "make",
        }
    }

    fn describe(self, dir: &Path, file: &str) -> Result<Project, Failure> {
        match self {
            Kind::Debian => debian::describe(dir, file),
            Kind::Cargo => cargo::describe(dir),
            Kind::Go => go::describe(dir),
            Kind::Maven => maven::describe(dir),
            Kind::Python => python::describe(dir, file),
            Kind::Meson => meson::describe(dir),
            Kind::Cmake => cmake::describe(dir),
            Kind::Autotools => autotools::describe(dir, file),
            Kind::Npm => npm::describe(dir),
            Kind::Make => make::describe(dir, file),
        }
    }
}

/// The files that show a kind, in the order in which they win.
fn found(dir: &Path) -> Vec<(Kind, &'static str)> {
    KINDS
        .iter()
        .flat_map(|(kind, files)| files.iter().map(move |file| (*kind, *file)))
        .filter(|(_, file)| dir.join(file).is_file())
        // Often only the configuration of a formatter or a type checker.
        .filter(|(_, file)| *file != "pyproject.toml" || python::is_project(dir))
        .collect()
}

/// Writes the recipe.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let dir = &args.dir;
    std::fs::metadata(dir).map_err(|err| fs::FsError::io("read", dir, err))?;
    if !dir.is_dir() {
        return Err(Failure::new(Exit::CouldNotTell, format!("{} is not a directory", dir.display())));
    }
    let found = found(dir);
    let chosen = found.iter().find(|(kind, _)| args.kind.is_none_or(|wanted| wanted == *kind));
    let Some(&(kind, file)) = chosen else {
        let known: Vec<&str> = KINDS
            .iter()
            .filter(|(kind, _)| args.kind.is_none_or(|wanted| wanted == *kind))
            .flat_map(|(_, files)| files.iter().copied())
            .collect();
        return Err(Failure::new(
            Exit::CouldNotTell,
            format!("the kind of project is not known: in {} there is none of {}", dir.display(), known.join(", ")),
        )
        .hint(BY_HAND));
    };
    let others: Vec<&str> = found.iter().filter(|(other, _)| *other != kind).map(|(_, file)| *file).collect();
    let mut project = kind.describe(dir, file)?;
    if !others.is_empty() {
        project.notes.insert(0, format!("also there, and not used: {} (--kind takes another)", others.join(", ")));
    }
    let text = project.recipe(kind.word(), file);
    // What init writes must be what build reads: a defect here would otherwise be found by the user.
    Recipe::parse(text.as_bytes())
        .map_err(|err| Failure::new(Exit::Internal, format!("the recipe made is wrong: {err}")))?;
    let path = dir.join(recipe::FILE_NAME);
    if !args.stdout {
        let existing = if args.force { Existing::Replace } else { Existing::Refuse };
        fs::write(&path, text.as_bytes(), 0o644, existing).map_err(|err| match err.why {
            fs::Why::Exists => Failure::usage(err).hint("--force replaces it; --stdout shows what would be written"),
            _ => Failure::from(err),
        })?;
    }
    if args.json {
        let document = serde_json::json!({
            "schema": "urn:countersign:schema:init:v1",
            "kind": kind.word(),
            "decidedBy": file,
            "alsoFound": others,
            "notes": project.notes,
            "path": if args.stdout { None } else { Some(path.to_string_lossy()) },
            "recipe": text,
        });
        ui::document(&document);
    } else if args.stdout {
        ui::data(&text);
    }
    for note in &project.notes {
        ui::say(&format!("note: {}", ui::escape(note)));
    }
    if !args.stdout {
        let path = ui::escape(&path.display().to_string());
        ui::say(&format!("wrote {path} for a {} project, as {file} shows", kind.word()));
        // As it must be typed where init was.
        let source = match dir.as_os_str().to_str() {
            Some(".") => String::new(),
            _ => format!("--source {} ", ui::escape(&dir.display().to_string())),
        };
        ui::say(&format!("next: countersign build {source}--out /tmp/try    # look at what comes out, then attest"));
    }
    Ok(Exit::Yes)
}
