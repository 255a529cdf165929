//! Who vouches for packages, with an archive of our own: a shell from this machine as one package, a file as another, signed by a key that signs
//! nothing else.

use super::common::{BUNDLE, Project, Said, kind};
use super::debs::keys::{Key, file};
use super::debs::{Member, deb, gzip};
use super::image::*;
use serde_json::Value;

const DPKG: &[u8] = b"#!/usr/bin/sh\nexit 0\n";

/// Packages and their files.
fn packages() -> [(&'static str, Vec<u8>); 2] {
    let entries = entries();
    let mut members: Vec<Member<'_>> = entries
        .iter()
        .map(|(name, entry)| match entry {
            Entry::File(content, exec) => Member::File(name, if *exec { 0o755 } else { 0o644 }, content),
            Entry::Link(target) => Member::Link(name, target),
        })
        .collect();
    members.push(Member::File("usr/bin/dpkg", 0o755, DPKG));
    let tool = deb("tool", "", &[], &[Member::File("etc/tool", 0o644, b"a tool\n")]);
    [("shell", deb("shell", "", &[], &members)), ("tool", tool)]
}

/// A project that is built in packages, and the mirror `images` with a suite whose `Valid-Until` passed long ago.
fn archive() -> Project {
    let project = Project::new("cat /etc/image /etc/tool > out.txt", &["out.txt"]);
    let architecture = if std::env::consts::ARCH == "x86_64" { "amd64" } else { "arm64" };
    let dir = format!("images/dists/stable/main/binary-{architecture}");
    for dir in [dir.as_str(), "images/pool"] {
        std::fs::create_dir_all(project.path(dir)).unwrap();
    }
    let mut index = String::new();
    for (name, bytes) in packages() {
        index += &format!(
            "Package: {name}\nVersion: 1.0\nArchitecture: all\n{}Filename: pool/{name}.deb\nSize: {}\nSHA256: {}\n\n",
            if name == "shell" { "Essential: yes\n" } else { "" },
            bytes.len(),
            hex(&bytes)
        );
        project.put(&format!("images/pool/{name}.deb"), bytes);
    }
    let index = gzip(index.as_bytes());
    let text = format!(
        "Suite: stable\nCodename: trixie\nArchitectures: all {architecture}\nComponents: main\n\
         Date: Fri, 14 Jul 2017 02:56:40 UTC\nValid-Until: Fri, 21 Jul 2017 02:56:40 UTC\nSHA256:\n \
         {} {} main/binary-{architecture}/Packages.gz",
        hex(&index),
        index.len()
    );
    project.put(&format!("{dir}/Packages.gz"), index);
    let key = Key::new(1);
    project.put("images/dists/stable/InRelease", file(&text, &key.signs(&text, key.text())));
    project.put("ring.gpg", key.ring());
    project.put("other.gpg", Key::new(9).ring());
    project.environment("kind = \"debian\"\nsuites = [\"images:stable\"]\npackages = [\"tool\"]\n");
    project
}

fn lock(project: &Project, more: &[&str]) -> Said {
    project.with("store", &[&["lock", "--source", "src"], more].concat())
}

fn check(project: &Project, keyring: &str) -> Said {
    project.without("store", &["lock", "--source", "src", "--check", "--keyring", keyring])
}

fn attest(project: &Project) {
    let attest = ["attest", "--source", "src", "--key", "vendor", "--bundle", BUNDLE, "--out", "out", "--force"];
    let _ = std::fs::remove_dir_all(project.path("out"));
    project.without("store", &attest).ends(0);
}

#[test]
fn a_release_file_past_its_day() {
    let project = archive();
    lock(&project, &["--keyring", "ring.gpg"]).fails(2, "was good until 2017-07-21T02:56:40Z");
    assert!(!project.path("src/countersign.lock").exists());
    lock(&project, &["--keyring", "other.gpg", "--allow-expired"]).fails(2, "is not in the keyring");
    lock(&project, &["--keyring", "ring.gpg", "--allow-expired"]).ends(0).says("locked 4 parts");
    let key = Key::new(1).name().to_lowercase();
    assert_eq!(project.text("src/countersign.lock").matches(&format!(" openpgp:{key} images:")).count(), 4);
    // Years later it is what it was, and that its day has passed is said.
    project
        .without("store", &["lock", "--source", "src", "--check"])
        .ends(0)
        .says(&format!("vouched: not checked, no --keyring; the lock says: 4 parts by openpgp:{key}"));
    check(&project, "ring.gpg")
        .ends(0)
        .says(&format!("vouched: 4 parts by openpgp:{key}\n"))
        .says("release: stable of 2017-07-14T02:56:40Z, good until 2017-07-21T02:56:40Z, which is over\n");
    check(&project, "other.gpg").fails(3, "release stable: openpgp:").says("is not in the keyring");
    // Nothing is made up where the evidence cannot be had.
    let release = hex(&project.get("images/dists/stable/InRelease"));
    std::fs::remove_file(project.path(format!("store/blobs/{}/{release}", &release[..2]))).unwrap();
    check(&project, "ring.gpg").fails(7, "no mirror \"images\"");
    // What the lock says is not so.
    let text = project.text("src/countersign.lock");
    let other = Key::new(9).name().to_lowercase();
    lock(&project, &["--check", "--keyring", "ring.gpg"]).ends(0);
    project.put("src/countersign.lock", text.replace(&key, &other));
    check(&project, "ring.gpg").fails(4, "it is signed by").says(&key);
    let one = text.lines().find(|line| line.starts_with("part deb tool:")).unwrap();
    project.put("src/countersign.lock", text.replace(one, &one.replace(&key, "vendor").replace("openpgp:", "")));
    check(&project, "ring.gpg").ends(0).says(&format!("vouched: 3 parts by openpgp:{key}; 1 by the vendor alone"));
    project.put("src/countersign.lock", text.replace(one, &one.replace("tool:all 1.0", "tool:all 1.1")));
    check(&project, "ring.gpg").fails(4, "deb tool:all 1.1: openpgp:").says("no index that the key vouches for");
}

#[test]
fn the_rebuilder_checks_before_it_builds() {
    let project = archive();
    let key = Key::new(1).name().to_lowercase();
    lock(&project, &["--keyring", "ring.gpg", "--allow-expired"]).ends(0);
    attest(&project);
    assert_eq!(project.text("out/out.txt"), "one\na tool\n");
    let rebuild = |more: &[&str]| project.without("store", &[&["rebuild", BUNDLE, "--source", "src"], more].concat());
    rebuild(&[])
        .ends(0)
        .prints(&format!("\nvouched      not checked, no --keyring; the lock says: 4 parts by openpgp:{key}\n"));
    let document = rebuild(&["--json"]).ends(0).json();
    assert_eq!((&document["vouchers"]["checked"], &document["vouchers"]["openpgp"][&key]), (&false.into(), &4.into()));
    rebuild(&["--keyring", "ring.gpg"])
        .ends(0)
        .prints(&format!("\nvouched      4 parts by openpgp:{key}\nrelease      stable of 2017-07-14T02:56:40Z, "));
    let document = rebuild(&["--keyring", "other.gpg", "--keyring", "ring.gpg", "--json"]).ends(0).json();
    assert_eq!(document["vouchers"]["checked"], true);
    assert_eq!(document["vouchers"]["releases"][0]["isOver"], true);
    assert_eq!(document["vouchers"]["releases"][0]["openpgp"], key.as_str());
    // Refused, and nothing was built or signed.
    rebuild(&["--keyring", "other.gpg", "--out", "no"]).fails(3, "does not vouch for it");
    rebuild(&["--keyring", "src/input.txt", "--out", "no"]).fails(2, "keyring: ");
    rebuild(&["--keyring", "absent", "--out", "no"]).ends(7);
    assert!(!project.path("no").exists());
    // The verdict says what was checked, and not what was claimed.
    let reason =
        |project: &Project| project.statement("reproduced")["predicate"]["reason"].as_str().unwrap().to_owned();
    let signed = project.get(BUNDLE);
    rebuild(&["--key", "reviewer", "--append", "--keyring", "ring.gpg"]).ends(0);
    assert!(reason(&project).ends_with(&format!("; environment vouched for, checked: 4 parts by openpgp:{key}")));
    let controls = |project: &Project| -> Vec<Value> {
        let provenance = project.statements().into_iter().filter(|statement| kind(statement) == "provenance");
        provenance.map(|own| own["predicate"]["buildDefinition"]["internalParameters"]["controls"].clone()).collect()
    };
    let said = |project: &Project| controls(project).iter().map(|own| own["vouchers"].clone()).collect::<Vec<_>>();
    assert_eq!(said(&project), ["not-enforced", "enforced"], "the vendor's, and the rebuilder's");
    project.verify(&["out/out.txt"]).ends(0);
    let policy = project.text("policy");
    let demanding = policy.replace("rebuilders = 1\n", &format!("rebuilders = 1\nvouchers = [\"openpgp:{key}\"]\n"));
    assert_ne!(demanding, policy);
    project.put("policy", &demanding);
    project.verify(&["out/out.txt"]).ends(0);
    project.put(BUNDLE, &signed);
    rebuild(&["--key", "reviewer", "--append"]).ends(0);
    assert_eq!(said(&project), ["not-enforced", "not-enforced"]);
    project.verify(&["out/out.txt"]).ends(8);
    project.put("policy", &policy);
    project.verify(&["out/out.txt"]).ends(0);
    assert!(!reason(&project).contains("vouched"));
    project.put(BUNDLE, &signed);

    // The same from materials alone, without a build too.
    let snapshot = ["snapshot", BUNDLE, "--source", "src", "-o", "all.tar"];
    project.without("store", &snapshot).ends(0);
    let lock = project.text("src/countersign.lock");
    for gone in ["store", "images", "src"] {
        std::fs::remove_dir_all(project.path(gone)).unwrap();
    }
    project
        .run(&["rebuild", "--materials", "all.tar", "--keyring", "ring.gpg"])
        .ends(0)
        .prints(&format!("4 parts by openpgp:{key}\n"));
    let check = ["lock", "--check", "--bundle", BUNDLE, "--materials", "all.tar", "--keyring"];
    let said = project.run(&[&check[..], &["ring.gpg", "--json"]].concat()).ends(0);
    assert_eq!(said.json()["vouchers"]["openpgp"][&key], 4);
    project.run(&[&check[..], &["other.gpg"]].concat()).fails(3, "is not in the keyring");
    project.run(&["lock", "--check", "--bundle", BUNDLE]).ends(2);

    // A vendor who signs what is not so.
    let liar = archive();
    liar.put("src/countersign.lock", lock.replace(&key, &Key::new(9).name().to_lowercase()));
    lock_fits(&liar);
    liar.with("store", &["attest", "--source", "src", "--key", "vendor", "--bundle", BUNDLE, "--out", "out"]).ends(0);
    let rebuild = ["rebuild", BUNDLE, "--source", "src", "--key", "reviewer", "--append", "--keyring", "ring.gpg"];
    let before = liar.get(BUNDLE);
    liar.without("store", &rebuild).fails(4, "and not by that key");
    assert_eq!(liar.get(BUNDLE), before);
    // Without a keyring its word is its word.
    liar.without("store", &rebuild[..4]).ends(0).prints("not checked, no --keyring");
}

fn lock_fits(project: &Project) {
    project.without("store", &["lock", "--source", "src", "--check"]).ends(0);
}

#[test]
fn where_nobody_claims_anything() {
    let project = project();
    project.with("store", &["lock", "--source", "src"]).ends(0);
    attest(&project);
    project.put("ring.gpg", Key::new(1).ring());
    let rebuild = ["rebuild", BUNDLE, "--source", "src"];
    let said = project.without("store", &rebuild).ends(0);
    assert!(!said.out.contains("vouched") && !said.err.contains("vouched"));
    let said = project.without("store", &[&rebuild[..], &["--keyring", "ring.gpg"]].concat()).ends(0);
    said.prints("\nvouched      1 part by the vendor alone\n");
    // So nothing was checked, and nothing is said to have been.
    let signing = [&rebuild[..], &["--keyring", "ring.gpg", "--key", "reviewer", "--append"]].concat();
    project.without("store", &signing).ends(0);
    for statement in project.statements() {
        let said = statement["predicate"].to_string();
        assert!(!said.contains("\"vouchers\"") && !said.contains("vouched for, checked"), "{said}");
    }
    let policy = project.text("policy");
    for (demand, exit) in [("controls = [\"vouchers\"]", 8), ("vouchers = [\"vendor\"]", 0)] {
        project.put("policy", policy.replace("rebuilders = 1\n", &format!("rebuilders = 1\n{demand}\n")));
        project.verify(&["out/out.txt"]).ends(exit);
    }
    let document = project.without("store", &[&rebuild[..], &["--json"]].concat()).ends(0).json();
    assert_eq!((&document["vouchers"]["checked"], &document["vouchers"]["vendor"]), (&false.into(), &1.into()));
}
