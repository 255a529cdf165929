"""Verify vectors for steps 2 and 6 to 11: policies, builders, releases, files, rebuilds, thresholds, dissent."""

import json

from cases_evidence import ALONE, BASE, GOOD, REBUILD, SIGNERS, case
from kit import (APP, LOCK, REB1, REB2, REB3, SOURCE, TOOL, UNKNOWN, VENDOR, VENDOR2, P, changed, compact, encode, envelope, hashed, line, order_of,
                 policy, provenance, recipe_of, signer, ssh_line, subject, torsion_point, verdict)
from primitives import sha256

TWO = (signer(VENDOR, "vendor"), signer(REB1, "rebuilder"), signer(REB2, "rebuilder"))


def policies():
    vendor, rebuilder = SIGNERS

    def bad(name, what, text):
        case(f"policy/{name}", what, 2, 2, [GOOD], text)

    def good(name, what, text):
        case(f"policy/good-{name}", "nothing: " + what, 0, None, [GOOD, REBUILD], text)

    bad("empty", "an empty policy", "")
    array = [VENDOR.name, VENDOR.line, ["vendor"], [VENDOR.builder], "o", "j", "p"]
    bad("signer-array", "a signer that is an array", f'signer = [{json.dumps(array)}]\n[require]\nrebuilders = "none"\n')
    bad("no-signers", "no signer", policy())
    bad("no-require", "no requirements", vendor + rebuilder)
    bad("rebuilders-missing", "the number of rebuilders is not stated", policy(vendor, rebuilder, rebuilders=..., vendor=1))
    bad("rebuilders-zero", "zero rebuilders", policy(vendor, rebuilder, rebuilders=0))
    bad("rebuilders-negative", "minus one rebuilder", policy(vendor, rebuilder, rebuilders=-1))
    bad("rebuilders-string", "a number as a string", policy(vendor, rebuilder, rebuilders="1"))
    bad("rebuilders-true", "a boolean for a number", policy(vendor, rebuilder, rebuilders=True))
    bad("rebuilders-fraction", "a fraction for a number", policy(vendor, rebuilder, rebuilders=1.0))
    bad("rebuilders-none-case", "None for none", policy(vendor, rebuilder, rebuilders="None"))
    bad("vendor-zero", "zero vendors", policy(vendor, rebuilder, vendor=0))
    bad("vetoes-zero", "zero vetoes", policy(vendor, rebuilder, vetoes=0))
    bad("organisations-zero", "zero organisations", policy(vendor, signer(REB1, "rebuilder", organisation="R"), organisations=0))
    bad("rebuilders-unmeetable", "more rebuilders demanded than there are", policy(vendor, rebuilder, rebuilders=2))
    bad("vendor-unmeetable", "more vendors demanded than there are", policy(vendor, rebuilder, vendor=2))
    bad("organisations-unmeetable", "two organisations demanded of one", policy(vendor, signer(REB1, "rebuilder", organisation="R"), organisations=2))
    bad("jurisdictions-unmeetable", "a jurisdiction demanded and none named", policy(vendor, rebuilder, jurisdictions=1))
    bad("vendor-organisation-unmeetable", "the one rebuilder is of the vendor's organisation",
        policy(signer(VENDOR, "vendor", organisation="V"), signer(REB1, "rebuilder", organisation="V")))
    bad("key-twice", "one key under two names", policy(vendor, rebuilder, signer(REB1, "rebuilder", name="other", key=ssh_line(REB1.public, "x")), rebuilders=2))
    bad("key-vendor-and-rebuilder", "vendor and rebuilder are one key", policy(vendor, signer(VENDOR, "rebuilder", name="other")))
    bad("name-twice", "two signers of one name", policy(vendor, rebuilder, signer(REB2, "rebuilder", name="reb1")))
    bad("name-missing", "a signer without name", policy(vendor, signer(REB1, "rebuilder", name=...)))
    bad("key-missing", "a signer without key", policy(vendor, signer(REB1, "rebuilder", key=...)))
    bad("roles-missing", "a signer without roles", policy(vendor, signer(REB1, "rebuilder", roles=...)))
    bad("roles-empty", "a signer with empty roles", policy(vendor, rebuilder, signer(REB2, "rebuilder", roles=[])))
    bad("roles-both", "a signer in both roles", policy(vendor, rebuilder, signer(REB2, "rebuilder", roles=["vendor", "rebuilder"])))
    bad("roles-approver-and-rebuilder", "a signer who rebuilds and approves", policy(vendor, rebuilder, signer(REB2, "rebuilder", roles=["rebuilder", "approver"])))
    bad("role-unknown", "an unknown role", policy(vendor, rebuilder, signer(REB2, "rebuilder", roles=["auditor"])))
    bad("builder-in-both-roles", "a builder id under a vendor and a rebuilder", policy(
        signer(VENDOR, "vendor", builders=[VENDOR.builder, "urn:example:b"]), signer(REB1, "rebuilder", builders=[REB1.builder, "urn:example:b"])))
    bad("unknown-key-top", "an unknown key at the top", "minimum = 1\n" + BASE)
    bad("unknown-key-signer", "an unknown key in a signer", policy(vendor, signer(REB1, "rebuilder", weight=2)))
    bad("unknown-key-require", "an unknown key in the requirements", policy(vendor, rebuilder, reviewers=1))
    bad("misspelled-key", "organization for organisation", policy(vendor, signer(REB1, "rebuilder", organization="R")))
    bad("vetoes-unmeetable", "more vetoes than rebuilders", policy(vendor, rebuilder, vetoes=2))
    bad("attributes-without-rebuilders", "organisations demanded and no rebuilders",
        policy(vendor, signer(REB1, "rebuilder", organisation="R"), rebuilders="none", organisations=1))
    bad("organisations-folded", "two organisations that are equal but for case and white space", policy(
        vendor, signer(REB1, "rebuilder", organisation="A b"), signer(REB2, "rebuilder", organisation="a  B"), organisations=2))
    bad("observation-unknown", "an unknown level of observation", policy(vendor, rebuilder, observation=["isolated", "seen"]))
    bad("observation-string", "a level in place of an array of levels", policy(vendor, rebuilder, observation="isolated"))
    bad("toml-key-twice", "a key twice in one table", BASE + "rebuilders = 1\n")
    bad("toml-broken", "no TOML", BASE + "vendor = \n")
    bad("toml-not-utf8", "not UTF-8", BASE.encode() + b"# \xff\n")
    small = {"neutral": encode((0, 1)), "order-eight": encode(torsion_point()), "non-canonical": (P + 1).to_bytes(32, "little"),
             "not-on-curve": (2).to_bytes(32, "little")}
    for name, key in small.items():
        bad(f"key-{name}", f"a key that is no sound point: {name}", policy(vendor, rebuilder, signer(REB2, "rebuilder", key=ssh_line(key))))
    half = REB2.line.split()[1]
    for name, text in {"rsa": "ssh-rsa AAAAB3NzaC1yc2E=", "type-mismatch": "ssh-rsa " + half, "short": "ssh-ed25519 " + half[:-4], "bare": half,
                       "longer": "ssh-ed25519 " + half + "AAAA", "not-base64": "ssh-ed25519 " + half[:-1] + "!",
                       "private": "-----BEGIN OPENSSH PRIVATE KEY-----", "options": "cert-authority " + REB2.line}.items():
        bad(f"key-line-{name}", f"a key line that is not one: {name}", policy(vendor, rebuilder, signer(REB2, "rebuilder", key=text)))
    good("key-without-comment", "a key line without comment", policy(vendor, signer(REB1, "rebuilder", key=ssh_line(REB1.public))))
    good("comments", "comments and an inline table", "# mine\n" + vendor + rebuilder + "[require] # all\nrebuilders = 1\n")
    good("defaults-written-out", "every default written out", policy(
        vendor, signer(REB1, "rebuilder", builders=[REB1.builder]), vendor=1, rebuilders=1, observation=["isolated"], vetoes=1))


