"""Recipes and locks: section 3 of the specification."""

import re
import tomllib

from primitives import Refused, check_path, escape_path, unescape_path

MAX_RECIPE, MAX_LOCK = 256 << 10, 1 << 20
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+~-]{0,127}", re.ASCII)
PREFIXED = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)
SIZE = re.compile(r"([0-9]+)(KiB|MiB|GiB)", re.ASCII)
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
FIXED = ("HOME", "LANG", "LC_ALL", "LOGNAME", "PATH", "SHELL", "SOURCE_DATE_EPOCH", "TMPDIR", "TZ", "USER")
DEFAULT_ROOTS = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/usr", "/etc/alternatives", "/etc/ld.so.cache", "/etc/ld.so.conf",
                 "/etc/ld.so.conf.d")
RESERVED = ("/proc", "/sys", "/dev", "/run", "/tmp", "/var/tmp", "/home/build", "/build")
PRIVATE = ("/etc", "/home", "/media", "/mnt", "/root", "/srv", "/var")
KEYS = {"release": {"channel", "target", "sequence", "previous"}, "source": {"exclude", "strip"},
        "build": {"steps", "outputs", "env", "source-date-epoch"},
        "environment": {"kind", "default-roots", "roots", "image", "reference", "suites", "components", "packages", "tools", "fetch"},
        "limits": {"time", "memory", "processes", "file-size", "tmp", "outputs", "log"}}
# Which keys go with a kind, and which classes of parts, with how many there must be where it is one number.
KINDS = {"host": ({"default-roots", "roots"}, {}), "rootfs": ({"image"}, {"archive": 1}),
         "oci": ({"image", "reference"}, {"oci-manifest": 1, "oci-config": 1, "oci-layer": None}),
         "debian": ({"suites", "components", "packages"}, {"deb": None, "index": None, "release": None})}
# Which classes what a source depends on has, by the kind of its lock files.
FETCHED = {"cargo": ("crate",), "pip": ("python",), "npm": ("npm",), "go": ("go-mod", "go-zip")}
DEPENDENCIES = tuple(name for names in FETCHED.values() for name in names)
CLASSES = ("archive", "deb", "index", "oci-manifest", "oci-config", "oci-layer", "release", "tool", *DEPENDENCIES)
MAX_LIST, MAX_PARTS = 4096, 16384
PART_WORD = re.compile(r"[!-~]{1,256}", re.ASCII)
PLACE = re.compile(r"([A-Za-z0-9._-]+):([!-~]+)", re.ASCII)
VOUCHER = re.compile(r"vendor|source|openpgp:(?:[0-9a-f]{40}|[0-9a-f]{64})", re.ASCII)
HEX = re.compile(r"[0-9a-f]{64}", re.ASCII)
NUMBER = re.compile(r"0|[1-9][0-9]*", re.ASCII)


def read_recipe(text):
    """What a statement's reader needs of a recipe: name, version, the epoch or "git", and the environment that it asks for."""
    if len(text.encode()) > MAX_RECIPE:
        raise Refused("recipe", "too long")
    try:
        table = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise Refused("recipe", str(error)) from error
    _check(set(table) <= {"name", "version", *KEYS}, "an unknown key")
    for name, keys in KEYS.items():
        _check(isinstance(table.get(name, {}), dict) and set(table.get(name, {})) <= keys, f"{name} is no table, or has an unknown key")
    release, source, build, environment, limits = (table.get(name, {}) for name in KEYS)
    for value in (table.get("name"), table.get("version"), release.get("channel", "stable"), release.get("target", "x")):
        _check(isinstance(value, str) and NAME.fullmatch(value), "a name of the release")
    _whole(release.get("sequence", 0), 0)
    _check(PREFIXED.fullmatch(_text(release.get("previous", "sha256:" + "0" * 64))), "previous")
    _globs(source.get("exclude", [".git"]))
    _check(_whole(source.get("strip", 0), 0) <= 8, "strip")
    steps = build.get("steps")
    _check(isinstance(steps, list) and 1 <= len(steps) <= 256, "steps")
    for step in steps:
        _check(isinstance(step, list) and step and _text(step[0]), "an empty step")
        _check(all("\0" not in _text(word) for word in step), "an argument with a NUL")
    _check(build.get("outputs"), "no outputs")
    _globs(build["outputs"])
    _variables(build.get("env", {}))
    epoch = build.get("source-date-epoch", 315532800)
    if epoch != "git":
        _whole(epoch, 0)
    _whole(limits.get("time", 1), 1, 604_800)
    _whole(limits.get("processes", 1), 1, 1_000_000)
    for name, most in {"memory": 2**64 - 1, "file-size": 2**64 - 1, "tmp": 64 << 30, "outputs": 1024 << 30, "log": 16 << 30}.items():
        _size(limits.get(name, 1), most)
    return {"name": table["name"], "version": table["version"], "epoch": epoch, "environment": _environment(environment)}


