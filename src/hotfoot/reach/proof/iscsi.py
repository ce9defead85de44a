"""An iSCSI target as QEMU's own initiator sees it: logged in to, and asked for its LUNs and who each is.

Nothing is written to a LUN, none of its data is read, and a login of its own leaves those of instances alone.
Sources: RFC 7143 (iSCSI, and CHAP in it), SPC-4 (REPORT LUNS, INQUIRY of page 83h).
"""

import base64
import hashlib
import os
import socket
import struct
import time
from contextlib import suppress
from typing import Any

MOST_S = 8.0
# QEMU adds the instance's name to this, where the instance has no initiator of its own.
_INITIATOR = "iqn.2008-11.org.linux-kvm"
_SECRETS = "/etc/libvirt/secrets"
_LOGIN, _COMMAND, _LOGOUT = 0x43, 0x01, 0x46
_LOGIN_ANSWER, _DATA, _ANSWER = 0x23, 0x25, 0x21
_SECURITY, _OPERATIONAL, _FULL = 0, 1, 3
_MOST_ANSWER_BYTES = 1 << 20
# In the words of libiscsi, which instances' logs have.
_REFUSALS = {
    513: "Authentication failure",
    514: "Authorization failure",
    515: "Target not found",
    516: "Target removed",
    769: "Service unavailable",
    770: "Out of resources",
}
_MOST_LUNS = 512


class _Refused(Exception):
    """The target, or the way to it, refused: status of the login (0: there was none) and a sentence part."""

    def __init__(self, status: int, why: str) -> None:
        Exception.__init__(self, why)
        self.status = status


class _Redirected(Exception):
    """The target wants to be asked at another portal."""


def target_seen(asked: "dict[str, Any]") -> "dict[str, Any]":
    """Return what a target shows: ``luns`` (name by number), or why not (``problem``, ``status`` of the login).

    ``secret`` tells whether libvirt's secret here holds the password: same, other, missing, or empty if not known.
    """
    told = {"problem": "", "status": 0, "luns": {}, "secret": ""}  # type: dict[str, Any]
    if asked["secret"]:
        told["secret"] = _held(asked["secret"], asked["password"])
    portal = asked["portal"]
    try:
        for _ in range(3):
            try:
                told["luns"] = _looked(portal, asked)
                return told
            except _Redirected as elsewhere:
                portal = str(elsewhere)
        told["problem"] = "it sends from portal to portal, at last to " + portal
    except _Refused as refused:
        told.update(problem=str(refused), status=refused.status)
    except (OSError, ValueError, struct.error, IndexError) as error:
        what = "no answer in time" if isinstance(error, socket.timeout) else getattr(error, "strerror", "") or error
        told["problem"] = f"{portal}: {what}"
    return told


def _held(uuid: str, password: str) -> str:
    if not os.path.exists(os.path.join(_SECRETS, uuid + ".xml")):
        return "missing"
    try:
        with open(os.path.join(_SECRETS, uuid + ".base64"), "rb") as file:
            value = base64.b64decode(file.read(), validate=True)
    except FileNotFoundError:
        return "other"  # defined without a value
    except (OSError, ValueError):
        return ""
    return "same" if value == password.encode() else "other"


def _looked(portal: str, asked: "dict[str, Any]") -> "dict[str, str]":
    session = _Session(portal)
    try:
        session.login(asked["target"], asked["user"], asked["password"])
        found = {}
        for number, address in session.luns():
            name = session.name_of(address)
            if name is not None:
                found[str(number)] = name
        session.logout()
        return found
    finally:
        session.socket.close()


