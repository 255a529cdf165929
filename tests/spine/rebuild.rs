//! Attest, rebuild, verify; one run, several runs, builds that do not agree with themselves.

use super::common::{BUNDLE, Project, TINY, finish, flip, statements};
use std::time::Duration;

#[test]
fn attest_rebuild_verify() {
    let project = Project::tiny();
    let said = project.attest();
    assert!(said.out.starts_with("sha256:") && said.out.lines().count() == 1, "{}", said.out);
    said.says("attested tiny 1.0 (stable, ");
    project.verify(&["out/run"]).ends(8).last("pending: out/run: 0 of 1 rebuilder");
    project.review(&[]).ends(0).last("identical: 2 files of tiny 1.0").says("claimed, not checked");
    assert_eq!(project.kinds(), ["provenance", "run-record", "provenance", "run-record", "reproduced"]);
    project.verify(&["out/run", "out/out.txt"]).ends(0).last("2 files verified, 1 independent rebuild");
    project.verify(&["--tree", "out"]).ends(0).last("yes: tiny 1.0");
    let document = project.verify(&["out/run", "--json"]).ends(0).says("yes: ").json();
    assert_eq!((&document["answer"], &document["exit"]), (&"yes".into(), &0.into()));
    let verdict = project.statement("reproduced");
    assert_eq!(verdict["predicate"]["runs"], 1);
    assert_eq!(verdict["predicate"]["reference"]["signer"], "claimed");
    assert_eq!(verdict["predicate"]["artifacts"].as_array().unwrap().len(), 2);
    assert_eq!(project.names("tmp"), [""; 0], "nothing is left in the scratch directory");

    flip(&project.path("out/run"));
    project.verify(&["out/run"]).ends(1).last("no: ");
    project.verify(&["out/out.txt", "out/run"]).ends(1).last("no: ");
    project.verify(&["--tree", "out"]).ends(1).last("no: ");
    let document = project.verify(&["out/run", "--json"]).ends(1).json();
    assert_eq!((&document["answer"], &document["exit"]), (&"differs".into(), &1.into()));
}

#[test]
fn a_mode_is_part_of_a_tree_and_not_of_a_file() {
    let project = Project::tiny();
    project.attest();
    project.review(&[]).ends(0);
    project.chmod("out/run", 0o700);
    project.verify(&["out/run"]).ends(0);
    project.verify(&["--tree", "out"]).ends(1);
}

#[test]
fn two_attests_are_one_statement_and_two_run_records() {
    let project = Project::tiny();
    let first = project.attest();
    // The run record's times are whole seconds.
    std::thread::sleep(Duration::from_millis(1100));
    let second = project.attest_to("again.jsonl", &["--scratch", project.path("tmp").to_str().unwrap()]).ends(0);
    assert_eq!(first.out, second.out);
    let payloads = |name: &str| -> Vec<String> {
        let lines = project.text(name);
        let lines = lines.lines().take(2).map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        lines.map(|line| line["payload"].as_str().unwrap().to_owned()).collect()
    };
    let (a, b) = (payloads(BUNDLE), payloads("again.jsonl"));
    assert_eq!(a[0], b[0], "byte-equal");
    assert_ne!(a[1], b[1]);
    let times = |name: &str| statements(&project.get(name))[1]["predicate"]["startedOn"].clone();
    assert_ne!(times(BUNDLE), times("again.jsonl"));

    project.put("src/input.txt", "another line\n");
    let third = project.attest_to("other.jsonl", &[]).ends(0);
    assert_ne!(third.out, first.out);
    assert_ne!(payloads("other.jsonl")[0], a[0]);
}

#[test]
fn rebuilding_twice_counts_once() {
    let project = Project::tiny();
    project.attest();
    project.review(&[]).ends(0);
    project.review(&[]).ends(0);
    let provenance = project.kinds().iter().filter(|kind| *kind == "provenance").count();
    assert_eq!(provenance, 2, "the second one is the same statement: {:?}", project.kinds());
    project.verify(&["out/run"]).ends(0).last("1 independent rebuild");
    let policy = project.text("policy").replace("rebuilders = 1", "rebuilders = 2");
    project.put("policy", policy);
    project.verify(&["out/run"]).ends(2);
}

