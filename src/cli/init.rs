//! `countersign init`: a commented recipe for the project found there.

use super::exit::{Exit, Failure};
use super::ui;
use crate::fs::{self, Existing};
use crate::recipe::{self, Recipe};
use crate::statement::Word;
use clap::Args as ClapArgs;
use std::path::{Path, PathBuf};

/// Arguments of `init`.
#[derive(ClapArgs, Debug)]
#[command(after_help = "Examples:
  countersign init                     # the project in this directory
  countersign init ../hello --stdout   # show the recipe, write nothing")]
pub struct Args {
    /// The project's directory
    #[arg(default_value = ".")]
    dir: PathBuf,
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

const NO_VERSION: &str = "version is not known here and was set to \"0.0.0\"";

/// What was found in a directory.
struct Project {
    kind: &'static str,
    name: String,
    version: String,
    exclude: Vec<String>,
    steps: Vec<Vec<String>>,
    outputs: Vec<String>,
    env: Vec<(String, String, &'static str)>,
    roots: Vec<String>,
    notes: Vec<String>,
}

/// Writes the recipe.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let dir = &args.dir;
    std::fs::metadata(dir).map_err(|err| fs::FsError::io("read", dir, err))?;
    if !dir.is_dir() {
        return Err(Failure::new(Exit::CouldNotTell, format!("{} is not a directory", dir.display())));
    }
    let project = if dir.join("Cargo.toml").exists() {
        cargo(dir)?
    } else if let Some(file) = ["GNUmakefile", "makefile", "Makefile"].into_iter().find(|name| dir.join(name).exists())
    {
        make(dir, file)?
    } else {
        return Err(Failure::new(
            Exit::CouldNotTell,
            format!("no Makefile and no Cargo.toml in {}: the kind of project is not known", dir.display()),
        )
        .hint("write countersign.toml by hand: docs/spec.md, section 3, has every key and an example"));
    };
    let text = project.recipe();
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
            "kind": project.kind,
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
        ui::say(&format!("wrote {} for a {} project", ui::escape(&path.display().to_string()), project.kind));
        // As it must be typed where init was.
        let source = match dir.as_os_str().to_str() {
            Some(".") => String::new(),
            _ => format!("--source {} ", ui::escape(&dir.display().to_string())),
        };
        ui::say(&format!("next: countersign build {source}--out /tmp/try    # look at what comes out, then attest"));
    }
    Ok(Exit::Yes)
}

fn make(dir: &Path, file: &str) -> Result<Project, Failure> {
    let text = String::from_utf8_lossy(&fs::read(&dir.join(file), 16 << 20)?).into_owned();
    let name = directory_name(dir);
    // Where the rules put their results, if they name a usual place.
    let place = ["out", "build", "bin", "dist"].into_iter().find(|place| {
        text.split(|c: char| !(c.is_alphanumeric() || "/._-".contains(c)))
            .any(|word| word.starts_with(&format!("{place}/")))
    });
    let mut notes = Vec::new();
    let outputs = match place {
        Some(place) => vec![format!("{place}/**")],
        None => {
            notes.push(format!("outputs is a guess ({name:?}); `countersign build` lists what the build really makes"));
            vec![name.clone()]
        }
    };
    notes.push(NO_VERSION.to_owned());
    Ok(Project {
        kind: "make",
        version: "0.0.0".to_owned(),
        exclude: place.map(str::to_owned).into_iter().collect(),
        steps: vec![vec!["make".to_owned()]],
        outputs,
        env: Vec::new(),
        roots: Vec::new(),
        name,
        notes,
    })
}

