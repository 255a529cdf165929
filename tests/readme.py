#!/usr/bin/env python3
"""Runs what the documentation shows.

    readme.py --bin DIR     DIR holds the countersign under test

README.md: every block is run, in order, in one shell, in a fresh directory with a fresh home. A command must exit with 0, or as a comment at its
end says (`# exit 1`). A `text` block says all that the `sh` block before it prints, on either stream: `…` in a line is any text, a line
that is `…` alone (but for spaces) is any number of lines. A block of another kind is an error, as is a `text` block that follows no `sh` block. .ci/demo and
.ci/test are run by CI itself. The tables of commands and exit codes are held against the program and docs/spec.md.

docs/policy.md: each `toml complete` block is accepted by `policy check`, which prints the `text` block after it; each `toml refused` block is an error.

docs/spec.md, section 2.1: the recipe for a stranger gives the digest that countersign gives.
"""

import argparse
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# The two commands that CI runs by themselves: each is a whole block.
RUN_BY_CI = {".ci/demo\n", ".ci/test\n"}
# Longest time that all blocks of a page together may take.
SECONDS = 1800


class Wrong(Exception):
    """What the documentation says is not what happens."""


class Block:
    def __init__(self, kind, line):
        self.kind, self.line, self.text = kind, line, ""


def blocks(markdown):
    """The fenced blocks. A fence that is not closed is an error, as is one that is indented: it could be overlooked."""
    found, block = [], None
    for number, line in enumerate(markdown.splitlines(), 1):
        if line.lstrip().startswith(("```", "~~~")):
            if not line.startswith("```"):
                raise Wrong(f"line {number}: only fences of ``` at the start of a line")
            if block is None:
                block = Block(line[3:].strip(), number)
            elif line != "```":
                raise Wrong(f"line {number}: a block within the block of line {block.line}")
            else:
                found.append(block)
                block = None
        elif block is not None:
            block.text += line + "\n"
    if block is not None:
        raise Wrong(f"line {block.line}: the block does not end")
    return found


def commands(text):
    """The commands of a shell block, each with the exit code that it must have."""
    found, lines = [], ""
    for line in text.splitlines(keepends=True):
        lines += line
        check = subprocess.run(["bash", "-n", "-c", lines], capture_output=True, text=True)
        # bash only warns of a here-document without an end.
        if check.returncode != 0 or check.stderr or re.search(r"(?<!\\)(\\\\)*\\\n$", lines):
            continue
        if lines.strip() and not lines.lstrip().startswith("#"):
            code = re.search(r"\s# exit (\d+)$", lines.rstrip())
            found.append((lines, int(code.group(1)) if code else 0))
        lines = ""
    if lines:
        raise Wrong(f"not a whole command: {lines}")
    return found


def pattern(text):
    """What a text block matches."""
    parts = []
    for line in text.splitlines():
        if line.strip() == "…":
            parts.append(r"(?:.*\n)*?")
        else:
            parts.append(".*".join(re.escape(part) for part in line.split("…")) + r"\n")
    return re.compile("".join(parts))


class Runs:
    """One bash for all blocks of a page, in fresh directories: what a block sets, and where it goes, holds for the next."""

    def __init__(self, bin_directory):
        self.path = f"{bin_directory}:{os.environ['PATH']}"

    def run(self, texts, set_up):
        """What each of the blocks prints. `set_up` puts into the first working directory what it must hold."""
        mark = secrets.token_hex(16)
        script = f"_said() {{ local got=$?; printf '%s %s %s\\n' {mark} $1 $got; [ $got -eq $2 ] || exit 0; }}\n"
        expected = []
        for at, text in enumerate(texts):
            for command, code in commands(text):
                script += f"{command}\n_said {at} {code}\n"
                expected.append((command.strip(), code))
        with tempfile.TemporaryDirectory(prefix="countersign-readme-") as directory:
            for name in ["home", "tmp", "clone"]:
                os.mkdir(os.path.join(directory, name))
            # As root, the build runs as another id, which must be able to pass.
            os.chmod(directory, 0o755)
            clone = os.path.join(directory, "clone")
            set_up(Path(clone))
            environment = {"PATH": self.path, "HOME": f"{directory}/home", "TMPDIR": f"{directory}/tmp", "LANG": "C.UTF-8"}
            done = subprocess.run(
                ["bash", "--noprofile", "--norc", "-c", script], cwd=clone, env=environment, timeout=SECONDS,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            )
        printed = [""] * len(texts)
        rest = done.stdout.decode("utf-8")
        for command, code in expected:
            output, found, rest = rest.partition(mark)
            if not found:
                raise Wrong(f"{command}\nended the shell\n{output}")
            (at, got), rest = rest.partition("\n")[0].split(), rest.partition("\n")[2]
            if int(got) != code:
                raise Wrong(f"{command}\nexit code {got}, said is {code}\n{output}")
            printed[int(at)] += output
        return printed


