//! `--trace` through the program: what it writes and says, and that it changes nothing of what is signed. The sandbox has tests of its own.
#![cfg(target_os = "linux")]

mod common;

use common::{BUNDLE, Project, statements};
use serde_json::Value;

fn document(project: &Project, name: &str) -> Value {
    let document: Value = serde_json::from_slice(&project.get(name)).unwrap();
    assert_eq!(document["schema"], "urn:countersign:schema:trace:v1");
    document
}

fn paths(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|one| one.as_str().or(one["path"].as_str()).unwrap()).collect()
}

#[test]
fn nothing_of_it_is_signed() {
    let project = Project::tiny();
    project.put("src/unused.txt", "nobody reads this\n");
    project.attest_to(BUNDLE, &[]).ends(0);
    let plain = statements(&project.get(BUNDLE)).remove(0);
    for (name, how) in [("reads", "--trace"), ("all", "--trace=all")] {
        let bundle = format!("{name}.intoto.jsonl");
        let said = project.attest_to(&bundle, &[how]).ends(0).says(&format!("{name}.trace"));
        assert_eq!(statements(&project.get(&bundle)).remove(0), plain);
        let document = document(&project, &format!("{name}.trace"));
        assert_eq!(document["outcome"], "built");
        let unread = paths(&document["source"]["neverRead"]);
        assert!(unread.contains(&"unused.txt") && !unread.contains(&"input.txt"), "{unread:?}");
        said.says("unused.txt");
        let read = paths(&document["environment"]["read"]);
        if name == "all" {
            assert!(read.iter().any(|path| path.ends_with("/cat")) && !read.iter().any(|path| path.ends_with("/sort")));
            assert!(document["environment"]["narrowed"]["sha256"].is_string());
            let programs = paths(&document["attempts"]["programs"]);
            assert!(programs.iter().any(|path| path.ends_with("/cat")), "{programs:?}");
        } else {
            assert_eq!((read, &document["attempts"]), (vec![], &Value::Null));
            assert_eq!(document["environment"]["narrowed"], Value::Null, "not observed is not none");
        }
        assert_eq!(document["environment"]["roots"][0]["observed"].is_null(), name == "reads");
    }
    assert!(!project.names(".").contains(&"b.trace".to_owned()));
}

#[test]
fn a_failed_build_says_what_it_wanted() {
    let project = Project::new("cmake -S .", &["out.txt"]);
    let build = |more: &[&str]| project.run(&[&["build", "--source", "src", "--out", "out"], more].concat());
    let plain = build(&[]).ends(6).says("`countersign build --trace=all` shows");
    assert!(!plain.err.contains("looked for the program"));
    let said = build(&["--trace=all", "--trace-out", "t"])
        .ends(6)
        .says("hint: the build looked for the program cmake, which is nowhere");
    assert!(!said.err.contains("countersign build --trace=all"), "{}", said.err);
    let document = document(&project, "t");
    assert_eq!((&document["outcome"], &document["attempts"]["wanted"][0]["name"]), (&"failed".into(), &"cmake".into()));
    build(&["--trace-out", "u"]).ends(2);
    build(&["--trace", "--sandbox=none"]).fails(2, "cannot be traced");
    build(&["--trace", "--trace-out", "t"]).fails(2, "is there already");
}
