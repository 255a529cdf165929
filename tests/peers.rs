//! What other tools of this kind sign and should not: one test for each defect, named for it.

#![cfg(target_os = "linux")]

mod common;

use common::{BUNDLE, Project, TINY, finish};
use std::path::Path;
use std::process::Command;

/// A1: a copy of the work tree with the last outputs in it is "rebuilt" by a `make` that finds nothing to do, and is called reproducible.
#[test]
fn a1_stale_outputs_are_not_a_check() {
    // Keeps what is there, as make does.
    let script = "test -e out.txt || head -c 16 /dev/urandom | od > out.txt";
    let project = Project::new(script, &["out.txt"]);
    project.attest();
    project.review(&[]).ends(1);
    project.review(&["--runs", "2", "--policy", "policy"]).ends(5).last("not deterministic");
    assert!(!project.kinds().contains(&"reproduced".to_owned()), "{:?}", project.kinds());

    // With the vendor's own output in the tree, under any roof, nothing is built at all.
    let before = project.get(BUNDLE);
    project.copy("out/out.txt", "src/out.txt");
    project.attest_to("new.jsonl", &[]).fails(2, "out.txt is an output and is in the source already");
    project.review(&["--policy", "policy"]).fails(9, "out.txt: only here").says("some of it looks built");
    assert_eq!(project.get(BUNDLE), before);
    // Left out by the recipe it does not reach the build either.
    let project = Project::new(script, &["out.txt"]).set("source", "exclude = [\"out.txt\"]");
    project.put("src/out.txt", "always the same\n");
    project.attest();
    assert_ne!(project.text("out/out.txt"), "always the same\n");
    project.review(&["--runs", "2"]).ends(5);

    // The twin: a build that is deterministic, from a clean tree.
    let project = Project::new("test -e out.txt || echo x > out.txt", &["out.txt"]);
    project.attest();
    project.review(&["--runs", "2"]).ends(0);
}

/// A2: a pipeline without outputs, or one that fails, is "verified: true", since nothing equals nothing.
#[test]
fn a2_no_outputs_and_failing_builds_are_never_signed() {
    for (script, outputs, why) in [
        ("true", &["out.txt"][..], "made nothing that matches"),
        ("exit 3", &["out.txt"], "exit code 3"),
        ("echo x > out.txt; exit 3", &["out.txt"], "exit code 3"),
        ("mkdir empty", &["empty"], "made nothing that matches"),
    ] {
        let project = Project::new(script, outputs);
        for sandbox in ["auto", "none"] {
            project.attest_to(BUNDLE, &["--out", "out", "--sandbox", sandbox]).fails(6, why);
            assert!(!project.path(BUNDLE).exists() && !project.path("out").exists(), "{script}");
        }
    }
    let project = Project::new("echo x > out.txt", &[]);
    project.attest_to(BUNDLE, &[]).fails(2, "build.outputs is empty");
    let project = Project::new("echo x > out.txt", &["out.txt"]).steps("[]");
    project.attest_to(BUNDLE, &[]).fails(2, "build.steps has no step");
    let project = Project::new("echo x > out.txt", &["out.txt"]);
    project.attest_to(BUNDLE, &[]).ends(0);
}

