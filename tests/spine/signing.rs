//! Signing elsewhere, approvals, and bundles of several: through the program, from a build to the answer.

use super::common::{BUNDLE, Project, Said, flip};
use countersign::path::TreePath;
use countersign::statement::Subject;
use serde_json::Value;

/// A project that was built, unsigned: outputs in `out`, the statement in `s`.
fn built() -> Project {
    let project = Project::tiny();
    project.run(&["build", "--source", "src", "--out", "out", "--statement", "s", "--scratch", "tmp"]).ends(0);
    project
}

#[track_caller]
fn sign(project: &Project, more: &[&str]) -> Said {
    let outputs: &[&str] = if more.contains(&"--outputs") { &[] } else { &["--outputs", "out"] };
    let bundle: &[&str] = if more.contains(&"--bundle") { &[] } else { &["--bundle", BUNDLE] };
    project.run(&[&["sign", "s", "--key", "vendor"], outputs, bundle, more].concat())
}

#[track_caller]
fn refuses(project: &Project, more: &[&str], code: i32, why: &str) -> Said {
    let said = sign(project, more).fails(code, why);
    assert!(!project.path(BUNDLE).exists(), "{why}: nothing is signed");
    said
}

fn accept_not_observed(project: &Project) {
    let both = "observation = [\"isolated\", \"not-observed\"]";
    project.put("policy", project.text("policy").replace("# observation = [\"isolated\"]", both));
}

#[test]
fn built_here_and_signed_there() {
    let project = built();
    sign(&project, &[]).ends(0).says("the build was not seen here").says("claimed: `isolated`");
    // The run record is the builder's, and nobody here saw the run.
    assert_eq!(project.kinds(), ["provenance"]);
    let statement = project.statement("provenance");
    let internal = &statement["predicate"]["buildDefinition"]["internalParameters"];
    assert_eq!(internal["observation"], "not-observed");
    assert_eq!((&internal["controls"], &internal["variables"]), (&serde_json::json!({}), &serde_json::json!({})));
    assert_eq!(internal["claimed"]["observation"], "isolated");
    assert_eq!(internal["claimed"]["builder"]["id"], "urn:countersign:builder:unsigned");
    assert_eq!(internal["claimed"]["variables"]["TZ"], "UTC");
    project.run(&["inspect", BUNDLE]).ends(0).prints("claimed      isolated, by urn:countersign:builder:unsigned");
    // A rebuild answers it as it answers any manifest, and only a policy that says so accepts it.
    project.review(&[]).ends(0);
    project.verify(&["out/run"]).ends(3).last("no: ").prints("was not-observed, which the policy does not accept");
    accept_not_observed(&project);
    let said = project.verify(&["out/run"]).ends(0);
    said.prints("signed by vendor, not-observed (a builder's claim: isolated), builder ").last("yes: ");
    // Signed twice it is the same statement: nothing in it is volatile.
    let first = project.get(BUNDLE);
    project.run(&["sign", "s", "--key", "vendor", "--outputs", "out", "--bundle", "again.jsonl"]).ends(0);
    assert!(first.starts_with(&project.get("again.jsonl")));
    sign(&project, &[]).fails(2, "b.intoto.jsonl is there already");
    sign(&project, &["--force", "--builder-id", "urn:example:desk"]).ends(0);
    assert_eq!(project.statement("provenance")["predicate"]["runDetails"]["builder"]["id"], "urn:example:desk");
    project.verify(&["out/run"]).ends(3).last("urn:example:desk");
}

