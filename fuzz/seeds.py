"""Seed corpora for the fuzz targets, made from what is in fixtures/: seeds.py DIRECTORY"""

import base64
import glob
import gzip
import io
import json
import lzma
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
import zlib

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
            for packed in (gzip.compress(out.getvalue(), mtime=0), lzma.compress(out.getvalue()), zstd(out.getvalue())):
                yield strip + packed
    for archive in zips():
        yield b"\0" + archive


def zstd(data, *options):
    """Nothing, where there is no zstd to make it."""
    try:
        return subprocess.run(["zstd", "-q", "-c", *options], input=data, stdout=subprocess.PIPE, check=True).stdout
    except FileNotFoundError:
        return b""


class Pipe(io.BytesIO):
    """Cannot be gone back in, so that lengths are written behind the data."""
    def seekable(self):
        return False

    def seek(self, *_):
        raise OSError


MEMBERS = (("d/", 0o040755, b""), ("d/f", 0o100644, b"abc" * 30), ("d/x", 0o100755, b""), ("l", 0o120777, b"d/f"), ("\u00fc", 0, b"u"))


def zips():
    for out in (io.BytesIO(), Pipe()):
        for large in (False, True):
            with zipfile.ZipFile(out, "w") as archive:
                for name, mode, data in MEMBERS:
                    member = zipfile.ZipInfo(name)
                    member.external_attr = mode << 16
                    member.compress_type = zipfile.ZIP_DEFLATED if len(data) > 3 else zipfile.ZIP_STORED
                    if name.endswith("/"):
                        archive.writestr(member, data)
                    else:
                        with archive.open(member, "w", force_zip64=large) as file:
                            file.write(data)
            yield out.getvalue()
            out.truncate(0)
            io.BytesIO.seek(out, 0)


def zip_parts():
    """Method, flags, host, mode, lengths and the rest of each entry."""
    for flags in (0x40, 0x48):
        for host in (3, 0):
            for extra in (b"", b"UT\5\0\1\0\0\0\0", b"\1\0\0\0"):
                parts = b""
                for name, mode, data in MEMBERS:
                    mode, name = mode if host == 3 else 0, name.encode()
                    method = 8 if len(data) > 3 else 0
                    packer = zlib.compressobj(wbits=-15)
                    body = packer.compress(data) + packer.flush() if method else data
                    parts += bytes([method, flags, host, mode >> 8, mode & 255, len(name), len(extra), len(body) >> 8, len(body) & 255]) + name + extra + body
                yield parts


def packed():
    text = read(__file__)
    for data in (b"", b"a" * 3000, bytes(range(256)) * 3, text, text * 3, os.path.join(ROOT, "").encode() * 40):
        for level in (0, 1, 9):
            yield b"\0" + gzip.compress(data, level, mtime=0)
        for check in (lzma.CHECK_NONE, lzma.CHECK_CRC32, lzma.CHECK_CRC64, lzma.CHECK_SHA256):
            yield b"\1" + lzma.compress(data, check=check, preset=0)
        for before in ({"id": lzma.FILTER_DELTA, "dist": 3}, {"id": lzma.FILTER_X86}, {"id": lzma.FILTER_ARM}, {"id": lzma.FILTER_POWERPC, "start_offset": 16}):
            yield b"\1" + lzma.compress(data, check=lzma.CHECK_NONE, filters=[before, {"id": lzma.FILTER_LZMA2, "preset": 6, "lc": 2, "lp": 2, "pb": 1}])
        for options in (["--no-check", "-1"], ["-19", "--no-check"], ["--check", "-3"], ["--ultra", "-22", "--long", "--no-check"]):
            yield b"\2" + zstd(data, *options)
    yield b"\2" + b"\x50\x2a\x4d\x18\3\0\0\0abc" + zstd(b"behind a frame that is skipped")
    for form in (b"\0", b"\1", b"\2"):
        yield form


def record(kind, data):
    return kind.encode() + len(data).to_bytes(2, "little") + data


