//! Whole output trees.

use super::*;
use crate::statement::Subject;
use crate::tree::{Entry, Node, TreeKind};

fn output_tree(mode: u32, link: &[u8]) -> Tree {
    let path = |text: &str| TreePath::from_escaped(text).unwrap();
    let file = |name: &str, perm: u32, bytes: &[u8]| Entry {
        path: path(name),
        node: Node::File { perm, content: digest::content(bytes, Wanted::SUBJECT) },
    };
    let entries = vec![
        Entry { path: path("out"), node: Node::Dir { perm: 0o755 } },
        file("out/a", 0o644, b"a"),
        file("out/hello", mode, HELLO),
        Entry { path: path("out/l"), node: Node::Link { target: link.into() } },
    ];
    Tree::new(TreeKind::Output, entries).unwrap()
}

#[test]
fn a_whole_tree_with_modes_and_links() {
    let tree = output_tree(0o755, b"hello");
    let of_tree = |seed| Provenance { outputs: tree.digest(), ..built(seed) };
    let lines = vec![line(&of_tree(VENDOR), VENDOR), line(&of_tree(R1), R1)];
    let mut question = ask(lines.clone(), "rebuilders = 1");
    let under_test = |tree: Tree| Some(TreeUnderTest { shown: "dir".into(), tree });
    question.tree = under_test(tree.clone());
    question.yes();
    question.files.clear();
    question.yes();
    assert_eq!(question.report().items[0].subject, None);
    for (other, why) in [
        (output_tree(0o4755, b"hello"), "out/hello has mode 104755, signed is 100755"),
        (output_tree(0o755, b"a"), "out/l has other bytes"),
        (Tree::new(TreeKind::Output, tree.entries()[..3].to_vec()).unwrap(), "out/l is missing"),
        (Tree::new(TreeKind::Output, vec![]).unwrap(), "out is missing, out/a is missing"),
    ] {
        question.tree = under_test(other);
        question.lines = lines.clone();
        question.says("Differs", 8, "no listing to say what differs");
        question.lines.push(Blob::listing(&tree.listing()).to_line());
        question.says("Differs", 8, why);
    }
    // A source tree's digest is another one.
    question.tree = under_test(Tree::new(TreeKind::Source, tree.entries().to_vec()).unwrap());
    question.says("Differs", 8, "");
    // Equal files in a tree with other modes are a rebuild of the files, not of the tree.
    let modes = Provenance { outputs: output_tree(0o700, b"hello").digest(), ..built(R1) };
    let mut question = ask(vec![lines[0].clone(), line(&modes, R1)], "rebuilders = 1");
    question.yes();
    question.tree = under_test(tree.clone());
    question.says("Pending", 10, "dir: 0 of 1 rebuilder");
    // A listing that says other than the subjects is not believed.
    let lying = Provenance { subjects: vec![subject("out/a", b"a"), subject("out/hello", b"x")], ..of_tree(VENDOR) };
    let mut question = ask(vec![line(&lying, VENDOR)], "rebuilders = \"none\"");
    (question.files, question.tree) = (vec![], under_test(tree.clone()));
    question.says("Differs", 8, "not those of the signed tree");
    // Dissent about the tree concerns the tree and not the file.
    let about_tree = Verdict {
        subjects: vec![Subject {
            name: TreePath::from_escaped("outputs").unwrap(),
            sha256: digest::Sha256::from_bytes(*tree.digest().as_bytes()),
            blake3: None,
        }],
        reference: digest_of(&of_tree(VENDOR).encode()),
        artifacts: vec![],
        ..dissent(R2)
    };
    let mut question = ask(with(lines, sign(about_tree.encode(), R2)), "rebuilders = 1");
    question.yes();
    question.tree = under_test(tree.clone());
    question.says("Refused", 11, "dir: not reproduced by r2");
    // What only the rebuild has is nothing that the tree has; it is dissent about the tree by the statement that it names.
    let manifest = digest_of(&of_tree(VENDOR).encode());
    let extra = Verdict { subjects: vec![subject("out/x", b"x")], reference: manifest, ..dissent(R2) };
    question.lines.pop();
    question.yes();
    question.lines.push(sign(extra.encode(), R2));
    question.says("Refused", 11, "dir: not reproduced by r2");
    (question.files, question.tree) = (vec![file("hello", HELLO)], None);
    question.yes();
}
