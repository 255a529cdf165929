//! What the tests of the whole program share: small projects built by `/bin/sh`, in an environment of a few dozen files.

#![allow(dead_code)] // Each test program uses its part.

use countersign::bundle::{self, Blob, Bundle};
use countersign::digest;
use countersign::envelope::Envelope;
use countersign::keys::SigningKey;
use countersign::statement::{Provenance, Statement};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// The program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_countersign");
/// Longest time that any run of it may take here; what takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(120);
/// What the builds may use.
const TOOLS: [&str; 21] = [
    "sh", "cat", "chmod", "cp", "date", "dd", "env", "head", "id", "ln", "ls", "mkdir", "mkfifo", "mv", "od", "sleep",
    "sort", "stat", "touch", "true", "wc",
];
/// A bundle's name where a test needs one only.
pub const BUNDLE: &str = "b.intoto.jsonl";

/// What came of a run.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Said {
    /// It ended with this code, and said so.
    #[track_caller]
    pub fn ends(self, code: i32) -> Said {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.out, self.err);
        self
    }

    /// It ended with this code, said why, and gave no data.
    #[track_caller]
    pub fn fails(self, code: i32, why: &str) -> Said {
        let said = self.ends(code).says(why);
        assert_eq!(said.out, "");
        said
    }

    /// Standard error holds the text.
    #[track_caller]
    pub fn says(self, text: &str) -> Said {
        assert!(self.err.contains(text), "{text:?} is not in stderr:\n{}", self.err);
        self
    }

    /// Standard output holds the text.
    #[track_caller]
    pub fn prints(self, text: &str) -> Said {
        assert!(self.out.contains(text), "{text:?} is not in stdout:\n{}", self.out);
        self
    }

    /// Standard output ends with this line.
    #[track_caller]
    pub fn last(self, text: &str) -> Said {
        let last = self.out.lines().last().unwrap_or_default();
        assert!(last.contains(text), "{text:?} is not in the last line of:\n{}\n{}", self.out, self.err);
        self
    }

    /// Standard output is one document with a schema.
    #[track_caller]
    pub fn json(&self) -> Value {
        let document: Value = serde_json::from_str(&self.out).unwrap_or_else(|err| panic!("{err}: {self:?}"));
        let schema = document["schema"].as_str().unwrap_or_default();
        assert!(schema.starts_with("urn:countersign:"), "{self:?}");
        document
    }
}

/// Runs a command to its end, with empty standard input unless it has another. Hanging is a failure.
#[track_caller]
pub fn finish(command: &mut Command) -> Said {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let read = |mut pipe: Box<dyn Read + Send>| {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            pipe.read_to_end(&mut bytes).unwrap();
            String::from_utf8_lossy(&bytes).into_owned()
        })
    };
    let out = read(Box::new(child.stdout.take().unwrap()));
    let err = read(Box::new(child.stderr.take().unwrap()));
    let begun = Instant::now();
    let status: ExitStatus = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if begun.elapsed() > PATIENCE {
            child.kill().unwrap();
            panic!("{command:?} hangs");
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let (out, err) = (out.join().unwrap(), err.join().unwrap());
    Said { code: status.code().unwrap_or_else(|| panic!("{command:?}: {status}: {err}")), out, err }
}

/// The program's command in a directory, with nothing of the caller's that could matter.
pub fn command(dir: &Path) -> Command {
    let mut command = Command::new(PROGRAM);
    command.current_dir(dir).stdin(Stdio::null()).env_remove("COUNTERSIGN_PASSPHRASE").env_remove("NO_COLOR");
    // Not the user's own.
    command.env("XDG_CACHE_HOME", dir.join("cache"));
    command
}

/// Paths of this host for a build by a shell and [`TOOLS`]: the programs, their libraries, and the links on the way.
pub fn roots() -> &'static [PathBuf] {
    static ROOTS: OnceLock<Vec<PathBuf>> = OnceLock::new();
    ROOTS.get_or_init(|| {
        let mut roots = BTreeSet::new();
        for tool in TOOLS {
            let program = ["/usr/bin", "/bin"].iter().map(|dir| Path::new(dir).join(tool)).find(|path| path.exists());
            let program = program.unwrap_or_else(|| panic!("{tool} is not here"));
            add_root(&program, &mut roots);
            let said = Command::new("ldd").arg(&program).env("LC_ALL", "C").output().unwrap();
            let said = String::from_utf8(said.stdout).unwrap();
            for library in said.split_whitespace().filter(|word| word.starts_with('/')) {
                add_root(Path::new(library), &mut roots);
            }
        }
        roots.into_iter().collect()
    })
}

