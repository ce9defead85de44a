"""Hosts by hand for the topics of libvirt, QEMU and Nova: right ones, to be made wrong; plans carried out on them."""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from hotfoot.cluster import Cluster
from hotfoot.cluster.validation import cluster_from
from hotfoot.readiness.change import Command, EditFile, SetMode, SetUnit
from hotfoot.readiness.facts import (
    Certificate,
    ClockFact,
    Facts,
    GroupFact,
    HostFacts,
    IdentityFact,
    LibvirtFact,
    Listener,
    NameFact,
    OsFact,
    PathFact,
    PkiFact,
    QemuFact,
    Text,
    UnitFact,
    UserFact,
)
from hotfoot.readiness.finding import Finding, Topic
from hotfoot.readiness.plan import plan

RECORDED = Path(__file__).with_name("libvirt")
NOW_S = 1_800_000_000.0
DAY_S = 86400.0


def recorded(name: str) -> str:
    """Return a file as a real host has it."""
    return (RECORDED / name).read_text()


def cluster(**sections: Any) -> Cluster:
    """Return a cluster of two hosts, by default with TLS."""
    hosts = sections.pop("hosts", [{"name": f"n{n}", "address": f"10.0.0.{n}"} for n in (1, 2)])
    return cluster_from({"hosts": hosts, **sections})


def host(name: str = "n1", **changed: Any) -> HostFacts:
    """Return a Debian host that is right in all that these topics look at."""
    number = name.removeprefix("n")
    sections: dict[str, Any] = {
        "os": OsFact(id="debian", version="13", arch="x86_64", systemd=True),
        "names": NameFact(hostname=name, addresses=(f"10.0.0.{number}",)),
        "clock": ClockFact(now_s=NOW_S),
        "identity": identity(),
        "units": units(),
        "listeners": (Listener(address="::", port=22), Listener(address="::", port=16514)),
        "pki": pki(name, f"10.0.0.{number}"),
        "libvirt": LibvirtFact(answers=True, version="11.3.0"),
        "qemu": QemuFact(
            emulator="/usr/bin/qemu-system-x86_64", version="10.0.2", machines=("pc", "pc-q35-10.0", "q35")
        ),
        "paths": {
            "/run/libvirt/libvirt-sock": PathFact(
                path="/run/libvirt/libvirt-sock", exists=True, kind="socket", mode=0o666
            )
        },
        "files": files(
            {
                "/etc/libvirt/qemu.conf": recorded("debian13-qemu.conf"),
                "/etc/libvirt/libvirtd.conf": recorded("debian13-libvirtd.conf"),
            }
        ),
    }
    more = changed.pop("files", {})
    sections.update(changed)
    sections["files"] = {**sections["files"], **files(more)}
    return HostFacts(host=name, **sections)


def facts(*hosts: HostFacts, **more: Any) -> Facts:
    """Return the facts of these hosts."""
    return Facts(hosts=hosts, **more)


def files(contents: dict[str, str]) -> dict[str, Text]:
    """Return files that are there with these contents."""
    return {path: Text(path=path, exists=True, content=text, sha256="x", mode=0o644) for path, text in contents.items()}


def identity(**changed: Any) -> IdentityFact:
    sections = {
        "users": (UserFact(name="root", uid=0, gid=0), UserFact(name="libvirt-qemu", uid=64055, gid=993)),
        "groups": (
            GroupFact(name="root", gid=0),
            GroupFact(name="kvm", gid=993),
            GroupFact(name="libvirt-qemu", gid=64055, members=("libvirt-qemu",)),
            GroupFact(name="libvirt", gid=104),
        ),
    }
    return IdentityFact(**{**sections, **changed})


def units(**states: str) -> dict[str, UnitFact]:
    """Return libvirtd's units on Debian; ``states`` as ``tls="inactive disabled"`` by the socket's kind."""
    found = {
        "libvirtd.service": "active enabled",
        "libvirtd.socket": "active enabled",
        "libvirtd-ro.socket": "active enabled",
        "libvirtd-admin.socket": "active enabled",
        "libvirtd-tls.socket": states.get("tls", "active enabled"),
        "libvirtd-tcp.socket": states.get("tcp", "inactive disabled"),
    }
    return {name: unit(name, *state.split()) for name, state in found.items()}


def unit(name: str, active: str, enabled: str, load: str = "loaded") -> UnitFact:
    return UnitFact(name=name, load=load, active=active, enabled=enabled)


def judged(topic: Topic, of: Cluster, *hosts: HostFacts, **more: Any) -> tuple[Finding, ...]:
    """Judge hosts by one topic."""
    return tuple(topic.judge(of, facts(*hosts, **more)))


def codes(findings: Iterable[Finding]) -> list[str]:
    """Return what was found, and where."""
    return [f"{found.code.partition('.')[2]} {found.host}" for found in findings]


def mended(findings: Sequence[Finding], hosts: Sequence[HostFacts]) -> tuple[HostFacts, ...]:
    """Return the hosts as they are when the plan of these findings was carried out: files, units and modes."""
    planned = plan(findings, facts(*hosts))
    assert not planned.obstacles
    after = {each.host: each for each in hosts}
    for change in planned.changes:
        was, step = after[change.host], change.step
        if isinstance(step, EditFile):
            assert change.new_text is not None
            changed: dict[str, Any] = {"files": {**was.files, **files({step.path: change.new_text})}}
        elif isinstance(step, SetUnit):
            changed = {"units": {**was.units, step.unit: _after(was.units[step.unit], step)}}
        elif isinstance(step, Command) and step.undo and "listen" in step.title:
            name = next(each for each in was.units if f"through {each} " in step.title)
            state = "inactive" if "no more" in step.title else "active"
            changed = {"units": {**was.units, name: was.units[name].model_copy(update={"active": state})}}
        elif isinstance(step, SetMode) and was.pki:
            keys = tuple(_owned(was, key, step) if key.path == step.path else key for key in was.pki.keys)
            changed = {"pki": was.pki.model_copy(update={"keys": keys})}
        else:
            continue
        after[change.host] = was.model_copy(update=changed)
    return tuple(after.values())


