//! Runs that do not end well.

use super::setup::{Test, place, processes_with, root, run, same, spec, wait_until};
use countersign::sandbox::{self, How, SandboxError, Spec};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

pub const TESTS: &[Test] = &[
    ("exit_codes_and_signals", exit_codes_and_signals),
    ("plain_runs_fail_alike", plain_runs_fail_alike),
    ("timeout_leaves_nothing", timeout_leaves_nothing),
    ("death_of_the_caller_leaves_nothing", death_of_the_caller_leaves_nothing),
    ("interrupt_leaves_nothing", interrupt_leaves_nothing),
    ("panic_of_the_caller_leaves_nothing", panic_of_the_caller_leaves_nothing),
    ("inherited_descriptors_are_closed", inherited_descriptors_are_closed),
    ("limits", limits),
    ("nothing_is_made_in_another_root", nothing_is_made_in_another_root),
    ("no_user_namespaces", no_user_namespaces),
    ("no_fresh_proc", no_fresh_proc),
    ("mounts_below_roots_are_read_only", mounts_below_roots_are_read_only),
    ("unreachable_roots", unreachable_roots),
];

/// This program again in a part of a test.
fn again(role: &str, dir: &Path) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.args(["--child", role]).arg(dir).stdout(Stdio::piped());
    command
}

pub fn child(role: &str, dir: &Path) -> ExitCode {
    match role {
        "no-namespaces" => {
            own_user_namespace(CloneFlags::CLONE_NEWUSER);
            std::fs::write("/proc/sys/user/max_user_namespaces", "0").unwrap();
        }
        "covered-proc" => {
            own_user_namespace(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS);
            let nothing = None::<&str>;
            mount(nothing, "/", nothing, MsFlags::MS_REC | MsFlags::MS_PRIVATE, nothing).unwrap();
            mount(Some("tmpfs"), "/proc/sys/kernel", Some("tmpfs"), MsFlags::empty(), nothing).unwrap();
        }
        "mounts" => {
            own_user_namespace(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS);
            let nothing = None::<&str>;
            mount(nothing, "/", nothing, MsFlags::MS_REC | MsFlags::MS_PRIVATE, nothing).unwrap();
            mount(Some("tmpfs"), "/usr/share", Some("tmpfs"), MsFlags::MS_NOEXEC, nothing).unwrap();
            std::fs::create_dir("/usr/share/a b").unwrap();
            mount(Some("tmpfs"), "/usr/share/a b", Some("tmpfs"), MsFlags::empty(), nothing).unwrap();
            std::fs::write("/usr/share/a b/f", "").unwrap();
        }
        _ => {}
    }
    let script = match (role, role.strip_prefix("run:")) {
        (_, Some(mark)) => format!("(setsid sh -c 'sleep {mark}; true' &); sleep {mark}; true"),
        ("mounts", _) => {
            "test -w '/usr/share/a b/f' && echo writable; grep ' /usr/share' /proc/self/mountinfo | cut -d' ' -f5,6"
                .into()
        }
        _ => "ls /proc/self/fd".into(),
    };
    let (result, log) = run(&spec(dir, &script));
    print!("{log}");
    match result {
        Ok(_) => println!("ran"),
        Err(err) => println!("{err}"),
    }
    ExitCode::SUCCESS
}

fn own_user_namespace(flags: CloneFlags) {
    let (uid, gid) = (nix::unistd::getuid(), nix::unistd::getgid());
    unshare(flags).unwrap();
    std::fs::write("/proc/self/setgroups", "deny").unwrap();
    std::fs::write("/proc/self/uid_map", format!("0 {uid} 1")).unwrap();
    std::fs::write("/proc/self/gid_map", format!("0 {gid} 1")).unwrap();
}

fn how(spec: &Spec, runner: Runner) -> How {
    match runner(spec, &mut |_| {}) {
        Err(SandboxError::StepFailed { step: 0, how, argv0, .. }) => {
            assert_eq!(argv0, spec.steps[0][0]);
            how
        }
        other => panic!("{other:?}"),
    }
}