/// A3: without a trust store on the command line, the delivered tree's own is read.
#[test]
fn a3_what_is_delivered_does_not_choose_its_trust() {
    let project = Project::tiny();
    for dir in [
        "delivered",
        "delivered/.countersign",
        "delivered/.countersign/trust",
        "home",
        "home/.config",
        "home/.config/countersign",
    ] {
        std::fs::create_dir(project.path(dir)).unwrap();
    }
    project.run(&["key", "generate", "--no-passphrase", "--out", "evil", "--comment", "evil"]).ends(0);
    project.run(&["key", "generate", "--no-passphrase", "--out", "evil2", "--comment", "evil2"]).ends(0);
    project.run(&["attest", "--source", "src", "--key", "evil", "--bundle", BUNDLE, "--out", "out"]).ends(0);
    project.rebuild(&["--key", "evil2", "--append"]).ends(0);
    let evil = [
        "policy",
        "init",
        "--vendor",
        "evil.pub",
        "--rebuilder",
        "evil2.pub",
        "--rebuilders",
        "1",
        "-o",
        "evil-policy",
    ];
    project.run(&evil).ends(0);
    // All the places where a tool might look.
    project.copy(BUNDLE, "delivered/b.intoto.jsonl");
    project.copy("out/run", "delivered/run");
    for name in [
        "policy.toml",
        "policy",
        ".countersign/policy.toml",
        ".countersign/trust/policy.toml",
        "countersign.policy.toml",
        "b.policy.toml",
        "trust.toml",
    ] {
        project.copy("evil-policy", &format!("delivered/{name}"));
    }
    project.copy("evil-policy", "home/.config/countersign/policy.toml");
    for key in ["evil.pub", "evil2.pub"] {
        project.copy(key, &format!("delivered/.countersign/{key}"));
    }
    let run = |args: &[&str]| {
        let mut command = project.command(args);
        command.current_dir(project.path("delivered")).env("HOME", project.path("home"));
        finish(command.env_remove("XDG_CONFIG_HOME").env("COUNTERSIGN_POLICY", "policy.toml"))
    };
    run(&["verify", "run", "--bundle", "b.intoto.jsonl"]).fails(2, "--policy");
    run(&["verify", "run", "--bundle", "b.intoto.jsonl", "--policy", "../policy"]).ends(3).last("no: ");
    let said = run(&["inspect", "b.intoto.jsonl"]).ends(0);
    assert!(said.out.contains("claimed, not checked") && !said.out.contains("of the policy"), "{}", said.out);
    let said = run(&["inspect", "b.intoto.jsonl", "--policy", "../policy"]).ends(0);
    assert!(!said.out.contains("of the policy)"), "{}", said.out);

    // Nor a rebuild: the source, with keys and policies in it, is built and not believed.
    project.copy("evil-policy", "src/policy.toml");
    project.run(&["attest", "--source", "src", "--key", "evil", "--bundle", BUNDLE, "--force"]).ends(0);
    project.rebuild(&["--policy", "policy"]).fails(3, "holds no manifest that the policy accepts of a vendor");
    project.rebuild(&[]).ends(0).prints("(claimed, not checked)");

    // The twin: the same files by the vendor of the policy that the verifier names.
    project.attest_to(BUNDLE, &["--force"]).ends(0);
    project.review(&["--policy", "policy"]).ends(0);
    project.verify(&["out/run"]).ends(0);
}

/// A4: a cache beside the source, which each step can write, puts a backdoor into the next signed receipt.
#[test]
fn a4_no_run_gets_anything_from_another() {
    // Leaves something wherever it can, and uses whatever it finds there.
    let places = "/tmp $HOME /dev/shm . .. /build/.cache /var/tmp /usr/bin /etc";
    let script = format!(
        "mkdir -p .cache; for dir in {places}; do cat $dir/poison 2>/dev/null && echo found in $dir; done > out.txt || true
for dir in {places}; do echo poison > $dir/poison 2>/dev/null; done || true; echo clean >> out.txt; ls -A /tmp $HOME /dev/shm > /dev/null"
    );
    let project = Project::new(&script, &["out.txt"]);
    for bundle in [BUNDLE, "second.jsonl"] {
        project.attest_to(bundle, &["--out", &format!("{bundle}.out")]).ends(0);
        assert_eq!(project.text(&format!("{bundle}.out/out.txt")), "clean\n", "{bundle}");
    }
    project.review(&["--runs", "3"]).ends(0);
    assert_eq!(
        project.names("src"),
        ["build.sh", "countersign.toml", "input.txt"],
        "nor is anything left in the source"
    );
    assert_eq!(project.names("tmp"), [""; 0]);

    // What was exported, logged and listed by the first run is no input of the second.
    let project = Project::tiny();
    project.attest();
    project.put("out/run", "#!/bin/sh\necho backdoor\n");
    project.put("b.log", "backdoor");
    project.put("b.environment", "backdoor");
    let first = project.statement("provenance");
    project.attest_to("second.jsonl", &["--out", "fresh"]).ends(0);
    assert_eq!(project.text("fresh/run"), "#!/bin/sh\necho tiny\n");
    assert_eq!(common::statements(&project.get("second.jsonl"))[0], first);
    project.review(&["--against", "out"]).ends(1).prints("run: size 24 published, 20 signed");
    // And a source that was changed to the same length and time is another source.
    let time = |set: Option<std::time::SystemTime>| {
        let file = std::fs::File::options().append(true).open(project.path("src/input.txt")).unwrap();
        set.into_iter().for_each(|time| file.set_modified(time).unwrap());
        file.metadata().unwrap().modified().unwrap()
    };
    let before = time(None);
    project.put("src/input.txt", "one line of imput\n");
    time(Some(before));
    project.rebuild(&[]).fails(9, "input.txt: ");
    project.attest_to("third.jsonl", &["--out", "third"]).ends(0);
    assert!(project.text("third/out.txt").contains("imput"));
}