class _Session:
    """One session of one connection, which logs in, asks, and leaves."""

    def __init__(self, portal: str) -> None:
        host, _, port = portal.rpartition(":")
        self._end_s = time.monotonic() + MOST_S
        self.socket = socket.create_connection((host.strip("[]"), int(port)), MOST_S / 2)
        # A random name of the session: one that the target knows already would end that other session.
        self._isid = b"\x80" + os.urandom(5)
        self._tsih = 0
        self._task = 0
        self._command_number = 1
        self._next_status = 0

    def login(self, target: str, user: str, password: str) -> None:
        """Raise _Refused with the status where the target does not let us in."""
        who = {"InitiatorName": _INITIATOR, "SessionType": "Normal", "TargetName": target}
        if not user:
            self._step(_SECURITY, _OPERATIONAL, dict(who, AuthMethod="None"))
        else:
            told = self._step(_SECURITY, None, dict(who, AuthMethod="CHAP,None"))
            if told.get("AuthMethod") == "CHAP":
                told = self._step(_SECURITY, None, {"CHAP_A": "5"})
                answer = _chap(told, password)
                self._step(_SECURITY, _OPERATIONAL, {"CHAP_N": user, "CHAP_R": "0x" + answer.hex()})
            else:
                self._step(_SECURITY, _OPERATIONAL, {})
        wishes = {"HeaderDigest": "None", "DataDigest": "None", "MaxRecvDataSegmentLength": "65536"}
        self._step(_OPERATIONAL, _FULL, wishes)

    def luns(self) -> "list[tuple[int, bytes]]":
        """Return the number of each LUN, and its address."""
        length = 8 + 8 * _MOST_LUNS
        data = self._ask(bytes(8), struct.pack("!B5xIxx", 0xA0, length), length)
        listed = data[8 : 8 + struct.unpack("!I", data[:4])[0]]
        addresses = [listed[at : at + 8] for at in range(0, len(listed) - 7, 8)]
        return [((each[0] & 0x3F) << 8 | each[1], each) for each in addresses]

    def name_of(self, address: bytes) -> "str | None":
        """Return the worldwide name of a disk (empty if it has none), None for what is no disk."""
        length = 1024
        try:
            page = self._ask(address, struct.pack("!BBBHx", 0x12, 1, 0x83, length), length)
        except _Refused:
            return ""  # it does not know page 83h
        return None if page[0] else _worldwide(page)

    def logout(self) -> None:
        """End the session as the target wants it; what was asked is known by then, however it takes that."""
        with suppress(OSError):
            self._send(struct.pack("!BB14x", _LOGOUT, 0x80) + self._numbers(0) + bytes(16), b"")

    def _step(self, stage: int, following: "int | None", keys: "dict[str, str]") -> "dict[str, str]":
        """Send one request of the login, and again without keys until the target is through with the stage."""
        told = {}  # type: dict[str, str]
        for _ in range(8):
            flags = stage << 2 | (0x80 | following if following is not None else 0)
            data = b"".join(f"{key}={value}\0".encode() for key, value in keys.items())
            head = struct.pack("!BB2x4x6sH", _LOGIN, flags, self._isid, self._tsih)
            self._send(head + struct.pack("!IHxxII16x", 0, 0, self._command_number, self._next_status), data)
            kind, answer, text = self._receive()
            if kind != _LOGIN_ANSWER:
                raise _Refused(0, f"it answered the login by something else ({kind:#x})")
            status = struct.unpack("!H", answer[36:38])[0]
            parts = [part.partition("=") for part in text.decode("utf-8", "replace").split("\0")]
            told.update({key: value for key, equals, value in parts if equals})
            if status >> 8 == 1 and "TargetAddress" in told:
                raise _Redirected(_portal_of(told["TargetAddress"]))
            if status:
                why = _REFUSALS.get(status, "refused")
                raise _Refused(status, f"Failed to log in to target. Status: {why}({status})")
            self._tsih = struct.unpack("!H", answer[14:16])[0]
            if following is None or answer[1] & 0x80:
                return told
            keys = {}
        raise _Refused(0, "it does not come to an end with the login")

    def _ask(self, lun: bytes, cdb: bytes, length: int) -> bytes:
        """Carry out a SCSI command that reads, and return what it gave."""
        head = struct.pack("!BB6x8s", _COMMAND, 0x80 | 0x40 | 1, lun)
        self._send(head + self._numbers(length) + cdb.ljust(16, b"\0"), b"")
        self._command_number += 1
        found = b""
        while True:
            kind, answer, data = self._receive()
            if kind == _DATA:
                found += data
                if len(found) > _MOST_ANSWER_BYTES:
                    raise _Refused(0, "it answers without an end")
            if kind == _ANSWER or (kind == _DATA and answer[1] & 0x01):
                if answer[3]:
                    raise _Refused(0, f"a SCSI command ended with status {answer[3]:#x}")
                return found

    def _numbers(self, length: int) -> bytes:
        self._task += 1
        return struct.pack("!IIII", self._task, length, self._command_number, self._next_status)

    def _send(self, head: bytes, data: bytes) -> None:
        head = head[:4] + struct.pack("!I", len(data)) + head[8:]
        self.socket.settimeout(max(0.1, self._end_s - time.monotonic()))
        self.socket.sendall(head + data + bytes(-len(data) % 4))

    def _receive(self) -> "tuple[int, bytes, bytes]":
        head = self._bytes(48)
        length = struct.unpack("!I", head[4:8])[0] & 0xFFFFFF
        if length > _MOST_ANSWER_BYTES:
            raise _Refused(0, "what it answers is not iSCSI")
        self._bytes(4 * head[4])
        data = self._bytes(length + -length % 4)[:length]
        # What carries a status has its number at this place; data without one has zero there.
        if head[0] & 0x3F != _DATA or head[1] & 0x01:
            self._next_status = (struct.unpack("!I", head[24:28])[0] + 1) & 0xFFFFFFFF
        return head[0] & 0x3F, head, data

    def _bytes(self, length: int) -> bytes:
        found = b""
        while len(found) < length:
            self.socket.settimeout(max(0.1, self._end_s - time.monotonic()))
            piece = self.socket.recv(length - len(found))
            if not piece:
                raise _Refused(0, "it closed the connection")
            found += piece
        return found


