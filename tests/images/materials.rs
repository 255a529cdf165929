//! What a rebuild needs, in one directory or one file.

use super::common::{BUNDLE, Project, Said};
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

/// The same as [`snapshot`], in one file.
fn one_file() -> Project {
    let project = project();
    project.with("store", &["lock", "--source", "src"]).ends(0);
    let attest = ["attest", "--source", "src", "--key", "vendor", "--bundle", BUNDLE, "--out", "out"];
    project.without("store", &attest).ends(0);
    pack(&project, "all.tar").ends(0).mentions("1 part");
    project
}

fn pack(project: &Project, out: &str) -> Said {
    project.without("store", &["snapshot", BUNDLE, "--source", "src", "-o", out])
}

#[test]
fn one_file_is_enough_and_always_the_same() {
    let project = one_file();
    pack(&project, "again.tar").ends(0);
    let bytes = project.get("all.tar");
    assert!(bytes == project.get("again.tar"), "the same bytes");
    let json = project.without("store", &["snapshot", BUNDLE, "--source", "src", "-o", "third.tar", "--json"]).ends(0);
    assert_eq!(json.json()["sha256"], hex(&bytes).as_str());
    assert_eq!(project.mode("all.tar"), 0o644);
    // As a directory, unpacked by another program.
    pack(&project, "all").ends(0);
    std::fs::create_dir(project.path("tar")).unwrap();
    let tar = std::fs::File::open(project.path("all.tar")).unwrap();
    tar::Archive::new(tar).unpack(project.path("tar")).unwrap();
    let names = |dir: &str| -> Vec<_> {
        files(&project.path(dir)).iter().map(|path| path.strip_prefix(project.path(dir)).unwrap().to_owned()).collect()
    };
    assert_eq!(names("tar"), names("all"));
    for gone in ["store", "images", "src", "all", "tar"] {
        std::fs::remove_dir_all(project.path(gone)).unwrap();
    }
    project.run(&["rebuild", "--materials", "all.tar"]).ends(0).mentions(" as signed").mentions("identical: 1 file");
    let rebuild = ["rebuild", BUNDLE, "--materials", "all.tar", "--key", "reviewer", "--append"];
    project.run(&rebuild).ends(0);
    project.verify(&["out/out.txt"]).ends(0);
    assert_eq!(project.names("tmp"), [""; 0], "nothing of it stays");
    assert!(project.get("all.tar") == bytes);
    project
        .run(&["rebuild", "--materials", "all.tar", "--key", "reviewer", "--append"])
        .fails(2, "--append adds to a bundle");
    project.run(&["rebuild", "--materials", "all.tar", "--key", "reviewer", "--out", "kept"]).ends(0);
    assert!(project.path("kept/rebuild.intoto.jsonl").exists());
    project.run(&["rebuild"]).ends(2);
    project.run(&["snapshot", BUNDLE, "-o", "all.tar"]).ends(2).mentions("all.tar");
}

#[test]
fn one_file_that_is_not_the_signed_one() {
    let project = one_file();
    let good = project.get("all.tar");
    let rebuild = |bytes: &[u8]| {
        project.put("bad.tar", bytes);
        let said = project.run(&["rebuild", "--materials", "bad.tar"]);
        assert_eq!(project.names("tmp"), [""; 0], "nothing of it stays");
        said
    };
    rebuild(&good).ends(0);
    let blob = hex(&project.get("images/root.tar"));
    let mut other = good.clone();
    other[4000] ^= 1;
    rebuild(&other).fails(7, &format!("blobs/{}/{blob}", &blob[..2])).says("should be sha256:");
    rebuild(&good[..good.len() - 1024]).fails(7, "cut off");
    rebuild(&good[..good.len() / 2 / 512 * 512]).fails(7, "");
    rebuild(b"no tar").fails(7, "is not an archive");
    let source = good.windows(18).rposition(|bytes| bytes == b"one line of input\n").unwrap();
    let mut other = good.clone();
    other[source] ^= 1;
    rebuild(&other).fails(9, "is not the signed source");
    project.without("store", &["snapshot", BUNDLE, "-o", "less.tar"]).ends(0);
    rebuild(&project.get("less.tar")).fails(7, "holds no source").says("--source");
    project.run(&["rebuild", "--materials", "less.tar", "--source", "src"]).ends(0);
}

#[test]
fn killed_while_it_is_written() {
    let project = one_file();
    let good = project.get("all.tar");
    let begun = std::time::Instant::now();
    pack(&project, "timed.tar").ends(0);
    let whole = begun.elapsed();
    let rounds = 12;
    for round in 0..rounds {
        let out = format!("killed-{round}.tar");
        let mut command = project.command(&["snapshot", BUNDLE, "--source", "src", "-o", &out, "--store", "store"]);
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        let mut run = command.spawn().unwrap();
        std::thread::sleep(whole * round / rounds);
        run.kill().unwrap();
        run.wait().unwrap();
        assert!(!project.path(&out).exists() || project.get(&out) == good, "round {round}");
    }
    pack(&project, "after.tar").ends(0);
    assert!(project.get("after.tar") == good);
}
