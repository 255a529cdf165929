//! Two at once, and runs that are killed: the store stays right, and nothing half-made is used.

use super::common::Project;
use super::image::*;
use std::process::Child;
use std::time::{Duration, Instant};

fn build(project: &Project, out: &str) -> Child {
    let mirror = format!("images={}", project.path("images").display());
    let args = ["build", "--source", "src", "--out", out, "--store", "store", "--mirror", &mirror, "--quiet"];
    let mut command = project.command(&args);
    command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap()
}

#[test]
fn two_at_once() {
    let project = project();
    project.with("first", &["lock", "--source", "src"]).ends(0);
    let mut runs: Vec<Child> = ["one", "two", "three"].iter().map(|out| build(&project, out)).collect();
    for run in &mut runs {
        assert!(run.wait().unwrap().success());
    }
    assert_eq!(project.text("one/out.txt"), project.text("three/out.txt"));
    project.without("store", &["cache", "verify"]).ends(0).mentions("removed 0");
    assert_eq!(project.names("store/tmp"), [""; 0]);
}

#[test]
fn killed_at_any_moment() {
    let project = project();
    project.with("first", &["lock", "--source", "src"]).ends(0);
    let begun = Instant::now();
    build(&project, "whole").wait().unwrap();
    let whole = begun.elapsed();
    let rounds = 16;
    for round in 0..rounds {
        let _ = std::fs::remove_dir_all(project.path("store"));
        let mut run = build(&project, &format!("killed-{round}"));
        std::thread::sleep(whole * round / rounds);
        run.kill().unwrap();
        run.wait().unwrap();
        // The helpers die with it, each by itself.
        std::thread::sleep(Duration::from_millis(20));
        if !project.path("store").exists() {
            continue;
        }
        let verify = project.without("store", &["cache", "verify"]).ends(0);
        assert!(verify.err.contains("removed 0"), "round {round}: {}", verify.err);
        assert_eq!(project.names("store/tmp"), [""; 0], "round {round}");
        if round % 4 == 3 {
            assert!(build(&project, &format!("after-{round}")).wait().unwrap().success());
            assert_eq!(project.text(&format!("after-{round}/out.txt")), project.text("whole/out.txt"));
        }
    }
}

#[test]
fn nothing_is_removed_under_a_build() {
    let project = Project::new("echo begun; sleep 1; cat /etc/image > out.txt", &["out.txt"]);
    std::fs::create_dir(project.path("images")).unwrap();
    project.put("images/root.tar", tar(&entries()));
    project.environment("kind = \"rootfs\"\nimage = \"images:root.tar\"\n");
    project.with("store", &["lock", "--source", "src"]).ends(0);
    let mut run = build(&project, "out");
    let begun = Instant::now();
    while !std::fs::read_to_string(project.path("out.log")).is_ok_and(|log| log.contains("begun")) {
        assert!(begun.elapsed() < Duration::from_secs(60), "no build");
        std::thread::sleep(Duration::from_millis(5));
    }
    // It waits until nobody uses the store.
    project.without("store", &["cache", "gc", "--older-than", "0"]).ends(0).mentions("removed 2");
    assert!(run.wait().unwrap().success());
    assert_eq!(project.text("out/out.txt"), "one\n");
}
