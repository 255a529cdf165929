//! Dissent: what refuses, what does not, and how it is taken back.

use super::*;
use crate::digest::OrderDigest;
use crate::statement::Supersedes;

#[test]
fn step_11_dissent() {
    let require = "rebuilders = 1";
    let against = |verdict: &Verdict, seed| ask(vec![own(VENDOR), own(R1), sign(verdict.encode(), seed)], require);
    against(&dissent(R2), R2).says("Refused", 11, "not reproduced by r2");
    against(&dissent(R1), R1).says("Refused", 11, "not reproduced by r1");
    let elsewhere = Some(TreeDigest::from_bytes([7; 32]));
    let same: Vec<(&str, Verdict)> = vec![
        ("misnames the reference's environment", Verdict { reference_environment: elsewhere, ..dissent(R2) }),
        (
            "the vendor's other environment",
            Verdict { reference_environment: elsewhere, rebuild_environment: elsewhere, ..dissent(R2) },
        ),
        ("other name", Verdict { subjects: vec![subject("x", b"x"), subject("y", HELLO)], ..dissent(R2) }),
    ];
    for (what, verdict) in same {
        let report = against(&verdict, R2).report();
        assert_eq!(report.answer, Answer::Refused, "{what}");
        assert_eq!(report.opinions[0].effect, Effect::Veto, "{what}");
    }
    let other_order = OrderDigest::from_bytes([0; 32]);
    let no_dissent: Vec<(&str, Verdict, u8, Option<Effect>)> = vec![
        ("by a stranger", dissent(R2), STRANGER, None),
        ("by the vendor", dissent(R2), VENDOR, None),
        ("for another's builder", dissent(R1), R2, None),
        ("another order", Verdict { order: other_order, ..dissent(R2) }, R2, Some(Effect::OtherOrder)),
        (
            "compared with what no vendor signed",
            Verdict { reference: PayloadDigest::from_bytes([1; 32]), ..dissent(R2) },
            R2,
            Some(Effect::OtherReference),
        ),
        (
            "compared with a rebuild",
            Verdict { reference: digest_of(&built(R1).encode()), ..dissent(R2) },
            R2,
            Some(Effect::OtherReference),
        ),
        (
            "what only the rebuild has",
            Verdict {
                artifacts: vec![Artifact {
                    reference: None,
                    rebuilt: Some(digest::sha256(HELLO)),
                    ..artifact(ArtifactVerdict::Extra, HELLO)
                }],
                ..dissent(R2)
            },
            R2,
            Some(Effect::OtherFiles),
        ),
        (
            "identical after all",
            Verdict { artifacts: vec![artifact(ArtifactVerdict::Identical, HELLO)], ..dissent(R2) },
            R2,
            Some(Effect::OtherFiles),
        ),
        (
            "other bytes",
            Verdict { subjects: vec![subject("out/hello", b"x")], ..dissent(R2) },
            R2,
            Some(Effect::OtherFiles),
        ),
        ("elsewhere", Verdict { rebuild_environment: elsewhere, ..dissent(R2) }, R2, Some(Effect::OtherEnvironment)),
        ("nowhere", Verdict { rebuild_environment: None, ..dissent(R2) }, R2, Some(Effect::OtherEnvironment)),
        ("inconclusive", Verdict { kind: VerdictKind::Inconclusive, ..dissent(R2) }, R2, Some(Effect::Explains)),
        ("reproduced", Verdict { kind: VerdictKind::Reproduced, ..dissent(R2) }, R2, Some(Effect::Explains)),
    ];
    for (what, verdict, seed, effect) in no_dissent {
        let report = against(&verdict, seed).report();
        assert!(matches!(report.answer, Answer::Yes(_)), "{what}: {report:#?}");
        assert_eq!(report.opinions.first().map(|opinion| opinion.effect), effect, "{what}");
    }
    // Two are needed: the same one twice is one.
    let mut question = ask(with(all(), sign(dissent(R2).encode(), R2)), "rebuilders = 2\nvetoes = 2");
    question.yes();
    question.lines.push(sign(Verdict { runs: 2, ..dissent(R2) }.encode(), R2));
    question.yes();
    question.lines.push(sign(dissent(R1).encode(), R1));
    question.says("Refused", 11, "r1, r2");
    // Something against it is not "pending".
    ask(vec![own(VENDOR), sign(dissent(R2).encode(), R2)], require).says("Refused", 10, "not reproduced by r2");
}

