use super::super::testing::{Member, deb};
use super::*;
use crate::rootfs::Limits;
use Member::{Dir, File, Hard, Link, Other};

struct Package {
    name: &'static str,
    bytes: Vec<u8>,
}

fn package(name: &'static str, fields: &str, control: &[Member<'_>], data: &[Member<'_>]) -> Package {
    Package { name, bytes: deb(name, fields, control, data) }
}

/// The paths and contents of the root, or why there is none.
fn root(packages: &[Package]) -> Result<BTreeMap<String, String>, String> {
    root_of(packages, Limits::default())
}

fn root_of(packages: &[Package], limits: Limits) -> Result<BTreeMap<String, String>, String> {
    let place = tempfile::tempdir().unwrap();
    let builder = Builder::new(&place.path().join("spool"), limits).unwrap();
    let version = Version::parse("1.0").unwrap();
    let parts: Vec<Part<'_>> =
        packages.iter().map(|package| Part { name: package.name, version: &version, architecture: "all" }).collect();
    let mut open = |at: usize| Ok(Box::new(io::Cursor::new(packages[at].bytes.clone())) as Box<dyn Read>);
    let (builder, _) = assemble(builder, &parts, &mut open).map_err(|err| err.to_string())?;
    let dest = place.path().join("root");
    builder.finish(&dest, 0).map_err(|err| err.to_string())?;
    let mut found = BTreeMap::new();
    for entry in walkdir::WalkDir::new(&dest).min_depth(1) {
        let entry = entry.unwrap();
        let path = entry.path().strip_prefix(&dest).unwrap().to_str().unwrap().to_owned();
        let kind = entry.file_type();
        let shown = if kind.is_dir() {
            "/".to_owned()
        } else if kind.is_symlink() {
            format!("-> {}", std::fs::read_link(entry.path()).unwrap().to_str().unwrap())
        } else {
            use std::os::unix::fs::PermissionsExt as _;
            let exec = if entry.metadata().unwrap().permissions().mode() & 0o111 == 0 { "" } else { "*" };
            format!("{exec}{}", std::fs::read_to_string(entry.path()).unwrap())
        };
        found.insert(path, shown);
    }
    Ok(found)
}

fn good(packages: &[Package]) -> BTreeMap<String, String> {
    root(packages).unwrap()
}

fn bad(packages: &[Package], why: &str) {
    let outcome = root(packages).unwrap_err();
    assert!(outcome.contains(why), "{outcome}");
}

#[test]
fn the_database() {
    let found = good(&[
        package(
            "b",
            "Multi-Arch: same\n",
            &[
                File("./postinst", 0o755, b"#!/bin/sh\n"),
                File("./conffiles", 0o644, b"/etc/b.conf\n"),
                File("./md5sums", 0o644, b"x  usr/share/b\n"),
                File(
                    "./triggers",
                    0o644,
                    b"# x\ninterest-noawait ldconfig\ninterest /usr/share/info\nactivate other\n",
                ),
            ],
            &[
                Dir("./"),
                Dir("./etc/"),
                File("./etc/b.conf", 0o644, b"conf"),
                Dir("./usr/"),
                File("./usr/b", 0o4755, b"program"),
                Hard("./usr/c", "./usr/b"),
                Link("./usr/d", "b"),
            ],
        ),
        package("a", "", &[File("./triggers", 0o644, b"interest ldconfig\n")], &[]),
    ]);
    assert_eq!(
        found["var/lib/dpkg/status"],
        "Package: a\nVersion: 1.0\nArchitecture: all\nDescription: test\nStatus: install ok unpacked\n\n\
         Package: b\nVersion: 1.0\nArchitecture: all\nMulti-Arch: same\nDescription: test\nStatus: install ok unpacked\n\
         Conffiles:\n /etc/b.conf newconffile\n\n"
    );
    assert_eq!(found["var/lib/dpkg/info/b:all.list"], "/.\n/etc\n/etc/b.conf\n/usr\n/usr/b\n/usr/c\n/usr/d\n");
    assert_eq!(found["var/lib/dpkg/info/a.list"], "");
    assert_eq!(found["var/lib/dpkg/info/b:all.postinst"], "*#!/bin/sh\n");
    assert_eq!(found["var/lib/dpkg/info/b:all.conffiles"], "/etc/b.conf\n");
    assert_eq!(found["var/lib/dpkg/info/b:all.md5sums"], "x  usr/share/b\n");
    assert_eq!(found["var/lib/dpkg/info/format"], "1\n");
    assert_eq!(found["var/lib/dpkg/triggers/File"], "/usr/share/info b:all\n");
    assert_eq!(found["var/lib/dpkg/triggers/ldconfig"], "a\nb:all/noawait\n");
    for (path, content) in [
        ("etc/b.conf.dpkg-new", "conf"),
        ("usr/b", "*program"),
        ("usr/c", "*program"),
        ("usr/d", "-> b"),
        ("etc/machine-id", ""),
        ("var/lib/dpkg/diversions", ""),
        ("var/lib/dpkg/statoverride", ""),
        ("var/lib/dpkg/available", ""),
        ("var/lib/dpkg/alternatives", "/"),
        ("var/lib/dpkg/updates", "/"),
        ("tmp", "/"),
        ("run", "/"),
    ] {
        assert_eq!(found.get(path).map(String::as_str), Some(content), "{path}");
    }
    assert!(
        !found.contains_key("etc/b.conf")
            && !found.contains_key("bin")
            && !found.contains_key("var/lib/dpkg/info/b:all.control")
    );
}

