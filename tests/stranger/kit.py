"""What the vectors are made of: keys from fixed seeds, signatures by openssl, statements, envelopes and policies."""

import base64
import functools
import hashlib
import json
import os
import re
import subprocess
import tempfile

from primitives import L, P, add_points, blake3, decode_point, sha256
from statements import PAYLOAD_TYPE, PROVENANCE, STATEMENT, build_order, signed_bytes
from stranger import fingerprint

B = decode_point((4 * pow(5, -1, P) % P).to_bytes(32, "little"))


def times(n, point):
    out = (0, 1)
    while n:
        if n & 1:
            out = add_points(out, point)
        point, n = add_points(point, point), n >> 1
    return out


def encode(point):
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


def number(*parts):
    return int.from_bytes(hashlib.sha512(b"".join(parts)).digest(), "little")


class Key:
    """An Ed25519 key; `sign` is the honest signature, the other methods make those that must be refused."""

    def __init__(self, name):
        self.name, self.seed = name, hashlib.sha256(b"countersign vectors " + name.encode()).digest()
        wide = bytearray(hashlib.sha512(self.seed).digest())
        wide[0] &= 248
        wide[31] = wide[31] & 127 | 64
        self.scalar, self.prefix = int.from_bytes(wide[:32], "little"), bytes(wide[32:])
        self.public = encode(times(self.scalar, B))
        self.id = fingerprint(self.public)
        self.builder = f"urn:countersign:builder:{self.id}"
        self.line = ssh_line(self.public, name)

    @functools.cache
    def sign(self, message):
        der = bytes.fromhex("302e020100300506032b657004220420") + self.seed
        with tempfile.TemporaryDirectory() as scratch:
            paths = [os.path.join(scratch, name) for name in ("k", "m", "s")]
            for path, content in zip(paths, (der, message)):
                with open(path, "wb") as file:
                    file.write(content)
            subprocess.run(["openssl", "pkeyutl", "-sign", "-rawin", "-keyform", "DER", "-inkey", paths[0], "-in", paths[1],
                            "-out", paths[2]], check=True, capture_output=True)
            with open(paths[2], "rb") as file:
                return file.read()

    def sign_ph(self, message):
        """Ed25519ph with an empty context, RFC 8032 section 5.1."""
        domain, hashed = b"SigEd25519 no Ed25519 collisions\x01\x00", hashlib.sha512(message).digest()
        r = number(domain, self.prefix, hashed) % L
        big_r = encode(times(r, B))
        s = (r + number(domain, big_r, self.public, hashed) * self.scalar) % L
        return big_r + s.to_bytes(32, "little")

    def sign_large_s(self, message):
        signature = self.sign(message)
        return signature[:32] + (int.from_bytes(signature[32:], "little") + L).to_bytes(32, "little")

    def sign_with_r(self, message, big_r, r=0):
        s = (r + number(big_r, self.public, message) * self.scalar) % L
        return big_r + s.to_bytes(32, "little")

    def sign_cofactored(self, message):
        """Right for a verifier that multiplies by the cofactor, wrong for one that does not."""
        r = number(self.prefix, message) % L
        return self.sign_with_r(message, encode(add_points(times(r, B), torsion_point())), r)


@functools.cache
def torsion_point():
    """A point of order eight: some point of the whole curve, times the order of the large subgroup."""
    for y in range(2, 100):
        point = decode_point(y.to_bytes(32, "little"))
        small = point and times(L, point)
        if small and times(4, small) != (0, 1):
            return small
    raise AssertionError("half of all points have a part of order eight")


def ssh_line(public, comment=""):
    blob = b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + public
    return f"ssh-ed25519 {base64.b64encode(blob).decode()} {comment}".strip()


VENDOR, VENDOR2, REB1, REB2, REB3, UNKNOWN, HEAD, DEPUTY = (
    Key(name) for name in ("vendor", "vendor2", "reb1", "reb2", "reb3", "unknown", "head", "deputy"))
