"""Sections of the probe: names and addresses of the host, and where it listens."""

import os
import struct
import sys
import threading
import time
from typing import Any

from hotfoot.reach.probe.frame import Failed, between, text_of

try:  # what the library's own is made of: it would load more than is asked for here
    import _socket as socket
except ImportError:
    import socket  # type: ignore[no-redef]

_LISTENS = 10
_ROUTE, _SOCK_DIAG = 0, 4
_ERROR, _DONE, _BY_FAMILY, _GET_ADDRESS = 2, 3, 20, 22
_REQUEST_ALL = 0x301
_ADDRESS, _LOCAL = 1, 2


def names(wanted: "list[str]", failures: "dict[str, str]") -> "dict[str, Any]":
    """Resolve names, many at a time; those that take longer than 4 s are left out and named in failures."""
    hostname = socket.gethostname()
    resolved = {}  # type: dict[str, list[str]]
    canonical = []  # type: list[str]
    left = [None] + list(reversed(wanted))  # type: list[str | None]

    def work() -> None:
        while True:
            try:
                name = left.pop()
            except IndexError:
                return
            try:
                flags = socket.AI_CANONNAME if name is None else 0
                # In ASCII already: a string would have Python load what it knows of international names.
                asked = (name or hostname).encode("ascii")
                answers = socket.getaddrinfo(asked, None, 0, socket.SOCK_STREAM, 0, flags)
            except (OSError, UnicodeError):
                answers = []
            if name is None:
                canonical.extend(answer[3] for answer in answers[:1])
            else:
                resolved[name] = list(dict.fromkeys(str(answer[4][0]) for answer in answers))

    threads = [threading.Thread(target=work, daemon=True) for _ in range(min(16, 1 + len(wanted) // 8))]
    for thread in threads:
        thread.start()
    end_s = time.monotonic() + 4
    for thread in threads:
        thread.join(max(0.0, end_s - time.monotonic()))
    late = [name for name in wanted if name not in resolved]
    if late:
        failures["names"] = "the name service did not answer within 4 s for {}".format(", ".join(late[:5]))
    return {
        "hostname": hostname,
        "fqdn": canonical[0] if canonical else "",
        "resolved": {name: resolved[name] for name in wanted if name in resolved},
        "addresses": [each for each in addresses() if each != "::1" and not each.startswith("127.")],
        "links": sorted(os.listdir("/sys/class/net")),
    }


def came_from() -> str:
    """Return the address that this SSH session comes from, as the host sees it; empty outside of one."""
    told, pid = os.environ.get("SSH_CONNECTION", ""), os.getppid()
    while not told and pid > 1:  # sudo keeps it from its program
        told = between("\0" + text_of(f"/proc/{pid}/environ"), "\0SSH_CONNECTION=", "\0")
        parent = between(text_of(f"/proc/{pid}/status"), "\nPPid:\t", "\n")
        pid = int(parent) if parent.isdigit() else 0
    return told.partition(" ")[0].partition("%")[0]


def listeners() -> "list[dict[str, Any]]":
    """Tell where TCP sockets listen."""
    try:
        found = _asked_for(socket.AF_INET) + _asked_for(socket.AF_INET6)
    except OSError:  # a kernel without tcp_diag
        found = _read_from("/proc/net/tcp") + _read_from("/proc/net/tcp6")
    return [{"address": address, "port": port} for address, port in sorted(set(found), key=lambda each: each[::-1])]


def _asked_for(family: int) -> "list[tuple[str, int]]":
    """Ask the kernel for listening sockets only (sock_diag(7)): /proc has it go through all connections first."""
    found = []  # type: list[tuple[str, int]]
    question = struct.pack("=BBBxI48x", family, socket.IPPROTO_TCP, 0, 1 << _LISTENS)
    for answer in _netlink(_SOCK_DIAG, _BY_FAMILY, question):
        port, address = struct.unpack_from("!H2x16s", answer, 4)
        found.append((socket.inet_ntop(family, address[:4] if family == socket.AF_INET else address), port))
    return found


def addresses() -> "list[str]":
    """Return the IP addresses of all links, in the order of the links (rtnetlink(7), as ``ip address`` asks it)."""
    found = []  # type: list[tuple[int, int, str]]
    try:
        answers = _netlink(_ROUTE, _GET_ADDRESS, bytes(8))
    except OSError as error:
        raise Failed(f"the kernel does not tell the addresses of links: {error}") from None
    for answer in answers:
        family, link = struct.unpack_from("=B3xI", answer)
        attributes = _attributes(answer[8:])
        # Where both are given, the first is the other end's of a point-to-point link.
        raw = attributes.get(_LOCAL) or attributes.get(_ADDRESS)
        if raw and family in (socket.AF_INET, socket.AF_INET6):
            found.append((link, family, socket.inet_ntop(family, raw)))
    # A stable sort: the addresses of a link stay in the kernel's order.
    return [address for _, _, address in sorted(found, key=lambda each: each[:2])]


def _attributes(data: bytes) -> "dict[int, bytes]":
    found = {}  # type: dict[int, bytes]
    while len(data) >= 4:
        length, kind = struct.unpack_from("=HH", data)
        found[kind] = data[4:length]
        data = data[(max(length, 4) + 3) & ~3 :]
    return found


def _netlink(protocol: int, kind: int, question: bytes) -> "list[bytes]":
    """Ask the kernel for all of something; return the answers without their headers. Raises OSError."""
    found = []  # type: list[bytes]
    kernel = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol)
    try:
        kernel.settimeout(2)
        kernel.send(struct.pack("=IHHII", 16 + len(question), kind, _REQUEST_ALL, 1, 0) + question)
        while True:
            data = kernel.recv(1 << 18)
            while data:
                length, answered = struct.unpack_from("=IH", data)
                if answered == _DONE:
                    return found
                if answered == _ERROR:
                    code = -struct.unpack_from("=i", data, 16)[0]
                    raise OSError(code, os.strerror(code))
                found.append(data[16:length])
                data = data[(length + 3) & ~3 :]
    finally:
        kernel.close()


def _read_from(path: str) -> "list[tuple[str, int]]":
    found = []  # type: list[tuple[str, int]]
    for line in text_of(path, 16 << 20).splitlines()[1:]:
        words = line.split()
        if len(words) > 3 and int(words[3], 16) == _LISTENS:
            address, _, port = words[1].partition(":")
            found.append((_address(address), int(port, 16)))
    return found


def _address(digits: str) -> str:
    """Read an address as /proc/net/tcp writes it: 32-bit words of the machine's own byte order."""
    words = [bytes.fromhex(digits[at : at + 8]) for at in range(0, len(digits), 8)]
    raw = b"".join(word[::-1] if sys.byteorder == "little" else word for word in words)
    return socket.inet_ntop(socket.AF_INET if len(raw) == 4 else socket.AF_INET6, raw)