#[test]
fn several_runs_that_agree() {
    let project = Project::tiny();
    project.attest();
    project.review(&["--runs", "3", "--jobs", "2", "--out", "kept"]).ends(0).last("identical: 2 files");
    assert_eq!(project.statement("reproduced")["predicate"]["runs"], 3);
    for run in 1..=3 {
        assert_eq!(project.get(&format!("kept/run-{run}/run")), project.get("out/run"));
        assert_eq!(project.get(&format!("kept/run-{run}.listing")), project.get("kept/run-1.listing"));
    }
    project.rebuild(&["--runs", "0"]).fails(2, "--runs");
    project.rebuild(&["--jobs", "0"]).fails(2, "--jobs");
}

/// Builds that embed something new each time.
const FICKLE: [(&str, &str); 2] =
    [("random", "head -c 16 /dev/urandom | od > out.txt"), ("time", "date +%s.%N > out.txt")];

#[test]
fn a_build_that_disagrees_with_itself_is_never_identical() {
    for (name, script) in FICKLE {
        let project = Project::new(script, &["out.txt"]);
        project.attest();
        let said = project.review(&["--runs", "2"]).ends(5).last("not deterministic: 2 runs of tiny 1.0");
        assert!(!said.out.contains("identical"), "{name}: {}", said.out);
        assert_eq!(project.kinds(), ["provenance", "run-record", "not-reproduced"], "{name}: no provenance is signed");
        let verdict = project.statement("not-reproduced");
        assert_eq!(verdict["predicate"]["artifacts"][0]["verdict"], "nondeterministic", "{name}");
        assert!(verdict["predicate"]["rebuild"].is_null(), "{name}");
        let manifest = project.statement("provenance");
        assert_eq!(verdict["subject"][0]["digest"], manifest["subject"][0]["digest"], "{name}: of the vendor's file");
        project.verify(&["out/out.txt"]).ends(3).last("no: ");

        let project = Project::new(script, &["out.txt"]);
        project.attest();
        let said = project.review(&[]).ends(1).last("different: 0 of 1 outputs");
        assert!(!said.out.lines().any(|line| line.ends_with(": identical")), "{name}: {}", said.out);
        assert_eq!(
            project.kinds(),
            ["provenance", "run-record", "provenance", "run-record", "not-reproduced"],
            "{name}"
        );
        assert_eq!(project.statement("not-reproduced")["predicate"]["artifacts"][0]["verdict"], "different");
        project.verify(&["out/out.txt"]).ends(3);
        // Two say now what comes out; which of them is the manifest, only a policy tells.
        project.rebuild(&[]).fails(2, "manifests that disagree about the outputs");
        let document = project.rebuild(&["--json", "--runs", "2", "--policy", "policy"]).ends(5).json();
        assert_eq!((&document["deterministic"], &document["verdict"]), (&false.into(), &"nondeterministic".into()));
    }
}

#[test]
fn mixed_results_are_one_statement_each() {
    let project = Project::new(&format!("{TINY}; head -c 16 /dev/urandom | od > out.txt"), &["out.txt", "run"]);
    project.attest();
    project.review(&[]).ends(1).prints("run: identical\n").last("different: 1 of 2 outputs");
    let names = |kind: &str| project.statement(kind)["subject"][0]["name"].clone();
    assert_eq!((names("reproduced"), names("not-reproduced")), ("run".into(), "out.txt".into()));
    assert_eq!(project.statement("reproduced")["subject"].as_array().unwrap().len(), 1);
    project.verify(&["out/run"]).ends(0);
    project.verify(&["out/out.txt"]).ends(3);
    project.verify(&["--tree", "out"]).ends(3);
}

