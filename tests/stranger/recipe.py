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
        "build": {"steps", "outputs", "env", "source-date-epoch"}, "environment": {"kind", "default-roots", "roots"},
        "limits": {"time", "memory", "processes", "file-size", "tmp"}}


def read_recipe(text):
    """What a statement's reader needs of a recipe: name, version, the sorted roots, and the epoch or "git"."""
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
    _check(environment.get("kind", "host") == "host", "kind")
    default = environment.get("default-roots", True)
    _check(isinstance(default, bool), "default-roots")
    extra = environment.get("roots", [])
    _check(isinstance(extra, list), "roots")
    roots = sorted({_root(each) for each in [*(DEFAULT_ROOTS if default else ()), *extra]})
    for name in ("time", "processes"):
        _whole(limits.get(name, 1), 1)
    for name in ("memory", "file-size", "tmp"):
        _size(limits.get(name, 1))
    return {"name": table["name"], "version": table["version"], "roots": roots, "epoch": epoch}


def read_lock(data):
    """The epoch and the roots of a lock; refused where it is not the one text of them."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Refused("lock") from error
    found = re.fullmatch(r"countersign-lock v1\nkind host\nsource-date-epoch (0|[1-9][0-9]*)\n((?:root /[^\n]*\n)*)", text, re.ASCII)
    _check(found and len(data) <= MAX_LOCK and int(found[1]) < 2**64, "no lock")
    roots = [_allowed(b"/" + unescape_path(line[len("root /"):])) for line in found[2].split("\n")[:-1]]
    _check(roots == sorted(set(roots)), "roots not in order, or twice")
    return int(found[1]), roots


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


def _size(value):
    if isinstance(value, str):
        found = SIZE.fullmatch(value)
        _check(found, "no size")
        value = int(found[1]) << {"KiB": 10, "MiB": 20, "GiB": 30}[found[2]]
        _check(value < 2**64, "no size")
        return _check(value > 0, "a size of zero")
    return _whole(value, 1)


def _whole(value, least):
    _check(type(value) is int and least <= value < 2**63, "no number, or out of range")
    return value


def _text(value):
    _check(isinstance(value, str), "no string")
    return value


def _check(good, what):
    if not good:
        raise Refused("recipe", what)