def _after(was: UnitFact, step: SetUnit) -> UnitFact:
    changed: dict[str, Any] = {}
    if step.enabled is not None:
        changed["enabled"] = "enabled" if step.enabled else "disabled"
    if step.running is not None:
        changed["active"] = "active" if step.running else "inactive"
    return was.model_copy(update=changed)


def _owned(of: HostFacts, key: PathFact, step: SetMode) -> PathFact:
    assert of.identity is not None
    user, group = (step.owner or "").split(":")
    uid, gid = of.identity.user(user), of.identity.group(group)
    assert uid is not None
    assert gid is not None
    return key.model_copy(update={"mode": step.mode, "uid": uid.uid, "gid": gid.gid})


@dataclass(frozen=True)
class Authority:
    name: str
    key: rsa.RSAPrivateKey
    certificate: x509.Certificate

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()


@cache
def key(which: str = "host") -> rsa.RSAPrivateKey:
    """Return a key, always the same of one name: making one takes long."""
    return rsa.generate_private_key(65537, 2048)


@cache
def authority(name: str = "authority") -> Authority:
    made = key(name)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = _builder(subject, subject, made.public_key(), -100, 3000)
    signed = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    return Authority(name, made, signed.sign(made, hashes.SHA256()))


@cache
def certificate(
    *names: str,
    by: str = "authority",
    own: str = "host",
    days: tuple[int, int] = (-10, 300),
    uses: tuple[str, ...] = ("server", "client"),
    curve: bool = False,
) -> str:
    """Return a certificate (PEM); ``days`` from now of its validity."""
    signer = authority(by)
    alternatives: list[x509.GeneralName] = []
    for name in names:
        try:
            alternatives.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            alternatives.append(x509.DNSName(name))
    public = ec.generate_private_key(ec.SECP256R1()).public_key() if curve else key(own).public_key()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    identifiers = {"server": ExtendedKeyUsageOID.SERVER_AUTH, "client": ExtendedKeyUsageOID.CLIENT_AUTH}
    signed = (
        _builder(subject, signer.certificate.subject, public, *days)
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.ExtendedKeyUsage([identifiers[use] for use in uses]), critical=False)
        .sign(signer.key, hashes.SHA256())
    )
    return signed.public_bytes(serialization.Encoding.PEM).decode()


def _builder(
    subject: x509.Name, issuer: x509.Name, public: rsa.RSAPublicKey | ec.EllipticCurvePublicKey, first: int, last: int
) -> x509.CertificateBuilder:
    now = datetime.datetime.fromtimestamp(NOW_S, datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + datetime.timedelta(days=first))
        .not_valid_after(now + datetime.timedelta(days=last))
    )


def public_sha256(which: str = "host") -> str:
    der = (
        key(which)
        .public_key()
        .public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    return hashlib.sha256(der).hexdigest()


def pki(*names: str, replaced: dict[str, str] | None = None, keys: dict[str, dict[str, Any]] | None = None) -> PkiFact:
    """Return certificates and keys of a host.

    ``replaced`` gives PEM texts (empty: not there) by path, ``keys`` what differs of a key.
    """
    own, trusted = certificate(*names), authority().pem
    texts = {
        "/etc/pki/CA/cacert.pem": trusted,
        "/etc/pki/qemu/ca-cert.pem": trusted,
        **{f"/etc/pki/libvirt/{role}cert.pem": own for role in ("server", "client")},
        **{f"/etc/pki/qemu/{role}-cert.pem": own for role in ("server", "client")},
        **(replaced or {}),
    }
    outside: dict[str, dict[str, Any]] = {
        **{f"/etc/pki/libvirt/private/{role}key.pem": {"mode": 0o600} for role in ("server", "client")},
        **{f"/etc/pki/qemu/{role}-key.pem": {"mode": 0o640, "gid": 64055} for role in ("server", "client")},
    }
    outside = {path: {**has, **(keys or {}).get(path, {})} for path, has in outside.items()}
    return PkiFact(
        certificates=tuple(Certificate(path=path, exists=bool(pem), pem=pem) for path, pem in texts.items()),
        keys=tuple(
            PathFact(**{"path": path, "exists": True, "kind": "file", "public_key_sha256": public_sha256(), **has})
            for path, has in outside.items()
        ),
    )


def domain(name: str = "web", inside: str = "", cpu: str = "", machine: str = "pc-q35-10.0", more: str = "") -> str:
    """Return the definition of a running instance."""
    return (
        f"<domain type='kvm'><name>{name}</name><uuid>00000000-0000-0000-0000-0000000000{len(name):02d}</uuid>"
        f"<memory unit='KiB'>1024</memory>{more}<os><type arch='x86_64' machine='{machine}'>hvm</type></os>"
        f"{cpu}<devices><emulator>/usr/bin/qemu-system-x86_64</emulator>{inside}</devices></domain>"
    )


def running(*definitions: str, **more: Any) -> LibvirtFact:
    """Return a libvirt on which these instances run."""
    names = [text.partition("<name>")[2].partition("<")[0] for text in definitions]
    return LibvirtFact(
        **{
            "answers": True,
            "running": tuple(names),
            "domains": dict(zip(names, definitions, strict=True)),
            **more,
        }
    )
