//! Whole builds by a recipe that means harm.

use super::setup::{Test, uid};
use countersign::build::{self, BuildError, Built, CopyOf, Isolation, Plan, Reading, ReleaseFlags, Special};
use countersign::recipe::Recipe;
use countersign::source::Source;
use std::collections::HashMap;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

pub const TESTS: &[Test] = &[
    ("others_cannot_pass_the_work_directory", others_cannot_pass_the_work_directory),
    ("modes_of_the_directories_inside", modes_of_the_directories_inside),
    ("set_id_bits_on_the_way_out", set_id_bits_on_the_way_out),
    ("outputs_that_are_no_tree", outputs_that_are_no_tree),
    ("outputs_have_a_limit", outputs_have_a_limit),
    ("logs_have_a_limit", logs_have_a_limit),
    ("copies_are_found", copies_are_found),
    ("memory_is_not_all_lent", memory_is_not_all_lent),
];

/// What a shell script of these tests needs of the host, and no more: reading all of `/usr` would take its time.
fn tools() -> Vec<PathBuf> {
    let mut roots = Vec::new();
    for name in ["sh", "chmod", "mkdir", "mkfifo", "cp", "truncate", "head", "cat", "sleep", "ls", "stat"] {
        let program = Path::new("/usr/bin").join(name);
        let said = Command::new("ldd").arg(&program).output().unwrap();
        let said = String::from_utf8(said.stdout).unwrap();
        let libraries = said.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from);
        let both: Vec<PathBuf> = libraries.chain([program]).collect();
        roots.extend(both.iter().map(|path| path.canonicalize().unwrap()));
        roots.extend(both.iter().map(|path| {
            let dir = path.parent().unwrap().canonicalize().unwrap();
            dir.join(path.file_name().unwrap())
        }));
    }
    let links = ["/bin", "/lib", "/lib64"].map(PathBuf::from);
    roots.extend(links.into_iter().filter(|link| link.is_symlink()));
    roots.sort();
    roots.dedup();
    roots
}

/// A scratch directory that everybody can pass, as `/tmp` is, with a source in it.
struct Scene {
    dir: tempfile::TempDir,
    plan: Plan,
}

fn scene(script: &str, outputs: &str, limits: &str) -> Scene {
    let dir = tempfile::tempdir_in("/tmp").unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let source = dir.path().join("source");
    std::fs::create_dir(&source).unwrap();
    std::fs::write(source.join("file"), "from the source").unwrap();
    let text = format!(
        "name = \"x\"\nversion = \"1\"\n[build]\nsteps = [[\"sh\", \"-ec\", {script:?}]]\noutputs = [{outputs:?}]\n\
         [environment]\ndefault-roots = false\nroots = {:?}\n[limits]\n{limits}\n",
        tools()
    );
    let recipe = Recipe::parse(text.as_bytes()).unwrap();
    let source = Source::open(&source, 0).unwrap();
    let plan = Plan::new(recipe, source, ReleaseFlags::default(), "here".parse().unwrap(), None).unwrap();
    Scene { dir, plan }
}

impl Scene {
    fn run(&self, log: &mut dyn FnMut(&[u8])) -> Result<Built, BuildError> {
        build::run(
            &self.plan,
            Isolation::Sandbox,
            Reading::Whole,
            self.dir.path(),
            log,
            &mut |_| {},
            &Default::default(),
        )
    }

    /// The work directory of the build that runs.
    fn work(&self) -> PathBuf {
        let mut names = std::fs::read_dir(self.dir.path()).unwrap().map(|entry| entry.unwrap().path());
        names.find(|path| path.file_name().unwrap().to_str().unwrap().starts_with("countersign-")).unwrap()
    }
}

/// Whether a script succeeds as somebody who has nothing to do with the build.
fn somebody_else(script: &str) -> bool {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]).uid(65_533).gid(65_533).current_dir("/").stderr(std::process::Stdio::null());
    command.status().unwrap().success()
}

