//! The command line: help with examples, and usage errors that end with 2.

mod common;

use common::{Said, command, finish};
use std::path::Path;

/// Every command that does something by itself.
const COMMANDS: [&[&str]; 16] = [
    &["init"],
    &["digest"],
    &["key", "generate"],
    &["key", "show"],
    &["key", "import"],
    &["build"],
    &["attest"],
    &["rebuild"],
    &["compare"],
    &["verify"],
    &["inspect"],
    &["policy", "init"],
    &["policy", "check"],
    &["bundle", "export"],
    &["completions"],
    &["man"],
];

fn run(args: &[&str]) -> Said {
    finish(command(Path::new(".")).args(args))
}

/// The commands that help lists, below these words.
fn listed(words: &[&str]) -> Vec<String> {
    let help = run(&[words, &["--help"]].concat()).ends(0).out;
    let Some((_, list)) = help.split_once("\nCommands:\n") else { return Vec::new() };
    let names = list.lines().take_while(|line| !line.is_empty()).filter_map(|line| line.strip_prefix("  "));
    let names = names.filter(|line| !line.starts_with(' ')).filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

/// All commands, as help has them.
fn all() -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for name in listed(&[]) {
        let below = listed(&[&name]);
        found.extend(below.iter().map(|second| vec![name.clone(), second.clone()]));
        if below.is_empty() {
            found.push(vec![name]);
        }
    }
    found
}

#[test]
fn every_command_has_an_example_that_is_one() {
    let all = all();
    for known in COMMANDS {
        assert!(all.iter().any(|words| words == known), "{known:?} is not in {all:?}");
    }
    for words in &all {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let help = run(&[&words[..], &["--help"]].concat()).ends(0);
        assert_eq!(help.err, "", "help is data");
        let (_, examples) = help.out.split_once("Example").unwrap_or_else(|| panic!("{words:?}: {}", help.out));
        let start = format!("countersign {}", words.join(" "));
        assert!(examples.contains(&start), "{words:?}: {examples}");
        // What an example names is there: flags, at least.
        let own = examples.lines().filter(|line| line.trim_start().starts_with("countersign "));
        for flag in own.flat_map(str::split_whitespace).filter(|word| word.starts_with("--")) {
            let options = &help.out[..help.out.len() - examples.len()];
            assert!(options.contains(flag), "{words:?} has no {flag}");
        }
        assert_eq!(run(&[&["help"], &words[..]].concat()).ends(0).out, help.out);
        assert!(run(&[&words[..], &["-h"]].concat()).ends(0).out.contains("Usage: countersign"));
    }
    assert!(run(&["--help"]).ends(0).out.contains("countersign verify hello --bundle"));
}

#[test]
fn the_version() {
    for flag in ["--version", "-V"] {
        let said = run(&[flag]).ends(0);
        assert_eq!((said.out, said.err), (format!("countersign {}\n", env!("CARGO_PKG_VERSION")), String::new()));
    }
}

#[test]
fn what_is_not_known_is_a_usage_error() {
    run(&[]).ends(2);
    for wrong in [&["frobnicate"][..], &["--frobnicate"], &["key"], &["policy"], &["key", "frobnicate"], &["-x"]] {
        let said = run(wrong).ends(2);
        assert_eq!(said.out, "", "{wrong:?}");
        assert!(said.err.to_lowercase().contains("usage: countersign"), "{wrong:?}: {}", said.err);
    }
    for words in all() {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        run(&[&words[..], &["--frobnicate"]].concat()).fails(2, "unexpected argument '--frobnicate'");
        run(&[&words[..], &["--json=maybe"]].concat()).ends(2);
        run(&[&words[..], &["a", "b", "c", "d", "e"]].concat()).ends(2);
    }
}

#[test]
fn what_is_missing_is_a_usage_error() {
    for (args, missing) in [
        (&["digest"][..], "<PATH>"),
        (&["key", "generate"], "--out"),
        (&["key", "show"], "<K>"),
        (&["key", "import", "k"], "--out"),
        (&["build"], "--out"),
        (&["attest", "--bundle", "b"], "--key"),
        (&["attest", "--key", "k"], "--bundle"),
        (&["rebuild", "b"], "--source"),
        (&["rebuild", "--source", "s"], "<BUNDLE>"),
        (&["compare", "a"], "<B>"),
        (&["verify", "f", "--bundle", "b"], "--policy"),
        (&["verify", "f", "--policy", "p"], "--bundle"),
        (&["verify", "--bundle", "b", "--policy", "p"], "<FILE>"),
        (&["inspect"], "<BUNDLE>"),
        (&["policy", "init", "--vendor", "v", "-o", "p"], "--rebuilders"),
        (&["policy", "check"], "<P>"),
    ] {
        run(args).fails(2, missing);
    }
}

#[test]
fn what_makes_no_sense_is_a_usage_error() {
    for (args, why) in [
        (&["verify", "a", "b", "--bundle", "x", "--policy", "p", "--as", "s"][..], "--as says what one file is"),
        (&["verify", "a", "--bundle", "x", "--policy", "p", "--product", "a b"], "--product"),
        (&["verify", "a", "--bundle", "x", "--policy", "p", "--as", "../a"], "--as"),
        (&["attest", "--key", "k", "--bundle", "b", "--sequence=-1"], "--sequence"),
        (&["attest", "--key", "k", "--bundle", "b", "--previous", "md5:00"], "--previous"),
        (&["attest", "--key", "k", "--bundle", "b", "--channel", ""], "--channel"),
        (&["rebuild", "b", "--source", "s", "--runs", "many"], "--runs"),
        (&["rebuild", "b", "--source", "s", "--supersedes", "x"], "--supersedes"),
        (&["digest", "Cargo.toml", "--listing"], "--listing is about trees"),
        (&["digest", ".", "--exclude", "[a]"], "--exclude"),
        (&["digest", "x", "--tree", "--strip", "9"], "--strip"),
        (&["policy", "init", "--vendor", "v", "--rebuilders", "0", "-o", "p"], "--rebuilders"),
        (&["digest", ".", "--git", "--listing"], "cannot be used with"),
    ] {
        run(args).fails(2, why);
    }
}