def _environment(table):
    """Kind, sorted roots, name and version of each tool, the packages, and the kinds of what is fetched."""
    kind = table.get("kind", "host")
    _check(isinstance(kind, str) and kind in KINDS, "kind")
    _check(set(table) <= {"kind", "tools", "fetch"} | KINDS[kind][0], "a key of another kind")
    tools, places = _tools(table.get("tools", []))
    fetch, more = _fetch(table.get("fetch", []))
    places = sorted(places + more)
    _check(not any(after.startswith(before) for before, after in zip(places, places[1:])), "something in another's directory")
    default = table.get("default-roots", kind == "host")
    _check(isinstance(default, bool), "default-roots")
    extra = table.get("roots", [])
    _check(isinstance(extra, list), "roots")
    roots = sorted({_root(each) for each in [*(DEFAULT_ROOTS if default else ()), *extra]})
    if kind in ("rootfs", "oci"):
        _place(table.get("image"))
        _text(table.get("reference", ""))
    packages = []
    if kind == "debian":
        for each in _list(table.get("suites")):
            mirror, colon, suite = _text(each).partition(":")
            mirror, suite = (mirror, suite) if colon else ("debian", mirror)
            _word(suite)
            _check("/" not in suite, "no suite")
            _place(f"{mirror}:dists/{suite}")
        for each in _list(table.get("components", ["main"])):
            _word(each)
        packages = [_word(each) for each in _list(table.get("packages"))]
    return {"kind": kind, "roots": roots, "tools": tools, "packages": packages, "fetch": fetch}


def _tools(tables):
    _check(isinstance(tables, list) and len(tables) <= MAX_LIST, "tools")
    places = []
    for table in tables:
        _check(isinstance(table, dict) and {"name", "version", "from", "at"} <= set(table) <= {"name", "version", "from", "at", "strip"}, "a tool")
        _word(table["name"])
        _word(table["version"])
        places.append(_root(table["at"]) + b"/")
        _check(_whole(table.get("strip", 0), 0) <= 8, "strip of a tool")
        each = table["from"]
        if isinstance(each, dict):
            _check(each and "" not in each, "no architecture")
        for place in each.values() if isinstance(each, dict) else [each]:
            _place(place)
    named = [(table["name"], table["version"]) for table in tables]
    _check(len({name for name, _ in named}) == len(named), "a tool twice")
    return sorted(named), places


def _fetch(tables):
    _check(isinstance(tables, list), "fetch")
    kinds, places = [], []
    for table in tables:
        _check(isinstance(table, dict) and {"kind", "from"} <= set(table) <= {"kind", "from", "at", "mirror"}, "a fetch")
        kind = _text(table["kind"])
        _check(kind in FETCHED, "a kind of lock files that there is not")
        paths = [_text(each).encode() for each in _list(table["from"])]
        for path in paths:
            check_path(path)
        _check(len(set(paths)) == len(paths), "a lock file twice")
        mirror = _text(table.get("mirror", "x"))
        _check(":" not in mirror, "no mirror")
        _place(f"{mirror}:x")
        kinds.append(kind)
        places.append(_root(table.get("at", f"/vendor/{kind}")) + b"/")
    _check(len(set(kinds)) == len(kinds), "a kind of lock files twice")
    return kinds, places


def read_lock(data):
    """A lock as what it says; refused where it is not the one text of that."""
    _check(len(data) <= MAX_LOCK, "too long a lock")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Refused("lock") from error
    _check(text.endswith("\n"), "a lock that is not ended")
    lines = text[:-1].split("\n")[::-1]

    def line(start):
        return lines.pop()[len(start):] if lines and lines[-1].startswith(start) else None

    _check(line("countersign-lock v1") == "", "no lock")
    kind, epoch = line("kind "), line("source-date-epoch ")
    _check(kind in KINDS, "a lock of no kind")
    _check(epoch is not None and NUMBER.fullmatch(epoch) and int(epoch) < 2**64, "the lock's epoch")
    architecture, tree, roots, parts = line("architecture "), None, [], []
    if architecture is not None:
        tree = line("tree ")
        _check(NAME.fullmatch(architecture) and tree is not None and HEX.fullmatch(tree), "architecture and tree")
    while kind == "host" and (root := line("root /")) is not None:
        roots.append(_allowed(b"/" + unescape_path(root)))
    while architecture is not None and (part := line("part ")) is not None:
        parts.append(_part(part))
    _check(not lines, "a line that does not stand there in a lock")
    _check(roots == sorted(set(roots)), "roots not in order, or twice")
    _check(parts == sorted(set(parts)) and len(parts) <= MAX_PARTS, "parts not in order, twice, or too many")
    _check((architecture is None and kind == "host") or parts, "an image of nothing")
    _check(kind != "host" or all(CLASSES[part[0]] in ("tool", *DEPENDENCIES) for part in parts), "an image's parts beside a host's paths")
    return {"kind": kind, "epoch": int(epoch), "architecture": architecture, "tree": tree, "roots": roots,
            "parts": [(CLASSES[part[0]], *part[1:]) for part in parts]}


