//! What is said on a terminal, and what is not said elsewhere.

use crate::common::{PROGRAM, Project, command, finish};
use crate::pty;
use std::ffi::OsStr;
use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// What came of a run on a terminal.
#[derive(Debug)]
pub struct Shown {
    pub code: i32,
    /// What the terminal was sent.
    pub screen: String,
    /// Standard output, where that led elsewhere.
    pub out: String,
}

/// Runs the program with standard error on a terminal of its own, and standard output there too, or in a pipe.
pub fn on_terminal<A: AsRef<OsStr>>(dir: &Path, args: &[A], env: &[(&str, &str)], piped: bool) -> Shown {
    let (mut master, terminal) = pty::open();
    let mut child = Command::new("setsid");
    child.args(["--wait", PROGRAM]).args(args).current_dir(dir).stdin(Stdio::null());
    child
        .env_remove("NO_COLOR")
        .env_remove("COUNTERSIGN_PASSPHRASE")
        .env("TERM", "xterm")
        .env("TMPDIR", dir.join("tmp"));
    child.envs(env.iter().copied()).stderr(terminal.try_clone().unwrap());
    // The end of the terminal is waited for below: nothing of ours may hold it open.
    child.stdout(if piped { Stdio::piped() } else { Stdio::from(terminal.try_clone().unwrap()) });
    drop(terminal);
    let mut running = child.spawn().unwrap();
    drop(child);
    let pipe = running.stdout.take();
    let reading = std::thread::spawn(move || {
        let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
        // The end of a terminal is an error.
        while let Ok(n @ 1..) = master.read(&mut buffer) {
            bytes.extend_from_slice(&buffer[..n]);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    });
    let mut out = String::new();
    if let Some(mut pipe) = pipe {
        pipe.read_to_string(&mut out).unwrap();
    }
    let code = running.wait().unwrap().code().unwrap();
    Shown { code, screen: reading.join().unwrap(), out }
}

const RED: &str = "\u{1b}[31merror:\u{1b}[0m cannot read none";

#[test]
fn colour_is_for_terminals_that_want_it() {
    let dir = tempfile::tempdir().unwrap();
    let args = ["digest", "none"];
    let shown = |env: &[(&str, &str)]| on_terminal(dir.path(), &args, env, false).screen;
    assert!(shown(&[]).starts_with(RED));
    assert!(shown(&[("NO_COLOR", "")]).starts_with(RED), "set but empty is not set");
    for env in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        assert!(shown(&[env]).starts_with("error: cannot read none"), "{env:?}");
    }
    let said = finish(command(dir.path()).args(args).env("TERM", "xterm"));
    assert!(said.err.starts_with("error: cannot read none"), "{said:?}");
    // Help is data, without colour anywhere; so is what clap says of a wrong command line, but for the first word.
    assert!(!on_terminal(dir.path(), &["--help"], &[], false).screen.contains('\u{1b}'));
    let wrong = on_terminal(dir.path(), &["--zzz"], &[], false);
    assert_eq!((wrong.code, wrong.screen.matches('\u{1b}').count()), (2, 2), "{wrong:?}");
}

#[test]
fn progress_is_for_terminals_and_gone_at_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    for tree in ["a", "b"] {
        std::fs::create_dir(at(tree)).unwrap();
        // Without blocks on the disk, but with bytes to be hashed.
        std::fs::File::create(at(tree).join("large")).unwrap().set_len(1 << 30).unwrap();
    }
    let piped = |args: &[&str], env: &[(&str, &str)]| on_terminal(dir.path(), args, env, true);
    for args in [&["digest", "a"][..], &["compare", "a", "b"]] {
        let quiet = piped(&[args, &["--quiet"]].concat(), &[]);
        assert_eq!((quiet.code, quiet.screen.as_str()), (0, ""), "{args:?}");
        let shown = piped(args, &[]);
        assert_eq!(shown.code, 0, "{shown:?}");
        assert!(shown.screen.contains(" file") && shown.screen.contains("iB"), "{args:?}: {shown:?}");
        // Nothing is left: the line is cleared, and nothing comes after it.
        let (_, last) = shown.screen.rsplit_once("\u{1b}[2K").unwrap();
        assert_eq!(last.trim_matches(['\r', '\n']), "", "{shown:?}");
        let dumb = piped(args, &[("TERM", "dumb")]);
        assert_eq!((dumb.screen.as_str(), &dumb.out), ("", &shown.out), "{args:?}");
        let elsewhere = finish(command(dir.path()).args(args));
        assert_eq!((elsewhere.err.as_str(), &elsewhere.out), ("", &shown.out), "{args:?}");
    }
}

#[test]
fn a_quiet_build_says_what_matters_only() {
    let project = Project::new("echo the compiler speaks; echo x > out.txt", &["out.txt"]);
    let run = |out: &str, more: &[&str]| {
        on_terminal(&project.path(""), &[&["build", "--source", "src", "--out", out], more].concat(), &[], true)
    };
    let loud = run("loud", &[]);
    assert!(loud.screen.contains("reading the environment") && loud.screen.contains("the compiler speaks"), "{loud:?}");
    let quiet = run("quiet", &["--quiet"]);
    assert_eq!((loud.code, quiet.code, &loud.out), (0, 0, &quiet.out));
    let said = quiet.screen.trim_end();
    assert!(said.starts_with("built tiny 1.0") && !said.contains('\n'), "{quiet:?}");
}

#[test]
fn who_asks_for_the_exit_code_alone_gets_it() {
    let project = Project::tiny();
    project.attest();
    project.review(&[]).ends(0);
    project.put("other", "x");
    for (args, code) in [
        (&["verify", "out/run", "--bundle", "b.intoto.jsonl", "--policy", "policy", "--quiet"][..], 0),
        (&["verify", "other", "--bundle", "b.intoto.jsonl", "--policy", "policy", "-q"], 1),
        (&["compare", "--quiet", "other", "other"], 0),
        (&["compare", "-q", "other", "policy"], 1),
    ] {
        let said = project.run(args).ends(code);
        assert_eq!((said.out.as_str(), said.err.as_str()), ("", ""), "{args:?}");
    }
    // What went wrong is said all the same.
    project.run(&["compare", "--quiet", "other", "none"]).fails(7, "cannot read none");
}