type Runner = fn(&Spec, &mut dyn FnMut(&[u8])) -> Result<sandbox::Ran, SandboxError>;

fn fails_alike(runner: Runner) {
    let place = place();
    let mut spec = spec(&place.build, "exit 42");
    assert_eq!(how(&spec, runner), How::Exit(42));
    spec.steps[0][2] = "kill -SEGV $$".into();
    assert_eq!(how(&spec, runner), How::Signal(11));
    spec.steps[0][0] = "no-such-program".into();
    assert_eq!(how(&spec, runner), How::NotFound);
    spec.steps[0][0] = "./none".into();
    assert_eq!(how(&spec, runner), How::NotFound);
    spec.steps[0][0] = "/usr".into();
    assert!(matches!(how(&spec, runner), How::CannotStart(_)));
    spec.steps[0] = vec!["sh".into(), "-c".into(), "exit 0 \0".into()];
    assert!(matches!(how(&spec, runner), How::CannotStart(_)));
    program_without_loader(&place, &mut spec, runner);
    // The second step of three fails: it is named, and the third does not run.
    spec.steps = vec![vec!["true".into()], vec!["false".into()], vec!["touch".into(), "third".into()]];
    let result = runner(&spec, &mut |_| {});
    assert!(matches!(result, Err(SandboxError::StepFailed { step: 1, .. })), "{result:?}");
    assert!(!place.build.join("third").exists());
}

/// The kernel's words for these are those for a program that is not there.
fn program_without_loader(place: &super::setup::Place, spec: &mut Spec, runner: Runner) {
    let there = |name: &str, bytes: &[u8]| {
        let path = place.build.join(name);
        std::fs::write(&path, bytes).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    };
    let compiled = |loader: &str| {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a.c"), "int main(void) { return 0; }").unwrap();
        let option = format!("-Wl,--dynamic-linker={loader}");
        assert!(Command::new("cc").args([&option, "a.c"]).current_dir(dir.path()).status().unwrap().success());
        std::fs::read(dir.path().join("a.out")).unwrap()
    };
    there("elf", &compiled("/no/such/ld.so"));
    there("script", b"#!/no/such/shell -e\n");
    there("second", b"#!elf\n");
    for (program, file, kind, absent) in [
        ("./elf", "elf", "loader", "/no/such/ld.so"),
        ("./script", "script", "interpreter", "/no/such/shell"),
        ("./second", "elf", "loader", "/no/such/ld.so"),
    ] {
        spec.steps[0] = vec![program.into()];
        let How::CannotStart(why) = how(spec, runner) else { panic!("{program}") };
        assert!(why.ends_with(&format!("{file} is there, its {kind} {absent} is not")), "{why}");
    }
    there("none", b"#!/bin/sh\nexit 3\n");
    spec.steps[0] = vec!["./none".into()];
    assert_eq!(how(spec, runner), How::Exit(3), "nothing is missing");
}

fn exit_codes_and_signals() {
    fails_alike(sandbox::run);
}

fn plain_runs_fail_alike() {
    fails_alike(sandbox::run_plain);
    let place = place();
    let mut spec = spec(&place.build, "env; pwd; sleep 37.654321 & echo $!");
    let mut log = Vec::new();
    sandbox::run_plain(&spec, &mut |chunk| log.extend_from_slice(chunk)).unwrap();
    let log = String::from_utf8(log).unwrap();
    assert!(log.contains("TZ=UTC\n") && !log.contains("CARGO"), "{log}");
    assert!(log.contains(&format!("{}\n", place.build.display())), "{log}");
    assert_eq!(processes_with("37.654321"), 0, "the step's group is gone with it");
    spec.steps[0][2] = "sleep 37.654322 & sleep 37.654322".into();
    spec.limits.time = Duration::from_millis(200);
    let result = sandbox::run_plain(&spec, &mut |_| {});
    assert!(matches!(result, Err(SandboxError::TimedOut { .. })), "{result:?}");
    assert_eq!(processes_with("37.654322"), 0);
}

