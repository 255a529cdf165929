"""What the standard library lacks or does too kindly: BLAKE3, strict Ed25519, strict JSON, base64, escaped paths."""

import base64
import functools
import hashlib
import json
import os
import re
import struct
import subprocess
import tempfile

# --- BLAKE3, hash mode, 32 bytes; from the BLAKE3 paper, section 2 ---

IV = (0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19)
PERMUTATION = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
CHUNK_START, CHUNK_END, PARENT, ROOT = 1, 2, 4, 8
COLUMNS_AND_DIAGONALS = ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
                         (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14))


def _compress(chaining, block, counter, flags):
    m = struct.unpack("<16I", block.ljust(64, b"\0"))
    v = [*chaining, *IV[:4], counter & 0xFFFFFFFF, counter >> 32, len(block), flags]
    for _ in range(7):
        for i, (a, b, c, d) in enumerate(COLUMNS_AND_DIAGONALS):
            for word, right_d, right_b in ((m[2 * i], 16, 12), (m[2 * i + 1], 8, 7)):
                v[a] = (v[a] + v[b] + word) & 0xFFFFFFFF
                v[d] = _rotate(v[d] ^ v[a], right_d)
                v[c] = (v[c] + v[d]) & 0xFFFFFFFF
                v[b] = _rotate(v[b] ^ v[c], right_b)
        m = [m[p] for p in PERMUTATION]
    return [v[i] ^ v[i + 8] for i in range(8)]


def _rotate(word, by):
    return (word >> by | word << (32 - by)) & 0xFFFFFFFF


def _subtree(data, first_chunk, root):
    if len(data) <= 1024:
        chaining = IV
        blocks = [data[i:i + 64] for i in range(0, len(data), 64)] or [b""]
        for i, block in enumerate(blocks):
            last = i == len(blocks) - 1
            flags = (CHUNK_START if i == 0 else 0) | (CHUNK_END | root if last else 0)
            chaining = _compress(chaining, block, first_chunk, flags)
        return chaining
    chunks = (len(data) - 1) // 1024
    left = 1 << (chunks.bit_length() - 1)
    pair = _subtree(data[:left * 1024], first_chunk, 0) + _subtree(data[left * 1024:], first_chunk + left, 0)
    return _compress(IV, struct.pack("<16I", *pair), 0, PARENT | root)


def blake3(data):
    return struct.pack("<8I", *_subtree(data, 0, ROOT)).hex()


def sha256(data):
    return hashlib.sha256(data).hexdigest()


# --- Ed25519: the curve equation by hand, the signature equation by openssl ---

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P


