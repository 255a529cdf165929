"""Writes fixtures/vectors/ anew, the same bytes each time.

    make_vectors.py [--check]     with --check nothing is written: exit 1 where the directory holds anything else
"""

import base64
import json
import os
import shutil
import sys
import tempfile

import cases_approval  # noqa: F401  (fills CASES)
import cases_builds  # noqa: F401  (fills CASES)
import cases_trust  # noqa: F401  (fills CASES)
from cases_evidence import CASES
from primitives import sha256, unescape_path
from trees import tree_digest

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "fixtures", "vectors")
EMPTY, ONE = sha256(b""), sha256(b"1")


def listings():
    """name: (expected, bytes)"""
    def text(kind, *lines):
        return "".join(f"{each}\n" for each in (f"countersign-tree v1 {kind}", *lines)).encode()

    def file(name, mode="100644"):
        return f"{mode} 1 {ONE} {name}"

    link, no = f"120000 1 {ONE} b", "refused "
    return {
        "empty-source": ("valid", text("source")),
        "empty-output": ("valid", text("output")),
        "source": ("valid", text("source", file("a"), link, file("c", "100755"), "040000 0 - d/e")),
        "output": ("valid", text("output", file("a", "104755"), link, "041777 0 - d", file("d/e", "100600"))),
        "environment": ("valid", text("environment", "020666 0 - dev/null", "010644 0 - fifo", "140755 0 - socket", "100600 0 - unreadable",
                                      file("usr/bin/a", "100755"), "040755 0 - usr/lib")),
        "escapes": ("valid", text("source", file("a\\\\b"), file("b\\nb"), file("c\\rd"), file("e\\xff"), file("f g"), file("\u00e9"))),
        "raw-order": ("valid", text("source", file("a\\n"), file("a b"), file("a-"), file("a/b"), file("a0"), file("a\\\\"))),
        "folded-source": ("valid", text("source", file("A"), file("a"))),
        "folded-output": (no + "folded", text("output", file("A"), file("a"))),
        "folded-output-nfkc": (no + "folded", text("output", file("fi"), file("\ufb01"))),
        "folded-output-parts": (no + "folded", text("output", "040755 0 - D", file("D/x"), "040755 0 - d")),
        "no-header": (no + "header", b""),
        "header-kind": (no + "header", text("sources")),
        "header-version": (no + "header", b"countersign-tree v2 source\n"),
        "header-space": (no + "header", b"countersign-tree v1 source \n"),
        "bom": (no + "header", b"\xef\xbb\xbf" + text("source")),
        "carriage-return": (no + "header", b"countersign-tree v1 source\r\n"),
        "not-ended": (no + "end", text("source", file("a"))[:-1]),
        "blank-line": (no + "line", text("source", file("a"), "")),
        "blank-line-first": (no + "header", b"\n" + text("source")),
        "not-utf8": (no + "utf-8", text("source", file("a"))[:-1] + b"\xff\n"),
        "two-spaces": (no + "line", text("source", f"100644  1 {ONE} a")),
        "size-leading-zero": (no + "line", text("source", f"100644 01 {ONE} a")),
        "size-plus": (no + "line", text("source", f"100644 +1 {ONE} a")),
        "digest-upper-case": (no + "line", text("source", f"100644 1 {ONE.upper()} a")),
        "digest-short": (no + "line", text("source", f"100644 1 {ONE[1:]} a")),
        "mode-short": (no + "line", text("source", f"10644 1 {ONE} a")),
        "no-path": (no + "line", text("source", f"100644 1 {ONE} ")),
        "mode-in-source": (no + "mode", text("source", file("a", "100600"))),
        "mode-group-writable": (no + "mode", text("source", file("a", "100664"))),
        "mode-directory-in-source": (no + "mode", text("source", "040755 0 - a")),
        "mode-submodule": (no + "mode", text("source", f"160000 0 {EMPTY} a")),
        "mode-device-in-output": (no + "mode", text("output", "020666 0 - a")),
        "link-mode": (no + "mode", text("output", f"120777 1 {ONE} a")),
        "link-without-digest": (no + "mode", text("source", "120000 0 - a")),
        "directory-with-digest": (no + "mode", text("source", f"040000 0 {EMPTY} a")),
        "directory-with-size": (no + "size", text("source", "040000 4096 - a")),
        "file-without-digest": (no + "mode", text("source", "100644 0 - a")),
        "order": (no + "order", text("source", file("b"), file("a"))),
        "order-by-escaped": (no + "order", text("source", file("a-"), file("a\\n"))),
        "order-by-parts": (no + "order", text("source", file("a/b"), file("a-"))),
        "duplicate": (no + "duplicate", text("source", file("a"), file("a"))),
        "parent-is-file": (no + "parent", text("source", file("a"), file("a/b"))),
        "parent-is-link": (no + "parent", text("source", link, file("b/c"))),
        "parent-missing-in-output": (no + "parent", text("output", file("a/b"))),
        "directory-not-empty": (no + "not empty", text("source", "040000 0 - a", file("a/b"))),
        "path-absolute": (no + "path", text("source", file("/a"))),
        "path-parent": (no + "path", text("source", file("../a"))),
        "path-dot": (no + "path", text("source", file("./a"))),
        "path-empty-part": (no + "path", text("source", file("a//b"))),
        "path-slash-at-end": (no + "path", text("source", file("a/"))),
        "path-nul": (no + "path", text("source", file("a\0"))),
        "path-too-long": (no + "path", text("source", file("a" * 4097))),
        "path-longest": ("valid", text("source", file("a" * 4096))),
        "escape-needless": (no + "escape", text("source", file("\\x61"))),
        "escape-utf8": (no + "escape", text("source", file("\\xc3\\xa9"))),
        "escape-upper-case": (no + "escape", text("source", file("\\xFF"))),
        "escape-unknown": (no + "escape", text("source", file("\\t"))),
        "escape-lone": (no + "escape", text("source", file("a\\"))),
        "bare-return": (no + "escape", text("source", file("a\rb"))),
    }


