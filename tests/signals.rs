//! Ctrl-C and the like: a build that is ended leaves nothing behind.
#![cfg(target_os = "linux")]

mod common;

use common::{BUNDLE, Project, Said};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// A number that stands on the command line of one test's steps alone.
fn mark() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("77.{}{:03}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Processes whose command line holds the text.
fn processes(text: &str) -> usize {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = entries.map(|entry| std::fs::read(entry.path().join("cmdline")).unwrap_or_default());
    lines.filter(|line| line.windows(text.len()).any(|window| window == text.as_bytes())).count()
}

#[track_caller]
fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A project whose step says something and then stays, with one more in the background.
fn staying(mark: &str) -> Project {
    let project = Project::new(&format!("echo begun; sleep {mark} & sleep {mark}; echo > out.txt"), &["out.txt"]);
    // A manifest to rebuild, which needs no build.
    std::fs::create_dir(project.path("made")).unwrap();
    project.put("made/out.txt", "\n");
    project.attest_to(BUNDLE, &["--outputs", "made"]).ends(0);
    project
}

/// Whoever runs the tests may ignore signals, as `nohup` has it, and that is inherited.
fn start(command: Command) -> Child {
    let mut heard = Command::new("env");
    heard.arg("--default-signal=HUP,INT,TERM").arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => heard.env(name, value),
            None => heard.env_remove(name),
        };
    }
    command.get_current_dir().map(|dir| heard.current_dir(dir));
    heard.stdin(Stdio::null()).process_group(0).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn pid(child: &Child) -> Pid {
    Pid::from_child(child)
}

fn said(child: Child) -> Said {
    let begun = Instant::now();
    let output = child.wait_with_output().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(20), "it takes its time");
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Said { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
}

const COMMANDS: [&str; 3] = ["build", "attest", "rebuild"];

fn command(project: &Project, name: &str, sandbox: &str) -> Command {
    let more = ["--sandbox", sandbox];
    match name {
        "build" => {
            project.command(&[&["build", "--source", "src", "--out", "out", "--statement", "s"][..], &more].concat())
        }
        "attest" => {
            let args = ["attest", "--source", "src", "--key", "vendor", "--bundle", "new.jsonl", "--out", "out"];
            project.command(&[&args[..], &more].concat())
        }
        _ => {
            let own = ["--key", "reviewer", "--append", "--out", "out", "--runs", "2", "--jobs", "2"];
            project.command(&project.rebuild_args(&[&own[..], &more].concat()))
        }
    }
}

/// How many steps stand at the sleep: all that there will be.
fn sleeping(name: &str) -> usize {
    if name == "rebuild" { 4 } else { 2 }
}

#[test]
fn interrupted_in_a_step() {
    for sandbox in ["auto", "none"] {
        for name in COMMANDS {
            let mark = mark();
            let project = staying(&mark);
            let (before, bundle) = (project.names("."), project.get(BUNDLE));
            let child = start(command(&project, name, sandbox));
            wait_until("the steps begin", || processes(&format!("sleep\0{mark}")) == sleeping(name));
            assert!(!project.names("tmp").is_empty(), "{name}: there is something to remove");
            // As a terminal does it: to the whole group.
            kill_process_group(pid(&child), Signal::INT).unwrap();
            let said = said(child).fails(130, "interrupted\n");
            assert_eq!(said.err.matches("interrupted").count(), 1, "{}", said.err);
            assert!(said.err.ends_with("\ninterrupted\n"), "{}", said.err);
            assert_eq!(processes(&mark), 0, "{name} {sandbox}: a process is left");
            assert_eq!(project.names("tmp"), [""; 0], "{name} {sandbox}");
            let mut after = project.names(".");
            after.retain(|entry| entry != "cache");
            assert_eq!(after, before, "{name} {sandbox}: an output, a log or a part of one");
            assert_eq!(project.get(BUNDLE), bundle, "nothing is signed");
        }
    }
}

#[test]
fn each_signal_has_its_code() {
    for (signal, code) in [(Signal::HUP, 129), (Signal::INT, 130), (Signal::TERM, 143)] {
        let mark = mark();
        let project = staying(&mark);
        let child = start(command(&project, "build", "auto"));
        wait_until("the steps begin", || processes(&format!("sleep\0{mark}")) == 2);
        kill_process(pid(&child), signal).unwrap();
        said(child).fails(code, "\ninterrupted\n");
        assert_eq!((project.names("tmp"), processes(&mark)), (Vec::new(), 0));
    }
}

