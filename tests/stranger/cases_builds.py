"""What a build must have been to count: section 7, controls, environment, environments, vouchers; and that an image's fingerprint is its lock's tree."""

from cases_evidence import ARCHIVE, CARGO_TABLE, CRATE, DEBIAN, DEBIAN_TABLE, GO, GO_TABLE, HOST_TABLE, KEY, ROOTFS, ROOTFS_TABLE, SIGNERS, WITH_GO, case, in_environment, lock_of
from kit import REB1, REB2, VENDOR, changed, elsewhere, line, policy, provenance, signer, subject

FAR = (*SIGNERS, signer(REB2, "rebuilder"))
CHECKED = {"network": "enforced", "vouchers": "enforced"}
OPENPGP = [f"openpgp:{KEY}", f"openpgp:{'0f' * 32}"]


def both(vendor=None, rebuild=None, key=REB1, **more):
    """The vendor's build and a rebuild of it."""
    return [line(VENDOR, provenance(**more, **(vendor or {}))), line(key, provenance(key, **more, **(rebuild or {})))]


def good(name, what, lines, **require):
    case(f"builds/good-{name}", "nothing: " + what, 0, None, lines, policy(*SIGNERS, **require))


def vendor(name, what, lines, **require):
    case(f"builds/{name}", "of the vendor: " + what, 3, 6, lines, policy(*SIGNERS, **require))


def rebuild(name, what, lines, **require):
    case(f"builds/{name}", "of the rebuild: " + what, 8, 10, lines, policy(*SIGNERS, **require))


def refused(name, what, **require):
    case(f"builds/policy-{name}", "the policy: " + what, 2, 2, both(), policy(*FAR, **require))


def fingerprints():
    where = "predicate.buildDefinition.internalParameters.claimed.environment"
    rootfs = {"recipe": in_environment(ROOTFS_TABLE), "lock": ROOTFS}
    case("environment/not-the-tree", "the fingerprint of an image is not the lock's tree", 4, 5,
         both(vendor={"environment": "e2"}, **rootfs), policy(*SIGNERS))
    # What is wrong with a rebuilder's statement makes it count for nothing.
    case("environment/not-the-tree-rebuilt", "the same of the rebuild", 8, 10, both(rebuild={"environment": "e2"}, **rootfs), policy(*SIGNERS))
    both_levels = policy(*SIGNERS, observation=["isolated", "not-observed"])
    claim, again = elsewhere(**rootfs), line(REB1, provenance(REB1, **rootfs))
    case("environment/not-the-tree-claimed", "the same of what is claimed", 4, 5, [line(VENDOR, claim), again], both_levels)
    tree = {"sha256": ROOTFS.partition("\ntree ")[2][:64]}
    case("environment/good-tree-claimed", "nothing: the claimed fingerprint is the tree", 0, None, [line(VENDOR, changed(claim, where, tree)), again], both_levels)
    tools = {"recipe": in_environment(HOST_TABLE + GO_TABLE), "lock": WITH_GO}
    case("environment/good-host-with-tools", "nothing: a host's fingerprint is of more than the tools", 0, None, both(**tools), policy(*SIGNERS))


def controls():
    good("control", "a control that was enforced in both builds", both(), controls=["network"])
    good("no-controls", "no control is demanded", both(rebuild={"controls": {}}), controls=[])
    for name, held in {"not-enforced": {"network": "not-enforced"}, "absent": {}, "another": {"seccomp": "enforced"}}.items():
        vendor(f"control-{name}", f"the control: {name}", both(vendor={"controls": held}), controls=["network"])
        rebuild(f"control-{name}-rebuilt", f"the control: {name}", both(rebuild={"controls": held}), controls=["network"])
    rebuild("control-one-of-two", "one of two controls", both(vendor={"controls": {"network": "enforced", "seccomp": "enforced"}}), controls=["network", "seccomp"])
    debian = {"recipe": in_environment(DEBIAN_TABLE), "lock": DEBIAN}
    good("vouchers-of-rebuilds", "the control vouchers is asked of rebuilders alone", both(rebuild={"controls": CHECKED}, **debian), controls=["vouchers"])
    rebuild("vouchers-not-checked", "the control vouchers", both(vendor={"controls": CHECKED}, **debian), controls=["vouchers"])
    # Where nobody but the vendor vouches there is nothing that could be checked, whatever is said.
    rebuild("vouchers-of-nothing", "the control vouchers, of a lock without parts", both(rebuild={"controls": CHECKED}), controls=["vouchers"])
    rebuild("vouchers-of-vendor", "the control vouchers, of a lock for which the vendor alone vouches",
            both(recipe=in_environment(ROOTFS_TABLE), lock=ROOTFS, rebuild={"controls": CHECKED}), controls=["vouchers"])
    some = {"recipe": in_environment(ROOTFS_TABLE + CARGO_TABLE), "lock": lock_of("rootfs", ARCHIVE + CRATE)}
    good("vouchers-of-some", "the control vouchers, where the vendor alone vouches for one of two parts", both(rebuild={"controls": CHECKED}, **some), controls=["vouchers"])
    rebuild("vouchers-of-some-unchecked", "the same, and nobody looked", both(**some), controls=["vouchers"])
    refused("control-unknown", "a control that there is not", controls=["netwrok"])
    refused("control-twice", "a control twice", controls=["network", "network"])
    refused("controls-string", "a text in place of an array", controls="network")
    refused("controls-of-observed", "controls of builds that are not isolated", controls=["network"], observation=["observed"])


