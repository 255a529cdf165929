//! `verify`, `inspect` and `policy` through the program: what the shell is told.

#[path = "common/sample.rs"]
mod sample;

use countersign::digest::{self, Wanted};
use countersign::envelope::Envelope;
use countersign::json::{self, Value};
use countersign::scan::{self, Options};
use countersign::signature::PublicKey;
use countersign::statement::*;
use countersign::tree::TreeKind;
use ed25519_dalek::{Signer as _, SigningKey};
use std::path::{Path, PathBuf};
use std::process::Command;

const VENDOR: u8 = 1;
const R1: u8 = 2;
const R2: u8 = 3;
const STRANGER: u8 = 9;

fn public(seed: u8) -> PublicKey {
    PublicKey::from_bytes(SigningKey::from_bytes(&[seed; 32]).verifying_key().to_bytes()).unwrap()
}

fn sign(payload: Vec<u8>, seed: u8) -> Vec<u8> {
    let secret = SigningKey::from_bytes(&[seed; 32]);
    Envelope::sign(payload, &public(seed), |message| secret.sign(message).to_bytes()).to_line()
}

fn provenance(seed: u8) -> Provenance {
    sample::provenance(public(seed).default_builder())
}

fn built(seed: u8) -> Vec<u8> {
    sign(provenance(seed).encode(), seed)
}

fn dissent(seed: u8) -> Vec<u8> {
    let verdict = Verdict {
        kind: VerdictKind::NotReproduced,
        subjects: provenance(VENDOR).subjects,
        compared_at: "2026-01-01T00:00:00Z".parse().unwrap(),
        order: provenance(VENDOR).order.digest(),
        reference: payload_digest(&provenance(VENDOR).encode()),
        signer: SignerCheck::Claimed,
        rebuild: None,
        rebuilder: public(seed).default_builder(),
        reference_environment: provenance(VENDOR).environment,
        rebuild_environment: provenance(VENDOR).environment,
        runs: 1,
        reason: "it \u{1b}[32mdiffers\u{202e}".into(),
        artifacts: vec![Artifact {
            name: "out/hello".into(),
            verdict: ArtifactVerdict::Missing,
            reference: Some(digest::sha256(b"hello\n")),
            rebuilt: None,
        }],
        supersedes: None,
    };
    sign(verdict.encode(), seed)
}

/// A directory with a file `hello`, a policy for two of two rebuilders, and no bundle.
struct Scene(tempfile::TempDir);

struct Said {
    code: i32,
    out: String,
    err: String,
}