#[test]
fn outputs_are_hashed_again() {
    let project = built();
    let said = |why: &str| refuses(&project, &[], 1, "out is not what the statement is about").says(why);
    flip(&project.path("out/run"));
    said("run: content");
    flip(&project.path("out/run"));
    project.chmod("out/run", 0o644);
    said("run: mode 0755 stated, 0644 here");
    project.chmod("out/run", 0o755);
    project.put("out/more", "x");
    said("more: only here");
    std::fs::remove_file(project.path("out/more")).unwrap();
    std::fs::rename(project.path("out/run"), project.path("kept")).unwrap();
    said("run: only stated");
    std::fs::rename(project.path("kept"), project.path("out/run")).unwrap();
    refuses(&project, &["--outputs", "nowhere"], 7, "nowhere");
    refuses(&project, &["--bundle", "out/b.jsonl"], 2, "is inside the outputs");
    refuses(&project, &["--bundle", "s", "--force"], 2, "is no bundle, and --force replaces nothing else");
    project.run(&["sign", "s", "--key", "vendor", "--bundle", BUNDLE]).fails(2, "--outputs");
    sign(&project, &[]).ends(0);
}

#[test]
fn statements_that_are_not_what_build_wrote() {
    let project = built();
    let good = project.text("s");
    let with = |text: &str, code: i32, why: &str| {
        project.put("s", text);
        refuses(&project, &[], code, why);
    };
    with(&good[..good.len() - 1], 4, "four lines");
    with(&good[..good.len() / 2], 4, "hint: `countersign build --statement` writes such a file");
    with("", 4, "four lines");
    let lines: Vec<&str> = good.lines().collect();
    let edited = |from: &str, to: &str| {
        use base64::Engine as _;
        let engine = base64::engine::general_purpose::STANDARD;
        let mut line: Value = serde_json::from_str(lines[0]).unwrap();
        let payload = String::from_utf8(engine.decode(line["payload"].as_str().unwrap()).unwrap()).unwrap();
        assert!(payload.contains(from), "{payload}");
        line["payload"] = engine.encode(payload.replacen(from, to, 1)).into();
        [line.to_string(), lines[1..].join("\n")].join("\n") + "\n"
    };
    with(&edited("build.sh", "evil.sh"), 4, "names the build order");
    with(&edited("\"isolated\"", "\"observed\""), 4, "its run record is of");
    with(&good.replace("100755", "100644"), 4, "output listing");
    with(&(lines[..3].join("\n") + "\n"), 4, "four lines");
    project.attest_to(BUNDLE, &[]).ends(0);
    let bundle = project.text(BUNDLE);
    std::fs::remove_file(project.path(BUNDLE)).unwrap();
    with(&bundle, 4, "line 1: it is no unsigned payload");
    // Another recipe than the one that was meant.
    project.put("s", &good);
    project.put("meant.toml", project.text("src/countersign.toml") + "# another\n");
    refuses(&project, &["--recipe", "meant.toml"], 1, "was built by another recipe");
    sign(&project, &["--recipe", "src/countersign.toml"]).ends(0);
}

#[test]
fn nothing_is_written_when_the_build_fails() {
    let project = Project::new("echo x > out.txt; exit 3", &["out.txt"]);
    project.run(&["build", "--source", "src", "--out", "out", "--statement", "s", "--scratch", "tmp"]).ends(6);
    assert!(!project.path("s").exists() && !project.path("out").exists());
    let project = Project::tiny();
    let build = ["build", "--source", "src", "--out", "out", "--statement", "no/s", "--scratch", "tmp"];
    project.run(&build).ends(7);
    assert!(!project.path("out").exists(), "the outputs go with the statement");
    // What was not isolated is claimed as what it was.
    let build = ["build", "--source", "src", "--out", "out", "--statement", "s", "--scratch", "tmp", "--sandbox=none"];
    project.run(&build).ends(0);
    sign(&project, &[]).ends(0).says("claimed: `observed`");
    accept_not_observed(&project);
    project.review(&[]).ends(0);
    project.verify(&["out/run"]).ends(0).prints("a builder's claim: observed");
}

/// A project that is attested and rebuilt, with an approver `head` in the policy.
fn to_approve() -> Project {
    let project = Project::tiny();
    project.attest();
    project.review(&[]).ends(0);
    for name in ["head", "deputy"] {
        project.run(&["key", "generate", "--no-passphrase", "--out", name, "--comment", name]).ends(0);
    }
    let init: Vec<&str> =
        "policy init --vendor vendor.pub --rebuilder reviewer.pub --rebuilders 1 --approver head.pub \
                           --approver deputy.pub --approvals 1 -o policy --force"
            .split_whitespace()
            .collect();
    project.run(&init).ends(0).says("1 of these approvers approved that very statement");
    project
}