/// Adds a file, and each link on the way to it.
fn add_root(path: &Path, roots: &mut BTreeSet<PathBuf>) {
    let parts = |path: &Path| -> Vec<OsString> {
        let named = path.components().filter(|part| !matches!(part, Component::RootDir | Component::CurDir));
        named.map(|part| part.as_os_str().to_owned()).collect()
    };
    let mut at = PathBuf::from("/");
    let mut left: VecDeque<OsString> = parts(path).into();
    while let Some(part) = left.pop_front() {
        if part == ".." {
            at.pop();
            continue;
        }
        let next = at.join(part);
        match std::fs::read_link(&next) {
            Ok(target) => {
                roots.insert(next);
                if target.is_absolute() {
                    at = PathBuf::from("/");
                }
                parts(&target).into_iter().rev().for_each(|part| left.push_front(part));
            }
            Err(_) => at = next,
        }
    }
    roots.insert(at);
}

/// A directory of its own, with a source, two keys, a policy, and a directory for what the program makes in passing.
pub struct Project {
    dir: tempfile::TempDir,
    /// Roots beside those of [`roots`].
    more_roots: Vec<PathBuf>,
    /// Further lines of the recipe, by table.
    tables: BTreeMap<&'static str, String>,
    steps: String,
    outputs: String,
}

/// The script of most projects: two files, one of them a program.
pub const TINY: &str =
    "{ echo built from:; cat input.txt; } > out.txt; printf '#!/bin/sh\\necho tiny\\n' > run; chmod 755 run";

impl Project {
    /// A project whose only step is this script, with these outputs.
    pub fn new(script: &str, outputs: &[&str]) -> Project {
        let dir = tempfile::Builder::new().prefix("countersign-spine-").tempdir().unwrap();
        // Started by root, the build runs as another id, which has to get there.
        std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let steps = "[[\"sh\", \"build.sh\"]]".to_owned();
        let outputs = format!("{outputs:?}");
        let project = Project { dir, more_roots: Vec::new(), tables: BTreeMap::new(), steps, outputs };
        for name in ["src", "tmp"] {
            std::fs::create_dir(project.path(name)).unwrap();
            std::fs::set_permissions(project.path(name), PermissionsExt::from_mode(0o755)).unwrap();
        }
        project.put("src/build.sh", format!("set -eu\numask 022\n{script}\n"));
        project.put("src/input.txt", "one line of input\n");
        for key in ["vendor", "reviewer"] {
            project.run(&["key", "generate", "--no-passphrase", "--out", key, "--comment", key]).ends(0);
        }
        let policy = [
            "policy",
            "init",
            "--vendor",
            "vendor.pub",
            "--rebuilder",
            "reviewer.pub",
            "--rebuilders",
            "1",
            "-o",
            "policy",
        ];
        project.run(&policy).ends(0);
        project.write_recipe();
        project
    }

    /// The project that most tests are about.
    pub fn tiny() -> Project {
        Project::new(TINY, &["out.txt", "run"])
    }

    /// Puts lines into a table of the recipe.
    pub fn set(mut self, table: &'static str, lines: &str) -> Project {
        *self.tables.entry(table).or_default() += &format!("{lines}\n");
        self.write_recipe();
        self
    }

    /// Other steps, as TOML.
    pub fn steps(mut self, steps: &str) -> Project {
        self.steps = steps.to_owned();
        self.write_recipe();
        self
    }

    /// One more root.
    pub fn root(mut self, root: &Path) -> Project {
        self.more_roots.push(root.to_owned());
        self.write_recipe();
        self
    }

