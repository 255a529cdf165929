//! Tests of `policy.rs`.

use super::*;

fn key(seed: u8) -> PublicKey {
    let secret = ed25519_dalek::SigningKey::from_bytes(&[seed; 32]);
    PublicKey::from_bytes(secret.verifying_key().to_bytes()).unwrap()
}

fn signer(name: &str, seed: u8, role: &str, more: &str) -> String {
    format!("[[signer]]\nname = \"{name}\"\nkey = \"{}\"\nroles = [\"{role}\"]\n{more}\n", key(seed))
}

fn policy(require: &str) -> String {
    [
        signer("vendor", 1, "vendor", "organisation = \"Example AG\""),
        signer("r1", 2, "rebuilder", "organisation = \"One\"\njurisdiction = \"CH\""),
        signer("r2", 3, "rebuilder", "organisation = \"Two\""),
        format!("[require]\n{require}\n"),
    ]
    .concat()
}

#[test]
fn defaults_are_strict() {
    let policy = Policy::parse(&policy("rebuilders = 2")).unwrap();
    let require = policy.require();
    assert_eq!((require.vendor.get(), require.vetoes.get()), (1, 1));
    assert_eq!(require.builds.observation, [Observation::Isolated].into());
    assert!(
        require.builds.controls.is_empty() && require.builds.environment.is_none() && require.builds.vouchers.is_none()
    );
    assert_eq!(policy.signers()[1].builders, [key(2).default_builder()]);
    assert!(policy.warnings().is_empty());
}

