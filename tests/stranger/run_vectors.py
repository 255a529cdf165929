"""Runs the second implementation over fixtures/vectors/, and with --countersign PATH that program too.

    run_vectors.py [--countersign PATH]

The last line is `N passed, N failed`; the exit code is 0 only when nothing failed.
"""

import argparse
import glob
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

import make_vectors
import stranger
from trees import tree_digest

ROOT = os.path.normpath(make_vectors.ROOT)
HERE = os.path.dirname(os.path.abspath(__file__))


class Count:
    passed = failed = 0

    def check(self, name, expected, found):
        if expected == found:
            self.passed += 1
        else:
            self.failed += 1
            print(f"FAILED {name}: expected {expected}, found {found}")


def verify_vectors():
    """(name, what is expected, arguments of verify)"""
    for path in sorted(glob.glob(f"{ROOT}/*/*/expect.json")):
        directory = os.path.dirname(path)
        with open(path, encoding="utf-8") as file:
            expect = json.load(file)
        arguments = [os.path.join(directory, each) for each in expect["args"]]
        arguments += ["--bundle", f"{directory}/bundle.intoto.jsonl", "--policy", f"{directory}/policy.toml"]
        for option in ("product", "version", "as"):
            if option in expect:
                arguments += [f"--{option}", expect[option]]
        yield os.path.relpath(directory, ROOT), expect, ["verify", *arguments]


def run_stranger(count, arguments, name, expect):
    lines = []
    found = stranger.main(arguments, lines.append)
    count.check(f"stranger {name}", (expect["exit"], expect["step"]), found)
    # What is printed must say the same as the exit code.
    failed = [int(re.match(r"step (\d+) [a-z ]+: FAIL ", each).group(1)) for each in lines if ": FAIL " in each]
    count.check(f"stranger {name}, lines", [expect["step"]] if expect["step"] else [], failed)


def run_countersign(count, program, arguments, name, expect):
    done = subprocess.run([program, *arguments, "--json"], capture_output=True, check=False, stdin=subprocess.DEVNULL)
    try:
        steps = [step["number"] for step in json.loads(done.stdout)["steps"] if step["outcome"] == "fail"]
        found = (done.returncode, steps[0] if steps else None)
    except (ValueError, LookupError, TypeError):
        found = (done.returncode, "no JSON answer")
    count.check(f"countersign {name} ({expect['what']})", (expect["exit"], expect["step"]), found)


def tree_vectors(count):
    for path in sorted(glob.glob(f"{ROOT}/tree/*.txt")):
        with open(path[:-4] + ".expect", encoding="utf-8") as file:
            expected = file.readline().rstrip("\n")
        lines = []
        code, _ = stranger.main(["listing-check", path], lines.append)
        answer = "valid" if lines[0].startswith("valid ") else lines[0]
        count.check(f"tree {os.path.basename(path)}", (expected, expected == "valid"), (answer, code == 0))


def digest_vectors(count, program):
    for path in sorted(glob.glob(f"{ROOT}/digest/*.json")):
        with open(path, encoding="utf-8") as file:
            vector = json.load(file)
        with tempfile.TemporaryDirectory() as scratch:
            make_vectors.materialise(vector["entries"], scratch)
            for kind in ("source", "output"):
                count.check(f"digest {os.path.basename(path)} {kind}", vector[kind], "sha256:" + tree_digest(scratch, kind))
            if program:
                done = subprocess.run([program, "digest", scratch], capture_output=True, text=True, check=False)
                count.check(f"countersign digest {os.path.basename(path)}", vector["source"], done.stdout.split("\n")[0])


def without_countersign(count):
    """The second implementation as a program of its own, with a PATH of python3 and openssl and nothing else."""
    with tempfile.TemporaryDirectory() as tools:
        for name, program in (("python3", sys.executable), ("openssl", shutil.which("openssl"))):
            os.symlink(os.path.realpath(program), os.path.join(tools, name))
        environment = {"PATH": tools}
        count.check("countersign is not on the PATH", None, shutil.which("countersign", path=tools))
        wanted = ("bundle/good", "envelope/signature-bit", "bundle/unknown-key-only", "files/different", "rebuilds/none", "policy/empty")
        for name, expect, arguments in verify_vectors():
            if name in wanted:
                done = subprocess.run(["python3", os.path.join(HERE, "stranger.py"), *arguments], env=environment, capture_output=True, check=False)
                count.check(f"alone {name}", expect["exit"], done.returncode)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--countersign", metavar="PATH")
    program = parser.parse_args().countersign
    count = Count()
    for name, expect, arguments in verify_vectors():
        run_stranger(count, arguments, name, expect)
        if program:
            run_countersign(count, program, arguments, name, expect)
    tree_vectors(count)
    digest_vectors(count, program)
    without_countersign(count)
    print(f"{count.passed} passed, {count.failed} failed")
    return 0 if count.passed and not count.failed else 1


if __name__ == "__main__":
    sys.exit(main())
