"""/etc/libvirt/qemu.conf: as whom QEMU runs, what becomes of the owners of disks, ports and certificates of migrations.

Source: the comments of qemu.conf itself (libvirt 11.3) and libvirt.org, "QEMU driver".
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from hotfoot.cluster import Cluster
from hotfoot.readiness.addresses import Addresses, addresses_of, ip, is_ip
from hotfoot.readiness.change import Change, EditFile, Phase
from hotfoot.readiness.daemons import QEMU_CONF, daemons_of
from hotfoot.readiness.edit import RemoveKey, SetKey
from hotfoot.readiness.facts import Facts, HostFacts
from hotfoot.readiness.finding import Finding, Severity, Topic
from hotfoot.readiness.libvirt_conf import Settings, read
from hotfoot.readiness.libvirt_mistakes import mistakes, refresh
from hotfoot.readiness.listing import listed

MIGRATION_PORTS = (49152, 49215)
"""libvirt's own range for incoming migrations and the copies of their disks."""
_CERTIFICATE_FOLDER = "/etc/pki/qemu"


def judge(cluster: Cluster, facts: Facts) -> Iterator[Finding]:
    """Yield what is wrong in qemu.conf on every host that answered."""
    read_by = {host.host: read(host.text(QEMU_CONF)) for host in facts.hosts if host.text(QEMU_CONF)}
    hosts = [host for host in facts.hosts if host.host in read_by]
    addresses = addresses_of(cluster, facts)
    yield from _users_differ(hosts, read_by)
    for host in hosts:
        settings = read_by[host.host]
        yield from mistakes("qemu_conf", host, QEMU_CONF, daemons_of(host).service)
        yield from _root(host, settings)
        yield from _owners(cluster, host, settings)
        yield from _ports(host, settings)
        yield from _tls(host, settings)
        yield from _stream_addresses(host, settings, addresses[host.host])
        yield from _confinement(host, settings)


def _root(host: HostFacts, settings: Settings) -> Iterator[Finding]:
    as_root = [key for key in ("user", "group") if _is_root(settings.text(key))]
    if not as_root:
        return
    yield Finding(
        code="qemu_conf.runs-as-root",
        severity=Severity.DANGEROUS,
        host=host.host,
        what=f"QEMU runs as root on {host.host}.",
        evidence=_seen(settings, *as_root),
        why="Guides say so to get around the owners of files on shared storage. A guest that breaks out of QEMU is then"
        " root on the host, and disks written as root cannot be opened where QEMU runs as its own user.",
        remedy=f"Take {' and '.join(as_root)} out of {QEMU_CONF}: QEMU then runs as the distribution's own user, and"
        " libvirt gives it its disks. Running instances keep their user until they are moved or restarted.",
        changes=_without(host, *as_root),
    )


def _users_differ(hosts: Sequence[HostFacts], read_by: Mapping[str, Settings]) -> Iterator[Finding]:
    # Each family has its own name for the user, and its own default: that numbers agree is the topic identity's.
    for redhat, usual in ((False, "libvirt-qemu"), (True, "qemu")):
        members = [host for host in hosts if host.os is not None and host.os.redhat_like is redhat]
        users = {host.host: read_by[host.host].text("user") or usual for host in members}
        # Root is told already, and is nobody's model.
        votes = Counter(user for user in users.values() if not _is_root(user))
        if len(votes) < 2:
            continue
        most = min(votes, key=lambda each: (-votes[each], each))
        for host in members:
            user = users[host.host]
            if user == most or _is_root(user):
                continue
            settings = read_by[host.host]
            yield Finding(
                code="qemu_conf.user-differs",
                severity=Severity.DANGEROUS,
                host=host.host,
                what=f"QEMU runs as {user} on {host.host}, and as {most} on most hosts.",
                evidence=_seen(settings, "user") if "user" in settings.values else f"user is not set in {QEMU_CONF}",
                why="A disk on shared storage belongs to the user of the host that runs the instance; another user"
                " at the"
                " destination may not open it.",
                remedy=f"Set user alike in {QEMU_CONF} on all hosts.",
                changes=_without(host, "user")
                if most == usual
                else (_edit(host, SetKey(key="user", value=f'"{most}"')), *refresh(host, daemons_of(host).service)),
            )


def _is_root(name: str | None) -> bool:
    return (name or "").lstrip("+") in ("root", "0")


def _owners(cluster: Cluster, host: HostFacts, settings: Settings) -> Iterator[Finding]:
    if settings.number("dynamic_ownership") == 0:
        yield Finding(
            code="qemu_conf.owners-not-set",
            severity=Severity.DANGEROUS,
            host=host.host,
            what=f"libvirt on {host.host} does not give QEMU its disks: dynamic_ownership is 0.",
            evidence=_seen(settings, "dynamic_ownership"),
            why="Every disk must then belong to QEMU's user beforehand. Guides switch it off together with QEMU as"
            " root;"
            " with an unprivileged QEMU, an instance whose disk has another owner does not start, nor arrive.",
            remedy=f"Take dynamic_ownership out of {QEMU_CONF} (1 is the default). On NFS the export needs"
            " no_root_squash for it.",
            changes=_without(host, "dynamic_ownership"),
        )
    if settings.number("remember_owner") != 1 or host.storage is None:
        return
    bare = [
        folder.path
        for storage in cluster.storage
        if storage.shared and (folder := host.storage.folder(storage.path)) and folder.xattr is False
    ]
    if bare:
        yield Finding(
            code="qemu_conf.owners-forgotten",
            severity=Severity.ADVICE,
            host=host.host,
            what=f"libvirt on {host.host} cannot remember the owners of files on {listed(bare)}.",
            evidence=f"{_seen(settings, 'remember_owner')}; no extended attributes on {listed(bare)}",
            why="It keeps them in extended attributes, which this storage has not; without a word it then gives"
            " disks to"
            " root when an instance ends.",
            remedy=f"Do not count on it there; take remember_owner out of {QEMU_CONF}.",
            changes=_without(host, "remember_owner"),
        )


