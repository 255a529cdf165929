"""Envelopes, blobs and statements: sections 5 and 6 of the specification. Bytes in, checked values out."""

import re

from primitives import Refused, sha256, strict_base64, strict_json, unescape_path
from recipe import NAME, PREFIXED, fits, read_lock, read_recipe
from trees import refuse_folded

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT = "https://in-toto.io/Statement/v1"
PROVENANCE = "https://slsa.dev/provenance/v1"
RUN_RECORD = "urn:countersign:predicate:run-record:v1"
VERDICTS = {f"urn:countersign:predicate:{name}:v1": name for name in ("reproduced", "equivalent", "not-reproduced", "inconclusive")}
APPROVAL = "urn:countersign:predicate:approval:v1"
BLOB = "urn:countersign:blob:v1"
LISTING_TYPE = "text/vnd.countersign.tree.v1"
LEVELS = ("isolated", "observed", "not-observed")
ARTIFACT_VERDICTS = ("identical", "different", "nondeterministic", "missing", "extra", "not-built")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)
MAX_PAYLOAD, MAX_SUBJECTS, MAX_DIGESTS, MAX_SIGNATURES = 32 << 20, 65_536, 16, 16


def read_line(line):
    """An envelope {payload, signatures}, or the text of a blob."""
    value = _an(dict, strict_json(line))
    # An envelope may have any field beside its own.
    if (value.get("_type"), value.get("mediaType")) == (BLOB, LISTING_TYPE) and isinstance(value.get("text"), str):
        return value["text"]
    if _field(value, "payloadType", str) != PAYLOAD_TYPE:
        raise Refused("payload type")
    payload = strict_base64(_field(value, "payload", str), url_safe=True)
    if len(payload) > MAX_PAYLOAD:
        raise Refused("limit")
    signatures = []
    for each in _field(value, "signatures", list):
        signature = strict_base64(_field(_an(dict, each), "sig", str), url_safe=True)
        signatures.append((_an(str, each.get("keyid", "")), signature))
    if not 1 <= len(signatures) <= MAX_SIGNATURES:
        raise Refused("signatures")
    return {"payload": payload, "signatures": signatures}


def signed_bytes(payload):
    kind = PAYLOAD_TYPE.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def read_statement(payload):
    """A statement as a flat dict: type, subjects [(name, digests)], payload digest, and what its predicate says."""
    value = _an(dict, strict_json(payload))
    if _field(value, "_type", str) != STATEMENT:
        raise Refused("statement type")
    kind = _field(value, "predicateType", str)
    subjects = _subjects(_field(value, "subject", list))
    out = {"type": kind, "subjects": subjects, "payload_digest": sha256(payload)}
    reader = {PROVENANCE: _provenance, RUN_RECORD: _run_record, APPROVAL: _approval}.get(kind) or (_verdict if kind in VERDICTS else None)
    if kind == RUN_RECORD and [name for name, _ in subjects] != ["manifest"]:
        raise Refused("subjects")
    if kind == PROVENANCE:
        _could_be_a_tree([unescape_path(name) for name, _ in subjects])
    if reader:
        out.update(reader(_field(value, "predicate", dict)))
    return out


def _subjects(values):
    if not 1 <= len(values) <= MAX_SUBJECTS:
        raise Refused("subjects")
    out = []
    for each in values:
        name = _field(_an(dict, each), "name", str)
        unescape_path(name)
        out.append((name, digests(_field(each, "digest", dict))))
    if len({name for name, _ in out}) != len(out):
        raise Refused("subjects", "a subject is there twice")
    return out


def _could_be_a_tree(paths):
    refuse_folded(paths)
    files = set(paths)
    if any(b"/".join(path.split(b"/")[:n]) in files for path in paths for n in range(1, path.count(b"/") + 1)):
        raise Refused("subjects", "a subject is below another")


def digests(value):
    """The recognised digests of a set, lower-case."""
    if len(_an(dict, value)) > MAX_DIGESTS or not all(isinstance(each, str) for each in value.values()):
        raise Refused("digest")
    known = {name: value[name] for name in ("sha256", "blake3") if name in value}
    if "sha256" not in known or not all(re.fullmatch("[0-9A-Fa-f]{64}", each) for each in known.values()):
        raise Refused("digest")
    return {name: each.lower() for name, each in known.items()}


def _sha256(value, name):
    return digests(_field(value, name, dict))["sha256"]


