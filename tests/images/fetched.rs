//! What the source depends on: named by its lock files, had from mirrors that are directories, locked, and there in the build.

use super::common::{BUNDLE, Project, Said, kind};
use super::image::*;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::Digest as _;
use std::os::unix::fs::PermissionsExt;

/// The build says what is there and what is in it.
const SCRIPT: &str = "cd /vendor; for f in cargo/*/src/lib.rs cargo/*/.cargo-checksum.json cargo/config.toml pip/* go/x.example/!m/@v/*.mod \
                      go/x.example/!m/@v/*.info npm/_cacache/content-v2/sha512/*/*/*; do echo \"$f\"; done > /build/out.txt; \
                      cat cargo/config.toml cargo/a-1.0.0/src/lib.rs >> /build/out.txt";

fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// A crate of one file.
fn krate(name: &str, text: &str) -> Vec<u8> {
    let manifest = Entry::File(b"[package]\n".to_vec(), false);
    gzip(&tar(&[
        (format!("{name}/Cargo.toml"), manifest),
        (format!("{name}/src/lib.rs"), Entry::File(text.into(), false)),
    ]))
}

/// A zip of stored files, as Go's tools take it.
fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut body, mut directory) = (Vec::new(), Vec::new());
    for (name, data) in files {
        let mut crc = flate2::Crc::new();
        crc.update(data);
        let (sum, size) = (crc.sum().to_le_bytes(), (data.len() as u32).to_le_bytes());
        let common = [&[0; 6][..], &sum, &size, &size, &(name.len() as u16).to_le_bytes(), &[0, 0]].concat();
        directory.extend(
            [b"PK\x01\x02\x14\0\x14\0\0\0", &common[..], &[0; 10], &(body.len() as u32).to_le_bytes(), name.as_bytes()]
                .concat(),
        );
        body.extend([b"PK\x03\x04\x14\0\0\0", &common[..], name.as_bytes(), data].concat());
    }
    let count = (files.len() as u16).to_le_bytes();
    let (size, offset) = ((directory.len() as u32).to_le_bytes(), (body.len() as u32).to_le_bytes());
    let end = [b"PK\x05\x06\0\0\0\0", &count[..], &count, &size, &offset, &[0, 0]].concat();
    [body, directory, end].concat()
}

/// `h1:` of some files.
fn h1(files: &[(&str, &[u8])]) -> String {
    let list: String = files.iter().map(|(name, data)| format!("{}  {name}\n", hex(data))).collect();
    format!("h1:{}", base64(&sha2::Sha256::digest(list)))
}

fn cargo_lock(crates: &[(&str, &str, &[u8])]) -> String {
    let mut text = "version = 4\n\n[[package]]\nname = \"own\"\nversion = \"0.1.0\"\n".to_owned();
    for (name, version, bytes) in crates {
        let source = "registry+https://registry.example/index";
        text += &format!(
            "\n[[package]]\nname = \"{name}\"\nversion = \"{version}\"\nsource = \"{source}\"\nchecksum = \"{}\"\n",
            hex(bytes)
        );
    }
    text
}

