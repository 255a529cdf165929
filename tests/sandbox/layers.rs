//! The second layers: what still holds where the first would be gone. Each test fails when its layer is taken out.

use super::setup::{Place, Test, place, run, spec, uid, wait_until};
use countersign::sandbox;
use nix::sched::{CloneFlags, setns};
use std::cell::RefCell;
use std::fs::File;
use std::io::{BufRead, Read};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};

pub const TESTS: &[Test] = &[
    ("landlock_refuses_what_mounts_allow", landlock_refuses_what_mounts_allow),
    ("sockets_out_of_scope", sockets_out_of_scope),
    ("process_1_is_closed_to_its_own_namespace", process_1_is_closed_to_its_own_namespace),
];

/// The kernel's version of Landlock, asked without the crate that the sandbox uses; the program stands in the build directory.
fn abi(place: &Place) -> u32 {
    std::fs::write(place.dir.path().join("landlock.c"), include_str!("landlock.c")).unwrap();
    let compiled =
        Command::new("cc").args(["-o", "build/landlock", "landlock.c"]).current_dir(place.dir.path()).status();
    assert!(compiled.unwrap().success());
    sandbox::own_build_dir(&place.build).unwrap();
    let output = Command::new(place.build.join("landlock")).arg("abi").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}

fn landlock_refuses_what_mounts_allow() {
    let place = place();
    let abi = abi(&place);
    // A process's own name: the mount of /proc is writable, and so is the file.
    let script = "(echo x > /proc/self/comm) 2>/dev/null && echo written; (echo x > /proc/self/oom_score_adj) \
                  2>/dev/null; test -w /proc/self/comm && echo mode allows";
    let (result, log) = run(&spec(&place.build, script));
    let controls = result.unwrap().controls;
    let (files, scopes) = (controls["landlock"] == "enforced", controls["landlock-scopes"] == "enforced");
    assert_eq!((files, scopes), (abi >= 1, abi >= 6), "the record is what the kernel, version {abi}, offers");
    assert_eq!(log, if files { "mode allows\n" } else { "written\nmode allows\n" });
    // The same outside, to see that it was Landlock.
    let mut log = Vec::new();
    sandbox::run_plain(&spec(&place.build, script), &mut |chunk| log.extend_from_slice(chunk)).unwrap();
    assert_eq!(String::from_utf8(log).unwrap(), "written\nmode allows\n");
}

/// Host ids of a step's process, of process 1 and of the outer helper, from a mark on the step's command line.
fn family(mark: &str) -> [u32; 3] {
    let found = RefCell::new(None);
    wait_until("the step starts", || {
        let entries = std::fs::read_dir("/proc").unwrap().flatten();
        let step = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()).find(|pid| {
            std::fs::read(format!("/proc/{pid}/cmdline"))
                .is_ok_and(|line| line == format!("sleep\0{mark}\0").as_bytes())
        });
        *found.borrow_mut() = step;
        step.is_some()
    });
    let parent = |pid: u32| -> u32 {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap().trim().parse().unwrap()
    };
    let step = found.into_inner().unwrap();
    let named = |pid: u32, role: &str| {
        let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
        assert_eq!(line.trim_end_matches('\0'), format!("countersign:sandbox-{role}"));
        pid
    };
    // Between the two is the shell.
    let inner = named(parent(parent(step)), "inner");
    [step, inner, named(parent(inner), "outer")]
}

/// This program as the build's id, which owns the namespaces and so may enter them.
fn intruder(role: &str, words: &[String]) -> Child {
    let id = sandbox::build_id();
    let mut command = Command::new("/proc/self/exe");
    command.args(["--child", role]).arg(words.join(" ")).stdin(Stdio::piped()).stdout(Stdio::piped());
    if uid() != id.uid {
        command.uid(id.uid).gid(id.gid);
    }
    command.current_dir("/").spawn().unwrap()
}

pub fn child(role: &str, words: &Path) -> Option<ExitCode> {
    let words: Vec<&str> = words.to_str()?.split(' ').collect();
    let enter = |pid: &str, names: &[&str]| {
        let files: Vec<File> = names.iter().map(|name| File::open(format!("/proc/{pid}/ns/{name}")).unwrap()).collect();
        files.iter().for_each(|file| setns(file, CloneFlags::empty()).unwrap());
    };
    match (role, &words[..]) {
        ("listen", [outer, name]) => {
            enter(outer, &["user", "net"]);
            let listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(name).unwrap()).unwrap();
            println!("listening");
            let _ = std::io::stdin().read(&mut [0]);
            drop(listener);
        }
        ("open", [inner, step]) => {
            enter(inner, &["user"]);
            for pid in [step, inner] {
                for name in ["mem", "environ", "exe", "fd/0", "root"] {
                    let word = match File::open(format!("/proc/{pid}/{name}")) {
                        Ok(_) => "ok".to_owned(),
                        Err(err) => format!("{:?}", err.kind()),
                    };
                    println!("{name} {word}");
                }
            }
        }
        _ => return None,
    }
    Some(ExitCode::SUCCESS)
}

fn sockets_out_of_scope() {
    let place = place();
    let abi = abi(&place);
    let name = format!("countersign-test-{}", std::process::id());
    let script = format!("sleep 36.{} & echo up; ./landlock connect {name}", std::process::id());
    let mut intruder = None;
    let mut log = String::new();
    let result = sandbox::run(&spec(&place.build, &script), &mut |chunk| {
        log.push_str(&String::from_utf8_lossy(chunk));
        if intruder.is_none() {
            let [_, _, outer] = family(&format!("36.{}", std::process::id()));
            let mut child = self::intruder("listen", &[outer.to_string(), name.clone()]);
            let mut line = String::new();
            std::io::BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
            assert_eq!(line, "listening\n");
            intruder = Some(child);
        }
    });
    let mut intruder = intruder.unwrap();
    drop(intruder.stdin.take());
    intruder.wait().unwrap();
    let ran = result.unwrap();
    let scopes = ran.controls["landlock-scopes"] == "enforced";
    assert_eq!(scopes, abi >= 6);
    assert_eq!(log, if scopes { "up\nEPERM\n" } else { "up\nok\n" }, "Landlock {abi}");
}

/// Our capabilities keep the steps from process 1 too. So this asks as somebody who has the same ones in its user namespace, and for
/// whom `set_dumpable(false)` alone is in the way.
fn process_1_is_closed_to_its_own_namespace() {
    let place = place();
    let mark = format!("35.{}", std::process::id());
    let mut said = None;
    let result = sandbox::run(&spec(&place.build, &format!("sleep {mark} & echo up; sleep 1")), &mut |_| {
        if said.is_none() {
            let [step, inner, _] = family(&mark);
            let output = intruder("open", &[inner.to_string(), step.to_string()]).wait_with_output().unwrap();
            said = Some(String::from_utf8(output.stdout).unwrap());
        }
    });
    assert!(result.is_ok(), "{result:?}");
    let said = said.unwrap();
    let names = ["mem", "environ", "exe", "fd/0", "root"];
    let expected = |word: &str| names.map(|name| format!("{name} {word}\n")).concat();
    assert_eq!(said, expected("ok") + &expected("PermissionDenied"), "a step's process, then process 1");
}
