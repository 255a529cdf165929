//! Attacks on the program and on the machine that it runs on; and what other tools could not do.

use super::common::{BUNDLE, PROGRAM, Project, Said, finish};
use super::evidence::Tries;
use std::fs::File;
use std::path::Path;
use std::process::Command;

/// What a program that should not have been started leaves.
const MARK: &str = "it-was-run";

fn git(project: &Project, args: &[&str]) {
    let mut command = Command::new("git");
    command.args(["-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "commit.gpgsign=false"]).args(args);
    command.current_dir(project.path("src")).env("HOME", project.path("."));
    assert!(command.output().unwrap().status.success());
}

/// A project whose source is a git checkout and has its time from there.
fn checkout() -> Project {
    let project = Project::tiny().set("build", "source-date-epoch = \"git\"");
    git(&project, &["init", "-q"]);
    git(&project, &["add", "."]);
    git(&project, &["commit", "-q", "-m", "x"]);
    project
}

/// Everything that the program does for the three parties, with this done to each command.
fn everything(project: &Project, prepare: &dyn Fn(&mut Command)) {
    let run = |args: &[&str]| {
        let mut command = project.command(args);
        prepare(&mut command);
        finish(&mut command).ends(0)
    };
    run(&["key", "generate", "--no-passphrase", "--out", "new"]);
    run(&["key", "show", "new"]);
    run(&["digest", "src", "--git"]);
    run(&["digest", "src.tar.gz", "--tree"]);
    run(&["attest", "--source", "src", "--key", "vendor", "--bundle", BUNDLE, "--out", "out"]);
    let mut rebuild = project.command(&project.rebuild_args(&["--key", "reviewer", "--append", "--against", "out"]));
    prepare(&mut rebuild);
    finish(&mut rebuild).ends(0);
    run(&["inspect", BUNDLE]);
    run(&["compare", "out", "out"]);
    run(&["policy", "check", "policy"]);
    run(&["bundle", "export", BUNDLE, "--format", "dsse", "-o", "exported"]);
    run(&["verify", "--tree", "out", "--bundle", BUNDLE, "--policy", "policy"]);
}

#[test]
fn helpers_in_the_path_are_not_started() {
    let project = checkout();
    let archive = Command::new("tar").args(["-czf", "src.tar.gz", "src"]).current_dir(project.path(".")).status();
    assert!(archive.unwrap().success());
    std::fs::create_dir(project.path("bin")).unwrap();
    let script = format!("#!/bin/sh\n: > {}\nexit 0\n", project.path(MARK).display());
    for name in [
        "git",
        "tar",
        "gzip",
        "gunzip",
        "diff",
        "diffoscope",
        "cmp",
        "sha256sum",
        "openssl",
        "ssh-keygen",
        "ssh-agent",
        "gpg",
        "cosign",
        "uname",
        "hostname",
        "id",
        "newuidmap",
        "newgidmap",
        "unshare",
        "mount",
        "bwrap",
        "docker",
        "podman",
        "runc",
        "ldd",
        "ldconfig",
        "dpkg",
        "sh",
        "less",
    ] {
        project.put(&format!("bin/{name}"), &script);
        project.chmod(&format!("bin/{name}"), 0o755);
    }
    let bin = project.path("bin");
    everything(&project, &|command| {
        command.env("PATH", &bin).env("PAGER", "less").env("SHELL", bin.join("sh"));
    });
    assert!(!project.path(MARK).exists(), "a helper was started");
    // The trap works.
    assert!(Command::new("/bin/sh").args(["-c", "git"]).env("PATH", &bin).status().unwrap().success());
    assert!(project.path(MARK).exists(), "it is no trap");
}

#[test]
fn configuration_in_the_source_runs_nothing() {
    let project = checkout();
    let mark = project.path(MARK).display().to_string();
    let hook = format!("#!/bin/sh\n: > {mark}\n");
    std::fs::create_dir_all(project.path("src/.cargo")).unwrap();
    for name in ["fsmonitor", "hook", "wrapper"] {
        project.put(name, &hook);
        project.chmod(name, 0o755);
    }
    let path = |name: &str| project.path(name).display().to_string();
    project.put("src/.gitattributes", "* filter=x diff=x\n");
    let wrapper = path("wrapper");
    project.put("src/.cargo/config.toml", format!("[build]\nrustc = {wrapper:?}\nrustc-wrapper = {wrapper:?}\n[target.x86_64-unknown-linux-gnu]\nlinker = {wrapper:?}\n"));
    project.put("src/Cargo.toml", "[package]\nname = \"x\"\nversion = \"1.0.0\"\n");
    project.put("src/Makefile", format!("$(shell : > {mark})\nall:\n"));
    // Committed before git is told of the filter: what is checked out is what is committed.
    git(&project, &["add", "."]);
    git(&project, &["commit", "-q", "-m", "configuration"]);
    let config = format!(
        "{}\n[core]\n\tfsmonitor = {}\n\thooksPath = {}\n\tpager = {}\n\tsshCommand = {}\n[filter \"x\"]\n\tclean = {}\n\tsmudge = {}\n\trequired = true\n\
         [diff]\n\texternal = {}\n[gpg]\n\tprogram = {}\n[credential]\n\thelper = {}\n[include]\n\tpath = {}\n",
        project.text("src/.git/config"),
        path("fsmonitor"),
        path("."),
        path("hook"),
        path("hook"),
        path("hook"),
        path("hook"),
        path("hook"),
        path("hook"),
        path("hook"),
        path("hook"),
    );
    project.put("src/.git/config", config);
    let archive = Command::new("tar").args(["-czf", "src.tar.gz", "src"]).current_dir(project.path(".")).status();
    assert!(archive.unwrap().success());
    // From inside of it, where tools look for configuration.
    everything(&project, &|command| {
        command.env("GIT_DIR", project.path("src/.git")).env("GIT_CONFIG", "src/.git/config");
    });
    let mut init = project.command(&["init", "."]);
    let said: Said = finish(init.current_dir(project.path("src")));
    assert!([0, 2].contains(&said.code), "{said:?}");
    assert!(!project.path(MARK).exists(), "something of the source was run");
    std::fs::remove_dir_all(project.path("src/.git")).unwrap();
    project.rebuild(&[]).ends(0);
    assert!(!project.path(MARK).exists(), "something of the source was run");
}

/// Neither the answer nor the error can be told: still no success, and no panic.
#[test]
fn nowhere_to_say_it() {
    let project = Project::tiny();
    project.attest();
    let full = || File::options().write(true).open("/dev/full").unwrap();
    for args in [&["inspect", BUNDLE][..], &["digest", "src"], &["--help"], &["key", "show", "vendor"]] {
        let done = project.command(args).stdout(full()).stderr(full()).status().unwrap();
        assert_eq!(done.code(), Some(7), "{args:?}");
        let done = project.command(args).stderr(full()).stdout(std::process::Stdio::null()).status().unwrap();
        assert_eq!(done.code(), Some(0), "{args:?}: words for people decide nothing");
    }
    let done = project.command(&["verify", "--no-such-flag"]).stderr(full()).status().unwrap();
    assert_eq!(done.code(), Some(2));
}

/// Files may not grow beyond a limit, as on a full disk: what was there is there, and nothing is half there.
#[test]
fn no_room_for_the_file() {
    let project = Project::tiny();
    project.attest();
    let bundle = project.get(BUNDLE);
    let before = project.names(".");
    let limited = |args: &[std::ffi::OsString], blocks: usize| {
        let mut command = Command::new("bash");
        command.args(["-c", &format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$@\""), "bash", PROGRAM]).args(args);
        finish(command.current_dir(project.path(".")).env("TMPDIR", project.path("tmp")))
    };
    let words = |args: &[&str]| args.iter().map(std::ffi::OsString::from).collect::<Vec<_>>();
    for args in [
        words(&["attest", "--source", "src", "--key", "vendor", "--bundle", "new.jsonl", "--sandbox", "none"]),
        words(&["bundle", "export", BUNDLE, "--format", "dsse", "-o", "new"]),
        project.rebuild_args(&["--sandbox", "none", "--key", "reviewer", "--append"]),
    ] {
        let said = limited(&args, 1);
        said.fails(7, "File too large");
        assert_eq!(project.names("."), before, "{args:?}");
        assert_eq!(project.get(BUNDLE), bundle, "{args:?}");
    }
    project.review(&[]).ends(0);
    assert!(project.get(BUNDLE).len() > bundle.len());
}

#[test]
fn what_is_checked_is_what_is_shipped() {
    let project = Project::new(
        "stat -c %N link > out.txt; cat link >> out.txt; echo $SOURCE_DATE_EPOCH >> out.txt",
        &["out.txt"],
    );
    std::os::unix::fs::symlink("input.txt", project.path("src/link")).unwrap();
    project.attest();
    project.review(&["--runs", "2", "--out", "kept"]).ends(0);
    assert_eq!(project.text("out/out.txt"), "'link' -> 'input.txt'\none line of input\n315532800\n");
    for run in ["kept/run-1", "kept/run-2"] {
        assert_eq!(project.get(&format!("{run}/out.txt")), project.get("out/out.txt"), "what was built is kept");
    }
    project.verify(&["kept/run-2/out.txt"]).ends(0);
    std::fs::remove_file(project.path("src/link")).unwrap();
    project.rebuild(&["--runs", "2"]).fails(9, "link: ");
    std::os::unix::fs::symlink("./input.txt", project.path("src/link")).unwrap();
    project.rebuild(&["--runs", "2"]).fails(9, "link: ");
}

#[test]
fn twenty_thousand_outputs() {
    let script = "mkdir o; i=0; while [ $i -lt 20000 ]; do echo $i > o/$i; i=$((i+1)); done";
    let project = Project::new(script, &["o"]);
    project.attest();
    project.review(&[]).ends(0).last("identical: 20000 files");
    project.verify(&["--tree", "out"]).ends(0);
    project.verify(&["out/o/19999"]).ends(0);
    project.put("out/o/19999", "19998\n");
    project.verify(&["--tree", "out"]).ends(1).last("o/19999 has other bytes");
    project.verify(&["out/o/0", "out/o/1"]).ends(0);
}

#[test]
fn the_round_a_second_time() {
    let project = Project::tiny();
    let attest = |bundle: &str, out: &str| {
        project.run(&["attest", "--source", "src", "--key", "vendor", "--bundle", bundle, "--out", out])
    };
    attest(BUNDLE, "out").ends(0);
    project.review(&[]).ends(0);
    project.verify(&["out/run"]).ends(0);
    // The next version, from the same directory: the old evidence stays as it is, and is about the old files.
    let recipe = project.text("src/countersign.toml").replace("version = \"1.0\"", "version = \"1.1\"");
    project.put("src/countersign.toml", recipe);
    attest(BUNDLE, "out-2").fails(2, "is there already");
    let old = project.get(BUNDLE);
    attest("second.jsonl", "out-2").ends(0);
    assert_eq!(project.get(BUNDLE), old);
    project.verify(&["out/run", "--version", "1.0"]).ends(0);
    project.rebuild(&[]).fails(9, "countersign.toml: ");
    project.put(BUNDLE, [old, project.get("second.jsonl")].concat());
    project.review(&["--manifest", &manifest(&project)]).ends(0);
    project.verify(&["out-2/run"]).ends(0);
    project.verify(&["out-2/run", "--version", "1.1"]).ends(0);
    project.verify(&["out/run", "--version", "1.0"]).ends(0);
}

/// The payload digest of the last provenance that `inspect` shows.
fn manifest(project: &Project) -> String {
    let document = project.run(&["inspect", "second.jsonl", "--json"]).ends(0).json();
    let payload = document["lines"][0]["payload"].as_str().unwrap().trim_start_matches("sha256:").to_owned();
    format!("sha256:{payload}")
}

#[test]
fn a_recipe_from_elsewhere() {
    let project = Project::tiny();
    let recipe = project.text("src/countersign.toml");
    std::fs::create_dir(project.path("recipes")).unwrap();
    std::fs::rename(project.path("src/countersign.toml"), project.path("recipes/release.toml")).unwrap();
    let attest = [
        "attest",
        "--source",
        "src",
        "--recipe",
        "recipes/release.toml",
        "--key",
        "vendor",
        "--bundle",
        BUNDLE,
        "--out",
        "out",
    ];
    project.run(&attest).ends(0);
    // It is in the statement: nobody needs the file again, nor does another one in its place matter.
    std::fs::remove_dir_all(project.path("recipes")).unwrap();
    project.review(&[]).ends(0);
    project.verify(&["out/run"]).ends(0);
    project.put("src/input.txt", "changed\n");
    project.rebuild(&[]).fails(9, "input.txt: ");
    project.put("src/input.txt", "one line of input\n");
    project.rebuild(&[]).ends(0);
    project.put("src/countersign.toml", recipe);
    project.rebuild(&[]).fails(9, "countersign.toml: only here");
}

/// Listed once, and written to the build's directory once, from what is hashed again on the way.
#[test]
fn no_input_is_read_more_often_than_needed() {
    let project = Project::tiny();
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-e", "trace=openat,open,openat2,execve", "-o", "trace"]).arg(PROGRAM);
    command.args(["attest", "--source", "src", "--key", "vendor", "--bundle", BUNDLE, "--out", "out"]);
    finish(command.current_dir(project.path(".")).env("TMPDIR", project.path("tmp"))).ends(0);
    let trace = project.text("trace");
    // Until the first step starts; what the build reads is the copy.
    let ours = trace.split("build.sh\"]").next().unwrap();
    let opened = ours.lines().filter(|line| line.contains("\"input.txt\"") && line.contains("O_RDONLY")).count();
    assert!(opened > 0, "{ours}");
    assert!(opened <= 2, "input.txt was opened {opened} times");
}

#[test]
fn one_processor() {
    let project = Project::tiny();
    let digest = project.run(&["digest", "src"]).ends(0).out;
    let alone = |args: &[std::ffi::OsString]| {
        let mut command = Command::new("taskset");
        command.args(["--cpu-list", &processor()]).arg(PROGRAM).args(args);
        finish(command.current_dir(project.path(".")).env("TMPDIR", project.path("tmp")))
    };
    let words = |args: &[&str]| args.iter().map(std::ffi::OsString::from).collect::<Vec<_>>();
    assert_eq!(alone(&words(&["digest", "src"])).ends(0).out, digest);
    alone(&words(&["attest", "--source", "src", "--key", "vendor", "--bundle", BUNDLE, "--out", "out"])).ends(0);
    alone(&project.rebuild_args(&["--key", "reviewer", "--append", "--runs", "2", "--jobs", "2"])).ends(0);
    let verify = words(&["verify", "--tree", "out", "--bundle", BUNDLE, "--policy", "policy"]);
    alone(&verify).ends(0).last("yes: ");
    project.put("out/run", "x");
    alone(&verify).ends(1).last("no: ");
}

/// One that we may run on.
fn processor() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap().trim().to_owned();
    list.split([',', '-']).next().unwrap().to_owned()
}

