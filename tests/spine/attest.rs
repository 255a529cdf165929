//! What `attest` and `build` refuse, and that nothing is left behind then.

use super::common::{BUNDLE, Project, Said, roots};

/// Runs `attest`, which must fail; what was there before is what is there after, but for a log of a failed build.
#[track_caller]
fn refuses(project: &Project, more: &[&str], code: i32, why: &str) -> Said {
    let tree = |project: &Project| -> Vec<String> {
        let all = [".", "src", "tmp"]
            .iter()
            .flat_map(|dir| project.names(dir).into_iter().map(move |n| format!("{dir}/{n}")));
        all.filter(|name| !name.ends_with(".log")).collect()
    };
    let before = tree(project);
    let bundle: &[&str] = if more.contains(&"--bundle") { &[] } else { &["--bundle", BUNDLE] };
    let key: &[&str] = if more.contains(&"--key") { &[] } else { &["--key", "vendor"] };
    let said = project.run(&[&["attest", "--source", "src", "--scratch", "tmp"], bundle, key, more].concat());
    let said = said.fails(code, why);
    assert_eq!(tree(project), before, "{why}");
    said
}

#[test]
fn a_failing_build_shows_its_error_and_signs_nothing() {
    let script =
        "echo compiling; for n in 1 2 3; do echo line $n; done; echo 'main.c:3: error: expected ;' >&2; exit 3";
    let project = Project::new(script, &["out.txt"]);
    for more in [&["--quiet"][..], &[]] {
        let said = refuses(&project, &[more, &["--out", "out"]].concat(), 6, "step 1: \"sh\" ended with exit code 3");
        let said =
            said.says("main.c:3: error: expected ;").says("line 2").says("hint: the whole log is in b.failed.log");
        assert_eq!(said.err.matches("main.c:3").count(), 1, "shown once");
        assert!(project.text("b.failed.log").ends_with("main.c:3: error: expected ;\n"));
    }
    let project = Project::tiny().steps("[[\"sh\", \"build.sh\"], [\"no-such-program\"]]");
    refuses(&project, &[], 6, "step 2: \"no-such-program\" is not in PATH");
    let project = Project::new("kill -9 $$", &["out.txt"]);
    refuses(&project, &[], 6, "was ended by signal 9");
}

#[test]
fn a_log_is_kept_where_it_is_wanted() {
    let project = Project::new("echo hello; echo x > out.txt", &["out.txt"]);
    project.attest_to(BUNDLE, &["--log", "elsewhere.txt"]).ends(0).says("hello");
    assert_eq!(project.text("elsewhere.txt"), "hello\n");
    assert!(!project.path("b.log").exists());
    let record = project.statement("run-record");
    assert_eq!(record["predicate"]["log"]["size"], 6);
    let said = project.attest_to("c.jsonl", &["--quiet"]).ends(0);
    assert!(!said.err.contains("hello"));
}

#[test]
fn no_output_is_an_error_that_says_what_was_made() {
    let project = Project::new("echo x > other.txt; mkdir -p deep/er; echo x > deep/er/one", &["out.txt"]);
    refuses(&project, &["--out", "out"], 6, "nothing that matches \"out.txt\"").says("it made deep/er/one, other.txt");
    let project = Project::new("true", &["out.txt"]);
    refuses(&project, &[], 6, "the build made no new files at all");
    // Each pattern counts.
    let project = Project::new("echo x > a.txt", &["a.txt", "*.bin"]);
    refuses(&project, &[], 6, "\"*.bin\"");
    // Directories alone are none.
    let project = Project::new("mkdir -p out/a", &["out/**"]);
    refuses(&project, &[], 6, "nothing that matches");
    let project = Project::new("echo x > out.txt", &["out.txt"]);
    project.attest();
}

#[test]
fn outputs_that_are_there_before_the_build() {
    let project = Project::tiny();
    project.put("src/run", "stale");
    refuses(&project, &[], 2, "run is an output and is in the source already").says("exclude = [\"run\"]");
    let project = Project::tiny().set("source", "exclude = [\"run\"]");
    project.put("src/run", "stale");
    project.attest();
    assert_eq!(project.text("out/run"), "#!/bin/sh\necho tiny\n");
}

#[test]
fn nothing_is_written_over() {
    let project = Project::tiny();
    project.put(BUNDLE, "precious");
    refuses(&project, &[], 2, "b.intoto.jsonl is there already");
    std::fs::create_dir(project.path("out")).unwrap();
    refuses(&project, &["--bundle", "new.jsonl", "--out", "out"], 2, "cannot create out");
    assert_eq!(project.text(BUNDLE), "precious");
    project.attest_to(BUNDLE, &["--force"]).fails(2, "is no bundle, and --force replaces nothing else");
    std::fs::remove_file(project.path(BUNDLE)).unwrap();
    project.attest_to(BUNDLE, &[]).ends(0);
    project.attest_to(BUNDLE, &["--force"]).ends(0);
    assert_eq!(project.kinds(), ["provenance", "run-record"]);
    project.run(&["build", "--source", "src", "--out", "out"]).fails(2, "cannot create out");
    project.put("statement", "precious");
    project.run(&["build", "--source", "src", "--out", "new", "--statement", "statement"]).ends(2);
    assert!(!project.path("new").exists());
    project
        .run(&["build", "--source", "src", "--out", "new", "--log", "statement"])
        .fails(2, "statement is there already");
    assert_eq!(project.text("statement"), "precious");
}

