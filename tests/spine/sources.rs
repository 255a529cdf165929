//! The source: what of it counts, what it may come as, and what is done when it is another.

use super::common::{BUNDLE, Project, TINY};
use std::path::Path;
use std::process::Command;

/// Changes the source in one way; `rebuild` must end with 9, name the file, and leave the bundle as it is.
fn refused(what: &str, change: impl FnOnce(&Project)) {
    let project = Project::tiny();
    project.attest();
    project.put("src/outsider", "");
    std::fs::remove_file(project.path("src/outsider")).unwrap();
    project.rebuild(&[]).ends(0);
    let before = project.get(BUNDLE);
    change(&project);
    project.review(&["--out", "kept"]).fails(9, "src is not the signed source").says(what);
    assert_eq!(project.get(BUNDLE), before, "{what}");
    assert!(!project.path("kept").exists(), "{what}");
}

#[test]
fn another_source_is_named_file_by_file() {
    refused("input.txt: size 18 signed, 19 here, content", |p| p.put("src/input.txt", "one line of input!\n"));
    refused("input.txt: content", |p| p.put("src/input.txt", "one line of imput\n"));
    refused("added.txt: only here", |p| p.put("src/added.txt", "x"));
    refused("input.txt: only signed", |p| std::fs::remove_file(p.path("src/input.txt")).unwrap());
    refused("input.txt: mode 0644 signed, 0755 here", |p| p.chmod("src/input.txt", 0o755));
    refused("empty: only here", |p| std::fs::create_dir(p.path("src/empty")).unwrap());
    refused("countersign.toml: size", |p| {
        let recipe = p.text("src/countersign.toml");
        p.put("src/countersign.toml", recipe.replace("\"1.0\"", "\"1.00\""));
    });
    refused("input.txt: ", |p| {
        std::fs::rename(p.path("src/input.txt"), p.path("input.txt")).unwrap();
        std::os::unix::fs::symlink("../input.txt", p.path("src/input.txt")).unwrap();
    });
    refused("some of it looks built: take a fresh copy", |p| p.put("src/out.txt", "x"));
}

#[test]
fn what_is_no_part_of_a_source() {
    let project = Project::tiny();
    project.attest();
    project.chmod("src/input.txt", 0o600);
    project.rebuild(&[]).ends(0);
    Command::new("touch").args(["-d", "2001-01-01"]).arg(project.path("src/input.txt")).status().unwrap();
    std::fs::create_dir(project.path("src/.git")).unwrap();
    project.put("src/.git/config", "x");
    project.rebuild(&[]).ends(0);
    // Only at the top.
    std::fs::create_dir_all(project.path("src/sub/.git")).unwrap();
    project.rebuild(&[]).fails(9, "sub/.git: only here");
}

#[test]
fn more_than_twenty_files_are_counted() {
    let project = Project::tiny();
    project.attest();
    (0..33).for_each(|n| project.put(&format!("src/new{n}"), ""));
    project.rebuild(&[]).fails(9, "… and 13 more");
}

#[test]
fn without_the_listing_the_digests_are_all_there_is() {
    let project = Project::tiny();
    project.attest();
    project.put(BUNDLE, project.text(BUNDLE).lines().take(2).collect::<Vec<_>>().join("\n"));
    project.rebuild(&[]).ends(0).last("identical: 2 files");
    project.put("src/input.txt", "changed\n");
    project.rebuild(&[]).fails(9, "the bundle does not hold the source's listing");
}

#[test]
fn a_source_that_is_not_there_or_no_source() {
    let project = Project::tiny();
    project.attest();
    project.rebuild(&["--source", "nowhere"]).fails(7, "nowhere");
    project.put("text", "no archive");
    project.rebuild(&["--source", "text"]).fails(7, "text");
    project
        .run(&["attest", "--source", "nowhere", "--key", "vendor", "--bundle", "x"])
        .fails(7, "cannot read nowhere: ");
    project.run(&["attest", "--source", "text", "--key", "vendor", "--bundle", "x"]).fails(2, "name it with --recipe");
    project.put("src/countersign.toml", "name = \"x\"\nversion = \"1\"\nsurprise = 1\n");
    project.attest_to("x", &[]).fails(2, "line 3: ");
}

