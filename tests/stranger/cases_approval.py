"""Verify vectors for approvals, and for statements that were signed elsewhere than where the build ran."""

from cases_evidence import BASE, GOOD, REBUILD, SIGNERS, case
from kit import (DEPUTY, HEAD, REB1, REB2, TOOL, UNKNOWN, VENDOR, VENDOR2, approval, changed, compact, elsewhere, envelope, hashed, line, policy, provenance,
                 signer, ssh_line, subject, verdict)

APPROVERS = (signer(HEAD, "approver"), signer(DEPUTY, "approver"))
ONE = policy(*SIGNERS, *APPROVERS, approvals=1)
TWO = policy(*SIGNERS, *APPROVERS, approvals=2)
YES = line(HEAD, approval())


def policies():
    vendor, rebuilder = SIGNERS

    def bad(name, what, text):
        case(f"approvals/policy-{name}", what, 2, 2, [GOOD, REBUILD, YES], text)

    bad("zero", "zero approvals", policy(*SIGNERS, *APPROVERS, approvals=0))
    bad("none", "none in place of leaving it out", policy(*SIGNERS, *APPROVERS, approvals="none"))
    bad("unmeetable", "more approvals demanded than there are approvers", policy(*SIGNERS, *APPROVERS, approvals=3))
    bad("no-approver", "an approval demanded, and a rebuilder in place of an approver", policy(*SIGNERS, approvals=1))
    for name, key in (("vendor", VENDOR), ("rebuilder", REB1)):
        bad(f"key-of-{name}", f"approver and {name} are one key",
            policy(*SIGNERS, signer(key, "approver", name="head", key=ssh_line(key.public, "head")), approvals=1))
    bad("builders", "an approver with a builder id", policy(*SIGNERS, signer(HEAD, "approver", builders=[HEAD.builder])))
    bad("as-rebuilder", "an approver does not meet a threshold of rebuilders", policy(vendor, rebuilder, APPROVERS[0], rebuilders=2))
    bad("vetoes", "an approver is nobody who could veto", policy(vendor, rebuilder, APPROVERS[0], vetoes=2))