/// A project that depends on something of each kind; the mirrors are below `mirrors`.
fn depending() -> Project {
    let project = Project::new(SCRIPT, &["out.txt"]);
    let put = |path: &str, bytes: &[u8]| {
        let path = format!("mirrors/{path}");
        std::fs::create_dir_all(project.path(&path).parent().unwrap()).unwrap();
        project.put(&path, bytes);
    };
    let (a, b) = (krate("a-1.0.0", "a\n"), krate("b-2.0.0+x", "b\n"));
    put("crates/a/a-1.0.0.crate", &a);
    put("crates/b/b-2.0.0+x.crate", &b);
    project.put("src/Cargo.lock", cargo_lock(&[("a", "1.0.0", &a), ("b", "2.0.0+x", &b)]));

    let (wheel, sdist) = (b"a wheel", b"an sdist");
    put("pypi/files/Some_Thing-1.0-py3-none-any.whl", wheel);
    put("pypi/simple/some-thing/some_thing-1.0.tar.gz", sdist);
    let page = format!(
        "<a href=\"some_thing-1.0.tar.gz#sha256={}\">s</a> <a href=\"../../files/Some_Thing-1.0-py3-none-any.whl#sha256={}\">w</a>",
        hex(sdist),
        hex(wheel)
    );
    put("pypi/simple/some-thing/index.html", page.as_bytes());
    let lines = format!("some.thing==1.0 \\\n  --hash=sha256:{} \\\n  --hash=sha256:{}\n", hex(wheel), hex(sdist));
    project.put("src/requirements.txt", lines);

    let tarball = gzip(&tar(&[("package/package.json".into(), Entry::File(b"{}".to_vec(), false))]));
    put("npm/@s/p/-/p-3.0.0.tgz", &tarball);
    project.put(
        "src/package-lock.json",
        format!(
            r#"{{"lockfileVersion": 3, "packages": {{"": {{"name": "own"}}, "node_modules/@s/p": {{"version": "3.0.0",
"resolved": "https://registry.example/@s/p/-/p-3.0.0.tgz", "integrity": "sha512-{}"}}}}}}"#,
            base64(&sha2::Sha512::digest(&tarball))
        ),
    );

    let go_mod = b"module x.example/M\n";
    let files: [(&str, &[u8]); 2] =
        [("x.example/M@v1.0.0/go.mod", go_mod), ("x.example/M@v1.0.0/m.go", b"package m\n")];
    put("go/x.example/!m/@v/v1.0.0.mod", go_mod);
    put("go/x.example/!m/@v/v1.0.0.zip", &zip(&files));
    let sums = (h1(&files), h1(&[("go.mod", go_mod)]));
    project.put("src/go.sum", format!("x.example/M v1.0.0 {}\nx.example/M v1.0.0/go.mod {}\n", sums.0, sums.1));

    let recipe = project.text("src/countersign.toml");
    let roots = recipe.lines().find(|line| line.starts_with("roots = ")).unwrap().to_owned();
    let fetch: String =
        [("cargo", "Cargo.lock"), ("pip", "requirements.txt"), ("npm", "package-lock.json"), ("go", "go.sum")]
            .iter()
            .map(|(kind, from)| format!("\n[[environment.fetch]]\nkind = \"{kind}\"\nfrom = [\"{from}\"]\n"))
            .collect();
    project.environment(&format!("default-roots = false\n{roots}\n{fetch}"));
    project
}

fn with(project: &Project, store: &str, args: &[&str]) -> Said {
    let mirrors = ["crates", "pypi", "npm", "go"]
        .map(|name| format!("{name}={}", project.path(format!("mirrors/{name}")).display()));
    let flags = mirrors.iter().flat_map(|mirror| ["--mirror", mirror]);
    project.without(store, &args.iter().copied().chain(flags).collect::<Vec<_>>())
}

const LOCK: [&str; 3] = ["lock", "--source", "src"];