#[test]
fn the_order_of_packages_says_nothing() {
    let packages = || {
        let a = package("a", "Replaces: b\n", &[], &[File("./x", 0o644, b"a"), Dir("./d/")]);
        let b = package("b", "", &[], &[File("./x", 0o644, b"b"), Dir("./d/"), File("./d/y", 0o755, b"y")]);
        let files = package("base-files", "", &[], &[Dir("./d/")]);
        [a, b, files]
    };
    let [a, b, c] = packages();
    let first = good(&[a, b, c]);
    let [a, b, c] = packages();
    assert_eq!(good(&[c, b, a]), first);
}

#[test]
fn a_merged_root() {
    let data = || {
        [
            Dir("./bin/"),
            File("./bin/a", 0o755, b"a"),
            Dir("./lib64/"),
            File("./lib64/ld.so", 0o755, b"ld"),
            Dir("./lib/"),
            Link("./lib/x", "y"),
        ]
    };
    let apart = good(&[package("a", "", &[], &data())]);
    assert_eq!((apart["bin"].as_str(), apart["bin/a"].as_str(), apart["lib64"].as_str()), ("/", "*a", "/"));
    let found = good(&[package("a", "", &[], &data()), package("usr-is-merged", "", &[], &[])]);
    for (path, content) in
        [("bin", "-> usr/bin"), ("sbin", "-> usr/sbin"), ("lib", "-> usr/lib"), ("lib64", "-> usr/lib64")]
    {
        assert_eq!(found[path], content);
        assert_eq!(found[&content[3..]], "/");
    }
    assert_eq!(
        (found["usr/bin/a"].as_str(), found["usr/lib64/ld.so"].as_str(), found["usr/lib/x"].as_str()),
        ("*a", "*ld", "-> y")
    );
    assert!(!found.contains_key("lib32"));
    assert_eq!(found["var/lib/dpkg/info/a.list"], "/bin\n/bin/a\n/lib64\n/lib64/ld.so\n/lib\n/lib/x\n");
    // Of newer suites this package has the links. It comes first whatever its name.
    let links = package(
        "base-files",
        "",
        &[],
        &[Dir("./usr/bin/"), Link("./bin", "usr/bin"), Link("./lib64", "usr/lib64"), Dir("./usr/lib64/")],
    );
    let newer = good(&[package("a", "", &[], &data()), links]);
    assert_eq!((newer["bin"].as_str(), newer["usr/bin/a"].as_str(), newer["lib"].as_str()), ("-> usr/bin", "*a", "/"));
    // One file by two names.
    let other = package("b", "", &[], &[File("./usr/bin/a", 0o755, b"b")]);
    bad(&[package("a", "", &[], &data()), other, package("usrmerge", "", &[], &[])], "a and b both have usr/bin/a");
}

