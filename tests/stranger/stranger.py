"""A second verifier, written from docs/spec.md alone: Python's standard library, and openssl for one signature equation.

    stranger.py digest DIR [--output]
    stranger.py listing-check FILE
    stranger.py verify FILE... --bundle B --policy P [--product X] [--version X] [--as NAME]
"""

import argparse
import base64
import hashlib
import sys
import tomllib

from primitives import Refused, blake3, ed25519_verify, is_strict_point, sha256, strict_base64
from recipe import KINDS, VOUCHER
from statements import APPROVAL, LEVELS, PROVENANCE, VERDICTS, read_line, read_statement, signed_bytes
from trees import check_listing, tree_digest

YES, NO, USAGE, REFUSED, BROKEN, UNAVAILABLE, PENDING = 0, 1, 2, 3, 4, 7, 8
MAX_BUNDLE, MAX_LINE, MAX_LINES, MAX_POLICY, MAX_SIGNERS = 512 << 20, 256 << 20, 100_000, 1 << 20, 1000
CONTROLS = {"address-layout", "capabilities", "filesystem", "host-name", "identity", "landlock", "landlock-scopes", "limits", "network",
            "no-new-privileges", "processes", "seccomp", "vouchers"}
STEPS = ("limits", "policy", "envelopes", "signatures", "statements", "roles and builders", "release identity", "files", "rebuilds",
         "thresholds", "dissent")


class Failed(Exception):
    """A step of section 8 that failed."""

    def __init__(self, step, code, reason):
        super().__init__(reason)
        self.step, self.code = step, code


# --- the policy, section 7 ---

class Signer:
    def __init__(self, table, names):
        _only_keys(table, {"name", "key", "roles", "builders", "organisation", "jurisdiction", "platform"}, {"name", "key", "roles"})
        if not all(isinstance(table.get(key, ""), str) for key in ("name", "key", "organisation", "jurisdiction", "platform")):
            raise Refused("policy", "a signer's field is no string")
        if not all(table.get(key, "x").strip() for key in ("name", "organisation", "jurisdiction", "platform")):
            raise Refused("policy", "an empty text")
        self.name, self.key = table["name"], ssh_key(table["key"])
        if self.name in names:
            raise Refused("policy", "a signer's name is there twice")
        roles = _strings(table["roles"], {"vendor", "rebuilder", "approver"})
        if len(roles) != 1:
            raise Refused("policy", "one role for each signer")
        self.vendor, self.rebuilder, self.approver = (roles == {role} for role in ("vendor", "rebuilder", "approver"))
        if self.approver and "builders" in table:
            raise Refused("policy", "an approver with builders")
        self.fingerprint = fingerprint(self.key)
        self.builders = set() if self.approver else _strings(table.get("builders", [f"urn:countersign:builder:{self.fingerprint}"]))
        self.attributes = {name: _folded(table.get(name)) for name in ("organisation", "jurisdiction", "platform")}


