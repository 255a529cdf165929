//! `countersign.toml`: what to run, in which environment, which outputs count (docs/spec.md §3). Written by a person.
//!
//! What was typed (`Typed`) and what it means ([`Recipe`]) are two types. An unknown key is an error with its line.

use crate::digest::PayloadDigest;
use crate::glob::Glob;
use crate::path::TreePath;
use crate::statement::Word;
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

mod environment;

pub use environment::{Environment, Fetch, Suite, Tool, Wants};

/// Longest recipe, in bytes; it travels in the signed statement.
pub const MAX_RECIPE: u64 = 256 << 10;
/// The file's name where none is given.
pub const FILE_NAME: &str = "countersign.toml";
/// `SOURCE_DATE_EPOCH` where the recipe gives none: 1980-01-01, the earliest time that a zip archive can hold.
pub const DEFAULT_EPOCH: u64 = 315_532_800;

/// Most that a recipe may ask for (docs/spec.md §3): who runs a stranger's recipe lends the machine for a time, not for ever.
pub mod most {
    /// Seconds of all steps together: a week.
    pub const TIME: u64 = 7 * 24 * 60 * 60;
    /// Processes and threads.
    pub const PROCESSES: u64 = 1_000_000;
    /// Processors that the steps see.
    pub const PROCESSORS: u32 = 4096;
    /// Bytes in each of `/tmp`, the home and `/dev/shm`.
    pub const TMP: u64 = 64 << 30;
    /// Bytes of all outputs.
    pub const OUTPUTS: u64 = 1 << 40;
    /// Bytes of log.
    pub const LOG: u64 = 16 << 30;
}

/// The variables that every build gets, beside `SOURCE_DATE_EPOCH`.
pub const FIXED: [(&str, &str); 9] = [
    ("HOME", "/home/build"),
    ("LANG", "C.UTF-8"),
    ("LC_ALL", "C.UTF-8"),
    ("LOGNAME", "build"),
    ("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"),
    ("SHELL", "/bin/sh"),
    ("TMPDIR", "/tmp"),
    ("TZ", "UTC"),
    ("USER", "build"),
];

/// A recipe that was read and checked.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// The file's text, which is what is signed.
    pub text: String,
    /// Product.
    pub name: Word,
    /// Version.
    pub version: Word,
    /// Channel; `stable` where none is given.
    pub channel: Word,
    /// Target, if the recipe gives one.
    pub target: Option<Word>,
    /// Release sequence number.
    pub sequence: Option<u64>,
    /// Payload digest of the release before.
    pub previous: Option<PayloadDigest>,
    /// What is no part of the source.
    pub exclude: Vec<Glob>,
    /// Leading parts removed from an archive's members.
    pub strip: u8,
    /// Argument vectors, in order; never empty, nor is one of them.
    pub steps: Vec<Vec<String>>,
    /// What counts as output; never empty.
    pub outputs: Vec<Glob>,
    /// Variables beside the fixed ones.
    pub env: BTreeMap<String, String>,
    /// Where `SOURCE_DATE_EPOCH` comes from.
    pub epoch: Epoch,
    /// What to build in.
    pub environment: Environment,
    /// Limits of the build.
    pub limits: Limits,
}

/// Where `SOURCE_DATE_EPOCH` comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Epoch {
    /// Seconds since 1970.
    Fixed(u64),
    /// The committer time of the source's `HEAD`.
    Git,
}

/// Limits of a build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Wall time of all steps together.
    pub time: Duration,
    /// Address space of one process, in bytes.
    pub memory: Option<u64>,
    /// Processes and threads.
    pub processes: u64,
    /// Processors that the steps see; those of the machine where it is not told.
    pub processors: Option<u32>,
    /// Longest file, in bytes.
    pub file_size: Option<u64>,
    /// Size of `/tmp`, of the home and of `/dev/shm`, in bytes each; less on a machine of which all three would take more than half the
    /// memory.
    pub tmp: u64,
    /// All outputs together, in bytes; a hole counts like what it stands for.
    pub outputs: u64,
    /// What the steps print, in bytes.
    pub log: u64,
}

/// A recipe that is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct RecipeError {
    /// The line, from 1, where it is known.
    pub line: Option<usize>,
    /// What is wrong.
    pub what: String,
}

impl std::fmt::Display for RecipeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line}: {}", self.what),
            None => f.write_str(&self.what),
        }
    }
}

