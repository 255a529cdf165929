//! `countersign attest` and `build` through the program: what they write, where, and what they leave alone. Without isolation and without
//! roots, so that no `/usr` is read; the sandbox has tests of its own.
#![cfg(target_os = "linux")]

use std::fs::{read_to_string, write};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

struct Scene(tempfile::TempDir);

impl Scene {
    fn new(step: &str) -> Scene {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("source")).unwrap();
        write(dir.path().join("source/file"), "from the source").unwrap();
        let scene = Scene(dir);
        scene.step(step);
        let (code, said) = scene.run(&["key", "generate", "--out", "key", "--no-passphrase"]);
        assert_eq!(code, 0, "{said}");
        scene
    }

    fn step(&self, step: &str) {
        let text = format!(
            "name = \"x\"\nversion = \"1\"\n[build]\nsteps = [[\"sh\", \"-ec\", {step:?}]]\noutputs = [\"out\"]\n\
             [environment]\ndefault-roots = false\n"
        );
        write(self.path("source/countersign.toml"), text).unwrap();
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    fn run(&self, args: &[&str]) -> (i32, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
        let output = command.args(args).current_dir(self.0.path()).env("TMPDIR", self.0.path()).output().unwrap();
        let both = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap(), String::from_utf8(both).unwrap())
    }

    fn attest(&self, more: &[&str]) -> (i32, String) {
        let base = ["attest", "--source", "source", "--sandbox", "none", "--key", "key", "--bundle", "x.intoto.jsonl"];
        self.run(&[&base, more].concat())
    }

    /// Names in a directory that are not the scene's own.
    fn names(&self) -> Vec<String> {
        let all =
            std::fs::read_dir(self.0.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> =
            all.filter(|name| !["source", "key", "key.pub"].contains(&name.as_str())).collect();
        names.sort();
        names
    }
}

const WORKS: &str = "echo said; mkdir out; cp file out/copy; echo new > out/new";