#[test]
fn a_second_person_approves() {
    let project = to_approve();
    project.verify(&["out/run"]).ends(8).last("pending: out/run: 0 of 1 approval");
    let approve = |more: &[&str]| project.run(&[&["approve", BUNDLE], more].concat());
    let said = approve(&["--key", "head", "--outputs", "out", "--policy", "policy"]).ends(0);
    said.says("approved tiny 1.0").says("all 2 files").says("checked against the policy");
    assert_eq!(project.kinds().last().unwrap(), "approval");
    let approval = project.statement("approval");
    assert_eq!(approval["predicate"]["manifest"]["signer"], "checked");
    project.verify(&["out/run"]).ends(0).prints("approved by head, statement sha256:").last("1 independent rebuild");
    project.verify(&["--tree", "out"]).ends(0).prints("approved by head");
    project
        .run(&["inspect", BUNDLE, "--policy", "policy"])
        .ends(0)
        .prints("approval sha256:")
        .prints("head (approver of the policy)");
    // The same once more is the same line.
    let before = project.get(BUNDLE);
    approve(&["--key", "head", "--outputs", "out", "--policy", "policy"]).ends(0).says("in the bundle already");
    assert_eq!(project.get(BUNDLE), before);
    let policy = project.text("policy");
    project.put("policy", policy.replace("approvals = 1", "approvals = 2"));
    project.verify(&["out/run"]).ends(8).last("1 of 2 approvals");
    approve(&["--key", "deputy", "out/run"]).fails(2, "holds several manifests").says("--policy P leaves");
    let manifest = approval["predicate"]["manifest"]["payload"]["sha256"].as_str().unwrap();
    let manifest = format!("sha256:{manifest}");
    let said = approve(&["--key", "deputy", "out/run", "--manifest", &manifest]).ends(0);
    said.says("claimed, not checked").says("1 file;");
    project.verify(&["out/run"]).ends(0);
    // Only that file was in the deputy's hand.
    project.verify(&["out/run", "out/out.txt"]).ends(8).last("out/out.txt: 1 of 2 approvals");
    project.verify(&["--tree", "out"]).ends(8).last("1 of 2 approvals");
    // Not asked for, they change nothing.
    project.put("policy", policy.replace("approvals = 1", ""));
    project.verify(&["out/run", "out/out.txt"]).ends(0).prints("approved by head");
}

#[test]
fn who_cannot_approve_and_what() {
    let project = to_approve();
    let before = project.get(BUNDLE);
    let refuses = |more: &[&str], code: i32, why: &str| {
        let said = project.run(&[&["approve", BUNDLE], more].concat()).fails(code, why);
        assert_eq!(project.get(BUNDLE), before, "{why}");
        said
    };
    refuses(
        &["--key", "vendor", "--outputs", "out", "--policy", "policy"],
        2,
        "nobody approves a statement of their own",
    );
    refuses(&["--key", "reviewer", "--outputs", "out", "--policy", "policy"], 2, "a rebuilder of the policy");
    refuses(&["--key", "head"], 2, "required");
    refuses(&["--key", "head", "out/run", "--outputs", "out"], 2, "cannot be used with");
    project.copy("policy", "kept");
    let refuses = |more: &[&str], code: i32, why: &str| refuses(&[more, &["--policy", "kept"]].concat(), code, why);
    refuses(&["--key", "head", "src/build.sh"], 1, "not among the files that the statement is about: src/build.sh");
    refuses(&["--key", "head", "out/run", "src/build.sh"], 1, "src/build.sh");
    refuses(&["--key", "head", "nowhere"], 7, "nowhere");
    flip(&project.path("out/run"));
    refuses(&["--key", "head", "--outputs", "out"], 1, "1 entry differs").says("run: content");
    refuses(&["--key", "head", "out/run"], 1, "out/run");
    flip(&project.path("out/run"));
    let other = format!("sha256:{}", "0".repeat(64));
    refuses(&["--key", "head", "--outputs", "out", "--manifest", &other], 7, "holds no manifest");
    let policy = project.text("policy");
    let stranger = policy.replace("roles = [\"vendor\"]", "roles = [\"vendor\"]\nbuilders = [\"urn:example:b\"]");
    project.put("kept", stranger);
    refuses(&["--key", "head", "--outputs", "out"], 3, "holds no manifest that the policy accepts");
    // Without the listing of the outputs, the files can still be named, and a mode is still found.
    let text = project.text(BUNDLE);
    let signed = text.lines().filter(|line| !line.contains("urn:countersign:blob")).map(|line| format!("{line}\n"));
    project.put("bare", signed.collect::<String>());
    let approve = || project.run(&["approve", "bare", "--key", "head", "--outputs", "out", "--policy", "policy"]);
    flip(&project.path("out/run"));
    approve().fails(1, "1 entry differs").says("run: other bytes here");
    flip(&project.path("out/run"));
    project.chmod("out/run", 0o700);
    approve().fails(1, "other directories, links or modes");
    project.chmod("out/run", 0o755);
    approve().ends(0);
    // The vendor's own approval, however it came to be, is worth nothing.
    project.run(&["approve", BUNDLE, "--key", "head", "--outputs", "out", "--policy", "policy"]).ends(0);
    project.put(
        "policy",
        policy.replace(
            project.text("head.pub").split(' ').nth(1).unwrap(),
            project.text("deputy.pub").split(' ').nth(1).unwrap(),
        ),
    );
    project.run(&["policy", "check", "policy"]).fails(2, "have the same key");
}