/// A5: the environment is inherited, and recorded nowhere.
#[test]
fn a5_no_variable_comes_from_outside() {
    let project = Project::new("echo ${FLAVOUR-none} ${CFLAGS-none} ${CC-none} $PATH $HOME > out.txt", &["out.txt"]);
    for sandbox in ["auto", "none"] {
        let mut payloads = Vec::new();
        for flavour in ["evil", "good"] {
            let bundle = format!("{flavour}-{sandbox}.jsonl");
            let mut attest = project.command(&["attest", "--source", "src", "--key", "vendor", "--bundle", &bundle]);
            attest.args(["--sandbox", sandbox, "--out", &format!("{bundle}.out")]);
            attest.env("FLAVOUR", flavour).env("CFLAGS", flavour).env("CC", flavour).env("MAKEFLAGS", flavour);
            payloads.push(finish(&mut attest).ends(0).out);
            let text = project.text(&format!("{bundle}.out/out.txt"));
            assert!(text.starts_with("none none none /usr/local/bin:") && text.ends_with("/home/build\n"), "{text}");
        }
        assert_eq!(payloads[0], payloads[1], "{sandbox}");
    }
    // The twin: a variable of the recipe is there, and is in the statement.
    let project = Project::new("echo $FLAVOUR > out.txt", &["out.txt"]).set("build", "env = { FLAVOUR = \"good\" }");
    let mut attest =
        project.command(&["attest", "--source", "src", "--key", "vendor", "--bundle", BUNDLE, "--out", "out"]);
    finish(attest.env("FLAVOUR", "evil")).ends(0);
    assert_eq!(project.text("out/out.txt"), "good\n");
    let statement = project.statement("provenance");
    assert_eq!(statement["predicate"]["buildDefinition"]["internalParameters"]["variables"]["FLAVOUR"], "good");
}

/// A8: modes and empty directories are not covered.
#[test]
fn a8_modes_and_empty_directories_are_part_of_it() {
    let project = Project::new(&format!("mkdir d; {TINY}; mv run out.txt d"), &["d"]);
    project.attest();
    project.review(&[]).ends(0);
    project.verify(&["--tree", "out"]).ends(0);
    project.chmod("out/d/run", 0o4755);
    project.verify(&["--tree", "out"]).ends(1);
    project.chmod("out/d/run", 0o755);
    std::fs::create_dir(project.path("out/d/empty")).unwrap();
    project.verify(&["--tree", "out"]).ends(1);
    std::fs::remove_dir(project.path("out/d/empty")).unwrap();
    project.verify(&["--tree", "out"]).ends(0);

    project.chmod("src/input.txt", 0o777);
    project.rebuild(&[]).fails(9, "input.txt: mode 0644 signed, 0755 here");
    project.chmod("src/input.txt", 0o644);
    std::fs::create_dir(project.path("src/empty")).unwrap();
    project.rebuild(&[]).fails(9, "empty: only here");
    std::fs::remove_dir(project.path("src/empty")).unwrap();
    project.rebuild(&[]).ends(0);
}