#[test]
fn half_of_it_is_never_there() {
    let project = Project::tiny();
    refuses(&project, &["--bundle", "no/dir.jsonl"], 7, "no/dir.jsonl cannot be written: there is no directory no");
    refuses(&project, &["--bundle", "src"], 2, "the bundle src is a directory");
    // Where the environment's listing should go, something stands.
    std::fs::create_dir(project.path("b.environment")).unwrap();
    refuses(&project, &["--out", "out"], 2, "b.environment");
    std::fs::remove_dir(project.path("b.environment")).unwrap();
    refuses(&project, &["--bundle", "c.jsonl", "--out", "no/dir"], 7, "no/dir");
    refuses(&project, &["--scratch", "nowhere"], 2, "--scratch");
    refuses(&project, &["--key", "nokey"], 7, "nokey");
    project.run(&["key", "generate", "--out", "locked", "--passphrase-file", "vendor"]).ends(0);
    refuses(&project, &["--key", "locked"], 2, "a passphrase for locked is needed");
    refuses(&project, &["--key", "locked", "--passphrase-file", "reviewer.pub"], 2, "passphrase");
    project
        .run(&["attest", "--source", "src", "--key", "vendor", "--bundle", "d.jsonl", "--scratch", "nowhere"])
        .fails(7, "nowhere");
    assert!(
        !project.path("d.jsonl").exists() && !project.path("d.log").exists() && !project.path("d.log.part").exists()
    );
}

#[test]
fn keys_bundles_and_outputs_are_not_in_the_source() {
    let project = Project::tiny();
    project.put("src/in.key", project.get("vendor"));
    project.chmod("src/in.key", 0o600);
    refuses(&project, &["--key", "src/in.key"], 2, "key src/in.key is inside the source src");
    std::fs::remove_file(project.path("src/in.key")).unwrap();
    refuses(&project, &["--bundle", "src/b.jsonl"], 2, "bundle src/b.jsonl is inside");
    refuses(&project, &["--bundle", "tmp/../src/b.jsonl"], 2, "is inside the source");
    refuses(&project, &["--out", "src/out"], 2, "output directory src/out is inside");
    refuses(&project, &["--log", "src/log"], 2, "log src/log is inside");
    std::os::unix::fs::symlink("src", project.path("link")).unwrap();
    refuses(&project, &["--bundle", "link/b.jsonl"], 2, "is inside the source");
    project.run(&["build", "--source", "src", "--out", "src/out"]).fails(2, "is inside");
    project.run(&["build", "--source", "src", "--out", "out", "--statement", "src/s"]).fails(2, "is inside");
    project.attest();
    project.copy(BUNDLE, "src/b.jsonl");
    project.run(&["rebuild", "src/b.jsonl", "--source", "src"]).ends(9);
    std::fs::remove_file(project.path("src/b.jsonl")).unwrap();
    project.rebuild(&["--out", "src/kept"]).fails(2, "is inside the source");
    project.rebuild(&["--against", "src"]).fails(2, "is inside the source");
}

#[test]
fn keys_bundles_and_outputs_are_not_where_the_build_reads() {
    let project = Project::tiny();
    // A program, so that nothing can be written below it even if this were allowed.
    let root = roots().iter().find(|root| root.ends_with("cat")).unwrap().display().to_string();
    let below = format!("{root}/x");
    refuses(&project, &["--bundle", &below], 2, "which the build can read");
    refuses(&project, &["--out", &below], 2, "which the build can read");
    refuses(&project, &["--log", &below], 2, "which the build can read");
    project.attest();
    project.rebuild(&["--against", &below]).fails(2, "which the build can read");
    project.rebuild(&["--out", &below]).fails(2, "which the build can read");
}

#[test]
fn roots_that_no_build_gets() {
    for root in [
        "/",
        "/home",
        "/etc",
        "/root",
        "/var",
        "/tmp/tools",
        "/proc/self",
        "/dev",
        "/run/x",
        "tools",
        "./tools",
        "/usr/../etc",
        "/usr/",
    ] {
        let project = Project::tiny().root(root.as_ref());
        refuses(&project, &[], 2, &format!("{root:?}"));
    }
    // One that is not there is none, and does no harm; but it may be a slip.
    let project = Project::tiny().root("/opt/countersign-no-such-root".as_ref());
    project.attest().says("note: the recipe's root /opt/countersign-no-such-root is not there");
    assert!(!project.text("b.environment").contains("no-such-root"));
}