#[test]
fn locked_built_handed_over_and_rebuilt() {
    let project = depending();
    project.without("store", &LOCK).ends(7).mentions("no mirror \"crates\"").mentions("--mirror crates=BASE");
    with(&project, "store", &LOCK).ends(0).mentions("locked 6 parts");
    let lock = project.text("src/countersign.lock");
    let parts: Vec<String> = lock
        .lines()
        .filter_map(|line| line.strip_prefix("part "))
        .map(|line| {
            let fields: Vec<&str> = line.split(' ').collect();
            assert_eq!(fields[5], "source");
            [fields[0], fields[1], fields[2], fields[6]].join(" ")
        })
        .collect();
    assert_eq!(
        parts,
        [
            "crate a 1.0.0 crates:a/a-1.0.0.crate",
            "crate b 2.0.0+x crates:b/b-2.0.0+x.crate",
            "python Some_Thing-1.0-py3-none-any.whl 1.0 pypi:files/Some_Thing-1.0-py3-none-any.whl",
            "npm @s/p 3.0.0 npm:@s/p/-/p-3.0.0.tgz",
            "go-mod x.example/M v1.0.0 go:x.example/!m/@v/v1.0.0.mod",
            "go-zip x.example/M v1.0.0 go:x.example/!m/@v/v1.0.0.zip",
        ]
    );
    project.without("store", &[&LOCK[..], &["--check"]].concat()).ends(0);
    with(&project, "elsewhere", &[&LOCK[..], &["--update"]].concat()).ends(0);
    assert_eq!(project.text("src/countersign.lock"), lock, "the same twice");

    let attest = ["attest", "--source", "src", "--key", "vendor", "--bundle", BUNDLE, "--out", "out"];
    project.without("store", &attest).ends(0);
    let seen = project.text("out/out.txt");
    for there in [
        "cargo/a-1.0.0/src/lib.rs\n",
        "cargo/b-2.0.0+x/.cargo-checksum.json\n",
        "pip/Some_Thing-1.0-py3-none-any.whl\n",
        "go/x.example/!m/@v/v1.0.0.info\n",
        "directory = \"/vendor/cargo\"\na\n",
    ] {
        assert!(seen.contains(there), "{there}: {seen}");
    }
    let tarball = sha2::Sha512::digest(project.get("mirrors/npm/@s/p/-/p-3.0.0.tgz"));
    let hex: String = tarball.iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(
        seen.contains(&format!("npm/_cacache/content-v2/sha512/{}/{}/{}\n", &hex[..2], &hex[2..4], &hex[4..])),
        "{seen}"
    );

    project.without("store", &["snapshot", BUNDLE, "--source", "src", "-o", "all"]).ends(0).mentions("6 parts");
    for gone in ["store", "elsewhere", "mirrors"] {
        std::fs::remove_dir_all(project.path(gone)).unwrap();
    }
    let rebuild =
        || project.rebuild(&["--materials", "all", "--source", "all/source", "--key", "reviewer", "--append"]);
    rebuild().ends(0).mentions("identical: 1 file");
    // The rebuild held the lock against the source; the vendor's word is no check.
    let held: Vec<_> =
        project.statements().iter().filter(|statement| kind(statement) == "provenance").cloned().collect();
    let held = held
        .iter()
        .map(|own| own["predicate"]["buildDefinition"]["internalParameters"]["controls"]["vouchers"].as_str());
    assert_eq!(held.collect::<Vec<_>>(), [None, Some("enforced")]);
    let reason = project.statement("reproduced")["predicate"]["reason"].as_str().unwrap().to_owned();
    assert!(reason.ends_with("; environment vouched for, checked: 6 parts by the source's own lock files"), "{reason}");
    let again = ["--materials", "all", "--source", "all/source", "--json"];
    assert_eq!(project.rebuild(&again).ends(0).json()["vouchers"]["sourceChecked"], true);
    // Without a source nothing is held against it, and that is said.
    project.put("ring.gpg", "");
    let check = ["lock", "--check", "--bundle", BUNDLE, "--materials", "all", "--keyring", "ring.gpg"];
    project
        .run(&check)
        .ends(0)
        .mentions("vouched: 6 parts by the source's own lock files (not checked here: no source)\n");
    let said = project.run(&[&check[..], &["--json"]].concat()).ends(0).json();
    assert_eq!((&said["vouchers"]["source"], &said["vouchers"]["sourceChecked"]), (&6.into(), &false.into()));
    let here = ["lock", "--check", "--source", "src", "--keyring", "ring.gpg", "--json"];
    assert_eq!(project.without("new", &here).ends(0).json()["vouchers"]["sourceChecked"], true);
    project.verify(&["out/out.txt"]).ends(0);
    let blobs = files(&project.path("all/blobs"));
    assert_eq!(blobs.len(), 6);
    std::fs::remove_file(&blobs[0]).unwrap();
    rebuild().ends(7).mentions("is not among the materials");
}