def repositories():
    """As one of git, packed and not; and of objects one after the other."""
    tree, link = b"100644 a\0" + b"@" * 20, b"40000 d\0" + b"@" * 20
    who = b"A <a@example.org> 1700000000 +0100\n"
    commit = b"tree " + b"@" * 40 + b"\nauthor " + who + b"committer " + who + b"\nx\n"
    tag = b"object " + b"@" * 40 + b"\ntype commit\ntag v1\ntagger " + who + b"\nx\n"
    head = record("a", b"@" * 40 + b"\n")
    chain = record("B", b"content") + record("T", tree) + record("T", link) + record("C", commit)
    for refs in (head, record("d", b"@" * 40 + b"\n"), record("R", b"@" * 40), record("G", tag) + record("e", b"@" * 40 + b"\n") + record("R", b"v1"),
                 record("c", b"# pack-refs with: peeled fully-peeled sorted \n" + b"@" * 40 + b" refs/heads/main\n")):
        yield chain + refs
    entries = [(3, b"content"), (2, b"120000 l\0" + b"@" * 20 ), (2, link), (1, commit)]
    yield b"".join(record("P", bytes([kind]) + data) for kind, data in entries) + head
    # A delta: copies, and adds. Its id is not known, so that a commit of it is found to be damaged.
    base, delta = record("P", b"\1" + commit), bytes([len(commit) | 0x80, len(commit) >> 7, 8, 0x90, 5, 3]) + b"abc"
    yield base + record("P", b"\7" + b"@" * 20 + delta) + head
    packed = zlib.compress(commit)
    base = record("P", b"\xc1" + len(commit).to_bytes(4, "big") + packed)
    yield base + record("P", b"\6" + bytes([len(packed) + 2]) + delta) + head
    yield record("O", b"commit 99999999999\0" + commit) + head
    for packing in ([], ["repack", "-q", "-a", "-d"], ["repack", "-q", "-a", "-d", "--write-midx"]):
        yield of_git(packing)