fn tar(project: &Project, dir: &str, options: &[&str], archive: &str) {
    let said = Command::new("tar")
        .args(options)
        .args(["--owner=7", "--group=7", "--mtime=@1", "-cf", archive, dir])
        .current_dir(project.path("."))
        .output()
        .unwrap();
    assert!(said.status.success(), "{said:?}");
}

#[test]
fn directory_tar_and_tar_gz_are_one_source() {
    let project = Project::tiny().set("source", "strip = 1");
    project.copy("src", "tiny-1.0");
    tar(&project, "tiny-1.0", &[], "plain.tar");
    tar(&project, "tiny-1.0", &["-z"], "packed.tar.gz");
    let attested = project.attest();
    for archive in ["plain.tar", "packed.tar.gz"] {
        let bundle = format!("{archive}.jsonl");
        let args =
            ["attest", "--source", archive, "--recipe", "src/countersign.toml", "--key", "vendor", "--bundle", &bundle];
        assert_eq!(project.run(&args).ends(0).out, attested.out, "the same statement");
        project.rebuild(&["--source", archive]).ends(0).last("identical: 2 files");
    }
    project.put("tiny-1.0/input.txt", "changed\n");
    tar(&project, "tiny-1.0", &["-z"], "packed.tar.gz");
    project.rebuild(&["--source", "packed.tar.gz"]).fails(9, "input.txt: ");
}

#[test]
fn nothing_is_stripped_by_guess() {
    let project = Project::tiny();
    tar(&project, "src", &[], "source.tar");
    project.attest();
    project.rebuild(&["--source", "source.tar"]).fails(9, "src/input.txt: only here");
    let mut flat = Command::new("tar");
    flat.args(["-C", "src", "-cf", "flat.tar", "build.sh", "countersign.toml", "input.txt"]);
    assert!(flat.current_dir(project.path(".")).status().unwrap().success());
    project.rebuild(&["--source", "flat.tar"]).ends(0);
}

fn git(dir: &Path, args: &[&str]) {
    let said = Command::new("git")
        .args(["-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "commit.gpgsign=false"])
        .args(args)
        .current_dir(dir)
        .env("GIT_COMMITTER_DATE", "1700000001 +0900")
        .env("GIT_AUTHOR_DATE", "1600000000 +0000")
        .env("HOME", dir)
        .output()
        .unwrap();
    assert!(said.status.success(), "{said:?}");
}

#[test]
fn the_time_of_a_commit() {
    let project = Project::new("echo $SOURCE_DATE_EPOCH > out.txt; stat -c %Y input.txt >> out.txt", &["out.txt"])
        .set("build", "source-date-epoch = \"git\"");
    project.attest_to("x", &[]).fails(7, "give source-date-epoch as seconds");
    let src = project.path("src");
    git(&src, &["init", "-q"]);
    project.attest_to("x", &[]).fails(7, "cannot read the commit time");
    git(&src, &["add", "."]);
    git(&src, &["commit", "-q", "-m", "x"]);
    project.attest().says("note: left out of the source: .git");
    assert_eq!(project.text("out/out.txt"), "1700000001\n1700000001\n");
    // It is in the lock, so that a copy without the history builds the same.
    std::fs::remove_dir_all(src.join(".git")).unwrap();
    project.rebuild(&[]).ends(0);
    // Another commit time is another build order.
    let fixed = Project::new(TINY, &["out.txt"]).set("build", "source-date-epoch = 1700000002");
    fixed.attest();
    let variables =
        fixed.statement("provenance")["predicate"]["buildDefinition"]["internalParameters"]["variables"].clone();
    assert_eq!(variables["SOURCE_DATE_EPOCH"], "1700000002");
}

#[test]
fn what_is_left_out_is_said_and_signed() {
    let project =
        Project::new("ls > out.txt", &["out.txt"]).set("source", "exclude = [\".git\", \"*.tmp\", \"notes\"]");
    project.put("src/a.tmp", "");
    std::fs::create_dir(project.path("src/notes")).unwrap();
    project.put("src/notes/secret", "");
    project.attest().says("left out of the source: a.tmp, notes");
    assert_eq!(project.text("out/out.txt"), "build.sh\ncountersign.toml\ninput.txt\nout.txt\n");
    assert!(!project.text(BUNDLE).contains("secret"));
    project.put("src/b.tmp", "other");
    project.rebuild(&[]).ends(0);
    project.put("src/b.tmq", "other");
    project.rebuild(&[]).fails(9, "b.tmq");
}
