"""Certificates for libvirt and QEMU: an authority, and what it issues. Pure but for making keys; texts are PEM.

RSA, because clients of libvirt 9.0 refuse ECDSA certificates ("usage does not permit key encipherment").
"""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_CLOCKS_APART = datetime.timedelta(hours=1)
"""Certificates are valid from so long before now: clocks of hosts may be behind."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A private key and what vouches for it: a certificate (PEM) or an SSH public key (one line)."""

    private: str
    public: str


@dataclass(frozen=True, slots=True)
class Issuer:
    """An authority that can issue: its certificate and key."""

    certificate: x509.Certificate
    key: rsa.RSAPrivateKey

    @property
    def pem(self) -> str:
        """Its certificate."""
        return _pem(self.certificate)


def new_key(bits: int = 3072) -> rsa.RSAPrivateKey:
    """Make a key; 3072 bits are good beyond 2030 (NIST SP 800-57)."""
    return rsa.generate_private_key(65537, bits)


def private_pem(key: rsa.RSAPrivateKey) -> str:
    """Return a key as text, not encrypted: whoever keeps it keeps it from others."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def read_key(text: str) -> rsa.RSAPrivateKey:
    """Read a key; raises ValueError for what is none, or no RSA key."""
    try:
        key = serialization.load_pem_private_key(text.encode(), password=None)
    except (TypeError, UnsupportedAlgorithm) as error:
        raise ValueError(f"its key cannot be read: {error}") from None
    if not isinstance(key, rsa.RSAPrivateKey):
        raise ValueError("its key is not an RSA key, which old clients of libvirt need")
    return key


def belong_together(certificate: str, key: str) -> bool:
    """Whether a certificate vouches for a key."""
    try:
        return x509.load_pem_x509_certificate(certificate.encode()).public_key() == read_key(key).public_key()
    except ValueError:
        return False


def new_issuer(name: str, days: int, key: rsa.RSAPrivateKey) -> Issuer:
    """Make an authority, which vouches for itself."""
    subject = _name(name)
    certificate = (
        _unsigned(subject, subject, key, datetime.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(authority=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Issuer(certificate, key)


def read_issuer(certificate: str, key: str) -> Issuer:
    """Read an authority from its texts; raises ValueError when they are not one, or do not belong together."""
    found = x509.load_pem_x509_certificate(certificate.encode())
    private = read_key(key)
    if private.public_key() != found.public_key():
        raise ValueError("its certificate and its key do not belong together")
    try:
        is_authority = found.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        is_authority = False
    if not is_authority:
        raise ValueError("its certificate is not that of an authority")
    return Issuer(found, private)


def issue(issuer: Issuer, name: str, alternatives: Sequence[str], days: int, key: rsa.RSAPrivateKey) -> KeyPair:
    """Issue a certificate for server and client use; ``alternatives`` are DNS names and IP addresses.

    It never outlives its authority.
    """
    certificate = (
        _unsigned(_name(name), issuer.certificate.subject, key, datetime.timedelta(days=days), issuer.certificate)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(authority=False), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
        .add_extension(x509.SubjectAlternativeName([_alternative(each) for each in alternatives]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()), critical=False)
        .sign(issuer.key, hashes.SHA256())
    )
    return KeyPair(private_pem(key), _pem(certificate))


def shortcoming(
    authority: x509.Certificate,
    text: str | None,
    names: Sequence[str],
    now: datetime.datetime,
    spare: datetime.timedelta,
) -> str:
    """Say why a certificate is to be issued anew; empty when it is good: issued by the authority for at least these
    names, and for ``spare`` longer.
    """
    if not text:
        return "there is none"
    try:
        certificate = x509.load_pem_x509_certificate(text.encode())
        signature, algorithm = certificate.signature, certificate.signature_hash_algorithm
        key = authority.public_key()
        if not isinstance(key, rsa.RSAPublicKey) or algorithm is None:
            return "its authority is of another kind"
        key.verify(signature, certificate.tbs_certificate_bytes, padding.PKCS1v15(), algorithm)
        given = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except InvalidSignature:
        return "another authority issued it"
    except (ValueError, x509.ExtensionNotFound):
        return "it cannot be read, or names nobody"
    if not isinstance(certificate.public_key(), rsa.RSAPublicKey):
        return "its key is not an RSA key, which old clients of libvirt need"
    if now + spare > certificate.not_valid_after_utc or now < certificate.not_valid_before_utc:
        return "it is about to expire, or not valid yet"
    missing = [name for name in names if _alternative(name) not in list(given)]
    return f"it does not vouch for {', '.join(missing)}" if missing else ""


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:64])])  # the most that X.520 allows


def _unsigned(
    subject: x509.Name,
    issuer: x509.Name,
    key: rsa.RSAPrivateKey,
    life: datetime.timedelta,
    above: x509.Certificate | None = None,
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    end = now + life
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCKS_APART)
        .not_valid_after(min(end, above.not_valid_after_utc) if above else end)
    )


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        key_encipherment=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()
