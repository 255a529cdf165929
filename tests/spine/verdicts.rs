//! What a rebuild signs, and what that is worth to a verifier.

use super::common::{BUNDLE, Project, TINY, flip, kind, statements};
use countersign::digest;
use countersign::statement::Subject;
use serde_json::Value;

/// Verdict, name of the artifact and what the rebuild said, of the last statement of a kind.
fn artifacts(statement: &Value) -> Vec<(String, String)> {
    let artifacts = statement["predicate"]["artifacts"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    artifacts.iter().map(|artifact| (text(&artifact["name"]), text(&artifact["verdict"]))).collect()
}

#[test]
fn other_bytes_are_dissent() {
    let project = Project::tiny();
    project.attest();
    project.forge_content();
    let said = project.review(&[]).ends(1).prints("out.txt: different: content");
    said.prints("run: identical").last("different: 1 of 2 outputs");
    let verdict = project.statement("not-reproduced");
    assert_eq!(artifacts(&verdict), [("out.txt".to_owned(), "different".to_owned())]);
    assert_eq!(verdict["subject"][0]["digest"]["sha256"], digest::sha256(b"other bytes").to_string());
    project.put("shipped", "other bytes");
    project.verify(&["shipped"]).ends(3).last("no: ");
    project.verify(&["out/run"]).ends(0);
    project.verify(&["out/out.txt"]).ends(1);
}

#[test]
fn a_mode_alone_is_a_difference() {
    let project = Project::tiny();
    project.attest();
    project.forge(|_, listing| *listing = listing.replace("100755", "104755"));
    let said = project.review(&[]).ends(1).prints("run: different: mode 4755 signed, 0755 rebuilt");
    said.prints("out.txt: identical");
    assert_eq!(artifacts(&project.statement("not-reproduced")), [("run".to_owned(), "different".to_owned())]);
    // Without the listing it cannot be said which one it is.
    project.put(BUNDLE, project.text(BUNDLE).lines().next().unwrap());
    project.rebuild(&[]).ends(1).last("different: 0 of 2 outputs");
}

#[test]
fn missing_and_extra_outputs() {
    let project = Project::tiny();
    project.attest();
    let attested = project.get(BUNDLE);
    project.forge(|provenance, listing| {
        let subject = Subject {
            name: countersign::path::TreePath::from_escaped("zz").unwrap(),
            ..provenance.subjects[0].clone()
        };
        *listing += &format!("100644 30 {} zz\n", subject.sha256);
        provenance.subjects.push(subject);
    });
    project.review(&[]).ends(1).prints("zz: missing").last("different: 2 of 3 outputs");
    let verdict = project.statement("not-reproduced");
    assert_eq!(artifacts(&verdict), [("zz".to_owned(), "missing".to_owned())]);
    assert!(verdict["predicate"]["artifacts"][0]["rebuilt"].is_null());

    project.put(BUNDLE, &attested);
    project.forge(|provenance, listing| {
        provenance.subjects.pop();
        *listing = listing.lines().filter(|line| !line.ends_with(" run")).map(|line| format!("{line}\n")).collect();
    });
    project.review(&[]).ends(1).prints("run: extra").last("different: 1 of 2 outputs");
    let verdict = project.statement("not-reproduced");
    assert_eq!(artifacts(&verdict), [("run".to_owned(), "extra".to_owned())]);
    assert!(verdict["predicate"]["artifacts"][0]["reference"].is_null());

    // Entries without bytes.
    project.put(BUNDLE, &attested);
    project.forge(|_, listing| *listing += "040755 0 - zz\n");
    project.review(&[]).ends(1).prints("zz: missing");
    assert_eq!(project.statement("not-reproduced")["subject"][0]["name"], "outputs");
}

#[test]
fn another_environment_and_the_same_bytes() {
    let project = Project::tiny();
    project.attest();
    project.forge_environment();
    project.review(&[]).ends(0).prints("another one; signed is sha256:0707").last("identical: 2 files");
    let verdict = project.statement("reproduced");
    let environment = &verdict["predicate"]["environment"];
    assert_eq!(environment["reference"]["sha256"], "07".repeat(32));
    let here = digest::sha256(&project.get("b.environment")).to_string();
    assert_eq!(environment["rebuild"]["sha256"], here, "both are recorded");
    assert!(verdict["predicate"]["reason"].as_str().unwrap().contains("in another environment"));
    project.verify(&["out/run"]).ends(0);
    let document = project.rebuild(&["--json"]).ends(0).json();
    assert_eq!(
        (&document["environment"]["signed"], &document["environment"]["here"]),
        (&"07".repeat(32).into(), &here.into())
    );
}

#[test]
fn another_environment_and_other_bytes_is_no_dissent() {
    let project = Project::tiny();
    project.attest();
    project.forge_content();
    project.forge_environment();
    project.review(&[]).ends(1).last("different: 1 of 2 outputs");
    assert_eq!(project.kinds().last().unwrap(), "inconclusive");
    assert!(!project.kinds().contains(&"not-reproduced".to_owned()));
    project.put("shipped", "other bytes");
    project.verify(&["shipped"]).ends(8).last("pending: ");
}

#[test]
fn a_rebuild_that_fails_is_inconclusive() {
    let project = Project::tiny();
    project.attest();
    let fails = project
        .text("src/countersign.toml")
        .replace("[\"sh\", \"build.sh\"]", "[\"sh\", \"-c\", \"echo why; exit 7\"]");
    project.put("src/countersign.toml", &fails);
    // The listing in the bundle is that of the first source, so the source at hand is checked by its digest alone.
    let listing = project.run(&["digest", "src", "--listing"]).ends(0).out;
    let source = project.run(&["digest", "src"]).ends(0).out;
    assert_eq!(source.trim(), format!("sha256:{}", digest::sha256(listing.as_bytes())));
    project.forge(|provenance, _| {
        provenance.order.recipe = fails.clone();
        provenance.order.source = countersign::statement::SourceCommitment::Public {
            listing: countersign::digest::TreeDigest::from_bytes(*digest::sha256(listing.as_bytes()).as_bytes()),
            ids: Default::default(),
        };
    });
    let said =
        project.review(&["--quiet", "--out", "kept"]).fails(6, "ended with exit code 7").says("signed: inconclusive");
    said.says("\nwhy\n").says("the whole log is in kept/run-1.log");
    assert_eq!(project.kinds(), ["provenance", "inconclusive"]);
    let verdict = project.statement("inconclusive");
    assert_eq!(artifacts(&verdict), ["out.txt", "run"].map(|name| (name.to_owned(), "not-built".to_owned())));
    assert!(verdict["predicate"]["rebuild"].is_null() && verdict["predicate"]["environment"]["rebuild"].is_null());
    assert_eq!(project.text("kept/run-1.log"), "why\n");
    assert_eq!(project.names("tmp"), [""; 0]);
    project.verify(&["out/run"]).ends(8);
    let before = project.get(BUNDLE);
    project.rebuild(&[]).fails(6, "ended with exit code 7");
    assert_eq!(project.get(BUNDLE), before);
}

/// A project whose second build without isolation fails; the sandbox does not show the steps what the first one left.
fn fails_the_second_time() -> Project {
    let project = Project::tiny();
    std::fs::create_dir(project.path("left")).unwrap();
    let left = project.path("left").display().to_string();
    let script = format!("set -eu\n[ ! -d {left} ] || mkdir {left}/first 2> /dev/null || exit 7\numask 022\n{TINY}\n");
    project.put("src/build.sh", script);
    project.attest();
    assert_eq!(project.names("left"), [""; 0]);
    project
}

#[test]
fn a_later_run_that_fails_undoes_no_difference() {
    let twice = ["--sandbox=none", "--quiet", "--runs", "2"];
    let project = fails_the_second_time();
    project.forge_content();
    let said = project.review(&twice).ends(1).says("note: another run failed: step 1: \"sh\" ended with exit code 7");
    said.prints("out.txt: different: content").last("different: 1 of 2 outputs");
    assert_eq!(project.kinds(), ["provenance", "reproduced", "not-reproduced"], "no provenance of a run that failed");
    assert_eq!(artifacts(&project.statement("not-reproduced")), [("out.txt".to_owned(), "different".to_owned())]);
    for kind in ["reproduced", "not-reproduced"] {
        assert_eq!(project.statement(kind)["predicate"]["runs"], 1, "{kind}: so many were compared");
    }
    project.put("shipped", "other bytes");
    project.verify(&["shipped"]).ends(3).last("no: ");

    // Nothing differed before it: nobody can tell.
    let project = fails_the_second_time();
    let said = project.review(&twice).fails(6, "step 1: \"sh\" ended with exit code 7").says("signed: inconclusive");
    assert!(!said.err.contains("another run failed"), "{}", said.err);
    assert_eq!(project.kinds(), ["provenance", "run-record", "inconclusive"]);
    assert_eq!(project.statement("inconclusive")["predicate"]["runs"], 2);
    project.verify(&["out/out.txt"]).ends(8).last("pending: ");

    // Of two at a time either may fail: what is kept has the number of the run that made it.
    let project = fails_the_second_time();
    project.forge_content();
    let said = project.review(&[&twice[..], &["--jobs", "2", "--out", "kept", "--json"]].concat()).ends(1);
    assert_eq!(said.says("note: another run failed").json()["runs"], 1);
    let kept = project.names("kept");
    let made = if kept.contains(&"run-1".to_owned()) { "run-1" } else { "run-2" };
    let listings: Vec<&String> = kept.iter().filter(|name| name.ends_with(".listing")).collect();
    assert_eq!(listings, [&format!("{made}.listing")], "{kept:?}");
    let listed = project.text(&format!("kept/{made}.listing"));
    let out = digest::sha256(&project.get(&format!("kept/{made}/out.txt")));
    assert!(listed.contains(&out.to_string()), "{listed}");
}

#[test]
fn the_vendors_own_key_is_no_rebuilder() {
    let note = "note: this is the key that signed the manifest; policies do not count it as a rebuild";
    let project = Project::tiny();
    project.attest();
    project.rebuild(&["--key", "vendor", "--append"]).ends(0).says(note);
    project.verify(&["out/run"]).ends(8).last("pending: ");
    let said = project.review(&[]).ends(0);
    assert!(!said.err.contains("the key that signed"), "{}", said.err);
    project.verify(&["out/run"]).ends(0);
}

#[test]
fn a_copy_is_called_one_in_the_verdict() {
    let reason = |project: &Project, kind: &str| project.statement(kind)["predicate"]["reason"].clone();
    let copies = |project: &Project| {
        let document = project.review(&["--json"]).json();
        let copies = document["copies"].as_array().unwrap().iter();
        copies.map(|copy| copy["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let project =
        Project::new("cp input.txt out.txt; cp /usr/bin/true run; echo made > made", &["out.txt", "run", "made"]);
    project.attest();
    assert_eq!(copies(&project), ["out.txt", "run"]);
    let words = "3 outputs identical, in an equal environment; 2 files copied from source or environment";
    assert_eq!(reason(&project, "reproduced"), words);
    let project = Project::new("cat input.txt input.txt > out.txt; echo made > made", &["out.txt", "made"]);
    project.attest();
    assert_eq!(copies(&project), [""; 0]);
    assert_eq!(reason(&project, "reproduced"), "2 outputs identical, in an equal environment");

    // Each statement counts those that it is about.
    let project = Project::new("cp input.txt out.txt; echo made > run", &["out.txt", "run"]);
    project.attest();
    project.forge_content();
    assert_eq!(copies(&project), ["out.txt"]);
    assert_eq!(reason(&project, "reproduced"), "1 output identical, in an equal environment");
    let words = "1 output not as signed, in an equal environment; 1 file copied from source or environment";
    assert_eq!(reason(&project, "not-reproduced"), words);
}

#[test]
fn the_signer_is_checked_or_claimed() {
    let project = Project::tiny();
    project.attest();
    let said = project.review(&["--policy", "policy"]).ends(0).prints("vendor, checked against the policy");
    assert!(!said.err.contains("claimed"));
    assert_eq!(project.statement("reproduced")["predicate"]["reference"]["signer"], "checked");
    assert_eq!(project.rebuild(&["--policy", "policy", "--json"]).ends(0).json()["signer"], "checked");
    assert_eq!(project.rebuild(&["--json"]).ends(0).json()["signer"], "claimed");

    // By a key that the policy knows in another role, and by one that it does not know.
    project.run(&["key", "generate", "--no-passphrase", "--out", "stranger"]).ends(0);
    for key in ["reviewer", "stranger"] {
        let args = ["attest", "--source", "src", "--key", key, "--bundle", BUNDLE, "--force"];
        project.run(&args).ends(0);
        project.rebuild(&["--policy", "policy"]).fails(3, "holds no manifest that the policy accepts of a vendor");
        project.rebuild(&[]).ends(0);
    }
    // By the vendor's key under a builder id that is not the vendor's.
    project.attest_to(BUNDLE, &["--force", "--builder-id", "urn:example:other"]).ends(0);
    project.rebuild(&["--policy", "policy"]).fails(3, "holds no manifest that the policy accepts of a vendor");
    project.rebuild(&["--policy", "nowhere"]).fails(7, "nowhere");
    project.put("empty", "");
    project.rebuild(&["--policy", "empty"]).fails(2, "empty");
}

#[test]
fn a_manifest_that_was_changed_after_signing() {
    let project = Project::tiny();
    project.attest();
    let bundle = project.text(BUNDLE);
    let (first, rest) = bundle.split_once('\n').unwrap();
    let mut envelope: Value = serde_json::from_str(first).unwrap();
    let sig = envelope["signatures"][0]["sig"].as_str().unwrap().to_owned();
    let other = if sig.starts_with('A') { "B" } else { "A" };
    envelope["signatures"][0]["sig"] = format!("{other}{}", &sig[1..]).into();
    project.put(BUNDLE, format!("{envelope}\n{rest}"));
    project.rebuild(&["--policy", "policy"]).fails(4, "does not verify");
    // The run record still is by the vendor, who is known to have signed something: step 6 is the first that fails.
    project.verify(&["out/run"]).ends(4).last("its signature does not verify");
    project.put(BUNDLE, format!("{envelope}\n"));
    project.verify(&["out/run"]).ends(4);
    // The order in which the fields stand is no difference.
    envelope["signatures"][0]["sig"] = sig.into();
    project.put(BUNDLE, format!("{envelope}\n{rest}"));
    project.rebuild(&["--policy", "policy"]).ends(0);

    for (broken, why) in [("", "holds no manifest"), ("{\n", "holds no manifest"), ("[]\n", "holds no manifest")] {
        project.put(BUNDLE, broken);
        project.rebuild(&[]).fails(4, why);
    }
}

#[test]
fn several_manifests_are_a_question() {
    let project = Project::tiny();
    project.attest();
    let first = project.get(BUNDLE);
    let recipe = project.text("src/countersign.toml");
    project.put("src/countersign.toml", recipe.replace("\"1.0\"", "\"1.1\""));
    let second = project.attest_to("second.jsonl", &[]).ends(0).out;
    project.put(BUNDLE, [first, project.get("second.jsonl")].concat());
    let said = project.rebuild(&[]).fails(2, "holds manifests of several build orders");
    let said = said.says("tiny 1.0").says(&format!("--manifest {}", second.trim()));
    assert_eq!(said.err.matches("--manifest").count(), 2);
    project.review(&["--manifest", second.trim()]).ends(0).last("tiny 1.1");
    project.verify(&["out/run", "--version", "1.1"]).ends(0);
    project.verify(&["out/run", "--version", "1.0"]).ends(8);
    project.verify(&["out/run", "--version", "1.2"]).ends(3);
    project.rebuild(&["--manifest", &format!("sha256:{}", "0".repeat(64))]).fails(7, "holds no manifest sha256:0000");
    project.rebuild(&["--manifest", "sha256:12"]).fails(2, "--manifest");
}

#[test]
fn a_verdict_is_taken_back_with_a_reason() {
    // A coin: sooner or later both have come.
    let project = Project::new("echo $(($(od -An -N1 -tu1 /dev/urandom) % 2)) > out.txt", &["out.txt"]);
    project.attest();
    project
        .rebuild(&["--supersedes", &format!("sha256:{}", "0".repeat(64)), "--key", "reviewer", "--append"])
        .fails(2, "--reason");
    let toss = |wanted: i32, more: &[&str]| {
        for _ in 0..200 {
            let before = project.get(BUNDLE);
            // The first throw says something else than the manifest: which of the two is meant, the policy tells.
            if project.review(&[more, &["--policy", "policy"]].concat()).code == wanted {
                return;
            }
            project.put(BUNDLE, before);
        }
        panic!("the coin has one side");
    };
    toss(1, &[]);
    project.verify(&["out/out.txt"]).ends(3);
    let inspected = project.run(&["inspect", BUNDLE, "--json"]).ends(0).json();
    let line = inspected["lines"].as_array().unwrap().iter().find(|line| line["says"] == "not-reproduced").unwrap();
    let old = format!("sha256:{}", line["payload"].as_str().unwrap());
    toss(0, &[]);
    project.verify(&["out/out.txt"]).ends(3).prints("counts against it");
    toss(0, &["--supersedes", &old, "--reason", "the disk was full"]);
    project.verify(&["out/out.txt"]).ends(0).prints("taken back since");
    let supersedes = project.statement("reproduced")["predicate"]["supersedes"].clone();
    assert_eq!(
        (&supersedes["payload"]["sha256"], &supersedes["reason"]),
        (&old[7..].into(), &"the disk was full".into())
    );
}

#[test]
fn without_isolation_is_recorded_and_refused() {
    let project = Project::tiny();
    project.attest_to(BUNDLE, &["--sandbox=none", "--out", "out"]).ends(0).says("built without isolation");
    let internal = project.statement("provenance")["predicate"]["buildDefinition"]["internalParameters"].clone();
    assert_eq!(internal["observation"], "observed");
    assert!(internal["controls"].as_object().unwrap().values().all(|state| state == "not-enforced"), "{internal}");
    project.review(&["--sandbox=none"]).ends(0).says("built without isolation");
    project.verify(&["out/run"]).ends(3).last("no: ");
    let policy = project.text("policy");
    project
        .put("policy", policy.replace("# observation = [\"isolated\"]", "observation = [\"isolated\", \"observed\"]"));
    project.verify(&["out/run"]).ends(0);
    // Only the rebuild lacks isolation.
    project.put("policy", policy);
    project.attest_to(BUNDLE, &["--force"]).ends(0);
    let internal = project.statement("provenance")["predicate"]["buildDefinition"]["internalParameters"].clone();
    assert!(internal["controls"].as_object().unwrap().values().all(|state| state == "enforced"), "{internal}");
    project.review(&["--sandbox=none"]).ends(0);
    project.verify(&["out/run"]).ends(8).last("pending: ");
    project.review(&[]).ends(0);
    project.verify(&["out/run"]).ends(0);
    project.attest_to("x", &["--sandbox=perhaps"]).fails(2, "--sandbox");
}

#[test]
fn what_was_built_elsewhere_is_said_to_be() {
    let project = Project::tiny();
    project.attest();
    let elsewhere = ["--force", "--outputs", "out"];
    project.attest_to(BUNDLE, &elsewhere).ends(0).says("nothing was built");
    assert_eq!(project.kinds(), ["provenance"], "no run, no run record");
    let definition = project.statement("provenance")["predicate"]["buildDefinition"].clone();
    assert_eq!(definition["internalParameters"]["observation"], "not-observed");
    assert_eq!(definition["internalParameters"]["variables"], serde_json::json!({}));
    let parts = definition["resolvedDependencies"].as_array().unwrap();
    assert!(!parts.iter().any(|part| part["name"] == "environment"), "{parts:?}");
    project.verify(&["out/run"]).ends(3).last("no: ");
    project.review(&[]).ends(0);
    let policy = project.text("policy");
    let both = "observation = [\"isolated\", \"not-observed\"]";
    project.put("policy", policy.replace("# observation = [\"isolated\"]", both));
    project.verify(&["out/run"]).ends(0);

    // Not what the source makes: the rebuild says so, and it is no dissent, for nobody knows the environment.
    flip(&project.path("out/run"));
    project.attest_to(BUNDLE, &elsewhere).ends(0);
    project.review(&[]).ends(1).prints("the manifest names none").last("different: 1 of 2 outputs");
    assert_eq!(project.kinds().last().unwrap(), "inconclusive");
    project.verify(&["out/run"]).ends(8);
    std::fs::remove_file(project.path("out/run")).unwrap();
    let before = project.get(BUNDLE);
    project.attest_to(BUNDLE, &elsewhere).fails(6, "\"run\"");
    project.attest_to(BUNDLE, &["--force", "--outputs", "nowhere"]).fails(7, "nowhere");
    assert_eq!(project.get(BUNDLE), before);
}

#[test]
fn statements_name_what_they_are_about() {
    let project = Project::tiny();
    project.attest();
    project.review(&["--builder-id", "urn:example:reviewer"]).ends(0);
    let all = statements(&project.get(BUNDLE));
    let payload = |at: usize| {
        let line = project.text(BUNDLE).lines().filter(|line| line.contains("payloadType")).nth(at).unwrap().to_owned();
        countersign::envelope::Envelope::parse(line.as_bytes()).unwrap().payload_digest().to_string()
    };
    assert_eq!(
        all.iter().map(kind).collect::<Vec<_>>(),
        ["provenance", "run-record", "provenance", "run-record", "reproduced"]
    );
    assert_eq!(all[1]["subject"][0]["digest"]["sha256"], payload(0));
    assert_eq!(all[3]["subject"][0]["digest"]["sha256"], payload(2));
    let verdict = &all[4]["predicate"];
    assert_eq!(verdict["reference"]["payload"]["sha256"], payload(0));
    assert_eq!(verdict["rebuild"]["payload"]["sha256"], payload(2));
    assert_eq!(verdict["rebuilder"]["id"], "urn:example:reviewer");
    assert_eq!(all[2]["predicate"]["runDetails"]["builder"]["id"], "urn:example:reviewer");
    let definition = |at: usize| all[at]["predicate"]["buildDefinition"].clone();
    assert_eq!(definition(0), definition(2), "same order, same environment");
    // The policy knows the key, not this builder.
    project.verify(&["out/run"]).ends(8);
}
