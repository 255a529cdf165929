//! What the program says, word for word: `tests/golden/help` has the help of every command, `tests/golden/errors` what wrong inputs are
//! answered with. `COUNTERSIGN_BLESS=1 cargo test --test golden` writes the files anew: read the difference before it is committed.
#![cfg(target_os = "linux")]

mod common;

use common::{PROGRAM, Project, Said, finish, is_root};
use std::collections::BTreeMap;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Name, arguments.
type Case = (&'static str, &'static [&'static str]);

const MISSING: &[Case] = &[
    ("missing-digest", &["digest", "none"]),
    ("missing-init", &["init", "none"]),
    ("missing-key-show", &["key", "show", "none"]),
    ("missing-key-import", &["key", "import", "none", "--out", "new"]),
    ("missing-source", &["build", "--source", "none", "--out", "new"]),
    ("missing-recipe", &["build", "--source", "empty", "--out", "new"]),
    ("missing-recipe-named", &["build", "--source", "src", "--recipe", "none.toml", "--out", "new"]),
    ("missing-out-above", &["build", "--source", "src", "--out", "no/such/new"]),
    ("missing-key", &["attest", "--source", "src", "--key", "none", "--bundle", "new"]),
    ("missing-bundle-rebuild", &["rebuild", "none", "--source", "src"]),
    ("missing-bundle-verify", &["verify", "out/run", "--bundle", "none", "--policy", "policy"]),
    ("missing-file-verify", &["verify", "none", "--bundle", "b.intoto.jsonl", "--policy", "policy"]),
    ("missing-policy-verify", &["verify", "out/run", "--bundle", "b.intoto.jsonl", "--policy", "none"]),
    ("missing-tree-verify", &["verify", "--tree", "none", "--bundle", "b.intoto.jsonl", "--policy", "policy"]),
    ("missing-compare", &["compare", "text", "none"]),
    ("missing-inspect", &["inspect", "none"]),
    ("missing-policy-check", &["policy", "check", "none"]),
    ("missing-policy-key", &["policy", "init", "--vendor", "none.pub", "--rebuilders", "none", "-o", "new"]),
    ("missing-bundle-export", &["bundle", "export", "none", "--format", "dsse", "-o", "new"]),
    ("missing-man", &["man", "none"]),
    (
        "missing-passphrase-file",
        &["attest", "--source", "src", "--key", "locked", "--bundle", "new", "--passphrase-file", "none"],
    ),
];

const KIND: &[Case] = &[
    ("fifo-digest", &["digest", "fifo"]),
    ("fifo-in-tree", &["digest", "special"]),
    ("fifo-recipe", &["build", "--source", "src", "--recipe", "fifo", "--out", "new"]),
    ("fifo-key", &["attest", "--source", "src", "--key", "fifo", "--bundle", "new"]),
    ("fifo-bundle", &["inspect", "fifo"]),
    ("fifo-policy", &["policy", "check", "fifo"]),
    ("fifo-verify", &["verify", "fifo", "--bundle", "b.intoto.jsonl", "--policy", "policy"]),
    ("device-digest", &["digest", "/dev/null"]),
    ("loop-digest", &["digest", "loop"]),
    ("below-a-file", &["digest", "text/x"]),
    ("directory-as-bundle", &["inspect", "src"]),
    ("directory-as-policy", &["policy", "check", "src"]),
    ("directory-as-recipe", &["build", "--source", "src", "--recipe", "src", "--out", "new"]),
    ("directory-as-file", &["verify", "src", "--bundle", "b.intoto.jsonl", "--policy", "policy"]),
    ("file-as-tree", &["verify", "--tree", "text", "--bundle", "b.intoto.jsonl", "--policy", "policy"]),
    ("file-as-project", &["init", "text"]),
    ("file-with-directory", &["compare", "text", "src"]),
    ("no-archive", &["digest", "--tree", "text"]),
    ("no-archive-empty", &["digest", "--tree", "nothing"]),
    ("no-archive-source", &["build", "--source", "text", "--recipe", "src/countersign.toml", "--out", "new"]),
    ("archive-without-recipe", &["build", "--source", "text", "--out", "new"]),
    ("archive-other-format", &["digest", "--tree", "packed"]),
    ("listing-of-a-file", &["digest", "--listing", "text"]),
    ("strip-of-a-directory", &["digest", "--tree", "--strip", "1", "src"]),
    ("project-unknown", &["init", "empty"]),
    ("recipe-there", &["init", "made"]),
    ("out-there", &["build", "--source", "src", "--out", "empty"]),
    ("out-in-source", &["build", "--source", "src", "--out", "src/new"]),
    ("bundle-there", &["attest", "--source", "src", "--key", "vendor", "--bundle", "b.intoto.jsonl"]),
    ("export-there", &["bundle", "export", "b.intoto.jsonl", "--format", "dsse", "-o", "empty"]),
    ("policy-there", &["policy", "init", "--vendor", "vendor.pub", "--rebuilders", "none", "-o", "policy"]),
    ("key-there", &["key", "generate", "--out", "vendor", "--no-passphrase"]),
];

const CONTENT: &[Case] = &[
    ("recipe-unknown-key", &["build", "--source", "src", "--recipe", "unknown.toml", "--out", "new"]),
    ("recipe-empty", &["build", "--source", "src", "--recipe", "nothing", "--out", "new"]),
    ("recipe-syntax", &["build", "--source", "src", "--recipe", "syntax.toml", "--out", "new"]),
    ("recipe-name", &["build", "--source", "src", "--recipe", "name.toml", "--out", "new"]),
    ("recipe-output", &["build", "--source", "src", "--recipe", "pattern.toml", "--out", "new"]),
    ("recipe-binary", &["build", "--source", "src", "--recipe", "binary", "--out", "new"]),
    ("output-in-source", &["build", "--source", "src", "--recipe", "stale.toml", "--out", "new"]),
    ("output-not-made", &["build", "--quiet", "--source", "src", "--recipe", "other.toml", "--out", "new"]),
    ("step-fails", &["build", "--quiet", "--source", "src", "--recipe", "fails.toml", "--out", "new"]),
    ("step-not-there", &["build", "--quiet", "--source", "src", "--recipe", "program.toml", "--out", "new"]),
    ("key-public", &["attest", "--source", "src", "--key", "vendor.pub", "--bundle", "new"]),
    ("key-no-key", &["attest", "--source", "src", "--key", "text", "--bundle", "new"]),
    ("key-open-to-others", &["attest", "--source", "src", "--key", "open", "--bundle", "new"]),
    (
        "key-wrong-passphrase",
        &["attest", "--source", "src", "--key", "locked", "--bundle", "new", "--passphrase-file", "text"],
    ),
    ("key-no-passphrase", &["attest", "--source", "src", "--key", "locked", "--bundle", "new"]),
    (
        "key-needless-passphrase",
        &["attest", "--source", "src", "--key", "vendor", "--bundle", "new", "--passphrase-file", "text"],
    ),
    ("key-empty-passphrase", &["key", "generate", "--out", "new", "--passphrase-file", "nothing"]),
    ("key-comment", &["key", "generate", "--out", "new", "--no-passphrase", "--comment", "a\nb"]),
    ("key-pub-name", &["key", "generate", "--out", "new.pub", "--no-passphrase"]),
    ("key-show-no-key", &["key", "show", "text"]),
    ("key-show-rsa", &["key", "show", "rsa.pub"]),
    ("policy-empty", &["policy", "check", "nothing"]),
    ("policy-unknown-key", &["policy", "check", "unknown.toml"]),
    ("policy-syntax", &["policy", "check", "syntax.toml"]),
    ("policy-binary", &["policy", "check", "binary"]),
    ("policy-empty-verify", &["verify", "out/run", "--bundle", "b.intoto.jsonl", "--policy", "nothing"]),
    ("policy-too-few", &["policy", "init", "--vendor", "vendor.pub", "--rebuilders", "1", "-o", "new"]),
    (
        "policy-twice",
        &["policy", "init", "--vendor", "vendor.pub", "--rebuilder", "vendor.pub", "--rebuilders", "1", "-o", "new"],
    ),
    ("policy-private-key", &["policy", "init", "--vendor", "vendor", "--rebuilders", "none", "-o", "new"]),
    ("policy-no-key", &["policy", "init", "--vendor", "text", "--rebuilders", "none", "-o", "new"]),
    ("bundle-none-inspect", &["inspect", "text"]),
    ("bundle-none-export", &["bundle", "export", "text", "--format", "dsse", "-o", "new"]),
    ("bundle-none-rebuild", &["rebuild", "text", "--source", "src"]),
    ("bundle-none-verify", &["verify", "out/run", "--bundle", "text", "--policy", "policy"]),
    ("bundle-broken-verify", &["verify", "out/run", "--bundle", "broken", "--policy", "policy"]),
    ("verify-differs", &["verify", "text", "--bundle", "b.intoto.jsonl", "--policy", "policy"]),
    ("verify-pending", &["verify", "out/run", "--bundle", "b.intoto.jsonl", "--policy", "policy"]),
    (
        "verify-other-version",
        &["verify", "out/run", "--bundle", "b.intoto.jsonl", "--policy", "policy", "--version", "2.0"],
    ),
    ("verify-unknown-vendor", &["verify", "out/run", "--bundle", "b.intoto.jsonl", "--policy", "foreign"]),
    ("rebuild-source-differs", &["rebuild", "b.intoto.jsonl", "--source", "changed"]),
    ("rebuild-no-such-manifest", &["rebuild", "b.intoto.jsonl", "--source", "src", "--manifest", ZERO]),
    ("rebuild-untrusted", &["rebuild", "b.intoto.jsonl", "--source", "src", "--policy", "foreign"]),
    ("rebuild-nowhere-to-sign", &["rebuild", "b.intoto.jsonl", "--source", "src", "--key", "reviewer"]),
    ("compare-differs", &["compare", "src", "changed"]),
];

const ZERO: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";

const USAGE: &[Case] = &[
    ("usage-nothing", &[]),
    ("usage-unknown-command", &["veryfy"]),
    ("usage-unknown-command-unlike", &["zzz"]),
    ("usage-unknown-below", &["key", "gen"]),
    ("usage-unknown-flag", &["digest", "--lsting", "src"]),
    ("usage-unknown-flag-unlike", &["inspect", "--zzz", "b"]),
    ("usage-group", &["policy"]),
    ("usage-missing-attest", &["attest"]),
    ("usage-missing-verify", &["verify"]),
    ("usage-missing-policy", &["verify", "out/run", "--bundle", "b.intoto.jsonl"]),
    ("usage-missing-value", &["digest", "src", "--exclude"]),
    ("usage-too-many", &["compare", "a", "b", "c"]),
    ("usage-conflict", &["digest", "src", "--listing", "--git"]),
    ("usage-conflict-key", &["key", "show", "vendor.pub", "--pem", "--json"]),
    ("usage-conflict-quiet", &["compare", "a", "b", "--quiet", "--json"]),
    ("usage-requires", &["digest", "src", "--strip", "1"]),
    ("usage-enum", &["build", "--out", "new", "--sandbox", "no"]),
    ("usage-shell", &["completions", "tcsh"]),
    ("usage-number", &["attest", "--key", "k", "--bundle", "b", "--sequence", "x"]),
    ("usage-number-zero", &["rebuild", "b", "--source", "s", "--runs", "0"]),
    ("usage-number-range", &["digest", "--tree", "--strip", "9", "x"]),
    ("usage-count", &["policy", "init", "--vendor", "v", "--rebuilders", "0", "-o", "p"]),
    ("usage-word", &["verify", "a", "--bundle", "b", "--policy", "p", "--product", "a b"]),
    ("usage-digest", &["attest", "--key", "k", "--bundle", "b", "--previous", "md5:00"]),
    ("usage-pattern", &["digest", "src", "--exclude", "[a]"]),
    ("usage-subject", &["verify", "a", "--bundle", "b", "--policy", "p", "--as", "../a"]),
    ("usage-subject-of-two", &["verify", "a", "b", "--bundle", "b", "--policy", "p", "--as", "a"]),
    ("usage-hostile", &["digest", "--\u{1b}[31m\u{9b}2J\u{202e}\nerror: all is well"]),
    ("usage-hostile-command", &["\u{1b}[31m\u{9b}2J\u{202e}\nerror: all is well"]),
];

/// A place with everything that can be wrong.
fn scene() -> Project {
    let project = Project::tiny();
    std::fs::create_dir(project.path("cache")).unwrap();
    project.attest();
    for dir in ["empty", "made", "special"] {
        std::fs::create_dir(project.path(dir)).unwrap();
    }
    project.put("made/Makefile", "all:\n");
    project.put("made/countersign.toml", "");
    project.put("text", "hello\n");
    project.put("nothing", "");
    project.put("binary", b"\xff\xfe\0");
    project.put("packed", b"\xfd7zXZ\0 and more");
    project.put("rsa.pub", "ssh-rsa AAAAB3NzaC1yc2E me\n");
    for fifo in ["fifo", "special/fifo"] {
        assert!(Command::new("mkfifo").arg(project.path(fifo)).status().unwrap().success());
    }
    std::os::unix::fs::symlink("loop", project.path("loop")).unwrap();
    project.run(&["key", "generate", "--out", "locked", "--passphrase-file", "packed"]).ends(0);
    project.run(&["key", "generate", "--out", "other", "--no-passphrase", "--comment", "other"]).ends(0);
    project.run(&["policy", "init", "--vendor", "other.pub", "--rebuilders", "none", "-o", "foreign"]).ends(0);
    project.put("open", project.get("vendor"));
    let recipe = project.text("src/countersign.toml");
    let variant = |name: &str, old: &str, new: &str| {
        assert!(recipe.contains(old), "{old}");
        project.put(name, recipe.replace(old, new));
    };
    variant("unknown.toml", "[release]", "colour = \"red\"\n[release]");
    variant("syntax.toml", "version = \"1.0\"", "version = 1.0.");
    variant("name.toml", "name = \"tiny\"", "name = \"two words\"");
    variant("pattern.toml", "\"run\"", "\"../run\"");
    variant("stale.toml", "\"run\"", "\"input.txt\"");
    variant("other.toml", "\"run\"", "\"walk\"");
    variant("fails.toml", "\"build.sh\"", "\"-c\", \"echo this is why; exit 3\"");
    variant("program.toml", "\"sh\", \"build.sh\"", "\"no-such-program\"");
    project.copy("src", "changed");
    project.put("changed/input.txt", "another line\n");
    // One letter of the signed payload.
    let bundle = project.text("b.intoto.jsonl");
    let at = bundle.find("\"payload\":\"").unwrap() + 40;
    let other = if bundle.as_bytes()[at] == b'A' { "B" } else { "A" };
    project.put("broken", format!("{}{other}{}", &bundle[..at], &bundle[at + 1..]));
    project
}

/// Without a terminal to ask on, and without one whose width matters.
fn run(project: &Project, args: &[&str]) -> Said {
    let mut command = Command::new("setsid");
    command.arg("--wait").arg(PROGRAM).args(args);
    finish(as_in(project, &mut command))
}

fn as_in<'c>(project: &Project, command: &'c mut Command) -> &'c mut Command {
    for name in ["COLUMNS", "LINES", "NO_COLOR", "COUNTERSIGN_PASSPHRASE"] {
        command.env_remove(name);
    }
    let command = command.current_dir(project.path("")).env("XDG_CACHE_HOME", project.path("cache"));
    command.env("TMPDIR", project.path("tmp")).stdin(Stdio::null())
}

