//! Two at once, and runs that are killed: the store stays right, and nothing half-made is used.

use super::common::Project;
use super::image::*;
#[cfg(feature = "fetch")]
use std::io::{BufRead as _, BufReader, Write as _};
#[cfg(feature = "fetch")]
use std::net::{TcpListener, TcpStream};
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

/// A mirror that takes its time: the file in pieces, after each a rest. With `short`, it hangs up after half of it.
#[cfg(feature = "fetch")]
fn slow_mirror(content: Vec<u8>, rest: Duration, short: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = format!("images=http://{}", listener.local_addr().unwrap());
    let serve = move |mut stream: TcpStream| -> std::io::Result<()> {
        let mut request = BufReader::new(stream.try_clone()?).lines();
        while request.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", content.len())?;
        let pieces: Vec<&[u8]> = content.chunks(content.len() / PIECES + 1).collect();
        for piece in pieces.iter().take(if short { PIECES / 2 } else { PIECES }) {
            stream.write_all(piece)?;
            std::thread::sleep(rest);
        }
        Ok(())
    };
    // Whoever is killed hangs up.
    std::thread::spawn(move || listener.incoming().flatten().for_each(|stream| drop(serve(stream))));
    at
}

#[cfg(feature = "fetch")]
const PIECES: usize = 10;

#[test]
#[cfg(feature = "fetch")]
fn killed_while_fetching() {
    let project = project();
    project.with("first", &["lock", "--source", "src"]).ends(0);
    let (lock, image) = (project.text("src/countersign.lock"), std::fs::read(project.path("images/root.tar")).unwrap());
    let mirror = slow_mirror(image.clone(), Duration::from_millis(20), false);
    let args = ["lock", "--source", "src", "--update", "--store", "store", "--mirror", &mirror, "--quiet"];
    let begun = Instant::now();
    project.run(&args).ends(0);
    let whole = begun.elapsed();
    // Another lock than the one that is made, to see which of them is there.
    let old = lock.replace("part archive root.tar - ", "part archive old.tar - ");
    assert_ne!(old, lock);
    let (mut kept, mut made, rounds) = (0, 0, 24);
    for round in 0..rounds {
        let _ = std::fs::remove_dir_all(project.path("store"));
        project.put("src/countersign.lock", &old);
        let mut run = project.command(&args).stderr(std::process::Stdio::null()).spawn().unwrap();
        std::thread::sleep(whole * round / rounds);
        run.kill().unwrap();
        run.wait().unwrap();
        std::thread::sleep(Duration::from_millis(20));
        match project.text("src/countersign.lock") {
            there if there == old => kept += 1,
            there if there == lock => made += 1,
            other => panic!("round {round}: half a lock: {other:?}"),
        }
        // Who is killed between making a file and putting it in its place leaves that, under a name that nobody reads.
        for name in project.names("src").into_iter().filter(|name| name.contains("lock") && name != "countersign.lock")
        {
            assert!(name.starts_with(".countersign.lock.") && name.ends_with(".new"), "round {round}: {name}");
            std::fs::remove_file(project.path(format!("src/{name}"))).unwrap();
        }
        if !project.path("store").exists() {
            continue;
        }
        project.without("store", &["cache", "verify"]).ends(0).mentions("removed 0");
        assert_eq!(project.names("store/tmp"), [""; 0], "round {round}");
    }
    assert!(kept > rounds / 2 && kept + made == rounds, "{kept} and {made} of {rounds}");
    project.run(&args).ends(0);
    assert_eq!(project.text("src/countersign.lock"), lock);

    // One that hangs up half-way.
    std::fs::remove_dir_all(project.path("store")).unwrap();
    let short = slow_mirror(image, Duration::ZERO, true);
    let args = ["lock", "--source", "src", "--update", "--store", "store", "--mirror", &short];
    project.run(&args).ends(7).mentions("root.tar");
    assert_eq!(project.text("src/countersign.lock"), lock);
    assert!(files(&project.path("store/blobs")).is_empty());
}