/// What was typed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Typed {
    name: String,
    version: String,
    #[serde(default)]
    release: TypedRelease,
    #[serde(default)]
    source: TypedSource,
    build: TypedBuild,
    #[serde(default)]
    environment: environment::Typed,
    #[serde(default)]
    limits: TypedLimits,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct TypedRelease {
    channel: Option<String>,
    target: Option<String>,
    sequence: Option<u64>,
    previous: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct TypedSource {
    exclude: Option<Vec<String>>,
    #[serde(default)]
    strip: u8,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct TypedBuild {
    steps: Vec<Vec<String>>,
    outputs: Vec<String>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    source_date_epoch: Option<TypedEpoch>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "source-date-epoch is seconds since 1970 or \"git\"")]
enum TypedEpoch {
    Seconds(u64),
    Word(String),
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct TypedLimits {
    time: Option<u64>,
    memory: Option<Size>,
    processes: Option<u64>,
    processors: Option<u64>,
    file_size: Option<Size>,
    tmp: Option<Size>,
    outputs: Option<Size>,
    log: Option<Size>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a size is an integer of bytes or a text such as \"4GiB\"")]
enum Size {
    Bytes(u64),
    Text(String),
}

impl Size {
    fn bytes(self) -> Result<u64, RecipeError> {
        let text = match self {
            Size::Bytes(bytes) => return within(bytes, u64::MAX, "a size"),
            Size::Text(text) => text,
        };
        [("KiB", 10), ("MiB", 20), ("GiB", 30)]
            .into_iter()
            .find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, shift)))
            .and_then(|(digits, shift)| {
                let plain = digits.bytes().all(|b| b.is_ascii_digit());
                digits.parse::<u64>().ok().filter(|n| plain && *n > 0)?.checked_mul(1 << shift)
            })
            .ok_or_else(|| wrong(format!("{text:?} is not a size such as \"512MiB\" or \"4GiB\"")))
    }
}

fn wrong(what: impl Into<String>) -> RecipeError {
    RecipeError { line: None, what: what.into() }
}

fn within(n: u64, most: u64, what: &str) -> Result<u64, RecipeError> {
    match n {
        0 => Err(wrong(format!("{what} of zero"))),
        n if n > most => Err(wrong(format!("{what} is {n}; the most that a recipe may ask for is {most}"))),
        n => Ok(n),
    }
}

impl Recipe {
    /// Reads a recipe's bytes.
    pub fn parse(bytes: &[u8]) -> Result<Recipe, RecipeError> {
        if bytes.len() as u64 > MAX_RECIPE {
            return Err(wrong(format!("it is longer than {MAX_RECIPE} bytes")));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| wrong("it is not UTF-8"))?;
        let typed: Typed = toml::from_str(text).map_err(|err| RecipeError {
            line: err.span().map(|span| text[..span.start.min(text.len())].matches('\n').count() + 1),
            what: err.message().lines().collect::<Vec<_>>().join(" "),
        })?;
        only_tables(text)?;
        check(typed, text)
    }

    /// Whether a path of the source directory is left out.
    pub fn excludes(&self, path: &TreePath) -> bool {
        self.exclude.iter().any(|glob| glob.covers(path))
    }

    /// Whether a path is an output, or below one.
    pub fn is_output(&self, path: &TreePath) -> bool {
        self.outputs.iter().any(|glob| glob.covers(path))
    }
}

/// A struct is also read from an array, value by value: no other reader takes that, so it would be a recipe that says nothing to the rest.
fn only_tables(text: &str) -> Result<(), RecipeError> {
    let whole: toml::Table = toml::from_str(text).map_err(|err| wrong(err.message()))?;
    let within =
        |name| whole.get("environment").and_then(|environment: &toml::Value| environment.get(name)?.as_array());
    let tables = ["release", "source", "build", "environment", "limits"].into_iter();
    let mut all =
        tables.filter_map(|name| whole.get(name)).chain(["tools", "fetch"].into_iter().filter_map(within).flatten());
    if all.any(|value| !value.is_table()) { Err(wrong("an array stands where a table should")) } else { Ok(()) }
}