fn timeout_leaves_nothing() {
    let place = place();
    let mut spec = spec(
        &place.build,
        "(setsid sh -c 'trap \"\" TERM INT HUP; sleep 38.765431; true' &); echo started; sleep 38.765431",
    );
    spec.limits.time = Duration::from_millis(400);
    let begun = Instant::now();
    let (result, log) = run(&spec);
    assert!(matches!(result, Err(SandboxError::TimedOut { after }) if after == spec.limits.time), "{result:?}");
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert_eq!(log, "started\n");
    assert_eq!(processes_with("38.765431"), 0);
}

/// A run of this program whose steps stay; ended by `end`, after which nothing may be left.
fn ended_by(mark: &str, end: impl Fn(&mut Child)) {
    let place = place();
    let mut child = again(&format!("run:{mark}"), &place.build).process_group(0).spawn().unwrap();
    wait_until("it starts", || processes_with(&format!("sleep\0{mark}")) == 2);
    end(&mut child);
    child.wait().unwrap();
    wait_until("all of it ends", || processes_with(mark) == 0);
}

fn death_of_the_caller_leaves_nothing() {
    ended_by("39.876541", |child| child.kill().unwrap());
}

fn interrupt_leaves_nothing() {
    ended_by("39.876542", |child| killpg(Pid::from_raw(child.id() as i32), Signal::SIGINT).unwrap());
}

fn panic_of_the_caller_leaves_nothing() {
    let place = place();
    let spec = spec(&place.build, "sleep 39.876543 & echo; sleep 39.876543");
    let caught = std::panic::catch_unwind(|| sandbox::run(&spec, &mut |_| std::panic::resume_unwind(Box::new(()))));
    assert!(caught.is_err());
    wait_until("all of it ends", || processes_with("39.876543") == 0);
}

fn inherited_descriptors_are_closed() {
    let place = place();
    let script =
        format!("exec 7</etc/passwd 8>/dev/null 9</; exec /proc/{}/exe --child fds \"$0\"", std::process::id());
    let output = Command::new("sh").arg("-c").arg(script).arg(&place.build).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "0\n1\n2\n3\nran\n");
}

fn limits() {
    let place = place();
    let mut spec = spec(&place.build, "i=0; while [ $i -lt 60 ]; do sleep 3 & i=$((i+1)); done; echo all");
    spec.limits.processes = 30;
    let (result, log) = run(&spec);
    assert!(matches!(result, Err(SandboxError::StepFailed { .. })) && !log.contains("all"), "{log}");
    spec.limits.processes = 100;
    assert!(run(&spec).1.contains("all"));

    spec.limits.file_size = Some(1 << 20);
    spec.steps[0][2] =
        "head -c 1048576 /dev/zero > a && echo fits; head -c 1048577 /dev/zero > b || echo too long".into();
    let (result, log) = run(&spec);
    assert!(result.is_ok() && log.starts_with("fits\n") && log.ends_with("too long\n"), "{log}");
    spec.limits.file_size = None;

    spec.limits.tmp = 1 << 20;
    spec.steps[0][2] = "for d in /tmp /home/build /dev/shm; do head -c 900000 /dev/zero > $d/a && head -c 900000 /dev/zero > $d/b || echo full; done; head -c 3000000 /dev/zero > big".into();
    let (result, log) = run(&spec);
    assert!(result.is_ok() && log.matches("full\n").count() == 3, "{log}");

    spec.limits.memory = Some(256 << 20);
    spec.steps[0][2] = "head -c 1000 /dev/zero | tail -c 1 >/dev/null && echo small; dd if=/dev/zero of=/dev/null bs=512M count=1 2>/dev/null || echo too much".into();
    assert_eq!(run(&spec).1, "small\ntoo much\n");
}

