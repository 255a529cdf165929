//! The table as data, and what can be wrong with it.

use super::common::finish;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

/// Issues that are known by number; what comes later is known by words.
const ISSUES: [u32; 3] = [4, 5, 6];

/// All entries.
pub struct Table(BTreeMap<String, Entry>);

/// One attack.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    what: String,
    #[serde(default)]
    cases: Vec<Case>,
    owner: Option<String>,
    issue: Option<u32>,
}

/// One way in which it is tried.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    #[serde(default)]
    pub vectors: Vec<String>,
    pub run: Option<String>,
    test: Option<String>,
    pub exit: Option<i32>,
    pub kind: Option<String>,
    asserts: Option<String>,
    twin: Option<String>,
}

/// What came of a run of the program.
#[derive(Debug)]
pub struct Seen {
    pub code: i32,
    pub out: String,
    pub err: String,
    /// The name of the first step that failed, where it was a verification.
    step: Option<String>,
}

impl Seen {
    pub fn of(command: &mut Command) -> Seen {
        let said = finish(command);
        let document: Value = serde_json::from_str(&said.out).unwrap_or_default();
        let steps = document["steps"].as_array().map(Vec::as_slice).unwrap_or_default();
        let step = steps.iter().find(|step| step["outcome"] == "fail").and_then(|step| step["name"].as_str());
        Seen { code: said.code, step: step.map(str::to_owned), out: said.out, err: said.err }
    }

    /// This code; and of a verification this step, of anything else these words.
    pub fn is(&self, exit: i32, kind: Option<&str>) -> bool {
        self.code == exit
            && match (kind, &self.step) {
                (None, step) => step.is_none(),
                (Some(kind), Some(step)) => step == kind,
                (Some(words), None) => self.err.contains(words),
            }
    }
}

/// Every number there is.
fn numbers() -> Vec<String> {
    let ranges = [("N", 50), ("A", 28), ("L", 25)];
    let all = ranges.iter().flat_map(|(letter, last)| (1..=*last).map(move |n| format!("{letter}{n}")));
    all.chain(["A27b".to_owned()]).collect()
}

impl Table {
    pub fn read(text: &str) -> Result<Table, String> {
        toml::from_str(text).map(Table).map_err(|err| err.to_string())
    }

    pub fn cases(&self) -> impl Iterator<Item = &Case> {
        self.0.values().flat_map(|entry| &entry.cases)
    }

    /// What is wrong with it, in words.
    pub fn problems(&self, root: &Path, runs: &[&str]) -> Vec<String> {
        let numbers = numbers();
        let missing = numbers.iter().filter(|id| !self.0.contains_key(*id)).map(|id| format!("{id} is not there"));
        let strange = self.0.keys().filter(|id| !numbers.contains(id)).map(|id| format!("{id} is no number"));
        let mut problems: Vec<String> = missing.chain(strange).collect();
        for (id, entry) in &self.0 {
            problems.extend(entry.problems(root, runs).into_iter().map(|why| format!("{id}: {why}")));
        }
        problems
    }
}

impl Entry {
    fn problems(&self, root: &Path, runs: &[&str]) -> Vec<String> {
        let mut problems = Vec::new();
        if self.what.is_empty() {
            problems.push("it says nothing".to_owned());
        }
        match (&self.owner, self.issue) {
            (None, Some(_)) => problems.push("an issue without words".to_owned()),
            (_, Some(issue)) if !ISSUES.contains(&issue) => problems.push(format!("nobody knows an issue {issue}")),
            (None, None) if self.cases.is_empty() => problems.push("neither cases nor an owner".to_owned()),
            _ => {}
        }
        for case in &self.cases {
            problems.extend(case.problems(root, runs));
        }
        // A run tries the good twin itself; what is refused may be refused by a function, which has no code.
        if !self.cases.is_empty() {
            if !self.cases.iter().any(|case| case.run.is_some() || case.twin.is_some() || case.exit == Some(0)) {
                problems.push("nothing is accepted".to_owned());
            }
            if !self.cases.iter().any(|case| case.exit != Some(0)) {
                problems.push("nothing is refused".to_owned());
            }
        }
        problems
    }
}