#[test]
fn dissent_is_taken_back_by_its_own_key_and_by_name() {
    let payload = dissent(R2).encode();
    let replace = |of: PayloadDigest, seed: u8| Verdict {
        kind: VerdictKind::Reproduced,
        supersedes: Some(Supersedes { payload: of, reason: "bad disk".into() }),
        ..dissent(seed)
    };
    let base = with(all(), sign(payload.clone(), R2));
    let case = |later: &Verdict, seed: u8| ask(with(base.clone(), sign(later.encode(), seed)), "rebuilders = 2");
    case(&replace(digest_of(&payload), R2), R2).yes();
    for (what, later, seed) in [
        ("another key", replace(digest_of(&payload), R1), R1),
        ("another key for its builder", replace(digest_of(&payload), R2), R1),
        ("another builder", replace(digest_of(&payload), R1), R2),
        ("another payload", replace(PayloadDigest::from_bytes([0; 32]), R2), R2),
        ("no name", Verdict { kind: VerdictKind::Reproduced, ..dissent(R2) }, R2),
        ("another order", Verdict { order: OrderDigest::from_bytes([0; 32]), ..replace(digest_of(&payload), R2) }, R2),
        ("dissent itself", Verdict { kind: VerdictKind::NotReproduced, ..replace(digest_of(&payload), R2) }, R2),
    ] {
        assert_eq!(case(&later, seed).report().answer, Answer::Refused, "{what}");
    }
    // The one that replaces may be replaced in turn; the first stays replaced.
    let second = Verdict { kind: VerdictKind::NotReproduced, ..replace(digest_of(&payload), R2) }.encode();
    let third = replace(digest_of(&second), R2).encode();
    ask(with(with(base, sign(second, R2)), sign(third, R2)), "rebuilders = 2").yes();
}

#[test]
fn dissent_is_not_shed_by_signing_again() {
    let with_sequence = |seed, sequence| {
        let mut provenance = built(seed);
        provenance.order.release.sequence = Some(sequence);
        provenance
    };
    let (first, second) = (with_sequence(VENDOR, 1), with_sequence(VENDOR, 2));
    let no = Verdict { order: first.order.digest(), reference: digest_of(&first.encode()), ..dissent(R2) };
    let again = vec![line(&second, VENDOR), line(&with_sequence(R1, 2), R1), sign(no.encode(), R2)];
    let mut question = ask(with(again.clone(), line(&first, VENDOR)), "rebuilders = 1");
    question.says("Refused", 11, "not reproduced by r2");
    // Without the statement that it is about, the order's digest says nothing; that is told and not called "none".
    question.lines = again.clone();
    question.yes();
    let report = question.report();
    assert_eq!(report.opinions[0].effect, Effect::OtherOrder);
    assert!(report.steps[10].detail.contains("under another build order: 1"), "{:?}", report.steps[10]);
    // Another source, recipe or lock is another build.
    for change in [
        (|p: &mut Provenance| p.order.recipe += "# changed\n") as fn(&mut Provenance),
        |p| p.order.lock = p.order.lock.replace("epoch 1", "epoch 2"),
        |p| {
            let SourceCommitment::Public { listing, .. } = &mut p.order.source;
            *listing = TreeDigest::from_bytes([0xee; 32]);
        },
    ] {
        let mut other = first.clone();
        change(&mut other);
        let about = Verdict { order: other.order.digest(), reference: digest_of(&other.encode()), ..dissent(R2) };
        let mut lines = again[..2].to_vec();
        lines.extend([line(&other, VENDOR), sign(about.encode(), R2)]);
        let report = ask(lines, "rebuilders = 1").report();
        assert!(matches!(report.answer, Answer::Yes(_)), "{report:#?}");
        assert_eq!(report.opinions[0].effect, Effect::OtherOrder);
    }
}