fn nothing_is_made_in_another_root() {
    let place = place();
    let host = tempfile::tempdir().unwrap();
    let (own, more) = (host.path().join("own"), host.path().join("more"));
    for dir in [host.path(), &own, &more] {
        let _ = std::fs::create_dir(dir);
        std::fs::set_permissions(dir, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    }
    std::fs::write(more.join("file"), "").unwrap();
    std::os::unix::fs::symlink("/etc", more.join("link")).unwrap();
    std::fs::create_dir(more.join("dir")).unwrap();
    for name in ["file", "link", "dir"] {
        let mut spec = spec(&place.build, "ls /opt");
        spec.roots.push((own.clone(), "/opt/own".into()));
        // The twin: beside it there is room.
        spec.roots.push((more.join(name), "/opt/beside".into()));
        assert_eq!(run(&spec).1, "beside\nown\n");
        spec.roots.push((more.join(name), "/opt/own/new".into()));
        let (result, log) = run(&spec);
        assert!(
            matches!(&result, Err(SandboxError::Root { why, .. }) if why.contains("another root")),
            "{result:?}\n{log}"
        );
        assert_eq!(own.read_dir().unwrap().count(), 0, "{name}");
    }
}

fn no_user_namespaces() {
    let place = place();
    let output = again("no-namespaces", &place.build).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.starts_with("no sandbox on this host: make a user namespace: "), "{said}");
}

fn no_fresh_proc() {
    let place = place();
    let output = again("covered-proc", &place.build).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.starts_with("no sandbox on this host: mount a fresh /proc: "), "{said}");
}

fn mounts_below_roots_are_read_only() {
    let place = place();
    // In that user namespace the one id there is runs the build.
    let own = Some(nix::unistd::getuid().as_raw());
    std::os::unix::fs::chown(&place.build, own, None).unwrap();
    let output = again("mounts", &place.build).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let expected = "/usr/share ro,nosuid,nodev,noexec,relatime\n/usr/share/a\\040b ro,nosuid,nodev,relatime\nran\n";
    assert_eq!(said, expected);
}

fn unreachable_roots() {
    let place = place();
    let mut spec = spec(&place.build, "true");
    for (root, why) in
        [("/tmp/x", "its own"), ("/", "absolute"), ("/usr/../x", "absolute"), ("usr", "absolute"), ("/home", "its own")]
    {
        spec.roots = vec![same(root)];
        match run(&spec).0 {
            Err(SandboxError::Root { path, why: said }) => {
                assert_eq!(path, Path::new(root));
                assert!(said.contains(why), "{root}: {said}");
            }
            other => panic!("{root}: {other:?}"),
        }
    }
    spec.roots = countersign::environment::DEFAULT_ROOTS.iter().map(same).collect();
    spec.roots.push(same("/no/such/root"));
    assert!(run(&spec).0.is_ok());
    spec.build_dir = place.build.join("none");
    assert!(matches!(run(&spec).0, Err(SandboxError::BuildDir { path, .. }) if path == spec.build_dir));
    // Below a directory that the build's id may not pass.
    let root = root();
    std::fs::create_dir_all(root.path().join("closed/tool")).unwrap();
    std::fs::set_permissions(root.path().join("closed"), std::fs::Permissions::from_mode(0o000)).unwrap();
    spec.build_dir = place.build.clone();
    spec.roots.push(same(root.path().join("closed/tool")));
    let result = run(&spec).0;
    std::fs::set_permissions(root.path().join("closed"), std::fs::Permissions::from_mode(0o700)).unwrap();
    match result {
        Err(SandboxError::Root { path, why }) => {
            assert_eq!(path, root.path().join("closed/tool"));
            assert!(why.contains("Permission denied"), "{why}");
        }
        other => panic!("{other:?}"),
    }
}
