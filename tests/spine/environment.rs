//! Roots: who lets the build read what, and what it means when that differs.

use super::common::{BUNDLE, Project};
use countersign::digest;
use serde_json::{Value, json};
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

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
    // What follows from it is shown in verdicts.rs with a manifest that says so; here is only that a changed root is noticed.
    let Some(place) = place() else { return root_finds_one() };
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

/// A place that this user cannot make leaves a test to root, who can.
fn root_finds_one() {
    assert!(!super::common::is_root(), "root finds a place");
}

/// Two runs of `rebuild`, with something done between them, when neither reads the roots; its exit code, and its standard
/// error without that line.
///
/// The build's log ends without a line feed, so that what is left of it is shown when the run is over and its environment was looked
/// at again. It is more than fits into the pipe: the program waits in the middle of it until somebody reads on.
fn between_two_runs(project: &Project, change: impl FnOnce()) -> (Option<i32>, String) {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let room = nix::fcntl::fcntl(&writer, nix::fcntl::FcntlArg::F_SETPIPE_SZ(4096)).unwrap();
    let left = UNFINISHED.1 * "\\u{0}".len();
    assert!((room as usize) < left, "a pipe that holds {room} bytes holds them all");
    let mut command = project.command(&project.rebuild_args(&["--runs", "2", "--key", "reviewer", "--append"]));
    let mut child = command.stdout(Stdio::null()).stderr(writer).spawn().unwrap();
    // Its end of the pipe has to be the last one.
    drop(command);
    let mut said = Vec::new();
    let mut byte = [0];
    while !said.ends_with(b"\\u{0}") {
        assert_eq!(reader.read(&mut byte).unwrap(), 1, "{}", String::from_utf8_lossy(&said));
        said.push(byte[0]);
    }
    change();
    reader.read_to_end(&mut said).unwrap();
    let said = String::from_utf8(said).unwrap().replace("\\u{0}", "");
    (child.wait().unwrap().code(), said)
}

/// Prints so many bytes of an unfinished line, each shown as `\u{0}`. One more, and it would be shown before the build is over.
const UNFINISHED: (&str, usize) = ("head -c 4095 /dev/zero", 4095);

#[test]
fn a_root_that_changes_between_two_runs() {
    let Some(place) = place() else { return root_finds_one() };
    let tool = place.path().join("tool");
    let write = |text: &str| {
        std::fs::write(&tool, text).unwrap();
        std::fs::set_permissions(&tool, PermissionsExt::from_mode(0o644)).unwrap();
    };
    write("1\n");
    let project = Project::new(&format!("echo x > out.txt; {}", UNFINISHED.0), &["out.txt"]).root(place.path());
    project.attest();
    let attested = project.get(BUNDLE);
    let (code, said) = between_two_runs(&project, || write("2\n"));
    assert_eq!(code, Some(7), "{said}");
    assert!(said.contains("error: the environment changed between the runs\nhint: run it again"), "{said}");
    assert_eq!(project.get(BUNDLE), attested, "nothing is signed");
    assert_eq!(project.names("tmp"), [""; 0]);

    // Another one than the signed, and the same in both runs; then the signed one.
    for (environment, done) in [("2\n", "2\n"), ("1\n", "1\n")] {
        write(environment);
        project.put(BUNDLE, &attested);
        let (code, said) = between_two_runs(&project, || write(done));
        assert_eq!(code, Some(0), "{said}");
        assert_eq!(project.kinds().last().unwrap(), "reproduced");
    }
}