#[test]
fn what_is_not_a_policy() {
    let good = policy("rebuilders = 2");
    assert!(Policy::parse(&good).is_ok());
    for (from, to, line, why) in [
        ("rebuilders = 2", "", 17, "missing field `rebuilders`"),
        ("rebuilders = 2", "rebuilders = 0", 18, "an integer from 1"),
        ("rebuilders = 2", "rebuilders = -1", 18, "an integer from 1"),
        ("rebuilders = 2", "rebuilders = 4294967297", 18, "an integer from 1"),
        ("rebuilders = 2", "rebuilders = \"all\"", 18, "an integer from 1"),
        ("rebuilders = 2", "rebuilders = 3", 17, "2 of 3 rebuilders"),
        ("rebuilders = 2", "rebuilders = 2\nvendor = 0", 19, "nonzero"),
        ("rebuilders = 2", "rebuilders = 2\nvendor = 2", 17, "requires more vendors than it names: 2 and 1"),
        ("rebuilders = 2", "rebuilders = 2\norganisations = 3", 17, "2 of 3 organisations"),
        ("rebuilders = 2", "rebuilders = 2\njurisdictions = 2", 17, "1 of 2 jurisdictions"),
        ("rebuilders = 2", "rebuilders = 2\nplatforms = 1", 17, "0 of 1 platform"),
        ("rebuilders = 2", "rebuilders = 2\nvetoes = 3", 17, "vetoes"),
        ("rebuilders = 2", "rebuilders = 2\nvetoes = 0", 19, "nonzero"),
        ("rebuilders = 2", "rebuilders = 2\nobservation = []", 17, "no build would count"),
        ("rebuilders = 2", "rebuilders = 2\nobservation = [\"any\"]", 19, "unknown variant"),
        ("rebuilders = 2", "rebuilders = 2\nobservation = [\"isolated\", \"isolated\"]", 17, "a value twice"),
        (
            "rebuilders = 2",
            "rebuilders = 2\ncontrols = [\"netwrok\"]",
            17,
            "\"netwrok\" is no control; they are: address",
        ),
        (
            "rebuilders = 2",
            "rebuilders = 2\ncontrols = [\"network\"]\nobservation = [\"observed\"]",
            17,
            "only an isolated",
        ),
        ("rebuilders = 2", "rebuilders = 2\nenvironment = []", 17, "no build would count"),
        ("rebuilders = 2", "rebuilders = 2\nenvironment = [\"docker\"]", 19, "unknown variant"),
        ("rebuilders = 2", "rebuilders = 2\nvouchers = []", 17, "no build would count"),
        ("rebuilders = 2", "rebuilders = 2\nvouchers = [\"debian\"]", 17, "neither `vendor` nor `openpgp:`"),
        ("rebuilders = 2", "rebuilders = 2\nvouchers = [\"vendor\"]\nenvironment = [\"host\"]", 17, "nobody vouches"),
        ("rebuilders = 2", "rebuilders = 2\nenvironments = 3", 17, "2 of 3 environments"),
        ("rebuilders = 2", "rebuilders = 2\nenvironments = 2\nenvironment = [\"oci\"]", 17, "the same for all"),
        ("rebuilders = 2", "rebuilders = \"none\"\nenvironments = 1", 17, "0 of 1 environment"),
        ("rebuilders = 2", "rebuilders = \"none\"\norganisations = 1", 17, "contradicts"),
        ("rebuilders = 2", "rebuilders = 2\nrebuilder = 1", 19, "unknown field `rebuilder`"),
        ("[require]", "[required]", 17, "unknown field `required`"),
        ("name = \"r1\"", "name = \"r1\"\ncountry = \"CH\"", 8, "unknown field `country`"),
        ("name = \"r1\"", "name = \"r2\"", 12, "the name \"r2\" is there twice"),
        ("name = \"r1\"", "name = \" \"", 6, "name is empty"),
        ("\"One\"", "\"\"", 10, "an empty text says nothing"),
        ("\"One\"", "\"example  ag\"", 17, "1 of 2 rebuilders"),
        ("[\"rebuilder\"]", "[\"rebuilder\", \"vendor\"]", 6, "not two"),
        ("[\"rebuilder\"]", "[]", 6, "one role"),
        ("[\"rebuilder\"]", "[\"auditor\"]", 9, "unknown variant"),
        ("[\"rebuilder\"]", "[\"approver\"]", 17, "1 of 2 rebuilders"),
        ("[\"rebuilder\"]", "[\"approver\", \"rebuilder\"]", 6, "not two"),
        ("[\"rebuilder\"]", "[\"approver\"]\nbuilders = [\"x\"]", 6, "builds nothing"),
        ("rebuilders = 2", "rebuilders = 2\napprovals = 1", 17, "0 of 1 approval"),
        ("rebuilders = 2", "rebuilders = 2\napprovals = 0", 19, "nonzero"),
        ("organisation = \"One\"", "builders = []", 6, "nothing that it signs would count"),
        ("organisation = \"One\"", "builders = [\"\"]", 6, "nothing that it signs would count"),
        ("organisation = \"One\"", "builders = [\"x\", \"x\"]", 6, "a builder twice"),
        ("name = \"r1\"", "name = \"r1\"\nname = \"r3\"", 8, "duplicate key"),
    ] {
        assert!(good.contains(from));
        let err = Policy::parse(&good.replacen(from, to, 1)).unwrap_err();
        assert!(err.why.contains(why), "{to}: {err}");
        assert_eq!(err.line, Some(line), "{to}: {err}");
    }
    for (text, why) in [
        ("".to_owned(), "missing field `require`"),
        ("[require]\nrebuilders = \"none\"\n".into(), "requires more vendors than it names: 1 and 0"),
        (good.replace(&key(2).to_string(), &key(1).to_string()), "vendor and r1 have the same key"),
        (good.replace(&key(2).to_string(), &format!("{} again", key(3))), "r1 and r2 have the same key"),
        (good.replace(&key(2).to_string(), "-----BEGIN OPENSSH PRIVATE KEY-----"), "a private key"),
        (
            good.replace("organisation = \"One\"", &format!("builders = [{:?}]", key(1).default_builder())),
            "both a vendor",
        ),
        (" ".repeat(MAX_POLICY as usize + 1), "longer than"),
    ] {
        let err = Policy::parse(&text).unwrap_err();
        assert!(err.why.contains(why), "{err}");
        assert!(!err.to_string().contains("BEGIN"), "a private key is never shown: {err}");
    }
}

#[test]
fn one_organisation_however_it_is_spelt() {
    let text = policy("rebuilders = 2\norganisations = 2").replace("\"Two\"", "\" oNE\"");
    assert!(Policy::parse(&text).unwrap_err().why.contains("1 of 2 organisations"));
}

fn words(text: &str) -> String {
    let policy = Policy::parse(text).unwrap();
    [policy.explain(), policy.warnings()].concat().join("\n")
}

#[test]
fn a_level_of_rebuilds_where_rebuilds_are_asked_for() {
    let with = |rebuilders: &str, levels: &str| policy(&format!("rebuilders = {rebuilders}\nobservation = [{levels}]"));
    let why = Policy::parse(&with("1", "\"not-observed\"")).unwrap_err().why;
    assert!(why.contains("no level of a rebuild"), "{why}");
    Policy::parse(&with("1", "\"not-observed\", \"observed\"")).unwrap();
    Policy::parse(&with("\"none\"", "\"not-observed\"")).unwrap();
}