#[test]
fn wrong_inputs_are_answered_as_written_down() {
    let project = scene();
    let mut found = BTreeMap::new();
    let there = project.names(".");
    for (name, args) in [MISSING, KIND, CONTENT, USAGE].concat() {
        let said = run(&project, args);
        assert_ne!(said.code, 0, "{name}: {said:?}");
        check_style(name, &said);
        assert!(found.insert(name.to_owned(), text(&project, args, &said)).is_none(), "{name} is there twice");
        let _ = std::fs::remove_file(project.path("new.log"));
    }
    found.insert("closed-to-you".to_owned(), closed(&project));
    assert_eq!(project.names("."), there, "what failed left something behind");
    compare("errors", found);
}

/// As an ordinary user, whoever we are.
fn closed(project: &Project) -> String {
    project.put("closed", "secret\n");
    project.chmod("closed", 0);
    let program = project.path("program");
    // Not by this process, whose other children would hold it open for writing.
    assert!(Command::new("cp").arg(PROGRAM).arg(&program).status().unwrap().success());
    let mut command = Command::new(&program);
    command.args(["digest", "closed"]);
    if is_root() {
        command.uid(65534).gid(65534);
    }
    let said = finish(as_in(project, &mut command));
    std::fs::remove_file(program).unwrap();
    std::fs::remove_file(project.path("closed")).unwrap();
    check_style("closed", &said);
    text(project, &["digest", "closed"], &said)
}