APP, TOOL = b"app 1.0\n", b"tool 1.0\n"
RELEASE = {"product": "app", "version": "1.0", "channel": "stable", "target": "x86_64-linux", "sequence": None, "previous": None}
SOURCE = "countersign-tree v1 source\n"
LISTING = "text/vnd.countersign.tree.v1"
LOCK = "countersign-lock v1\nkind host\nsource-date-epoch 1\nroot /usr\n"


def compact(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def subject(name="out/app", data=APP):
    return {"name": name, "digest": {"blake3": blake3(data), "sha256": sha256(data)}}


def hashed(text):
    return {"sha256": sha256(text.encode())}


# Small on purpose: only what a reader demands. `annotated` has the rest.
def recipe_of(name="app", version="1.0", epoch='"git"', more=""):
    return (f'name = {json.dumps(name)}\nversion = {json.dumps(version)}\n[build]\nsteps = [["make"]]\noutputs = ["out"]\n'
            f'source-date-epoch = {epoch}\n[environment]\ndefault-roots = false\nroots = ["/usr"]\n{more}')


def provenance(key=VENDOR, subjects=None, source=SOURCE, recipe=None, lock=LOCK, level="isolated", environment="e1", builder=None, kind=None, controls=None, **release):
    release = RELEASE | release
    kind = kind or next((name for name in ("rootfs", "oci", "debian") if f"\nkind {name}\n" in lock), "host")
    recipe = recipe_of(release["product"], release["version"]) if recipe is None else recipe
    order = build_order(sha256(source.encode()), sha256(recipe.encode()), sha256(lock.encode()), release)
    dependencies = [
        {"name": "source-listing", "digest": hashed(source), "mediaType": LISTING},
        {"name": "lock", "digest": hashed(lock), "content": base64.b64encode(lock.encode()).decode()}]
    if level != "not-observed":
        # Of an image it is what the lock says.
        pinned = re.search(r"\ntree ([0-9a-f]{64})\n", lock) if kind != "host" and environment == "e1" else None
        dependencies.append({"name": "environment", "digest": {"sha256": pinned[1]} if pinned else hashed(environment), "mediaType": LISTING,
                             "annotations": {"kind": kind, "vouchedBy": "builder"}})
    return {"_type": STATEMENT, "subject": subjects or [subject()], "predicateType": PROVENANCE, "predicate": {
        "buildDefinition": {
            "buildType": "urn:countersign:buildtype:recipe:v1",
            "externalParameters": {"recipe": recipe, "release": release},
            "internalParameters": {"buildOrder": {"sha256": order}, "observation": level, "controls": {"network": "enforced"} if controls is None else controls,
                                   "variables": {} if level == "not-observed" else {"TZ": "UTC"}},
            "resolvedDependencies": dependencies},
        "runDetails": {"builder": {"id": builder or key.builder},
                       "byproducts": [{"name": "outputs", "digest": hashed("o"), "mediaType": LISTING}]}}}


def annotated(statement):
    """The same with all that is written and not demanded."""
    base = "predicate.buildDefinition.resolvedDependencies"
    source_listing, lock, environment = statement["predicate"]["buildDefinition"]["resolvedDependencies"]
    source = {"name": "source", "digest": {"gitTree": "4b825dc642cb6eb9a060e54bf8d69288fbee4904"}, "annotations": {
        "gitTreeSha256": "6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321", "swhid": "swh:1:dir:4b825dc642cb6eb9a060e54bf8d69288fbee4904"}}
    return changed(statement, base, [source, source_listing, lock, environment])


def verdict(key=REB2, kind="not-reproduced", subjects=None, order=None, environments=("e1", "e1"), supersedes=None, builder=None, reference=None):
    order = order or order_of(provenance())
    equal = kind == "reproduced"
    rebuilt = hashed("app 1.0\n" if equal else "another")
    state = "not-built" if kind == "inconclusive" else "identical" if equal else "different"
    return {"_type": STATEMENT, "subject": subjects or [subject()], "predicateType": f"urn:countersign:predicate:{kind}:v1", "predicate": {
        "comparedAt": "2026-01-01T00:00:00Z", "buildOrder": {"sha256": order},
        "reference": {"payload": {"sha256": sha256(compact(reference or provenance()))}, "signer": "checked"},
        "rebuild": {"payload": hashed("rebuild")}, "rebuilder": {"id": builder or key.builder},
        "environment": dict(zip(("reference", "rebuild"), (each and hashed(each) for each in environments))),
        "runs": 1, "reason": "bytes differ",
        "artifacts": [{"name": "out/app", "verdict": state, "reference": hashed("app 1.0\n"), "rebuilt": rebuilt}],
        "supersedes": supersedes and {"payload": {"sha256": supersedes}, "reason": "a disk was bad"}}}


def run_record(key=VENDOR):
    return {"_type": STATEMENT, "subject": [{"name": "manifest", "digest": {"sha256": sha256(compact(provenance(key)))}}],
            "predicateType": "urn:countersign:predicate:run-record:v1", "predicate": {
                "startedOn": "2026-01-01T00:00:00Z", "finishedOn": "2026-01-01T00:00:01Z", "tool": {"name": "countersign", "version": "0.1.0"},
                "host": {"system": "Linux", "release": "6.1", "machine": "x86_64", "processors": 2},
                "log": {"digest": hashed("log"), "size": 3}, "steps": [{"seconds": 1}]}}


def approval(manifest=None, subjects=None, checked="checked", outputs=None):
    manifest = manifest or provenance()
    return {"_type": STATEMENT, "subject": subjects or manifest["subject"], "predicateType": "urn:countersign:predicate:approval:v1", "predicate": {
        "manifest": {"payload": {"sha256": sha256(compact(manifest))}, "signer": checked}, "outputs": outputs}}


def elsewhere(key=VENDOR, **more):
    """A build that somebody signs who did not see it: what was observed is a claim."""
    seen = provenance(builder="urn:countersign:builder:unsigned", **more)
    signed = provenance(key, level="not-observed", **more)
    claim = {"statement": {"sha256": sha256(compact(seen))}, "builder": {"id": "urn:countersign:builder:unsigned"}, "observation": "isolated",
             "controls": {"network": "enforced"}, "variables": {"TZ": "UTC"}, "environment": hashed("e1")}
    signed = changed(signed, "predicate.buildDefinition.internalParameters.controls", {})
    return changed(signed, "predicate.buildDefinition.internalParameters.claimed", claim)


def order_of(statement):
    return statement["predicate"]["buildDefinition"]["internalParameters"]["buildOrder"]["sha256"]


def changed(statement, path, value):
    """A deep copy with one place set, or removed where the value is `...`; the path is words joined by dots."""
    copy = json.loads(json.dumps(statement))
    *above, last = [int(word) if word.isdigit() else word for word in path.split(".")]
    place = copy
    for word in above:
        place = place[word]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return copy


def envelope(key, payload, /, keyid=None, signature=None, **fields):
    payload = payload if isinstance(payload, bytes) else compact(payload)
    signature = signature or key.sign(signed_bytes(payload))
    return {"payloadType": PAYLOAD_TYPE, "payload": base64.b64encode(payload).decode(),
            "signatures": [{"keyid": key.id if keyid is None else keyid, "sig": base64.b64encode(signature).decode()}]} | fields


def line(key, payload, /, **more):
    return compact(envelope(key, payload, **more))


def signer(key, role, /, **more):
    fields = {"name": key.name, "key": key.line, "roles": [role]} | more
    return "[[signer]]\n" + "".join(f"{name} = {json.dumps(value)}\n" for name, value in fields.items() if value is not ...)


def policy(*signers, **require):
    require = {"rebuilders": 1} | require
    return "\n".join([*signers, "[require]\n" + "".join(f"{name} = {json.dumps(value)}\n" for name, value in require.items() if value is not ...)])


