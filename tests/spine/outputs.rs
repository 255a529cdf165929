//! Outputs of every shape: links, directories, odd names, modes, sizes; and what `compare` makes of them.

use super::common::{Project, flip};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;

/// All that a tree can hold.
const ODD: &str = r#"mkdir -p out/empty out/sub/deep; chmod 700 out/sub; echo x > out/sub/deep/file; ln -s ../nowhere out/link
ln -s sub out/dirlink; : > out/none; echo a > 'out/with space'; echo b > "$(printf 'out/line\nfeed')"; echo c > 'out/back\slash'
echo d > "$(printf 'out/\377raw')"; echo e > "$(printf 'out/\303\274mlaut')"; printf 'out/\033[2J' > /tmp/n; echo f > "$(cat /tmp/n)"
echo g > out/setuid; chmod 4755 out/setuid; echo h > out/closed; chmod 400 out/closed; mkdir -m 1777 out/sticky; ln out/none out/hard"#;

#[test]
fn links_directories_odd_names_and_modes() {
    let project = Project::new(ODD, &["out/**"]);
    let said = project.attest_to("b.intoto.jsonl", &["--out", "kept"]).ends(0);
    assert!(!said.err.contains('\u{1b}'));
    let said = project.review(&["--out", "again"]).ends(0);
    assert!(!said.out.contains('\u{1b}') && said.out.contains("out/\\u{1b}[2J: identical"), "{}", said.out);
    assert!(
        said.out.contains("out/line\\nfeed: identical") && said.out.contains("out/\\xffraw: identical"),
        "{}",
        said.out
    );
    // A vendor gets what the build made; what a reviewer is shown of somebody else's build sets no ids on the reviewer's machine.
    for (tree, special) in [("kept", 0o7000), ("again/run-1", 0)] {
        let mode = |name: &str| project.mode(&format!("{tree}/out/{name}"));
        assert_eq!(
            (mode("setuid"), mode("closed"), mode("sub"), mode("sticky")),
            (0o755 | 0o4000 & special, 0o400, 0o700, 0o777 | 0o1000 & special),
            "{tree}"
        );
        let link = std::fs::read_link(project.path(format!("{tree}/out/link"))).unwrap();
        assert_eq!(link.to_str(), Some("../nowhere"));
        assert_eq!(project.get(&format!("{tree}/out/line\nfeed")), b"b\n");
        assert_eq!(std::fs::read(project.path(tree).join(OsStr::from_bytes(b"out/\xffraw"))).unwrap(), b"d\n");
        assert!(project.names(&format!("{tree}/out/empty")).is_empty());
        project.verify(&["--tree", tree]).ends(if special == 0 { 1 } else { 0 });
    }
    let document = project.run(&["compare", "kept", "again/run-1", "--json"]).ends(1).json();
    let paths: Vec<&str> =
        document["differences"].as_array().unwrap().iter().map(|d| d["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["out/setuid", "out/sticky"]);
    let listing = project.text("again/run-1.listing");
    assert!(listing.contains("104755 ") && listing.contains("041777 "), "recorded and compared they are: {listing}");
    let names: Vec<String> = project.statement("provenance")["subject"]
        .as_array()
        .unwrap()
        .iter()
        .map(|subject| subject["name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(names.len(), 11, "{names:?}");
    assert!(!names.iter().any(|name| name.contains("link") || name.contains("empty")), "{names:?}");

    // Each of these is another tree.
    let tampered = |change: &dyn Fn(&Project), what: &str| {
        let _ = std::fs::remove_dir_all(project.path("copy"));
        project.copy("kept", "copy");
        change(&project);
        project.verify(&["--tree", "copy"]).ends(1);
        project.run(&["compare", "kept", "copy"]).ends(1).prints(what);
    };
    tampered(&|p| p.chmod("copy/out/setuid", 0o755), "out/setuid: mode 4755 in A, 0755 in B");
    tampered(&|p| p.chmod("copy/out/sticky", 0o777), "out/sticky: mode 1777 in A, 0777 in B");
    tampered(&|p| std::fs::remove_dir(p.path("copy/out/empty")).unwrap(), "out/empty: ");
    tampered(&|p| std::fs::create_dir(p.path("copy/out/new")).unwrap(), "out/new: ");
    tampered(&|p| std::fs::remove_file(p.path("copy/out/link")).unwrap(), "out/link: ");
    tampered(&|p| p.put("copy/out/with space", "A\n"), "out/with space: content, first at byte 0");
    tampered(
        &|p| {
            std::fs::remove_file(p.path("copy/out/link")).unwrap();
            std::os::unix::fs::symlink("../elsewhere", p.path("copy/out/link")).unwrap();
        },
        "out/link: ",
    );
}

#[test]
fn names_that_are_one_to_others_are_refused() {
    let project = Project::new("echo a > readme; echo b > README", &["readme", "README"]);
    project.attest_to("b.jsonl", &["--out", "out"]).fails(6, "outputs: README and readme are one name");
    assert!(!project.path("out").exists());
    // In a source they are said, and no more.
    let project = Project::new("echo a > out.txt", &["out.txt"]);
    project.put("src/INPUT.txt", "");
    project.attest().says("note: INPUT.txt and input.txt are one name");
}

#[test]
fn a_large_artefact() {
    const SIZE: u64 = 70 << 20;
    let project = Project::new(&format!("head -c {SIZE} /dev/zero > big; echo end >> big"), &["big"]);
    project.attest();
    project.review(&[]).ends(0);
    project.verify(&["out/big"]).ends(0);
    assert_eq!(std::fs::metadata(project.path("out/big")).unwrap().len(), SIZE + 4);
    assert!(project.get("b.intoto.jsonl").len() < 100_000, "the bytes are not in the bundle");
    project.copy("out/big", "changed");
    flip(&project.path("changed"));
    project.verify(&["changed"]).ends(1);
    project.run(&["compare", "out/big", "changed"]).ends(1).prints(&format!("first at byte {}", (SIZE + 4) / 2));
}

#[test]
fn compare_says_what_and_where() {
    let project = Project::tiny();
    for (name, text) in [("a", "one\n"), ("b", "one\n"), ("c", "onE\n"), ("d", "one\ntwo\n")] {
        project.put(name, text);
    }
    project.run(&["compare", "a", "b"]).ends(0).last("equal");
    project.run(&["compare", "a", "c"]).ends(1).prints("content, first at byte 2").last("different: 1 entry");
    project.run(&["compare", "a", "d"]).ends(1).prints("first at byte 4");
    project.run(&["compare", "a", "src"]).fails(2, "src is a directory and a is not");
    project.run(&["compare", "a", "nowhere"]).fails(7, "nowhere");
    for dir in ["left", "right"] {
        std::fs::create_dir(project.path(dir)).unwrap();
        project.put(&format!("{dir}/same"), "x");
    }
    project.run(&["compare", "left", "right"]).ends(0).last("equal");
    project.put("left/only", "x");
    project.put("right/other", "x");
    std::fs::set_permissions(project.path("right/same"), PermissionsExt::from_mode(0o755)).unwrap();
    let said = project.run(&["compare", "left", "right"]).ends(1).last("different: 3 entries");
    said.prints("same: mode 0644 in A, 0755 in B\n");
    assert_eq!(project.run(&["compare", "a", "c", "--json"]).ends(1).json()["differences"][0]["firstDifference"], 2);
    let document = project.run(&["compare", "left", "right", "--json"]).ends(1).json();
    assert_eq!(document["equal"], false);
    let found: Vec<(&str, &str)> = document["differences"]
        .as_array()
        .unwrap()
        .iter()
        .map(|difference| (difference["path"].as_str().unwrap(), difference["what"][0].as_str().unwrap()))
        .collect();
    assert_eq!(found, [("only", "only-a"), ("other", "only-b"), ("same", "mode")]);
}
