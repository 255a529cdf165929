//! A reader that goes away ends the program quietly; a full disk does not.

use crate::common::{BUNDLE, Project, finish};
use std::fs::File;
use std::process::Command;

const FOR_READING: &[&[&str]] = &[
    &["--help"],
    &["--version"],
    &["help", "verify"],
    &["digest", "src/input.txt"],
    &["digest", "src"],
    &["digest", "src", "--git"],
    &["digest", "src", "--listing"],
    &["digest", "src", "--json"],
    &["init", "made", "--stdout"],
    &["key", "show", "vendor.pub"],
    &["key", "show", "vendor.pub", "--pem"],
    &["key", "show", "vendor", "--json"],
    &["compare", "src", "out"],
    &["compare", "src", "out", "--json"],
    &["verify", "out/run", "--bundle", BUNDLE, "--policy", "policy"],
    &["verify", "out/run", "--bundle", BUNDLE, "--policy", "policy", "--json"],
    &["inspect", BUNDLE],
    &["inspect", BUNDLE, "--json"],
    &["policy", "check", "policy"],
    &["policy", "check", "policy", "--json"],
    &["completions", "bash"],
    &["completions", "zsh"],
    &["completions", "fish"],
    &["man"],
    &["man", "key", "show"],
];

fn project() -> Project {
    let project = Project::tiny();
    project.attest();
    std::fs::create_dir(project.path("made")).unwrap();
    project.put("made/Makefile", "all:\n");
    project
}

/// A pipe that nobody reads from any more.
fn closed(command: &mut Command) -> (i32, String) {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let out = command.stdout(writer).stderr(std::process::Stdio::piped()).output().unwrap();
    (out.status.code().unwrap(), String::from_utf8_lossy(&out.stderr).into_owned())
}

fn full(command: &mut Command) -> (i32, String) {
    let device = File::options().write(true).open("/dev/full").unwrap();
    let out = command.stdout(device).stderr(std::process::Stdio::piped()).output().unwrap();
    (out.status.code().unwrap(), String::from_utf8_lossy(&out.stderr).into_owned())
}

#[test]
fn a_closed_pipe_ends_every_command_quietly() {
    let project = project();
    for args in FOR_READING {
        assert_eq!(closed(&mut project.command(args)), (141, String::new()), "{args:?}");
        let (code, err) = full(&mut project.command(args));
        assert_eq!(code, 7, "{args:?}: {err}");
        assert!(err.starts_with("error: cannot write to standard output: No space left"), "{args:?}: {err}");
        // With a reader there is something to read.
        assert_ne!(finish(&mut project.command(args)).out, "", "{args:?}");
    }
}

#[test]
fn a_closed_pipe_leaves_what_was_made_whole_and_nothing_in_passing() {
    let project = project();
    // What was made before the answer was printed stands; what was made in passing does not.
    let made: &[(&[&str], &str)] = &[
        (&["key", "generate", "--no-passphrase", "--out", "k"], "k"),
        (&["build", "--quiet", "--source", "src", "--out", "again"], "again"),
        (&["attest", "--quiet", "--source", "src", "--key", "vendor", "--bundle", "third.jsonl"], "third.jsonl"),
        (&["bundle", "export", BUNDLE, "--format", "dsse", "-o", "exported"], "exported"),
    ];
    for (args, name) in made {
        assert_eq!(closed(&mut project.command(args)), (141, String::new()), "{args:?}");
        assert!(project.path(name).exists(), "{args:?}");
        assert_eq!(project.names("tmp"), [""; 0], "{args:?}");
    }
    let args = project.rebuild_args(&["--quiet", "--policy", "policy"]);
    assert_eq!(closed(&mut project.command(&args)), (141, String::new()));
    assert_eq!(project.names("tmp"), [""; 0]);
}
