"""What differs between the published archive and the one that was built: `published.py PUBLISHED BUILT` prints `identical`, or the causes on
one line. Wheels (zip), .tgz and .crate (tar, gzip), .deb (ar of tars). Standard library alone.

Two archives with different bytes always have a cause: where members and headers are equal it is `compression`, or `other bytes`."""

import gzip
import io
import lzma
import struct
import sys
import tarfile
import zipfile
from pathlib import Path


def zipped(data):
    """Members in their order: name, what is said of each, content."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return [
            (
                info.filename,
                {
                    "time": info.date_time,
                    "mode": info.external_attr,
                    "packing": info.compress_type,
                    "header": (info.create_system, info.create_version, info.extract_version, info.flag_bits, info.extra, info.comment),
                },
                archive.read(info),
            )
            for info in archive.infolist()
        ]


def tarred(data):
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return [
            (
                member.name,
                {
                    "time": member.mtime,
                    "mode": member.mode,
                    "owner": (member.uid, member.gid, member.uname, member.gname),
                    "header": (member.type, member.linkname, tuple(sorted(member.pax_headers.items()))),
                },
                archive.extractfile(member).read() if member.isreg() else b"",
            )
            for member in archive
        ]


def ar(data):
    """Debian's archives: plain names, no index."""
    assert data.startswith(b"!<arch>\n")
    at, members = 8, []
    while at < len(data):
        name, time, uid, gid, mode, size = struct.unpack("16s12s6s6s8s10s", data[at : at + 58])
        content = data[at + 60 : at + 60 + int(size)]
        members.append((name.decode().strip(), {"time": int(time), "owner": (int(uid), int(gid)), "mode": mode}, content))
        at += 60 + int(size) + int(size) % 2
    return members


def sections(data):
    """An executable's sections (ELF, 64 bits, little-endian) by name."""
    header = struct.unpack_from("<16sHHIQQQIHHHHHH", data)
    table, entry, count, names = header[6], header[11], header[12], header[13]
    rows = [struct.unpack_from("<IIQQQQIIQQ", data, table + i * entry) for i in range(count)]
    strings = data[rows[names][4] : rows[names][4] + rows[names][5]]
    # Kind 8 has a length and no content in the file.
    return {strings[row[0] : strings.index(b"\0", row[0])].decode(): b"" if row[1] == 8 else data[row[4] : row[4] + row[5]] for row in rows}


def within(published, built):
    """Which sections differ, of executables."""
    if published[:5] == built[:5] == b"\x7fELF\x02":
        one, other = sections(published), sections(built)
        names = [name for name in sorted(one.keys() | other.keys()) if one.get(name) != other.get(name)]
        return f" ({' '.join(names) or 'headers'})"
    return ""


def causes(published, built, prefix=""):
    """`published` and `built` are members as above."""
    one, other = ({name: (said, content) for name, said, content in members} for members in (published, built))
    found = []
    for what, names in (("only published", one.keys() - other.keys()), ("only built", other.keys() - one.keys())):
        if names:
            found.append(f"{what}: {', '.join(prefix + name for name in sorted(names))}")
    both = [name for name in one if name in other]
    changed = [name for name in both if one[name][1] != other[name][1]]
    if changed:
        found.append("content: " + ", ".join(prefix + name + within(one[name][1], other[name][1]) for name in sorted(changed)))
    if both != [name for name in other if name in one]:
        found.append("order")
    for aspect in ("time", "mode", "owner", "packing", "header"):
        count = sum(one[name][0].get(aspect) != other[name][0].get(aspect) for name in both)
        if count:
            found.append(f"{aspect} of {count} of {len(both)}" + (f" in {prefix.strip('/')}" if prefix else ""))
    return found


def unpacked(name, data):
    """The tar in a packed member of a .deb."""
    if name.endswith(".gz"):
        return gzip.decompress(data)
    if name.endswith(".xz"):
        return lzma.decompress(data)
    assert name.endswith(".tar"), name
    return data


def compared(name, published, built):
    if published == built:
        return ["identical"]
    if name.endswith(".whl"):
        return causes(zipped(published), zipped(built)) or ["compression"]
    if name.endswith((".tgz", ".crate")):
        inner = [gzip.decompress(data) for data in (published, built)]
        found = causes(*map(tarred, inner))
        return found or (["compression"] if inner[0] == inner[1] else ["other bytes"])
    assert name.endswith(".deb"), name
    outer = [ar(data) for data in (published, built)]
    # Of the packed members only what the outer archive says of them: what they hold comes next.
    found = causes(*([(name, said, b"" if ".tar" in name else content) for name, said, content in members] for members in outer))
    for part in ("control", "data"):
        pair = [next(unpacked(name, content) for name, _, content in members if name.startswith(f"{part}.tar")) for members in outer]
        if pair[0] != pair[1]:
            found += causes(*map(tarred, pair), prefix=f"{part}/") or [f"other bytes in {part}"]
    return found or ["compression"]


if __name__ == "__main__":
    files = [Path(arg) for arg in sys.argv[1:]]
    print("; ".join(compared(files[0].name, *(file.read_bytes() for file in files))))
