//! The table of attacks, `attacks.toml`: that it has every number, that what it names is there and says what it says, and that each attack
//! that is a vector, or is built here, ends as it is written there.

#![cfg(target_os = "linux")]

#[path = "../common/mod.rs"]
mod common;
mod evidence;
mod program;
#[path = "../common/sample.rs"]
mod sample;
mod table;

use evidence::Tries;
use std::path::{Path, PathBuf};
use table::{Case, Seen, Table};

const TABLE: &str = include_str!("attacks.toml");

/// An attack that is built here, by the name that the table has for it.
type Run = (&'static str, fn(&mut Tries));

const RUNS: &[Run] = &[
    ("flipped_bits", evidence::flipped_bits),
    ("payload_type_of_many_bytes", evidence::payload_type_of_many_bytes),
    ("too_many_subjects", evidence::too_many_subjects),
    ("payload_too_long", evidence::payload_too_long),
    ("bundle_too_long", evidence::bundle_too_long),
    ("wrapper_with_two_signatures", evidence::wrapper_with_two_signatures),
    ("legacy_link", evidence::legacy_link),
    ("second_subject", evidence::second_subject),
    ("git_tree_is_no_alternative", evidence::git_tree_is_no_alternative),
    ("summary_as_manifest", evidence::summary_as_manifest),
    ("summary_as_rebuild", evidence::summary_as_rebuild),
    ("empty_directory", evidence::empty_directory),
    ("directory_as_bundle", evidence::directory_as_bundle),
    ("verdict_by_payload", evidence::verdict_by_payload),
    ("validity_is_not_promised", evidence::validity_is_not_promised),
    ("archive_that_leaves", program::archive_that_leaves),
    ("settings_without_effect", program::settings_without_effect),
    ("loose_files_are_no_keys", program::loose_files_are_no_keys),
    ("bad_pattern_is_said_at_once", program::bad_pattern_is_said_at_once),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn names() -> Vec<&'static str> {
    RUNS.iter().map(|(name, _)| *name).collect()
}

#[test]
fn the_table_is_whole_and_what_it_names_is_there() {
    let table = Table::read(TABLE).unwrap();
    let problems = table.problems(root(), &names());
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    for (run, _) in RUNS {
        assert!(TABLE.contains(&format!("run = \"{run}\"")), "{run} is in no entry");
    }
}

/// The checks themselves, each with a table that is wrong in one place.
#[test]
fn a_table_with_a_hole_is_refused() {
    let refused = |from: &str, to: &str, why: &str| {
        assert!(TABLE.contains(from), "{from}");
        let said = match Table::read(&TABLE.replacen(from, to, 1)) {
            Ok(table) => table.problems(root(), &names()).join("\n"),
            Err(err) => err,
        };
        assert!(said.contains(why), "{from} as {to}: {said}");
    };
    refused("[N7]\n", "[N51]\n", "N7 is not there");
    refused("[N7]\n", "[N51]\n", "N51 is no number");
    refused("[A28]\n", "[A0]\n", "A28 is not there");
    refused("[L25]\n", "[L26]\n", "L26 is no number");
    refused("[N7]\n", "[N07]\n", "N07 is no number");
    refused("[N7]\n", "[N6]\n", "duplicate key");
    refused("what = \"one key stands", "wath = \"one key stands", "unknown field");
    refused("what = \"one key stands in the policy under two names\"", "what = \"\"", "N6: it says nothing");
    refused("\"policy/key-twice\"", "\"policy/no-such\"", "N6: there is no vector policy/no-such");
    refused("\"policy/key-twice\"", "\"bundle/good\"", "N6: the vector bundle/good expects exit 0");
    refused("kind = \"signatures\" }", "kind = \"statements\" }", "expects exit 4 at \"signatures\"");
    refused("exit = 4, kind = \"signatures\" }", "exit = 3, kind = \"signatures\" }", "expects exit 4");
    refused("run = \"flipped_bits\"", "run = \"flipped_bytes\"", "N1: there is no run flipped_bytes");
    refused("tests/key.rs::what_ssh", "tests/kay.rs::what_ssh", "N42: tests/kay.rs cannot be read");
    refused("::what_ssh_keygen_writes_is_read", "::what_ssh_keygen_wrote", "there is no test what_ssh_keygen_wrote");
    refused("::what_ssh_keygen_writes_is_read", "::tool", "there is no test tool");
    refused("::only_the_roots_are_there", "::place", "there is no test place");
    refused("fails(2, \"only ssh", "fails(3, \"only ssh", "N42: its test does not assert");
    refused(
        "test = \"tests/key.rs::what_ssh_keygen_writes_is_read\", exit = 2",
        "test = \"tests/key.rs::what_ssh_keygen_writes_is_read\", exit = 3",
        "does not hold the code 3",
    );
    refused(
        "twin = 'room.run(&[\"key\", \"show\", name]).ok();'",
        "twin = 'room.run(never)'",
        "N42: its test does not assert",
    );
    refused(
        "cases = [\n  { vectors = [\"envelope/good-unknown-fields\", \"envelope/good-unknown-type-field\", \"json/good-unknown-fields\"], exit = 0 },",
        "cases = [",
        "N14: nothing is accepted",
    );
    refused(
        "  { vectors = [\"envelope/ed25519ph\"], exit = 4, kind = \"signatures\" },\n",
        "",
        "N8: nothing is refused",
    );
    refused("issue = 5\n\n[N42]", "issue = 9\n\n[N42]", "N41: nobody knows an issue 9");
    refused("owner = \"trust: validity", "#", "N41: an issue without words");
    refused(
        "cases = [{ run = \"loose_files_are_no_keys\", exit = 2, kind = \"not an OpenSSH public key\" }]",
        "",
        "L7: neither cases nor an owner",
    );
    refused(
        "{ run = \"flipped_bits\", exit",
        "{ run = \"flipped_bits\", test = \"x\", exit",
        "N1: a case is one of vectors, run, test",
    );
}

/// Runs every vector of the table, twice: for programs, and for people, who must not read "verified" after a no.
#[test]
fn the_vectors_end_as_the_table_says() {
    let table = Table::read(TABLE).unwrap();
    let mut wanted: Vec<(&str, i32, Option<&str>)> = Vec::new();
    for case in table.cases() {
        wanted.extend(case.vectors.iter().map(|name| (name.as_str(), case.exit.unwrap_or(-1), case.kind.as_deref())));
    }
    wanted.sort_unstable();
    wanted.dedup();
    assert!(wanted.len() > 150, "{}", wanted.len());
    for (name, exit, kind) in wanted {
        let directory = root().join("fixtures/vectors").join(name);
        let seen = Seen::of(&mut vector(&directory, true));
        assert!(seen.is(exit, kind), "{name}: expected {exit} at {kind:?}: {seen:?}");
        let said = Seen::of(&mut vector(&directory, false));
        assert!(said.code == exit && said.out.contains("verified") == (exit == 0), "{name}: {said:?}");
    }
}

#[test]
fn what_is_built_here_ends_as_the_table_says() {
    let table = Table::read(TABLE).unwrap();
    for (name, attack) in RUNS {
        let mut tries = Tries::new(name);
        attack(&mut tries);
        for Case { exit, kind, .. } in table.cases().filter(|case| case.run.as_deref() == Some(name)) {
            tries.check(exit.unwrap_or(-1), kind.as_deref().unwrap_or_default());
        }
    }
}

fn vector(directory: &Path, json: bool) -> std::process::Command {
    let expect: serde_json::Value =
        serde_json::from_slice(&std::fs::read(directory.join("expect.json")).unwrap()).unwrap();
    let mut command = common::command(directory);
    command
        .arg("verify")
        .args(expect["args"].as_array().unwrap().iter().map(|name| PathBuf::from(name.as_str().unwrap())));
    command.args(["--bundle", "bundle.intoto.jsonl", "--policy", "policy.toml"]);
    for option in ["product", "version", "as"] {
        if let Some(value) = expect[option].as_str() {
            command.arg(format!("--{option}")).arg(value);
        }
    }
    command.args(json.then_some("--json"));
    command
}