def _listing(value):
    """The digest of a descriptor of a listing."""
    _one_of((LISTING_TYPE,), _field(value, "mediaType", str))
    return _sha256(value, "digest")


def _ids(value, form):
    if not re.fullmatch(form, _an(str, value)):
        raise Refused("source")


def _provenance(predicate):
    definition = _field(predicate, "buildDefinition", dict)
    if _field(definition, "buildType", str) != "urn:countersign:buildtype:recipe:v1":
        return {"type": "provenance of another build type"}
    external = _field(definition, "externalParameters", dict)
    if set(external) != {"recipe", "release"}:
        raise Refused("external parameters")
    recipe, release = _field(external, "recipe", str), _release(_field(external, "release", dict))
    internal = _field(definition, "internalParameters", dict)
    level = _one_of(LEVELS, _field(internal, "observation", str))
    controls = _field(internal, "controls", dict)
    for state in controls.values():
        _one_of(("enforced", "not-enforced"), state)
    variables = _field(internal, "variables", dict)
    for each in variables.values():
        _an(str, each)
    if "claimed" in internal:
        _claimed(_field(internal, "claimed", dict), level)
    named = {name: [] for name in ("source", "source-listing", "lock", "environment")}
    for each in _field(definition, "resolvedDependencies", list):
        named.get(_field(_an(dict, each), "name", str), []).append(each)
    if any(len(found) > 1 for found in named.values()) or not named["source-listing"] or not named["lock"]:
        raise Refused("dependencies")
    lock = named["lock"][0]
    lock_digest = _sha256(lock, "digest")
    lock_bytes = strict_base64(_field(lock, "content", str))
    if sha256(lock_bytes) != lock_digest:
        raise Refused("lock", "the lock's content is not what its digest says")
    pinned = read_lock(lock_bytes)
    _follows(read_recipe(recipe), release, pinned)
    environment = [_listing(each) for each in named["environment"]]
    for each in named["environment"]:
        notes = _field(each, "annotations", dict)
        _one_of((pinned["kind"],), _field(notes, "kind", str))
        _one_of(("builder",), _field(notes, "vouchedBy", str))
    for each in named["source"]:
        _ids(_field(each, "digest", dict).get("gitTree", "0" * 40), r"[0-9a-f]{40}")
        annotations = _an(dict, each.get("annotations", {}))
        _ids(annotations.get("swhid", "swh:1:dir:" + "0" * 40), r"swh:1:dir:[0-9a-f]{40}")
        _ids(annotations.get("gitTreeSha256", "0" * 64), r"[0-9a-f]{64}")
    if level == "not-observed" and (environment or variables):
        raise Refused("observation", "not observed, yet it has an environment or variables")
    found = environment + ([_sha256(internal["claimed"], "environment")] if "claimed" in internal else [])
    if pinned["kind"] != "host" and any(each != pinned["tree"] for each in found):
        raise Refused("environment", "the fingerprint is not the lock's tree")
    order = build_order(_listing(named["source-listing"][0]), sha256(recipe.encode()), lock_digest, release)
    if _sha256(internal, "buildOrder") != order:
        raise Refused("build order", f"the build order is {order}")
    details = _field(predicate, "runDetails", dict)
    outputs = [each for each in _field(details, "byproducts", list) if _field(_an(dict, each), "name", str) == "outputs"]
    if len(outputs) != 1:
        raise Refused("byproducts")
    _listing(outputs[0])
    return {"order": order, "release": release, "level": level, "environment": environment,
            "kind": pinned["kind"], "vouchers": {part[5][1] for part in pinned["parts"]}, "enforced": {name for name, state in controls.items() if state == "enforced"},
            "from": (_listing(named["source-listing"][0]), sha256(recipe.encode()), lock_digest), "builder": _field(_field(details, "builder", dict), "id", str)}


def _claimed(claim, level):
    """What a builder observed, where another one signed."""
    if level != "not-observed":
        raise Refused("claimed", "a claim beside what the signer observed")
    _sha256(claim, "statement")
    _one_of(("isolated", "observed"), _field(claim, "observation", str))
    if not _field(_field(claim, "builder", dict), "id", str):
        raise Refused("claimed", "an empty builder id")
    for state in _field(claim, "controls", dict).values():
        _one_of(("enforced", "not-enforced"), state)
    for each in _field(claim, "variables", dict).values():
        _an(str, each)
    _sha256(claim, "environment")


