//! Each kind, locked and built in.

use super::common::{BUNDLE, Project};
use super::image::*;
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

#[test]
fn a_root_file_system_is_all_there_is() {
    let project = project();
    let said = project.with("store", &["lock", "--source", "src"]).ends(0);
    let tree = said.out.trim().strip_prefix("sha256:").unwrap().to_owned();
    let lock = project.text("src/countersign.lock");
    assert!(lock.contains(&format!("kind rootfs\narchitecture {}\ntree {tree}\n", std::env::consts::ARCH)), "{lock}");
    let archive = project.get("images/root.tar");
    let part = format!("part archive root.tar - {} {} vendor images:root.tar\n", hex(&archive), archive.len());
    assert!(lock.ends_with(&part), "{lock}");
    project.without("store", &["lock", "--source", "src", "--check"]).ends(0);
    project.without("store", &["lock", "--source", "src"]).ends(0).mentions("fits the recipe");

    project
        .without("store", &["attest", "--source", "src", "--key", "vendor", "--bundle", BUNDLE, "--out", "out"])
        .ends(0);
    let seen = project.text("out/out.txt");
    let top: Vec<&str> = seen.lines().skip(1).take_while(|line| *line != "bin").collect();
    assert!(seen.starts_with("one\n") && !top.contains(&"root") && !seen.contains("covered"), "{seen}");
    for own in ["image\n", "passwd\n", "hosts\n"] {
        assert!(seen.contains(own), "{own}: {seen}");
    }
    assert!(!seen.lines().any(|line| line == "x"), "the home is the sandbox's: {seen}");
    let environment = project.statement("provenance")["predicate"]["buildDefinition"]["resolvedDependencies"].clone();
    let environment =
        environment.as_array().unwrap().iter().find(|entry| entry["name"] == "environment").unwrap().clone();
    assert_eq!(environment["digest"]["sha256"], Value::from(tree.clone()));
    assert_eq!(environment["annotations"]["kind"], "rootfs");

    // Elsewhere, with nothing of it yet: from the mirror, by the digests in the manifest.
    let rebuild = ["rebuild", BUNDLE, "--source", "src", "--key", "reviewer", "--append"];
    project.with("other", &rebuild).ends(0).mentions(&format!("environment  sha256:{tree} as signed"));
    project.verify(&["out/out.txt"]).ends(0);
    assert!(project.names("other/trees").concat().starts_with(&tree));
}

#[test]
fn what_is_not_locked_is_not_built_in() {
    let project = project();
    let build = |out: &str| project.without("store", &["build", "--source", "src", "--out", out]);
    build("no").ends(2).mentions("there is no lock src/countersign.lock").mentions("hint: `countersign lock`");
    project.without("store", &["lock", "--source", "src", "--check"]).ends(1).mentions("there is none");
    project
        .without("store", &["lock", "--source", "src"])
        .ends(7)
        .mentions("no mirror \"images\"")
        .mentions("--mirror images=BASE");
    project.with("store", &["lock", "--source", "src"]).ends(0);
    build("one").ends(0);
    let args = ["build", "--source", "src", "--out", "no", "--sandbox", "none"];
    project.without("store", &args).ends(2).mentions("a build without the sandbox is not in");

    // Another recipe, another machine, another lock.
    let lock = project.text("src/countersign.lock");
    project.environment("kind = \"rootfs\"\nimage = \"images:other.tar\"\n");
    build("no").ends(2).mentions("another [environment]");
    project.without("store", &["lock", "--source", "src", "--check"]).ends(1).mentions("another [environment]");
    project.environment("kind = \"rootfs\"\nimage = \"images:root.tar\"\n");
    build("two").ends(0);
    project.put(
        "src/countersign.lock",
        lock.replace(&format!("architecture {}", std::env::consts::ARCH), "architecture vax"),
    );
    build("no").ends(2).mentions("is for vax, and this machine is");
    for (from, to, code, why) in [
        ("tree ", "tree 0", 2, "line 5"),
        ("part archive", "part deb", 2, "a part of the class deb"),
        ("vendor images", "nobody images", 2, "line 6 of the lock"),
        ("root.tar\n", "root.tar\n\n", 2, "line 7"),
    ] {
        assert!(lock.contains(from), "{from}");
        project.put("src/countersign.lock", lock.replace(from, to));
        build("no").ends(code).mentions(why);
    }
    // A tree that the parts do not make.
    let tree = lock.lines().find_map(|line| line.strip_prefix("tree ")).unwrap();
    project.put("src/countersign.lock", lock.replace(tree, &hex(b"another")));
    build("no").ends(7).mentions("make another environment than it says");
    project.put("src/countersign.lock", &lock);

    // Bytes that are not those of the lock, on the way and in the store.
    let mut archive = project.get("images/root.tar");
    archive[600] ^= 1;
    project.put("images/root.tar", &archive);
    project.with("fresh", &["build", "--source", "src", "--out", "no"]).ends(7).mentions("should be sha256:");
    archive.pop();
    project.put("images/root.tar", &archive);
    project.with("fresh", &["build", "--source", "src", "--out", "no"]).ends(7).mentions("bytes and should have");
    assert_eq!(files(&project.path("fresh/blobs")).len() + files(&project.path("fresh/tmp")).len(), 0);
    let image = project.path(format!("store/trees/{}/etc/image", project.names("store/trees").concat()));
    std::fs::write(&image, "two\n").unwrap();
    build("no").ends(7).mentions("is not the locked one").mentions("cache verify");
    let verify = || project.without("store", &["cache", "verify"]);
    verify().ends(1).mentions("not what its name says; removed");
    verify().ends(0);
    build("three").ends(0);
    assert_eq!(project.text("three/out.txt"), project.text("one/out.txt"));
    let blob = files(&project.path("store/blobs")).pop().unwrap();
    std::fs::set_permissions(&blob, PermissionsExt::from_mode(0o644)).unwrap();
    std::fs::write(&blob, "else").unwrap();
    verify().ends(1);
    project.without("store", &["cache", "gc"]).ends(0).mentions("1 kept");
    project.without("store", &["cache", "gc", "--older-than", "0"]).ends(0).mentions("removed 1");
    assert_eq!(files(&project.path("store/trees")).len(), 0);
    assert!(!project.path("no").exists());
}