/// N45: archives with a member outside of the tree, through the program.
pub fn archive_that_leaves(tries: &mut Tries) {
    let archive = |tries: &Tries, name: &str, absolute: bool| {
        let transform = format!("--transform=s,^hello$,{name},");
        let mut tar = Command::new("tar");
        tar.args(absolute.then_some("-P")).args(["-cf", "archive", &transform, "hello"]);
        assert!(tar.current_dir(tries.path(".")).status().unwrap().success());
    };
    for name in ["../hello", "a/../../hello", "a/./hello"] {
        archive(tries, name, true);
        tries.refused(&["digest", "archive", "--tree"]);
    }
    archive(tries, "a/hello", false);
    tries.accepted(&["digest", "archive", "--tree"]);
}

const RECIPE: &str = "name = \"x\"\nversion = \"1\"\n[build]\nsteps = [[\"sh\", \"-c\", \"echo x > out.txt\"]]\noutputs = [\"out.txt\"]\n";

/// A source with this recipe, and a key; and what builds it without isolation, which needs no roots.
fn source(tries: &Tries, recipe: &str) -> [&'static str; 6] {
    let _ = std::fs::create_dir(tries.path("src"));
    let _ = std::fs::remove_dir_all(tries.path("built"));
    tries.put("src/countersign.toml", recipe);
    ["build", "--source", "src", "--out", "built", "--sandbox=none"]
}