def _follows(recipe, release, lock):
    """Section 6.1: release and lock are those of the recipe."""
    if (release["product"], release["version"]) != (recipe["name"], recipe["version"]):
        raise Refused("release", "product or version is not the recipe's")
    if recipe["epoch"] not in ("git", lock["epoch"]):
        raise Refused("lock", "the lock has another epoch than the recipe")
    fits(recipe["environment"], lock)


def _release(value):
    if set(value) != {"product", "version", "channel", "target", "sequence", "previous"}:
        raise Refused("release")
    if not all(isinstance(value[name], str) and NAME.fullmatch(value[name]) for name in ("product", "version", "channel", "target")):
        raise Refused("release")
    sequence, previous = value["sequence"], value["previous"]
    if sequence is not None and not (type(sequence) is int and 0 <= sequence < 2**64):
        raise Refused("release")
    if previous is not None and not PREFIXED.fullmatch(_an(str, previous)):
        raise Refused("release")
    return value


def build_order(source, recipe, lock, release):
    """Section 6.2: the digest of what a rebuilder answers."""
    lines = ["countersign-build-order v1", f"source {source}", f"recipe {recipe}", f"lock {lock}"]
    for name in ("product", "version", "channel", "target", "sequence", "previous"):
        lines.append(f"{name} {'-' if release[name] is None else release[name]}")
    return sha256("".join(line + "\n" for line in lines).encode())


def _run_record(predicate):
    for name in ("startedOn", "finishedOn"):
        if not TIME.fullmatch(_field(predicate, name, str)):
            raise Refused("time")
    tool, host, log = (_field(predicate, name, dict) for name in ("tool", "host", "log"))
    _field(tool, "name", str)
    _field(tool, "version", str)
    for name in ("system", "release", "machine"):
        _field(host, name, str)
    _sha256(log, "digest")
    seconds = [_field(_an(dict, each), "seconds", int) for each in _field(predicate, "steps", list)]
    if min(_field(host, "processors", int), _field(log, "size", int), *seconds) < 0:
        raise Refused("number")
    return {}


def _verdict(predicate):
    if not TIME.fullmatch(_field(predicate, "comparedAt", str)):
        raise Refused("time")
    reference = _field(predicate, "reference", dict)
    compared_with, differs = _sha256(reference, "payload"), set()
    _one_of(("checked", "claimed"), _field(reference, "signer", str))
    if predicate.get("rebuild") is not None:
        _sha256(_field(predicate, "rebuild", dict), "payload")
    environment = _field(predicate, "environment", dict)
    environments = [None if environment.get(side) is None else _sha256(environment, side) for side in ("reference", "rebuild")]
    if type(predicate.get("runs")) is not int or predicate["runs"] < 0:
        raise Refused("runs")
    _field(predicate, "reason", str)
    for each in _field(predicate, "artifacts", list):
        unescape_path(_field(_an(dict, each), "name", str))
        _one_of(ARTIFACT_VERDICTS, _field(each, "verdict", str))
        for side in ("reference", "rebuilt"):
            if side not in each:
                raise Refused("missing", f"{side} is missing")
            digest = None if each[side] is None else _sha256(each, side)
            if side == "reference" and each["verdict"] != "identical":
                differs.add(digest)
    supersedes = predicate.get("supersedes")
    if supersedes is not None:
        _field(_an(dict, supersedes), "reason", str)
        supersedes = _sha256(supersedes, "payload")
    return {"order": _sha256(predicate, "buildOrder"), "builder": _field(_field(predicate, "rebuilder", dict), "id", str),
            "environments": environments, "supersedes": supersedes, "reference": compared_with, "differs": differs}


def _approval(predicate):
    manifest = _field(predicate, "manifest", dict)
    _one_of(("checked", "claimed"), _field(manifest, "signer", str))
    if "outputs" not in predicate:
        raise Refused("missing", "outputs is missing")
    if predicate["outputs"] is not None:
        _sha256(predicate, "outputs")
    return {"manifest": _sha256(manifest, "payload")}


def _an(kind, value):
    if type(value) is not kind:
        raise Refused("type", f"expected {kind.__name__}")
    return value


def _field(value, name, kind):
    if name not in value:
        raise Refused("missing", f"{name} is missing")
    return _an(kind, value[name])


def _one_of(allowed, value):
    if value not in allowed:
        raise Refused("value", f"{value!r} is none of {allowed}")
    return value