class Policy:
    def __init__(self, data):
        if len(data) > MAX_POLICY:
            raise Refused("policy", "larger than 1 MiB")
        try:
            table = tomllib.loads(data.decode("utf-8"))
        except RecursionError as error:
            raise Refused("policy", "nested too deeply") from error
        _only_keys(table, {"signer", "require"}, {"signer", "require"})
        if not isinstance(table["signer"], list) or len(table["signer"]) > MAX_SIGNERS:
            raise Refused("policy", "signer is no array of tables, or too long")
        self.signers = []
        for each in table["signer"]:
            self.signers.append(Signer(each, {signer.name for signer in self.signers}))
        self.by_key = {signer.key: signer for signer in self.signers}
        if len(self.by_key) != len(self.signers):
            raise Refused("policy", "one key is there twice")
        self._read_require(table["require"])
        self._check_reachable()

    def _read_require(self, require):
        counts = {"organisations": "organisation", "jurisdictions": "jurisdiction", "platforms": "platform"}
        _only_keys(require, {"vendor", "rebuilders", "approvals", "observation", "vetoes", "controls", "environment", "environments", "vouchers", *counts},
                   {"rebuilders"})
        self.vendor = _count(require.get("vendor", 1))
        self.rebuilders = 0 if require["rebuilders"] == "none" else _count(require["rebuilders"])
        self.attributes = {counts[key]: _count(require[key]) for key in counts if key in require}
        self.levels = _strings(require.get("observation", ["isolated"]), set(LEVELS))
        self._read_builds(require)
        self.vetoes = _count(require.get("vetoes", 1))
        self.approvals = _count(require["approvals"]) if "approvals" in require else 0
        if "vetoes" in require and self.vetoes > sum(signer.rebuilder for signer in self.signers):
            raise Refused("policy", "more vetoes than rebuilders")
        if require["rebuilders"] != "none" and set(self.levels) == {"not-observed"}:
            raise Refused("policy", "no level of a rebuild")
        if require["rebuilders"] == "none" and self.attributes:
            raise Refused("policy", "a threshold of attributes, and no rebuilders")

    def _read_builds(self, require):
        """What a build must have been, besides observed."""
        self.controls = set(_strings(require["controls"], CONTROLS)) if require.get("controls", []) != [] else set()
        self.kinds = set(_strings(require["environment"], set(KINDS))) if "environment" in require else set(KINDS)
        self.vouchers = set(_strings(require["vouchers"])) if "vouchers" in require else None
        self.environments = _count(require["environments"]) if "environments" in require else 0
        if self.vouchers is not None and not all(VOUCHER.fullmatch(each) for each in self.vouchers):
            raise Refused("policy", "no voucher")
        if self.vouchers is not None and self.kinds == {"host"}:
            raise Refused("policy", "nobody vouches for a host")
        if self.controls and "isolated" not in self.levels:
            raise Refused("policy", "controls of a build that is not isolated")
        if self.environments > 1 and (self.vouchers is not None or "host" not in self.kinds):
            raise Refused("policy", "an image is the same for all")

    def accepts(self, build, rebuild):
        """Whether this build counts, of a vendor or as a rebuild."""
        kind, vouchers, held = build["kind"], build["vouchers"], build["enforced"]
        if build["level"] not in self.levels or not self.controls - {"vouchers"} <= held or kind not in self.kinds:
            return False
        if self.vouchers is not None and (kind == "host" or not vouchers <= self.vouchers):
            return False
        # Of a rebuild alone, and where somebody but the vendor vouches for something.
        others, demanded = bool(vouchers - {"vendor"}), "vouchers" in self.controls
        if not rebuild or (self.vouchers is None and not demanded):
            return True
        return "vouchers" in held if others else not demanded

    def _check_reachable(self):
        vendors = [signer for signer in self.signers if signer.vendor]
        self.vendor_organisations = {signer.attributes["organisation"] for signer in vendors} - {None}
        rebuilders = [signer for signer in self.signers if self.counts(signer)]
        approvers = [signer for signer in self.signers if signer.approver]
        if len(vendors) < self.vendor or len(rebuilders) < self.rebuilders or len(approvers) < self.approvals:
            raise Refused("policy", "the signers cannot meet the threshold")
        if self.environments > (len(rebuilders) if self.rebuilders else 0):
            raise Refused("policy", "the signers cannot be in so many environments")
        for attribute, needed in self.attributes.items():
            if len(distinct(rebuilders, attribute)) < needed:
                raise Refused("policy", f"the signers cannot meet the threshold of {attribute}s")
        vendor_ids = {builder for signer in vendors for builder in signer.builders}
        if any(vendor_ids & signer.builders for signer in self.signers if not signer.vendor):
            raise Refused("policy", "a builder id is under a vendor and a rebuilder")

    def counts(self, signer):
        """Whether this is a rebuilder independent of every vendor's organisation."""
        return signer.rebuilder and signer.attributes["organisation"] not in self.vendor_organisations


def distinct(signers, attribute):
    return {signer.attributes[attribute] for signer in signers} - {None}


def ssh_key(line):
    parts = line.split(" ", 2)
    if "\n" in line or len(parts) < 2 or parts[0] != "ssh-ed25519":
        raise Refused("policy", "not an ssh-ed25519 key")
    blob = strict_base64(parts[1])
    if len(blob) != 51 or blob[:19] != b"\0\0\0\x0bssh-ed25519\0\0\0\x20" or not is_strict_point(blob[19:]):
        raise Refused("policy", "not a sound ssh-ed25519 key")
    return blob[19:]


def fingerprint(key):
    blob = b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + key
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def _only_keys(table, allowed, required):
    if not isinstance(table, dict) or not required <= set(table) <= allowed:
        raise Refused("policy", "a key is unknown or missing")


def _strings(value, allowed=None):
    if not isinstance(value, list) or not value or not all(isinstance(each, str) and each for each in value) or len(set(value)) != len(value):
        raise Refused("policy", "not an array of strings, or empty")
    if allowed and not set(value) <= allowed:
        raise Refused("policy", "an unknown value")
    return set(value)


def _folded(attribute):
    """Attributes are equal but for case and runs of white space."""
    return attribute and " ".join(attribute.lower().split())


def _count(value):
    if type(value) is not int or value < 1:
        raise Refused("policy", "a threshold is an integer from 1")
    return value


# --- verifying, section 8 ---