impl Case {
    fn problems(&self, root: &Path, runs: &[&str]) -> Vec<String> {
        match (&self.vectors[..], &self.run, &self.test) {
            (vectors @ [_, ..], None, None) => {
                vectors.iter().filter_map(|name| self.vector(root, name).err()).collect()
            }
            ([], Some(run), None) if !runs.contains(&run.as_str()) => vec![format!("there is no run {run}")],
            ([], Some(run), None) if self.exit.is_none_or(|exit| exit == 0) || self.kind.is_none() => {
                vec![format!("{run} needs the code and the kind of its refusal")]
            }
            ([], Some(_), None) => Vec::new(),
            ([], None, Some(test)) => self.test(root, test).err().into_iter().collect(),
            _ => vec!["a case is one of vectors, run, test".to_owned()],
        }
    }

    fn vector(&self, root: &Path, name: &str) -> Result<(), String> {
        let path = root.join("fixtures/vectors").join(name).join("expect.json");
        let bytes = std::fs::read(path).map_err(|_| format!("there is no vector {name}"))?;
        let expect: Value = serde_json::from_slice(&bytes).map_err(|err| format!("{name}: {err}"))?;
        const STEPS: [&str; 11] = [
            "limits",
            "policy",
            "envelopes",
            "signatures",
            "statements",
            "roles and builders",
            "release identity",
            "files",
            "rebuilds",
            "thresholds",
            "dissent",
        ];
        let step = expect["step"].as_u64().map(|number| STEPS[number as usize - 1]);
        let exit = expect["exit"].as_i64();
        if exit != self.exit.map(i64::from) || step != self.kind.as_deref() {
            let exit = exit.unwrap_or(-1);
            return Err(format!("the vector {name} expects exit {exit} at {:?}", step.unwrap_or("no step")));
        }
        Ok(())
    }

    /// The test is one, and the assertions stand in it.
    fn test(&self, root: &Path, test: &str) -> Result<(), String> {
        let (file, name) = test.split_once("::").ok_or_else(|| format!("{test} is not FILE::NAME"))?;
        let source = std::fs::read_to_string(root.join(file)).map_err(|_| format!("{file} cannot be read"))?;
        let body = body(file, &source, name).ok_or_else(|| format!("there is no test {name} in {file}"))?;
        let plain = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let body = plain(body);
        let asserts = self.asserts.as_ref().ok_or_else(|| format!("{name} needs what it asserts"))?;
        for wanted in [asserts].into_iter().chain(&self.twin) {
            if !body.contains(&plain(wanted)) {
                return Err(format!("its test does not assert {wanted}: {name}"));
            }
        }
        let held = |exit: i32| {
            asserts.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').any(|word| word == exit.to_string())
        };
        match self.exit {
            Some(exit) if exit != 0 && !held(exit) => Err(format!("{asserts} does not hold the code {exit}: {name}")),
            _ => Ok(()),
        }
    }
}

/// From the line of the function to the one that ends it.
fn body<'s>(file: &str, source: &'s str, name: &str) -> Option<&'s str> {
    let start = source.find(&format!("fn {name}("))?;
    let line = source[..start].rfind('\n').map_or(0, |at| at + 1);
    let indent = &source[line..start];
    let end = source[start..].find(&format!("\n{indent}}}\n")).map(|at| start + at)?;
    let above = source[..line].trim_end();
    // The sandbox's tests have no harness: they are listed.
    let is_test = match file.starts_with("tests/sandbox/") {
        true => source.contains(&format!("(\"{name}\", {name})")),
        false => above.ends_with("#[test]"),
    };
    let ignored = above.lines().rev().take(3).any(|line| line.contains("#[ignore"));
    (indent.trim().is_empty() && is_test && !ignored).then(|| &source[start..end])
}