def roles_releases_files():
    vendors = (SIGNERS[0], signer(VENDOR2, "vendor"))
    case("roles/builder-wrong", "the vendor's key with a builder id that the policy does not name", 3, 6, [line(VENDOR, provenance(builder="urn:example:b")), REBUILD])
    named = policy(signer(VENDOR, "vendor", builders=["urn:example:a", "urn:example:b"]), rebuilders="none")
    case("roles/good-builder-named", "nothing: a builder id that the policy names", 0, None, [line(VENDOR, provenance(builder="urn:example:b"))], named)
    case("roles/builder-default-replaced", "the default builder id where the policy names others", 3, 6, [GOOD], named)
    case("roles/builder-of-other-vendor", "a vendor's key with the builder id of another vendor", 3, 6,
         [line(VENDOR, provenance(VENDOR2))], policy(*vendors, rebuilders="none"))
    case("roles/good-wrong-builder-beside", "nothing: a statement with a wrong builder id beside a right one", 0, None,
         [line(VENDOR, provenance(builder="urn:example:b")), GOOD, REBUILD])
    case("roles/rebuilder-only", "a rebuilder's provenance and no vendor's", 3, 4, [REBUILD])
    case("roles/rebuilder-as-vendor", "a rebuilder signs with the vendor's builder id", 3, 4, [line(REB1, provenance()), REBUILD])
    for level in ("observed", "not-observed"):
        lines = [line(key, provenance(key, level=level)) for key in (VENDOR, REB1)]
        case(f"roles/level-{level}", f"the vendor's build was {level}", 3, 6, [lines[0], REBUILD])
        levels = ["isolated", level]
        case(f"roles/good-level-{level}", f"nothing: the policy accepts {level}", 0, None, [lines[0], REBUILD], policy(*SIGNERS, observation=levels))
        case(f"roles/rebuild-{level}-refused", f"the rebuild was {level}", 8, 10, [GOOD, lines[1]])
        exit_code = 0 if level == "observed" else 8
        case(f"roles/rebuild-{level}", f"the rebuild was {level}, and the policy accepts that of a vendor", exit_code, 10 if exit_code else None,
             [GOOD, lines[1]], policy(*SIGNERS, observation=levels))
    bad = policy(*SIGNERS, observation=["not-observed"])
    case("roles/no-level-of-rebuilds", "the only level that the policy accepts is none of a rebuild", 2, 2, [GOOD, REBUILD], bad)
    alone = policy(SIGNERS[0], observation=["not-observed"], rebuilders="none")
    case("roles/good-not-observed-alone", "nothing: not observed, and no rebuild is asked for", 0, None, [line(VENDOR, provenance(level="not-observed"))], alone)
    case("release/product", "another product is demanded", 3, 7, [GOOD], ALONE, product="tool", version="1.0")
    case("release/version", "another version is demanded", 3, 7, [GOOD], ALONE, product="app", version="1.1")
    case("release/version-prefix", "a version of which the demanded one is a part", 3, 7, [GOOD], ALONE, version="1")
    case("release/good", "nothing: product and version as demanded", 0, None, [GOOD], ALONE, product="app", version="1.0")
    newer, second = b"app 1.1\n", [line(key, provenance(key, [subject(data=b"app 1.1\n")], version="1.1")) for key in (VENDOR, REB1)]
    case("release/older-for-newer", "a genuine 1.0 where 1.1 is demanded, both in the bundle", 1, 8, [GOOD, REBUILD, *second], version="1.1")
    case("release/good-two-in-bundle", "nothing: two releases in one bundle", 0, None, [GOOD, REBUILD, *second], files={"app": newer}, version="1.1")
    case("files/different", "the file is not what was signed", 1, 8, [GOOD], ALONE, files={"app": b"app 1.0 \n"})
    case("files/empty", "the file is empty", 1, 8, [GOOD], ALONE, files={"app": b""})
    case("files/good-other-name", "nothing: the name of the file on disk means nothing", 0, None, [GOOD], ALONE, files={"setup.exe": APP})
    wrong = {"sha256": sha256(APP), "blake3": "0" * 64}
    case("files/blake3-wrong", "sha256 is right and blake3 is wrong", 1, 8, [line(VENDOR, changed(provenance(), "subject.0.digest", wrong))], ALONE)
    wrong = subject()["digest"] | {"sha256": "0" * 64}
    case("files/sha256-wrong", "blake3 is right and sha256 is wrong", 1, 8, [line(VENDOR, changed(provenance(), "subject.0.digest", wrong))], ALONE)
    split = [subject("out/app") | {"digest": subject()["digest"] | {"sha256": "0" * 64}}, {"name": "out/b", "digest": wrong | {"blake3": "0" * 64}}]
    case("files/digests-in-two-subjects", "each digest is right in another subject", 1, 8, [line(VENDOR, provenance(subjects=split))], ALONE)
    both = [line(key, provenance(key, [subject(), subject("out/tool", TOOL)])) for key in (VENDOR, REB1)]
    case("files/good-as", "nothing: the subject is the one demanded", 0, None, both, **{"as": "out/app"})
    case("files/as-other", "a debug tool offered as the application", 1, 8, both, files={"app": TOOL}, **{"as": "out/app"})
    case("files/as-unknown", "a subject is demanded that is not there", 1, 8, both, **{"as": "app"})
    case("files/good-two", "nothing: two files of one release", 0, None, both, files={"app": APP, "tool": TOOL})
    case("files/one-of-two-unknown", "one of two files is not signed", 1, 8, both, files={"app": APP, "other": b"other\n"})
    case("files/of-two-releases", "two files, each of another release", 1, 8, [GOOD, REBUILD, *second], files={"old": APP, "new": newer})


