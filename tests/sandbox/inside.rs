//! What the steps see.

use super::setup::{Test, place, run, sh, spec, uid};
use countersign::sandbox::SandboxError;
use std::os::unix::fs::MetadataExt;

pub const TESTS: &[Test] = &[
    ("identity", identity),
    ("environment_is_exact", environment_is_exact),
    ("locale_and_time_zone", locale_and_time_zone),
    ("terminal_and_descriptors", terminal_and_descriptors),
    ("proc_shows_own_processes", proc_shows_own_processes),
    ("only_the_roots_are_there", only_the_roots_are_there),
    ("outputs_belong_to_the_build_id", outputs_belong_to_the_build_id),
    ("tmp_is_private", tmp_is_private),
    ("addresses_are_fixed", addresses_are_fixed),
    ("compiles_c", compiles_c),
    ("big_output_passes_through", big_output_passes_through),
    ("steps_in_order", steps_in_order),
    ("as_many_processors_as_told", as_many_processors_as_told),
    ("controls_are_what_is", controls_are_what_is),
];

fn identity() {
    let log = sh(
        "id; hostname 2>/dev/null || uname -n; umask; pwd; id -un; echo ~; grep Cap /proc/self/status; grep Groups: /proc/self/status",
    );
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(lines[0], "uid=1000(build) gid=1000(build) groups=1000(build)");
    assert_eq!(lines[1..6], ["build", "0022", "/build", "build", "/home/build"]);
    for cap in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        assert!(log.contains(&format!("{cap}:\t0000000000000000")), "{log}");
    }
    assert!(log.contains("Groups:\t \n") || log.contains("Groups:\t\n"), "no groups but its own: {log}");
    let own = countersign::sandbox::build_id();
    assert_eq!(own.uid, if uid() == 0 { 64193 } else { uid() });
    assert_ne!(own.uid, 0);
}

fn as_many_processors_as_told() {
    let count = "nproc; grep -c ^processor /proc/cpuinfo; grep -c '^cpu[0-9]' /proc/stat; awk '/^Cpus_allowed_list/{print $2}' /proc/self/status; ls -A / | grep '^\\.' || :";
    let place = place();
    let mut one = spec(&place.build, count);
    one.limits.processors = Some(1);
    let (result, log) = run(&one);
    assert!(result.is_ok(), "{result:?}\n{log}");
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(lines[..3], ["1", "1", "1"], "{log}");
    assert!(lines.len() == 4 && lines[3].parse::<u32>().is_ok(), "one, and nothing is left in the root: {log}");
    one.steps[0][2] = "echo x > /proc/stat || echo x > /proc/cpuinfo || rm /proc/stat || echo kept".into();
    assert!(run(&one).1.ends_with("kept\n"));
    // The twin: what the machine has, and more than that.
    let there = std::thread::available_parallelism().unwrap().get();
    assert!(sh(count).starts_with(&format!("{there}\n")));
    one.limits.processors = Some(there as u32 + 1);
    let (result, log) = run(&one);
    assert!(log.is_empty(), "{log}");
    match result {
        Err(SandboxError::Processors { wanted, there: found }) => {
            assert_eq!((wanted, found), (there as u32 + 1, there as u32))
        }
        other => panic!("{other:?}"),
    }
}

fn environment_is_exact() {
    let place = place();
    let mut spec = spec(&place.build, "");
    spec.variables.insert("http_proxy".into(), "a".into());
    spec.variables.insert("HTTP_PROXY".into(), "b\nc".into());
    spec.steps = vec![vec!["env".into(), "-0".into()]];
    let (result, log) = run(&spec);
    assert!(result.is_ok(), "{result:?} {log}");
    let mut seen: Vec<&str> = log.split_terminator('\0').collect();
    seen.sort_unstable();
    let expected: Vec<String> = spec.variables.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(seen, expected);
}

fn locale_and_time_zone() {
    let log = sh("date -d @0 +%Z%H; printf 'b\\nA\\na\\n' | sort | tr -d '\\n'; locale charmap");
    assert_eq!(log, "UTC00\nAabUTF-8\n");
}

fn terminal_and_descriptors() {
    let log = sh("exec ls /proc/self/fd");
    // 3 is the directory that ls reads.
    assert_eq!(log, "0\n1\n2\n3\n");
    let log = sh(
        "readlink /proc/self/fd/0; cat; echo to-error > /dev/stderr; (: < /dev/tty) 2>/dev/null || echo no terminal",
    );
    assert_eq!(log, "/dev/null\nto-error\nno terminal\n");
}

fn proc_shows_own_processes() {
    let log = sh("cd /proc; echo [0-9]*; cat /proc/1/comm; ls /sys /run 2>&1 | wc -l");
    let count = log.lines().next().unwrap().split(' ').count();
    assert!((2..=3).contains(&count), "{log}");
    let log = sh("tail -n +3 /proc/net/dev | cut -d: -f1");
    assert_eq!(log.trim(), "lo");
}

