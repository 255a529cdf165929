//! What the steps were seen to read and to try, in a small root made for it.

use super::setup::{Place, Test, place, root, spec, uid};
use countersign::sandbox::{self, How, Observed, Ran, SandboxError, Seen, Spec, WantedKind, Watch};
use std::fs::{copy, create_dir_all, read_dir, write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

pub const TESTS: &[Test] = &[
    ("traced_reads", traced_reads),
    ("traced_reads_cannot_be_hidden", traced_reads_cannot_be_hidden),
    ("traced_copies_cannot_be_written", traced_copies_cannot_be_written),
    ("traced_attempts", traced_attempts),
    ("traced_failure", traced_failure),
    ("traced_signals_and_time", traced_signals_and_time),
    ("not_traced", not_traced),
];

const TOOLS: [&str; 8] = ["sh", "cat", "chmod", "dd", "ls", "sleep", "stat", "touch"];

/// A root with a few programs, their libraries, and files to be read.
struct Small {
    dir: tempfile::TempDir,
    place: Place,
}

fn small() -> Small {
    let dir = root();
    let at = |path: &Path| dir.path().join(path.strip_prefix("/").unwrap());
    let take = |from: &Path| {
        let to = at(&from.parent().unwrap().canonicalize().unwrap()).join(from.file_name().unwrap());
        create_dir_all(to.parent().unwrap()).unwrap();
        copy(from, to).unwrap();
    };
    for tool in TOOLS {
        let program = Path::new("/usr/bin").join(tool);
        take(&program);
        let said = Command::new("ldd").arg(&program).output().unwrap();
        let said = String::from_utf8(said.stdout).unwrap();
        said.split_whitespace().filter(|word| word.starts_with('/')).for_each(|library| take(Path::new(library)));
    }
    for link in ["/bin", "/lib", "/lib64"].map(Path::new).iter().filter(|path| path.is_symlink()) {
        symlink(std::fs::read_link(link).unwrap(), at(link)).unwrap();
    }
    let share = dir.path().join("usr/share");
    for name in ["listed", "other"] {
        create_dir_all(share.join(name)).unwrap();
    }
    for name in ["read", "stated", "target", "third", "untouched", "listed/one"] {
        write(share.join(name), name).unwrap();
    }
    symlink("target", share.join("link")).unwrap();
    Small { dir, place: place() }
}

impl Small {
    fn spec(&self, script: &str, attempts: bool) -> Spec {
        let entries = read_dir(self.dir.path()).unwrap().map(|entry| entry.unwrap());
        let roots: Vec<(PathBuf, PathBuf)> =
            entries.map(|entry| (entry.path(), Path::new("/").join(entry.file_name()))).collect();
        let copies = roots.iter().map(|(_, place)| place.clone()).collect();
        Spec { roots, watch: Some(Watch { copies, attempts }), ..spec(&self.place.build, script) }
    }
}

fn run(spec: &Spec) -> (Result<Ran, SandboxError>, Option<Box<Observed>>, String) {
    let mut log = Vec::new();
    let (result, observed) = sandbox::run_watched(spec, &mut |chunk| log.extend_from_slice(chunk));
    (result, observed, String::from_utf8_lossy(&log).into_owned())
}

fn reads(script: &str) -> (Seen, String) {
    let (result, observed, log) = run(&small().spec(script, false));
    assert!(result.is_ok(), "{result:?}\n{log}");
    (observed.unwrap().copies.unwrap(), log)
}

fn has(list: &[String], path: &str) -> bool {
    list.iter().any(|one| one == path)
}

fn traced_reads() {
    let (seen, log) = reads(
        "cd /usr/share; cat read link >/dev/null; stat stated other third >/dev/null; ls listed >/dev/null; test -e untouched",
    );
    let mut shared = seen.files.clone();
    shared.retain(|path| path.starts_with("usr/share/"));
    assert_eq!(shared, ["usr/share/read", "usr/share/target"], "a name that is looked up is no reading: {log}");
    let mut programs = seen.files.clone();
    programs.retain(|path| path.starts_with("usr/bin/"));
    assert_eq!(programs, ["cat", "ls", "sh", "stat"].map(|name| format!("usr/bin/{name}")));
    assert!(seen.files.iter().any(|path| path.contains("/ld-linux")), "what loads programs: {:?}", seen.files);
    assert!(seen.files.iter().any(|path| path.ends_with("/libc.so.6")), "{:?}", seen.files);
    assert_eq!(seen.dirs, ["usr/share/listed"]);
    assert_eq!(seen.links, ["usr/share/link"]);
    assert_eq!(seen.touched, [""; 0]);
}

fn traced_reads_cannot_be_hidden() {
    let (seen, log) = reads("dd if=/usr/share/read of=/dev/null iflag=noatime || echo refused");
    assert!(log.contains("refused") && !has(&seen.files, "usr/share/read"), "{log}");
    let (seen, _) = reads(
        "cd /usr/share; cat read third >/dev/null; touch -a -d @1 read; stat -c %X.%Y read; touch -d @77 untouched; chmod 600 stated",
    );
    let touched = ["usr/share/read", "usr/share/stated", "usr/share/untouched"];
    assert_eq!(seen.touched, touched);
    assert!(touched.iter().all(|path| has(&seen.files, path)), "may have been read: {:?}", seen.files);
    assert!(has(&seen.files, "usr/share/third"));
}

fn traced_copies_cannot_be_written() {
    let (seen, log) = reads(
        "cd /usr/share; chmod 666 read || :; for try in 'echo x > read' 'echo x > new' ': >> read' 'ln -s a b'; do \
         (eval \"$try\") 2>/dev/null && echo \"could $try\"; done; cat read; echo; ls listed",
    );
    assert_eq!(log, "read\none\n", "{:?}", seen.touched);
}

fn traced_attempts() {
    let small = small();
    write(small.place.build.join("script"), "#!/usr/bin/cat\nlast line\n").unwrap();
    std::fs::set_permissions(small.place.build.join("script"), std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .unwrap();
    let script = "cat /usr/share/read /usr/share/listed/../none /usr/share/link; ./script; cat /usr/share/none; :";
    let (result, observed, log) = run(&small.spec(script, true));
    assert!(result.is_ok() && log.contains("last line"), "{result:?}\n{log}");
    let observed = observed.unwrap();
    let attempts = observed.attempts.unwrap();
    let none = attempts.missing.iter().find(|missing| missing.path == "usr/share/none").unwrap();
    assert_eq!((none.by.as_str(), none.times), ("usr/bin/cat", 2));
    let programs: Vec<_> =
        attempts.programs.iter().map(|one| (one.path.as_str(), one.argv0.as_str(), one.times)).collect();
    let cat = "/usr/bin/cat";
    assert_eq!(programs, [("build/script", cat, 1), ("usr/bin/cat", "cat", 2), ("usr/bin/sh", "sh", 1)]);
    // Two ways to the same answer.
    assert_eq!(attempts.opened, observed.copies.unwrap().files);
    assert_eq!((attempts.wanted, attempts.addresses, attempts.left_out), (vec![], vec![], 0));
}

fn traced_failure() {
    let small = small();
    let (result, observed, _) = run(&small.spec("set -e; cat /usr/share/none.h || :; tool-of-nobody --x", true));
    assert!(matches!(result, Err(SandboxError::StepFailed { how: How::Exit(127), .. })), "{result:?}");
    let wanted = observed.unwrap().attempts.unwrap().wanted;
    assert_eq!((wanted[0].kind, wanted[0].name.as_str()), (WantedKind::Program, "tool-of-nobody"));
    assert!(wanted[0].paths.contains(&"usr/bin/tool-of-nobody".to_owned()), "{wanted:?}");
    let (result, observed, _) = run(&small.spec("tool-of-nobody || sleep 0; cat /usr/share/none.h", true));
    assert!(result.is_err());
    let wanted = observed.unwrap().attempts.unwrap().wanted;
    let first = (wanted[0].kind, wanted[0].paths.clone(), wanted[0].by.as_str());
    assert_eq!(first, (WantedKind::Header, vec!["usr/share/none.h".to_owned()], "usr/bin/cat"));
}

fn traced_signals_and_time() {
    let small = small();
    let (result, _, log) = run(&small.spec("trap 'echo caught' TERM; kill -TERM $$; kill -KILL $$", true));
    assert!(matches!(result, Err(SandboxError::StepFailed { how: How::Signal(9), .. })), "{result:?}");
    assert_eq!(log, "caught\n");
    let mut long = small.spec("cat /usr/share/read; sleep 60", true);
    long.limits.time = Duration::from_millis(700);
    for attempts in [true, false] {
        long.watch.as_mut().unwrap().attempts = attempts;
        let begun = std::time::Instant::now();
        let (result, observed, _) = run(&long);
        assert!(matches!(result, Err(SandboxError::TimedOut { .. })) && begun.elapsed() < Duration::from_secs(30));
        assert!(has(&observed.unwrap().copies.unwrap().files, "usr/share/read"));
    }
}

/// The twin of all of them.
fn not_traced() {
    let small = small();
    let script = "dd if=own of=/dev/null iflag=noatime 2>/dev/null && echo read; (echo x > /usr/share/read) 2>/dev/null || echo refused";
    for (watch, said) in [(true, "refused\n"), (false, "read\nrefused\n")] {
        write(small.place.build.join("own"), "own").unwrap();
        sandbox::own_build_dir(&small.place.build).unwrap();
        let mut spec = small.spec(script, false);
        if !watch {
            spec.watch = None;
        }
        let (result, observed, log) = run(&spec);
        assert!(result.is_ok(), "{result:?}");
        assert_eq!((observed.is_some(), log.as_str()), (watch, said), "as user {}", uid());
    }
}
