"""Trees and listings: section 2 of the specification."""

import hashlib
import os
import re
import stat
import unicodedata

from primitives import Refused, escape_path, sha256, unescape_path

LINE = re.compile(r"([0-7]{6}) (0|[1-9][0-9]*) ([0-9a-f]{64}|-) (.+)", re.ASCII | re.DOTALL)
FILE_MODES = {"source": r"100644|100755", "output": r"10[0-7]{4}", "environment": r"10[0-7]{4}"}
DIRECTORY_MODES = {"source": r"040000", "output": r"04[0-7]{4}", "environment": r"04[0-7]{4}"}
# What cannot be opened, a device, FIFO or socket: only in an environment, as it stands.
SPECIAL_MODES = r"10[0-7]{4}|02[0-7]{4}|06[0-7]{4}|01[0-7]{4}|14[0-7]{4}"


def tree_digest(directory, kind="source"):
    """The listing of a directory on disk, and its digest."""
    entries = {}
    _scan(os.fsencode(directory), b"", kind, entries)
    if kind == "output":
        refuse_folded(entries)
    lines = [f"countersign-tree v1 {kind}\n"]
    lines += [f"{mode} {size} {digest} {escape_path(path)}\n" for path, (mode, size, digest) in sorted(entries.items())]
    return sha256("".join(lines).encode())


def _scan(directory, prefix, kind, entries):
    for name in os.listdir(directory):
        full, path = os.path.join(directory, name), prefix + name
        if kind == "source" and path == b".git":
            continue
        mode = os.lstat(full).st_mode
        if stat.S_ISDIR(mode):
            below = len(entries)
            _scan(full, path + b"/", kind, entries)
            if kind == "output" or len(entries) == below:
                entries[path] = ("040000" if kind == "source" else f"04{mode & 0o7777:04o}", 0, "-")
        elif stat.S_ISLNK(mode):
            target = os.readlink(full)
            entries[path] = ("120000", len(target), sha256(target))
        elif stat.S_ISREG(mode):
            with open(full, "rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            text = f"10{mode & 0o7777:04o}" if kind == "output" else "100755" if mode & 0o100 else "100644"
            entries[path] = (text, os.lstat(full).st_size, digest)
        else:
            raise Refused("special", f"{escape_path(path)} is neither file, link nor directory")


def refuse_folded(paths):
    seen = set()
    for path in paths:
        text = unicodedata.normalize("NFKC", escape_path(path)).lower()
        folded = unicodedata.normalize("NFKC", text)
        if folded in seen:
            raise Refused("folded", f"{escape_path(path)} is like another path but for case or form")
        seen.add(folded)


def check_listing(data):
    """The kind of a listing; refused where it is not exactly one that a tree has."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Refused("utf-8") from error
    lines = text.split("\n")
    if lines.pop() != "":
        raise Refused("end", "the last line is not ended")
    header = re.fullmatch(r"countersign-tree v1 (source|output|environment)", lines[0] if lines else "")
    if not header:
        raise Refused("header")
    kind, entries, last = header.group(1), {}, b""
    for line in lines[1:]:
        parsed = LINE.fullmatch(line)
        if not parsed:
            raise Refused("line")
        mode, size, digest, name = parsed.groups()
        path = unescape_path(name)
        if path <= last:
            raise Refused("duplicate" if path == last else "order")
        entries[path], last = _kind_of_entry(kind, mode, size, digest), path
    _check_parents(kind, entries)
    if kind == "output":
        refuse_folded(entries)
    return kind


def _kind_of_entry(kind, mode, size, digest):
    if digest == "-":
        if size != "0":
            raise Refused("size")
        if re.fullmatch(DIRECTORY_MODES[kind], mode):
            return "directory"
        if kind == "environment" and re.fullmatch(SPECIAL_MODES, mode):
            return "special"
    elif mode == "120000":
        return "link"
    elif re.fullmatch(FILE_MODES[kind], mode):
        return "file"
    raise Refused("mode")


def _check_parents(kind, entries):
    for path in entries:
        parts = path.split(b"/")
        above = [b"/".join(parts[:n]) for n in range(1, len(parts))]
        for parent in above:
            found = entries.get(parent)
            if found not in (None, "directory") or (found is None and kind == "output"):
                raise Refused("parent", f"{escape_path(parent)} is not a directory of the listing")
            if found and kind == "source":
                raise Refused("not empty", f"{escape_path(parent)} is listed but not empty")
