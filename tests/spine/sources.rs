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
fn every_kind_of_source_is_one_source() {
    let project = Project::tiny().set("source", "strip = 1");
    project.copy("src", "tiny-1.0");
    tar(&project, "tiny-1.0", &[], "plain.tar");
    // A `.crate`, an sdist and an npm tarball are such archives, whatever they are called.
    for (option, archive) in
        [("-z", "tiny-1.0.crate"), ("-z", "packed.tar.gz"), ("-J", "packed.tar.xz"), ("--zstd", "packed.tar.zst")]
    {
        tar(&project, "tiny-1.0", &[option], archive);
    }
    let mut zip = Command::new("zip");
    zip.args(["-q", "-r", "packed.zip", "tiny-1.0"]).current_dir(project.path("."));
    assert!(zip.status().unwrap().success());
    let attested = project.attest();
    let archives = ["plain.tar", "tiny-1.0.crate", "packed.tar.gz", "packed.tar.xz", "packed.tar.zst", "packed.zip"];
    for archive in archives {
        let bundle = format!("{archive}.jsonl");
        let args =
            ["attest", "--source", archive, "--recipe", "src/countersign.toml", "--key", "vendor", "--bundle", &bundle];
        assert_eq!(project.run(&args).ends(0).out, attested.out, "the same statement");
        project.rebuild(&["--source", archive]).ends(0).last("identical: 2 files");
    }
    // From here on `src` is a checkout, and `src.git` a bare repository.
    let src = project.path("src");
    git(&src, &["init", "-q", "-b", "main"]);
    git(&src, &["add", "."]);
    git(&src, &["commit", "-q", "-m", "x"]);
    git(&project.path("."), &["clone", "-q", "--bare", "--no-local", "src", "src.git"]);
    git(&src, &["bundle", "create", "-q", "../tiny.bundle", "main"]);
    let url = format!("file://{}", project.path("src.git").display());
    for (bundle, args) in [
        ("checkout.jsonl", &["--source", "src"][..]),
        ("bundled.jsonl", &["--source", "tiny.bundle", "--revision", "main"]),
        ("url.jsonl", &["--source", &url, "--revision", "main"]),
        ("head.jsonl", &["--source", "src", "--revision", "HEAD"]),
        ("bare.jsonl", &["--source", "src.git", "--revision", "main"]),
    ] {
        let args = [&["attest", "--key", "vendor", "--bundle", bundle], args].concat();
        assert_eq!(project.run(&args).ends(0).out, attested.out, "{bundle}: the same statement");
    }
    project.rebuild(&["--source", "src.git", "--revision", "main"]).ends(0).last("identical: 2 files");
    for source in ["tiny.bundle", &url] {
        project.rebuild(&["--source", source, "--revision", "main"]).ends(0).last("identical: 2 files");
        project.rebuild(&["--source", source, "--revision", "other"]).fails(7, "revision other");
        project.rebuild(&["--source", source]).fails(2, "which commit is meant?");
        project
            .run(&["attest", "--source", source, "--key", "vendor", "--bundle", "x"])
            .fails(2, "which commit is meant?");
    }
    project.rebuild(&["--source", "plain.tar", "--revision", "main"]).fails(7, "it has no revisions");
    project.rebuild(&["--source", "src.git"]).fails(2, "which commit is meant?");
    project.rebuild(&["--source", "src.git", "--revision", "other"]).fails(7, "revision other");

    project.put("src/input.txt", "changed\n");
    git(&src, &["commit", "-q", "-a", "-m", "y"]);
    git(&src, &["push", "-q", "../src.git", "main"]);
    git(&src, &["bundle", "create", "-q", "../other.bundle", "main"]);
    project.rebuild(&["--source", "src.git", "--revision", "main"]).fails(9, "input.txt: ");
    project.rebuild(&["--source", "other.bundle", "--revision", "main"]).fails(9, "input.txt: ");
    project.rebuild(&["--source", "src", "--revision", "HEAD~0"]).fails(7, "revision HEAD~0");
    project.put("tiny-1.0/input.txt", "changed\n");
    tar(&project, "tiny-1.0", &["-z"], "packed.tar.gz");
    project.rebuild(&["--source", "packed.tar.gz"]).fails(9, "input.txt: ");
}

