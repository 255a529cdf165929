//! The table of ways.

use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct Table {
    way: Vec<Way>,
}

/// One way out.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Way {
    /// Unique.
    pub name: String,
    /// What the build's only step does, as a shell script with the names of `World::fill`. A file `out.txt` is there already.
    pub script: String,
    /// Further steps, each a script.
    #[serde(default)]
    pub then: Vec<String>,
    /// What the log must hold.
    #[serde(default)]
    pub inside: Vec<String>,
    /// What neither the log nor standard error may hold.
    #[serde(default)]
    pub never: Vec<String>,
    /// The exit code of `build`.
    #[serde(default)]
    pub exit: i32,
    /// What standard error must hold.
    #[serde(default)]
    pub says: Vec<String>,
    /// Outputs and their content, when there are any.
    #[serde(default)]
    pub made: BTreeMap<String, String>,
    /// The recipe's outputs in place of `out.txt`.
    #[serde(default)]
    pub outputs: Vec<String>,
    /// Lines of the recipe's limits.
    #[serde(default)]
    pub limits: String,
    /// Build on a disk of this many MiB with room for 300 names.
    pub disk: Option<u32>,
    /// The same where it works.
    pub control: Option<Control>,
    /// Why it cannot be tried where it works.
    pub no_control: Option<String>,
}

/// A way without the sandbox.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Control {
    /// What the log must hold then.
    #[serde(default)]
    pub inside: Vec<String>,
    /// Another script.
    pub script: Option<String>,
    /// Only root can do it.
    #[serde(default)]
    pub root: bool,
    /// What the log holds where the kernel lacks the thing.
    #[serde(default)]
    pub absent: Vec<String>,
    /// Somebody outside hears of it.
    #[serde(default)]
    pub heard: bool,
    /// The exit code of `build`.
    #[serde(default)]
    pub exit: i32,
    /// Outputs and their content.
    #[serde(default)]
    pub made: BTreeMap<String, String>,
}

/// All of it; what says nothing is an error.
pub fn read() -> Vec<Way> {
    let table: Table = toml::from_str(include_str!("escape.toml")).unwrap();
    let mut names = std::collections::BTreeSet::new();
    for way in &table.way {
        assert!(names.insert(&way.name), "{} is there twice", way.name);
        assert!(way.control.is_some() != way.no_control.is_some(), "{}: a control, or why there is none", way.name);
        let seen = !way.inside.is_empty() || !way.never.is_empty() || !way.says.is_empty() || !way.made.is_empty();
        assert!(seen, "{}: nothing is looked for", way.name);
        assert!(way.exit == 0 || !way.says.is_empty(), "{}: a failure says why", way.name);
        if let Some(control) = &way.control {
            let seen = !control.inside.is_empty() || control.heard || !control.made.is_empty();
            assert!(seen, "{}: nothing is looked for outside", way.name);
        }
    }
    table.way
}