#[test]
fn in_an_image_too() {
    let project = depending();
    std::fs::create_dir(project.path("images")).unwrap();
    project.put("images/root.tar", tar(&entries()));
    let fetch = "\n[[environment.fetch]]\nkind = \"cargo\"\nfrom = [\"Cargo.lock\"]\n";
    project.environment(&format!("kind = \"rootfs\"\nimage = \"images:root.tar\"\n{fetch}"));
    let images = format!("images={}", project.path("images").display());
    with(&project, "store", &[&LOCK[..], &["--mirror", &images]].concat()).ends(0).mentions("locked 3 parts");
    project.without("store", &["build", "--source", "src", "--out", "out"]).ends(0);
    assert!(project.text("out/out.txt").ends_with("directory = \"/vendor/cargo\"\na\n"));
    // The image stays when a crate comes: nobody has it any more.
    std::fs::remove_dir_all(project.path("images")).unwrap();
    let (a, c) = (project.get("mirrors/crates/a/a-1.0.0.crate"), krate("c-1.0.0", "c\n"));
    std::fs::create_dir(project.path("mirrors/crates/c")).unwrap();
    project.put("mirrors/crates/c/c-1.0.0.crate", &c);
    project.put("src/Cargo.lock", cargo_lock(&[("a", "1.0.0", &a), ("c", "1.0.0", &c)]));
    with(&project, "store", &LOCK).ends(0);
    with(&project, "store", &[&LOCK[..], &["--update"]].concat()).ends(7).mentions("no mirror \"images\"");
    project.without("store", &["build", "--source", "src", "--out", "again"]).ends(0);
    assert!(project.text("again/out.txt").contains("cargo/c-1.0.0/src/lib.rs"));
}

#[test]
fn one_byte_on_a_mirror() {
    let project = depending();
    for (path, why) in [
        ("crates/a/a-1.0.0.crate", "a-1.0.0.crate: it is sha256:"),
        ("pypi/files/Some_Thing-1.0-py3-none-any.whl", "Some_Thing-1.0-py3-none-any.whl: it is sha256:"),
        ("npm/@s/p/-/p-3.0.0.tgz", "p-3.0.0.tgz: it is sha512:"),
        ("go/x.example/!m/@v/v1.0.0.mod", "v1.0.0.mod: it is h1:"),
        ("go/x.example/!m/@v/v1.0.0.zip", "v1.0.0.zip"),
    ] {
        let path = format!("mirrors/{path}");
        let good = project.get(&path);
        let mut bad = good.clone();
        *bad.last_mut().unwrap() ^= 1;
        project.put(&path, &bad);
        with(&project, "store", &LOCK).ends(7).mentions(why);
        assert!(!project.path("src/countersign.lock").exists());
        assert!(!project.path("store/blobs").join(&hex(&bad)[..2]).join(hex(&bad)).exists(), "it is not kept");
        project.put(&path, &good);
    }
    // A module with one file more, or another name for one.
    let zips: [&[(&str, &[u8])]; 2] = [
        &[("x.example/M@v1.0.0/go.mod", b"module x.example/M\n"), ("x.example/M@v1.0.0/n.go", b"package m\n")],
        &[("x.example/M@v1.0.0/go.mod", b"module x.example/M\n")],
    ];
    let good = project.get("mirrors/go/x.example/!m/@v/v1.0.0.zip");
    for files in zips {
        project.put("mirrors/go/x.example/!m/@v/v1.0.0.zip", zip(files));
        with(&project, "store", &LOCK).ends(7).mentions("v1.0.0.zip: it is h1:");
    }
    project.put("mirrors/go/x.example/!m/@v/v1.0.0.zip", good);
    with(&project, "store", &LOCK).ends(0);
    // What is in the store and is no longer what its name says is had again.
    let blob = files(&project.path("store/blobs")).pop().unwrap();
    std::fs::set_permissions(&blob, PermissionsExt::from_mode(0o644)).unwrap();
    std::fs::write(&blob, "else").unwrap();
    std::fs::remove_file(project.path("src/countersign.lock")).unwrap();
    with(&project, "store", &LOCK).ends(0);
    project.without("store", &["cache", "verify"]).ends(0).mentions("removed 0");
}

