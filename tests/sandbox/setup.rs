//! What the tests share.

use countersign::sandbox::{self, Limits, Ran, SandboxError, Spec};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

pub type Test = (&'static str, fn());

/// The ordinary user of the second round.
const ORDINARY: u32 = 1234;

pub fn uid() -> u32 {
    rustix::process::getuid().as_raw()
}

/// Runs those whose name holds `wanted`; whether one failed.
pub fn run_all(wanted: &str, groups: &[&[Test]]) -> bool {
    let (mut passed, mut failed) = (0, 0);
    for (name, test) in groups.iter().flat_map(|group| group.iter()).filter(|(name, _)| name.contains(wanted)) {
        let word = match std::panic::catch_unwind(test) {
            Ok(()) => (passed += 1, "ok").1,
            Err(_) => (failed += 1, "FAILED").1,
        };
        println!("uid {} {name} ... {word}", uid());
    }
    println!("uid {}: {passed} passed, {failed} failed", uid());
    failed > 0
}

/// Where roots of the tests can be: not below `/tmp`, whose content is no environment.
const PLACE: &str = "COUNTERSIGN_TEST_PLACE";

/// A directory that can be a root, and that the build's id can pass.
pub fn root() -> tempfile::TempDir {
    let places = [std::env::var(PLACE).ok(), Some("/var/lib".into()), std::env::var("HOME").ok()];
    let made = places.into_iter().flatten().find_map(|place| tempfile::tempdir_in(place).ok()).unwrap();
    std::fs::set_permissions(made.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    made
}

/// This program once more as an ordinary user without supplementary groups.
pub fn again_as_ordinary_user(args: &[String]) -> bool {
    let place = root();
    std::os::unix::fs::chown(place.path(), Some(ORDINARY), Some(ORDINARY)).unwrap();
    let mut command = Command::new("/proc/self/exe");
    command
        .args(args)
        .uid(ORDINARY)
        .gid(ORDINARY)
        .current_dir("/")
        .env("HOME", "/nonexistent")
        .env(PLACE, place.path());
    command.status().unwrap().success()
}

/// A directory that all users can pass, with a build directory of the build's id in it.
pub struct Place {
    pub dir: tempfile::TempDir,
    pub build: PathBuf,
}

pub fn place() -> Place {
    let dir = tempfile::Builder::new().prefix("countersign-test-").tempdir_in("/tmp").unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
    let build = dir.path().join("build");
    std::fs::create_dir(&build).unwrap();
    sandbox::own_build_dir(&build).unwrap();
    Place { dir, build }
}

pub fn spec(build: &Path, script: &str) -> Spec {
    let variables = [
        ("HOME", "/home/build"),
        ("LANG", "C.UTF-8"),
        ("LC_ALL", "C.UTF-8"),
        ("PATH", "/usr/local/bin:/usr/bin:/bin"),
        ("TMPDIR", "/tmp"),
        ("TZ", "UTC"),
    ];
    Spec {
        build_dir: build.to_owned(),
        purpose: Default::default(),
        roots: countersign::environment::DEFAULT_ROOTS.iter().map(same).collect(),
        variables: variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        steps: vec![vec!["sh".into(), "-c".into(), script.into()]],
        limits: Limits {
            time: Duration::from_secs(60),
            memory: None,
            processes: 4096,
            processors: None,
            file_size: None,
            tmp: 64 << 20,
            outputs: 1 << 30,
            log: 1 << 30,
        },
        stop: Default::default(),
        watch: None,
    }
}

pub fn run(spec: &Spec) -> (Result<Ran, SandboxError>, String) {
    let mut log = Vec::new();
    let result = sandbox::run(spec, &mut |chunk| log.extend_from_slice(chunk));
    (result, String::from_utf8_lossy(&log).into_owned())
}

/// Runs a script that must succeed; its output.
pub fn sh(script: &str) -> String {
    let place = place();
    let (result, log) = run(&spec(&place.build, script));
    assert!(result.is_ok(), "{result:?}\n{log}");
    log
}

/// Host processes whose command line holds the text.
pub fn processes_with(text: &str) -> usize {
    let own = std::process::id().to_string();
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let others = entries.filter(|entry| entry.file_name().to_str() != Some(&own));
    others
        .filter(|entry| {
            let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            line.windows(text.len()).any(|window| window == text.as_bytes())
        })
        .count()
}

/// Waits until the condition holds, at most ten seconds.
pub fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let begun = std::time::Instant::now();
    while !condition() {
        assert!(begun.elapsed() < Duration::from_secs(10), "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A path of the host at the same path inside.
pub fn same(path: impl AsRef<Path>) -> (PathBuf, PathBuf) {
    (path.as_ref().to_owned(), path.as_ref().to_owned())
}