def rebuilds():
    def pending(name, what, lines, policy=BASE, **more):
        case(f"rebuilds/{name}", what, 8, 10, lines, policy, **more)

    def good(name, what, lines, policy=BASE, **more):
        case(f"rebuilds/good-{name}", "nothing: " + what, 0, None, lines, policy, **more)

    def by(key=REB1, **more):
        return line(key, provenance(key, **more))

    second = by(REB2)
    pending("none", "no rebuild", [GOOD])
    good("not-required", "no rebuild is demanded", [GOOD], policy(SIGNERS[0], rebuilders="none"))
    pending("unknown-key", "the rebuild is by a key that the policy does not name", [GOOD, by(UNKNOWN)])
    pending("builder-wrong", "the rebuilder's key with another builder id", [GOOD, by(builder="urn:example:b")])
    pending("vendor-replayed", "a rebuilder's signature over the vendor's own statement", [GOOD, line(REB1, provenance())])
    one = envelope(VENDOR, provenance())
    one["signatures"] += envelope(REB1, provenance())["signatures"]
    pending("in-vendor-envelope", "vendor's and rebuilder's signature on the vendor's one envelope", [compact(one)])
    good("two-signatures", "a second signature on the vendor's envelope, and a rebuild", [compact(one), REBUILD])
    pending("other-source", "equal bytes from another source", [GOOD, by(source="countersign-tree v1 source\n100644 0 " + sha256(b"") + " a\n")])
    pending("other-recipe", "equal bytes by another recipe", [GOOD, by(recipe=recipe_of(more="#"))])
    pending("other-lock", "equal bytes with another lock", [GOOD, by(lock=LOCK.replace("epoch 1", "epoch 2"))])
    pending("other-version", "equal bytes for another version", [GOOD, by(version="1.1")])
    for name, value in {"channel": "beta", "target": "arm64-linux", "sequence": 1, "previous": "sha256:" + "0" * 64}.items():
        recipe = provenance()["predicate"]["buildDefinition"]["externalParameters"]["recipe"]
        pending(f"other-{name}", f"equal bytes for another {name}", [GOOD, by(recipe=recipe, **{name: value})])
    good("other-environment", "a rebuild in another environment", [GOOD, by(environment="e2")])
    pending("other-bytes", "the rebuild got other bytes", [GOOD, by(subjects=[subject(data=TOOL)])])
    pending("blake3-wrong", "the rebuild's sha256 is right and its blake3 is wrong",
            [GOOD, by(subjects=[{"name": "out/app", "digest": {"sha256": sha256(APP), "blake3": "0" * 64}}])])
    pending("other-name", "the rebuild got the bytes under another name", [GOOD, by(subjects=[subject("out/tool")])])
    named = [line(VENDOR, provenance(subjects=[subject("out/a"), subject("out/b")])), by(subjects=[subject("out/b")])]
    good("one-of-two-names", "one of the file's two names was rebuilt", named)
    pending("demanded-name", "another of the file's two names was rebuilt than the one demanded", named, **{"as": "out/a"})
    good("sha256-only", "a rebuild with sha256 alone", [GOOD, by(subjects=[{"name": "out/app", "digest": {"sha256": sha256(APP)}}])])
    pending("level-observed", "the rebuild was not isolated", [GOOD, by(level="observed")])
    pending("verdict-alone", "a verdict in place of the rebuilder's provenance", [GOOD, line(REB1, verdict(REB1, "reproduced"))])
    case("rebuilds/dissent-alone", "a not-reproduced offered as proof", 3, 10, [GOOD, line(REB1, verdict(REB1))])
    good("verdict-beside", "a verdict beside the provenance", [GOOD, REBUILD, line(REB1, verdict(REB1, "reproduced"))])
    pending("one-file-of-two", "one of two files was rebuilt", [line(VENDOR, provenance(subjects=[subject(), subject("out/tool", TOOL)])), REBUILD],
            files={"app": APP, "tool": TOOL})
    good("two-keys", "two keys of two demanded", [GOOD, REBUILD, second], policy(*TWO, rebuilders=2))
    pending("one-of-two", "one key of two demanded", [GOOD, REBUILD], policy(*TWO, rebuilders=2))
    pending("same-envelope-twice", "one rebuild twice", [GOOD, REBUILD, REBUILD], policy(*TWO, rebuilders=2))
    twice = envelope(REB1, provenance(REB1))
    twice["signatures"].append(twice["signatures"][0] | {"keyid": REB2.id})
    pending("same-signature-twice", "one signature twice, under two keyids", [GOOD, compact(twice)], policy(*TWO, rebuilders=2))
    pending("same-key-twice", "two statements by one key", [GOOD, REBUILD, by(environment="e2")], policy(*TWO, rebuilders=2))
    builders = signer(REB1, "rebuilder", builders=[REB1.builder, "urn:example:b"])
    pending("same-key-two-builders", "two builder ids under one key", [GOOD, REBUILD, by(builder="urn:example:b")],
            policy(SIGNERS[0], builders, signer(REB2, "rebuilder"), rebuilders=2))
    vendors, other = (*SIGNERS, signer(VENDOR2, "vendor")), line(VENDOR2, provenance(VENDOR2))
    good("two-vendors", "two vendors of two demanded", [GOOD, other, REBUILD], policy(*vendors, vendor=2))
    pending("one-vendor-of-two", "one vendor of two demanded", [GOOD, REBUILD], policy(*vendors, vendor=2))
    pending("vendor-twice", "one vendor's envelope twice where two are demanded", [GOOD, GOOD, REBUILD], policy(*vendors, vendor=2))
    pending("vendors-of-two-orders", "two vendors with two build orders", [GOOD, line(VENDOR2, provenance(VENDOR2, sequence=1)), REBUILD], policy(*vendors, vendor=2))
    pending("vendors-differ", "two vendors of one build order with other bytes",
            [GOOD, line(VENDOR2, provenance(VENDOR2, [subject(data=TOOL)])), REBUILD], policy(*vendors, vendor=2))
    for first in (True, False):
        orders = [GOOD, line(VENDOR, provenance(sequence=1))]
        good(f"one-order-of-two-{'a' if first else 'b'}", "two build orders match the file, one was rebuilt",
             [*(orders if first else orders[::-1]), by(sequence=1, recipe=None)])
    other_file = line(VENDOR, provenance(subjects=[subject(data=TOOL)], sequence=1))
    pending("best-answer-a", "one build order does not match the file, the other lacks a rebuild", [GOOD, other_file])
    pending("best-answer-b", "the same with the lines in the other order", [other_file, GOOD])
    pending("orders-not-added-up", "one rebuild for each of two build orders", [GOOD, line(VENDOR, provenance(sequence=1)), REBUILD, by(REB2, sequence=1)],
            policy(*TWO, rebuilders=2))
    for plural, single in (("organisations", "organisation"), ("jurisdictions", "jurisdiction"), ("platforms", "platform")):
        def among(one, two, three_, plural=plural, single=single):
            found = [signer(key, "rebuilder", **({single: value} if value else {})) for key, value in ((REB1, one), (REB2, two), (REB3, three_))]
            return policy(SIGNERS[0], *found, rebuilders=2, **{plural: 2})
        good(f"{plural}", f"two {plural} of two demanded", [GOOD, REBUILD, second], among("A", "B", None))
        pending(f"{plural}-equal", f"two rebuilders, one {single}", [GOOD, REBUILD, second], among("A", "A", "B"))
        pending(f"{plural}-missing", f"a rebuilder whose {single} the policy does not name", [GOOD, REBUILD, second], among("A", None, "B"))
    own = (signer(VENDOR, "vendor", organisation="V"), signer(REB1, "rebuilder", organisation="V"), signer(REB2, "rebuilder", organisation="R"))
    pending("vendor-organisation", "the rebuild is by the vendor's organisation", [GOOD, REBUILD], policy(*own))
    good("vendor-organisation-beside", "another organisation's rebuild beside", [GOOD, REBUILD, second], policy(*own))
    good("without-organisation", "a rebuilder without organisation, none demanded", [GOOD, REBUILD], policy(own[0], SIGNERS[1]))
    same = (own[0], *(signer(key, "rebuilder", jurisdiction="CH", platform="p") for key in (REB1, REB2)))
    good("jurisdiction-not-demanded", "equal jurisdictions, none demanded", [GOOD, REBUILD, second], policy(*same, rebuilders=2))