#[test]
fn explained_with_warnings() {
    let text = policy("rebuilders = \"none\"\nobservation = [\"isolated\", \"not-observed\"]\nvetoes = 2");
    let says = words(&text);
    for part in ["nobody needs", "the vendor alone decides", "did not see", "single rebuilder's dissent"] {
        assert!(says.contains(part), "{says}");
    }
    let text = policy("rebuilders = 1\njurisdictions = 1").replace("\"Two\"", "\"Example AG\"\nbuilders = [\"b\"]");
    let text = text.replace("\"One\"", "\"One\"\nbuilders = [\"b\"]");
    let says = words(&text);
    assert!(says.contains("1 of these rebuilders built the same bytes from the same source: r1\n"), "{says}");
    for part in ["r2 is of a vendor's", "r2 has no jurisdiction", "r1 and r2 share the builder b"] {
        assert!(says.contains(part), "{says}");
    }
}

#[test]
fn a_control_that_does_not_say_who_vouches() {
    let warned = |require: &str| {
        words(&policy(&format!("rebuilders = 1\n{require}"))).contains("may still be the vendor's alone")
    };
    assert!(warned("controls = [\"vouchers\"]"));
    assert!(!warned("controls = [\"vouchers\"]\nvouchers = [\"source\"]") && !warned("controls = [\"network\"]"));
    let checked =
        |vouchers: &str| words(&policy(&format!("rebuilders = 1\nvouchers = [{vouchers}]"))).contains("has checked");
    assert!(checked("\"source\", \"vendor\"") && !checked("\"vendor\""));
}

#[test]
fn approvers_are_counted_apart() {
    let with = |role: &str, seed: u8, require: &str| {
        let more = signer("head", seed, role, "");
        policy(&format!("rebuilders = 2\n{require}\n{more}"))
    };
    let text = with("approver", 7, "approvals = 1");
    let policy = Policy::parse(&text).unwrap();
    assert_eq!(policy.require().approvals, NonZeroU32::new(1));
    assert!(policy.signers()[3].builders.is_empty() && !policy.independent(&policy.signers()[3]));
    assert!(words(&text).contains("1 of these approvers approved that very statement, with the file in hand: head\n"));
    assert!(policy.warnings().is_empty(), "{:?}", policy.warnings());
    assert_eq!(policy.approvals_short_of(0), Some("0 of 1 approval".into()));
    assert_eq!(policy.approvals_short_of(1), None);
    let idle = Policy::parse(&with("approver", 7, "")).unwrap();
    assert_eq!((idle.require().approvals, idle.approvals_short_of(0)), (None, None));
    assert!(idle.warnings().iter().any(|warning| warning.contains("change nothing")));
    for (role, seed, require, why) in [
        ("approver", 1, "approvals = 1", "have the same key"),
        ("approver", 2, "approvals = 1", "have the same key"),
        ("rebuilder", 7, "approvals = 1", "0 of 1 approval"),
        ("approver", 7, "approvals = 2", "1 of 2 approvals"),
    ] {
        let err = Policy::parse(&with(role, seed, require)).unwrap_err();
        assert!(err.why.contains(why), "{err}");
    }
}

#[test]
fn dissent_is_spoken_of_where_somebody_could_dissent() {
    let with = policy("rebuilders = \"none\"");
    assert!(words(&with).contains("is enough to refuse"));
    let alone = template(&[("v".to_owned(), key(1))], &[], None, &[], None);
    assert!(!words(&alone).contains("refuse"), "{}", words(&alone));
}

#[test]
fn a_template_is_a_policy() {
    let vendor = [("a \"vendor\"\n\\".to_owned(), key(1))];
    let rebuilders = [("r1".to_owned(), key(2)), ("r2".to_owned(), key(3))];
    let text = template(&vendor, &rebuilders, NonZeroU32::new(2), &[], None);
    let policy = Policy::parse(&text).unwrap();
    assert_eq!(policy.signers()[0].name, vendor[0].0);
    assert_eq!(policy.require().rebuilders, NonZeroU32::new(2));
    // Every key that stands there as a comment is one that is known, and its default.
    let said =
        text.replace("# builders", "builders").replace("# observation", "observation").replace("# vetoes", "vetoes");
    assert_eq!(Policy::parse(&said), Ok(policy));
    assert_eq!(Policy::parse(&template(&vendor, &[], None, &[], None)).unwrap().require().rebuilders, None);
    assert!(Policy::parse(&template(&vendor, &rebuilders, NonZeroU32::new(3), &[], None)).is_err());
    let approvers = [("head".to_owned(), key(4))];
    let approved = template(&vendor, &rebuilders, None, &approvers, NonZeroU32::new(1));
    assert_eq!(Policy::parse(&approved).unwrap().require().approvals, NonZeroU32::new(1));
    assert!(Policy::parse(&template(&vendor, &rebuilders, None, &approvers, NonZeroU32::new(2))).is_err());
}
