"""Helps blind.sh.

    blind.py trace LOG SHELF OWN DIGEST     reads the log of `strace -f -y -e trace=%file,%process` around a rebuild and asserts that
                                            - the build ran in a sandbox, and no process of the sandbox names a path below SHELF in any call,
                                            - nothing below SHELF was opened before the last process of the sandbox had ended,
                                            - by then a file below OWN with DIGEST (hex) in it had been written,
                                            - something below SHELF was opened at last, or nothing was compared.
    blind.py listen DIRECTORY               listens until it is killed, and writes where to DIRECTORY/peers
"""

import os
import re
import socket
import sys

LINE = re.compile(r"(\d+) +(.*)")
CALL = re.compile(r"(?:<\.\.\. )?(\w+)")
# A path argument, with the directory that it is relative to where there is one.
PATH = re.compile(r'(?:(?:\d+|AT_FDCWD)<([^>]*)>, )?"((?:[^"\\]|\\.)*)"')
OPENS = {"open", "openat", "openat2", "creat"}
# What the hostile recipe runs.
STEP = "search.py"
STARTS = {"clone", "clone3", "fork", "vfork"}


def paths(text):
    return [os.path.normpath(os.path.join(directory or "", name)) for directory, name in PATH.findall(text)]


def written(text, call):
    """The paths that a call makes or replaces."""
    if call in OPENS and re.search(r"O_CREAT|O_WRONLY|O_RDWR", text) or call == "creat":
        return paths(text)
    if call.startswith(("rename", "link")):
        return paths(text)[-1:]
    return []


def call_of(text):
    found = CALL.match(text)
    return found.group(1) if found else ""


def outside(calls):
    """The processes and threads that are in no new namespace: the first, and what those have started without one. All others are in the
    sandbox; they cannot be followed from parent to child, since a call in a process namespace returns a number that means nothing here."""
    flags, children, isolated = {}, {}, set()
    for pid, call, text in calls:
        if call not in STARTS | {"unshare"}:
            continue
        # The flags of a call that was interrupted stand on its first line, the new process on its second.
        flags[pid] = flags.get(pid, "") + text if "resumed>" in text else text
        new = re.search(r"CLONE_NEW(USER|PID|NS)", flags[pid])
        child = re.search(r"\) += (\d+)", text)
        if new and call == "unshare":
            isolated.add(pid)
        elif child and not new:
            children.setdefault(pid, []).append(child.group(1))
    found, waiting = set(), [calls[0][0]]
    while waiting:
        pid = waiting.pop()
        if pid not in found | isolated:
            found.add(pid)
            waiting += children.get(pid, [])
    return found


def trace(log, shelf, own, digest):
    kept = []
    for directory, _, names in os.walk(own):
        for name in names:
            with open(os.path.join(directory, name), "rb") as file:
                if digest.encode() in file.read():
                    kept.append(os.path.join(directory, name))
    if not kept:
        sys.exit("no file of the rebuilder holds the digest that it found")

    with open(log, encoding="utf-8", errors="surrogateescape") as file:
        calls = [(pid, call_of(text), text) for pid, text in (LINE.match(line).groups() for line in file)]
    sandbox = {pid for pid, _, _ in calls} - outside(calls)
    began = ended = opened = kept_at = None
    for number, (pid, call, text) in enumerate(calls, 1):
        if pid in sandbox:
            began, ended = began or number, number
            if shelf in text:
                sys.exit(f"the sandbox knows of the published files, line {number}: {text}")
        if call in OPENS and opened is None and any(f"{path}/".startswith(f"{shelf}/") for path in paths(text)):
            opened = number
        if kept_at is None and any(path in kept for path in written(text, call)):
            kept_at = number
    print(f"sandbox: {len(sandbox)} processes, lines {began} to {ended}; own digests: line {kept_at}; first published file: line {opened}")
    if not any(pid in sandbox and call == "execve" and STEP in text for pid, call, text in calls):
        sys.exit("the build's step was not seen in a sandbox")
    if opened is None:
        sys.exit("no published file was opened")
    if opened < ended:
        sys.exit("a published file was opened before the sandbox had ended")
    if kept_at is None or opened < kept_at:
        sys.exit("a published file was opened before the rebuilder's own digests were written")


def listen(directory):
    tcp = socket.create_server(("0.0.0.0", 0))
    unix = socket.socket(socket.AF_UNIX)
    name = f"countersign-test-{os.getpid()}"
    unix.bind("\0" + name)
    unix.listen()
    port = tcp.getsockname()[1]
    hosts = ["127.0.0.1"]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            # Sends nothing; only asks which of our addresses would be used.
            probe.connect(("192.0.2.1", 9))
            hosts.append(probe.getsockname()[0])
        except OSError:
            pass
    peers = os.path.join(directory, "peers")
    with open(peers + ".new", "w", encoding="utf-8") as file:
        file.writelines(f"tcp {host} {port}\n" for host in hosts)
        file.write(f"abstract {name}\n")
    os.rename(peers + ".new", peers)
    while True:
        tcp.accept()[0].close()


if __name__ == "__main__":
    {"trace": trace, "listen": listen}[sys.argv[1]](*sys.argv[2:])