#[test]
fn locked_for_several_machines() {
    let project = project();
    let own = std::env::consts::ARCH;
    let other = if own == "aarch64" { "x86_64" } else { "aarch64" };
    project.with("store", &["lock", "--source", "src", "--architecture", other]).ends(0);
    let is_for = |machine: &str| project.text("src/countersign.lock").contains(&format!("architecture {machine}\n"));
    assert!(is_for(other) && !is_for(own));
    project.without("store", &["build", "--source", "src", "--out", "no"]).ends(2).mentions("this machine is");
    project.without("store", &["lock", "--source", "src", "--check"]).ends(1);
    project.with("store", &["lock", "--source", "src"]).ends(0);
    assert!(is_for(other) && is_for(own));
    for (machine, code) in [(own, 0), (other, 0), ("riscv64", 1)] {
        project.without("store", &["lock", "--source", "src", "--check", "--architecture", machine]).ends(code);
    }
    project.without("store", &["build", "--source", "src", "--out", "yes"]).ends(0);
    // Packages have scripts, which run on one kind of machine.
    project.environment("kind = \"debian\"\nsuites = [\"bookworm\"]\npackages = [\"gcc\"]\n");
    let keyring = project.path("images/root.tar").display().to_string();
    let foreign = ["lock", "--source", "src", "--architecture", other, "--keyring", &keyring];
    project.without("store", &foreign).ends(2).mentions(if cfg!(feature = "debian") {
        "lock there"
    } else {
        "feature `debian`"
    });
    project.without("store", &["lock", "--source", "src", "--architecture", "a b"]).ends(2);
}