#[test]
fn a_lock_of_another_source() {
    let project = depending();
    with(&project, "store", &LOCK).ends(0);
    let lock = project.text("src/countersign.lock");
    let check = || project.without("store", &[&LOCK[..], &["--check"]].concat());
    let build = || project.without("store", &["build", "--source", "src", "--out", "no"]);
    let stale = |why: &str| {
        check().ends(1).mentions(why);
        build()
            .ends(2)
            .mentions("the lock is not of what the source depends on")
            .mentions(why)
            .mentions("hint: `countersign lock`");
    };
    let c = krate("c-1.0.0", "c\n");
    project.put("mirrors/crates/c-1.0.0.crate", &c);
    let (cargo, pip) = (project.text("src/Cargo.lock"), project.text("src/requirements.txt"));
    let (npm, go) = (project.text("src/package-lock.json"), project.text("src/go.sum"));
    project.put("src/Cargo.lock", cargo_lock(&[("a", "1.0.0", &project.get("mirrors/crates/a/a-1.0.0.crate"))]));
    stale("does not name b 2.0.0+x");
    project.put("src/Cargo.lock", cargo.replace("2.0.0+x", "2.0.1+x"));
    stale("b 2.0.0+x");
    project.put("src/Cargo.lock", cargo.replace(&hex(&project.get("mirrors/crates/a/a-1.0.0.crate")), &hex(&c)));
    stale("does not name a 1.0.0");
    project.put("src/Cargo.lock", &cargo);
    project.put("src/requirements.txt", pip.replace("==1.0", "==1.1"));
    stale("does not name Some_Thing-1.0-py3-none-any.whl 1.0");
    project.put("src/requirements.txt", format!("{pip}other==1 --hash=sha256:{}\n", hex(b"")));
    stale("names other 1");
    project.put("src/requirements.txt", &pip);
    project.put("src/package-lock.json", npm.replace("\"3.0.0\"", "\"3.0.1\""));
    stale("@s/p 3.0.0");
    project.put("src/package-lock.json", &npm);
    project.put("src/go.sum", go.lines().next().unwrap());
    stale("x.example/M v1.0.0");
    std::fs::remove_file(project.path("src/go.sum")).unwrap();
    check().ends(2).mentions("go.sum: environment.fetch names it");
    build().ends(2).mentions("go.sum: environment.fetch names it");
    project.put("src/go.sum", &go);
    check().ends(0);

    // Locked again, only what is another is had: of the rest there are no mirrors.
    std::fs::create_dir(project.path("mirrors/crates/c")).unwrap();
    project.put("mirrors/crates/c/c-1.0.0.crate", &c);
    let a = project.get("mirrors/crates/a/a-1.0.0.crate");
    project.put("src/Cargo.lock", cargo_lock(&[("a", "1.0.0", &a), ("c", "1.0.0", &c)]));
    for gone in ["crates/a", "pypi", "npm", "go"] {
        std::fs::remove_dir_all(project.path(format!("mirrors/{gone}"))).unwrap();
    }
    with(&project, "store", &LOCK).ends(0);
    let new = project.text("src/countersign.lock");
    let parts =
        |lock: &str| lock.lines().filter(|line| line.starts_with("part ")).map(str::to_owned).collect::<Vec<_>>();
    let (before, after) = (parts(&lock), parts(&new));
    assert_eq!((&before[0], &before[2..]), (&after[0], &after[2..]));
    assert!(after[1].starts_with("part crate c 1.0.0 "), "{new}");

    // A manifest whose lock and source do not belong together: two signed things that are sound each by itself.
    project.put("src/Cargo.lock", &cargo);
    project.put("src/countersign.lock", &lock);
    project
        .without("store", &["attest", "--source", "src", "--key", "vendor", "--bundle", BUNDLE, "--out", "out"])
        .ends(0);
    project.forge(|provenance, _| {
        let locked = &mut provenance.order.lock;
        *locked = locked.replace("part crate b 2.0.0+x", "part crate b 2.0.0+y");
    });
    project.rebuild(&["--store", "store"]).ends(4).mentions("does not name b 2.0.0+y");
}

