//! Images, tools and locks that are made to get somewhere, each found by somebody who tried.

use super::common::Project;
use super::image::*;

fn limited(project: &Project) {
    let recipe = project.text("src/countersign.toml");
    project.put("src/countersign.toml", recipe.replace("[limits]\n", "[limits]\nprocessors = 1\n"));
}

#[test]
fn links_where_the_sandbox_writes() {
    let project = project();
    let mut all = entries();
    project.put("prey", "as it was\n");
    project.chmod("prey", 0o666);
    let prey = project.path("prey").display().to_string();
    for name in [".stat", ".cpuinfo", ".copies", "etc/.stat"] {
        all.push((name.into(), Entry::Link(prey.clone())));
    }
    project.put("images/root.tar", tar(&all));
    limited(&project);
    project.with("store", &["lock", "--source", "src"]).ends(0);
    for more in [&[][..], &["--trace", "--trace-out", "trace"]] {
        let _ = std::fs::remove_dir_all(project.path("out"));
        let build = [&["build", "--source", "src", "--out", "out"], more].concat();
        project.without("store", &build).ends(0);
        assert_eq!(project.text("prey"), "as it was\n");
    }
}

#[test]
fn a_tree_stands_for_its_own_parts_alone() {
    let project = project();
    project.with("store", &["lock", "--source", "src"]).ends(0);
    project.without("store", &["build", "--source", "src", "--out", "one"]).ends(0);
    let (lock, trees) = (project.text("src/countersign.lock"), project.names("store/trees"));
    let own = hex(&std::fs::read(project.path("images/root.tar")).unwrap());
    assert!(lock.contains(&own) && trees.len() == 1);
    // Parts that nobody has, of which it is said that they make this tree.
    project.put("src/countersign.lock", lock.replace(&own, &hex(b"nowhere")));
    project.without("store", &["build", "--source", "src", "--out", "two"]).ends(7).mentions("root.tar");
    // Parts that are there, and make another one, which is not kept.
    let mut all = entries();
    all.push(("etc/evil".into(), Entry::File(b"evil\n".to_vec(), false)));
    let evil = tar(&all);
    let size = |bytes: u64| format!(" {bytes} vendor");
    let length = std::fs::metadata(project.path("images/root.tar")).unwrap().len();
    project.put("images/root.tar", &evil);
    let lie = lock.replace(&own, &hex(&evil)).replace(&size(length), &size(evil.len() as u64));
    project.put("src/countersign.lock", lie);
    project.with("store", &["build", "--source", "src", "--out", "two"]).ends(7).mentions("make another environment");
    assert_eq!(project.names("store/trees"), trees);
    project.put("src/countersign.lock", &lock);
    project.without("store", &["build", "--source", "src", "--out", "two"]).ends(0);
}

#[test]
fn a_tool_that_leaves_its_directory_by_a_link() {
    let project = Project::new("PATH=/opt/tool/bin:$PATH; hail > out.txt", &["out.txt"]);
    std::fs::create_dir(project.path("images")).unwrap();
    let recipe = project.text("src/countersign.toml");
    let roots = recipe.lines().find(|line| line.starts_with("roots = ")).unwrap().to_owned();
    let tool = "name = \"tool\"\nversion = \"1\"\nfrom = \"images:tool.tar\"\nat = \"/opt/tool\"\n";
    project.environment(&format!("default-roots = false\n{roots}\n[[environment.tools]]\n{tool}"));
    let hail = || ("bin/hail".to_owned(), Entry::File(b"#!/usr/bin/sh\necho hail\n".to_vec(), true));
    let evil = || ("away/x".to_owned(), Entry::File(b"evil\n".to_vec(), false));
    project.put("images/tool.tar", tar(&[hail(), ("away".into(), Entry::Link("/opt/other".into())), evil()]));
    project.with("store", &["lock", "--source", "src"]).ends(7).mentions("away/x");
    // The twin: a link that nothing goes through stays.
    project.put("images/tool.tar", tar(&[hail(), ("away".into(), Entry::Link("/opt/other".into()))]));
    project.with("store", &["lock", "--source", "src"]).ends(0);
    project.without("store", &["build", "--source", "src", "--out", "out"]).ends(0);
}
