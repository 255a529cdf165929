//! The program as a whole: its exit codes, its documents, its manners on a terminal and in a pipe.

use super::common::{BUNDLE, PROGRAM, Project, TINY, finish};
use serde_json::Value;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Command, Stdio};

/// One way to each exit code of docs/spec.md §9, but for 70, which is a defect of the program.
#[test]
fn every_exit_code() {
    let good = Project::tiny();
    good.attest();
    let fickle = Project::new("date +%N%s > out.txt; head -c 9 /dev/urandom | od >> out.txt", &["out.txt"]);
    fickle.attest();
    let failing = Project::new("exit 1", &["out.txt"]);
    let verify = ["verify", "out/run", "--bundle", BUNDLE, "--policy", "policy"];
    let pending = good.run(&verify).code;
    good.review(&[]).ends(0);
    let yes = good.run(&verify).code;
    let refused = good.run(&[&verify[..], &["--product", "other"]].concat()).code;
    good.put("changed", "x");
    let differs = good.run(&["verify", "changed", "--bundle", BUNDLE, "--policy", "policy"]).code;
    let unknown = good.run(&["verify", "nowhere", "--bundle", BUNDLE, "--policy", "policy"]).code;
    let usage = good.run(&["verify"]).code;
    good.put("src/input.txt", "other");
    let source = good.rebuild(&[]).code;
    good.put(BUNDLE, "{}\n");
    let broken = good.run(&verify).code;
    let nondeterministic = fickle.rebuild(&["--runs", "2"]).code;
    let failed = failing.attest_to(BUNDLE, &[]).code;
    let table = [
        ("yes", yes, 0),
        ("the bytes differ", differs, 1),
        ("usage", usage, 2),
        ("refused by the policy", refused, 3),
        ("evidence broken", broken, 4),
        ("not deterministic", nondeterministic, 5),
        ("the build failed", failed, 6),
        ("could not tell", unknown, 7),
        ("pending", pending, 8),
        ("the source is not the signed one", source, 9),
    ];
    let help = good.run(&["--help"]).ends(0).out.split_whitespace().collect::<Vec<_>>().join(" ");
    for (words, code, wanted) in table {
        assert_eq!(code, wanted, "{words}");
        assert!(help.contains(&format!("{wanted} {words}")), "{wanted} {words} is not in: {help}");
    }
}

#[test]
fn every_document_has_a_schema() {
    let project = Project::tiny();
    let schemas = std::cell::RefCell::new(Vec::new());
    let seen = |document: Value| {
        schemas.borrow_mut().push(document["schema"].as_str().unwrap().to_owned());
        document
    };
    let json = |args: &[&str]| {
        let args: Vec<&str> = args.iter().copied().chain(["--json"]).collect();
        seen(project.run(&args).ends(0).json())
    };
    assert!(json(&["key", "generate", "--no-passphrase", "--out", "k"])["public"].is_string());
    json(&["key", "show", "k"]);
    json(&["key", "import", "k", "--out", "k2", "--no-passphrase"]);
    assert!(json(&["digest", "src"])["tree"]["sha256"].is_string());
    assert!(json(&["digest", "vendor.pub"])["file"]["sha256"].is_string());
    std::fs::create_dir(project.path("new")).unwrap();
    project.put("new/Makefile", "all:\n\ttouch out/x\n");
    json(&["init", "new"]);
    let built = json(&["build", "--source", "src", "--out", "built", "--statement", "s"]);
    let attested = json(&["attest", "--source", "src", "--key", "vendor", "--bundle", BUNDLE]);
    assert_eq!(built["files"], attested["files"]);
    assert_eq!(built["files"].as_array().unwrap().len(), 2);
    let previous = format!("sha256:{}", "0".repeat(64));
    let later = ["attest", "--source", "src", "--key", "vendor", "--bundle", "later.jsonl", "--previous", &previous];
    assert_eq!(json(&later)["release"]["previous"], previous.as_str());
    assert_eq!(json(&["inspect", "later.jsonl"])["lines"][0]["release"]["previous"], previous.as_str());
    json(&["inspect", BUNDLE]);
    json(&["policy", "check", "policy"]);
    json(&["policy", "init", "--vendor", "vendor.pub", "--rebuilders", "none", "-o", "p"]);
    json(&["bundle", "export", BUNDLE, "--format", "dsse", "-o", "exported"]);
    json(&["compare", "built", "built"]);
    let signed = json(&["sign", "s", "--key", "vendor", "--outputs", "built", "--bundle", "s.jsonl"]);
    assert_eq!((&signed["observation"], &signed["claimed"]), (&"not-observed".into(), &"isolated".into()));
    assert_eq!(signed["buildOrder"], attested["buildOrder"]);
    assert_eq!(json(&["inspect", "s.jsonl"])["lines"][0]["claimed"]["observation"], "isolated");
    let approved = json(&["approve", BUNDLE, "--key", "reviewer", "--outputs", "built"]);
    assert_eq!((&approved["manifest"], &approved["added"]), (&attested["payload"], &true.into()));
    assert_eq!(json(&["bundle", "merge", BUNDLE, BUNDLE, "-o", "m"])["lines"], 5);
    let rebuilt = seen(project.review(&["--json"]).ends(0).json());
    assert_eq!((&rebuilt["verdict"], &rebuilt["buildOrder"]), (&"identical".into(), &attested["buildOrder"]));
    json(&["verify", "built/run", "--bundle", BUNDLE, "--policy", "policy"]);
    let mut schemas = schemas.take();
    schemas.sort();
    schemas.dedup();
    assert_eq!(schemas.len(), 14, "a schema for each kind of document: {schemas:?}");
    for schema in &schemas {
        assert!(schema.starts_with("urn:countersign:schema:") && schema.ends_with(":v1"), "{schema}");
    }
}

