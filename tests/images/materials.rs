//! What a rebuild needs, in one directory.

use super::common::{BUNDLE, Project};
use super::image::*;
use std::os::unix::fs::PermissionsExt;

fn snapshot() -> Project {
    let project = project();
    project.with("store", &["lock", "--source", "src"]).ends(0);
    let attest = ["attest", "--source", "src", "--key", "vendor", "--bundle", BUNDLE, "--out", "out"];
    project.without("store", &attest).ends(0);
    project.without("store", &["snapshot", BUNDLE, "--source", "src", "-o", "all"]).ends(0).mentions("1 part");
    project
}

#[test]
fn the_materials_are_enough_and_nothing_else_is_used() {
    let project = snapshot();
    assert_eq!(project.names("all"), ["blobs", "bundle.intoto.jsonl", "source"]);
    for gone in ["store", "images", "src"] {
        std::fs::remove_dir_all(project.path(gone)).unwrap();
    }
    let rebuild = ["rebuild", BUNDLE, "--materials", "all", "--key", "reviewer", "--append"];
    project.run(&rebuild).ends(0).mentions(" as signed").mentions("identical: 1 file");
    project.verify(&["out/out.txt"]).ends(0);
    assert_eq!(project.names("tmp"), [""; 0], "nothing of it stays");
    assert!(!project.path("cache/countersign/store").exists());
    project.run(&["snapshot", BUNDLE, "-o", "all"]).ends(2).mentions("all");
    project.run(&["rebuild", BUNDLE, "--materials", "all", "--mirror", "a=/"]).ends(2);
}

#[test]
fn whatever_the_umask() {
    let project = snapshot();
    // Started by root, the build runs as another id, which has to get to what is unpacked.
    let program = env!("CARGO_BIN_EXE_countersign");
    for args in [
        "rebuild b.intoto.jsonl --materials all",
        "build --source src --out new --store closed --mirror images=$PWD/images",
    ] {
        let mut command = std::process::Command::new("sh");
        let script = format!("umask 077; exec {program} {args}");
        command.args(["-c", &script]).current_dir(project.path(".")).env("TMPDIR", project.path("tmp"));
        super::common::finish(&mut command).ends(0);
    }
    assert_eq!(project.text("new/out.txt"), project.text("out/out.txt"));
}

#[test]
fn materials_that_are_not_the_signed_ones() {
    let project = snapshot();
    let rebuild = || project.run(&["rebuild", BUNDLE, "--materials", "all"]);
    let blob = files(&project.path("all/blobs")).pop().unwrap();
    std::fs::set_permissions(&blob, PermissionsExt::from_mode(0o644)).unwrap();
    let bytes = std::fs::read(&blob).unwrap();
    let mut other = bytes.clone();
    other[700] ^= 1;
    std::fs::write(&blob, &other).unwrap();
    rebuild().ends(7).mentions("among the materials: it is sha256:");
    std::fs::remove_file(&blob).unwrap();
    rebuild().ends(7).mentions("root.tar is not among the materials");
    std::fs::write(&blob, &bytes).unwrap();
    project.put("all/source/input.txt", "another line\n");
    rebuild().ends(9).mentions("input.txt");
    project.run(&["rebuild", BUNDLE, "--materials", "src"]).ends(7);
    std::fs::remove_dir_all(project.path("all/blobs")).unwrap();
    project.run(&["rebuild", BUNDLE, "--materials", "all", "--source", "src"]).ends(7).mentions("holds no materials");
    // A snapshot of another source, and one of what is not there.
    let snapshot = ["snapshot", BUNDLE, "--source", "all/source", "-o", "no"];
    project.without("store", &snapshot).ends(9);
    project.without("empty", &["snapshot", BUNDLE, "-o", "no"]).ends(7).mentions("no mirror \"images\"");
    assert!(!project.path("no").exists());
    assert!(!project.names(".").iter().any(|name| name.starts_with("countersign-snapshot")));
}