def decode_point(encoded):
    """The point (x, y), or None where the encoding is not the one that RFC 8032 section 5.1.2 writes."""
    number = int.from_bytes(encoded, "little")
    sign, y = number >> 255, number & (2**255 - 1)
    if y >= P:
        return None
    x2 = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(x2, (P + 3) // 8, P)
    if x * x % P != x2:
        x = x * pow(2, (P - 1) // 4, P) % P
    if x * x % P != x2 or (x == 0 and sign):
        return None
    return (x if x & 1 == sign else P - x, y)


def add_points(a, b):
    (x1, y1), (x2, y2) = a, b
    t = D * x1 * x2 * y1 * y2 % P
    return ((x1 * y2 + x2 * y1) * pow(1 + t, -1, P) % P, (y1 * y2 + x1 * x2) * pow(1 - t, -1, P) % P)


@functools.cache
def is_strict_point(encoded):
    """Canonical, on the curve, and not of small order: eight times the point is not the neutral element."""
    point = decode_point(encoded)
    if point is None:
        return False
    for _ in range(3):
        point = add_points(point, point)
    return point != (0, 1)


@functools.cache
def ed25519_verify(public, signature, message):
    if len(signature) != 64 or not is_strict_point(public) or not is_strict_point(signature[:32]):
        return False
    if int.from_bytes(signature[32:], "little") >= L:
        return False
    spki = bytes.fromhex("302a300506032b6570032100") + public
    pem = b"-----BEGIN PUBLIC KEY-----\n" + base64.b64encode(spki) + b"\n-----END PUBLIC KEY-----\n"
    with tempfile.TemporaryDirectory() as scratch:
        paths = [os.path.join(scratch, name) for name in ("k", "s", "m")]
        for path, content in zip(paths, (pem, signature, message)):
            with open(path, "wb") as file:
                file.write(content)
        done = subprocess.run(["openssl", "pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", paths[0], "-sigfile", paths[1],
                               "-in", paths[2]], capture_output=True, check=False)
    return done.returncode == 0


# --- text forms ---

class Refused(ValueError):
    """Input that the specification does not allow. `kind` is one word for the test vectors."""

    def __init__(self, kind, text=None):
        super().__init__(text or kind)
        self.kind = kind


def strict_base64(text, url_safe=False):
    """Padded base64 of one alphabet, no white space, unused bits zero."""
    if url_safe and re.fullmatch(r"[A-Za-z0-9_-]*={0,2}", text, re.ASCII):
        standard = text.translate(str.maketrans("-_", "+/"))
    elif re.fullmatch(r"[A-Za-z0-9+/]*={0,2}", text, re.ASCII):
        standard = text
    else:
        raise Refused("base64")
    try:
        data = base64.b64decode(standard, validate=True)
    except ValueError as error:
        raise Refused("base64") from error
    if base64.b64encode(data).decode() != standard:
        raise Refused("base64", "base64 is not the one encoding of its bytes")
    return data


def strict_json(data, max_depth=32):
    """One JSON value and nothing else, with every key once."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Refused("utf-8") from error
    # The depth is measured before anything recurses.
    depth = 0
    for token in re.finditer(r'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]', text, re.DOTALL):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token.group(), 0)
        if depth > max_depth:
            raise Refused("depth")
    try:
        value = json.loads(text, object_pairs_hook=_object, parse_constant=_no_constant, parse_float=_finite, parse_int=_whole)
    except Refused:
        raise
    except ValueError as error:
        raise Refused("json", str(error)) from error
    _no_surrogates(value)
    return value


def _object(pairs):
    folded = [re.sub("[A-Z]", lambda m: m.group().lower(), key) for key, _ in pairs]
    if len(set(folded)) != len(folded):
        raise Refused("duplicate key")
    return dict(pairs)


def _no_constant(name):
    raise Refused("json", f"{name} is no JSON")


def _finite(text):
    if float(text) in (float("inf"), float("-inf")):
        raise Refused("number")
    return float(text)


def _whole(text):
    _finite(text)
    return int(text)


def _no_surrogates(value):
    if isinstance(value, str):
        if re.search("[\ud800-\udfff]", value):
            raise Refused("lone surrogate")
    elif isinstance(value, dict):
        for key, inner in value.items():
            _no_surrogates(key)
            _no_surrogates(inner)
    elif isinstance(value, list):
        for inner in value:
            _no_surrogates(inner)


# --- paths ---

def escape_path(raw):
    out = []
    for char in raw.decode("utf-8", "surrogateescape"):
        if char in "\\\n\r":
            out.append({"\\": "\\\\", "\n": "\\n", "\r": "\\r"}[char])
        elif "\udc80" <= char <= "\udcff":
            out.append(f"\\x{ord(char) - 0xDC00:02x}")
        else:
            out.append(char)
    return "".join(out)


def unescape_path(text):
    """The raw bytes of an escaped path; refused where it is no path or not the one way to write it."""
    def one(match):
        escape = match.group(1)
        return {b"\\": b"\\", b"n": b"\n", b"r": b"\r"}.get(escape) or bytes([int(escape[1:], 16)])
    encoded = text.encode("utf-8")
    if re.search(rb"\\(?!\\|n|r|x[0-9a-f]{2})", re.sub(rb"\\\\", b"", encoded)):
        raise Refused("escape")
    raw = re.sub(rb"\\(\\|n|r|x[0-9a-f]{2})", one, encoded)
    if escape_path(raw) != text:
        raise Refused("escape", "path is not in its one text form")
    check_path(raw)
    return raw


def check_path(raw):
    if len(raw) > 4096 or b"\0" in raw:
        raise Refused("path")
    if any(part in (b"", b".", b"..") for part in raw.split(b"/")):
        raise Refused("path")