fn others_cannot_pass_the_work_directory() {
    let script =
        "chmod 777 /build; mkdir out; chmod 777 out; echo open; sleep 1; cat out/planted 2>&1 || cp file out/f";
    for opened in [false, true] {
        if opened && uid() != 0 {
            continue;
        }
        let scene = scene(script, "out", "");
        let mut seen = None;
        let built = scene.run(&mut |bytes| {
            if seen.is_some() || !bytes.starts_with(b"open") {
                return;
            }
            let work = scene.work();
            let meta = std::fs::metadata(&work).unwrap();
            assert_eq!((meta.mode() & 0o7777, meta.uid()), (0o700, countersign::sandbox::build_id().uid));
            if opened {
                std::fs::set_permissions(&work, std::fs::Permissions::from_mode(0o711)).unwrap();
            }
            // Only root can become somebody else.
            seen = Some(uid() == 0 && somebody_else(&format!("echo evil > {}/build/out/planted", work.display())));
        });
        let built = built.unwrap();
        assert_eq!(seen, Some(opened), "with the directory open the attempt is a real one");
        let planted = built.outputs.files().any(|(path, _)| path.as_bytes() == b"out/planted");
        assert_eq!(planted, opened);
    }
}

/// As docs/spec.md §4 has them.
fn modes_of_the_directories_inside() {
    let mut log = Vec::new();
    let scene = scene("stat -c '%n %a %u' /build / /home /home/build /tmp /dev/shm; cp file out", "out", "");
    scene.run(&mut |bytes| log.extend_from_slice(bytes)).unwrap();
    let log = String::from_utf8(log).unwrap();
    let modes: Vec<&str> = log.lines().collect();
    let expected = [
        "/build 700 1000",
        "/ 755 1000",
        "/home 755 1000",
        "/home/build 755 1000",
        "/tmp 1777 1000",
        "/dev/shm 1777 1000",
    ];
    assert_eq!(modes, expected);
}