#[test]
fn what_is_kept_and_where() {
    let project = Project::tiny();
    project.attest();
    project.rebuild(&[]).ends(0);
    assert_eq!(project.names("tmp"), [""; 0], "identical, and nobody asked for anything");
    project.rebuild(&["--out", "kept"]).ends(0).says("kept in kept");
    assert_eq!(project.names("kept"), ["run-1", "run-1.environment", "run-1.listing", "run-1.log"]);
    assert_eq!(project.names("kept/run-1"), ["out.txt", "run"]);
    assert_eq!((project.mode("kept/run-1/run"), project.mode("kept/run-1/out.txt")), (0o755, 0o644));
    assert_eq!(project.get("kept/run-1.environment"), project.get("b.environment"));
    project.rebuild(&["--out", "kept"]).fails(2, "cannot create kept");
    project.rebuild(&["--key", "reviewer"]).fails(2, "nothing says where the signed statements go");
    project.rebuild(&["--append"]).fails(2, "--key");
    let before = project.get(BUNDLE);
    project.rebuild(&["--key", "reviewer", "--out", "signed"]).ends(0);
    assert_eq!(project.get(BUNDLE), before, "without --append the bundle is as it was");
    let signed = statements(&project.get("signed/rebuild.intoto.jsonl"));
    assert_eq!(signed.iter().map(super::common::kind).collect::<Vec<_>>(), ["provenance", "run-record", "reproduced"]);
    // Who was handed the two can put them together.
    project.put(BUNDLE, [before, project.get("signed/rebuild.intoto.jsonl")].concat());
    project.verify(&["out/run"]).ends(0);

    project.forge_content();
    let said = project.rebuild(&[]).ends(1);
    let kept = project.names("tmp");
    assert!(kept.len() == 1 && kept[0].starts_with("countersign-rebuild-"), "both outputs are kept: {kept:?}");
    said.says(&format!("kept in {}", project.path("tmp").join(&kept[0]).display()));
}

#[test]
fn the_published_files() {
    let project = Project::tiny();
    project.attest();
    project.rebuild(&["--against", "out"]).ends(0);
    // Published is not what was signed, although the rebuild is.
    project.copy("out", "published");
    let text = project.text("published/out.txt");
    project.put("published/out.txt", text.replace("line", "lime"));
    let said = project.rebuild(&["--against", "published", "--out", "kept"]).ends(1);
    let said = said.prints("out.txt: identical").prints("out.txt: content\n");
    said.prints(&format!("first at byte {}", text.find("line").unwrap() + 2)).last("what is published is not");
    assert_eq!(project.text("kept/published/out.txt"), text.replace("line", "lime"));
    assert_eq!(project.text("kept/run-1/out.txt"), text);
    let document = project.rebuild(&["--against", "published", "--json"]).ends(1).json();
    assert_eq!(document["publishedDiffersFromSigned"], serde_json::json!(["out.txt"]));
    // A mode, or a file that is not there, is a difference too.
    project.chmod("out/run", 0o4755);
    project.rebuild(&["--against", "out"]).ends(1).prints("run: mode 4755 published, 0755 signed");
    std::fs::remove_file(project.path("out/run")).unwrap();
    project.rebuild(&["--against", "out"]).ends(1).prints("run: only signed");
    // The verdict is about what was signed.
    let review = project.review(&["--against", "out"]).ends(1);
    review.says("signed: reproduced, added to b.intoto.jsonl\n");
    // Before anything is built.
    let said = project.rebuild(&["--against", "nowhere"]).fails(7, "nowhere");
    assert!(!said.err.contains("reading the environment"), "{}", said.err);
    project.rebuild(&["--against", BUNDLE]).fails(2, "is not a directory").says("hint: --against takes the directory");
}

#[test]
fn anywhere_else_by_anybody_with_any_umask() {
    let project = Project::tiny();
    project.attest();
    project.copy("src", "elsewhere");
    for umask in ["0077", "0000"] {
        let mut command = std::process::Command::new("sh");
        command.args(["-c", &format!("umask {umask}; exec \"$@\""), "sh", super::common::PROGRAM]);
        command.args(project.rebuild_args(&["--source", "elsewhere", "--out", umask])).current_dir(project.path("."));
        command.env("TMPDIR", project.path("tmp")).env("TZ", "Asia/Tokyo").env("LC_ALL", "tr_TR.UTF-8");
        finish(&mut command).ends(0).last("identical: 2 files");
        assert_eq!(project.mode(&format!("{umask}/run-1/run")), 0o755, "the recorded mode, not the umask's");
    }
}
