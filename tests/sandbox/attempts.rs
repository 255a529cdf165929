//! What the steps try in vain.

use super::setup::{Test, place, root, run, same, sh, spec};

pub const TESTS: &[Test] =
    &[("probe", probe), ("roots_are_read_only", roots_are_read_only), ("setuid_gives_nothing", setuid_gives_nothing)];

/// The probe's lines; for those with two answers, either is a refusal.
const EXPECTED: &[(&str, &[&str])] = &[
    ("connect-outside", &["ENETUNREACH"]),
    ("connect-loopback", &["ECONNREFUSED"]),
    ("loopback-server", &["ok"]),
    ("vsock", &["EAFNOSUPPORT"]),
    ("packet", &["EAFNOSUPPORT"]),
    ("unix", &["ok"]),
    ("unshare-user", &["EPERM"]),
    ("unshare-mount", &["EPERM"]),
    ("clone-user", &["EPERM"]),
    ("clone3", &["ENOSYS"]),
    ("mount", &["EPERM"]),
    ("umount", &["EPERM"]),
    ("fsopen", &["EPERM"]),
    ("mount-setattr", &["EPERM"]),
    ("open-tree-attr", &["EPERM"]),
    ("keyctl", &["EPERM"]),
    ("bpf", &["EPERM"]),
    ("io-uring", &["ENOSYS"]),
    ("userfaultfd", &["EPERM"]),
    ("handle", &["EPERM"]),
    ("chroot", &["EPERM"]),
    ("tiocsti", &["EPERM"]),
    ("tiocsti-high-bits", &["EPERM"]),
    ("setuid-root", &["EINVAL"]),
    ("signal-init", &["ok"]),
    ("proc-1-exe", &["EACCES"]),
    ("proc-1-mem", &["EACCES"]),
    ("proc-1-environ", &["EACCES"]),
    ("proc-1-fd", &["EACCES"]),
    ("proc-1-root", &["EACCES"]),
    ("proc-sysrq", &["EACCES", "ENOENT"]),
    ("proc-sys", &["EACCES", "EROFS"]),
    ("root-write", &["EROFS", "EACCES"]),
    ("etc-write", &["EROFS", "EACCES"]),
    ("usr-write", &["EROFS", "EACCES"]),
    ("null-write", &["ok"]),
    #[cfg(target_arch = "x86_64")]
    ("x32-mount", &["ENOSYS"]),
    #[cfg(target_arch = "x86_64")]
    ("x32-getpid", &["ENOSYS"]),
    #[cfg(target_arch = "x86_64")]
    ("i386", &["killed"]),
    ("no-new-privs", &["1"]),
    ("seccomp", &["2"]),
    ("persona", &["40000"]),
    ("files", &["1024 4096"]),
    ("stack", &["8388608 67108864"]),
    // The second where the host has fixed it.
    ("core", &["1 1", "0 0"]),
    ("pid", &["1 session 1"]),
];

fn probe() {
    let place = place();
    std::fs::write(place.build.join("probe.c"), include_str!("probe.c")).unwrap();
    countersign::sandbox::own_build_dir(&place.build).unwrap();
    let begun = std::time::Instant::now();
    let (result, log) = run(&spec(&place.build, "cc -o probe probe.c && ./probe"));
    assert!(result.is_ok(), "{result:?}\n{log}");
    assert!(begun.elapsed().as_secs() < 20, "no attempt waits for an answer");
    let seen: Vec<(&str, &str)> = log.lines().filter_map(|line| line.split_once(' ')).collect();
    for ((name, answers), (seen_name, seen)) in EXPECTED.iter().zip(&seen) {
        assert_eq!(name, seen_name, "{log}");
        assert!(answers.contains(seen), "{name}: {seen}, not {answers:?}\n{log}");
    }
    assert_eq!(seen.len(), EXPECTED.len(), "{log}");
}

fn roots_are_read_only() {
    let place = place();
    let script =
        "for f in /usr/bin/env /etc/passwd /usr/x /x /etc/x; do (echo x >> $f) 2>/dev/null && echo $f; done; touch ok";
    let mut spec = spec(&place.build, script);
    let (result, log) = run(&spec);
    assert!(result.is_ok() && log.is_empty(), "{log}");
    // A file that the build's id owns: its mode lets the build write.
    let root = root();
    std::fs::write(root.path().join("f"), "as it was").unwrap();
    countersign::sandbox::own_build_dir(root.path()).unwrap();
    spec.roots.push(same(root.path()));
    let path = root.path().display();
    spec.steps[0][2] = format!(
        "cat {path}/f; for c in 'tee {path}/f' 'chmod 777 {path}/f' 'rm -f {path}/f' 'mv {path}/f /build' 'touch {path}/g' \
         'truncate -s 0 {path}/f' 'ln {path}/f /build/f'; do $c </dev/null >/dev/null 2>&1 && echo $c; done; true"
    );
    let (result, log) = run(&spec);
    assert!(result.is_ok(), "{result:?}");
    assert_eq!(log, "as it was");
    assert_eq!(std::fs::read_to_string(root.path().join("f")).unwrap(), "as it was");
}

fn setuid_gives_nothing() {
    let log =
        sh("for p in /usr/bin/su /usr/bin/mount /usr/bin/passwd /usr/bin/chfn; do test -u $p && echo found; done; \
         cp /usr/bin/id own-id; chmod 6755 own-id; ./own-id -u; grep NoNewPrivs /proc/self/status; \
         stat -f -c %T /build >/dev/null; grep -c -e ' /usr .*nosuid' -e ' /build .*nosuid' /proc/self/mountinfo");
    let tail: Vec<&str> = log.lines().filter(|line| *line != "found").collect();
    assert_eq!(tail, ["1000", "NoNewPrivs:\t1", "2"], "{log}");
}