fn set_id_bits_on_the_way_out() {
    let scene = scene("mkdir out; cp /bin/cat out/cat; chmod 6755 out/cat; chmod 1777 out", "out", "");
    let built = scene.run(&mut |_| {}).unwrap();
    assert!(built.outputs.listing().contains("106755 "), "the listing says what was built");
    let (kept, stripped) = (scene.dir.path().join("kept"), scene.dir.path().join("stripped"));
    built.export(&kept, Special::Keep).unwrap();
    built.export(&stripped, Special::Strip).unwrap();
    let mode = |path: PathBuf| std::fs::metadata(path).unwrap().mode() & 0o7777;
    assert_eq!((mode(kept.clone()), mode(kept.join("out")), mode(kept.join("out/cat"))), (0o700, 0o1777, 0o6755));
    assert_eq!((mode(stripped.clone()), mode(stripped.join("out/cat"))), (0o755, 0o755));
    if uid() == 0 {
        let runs = |dir: &Path| somebody_else(&format!("{}/out/cat /dev/null", dir.display()));
        assert!(!runs(&kept) && runs(&stripped));
        std::fs::set_permissions(&kept, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert!(runs(&kept), "only the directory's mode kept them out");
    }
}

fn fails(script: &str, outputs: &str, limits: &str) -> BuildError {
    let result = scene(script, outputs, limits).run(&mut |_| {});
    match result {
        Err(err) => err,
        Ok(built) => panic!("{}", built.outputs.listing()),
    }
}

fn outputs_that_are_no_tree() {
    for (script, word) in [
        ("mkdir out; mkfifo out/pipe", "a FIFO"),
        ("mkdir out; cp file out/a; cp file out/A", "differ only"),
        ("mkdir -p out/in; cp file out/in/a; chmod 0 out/in", "denied"),
    ] {
        if word == "denied" && uid() == 0 {
            continue;
        }
        let err = fails(script, "out", "");
        assert!(matches!(err, BuildError::OutputScan(_)), "{script}: {err:?}");
    }
    // What is no output is not read, and the hint reads no file at all.
    let begun = std::time::Instant::now();
    scene("mkfifo pipe; truncate -s 4T sparse || true; mkdir out; cp file out/a", "out", "").run(&mut |_| {}).unwrap();
    let err = fails("mkfifo pipe; truncate -s 4T sparse || true; cp file new", "out", "");
    let BuildError::NoOutput { made, .. } = err else { panic!("{err:?}") };
    let made: Vec<String> = made.iter().map(ToString::to_string).collect();
    assert!(made.contains(&"new".to_owned()) && made.contains(&"pipe".to_owned()), "{made:?}");
    assert!(begun.elapsed().as_secs() < 20);
}

fn outputs_have_a_limit() {
    let begun = std::time::Instant::now();
    let err = fails("mkdir out; truncate -s 1T out/sparse", "out", "");
    assert!(err.to_string().contains("more than 68719476736 bytes in all"), "{err}");
    assert!(begun.elapsed().as_secs() < 20, "nothing was hashed");
    let two = "mkdir out; head -c 600 /dev/zero > out/a; truncate -s 600 out/b";
    let err = fails(two, "out", "outputs = 1199");
    assert!(err.to_string().contains("more than 1199 bytes in all"), "{err}");
    assert!(matches!(err, BuildError::OutputScan(_)));
    scene(two, "out", "outputs = 1200").run(&mut |_| {}).unwrap();
}

fn logs_have_a_limit() {
    let mut said = 0;
    let begun = std::time::Instant::now();
    let endless = scene("mkdir out; while :; do echo 0123456789; done", "out", "log = 5000");
    let result = endless.run(&mut |bytes| said += bytes.len());
    assert!(matches!(
        result.map(|_| ()),
        Err(BuildError::Sandbox(countersign::sandbox::SandboxError::LogTooLong { most: 5000 }))
    ));
    assert_eq!(said, 5000);
    assert!(begun.elapsed().as_secs() < 20);
    let exact = "mkdir out; cp file out/a; head -c 5000 /dev/zero";
    let built = scene(exact, "out", "log = 5000").run(&mut |_| {}).unwrap();
    assert_eq!(built.log.0, 5000);
    assert!(matches!(fails(exact, "out", "log = 4999"), BuildError::Sandbox(_)));
    let plain = scene("mkdir out; while :; do echo 0123456789; done", "out", "log = 5000");
    let result = build::run(
        &plain.plan,
        Isolation::None,
        Reading::Whole,
        plain.dir.path(),
        &mut |_| {},
        &mut |_| {},
        &Default::default(),
    );
    assert!(result.is_err_and(|err| err.to_string().contains("printed more than 5000 bytes")));
}

fn copies_are_found() {
    let script = "mkdir out; cp file out/a; cat /bin/cat > out/tool; echo new > out/new; cp /dev/null out/empty";
    let scene = scene(script, "out", "");
    let built = scene.run(&mut |_| {}).unwrap();
    let path = |text: &[u8]| countersign::path::TreePath::from_bytes(text).unwrap();
    let copies = build::copies(&built, &scene.plan);
    assert_eq!(copies.len(), 2, "{copies:?}");
    assert_eq!((&copies[0].output, &copies[0].of), (&path(b"out/a"), &CopyOf::Source(path(b"file"))));
    assert_eq!((&copies[1].output, &copies[1].of), (&path(b"out/tool"), &CopyOf::Environment(path(b"usr/bin/cat"))));
    let without = build::copies_among(&built.outputs, &scene.plan, &HashMap::new());
    assert_eq!(without.len(), 1, "the listing of the environment is what the second follows from");
}

fn memory_is_not_all_lent() {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap();
    let kilobytes: u64 = text.split_whitespace().nth(1).unwrap().parse().unwrap();
    let sizes = "mkdir out; cp file out/a; while read -r line; do echo $line; done < /proc/self/mountinfo";
    let mut log = Vec::new();
    scene(sizes, "out", "tmp = \"64GiB\"").run(&mut |bytes| log.extend_from_slice(bytes)).unwrap();
    let log = String::from_utf8(log).unwrap();
    let size = |line: &str| -> Option<u64> {
        let size = line.split(',').find_map(|option| option.strip_prefix("size="))?;
        size.strip_suffix('k')?.parse().ok()
    };
    let mounts =
        log.lines().filter(|line| [" /tmp ", " /home/build ", " /dev/shm "].iter().any(|at| line.contains(at)));
    let sizes: Vec<u64> = mounts.filter_map(size).collect();
    assert_eq!(sizes.len(), 3, "{log}");
    assert!(sizes.iter().all(|size| *size > 0) && sizes.iter().sum::<u64>() <= kilobytes / 2 + 12, "{log}");
}