/// A terminal that is closed is told of by the kernel, and by the shell once more.
#[test]
fn hung_up_twice_is_once() {
    let mark = mark();
    let project = staying(&mark);
    let child = start(command(&project, "build", "auto"));
    wait_until("the steps begin", || processes(&format!("sleep\0{mark}")) == 2);
    for _ in 0..20 {
        let _ = kill_process(pid(&child), Signal::HUP);
        std::thread::sleep(Duration::from_millis(2));
    }
    said(child).fails(129, "\ninterrupted\n");
    assert_eq!((project.names("tmp"), processes(&mark)), (Vec::new(), 0));
}

/// `nohup` says that the signal shall not matter, and so it does not.
#[test]
fn what_is_ignored_stays_ignored() {
    for (ignored, code) in [(true, 0), (false, 129)] {
        let mark = mark();
        let project = Project::new(&format!("sleep 1; : {mark}; echo > out.txt"), &["out.txt"]);
        let mut shell = Command::new("sh");
        let trap = if ignored { "trap '' HUP; " } else { "" };
        shell.args(["-c", &format!("{trap}exec \"$@\""), "sh", common::PROGRAM, "build", "--source", "src"]);
        shell.args(["--out", "out"]).current_dir(project.path(".")).env("TMPDIR", project.path("tmp"));
        shell.env("XDG_CACHE_HOME", project.path("cache"));
        let child = start(shell);
        wait_until("the build begins", || !project.names("tmp").is_empty());
        kill_process(pid(&child), Signal::HUP).unwrap();
        said(child).ends(code);
        assert_eq!(project.path("out/out.txt").exists(), ignored);
        assert_eq!(project.names("tmp"), [""; 0]);
    }
}

#[test]
fn interrupted_while_the_environment_is_read() {
    let mark = mark();
    let project = staying(&mark).root("/usr/lib".as_ref());
    let child = start(command(&project, "attest", "auto"));
    let parent = format!("PPid:\t{}\n", child.id());
    let helper = || {
        let entries = std::fs::read_dir("/proc").unwrap().flatten();
        let mut children = entries.filter(|entry| {
            std::fs::read_to_string(entry.path().join("status")).is_ok_and(|status| status.contains(&parent))
        });
        children.find_map(|child| std::fs::read(child.path().join("cmdline")).ok().filter(|line| !line.is_empty()))
    };
    wait_until("it is read", || helper().is_some_and(|line| line == b"countersign:environment\0"));
    kill_process_group(pid(&child), Signal::INT).unwrap();
    let said = said(child).fails(130, "interrupted\n");
    assert!(!said.err.contains("begun"), "{}", said.err);
    assert_eq!((project.names("tmp"), processes(&mark)), (Vec::new(), 0));
    assert!(!project.path("new.jsonl").exists() && !project.path("out").exists());
}

/// A program that cannot come to its cleanup, here because nobody reads what it says, ends at the second signal.
#[test]
fn a_second_signal_ends_at_once() {
    for second in [Signal::INT, Signal::TERM] {
        let mark = mark();
        let script = format!("sleep {mark} & while :; do echo 0123456789012345678901234567890123456789; done");
        let project = Project::new(&script, &["out.txt"]);
        let mut child = start(command(&project, "build", "auto"));
        let mut pipe: ChildStderr = child.stderr.take().unwrap();
        wait_until("the pipe is full", || rustix::io::ioctl_fionread(&pipe).unwrap() > 60_000);
        kill_process(pid(&child), Signal::INT).unwrap();
        std::thread::sleep(Duration::from_millis(500));
        assert!(child.try_wait().unwrap().is_none(), "the first waits for its turn");
        kill_process(pid(&child), second).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(if second == Signal::INT { 130 } else { 143 }));
        wait_until("the build dies with it", || processes(&mark) == 0);
        let _ = pipe.read_to_end(&mut Vec::new());
        left_behind(&project);
    }
}

#[test]
fn killed_outright() {
    for name in COMMANDS {
        let mark = mark();
        let project = staying(&mark);
        let mut child = start(command(&project, name, "auto"));
        wait_until("the steps begin", || processes(&format!("sleep\0{mark}")) == sleeping(name));
        child.kill().unwrap();
        child.wait().unwrap();
        wait_until("the build dies with it", || processes(&mark) == 0);
        assert!(!project.path("new.jsonl").exists() && !project.path("s").exists());
        if name != "rebuild" {
            left_behind(&project);
        }
    }
}

/// What could not be removed is there, as docs/threats.md says, and the next run is as if it were not.
fn left_behind(project: &Project) {
    let left = project.names("tmp");
    assert!(left.len() == 1 && left[0].starts_with("countersign-"), "{left:?}");
    project.put("src/build.sh", "echo whole > out.txt\n");
    project.run(&["build", "--source", "src", "--out", "out", "--statement", "s"]).ends(0);
    assert_eq!(project.text("out/out.txt"), "whole\n");
    project.attest_to("again.jsonl", &[]).ends(0);
    assert_eq!(project.names("tmp"), left);
}