/// One lower-case line of fact, then hints.
fn check_style(name: &str, said: &Said) {
    if said.err.contains("\nUsage: ") {
        return; // The help, where nothing was asked for.
    }
    let facts: Vec<&str> = said.err.lines().filter(|line| line.starts_with("error: ")).collect();
    assert!(facts.len() <= 1, "{name}: {said:?}");
    assert!(
        facts.len() == 1
            || said.out.contains("\nno: ")
            || said.out.contains("different: ")
            || said.out.contains("pending: "),
        "{name}: {said:?}"
    );
    for line in &facts {
        let first = line["error: ".len()..].chars().next().unwrap();
        assert!(!first.is_uppercase() && (!line.ends_with('.') || line.ends_with("...")), "{name}: {line}");
        assert!(!line.contains("os error"), "{name}: {line}");
    }
    // Hints are the last that is said.
    let mut kinds = said.err.lines().skip_while(|line| !line.starts_with("hint: "));
    assert!(kinds.all(|line| line.starts_with("hint: ")), "{name}: {said:?}");
}

fn text(project: &Project, args: &[&str], said: &Said) -> String {
    let args: Vec<String> =
        args.iter().map(|arg| if plain(arg) { arg.to_string() } else { format!("{arg:?}") }).collect();
    let command = ["countersign"].into_iter().chain(args.iter().map(String::as_str)).collect::<Vec<_>>().join(" ");
    let place = project.path("").display().to_string();
    let same = |text: &str| normal(&text.replace(place.trim_end_matches('/'), "DIR"));
    format!("$ {command}\nexit code {}\n--- stdout\n{}--- stderr\n{}", said.code, same(&said.out), same(&said.err))
}