impl Scene {
    fn new() -> Scene {
        let scene = Scene(tempfile::tempdir().unwrap());
        scene.write("hello", b"hello\n");
        for (name, seed) in [("vendor", VENDOR), ("r1", R1), ("r2", R2)] {
            scene.write(&format!("{name}.pub"), format!("{} {name}\n", public(seed)).as_bytes());
        }
        let made = scene.run(&[
            "policy",
            "init",
            "--vendor",
            "vendor.pub",
            "--rebuilder",
            "r1.pub",
            "--rebuilder",
            "r2.pub",
            "--rebuilders",
            "2",
            "-o",
            "policy.toml",
        ]);
        assert_eq!((made.code, made.out.as_str()), (0, ""), "{}", made.err);
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.path(name), bytes).unwrap();
    }

    fn bundle(&self, lines: &[Vec<u8>]) {
        self.write("bundle", &lines.join(&b'\n'));
    }

    fn run(&self, args: &[&str]) -> Said {
        let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
        let output = command.args(args).current_dir(self.0.path()).env("NO_COLOR", "1").output().unwrap();
        Said {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    fn verify(&self, more: &[&str]) -> Said {
        self.run(&[&["verify", "--bundle", "bundle", "--policy", "policy.toml"], more].concat())
    }

    fn answers(&self, more: &[&str], code: i32, last: &str) {
        let said = self.verify(more);
        assert_eq!(said.code, code, "{}{}", said.out, said.err);
        let line = said.out.lines().last().unwrap_or_default();
        assert!(line.contains(last), "{}", said.out);
        assert_eq!(said.out.contains("verified"), code == 0, "{}", said.out);
        assert!(!said.out.contains(['\u{1b}', '\u{202e}']), "{}", said.out);
        let json = self.verify(&[&["--json"], more].concat());
        assert_eq!(json.code, code);
        let document: Value = json::parse(json.out.as_bytes(), 1 << 20).unwrap();
        assert_eq!(document["schema"], "urn:countersign:schema:verify:v1");
        assert_eq!(document["exit"], code);
        assert_eq!(document["answer"] == "yes", code == 0);
        assert_eq!(document["steps"].as_array().unwrap().len(), 11);
        assert!(json.err.contains(last), "the last line is for people and on standard error: {}", json.err);
    }
}

fn all() -> Vec<Vec<u8>> {
    vec![built(VENDOR), built(R1), built(R2)]
}

#[test]
fn every_answer_has_its_exit_code() {
    let scene = Scene::new();
    scene.bundle(&all());
    scene.answers(&["hello"], 0, "yes: hello 1.0 (stable, x86_64-linux): 1 file verified, 2 independent rebuilds");
    scene.answers(&["hello", "--product", "hello", "--version", "1.0", "--as", "out/hello"], 0, "yes: ");
    scene.write("other", b"hello!\n");
    scene.answers(&["other"], 1, "no: other: its SHA-256 is ");
    scene.answers(&["hello", "other"], 1, "no: other: ");
    scene.answers(&["hello", "--as", "out/hullo"], 1, "nothing named out/hullo was signed");
    scene.answers(&["hello", "--version", "1.1"], 3, "no: asked for 1.1");
    scene.bundle(&[built(VENDOR), built(R1)]);
    scene.answers(&["hello"], 8, "pending: hello: 1 of 2 rebuilders");
    scene.bundle(&[all(), vec![dissent(R1)]].concat());
    scene.answers(&["hello"], 3, "not reproduced by r1");
    scene.bundle(&[all(), vec![dissent(STRANGER), b"nonsense".to_vec()]].concat());
    scene.answers(&["hello"], 0, "yes: ");
    scene.bundle(&[sign(provenance(VENDOR).encode(), STRANGER)]);
    scene.answers(&["hello"], 3, "no vendor of the policy");
    scene.bundle(&[b"nonsense".to_vec()]);
    scene.answers(&["hello"], 4, "no: the bundle holds no envelope");
    scene.bundle(&[]);
    scene.answers(&["hello"], 4, "no: the bundle holds no envelope");
    scene.bundle(&all());
    scene.write("policy.toml", b"");
    scene.answers(&["hello"], 2, "missing field `require`");
}

#[test]
fn what_cannot_be_read_or_asked() {
    let scene = Scene::new();
    scene.bundle(&all());
    for (args, code, says) in [
        (&["nothing"][..], 7, "cannot read nothing"),
        (&["."], 7, "--tree takes a directory"),
        (&["--tree", "nothing"], 7, "nothing"),
        (&[], 2, "required"),
        (&["hello", "--product", "a b"], 2, "--product"),
        (&["hello", "--as", "../hello"], 2, "--as"),
        (&["hello", "hello", "--as", "out/hello"], 2, "--as says what one file is"),
    ] {
        let said = scene.verify(args);
        assert_eq!(said.code, code, "{args:?}: {}{}", said.out, said.err);
        assert!(said.err.contains(says), "{args:?}: {}", said.err);
        assert_eq!(said.out, "");
    }
    std::fs::remove_file(scene.path("bundle")).unwrap();
    assert_eq!(scene.verify(&["hello"]).code, 7);
    scene.bundle(&all());
    scene.write("policy.toml", &vec![b' '; (1 << 20) + 1]);
    assert_eq!(scene.verify(&["hello"]).code, 2, "an error of the policy, not of the evidence");
}

#[cfg(unix)]
#[test]
fn names_and_reasons_of_others_do_not_reach_the_terminal() {
    let scene = Scene::new();
    scene.bundle(&[all(), vec![dissent(R2)]].concat());
    scene.answers(&["hello"], 3, "not reproduced by r2");
    assert!(scene.verify(&["hello"]).out.contains("it \\u{1b}[32mdiffers\\u{202e}"));
    scene.write("a\u{1b}[2Jb", b"x");
    scene.answers(&["a\u{1b}[2Jb"], 1, "a\\u{1b}[2Jb");
}

#[cfg(unix)]
#[test]
fn a_whole_directory() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let scene = Scene::new();
    let chmod = |path: &Path, mode| std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    let hello = scene.path("dir/out/hello");
    std::fs::create_dir_all(scene.path("dir/out")).unwrap();
    scene.write("dir/out/hello", b"hello\n");
    chmod(&hello, 0o755);
    symlink("hello", scene.path("dir/out/l")).unwrap();
    let options = Options { wanted: Wanted::SUBJECT, ..Options::new(TreeKind::Output) };
    let outputs = scan::tree(&scene.path("dir"), &options).unwrap().tree.digest();
    let of_tree = |seed| sign(Provenance { outputs, ..provenance(seed) }.encode(), seed);
    scene.bundle(&[of_tree(VENDOR), of_tree(R1), of_tree(R2)]);
    scene.answers(&["--tree", "dir"], 0, "2 independent rebuilds");
    scene.answers(&["hello", "--tree", "dir"], 0, "1 file and 1 directory verified");
    chmod(&hello, 0o644);
    scene.answers(&["--tree", "dir"], 1, "no: dir: ");
    scene.answers(&["hello"], 0, "yes: ");
    chmod(&hello, 0o755);
    scene.answers(&["--tree", "dir"], 0, "yes: ");
    scene.write("dir/out/more", b"");
    scene.answers(&["--tree", "dir"], 1, "no: dir: ");
}

