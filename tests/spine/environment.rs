//! Roots: who lets the build read what, and what it means when that differs.

use super::common::{BUNDLE, Project};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A directory that can be a root, where this user can make one: not below `/tmp`, whose content is no environment.
fn place() -> Option<tempfile::TempDir> {
    let reserved = |dir: &PathBuf| ["/tmp", "/var/tmp", "/run", "/dev"].iter().any(|own| dir.starts_with(own));
    // A private home cannot be passed by the build of root.
    let homes = std::env::var_os("HOME").map(PathBuf::from).filter(|_| !super::common::is_root());
    let places = [Some(PathBuf::from("/var/lib")), homes, Some(env!("CARGO_TARGET_TMPDIR").into())];
    let made =
        places.into_iter().flatten().filter(|dir| !reserved(dir)).find_map(|dir| tempfile::tempdir_in(dir).ok())?;
    std::fs::set_permissions(made.path(), PermissionsExt::from_mode(0o755)).unwrap();
    Some(made)
}

#[test]
fn a_root_that_changed_between_the_two() {
    let Some(place) = place() else {
        // What follows from it is shown in verdicts.rs with a manifest that says so; here is only that a changed root is noticed.
        assert!(!super::common::is_root(), "root finds a place");
        return;
    };
    let tool = place.path().join("tool");
    std::fs::write(&tool, "1\n").unwrap();
    std::fs::set_permissions(&tool, PermissionsExt::from_mode(0o644)).unwrap();
    let script = format!("cat {} > out.txt; echo same > same.txt", tool.display());
    let project = Project::new(&script, &["out.txt", "same.txt"]).root(place.path());
    project.attest();
    assert!(project.text("b.environment").contains(&format!("{}\n", &tool.display().to_string()[1..])));
    let attested = project.get(BUNDLE);
    project.review(&[]).ends(0).prints(" as signed\n");

    project.put(BUNDLE, &attested);
    std::fs::write(&tool, "2\n").unwrap();
    project.review(&[]).ends(1).prints("another one; signed is sha256:").prints("same.txt: identical");
    assert_eq!(project.kinds()[4..], ["reproduced", "inconclusive"], "different in another environment is no dissent");
    let environment = project.statement("inconclusive")["predicate"]["environment"].clone();
    assert_ne!(environment["reference"], environment["rebuild"]);
    project.verify(&["out/same.txt"]).ends(0);
    project.verify(&["out/out.txt"]).ends(8).last("pending: ");

    // What is there and not used changes the environment too.
    project.put(BUNDLE, &attested);
    std::fs::write(&tool, "1\n").unwrap();
    std::fs::write(place.path().join("other"), "").unwrap();
    project.review(&[]).ends(0).prints("another one; signed is sha256:").last("identical: 2 files");
    std::fs::remove_file(place.path().join("other")).unwrap();
    std::fs::set_permissions(&tool, PermissionsExt::from_mode(0o755)).unwrap();
    project.rebuild(&[]).ends(0).prints("another one; signed is sha256:");
    std::fs::set_permissions(&tool, PermissionsExt::from_mode(0o644)).unwrap();
    project.rebuild(&[]).ends(0).prints(" as signed\n");
}

#[test]
fn a_root_is_a_favour_of_the_rebuilder() {
    // Absent here, and to be asked for all the same: who rebuilds may have something there.
    let asked = Path::new("/opt/countersign-no-such-root");
    let project = Project::tiny().root(asked);
    project.attest();
    let before = project.get(BUNDLE);
    let plain = ["rebuild", BUNDLE, "--source", "src", "--key", "reviewer", "--append"];
    let refused = |more: &[&str]| {
        let said = project.run(&[&plain[..], more].concat());
        said.fails(7, "the recipe asks for /opt/countersign-no-such-root of this machine")
            .says("hint: --allow-root /opt/countersign-no-such-root lets");
        assert_eq!(project.get(BUNDLE), before);
    };
    refused(&[]);
    // Each by its own name: one above it is another one.
    refused(&["--allow-root", "/opt", "--allow-root", "/", "--allow-root", "/opt/countersign-no-such-root/x"]);
    project.run(&[&plain[..], &["--allow-root", "/opt/countersign-no-such-root"]].concat()).ends(0);
    // What the default roots hold is no favour.
    let project = Project::tiny();
    project.attest();
    project.run(&plain).ends(0);
}

#[test]
fn the_roots_are_the_signed_ones() {
    let project = Project::new("ls / > out.txt; ls /usr/bin >> out.txt", &["out.txt"]);
    project.attest();
    let text = project.text("out/out.txt");
    for line in text.lines() {
        assert!(!["etc/shadow", "root", "gcc", "perl", "ldd"].contains(&line), "{text}");
    }
    assert!(text.contains("\ncat\n") && text.contains("build\n"));
    let lock = project.statement("provenance")["predicate"]["buildDefinition"]["resolvedDependencies"][2].clone();
    assert_eq!(lock["name"], "lock");
    project.rebuild(&[]).ends(0);
}
