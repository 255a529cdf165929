//! Approvals: what counts as one, how many there are, and that they are nothing else.

use super::*;
use crate::statement::{Approval, SignerCheck};

const HEAD: u8 = 5;
const DEPUTY: u8 = 6;
const ONE: &str = "rebuilders = 1\napprovals = 1";

fn approval(manifest: &Provenance) -> Approval {
    Approval {
        subjects: manifest.subjects.clone(),
        manifest: digest_of(&manifest.encode()),
        signer: SignerCheck::Checked,
        outputs: Some(manifest.outputs),
    }
}

fn approved(seed: u8) -> Vec<u8> {
    sign(approval(&built(VENDOR)).encode(), seed)
}

/// By a policy with two approvers beside the others.
fn ask(lines: Vec<Vec<u8>>, require: &str) -> Ask {
    let more =
        [signer("head", HEAD, "approver", "organisation = \"Example AG\""), signer("deputy", DEPUTY, "approver", "")];
    Ask { policy: policy(&format!("{require}\n{}", more.concat())), ..Ask::new(lines, require) }
}

fn with_approval(line: Vec<u8>) -> Vec<Vec<u8>> {
    vec![own(VENDOR), own(R1), line]
}

#[test]
fn counted_where_the_policy_asks_for_them() {
    let question = ask(with_approval(approved(HEAD)), ONE);
    question.yes();
    let report = question.report();
    let by: Vec<&str> = report.items[0].approvals.iter().map(|by| by.name.as_str()).collect();
    assert_eq!(by, ["head"]);
    assert_eq!(report.items[0].approvals[0].manifest, digest_of(&built(VENDOR).encode()));
    assert!(report.steps[9].detail.contains("approvals of each at least: 1, needed: 1"), "{}", report.steps[9].detail);
    ask(vec![own(VENDOR), own(R1)], ONE).says("Pending", 10, "0 of 1 approval");
    // Not required, it is shown and changes nothing.
    for lines in [with_approval(approved(HEAD)), vec![own(VENDOR), own(R1)]] {
        ask(lines, "rebuilders = 1").yes();
    }
    assert_eq!(ask(with_approval(approved(HEAD)), "rebuilders = 1").report().items[0].approvals.len(), 1);
}

#[test]
fn distinct_keys_are_counted() {
    let two = "rebuilders = 1\napprovals = 2";
    ask(with(with_approval(approved(HEAD)), approved(DEPUTY)), two).yes();
    let again = sign(Approval { signer: SignerCheck::Claimed, ..approval(&built(VENDOR)) }.encode(), HEAD);
    for more in [approved(HEAD), again, approved(VENDOR), approved(R1), approved(STRANGER)] {
        ask(with(with_approval(approved(HEAD)), more), two).says("Pending", 10, "1 of 2 approvals");
    }
}

#[test]
fn what_is_no_approval_of_this() {
    let other = |change: &dyn Fn(&mut Approval)| {
        let mut approval = approval(&built(VENDOR));
        change(&mut approval);
        sign(approval.encode(), HEAD)
    };
    let twins: Vec<(&str, Vec<u8>)> = vec![
        ("by the vendor", approved(VENDOR)),
        ("by a rebuilder", approved(R1)),
        ("by a stranger", approved(STRANGER)),
        ("of a rebuild", sign(approval(&built(R1)).encode(), HEAD)),
        ("of another release", sign(approval(&release("1.1", VENDOR)).encode(), HEAD)),
        ("of a statement that is not there", other(&|approval| approval.manifest = PayloadDigest::from_bytes([7; 32]))),
        ("of other bytes", other(&|approval| approval.subjects = vec![subject("out/hello", b"x")])),
        ("of another file", other(&|approval| approval.subjects = vec![subject("out/a", b"a")])),
        ("under another name", other(&|approval| approval.subjects = vec![subject("out/b", HELLO)])),
        ("whose second digest is wrong", other(&|approval| approval.subjects[1].blake3 = approval.subjects[0].blake3)),
        ("a verdict in its place", sign(Verdict { kind: VerdictKind::Reproduced, ..dissent(HEAD) }.encode(), HEAD)),
        ("provenance in its place", own(HEAD)),
    ];
    for (what, twin) in twins {
        let report = ask(with_approval(twin.clone()), ONE).report();
        assert_eq!(report.answer, Answer::Pending, "{what}");
        assert!(report.reason.contains("0 of 1 approval"), "{what}");
        ask(with(with_approval(twin), approved(HEAD)), ONE).yes();
    }
    let notes = ask(with_approval(approved(VENDOR)), ONE).report().notes.lines;
    assert!(notes.iter().any(|note| note.contains("vendor is a vendor; its approval")), "{notes:?}");
    let notes = ask(with_approval(sign(approval(&release("1.1", VENDOR)).encode(), HEAD)), ONE).report().notes.lines;
    assert!(notes.iter().any(|note| note.contains("head approved another statement")), "{notes:?}");
}