def _ports(host: HostFacts, settings: Settings) -> Iterator[Finding]:
    keys = [key for key in ("migration_port_min", "migration_port_max") if key in settings.values]
    lowest, highest = (settings.number(key) for key in ("migration_port_min", "migration_port_max"))
    ports = (lowest or MIGRATION_PORTS[0], highest or MIGRATION_PORTS[1])
    if ports == MIGRATION_PORTS:
        return
    yield Finding(
        code="qemu_conf.other-ports",
        severity=Severity.DANGEROUS,
        host=host.host,
        what=f"{host.host} receives migrations on ports {ports[0]} to {ports[1]}, not {_range(MIGRATION_PORTS)}.",
        evidence=_seen(settings, *keys),
        why="The firewalls of the cluster are set up, and judged, for libvirt's own range; others may be closed.",
        remedy=f"Take {' and '.join(keys)} out of {QEMU_CONF}.",
        changes=_without(host, *keys),
    )


def _tls(host: HostFacts, settings: Settings) -> Iterator[Finding]:
    unchecked = [key for key in ("default_tls_x509_verify", "migrate_tls_x509_verify") if settings.number(key) == 0]
    if unchecked:
        yield Finding(
            code="qemu_conf.senders-not-verified",
            severity=Severity.DANGEROUS,
            host=host.host,
            what=f"QEMU on {host.host} does not check the certificate of who sends it an instance.",
            evidence=_seen(settings, *unchecked),
            why="Anyone who reaches the migration ports could send a forged memory, or read along in the middle.",
            remedy=f"Take {' and '.join(unchecked)} out of {QEMU_CONF}.",
            changes=_without(host, *unchecked),
        )
    elsewhere = [
        key
        for key in ("default_tls_x509_cert_dir", "migrate_tls_x509_cert_dir")
        if (folder := settings.text(key)) and folder.rstrip("/") != _CERTIFICATE_FOLDER
    ]
    if elsewhere:
        yield Finding(
            code="qemu_conf.certificates-elsewhere",
            severity=Severity.ADVICE,
            host=host.host,
            what=f"QEMU on {host.host} takes its certificates from another folder than {_CERTIFICATE_FOLDER}.",
            evidence=_seen(settings, *elsewhere),
            why=f"What is looked at here, and renewed, are those in {_CERTIFICATE_FOLDER}.",
            remedy=f"Take {' and '.join(elsewhere)} out of {QEMU_CONF}, or look after that folder yourself.",
        )


def _stream_addresses(host: HostFacts, settings: Settings, addresses: Addresses) -> Iterator[Finding]:
    for key in ("migration_address", "migration_host"):
        value = settings.text(key)
        if not value or not is_ip(value) or not addresses.own or not host.names or not host.names.addresses:
            continue
        if ipaddress.ip_address(value).is_unspecified or ip(value) in addresses.own:
            continue
        yield Finding(
            code="qemu_conf.foreign-address",
            severity=Severity.BLOCKS,
            host=host.host,
            what=f"{host.host} is to receive migrations at {value}, which is not an address of it.",
            evidence=f"{_seen(settings, key)}; its addresses: {listed(sorted(addresses.own))}",
            why="QEMU cannot listen there, or the source sends to another host: nothing arrives. A file copied from"
            " another host looks so.",
            remedy=f"Take {key} out of {QEMU_CONF}.",
            changes=_without(host, key),
        )


def _confinement(host: HostFacts, settings: Settings) -> Iterator[Finding]:
    driver = settings.values.get("security_driver")
    if driver not in ("none", ("none",)):
        return
    able = [
        name
        for name, there in (
            ("AppArmor", bool(host.os and host.os.apparmor)),
            ("SELinux", bool(host.os and host.os.selinux in ("enforcing", "permissive"))),
        )
        if there
    ]
    if not able:
        return
    yield Finding(
        code="qemu_conf.not-confined",
        severity=Severity.ADVICE,
        host=host.host,
        what=f"QEMU on {host.host} is not confined by {' or '.join(able)}.",
        evidence=_seen(settings, "security_driver"),
        why="A guest that breaks out of QEMU reaches the disks of all other instances on the host.",
        remedy=f"Take security_driver out of {QEMU_CONF}, where nothing speaks against it.",
    )


def _seen(settings: Settings, *keys: str) -> str:
    return f"{QEMU_CONF}: " + "; ".join(f"line {settings.lines[key]}: {settings.shown(key)}" for key in keys)


def _without(host: HostFacts, *keys: str) -> tuple[Change, ...]:
    return (
        Change(
            host=host.host,
            phase=Phase.LIBVIRT,
            step=EditFile(path=QEMU_CONF, edits=tuple(RemoveKey(key=key) for key in keys)),
        ),
        *refresh(host, daemons_of(host).service),
    )


def _edit(host: HostFacts, edit: SetKey) -> Change:
    return Change(host=host.host, phase=Phase.LIBVIRT, step=EditFile(path=QEMU_CONF, edits=(edit,)))


def _range(ports: tuple[int, int]) -> str:
    return f"{ports[0]} to {ports[1]}"


TOPIC = Topic(name="qemu_conf", title="QEMU's configuration", judge=judge, files=(QEMU_CONF,), sections=("os",))