    /// Another `[environment]` than the host's paths.
    pub fn environment(&self, text: &str) {
        let recipe = self.text("src/countersign.toml");
        let (before, rest) = recipe.split_once("[environment]\n").unwrap();
        let after = &rest[rest.find("[limits]").unwrap()..];
        self.put("src/countersign.toml", format!("{before}[environment]\n{text}\n{after}"));
    }

    fn write_recipe(&self) {
        let lines = |table| self.tables.get(table).cloned().unwrap_or_default();
        let roots: Vec<&PathBuf> = roots().iter().chain(&self.more_roots).collect();
        let text = format!(
            "name = \"tiny\"\nversion = \"1.0\"\n\n[release]\n{}\n[source]\n{}\n[build]\nsteps = {}\noutputs = {}\n{}\n\
             [environment]\ndefault-roots = false\nroots = {roots:?}\n\n[limits]\n{}",
            lines("release"),
            lines("source"),
            self.steps,
            self.outputs,
            lines("build"),
            lines("limits"),
        );
        self.put("src/countersign.toml", &text);
    }

    /// A path in it.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file; a new one has the mode 0644, whatever the umask.
    pub fn put(&self, name: &str, text: impl AsRef<[u8]>) {
        let new = self.path(name).symlink_metadata().is_err();
        std::fs::write(self.path(name), text).unwrap();
        if new {
            self.chmod(name, 0o644);
        }
    }

    /// Reads a file.
    pub fn get(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap_or_else(|err| panic!("{name}: {err}"))
    }

    /// Reads a file of text.
    pub fn text(&self, name: &str) -> String {
        String::from_utf8_lossy(&self.get(name)).into_owned()
    }

    /// Permission bits of a file.
    pub fn mode(&self, name: &str) -> u32 {
        std::fs::symlink_metadata(self.path(name)).unwrap().permissions().mode() & 0o7777
    }

    /// Sets permission bits.
    pub fn chmod(&self, name: &str, mode: u32) {
        std::fs::set_permissions(self.path(name), PermissionsExt::from_mode(mode)).unwrap();
    }

    /// Names in a directory, sorted.
    pub fn names(&self, dir: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.path(dir)).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// Copies a directory as it is.
    pub fn copy(&self, from: &str, to: &str) {
        let said = Command::new("cp").arg("-a").args([self.path(from), self.path(to)]).output().unwrap();
        assert!(said.status.success(), "{said:?}");
    }

    /// The program in this directory; what it makes in passing is in `tmp`.
    pub fn command<A: AsRef<OsStr>>(&self, args: &[A]) -> Command {
        let mut command = command(self.dir.path());
        command.args(args).env("TMPDIR", self.path("tmp"));
        command
    }

    /// Runs it.
    #[track_caller]
    pub fn run<A: AsRef<OsStr>>(&self, args: &[A]) -> Said {
        finish(&mut self.command(args))
    }

    /// `attest` of `src`, with further arguments.
    #[track_caller]
    pub fn attest_to(&self, bundle: &str, more: &[&str]) -> Said {
        self.run(&[&["attest", "--source", "src", "--key", "vendor", "--bundle", bundle], more].concat())
    }

    /// `attest` into [`BUNDLE`], with the outputs in `out`, which must succeed.
    #[track_caller]
    pub fn attest(&self) -> Said {
        self.attest_to(BUNDLE, &["--out", "out"]).ends(0)
    }

    /// Arguments of `rebuild` of `src` with the roots allowed.
    pub fn rebuild_args(&self, more: &[&str]) -> Vec<OsString> {
        let mut args: Vec<OsString> = ["rebuild", BUNDLE].map(OsString::from).into();
        if !more.contains(&"--source") {
            args.extend(["--source", "src"].map(OsString::from));
        }
        for root in roots().iter().chain(&self.more_roots) {
            args.extend([OsStr::new("--allow-root"), root.as_os_str()].map(OsString::from));
        }
        args.extend(more.iter().map(OsString::from));
        args
    }

    /// `rebuild` of [`BUNDLE`] from `src` unless another source is given.
    #[track_caller]
    pub fn rebuild(&self, more: &[&str]) -> Said {
        self.run(&self.rebuild_args(more))
    }

