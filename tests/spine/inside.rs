//! What a build is given, and what it is held to.

use super::common::{PROGRAM, Project, finish};
use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};

#[test]
fn the_variables_are_those_recorded() {
    let project = Project::tiny()
        .steps("[[\"env\"], [\"sh\", \"build.sh\"]]")
        .set("build", "env = { CFLAGS = \"-O2 -g\", LANG = \"C\" }");
    let mut attest = project.command(&["attest", "--source", "src", "--key", "vendor", "--bundle", "b.intoto.jsonl"]);
    for (name, value) in
        [("FLAVOUR", "evil"), ("CFLAGS", "-O0"), ("SOURCE_DATE_EPOCH", "1"), ("TZ", "Asia/Tokyo"), ("LD_PRELOAD", "")]
    {
        attest.env(name, value);
    }
    finish(&mut attest).ends(0);
    let text = project.text("b.log");
    let inside: BTreeMap<&str, &str> = text.lines().map(|line| line.split_once('=').unwrap()).collect();
    let recorded =
        project.statement("provenance")["predicate"]["buildDefinition"]["internalParameters"]["variables"].clone();
    let recorded: BTreeMap<String, String> = serde_json::from_value(recorded).unwrap();
    let recorded: BTreeMap<&str, &str> = recorded.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(inside, recorded);
    assert_eq!((inside["CFLAGS"], inside["LANG"], inside["TZ"]), ("-O2 -g", "C", "UTC"));
    assert_eq!(inside["SOURCE_DATE_EPOCH"], "315532800");
    assert!(!inside.contains_key("FLAVOUR"));

    // The same without a sandbox.
    let mut attest =
        project.command(&["attest", "--source", "src", "--key", "vendor", "--bundle", "c.jsonl", "--sandbox=none"]);
    finish(attest.env("FLAVOUR", "evil")).ends(0);
    assert_eq!(project.text("c.log"), text);
}

/// One fact a line, by a script that prints what it is given.
const FACTS: &str = "stat -c '%n %a %Y' . sub sub/deep build.sh input.txt program closed > /tmp/facts; stat -c '%N' link >> /tmp/facts
cp /tmp/facts out.txt; mv /tmp/facts $HOME
id -u >> out.txt; id -g >> out.txt; env -u x sh -c umask >> out.txt; cat /proc/sys/kernel/hostname >> out.txt; ls /proc/self/fd | wc -l >> out.txt
cat >> out.txt; pwd >> out.txt; touch sub/can-be-written; ls /sys /root /tmp >> out.txt 2>&1 || true";

#[test]
fn the_same_files_whatever_the_umask() {
    let project = Project::new(FACTS, &["out.txt"]).set("build", "source-date-epoch = 1700000000");
    std::fs::create_dir_all(project.path("src/sub/deep")).unwrap();
    project.put("src/program", "x");
    project.chmod("src/program", 0o700);
    project.put("src/closed", "x");
    project.chmod("src/closed", 0o600);
    std::os::unix::fs::symlink("input.txt", project.path("src/link")).unwrap();
    let mut said = Vec::new();
    for umask in ["0077", "0000"] {
        let bundle = format!("{umask}.jsonl");
        let mut command = Command::new("sh");
        command.args(["-c", &format!("umask {umask}; exec \"$@\""), "sh", PROGRAM, "attest", "--source", "src"]);
        command.args(["--key", "vendor", "--bundle", &bundle, "--out", umask]);
        command.current_dir(project.path(".")).env("TMPDIR", project.path("tmp"));
        said.push(finish(&mut command).ends(0).out);
        let text = project.text(&format!("{umask}/out.txt"));
        let facts: Vec<&str> = text.lines().collect();
        assert_eq!(
            facts[..8],
            [
                ". 700 1700000000",
                "sub 755 1700000000",
                "sub/deep 755 1700000000",
                "build.sh 644 1700000000",
                "input.txt 644 1700000000",
                "program 755 1700000000",
                "closed 644 1700000000",
                "'link' -> 'input.txt'",
            ],
            "{text}"
        );
        assert_eq!(facts[8..12], ["1000", "1000", "0022", "build"], "{text}");
        assert!(text.contains("/build\n"), "{text}");
        assert!(text.contains("cannot access '/sys'"), "{text}");
    }
    assert_eq!(said[0], said[1]);
}

/// A build that needs more than its recipe gives; with twice as much it is done.
#[track_caller]
fn held_to(script: &str, too_little: &str, enough: &str, why: &str) {
    let project = Project::new(&format!("{script}; echo x > out.txt"), &["out.txt", "big*"]).set("limits", too_little);
    project.put("src/build.sh", format!("set -eu\n: > big\n{script}\necho x > out.txt\n"));
    let begun = Instant::now();
    project.attest_to("b.jsonl", &[]).fails(6, why);
    assert!(begun.elapsed() < Duration::from_secs(20), "{too_little}");
    let recipe = project.text("src/countersign.toml").replace(too_little, enough);
    project.put("src/countersign.toml", recipe);
    project.attest_to("b.jsonl", &[]).ends(0);
}

#[test]
fn limits_hold() {
    held_to("sleep 2", "time = 1", "time = 60", "longer than 1 s");
    held_to("head -c 100000 /dev/zero > big", "file-size = \"64KiB\"", "file-size = \"1MiB\"", "step 1");
    held_to("head -c 2000000 /dev/zero > /tmp/x", "tmp = \"1MiB\"", "tmp = \"4MiB\"", "step 1");
    held_to("head -c 2000000 /dev/zero > $HOME/x", "tmp = \"1MiB\"", "tmp = \"4MiB\"", "step 1");
    held_to("head -c 2000000 /dev/zero > /dev/shm/x", "tmp = \"1MiB\"", "tmp = \"4MiB\"", "step 1");
    let many = "for n in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do sleep 1 & done; wait";
    held_to(many, "processes = 8", "processes = 200", "step 1");
    held_to("dd if=/dev/zero of=big bs=200M count=1", "memory = \"100MiB\"", "memory = \"1GiB\"", "step 1");
}

#[test]
fn a_step_is_over_when_it_ends() {
    let project = Project::tiny()
        .steps("[[\"sh\", \"-c\", \"sleep 600 & (sleep 1; echo late > late) & true\"], [\"sh\", \"build.sh\"]]");
    let begun = Instant::now();
    project.attest();
    assert!(begun.elapsed() < Duration::from_secs(30));
}

#[test]
fn time_is_limited_without_a_sandbox_too() {
    let project = Project::tiny().steps("[[\"sleep\", \"60\"]]").set("limits", "time = 1");
    let begun = Instant::now();
    project.attest_to("b.jsonl", &["--sandbox=none"]).fails(6, "longer than 1 s");
    assert!(begun.elapsed() < Duration::from_secs(20));
    let names = project.names(".");
    assert!(!names.contains(&"b.jsonl".to_owned()) && !names.contains(&"b.environment".to_owned()), "{names:?}");
    assert_eq!(project.names("tmp"), [""; 0]);
}
