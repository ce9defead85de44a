"""The lab's certificates and SSH keys: one authority and one key pair for each host and for the controller.

RSA, because clients of libvirt 9.0 refuse ECDSA certificates ("usage does not permit key encipherment").
"""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_DAYS_VALID = 30


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A private key and what vouches for it: a certificate (PEM) or an SSH public key (one line)."""

    private: str
    public: str


@dataclass(frozen=True, slots=True)
class Trust:
    """All keys of a lab; ``hosts`` and ``host_keys`` are by host name."""

    authority: str
    controller: KeyPair
    hosts: dict[str, KeyPair]
    login: KeyPair
    host_keys: dict[str, KeyPair]


def issue(hosts: Sequence[tuple[str, str]]) -> Trust:
    """Make the keys for hosts given as (name, address)."""
    with ThreadPoolExecutor() as pool:  # making RSA keys releases the interpreter's lock
        keys = list(pool.map(lambda _: rsa.generate_private_key(65537, 2048), range(len(hosts) + 2)))
    authority_key, controller_key, *host_tls_keys = keys
    authority_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Hotfoot lab authority")])
    authority = (
        _unsigned(authority_name, authority_name, authority_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(authority=True), critical=True)
        .sign(authority_key, hashes.SHA256())
    )

    def certify(name: str, address: str | None, key: rsa.RSAPrivateKey) -> KeyPair:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        alternatives: list[x509.GeneralName] = [x509.DNSName(name)]
        if address:
            alternatives.append(x509.IPAddress(ipaddress.ip_address(address)))
        certificate = (
            _unsigned(subject, authority_name, key)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(authority=False), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
                critical=False,
            )
            .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
            .sign(authority_key, hashes.SHA256())
        )
        return KeyPair(_private_pem(key), certificate.public_bytes(serialization.Encoding.PEM).decode())

    return Trust(
        authority=authority.public_bytes(serialization.Encoding.PEM).decode(),
        controller=certify("hotfoot-controller", None, controller_key),
        hosts={name: certify(name, address, key) for (name, address), key in zip(hosts, host_tls_keys, strict=True)},
        login=_ssh_key(),
        host_keys={name: _ssh_key() for name, _ in hosts},
    )


def _unsigned(subject: x509.Name, issuer: x509.Name, key: rsa.RSAPrivateKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=_DAYS_VALID))
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


def _private_pem(key: rsa.RSAPrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def _ssh_key() -> KeyPair:
    key = ed25519.Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return KeyPair(private.decode(), public.decode() + "\n")
