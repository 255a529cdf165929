"""Verify vectors for steps 1 and 3 to 5: bundles, envelopes, signatures, statements. One failure each, good twins beside them."""

import base64
import json

from kit import (APP, LOCK, REB1, TOOL, UNKNOWN, VENDOR, VENDOR2, P, annotated, changed, compact, encode, envelope, hashed, line, policy, provenance,
                 recipe_of, run_record, signer, subject, verdict)
from primitives import blake3, sha256
from recipe import DEFAULT_ROOTS, lock_text
from statements import signed_bytes

SIGNERS = (signer(VENDOR, "vendor"), signer(REB1, "rebuilder"))
BASE = policy(*SIGNERS)
# Where rebuilds are not the subject none is demanded, which keeps the vectors small.
ALONE = policy(SIGNERS[0], rebuilders="none")
V, R = provenance(), provenance(REB1)
GOOD, REBUILD, STRANGE = line(VENDOR, V), line(REB1, R), line(UNKNOWN, b"{}", keyid="")
CASES = []


def case(name, what, exit_code, step, lines, policy=BASE, files=None, **expect):
    files = files or {"app": APP}
    bundle = lines if isinstance(lines, bytes) else b"".join(each + b"\n" for each in lines)
    what_is_expected = {"what": what, "args": expect.pop("args", list(files)), **expect, "exit": exit_code, "step": step}
    CASES.append((name, what_is_expected, bundle, policy, files))


def bundles():
    case("bundle/good", "nothing: a vendor's statement and a rebuild", 0, None, [GOOD, REBUILD])
    case("bundle/good-last-line-not-ended", "nothing: the last line may lack its line feed", 0, None, GOOD + b"\n" + REBUILD)
    case("bundle/good-order-reversed", "nothing: order means nothing", 0, None, [REBUILD, GOOD])
    case("bundle/good-run-record", "nothing: a run record is no provenance and does no harm", 0, None, [GOOD, line(VENDOR, run_record()), REBUILD])
    case("bundle/forged-manifest", "the manifest's signature does not verify; the vendor's run record stands", 4, 6,
         [line(VENDOR, V, signature=b"\1" * 64), line(VENDOR, run_record()), REBUILD])
    blob = compact({"_type": "urn:countersign:blob:v1", "mediaType": "text/vnd.countersign.tree.v1", "text": "countersign-tree v1 source\n"})
    case("bundle/good-blob", "nothing: a blob beside the envelopes", 0, None, [GOOD, blob, REBUILD])
    case("bundle/empty", "the bundle is empty", 4, 3, b"")
    case("bundle/blank-lines", "the bundle has blank lines only", 4, 3, b"\n\n\n")
    case("bundle/blob-only", "the bundle has a blob and no envelope", 4, 3, [blob])
    case("bundle/no-json", "no line of the bundle is JSON", 4, 3, [b"not json", b"{"])
    case("bundle/too-many-lines", "100,001 lines", 4, 1, b"\n".join([GOOD, b"\n" * 99_999]) + b"\n", ALONE)
    case("bundle/unknown-key-only", "the one envelope is by a key that the policy does not name", 3, 4, [line(UNKNOWN, provenance(UNKNOWN))])
    case("bundle/unknown-key-and-blob", "an unknown key's envelope and a blob", 3, 4, [line(UNKNOWN, V), blob])
    case("bundle/unknown-key-and-other-text", "an unknown key's envelope and text of another media type, which is a malformed line", 4, 4,
         [line(UNKNOWN, V), blob.replace(b"tree.v1", b"tree.v2")])
    case("bundle/unknown-key-as-vendor", "an unknown key's envelope names the vendor's key", 4, 4, [line(UNKNOWN, V, keyid=VENDOR.id)])
    case("bundle/unknown-key-and-rubbish", "an unknown key's envelope and a malformed line", 4, 4, [line(UNKNOWN, V), b"{]"])
    strangers = {
        "rubbish": b"not json", "invalid-utf8": b'{"payload":"\xff"}', "other-object": b'{"_type":"urn:example:proof","index":1}',
        "array": b"[1,2]", "blank": b"", "bom": b"\xef\xbb\xbf" + GOOD, "deep": b"[" * 500, "envelope": line(UNKNOWN, provenance(UNKNOWN)),
        "vendor-keyid": line(UNKNOWN, V, keyid=VENDOR.id), "broken-signature": line(VENDOR, provenance(version="2.0"), signature=b"\1" * 64),
        "dissent": line(UNKNOWN, verdict(REB1)), "dissent-with-rebuilder-keyid": line(UNKNOWN, verdict(REB1), keyid=REB1.id),
        "no-signatures": compact(envelope(UNKNOWN, V, signatures=[])), "unparsable-payload": line(UNKNOWN, b"rubbish")}
    for name, extra in strangers.items():
        case(f"strangers-lines/{name}", f"nothing: a stranger's line ({name}) turns no yes into a no", 0, None, [extra, GOOD], ALONE)
    case("strangers-lines/broken-rebuild", "nothing: a rebuilder's statement that does not parse, beside one that does", 0, None,
         [GOOD, REBUILD, line(REB1, b'{"_type":1}')])


