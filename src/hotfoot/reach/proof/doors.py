"""Ports: knocking at those of others, and listening where migrations would.

Runs on hosts (Python 3.6 and newer, standard library only), joined with its neighbours before it is sent.
"""

import errno
import ipaddress
import re
import select
import socket
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress

KNOCK_S = 2.0

_PORTS = re.compile(r"^\s*migration_port_(min|max)\s*=\s*(\d+)", re.MULTILINE)


def knock(doors: "Sequence[tuple[str, int]]") -> "dict[tuple[str, int], str]":
    """Connect to all (address, port) at once, and tell which are open, refused or filtered.

    Filtered: no answer, or one from a firewall or router on the way. An address that does not resolve is left out.
    """
    found: dict[tuple[str, int], str] = {}
    under_way: dict[int, tuple[tuple[str, int], socket.socket]] = {}
    poll = select.poll()
    for door in sorted(set(doors)):
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(door[0], door[1], type=socket.SOCK_STREAM)[0]
        except (OSError, UnicodeError):
            continue
        visitor = socket.socket(family, kind, protocol)
        visitor.setblocking(False)
        under_way[visitor.fileno()] = (door, visitor)
        outcome = visitor.connect_ex(address)
        if outcome in (0, errno.EINPROGRESS):
            poll.register(visitor, select.POLLOUT)
        else:
            found[door] = _state(outcome)
    until = time.monotonic() + KNOCK_S
    while len(found) < len(under_way):
        left = until - time.monotonic()
        ready = poll.poll(max(0, int(left * 1000)))
        for descriptor, _ in ready:
            door, visitor = under_way[descriptor]
            poll.unregister(descriptor)
            found[door] = _state(visitor.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
        if not ready and left <= 0:
            break
    for door, visitor in under_way.values():
        found.setdefault(door, "filtered")
        visitor.close()
    return found


def _state(outcome: int) -> str:
    return {0: "open", errno.ECONNREFUSED: "refused"}.get(outcome, "filtered")


def migration_ports() -> "tuple[int, int]":
    """Return libvirt's range of migration ports, as qemu.conf gives it."""
    limits = {"min": 49152, "max": 49215}
    with suppress(OSError), open("/etc/libvirt/qemu.conf", encoding="utf-8", errors="replace") as file:
        limits.update((end, int(port)) for end, port in _PORTS.findall(file.read()))
    return limits["min"], limits["max"]


def listeners(first: int, last: int) -> "list[socket.socket]":
    """Listen on the first and the last free port of a range; the kernel takes the others' calls by itself."""
    low = next((each for each in map(_listener, range(first, last + 1)) if each), None)
    high = next((each for each in map(_listener, range(last, first - 1, -1)) if each), None) if low else None
    return [each for each in (low, high) if each]


def _listener(port: int) -> "socket.socket | None":
    for family, address in ((socket.AF_INET6, "::"), (socket.AF_INET, "0.0.0.0")):
        try:
            listener = socket.socket(family, socket.SOCK_STREAM)
        except OSError:
            continue  # a kernel without IPv6
        try:
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((address, port))
            listener.listen(128)
        except OSError as error:
            listener.close()
            if error.errno == errno.EADDRNOTAVAIL:
                continue  # IPv6 is switched off
            return None
        return listener
    return None


def addresses_in(network: str) -> "list[str]":
    """Return this host's own addresses in a network."""
    try:
        said = subprocess.check_output(["ip", "-o", "address", "show", "up"], stderr=subprocess.DEVNULL)
    except (OSError, subprocess.CalledProcessError):
        return []
    here = re.findall(r"\binet6? ([0-9a-f.:]+)", said.decode(errors="replace"))
    within = ipaddress.ip_network(network)
    return [each for each in here if ipaddress.ip_address(each) in within]
