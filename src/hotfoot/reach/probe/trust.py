"""Sections of the probe: certificates and keys of libvirt and QEMU; sshd, and the migration user's SSH files."""

import binascii
import os
from typing import Any

from hotfoot.reach.probe.frame import (
    Failed,
    ask,
    between,
    digest,
    finish,
    first_line,
    matching,
    outside,
    program,
    start,
    text_of,
)

CERTIFICATES = (
    "/etc/pki/CA/cacert.pem",
    "/etc/pki/libvirt/servercert.pem",
    "/etc/pki/libvirt/clientcert.pem",
    "/etc/pki/qemu/ca-cert.pem",
    "/etc/pki/qemu/server-cert.pem",
    "/etc/pki/qemu/client-cert.pem",
)
KEYS = (
    "/etc/pki/libvirt/private/serverkey.pem",
    "/etc/pki/libvirt/private/clientkey.pem",
    "/etc/pki/qemu/server-key.pem",
    "/etc/pki/qemu/client-key.pem",
)
_RSA = b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00"
"""rsaEncryption without parameters, in DER (RFC 8017, appendix A.1)."""
_KEY_TYPES = ("ssh-", "ecdsa-", "sk-")
# The length of the type, which stands first in the key too, in base64.
_KEY_BEGINS = "AAAA"


def pki(failures: "dict[str, str]") -> "dict[str, Any]":
    """Tell certificates as they are, and of private keys only a digest of their public half."""
    certificates = [dict(outside(path), pem=text_of(path) if os.path.isfile(path) else "") for path in CERTIFICATES]
    keys = [outside(path) for path in KEYS]
    try:
        _add_digests([key for key in keys if key["exists"]])
    except Failed as failed:
        failures["pki.keys"] = f"{failed}, so keys cannot be compared with certificates"
    return {"certificates": certificates, "keys": keys}


def _add_digests(keys: "list[dict[str, Any]]") -> None:
    """Add ``public_key_sha256``: of the public half in DER, as a certificate holds it too.

    Raises Failed where openssl is needed and not there.
    """
    same = {}  # type: dict[str, list[dict[str, Any]]]
    for key in keys:  # server and client often have one key: asked for once
        same.setdefault(text_of(key["path"]), []).append(key)
    argv = ["openssl", "pkey", "-passin", "pass:", "-pubout", "-outform", "DER", "-in"]
    halves = [(those, _public_half(text)) for text, those in same.items()]
    started = [(those, start([*argv, those[0]["path"]])) for those, half in halves if half is None]
    for those, process in started:
        status, out, _ = finish(process)
        halves.append((those, out if status == 0 else None))
    for those, half in halves:
        for key in those if half else []:
            key["public_key_sha256"] = digest(half or b"")


def _public_half(pem: str) -> "bytes | None":
    """Return the public half of an RSA key that is not encrypted, in DER (RFC 5208, 8017); None of any other.

    In a fraction of the time of openssl's start, and libvirt's keys are hardly ever others.
    """
    plain = between(pem, "-----BEGIN PRIVATE KEY-----", "-----END")
    bare = between(pem, "-----BEGIN RSA PRIVATE KEY-----", "-----END")
    try:
        data = binascii.a2b_base64(plain or bare)
        if plain:
            _, algorithm, wrapped = _parts(_parts(data)[0][1])[:3]
            if algorithm[0] != _RSA:
                return None
            data = wrapped[1]
        version, modulus, exponent = _parts(_parts(data)[0][1])[:3]
    except (ValueError, IndexError):
        return None
    if version[1] != b"\0" or "ENCRYPTED" in pem:
        return None
    numbers = _wrapped(b"\x30", modulus[0] + exponent[0])
    return _wrapped(b"\x30", _RSA + _wrapped(b"\x03", b"\0" + numbers))


def _parts(data: bytes) -> "list[tuple[bytes, bytes]]":
    """Return what follows each other in DER: each as a whole, and its content."""
    found, at = [], 0
    while at < len(data):
        begin, length = at + 2, data[at + 1]
        if length > 0x7F:
            begin += length & 0x7F
            length = int.from_bytes(data[at + 2 : begin], "big")
        if begin + length > len(data):
            raise ValueError("cut off")
        found.append((data[at : begin + length], data[begin : begin + length]))
        at = begin + length
    return found


def _wrapped(kind: bytes, content: bytes) -> bytes:
    size = len(content).to_bytes((len(content).bit_length() + 7) // 8, "big")
    return kind + (size if len(content) < 0x80 else bytes([0x80 + len(size)]) + size) + content


def ssh(user: "str | None", homes: "dict[str, str]") -> "dict[str, Any]":
    """Tell sshd's keys and effective configuration, and the public keys of the migration user."""
    told = {"effective": {}, "config_valid": None, "config_problem": ""}  # type: dict[str, Any]
    effective = told["effective"]  # type: dict[str, str]
    if program("sshd"):
        status, out, err = ask([program("sshd") or "sshd", "-T"])
        for line in out.splitlines():
            key, _, value = line.partition(" ")
            effective[key] = effective[key] + "\n" + value if key in effective else value
        # Without its runtime folder sshd judges nothing; it is there whenever sshd runs.
        if "privilege separation directory" not in err:
            told["config_valid"] = status == 0
            told["config_problem"] = "" if status == 0 else first_line(err or out)
    else:
        told["config_problem"] = "sshd is not installed"
    named = [path + ".pub" for path in effective.get("hostkey", "").splitlines()]
    public = named or matching("/etc/ssh/ssh_host_*_key.pub")
    told["host_keys"] = _keys("\n".join(map(text_of, public)))
    home = homes.get(user or "")
    if user and home:
        own = matching(os.path.join(home, ".ssh", "*.pub"))
        told["public_keys"] = _keys("\n".join(text_of(path) for path in own))
        files = effective.get("authorizedkeysfile", ".ssh/authorized_keys .ssh/authorized_keys2").split()
        places = [file.replace("%h", home).replace("%u", user).replace("%%", "%") for file in files if file != "none"]
        told["authorized"] = _keys("\n".join(text_of(os.path.join(home, place)) for place in places))
    return told


def _keys(text: str) -> "list[str]":
    """Return ``type base64`` of each line with a public key, options and comments left out."""
    found = []
    for line in text.splitlines():
        words = line.split()
        if words and not words[0].startswith("#"):
            pairs = zip(words, words[1:])  # noqa: B905, RUF007 (Python 3.6)
            found += [pair for pair in pairs if pair[0].startswith(_KEY_TYPES) and pair[1].startswith(_KEY_BEGINS)][:1]
    return list(dict.fromkeys(" ".join(pair) for pair in found))
