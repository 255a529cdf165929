//! What `rebuild` refuses: places to build in, and bundles that say too little or two things at once.

use super::common::{BUNDLE, Project, Said, finish, is_root, roots};
use std::path::Path;

/// `rebuild` with this as the system's temporary directory.
#[track_caller]
fn rebuild_in(project: &Project, tmpdir: &Path) -> Said {
    finish(project.command(&project.rebuild_args(&[])).env("TMPDIR", tmpdir))
}

#[test]
fn no_build_in_the_source_or_where_it_reads() {
    let project = Project::tiny();
    project.attest();
    std::fs::create_dir(project.path("src-other")).unwrap();
    std::os::unix::fs::symlink("src", project.path("link")).unwrap();
    // A program, so that nothing can be made below it even if this were allowed.
    let root = roots().iter().find(|root| root.ends_with("cat")).unwrap().join("x");
    let hint = "hint: --scratch DIR or TMPDIR names another place to build in";
    for scratch in ["src", "link", "tmp/../src", "src/sub"] {
        let why = format!("scratch directory {scratch} is inside the source src");
        project.rebuild(&["--scratch", scratch]).fails(2, &why).says(hint);
        let tmpdir = project.path(scratch);
        let why = format!("the system's temporary directory {} is inside the source src", tmpdir.display());
        rebuild_in(&project, &tmpdir).fails(2, &why).says(hint);
    }
    let below = root.display();
    let why = format!("scratch directory {below} is below ");
    project.rebuild(&["--scratch", root.to_str().unwrap()]).fails(2, &why).says("which the build can read").says(hint);
    let why = format!("the system's temporary directory {below} is below ");
    rebuild_in(&project, &root).fails(2, &why).says("which the build can read").says(hint);
    assert_eq!(project.names("src"), ["build.sh", "countersign.toml", "input.txt"]);

    // Beside the source, whatever it is called.
    project.rebuild(&["--scratch", "src-other"]).ends(0);
    rebuild_in(&project, &project.path("src-other")).ends(0);
    assert_eq!(project.names("src-other"), [""; 0]);
}

#[test]
fn a_scratch_directory_that_the_build_cannot_reach() {
    let project = Project::tiny();
    project.attest();
    std::fs::create_dir(project.path("closed")).unwrap();
    project.chmod("closed", 0o700);
    let said = project.rebuild(&["--scratch", "closed"]);
    // The build of root is another user's; everybody else's is their own.
    if is_root() {
        let said = said.fails(7, "/build into the sandbox: ").says("hint: --scratch DIR or TMPDIR names another place");
        assert!(!said.err.contains("toolchain"), "{}", said.err);
        project.chmod("closed", 0o711);
        project.rebuild(&["--scratch", "closed"]).ends(0);
    } else {
        said.ends(0);
    }
}

#[test]
fn published_files_need_the_signed_listing() {
    let project = Project::tiny();
    project.attest();
    let text = project.text(BUNDLE);
    // The manifest and one of its listings.
    let keep = |blob: &str| {
        let lines = text.lines().enumerate().filter(|(number, line)| *number == 0 || line.contains(blob));
        project.put(BUNDLE, lines.map(|(_, line)| format!("{line}\n")).collect::<String>());
    };
    keep("countersign-tree v1 source");
    let before = project.get(BUNDLE);
    project.rebuild(&[]).ends(0);
    let why = "the bundle does not hold the listing of the outputs, which --against needs";
    project.review(&["--against", "out"]).fails(7, why);
    assert_eq!(project.get(BUNDLE), before, "nothing is signed");
    assert_eq!(project.names("tmp"), [""; 0]);
    keep("countersign-tree v1 output");
    project.review(&["--against", "out"]).ends(0);
}

#[test]
fn subjects_and_listing_say_the_same() {
    let refused = |project: &Project, why: &str| {
        let before = project.get(BUNDLE);
        project.review(&["--out", "kept"]).fails(4, why).says(BUNDLE);
        assert_eq!(project.get(BUNDLE), before);
        assert!(!project.path("kept").exists(), "nothing was built");
    };
    let project = Project::tiny();
    project.attest();
    let honest = project.get(BUNDLE);
    // Truly signed by the vendor, each of them.
    project.forge(|provenance, _| provenance.subjects[0].sha256 = provenance.subjects[1].sha256);
    refused(&project, "the manifest's subjects and its output listing disagree about out.txt");
    project.put(BUNDLE, &honest);
    project.forge(|provenance, _| drop(provenance.subjects.pop()));
    refused(&project, "disagree about run");
    project.put(BUNDLE, &honest);
    project.forge(|_, listing| *listing = listing.replace(" run\n", " runn\n"));
    refused(&project, "disagree about run");
    project.put(BUNDLE, &honest);
    project.forge(|_, listing| *listing += "no line\n");
    refused(&project, "the manifest's output listing is none");

    // Both say the same: a matter for the comparison.
    project.put(BUNDLE, &honest);
    project.forge_content();
    project.review(&[]).ends(1).prints("out.txt: different");
    project.put(BUNDLE, &honest);
    project.forge(|_, _| ());
    project.review(&[]).ends(0);
}

#[test]
fn no_root_below_what_is_compared_with() {
    // Each root has to be allowed; the published files below one are still not for the build to see.
    let published = tempfile::Builder::new().prefix("countersign-published-").tempdir_in("/opt");
    let Ok(published) = published else {
        assert!(!is_root(), "root finds a place");
        return;
    };
    let root = published.path().join("v1");
    std::fs::create_dir(&root).unwrap();
    let project = Project::tiny().root(&root);
    project.attest();
    let path = published.path().to_str().unwrap();
    let why = format!("directory {path} holds {}, which the build can read", root.display());
    project.review(&["--against", path]).fails(2, &why);
    project.rebuild(&["--against", "out"]).ends(0);

    // A root that is not there yet, and would be where the first run's outputs come to be.
    let out = published.path().join("out");
    let project = Project::tiny().root(&out.join("run-1"));
    project.attest();
    let why = format!("output directory {} holds {}", out.display(), out.join("run-1").display());
    project.rebuild(&["--runs", "2", "--out", out.to_str().unwrap()]).fails(2, &why);
    assert!(!out.exists());
    project.rebuild(&["--runs", "2", "--out", "kept"]).ends(0);
}
