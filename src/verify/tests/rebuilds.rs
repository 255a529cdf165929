//! Steps 9 and 10: what counts as a rebuild, how many there are, and of which release and name.

use super::*;

#[test]
fn step_9_what_counts_as_a_rebuild() {
    let require = "rebuilders = 1";
    ask(vec![own(VENDOR), own(R1)], require).yes();
    let short = "0 of 1 rebuilder";
    ask(vec![own(VENDOR)], require).says("Pending", 10, short);
    let twins: Vec<(&str, Vec<u8>)> = vec![
        ("the vendor's own statement under the rebuilder's key", line(&built(VENDOR), R1)),
        ("another rebuilder's statement", line(&built(R2), R1)),
        ("by a stranger", line(&built(R1), STRANGER)),
        ("by the vendor", line(&built(R1), VENDOR)),
        ("another release", line(&release("1.1", R1), R1)),
        ("not isolated", line(&Provenance { observation: Observation::Observed, ..built(R1) }, R1)),
        ("not observed", line(&not_observed(R1), R1)),
        ("other bytes", line(&Provenance { subjects: vec![subject("out/hello", b"x")], ..built(R1) }, R1)),
        ("another name", line(&Provenance { subjects: vec![subject("out/b", HELLO)], ..built(R1) }, R1)),
        (
            "names exchanged",
            line(&Provenance { subjects: vec![subject("out/hello", b"a"), subject("out/a", HELLO)], ..built(R1) }, R1),
        ),
        ("a verdict", sign(Verdict { kind: VerdictKind::Reproduced, ..dissent(R1) }.encode(), R1)),
    ];
    for (what, twin) in twins {
        let report = ask(vec![own(VENDOR), twin.clone()], require).report();
        assert_eq!(report.answer, Answer::Pending, "{what}");
        assert!(report.reason.contains(short), "{what}");
        ask(vec![own(VENDOR), twin, own(R1)], require).yes();
    }
    // Levels that are accepted of a vendor: who did not build did not build again.
    let levels = |levels: &str| format!("{require}\nobservation = [\"isolated\", {levels}]");
    let twin = line(&not_observed(R1), R1);
    ask(vec![own(VENDOR), twin.clone()], &levels("\"not-observed\"")).says("Pending", 10, short);
    ask(vec![own(VENDOR), twin.clone(), own(R1)], &levels("\"not-observed\"")).yes();
    ask(vec![line(&not_observed(VENDOR), VENDOR), twin], &levels("\"not-observed\"")).says("Pending", 10, short);
    ask(vec![line(&not_observed(VENDOR), VENDOR), own(R1)], &levels("\"not-observed\"")).yes();
    let seen = line(&Provenance { observation: Observation::Observed, ..built(R1) }, R1);
    ask(vec![own(VENDOR), seen], &levels("\"observed\"")).yes();
    let mut other_recipe = built(R1);
    other_recipe.order.recipe += "# changed\n";
    let mut other_lock = built(R1);
    other_lock.order.lock = other_lock.order.lock.replace("epoch 1", "epoch 2");
    let mut other_source = built(R1);
    let SourceCommitment::Public { listing, .. } = &mut other_source.order.source;
    *listing = TreeDigest::from_bytes([0xee; 32]);
    for other in [other_recipe, other_lock, other_source] {
        let question = ask(vec![own(VENDOR), line(&other, R1)], require);
        question.says("Pending", 10, short);
        assert!(question.report().notes.lines.iter().any(|note| note.contains("another source, recipe or lock")));
    }
    // Another environment is no other order.
    let elsewhere = Provenance { environment: Some(TreeDigest::from_bytes([7; 32])), ..built(R1) };
    ask(vec![own(VENDOR), line(&elsewhere, R1)], require).yes();
    let differs = Provenance { subjects: vec![subject("out/hello", b"x")], ..built(R1) };
    let notes = ask(vec![own(VENDOR), line(&differs, R1)], require).report().notes;
    assert!(
        notes.lines.iter().any(|note| note.contains("r1 built the same order and got something else")),
        "{notes:?}"
    );
}