#[test]
fn inspect_shows_and_does_not_decide() {
    let scene = Scene::new();
    let broken = String::from_utf8(sign(provenance(VENDOR).encode(), STRANGER)).unwrap();
    let broken = broken.replace(&public(STRANGER).fingerprint(), &public(VENDOR).fingerprint());
    scene.bundle(&[built(VENDOR), dissent(R1), built(STRANGER), broken.into_bytes(), b"nonsense".to_vec()]);
    let said = scene.run(&["inspect", "bundle"]);
    assert_eq!(said.code, 0);
    assert_eq!(said.out.matches("(claimed, not checked)").count(), 4, "{}", said.out);
    for part in [
        "line 1: provenance sha256:",
        "hello 1.0 (stable, x86_64-linux)",
        "line 2: verdict not-reproduced",
        "line 5: ignored",
    ] {
        assert!(said.out.contains(part), "{part}: {}", said.out);
    }
    assert!(!said.out.contains("verified") && !said.out.contains("\u{1b}"), "{}", said.out);
    let said = scene.run(&["inspect", "bundle", "--policy", "policy.toml"]);
    for part in [
        "vendor (vendor of the policy)",
        "r1 (rebuilder of the policy)",
        "nobody of the policy (it names",
        "which did not sign this",
    ] {
        assert!(said.out.contains(part), "{part}: {}", said.out);
    }
    assert!(!said.out.contains("claimed"), "{}", said.out);
    for (args, states) in [
        (&["inspect", "bundle", "--json"][..], ["claimed", "claimed", "claimed", "claimed"]),
        (&["inspect", "bundle", "--json", "--policy", "policy.toml"], ["of-policy", "of-policy", "unknown", "broken"]),
    ] {
        let document: Value = json::parse(scene.run(args).out.as_bytes(), 1 << 20).unwrap();
        assert_eq!(document["schema"], "urn:countersign:schema:inspect:v1");
        for (at, state) in states.iter().enumerate() {
            assert_eq!(document["lines"][at]["signers"][0]["state"], *state);
        }
        assert_eq!(document["lines"][0]["release"]["product"], "hello");
        assert_eq!(document["lines"][4]["kind"], "unreadable");
    }
    scene.write("bundle", b"nonsense\n");
    assert_eq!(scene.run(&["inspect", "bundle"]).code, 4);
    assert_eq!(scene.run(&["inspect", "nothing"]).code, 7);
}

