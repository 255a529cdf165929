//! What is compared is what is signed, and what is said is what was built.

use super::*;
use crate::digest::{Wanted, content};
use crate::statement::{Observation, order};
use crate::tree::{Entry, Node};

fn path(text: &str) -> TreePath {
    TreePath::from_bytes(text.as_bytes()).unwrap()
}

fn tree(files: &[(&str, u32, &[u8])]) -> Tree {
    let entries = files.iter().map(|(name, perm, bytes)| Entry {
        path: path(name),
        node: Node::File { perm: *perm, content: content(bytes, Wanted::SUBJECT) },
    });
    Tree::new(TreeKind::Output, entries.collect()).unwrap()
}

fn provenance(outputs: &Tree) -> Provenance {
    Provenance {
        order: order::tests::sample(String::new()),
        subjects: outputs
            .files()
            .map(|(name, content)| Subject { name: name.clone(), sha256: content.sha256, blake3: content.blake3 })
            .collect(),
        observation: Observation::Isolated,
        controls: Default::default(),
        variables: Default::default(),
        environment: None,
        environment_kind: Default::default(),
        outputs: outputs.digest(),
        builder: "b".into(),
        claimed: None,
    }
}

fn expected(provenance: Provenance, listing: Option<&str>) -> Result<Expected, Inconsistent> {
    Ok(Reference::split(PayloadDigest::from_bytes([2; 32]), provenance, listing)?.1)
}

fn words(judgement: &Judgement) -> Vec<(String, &'static str)> {
    judgement.outputs.iter().map(|output| (output.path.escaped(), output.verdict.word())).collect()
}

#[test]
fn subjects_and_listing_say_the_same() {
    let honest = tree(&[("run", 0o755, b"good")]);
    let evil = tree(&[("run", 0o755, b"evil")]);
    let listing = honest.listing();
    assert!(expected(provenance(&honest), Some(&listing)).is_ok());
    // The listing is the honest one, and what is signed as `run` is not what it lists.
    let lie = Provenance { outputs: honest.digest(), ..provenance(&evil) };
    assert_eq!(expected(lie, Some(&listing)).unwrap_err(), Inconsistent::File(path("run")));
    let more =
        Provenance { outputs: honest.digest(), ..provenance(&tree(&[("run", 0o755, b"good"), ("x", 0o644, b"")])) };
    assert_eq!(expected(more, Some(&listing)).unwrap_err(), Inconsistent::File(path("x")));
    let source = Tree::new(TreeKind::Source, honest.clone().into_entries()).unwrap();
    let other = Provenance { outputs: source.digest(), ..provenance(&honest) };
    assert_eq!(expected(other, Some(&source.listing())).unwrap_err(), Inconsistent::Listing);
}

#[test]
fn each_verdict() {
    let signed =
        tree(&[("a", 0o644, b"a"), ("b", 0o644, b"b"), ("c", 0o644, b"c"), ("d", 0o644, b"d"), ("e", 0o644, b"e")]);
    let first =
        tree(&[("a", 0o644, b"a"), ("b", 0o644, b"B"), ("c", 0o755, b"c"), ("e", 0o644, b"e"), ("x", 0o644, b"x")]);
    let second =
        tree(&[("a", 0o644, b"a"), ("b", 0o644, b"B"), ("c", 0o755, b"c"), ("e", 0o644, b"E"), ("x", 0o644, b"x")]);
    let expected = expected(provenance(&signed), Some(&signed.listing())).unwrap();
    let judgement = judge(&expected, &[&first, &second]);
    let want = [
        ("a", "identical"),
        ("b", "different"),
        ("c", "different"),
        ("d", "missing"),
        ("e", "nondeterministic"),
        ("x", "extra"),
    ];
    assert_eq!(words(&judgement), want.map(|(name, word)| (name.to_owned(), word)));
    assert_eq!(judgement.worst(), ArtifactVerdict::Extra);
    assert!(!judgement.deterministic);
    let statements = judgement.statements(true);
    assert_eq!(
        statements.iter().map(|(kind, _)| *kind).collect::<Vec<_>>(),
        [VerdictKind::Reproduced, VerdictKind::NotReproduced]
    );
    let names = |kind, outputs: &[&Output]| -> Vec<String> {
        subjects(kind, &expected, outputs).iter().map(|subject| subject.name.escaped()).collect()
    };
    assert_eq!(names(statements[0].0, &statements[0].1), ["a"]);
    // `x` is nobody's but the rebuild's: no subject of a dissent.
    assert_eq!(names(statements[1].0, &statements[1].1), ["b", "c", "d", "e"]);
    assert_eq!(judgement.statements(false)[1].0, VerdictKind::Inconclusive);
    assert_eq!(judge(&expected, &[&signed]).worst(), ArtifactVerdict::Identical);
}

#[test]
fn what_is_reproduced_is_named_by_the_digests_of_the_rebuild() {
    let signed = tree(&[("a", 0o644, b"a")]);
    let mut lie = provenance(&signed);
    lie.subjects[0].blake3 = content(b"z", Wanted::SUBJECT).blake3;
    let expected = expected(lie, Some(&signed.listing())).unwrap();
    let judgement = judge(&expected, &[&signed]);
    assert_eq!(words(&judgement), [("a".to_owned(), "different")]);
}

#[test]
fn a_moved_file_leads_to_no_dissent_against_its_bytes() {
    let signed = tree(&[("runn", 0o644, b"genuine")]);
    let built = tree(&[("run", 0o644, b"genuine")]);
    let expected = expected(provenance(&signed), Some(&signed.listing())).unwrap();
    let judgement = judge(&expected, &[&built]);
    let statements = judgement.statements(true);
    let (kind, outputs) = &statements[0];
    let names: Vec<String> = subjects(*kind, &expected, outputs).iter().map(|s| s.name.escaped()).collect();
    assert_eq!((*kind, names), (VerdictKind::NotReproduced, vec!["runn".to_owned()]));
}

#[test]
fn without_the_listing_the_digest_still_tells() {
    let signed = tree(&[("a", 0o755, b"a")]);
    let expected = expected(provenance(&signed), None).unwrap();
    assert_eq!(judge(&expected, &[&signed]).worst(), ArtifactVerdict::Identical);
    assert_eq!(judge(&expected, &[&tree(&[("a", 0o644, b"a")])]).worst(), ArtifactVerdict::Different);
    assert_eq!(judge(&expected, &[&tree(&[("a", 0o755, b"b")])]).worst(), ArtifactVerdict::Different);
    assert_eq!(judge(&expected, &[&tree(&[("b", 0o755, b"a")])]).worst(), ArtifactVerdict::Extra);
}