#[test]
fn three_rebuilders_and_one_bundle() {
    let project = Project::tiny();
    project.attest();
    let labs = ["one", "two", "three"];
    let mut init = vec!["policy", "init", "--vendor", "vendor.pub", "--rebuilders", "3", "-o", "policy", "--force"];
    let keys = labs.map(|lab| format!("{lab}.pub"));
    let bundles = labs.map(|lab| format!("{lab}.jsonl"));
    for ((lab, key), bundle) in labs.iter().zip(&keys).zip(&bundles) {
        project.run(&["key", "generate", "--no-passphrase", "--out", lab, "--comment", lab]).ends(0);
        init.extend(["--rebuilder", key.as_str()]);
        project.copy(BUNDLE, bundle);
        let mut args = project.rebuild_args(&["--key", lab, "--append"]);
        args[1] = bundle.into();
        project.run(&args).ends(0);
    }
    project.run(&init).ends(0);
    let [one, two, three] = [bundles[0].as_str(), bundles[1].as_str(), bundles[2].as_str()];
    let merge = |bundles: &[&str], more: &[&str]| project.run(&[&["bundle", "merge"], bundles, more].concat());
    let verify = |bundle: &str| project.run(&["verify", "out/run", "--bundle", bundle, "--policy", "policy"]);
    verify(one).ends(8).last("1 of 3 rebuilders");
    merge(&[one, two, three], &["-o", "all"]).ends(0).prints("three.jsonl: ").says("nothing was verified");
    verify("all").ends(0).last("3 independent rebuilds");
    // In whatever order, and again, and with the same one twice.
    merge(&[three, one, two], &["-o", "other"]).ends(0);
    verify("other").ends(0).last("3 independent rebuilds");
    let sorted = |name: &str| {
        let mut lines: Vec<String> = project.text(name).lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted("all"), sorted("other"));
    merge(&["all", one, "other"], &["-o", "again"]).ends(0);
    assert_eq!(project.get("again"), project.get("all"));
    merge(&[one, one, one], &["-o", "same"]).ends(0);
    verify("same").ends(8).last("1 of 3 rebuilders");
    merge(&["all", one], &["-o", "with", "--policy", "policy"]).ends(0);

    // Somebody's rubbish, a broken copy of a good line, and nothing of it changes the answer.
    let good = project.text(three);
    let rubbish = format!(
        "not json\n{{\"payloadType\":1}}\n{}\n{good}",
        good.lines().next().unwrap().replace("sig\":\"", "sig\":\"AAAA")
    );
    project.put("rubbish", &rubbish);
    let said = merge(&["rubbish", one, two], &["-o", "strange", "--json"]).ends(0).says("rubbish, line 1 is kept");
    assert_eq!(said.json()["from"][0]["strange"][0]["line"], 1);
    assert!(project.text("strange").starts_with(&rubbish), "kept, all of it");
    verify("strange").ends(0).last("3 independent rebuilds");
}