#[test]
fn layers_of_an_oci_image() {
    let project = project();
    let dir = "images/oci/blobs/sha256";
    std::fs::create_dir_all(project.path(dir)).unwrap();
    let blob = |bytes: &[u8], media: &str| {
        project.put(&format!("{dir}/{}", hex(bytes)), bytes);
        format!(
            r#"{{"mediaType":"application/vnd.oci.image.{media}","digest":"sha256:{}","size":{}}}"#,
            hex(bytes),
            bytes.len()
        )
    };
    let lower = tar(&entries());
    let upper = tar(&[
        ("etc/image".into(), Entry::File(b"two\n".to_vec(), false)),
        ("usr/gone".into(), Entry::File(b"".to_vec(), false)),
        ("etc/.wh.alternatives".into(), Entry::File(b"".to_vec(), false)),
    ]);
    let layers = [blob(&gzip(&lower), "layer.v1.tar+gzip"), blob(&upper, "layer.v1.tar")].join(",");
    let architecture = if std::env::consts::ARCH == "x86_64" { "amd64" } else { "arm64" };
    let config = format!(
        r#"{{"architecture":"{architecture}","os":"linux","rootfs":{{"type":"layers","diff_ids":["sha256:{}","sha256:{}"]}}}}"#,
        hex(&lower),
        hex(&upper)
    );
    let config = blob(config.as_bytes(), "config.v1+json");
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{config},"layers":[{layers}]}}"#
    );
    let manifest = blob(manifest.as_bytes(), "manifest.v1+json");
    project.put("images/oci/index.json", format!(r#"{{"schemaVersion":2,"manifests":[{manifest}]}}"#));
    project.put("images/oci/oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#);
    project.environment("kind = \"oci\"\nimage = \"images:oci\"\n");

    project.with("store", &["lock", "--source", "src"]).ends(0);
    let lock = project.text("src/countersign.lock");
    assert_eq!(lock.matches("part oci-layer").count(), 2);
    assert!(lock.contains(&format!("images:oci/blobs/sha256/{}\n", hex(&upper))), "{lock}");
    project.without("store", &["build", "--source", "src", "--out", "out"]).ends(0);
    assert!(project.text("out/out.txt").starts_with("two\n"));
    // From the mirror again, into another store; then with a layer that is another.
    project.with("other", &["build", "--source", "src", "--out", "again"]).ends(0);
    assert_eq!(project.text("again/out.txt"), project.text("out/out.txt"));
    project.put(&format!("{dir}/{}", hex(&upper)), &lower);
    project.with("third", &["build", "--source", "src", "--out", "no"]).ends(7).mentions("should have");
    project.with("third", &["lock", "--source", "src", "--update"]).ends(7);
    assert_eq!(project.text("src/countersign.lock"), lock, "nothing is half-written");
}

#[test]
fn tools_beside_the_hosts_paths() {
    let project = Project::new("PATH=/opt/tool/bin:$PATH; hail > out.txt", &["out.txt"]);
    let recipe = project.text("src/countersign.toml");
    let roots = recipe.lines().find(|line| line.starts_with("roots = ")).unwrap().to_owned();
    let tool = |text: &str, strip: u8| {
        format!(
            "default-roots = false\n{roots}\n[[environment.tools]]\nname = \"tool\"\nversion = \"1\"\nfrom = \"images:{text}\"\nat = \"/opt/tool\"\nstrip = {strip}\n"
        )
    };
    std::fs::create_dir(project.path("images")).unwrap();
    let archive = tar(&[("tool-1/bin/hail".into(), Entry::File(b"#!/usr/bin/sh\necho hail\n".to_vec(), true))]);
    project.put("images/tool.tgz", gzip(&archive));
    project.environment(&tool("tool.tgz", 1));
    project.with("store", &["lock", "--source", "src"]).ends(0);
    let lock = project.text("src/countersign.lock");
    assert!(lock.contains("part tool tool 1 ") && lock.contains("\nroot /"), "{lock}");
    project
        .without("store", &["attest", "--source", "src", "--key", "vendor", "--bundle", BUNDLE, "--out", "out"])
        .ends(0);
    assert_eq!(project.text("out/out.txt"), "hail\n");
    let mirror = format!("images={}", project.path("images").display());
    project.rebuild(&["--store", "other", "--mirror", &mirror]).ends(0).mentions(" as signed");

    // What is in the store beside a host's paths is read before every build.
    let tree = project.names("store/trees").pop().unwrap();
    std::fs::write(project.path(format!("store/trees/{tree}/opt/tool/bin/hail")), "#!/usr/bin/sh\necho ham\n").unwrap();
    project.without("store", &["build", "--source", "src", "--out", "no"]).ends(7).mentions("is not what was unpacked");
    project.without("store", &["cache", "verify"]).ends(1);
    project.without("store", &["build", "--source", "src", "--out", "again"]).ends(0);
    // One that would lie elsewhere.
    project.put("images/evil.tgz", gzip(&evil()));
    project.environment(&tool("evil.tgz", 0));
    project.with("store", &["lock", "--source", "src"]).ends(7).mentions("not the name of something inside");
    assert!(!Path::new("/opt/evil").exists());
}

/// A member whose name leads out of the directory.
fn evil() -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    let name = b"../evil";
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(0);
    header.set_cksum();
    let mut tar = tar::Builder::new(Vec::new());
    tar.append(&header, std::io::empty()).unwrap();
    tar.into_inner().unwrap()
}
