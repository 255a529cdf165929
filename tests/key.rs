//! `countersign key` through the program, against the real `ssh-keygen` and `openssl`.
#![cfg(target_os = "linux")]

#[path = "common/pty.rs"]
mod pty;

use countersign::keys::{KeyError, Passphrase, SigningKey};
use countersign::signature::PublicKey;
use std::fs::{self, Permissions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

const PROGRAM: &str = env!("CARGO_BIN_EXE_countersign");
const VARIABLE: &str = "COUNTERSIGN_PASSPHRASE";

struct Room(tempfile::TempDir);

struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Room {
    fn new() -> Room {
        Room(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn put(&self, name: &str, text: &str) -> PathBuf {
        fs::write(self.path(name), text).unwrap();
        fs::set_permissions(self.path(name), Permissions::from_mode(0o600)).unwrap();
        self.path(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn mode(&self, name: &str) -> u32 {
        fs::metadata(self.path(name)).unwrap().permissions().mode() & 0o7777
    }

    /// A session of its own without a terminal, so that a question can only fail.
    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("setsid");
        command.arg("--wait").arg(PROGRAM).args(args).current_dir(self.0.path());
        command.env_remove(VARIABLE).stdin(Stdio::null());
        command
    }

    fn run(&self, args: &[&str]) -> Said {
        said(self.command(args).output().unwrap())
    }

    fn run_with(&self, passphrase: &str, args: &[&str]) -> Said {
        said(self.command(args).env(VARIABLE, passphrase).output().unwrap())
    }

    /// The same, typing the answers on a terminal of its own, each after a question.
    fn run_on_terminal(&self, args: &[&str], answers: &[&str]) -> Said {
        use rustix::termios::LocalModes;
        let (mut master, terminal) = pty::open();
        let mut child = Command::new("setsid");
        child.args(["--ctty", "--wait", PROGRAM]).args(args).current_dir(self.0.path()).env_remove(VARIABLE);
        let child = child.stdin(terminal).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut screen = String::new();
        for answer in answers {
            let mut buffer = [0; 256];
            while !screen.ends_with(": ") {
                let n = master.read(&mut buffer).unwrap();
                screen.push_str(std::str::from_utf8(&buffer[..n]).unwrap());
            }
            screen.push('\n');
            // The question is written before the echo is turned off.
            let echo = || rustix::termios::tcgetattr(&master).unwrap().local_modes.contains(LocalModes::ECHO);
            while echo() {
                std::thread::sleep(Duration::from_millis(5));
            }
            writeln!(master, "{answer}").unwrap();
        }
        let mut said = said(child.wait_with_output().unwrap());
        let modes = rustix::termios::tcgetattr(&master).unwrap().local_modes;
        assert!(modes.contains(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG), "left as it was found");
        said.err.insert_str(0, &screen);
        said
    }
}

fn said(output: Output) -> Said {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

impl Said {
    #[track_caller]
    fn ok(self) -> Said {
        assert_eq!(self.code, Some(0), "{}", self.err);
        self
    }

    #[track_caller]
    fn fails(&self, code: i32, why: &str) {
        assert_eq!(self.code, Some(code), "{}{}", self.out, self.err);
        assert_eq!(self.out, "");
        assert!(self.err.contains(why), "{why:?} is not in: {}", self.err);
    }
}

#[track_caller]
fn tool(program: &str, args: &[&str], dir: &Path) -> String {
    let output = Command::new(program).args(args).current_dir(dir).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn ssh_keygen_reads_what_is_written() {
    let room = Room::new();
    room.put("pass", "correct horse\n");
    let made =
        room.run(&["key", "generate", "--out", "k", "--comment", "release 2026", "--passphrase-file", "pass"]).ok();
    let clear = room.run(&["key", "generate", "--out", "c", "--no-passphrase"]).ok();
    assert_eq!(room.names(), ["c", "c.pub", "k", "k.pub", "pass"]);
    assert_eq!(made.out, room.read("k.pub"));
    assert_eq!(clear.out, room.read("c.pub"));
    assert!(made.out.ends_with(" release 2026\n"), "{}", made.out);
    assert!(made.err.contains("encrypted") && clear.err.contains("NOT encrypted"));
    assert_ne!(made.out.split(' ').nth(1), clear.out.split(' ').nth(1));

    let dir = room.0.path();
    assert_eq!(tool("ssh-keygen", &["-y", "-P", "correct horse", "-f", "k"], dir), made.out);
    assert_eq!(tool("ssh-keygen", &["-y", "-P", "", "-f", "c"], dir), clear.out);
    let wrong = Command::new("ssh-keygen").args(["-y", "-P", "wrong", "-f", "k"]).current_dir(dir).output().unwrap();
    assert!(!wrong.status.success());
    let public: PublicKey = made.out.parse().unwrap();
    assert!(tool("ssh-keygen", &["-l", "-f", "k.pub"], dir).contains(&public.fingerprint()));
}

#[test]
fn what_ssh_keygen_writes_is_read() {
    let room = Room::new();
    for (name, pass, cipher) in [
        ("plain", "", None),
        ("ctr", "a passphrase", None),
        ("gcm", "a passphrase", Some("aes256-gcm@openssh.com")),
        ("cbc", "a passphrase", Some("aes256-cbc")),
    ] {
        let mut args = vec!["-q", "-t", "ed25519", "-a", "2", "-N", pass, "-C", "by ssh-keygen", "-f", name];
        args.extend(cipher.iter().flat_map(|cipher| ["-Z", cipher]));
        tool("ssh-keygen", &args, room.0.path());
        let pem = fs::read(room.path(name)).unwrap();
        let public: PublicKey = room.read(&format!("{name}.pub")).parse().unwrap();
        let open = |pass: &str| SigningKey::from_openssh(&pem, Some(&Passphrase::new(pass.into())));
        assert_eq!(open(pass).unwrap().public(), public, "{name}");
        let shown = room.run(&["key", "show", name]).ok();
        assert!(shown.out.contains(&public.to_string()) && shown.out.contains(&public.fingerprint()));
        assert_eq!(shown.out.contains("not checked against the private part"), !pass.is_empty());
        if !pass.is_empty() {
            assert_eq!(open("a passphrasf").unwrap_err(), KeyError::WrongPassphrase, "{name}");
            assert_eq!(SigningKey::from_openssh(&pem, None).unwrap_err(), KeyError::MissingPassphrase);
        }
    }
    tool("ssh-keygen", &["-q", "-t", "ecdsa", "-N", "", "-f", "ecdsa"], room.0.path());
    room.run(&["key", "show", "ecdsa"]).fails(2, "only ssh-ed25519");
    room.run(&["key", "show", "ecdsa.pub"]).fails(2, "only ssh-ed25519");
    tool("openssl", &["genpkey", "-algorithm", "ed25519", "-out", "pkcs8"], room.0.path());
    fs::set_permissions(room.path("pkcs8"), Permissions::from_mode(0o600)).unwrap();
    room.run(&["key", "show", "pkcs8"]).fails(2, "BEGIN PRIVATE KEY");
    room.run(&["key", "import", "plain.pub", "--out", "k"]).fails(2, "this is a public key");
    room.put("two", &room.read("plain").repeat(2));
    room.run(&["key", "import", "two", "--out", "k"]).fails(2, "2 keys");
}

#[test]
fn openssl_takes_our_signatures() {
    let room = Room::new();
    room.run(&["key", "generate", "--out", "k", "--no-passphrase"]).ok();
    let key = SigningKey::from_openssh(room.read("k").as_bytes(), None).unwrap();
    fs::write(room.path("k.pem"), room.run(&["key", "show", "--pem", "k.pub"]).ok().out).unwrap();
    room.put("message", "what is signed");
    fs::write(room.path("sig"), key.sign(b"what is signed")).unwrap();
    let verify = ["pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", "k.pem", "-in", "message", "-sigfile", "sig"];
    assert!(tool("openssl", &verify, room.0.path()).contains("Verified Successfully"));
    room.put("message", "what is sighed");
    assert!(!Command::new("openssl").args(verify).current_dir(room.0.path()).output().unwrap().status.success());
    assert_eq!(room.run(&["key", "show", "--pem", "k"]).ok().out, room.read("k.pem"));
}

#[test]
fn modes_whatever_the_umask() {
    for umask in ["0000", "0777", "0022"] {
        let room = Room::new();
        let script = format!("umask {umask}; exec \"$0\" key generate --out k --no-passphrase");
        let output = Command::new("sh").args(["-c", &script, PROGRAM]).current_dir(room.0.path()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!((room.mode("k"), room.mode("k.pub")), (0o600, 0o644), "umask {umask}");
    }
}

#[test]
fn no_terminal_is_an_error_at_once() {
    let room = Room::new();
    let start = Instant::now();
    let said = room.run(&["key", "generate", "--out", "k"]);
    said.fails(2, "no terminal");
    assert!(said.err.contains("hint: --passphrase-file") && said.err.contains("hint: COUNTERSIGN_PASSPHRASE"));
    assert_eq!(room.names(), [""; 0]);
    room.run_with("p", &["key", "generate", "--out", "k"]).ok();
    // Of the two, the one that is encrypted already.
    room.run(&["key", "import", "k", "--out", "l"]).fails(2, "a passphrase for k is needed and there is no terminal");
    assert!(start.elapsed() < Duration::from_secs(60));
    assert_eq!(room.names(), ["k", "k.pub"]);
}

#[test]
fn questions_on_a_terminal() {
    let room = Room::new();
    let generate = ["key", "generate", "--out", "k"];
    let differ = room.run_on_terminal(&generate, &["correct hörse", "correct house"]);
    differ.fails(2, "not the same");
    room.run_on_terminal(&generate, &[""]).fails(2, "the passphrase for k is empty");
    room.run_on_terminal(&generate, &["\x04"]).fails(2, "no passphrase for k was typed");
    room.run_on_terminal(&generate, &["half\x03"]).fails(2, "no passphrase for k was typed (interrupted)");
    assert_eq!(room.names(), [""; 0]);

    let made = room.run_on_terminal(&generate, &["correct hörse", "correct hörse"]).ok();
    assert!(made.err.contains("New passphrase for k: ") && made.err.contains("The same again: "));
    assert!(!made.err.contains("rse"), "it is not echoed: {}", made.err);
    assert_eq!(tool("ssh-keygen", &["-y", "-P", "correct hörse", "-f", "k"], room.0.path()), made.out);

    let import = ["key", "import", "k", "--out", "l"];
    room.run_on_terminal(&import, &["correct house"]).fails(2, "wrong passphrase");
    let imported = room.run_on_terminal(&import, &["correct hörse"]).ok();
    assert!(imported.err.contains("Passphrase of k: "));
    assert_eq!(imported.out, made.out);
}

#[test]
fn where_passphrases_come_from() {
    let room = Room::new();
    room.put("right", "correct horse\nsecond line\n");
    room.put("wrong", "correct house\n");
    room.put("empty", "\ncorrect horse\n");
    let generate = |more: &[&'static str]| [&["key", "generate", "--out", "k"], more].concat();
    room.run_with("", &generate(&[])).fails(2, "COUNTERSIGN_PASSPHRASE is set but empty; a passphrase for k is needed");
    room.run_with("p", &generate(&["--passphrase-file", "empty"]))
        .fails(2, "the first line of empty is empty; a passphrase for k");
    room.run_with("p", &generate(&["--passphrase-file", "none"])).fails(7, "cannot read none");
    room.run(&generate(&["--passphrase-file", "right", "--no-passphrase"])).fails(2, "cannot be used with");
    assert_eq!(room.names(), ["empty", "right", "wrong"]);

    // The file goes before the variable.
    room.run_with("from the variable", &generate(&["--passphrase-file", "right"])).ok();
    tool("ssh-keygen", &["-y", "-P", "correct horse", "-f", "k"], room.0.path());
    let import = |more: &[&'static str]| [&["key", "import", "k", "--out", "l"], more].concat();
    room.run_with("correct horse", &import(&["--passphrase-file", "wrong"])).fails(2, "wrong passphrase");
    room.run_with("correct house", &import(&[])).fails(2, "wrong passphrase");
    room.run_with("", &import(&[])).fails(2, "COUNTERSIGN_PASSPHRASE is set but empty");
    assert_eq!(room.names(), ["empty", "k", "k.pub", "right", "wrong"]);
    room.run_with("correct house", &import(&["--passphrase-file", "right"])).ok();
}

#[test]
fn import_keeps_the_key_and_changes_its_lock() {
    let room = Room::new();
    room.put("old", "old one\n");
    room.put("new", "new one\n");
    tool("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-C", "me@here", "-f", "plain"], room.0.path());
    let public = room.read("plain.pub");
    let opens = |name: &str, pass: &str| {
        assert_eq!(tool("ssh-keygen", &["-y", "-P", pass, "-f", name], room.0.path()), public, "{name}");
        assert_eq!(room.read(&format!("{name}.pub")), public);
        assert_eq!(room.mode(name), 0o600);
    };
    let import = |from: &str, to: &str, more: &[&str]| {
        let said = room.run(&[&["key", "import", from, "--out", to], more].concat());
        if said.code == Some(0) {
            assert_eq!(said.out, public);
        }
        said
    };
    let before = room.read("plain");
    import("plain", "a", &["--passphrase-file", "old"]).ok();
    opens("a", "old one");
    import("a", "b", &["--passphrase-file", "old"]).ok();
    opens("b", "old one");
    import("a", "c", &["--passphrase-file", "old", "--new-passphrase-file", "new"]).ok();
    opens("c", "new one");
    import("c", "d", &["--passphrase-file", "new", "--no-passphrase"]).ok();
    opens("d", "");
    import("d", "e", &["--new-passphrase-file", "new"]).ok();
    opens("e", "new one");
    // A passphrase that would be used for nothing.
    import("plain", "f", &["--passphrase-file", "old", "--no-passphrase"]).fails(2, "is not encrypted");
    import("plain", "f", &["--passphrase-file", "old", "--new-passphrase-file", "new"]).fails(2, "is not encrypted");
    assert_eq!(room.read("plain"), before);
    let said = room.run(&["key", "import", "plain", "--out", "g", "--no-passphrase", "--comment", "other"]).ok();
    assert_eq!(said.out, public.replace("me@here", "other"));
}

#[test]
fn nothing_is_written_over() {
    let room = Room::new();
    room.put("k", "theirs");
    let generate = ["key", "generate", "--out", "k", "--no-passphrase"];
    room.run(&generate).fails(2, "cannot write k: it is there already");
    // Said before a passphrase is asked for.
    room.run(&["key", "generate", "--out", "k"]).fails(2, "cannot write k: it is there already");
    assert_eq!(room.names(), ["k"]);
    fs::rename(room.path("k"), room.path("k.pub")).unwrap();
    room.run(&generate).fails(2, "cannot write k.pub: it is there already");
    assert_eq!((room.names(), room.read("k.pub")), (vec!["k.pub".to_owned()], "theirs".to_owned()));
    fs::remove_file(room.path("k.pub")).unwrap();
    // A link that leads nowhere would be written through.
    std::os::unix::fs::symlink(room.path("elsewhere"), room.path("k")).unwrap();
    room.run(&generate).fails(2, "it is there already");
    assert_eq!(room.names(), ["k"]);
    room.run(&["key", "generate", "--out", "no/such/k", "--no-passphrase"]).fails(7, "cannot write no/such/k");
    room.run(&["key", "generate", "--out", "x.pub", "--no-passphrase"]).fails(2, "names the private key");
    for comment in ["two\nlines", "\u{202e}x", " x", "MY PRIVATE KEY", &"x".repeat(257)] {
        room.run(&["key", "generate", "--out", "x", "--no-passphrase", "--comment", comment]).fails(2, "the comment");
    }
    assert_eq!(room.names(), ["k"]);
}

#[test]
fn files_that_others_can_read_are_refused() {
    let room = Room::new();
    room.run(&["key", "generate", "--out", "k", "--no-passphrase"]).ok();
    for mode in [0o640, 0o604, 0o620, 0o666] {
        fs::set_permissions(room.path("k"), Permissions::from_mode(mode)).unwrap();
        for args in [&["key", "show", "k"][..], &["key", "import", "k", "--out", "l", "--no-passphrase"]] {
            let said = room.run(args);
            said.fails(2, "open to other users");
            assert!(said.err.contains("hint: chmod 600 k\n"), "{}", said.err);
        }
    }
    fs::set_permissions(room.path("k"), Permissions::from_mode(0o400)).unwrap();
    room.run(&["key", "show", "k"]).ok();
    // The public key may be read by everybody.
    fs::set_permissions(room.path("k.pub"), Permissions::from_mode(0o666)).unwrap();
    room.run(&["key", "show", "k.pub"]).ok();
    tool("mkfifo", &["fifo"], room.0.path());
    room.run(&["key", "show", "fifo"]).fails(7, "a FIFO");
    room.run(&["key", "generate", "--out", "x", "--passphrase-file", "fifo"]).fails(7, "a FIFO");
    room.put("long", &"x".repeat(70_000));
    room.run(&["key", "show", "long"]).fails(7, "longer than");
    room.run(&["key", "show", "none"]).fails(7, "cannot read none");
}

#[test]
fn json_is_one_document() {
    let room = Room::new();
    let read = |said: &Said| serde_json::from_str::<serde_json::Value>(&said.out).unwrap();
    let made = read(&room.run_with("p", &["key", "generate", "--out", "k", "--json", "--comment", "c"]).ok());
    let line = room.read("k.pub");
    let public: PublicKey = line.parse().unwrap();
    let document = |line: &str, private: &str, checked: bool| {
        serde_json::json!({
            "schema": "urn:countersign:schema:key:v1",
            "fingerprint": public.fingerprint(),
            "public": line,
            "builder": format!("urn:countersign:builder:{}", public.fingerprint()),
            "private": private,
            "checked": checked,
        })
    };
    assert_eq!(made, document(line.trim_end(), "encrypted", true));
    let show = |file: &str| read(&room.run(&["key", "show", file, "--json"]).ok());
    assert_eq!(show("k"), document(&public.to_string(), "encrypted", false));
    assert_eq!(show("k.pub"), document(&public.to_string(), "absent", false));
    let import = ["key", "import", "k", "--out", "l", "--no-passphrase", "--json"];
    assert_eq!(read(&room.run_with("p", &import).ok()), document(line.trim_end(), "unencrypted", true));
    assert_eq!(show("l"), document(&public.to_string(), "unencrypted", true));
    room.run(&["key", "show", "l", "--json", "--pem"]).fails(2, "cannot be used with");
}

/// A tampered file whose public part is another's shows the other's only with the words "not checked".
#[test]
fn a_file_with_anothers_public_part() {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let room = Room::new();
    room.run(&["key", "generate", "--out", "mine", "--no-passphrase"]).ok();
    room.run_with("p", &["key", "generate", "--out", "locked"]).ok();
    room.run(&["key", "generate", "--out", "other", "--no-passphrase"]).ok();
    let bytes = |name: &str| *room.read(&format!("{name}.pub")).parse::<PublicKey>().unwrap().as_bytes();
    for name in ["mine", "locked"] {
        let text = room.read(name);
        let inner: String = text.lines().filter(|line| !line.starts_with('-')).collect();
        let mut raw = STANDARD.decode(inner).unwrap();
        let at = raw.windows(32).position(|part| part == bytes(name)).unwrap();
        raw[at..at + 32].copy_from_slice(&bytes("other"));
        let frame = |what| format!("-----{what} OPENSSH PRIVATE KEY-----\n");
        room.put(name, &format!("{}{}\n{}", frame("BEGIN"), STANDARD.encode(raw), frame("END")));
        let import = ["key", "import", name, "--out", "new", "--comment", "x"];
        room.run_with("p", &import).fails(2, "does not belong to its private part");
    }
    room.run(&["key", "show", "mine"]).fails(2, "does not belong to its private part");
    assert!(room.run(&["key", "show", "locked"]).ok().out.contains("not checked"));
}

#[test]
fn the_secret_is_never_printed() {
    use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
    let room = Room::new();
    let mut all = String::new();
    let mut hear = |said: Said| all.push_str(&[said.out, said.err].concat());
    hear(room.run(&["key", "generate", "--out", "k", "--no-passphrase"]).ok());
    // public key, length 64, then the seed (PROTOCOL.key): found by what is public around it.
    let inner: String = room.read("k").lines().filter(|line| !line.starts_with('-')).collect();
    let raw = base64::engine::general_purpose::STANDARD.decode(inner).unwrap();
    let public = *room.read("k.pub").parse::<PublicKey>().unwrap().as_bytes();
    let second = raw.windows(32).enumerate().filter(|(_, part)| *part == public).nth(1).unwrap().0;
    let seed = &raw[second + 36..second + 68];
    let mut forms: Vec<String> = vec![seed.iter().map(|byte| format!("{byte:02x}")).collect()];
    // Base64 inside a longer text begins at one of three places; the middle of each is always the same.
    forms.extend((0..3).map(|skip| STANDARD_NO_PAD.encode(&seed[skip..skip + 24])));
    let seen = |text: &str| forms.iter().any(|form| text.to_lowercase().contains(&form.to_lowercase()));
    assert!(
        seen(&room.read("k").lines().filter(|line| !line.starts_with('-')).collect::<String>()),
        "the search finds it"
    );

    hear(room.run(&["key", "show", "k"]).ok());
    hear(room.run(&["key", "show", "k", "--json"]).ok());
    hear(room.run(&["key", "show", "k", "--pem"]).ok());
    hear(room.run_with("hunter2 hunter2", &["key", "import", "k", "--out", "l", "--json"]).ok());
    hear(room.run_with("hunter2 hunter3", &["key", "import", "l", "--out", "m"]));
    room.put("broken", &room.read("k").replacen("AAAA", "AAAB", 1));
    hear(room.run(&["key", "show", "broken"]));
    room.put("cut", &room.read("k").replace("-----END", ""));
    hear(room.run(&["key", "show", "cut"]));
    hear(room.run(&["key", "generate", "--out", "k"]));
    assert!(!seen(&all) && !all.contains("hunter") && !all.contains("OPENSSH PRIVATE KEY\n"), "{all}");
    assert!(!seen(&room.read("l").lines().collect::<String>()), "encrypted");
    assert!(!seen(&room.read("k.pub")));
}