def kinds():
    debian = {"recipe": in_environment(DEBIAN_TABLE), "lock": DEBIAN}
    good("kind", "the kind that is demanded", both(**debian), environment=["debian"])
    good("kind-of-two", "one of two kinds", both(**debian), environment=["rootfs", "debian"])
    vendor("kind-other", "an environment of another kind", both(**debian), environment=["rootfs", "oci", "host"])
    vendor("kind-host", "a host's own paths", both(), environment=["debian"])
    # Whatever was observed, the lock says what it was to be.
    case("builds/kind-not-observed", "of the vendor: a host's own paths, not observed", 3, 6, [line(VENDOR, provenance(level="not-observed")), both()[1]],
         policy(*SIGNERS, environment=["debian"], observation=["isolated", "not-observed"]))
    for name, value in {"empty": [], "unknown": ["docker"], "twice": ["oci", "oci"], "string": "oci"}.items():
        refused(f"kinds-{name}", f"kinds of environment: {name}", environment=value)


def vouchers():
    debian = {"recipe": in_environment(DEBIAN_TABLE), "lock": DEBIAN}
    checked = both(rebuild={"controls": CHECKED}, **debian)
    good("vouchers", "every part is vouched for by a key of the policy", checked, vouchers=OPENPGP)
    good("vouchers-and-vendor", "the vendor is trusted too", checked, vouchers=["vendor", *OPENPGP])
    crate = {"recipe": in_environment(ROOTFS_TABLE + CARGO_TABLE), "lock": lock_of("rootfs", ARCHIVE.replace(" vendor ", f" {OPENPGP[0]} ") + CRATE)}
    good("vouchers-source", "the source's own lock file is trusted", both(rebuild={"controls": CHECKED}, **crate), vouchers=["source", *OPENPGP])
    vendor("voucher-source", "a part that the source's own lock file names alone", both(rebuild={"controls": CHECKED}, **crate), vouchers=OPENPGP)
    rootfs = {"recipe": in_environment(ROOTFS_TABLE), "lock": ROOTFS}
    good("vouchers-vendor-alone", "the vendor alone vouches and is trusted: nothing was to be checked", both(**rootfs), vouchers=["vendor"])
    rebuild("vouchers-vendor-alone-checked", "the same, and a control that there cannot be", both(**rootfs), vouchers=["vendor"], controls=["vouchers"])
    rebuild("vouchers-unchecked", "nobody looked who vouches", both(**debian), vouchers=OPENPGP)
    rebuild("vouchers-not-enforced", "it says that it did not look", both(rebuild={"controls": {"vouchers": "not-enforced"}}, **debian), vouchers=OPENPGP)
    vendor("voucher-unknown", "a part for which another key vouches", checked, vouchers=OPENPGP[:1])
    vendor("voucher-vendor", "a part for which the vendor alone vouches",
           both(recipe=in_environment(ROOTFS_TABLE), lock=ROOTFS, rebuild={"controls": CHECKED}), vouchers=OPENPGP)
    vendor("voucher-of-tool", "a tool for which the vendor alone vouches",
           both(recipe=in_environment(ROOTFS_TABLE + GO_TABLE), lock=lock_of("rootfs", ARCHIVE.replace(" vendor ", f" {OPENPGP[0]} ") + GO), rebuild={"controls": CHECKED}),
           vouchers=OPENPGP)
    vendor("vouchers-of-host", "a host's own paths", both(rebuild={"controls": CHECKED}), vouchers=["vendor", *OPENPGP])
    for name, value in {"empty": [], "unknown": ["debian"], "twice": ["vendor", "vendor"], "string": "vendor", "upper-case": [f"openpgp:{KEY.upper()}"]}.items():
        refused(f"vouchers-{name}", f"vouchers: {name}", vouchers=value)
    refused("vouchers-host", "vouchers of a host's paths", vouchers=OPENPGP, environment=["host"])


def environments():
    def case_of(name, what, code, step, lines, **require):
        case(f"builds/{name}", what, code, step, lines, policy(*FAR, **require))

    def of(first, second):
        return [both()[0], line(REB1, provenance(REB1, environment=first)), line(REB2, provenance(REB2, environment=second))]
    case_of("good-environments", "nothing: two rebuilders in two environments", 0, None, of("e1", "e2"), rebuilders=2, environments=2)
    case_of("environments-one", "two rebuilders in one environment", 8, 10, of("e2", "e2"), rebuilders=2, environments=2)
    case_of("environments-of-vendor", "the vendor's environment is none of a rebuild", 8, 10, of("e2", "e2"), rebuilders=1, environments=2)
    case_of("good-environments-in-turn", "nothing: one rebuilder in two environments, another in one of them", 0, None,
            [*of("e1", "e1"), line(REB1, provenance(REB1, environment="e2"))], rebuilders=2, environments=2)
    case_of("environments-of-one-rebuilder", "one rebuilder in two environments", 8, 10,
            [*of("e1", "e1")[:2], line(REB1, provenance(REB1, environment="e2"))], rebuilders=1, environments=2)
    case_of("environments-of-one-rebuilder-for-another", "the same, and another rebuilder in neither of them whose build is of other bytes", 8, 10,
            [*of("e1", "e1")[:2], line(REB1, provenance(REB1, environment="e2")), line(REB2, provenance(REB2, environment="e3", subjects=[subject(data=b"x")]))],
            rebuilders=1, environments=2)
    refused("environments-too-many", "more environments than rebuilders", environments=3)
    refused("environments-zero", "a threshold of 0", environments=0)
    refused("environments-without-rebuilders", "environments and no rebuilders", rebuilders="none", environments=1)
    refused("environments-of-images", "two environments, of images alone", environments=2, environment=["debian", "oci"])
    refused("environments-vouched", "two environments, of which each part is vouched for", environments=2, vouchers=OPENPGP)


fingerprints()
controls()
kinds()
vouchers()
environments()