/// A Debian source package is what is unpacked of it, and the recipe of whoever builds it is beside it.
#[test]
fn a_debian_source_package() {
    let project = Project::tiny();
    project.attest();
    std::fs::create_dir_all(project.path("debian/source")).unwrap();
    project.put("debian/source/format", "3.0 (quilt)\n");
    project.put("debian/rules", "#!/usr/bin/make -f\n");
    tar(&project, "src", &["-z"], "tiny_1.0.orig.tar.gz");
    tar(&project, "debian", &["-z"], "tiny_1.0-1.debian.tar.gz");
    let dsc = || {
        let (mut sha256, mut files) = (String::new(), String::new());
        for name in ["tiny_1.0.orig.tar.gz", "tiny_1.0-1.debian.tar.gz"] {
            let bytes = project.get(name);
            let digest = countersign::digest::sha256(&bytes);
            sha256 += &format!(" {digest} {} {name}\n", bytes.len());
            files += &format!(" 0 {} {name}\n", bytes.len());
        }
        let head = "Format: 3.0 (quilt)\nSource: tiny\nVersion: 1.0-1\n";
        project.put("tiny.dsc", format!("{head}Checksums-Sha256:\n{sha256}Files:\n{files}"));
    };
    dsc();
    let attest = ["attest", "--source", "tiny.dsc", "--key", "vendor", "--bundle", "deb.jsonl", "--out", "deb"];
    project.run(&attest).fails(2, "name it with --recipe");
    project.run(&[&attest[..], &["--recipe", "src/countersign.toml"]].concat()).ends(0);
    let rebuild = |source: &str| project.run(&["rebuild", "deb.jsonl", "--source", source]);
    rebuild("tiny.dsc").ends(0).last("identical: 2 files");
    // Unpacked, it is the same source.
    project.copy("src", "unpacked");
    project.copy("debian", "unpacked/debian");
    project.chmod("unpacked/debian/rules", 0o755);
    rebuild("unpacked").ends(0).last("identical: 2 files");
    project.put("debian/rules", "#!/usr/bin/make -g\n");
    tar(&project, "debian", &["-z"], "tiny_1.0-1.debian.tar.gz");
    rebuild("tiny.dsc").fails(7, "tiny_1.0-1.debian.tar.gz beside it is not the file that it names");
    dsc();
    rebuild("tiny.dsc").fails(9, "debian/rules: ");
}

#[test]
fn a_dirty_checkout_is_signed_only_when_that_is_said() {
    let project = Project::tiny().set("source", "exclude = [\".git\", \"*.left\", \"input.old\"]");
    let src = project.path("src");
    git(&src, &["init", "-q"]);
    let refused = |bundle: &str, what: &str| {
        project.attest_to(bundle, &[]).fails(2, what).says("--allow-dirty");
        assert!(!project.path(bundle).exists());
    };
    refused("none", "cannot be compared with its commit");
    git(&src, &["add", "."]);
    refused("none", "cannot be compared with its commit");
    git(&src, &["commit", "-q", "-m", "x"]);
    project.attest_to("clean", &[]).ends(0);

    project.put("src/.git/info/exclude", "*.o\n");
    project.put("src/ignored.o", "x");
    refused("one", "ignored.o: is not in the commit (untracked, ignored, or not committed yet)");
    project.put("src/input.txt", "one line of imput\n");
    refused("two", "2 paths are not as in ");
    git(&src, &["add", "."]);
    refused("two", "input.txt: is not as committed");
    project.run(&["build", "--source", "src", "--out", "tried"]).ends(0).says("`attest` would refuse it");
    project.attest_to("said", &["--allow-dirty"]).ends(0).says("signed all the same (--allow-dirty)");
    // What was committed can be signed nevertheless, and it is what was clean.
    let mut args = ["attest", "--key", "vendor", "--source", "src", "--revision", "HEAD", "--bundle", "committed"];
    let committed = project.run(&args).ends(0).says("note: the source is commit ");
    git(&src, &["reset", "-q", "--hard"]);
    std::fs::remove_file(project.path("src/ignored.o")).unwrap();
    args[8] = "again";
    assert_eq!(project.run(&args).ends(0).out, committed.out);
    assert_eq!(project.attest_to("again-clean", &[]).ends(0).out, committed.out);
    // What the recipe leaves out counts neither here nor there.
    project.put("src/input.old", "x");
    git(&src, &["add", "-f", "."]);
    git(&src, &["commit", "-q", "-m", "y"]);
    std::fs::remove_file(project.path("src/input.old")).unwrap();
    project.put("src/a.left", "x");
    project.attest_to("excluded", &[]).ends(0);
}