/// A12, A28: settings of other tools, and of this one misspelt.
pub fn settings_without_effect(tries: &mut Tries) {
    for (at_top, at_end) in [
        ("image = \"example.org/image:1\"\n", ""),
        ("sign_all_steps = true\n", ""),
        ("", "reproducible = true\n"),
        ("", "network = false\n"),
        ("", "[attestation]\nreproducible = true\n"),
        ("", "[environment]\ncontainer = \"example.org/image:1\"\n"),
        ("", "[environment]\nKind = \"host\"\n"),
        ("", "[limits]\nmax_parallel = 2\n"),
        ("", "[environment]\nkind = \"unknown\"\n"),
        ("", "[capsule]\nbase = \"x\"\n"),
    ] {
        let build = source(tries, &format!("{at_top}{RECIPE}{at_end}"));
        tries.refused(&build);
    }
    let build = source(tries, &format!("{RECIPE}[environment]\nkind = \"host\"\n"));
    tries.accepted(&build);
}

/// A13, L7: only a line that says what it is makes a signer, and only one that was named.
pub fn loose_files_are_no_keys(tries: &mut Tries) {
    let key = tries.vendor.public();
    tries.put("vendor.pub", format!("{key} vendor\n"));
    let hex: String = key.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    tries.put("README", &hex);
    tries.put("LICENSE", format!("{hex}\n"));
    tries.put("raw", key.as_bytes());
    tries.put("pem.pub", key.to_pem());
    tries.put("half.pub", key.to_string().split_at(60).0);
    fn init(vendor: &str) -> [&str; 8] {
        ["policy", "init", "--vendor", vendor, "--rebuilders", "none", "-o", "made"]
    }
    for name in ["README", "LICENSE", "raw", "pem.pub", "half.pub"] {
        tries.refused(&init(name));
        assert!(!tries.path("made").exists(), "{name}");
    }
    tries.accepted(&init("vendor.pub"));
    let made = std::fs::read_to_string(tries.path("made")).unwrap();
    assert_eq!(made.matches("\n[[signer]]\n").count(), 1, "{made}");
}

/// A21: in the recipe, where it decides; nothing beside it is looked at.
pub fn bad_pattern_is_said_at_once(tries: &mut Tries) {
    for pattern in ["[a", "!x", "/x", "../x", "a**"] {
        let build = source(tries, &format!("{RECIPE}[source]\nexclude = [{pattern:?}]\n"));
        tries.refused(&build);
    }
    let build = source(tries, &format!("{RECIPE}[source]\nexclude = [\"*.o\"]\n"));
    tries.put("src/.attestignore", "[a");
    tries.put("src/.gitignore", "*\n");
    tries.accepted(&build);
    let listing = tries.accepted(&["digest", "src", "--listing"]).out.clone();
    assert!(listing.contains(".gitignore") && listing.contains("countersign.toml"), "{listing}");
    assert!(Path::new(&tries.path("built/out.txt")).exists());
}