#[test]
fn hints_are_about_the_command_that_gives_them() {
    let project = Project::tiny();
    project.attest();
    assert!(Command::new("mkfifo").arg(project.path("src/pipe")).status().unwrap().success());
    let said = project
        .run(&["digest", "src"])
        .fails(7, "src/pipe is a FIFO")
        .says("hint: remove it, or leave it out with --exclude");
    assert!(!said.err.contains("recipe"), "{}", said.err);
    for said in [project.attest_to("new.jsonl", &[]), project.rebuild(&[])] {
        let said = said
            .fails(7, "src/pipe is a FIFO")
            .says("hint: remove it, unless the recipe can leave it out: source.exclude");
        assert!(!said.err.contains("--exclude"), "{}", said.err);
    }
    let said = project.run(&["compare", "src", "src"]).fails(7, "src/pipe is a FIFO");
    assert!(!said.err.contains("--exclude"), "{}", said.err);
    std::fs::remove_file(project.path("src/pipe")).unwrap();
    let said = project
        .attest_to("no/such/b.jsonl", &[])
        .fails(7, "no/such/b.jsonl cannot be written: there is no directory no/such");
    assert!(!said.err.contains(".part"), "{}", said.err);
    let policy = ["policy", "init", "--vendor", "vendor.pub", "--rebuilders", "1", "-o", "p"];
    project.run(&policy).fails(2, "p is not written: what it requires").says("hint: --rebuilders N needs");
}

#[test]
fn a_policy_that_is_too_long_is_wrong_everywhere() {
    let project = Project::tiny();
    project.attest();
    let policy = project.text("policy");
    // Comments up to the limit, then one byte more.
    let full = (1 << 20) - policy.len() - 1;
    project.put("long", format!("{policy}{}\n", "#".repeat(full)));
    let good = ["policy", "check", "long"];
    project.run(&good).ends(0);
    project.put("long", format!("{policy}{}\n", "#".repeat(full + 1)));
    project.run(&good).fails(2, "cannot read long: it is longer than 1048576 bytes");
    for args in [&["verify", "out/run", "--bundle", BUNDLE][..], &["inspect", BUNDLE]] {
        project.run(&[args, &["--policy", "long"]].concat()).fails(2, "cannot read long: it is longer");
    }
    project.rebuild(&["--policy", "long"]).fails(2, "cannot read long: it is longer");
}

fn base64(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text).unwrap()
}

