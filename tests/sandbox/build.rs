//! Whole builds by a recipe that means harm.

use super::setup::{Test, uid};
use countersign::build::{self, BuildError, Built, Isolation, Plan, ReleaseFlags, Special};
use countersign::recipe::Recipe;
use countersign::source::Source;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

pub const TESTS: &[Test] = &[
    ("others_cannot_pass_the_work_directory", others_cannot_pass_the_work_directory),
    ("set_id_bits_on_the_way_out", set_id_bits_on_the_way_out),
];

/// What a shell script of these tests needs of the host, and no more: reading all of `/usr` would take its time.
fn tools() -> Vec<PathBuf> {
    let mut roots = Vec::new();
    for name in ["sh", "chmod", "mkdir", "mkfifo", "cp", "truncate", "head", "cat", "sleep", "ls"] {
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
    let plan = Plan::new(recipe, source, ReleaseFlags::default(), "here".parse().unwrap()).unwrap();
    Scene { dir, plan }
}

impl Scene {
    fn run(&self, log: &mut dyn FnMut(&[u8])) -> Result<Built, BuildError> {
        build::run(&self.plan, Isolation::Sandbox, self.dir.path(), log)
    }

    /// The work directory of the build that runs.
    fn work(&self) -> PathBuf {
        let names = std::fs::read_dir(self.dir.path()).unwrap().map(|entry| entry.unwrap().path());
        names.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("countersign-")).next().unwrap()
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
        let planted = build::files(&built.outputs).any(|(path, _)| path.as_bytes() == b"out/planted");
        assert_eq!(planted, opened);
    }
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