def of_git(packing):
    with tempfile.TemporaryDirectory() as root:
        def git(*arguments):
            environment = {"PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "HOME": root,
                           "GIT_COMMITTER_DATE": "1700000000 +0000", "GIT_AUTHOR_DATE": "1700000000 +0000"}
            subprocess.run(["git", "-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "core.compression=0", *arguments],
                           cwd=root, env=environment, check=True, stdout=subprocess.DEVNULL)
        git("init", "-q", "-b", "main")
        for number in range(3):
            with open(os.path.join(root, "f"), "w", encoding="ascii") as file:
                file.write("".join(f"line {n}\n" for n in range(60)) + str(number))
            git("add", "-A")
            git("commit", "-q", "-m", str(number))
        if packing:
            git(*packing)
        dot, parts = os.path.join(root, ".git"), b""
        for letter, pattern in (("a", "HEAD"), ("b", "config"), ("c", "packed-refs"), ("d", "refs/heads/main"), ("g", "objects/pack/multi-pack-index"),
                                ("h", "objects/pack/*.idx"), ("i", "objects/pack/*.pack")):
            for path in glob.glob(os.path.join(dot, pattern)):
                data = read(path)
                if letter == "g":
                    # It names the packs, which have other names here.
                    at = data.index(b"pack-")
                    data = data[:at] + b"pack-" + b"0" * 40 + data[at + 45:]
                parts += record(letter, data)
        for path in sorted(glob.glob(os.path.join(dot, "objects", "??", "*"))):
            parts += record("L", bytes.fromhex(os.path.basename(os.path.dirname(path)) + os.path.basename(path)) + read(path))
        return parts


def unsigned():
    """Provenance, run record and listings, whose digests the target puts right; and where the file with all that is changed."""
    provenances, records = {}, {}
    for path in sorted(glob.glob(f"{ROOT}/vectors/*/*/bundle.intoto.jsonl")):
        for line in read(path).splitlines():
            try:
                payload = base64.b64decode(json.loads(line)["payload"])
                statement = json.loads(payload)
                kind, subjects = statement["predicateType"], statement["subject"]
                if kind.endswith("run-record:v1"):
                    records[payload] = None
                elif kind.endswith("provenance/v1"):
                    provenances[payload] = sorted((subject["name"], subject["digest"]["sha256"]) for subject in subjects)
            except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
                continue
    for record in list(records)[:1]:
        for payload, subjects in list(provenances.items())[:20]:
            listing = "countersign-tree v1 output\n040755 0 - out\n" + "".join(f"100644 8 {digest} {name}\n" for name, digest in subjects)
            parts = payload, record, b"countersign-tree v1 source\n", listing.encode()
            yield b"\0".join(parts)
            yield b"\0".join((*parts, b"\0\1\0 "))


def layer(*members):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, kind, link in members:
            member = tarfile.TarInfo(name)
            member.type, member.linkname, member.mode = kind, link, 0o4755
            tar.addfile(member)
    return out.getvalue()[:3072]


def images():
    lower = layer(("usr", tarfile.DIRTYPE, ""), ("usr/a", tarfile.REGTYPE, ""), ("lib", tarfile.SYMTYPE, "usr"), ("lib/h", tarfile.LNKTYPE, "usr/a"))
    upper = layer(("usr/.wh.a", tarfile.REGTYPE, ""), ("lib/.wh..wh..opq", tarfile.REGTYPE, ""), ("lib", tarfile.DIRTYPE, ""), ("null", tarfile.CHRTYPE, ""))
    yield b"l" + lower + b"\0\0\0\0|" + upper
    yield b"td usr\nf usr/a abc\nl lib usr\nh lib/h /usr/a\n+\nw lib/a\nd lib\nx lib/b abc\no usr\nn usr/h\n"
    yield b"tl a b\nl b ../a/..\nf a/x y\nl c /c/d\nd c/d\nf d/e/f g\n+\nf d x\nr d\nl e .\nl e/e e\n"
    config = b'{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}'
    manifest = b'{"schemaVersion":2,"config":{"mediaType":"application/vnd.oci.image.config.v1+json",@0},"layers":[]}'
    index = b'{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.%s.v1+json",@%d,"annotations":{"org.opencontainers.image.ref.name":"a"}}]}'
    documents = [config, manifest, index % (b"manifest", 1)]
    yield b"i" + b"\0".join(documents)
    yield b"i" + b"\0".join([*documents, index % (b"index", 2)])


def debian():
    """Control files, versions, relations, indices, signed files and packages."""
    def member(name, data):
        return f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(data):<10}`\n".encode() + data + b"\n" * (len(data) % 2)

    def tar(*files):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
            for name, data, mode in files:
                header = tarfile.TarInfo(name)
                header.size, header.mode = len(data), mode
                archive.addfile(header, io.BytesIO(data))
        return out.getvalue().rstrip(b"\0").ljust(512, b"\0") + b"\0" * 2048

    def packet(tag, body):
        return bytes([0xc0 | tag, 0xff]) + len(body).to_bytes(4, "big") + body
    text = b"Package: a\nVersion: 1:2-3~x\nArchitecture: all\nMulti-Arch: same\nReplaces: b (<< 2)\nDescription: a\n b\n .\n"
    yield b"\0" + text + b"\n" + text
    yield b"\1" + b"1:2.0~rc1+b-3\n1:2.0-3+deb12u1\n2.0"
    yield b"\2" + b"a (>= 1) | b:any (<< 2~), c (= 1:2-3), d:native"
    digest = b"0123456789abcdef" * 4
    place = b"Filename: pool/a.deb\nSize: 1\nSHA256: " + digest + b"\n"
    yield b"\3" + text + place + b"Depends: b | c\n\n" + text.replace(b": a\n", b": b\n", 1) + place + b"Provides: c (= 1)\nEssential: yes\n"
    key = packet(6, b"\4\0\0\0\1\x1b" + bytes(range(32))) + packet(13, b"a")
    signature = packet(2, b"\4\1\x1b\x08\0\6\5\2\0\0\0\2\0\x0a\x09\x10" + bytes(8) + b"\0\0" + bytes(64))
    signed = (b"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nSuite: a\n- -\n-----BEGIN PGP SIGNATURE-----\n\n"
              + base64.b64encode(signature) + b"\n-----END PGP SIGNATURE-----\n")
    binary = key + signature
    binary += packet(10, bytes(-(len(binary) + 6) % 4))
    yield b"\4" + bytes([len(binary) // 4]) + binary + signed
    yield (b"\4-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n" + base64.b64encode(key + signature) + b"\n-----END PGP PUBLIC KEY BLOCK-----\n\0" + signed)
    control = tar(("./control", text, 0o644), ("./postinst", b"#!", 0o755), ("./triggers", b"interest x\n", 0o644), ("./conffiles", b"/etc/a\n", 0o644))
    data = tar(("./etc/a", b"1", 0o644), ("./usr/bin/a", b"2", 0o755))
    for pack, suffix in ((bytes, ""), (lambda data: gzip.compress(data, mtime=0), ".gz"), (lzma.compress, ".xz")):
        parts = (("debian-binary", b"2.0\n"), ("control.tar" + suffix, pack(control)), ("data.tar" + suffix, pack(data)))
        yield b"\5!<arch>\n" + b"".join(member(*part) for part in parts)


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


def git_bundles():
    with tempfile.TemporaryDirectory() as root:
        def git(*arguments):
            environment = {"PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "HOME": root,
                           "GIT_COMMITTER_DATE": "1700000000 +0000", "GIT_AUTHOR_DATE": "1700000000 +0000"}
            subprocess.run(["git", "-c", "user.name=n", "-c", "user.email=e@example.org", *arguments],
                           cwd=root, env=environment, check=True, stdout=subprocess.DEVNULL)
        for form in ("sha1", "sha256"):
            git("init", "-q", "-b", "main", f"--object-format={form}", form)
            for number in range(3):
                with open(os.path.join(root, form, "f"), "w", encoding="ascii") as file:
                    file.write("".join(f"line {n}\n" for n in range(60)) + str(number))
                git("-C", form, "add", "-A")
                git("-C", form, "commit", "-q", "-m", str(number))
            git("-C", form, "bundle", "create", "-q", "--version=3", "../bundle", "main")
            data = read(os.path.join(root, "bundle"))
            yield b"\0" + data
            if form == "sha1":
                yield b"\1" + data[:-20]


def control_files():
    digest, files = "0" * 64, ("x_1.0.orig.tar.gz", "x_1.0-1.debian.tar.xz")
    text = "Format: 3.0 (quilt)\nSource: x\nVersion: 1:1.0-1\nChecksums-Sha256:\n"
    text += "".join(f" {digest} 7 {name}\n" for name in files) + "Files:\n" + "".join(f" {digest[:32]} 7 {name}\n" for name in files)
    yield text.encode()
    signature = "-----BEGIN PGP SIGNATURE-----\n\niQ==\n-----END PGP SIGNATURE-----\n"
    yield f"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n{text}\n{signature}".encode()


def lock_files():
    digest, sha512 = "ab" * 32, base64.b64encode(b"7" * 64).decode()
    package = f'[[package]]\nname = "x"\nversion = "1.0.0+y"\nsource = "registry+https://x.example/i"\nchecksum = "{digest}"\n'
    yield f"version = 4\n{package}".encode()
    yield f'--require-hashes\nA.b[c]==1.0 ; d \\\n --hash=sha256:{digest} \\\n --hash=sha256:{digest} # e\n'.encode()
    where = "https://x.example/@s/x/-/x-1.0.0.tgz"
    entry = f'{{"version":"1.0.0","resolved":"{where}","integrity":"sha512-{sha512}","optional":true,"os":["linux"],"cpu":"!arm"}}'
    yield f'{{"lockfileVersion":3,"packages":{{"":{{}},"node_modules/@s/x":{entry}}}}}'.encode()
    h1 = base64.b64encode(b"7" * 32).decode()
    yield f"x.example/M v1.0.0 h1:{h1}\nx.example/M v1.0.0/go.mod h1:{h1}\n".encode()
    yield f"<a href='../../f/x-1.0-py3-none-any.whl#a&amp;sha256={digest}'>x</a><A href=\"https://x.example/x-1.0.tar.gz#sha256={digest}\">".encode()


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
    by_group = {}
    for path in sorted(glob.glob(f"{ROOT}/vectors/*/*/bundle.intoto.jsonl")):
        by_group.setdefault(path.split("/")[-3], []).append(read(path))
    for bundles in by_group.values():
        for one, other in zip(bundles, bundles[1:]):
            yield "merge", one + b"\0" + other
    for target, of in (("archive", archives), ("debian", debian), ("dependencies", lock_files), ("dsc", control_files), ("git_bundle", git_bundles), ("oci", images), ("packed", packed), ("repository", repositories), ("unsigned", unsigned), ("zip", zip_parts)):
        for data in of():
            yield target, data
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