fn check(typed: Typed, text: &str) -> Result<Recipe, RecipeError> {
    let word = |key: &str, text: String| text.parse::<Word>().map_err(|err| wrong(format!("{key} = {text:?}: {err}")));
    let globs = |key: &str, list: Vec<String>| -> Result<Vec<Glob>, RecipeError> {
        list.iter().map(|text| Glob::parse(text).map_err(|err| wrong(format!("{key}: {err}")))).collect()
    };
    let Typed { name, version, release, source, build, environment, limits } = typed;
    if build.steps.is_empty() || build.steps.len() > 256 {
        return Err(wrong("build.steps has no step, or more than 256"));
    }
    if build.steps.iter().any(|step| step.first().is_none_or(String::is_empty)) {
        return Err(wrong("build.steps has an empty step"));
    }
    if build.steps.iter().flatten().any(|word| word.contains('\0')) {
        return Err(wrong("build.steps has an argument with a NUL byte"));
    }
    if build.outputs.is_empty() {
        return Err(wrong("build.outputs is empty: a build without outputs shows nothing"));
    }
    for (key, value) in &build.env {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        if key.is_empty() || key.as_bytes()[0].is_ascii_digit() || !key.bytes().all(plain) || value.contains('\0') {
            return Err(wrong(format!("build.env: {key:?} is not a variable that can be set")));
        }
        if key == "SOURCE_DATE_EPOCH" {
            return Err(wrong("build.env sets SOURCE_DATE_EPOCH; the key source-date-epoch does that"));
        }
    }
    // Statements are JSON, and readers that ignore case would take two such names for one.
    let mut folded: HashMap<String, &str> = FIXED
        .iter()
        .map(|(name, _)| *name)
        .chain(["SOURCE_DATE_EPOCH"])
        .map(|name| (name.to_ascii_lowercase(), name))
        .collect();
    for key in build.env.keys() {
        match folded.insert(key.to_ascii_lowercase(), key) {
            Some(other) if other != key => {
                return Err(wrong(format!("build.env: {key:?} and {other:?} differ only in case")));
            }
            _ => {}
        }
    }
    if source.strip > 8 {
        return Err(wrong("source.strip is more than 8"));
    }
    let epoch = match build.source_date_epoch {
        None => Epoch::Fixed(DEFAULT_EPOCH),
        Some(TypedEpoch::Seconds(seconds)) if seconds <= i64::MAX as u64 => Epoch::Fixed(seconds),
        Some(TypedEpoch::Word(word)) if word == "git" => Epoch::Git,
        Some(_) => return Err(wrong("build.source-date-epoch is neither seconds since 1970 nor \"git\"")),
    };
    let size = |size: Option<Size>| size.map(Size::bytes).transpose();
    Ok(Recipe {
        text: text.to_owned(),
        name: word("name", name)?,
        version: word("version", version)?,
        channel: word("release.channel", release.channel.unwrap_or_else(|| "stable".to_owned()))?,
        target: release.target.map(|target| word("release.target", target)).transpose()?,
        sequence: release.sequence,
        previous: release.previous.as_deref().map(parse_previous).transpose()?,
        exclude: globs("source.exclude", source.exclude.unwrap_or_else(|| vec![".git".to_owned()]))?,
        strip: source.strip,
        steps: build.steps,
        outputs: globs("build.outputs", build.outputs)?,
        env: build.env,
        epoch,
        environment: environment.check()?,
        limits: Limits {
            time: Duration::from_secs(within(limits.time.unwrap_or(14_400), most::TIME, "limits.time")?),
            memory: size(limits.memory)?,
            processes: within(limits.processes.unwrap_or(4096), most::PROCESSES, "limits.processes")?,
            processors: limits
                .processors
                .map(|count| within(count, most::PROCESSORS.into(), "limits.processors"))
                .transpose()?
                .and_then(|count| u32::try_from(count).ok()),
            file_size: size(limits.file_size)?,
            tmp: within(size(limits.tmp)?.unwrap_or(2 << 30), most::TMP, "limits.tmp")?,
            outputs: within(size(limits.outputs)?.unwrap_or(64 << 30), most::OUTPUTS, "limits.outputs")?,
            log: within(size(limits.log)?.unwrap_or(256 << 20), most::LOG, "limits.log")?,
        },
    })
}

