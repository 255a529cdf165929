//! What was found in a directory, and the text of its recipe.

use crate::recipe;

/// What was found in a directory.
#[derive(Default)]
pub(super) struct Project {
    pub name: String,
    pub version: String,
    /// No part of the source, beside `.git`.
    pub exclude: Vec<String>,
    pub steps: Vec<Step>,
    pub outputs: Vec<String>,
    pub env: Vec<Variable>,
    /// Toolchains outside the default roots.
    pub roots: Vec<String>,
    /// What the user has to know or to decide.
    pub notes: Vec<String>,
}

/// A step, and why it is as it is.
pub(super) struct Step {
    why: &'static str,
    words: Vec<String>,
}

impl Step {
    pub fn new(why: &'static str, words: &[&str]) -> Step {
        Step { why, words: words.iter().map(|word| (*word).to_owned()).collect() }
    }
}

/// A variable, its value, and why it is set.
pub(super) struct Variable(pub &'static str, pub String, pub &'static str);

/// Flags for C and C++ compilers, with what a build without flags of its own gets from most tools.
pub(super) fn compiler_flags(optimise: &str) -> Vec<Variable> {
    let flags = format!("{optimise} -ffile-prefix-map=/build=.").trim_start().to_owned();
    let why = "__FILE__ and debug information say `.` instead of /build: the same bytes come of a build elsewhere";
    let id = "the build id is a digest of the content: not a random one, and not left out by another linker's default";
    vec![
        Variable("CFLAGS", flags.clone(), why),
        Variable("CXXFLAGS", flags, "the same for C++"),
        Variable("LDFLAGS", "-Wl,--build-id=sha1".to_owned(), id),
    ]
}

const NO_VERSION: &str = "version is not known here and was set to \"0.0.0\"";

impl Project {
    /// Sets the version, or says that it is not known.
    pub fn set_version(&mut self, version: Option<&str>) {
        match version.filter(|version| version.parse::<crate::statement::Word>().is_ok()) {
            Some(version) => self.version = version.to_owned(),
            None => {
                self.version = "0.0.0".to_owned();
                self.notes.push(NO_VERSION.to_owned());
            }
        }
    }

    /// Sets the name, or takes the directory's and says so.
    pub fn set_name(&mut self, name: Option<&str>, dir: &std::path::Path) {
        match name.filter(|name| name.parse::<crate::statement::Word>().is_ok()) {
            Some(name) => self.name = name.to_owned(),
            None => {
                self.name = super::text::directory_name(dir);
                self.notes.push(format!("name is not known here: {:?} is the directory's", self.name));
            }
        }
    }

    /// The recipe's text.
    pub fn recipe(&self, kind: &str, file: &str) -> String {
        let list = |items: &[String]| items.iter().map(|item| quote(item)).collect::<Vec<_>>().join(", ");
        let mut exclude = vec![".git".to_owned()];
        exclude.extend(self.exclude.iter().cloned());
        let mut text = format!(
            "# What is built, and how. Whoever rebuilds this gets these very bytes: they are signed.
# Made by `countersign init` for a {kind} project, as {file} shows.
name = {}
version = {}

[source]
# No part of the source. Everything else in this directory is, and is recorded file by file.
exclude = [{}]

[build]
# Each step is an argument vector, run in /build in a fresh copy of the source, without network. All files there have one time, so that
# no tool takes one for newer than another.
{}
# What counts as output. Each pattern must match something, and nothing of it may be in the source.
outputs = [{}]
# What tools that embed a time shall use (SOURCE_DATE_EPOCH): seconds since 1970, or \"git\" for the commit's time.
source-date-epoch = {}
",
            quote(&self.name),
            quote(&self.version),
            list(&exclude),
            self.steps(),
            list(&self.outputs),
            recipe::DEFAULT_EPOCH
        );
        if !self.env.is_empty() {
            text.push_str("\n# Variables beside the fixed ones (LC_ALL, TZ, SOURCE_DATE_EPOCH, …). Nothing else reaches the build.\n[build.env]\n");
            for Variable(key, value, why) in &self.env {
                text.push_str(&format!("# {why}\n{key} = {}\n", quote(value)));
            }
        }
        text.push_str("\n[environment]\n# The build sees /usr, /bin and /lib* of this machine, read-only; their digest is recorded.\nkind = \"host\"\n");
        if !self.roots.is_empty() {
            text.push_str(&format!("# Toolchains outside /usr, read-only too.\nroots = [{}]\n", list(&self.roots)));
        }
        text
    }

    fn steps(&self) -> String {
        let words =
            |step: &Step| format!("[{}]", step.words.iter().map(|word| quote(word)).collect::<Vec<_>>().join(", "));
        if let [step] = &self.steps[..] {
            return format!("# {}\nsteps = [{}]", step.why, words(step));
        }
        let lines: Vec<String> =
            self.steps.iter().map(|step| format!("  # {}\n  {},\n", step.why, words(step))).collect();
        format!("steps = [\n{}]", lines.concat())
    }
}

fn quote(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
