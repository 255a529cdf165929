"""Seed corpora for the fuzz targets, made from what is in fixtures/: seeds.py DIRECTORY"""

import base64
import glob
import gzip
import io
import json
import os
import sys
import tarfile

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "fixtures")
LARGEST = 16 << 10
WHO = {"SHA256:/9VZi1be20JBV3b0pYtJ8lv20vdjcNCMJtiELVIRglo": b"v", "SHA256:iiiVPinSlWc5IcrrCpwIofi9i3TCcRrJ0Mr/akZQeLI": b"r"}


def read(path):
    with open(path, "rb") as file:
        return file.read()


def strings(value):
    """All pairs of a name and a string below it."""
    for name, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        if isinstance(inner, str):
            yield name, inner
        yield from strings(inner)


def of_bundle(bundle):
    """What one bundle is a seed of."""
    yield "bundle", bundle
    signed = []
    for line in bundle.split(b"\n"):
        try:
            envelope = json.loads(line)
            payload, keyid = base64.b64decode(envelope["payload"]), envelope["signatures"][0].get("keyid")
            yield "json", line
        except (ValueError, LookupError, TypeError, AttributeError):
            continue
        signed.append(WHO.get(keyid, b"x") + payload)
        yield "statement", payload
        yield "json", payload
        try:
            found = list(strings(json.loads(payload)))
        except (ValueError, RecursionError):
            continue
        for name, text in found:
            if name == "recipe":
                yield "recipe", text.encode(errors="replace")
            elif name == "name":
                yield "path", text.encode(errors="replace")
            elif name == "content":
                yield "lock", base64.b64decode(text)
    yield "verify", b"\0".join(signed)


def archives():
    for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=form) as tar:
            for name, kind, link in (("d", tarfile.DIRTYPE, ""), ("d/f", tarfile.REGTYPE, ""), ("d/l", tarfile.SYMTYPE, "f"),
                                     ("h", tarfile.LNKTYPE, "d/f"), ("n" * 99 + ("\u00fc" * 9 if form != tarfile.USTAR_FORMAT else ""), tarfile.REGTYPE, "")):
                member = tarfile.TarInfo(name)
                member.type, member.linkname, member.mode = kind, link, 0o755
                member.size = 3 if kind == tarfile.REGTYPE else 0
                tar.addfile(member, io.BytesIO(b"abc"))
        for strip in (b"\0", b"\1"):
            yield strip + out.getvalue()[:-8192]
            yield strip + gzip.compress(out.getvalue(), mtime=0)


def private_key():
    """An OpenSSH file of the seed 0 … 31, in clear."""
    def string(data):
        return len(data).to_bytes(4, "big") + data
    public = bytes.fromhex("03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8")
    blob = string(b"ssh-ed25519") + string(public)
    inner = b"\1\2\3\4" * 2 + blob + string(bytes(range(32)) + public) + string(b"c")
    inner += bytes(range(1, 9))[:-len(inner) % 8]
    raw = b"openssh-key-v1\0" + string(b"none") * 2 + string(b"") + b"\0\0\0\1" + string(blob) + string(inner)
    text = base64.b64encode(raw).decode()
    lines = "\n".join(text[at:at + 70] for at in range(0, len(text), 70))
    return f"-----BEGIN OPENSSH PRIVATE KEY-----\n{lines}\n-----END OPENSSH PRIVATE KEY-----\n".encode()


def seeds():
    for path in sorted(glob.glob(f"{ROOT}/vectors/*/*/bundle.intoto.jsonl")):
        yield from of_bundle(read(path))
    for path in sorted(glob.glob(f"{ROOT}/vectors/*/*/policy.toml")):
        policy = read(path)
        yield "policy", policy
        for line in policy.decode(errors="replace").splitlines():
            if line.startswith("key = "):
                yield "public_key", line.split('"')[1].encode()
    for path in sorted(glob.glob(f"{ROOT}/vectors/tree/*.txt")):
        listing = read(path)
        yield "listing", listing
        for line in listing.splitlines():
            yield "path", line.split(b" ", 3)[-1]
    for path in sorted(glob.glob(f"{ROOT}/**/*.toml", recursive=True)):
        if "vectors" not in path:
            yield "recipe", read(path)
    for pattern in ("*", "**", "a/**/b", "*.o", "**/*a*b?/**", "a?/*"):
        for path in ("a", "a/b", "a/c/b", "x.o", "d/xaxbx/y"):
            yield "glob", f"{pattern}\n{path}".encode()
    for archive in archives():
        yield "archive", archive
    yield "private_key", private_key()


def main():
    found = {}
    for target, data in seeds():
        if 0 < len(data) <= LARGEST:
            found.setdefault(target, set()).add(data)
    for target, all_of_it in found.items():
        directory = os.path.join(sys.argv[1], target)
        os.makedirs(directory, exist_ok=True)
        for number, data in enumerate(sorted(all_of_it)):
            with open(os.path.join(directory, f"seed-{number:04}"), "wb") as file:
                file.write(data)


main()