#[test]
fn a_directory_of_a_checkout_is_held_against_its_part_of_the_commit() {
    let project = Project::tiny().set("build", "source-date-epoch = \"git\"");
    let top = project.path(".");
    git(&top, &["init", "-q"]);
    project.attest_to("none", &[]).fails(7, "there is no commit yet");
    project.put("beside", "x");
    git(&top, &["add", "src", "beside"]);
    git(&top, &["commit", "-q", "-m", "x"]);
    // What is beside it is another matter.
    project.put("beside", "changed");
    project.attest_to("clean", &[]).ends(0);
    assert!(project.text("clean").contains("payload"));
    project.put("src/input.txt", "changed\n");
    project.attest_to("changed", &[]).fails(2, "1 path is not as in ").says("input.txt: is not as committed");
    project.attest_to("changed", &["--allow-dirty"]).ends(0).says("signed all the same");
    git(&top, &["reset", "-q", "--hard"]);
    std::fs::remove_file(project.path("src/input.txt")).unwrap();
    project.attest_to("missing", &[]).fails(2, "1 path is not as in ").says("input.txt: is in the commit and not here");
    git(&top, &["reset", "-q", "--hard"]);
    // What nobody committed is no part of the checkout that it happens to be in.
    git(&top, &["rm", "-q", "-r", "--cached", "src"]);
    git(&top, &["commit", "-q", "-m", "y"]);
    project.put("src/input.txt", "changed\n");
    project.attest_to("elsewhere", &[]).ends(0);
}

#[test]
fn nothing_is_stripped_by_guess() {
    let project = Project::tiny();
    tar(&project, "src", &[], "source.tar");
    project.attest();
    project
        .rebuild(&["--source", "source.tar"])
        .fails(9, "src/input.txt: only here")
        .says("hint: all of it is below src/ here: unpack it, and give src as --source");
    let input = project.get("src/input.txt");
    project.put("src/input.txt", "another\n");
    tar(&project, "src", &[], "other.tar");
    let said = project.rebuild(&["--source", "other.tar"]).fails(9, "src/input.txt: only here");
    said.says("all of it is below src/ here");
    project.put("src/more", "x");
    tar(&project, "src", &[], "more.tar");
    let said = project.rebuild(&["--source", "more.tar"]).fails(9, "src/input.txt: only here");
    assert!(!said.err.contains("all of it is below"), "{}", said.err);
    std::fs::remove_file(project.path("src/more")).unwrap();
    project.put("src/input.txt", input);
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
    // Of the commit that is asked for, also in a repository without checkout.
    git(&project.path("."), &["clone", "-q", "--bare", "--no-local", "src", "src.git"]);
    let args = ["attest", "--source", "src.git", "--revision", "HEAD", "--key", "vendor", "--bundle", "bare"];
    project.run(&[&args[..], &["--out", "bare-out"]].concat()).ends(0);
    assert_eq!(project.text("bare-out/out.txt"), "1700000001\n1700000001\n");
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
