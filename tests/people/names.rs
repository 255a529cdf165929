//! Names that would move the cursor, turn the text or pass for a line of ours, wherever the program shows one.

use super::terminal::on_terminal;
use crate::common::{BUNDLE, Project, finish};
use std::os::unix::ffi::OsStrExt as _;

/// Escape sequences of seven and eight bits, a change of direction, and lines.
const EVIL: &str = "e\u{1b}[31m\u{1b}]0;t\u{7}\u{9b}2J\u{202e}\u{2066}x\u{200f}\nerror: injected\r\nyes: injected";

#[track_caller]
fn harmless(what: &str, text: &str) {
    let tricks = |c: char| {
        c.is_control() && !"\n\r\t".contains(c)
            || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    assert!(!text.contains(tricks), "{what}: {text:?}");
    for line in text.split(['\n', '\r']) {
        assert!(!line.starts_with("error: injected") && !line.starts_with("yes: injected"), "{what}: {text}");
    }
}

/// Runs it with its streams in pipes and on a terminal; `{}` in an argument is another word each time. Gives what was said in pipes.
fn both(project: &Project, args: &[&str]) -> String {
    let args_of = |word: &str| args.iter().map(|arg| arg.replace("{}", word)).collect::<Vec<_>>();
    let said = finish(&mut project.command(&args_of("piped")));
    let what = format!("{args:?}");
    assert_ne!(said.code, 70, "{what}: {said:?}");
    // The bytes that a digest is of are data, as they are; each still on a line of its own.
    if args.contains(&"--listing") && !args.contains(&"--json") {
        assert!(said.out.lines().skip(1).all(|line| line.starts_with(['0', '1'])), "{what}: {}", said.out);
    } else {
        harmless(&what, &said.out);
    }
    harmless(&what, &said.err);
    let shown = on_terminal(&project.path(""), &args_of("shown"), &[("TERM", "dumb")], false);
    harmless(&what, &shown.screen);
    assert_eq!(shown.code, said.code, "{what}: {shown:?} {said:?}");
    said.out + &said.err
}

/// The same, and the name was shown: it is the one that was escaped.
fn shows(project: &Project, args: &[&str]) {
    let text = both(project, args);
    let tame = text.contains("\\u{1b}[31m") || text.contains("\\u001b[31m");
    assert!(tame, "{args:?}: {text}");
}

#[test]
fn files_and_directories() {
    let project = Project::tiny();
    std::fs::create_dir(project.path("tree")).unwrap();
    std::fs::create_dir(project.path(EVIL)).unwrap();
    std::fs::create_dir(project.path(EVIL).join("empty")).unwrap();
    project.put(&format!("tree/{EVIL}"), "one");
    project.put(&format!("tree/{}", EVIL.to_uppercase()), "two, the same where case is not distinguished");
    project.put(&format!("{EVIL}/{EVIL}"), "three");
    project.put("file", "x");
    let long = "l".repeat(255);
    project.put(&format!("tree/{long}"), "");
    std::fs::write(project.path("tree").join(std::ffi::OsStr::from_bytes(b"\x9b31m\xff")), "").unwrap();
    let inside = format!("{EVIL}/{EVIL}");
    let fifo = format!("{EVIL}/fifo");
    assert!(std::process::Command::new("mkfifo").arg(project.path(&fifo)).status().unwrap().success());
    for args in [
        &["digest", "tree"][..],
        &["digest", "tree", "--exclude", EVIL, "--exclude", &EVIL[..4]],
        &["digest", "tree", "--exclude", "e*"],
        &["digest", "tree", "--json"],
        &["digest", "tree", "--listing", "--json"],
        &["digest", EVIL],
        &["digest", &fifo],
        &["digest", "--listing", &inside],
        &["digest", &format!("{EVIL}none")],
        &["digest", "--tree", &inside],
        &["compare", "tree", EVIL, "--json"],
        &["compare", "tree", &inside],
        &["compare", &fifo, "file"],
        &["init", EVIL],
        &["init", &inside],
        &["inspect", &inside],
        &["key", "show", &inside],
        &["key", "show", &format!("{EVIL}none")],
        &["key", "import", &inside, "--out", "new"],
        &["key", "generate", "--no-passphrase", "--out", &inside],
        &["key", "generate", "--no-passphrase", "--out", &format!("{EVIL}{{}}")],
        &["key", "generate", "--no-passphrase", "--out", "new", "--comment", EVIL],
        &["key", "generate", "--out", "new", "--passphrase-file", EVIL],
        &["key", "generate", "--out", &format!("{EVIL}.pub")],
        &["policy", "check", &inside],
        &["policy", "init", "--vendor", &inside, "--rebuilders", "none", "-o", "new"],
        &["policy", "init", "--vendor", "vendor.pub", "--rebuilders", "none", "-o", &inside],
        &["policy", "init", "--vendor", "vendor.pub", "--rebuilders", "none", "-o", &format!("{EVIL}{{}}")],
        &["bundle", "export", &inside, "--format", "dsse", "-o", "new"],
        &["man", "--out", &inside],
        &["man", "--out", &format!("{EVIL}{{}}")],
        &["man", EVIL],
        &["build", "--source", &inside, "--out", "new"],
        &["build", "--source", EVIL, "--out", "new"],
        &["build", "--source", "src", "--recipe", &inside, "--out", "new"],
        &["build", "--source", "src", "--out", EVIL],
        &["build", "--source", "src", "--out", &format!("src/{EVIL}")],
        &["build", "--source", "src", "--out", "new", "--scratch", &inside],
        &["build", "--source", "src", "--out", "new", "--log", &inside],
        &["attest", "--source", "src", "--key", &inside, "--bundle", "new"],
        &["attest", "--source", "src", "--key", "vendor", "--bundle", &inside],
        &["rebuild", &inside, "--source", "src"],
        &["verify", &inside, "--bundle", &inside, "--policy", &inside],
        &["verify", &inside, "--bundle", "policy", "--policy", "policy"],
        &["verify", "--tree", &inside, "--bundle", "policy", "--policy", "policy"],
    ] {
        if args[..2] == ["digest", "tree"] && !args.contains(&"e*") && args.len() == 2 {
            let text = both(&project, args);
            assert!(text.contains("one name where case"), "{text}");
        } else if !args.contains(&"--passphrase-file") || cfg!(target_os = "linux") {
            both(&project, args);
        }
    }
    shows(&project, &["digest", "tree"]);
    shows(&project, &["digest", &fifo]);
    shows(&project, &["compare", "tree", EVIL]);
    shows(&project, &["policy", "check", &inside]);
    shows(&project, &["inspect", &inside]);
    both(&project, &["digest", "tree", "--listing"]);
    // On a terminal a listing is for eyes, and says so by its escapes.
    let shown = on_terminal(&project.path(""), &["digest", "tree", "--listing"], &[], false);
    harmless("listing", &shown.screen);
    assert!(shown.screen.contains("\\u{1b}[31m"), "{shown:?}");
}

#[test]
fn what_is_typed() {
    let project = Project::tiny();
    let flag = format!("--{EVIL}");
    for args in [
        &[EVIL][..],
        &[&flag],
        &["digest", &flag],
        &["digest", "a", EVIL],
        &["digest", &format!("--strip={EVIL}"), "--tree", "a"],
        &["digest", &format!("--json={EVIL}"), "a"],
        &["digest", "src", "--exclude", &format!("[{EVIL}")],
        &["key", EVIL],
        &["build", "--out", "new", "--sandbox", EVIL],
        &["build", "--out", "new", "--sequence", EVIL],
        &["build", "--out", "new", "--channel", EVIL],
        &["build", "--out", "new", "--target", EVIL],
        &["build", "--out", "new", "--previous", EVIL],
        &["rebuild", "b", "--source", "s", "--runs", EVIL],
        &["rebuild", "b", "--source", "s", "--manifest", EVIL],
        &["verify", "a", "--bundle", "b", "--policy", "p", "--product", EVIL],
        &["policy", "init", "--vendor", "v", "--rebuilders", EVIL, "-o", "p"],
        &["completions", EVIL],
    ] {
        shows(&project, args);
    }
    both(&project, &["verify", "a", "--bundle", "b", "--policy", "p", "--as", &format!("{EVIL}/../x")]);
}

#[test]
fn recipes_and_builds() {
    let project = Project::new(
        "printf x > \"$(printf 'o\\033[31m\\302\\2332J\\342\\200\\256\\nyes: injected')\"; printf '\\033[31m\\302\\2332J\\342\\200\\256said\\n' >&2; : > out.txt",
        &["o*"],
    );
    let recipe = project.text("src/countersign.toml");
    let quoted = toml_string(EVIL);
    let variant = |old: &str, new: &str| {
        assert!(recipe.contains(old), "{old}");
        project.put("variant.toml", recipe.replace(old, new));
        both(&project, &["build", "--source", "src", "--recipe", "variant.toml", "--out", "new-{}"])
    };
    for (old, new) in [
        ("\"tiny\"", quoted.clone()),
        ("\"1.0\"", quoted.clone()),
        ("[release]", format!("{quoted} = 1\n[release]")),
        ("[release]", format!("[release]\nchannel = {quoted}")),
        ("\"o*\"", quoted.clone()),
        ("\"build.sh\"", format!("\"-c\", \"exit 3\", {quoted}")),
        ("\"sh\"", quoted.clone()),
        ("roots = [", format!("roots = [{quoted}, ")),
        ("roots = [", format!("roots = [{}, ", toml_string(&format!("/{EVIL}")))),
        ("[source]", format!("[source]\nexclude = [{quoted}]")),
    ] {
        variant(old, &new);
    }
    project.put(&format!("src/{EVIL}"), "a source file");
    variant("[source]", &format!("[source]\nexclude = [{}]", toml_string("e*")));
    project.put(&format!("src/{EVIL}.xz"), "a source file");
    shows(&project, &["build", "--source", "src", "--out", "built-{}"]);
    both(&project, &["build", "--source", "src", "--out", "json-{}", "--json"]);
    // Attested, changed, rebuilt: every report names the file.
    project.attest_to(BUNDLE, &["--out", "out", "--quiet"]).ends(0);
    shows(&project, &["inspect", BUNDLE]);
    both(&project, &["inspect", BUNDLE, "--json"]);
    let args: Vec<String> = project.rebuild_args(&[]).into_iter().map(|arg| arg.into_string().unwrap()).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    shows(&project, &args);
    both(&project, &[&args[..], &["--json"]].concat());
    project.copy("out", "published");
    for name in project.names("published").iter().filter(|name| *name != "out.txt") {
        project.put(&format!("published/{name}"), "y");
    }
    shows(&project, &[&args[..], &["--against", "published", "--quiet"]].concat());
    project.put(&format!("src/{EVIL}"), "changed");
    shows(&project, &args);
}

#[test]
fn policies_keys_and_bundles() {
    let project = Project::tiny();
    project.attest();
    project.review(&[]).ends(0);
    let policy = project.text("policy");
    // Comments of keys become names of signers.
    let comment = EVIL.replace(['\n', '\r'], " ");
    project.put("evil.pub", format!("{} {comment}\n", project.vendor().public()));
    both(&project, &["key", "show", "evil.pub"]);
    both(&project, &["policy", "init", "--vendor", "evil.pub", "--rebuilders", "none", "-o", "evil-{}"]);
    project.put("named", policy.replace("\"vendor\"\nkey", &format!("{}\nkey", toml_string(EVIL))));
    assert_ne!(project.text("named"), policy);
    let file = format!("{EVIL}.bin");
    std::fs::copy(project.path("out/run"), project.path(&file)).unwrap();
    for args in [
        &["policy", "check", "named"][..],
        &["policy", "check", "named", "--json"],
        &["verify", &file, "--bundle", BUNDLE, "--policy", "named"],
        &["verify", &file, "--bundle", BUNDLE, "--policy", "named", "--json"],
        &["inspect", BUNDLE, "--policy", "named"],
        &["verify", &file, "--bundle", BUNDLE, "--policy", "policy", "--as", "out.txt"],
    ] {
        both(&project, args);
    }
    shows(&project, &["verify", &file, "--bundle", BUNDLE, "--policy", "policy"]);
    let untrue = policy.replace("\"vendor\"]", &format!("{}]", toml_string(EVIL)));
    assert_ne!(untrue, policy);
    project.put("role", untrue);
    shows(&project, &["policy", "check", "role"]);
    shows(&project, &["verify", &file, "--bundle", BUNDLE, "--policy", "role"]);
    // Names that only the signer chose.
    project.forge(|provenance, _| provenance.builder = format!("urn:{EVIL}"));
    shows(&project, &["inspect", BUNDLE]);
    shows(&project, &["inspect", BUNDLE, "--json"]);
    both(&project, &["verify", "out/run", "--bundle", BUNDLE, "--policy", "policy"]);
    let line = project.text(BUNDLE).lines().next().unwrap().to_owned();
    let named: serde_json::Value = serde_json::from_str(&line).unwrap();
    let mut named = named;
    named["signatures"][0]["keyid"] = EVIL.into();
    project.put("keyid", format!("{named}\n{{\"{}\": 1}}\n", EVIL.escape_default()));
    shows(&project, &["inspect", "keyid"]);
    shows(&project, &["inspect", "keyid", "--policy", "policy"]);
    both(&project, &["verify", "out/run", "--bundle", "keyid", "--policy", "policy"]);
    both(&project, &["rebuild", "keyid", "--source", "src"]);
    both(&project, &["bundle", "export", "keyid", "--format", "sigstore", "-o", "exported-{}"]);
}

/// A TOML string, with escapes for what TOML does not allow as it is.
fn toml_string(text: &str) -> String {
    let escaped: String = text
        .chars()
        .map(|c| match c {
            '"' | '\\' => format!("\\{c}"),
            c if c.is_control() => format!("\\u{:04x}", u32::from(c)),
            c => c.to_string(),
        })
        .collect();
    format!("\"{escaped}\"")
}