    /// `rebuild`, signed and added to the bundle.
    #[track_caller]
    pub fn review(&self, more: &[&str]) -> Said {
        self.rebuild(&[&["--key", "reviewer", "--append"], more].concat())
    }

    /// `verify` by the policy.
    #[track_caller]
    pub fn verify(&self, what: &[&str]) -> Said {
        self.run(&[&["verify", "--bundle", BUNDLE, "--policy", "policy"], what].concat())
    }

    /// All statements of the bundle, in order.
    pub fn statements(&self) -> Vec<Value> {
        statements(&self.get(BUNDLE))
    }

    /// The last word of each statement's type, in order.
    pub fn kinds(&self) -> Vec<String> {
        self.statements().iter().map(kind).collect()
    }

    /// The last statement of this kind.
    #[track_caller]
    pub fn statement(&self, wanted: &str) -> Value {
        let found = self.statements().into_iter().rfind(|statement| kind(statement) == wanted);
        found.unwrap_or_else(|| panic!("no {wanted} in {:?}", self.kinds()))
    }

    /// The vendor's key.
    pub fn vendor(&self) -> SigningKey {
        SigningKey::from_openssh(&self.get("vendor"), None).unwrap()
    }

    /// Replaces the bundle by one whose manifest says something else, truly signed by the vendor. The change gets the provenance and
    /// the listing of the outputs, whose digest is made to fit.
    pub fn forge(&self, change: impl FnOnce(&mut Provenance, &mut String)) {
        let bytes = self.get(BUNDLE);
        let parsed = Bundle::parse(&bytes).unwrap();
        let manifest: &Envelope = parsed.envelopes().next().unwrap();
        let Statement::Provenance(mut provenance) = Statement::decode(manifest.unverified_payload()).unwrap() else {
            panic!("the first statement is the manifest");
        };
        let listing_of = |start: &str| {
            let texts = String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect::<Vec<_>>();
            let texts = texts
                .iter()
                .filter_map(|line| Some(serde_json::from_str::<Value>(line).ok()?["text"].as_str()?.to_owned()));
            texts.into_iter().find(|text| text.starts_with(start)).unwrap()
        };
        let source = listing_of("countersign-tree v1 source\n");
        let mut outputs = listing_of("countersign-tree v1 output\n");
        change(&mut provenance, &mut outputs);
        provenance.outputs =
            countersign::digest::TreeDigest::from_bytes(*digest::sha256(outputs.as_bytes()).as_bytes());
        let lines = [
            self.vendor().sign_envelope(provenance.encode()).to_line(),
            Blob::listing(&source).to_line(),
            Blob::listing(&outputs).to_line(),
        ];
        self.put(BUNDLE, bundle::append(b"", &lines).unwrap());
    }

    /// Makes the manifest say other bytes of `out.txt` than the build makes.
    pub fn forge_content(&self) {
        self.forge(|provenance, listing| {
            let (old, new) = (provenance.subjects[0].sha256, digest::sha256(b"other bytes"));
            provenance.subjects[0].sha256 = new;
            provenance.subjects[0].blake3 = None;
            *listing = listing.replace(&old.to_string(), &new.to_string());
        });
    }

    /// Makes the manifest say that it was built somewhere else.
    pub fn forge_environment(&self) {
        self.forge(|provenance, _| {
            provenance.environment = Some(countersign::digest::TreeDigest::from_bytes([7; 32]));
        });
    }
}

/// All statements of a bundle, in order.
pub fn statements(bundle: &[u8]) -> Vec<Value> {
    let parsed = Bundle::parse(bundle).unwrap();
    parsed.envelopes().map(|envelope| serde_json::from_slice(envelope.unverified_payload()).unwrap()).collect()
}

/// The last word of a statement's type.
pub fn kind(statement: &Value) -> String {
    let text = statement["predicateType"].as_str().unwrap();
    if text == "https://slsa.dev/provenance/v1" {
        return "provenance".to_owned();
    }
    text.strip_prefix("urn:countersign:predicate:").and_then(|text| text.strip_suffix(":v1")).unwrap().to_owned()
}

/// Flips one bit of a file.
pub fn flip(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

/// Whether we are root.
pub fn is_root() -> bool {
    rustix::process::getuid().is_root()
}
