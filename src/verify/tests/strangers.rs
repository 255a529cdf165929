//! What anybody can put into a bundle.

use super::*;

#[test]
fn strangers_change_no_yes() {
    let mut lines = vec![
        b"nonsense".to_vec(),
        b"{}".to_vec(),
        b"{\"_type\":\"urn:countersign:blob:v1\",\"mediaType\":\"x\",\"text\":\"y\"}".to_vec(),
        line(&built(VENDOR), STRANGER),
        line(&release("6.6", STRANGER), STRANGER),
        sign(dissent(R1).encode(), STRANGER),
        sign(dissent(STRANGER).encode(), STRANGER),
        own(VENDOR),
    ];
    lines.extend(all());
    for _ in 0..2 {
        ask(lines.clone(), "rebuilders = 2").yes();
        lines.reverse();
    }
    let notes = ask(lines, "rebuilders = 2").report().notes;
    assert!(notes.lines.iter().any(|note| note.contains("signed by no key of the policy")), "{notes:?}");
    // However many there are, they neither fill the report nor use up the tries of others.
    let many: Vec<Vec<u8>> = vec![b"x".to_vec(); 5000];
    let report = ask([many, all()].concat(), "rebuilders = 2").report();
    assert!(matches!(report.answer, Answer::Yes(_)));
    assert_eq!((report.notes.lines.len(), report.notes.more), (100, 4900));
}

#[test]
fn strangers_cannot_use_up_the_tries() {
    let strangers: Vec<Vec<u8>> = (0..4).map(|n| line(&release(&format!("{n}"), STRANGER), STRANGER)).collect();
    let nameless = String::from_utf8(own(R2)).unwrap().replace(&key(R2).1.fingerprint(), "").into_bytes();
    let bytes = [strangers, vec![own(VENDOR), own(R1), nameless]].concat().join(&b'\n');
    let bundle = Bundle::parse(&bytes).unwrap();
    let policy = Policy::parse(&policy("rebuilders = 1")).unwrap();
    let signers = |budget| {
        let mut notes = Notes::default();
        let (found, _) = evidence::envelopes(&bytes, &bundle, &mut notes).unwrap();
        let (_, says) = evidence::signatures(&found, &policy, budget, &mut notes).unwrap_or_else(|_| panic!());
        (says, notes.lines.iter().any(|note| note.contains("too many signatures")))
    };
    let tries = |tries| signers(Budget { tries, ..Budget::FULL });
    // Those that name their key are found without a try.
    assert_eq!(tries(0), ("envelopes by signers of the policy: 2, signers: 2".into(), true));
    // The rest takes turns: with three keys, two rounds of five lines and the last try of the third one.
    assert_eq!(tries(14), ("envelopes by signers of the policy: 2, signers: 2".into(), true));
    assert_eq!(tries(15), ("envelopes by signers of the policy: 3, signers: 3".into(), false));
    let message =
        |line: &Envelope| crate::envelope::pae(crate::envelope::PAYLOAD_TYPE, line.unverified_payload()).len();
    let round: usize =
        bundle.envelopes().filter(|line| line.signatures()[0].keyid != key(VENDOR).1.fingerprint()).map(message).sum();
    let own = message(bundle.envelopes().nth(5).unwrap());
    let three = 3 * (round - own) as u64;
    assert_eq!(signers(Budget { bytes: three, ..Budget::FULL }).0, "envelopes by signers of the policy: 3, signers: 3");
    assert!(signers(Budget { bytes: three - 1, ..Budget::FULL }).1);
}