fn only_the_roots_are_there() {
    let place = place();
    std::fs::write(place.dir.path().join("secret"), "secret").unwrap();
    std::fs::write(place.build.join("own"), "own").unwrap();
    let home = std::env::var("HOME").unwrap_or("/root".into());
    let script = format!(
        "cat own; echo; ls -A /; ls -A /dev /etc /home /home/build /tmp; \
         cat {secret} /etc/shadow /root/.profile {home}/.cargo/config.toml /build/../secret /proc/1/root{secret} 2>&1 | grep -c -v -e 'No such' -e 'Permission denied'",
        secret = place.dir.path().join("secret").display()
    );
    let mut spec = spec(&place.build, &script);
    spec.steps[0][2].push_str("; true");
    let (result, log) = run(&spec);
    assert!(result.is_ok(), "{result:?} {log}");
    assert!(!log.contains("secret\n"), "{log}");
    assert!(log.ends_with("\n0\n"), "each attempt fails: {log}");
    let (top, rest) = log.strip_prefix("own\n").unwrap().split_once("/dev:\n").unwrap();
    let top: Vec<&str> = top.lines().collect();
    let allowed =
        ["bin", "build", "dev", "etc", "home", "lib", "lib32", "lib64", "libx32", "proc", "sbin", "tmp", "usr"];
    assert!(top.iter().all(|name| allowed.contains(name)) && top.contains(&"usr"), "{top:?}");
    assert!(rest.starts_with("fd\nfull\nnull\nrandom\nshm\nstderr\nstdin\nstdout\nurandom\nzero\n\n/etc:\n"), "{rest}");
    assert!(rest.contains("/home:\nbuild\n\n/home/build:\n\n/tmp:\n"), "{rest}");
}

fn outputs_belong_to_the_build_id() {
    let place = place();
    let (result, log) = run(&spec(&place.build, "mkdir d; echo x > d/f; chmod 4755 d/f; ln -s /etc/passwd l"));
    assert!(result.is_ok(), "{log}");
    let meta = std::fs::metadata(place.build.join("d/f")).unwrap();
    assert_eq!((meta.uid(), meta.mode() & 0o7777), (countersign::sandbox::build_id().uid, 0o4755));
}

fn tmp_is_private() {
    let name = format!("/tmp/countersign-probe-{}", std::process::id());
    let log = sh(&format!(
        "for d in /tmp /home/build /dev/shm; do echo x > $d/f && stat -c %a $d; done; touch {name}; ls /tmp"
    ));
    assert!(log.starts_with("1777\n755\n1777\n"), "{log}");
    assert!(!std::path::Path::new(&name).exists());
    assert_eq!(sh("ls /tmp /dev/shm | grep -c f; true"), "0\n", "nothing is kept for the next run");
}

fn addresses_are_fixed() {
    let script = "cat /proc/self/maps | sed -n 's/ .*\\[stack\\]//p; s/ .*libc.so.*//p' | sort";
    let first = sh(script);
    assert!(first.lines().count() > 1, "{first}");
    assert_eq!(first, sh(script));
}

fn compiles_c() {
    let place = place();
    std::fs::write(place.build.join("hello.c"), "#include <stdio.h>\nint main(void) { puts(\"hello\"); }\n").unwrap();
    countersign::sandbox::own_build_dir(&place.build).unwrap();
    let (result, log) = run(&spec(&place.build, "cc -O2 -pipe -o hello hello.c && ./hello"));
    assert!(result.is_ok(), "{log}");
    assert_eq!(log, "hello\n");
}

fn big_output_passes_through() {
    let peak = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
    };
    let place = place();
    let spec = spec(&place.build, "head -c 20000000 /dev/zero; head -c 1000000 /dev/zero >&2");
    let (before, mut count) = (peak(), 0);
    countersign::sandbox::run(&spec, &mut |chunk| count += chunk.len()).unwrap();
    assert_eq!(count, 21_000_000);
    assert!(peak() - before < 4096, "grew by {} KiB", peak() - before);
}

fn steps_in_order() {
    let place = place();
    let mut spec = spec(&place.build, "");
    let step = |words: &[&str]| words.iter().map(|word| word.to_string()).collect::<Vec<_>>();
    spec.steps = vec![
        step(&["sh", "-c", "echo one > f; (sleep 1000; echo late >> f) & sleep 0.05"]),
        step(&["sh", "-c", "ls /proc | grep -c '^[0-9]'; cat f"]),
        step(&["/bin/echo", "-n", "a  b"]),
    ];
    let (result, log) = run(&spec);
    let ran = result.unwrap();
    assert_eq!(ran.steps.len(), 3);
    assert!(ran.steps[0].seconds >= 0.05 && ran.steps[2].seconds < 5.0, "{:?}", ran.steps);
    let (processes, rest) = log.split_once('\n').unwrap();
    assert!(processes.parse::<u32>().unwrap() <= 4, "what a step left is gone: {log}");
    assert_eq!(rest, "one\na  b");
}

fn controls_are_what_is() {
    let place = place();
    let spec =
        spec(&place.build, "grep -e NoNewPrivs -e Seccomp: -e CapPrm /proc/self/status; cat /proc/sys/kernel/ostype");
    let (result, log) = run(&spec);
    let controls = result.unwrap().controls;
    assert!(controls.keys().eq(countersign::sandbox::CONTROLS.iter()), "{controls:?}");
    let enforced = |name: &str| controls[name] == "enforced";
    assert_eq!(enforced("no-new-privileges"), log.contains("NoNewPrivs:\t1"));
    assert_eq!(enforced("seccomp"), log.contains("Seccomp:\t2"));
    assert_eq!(enforced("capabilities"), log.contains("CapPrm:\t0000000000000000"));
    let always = controls.iter().filter(|(name, _)| !name.starts_with("landlock"));
    assert!(always.clone().all(|(_, word)| word == "enforced"), "{controls:?}");
    let plain = countersign::sandbox::run_plain(&self::spec(&place.build, "true"), &mut |_| {}).unwrap().controls;
    assert!(plain.keys().eq(controls.keys()) && plain.values().all(|word| word == "not-enforced"), "{plain:?}");
}