def same(pairs):
    wrong = [
        f"line {block.line}: said is\n{block.text}\nprinted is\n{printed}"
        for block, printed in pairs
        if not pattern(block.text).fullmatch(printed)
    ]
    if wrong:
        raise Wrong("\n".join(wrong))


def check_page(page, runs, set_up):
    """Runs a page's blocks; returns how many."""
    shell, texts = [], []
    left_to_ci = set(RUN_BY_CI)
    before = None
    for block in blocks(page):
        if block.kind == "sh" and block.text in left_to_ci:
            left_to_ci.remove(block.text)
            before = None
            continue
        elif block.kind == "sh":
            shell.append(block)
        elif block.kind == "text" and before == "sh":
            texts.append((len(shell) - 1, block))
        else:
            raise Wrong(f"line {block.line}: a block of the kind {block.kind!r} here is not run by anything")
        before = block.kind
    printed = runs.run([block.text for block in shell], set_up)
    same([(block, printed[at]) for at, block in texts])
    return len(shell), len(texts), left_to_ci


def samples(clone):
    shutil.copytree(ROOT / "fixtures" / "projects", clone / "fixtures" / "projects")


def nothing(_clone):
    pass


def readme(runs):
    page = (ROOT / "README.md").read_text("utf-8")
    shell, texts, left = check_page(page, runs, samples)
    if left:
        raise Wrong(f"these commands are not there: {left}")
    print(f"README.md: {shell} blocks run, {texts} outputs as said")

    named = [name for row in re.findall(r"^\| (`[a-z ,`]+`) \|", page, re.M) for name in re.findall(r"`([a-z ]+)`", row)]
    named = [name for name in named if name not in VERDICTS]
    there = commands_of(runs, [""])
    if sorted(named) != sorted(there):
        raise Wrong(f"the table of commands has {sorted(named)}, the program {sorted(there)}")

    codes = exit_codes(page)
    if codes != exit_codes((ROOT / "docs" / "spec.md").read_text("utf-8")) or len(codes) < 11:
        raise Wrong(f"the exit codes are not those of docs/spec.md: {codes}")
    print(f"README.md: {len(named)} commands and {len(codes)} exit codes as the program and docs/spec.md have them")


def commands_of(runs, names):
    """The commands that have no commands of their own, below these."""
    found = []
    for name, printed in zip(names, runs.run([f"countersign {name} --help\n" for name in names], nothing)):
        section = printed.partition("\nCommands:\n")[2].partition("\n\n")[0]
        below = [f"{name} {word}".strip() for word in re.findall(r"^  ([a-z-]+)  ", section, re.M) if word != "help"]
        found += commands_of(runs, below) if below else [name]
    return found


# Words in the first column of the table of verdicts.
VERDICTS = {"identical", "different", "missing", "extra", "nondeterministic"}


def exit_codes(page):
    return re.findall(r"^\| (\d+) \| ([a-z].*) \|$", page, re.M)


def policies(runs):
    page = (ROOT / "docs" / "policy.md").read_text("utf-8")
    accepted, refused = check_policies(page, runs)
    print(f"docs/policy.md: {accepted} policies accepted, {refused} refused")