#[test]
fn bundles_that_are_not_of_one_release() {
    let project = Project::tiny();
    project.attest();
    project.attest_to("beta.jsonl", &["--channel", "beta"]).ends(0);
    let merge = |args: &[&str]| project.run(&[&["bundle", "merge"], args].concat());
    for more in [&[][..], &["--policy", "policy"]] {
        let said = merge(&[&[BUNDLE, "beta.jsonl", "-o", "all"], more].concat());
        said.fails(3, "b.intoto.jsonl and beta.jsonl are not about the same manifest");
    }
    project.put("none", "{}\n");
    merge(&[BUNDLE, "none", "-o", "all"]).fails(4, "none holds no manifest");
    merge(&[BUNDLE, "nowhere", "-o", "all"]).fails(7, "nowhere");
    merge(&[BUNDLE, "-o", "all"]).fails(2, "2 values required");
    assert!(!project.path("all").exists());
    // What is there stays, an input above all.
    project.put("there", "precious");
    merge(&[BUNDLE, BUNDLE, "-o", "there"]).fails(2, "there is there already");
    assert_eq!(project.text("there"), "precious");
    let before = project.get(BUNDLE);
    project.copy(BUNDLE, "copy");
    merge(&["copy", BUNDLE, "-o", BUNDLE]).fails(2, "one of the bundles");
    assert_eq!(project.get(BUNDLE), before);
    project.put("copy", project.text("copy") + "extra\n");
    merge(&[BUNDLE, "copy", "-o", BUNDLE, "--force"]).ends(0).says("which was one of them");
    assert_eq!(project.text(BUNDLE), String::from_utf8(before).unwrap() + "extra\n");
}

#[test]
fn exported_one_signature_a_file() {
    let project = to_approve();
    project.run(&["approve", BUNDLE, "--key", "head", "--outputs", "out", "--policy", "policy"]).ends(0);
    project
        .run(&["bundle", "export", BUNDLE, "--format", "sigstore", "-o", "plain"])
        .ends(0)
        .prints("6.approval.sigstore.json");
    let mut lines: Vec<Value> = project.text(BUNDLE).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let twice = lines[0]["signatures"][0].clone();
    lines[0]["signatures"].as_array_mut().unwrap().push(twice);
    project.put("two", lines[0].to_string());
    let said = project.run(&["bundle", "export", "two", "--format", "sigstore", "-o", "parts"]).ends(0);
    assert_eq!(said.out, "1.provenance.1.sigstore.json\n1.provenance.2.sigstore.json\n");
    for name in project.names("parts") {
        let document: Value = serde_json::from_slice(&project.get(&format!("parts/{name}"))).unwrap();
        assert_eq!(document["dsseEnvelope"]["signatures"].as_array().unwrap().len(), 1, "{name}");
    }
    project
        .run(&["bundle", "export", "two", "--format", "dsse", "-o", "bare"])
        .ends(0)
        .prints("1.provenance.dsse.json");
    // More files than cosign takes of one statement.
    project.forge(|provenance, _| {
        let first = provenance.subjects[0].clone();
        let name = |n: usize| TreePath::from_escaped(&format!("many/{n:05}")).unwrap();
        provenance.subjects = (0..1025).map(|n| Subject { name: name(n), ..first.clone() }).collect();
    });
    project
        .run(&["bundle", "export", BUNDLE, "--format", "sigstore", "-o", "many"])
        .fails(7, "envelope 1 is about 1025 files; cosign reads no more than 1024");
    assert!(!project.path("many").exists());
    project.run(&["bundle", "export", BUNDLE, "--format", "dsse", "-o", "many"]).ends(0);
}