def dissent():
    no = verdict()
    lines, free = [GOOD, REBUILD], policy(*TWO, rebuilders="none")

    def vetoed(name, what, *more, policy=free):
        case(f"dissent/{name}", what, 3, 11, [GOOD, *more], policy)

    def good(name, what, *more, policy=free):
        case(f"dissent/good-{name}", "nothing: " + what, 0, None, [GOOD, *more], policy)

    def payload(statement):
        return sha256(compact(statement))

    veto = line(REB2, no)
    vetoed("equal-environment", "a rebuilder could not reproduce it in an equal environment", veto)
    vetoed("own-rebuild-counts", "the dissent is by the key whose rebuild counts", REBUILD, line(REB1, verdict(REB1)), policy=policy(*TWO))
    good("other-environment", "a dissent in another environment", line(REB2, verdict(environments=("e1", "e2"))))
    good("no-environment", "a dissent without environments", line(REB2, verdict(environments=(None, None))))
    vetoed("environment-of-vendor", "the rebuild's environment is the vendor's, the verdict's reference another", line(REB2, verdict(environments=("e2", "e1"))))
    vetoed("environment-of-reference", "the rebuild's environment is that of the verdict's reference", line(REB2, verdict(environments=("e2", "e2"))))
    other = verdict(kind="reproduced", order=order_of(provenance(sequence=1)), supersedes=payload(no))
    vetoed("superseded-in-other-order", "superseded by a verdict about another build order", veto, line(REB2, other))
    later = verdict(kind="reproduced", supersedes=payload(no), builder="urn:example:b")
    vetoed("superseded-by-other-builder", "superseded with a builder id that is not the key's", veto, line(REB2, later))
    good("inconclusive", "inconclusive is no dissent", line(REB2, verdict(kind="inconclusive")))
    good("reproduced", "a second verdict that agrees", line(REB2, verdict(kind="reproduced")))
    good("other-order", "a dissent about another build order", line(REB2, verdict(order=order_of(provenance(sequence=1)))))
    good("other-file", "a dissent about another file", line(REB2, verdict(subjects=[subject("out/tool", TOOL)])))
    good("outputs-only", "a dissent about modes alone", line(REB2, verdict(subjects=[{"name": "outputs", "digest": hashed("o")}])))
    good("subject-twice", "a dissent with two subjects of one name does not parse", line(REB2, verdict(subjects=[subject(), subject(data=TOOL)])))
    vetoed("folded-names", "a dissent whose subjects are equal but for case", line(REB2, verdict(subjects=[subject("out/App", TOOL), subject()])))
    vetoed("second-subject", "the file is the second subject of the dissent", line(REB2, verdict(subjects=[subject("out/a", TOOL), subject()])))
    good("builder-wrong", "the dissent's builder id is not the key's", line(REB2, verdict(builder="urn:example:b")))
    good("unknown-key", "a dissent by an unknown key", line(UNKNOWN, verdict(UNKNOWN)))
    good("by-vendor", "a dissent by the vendor's key", line(VENDOR, verdict(VENDOR)))
    good("not-parsable", "a dissent without build order", line(REB2, changed(no, "predicate.buildOrder", ...)))
    good("broken-signature", "a dissent whose signature is broken", line(REB2, no, signature=b"\1" * 64))
    later = verdict(kind="reproduced", supersedes=payload(no))
    good("superseded", "the dissent was superseded by its signer", veto, line(REB2, later))
    good("superseded-before", "the superseding statement stands first", line(REB2, later), veto)
    good("superseded-inconclusive", "superseded by an inconclusive verdict", veto, line(REB2, verdict(kind="inconclusive", supersedes=payload(no))))
    vetoed("superseded-by-other-key", "another rebuilder's key supersedes the dissent", veto, line(REB1, verdict(REB1, "reproduced", supersedes=payload(no))))
    vetoed("superseded-by-vendor", "the vendor's key supersedes the dissent", veto, line(VENDOR, verdict(VENDOR, "reproduced", supersedes=payload(no))))
    vetoed("superseded-other-payload", "another statement is superseded", veto, line(REB2, verdict(kind="reproduced", supersedes=payload(provenance()))))
    vetoed("later-without-supersedes", "a later verdict that does not say that it supersedes", veto, line(REB2, verdict(kind="reproduced")))
    vetoed("superseded-by-dissent", "a dissent superseded by another dissent", veto, line(REB2, verdict(supersedes=payload(no))))
    good("supersedes-without-reason", "the superseding statement is broken, and so is no veto of its own", line(REB2, changed(later, "predicate.supersedes.reason", ...)))
    vetoed("superseded-without-reason", "the superseding statement has no reason", veto, line(REB2, changed(later, "predicate.supersedes.reason", ...)))
    three = (*TWO, signer(REB3, "rebuilder"))
    good("one-veto-of-two", "one dissent where two refuse", veto, policy=policy(*three, rebuilders="none", vetoes=2))
    vetoed("two-vetoes-of-two", "two dissents where two refuse", veto, line(REB3, verdict(REB3)), policy=policy(*three, rebuilders="none", vetoes=2))
    good("same-key-twice", "two dissents by one key where two refuse", veto, line(REB2, changed(no, "predicate.runs", 2)), policy=policy(*three, rebuilders="none", vetoes=2))
    case("dissent/and-no-rebuild", "dissent, and no rebuild: not pending, because something is against it", 3, 10, [GOOD, veto], policy(*TWO))
    case("dissent/good-order-without", "nothing: two build orders match, one of them has the dissent", 0, None,
         [*lines, veto, *(line(key, provenance(key, recipe=recipe_of(more="#"))) for key in (VENDOR, REB1))], policy(*TWO))
    good("reference-unknown", "the dissent was compared with a statement that is not there", line(REB2, verdict(reference=provenance(environment="e3"))))
    good("reference-of-rebuilder", "the dissent was compared with a rebuild", REBUILD, line(REB2, verdict(reference=provenance(REB1))))
    good("reference-of-stranger", "the dissent was compared with a stranger's statement", line(UNKNOWN, provenance(UNKNOWN)),
         line(REB2, verdict(reference=provenance(UNKNOWN))))
    second = provenance(environment="e3")
    vetoed("reference-second", "the dissent was compared with another of the vendor's statements", line(VENDOR, second), line(REB2, verdict(reference=second)))
    extra = changed(changed(no, "predicate.artifacts.0.reference", None), "predicate.artifacts.0.verdict", "extra")
    good("extra", "a dissent about what only the rebuild has", line(REB2, changed(extra, "predicate.artifacts.0.rebuilt", hashed("app 1.0\n"))))
    good("artifact-identical", "a dissent whose artifact is identical", line(REB2, changed(no, "predicate.artifacts.0.verdict", "identical")))
    good("artifact-other", "a dissent whose artifact is another", line(REB2, changed(no, "predicate.artifacts.0.reference", hashed("tool 1.0\n"))))
    good("artifacts-empty", "a dissent without artifacts", line(REB2, changed(no, "predicate.artifacts", [])))
    new = [line(key, provenance(key, sequence=2)) for key in (VENDOR, REB1)]
    case("dissent/signed-again", "the vendor signs the same build again under another sequence", 3, 11, [GOOD, veto, *new], policy(*TWO))
    case("dissent/signed-again-channel", "the vendor signs the same build again under another channel", 3, 11,
         [GOOD, veto, *(line(key, provenance(key, channel="beta")) for key in (VENDOR, REB1))], policy(*TWO))
    case("dissent/good-signed-again-alone", "nothing: the statement that the dissent is about is not there", 0, None, [veto, *new], policy(*TWO))
    for name, more in {"recipe": {"recipe": recipe_of(more="#")}, "lock": {"lock": LOCK.replace("epoch 1", "epoch 2")}, "source": {"source": SOURCE + "x"}}.items():
        case(f"dissent/good-other-{name}", f"nothing: the dissent is about another {name}", 0, None,
             [GOOD, veto, *(line(key, provenance(key, sequence=2, **more)) for key in (VENDOR, REB1))], policy(*TWO))


policies()
roles_releases_files()
rebuilds()
dissent()