#[test]
fn what_it_writes_and_says() {
    let scene = Scene::new(WORKS);
    let (code, said) = scene.attest(&["--json"]);
    assert_eq!(code, 0, "{said}");
    assert_eq!(scene.names(), ["x.environment", "x.intoto.jsonl", "x.log"]);
    assert!(said.contains("kept beside it: x.log, x.environment (32 bytes)\n"), "{said}");
    assert!(said.contains("note: output out/copy is a copy of the source file file\n"), "{said}");
    assert!(said.contains(r#""copies":[{"name":"out/copy","of":"source","path":"file"}]"#), "{said}");
    assert!(!said.contains("out/new is a copy"));
    assert!(!said.contains("reading the environment"), "there is none");
}

#[test]
fn compiled_code_in_the_source_is_named() {
    let scene = Scene::new("mkdir out; echo built > out/new");
    let build = |out: &str| {
        let (code, said) = scene.run(&[
            "build",
            "--source",
            "source",
            "--sandbox=none",
            "--no-cache",
            "--quiet",
            "--json",
            "--out",
            out,
        ]);
        assert_eq!(code, 0, "{said}");
        said
    };
    let said = build("without");
    assert!(said.contains(r#""opaque":{"count":0,"files":[]}"#) && !said.contains("compiled code"), "{said}");
    write(scene.path("source/lib.bin"), b"\x7fELF\x02\x01\x01").unwrap();
    let said = build("with");
    assert!(said.contains(r#""opaque":{"count":1,"files":[{"kind":"ELF","name":"lib.bin"}]}"#), "{said}");
    assert!(
        said.contains("note: compiled code in the source, which nobody can review: 1 file: lib.bin (ELF)\n"),
        "{said}"
    );
}

#[test]
fn what_is_there_is_refused_before_anything_runs() {
    for name in ["x.log", "x.environment", "x.intoto.jsonl"] {
        let scene = Scene::new(&format!("echo ran; {WORKS}"));
        write(scene.path(name), "older").unwrap();
        let (code, said) = scene.attest(&[]);
        assert_eq!(code, 2, "{said}");
        assert!(said.contains(&format!("{name} is there already")) && !said.contains("ran"), "{said}");
        assert_eq!(scene.names(), [name]);
        assert_eq!(read_to_string(scene.path(name)).unwrap(), "older");
        let (code, said) = scene.attest(&["--force"]);
        if name == "x.intoto.jsonl" {
            // It could be anything, the key that was named too.
            assert!(code == 2 && said.contains("is no bundle") && !said.contains("ran"), "{said}");
            assert_eq!((scene.names().len(), read_to_string(scene.path(name)).unwrap().as_str()), (1, "older"));
            std::fs::remove_file(scene.path(name)).unwrap();
            assert_eq!(scene.attest(&[]).0, 0);
            assert_eq!(scene.attest(&["--force"]).0, 0, "a bundle is replaced");
            continue;
        }
        assert_eq!(code, 0, "{said}");
        assert_ne!(read_to_string(scene.path(name)).unwrap(), "older");
    }
}

#[test]
fn nothing_is_written_through_a_link() {
    for (link, force) in [("x.log.part", false), ("x.log", true), ("x.environment", true), ("x.intoto.jsonl", true)] {
        let scene = Scene::new(WORKS);
        write(scene.path("precious"), "precious").unwrap();
        symlink("precious", scene.path(link)).unwrap();
        let (code, said) = scene.attest(if force { &["--force"] } else { &[] });
        assert_eq!(code, 0, "{said}");
        assert_eq!(read_to_string(scene.path("precious")).unwrap(), "precious", "{link}");
        // Also a link to nothing counts as something that is there.
        let scene = Scene::new(WORKS);
        symlink("nowhere", scene.path(link)).unwrap();
        assert_eq!(scene.attest(&[]).0, if link == "x.log.part" { 0 } else { 2 });
        assert!(!scene.path("nowhere").exists());
    }
}

#[test]
fn a_failed_build_leaves_its_log_and_nothing_else() {
    let scene = Scene::new("echo why; false");
    for _ in 0..2 {
        let (code, said) = scene.attest(&["--out", "dist"]);
        assert_eq!(code, 6, "{said}");
        assert!(said.contains("the whole log is in x.failed.log"), "{said}");
        assert_eq!(scene.names(), ["x.failed.log"]);
    }
    assert_eq!(read_to_string(scene.path("x.failed.log")).unwrap(), "why\n");
    scene.step(WORKS);
    assert_eq!(scene.attest(&[]).0, 0, "a failed build is not in the way of the next");
}

#[test]
fn a_failed_attest_removes_what_it_made_and_no_more() {
    // A name that is too long for a file that is written aside, which is found out when all is built.
    let scene = Scene::new(WORKS);
    write(scene.path("unrelated.environment"), "other").unwrap();
    let long = format!("{}.intoto.jsonl", "x".repeat(225));
    let (code, said) = scene.run(
        &[
            &["attest", "--source", "source", "--sandbox", "none", "--key", "key"][..],
            &["--bundle", &long, "--out", "dist"],
        ]
        .concat(),
    );
    assert_eq!(code, 7, "{said}");
    assert!(said.contains("File name too long"), "{said}");
    assert_eq!(scene.names(), ["unrelated.environment"]);
}

#[test]
fn outputs_that_are_no_tree_are_a_failed_build() {
    for (step, word) in [("mkdir out; mkfifo out/p", "a FIFO"), ("mkdir out; echo > out/a; echo > out/A", "out/A")] {
        let (code, said) = Scene::new(step).attest(&[]);
        assert!(code == 6 && said.contains(word), "{code} {said}");
    }
}

#[test]
fn not_below_the_source_nor_below_a_root() {
    let scene = Scene::new(WORKS);
    let inside = scene.path("source/scratch");
    for command in ["attest", "build"] {
        let mut args = vec![command, "--source", "source", "--sandbox", "none", "--scratch", inside.to_str().unwrap()];
        args.extend(if command == "attest" {
            ["--key", "key", "--bundle", "b"].as_slice()
        } else {
            &["--out", "dist"]
        });
        let (code, said) = scene.run(&args);
        assert!(code == 2 && said.contains("is inside the source"), "{said}");
        args[6] = "/usr/share";
        let text = read_to_string(scene.path("source/countersign.toml")).unwrap();
        write(scene.path("source/countersign.toml"), format!("{text}roots = [\"/usr/share\"]\n")).unwrap();
        let (code, said) = scene.run(&args);
        assert!(code == 2 && said.contains("which the build can read"), "{said}");
        scene.step(WORKS);
        // Relative, and elsewhere: fine.
        args[6] = "elsewhere";
        let _ = std::fs::create_dir(scene.path("elsewhere"));
        let (code, said) = scene.run(&args);
        assert_eq!(code, 0, "{said}");
        assert_eq!(std::fs::read_dir(scene.path("elsewhere")).unwrap().count(), 0, "the work directory is gone");
    }
    assert!(Path::new("/usr/share").is_dir());
}

#[test]
fn the_systems_temporary_directory_in_the_source() {
    let scene = Scene::new(WORKS);
    let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
    command.args(["build", "--source", "source", "--sandbox", "none", "--out", "dist"]);
    let output = command.current_dir(scene.0.path()).env("TMPDIR", scene.path("source")).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("temporary directory"));
}