fn fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// A14: a FIFO makes signer and reviewer wait for ever. `finish` of the common module panics when a run hangs.
#[test]
fn a14_a_fifo_is_refused_at_once() {
    let project = Project::tiny();
    project.attest();
    project.review(&[]).ends(0);
    let pipe = project.path("pipe");
    fifo(&pipe);
    fifo(&project.path("src/pipe"));
    for args in [
        &["digest", "src"][..],
        &["digest", "pipe"],
        &["digest", "pipe", "--tree"],
        &["build", "--source", "src", "--out", "new"],
        &["attest", "--source", "src", "--key", "vendor", "--bundle", "new.jsonl"],
        &["attest", "--source", "out", "--recipe", "pipe", "--key", "vendor", "--bundle", "new.jsonl"],
        &["attest", "--source", "out", "--recipe", "src/countersign.toml", "--key", "pipe", "--bundle", "new.jsonl"],
        &["attest", "--source", "pipe", "--recipe", "src/countersign.toml", "--key", "vendor", "--bundle", "new.jsonl"],
        &["compare", "src", "src"],
        &["compare", "pipe", "policy"],
        &["compare", "policy", "pipe"],
        &["verify", "pipe", "--bundle", BUNDLE, "--policy", "policy"],
        &["verify", "out/run", "--bundle", "pipe", "--policy", "policy"],
        &["verify", "out/run", "--bundle", BUNDLE, "--policy", "pipe"],
        &["verify", "--tree", "src", "--bundle", BUNDLE, "--policy", "policy"],
        &["inspect", "pipe"],
        &["inspect", BUNDLE, "--policy", "pipe"],
        &["key", "show", "pipe"],
        &["key", "import", "pipe", "--out", "new.key"],
        &["rebuild", "pipe", "--source", "src"],
        &["policy", "check", "pipe"],
        &["policy", "init", "--vendor", "pipe", "--rebuilders", "none", "-o", "new.policy"],
    ] {
        let said = project.run(args);
        assert!(
            said.code == 7 && said.err.contains("pipe") && said.err.to_lowercase().contains("fifo"),
            "{args:?}: {said:?}"
        );
    }
    for source in ["src", "pipe"] {
        project.rebuild(&["--source", source]).fails(7, "FIFO");
    }
    std::fs::remove_file(project.path("src/pipe")).unwrap();
    project.rebuild(&["--policy", "pipe"]).fails(7, "FIFO");
    project.rebuild(&["--key", "pipe", "--append"]).fails(7, "FIFO");
    fifo(&project.path("out/pipe"));
    project.rebuild(&["--against", "out"]).fails(7, "FIFO");
    assert!(["new", "new.jsonl", "new.key", "new.policy"].iter().all(|name| !project.path(name).exists()));
    project.rebuild(&[]).ends(0);

    // One that the build makes.
    for sandbox in ["auto", "none"] {
        let project = Project::new("mkdir d; echo x > d/file; mkfifo d/pipe", &["d"]);
        project.attest_to(BUNDLE, &["--sandbox", sandbox]).fails(6, "FIFO");
        let project = Project::new("echo x > out.txt; mkfifo pipe", &["out.txt"]);
        project.attest_to(BUNDLE, &["--sandbox", sandbox]).ends(0);
    }
}

/// A15: the build's log is in the receipt, which is then too long to be read.
#[test]
fn a15_a_long_log_does_no_harm() {
    let script =
        format!("head -c 20000000 /dev/zero | od -v -An -tx1 -w64 | head -c 20000000; echo; echo secret; {TINY}");
    let project = Project::new(&script, &["out.txt", "run"]);
    project.attest_to(BUNDLE, &["--quiet", "--out", "out"]).ends(0);
    project.review(&["--quiet"]).ends(0);
    project.verify(&["out/run"]).ends(0);
    let bundle = project.get(BUNDLE);
    assert!(bundle.len() < 100_000, "{}", bundle.len());
    assert!(
        !common::statements(&bundle).iter().any(|statement| statement.to_string().contains("secret")),
        "only its digest"
    );
    let log = project.get("b.log");
    assert_eq!(log.len(), 20_000_000 + "\nsecret\n".len());
    let recorded = project.statement("run-record")["predicate"]["log"].clone();
    assert_eq!(recorded["size"], log.len());
    // The last record is the reviewer's, of a log with the same bytes.
    assert_eq!(recorded["digest"]["sha256"], countersign::digest::sha256(&log).to_string());

    let project = Project::new("head -c 20000000 /dev/zero; echo end >&2; exit 1", &["out.txt"]);
    let said = project.attest_to(BUNDLE, &["--quiet"]).fails(6, "end\n");
    assert!(said.err.len() < 1_000_000, "{}", said.err.len());
}