#[test]
fn parts_that_are_not_what_the_source_names() {
    // A lock says a SHA-256 of its own; of npm and Go the source names another digest.
    let project = depending();
    with(&project, "store", &LOCK).ends(0);
    let lock = project.text("src/countersign.lock");
    let evil = gzip(&tar(&[("package/evil.js".into(), Entry::File(b"evil()".to_vec(), false))]));
    let module: [(&str, &[u8]); 1] = [("x.example/M@v1.0.0/m.go", b"package evil\n")];
    for (start, place, bytes, why) in [
        ("part npm ", "npm/@s/p/-/p-3.0.0.tgz", evil, "should be sha512:"),
        ("part go-zip ", "go/x.example/!m/@v/v1.0.0.zip", zip(&module), "should be h1:"),
        ("part go-mod ", "go/x.example/!m/@v/v1.0.0.mod", b"module x.example/evil\n".to_vec(), "should be h1:"),
    ] {
        let before = project.get(&format!("mirrors/{place}"));
        project.put(&format!("mirrors/{place}"), &bytes);
        let lie = |line: &str| {
            let digests = line.replace(&hex(&before), &hex(&bytes));
            digests.replace(&format!(" {} source", before.len()), &format!(" {} source", bytes.len()))
        };
        let lines = lock.lines().map(|line| if line.starts_with(start) { lie(line) } else { line.to_owned() } + "\n");
        project.put("src/countersign.lock", lines.collect::<String>());
        assert_ne!(project.text("src/countersign.lock"), lock);
        with(&project, "other", &["build", "--source", "src", "--out", "no"]).ends(7).mentions(why);
        project.put(&format!("mirrors/{place}"), &before);
    }
    project.put("src/countersign.lock", &lock);
    with(&project, "other", &["build", "--source", "src", "--out", "yes"]).ends(0);
}

#[test]
fn one_version_of_a_package_from_two_places() {
    let project = depending();
    let other = gzip(&tar(&[("package/other.js".into(), Entry::File(b"other()".to_vec(), false))]));
    std::fs::create_dir_all(project.path("mirrors/npm/elsewhere")).unwrap();
    project.put("mirrors/npm/elsewhere/p-3.0.0.tgz", &other);
    let more = |digest: &[u8]| {
        format!(
            r#""node_modules/q/node_modules/@s/p": {{"version": "3.0.0", "resolved": "https://registry.example/elsewhere/p-3.0.0.tgz",
"integrity": "sha512-{}"}}, "node_modules/@s/p""#,
            base64(digest)
        )
    };
    let npm = project.text("src/package-lock.json");
    let name = |digest: &[u8]| npm.replace("\"node_modules/@s/p\"", &more(digest));
    project.put("src/package-lock.json", name(&sha2::Sha512::digest(&other)));
    with(&project, "store", &LOCK).ends(0);
    assert_eq!(project.text("src/countersign.lock").matches("part npm @s/p 3.0.0 ").count(), 2);
    with(&project, "store", &["build", "--source", "src", "--out", "one"]).ends(0);
    // The twin: of one of them the source names other bytes.
    project.put("src/package-lock.json", name(&sha2::Sha512::digest(b"else")));
    with(&project, "store", &["build", "--source", "src", "--out", "two"]).ends(7).mentions("should be sha512:");
}