fn plain(arg: &str) -> bool {
    !arg.is_empty() && arg.chars().all(|c| c.is_ascii_graphic())
}

/// Without what is different in every run: digests of the host's files, keys, times, sizes.
fn normal(text: &str) -> String {
    let hex = |c: char| c.is_ascii_hexdigit();
    let base64 = |c: char| c.is_ascii_alphanumeric() || "+/".contains(c);
    let mut text = text.replace(&format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS), "ARCH-OS");
    text = after(&text, "sha256:", 64, hex);
    text = after(&text, "SHA256:", 43, base64);
    after(&text, "bytes: ", 1, |c| c.is_ascii_digit())
}

/// Each run of at least so many of these characters after `start` becomes `…`.
fn after(text: &str, start: &str, least: usize, these: impl Fn(char) -> bool) -> String {
    let mut parts = text.split(start);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(&these);
        let cut = part.len() - rest.len() >= least && !part.starts_with("0000");
        out += start;
        out += &if cut { format!("…{rest}") } else { part.to_owned() };
    }
    out
}

#[test]
fn help_is_as_written_down() {
    let project = Project::tiny();
    let mut found = BTreeMap::new();
    let mut waiting = vec![Vec::<String>::new()];
    while let Some(words) = waiting.pop() {
        let args: Vec<&str> = words.iter().map(String::as_str).chain(["--help"]).collect();
        let help = run(&project, &args).ends(0);
        assert_eq!(help.err, "");
        assert!(help.out.lines().all(|line| line.chars().count() <= 100), "{}", help.out);
        if let Some((_, list)) = help.out.split_once("\nCommands:\n") {
            let names = list.lines().take_while(|line| !line.is_empty()).filter_map(|line| line.strip_prefix("  "));
            let names = names.filter(|line| !line.starts_with(' ')).filter_map(|line| line.split(' ').next());
            waiting.extend(names.filter(|name| *name != "help").map(|name| [&words[..], &[name.to_owned()]].concat()));
        }
        let name = if words.is_empty() { "countersign".to_owned() } else { words.join("-") };
        found.insert(name, help.out);
    }
    assert!(found.len() >= 20, "{:?}", found.keys());
    compare("help", found);
}