#[test]
fn files_of_two_packages() {
    let pair = |first: &str, second: &str| {
        [
            package(
                "a",
                first,
                &[File("./conffiles", 0o644, b"/etc/c\n")],
                &[File("./etc/c", 0o644, b"a"), File("./x", 0o644, b"a")],
            ),
            package("b", second, &[], &[File("./etc/c", 0o644, b"b"), File("./x", 0o644, b"b")]),
        ]
    };
    bad(&pair("", ""), "a and b both have etc/c, and none replaces the other");
    bad(&pair("Replaces: b (<< 1.0)\n", "Replaces: c\n"), "a and b both have etc/c");
    let found = good(&pair("Replaces: b (<= 1.0)\n", ""));
    assert_eq!(
        (found["x"].as_str(), found["var/lib/dpkg/info/a.list"].as_str(), found["var/lib/dpkg/info/b.list"].as_str()),
        ("a", "/etc/c\n/x\n", "")
    );
    let found = good(&pair("", "Replaces: a\n"));
    assert_eq!(
        (found["x"].as_str(), found["var/lib/dpkg/info/a.list"].as_str(), found["var/lib/dpkg/info/b.list"].as_str()),
        ("b", "", "/etc/c\n/x\n")
    );
    assert_eq!(found["etc/c"], "b");
    assert!(!found.contains_key("etc/c.dpkg-new"), "nobody would configure it");
    assert!(!found["var/lib/dpkg/status"].contains("Conffiles"));
}

