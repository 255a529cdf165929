"""Helps blind.sh.

    blind.py trace LOG SHELF OWN DIGEST     reads the log of `strace -f -y -e trace=%file,%process` around a rebuild and asserts that
                                            - a sandbox was started, and nothing in it names a path below SHELF,
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


def trace(log, shelf, own, digest):
    kept = []
    for directory, _, names in os.walk(own):
        for name in names:
            with open(os.path.join(directory, name), "rb") as file:
                if digest.encode() in file.read():
                    kept.append(os.path.join(directory, name))
    if not kept:
        sys.exit("no file of the rebuilder holds the digest that it found")

    first_process = None
    sandbox, starts = set(), {}
    began = ended = opened = kept_at = None
    with open(log, encoding="utf-8", errors="surrogateescape") as file:
        for number, line in enumerate(file, 1):
            pid, text = LINE.match(line).groups()
            first_process = first_process or pid
            call = CALL.match(text)
            call = call.group(1) if call else ""
            # The flags of a call that was interrupted stand on its first line, the new process on its second.
            if call in STARTS or call == "unshare":
                starts[pid] = text if "resumed>" not in text else starts.get(pid, "") + text
            isolates = call in STARTS | {"unshare"} and re.search(r"CLONE_NEW(USER|PID|NS)", starts[pid])
            if isolates and began is None:
                began = number
            if isolates and call == "unshare" and pid != first_process:
                sandbox.add(pid)
            child = re.search(r"\) += (\d+)", text)
            if call in STARTS and child and (pid in sandbox or isolates):
                sandbox.add(child.group(1))
            if pid in sandbox:
                if shelf in text:
                    sys.exit(f"the sandbox knows of the published files, line {number}: {line}")
                if text.startswith(("+++ exited", "+++ killed")):
                    ended = number
            if call in OPENS and opened is None and any(f"{path}/".startswith(f"{shelf}/") for path in paths(text)):
                opened = number
            if kept_at is None and any(path in kept for path in written(text, call)):
                kept_at = number
    print(f"sandbox from line {began} to {ended}, own digests in line {kept_at}, first published file in line {opened}")
    if began is None or ended is None:
        sys.exit("no sandbox was started, or it did not end")
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