def verify(options, say):
    """The exit code, and the step that failed or None. `say` gets a line for each step."""
    try:
        files = [(path, _read(path)) for path in options.files]
        bundle, policy = _read(options.bundle), _read(options.policy)
    except OSError as error:
        say(f"not available: {error}")
        return UNAVAILABLE, None
    failed = None
    try:
        _verify(bundle, policy, [(path, {"sha256": sha256(data), "blake3": blake3(data)}) for path, data in files], options)
    except Failed as error:
        failed = error
    for number, name in enumerate(STEPS, 1):
        if failed and number >= failed.step:
            say(f"step {number} {name}: " + (f"FAIL {failed}" if number == failed.step else "skipped not reached"))
        else:
            say(f"step {number} {name}: pass")
    say(f"refused at step {failed.step}, exit {failed.code}" if failed else "accepted")
    return (failed.code, failed.step) if failed else (YES, None)


def _read(path):
    with open(path, "rb") as file:
        return file.read()


def _verify(bundle, policy_bytes, files, options):
    lines = bundle.split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    if len(bundle) > MAX_BUNDLE or len(lines) > MAX_LINES or any(len(line) > MAX_LINE for line in lines):
        raise Failed(1, BROKEN, "the bundle is over a limit")
    try:
        policy = Policy(policy_bytes)
    except ValueError as error:
        raise Failed(2, USAGE, str(error)) from error
    envelopes, malformed = _envelopes(lines)
    verified, forged = _signatures(envelopes, malformed, policy)
    statements = _statements(verified)
    vendors = [(signer, each) for signer, each in statements
               if signer.vendor and each["type"] == PROVENANCE and each["builder"] in signer.builders and policy.accepts(each, False)]
    if not vendors:
        raise Failed(6, BROKEN if forged else REFUSED, "no provenance by a vendor's key and builder at an accepted level")
    vendors = [(signer, each) for signer, each in vendors
               if options.product in (None, each["release"]["product"]) and options.version in (None, each["release"]["version"])]
    if not vendors:
        raise Failed(7, REFUSED, "no statement about this product and version")
    failures = []
    for order in dict.fromkeys(each["order"] for _, each in vendors):
        try:
            return _one_release(order, [pair for pair in vendors if pair[1]["order"] == order], statements, policy, files, options)
        except Failed as error:
            failures.append(error)
    raise max(failures, key=lambda failure: failure.step)


def _envelopes(lines):
    envelopes, malformed = [], 0
    for line in lines:
        try:
            value = read_line(line)
            if isinstance(value, dict):
                envelopes.append(value)
        except Refused:
            malformed += 1
    if not envelopes:
        raise Failed(3, BROKEN, "no envelope in the bundle")
    return envelopes, malformed


def _signatures(envelopes, malformed, policy):
    """Pairs of a signer and a payload that verified, and whether a signature names a vendor's key and is not by it. Step 4."""
    verified, claimed = [], set()
    for envelope in envelopes:
        message, found = signed_bytes(envelope["payload"]), {}
        for keyid, signature in envelope["signatures"]:
            tried = sorted(policy.signers, key=lambda signer: signer.fingerprint != keyid)
            match = next((signer for signer in tried if ed25519_verify(signer.key, signature, message)), None)
            if match:
                found[match.key] = match
            claimed |= {signer.key for signer in policy.signers if signer.vendor and signer.fingerprint == keyid and signer is not match}
        verified += [(signer, envelope["payload"]) for signer in found.values()]
    vendors = {signer.key for signer, _ in verified if signer.vendor}
    if len(vendors) < policy.vendor and claimed - vendors:
        raise Failed(4, BROKEN, "an envelope that names a vendor's key does not verify")
    if not vendors:
        raise Failed(4, BROKEN if malformed else REFUSED, "nothing is signed by a vendor's key of the policy")
    return verified, bool(claimed)


def _statements(verified):
    statements = []
    for signer, payload in verified:
        try:
            statements.append((signer, read_statement(payload)))
        except Refused as error:
            if signer.vendor:
                raise Failed(5, BROKEN, f"a statement of {signer.name}: {error}") from error
    return statements


def _one_release(order, vendors, statements, policy, files, options):
    """Steps 8 to 11 for the vendor's statements of one build order."""
    for path, file in files:
        if not any(_names(each, file, options.subject) for _, each in vendors):
            raise Failed(8, NO, f"{path} is not what was signed")
    rebuilds = [(signer, each) for signer, each in statements
                if policy.counts(signer) and each["type"] == PROVENANCE and each["builder"] in signer.builders
                and policy.accepts(each, True) and each["level"] != "not-observed" and each["order"] == order]
    approvals = [(signer, each) for signer, each in statements if signer.approver and each["type"] == APPROVAL]
    missing = [f"{path}: {lacks}" for path, file in files if (lacks := _lacking(file, vendors, rebuilds, approvals, policy, options.subject))]
    dissent = [path for path, file in files if len(_dissent(file, vendors, statements, options.subject)) >= policy.vetoes]
    if missing:
        raise Failed(10, REFUSED if dissent else PENDING, missing[0])
    if dissent:
        raise Failed(11, REFUSED, f"{dissent[0]}: rebuilders could not reproduce it")