#[test]
fn policy_init_and_check() {
    let scene = Scene::new();
    let said = scene.run(&["policy", "check", "policy.toml"]);
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(said.out.contains("2 of these rebuilders") && said.out.contains("r1, r2"), "{}", said.out);
    let init = |more: &[&str]| scene.run(&[&["policy", "init", "--vendor", "vendor.pub", "-o"], more].concat());
    let said = init(&["policy.toml", "--rebuilders", "none"]);
    assert_eq!(said.code, 2);
    assert!(said.err.contains("--force"), "{}", said.err);
    assert_eq!(init(&["policy.toml", "--rebuilders", "none", "--force"]).code, 0);
    let said = scene.run(&["policy", "check", "policy.toml"]);
    assert!(said.out.contains("warning: the vendor alone decides"), "{}", said.out);
    for (args, says) in [
        (&["p", "--rebuilders", "0"][..], "a number from 1"),
        (&["p", "--rebuilders", "1"], "0 of 1 rebuilder"),
        (&["p", "--rebuilders", "1", "--rebuilder", "vendor.pub"], "the same key"),
        (&["p", "--rebuilders", "1", "--rebuilder", "hello"], "not an OpenSSH public key"),
        (&["p"], "--rebuilders"),
    ] {
        let said = init(args);
        assert_eq!(said.code, 2, "{}", said.err);
        assert!(said.err.contains(says), "{}", said.err);
        assert!(!scene.path("p").exists());
    }
    scene.write("secret", b"-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjE\n");
    let said = init(&["p", "--rebuilders", "1", "--rebuilder", "secret"]);
    assert_eq!(said.code, 2);
    assert!(said.err.contains("private key") && !said.err.contains("b3Bl"), "{}", said.err);
    scene.write("policy.toml", b"[require]\nrebuilders = 1\nquorum = 2\n");
    let said = scene.run(&["policy", "check", "policy.toml"]);
    assert_eq!(said.code, 2);
    assert!(said.err.contains("line 3"), "{}", said.err);
}

#[test]
fn json_for_programs_is_harmless_for_people() {
    let scene = Scene::new();
    let said = scene.run(&["policy", "check", "policy.toml", "--json"]);
    let document: Value = json::parse(said.out.as_bytes(), 1 << 20).unwrap();
    assert_eq!(document["schema"], "urn:countersign:schema:policy:v1");
    assert_eq!(document["require"]["rebuilders"], 2);
    assert_eq!(document["signers"][0]["role"], "vendor");
    assert!(document["warnings"].is_array() && document["says"].is_array());
    let said =
        scene.run(&["policy", "init", "--vendor", "vendor.pub", "--rebuilders", "none", "-o", "p.toml", "--json"]);
    let document: Value = json::parse(said.out.as_bytes(), 1 << 20).unwrap();
    assert_eq!((said.code, &document["require"]["rebuilders"]), (0, &Value::Null));

    // C1 controls and overrides from a bundle mean the same and do nothing.
    let mut evil = provenance(VENDOR);
    evil.builder = "x\u{9b}2J\u{202e}".into();
    scene.bundle(&[sign(evil.encode(), VENDOR)]);
    let said = scene.run(&["inspect", "bundle", "--json"]);
    assert!(said.out.contains("x\\u009b2J\\u202e") && !said.out.contains(['\u{9b}', '\u{202e}']), "{}", said.out);
    let document: Value = json::parse(said.out.as_bytes(), 1 << 20).unwrap();
    assert_eq!(document["lines"][0]["builder"], "x\u{9b}2J\u{202e}");
    let said = scene.run(&["verify", "hello", "--bundle", "bundle", "--policy", "policy.toml", "--json"]);
    assert!(said.out.contains("\\u202e") && !said.out.contains('\u{202e}'), "{}", said.out);
}

#[test]
fn a_policy_must_be_given_and_is_begun_by_init() {
    let scene = Scene::new();
    scene.bundle(&all());
    let said = scene.run(&["verify", "hello", "--bundle", "bundle"]);
    assert_eq!(said.code, 2);
    assert!(said.err.contains("--policy is not given") && said.err.contains("countersign policy init"), "{}", said.err);
}