def approvals():
    def pending(name, what, *more, policy=ONE, **options):
        case(f"approvals/{name}", what, 8, 10, [GOOD, REBUILD, *more], policy, **options)

    def good(name, what, *more, policy=ONE, **options):
        case(f"approvals/good-{name}", "nothing: " + what, 0, None, [GOOD, REBUILD, *more], policy, **options)

    good("one", "one approval of one demanded", YES)
    pending("none", "no approval")
    good("not-required", "an approval that nobody demanded", YES, policy=policy(*SIGNERS, *APPROVERS))
    good("not-required-none", "approvers, and no approval demanded", policy=policy(*SIGNERS, *APPROVERS))
    good("unknown-approver", "an approval by a key that the policy does not name", YES, policy=BASE)
    good("two", "two keys of two demanded", YES, line(DEPUTY, approval()), policy=TWO)
    one = envelope(HEAD, approval())
    one["signatures"] += envelope(DEPUTY, approval())["signatures"]
    good("two-signatures", "two keys on one envelope", compact(one), policy=TWO)
    pending("same-twice", "one approval twice", YES, YES, policy=TWO)
    pending("same-key-twice", "two approvals by one key", YES, line(HEAD, approval(checked="claimed")), policy=TWO)
    good("claimed", "an approver who did not check the manifest's signer", line(HEAD, approval(checked="claimed")))
    good("outputs", "an approval of the whole tree", line(HEAD, approval(outputs=hashed("o"))))
    pending("by-vendor", "an approval by the vendor's own key", line(VENDOR, approval()))
    pending("by-rebuilder", "an approval by a rebuilder", line(REB1, approval()))
    pending("by-unknown", "an approval by a key that the policy does not name", line(UNKNOWN, approval()))
    pending("broken-signature", "an approval whose signature is broken", line(HEAD, approval(), signature=b"\1" * 64))
    other = provenance(version="1.1")
    pending("other-release", "an approval of another release with the same bytes", line(HEAD, approval(other)), line(VENDOR, other), version="1.0")
    pending("other-statement", "an approval of another statement of the same order that is not there", line(HEAD, approval(provenance(environment="e2"))))
    pending("of-rebuild", "an approval of the rebuilder's statement", line(HEAD, approval(provenance(REB1))))
    pending("of-stranger", "an approval of a stranger's statement", line(UNKNOWN, provenance(UNKNOWN)), line(HEAD, approval(provenance(UNKNOWN))))
    pending("level", "an approval of a statement whose level is not accepted", line(VENDOR, provenance(level="observed")),
            line(HEAD, approval(provenance(level="observed"))))
    good("second-statement", "an approval of another of the vendor's statements of this order", line(VENDOR, provenance(environment="e2")),
         line(HEAD, approval(provenance(environment="e2"))))
    pending("other-bytes", "an approval of other bytes", line(HEAD, approval(subjects=[subject(data=TOOL)])))
    pending("other-name", "an approval of the bytes under another name", line(HEAD, approval(subjects=[subject("out/tool")])))
    wrong = {"name": "out/app", "digest": subject()["digest"] | {"blake3": "0" * 64}}
    pending("blake3-wrong", "the approval's sha256 is right and its blake3 is wrong", line(HEAD, approval(subjects=[wrong])))
    pending("rebuild-in-its-place", "an approver's provenance in place of an approval", line(HEAD, provenance(HEAD)))
    pending("verdict-in-its-place", "an approver's verdict in place of an approval", line(HEAD, verdict(HEAD, "reproduced")))
    good("dissent-by-approver", "an approver is heard in no verdict", YES, line(HEAD, verdict(HEAD)))
    case("approvals/no-rebuild", "an approval is no rebuild", 8, 10, [GOOD, YES, line(HEAD, provenance(HEAD))], ONE)
    case("approvals/no-vendor", "an approval is no manifest", 3, 4, [YES, REBUILD], ONE)
    case("approvals/and-dissent", "approved, and not reproduced", 3, 11, [GOOD, REBUILD, YES, line(REB2, verdict())],
         policy(*SIGNERS, signer(REB2, "rebuilder"), *APPROVERS, approvals=1))
    case("approvals/none-and-dissent", "not approved, and not reproduced", 3, 10, [GOOD, REBUILD, line(REB2, verdict())],
         policy(*SIGNERS, signer(REB2, "rebuilder"), *APPROVERS, approvals=1))
    files = {"app": b"app 1.0\n", "tool": TOOL}
    both = [line(key, provenance(key, [subject(), subject("out/tool", TOOL)])) for key in (VENDOR, REB1)]
    whole = provenance(subjects=[subject(), subject("out/tool", TOOL)])
    case("approvals/good-two-files", "nothing: two files, both approved", 0, None, [*both, line(HEAD, approval(whole))], ONE, files)
    case("approvals/good-two-files-apart", "nothing: two files, approved one by one", 0, None,
         [*both, line(HEAD, approval(whole, [subject()])), line(HEAD, approval(whole, [subject("out/tool", TOOL)]))], ONE, files)
    case("approvals/one-file-of-two", "two files, one of them approved", 8, 10, [*both, line(HEAD, approval(whole, [subject()]))], ONE, files)
    case("approvals/two-vendors", "two vendors demanded, and the approval of either's statement is enough: nothing", 0, None,
         [GOOD, line(VENDOR2, provenance(VENDOR2)), REBUILD, line(HEAD, approval(provenance(VENDOR2)))],
         policy(*SIGNERS, signer(VENDOR2, "vendor"), *APPROVERS, vendor=2, approvals=1))

    def unreadable(name, what, path, value):
        pending(f"unreadable-{name}", f"an approval {what}", line(HEAD, changed(approval(), path, value)))

    unreadable("no-manifest", "without manifest", "predicate.manifest", ...)
    unreadable("no-outputs", "that does not say whether it is of the whole tree", "predicate.outputs", ...)
    unreadable("outputs", "with a string for the tree's digest set", "predicate.outputs", "0" * 64)
    unreadable("signer", "with an unknown word for the check of the signer", "predicate.manifest.signer", "trusted")
    unreadable("subject-twice", "with a subject twice", "subject", [subject(), subject()])
    unreadable("subject-empty", "of nothing", "subject", [])
    unreadable("version", "of another version", "predicateType", "urn:countersign:predicate:approval:v2")
    case("approvals/unreadable-by-vendor", "a vendor's approval that cannot be read", 4, 5,
         [GOOD, REBUILD, YES, line(VENDOR, changed(approval(), "predicate.manifest", ...))], ONE)