#[test]
fn a_statement_without_a_signature() {
    let project = Project::tiny();
    let said = project.run(&["build", "--source", "src", "--out", "built", "--statement", "s"]).ends(0);
    let said = said.says("nothing is signed").prints("  run\n");
    assert_eq!(said.out.lines().count(), 2);
    let lines: Vec<Value> =
        project.text("s").lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<_>>();
    assert_eq!(lines.len(), 4);
    assert!(lines[0].get("signatures").is_none() && lines[0]["_type"] == "urn:countersign:unsigned:v1");
    let payload = base64(lines[0]["payload"].as_str().unwrap());
    let statement: Value = serde_json::from_slice(&payload).unwrap();
    project.run(&["inspect", "s"]).fails(4, "it holds no envelope");
    project.attest();
    let signed = project.statement("provenance");
    for part in ["/subject", "/predicate/buildDefinition", "/predicate/runDetails/byproducts"] {
        assert_eq!(statement.pointer(part), signed.pointer(part), "{part}");
    }
    assert_eq!(statement.pointer("/predicate/runDetails/builder/id").unwrap(), "urn:countersign:builder:unsigned");
    assert_eq!(project.get("built/run"), project.get("out/run"));
    project.run(&["build", "--source", "src", "--out", "b2", "--builder-id", "x"]).fails(2, "--statement");
}

#[test]
fn inspect_with_and_without_a_policy() {
    let project = Project::tiny();
    project.attest();
    project.review(&[]).ends(0);
    let said = project.run(&["inspect", BUNDLE]).ends(0).says("no signature was checked");
    assert!(said.out.contains("(claimed, not checked)") && !said.out.contains("of the policy"), "{}", said.out);
    let said = project.run(&["inspect", BUNDLE, "--policy", "policy"]).ends(0);
    assert!(!said.out.contains("claimed"), "{}", said.out);
    let said = said.prints("vendor (vendor of the policy)").prints("reviewer (rebuilder of the policy)");
    said.prints("verdict reproduced").prints("artifact     identical run").prints("run record");
    // A line by nobody's key, and one that is none.
    project.run(&["key", "generate", "--no-passphrase", "--out", "stranger"]).ends(0);
    project.run(&["attest", "--source", "src", "--key", "stranger", "--bundle", "other.jsonl"]).ends(0);
    project.put(BUNDLE, format!("{}{}no json\n", project.text(BUNDLE), project.text("other.jsonl")));
    let document = project.run(&["inspect", BUNDLE, "--policy", "policy", "--json"]).ends(0).json();
    let states: Vec<&str> = document["lines"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| line["signers"][0]["state"].as_str().or(line["kind"].as_str()).unwrap())
        .collect();
    assert_eq!(states.iter().filter(|state| **state == "unknown").count(), 2, "{states:?}");
    assert_eq!(states.last(), Some(&"unreadable"));
    project.verify(&["out/run"]).ends(0).last("1 independent rebuild");
    project.put("none", "");
    project.run(&["inspect", "none"]).fails(4, "none: it holds no envelope");
}

#[test]
fn a_closed_pipe_is_quiet() {
    let project = Project::tiny();
    project.attest();
    project.review(&[]).ends(0);
    let verify = ["verify", "out/run", "--bundle", BUNDLE, "--policy", "policy"];
    for args in
        [&["inspect", BUNDLE][..], &verify, &["digest", "src", "--listing"], &["--help"], &["compare", "src", "out"]]
    {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = project.command(args);
        let done = command.stdout(writer).stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
        assert_eq!(done.status.code(), Some(141), "{args:?}: {done:?}");
        let err = String::from_utf8(done.stderr).unwrap();
        assert!(!err.contains("panic") && !err.contains("error"), "{args:?}: {err}");
    }
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("{PROGRAM} inspect {BUNDLE} | head -n 1")]).current_dir(project.path("."));
    let said = finish(&mut shell).ends(0);
    assert_eq!(said.out.lines().count(), 1);
    assert!(!said.err.contains("panic") && !said.err.contains("error"), "{}", said.err);
    // A full device is no closed pipe.
    let mut command = project.command(&["inspect", BUNDLE]);
    let full = File::options().write(true).open("/dev/full").unwrap();
    let done = command.stdout(full).output().unwrap();
    assert_eq!(done.status.code(), Some(7), "{done:?}");
}