#[test]
fn directories_and_other_things() {
    let a = |data: &[Member<'_>]| package("a", "", &[], data);
    let b = |data: &[Member<'_>]| package("b", "Replaces: a\n", &[], data);
    let found =
        good(&[a(&[Dir("./d/"), Link("./l", "d")]), b(&[Link("./d", "e"), Dir("./l/"), File("./l/x", 0o644, b"x")])]);
    assert_eq!((found["d"].as_str(), found["l"].as_str(), found["d/x"].as_str()), ("/", "-> d", "x"));
    bad(
        &[a(&[Dir("./d/"), File("./d/x", 0o644, b"")]), b(&[File("./d", 0o644, b"")])],
        "there is a directory with something in it",
    );
    bad(
        &[a(&[File("./d", 0o644, b"")]), b(&[Dir("./d/")])],
        "b: d: it is a directory, and a file or link of another package is there",
    );
    bad(
        &[a(&[Link("./d", "nowhere")]), b(&[Dir("./d/")])],
        "b: d: it is a directory, and a file or link of another package is there",
    );
}

#[test]
fn users_and_groups() {
    let base = |more: Vec<Member<'static>>| {
        let mut data = vec![
            File("./usr/share/base-passwd/passwd.master", 0o644, b"root:*:0\n"),
            File("./usr/share/base-passwd/group.master", 0o644, b"root:*:0:\n"),
        ];
        data.extend(more);
        package("base-passwd", "", &[File("./preinst", 0o755, b"#!")], &data)
    };
    let found = good(&[base(vec![])]);
    assert_eq!((found["etc/passwd"].as_str(), found["etc/group"].as_str()), ("root:*:0\n", "root:*:0:\n"));
    let found = good(&[base(vec![File("./etc/passwd", 0o644, b"own")])]);
    assert_eq!((found["etc/passwd"].as_str(), found["etc/group"].as_str()), ("own", "root:*:0:\n"));
    let other = package("other", "", &[], &[File("./usr/share/base-passwd/passwd.master", 0o644, b"evil")]);
    assert!(!good(&[other]).contains_key("etc/passwd"));
}

#[test]
fn what_a_package_may_not_do() {
    let one = |fields: &str, control: &[Member<'_>], data: &[Member<'_>]| [package("a", fields, control, data)];
    for data in [
        &[File("./var/lib/dpkg/status", 0o644, b"")][..],
        &[File("./var/lib/dpkg/info/b.postinst", 0o755, b"")],
        &[Link("./var/lib/dpkg/info", "/etc")],
    ] {
        bad(&one("", &[], data), "it is in dpkg's database");
    }
    bad(&one("", &[], &[Link("./var/lib/dpkg", "/etc")]), "a: var/lib/dpkg: it is in dpkg's database");
    bad(&one("", &[], &[Link("./x", "var/lib"), File("./x/dpkg/status", 0o644, b"")]), "it is in dpkg's database");
    bad(&one("", &[], &[File("./../x", 0o644, b"")]), "not the name of something inside");
    bad(&one("", &[], &[Dir("./../")]), "not the name of something inside");
    bad(&one("", &[], &[Dir("./a/../b/")]), "not the name of something inside");
    bad(&one("", &[], &[File("./etc/x.dpkg-new", 0o644, b"")]), "this is where dpkg looks for configuration files");
    bad(&one("", &[], &[File("./a\nb", 0o644, b"")]), "a line end cannot be in a path");
    bad(&one("", &[], &[Other("./dev/x", b'3')]), "it is a device or a FIFO");
    bad(&one("", &[], &[Other("./x", b'6')]), "it is a device or a FIFO");
    bad(&one("", &[], &[File("./x", 0o644, b""), File("./x", 0o644, b"")]), "it is there twice");
    bad(&one("", &[], &[Hard("./x", "./y")]), "it is a hard link to what is not a file of the package");
    let other = package("b", "", &[], &[Hard("./z", "./x")]);
    bad(
        &[package("a", "", &[], &[File("./x", 0o644, b"")]), other],
        "it is a hard link to what is not a file of the package",
    );
    for field in ["Status: install ok installed\n", "conffiles: x\n", "Config-Version: 1\n", "Triggers-Pending: x\n"] {
        bad(&one(field, &[], &[]), "only dpkg may write this field");
    }
    bad(&one("Replaces: (\n", &[], &[]), "a: Replaces: ");
    bad(&one("", &[File("./list", 0o644, b"/etc/shadow\n")], &[]), "a package cannot bring this control file");
    for line in ["etc/x", "/etc/x y", "/etc/"] {
        bad(
            &one("", &[File("./conffiles", 0o644, line.as_bytes())], &[]),
            "it is not the path of a configuration file",
        );
    }
    for line in ["interest", "interest a b", "interest ../status", "interest File", "interest a/b", "await x"] {
        bad(&one("", &[File("./triggers", 0o644, line.as_bytes())], &[]), "trigger");
    }
    bad(&[package("a", "", &[], &[]), package("a", "", &[], &[])], "a is there twice");
    let wrong = Package { name: "c", bytes: deb("a", "", &[], &[]) };
    bad(&[wrong], "the file for c 1.0 all is a 1.0 all");
}

#[test]
fn nothing_of_the_machine_is_in_it() {
    let data = [File("./etc/resolv.conf", 0o644, b"nameserver"), File("./etc/machine-id", 0o644, b"0123")];
    let found = good(&[package("a", "", &[], &data)]);
    assert_eq!((found.contains_key("etc/resolv.conf"), found["etc/machine-id"].as_str()), (false, ""));
}

#[test]
fn entries_have_a_limit() {
    let limits = |entries, names| Limits { entries, names, ..Limits::default() };
    let same = || {
        [
            package("a", "", &[], &[Dir("./d/"), Dir("./d/"), Dir("./d/")]),
            package("b", "", &[], &[Dir("./d/"), Dir("./d/")]),
        ]
    };
    assert!(root_of(&same(), limits(100, 1000)).is_ok());
    for (entries, names) in [(2, 1000), (100, 4)] {
        let why = root_of(&same(), limits(entries, names)).unwrap_err();
        assert_eq!(why, "b: d: there are too many entries before it");
    }
}