def check_policies(page, runs):
    cases, last = [], None
    for block in blocks(page):
        if block.kind in ("toml complete", "toml refused"):
            cases.append([block, None])
        elif block.kind == "text" and last in ("toml complete", "toml refused"):
            cases[-1][1] = block
        else:
            raise Wrong(f"line {block.line}: a block of the kind {block.kind!r} here is not checked by anything")
        last = block.kind

    def write(directory):
        for block, _ in cases:
            (directory / f"{block.line}.toml").write_text(block.text, "utf-8")

    code = {"toml complete": 0, "toml refused": 2}
    printed = runs.run([f"countersign policy check {block.line}.toml    # exit {code[block.kind]}\n" for block, _ in cases], write)
    same([(text, output) for (_, text), output in zip(cases, printed) if text is not None])
    kinds = [block.kind for block, _ in cases]
    return kinds.count("toml complete"), kinds.count("toml refused")


def recipe_for_a_stranger(runs):
    page = (ROOT / "docs" / "spec.md").read_text("utf-8")
    section = page.partition("### 2.1 ")[2].partition("### 2.2 ")[0]
    recipe = [block.text for block in blocks(section) if block.kind == "sh"]
    go = "cd fixtures/projects/tiny-sh\n"
    theirs, ours = runs.run([go + "".join(recipe), "countersign digest .\n"], samples)
    if not re.fullmatch(r"[0-9a-f]{64}  -\n", theirs) or ours != f"sha256:{theirs[:64]}\n":
        raise Wrong(f"section 2.1 gives {theirs}countersign {ours}")
    print("docs/spec.md: section 2.1 gives the digest that countersign gives")


GOOD = """```sh
echo one; echo two >&2
word=three    # kept for the next block
```
```text
on…
two
```
```sh
cat <<END
$word
END
(exit 3)  # exit 3
```
```text
…
three
```
"""
# What makes a page wrong: each must be found.
TWINS = [
    ("two\n```\n```sh", "one\n```\n```sh"),
    ("on…\n", ""),
    ("on…\n", "on…\nmore\n"),
    ("…\nthree", "…\nthree…\nfour"),
    ("# exit 3", "# exit 4"),
    ("  # exit 3", ""),
    ("(exit 3)", "exit 3"),
    ("echo one;", "false\necho one;"),
    ("(exit 3)  # exit 3", "(exit 3"),
    ("```text\non…", "```console\non…"),
    ("```sh\ncat", "~~~sh\ncat"),
    ("```\n```text\non", "```\n```text\n```\n```text\non"),
]


POLICY_TWINS = [
    ("```toml complete", "```toml refused"),
    ("```toml refused", "```toml complete"),
    ("```toml complete", "```toml"),
    ("nobody needs", "somebody needs"),
    ('roles = ["vendor"]', 'roles = ["seller"]'),
    ("rebuilders = 0", "rebuilders = 1"),
]


def own_checks(runs):
    """A check that finds nothing wrong is worth what it finds when something is."""
    check_page(GOOD, runs, nothing)
    for old, new in TWINS:
        if GOOD.count(old) != 1:
            raise Wrong(f"the twin {new!r} changes nothing")
        try:
            check_page(GOOD.replace(old, new), runs, nothing)
        except Wrong:
            continue
        raise Wrong(f"{new!r} for {old!r} was not found")
    page = (ROOT / "docs" / "policy.md").read_text("utf-8")
    for old, new in POLICY_TWINS:
        try:
            check_policies(page.replace(old, new, 1), runs)
        except Wrong:
            continue
        raise Wrong(f"{new!r} for {old!r} was not found in docs/policy.md")
    print(f"own checks: {len(TWINS) + len(POLICY_TWINS)} wrong pages found wrong")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", required=True, type=Path, help="directory with countersign")
    directory = parser.parse_args().bin.resolve()
    if not os.access(directory / "countersign", os.X_OK):
        sys.exit(f"readme: no countersign in {directory}")
    runs = Runs(directory)
    try:
        for check in [own_checks, policies, recipe_for_a_stranger, readme]:
            check(runs)
    except Wrong as wrong:
        sys.exit(f"readme: {wrong}")


if __name__ == "__main__":
    main()
