"""The host as a whole: whether it answers, what it runs, whether it is told from the others, its room."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from uuid import UUID, uuid5

from hotfoot.cluster import Cluster
from hotfoot.readiness.change import Change, EditFile, Phase, Refresh
from hotfoot.readiness.edit import SetKey
from hotfoot.readiness.facts import Facts, HostFacts
from hotfoot.readiness.finding import Finding, Severity, Topic
from hotfoot.readiness.listing import listed

MIB = 1024**2
FULL_BYTES = 64 * MIB
"""Less is full: the journal, logs and a few versions of configuration files use that much within a day."""
NEARLY_FULL_BYTES = 512 * MIB
"""Less is nearly full: about what one round of package updates needs."""

_ROOM_FOR = {
    "/": "libvirt writes the definition of each arriving instance to /etc/libvirt, and Hotfoot keeps old versions of"
    " files",
    "/var": "libvirt keeps the state of instances and packages unpack there",
    "/var/log": "libvirt opens a log file for each arriving instance before QEMU starts",
}
# Of host UUIDs that Hotfoot gives: the same cluster file gives the same ones again (RFC 9562, version 5).
_NAMESPACE = UUID("6f0d9a3e-3c50-5d0c-9d5e-2b7f3f0c8a11")
_MONOLITHIC = ("/etc/libvirt/libvirtd.conf", "libvirtd.service")
_MODULAR = ("/etc/libvirt/virtqemud.conf", "virtqemud.service")


def judge(cluster: Cluster, facts: Facts) -> Iterator[Finding]:
    """Judge what concerns a host as a whole."""
    for silence in facts.silent:
        yield Finding(
            code="system.unreachable",
            severity=Severity.BLOCKS,
            host=silence.host,
            what=f"{silence.host} told nothing about itself.",
            evidence=silence.reason,
            why="Nothing is known of it, so that no migration from or to it can be called safe.",
            remedy=f"Make {silence.host} answer, or take it out of the cluster file; then check again.",
        )
    for host in facts.hosts:
        yield from _half_answered(host)
        yield from _operating_system(host)
        yield from _room(host)
    yield from _architectures(facts)
    yield from _machine_ids(facts)
    yield from _host_uuids(cluster, facts)


def _half_answered(host: HostFacts) -> Iterator[Finding]:
    for section, reason in sorted(host.failures.items()):
        yield Finding(
            code="system.half-answered",
            severity=Severity.DANGEROUS,
            host=host.host,
            what=f"{host.host} could not tell about {section}.",
            evidence=f"{section}: {reason}",
            why="What was not seen was not checked: no finding about it does not mean that it is right.",
            remedy=f"Mend what the reason names on {host.host}, then check again.",
        )


def _operating_system(host: HostFacts) -> Iterator[Finding]:
    system = host.os
    if system is None:
        return
    if not system.systemd:
        yield Finding(
            code="system.no-systemd",
            severity=Severity.ADVICE,
            host=host.host,
            what=f"{host.host} does not run systemd.",
            evidence="/run/systemd/system is not there",
            why="Services are started, now and at boot, by systemd: elsewhere `hotfoot prepare` cannot do it.",
            remedy=f"Set up services on {host.host} by hand, as the findings' remedies say.",
        )
    if not (system.debian_like or system.redhat_like):
        yield Finding(
            code="system.unknown-distribution",
            severity=Severity.ADVICE,
            host=host.host,
            what=f"{host.host} runs {system.name or system.id}, which Hotfoot does not know.",
            evidence=f"ID={system.id} ID_LIKE={system.id_like or '(none)'} VERSION_ID={system.version or '(none)'}",
            why="Names of packages, users and services are known for Debian, Ubuntu, RHEL and what derives from them;"
            " `hotfoot prepare` installs nothing elsewhere.",
            remedy=f"Install packages on {host.host} by hand, as the findings' remedies say.",
        )


def _room(host: HostFacts) -> Iterator[Finding]:
    seen: list[int] = []
    for path, reason in _ROOM_FOR.items():
        free = host.free_bytes.get(path)
        # The same free room to the byte is the same file system, told already by its shortest path.
        if free is None or free in seen or free >= NEARLY_FULL_BYTES:
            continue
        seen.append(free)
        full = free < FULL_BYTES
        yield Finding(
            code="system.full" if full else "system.nearly-full",
            severity=Severity.BLOCKS if full else Severity.DANGEROUS,
            host=host.host,
            what=f"The file system of {path} on {host.host} is {'full' if full else 'nearly full'}.",
            evidence=f"{free // MIB} MiB free on {path}; below {FULL_BYTES // MIB} MiB is full, below"
            f" {NEARLY_FULL_BYTES // MIB} MiB nearly full",
            why=f"{reason[0].upper()}{reason[1:]}: without room an arriving instance does not start.",
            remedy=f"Make room on {host.host}: `du -x -d 2 {path} | sort -n | tail` shows what is large.",
        )


def _architectures(facts: Facts) -> Iterator[Finding]:
    known = [(host.host, host.os.arch) for host in facts.hosts if host.os and host.os.arch]
    if not known:
        return
    counts = Counter(arch for _, arch in known)
    usual = max(counts, key=lambda arch: counts[arch])  # of equals the one that is first in the cluster file
    peers = [name for name, arch in known if arch == usual]
    for name, arch in known:
        if arch != usual:
            yield Finding(
                code="system.architecture",
                severity=Severity.BLOCKS,
                host=name,
                what=f"{name} has another processor architecture than {listed(peers)}.",
                evidence=f"{name}: {arch}; {listed(peers)}: {usual}",
                why="A running instance cannot move between processor architectures.",
                remedy=f"Keep {name} in a cluster file of its own, with hosts of its kind.",
            )


def _machine_ids(facts: Facts) -> Iterator[Finding]:
    for machine_id, hosts in _alike(facts, lambda host: host.os.machine_id if host.os else ""):
        for name in hosts[1:]:
            yield Finding(
                code="system.machine-id",
                severity=Severity.DANGEROUS,
                host=name,
                peer=hosts[0],
                what=f"{name} has the same machine ID as {hosts[0]}: one was copied from the other.",
                evidence=f"/etc/machine-id on {listed(hosts)}: {machine_id}",
                why="DHCP, the journal and systemd tell machines apart by it (machine-id(5)); so does libvirt where"
                " host_uuid_source is machine-id, and then it refuses to migrate between them.",
                remedy=f"On {name}, drained: rm /etc/machine-id && systemd-machine-id-setup, then reboot it.",
            )


def _host_uuids(cluster: Cluster, facts: Facts) -> Iterator[Finding]:
    for host_uuid, names in _alike(facts, lambda host: host.libvirt.host_uuid if host.libvirt else ""):
        for name in names[1:]:
            own = uuid5(_NAMESPACE, f"{cluster.name}/{name}/{cluster.host(name).address}")
            known = facts.by_name[name].libvirt
            path, unit = _MODULAR if known and known.modular else _MONOLITHIC
            edit = EditFile(path=path, edits=(SetKey(key="host_uuid", value=f'"{own}"'),))
            yield Finding(
                code="system.host-uuid",
                severity=Severity.BLOCKS,
                host=name,
                peer=names[0],
                what=f"libvirt on {name} has the same host UUID as on {names[0]}.",
                evidence=f"host UUID on {listed(names)}: {host_uuid}",
                why="libvirt takes the two for one and refuses: Attempt to migrate guest to the same host. Some boards"
                " all carry one UUID in their firmware, and copied hosts carry that of their original.",
                remedy=f'Set host_uuid = "{own}" in {path} of {name}, and restart {unit}.',
                changes=(
                    Change(host=name, phase=Phase.LIBVIRT, step=edit),
                    Change(host=name, phase=Phase.LIBVIRT, step=Refresh(unit=unit)),
                ),
            )


def _alike(facts: Facts, told: Callable[[HostFacts], str]) -> list[tuple[str, list[str]]]:
    """Return each value that several hosts tell, with those hosts."""
    found: dict[str, list[str]] = {}
    for host in facts.hosts:
        if value := told(host).lower():
            found.setdefault(value, []).append(host.host)
    return [(value, hosts) for value, hosts in found.items() if len(hosts) > 1]


TOPIC = Topic(
    name="system",
    title="The host itself",
    judge=judge,
    files=(_MONOLITHIC[0], _MODULAR[0]),
    sections=("os", "libvirt", "free_bytes"),
)