#[test]
fn an_image_that_has_something_where_dependencies_go() {
    let project = depending();
    let mut all = entries();
    std::fs::create_dir(project.path("images")).unwrap();
    for (extra, code) in [(None, 0), (Some("vendor/cargo/a-1.0.0/build.rs"), 7), (Some("vendor/go"), 7)] {
        let before = all.len();
        all.extend(extra.map(|name| (name.to_owned(), Entry::File(b"evil".to_vec(), false))));
        project.put("images/root.tar", tar(&all));
        all.truncate(before);
        project.environment("kind = \"rootfs\"\nimage = \"images:root.tar\"\n[[environment.fetch]]\nkind = \"cargo\"\nfrom = [\"Cargo.lock\"]\n[[environment.fetch]]\nkind = \"go\"\nfrom = [\"go.sum\"]\n");
        let images = format!("images={}", project.path("images").display());
        let said = with(&project, "store", &[&LOCK[..], &["--update", "--mirror", &images]].concat()).ends(code);
        if code != 0 {
            said.mentions("where what the source depends on goes");
        }
    }
}

#[test]
fn lock_files_that_are_not_taken() {
    let project = depending();
    let cargo = project.text("src/Cargo.lock");
    for (from, to, why) in [
        (
            "registry+https://registry.example/index\"\nchecksum",
            "git+https://git.example/a#1\"\nx",
            "Cargo.lock: a 1.0.0 comes from a git repository",
        ),
        ("checksum = ", "x = ", "Cargo.lock: a 1.0.0 has no checksum"),
    ] {
        project.put("src/Cargo.lock", cargo.replacen(from, to, 1));
        with(&project, "store", &LOCK).ends(2).mentions(why);
    }
    project.put("src/Cargo.lock", &cargo);
    // A link that leads out of the source, and one that is left out of it.
    std::fs::rename(project.path("src/go.sum"), project.path("go.sum")).unwrap();
    std::os::unix::fs::symlink("../go.sum", project.path("src/go.sum")).unwrap();
    with(&project, "store", &LOCK).ends(2).mentions("go.sum: environment.fetch names it");
    std::fs::remove_file(project.path("src/go.sum")).unwrap();
    std::fs::rename(project.path("go.sum"), project.path("src/go.sum")).unwrap();
    let recipe = project.text("src/countersign.toml");
    project.put("src/countersign.toml", recipe.replace("[source]\n", "[source]\nexclude = [\"go.sum\"]\n"));
    with(&project, "store", &LOCK).ends(2).mentions("go.sum: environment.fetch names it");
    project.put("src/countersign.toml", &recipe);
    // A crate that is another inside, by its own checksum.
    let evil = krate("b-1.0.0", "evil\n");
    project.put("mirrors/crates/a/a-1.0.0.crate", &evil);
    project.put("src/Cargo.lock", cargo_lock(&[("a", "1.0.0", &evil)]));
    with(&project, "store", &LOCK).ends(7).mentions("a 1.0.0: b-1.0.0/Cargo.toml: it is not below a-1.0.0/");
    assert!(!project.path("src/countersign.lock").exists());
}

#[test]
fn other_forms_of_source() {
    let project = depending();
    with(&project, "store", &LOCK).ends(0);
    let said = std::process::Command::new("tar")
        .args(["-czf", "src.tgz", "-C", "src", "."])
        .current_dir(project.path("."))
        .status();
    assert!(said.unwrap().success());
    let build = |out: &str| {
        project.without("store", &["build", "--source", "src.tgz", "--recipe", "src/countersign.toml", "--out", out])
    };
    build("out").ends(0);
    project.put("src/go.sum", "");
    let tar = ["-czf", "src.tgz", "-C", "src", "."];
    assert!(std::process::Command::new("tar").args(tar).current_dir(project.path(".")).status().unwrap().success());
    build("no").ends(2).mentions("nothing is to be fetched for it");
}