#[test]
fn it_is_neither_build_nor_rebuild_nor_dissent() {
    ask(vec![own(VENDOR), approved(HEAD), approved(DEPUTY)], "rebuilders = 1").says("Pending", 10, "0 of 1 rebuilder");
    ask(vec![approved(HEAD), own(R1)], ONE).says("Refused", 4, "no vendor");
    // An approver who says more than that is not heard in it.
    ask(with(with_approval(approved(HEAD)), sign(dissent(HEAD).encode(), HEAD)), ONE).yes();
    // Dissent stands, whoever approved.
    ask(with(with_approval(approved(HEAD)), sign(dissent(R2).encode(), R2)), ONE).says("Refused", 11, "not reproduced");
}

#[test]
fn each_file_and_each_manifest_is_counted_by_itself() {
    let only = |name: &str, bytes: &[u8]| {
        let subjects = vec![subject(name, bytes)];
        sign(Approval { subjects, outputs: None, ..approval(&built(VENDOR)) }.encode(), HEAD)
    };
    let mut question = ask(with_approval(only("out/hello", HELLO)), ONE);
    question.yes();
    question.files.push(file("a", b"a"));
    question.says("Pending", 10, "a: 0 of 1 approval");
    question.lines.push(only("out/a", b"a"));
    question.yes();
    // Of two manifests of one order, the approved one is enough, and an approved one of another level is not.
    let seen = Provenance { observation: Observation::Observed, ..built(VENDOR) };
    let of_seen = sign(approval(&seen).encode(), HEAD);
    ask(vec![own(VENDOR), own(R1), line(&seen, VENDOR), of_seen.clone()], ONE).says("Pending", 10, "0 of 1 approval");
    let both = format!("{ONE}\nobservation = [\"isolated\", \"observed\"]");
    ask(vec![own(VENDOR), own(R1), line(&seen, VENDOR), of_seen], &both).yes();
}

#[test]
fn signed_elsewhere_is_not_observed() {
    let payload = digest_of(&built(VENDOR).encode());
    let signed = built(VENDOR).signed_elsewhere(payload, builder(VENDOR)).unwrap();
    let lines = vec![line(&signed, VENDOR), own(R1)];
    ask(lines.clone(), "rebuilders = 1").says("Refused", 6, "not-observed");
    let accepts = "rebuilders = 1\nobservation = [\"isolated\", \"not-observed\"]";
    let report = ask(lines, accepts).report();
    assert!(matches!(report.answer, Answer::Yes(_)), "{report:#?}");
    assert_eq!(report.items[0].vendors[0].observation, Observation::NotObserved);
    assert_eq!(report.items[0].vendors[0].claimed, Some(Observation::Isolated));
    assert_eq!(report.items[0].vendors[0].environment, None, "a claim is not what was seen");
    // A claim to have been isolated does not make it so.
    ask(vec![line(&signed, VENDOR), own(R1)], "rebuilders = 1\nobservation = [\"isolated\", \"observed\"]").says(
        "Refused",
        6,
        "not-observed",
    );
}
