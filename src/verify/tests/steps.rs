//! Steps 1 to 8: what is evidence, of whom, and of what.

use super::*;

#[test]
fn step_1_and_2_before_anything_else() {
    let mut question = ask(all(), "rebuilders = 2");
    question.files.clear();
    question.says("Usage", 1, "no file");
    let question = ask(vec![vec![b'\n'; crate::bundle::MAX_LINES + 1]], "rebuilders = 2");
    question.says("Broken", 1, "lines");
    let mut question = ask(all(), "rebuilders = 2");
    question.policy += &" ".repeat(crate::policy::MAX_POLICY as usize);
    question.says("Usage", 2, "longer than");
    ask(all(), "rebuilders = 0").says("Usage", 2, "line 20");
    ask(all(), "rebuilders = 3").says("Usage", 2, "2 of 3 rebuilders");
    ask(all(), "").says("Usage", 2, "missing field");
    let mut question = ask(all(), "rebuilders = 2");
    question.policy.clear();
    question.says("Usage", 2, "missing field `require`");
}

#[test]
fn step_3_and_4_broken_or_merely_unknown() {
    let require = "rebuilders = \"none\"";
    ask(vec![], require).says("Broken", 3, "no envelope");
    ask(vec![b"nonsense".to_vec()], require).says("Broken", 3, "no envelope");
    ask(vec![Blob::listing("countersign-tree v1 output\n").to_line()], require).says("Broken", 3, "no envelope");
    let stranger = line(&built(VENDOR), STRANGER);
    ask(vec![stranger.clone()], require).says("Refused", 4, "no vendor of the policy signed");
    ask(vec![stranger.clone(), b"nonsense".to_vec()], require).says("Broken", 4, "not envelopes");
    ask(vec![own(R1)], require).says("Refused", 4, "no vendor of the policy signed");
    // The same envelope under the vendor's name is a claim that does not hold.
    let name = |seed| key(seed).1.fingerprint();
    let renamed =
        |line: &[u8], from, to| String::from_utf8(line.to_vec()).unwrap().replace(&name(from), &name(to)).into_bytes();
    ask(vec![renamed(&stranger, STRANGER, VENDOR)], require).says("Broken", 4, "does not verify");
    let mut bad = own(VENDOR);
    let at = bad.windows(7).position(|w| w == b"\"sig\":\"").unwrap() + 12;
    bad[at] = if bad[at] == b'A' { b'B' } else { b'A' };
    ask(vec![bad.clone()], require).says("Broken", 4, "the key of vendor");
    // Beside a good one neither matters, and neither does a wrong or missing name on the good one.
    ask(vec![bad, renamed(&stranger, STRANGER, VENDOR), own(VENDOR), b"{}".to_vec()], require).yes();
    ask(vec![renamed(&own(VENDOR), VENDOR, R1)], require).yes();
    ask(vec![String::from_utf8(own(VENDOR)).unwrap().replace(&name(VENDOR), "").into_bytes()], require).yes();
}

#[test]
fn step_5_a_vendors_statement_that_cannot_be_read() {
    let good = String::from_utf8(built(VENDOR).encode()).unwrap();
    let require = "rebuilders = \"none\"";
    for bad in [
        good.replacen("\"isolated\"", "\"perfect\"", 1),
        good.replacen("\"version\":\"1.0\"", "\"version\":\"1.1\"", 1),
        good.replacen("{\"_type\"", "{\"subject\":[],\"_type\"", 1),
        good.replacen("Statement/v1", "Statement/v2", 1),
        "nonsense".into(),
    ] {
        assert_ne!(bad, good);
        ask(vec![sign(bad.clone().into_bytes(), VENDOR)], require).says("Broken", 5, "vendor signed");
        ask(vec![own(VENDOR), sign(bad.clone().into_bytes(), VENDOR)], require).says("Broken", 5, "line 2");
        // By anybody else it is only passed over.
        ask(with(vec![own(VENDOR)], sign(bad.clone().into_bytes(), R1)), require).yes();
        ask(with(vec![own(VENDOR)], sign(bad.into_bytes(), STRANGER)), require).yes();
    }
    let other = good.replacen("urn:countersign:buildtype:recipe:v1", "https://example.org/b", 1).into_bytes();
    ask(vec![sign(other.clone(), VENDOR), own(VENDOR)], require).yes();
    ask(vec![sign(other, VENDOR)], require).says("Refused", 6, "no vendor of the policy signed provenance");
}

#[test]
fn step_6_pairs_roles_and_levels() {
    let require = "rebuilders = \"none\"";
    ask(vec![line(&built(R1), VENDOR)], require).says("Refused", 6, "not one of its builders");
    ask(vec![line(&built(R1), VENDOR), own(VENDOR)], require).yes();
    let mut seen = built(VENDOR);
    seen.observation = Observation::Observed;
    ask(vec![line(&seen, VENDOR)], require).says("Refused", 6, "observed");
    ask(vec![line(&seen, VENDOR)], &format!("{require}\nobservation = [\"isolated\", \"observed\"]")).yes();
    let mut question = ask(vec![line(&built(R1), VENDOR)], require);
    question.policy = question.policy.replacen(
        "organisation = \"Example AG\"",
        &format!("builders = [\"{}\"]", builder(STRANGER)),
        1,
    );
    question.says("Refused", 6, "not one of its builders");
    question.lines = vec![line(&built(STRANGER), VENDOR)];
    question.yes();
}

#[test]
fn step_7_and_8_the_right_release_and_the_right_file() {
    let require = "rebuilders = \"none\"";
    let mut question = ask(vec![own(VENDOR)], require);
    question.expected = Expected { product: Some(word("hello")), version: Some(word("1.0")), subject: None };
    question.yes();
    question.expected.version = Some(word("1.1"));
    question.says("Refused", 7, "asked for hello 1.1, signed is hello 1.0");
    question.expected.product = Some(word("hullo"));
    question.expected.version = None;
    question.says("Refused", 7, "hullo");

    let mut next = release("1.1", VENDOR);
    next.subjects = vec![subject("out/hello", b"hello 1.1")];
    let mut question = ask(vec![own(VENDOR), line(&next, VENDOR)], require);
    question.yes();
    question.expected.version = Some(word("1.1"));
    question.says("Differs", 8, "the signed out/hello");
    question.files = vec![file("new", b"hello 1.1")];
    question.yes();
    // Files of two releases are not one release.
    question.expected.version = None;
    question.files.push(file("old", HELLO));
    question.says("Differs", 8, "");

    let mut question = ask(vec![own(VENDOR)], require);
    question.expected.subject = Some(TreePath::from_escaped("out/hello").unwrap());
    question.yes();
    question.expected.subject = Some(TreePath::from_escaped("out/a").unwrap());
    question.says("Differs", 8, "the signed out/a");
    question.expected.subject = Some(TreePath::from_escaped("out/b").unwrap());
    question.says("Differs", 8, "nothing named out/b");
    question.expected.subject = None;
    question.files.push(file("other", b"hellp"));
    question.says("Differs", 8, "other: none of the 2 signed files");
    question.files = vec![file("hello", HELLO)];
    question.files[0].content.blake3 = digest::content(b"x", Wanted::SUBJECT).blake3;
    question.says("Differs", 8, "");
    question.expected.subject = Some(TreePath::from_escaped("out/hello").unwrap());
    question.says("Differs", 8, "BLAKE3");
}