/// Holds what was said against the files; all of them, and no others.
fn compare(kind: &str, found: BTreeMap<String, String>) {
    let root = std::env::var_os("CARGO_MANIFEST_DIR");
    let root = root.map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    let dir = root.join("tests/golden").join(kind);
    if std::env::var_os("COUNTERSIGN_BLESS").is_some() {
        std::fs::create_dir_all(&dir).unwrap();
        names(&dir).iter().for_each(|name| std::fs::remove_file(dir.join(name)).unwrap());
        found.iter().for_each(|(name, text)| std::fs::write(dir.join(format!("{name}.txt")), text).unwrap());
    }
    let wrong = differences(&dir, &found);
    assert!(wrong.is_empty(), "{wrong}\nif that is meant: COUNTERSIGN_BLESS=1 cargo test --test golden");
}

fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    entries.collect()
}

fn differences(dir: &Path, found: &BTreeMap<String, String>) -> String {
    let mut wrong = String::new();
    for (name, text) in found {
        let golden = std::fs::read_to_string(dir.join(format!("{name}.txt"))).unwrap_or_else(|err| format!("{err}\n"));
        if golden != *text {
            wrong += &format!("=== {name}.txt says\n{golden}=== said is\n{text}");
        }
    }
    for name in names(dir) {
        if !name.strip_suffix(".txt").is_some_and(|name| found.contains_key(name)) {
            wrong += &format!("=== {name} is made by no case\n");
        }
    }
    wrong
}

/// The comparison finds what it is there to find.
#[test]
fn what_differs_between_runs_and_nothing_else_is_left_out() {
    assert_eq!(normal(&format!("sha256:{} x", "ab".repeat(32))), "sha256:… x");
    assert_eq!(normal("sha256:abcd"), "sha256:abcd");
    assert_eq!(normal("lines: 4, bytes: 123"), "lines: 4, bytes: …");
    assert_eq!(normal(ZERO), ZERO);
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("x.txt"), "y").unwrap();
    let wrong = |name: &str, text: &str| differences(dir.path(), &BTreeMap::from([(name.to_owned(), text.to_owned())]));
    assert_eq!(wrong("x", "y"), "");
    assert!(wrong("x", "z").contains("x.txt says"));
    assert!(wrong("w", "y").contains("x.txt is made by no case"));
}