def _chap(told: "dict[str, str]", password: str) -> bytes:
    challenge = told.get("CHAP_C", "")
    if told.get("CHAP_A") != "5" or not told.get("CHAP_I", "").isdigit():
        raise _Refused(0, "it wants another way of CHAP than MD5")
    if challenge[:2].lower() == "0x":
        digits = challenge[2:]
        nonce = bytes.fromhex("0" * (len(digits) % 2) + digits)
    else:
        nonce = base64.b64decode(challenge[2:])
    data = bytes([int(told["CHAP_I"]) & 0xFF]) + password.encode() + nonce
    try:
        return bytes(hashlib.new("md5", data).digest())
    except ValueError:
        raise _Refused(0, "this host's Python has no MD5, which CHAP needs, so that it could not be tried") from None


def _portal_of(address: str) -> str:
    """Return ``address:port`` of a TargetAddress, which may lack the port and end in a group's number."""
    place = address.partition(",")[0]
    return place if place.rpartition(":")[2].isdigit() and not place.endswith("]") else place + ":3260"


def _worldwide(page: bytes) -> str:
    """Return the best name of page 83h for the LUN itself: NAA, then EUI-64, then the vendor's own."""
    names = {}  # type: dict[int, str]
    at, end = 4, min(len(page), 4 + struct.unpack("!H", page[2:4])[0])
    while at + 4 <= end:
        kind, value = page[at + 1], page[at + 4 : at + 4 + page[at + 3]]
        if kind >> 4 & 3 == 0:
            text = value.hex() if kind & 0xF in (2, 3) else value.decode("ascii", "replace").strip("\0 ")
            # As the kernel does: of several the longest, since short ones may be the array's own.
            names[kind & 0xF] = max(names.get(kind & 0xF, ""), text, key=len)
        at += 4 + page[at + 3]
    for code, prefix in ((3, "naa."), (2, "eui."), (8, ""), (1, "t10.")):
        if names.get(code):
            return prefix + names[code]
    return ""
