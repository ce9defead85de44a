"""One certificate as it stands in a file: what it vouches for, for how long, for what, and who signed it. Pure."""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID


@dataclass(frozen=True, slots=True)
class Parsed:
    """The first certificate of a file. Times in seconds since 1970, UTC."""

    chain: tuple[x509.Certificate, ...]
    """All certificates of the file, in order."""
    subject: str
    issuer: str
    valid_from_s: float
    valid_until_s: float
    names: frozenset[str]
    """DNS names in lower case and IP addresses that it vouches for."""
    public_key_sha256: str
    """Digest of its public key in DER, to compare with a private key's."""
    is_rsa: bool
    is_authority: bool
    serves: bool
    """Whether it may be shown by a server."""
    connects: bool
    """Whether it may be shown by a client."""

    @property
    def fingerprints(self) -> frozenset[str]:
        """Digest of each certificate of the file."""
        return frozenset(_digest(each.public_bytes(serialization.Encoding.DER)) for each in self.chain)

    def vouches_for(self, name: str) -> bool:
        """Whether a host may be called by that name or address."""
        name = name.lower()
        parent = name.partition(".")[2]
        return name in self.names or (bool(parent) and not _is_address(name) and f"*.{parent}" in self.names)


@lru_cache(maxsize=4096)
def parse(pem: str) -> Parsed | None:
    """Read a PEM file's text; None where it holds no certificate that can be read."""
    try:
        chain = tuple(x509.load_pem_x509_certificates(pem.encode()))
        return _parsed(chain)
    except ValueError:
        return None


@lru_cache(maxsize=4096)
def signed_by(pem: str, authority_pem: str) -> bool:
    """Whether a chain of signatures leads from the first certificate of a file to one of the authority's file."""
    leaf, authority = parse(pem), parse(authority_pem)
    if leaf is None or authority is None:
        return False
    trusted, between = authority.chain, list(leaf.chain[1:])
    current = leaf.chain[0]
    while not any(_issued(current, each) for each in trusted):
        above = next((each for each in between if _issued(current, each)), None)
        if above is None:
            return False
        between.remove(above)
        current = above
    return True


def _parsed(chain: Sequence[x509.Certificate]) -> Parsed:
    leaf = chain[0]
    uses = _extended_uses(leaf)
    key = leaf.public_key()
    return Parsed(
        chain=tuple(chain),
        subject=leaf.subject.rfc4514_string(),
        issuer=leaf.issuer.rfc4514_string(),
        valid_from_s=leaf.not_valid_before_utc.timestamp(),
        valid_until_s=leaf.not_valid_after_utc.timestamp(),
        names=frozenset(_names(leaf)),
        public_key_sha256=_digest(
            key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        ),
        is_rsa=isinstance(key, rsa.RSAPublicKey),
        is_authority=_is_authority(leaf),
        # Without the extension a certificate may be used for all (RFC 5280, 4.2.1.12).
        serves=uses is None or ExtendedKeyUsageOID.SERVER_AUTH in uses,
        connects=uses is None or ExtendedKeyUsageOID.CLIENT_AUTH in uses,
    )


def _names(certificate: x509.Certificate) -> Iterable[str]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        # What libvirt (GnuTLS) then looks at, as RFC 2818 allows.
        return [
            str(name.value).lower() for name in certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        ]
    names = [name.lower() for name in found.get_values_for_type(x509.DNSName)]
    return names + [str(address) for address in found.get_values_for_type(x509.IPAddress)]


def _extended_uses(certificate: x509.Certificate) -> frozenset[x509.ObjectIdentifier] | None:
    try:
        found = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return None
    uses = frozenset(found)
    if ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in uses:
        return None
    return uses


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return bool(certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca)
    except x509.ExtensionNotFound:
        return False


def _issued(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