/// What appears on a terminal that is the program's standard error.
fn on_terminal(project: &Project, args: &[&str], variables: &[(&str, &str)]) -> String {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
    let no_ctty = rustix::fs::OFlags::NOCTTY.bits() as i32;
    let terminal = File::options().read(true).write(true).custom_flags(no_ctty).open(name).unwrap();
    let mut command = project.command(args);
    command.env("TERM", "xterm").envs(variables.iter().copied()).stdout(Stdio::null()).stderr(terminal);
    command.status().unwrap();
    drop(command);
    let mut screen = Vec::new();
    // The end of the last writer is an error of its own on a terminal.
    let _ = File::from(master).read_to_end(&mut screen);
    String::from_utf8(screen).unwrap()
}

#[test]
fn colour_on_terminals_that_want_it() {
    let project = Project::tiny();
    let wrong = ["inspect", "nowhere"];
    assert!(on_terminal(&project, &wrong, &[]).contains("\u{1b}[31merror:\u{1b}[0m"));
    for variables in [[("NO_COLOR", "1")], [("TERM", "dumb")]] {
        let screen = on_terminal(&project, &wrong, &variables);
        assert!(screen.contains("error: ") && !screen.contains('\u{1b}'), "{screen:?}");
    }
    assert!(!project.run(&wrong).ends(7).err.contains('\u{1b}'), "no terminal, no colour");
}

#[test]
fn what_a_build_prints_does_nothing_to_the_terminal() {
    let script = format!("{TINY}; printf 'a\\033[2Jb\\rc\\tgood\\n\\302\\233\\n'; printf 'no end'");
    let project = Project::new(&script, &["run"]);
    let said = project.attest().says("a\\u{1b}[2Jb\\rc\tgood").says("no end");
    assert!(!said.err.contains(['\u{1b}', '\r', '\u{9b}']), "{:?}", said.err);
    assert_eq!(project.get("b.log"), b"a\x1b[2Jb\rc\tgood\n\xc2\x9b\nno end", "the log is what was printed");
    project.put("\u{1b}[2J", "x");
    let said = project.run(&["compare", "\u{1b}[2J", "policy"]).ends(1);
    assert!(!said.out.contains('\u{1b}'));
    let said = project.run(&["inspect", "\u{1b}[2J"]).ends(4);
    assert!(!said.err.contains('\u{1b}'));
}

#[test]
fn policies_hold_for_signers_of_the_bundle_alone() {
    let project = Project::tiny();
    project.attest();
    project.review(&[]).ends(0);
    // The same person under two names is refused.
    let vendor_twice =
        ["policy", "init", "--vendor", "vendor.pub", "--rebuilder", "vendor.pub", "--rebuilders", "1", "-o", "p2"];
    project.run(&vendor_twice).ends(2);
    project.put("empty", "");
    project.run(&["verify", "out/run", "--bundle", BUNDLE, "--policy", "empty"]).ends(2);
    let zero = project.text("policy").replace("rebuilders = 1", "rebuilders = 0");
    project.put("zero", zero);
    project.run(&["verify", "out/run", "--bundle", BUNDLE, "--policy", "zero"]).ends(2);
    // A broken signature of the vendor is broken evidence, where nothing else is by the vendor.
    let text = project.text(BUNDLE);
    let (first, rest) = text.split_once('\n').unwrap();
    let mut envelope: Value = serde_json::from_str(first).unwrap();
    let sig = envelope["signatures"][0]["sig"].as_str().unwrap();
    let other = if sig.starts_with('A') { "B" } else { "A" };
    envelope["signatures"][0]["sig"] = format!("{other}{}", &sig[1..]).into();
    let rest: Vec<&str> = rest.lines().skip(1).collect();
    project.put(BUNDLE, format!("{envelope}\n{}\n", rest.join("\n")));
    project.verify(&["out/run"]).ends(4).last("no: ");
}
