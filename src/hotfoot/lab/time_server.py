"""The time for hosts that are virtual machines: this machine's, by SNTP (RFC 4330), from inside the lab.

Run as a program with the address to serve on. It needs no rights but to use port 123 of the lab's own network.
"""

from __future__ import annotations

import socket
import struct
import sys
import time

PORT = 123
# NTP counts from 1900.
_EPOCH_S = 2_208_988_800
_REQUEST_BYTES = 48
# Version 4, a server's answer; stratum 8 and precision 2 ** -18 s: not a clock that others outside should follow.
_MODE, _STRATUM, _PRECISION = 4 << 3 | 4, 8, -18


def answer(request: bytes, received_s: float, sent_s: float) -> bytes | None:
    """Return the answer to a client's request (seconds since 1970), None if it is none.

    >>> len(answer(bytes([0x23]) + bytes(47), 1.5, 1.5) or b"")
    48
    """
    if len(request) < _REQUEST_BYTES or request[0] & 7 != 3:
        return None
    origin = request[40:48]
    head = struct.pack("!BBbbII4s", _MODE, _STRATUM, request[2] & 0x0F, _PRECISION, 0, 0, b"LOCL")
    return head + _stamp(received_s) + origin + _stamp(received_s) + _stamp(sent_s)


def _stamp(seconds: float) -> bytes:
    return struct.pack("!Q", round((seconds + _EPOCH_S) * 2**32) & (2**64 - 1))


def serve(address: str) -> None:
    """Answer until the lab ends."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as endpoint:
        endpoint.bind((address, PORT))
        while True:
            request, client = endpoint.recvfrom(512)
            found = answer(request, time.time(), time.time())
            if found:
                endpoint.sendto(found, client)


if __name__ == "__main__":
    serve(sys.argv[1])