/// A payload digest as people write it: `sha256:<hex>`.
pub fn parse_previous(text: &str) -> Result<PayloadDigest, RecipeError> {
    text.strip_prefix("sha256:")
        .and_then(|hex| hex.parse().ok())
        .ok_or_else(|| wrong(format!("{text:?} is not a payload digest (`sha256:` and 64 lower-case hex digits)")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = r#"name = "hello"
version = "1.0"

[source]
exclude = [".git"]

[build]
steps = [["make", "all"]]
outputs = ["out/**"]
env = { CFLAGS = "-O2" }
source-date-epoch = 1700000000

[environment]
kind = "host"
"#;

    #[test]
    fn the_small_recipe() {
        let recipe = Recipe::parse(SMALL.as_bytes()).unwrap();
        assert_eq!(recipe.steps, [["make", "all"]]);
        assert_eq!(recipe.epoch, Epoch::Fixed(1_700_000_000));
        assert_eq!(recipe.env["CFLAGS"], "-O2");
        assert_eq!(recipe.environment.wants, Wants::Host { default_roots: true, roots: vec![] });
        assert!(recipe.excludes(&TreePath::from_bytes(b".git/config").unwrap()));
        assert!(!recipe.excludes(&TreePath::from_bytes(b"a/.git").unwrap()));
        assert!(recipe.is_output(&TreePath::from_bytes(b"out/a/b").unwrap()));
        assert_eq!(recipe.text, SMALL);
    }

    #[test]
    fn what_is_wrong_and_where() {
        for (from, to, line, what) in [
            ("exclude", "exclued", Some(5), "unknown field `exclued`"),
            ("kind = \"host\"", "kind = \"moon\"", Some(14), "unknown variant `moon`"),
            ("name = \"hello\"", "name = \"he llo\"", None, "he llo"),
            ("[[\"make\", \"all\"]]", "[]", None, "no step"),
            ("[[\"make\", \"all\"]]", "[[]]", None, "empty step"),
            ("[\"out/**\"]", "[]", None, "shows nothing"),
            ("[\"out/**\"]", "[\"../x\"]", None, "not a relative path"),
            ("CFLAGS", "Path", None, "differ only in case"),
            ("CFLAGS = \"-O2\"", "a = \"\", A = \"\"", None, "differ only in case"),
            ("CFLAGS", "SOURCE_DATE_EPOCH", None, "source-date-epoch does that"),
            ("1700000000", "\"now\"", None, "nor \"git\""),
            ("1700000000", "-1", Some(11), "seconds since 1970"),
            ("kind = \"host\"", "kind = \"host\"\n[limits]\ntmp = \"2GB\"", None, "is not a size"),
            ("kind = \"host\"", "kind = \"host\"\n[limits]\ntime = 0", None, "of zero"),
            ("kind = \"host\"", "kind = \"host\"\n[limits]\ntime = 604801", None, "604801; the most"),
            ("kind = \"host\"", "kind = \"host\"\n[limits]\ntime = 9000000000000000000", None, "the most"),
            ("kind = \"host\"", "kind = \"host\"\n[limits]\nprocesses = 1000001", None, "limits.processes is 1000001"),
            ("kind = \"host\"", "kind = \"host\"\n[limits]\ntmp = \"900000GiB\"", None, "limits.tmp is"),
            ("kind = \"host\"", "kind = \"host\"\n[limits]\noutputs = \"1025GiB\"", None, "limits.outputs is"),
            ("kind = \"host\"", "kind = \"host\"\n[limits]\nlog = \"17GiB\"", None, "limits.log is"),
            ("name = \"hello\"", "name = \"a\"\nname = \"b\"", Some(2), "duplicate key"),
            ("[source]\nexclude = [\".git\"]", "source = [[\".git\"], 0]", None, "an array stands"),
        ] {
            assert!(SMALL.contains(from), "{from}");
            let err = Recipe::parse(SMALL.replace(from, to).as_bytes()).unwrap_err();
            assert!(err.line == line && err.what.contains(what), "{to}: {err:?}");
        }
    }

    #[test]
    fn sizes() {
        let limits = "\n[limits]\ntmp = \"3GiB\"\nmemory = 4096\nfile-size = \"1MiB\"\n";
        let recipe = Recipe::parse(format!("{SMALL}{limits}").as_bytes()).unwrap();
        assert_eq!(
            (recipe.limits.tmp, recipe.limits.memory, recipe.limits.file_size),
            (3 << 30, Some(4096), Some(1 << 20))
        );
        assert_eq!((recipe.limits.outputs, recipe.limits.log), (64 << 30, 256 << 20));
        let most =
            "\n[limits]\ntmp = \"64GiB\"\noutputs = \"1024GiB\"\nlog = \"16GiB\"\ntime = 604800\nprocesses = 1000000\n";
        let limits = Recipe::parse(format!("{SMALL}{most}").as_bytes()).unwrap().limits;
        assert_eq!((limits.tmp, limits.outputs, limits.log), (most::TMP, most::OUTPUTS, most::LOG));
    }
}