#[test]
fn step_10_distinct_keys_and_attributes_for_each_file() {
    ask(all(), "rebuilders = 2").yes();
    ask(vec![own(VENDOR), own(R1)], "rebuilders = 2").says("Pending", 10, "hello: 1 of 2 rebuilders");
    // The same again is one: the line, the payload, and another statement by the same key.
    let again = Provenance { environment: None, ..built(R1) };
    ask(vec![own(VENDOR), own(R1), own(R1), line(&again, R1)], "rebuilders = 2").says(
        "Pending",
        10,
        "1 of 2 rebuilders",
    );
    // r1 alone has a platform; without r1 there is one jurisdiction.
    for (threshold, short) in [
        ("organisations = 2", "1 of 2 organisations"),
        ("platforms = 1", "0 of 1 platform"),
        ("jurisdictions = 2", "1 of 2 jurisdictions"),
    ] {
        let mut question = ask(all(), &format!("rebuilders = 1\n{threshold}"));
        question.yes();
        question.lines.remove(1);
        question.says("Pending", 10, short);
    }
    // Each file by itself: r2 has only one of two.
    let half = Provenance { subjects: vec![subject("out/hello", HELLO)], ..built(R2) };
    let mut question = ask(vec![own(VENDOR), own(R1), line(&half, R2)], "rebuilders = 2");
    question.yes();
    question.files.push(file("a", b"a"));
    question.says("Pending", 10, "a: 1 of 2 rebuilders");
    // The vendor's own organisation does not count.
    let mut question = ask(all(), "rebuilders = 1");
    question.policy = question.policy.replace("\"One\"", "\"example AG\"");
    question.yes();
    question.lines.pop();
    question.says("Pending", 10, "0 of 1 rebuilder");
}

#[test]
fn step_10_each_rebuilder_for_one_environment() {
    let within = |seed, place: u8| {
        line(&Provenance { environment: Some(TreeDigest::from_bytes([place; 32])), ..built(seed) }, seed)
    };
    for (rebuilds, good) in [
        (vec![(R1, 1), (R2, 2)], true),
        (vec![(R1, 1), (R1, 2), (R2, 1)], true),
        (vec![(R2, 1), (R1, 1), (R1, 2)], true),
        (vec![(R1, 1), (R2, 1), (R2, 2), (R1, 2)], true),
        // One that built twice is one.
        (vec![(R1, 1), (R1, 2)], false),
        (vec![(R1, 1), (R1, 2), (R1, 3)], false),
        (vec![(R1, 1), (R2, 1)], false),
    ] {
        let lines = rebuilds.iter().map(|(seed, place)| within(*seed, *place));
        let question = ask([own(VENDOR)].into_iter().chain(lines).collect(), "rebuilders = 1\nenvironments = 2");
        match good {
            true => question.yes(),
            false => question.says("Pending", 10, "hello: 1 of 2 environments"),
        }
    }
}

#[test]
fn of_several_names_the_one_with_most_support() {
    let both = [subject("out/1", HELLO), subject("out/2", HELLO)];
    let of = |seed, subjects: &[crate::statement::Subject]| {
        line(&Provenance { subjects: subjects.to_vec(), ..built(seed) }, seed)
    };
    let lines = vec![of(VENDOR, &both), of(R1, &both), of(R2, &both[1..]), of(4, &both[..1])];
    let mut question = ask(lines, "rebuilders = 2\norganisations = 2");
    question.policy = format!("{}{}", signer("r4", 4, "rebuilder", "organisation = \"One\""), question.policy);
    question.yes();
    assert_eq!(question.report().items[0].subject.as_deref(), Some("out/2"));
    question.expected.subject = Some(TreePath::from_escaped("out/1").unwrap());
    question.says("Pending", 10, "1 of 2 organisations");
    question.expected.subject = None;
    question.lines.remove(2);
    question.says("Pending", 10, "1 of 2 organisations");
}