def _part(text):
    """The fields in the order by which parts are sorted."""
    fields = text.split(" ")
    _check(len(fields) == 7, "a part that has not seven fields")
    class_word, name, version, digest, size, voucher, place = fields
    _check(class_word in CLASSES and HEX.fullmatch(digest) and NUMBER.fullmatch(size) and int(size) < 2**64, "a part")
    _check(VOUCHER.fullmatch(voucher) and (voucher == "source") == (class_word in DEPENDENCIES), "a voucher")
    mirror, _, path = (place if place == "-" else _place(place)).partition(":")
    # `-` is before any place, `vendor` after `openpgp` by its bytes but first here.
    return (CLASSES.index(class_word), _word(name), _word(version), digest, int(size), (voucher != "vendor", voucher), (place != "-", mirror, path))


def fits(environment, lock):
    """Section 3.2: whether a lock is one of what a recipe asks for."""
    kind = environment["kind"]
    _check(lock["kind"] == kind, "the lock is of another kind")
    _check(lock["roots"] == environment["roots"], "the lock has other roots")
    tools = [part[1:3] for part in lock["parts"] if part[0] == "tool"]
    _check(tools == environment["tools"], "the lock has other tools")
    fetched = [FETCHED[each] for each in environment["fetch"]]
    there = {part[0] for part in lock["parts"]}
    _check(all(there & set(names) for names in fetched), "the lock has nothing of what is fetched")
    _check(not there - {name for names in fetched for name in names} & set(DEPENDENCIES), "the lock has what is not fetched")
    classes, of_kind = [part[0] for part in lock["parts"] if part[0] not in ("tool", *DEPENDENCIES)], KINDS[kind][1]
    _check(set(classes) <= set(of_kind), "the lock has parts of another kind")
    _check(all(number is None or classes.count(name) == number for name, number in of_kind.items()), "not one archive, manifest or config")
    debs = [(part[1].split(":")[0], part[2]) for part in lock["parts"] if part[0] == "deb"]
    _check(len(dict(debs)) == len(debs), "a package twice")
    for each in environment["packages"]:
        name, equals, version = each.partition("=")
        _check(name in dict(debs) and (not equals or dict(debs)[name] == version), "a package is missing")


def lock_text(epoch, roots):
    return f"countersign-lock v1\nkind host\nsource-date-epoch {epoch}\n" + "".join(f"root /{escape_path(root[1:])}\n" for root in roots)


def _root(value):
    raw = _text(value).encode()
    _check(raw.startswith(b"/"), "a root that is not absolute")
    check_path(raw[1:])
    return _allowed(raw)


def _allowed(raw):
    for own in (each.encode() for each in RESERVED):
        _check(not (raw + b"/").startswith(own + b"/") and not (own + b"/").startswith(raw + b"/"), "a root that the sandbox has of its own")
    _check(raw.decode("utf-8", "replace") not in PRIVATE, "a root that is no environment")
    return raw


def _list(values):
    _check(isinstance(values, list) and 1 <= len(values) <= MAX_LIST, "a list that is missing, empty or too long")
    return values


def _word(value):
    _check(PART_WORD.fullmatch(_text(value)), "no word")
    return value


def _place(value):
    found = PLACE.fullmatch(_text(value))
    _check(found and len(value) <= 2048 and not {"", ".", ".."} & set(found[2].split("/")), "no place")
    return value


def _globs(values):
    _check(isinstance(values, list), "no array of globs")
    for each in values:
        parts = _text(each).split("/")
        _check(not re.search(r"[\[\]{}!\\\0]", each), "a glob of another dialect")
        _check(all(part not in ("", ".", "..") and ("**" not in part or part == "**") for part in parts), "no glob")


def _variables(table):
    _check(isinstance(table, dict), "env")
    _check(all(VARIABLE.fullmatch(key) and "\0" not in _text(value) for key, value in table.items()), "a variable that cannot be set")
    names = {*table, *FIXED}
    _check("SOURCE_DATE_EPOCH" not in table and len({name.upper() for name in names}) == len(names), "a variable twice")


def _size(value, most):
    if isinstance(value, str):
        found = SIZE.fullmatch(value)
        _check(found, "no size")
        value = int(found[1]) << {"KiB": 10, "MiB": 20, "GiB": 30}[found[2]]
        return _check(0 < value <= most, "a size of zero, or too large")
    return _whole(value, 1, most)


def _whole(value, least, most=2**63 - 1):
    _check(type(value) is int and least <= value <= min(most, 2**63 - 1), "no number, or out of range")
    return value


def _text(value):
    _check(isinstance(value, str), "no string")
    return value


def _check(good, what):
    if not good:
        raise Refused("recipe", what)