/// A server of the mirrors, each of whose answers takes a while.
#[cfg(feature = "fetch")]
fn server(project: &Project) -> String {
    use std::io::{BufRead as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let dir = project.path("mirrors");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let dir = dir.clone();
            // Who asked may have been killed.
            std::thread::spawn(move || -> std::io::Result<()> {
                let mut lines = std::io::BufReader::new(stream.try_clone()?).lines();
                let first = lines.next().unwrap_or_else(|| Ok(String::new()))?;
                while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
                let path = first.split(' ').nth(1).unwrap_or_default().trim_start_matches('/').to_owned();
                let path = if path.ends_with('/') { format!("{path}index.html") } else { path };
                let mut stream = stream;
                let Ok(bytes) = std::fs::read(dir.join(path)) else {
                    return stream
                        .write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                };
                write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", bytes.len())?;
                let (one, two) = bytes.split_at(bytes.len() / 2);
                for half in [one, two] {
                    std::thread::sleep(std::time::Duration::from_millis(30));
                    stream.write_all(half)?;
                }
                Ok(())
            });
        }
    });
    base
}

#[cfg(feature = "fetch")]
#[test]
fn killed_while_it_fetches() {
    let project = depending();
    let page = project.text("mirrors/pypi/simple/some-thing/index.html");
    // From the top of the host, and not of the mirror.
    project.put("mirrors/pypi/simple/some-thing/index.html", page.replace("../../files", "/pypi/files"));
    let base = server(&project);
    let mirrors = ["crates", "pypi", "npm", "go"].map(|name| format!("{name}={base}/{name}"));
    let flags = mirrors.iter().flat_map(|mirror| ["--mirror", mirror]);
    let args: Vec<&str> = LOCK.into_iter().chain(["--store", "store"]).chain(flags).collect();
    let begun = std::time::Instant::now();
    project.run(&args).ends(0);
    let whole = begun.elapsed();
    let lock = project.text("src/countersign.lock");
    assert!(lock.contains(" source pypi:files/Some_Thing-1.0-py3-none-any.whl\n"), "{lock}");
    for round in 0..6 {
        std::fs::remove_dir_all(project.path("store")).unwrap_or_default();
        std::fs::remove_file(project.path("src/countersign.lock")).unwrap_or_default();
        let mut command = project.command(&args);
        let mut run = command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap();
        std::thread::sleep(whole * round / 6);
        run.kill().unwrap();
        run.wait().unwrap();
        if project.path("store").exists() {
            project.without("store", &["cache", "verify"]).ends(0).mentions("removed 0");
        }
        project.run(&args).ends(0);
        assert_eq!(project.text("src/countersign.lock"), lock, "round {round}");
        assert_eq!(project.names("store/tmp"), [""; 0], "round {round}");
    }
    // What is not there any more.
    std::fs::remove_file(project.path("mirrors/go/x.example/!m/@v/v1.0.0.zip")).unwrap();
    project.run(&[&args[..], &["--update"]].concat()).ends(7).mentions("x.example/!m/@v/v1.0.0.zip");
    assert_eq!(project.text("src/countersign.lock"), lock);
}

#[test]
fn killed_while_it_locks() {
    let project = depending();
    let begun = std::time::Instant::now();
    with(&project, "first", &LOCK).ends(0);
    let whole = begun.elapsed();
    let lock = project.text("src/countersign.lock");
    for round in 0..8 {
        let _ = std::fs::remove_dir_all(project.path("store"));
        std::fs::remove_file(project.path("src/countersign.lock")).unwrap_or_default();
        let mirrors = ["crates", "pypi", "npm", "go"]
            .map(|name| format!("{name}={}", project.path(format!("mirrors/{name}")).display()));
        let flags = mirrors.iter().flat_map(|mirror| ["--mirror", mirror]);
        let args: Vec<&str> = LOCK.into_iter().chain(["--store", "store"]).chain(flags).collect();
        let mut command = project.command(&args);
        let mut run = command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap();
        std::thread::sleep(whole * round / 8);
        run.kill().unwrap();
        run.wait().unwrap();
        if project.path("store").exists() {
            project.without("store", &["cache", "verify"]).ends(0).mentions("removed 0");
        }
        with(&project, "store", &LOCK).ends(0);
        assert_eq!(project.text("src/countersign.lock"), lock, "round {round}");
        assert_eq!(project.names("store/tmp"), [""; 0], "round {round}");
    }
}
