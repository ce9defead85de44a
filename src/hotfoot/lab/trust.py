"""The lab's certificates and SSH keys: one authority and one key pair for each host and for the controller."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from hotfoot.reach import certificates
from hotfoot.reach.certificates import KeyPair

_DAYS_VALID = 365
_BITS = 2048
"""Made in a tenth of the time of stronger ones; nothing in a lab is worth breaking them."""


@dataclass(frozen=True, slots=True)
class Trust:
    """All keys of a lab; ``hosts`` and ``host_keys`` are by host name."""

    authority: str
    """Its certificate, which every host has."""
    authority_key: str
    """Stays with the controller: what is wrong with a host's certificate can then be mended."""
    controller: KeyPair
    hosts: dict[str, KeyPair]
    login: KeyPair
    host_keys: dict[str, KeyPair]


def issue(hosts: Sequence[tuple[str, str]]) -> Trust:
    """Make the keys for hosts given as (name, address)."""
    with ThreadPoolExecutor() as pool:  # making RSA keys releases the interpreter's lock
        keys = list(pool.map(lambda _: certificates.new_key(_BITS), range(len(hosts) + 2)))
    authority_key, controller_key, *host_keys = keys
    authority = certificates.new_issuer("Hotfoot lab authority", _DAYS_VALID, authority_key)
    return Trust(
        authority=authority.pem,
        authority_key=certificates.private_pem(authority.key),
        controller=certificates.issue(
            authority, "hotfoot-controller", ["hotfoot-controller"], _DAYS_VALID, controller_key
        ),
        hosts={
            name: certificates.issue(authority, name, [name, address], _DAYS_VALID, key)
            for (name, address), key in zip(hosts, host_keys, strict=True)
        },
        login=ssh_key(),
        host_keys={name: ssh_key() for name, _ in hosts},
    )


def ssh_key() -> KeyPair:
    """Make an ed25519 key pair for SSH."""
    key = ed25519.Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return KeyPair(private.decode(), public.decode() + "\n")