def trees():
    """name: (what, [entry]); an entry is a file (path, mode, content), a link (path, target) or a directory (path, mode)."""
    def file(path, content=b"1", mode="0644"):
        return {"path": path, "mode": mode, "base64": base64.b64encode(content).decode()}

    def link(path, target):
        return {"path": path, "target": target}

    def directory(path, mode="0755"):
        return {"path": path, "mode": mode}

    return {
        "empty": ("nothing in it", []),
        "one-file": ("one file", [file("a")]),
        "empty-file": ("a file of no bytes", [file("a", b"")]),
        "modes": ("only the owner's executable bit means anything in a source", [file("a", mode="0600"), file("b", mode="0755"), file("c", mode="0644"),
                                                                                file("d", mode="0700"), file("e", mode="0655"), file("f", mode="0444")]),
        "links": ("links to a file, to nothing, and out of the tree", [file("a"), link("b", "a"), link("c", "nothing"), link("d", "/etc/passwd"), link("e", "..")]),
        "directories": ("empty directories, and one that is not", [directory("d"), file("d/a"), directory("e", "0700"), directory("f"), directory("f/g")]),
        "git": ("a top-level .git is no part of a source, one below is", [directory(".git"), file(".git/HEAD"), directory("a"), file("a/.git"), file(".gitignore")]),
        "git-file": ("a top-level .git that is a file", [file(".git"), file("a")]),
        "git-only": ("nothing but .git", [directory(".git"), file(".git/HEAD")]),
        "order": ("sorted by the bytes of the whole path", [file("a-"), directory("a"), file("a/b"), file("a.b"), file("a0"), file("B"), file("\u00e9"), file("z")]),
        "names": ("names that need an escape", [file("a\\nb"), file("a\\\\b"), file("a\\rb"), file("a\\xffb"), file("a b"), file(" "), file("\u202e")]),
        "same-content": ("two files of one content", [file("a", b"x"), file("b", b"x")]),
        "deep": ("twenty levels", [*(directory("/".join("d" * n)) for n in range(1, 21)), file("/".join("d" * 20) + "/a")]),
    }


def materialise(entries, root):
    """The tree on disk. Modes of directories last, so that they can be anything."""
    for entry in entries:
        path = os.path.join(os.fsencode(root), unescape_path(entry["path"]))
        if "target" in entry:
            os.symlink(os.fsencode(entry["target"]), path)
        elif "base64" in entry:
            with open(path, "xb") as file:
                file.write(base64.b64decode(entry["base64"]))
        else:
            os.mkdir(path)
    for entry in reversed(entries):
        if "mode" in entry:
            os.chmod(os.path.join(os.fsencode(root), unescape_path(entry["path"])), int(entry["mode"], 8))


def write(root):
    for name, expect, bundle, policy, files in CASES:
        put(root, f"{name}/bundle.intoto.jsonl", bundle)
        put(root, f"{name}/policy.toml", policy if isinstance(policy, bytes) else policy.encode())
        put(root, f"{name}/expect.json", json.dumps(expect, indent=1).encode() + b"\n")
        for path, content in files.items():
            put(root, f"{name}/{path}", content)
    for name, (expected, content) in listings().items():
        put(root, f"tree/{name}.txt", content)
        put(root, f"tree/{name}.expect", expected.encode() + b"\n")
    for name, (what, entries) in trees().items():
        with tempfile.TemporaryDirectory() as scratch:
            materialise(entries, scratch)
            digests = {kind: "sha256:" + tree_digest(scratch, kind) for kind in ("source", "output")}
        put(root, f"digest/{name}.json", json.dumps({"what": what, "entries": entries, **digests}, indent=1).encode() + b"\n")


def put(root, path, content):
    full = os.path.join(root, path)
    os.makedirs(os.path.dirname(full), exist_ok=True)
    with open(full, "xb") as file:
        file.write(content)


def main():
    with tempfile.TemporaryDirectory() as scratch:
        write(scratch)
        if sys.argv[1:] == ["--check"]:
            same = snapshot(scratch) == snapshot(ROOT)
            print("the vectors are as they are made" if same else "the vectors are not as they are made")
            return 0 if same else 1
        shutil.rmtree(ROOT, ignore_errors=True)
        shutil.copytree(scratch, ROOT)
    print(f"{len(CASES)} verify, {len(listings())} tree, {len(trees())} digest")
    return 0


def snapshot(root):
    found = {}
    for directory, _, names in os.walk(root):
        for name in names:
            with open(os.path.join(directory, name), "rb") as file:
                found[os.path.relpath(file.name, root)] = file.read()
    return found


if __name__ == "__main__":
    sys.exit(main())