def envelopes():
    def bad(name, what, first, step=4):
        case(f"envelope/{name}", what, 4, step, [first, STRANGE], ALONE)

    def good(name, what, first):
        case(f"envelope/good-{name}", "nothing: " + what, 0, None, [first, STRANGE], ALONE)

    env, message = envelope(VENDOR, V), signed_bytes(compact(V))
    sig = env["signatures"][0]["sig"]
    flipped = bytes([VENDOR.sign(message)[0] ^ 1]) + VENDOR.sign(message)[1:]
    bad("payload-changed", "the payload was changed after signing", line(VENDOR, provenance(version="1.1"), signature=VENDOR.sign(message)))
    bad("signature-bit", "one bit of the signature is flipped", line(VENDOR, V, signature=flipped))
    bad("type-changed", "the payload type was changed after signing", line(VENDOR, V, payloadType="application/vnd.in-toto.provenance+json"))
    other = "application/octet-stream"
    pae = b"DSSEv1 %d %s %d %s" % (len(other), other.encode(), len(compact(V)), compact(V))
    bad("type-other", "a correctly signed envelope of another payload type", line(VENDOR, V, payloadType=other, signature=VENDOR.sign(pae)))
    case("envelope/good-type-other-beside", "nothing: an envelope of another payload type beside a good one", 0, None,
         [line(VENDOR, V, payloadType=other, signature=VENDOR.sign(pae)), GOOD], ALONE)
    bad("signature-as-array", "a signature as an array in place of an object", line(VENDOR, V, signatures=[[VENDOR.id, sig]]))
    bad("as-array", "the envelope as an array in place of an object", compact(list(env.values())))
    bad("signatures-empty", "no signature", line(VENDOR, V, signatures=[]))
    bad("signatures-missing", "the field signatures is missing", compact({key: env[key] for key in ("payloadType", "payload")}))
    bad("payload-missing", "the field payload is missing", compact({key: env[key] for key in ("payloadType", "signatures")}))
    bad("sig-missing", "the signature has no sig", line(VENDOR, V, signatures=[{"keyid": VENDOR.id}]))
    rubbish = {"keyid": UNKNOWN.id, "sig": base64.b64encode(b"\2" * 64).decode()}
    good("bad-then-good", "a bad signature before a good one", line(VENDOR, V, signatures=[rubbish, *env["signatures"]]))
    good("good-then-bad", "a bad signature after a good one", line(VENDOR, V, signatures=[*env["signatures"], rubbish]))
    good("sixteen-signatures", "sixteen signatures", line(VENDOR, V, signatures=[rubbish] * 15 + env["signatures"]))
    bad("seventeen-signatures", "seventeen signatures", line(VENDOR, V, signatures=[rubbish] * 16 + env["signatures"]))
    for length in (0, 63, 65):
        other = {"keyid": VENDOR.id, "sig": base64.b64encode(b"\2" * length).decode()}
        good(f"signature-{length}-beside", f"a signature of {length} bytes before a good one", line(VENDOR, V, signatures=[other, *env["signatures"]]))
    good("unknown-type-field", "a field _type beside those of an envelope", line(VENDOR, V, _type="urn:example:proof"))
    good("keyid-absent", "no keyid", line(VENDOR, V, signatures=[{"sig": sig}]))
    good("keyid-empty", "an empty keyid", line(VENDOR, V, keyid=""))
    good("keyid-wrong", "a keyid that is nobody's", line(VENDOR, V, keyid="SHA256:nobody"))
    good("keyid-of-rebuilder", "a keyid that names another key of the policy", line(VENDOR, V, keyid=REB1.id))
    good("unknown-fields", "unknown fields in envelope and signature",
         line(VENDOR, V, extra={"a": 1}, signatures=[{**env["signatures"][0], "cert": "x"}]))
    bad("ed25519ph", "a signature by Ed25519ph", line(VENDOR, V, signature=VENDOR.sign_ph(message)))
    bad("over-payload-alone", "a signature over the payload instead of the DSSE encoding", line(VENDOR, V, signature=VENDOR.sign(compact(V))))
    bad("signature-63", "a signature of 63 bytes", line(VENDOR, V, signature=VENDOR.sign(message)[:63]))
    bad("signature-65", "a signature of 65 bytes", line(VENDOR, V, signature=VENDOR.sign(message) + b"\0"))
    bad("large-s", "S of the signature is not below the group's order", line(VENDOR, V, signature=VENDOR.sign_large_s(message)))
    bad("small-order-r", "R of the signature is the neutral element", line(VENDOR, V, signature=VENDOR.sign_with_r(message, encode((0, 1)))))
    bad("non-canonical-r", "R of the signature is not in its one encoding",
        line(VENDOR, V, signature=VENDOR.sign_with_r(message, (P + 1).to_bytes(32, "little"))))
    bad("cofactored", "a signature that holds only when multiplied by the cofactor", line(VENDOR, V, signature=VENDOR.sign_cofactored(message)))
    spread = next(each for each in (provenance(recipe=recipe_of(more="#" * n + "???>>>~~~")) for n in range(1, 10)) if {"+", "/"} <= set(envelope(VENDOR, each)["payload"]))
    text = envelope(VENDOR, spread)
    safe = text["payload"].translate(str.maketrans("+/", "-_"))
    safe_sig = [{"sig": text["signatures"][0]["sig"].translate(str.maketrans("+/", "-_"))}]
    case("envelope/good-url-safe", "nothing: URL-safe base64", 0, None, [line(VENDOR, spread, payload=safe, signatures=safe_sig)], ALONE)
    case("envelope/mixed-alphabets", "both base64 alphabets in one text", 4, 4, [line(VENDOR, spread, payload=safe.replace("-", "+", 1)), STRANGE], ALONE)
    padded = next(each for each in (provenance(recipe=recipe_of(more="#" * n)) for n in range(3)) if envelope(VENDOR, each)["payload"].endswith("="))
    text = envelope(VENDOR, padded)["payload"]
    bare = text.rstrip("=")
    spare = bare[:-1] + "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"[
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".index(bare[-1]) + 1] + text[len(bare):]
    for name, what, bad_text in (("no-padding", "no padding", bare), ("more-padding", "too much padding", text + "="),
                                 ("spare-bits", "unused bits that are not zero", spare), ("space", "a space", text[:8] + " " + text[8:]),
                                 ("line-feed", "a line feed", text[:76] + "\n" + text[76:])):
        bad(f"base64-{name}", f"base64 with {what}", line(VENDOR, padded, payload=bad_text))
    bad("sig-not-base64", "a signature that is not base64", line(VENDOR, V, signatures=[{"keyid": VENDOR.id, "sig": "!" + sig[1:]}]))
    bad("bom", "a byte order mark before the envelope", b"\xef\xbb\xbf" + GOOD)
    bad("trailing-value", "a second value after the envelope", GOOD + b"{}")
    bad("duplicate-key", "the key payload twice", GOOD[:-1] + b',"payload":"e30="}')
    bad("duplicate-key-case", "the keys payload and Payload", GOOD[:-1] + b',"Payload":"e30="}')
    bad("duplicate-key-escaped", "the key payload a second time, with an escape", GOOD[:-1] + b',"p\\u0061yload":"e30="}')
    good("depth-32", "JSON of depth 32", GOOD[:-1] + b',"x":' + b"[" * 31 + b"]" * 31 + b"}")
    bad("depth-33", "JSON of depth 33", GOOD[:-1] + b',"x":' + b"[" * 32 + b"]" * 32 + b"}")
    bad("payload-empty", "a correctly signed empty payload", line(VENDOR, b""), 5)


def json_text():
    raw = compact(V)

    def bad(name, what, payload):
        assert payload != raw
        case(f"json/{name}", what, 4, 5, [line(VENDOR, payload)], ALONE)

    def good(name, what, payload):
        assert payload != raw
        case(f"json/good-{name}", "nothing: " + what, 0, None, [line(VENDOR, payload)], ALONE)

    digest = f'"digest":{json.dumps(subject()["digest"], separators=(",", ":"))}'.encode()
    assert digest in raw
    bad("duplicate-subject", "subject twice at the top", raw[:-1] + b',"subject":[]}')
    bad("duplicate-digest", "digest twice in a subject", raw.replace(digest, digest + b"," + digest, 1))
    bad("duplicate-digest-escaped", "digest and \\u0064igest in a subject", raw.replace(digest, digest + b"," + digest.replace(b'"d', b'"\\u0064', 1), 1))
    bad("duplicate-digest-case", "digest and Digest in a subject", raw.replace(digest, digest + b"," + digest.replace(b'"d', b'"D', 1), 1))
    bad("duplicate-sha256", "sha256 twice in a digest set", raw.replace(b'"sha256":', b'"sha256":"' + b"0" * 64 + b'","sha256":', 1))
    bad("duplicate-recipe", "recipe twice in externalParameters", raw.replace(b'"recipe":', b'"recipe":"","recipe":', 1))
    bad("duplicate-in-unknown", "a key twice inside of an unknown field", raw[:-1] + b',"x":[{"y":{"z":1,"z":1}}]}')
    bad("subject-case", "Subject in place of subject", raw.replace(b'"subject"', b'"Subject"', 1))
    bad("type-case", "_Type in place of _type", raw.replace(b'"_type"', b'"_Type"', 1))
    bad("bom", "a byte order mark", b"\xef\xbb\xbf" + raw)
    bad("trailing-value", "a second value", raw + b"{}")
    bad("trailing-bytes", "a letter after the value", raw + b"x")
    bad("trailing-nul", "a NUL after the value", raw + b"\0")
    bad("nan", "NaN", raw[:-1] + b',"x":NaN}')
    bad("infinity", "-Infinity", raw[:-1] + b',"x":-Infinity}')
    bad("large-number", "a number beyond a double", raw[:-1] + b',"x":1e999}')
    bad("leading-zero", "a number with a leading zero", raw[:-1] + b',"x":01}')
    bad("lone-surrogate", "a lone surrogate", raw[:-1] + b',"x":"\\ud800"}')
    bad("lone-surrogate-in-key", "a lone surrogate in a key", raw[:-1] + b',"\\udc00":1}')
    bad("invalid-utf8", "invalid UTF-8", raw[:-1] + b',"x":"\xff"}')
    bad("control-character", "a bare control character in a string", raw[:-1] + b',"x":"\1"}')
    bad("comment", "a comment", raw + b"/**/")
    bad("single-quotes", "a string in single quotes", raw[:-1] + b",'x':1}")
    bad("trailing-comma", "a comma after the last field", raw[:-1] + b",}")
    bad("depth-33", "depth 33", raw[:-1] + b',"x":' + b"[" * 32 + b"]" * 32 + b"}")
    bad("depth-400", "depth 400", raw[:-1] + b',"x":' + b"[" * 400 + b"]" * 400 + b"}")
    good("depth-32", "depth 32", raw[:-1] + b',"x":' + b"[" * 31 + b"]" * 31 + b"}")
    good("surrogate-pair", "a surrogate pair", raw[:-1] + b',"x":"\\ud83d\\ude00"}')
    good("unknown-fields", "unknown fields outside of externalParameters", raw[:-1] + b',"x":[{"y":1}],"\xc3\x84":0,"\xc3\xa4":0}')
    good("white-space", "white space between and after the values", json.dumps(V, indent=1).encode() + b"\n")
    good("brackets-in-strings", "brackets in a string are no depth", raw[:-1] + b',"x":"\\"' + b"[" * 99 + b'"}')


def statements():
    def bad(name, what, path, value):
        case(f"statement/{name}", what, 4, 5, [line(VENDOR, changed(V, path, value))], ALONE)

    def good(name, what, statement):
        case(f"statement/good-{name}", "nothing: " + what, 0, None, [line(VENDOR, statement)], ALONE)

    bad("type-v2", "_type of another version", "_type", "https://in-toto.io/Statement/v2")
    bad("type-v01", "_type v0.1", "_type", "https://in-toto.io/Statement/v0.1")
    bad("type-missing", "no _type", "_type", ...)
    bad("predicate-type-missing", "no predicateType", "predicateType", ...)
    bad("predicate-missing", "no predicate", "predicate", ...)
    bad("predicate-null", "the predicate is null", "predicate", None)
    bad("predicate-string", "the predicate is a string", "predicate", "x")
    case("statement/other-predicate", "the right artifact in a statement of another predicate type", 3, 6,
         [line(VENDOR, changed(V, "predicateType", "https://example.org/other/v1"))], ALONE)
    case("statement/good-other-predicate-beside", "nothing: a statement of another predicate type beside the provenance", 0, None,
         [line(VENDOR, changed(V, "predicateType", "https://example.org/other/v1")), GOOD], ALONE)
    case("statement/unparsable-beside-good", "a vendor's statement that does not parse, beside one that does", 4, 5,
         [GOOD, line(VENDOR, changed(V, "predicate", {}))], ALONE)
    bad("subjects-empty", "no subject", "subject", [])
    bad("subject-without-digest", "a subject without digest", "subject", [{"name": "out/app"}])
    bad("subject-without-name", "a subject without name", "subject", [{"digest": subject()["digest"]}])
    bad("subject-twice", "two subjects of one name", "subject", [subject(), subject(data=TOOL)])
    bad("subject-below-subject", "a subject below another", "subject", [subject(), subject("out/app/a", TOOL)])
    bad("subjects-folded", "two subjects that are equal but for case", "subject", [subject("out/App", TOOL), subject()])
    bad("subjects-folded-nfkc", "two subjects that are equal but for a ligature", "subject", [subject("out/fi", TOOL), subject("out/\ufb01")])
    app = sha256(APP)
    sets = {"empty": {}, "md5-only": {"md5": "0" * 32}, "sha512-only": {"sha512": "0" * 128}, "blake3-only": {"blake3": blake3(APP)},
            "git-tree-only": {"gitTree": "0" * 40}, "upper-case-name": {"SHA256": app}, "odd-length": {"sha256": app[1:]},
            "sha512-as-sha256": {"sha256": app * 2}, "not-hex": {"sha256": "g" + app[1:]}, "prefixed": {"sha256": "sha256:" + app},
            "bad-blake3": {"sha256": app, "blake3": "00"}, "number": {"sha256": 1}, "seventeen": {"sha256": app} | {f"x{n}": "0" for n in range(16)}}
    for name, value in sets.items():
        bad(f"digest-{name}", f"a subject's digest set: {name}", "subject", [{"name": "out/app", "digest": value}])
    for name, value in {"sixteen": {"sha256": app} | {f"x{n}": "0" for n in range(15)}, "upper-case-hex": {"sha256": app.upper()},
                        "sha256-only": {"sha256": app}, "unknown-name-beside": {"sha256": app, "sha512": "0" * 128}}.items():
        good(f"digest-{name}", f"a subject's digest set: {name}", changed(V, "subject.0.digest", value))
    good("second-subject", "the file is the second subject", provenance(subjects=[subject("out/a", TOOL), subject()]))
    for name, text in {"parent": "../app", "parent-inside": "out/../app", "absolute": "/app", "empty": "", "empty-part": "out//app", "dot": "./app",
                       "slash-at-end": "out/", "nul": "a\0b", "bare-line-feed": "a\nb", "bare-return": "a\rb", "needless-escape": "\\x61pp",
                       "unknown-escape": "\\tapp", "upper-case-escape": "\\xFF", "escaped-utf8": "\\xc3\\xa9", "lone-backslash": "a\\",
                       "too-long": "a" * 4097}.items():
        bad(f"name-{name}", f"a subject's name: {name}", "subject.0.name", text)
    for name, text in {"invalid-utf8": "a\\xff", "line-feed": "a\\nb", "backslash": "a\\\\x61", "escape-sequence": "\x1b[31mapp",
                       "bidirectional": "a\u202eb", "dots": "...", "longest": "a" * 4096}.items():
        good(f"name-{name}", f"a subject's name: {name}", changed(V, "subject.0.name", text))
    definition = "predicate.buildDefinition."
    release, internal, dependency = definition + "externalParameters.release.", definition + "internalParameters.", definition + "resolvedDependencies."
    dependencies = V["predicate"]["buildDefinition"]["resolvedDependencies"]
    other_type = line(VENDOR, changed(V, definition + "buildType", "https://example.org/other"))
    case("statement/build-type", "a vendor's provenance of another build type and no other", 3, 6, [other_type], ALONE)
    case("statement/good-build-type-beside", "nothing: provenance of another build type beside", 0, None, [other_type, GOOD], ALONE)
    bad("listing-media-type", "the source listing is of another media type", dependency + "0.mediaType", "text/plain")
    bad("outputs-media-type", "the outputs have no media type", "predicate.runDetails.byproducts.0.mediaType", ...)
    bad("build-order", "a build order that is not the one of source, recipe, lock and release", internal + "buildOrder", hashed("another"))
    bad("build-order-missing", "no build order", internal + "buildOrder", ...)
    bad("recipe-changed", "a recipe that the build order is not of", definition + "externalParameters.recipe", "name = \"x\"\n")
    bad("recipe-missing", "no recipe", definition + "externalParameters.recipe", ...)
    bad("external-unknown", "an unknown key in externalParameters", definition + "externalParameters.extra", True)
    bad("release-unknown", "an unknown key in the release", release + "extra", None)
    bad("release-missing", "no release", definition + "externalParameters.release", ...)
    for field in ("product", "channel"):
        bad(f"{field}-missing", f"a release without {field}", release + field, ...)
    for name, value in {"negative": -1, "too-large": 2**64, "fraction": 1.5, "string": "1", "true": True}.items():
        case(f"statement/sequence-{name}", f"the sequence: {name}", 4, 5, [line(VENDOR, provenance(sequence=value))], ALONE)
    case("statement/product-with-space", "a space in the product", 4, 5, [line(VENDOR, provenance(product="an app"))], ALONE)
    case("statement/version-leading-dot", "a version that begins with a dot", 4, 5, [line(VENDOR, provenance(version=".1"))], ALONE)
    case("statement/previous-not-digest", "previous is no digest", 4, 5, [line(VENDOR, provenance(previous="1.0"))], ALONE)
    full = {"sequence": 2**64 - 1, "previous": "sha256:" + "0" * 64, "version": "1.0~rc+1_2-3"}
    good("release", "the largest sequence, a previous, a version of every sign", provenance(**full))
    bad("observation-unknown", "an unknown level of observation", internal + "observation", "seen")
    bad("observation-missing", "no level of observation", internal + "observation", ...)
    bad("control-unknown", "an unknown state of a control", internal + "controls.network", "partly")
    bad("variable-number", "a variable that is no string", internal + "variables.TZ", 1)
    bad("not-observed-environment", "not observed, with an environment", definition + "internalParameters",
        V["predicate"]["buildDefinition"]["internalParameters"] | {"observation": "not-observed", "variables": {}})
    absent = provenance(level="not-observed")
    case("statement/not-observed-variables", "not observed, with variables", 4, 5,
         [line(VENDOR, changed(absent, internal + "variables", {"TZ": "UTC"}))], policy(SIGNERS[0], rebuilders="none", observation=["isolated", "not-observed"]))
    def other(name, what, **more):
        case(f"recipe/{name}", what, 4, 5, [line(VENDOR, provenance(**more))], ALONE)

    def same(name, what, **more):
        case(f"recipe/good-{name}", "nothing: " + what, 0, None, [line(VENDOR, provenance(**more))], ALONE)

    other("product", "the release names another product than the recipe", recipe=recipe_of("tiny-sh"))
    other("version", "the release names another version than the recipe", recipe=recipe_of(version="9.9"))
    same("channel", "a channel that the recipe does not name", recipe=recipe_of(), channel="beta", sequence=3)
    same("epoch", "the lock's epoch is the recipe's", recipe=recipe_of(epoch="1"))
    other("epoch", "the lock has another epoch than the recipe", recipe=recipe_of(epoch="2"))
    same("epoch-git", "the recipe leaves the epoch to the lock", lock=lock_text(7, [b"/usr"]))
    for name, epoch in {"negative": "-1", "word": '"now"', "fraction": "1.0", "true": "true"}.items():
        other(f"epoch-{name}", f"the recipe's epoch: {name}", recipe=recipe_of(epoch=epoch))
    other("root-missing", "the lock lacks a root of the recipe", lock=lock_text(1, []))
    other("root-more", "the lock has a root more than the recipe", lock=lock_text(1, [b"/opt/x", b"/usr"]))
    default = recipe_of().replace("default-roots = false\n", "")
    same("default-roots", "the lock has the default roots", recipe=default, lock=lock_text(1, sorted({*map(str.encode, DEFAULT_ROOTS), b"/usr"})))
    other("default-roots", "the lock lacks the default roots", recipe=default)
    named = recipe_of().replace('["/usr"]', '["/usr", "/opt/a b\\\\c", "/usr"]')
    same("root-escaped", "a root that is named twice, and one that is escaped", recipe=named, lock=lock_text(1, [b"/opt/a b\\c", b"/usr"]))
    for name, root in {"relative": "usr", "slash": "/", "dots": "/usr/../opt", "end": "/usr/", "reserved": "/proc", "below-reserved": "/tmp/x",
                       "above-reserved": "/home", "private": "/etc"}.items():
        other(f"root-{name}", f"a root that cannot be one: {name}", recipe=recipe_of().replace('"/usr"', f'"{root}"'),
              lock=lock_text(1, [root.encode() if root.startswith("/") else b"/usr"]))
    for name, text in {"order": "root /usr\nroot /opt/x\n", "twice": "root /usr\nroot /usr\n", "relative": "root usr\n", "spelling": "root /\\x75sr\n",
                       "other-line": "file /usr\n"}.items():
        other(f"lock-{name}", f"no lock: {name}", lock=lock_text(1, []) + text)
    for name, text in {"zero": LOCK.replace("epoch 1", "epoch 01"), "kind": LOCK.replace("host", "guest"), "version": LOCK.replace("lock v1", "lock v2"),
                       "not-ended": LOCK[:-1], "blank-line": LOCK + "\n", "large-epoch": LOCK.replace("epoch 1", f"epoch {2**64}")}.items():
        other(f"lock-{name}", f"no lock: {name}", lock=text)
    for name, text in {"empty": "", "no-toml": recipe_of(more="x"), "unknown-key": recipe_of(more="x = 1\n"), "unknown-table": recipe_of(more="[x]\n"),
                       "unknown-key-top": "x = 1\n" + recipe_of(), "key-twice": 'name = "app"\n' + recipe_of(), "too-long": recipe_of(more="#" * (256 << 10)),
                       "no-steps": recipe_of().replace('[["make"]]', "[]"), "empty-step": recipe_of().replace('["make"]', "[]"),
                       "empty-program": recipe_of().replace('"make"', '""'), "nul": recipe_of().replace('"make"', '"make", "\\u0000"'),
                       "257-steps": recipe_of().replace('[["make"]]', json.dumps([["make"]] * 257)), "steps-flat": recipe_of().replace('[["make"]]', '["make"]'),
                       "no-outputs": recipe_of().replace('["out"]', "[]"), "outputs-missing": recipe_of().replace('outputs = ["out"]\n', ""),
                       "glob-class": recipe_of().replace('"out"', '"[a]"'), "glob-up": recipe_of().replace('"out"', '"../x"'),
                       "glob-absolute": recipe_of().replace('"out"', '"/x"'), "glob-stars": recipe_of().replace('"out"', '"a**"'),
                       "kind": recipe_of(more='kind = "moon"\n'), "strip": recipe_of(more="[source]\nstrip = 9\n"),
                       "variable": recipe_of(more='[build.env]\n"A B" = ""\n'), "variable-epoch": recipe_of(more='[build.env]\nSOURCE_DATE_EPOCH = "1"\n'),
                       "variable-case": recipe_of(more='[build.env]\na = ""\nA = ""\n'), "variable-case-fixed": recipe_of(more='[build.env]\nPath = ""\n'),
                       "variable-number": recipe_of(more="[build.env]\nA = 1\n"), "time-zero": recipe_of(more="[limits]\ntime = 0\n"),
                       "size": recipe_of(more='[limits]\ntmp = "2GB"\n'), "size-zero": recipe_of(more='[limits]\nmemory = "0KiB"\n'),
                       "size-plus": recipe_of(more='[limits]\nmemory = "+1KiB"\n'), "sequence": recipe_of(more="[release]\nsequence = -1\n"),
                       "source-array": "source = [[], 0]\n" + recipe_of(), "limits-array": "limits = []\n" + recipe_of(),
                       "time-most": recipe_of(more="[limits]\ntime = 604801\n"), "processes-most": recipe_of(more="[limits]\nprocesses = 1000001\n"),
                       "tmp-most": recipe_of(more='[limits]\ntmp = "65GiB"\n'), "outputs-most": recipe_of(more='[limits]\noutputs = "1025GiB"\n'),
                       "log-most": recipe_of(more='[limits]\nlog = "17GiB"\n'),
                       "previous": recipe_of(more='[release]\nprevious = "x"\n'), "channel": recipe_of(more='[release]\nchannel = "a b"\n')}.items():
        other(f"text-{name}", f"no recipe: {name}", recipe=text)
    every = ('[build.env]\nCFLAGS = "-O2"\nPATH = "/usr/bin"\n[release]\nchannel = "stable"\ntarget = "x"\nsequence = 0\nprevious = "sha256:' + "0" * 64 + '"\n'
             '[source]\nexclude = ["*.o", "**/x", "a/**"]\nstrip = 8\n[limits]\ntime = 1\nmemory = "1KiB"\nprocesses = 1\nfile-size = 1\ntmp = "64GiB"\noutputs = "1024GiB"\nlog = "16GiB"\n')
    same("every-key", "every key of a recipe", recipe=recipe_of(more='kind = "host"\n' + every))
    bad("listing-missing", "no source listing", dependency + "0", ...)
    bad("listing-twice", "two source listings", definition + "resolvedDependencies", [*dependencies, dependencies[0]])
    bad("lock-missing", "no lock", dependency + "1", ...)
    bad("lock-twice", "two locks", definition + "resolvedDependencies", [*dependencies, dependencies[1]])
    bad("lock-content", "the content of the lock is not of its digest", dependency + "1.content", base64.b64encode(b"another").decode())
    bad("lock-without-content", "a lock without content", dependency + "1.content", ...)
    bad("environment-twice", "two environments", definition + "resolvedDependencies", [*dependencies, dependencies[2]])
    full_set = annotated(V)
    good("annotated", "all that is written and not demanded", full_set)
    full_list = full_set["predicate"]["buildDefinition"]["resolvedDependencies"]
    for name, value in {"gitTree": "0" * 39, "gitTreeSha256": "0" * 40, "swhid": "swh:1:rev:" + "0" * 40, "gitTreeSha256-case": "A" * 64}.items():
        where = "digest" if name == "gitTree" else "annotations"
        bad(f"source-{name.lower()}", f"an id of the source that is none: {name}",
            definition + "resolvedDependencies", [full_list[0] | {where: {name.removesuffix("-case"): value}}, *full_list[1:]])
    bad("source-twice", "source twice", definition + "resolvedDependencies", [*full_list, full_list[0]])
    good("other-dependency", "a dependency of another name",
         changed(V, definition + "resolvedDependencies", [*dependencies, {"name": "compiler", "digest": {"sha1": "0" * 40}}]))
    outputs = V["predicate"]["runDetails"]["byproducts"]
    bad("outputs-missing", "no outputs among the byproducts", "predicate.runDetails.byproducts", [])
    bad("outputs-twice", "outputs twice", "predicate.runDetails.byproducts", outputs * 2)
    bad("builder-as-array", "the builder as an array in place of an object", "predicate.runDetails.builder", [VENDOR.builder])
    bad("annotations-as-array", "annotations as an array in place of an object", dependency + "2.annotations", ["host", "builder"])
    bad("builder-missing", "no builder id", "predicate.runDetails.builder", {})
    case("statement/verdict-of-vendor", "a verdict by a vendor's key that does not parse", 4, 5,
         [GOOD, line(VENDOR, changed(verdict(VENDOR), "predicate.buildOrder", ...))], ALONE)
    case("statement/two-vendors-one-broken", "the second vendor's statement does not parse", 4, 5,
         [GOOD, line(VENDOR2, changed(provenance(VENDOR2), "predicate", {}))], policy(SIGNERS[0], signer(VENDOR2, "vendor"), rebuilders="none"))


HEX, KEY = "ab" * 32, "0f" * 20
ARCHIVE = f"part archive base.tar - {HEX} 7 vendor local:images/base.tar\n"
OCI = (f"part oci-manifest image v1 {HEX} 500 vendor -\npart oci-config image v1 {HEX} 300 vendor -\n"
       f"part oci-layer image v1 {'01' * 32} 9 vendor local:image/blobs/sha256/{'01' * 32}\npart oci-layer image v1 {HEX} 9 vendor -\n")
DEBS = (f"part deb gcc:amd64 4:12.2.0-3 {HEX} 5208 openpgp:{KEY} debian:pool/main/g/gcc.deb\n"
        f"part deb make:amd64 4.3-4.1 {HEX} 395760 openpgp:{KEY} debian:pool/main/m/make.deb\n")
INDEX = (f"part index bookworm/main - {HEX} 9 openpgp:{KEY} debian:dists/bookworm/main/binary-amd64/Packages.xz\n"
         f"part release bookworm - {HEX} 9 openpgp:{'0f' * 32} debian:dists/bookworm/InRelease\n")
GO = f"part tool go 1.22 {HEX} 9 vendor go:go1.22.tar.gz\n"
GO_TABLE = '[[environment.tools]]\nname = "go"\nversion = "1.22"\nfrom = "go:go1.22.tar.gz"\nat = "/opt/go"\nstrip = 1\n'
CRATE = f"part crate serde 1.0.0 {HEX} 9 source crates:serde/serde-1.0.0.crate\n"
OTHERS = (f"part python idna-3.7-py3-none-any.whl 3.7 {HEX} 9 source pypi:a/idna-3.7-py3-none-any.whl\npart npm @s/p 1.0.0 {HEX} 9 source -\n"
          f"part go-mod x.example/M v1.0.0 {HEX} 9 source go:x.example/!m/@v/v1.0.0.mod\npart go-zip x.example/M v1.0.0 {HEX} 9 source -\n")
CARGO_TABLE = '[[environment.fetch]]\nkind = "cargo"\nfrom = ["Cargo.lock"]\n'
OTHERS_TABLE = "".join(CARGO_TABLE.replace("cargo", kind).replace("Cargo.lock", name) for kind, name in (("pip", "a/req.txt"), ("npm", "package-lock.json"), ("go", "go.sum")))
ROOTFS_TABLE = 'kind = "rootfs"\nimage = "local:images/base.tar"\n'
OCI_TABLE = 'kind = "oci"\nimage = "local:image"\nreference = "v1"\n'
DEBIAN_TABLE = 'kind = "debian"\nsuites = ["bookworm"]\npackages = ["gcc", "make=4.3-4.1"]\n'
HOST_TABLE = 'default-roots = false\nroots = ["/usr"]\n'


def in_environment(table):
    """A recipe with this environment."""
    return recipe_of().partition("default-roots")[0] + table


def lock_of(kind, parts, roots="", architecture="x86_64", tree=HEX):
    return f"countersign-lock v1\nkind {kind}\nsource-date-epoch 1\narchitecture {architecture}\ntree {tree}\n{roots}{parts}"


ROOTFS, DEBIAN = lock_of("rootfs", ARCHIVE), lock_of("debian", DEBS + INDEX)
WITH_GO = lock_of("host", GO, "root /usr\n")
WITH_CRATE = lock_of("host", CRATE, "root /usr\n")


def environments():
    def good(name, what, table, lock, **more):
        case(f"environment/good-{name}", "nothing: " + what, 0, None, [line(VENDOR, provenance(recipe=in_environment(table), lock=lock, **more))], ALONE)

    def bad(name, what, table, lock, **more):
        case(f"environment/{name}", what, 4, 5, [line(VENDOR, provenance(recipe=in_environment(table), lock=lock, **more))], ALONE)

    def part(name, what, old, new, table=DEBIAN_TABLE, lock=DEBIAN):
        assert old in lock, name
        bad(f"part-{name}", f"the lock: {what}", table, lock.replace(old, new, 1))

    good("rootfs", "an archive", ROOTFS_TABLE, ROOTFS)
    good("oci", "an image of two layers", OCI_TABLE, lock_of("oci", OCI))
    good("oci-without-layers", "an image without a layer", OCI_TABLE, lock_of("oci", OCI.partition("part oci-layer")[0]))
    good("debian", "two packages, an index and a release file, with the fingerprints of keys", DEBIAN_TABLE, DEBIAN)
    good("debian-packages-alone", "a lock that names no index and no release file", DEBIAN_TABLE, lock_of("debian", DEBS))
    good("debian-more-packages", "a package that the recipe does not name", DEBIAN_TABLE.replace(', "make=4.3-4.1"', ""), DEBIAN)
    good("debian-components", "two components", DEBIAN_TABLE + 'components = ["main", "updates/main"]\n', DEBIAN)
    good("debian-suites", "a suite of another mirror", DEBIAN_TABLE.replace('["bookworm"]', '["bookworm", "security:bookworm-security"]'), DEBIAN)
    good("host-tool", "a tool beside a host's paths", HOST_TABLE + GO_TABLE, WITH_GO)
    good("rootfs-tool", "a tool in an image", ROOTFS_TABLE + GO_TABLE, lock_of("rootfs", ARCHIVE + GO))
    each = GO_TABLE.replace('"go:go1.22.tar.gz"', '{ x86_64 = "go:a.tar.gz", aarch64 = "go:b.tar.gz" }')
    good("tool-by-architecture", "a tool that is another archive for each architecture", HOST_TABLE + each, WITH_GO)
    good("tools-beside-one-another", "two tools of which one directory begins like the other", HOST_TABLE + GO_TABLE + GO_TABLE.replace("go\"\n", "go-2\"\n"),
         lock_of("host", GO + GO.replace("tool go ", "tool go-2 "), "root /usr\n"))
    good("fetch", "a crate beside a host's paths", HOST_TABLE + CARGO_TABLE, WITH_CRATE)
    good("fetch-in-image", "everything that a source can depend on, in an image with a tool", ROOTFS_TABLE + GO_TABLE + CARGO_TABLE + OTHERS_TABLE,
         lock_of("rootfs", ARCHIVE + GO + CRATE + OTHERS))
    good("fetch-elsewhere", "a directory and a mirror of its own", HOST_TABLE + CARGO_TABLE + 'at = "/opt/x"\nmirror = "my.crates"\n', WITH_CRATE)
    good("fetch-zip-alone", "the zip of a module, and no go.mod", HOST_TABLE + CARGO_TABLE.replace("cargo", "go"), WITH_CRATE.replace(CRATE, OTHERS.splitlines(keepends=True)[3]))
    good("size-largest", "the largest size", ROOTFS_TABLE, ROOTFS.replace(" 7 ", f" {2**64 - 1} "))
    good("place-unknown", "no place", ROOTFS_TABLE, ROOTFS.replace("local:images/base.tar", "-"))
    good("order-of-sizes", "sizes are sorted as numbers, vouchers and places with the least first", OCI_TABLE, lock_of("oci", OCI + "".join(
        f"part oci-layer image v1 {'ff' * 32} {rest}\n" for rest in ("9 vendor a:b", f"9 openpgp:{KEY} -", "10 vendor -", "10 vendor a:a", "10 vendor a-b:a"))))

    bad("kind-of-annotation", "the environment's kind is not the lock's", ROOTFS_TABLE, ROOTFS, kind="host")
    bad("kind-differs", "the lock is of another kind than the recipe", ROOTFS_TABLE, ROOTFS.replace("kind rootfs", "kind oci"))
    bad("kind-host", "the recipe's image is not in the lock", ROOTFS_TABLE, lock_text(1, []))
    bad("kind-unknown", "a kind that there is not", ROOTFS_TABLE.replace("rootfs", "snap"), ROOTFS)
    bad("image-root", "a root in the lock of an image", ROOTFS_TABLE, lock_of("rootfs", ARCHIVE, "root /usr\n"))
    bad("image-without-parts", "an image of nothing", ROOTFS_TABLE, lock_of("rootfs", ""))
    bad("image-without-image", "neither architecture nor tree nor parts", ROOTFS_TABLE, "countersign-lock v1\nkind rootfs\nsource-date-epoch 1\n")
    bad("host-without-parts", "architecture and tree of a host, and nothing that is unpacked", HOST_TABLE, lock_of("host", "", "root /usr\n"))
    bad("host-part", "an archive in the lock of a host", HOST_TABLE, lock_of("host", ARCHIVE, "root /usr\n"))
    bad("host-parts-before-roots", "parts before roots", HOST_TABLE + GO_TABLE, lock_of("host", GO + "root /usr\n"))
    bad("architecture-missing", "no architecture", ROOTFS_TABLE, ROOTFS.replace("architecture x86_64\n", ""))
    bad("architecture-blank", "an architecture with a blank", ROOTFS_TABLE, ROOTFS.replace("x86_64", "x86 64"))
    bad("tree-missing", "no tree", ROOTFS_TABLE, ROOTFS.replace(f"tree {HEX}\n", ""))
    bad("tree-upper-case", "the tree's digest in upper case", ROOTFS_TABLE, ROOTFS.replace(f"tree {HEX}", f"tree {HEX.upper()}"))
    bad("tree-prefixed", "the tree's digest with its prefix", ROOTFS_TABLE, ROOTFS.replace("tree ", "tree sha256:"))
    bad("tree-before-architecture", "the tree before the architecture", ROOTFS_TABLE,
        ROOTFS.replace(f"architecture x86_64\ntree {HEX}\n", f"tree {HEX}\narchitecture x86_64\n"))
    first, second = DEBS.splitlines(keepends=True)
    part("order", "parts in another order", DEBS, second + first)
    part("order-of-classes", "the index before the packages", DEBS + INDEX, INDEX + DEBS)
    part("order-of-sizes", "sizes sorted as text", OCI, OCI + "".join(f"part oci-layer image v1 {'ff' * 32} {size} vendor -\n" for size in (10, 9)),
         OCI_TABLE, lock_of("oci", OCI))
    part("twice", "a part twice", first, first * 2)
    part("class", "a class that there is not", "part deb", "part rpm")
    part("class-upper-case", "a class in upper case", "part deb", "part Deb")
    part("two-blanks", "two blanks between fields", "part deb ", "part deb  ")
    part("field-missing", "a part without a place", f"openpgp:{KEY} debian:pool/main/g/gcc.deb", f"openpgp:{KEY}")
    part("field-more", "a part of eight fields", "gcc.deb\n", "gcc.deb x\n")
    part("word", "a name that is not ASCII", "gcc:amd64", "gcc\u00e9:amd64")
    part("word-too-long", "a name of 257 bytes", " - ", " " + "a" * 257 + " ")
    part("size-zeros", "a size with a leading zero", " 5208 ", " 05208 ")
    part("size-plus", "a size with a sign", " 5208 ", " +5208 ")
    part("size-large", "a size that is too large", " 5208 ", f" {2**64} ")
    part("digest-upper-case", "a part's digest in upper case", f"3 {HEX}", f"3 {HEX.upper()}")
    part("voucher", "a voucher that there is not", f"openpgp:{KEY}", f"trusted:{KEY}")
    part("voucher-upper-case", "a fingerprint in upper case", f"openpgp:{KEY}", f"openpgp:{KEY.upper()}")
    part("voucher-short", "a fingerprint of 39 digits", f"openpgp:{KEY}", f"openpgp:{KEY[1:]}")
    part("voucher-bare", "a voucher without a fingerprint", f"openpgp:{KEY}", "openpgp")
    for name, place in {"absolute": "debian:/pool/x", "parent": "debian:../x", "parent-inside": "debian:a/../x", "dot": "debian:./x", "empty-part": "debian:a//x",
                        "url": "http://debian/x", "no-mirror": ":x", "no-path": "debian:", "bare": "x", "mirror": "deb/ian:x", "too-long": "debian:" + "a" * 2042}.items():
        part(f"place-{name}", f"a place that is none: {name}", "debian:pool/main/g/gcc.deb", place)
    many = "".join(f"part deb zz{n:05}:amd64 1 {HEX} 1 vendor -\n" for n in range(11_000))
    bad("lock-too-long", "a lock of more than 1 MiB", DEBIAN_TABLE, lock_of("debian", DEBS + many + INDEX))
    bad("archives", "two archives", ROOTFS_TABLE, lock_of("rootfs", ARCHIVE + ARCHIVE.replace("base", "more")))
    bad("manifests", "two manifests", OCI_TABLE, lock_of("oci", OCI.replace("part oci-config", f"part oci-manifest image v2 {HEX} 1 vendor -\npart oci-config")))
    bad("config-missing", "an image without its config", OCI_TABLE, lock_of("oci", "".join(each for each in OCI.splitlines(keepends=True) if "config" not in each)))
    bad("class-of-another-kind", "a layer among packages", DEBIAN_TABLE, lock_of("debian", DEBS + OCI.splitlines(keepends=True)[3]))
    bad("package-missing", "a package of the recipe is not in the lock", DEBIAN_TABLE, lock_of("debian", second))
    bad("package-version", "a package has another version than the recipe", DEBIAN_TABLE, DEBIAN.replace("4.3-4.1", "4.3-4.2"))
    bad("package-twice", "two versions of a package", DEBIAN_TABLE, DEBIAN.replace(first, first + first.replace("4:12.2.0-3", "4:12.2.0-4")))
    bad("package-two-architectures", "a package of two architectures", DEBIAN_TABLE, DEBIAN.replace(first, first + first.replace("amd64", "i386", 1)))
    bad("packages-none", "indices without packages", DEBIAN_TABLE, lock_of("debian", INDEX))
    bad("tool-missing", "the recipe's tool is not in the lock", HOST_TABLE + GO_TABLE, lock_text(1, [b"/usr"]))
    bad("tool-more", "a tool that the recipe does not name", HOST_TABLE, WITH_GO)
    bad("tool-more-in-image", "a tool in an image that the recipe does not name", ROOTFS_TABLE, lock_of("rootfs", ARCHIVE + GO))
    bad("tool-version", "another version of a tool", HOST_TABLE + GO_TABLE, WITH_GO.replace("1.22 ", "1.23 "))
    bad("tool-twice", "a tool of two digests", HOST_TABLE + GO_TABLE, WITH_GO + GO.replace(HEX, "ff" * 32))
    bad("tool-roots", "other roots beside a tool", HOST_TABLE + GO_TABLE, WITH_GO.replace("/usr", "/opt/x"))

    part("voucher-source", "a package that the source vouches for", f"openpgp:{KEY}", "source")
    part("voucher-of-crate", "a crate that the vendor vouches for", " source ", " vendor ", HOST_TABLE + CARGO_TABLE, WITH_CRATE)
    part("tool-behind-crate", "a tool behind a crate", GO + CRATE, CRATE + GO, HOST_TABLE + GO_TABLE + CARGO_TABLE, lock_of("host", GO + CRATE, "root /usr\n"))
    bad("fetch-missing", "nothing of what the recipe fetches", HOST_TABLE + GO_TABLE + CARGO_TABLE, WITH_GO)
    bad("fetch-more", "a crate that the recipe does not fetch", HOST_TABLE + GO_TABLE, lock_of("host", GO + CRATE, "root /usr\n"))
    bad("fetch-more-in-image", "a crate in an image that the recipe does not fetch", ROOTFS_TABLE, lock_of("rootfs", ARCHIVE + CRATE))
    bad("fetch-other", "a wheel in the place of a crate", HOST_TABLE + CARGO_TABLE, WITH_CRATE.replace(CRATE, OTHERS.splitlines(keepends=True)[0]))

    def refused(name, what, table, lock=ROOTFS):
        bad(f"recipe-{name}", f"no recipe: {what}", table, lock)

    for key, value in {"default-roots": "true", "roots": "[]", "reference": '"v1"', "suites": '["a"]', "components": '["main"]', "packages": '["gcc"]', "x": "1"}.items():
        refused(f"key-{key}", f"{key} beside an archive", f"{ROOTFS_TABLE}{key} = {value}\n")
    bad("recipe-key-image", "no recipe: an image beside a host's paths", HOST_TABLE + 'image = "local:a"\n', LOCK)
    refused("image-missing", "no image", 'kind = "rootfs"\n')
    for name, place in {"bare": "base.tar", "unknown": "-", "parent": "local:../base.tar", "blank": "local:a b"}.items():
        refused(f"image-{name}", f"an image that is no place: {name}", f'kind = "rootfs"\nimage = "{place}"\n')
    for name, (old, new) in {"suites-missing": ('suites = ["bookworm"]\n', ""), "suites-empty": ('["bookworm"]', "[]"), "suite-slash": ('"bookworm"', '"a/b"'),
                             "suite-parent": ('"bookworm"', '".."'), "suite-empty": ('"bookworm"', '"debian:"'), "suite-mirror": ('"bookworm"', '"a b:bookworm"'),
                             "packages-missing": ('packages = ["gcc", "make=4.3-4.1"]\n', ""), "packages-empty": ('["gcc", "make=4.3-4.1"]', "[]"),
                             "package-blank": ('"gcc"', '"g cc"'), "components-empty": ("packages", "components = []\npackages"),
                             "suites-flat": ('["bookworm"]', '"bookworm"'), "packages-many": ('"gcc"', ", ".join(['"gcc"'] * 4096))}.items():
        refused(name, name, DEBIAN_TABLE.replace(old, new), DEBIAN)
    for name, (old, new) in {"relative": ('"/opt/go"', '"opt/go"'), "reserved": ('"/opt/go"', '"/proc/go"'), "private": ('"/opt/go"', '"/etc"'), "root": ('"/opt/go"', '"/"'),
                             "strip": ("strip = 1", "strip = 9"), "from": ('"go:go1.22.tar.gz"', '"go1.22.tar.gz"'), "from-none": ('"go:go1.22.tar.gz"', "{}"),
                             "from-unnamed": ('"go:go1.22.tar.gz"', '{ "" = "go:a" }'), "from-missing": ('from = "go:go1.22.tar.gz"\n', ""), "key": ("strip", "sha256"),
                             "name-blank": ('"go"', '"g o"')}.items():
        refused(f"tool-{name}", f"a tool: {name}", HOST_TABLE + GO_TABLE.replace(old, new), WITH_GO)
    refused("tools-name", "two tools of one name", HOST_TABLE + GO_TABLE + GO_TABLE.replace("/opt/go", "/opt/x"), WITH_GO)
    two = lock_of("host", GO + GO.replace("tool go ", "tool go2 "), "root /usr\n")
    for name, at in {"one-directory": "/opt/go", "below": "/opt/go/2", "above": "/opt"}.items():
        refused(f"tools-{name}", f"a tool in another's directory: {name}",
                HOST_TABLE + GO_TABLE + GO_TABLE.replace('"go"', '"go2"').replace("/opt/go", at), two)
    for name, (old, new) in {"kind": ('"cargo"', '"gradle"'), "kind-missing": ('kind = "cargo"\n', ""), "from-missing": ('from = ["Cargo.lock"]\n', ""),
                             "from-empty": ('["Cargo.lock"]', "[]"), "from-flat": ('["Cargo.lock"]', '"Cargo.lock"'), "from-parent": ("Cargo.lock", "../Cargo.lock"),
                             "from-absolute": ("Cargo.lock", "/Cargo.lock"), "from-twice": ('"Cargo.lock"', '"a", "a"'), "at-relative": ("from", 'at = "vendor"\nfrom'),
                             "at-reserved": ("from", 'at = "/tmp/x"\nfrom'), "mirror": ("from", 'mirror = "a b"\nfrom'), "mirror-place": ("from", 'mirror = "a:b"\nfrom'),
                             "key": ("from", "strip = 1\nfrom")}.items():
        refused(f"fetch-{name}", f"a fetch: {name}", HOST_TABLE + CARGO_TABLE.replace(old, new), WITH_CRATE)
    refused("fetch-twice", "two fetches of one kind", HOST_TABLE + CARGO_TABLE + CARGO_TABLE + 'at = "/x"\n', WITH_CRATE)
    refused("fetch-in-a-tool", "a fetch in a tool's directory", HOST_TABLE + GO_TABLE + CARGO_TABLE + 'at = "/opt/go/vendor"\n', lock_of("host", GO + CRATE, "root /usr\n"))
    refused("fetch-around-a-tool", "a tool in the directory of a fetch", HOST_TABLE + GO_TABLE + CARGO_TABLE + 'at = "/opt"\n', lock_of("host", GO + CRATE, "root /usr\n"))
    refused("fetch-array", "a fetch that is an array", HOST_TABLE + 'fetch = [["cargo", ["Cargo.lock"], "/x", "crates"]]\n', WITH_CRATE)
    refused("tools-array", "a tool that is an array", HOST_TABLE + 'tools = [["go", "1.22", "go:go1.22.tar.gz", "/opt/go", 1]]\n', WITH_GO)


bundles()
envelopes()
json_text()
statements()
environments()
