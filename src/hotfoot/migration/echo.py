"""Asking one address whether it is there: ICMP echo where allowed, else TCP connect.

Both kinds answer the same three questions (``Asker``), never block, and stamp an answer with the time at
which it arrived rather than the time at which Python came to read it, where the kernel tells.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
import time
from contextlib import suppress
from typing import Protocol

from hotfoot.errors import HotfootError

Answer = tuple[int, int]  # sequence of the probe, arrival on the monotonic clock in ns
SocketAddress = tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]  # as socket.getaddrinfo types it

TCP_PORT = 22  # open or refused does not matter, and SSH is the port that firewalls seldom drop

_SO_TIMESTAMPNS = 35  # asm-generic/socket.h; the socket module has no name for it before 3.14
_SOL_RAW, _ICMP_FILTER, _ICMP6_FILTER = 255, 1, 1  # linux/icmp.h, linux/icmpv6.h
_ECHO, _ECHO_REPLY, _ECHO6, _ECHO6_REPLY = 8, 0, 128, 129
_HEADER = struct.Struct("!BBHHH")  # type, code, checksum, id, sequence (RFC 792, RFC 4443)
_PAYLOAD = struct.Struct("!8sQ")  # who asks, the full sequence number
_REQUEST = struct.Struct("!BBHHH8sQQH")
"""Header, payload, then the complements of both sequence numbers: a number and its complement add up to nothing in the
Internet checksum (RFC 1071), so that one checksum is right for all requests of a watch."""
_TIMESPEC = struct.Struct("@ll")
_TCP_PATIENCE_NS = 1_000_000_000  # the kernel repeats a lost SYN only after 1 s; by then newer probes have asked
_READ_AT_MOST = 256  # answers per look, so that a flood cannot hold up the next probe


class Asker(Protocol):
    """One way of asking one address."""

    stamped: bool
    """Whether an answer tells itself when it arrived, however late it is read."""

    def ask(self, sequence: int) -> None:
        """Send probe ``sequence``; where it cannot leave (link down, no route) it is simply not answered."""

    def answers(self) -> list[Answer]:
        """Return the answers that arrived since the last look, without waiting."""

    def close(self) -> None:
        """Give the sockets back."""


def socket_address(address: str, port: int = 0) -> tuple[socket.AddressFamily, SocketAddress]:
    """Return family and socket address of a literal IPv4 or IPv6 address (``fe80::1%br0`` too).

    Raises HotfootError for anything else: a name could move to another machine during the watch.
    """
    try:
        found = socket.getaddrinfo(address.encode("ascii"), port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError) as error:
        raise HotfootError(f"Cannot watch {address!r}: give the instance's IPv4 or IPv6 address.") from error
    family, _, _, _, address_of = found[0]
    return family, address_of


class IcmpAsker:
    """ICMP echo over a ping socket where the kernel allows this user one, else over a raw socket (root).

    Raises PermissionError where neither is allowed, OSError where there is no route.
    """

    stamped = True

    def __init__(self, address: str) -> None:
        family, address_of = socket_address(address)
        self._v6 = family == socket.AF_INET6
        protocol = socket.IPPROTO_ICMPV6 if self._v6 else socket.IPPROTO_ICMP
        try:
            self._socket = socket.socket(family, socket.SOCK_DGRAM, protocol)
            self._raw = False
        except PermissionError:
            self._socket = socket.socket(family, socket.SOCK_RAW, protocol)
            self._raw = True
        try:
            self._prepare(address_of)
        except OSError:
            self._socket.close()
            raise
        self._token = os.urandom(8)  # tells our answers from those to other watches and other programs
        self._id = int.from_bytes(self._token[:2], "big")
        self._kind = _ECHO6 if self._v6 else _ECHO
        # Over other sockets the kernel fills it in.
        self._checksum = _checksum(self._request(0, checksum=0)) if self._raw and not self._v6 else 0

    def _prepare(self, address_of: SocketAddress) -> None:
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        if self._raw and self._v6:
            blocked = [0xFFFFFFFF] * 8
            blocked[_ECHO6_REPLY >> 5] &= ~(1 << (_ECHO6_REPLY & 31))
            self._socket.setsockopt(socket.IPPROTO_ICMPV6, _ICMP6_FILTER, struct.pack("@8I", *blocked))
        elif self._raw:
            self._socket.setsockopt(_SOL_RAW, _ICMP_FILTER, struct.pack("@I", 0xFFFFFFFF & ~(1 << _ECHO_REPLY)))
        self._socket.connect(address_of)  # the kernel then hands over this address's answers only

    def ask(self, sequence: int) -> None:
        """Send an echo request."""
        with suppress(OSError):
            self._socket.send(self._request(sequence, self._checksum))

    def _request(self, sequence: int, checksum: int) -> bytes:
        low = sequence & 0xFFFF
        complements = sequence ^ 0xFFFF_FFFF_FFFF_FFFF, low ^ 0xFFFF
        return _REQUEST.pack(self._kind, 0, checksum, self._id, low, self._token, sequence, *complements)

    def answers(self) -> list[Answer]:
        """Return the echo replies to this asker, with the kernel's time of arrival."""
        found: list[Answer] = []
        now_ns = time.monotonic_ns()
        wall_minus_clock_ns = time.time_ns() - now_ns  # afresh each time: the wall clock may be set meanwhile
        for _ in range(_READ_AT_MOST):
            try:
                packet, ancillary, _, _ = self._socket.recvmsg(256, 64)
            except BlockingIOError:
                break
            except OSError:
                continue  # an ICMP error (unreachable) reported on the socket: not an answer
            sequence = self._sequence(packet)
            if sequence is not None:
                found.append((sequence, _arrival_ns(ancillary, wall_minus_clock_ns, now_ns)))
        return found

    def _sequence(self, packet: bytes) -> int | None:
        start = (packet[0] & 15) * 4 if self._raw and not self._v6 and packet else 0
        if len(packet) < start + _HEADER.size + _PAYLOAD.size:
            return None
        token, sequence = _PAYLOAD.unpack_from(packet, start + _HEADER.size)
        expected = _ECHO6_REPLY if self._v6 else _ECHO_REPLY
        return sequence if token == self._token and packet[start] == expected else None

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