#[test]
fn a_socket_below_a_root() {
    let Some(place) = place() else { return root_finds_one() };
    let project = Project::tiny().root(place.path());
    let socket = place.path().join("sub/s");
    std::fs::create_dir(place.path().join("sub")).unwrap();
    let listener = UnixListener::bind(&socket).unwrap();
    let why = format!("there is a socket below the roots: {}", socket.display());
    let hint = "hint: take the root that holds it out of environment.roots";
    project.attest_to(BUNDLE, &[]).fails(7, &why).says(hint);
    assert!(!project.path(BUNDLE).exists());
    // Nobody is kept from it there.
    project.attest_to(BUNDLE, &["--sandbox=none", "--out", "out"]).ends(0);
    project.rebuild(&[]).fails(7, &why).says(hint);
    // Whoever listened is gone, and may come back.
    drop(listener);
    project.rebuild(&[]).fails(7, &why);
    std::fs::remove_file(&socket).unwrap();

    // What else is no file is in the listing, and harmless.
    assert!(Command::new("mkfifo").arg(&socket).status().unwrap().success());
    assert!(socket.symlink_metadata().unwrap().file_type().is_fifo());
    project.attest_to(BUNDLE, &["--force"]).ends(0);
    assert!(project.text("b.environment").contains(&format!(" 0 - {}\n", &socket.display().to_string()[1..])));
    project.rebuild(&[]).ends(0);
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

#[test]
fn what_is_remembered_is_never_signed() {
    let project = Project::tiny();
    let build = |more: &[&str]| -> Value {
        let out = format!("out-{}", project.names(".").len());
        project.run(&[&["build", "--json", "--source", "src", "--out", &out], more].concat()).ends(0).json()
    };
    let environment = |document: &Value| document["environment"]["sha256"].as_str().unwrap().to_owned();
    let first = build(&[]);
    let truth = environment(&first);
    let files = first["environmentFiles"]["read"].as_u64().unwrap();
    assert_eq!(first["environmentFiles"]["cached"], 0);
    assert_eq!(project.mode("cache/countersign"), 0o700);
    let [name] = &project.names("cache/countersign")[..] else { panic!("one file") };
    let cache = format!("cache/countersign/{name}");
    assert_eq!(project.mode(&cache), 0o600);
    let second = build(&[]);
    assert_eq!(second["environmentFiles"], json!({ "read": 0, "cached": files }));
    assert_eq!(environment(&second), truth);

    // Its owner may make it say anything.
    let mut bytes = project.get(&cache);
    let end = bytes.len() - 32;
    bytes[end - 1] ^= 1;
    let mut sum = digest::Blake3Hasher::default();
    sum.update(&bytes[..end]);
    bytes[end..].copy_from_slice(sum.finish().as_bytes());
    project.put(&cache, &bytes);
    let poisoned = build(&[]);
    // With the digest of the listing that follows from it.
    let bytes = project.get(&cache);
    assert_eq!(environment(&build(&[])), environment(&poisoned));
    assert_eq!(poisoned["environmentFiles"]["read"], 0);
    assert_ne!(environment(&poisoned), truth);
    for whole in [&["--no-cache"][..], &["--statement", "statement"]] {
        let document = build(whole);
        assert_eq!(document["environmentFiles"], json!({ "read": files, "cached": 0 }), "{whole:?}");
        assert_eq!(environment(&document), truth, "{whole:?}");
    }
    project.attest();
    let dependencies = &project.statement("provenance")["predicate"]["buildDefinition"]["resolvedDependencies"];
    assert!(dependencies.to_string().contains(&truth), "{dependencies}");
    project.review(&[]).ends(0).prints(" as signed\n");
    let signed = [project.get(BUNDLE), project.get("b.environment")].concat();
    assert!(!String::from_utf8_lossy(&signed).contains(&environment(&poisoned)));
    assert_eq!(project.get(&cache), bytes, "neither of them has to do with it");

    // Others', and what is none.
    let ignored = |why: &str| {
        let out = format!("out-{}", project.names(".").len());
        project.run(&["build", "--source", "src", "--out", &out]).ends(0).says(why)
    };
    project.chmod(&cache, 0o622);
    ignored("is not used: others can write it");
    assert_eq!(project.mode(&cache), 0o600, "made anew");
    assert_eq!(environment(&build(&[])), truth);
    project.put(&cache, "x");
    ignored("is not used: it is not for this version");
    project.chmod("cache/countersign", 0o777);
    ignored("cache/countersign: others can write it");
}