#[test]
fn two_vendors() {
    let second = signer("second", 4, "vendor", "");
    let mut question = ask(vec![own(VENDOR), own(4)], "vendor = 2\nrebuilders = \"none\"");
    question.policy = format!("{second}{}", question.policy);
    question.yes();
    question.lines.pop();
    question.says("Pending", 10, "1 of 2 vendors");
    question.lines.push(b"nonsense".to_vec());
    question.says("Pending", 10, "1 of 2 vendors");
    question.lines.push(line(&built(VENDOR), VENDOR));
    question.says("Pending", 10, "1 of 2 vendors");
    question.lines.push(line(&release("1.1", 4), 4));
    question.says("Pending", 10, "1 of 2 vendors");
    let naming = |seed: u8| {
        let text = String::from_utf8(own(STRANGER)).unwrap();
        text.replace(&key(STRANGER).1.fingerprint(), &key(seed).1.fingerprint()).into_bytes()
    };
    question.lines = vec![own(VENDOR), naming(VENDOR)];
    question.says("Pending", 10, "1 of 2 vendors");
    question.lines = vec![own(VENDOR), naming(4)];
    question.says("Broken", 4, "the key of second");
}

#[test]
fn the_order_that_comes_out_best_answers() {
    // The same bytes in two releases: rebuilt in one, disputed in the other.
    let next = release("1.1", VENDOR);
    let disputed = Verdict { order: next.order.digest(), reference: digest_of(&next.encode()), ..dissent(R1) };
    let mut question = ask(with(all(), line(&next, VENDOR)), "rebuilders = 2");
    question.lines.push(sign(disputed.encode(), R1));
    for _ in 0..2 {
        let report = question.report();
        assert_eq!(report.release.clone().unwrap().version.as_str(), "1.0", "{report:#?}");
        question.yes();
        question.lines.reverse();
    }
    question.expected.version = Some(word("1.1"));
    question.says("Refused", 10, "not reproduced by r1");
}

#[test]
fn ids_that_nobody_confirmed_are_not_shown() {
    let ids = |lines: Vec<Vec<u8>>, require: &str| {
        let report = ask(lines, require).report();
        let Answer::Yes(verified) = report.answer else { panic!("{:?}", report.reason) };
        assert_eq!(report.source, Some(verified.source()));
        let SourceCommitment::Public { ids, .. } = verified.source();
        (ids.git_tree.is_some(), ids.git_tree_sha256.is_some(), ids.swhid.is_some())
    };
    let mut other = built(R2);
    let SourceCommitment::Public { ids: stated, .. } = &mut other.order.source;
    let all_of_them = *stated;
    stated.git_tree = None;
    assert_eq!(ids(all(), "rebuilders = 2"), (true, true, true));
    assert_eq!(ids(vec![own(VENDOR), own(R1), line(&other, R2)], "rebuilders = 2"), (false, true, true));
    assert_eq!(ids(vec![own(VENDOR)], "rebuilders = \"none\""), (false, false, false));
    let SourceCommitment::Public { ids: stated, .. } = &mut other.order.source;
    *stated = SourceIds { swhid: Some(digest::sha1(b"another")), ..all_of_them };
    assert_eq!(ids(vec![own(VENDOR), own(R1), line(&other, R2)], "rebuilders = 1"), (true, true, false));
    let SourceCommitment::Public { ids: stated, .. } = &mut other.order.source;
    *stated = SourceIds { git_tree_sha256: Some(digest::sha256(b"another")), ..all_of_them };
    assert_eq!(ids(vec![own(VENDOR), own(R1), line(&other, R2)], "rebuilders = 1"), (true, false, true));
}