class TcpAsker:
    """TCP connect, closed at once by a reset so that nothing lingers; "connection refused" is an answer.

    The arrival is when it was looked at, at most one probe interval late: the kernel does not tell.
    """

    stamped = False

    def __init__(self, address: str, port: int = TCP_PORT) -> None:
        self._family, self._address_of = socket_address(address, port)
        self._poll = select.epoll()
        self._open: dict[int, tuple[int, int, socket.socket]] = {}  # fd -> sequence, asked_ns, socket
        self._ready: list[Answer] = []

    def ask(self, sequence: int) -> None:
        """Begin a connection; those that lost their first packet are dropped."""
        now_ns = time.monotonic_ns()
        self._forget(now_ns - _TCP_PATIENCE_NS)
        try:
            probe = socket.socket(self._family, socket.SOCK_STREAM)
        except OSError:
            return  # out of file descriptors: this probe asks nobody
        probe.setblocking(False)
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("@ii", 1, 0))
        outcome = probe.connect_ex(self._address_of)
        if outcome == errno.EINPROGRESS:
            self._open[probe.fileno()] = (sequence, now_ns, probe)
            self._poll.register(probe, select.EPOLLOUT)
            return
        probe.close()
        if outcome in (0, errno.ECONNREFUSED):
            self._ready.append((sequence, time.monotonic_ns()))

    def answers(self) -> list[Answer]:
        """Return the connections accepted or refused since the last look."""
        found, self._ready = self._ready, []
        for descriptor, _ in self._poll.poll(0):
            sequence, _, probe = self._open.pop(descriptor)
            outcome = probe.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            probe.close()
            if outcome in (0, errno.ECONNREFUSED):
                found.append((sequence, time.monotonic_ns()))
        return found

    def _forget(self, before_ns: int) -> None:
        while self._open:
            descriptor = next(iter(self._open))
            _, asked_ns, probe = self._open[descriptor]
            if asked_ns > before_ns:
                return
            del self._open[descriptor]
            probe.close()

    def close(self) -> None:
        """Drop the connections that are still open."""
        for _, _, probe in self._open.values():
            probe.close()
        self._open.clear()
        self._poll.close()


def _arrival_ns(ancillary: list[tuple[int, int, bytes]], wall_minus_clock_ns: int, now_ns: int) -> int:
    for level, kind, value in ancillary:
        if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPNS and len(value) >= _TIMESPEC.size:
            seconds, nanoseconds = _TIMESPEC.unpack_from(value)
            wall_ns: int = seconds * 1_000_000_000 + nanoseconds
            return wall_ns - wall_minus_clock_ns
    return now_ns


def _checksum(packet: bytes) -> int:
    """The Internet checksum (RFC 1071) of a packet of even length."""
    total = sum(struct.unpack(f"!{len(packet) // 2}H", packet))
    total = (total >> 16) + (total & 0xFFFF)
    checksum: int = ~(total + (total >> 16)) & 0xFFFF
    return checksum