def signed_elsewhere():
    accepts = policy(*SIGNERS, observation=["isolated", "not-observed"])
    signed, place = elsewhere(), "predicate.buildDefinition.internalParameters.claimed"
    case("elsewhere/good", "nothing: signed elsewhere, and the policy accepts that", 0, None, [line(VENDOR, signed), REBUILD], accepts)
    case("elsewhere/refused", "signed elsewhere, and the policy does not say that it accepts that", 3, 6, [line(VENDOR, signed), REBUILD])
    case("elsewhere/claim-is-not-observed", "a claim to have been isolated is no observation", 3, 6, [line(VENDOR, signed), REBUILD],
         policy(*SIGNERS, observation=["isolated", "observed"]))
    case("elsewhere/good-approved", "nothing: signed elsewhere and approved", 0, None, [line(VENDOR, signed), REBUILD, line(HEAD, approval(signed))],
         policy(*SIGNERS, *APPROVERS, observation=["isolated", "not-observed"], approvals=1))
    case("elsewhere/approved-unsigned", "the approval is of the builder's unsigned statement", 8, 10,
         [line(VENDOR, signed), REBUILD, line(HEAD, approval(provenance(builder="urn:countersign:builder:unsigned")))],
         policy(*SIGNERS, *APPROVERS, observation=["isolated", "not-observed"], approvals=1))
    case("elsewhere/unsigned-line", "the unsigned statement itself is no envelope", 4, 4, [line(UNKNOWN, signed), compact(
        {"_type": "urn:countersign:unsigned:v1", **{key: value for key, value in envelope(VENDOR, signed).items() if key != "signatures"}})], accepts)
    case("elsewhere/builder-unsigned", "signed with the builder id of the unsigned statement", 3, 6,
         [line(VENDOR, changed(signed, "predicate.runDetails.builder.id", "urn:countersign:builder:unsigned")), REBUILD], accepts)

    def bad(name, what, path, value):
        case(f"elsewhere/{name}", what, 4, 5, [line(VENDOR, changed(signed, path, value)), REBUILD], accepts)

    bad("null", "null for the claim", place, None)
    bad("array", "an array for the claim", place, [])
    bad("observed-too", "a claim beside what the signer observed", place.replace("claimed", "observation"), "observed")
    bad("level", "a claim of not having observed", f"{place}.observation", "not-observed")
    bad("level-unknown", "a claim of an unknown level", f"{place}.observation", "seen")
    bad("no-statement", "a claim without the digest of its statement", f"{place}.statement", ...)
    bad("no-environment", "a claim without environment", f"{place}.environment", ...)
    bad("environment-null", "a claim with null for the environment", f"{place}.environment", None)
    bad("no-controls", "a claim without controls", f"{place}.controls", ...)
    bad("control-unknown", "a claim with a control in an unknown state", f"{place}.controls.network", "perhaps")
    bad("variable-number", "a claim with a number for a variable", f"{place}.variables.TZ", 1)
    bad("builder-empty", "a claim by an empty builder id", f"{place}.builder.id", "")
    bad("digest-short", "a claim with a digest that is too short", f"{place}.statement.sha256", "00")


policies()
approvals()
signed_elsewhere()