fn cargo(dir: &Path) -> Result<Project, Failure> {
    let path = dir.join("Cargo.toml");
    let bytes = fs::read(&path, 4 << 20)?;
    let wrong = |what: &str| Failure::usage(format!("{}: {what}", path.display()));
    let text = std::str::from_utf8(&bytes).map_err(|_| wrong("it is not UTF-8"))?;
    let manifest: toml::Table = toml::from_str(text).map_err(|err| wrong(err.message()))?;
    let package = manifest.get("package").and_then(toml::Value::as_table).ok_or_else(|| {
        wrong("a workspace without a package of its own").hint("run init in the member that has the program")
    })?;
    let text = |key: &str| package.get(key).and_then(toml::Value::as_str);
    let name = text("name").ok_or_else(|| wrong("package.name is not there"))?.to_owned();
    if let Err(err) = name.parse::<Word>() {
        return Err(wrong(&format!("package.name = {name:?}: {err}"))
            .hint("write countersign.toml by hand: docs/spec.md, section 3, has every key and an example"));
    }
    let mut programs: Vec<String> = manifest
        .get("bin")
        .and_then(toml::Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|bin| bin.get("name").and_then(toml::Value::as_str).map(str::to_owned))
        .collect();
    if programs.is_empty() && dir.join("src/main.rs").exists() {
        programs.push(name.clone());
    }
    let mut outputs: Vec<String> = programs.iter().map(|program| format!("target/release/{program}")).collect();
    if outputs.is_empty() {
        outputs.push(format!("target/release/lib{}.rlib", name.replace('-', "_")));
    }
    let mut notes = Vec::new();
    let version = text("version").unwrap_or_else(|| {
        notes.push(NO_VERSION.to_owned());
        "0.0.0"
    });
    if !dir.join("Cargo.lock").exists() {
        notes.push("there is no Cargo.lock: run `cargo generate-lockfile` and add it, or the step fails".to_owned());
    }
    let needs = manifest.get("dependencies").and_then(toml::Value::as_table).is_some_and(|table| !table.is_empty());
    if needs && !dir.join("vendor").exists() {
        notes.push(
            "the build has no network: run `cargo vendor` and add vendor/ and what it prints to .cargo/config.toml"
                .into(),
        );
    }
    let (mut env, mut roots) = (Vec::new(), Vec::new());
    if !Path::new("/usr/bin/cargo").exists() {
        match toolchain() {
            Some(root) => {
                env.push((
                    "PATH".to_owned(),
                    format!("{}/bin:/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin", root.display()),
                    "the toolchain below environment.roots comes first",
                ));
                roots.push(root.display().to_string());
            }
            None => notes
                .push("no Rust toolchain was found: name its directory in environment.roots and in PATH".to_owned()),
        }
    }
    Ok(Project {
        kind: "Cargo",
        version: version.to_owned(),
        exclude: vec!["target".to_owned()],
        steps: vec![["cargo", "build", "--release", "--locked", "--offline"].map(str::to_owned).to_vec()],
        outputs,
        env,
        roots,
        name,
        notes,
    })
}

/// The directory of the Rust toolchain that rustup would use, without running it.
fn toolchain() -> Option<PathBuf> {
    let home = std::env::var_os("RUSTUP_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".rustup")))?;
    let mut found: Vec<PathBuf> = std::fs::read_dir(home.join("toolchains"))
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.join("bin/cargo").exists())
        .collect();
    found.sort();
    let chosen = fs::read(&home.join("settings.toml"), 1 << 20)
        .ok()
        .and_then(|bytes| toml::from_str::<toml::Table>(std::str::from_utf8(&bytes).ok()?).ok())
        .and_then(|settings| Some(home.join("toolchains").join(settings.get("default_toolchain")?.as_str()?)));
    chosen.filter(|path| found.contains(path)).or_else(|| found.into_iter().next())
}

fn directory_name(dir: &Path) -> String {
    let name = dir.canonicalize().ok().and_then(|dir| Some(dir.file_name()?.to_string_lossy().into_owned()));
    let word: String = name
        .unwrap_or_default()
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || "._+~-".contains(*c))
        .take(100)
        .collect();
    let word = word.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
    if word.is_empty() { "project".to_owned() } else { word.to_owned() }
}

impl Project {
    fn recipe(&self) -> String {
        let list = |items: &[String]| items.iter().map(|item| quote(item)).collect::<Vec<_>>().join(", ");
        let steps: Vec<String> = self.steps.iter().map(|step| format!("[{}]", list(step))).collect();
        let mut exclude = vec![".git".to_owned()];
        exclude.extend(self.exclude.iter().cloned());
        let mut text = format!(
            "# What is built, and how. Whoever rebuilds this gets these very bytes: they are signed.
name = {}
version = {}

[source]
# No part of the source. Everything else in this directory is, and is recorded file by file.
exclude = [{}]

[build]
# Each step is an argument vector, run in /build in a fresh copy of the source, without network.
steps = [{}]
# What counts as output. Each pattern must match something, and nothing of it may be in the source.
outputs = [{}]
# What tools that embed a time shall use: seconds since 1970, or \"git\" for the commit's time.
source-date-epoch = {}
",
            quote(&self.name),
            quote(&self.version),
            list(&exclude),
            steps.join(", "),
            list(&self.outputs),
            recipe::DEFAULT_EPOCH
        );
        if !self.env.is_empty() {
            text.push_str("\n# Variables beside the fixed ones (LC_ALL, TZ, SOURCE_DATE_EPOCH, …). Nothing else reaches the build.\n[build.env]\n");
            for (key, value, why) in &self.env {
                text.push_str(&format!("{key} = {}    # {why}\n", quote(value)));
            }
        }
        text.push_str("\n[environment]\n# The build sees /usr, /bin and /lib* of this machine, read-only; their digest is recorded.\nkind = \"host\"\n");
        if !self.roots.is_empty() {
            text.push_str(&format!("# Toolchains outside /usr, read-only too.\nroots = [{}]\n", list(&self.roots)));
        }
        text
    }
}

fn quote(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