def _lacking(file, vendors, rebuilds, approvals, policy, demanded):
    """What is missing for the thresholds of one file under the best of its names, or nothing."""
    lacks = []
    for name in {name for _, each in vendors for name in _names(each, file, demanded)}:
        vendor_keys = {signer.key for signer, each in vendors if name in _names(each, file)}
        manifests = {each["payload_digest"] for _, each in vendors if name in _names(each, file)}
        approvers = {signer.key for signer, each in approvals if each["manifest"] in manifests and name in _names(each, file)}
        counted = {signer.key: signer for signer, each in rebuilds if name in _names(each, file)}
        short = [attribute for attribute, needed in policy.attributes.items() if len(distinct(counted.values(), attribute)) < needed]
        places = {key: {digest for signer, each in rebuilds if signer.key == key and name in _names(each, file) for digest in each["environment"]}
                  for key in counted}
        if _matched(places) < policy.environments:
            short.append("environment")
        if len(vendor_keys) >= policy.vendor and len(counted) >= policy.rebuilders and len(approvers) >= policy.approvals and not short:
            return None
        lacks.append(f"{len(vendor_keys)} of {policy.vendor} vendors, {len(counted)} of {policy.rebuilders} rebuilders, "
                     f"{len(approvers)} of {policy.approvals} approvals" + "".join(
            f", too few {attribute}s" for attribute in short))
    return lacks[0]


def _matched(places):
    """How many keys can each be given a fingerprint of their own: the size of a maximum matching."""
    held = {}
    for start in places:
        # Breadth first from a key without one, by what others hold, to a fingerprint that nobody holds.
        came, queue = {}, [start]
        for key in queue:
            for digest in places[key] - came.keys():
                came[digest] = key
                if digest in held:
                    queue.append(held[digest])
                    continue
                while True:
                    key = came[digest]
                    before = next((each for each, holder in held.items() if holder == key), None)
                    held[digest] = key
                    if before is None:
                        break
                    del held[before]
                    digest = before
                queue = None
                break
            if queue is None:
                break
    return len(held)


def _dissent(file, vendors, statements, demanded):
    """The keys of the rebuilders who could not reproduce this file, in an environment that is equal, and did not take it back."""
    vouched = {digest for _, each in vendors if _names(each, file, demanded) for digest in each["environment"]}
    references = {each["payload_digest"]: each for signer, each in statements if signer.vendor and each["type"] == PROVENANCE}
    verdicts = [(signer, each) for signer, each in statements
                if signer.rebuilder and each["type"] in VERDICTS and each["builder"] in signer.builders]
    replaced = {(signer.key, each["order"], each["supersedes"]) for signer, each in verdicts}
    keys = set()
    for signer, each in verdicts:
        reference, rebuild = each["environments"]
        compared_with = references.get(each["reference"])
        if (VERDICTS[each["type"]] == "not-reproduced" and rebuild is not None and rebuild in {*vouched, reference}
                and compared_with and compared_with["order"] == each["order"] and compared_with["from"] == vendors[0][1]["from"]
                and file["sha256"] in each["differs"] and any(file["sha256"] == digests["sha256"] for _, digests in each["subjects"])
                and (signer.key, each["order"], each["payload_digest"]) not in replaced):
            keys.add(signer.key)
    return keys


def _names(statement, file, demanded=None):
    """The names of the subjects (or the one demanded) that equal the file on every recognised digest that they have."""
    return {name for name, digests in statement["subjects"]
            if demanded in (None, name) and all(file[kind] == digest for kind, digest in digests.items())}


def main(arguments, say=print):
    """The exit code and the failed step."""
    parser = argparse.ArgumentParser(prog="stranger.py")
    commands = parser.add_subparsers(dest="command", required=True)
    digest = commands.add_parser("digest")
    digest.add_argument("directory")
    digest.add_argument("--output", action="store_true")
    commands.add_parser("listing-check").add_argument("file")
    check = commands.add_parser("verify")
    check.add_argument("files", nargs="+")
    check.add_argument("--bundle", required=True)
    check.add_argument("--policy", required=True)
    check.add_argument("--product")
    check.add_argument("--version")
    check.add_argument("--as", dest="subject")
    options = parser.parse_args(arguments)
    if options.command == "verify":
        return verify(options, say)
    try:
        if options.command == "digest":
            say("sha256:" + tree_digest(options.directory, "output" if options.output else "source"))
        else:
            say("valid " + check_listing(_read(options.file)))
    except Refused as error:
        say(f"refused {error.kind}")
        return BROKEN, None
    except OSError as error:
        say(f"not available: {error}")
        return UNAVAILABLE, None
    return YES, None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:])[0])
