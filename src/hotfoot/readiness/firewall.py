"""The firewall: it lets the cluster's hosts in at the ports that they need, and nobody else."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from hotfoot.cluster import Cluster
from hotfoot.readiness.addresses import Addresses, addresses_of
from hotfoot.readiness.change import Change
from hotfoot.readiness.edit import value_of
from hotfoot.readiness.facts import Facts, FirewallFact, HostFacts
from hotfoot.readiness.finding import Finding, Severity, Topic
from hotfoot.readiness.firewall_changes import NFT_FILES, Opening, open_for
from hotfoot.readiness.firewall_text import Firewalld, Ufw, iptables_ruleset
from hotfoot.readiness.listing import listed
from hotfoot.readiness.nft import ACCEPT, DROP, Filter
from hotfoot.readiness.ssh_host_keys import ssh_port
from hotfoot.readiness.wanted import migration_user

MIGRATION_PORTS = (49152, 49215)
"""Where QEMU receives memory and copied disks, unless qemu.conf says otherwise (migration_port_min, _max)."""
CONSOLE_PORTS = (5900, 6923)
_LIBVIRT_PORTS = {"tls": 16514, "tcp": 16509}
_GLUSTER_PORTS = ((24007, 24007), (49152, 60999))
"""Of the daemon, and of bricks (base-port to max-port of glusterd.vol)."""
_NOBODY_S_PORT = 9  # discard: no rule would open it
_OUTSIDERS = ("198.51.100.77", "2001:db8:77::77")  # documentation addresses (RFC 5737, RFC 3849): nobody's
_QEMU_CONF = "/etc/libvirt/qemu.conf"
_NOVA_COMPUTE = ("nova-compute", "openstack-nova-compute")

_Network = Literal["management", "migration", "any"]
_Remembered = dict[tuple[object, ...], dict[str, frozenset[str]]]


class _Judge(Protocol):
    """What a firewall does with new TCP connections."""

    @property
    def ports(self) -> Sequence[int]:
        """Ports at which what its rules say may change."""

    def alike(self, source: str) -> object:
        """Return what is equal for sources that it treats alike."""

    @property
    def looks_at_destination(self) -> bool:
        """Whether it depends on which of its addresses a host is spoken to by."""

    def verdicts(self, source: str, port: int, destination: str = "") -> frozenset[str]:
        """Return what may become of one."""


@dataclass(frozen=True, slots=True)
class _Service:
    """What has to be reachable on a host, and over which of the hosts' addresses."""

    key: str
    title: str
    ports: tuple[tuple[int, int], ...]
    network: _Network
    why: str


def judge(cluster: Cluster, facts: Facts) -> Iterator[Finding]:
    """Judge each host's firewall against what the others need of it."""
    known = addresses_of(cluster, facts)
    read: dict[str, _Judge] = {}
    remembered: _Remembered = {}
    for host in facts.hosts:
        if host.firewall is None:
            continue
        services = _services(cluster, host)
        firewall = _firewall(host.firewall, read)
        if firewall is None:
            yield _nothing_filters(cluster, host, services)
            continue
        closed: dict[str, list[str]] = {}
        unsure: list[_Service] = []
        for service in services:
            kept_out = _kept_out(firewall, service, known, known[host.host], remembered)
            peers = {name: verdict for name, verdict in kept_out.items() if name != host.host}
            if refused := [name for name, verdict in peers.items() if verdict == DROP]:
                closed[service.key] = refused
            elif peers:
                unsure.append(service)
        yield from _closed(host, services, closed, known, firewall)
        yield from _not_understood(host, unsure)
        yield from _open_to_all(cluster, host, services, firewall, known[host.host])
        yield from _consoles(host, firewall, known)


def _services(cluster: Cluster, host: HostFacts) -> list[_Service]:
    """Return what other hosts need of this one."""
    found = []
    if migration_user(cluster) is not None:
        port = ssh_port(cluster, host)
        found.append(
            _Service("ssh", "SSH", ((port, port),), "management", "The migration user logs in from host to host.")
        )
    if cluster.libvirt.transport != "ssh":
        port = cluster.libvirt.port or _LIBVIRT_PORTS[cluster.libvirt.transport]
        why = "The source's libvirt talks to the destination's there: without it no migration begins."
        found.append(_Service("libvirt", "libvirt", ((port, port),), "management", why))
    why = "QEMU on the destination receives memory and copied disks there: a migration begins, and then stalls."
    found.append(_Service("migration", "migrations", (_migration_ports(host),), "migration", why))
    for kind, ports in (("nfs", ((2049, 2049),)), ("glusterfs", _GLUSTER_PORTS)):
        if any(storage.type == kind and host.host in storage.servers for storage in cluster.storage):
            why = f"{host.host} serves the instances' storage: without it disks hang."
            found.append(_Service(kind, {"nfs": "NFS", "glusterfs": "GlusterFS"}[kind], ports, "any", why))
    return found


def _migration_ports(host: HostFacts) -> tuple[int, int]:
    text = host.text(_QEMU_CONF)
    told = [value_of(text, key) or "" for key in ("migration_port_min", "migration_port_max")]
    low, high = (int(word) if word.isdigit() else usual for word, usual in zip(told, MIGRATION_PORTS, strict=True))
    return (low, high) if low <= high else MIGRATION_PORTS


def _firewall(fact: FirewallFact, read: dict[str, _Judge]) -> _Judge | None:
    """Return what filters; None where nothing does. ``read`` keeps rulesets: those of many hosts are alike."""
    # Equal rules differ by handles and counters alone.
    ruleset = re.sub(r'"(?:handle|packets|bytes)": \d+', "", json.dumps(fact.ruleset))
    key = "\n".join((fact.kind, fact.details or fact.iptables + ruleset))
    if key not in read and fact.kind == "firewalld":
        read[key] = Firewalld(fact.details)
    elif key not in read and fact.kind == "ufw":
        read[key] = Ufw(fact.details)
    elif key not in read and fact.kind in ("nftables", "iptables"):
        read[key] = Filter(_whole(fact))
    return read.get(key)


def _whole(fact: FirewallFact) -> dict[str, object]:
    """Return all rules in one form: those that iptables made are told better by itself."""
    entries = list((fact.ruleset or {}).get("nftables", ()))
    if not fact.iptables:
        return {"nftables": entries}
    kept = [
        entry
        for entry in entries
        if not any(_place(each) == ("ip", "filter") for each in entry.values() if isinstance(each, Mapping))
    ]
    return {"nftables": kept + iptables_ruleset(fact.iptables)["nftables"]}


def _place(entry: Mapping[str, object]) -> tuple[object, object]:
    return entry.get("family"), entry.get("table")


def _kept_out(
    firewall: _Judge, service: _Service, known: Mapping[str, Addresses], own: Addresses, remembered: _Remembered
) -> Mapping[str, frozenset[str]]:
    """Return who may not, or perhaps not, use a service. ``remembered`` has what equal rules gave on other hosts."""
    destination = own.declared if firewall.looks_at_destination else ()
    key = (id(firewall), service.ports, service.network, destination)
    if key not in remembered:
        ports = _telling_ports(firewall, service.ports)
        alike: dict[object, frozenset[str]] = {}
        remembered[key] = {}
        for name, peer in known.items():
            found = []
            for source in _sources(service, peer):
                kind = firewall.alike(source)
                if kind not in alike:
                    alike[kind] = _over_ports(firewall, source, ports, _destination(own, source))
                found.append(alike[kind])
            # One address that is let in is enough for storage, whose clients are known by either.
            if found and ACCEPT not in found:
                remembered[key][name] = frozenset[str]().union(*found)
    return remembered[key]


def _sources(service: _Service, peer: Addresses) -> tuple[str, ...]:
    if service.network == "any" or not peer.declared:
        return peer.declared
    first = peer.migration if service.network == "migration" else peer.management
    return (first or peer.declared[0],)


def _destination(own: Addresses, source: str) -> str:
    """Return this host's address that a source speaks to, empty where that cannot be known."""
    same = [each for each in own.declared if (":" in each) == (":" in source)]
    return same[0] if len(same) == 1 else ""


def _over_ports(firewall: _Judge, source: str, ports: Iterable[int], destination: str) -> frozenset[str]:
    """Return what may become of connections to any of the ports: DROP as soon as one is surely dropped."""
    found: frozenset[str] = frozenset()
    for port in ports:
        verdict = firewall.verdicts(source, port, destination)
        if verdict == DROP:
            return DROP
        found |= verdict
    return found


def _telling_ports(firewall: _Judge, ranges: Iterable[tuple[int, int]]) -> list[int]:
    """Return ports that tell for all of some ranges: their ends, and those next to where a rule may begin or end."""
    bounds = {each + step for each in firewall.ports for step in (-1, 0, 1)}
    found: set[int] = set()
    for low, high in ranges:
        found |= {low, (low + high) // 2, high} | {port for port in bounds if low <= port <= high}
    return sorted(found)


def _closed(
    host: HostFacts,
    services: list[_Service],
    closed: Mapping[str, list[str]],
    known: Mapping[str, Addresses],
    firewall: _Judge,
) -> Iterator[Finding]:
    if not closed:
        return
    changes = _changes(host, services, known, firewall)
    for service in services:
        if service.key not in closed:
            continue
        peers = closed[service.key]
        ports = listed(_span(each) for each in service.ports)
        yield Finding(
            code=f"firewall.{service.key}-closed",
            severity=Severity.BLOCKS,
            host=host.host,
            what=f"The firewall of {host.host} ({_kind(host)}) keeps {listed(peers)} out at"
            f" {'port' if len(service.ports) == 1 and service.ports[0][0] == service.ports[0][1] else 'ports'} {ports},"
            f" meant for {service.title}.",
            evidence=f"by its rules a connection from {listed(known[name].declared[0] for name in peers)} to {ports}"
            " is dropped",
            why=service.why,
            remedy=f"Let {listed(peers)} in to {ports} on {host.host}, and nobody else.",
            changes=changes,
        )


def _changes(
    host: HostFacts, services: list[_Service], known: Mapping[str, Addresses], firewall: _Judge
) -> tuple[Change, ...]:
    """Return what opens all needed ports for all hosts: the same rule on each host, whichever of them is missing."""
    sources = tuple(dict.fromkeys(each for peer in known.values() for each in peer.declared))
    ports = _merged(each for service in services for each in service.ports)
    return open_for(host, firewall, Opening(sources, ports, known[host.host].declared))


def _merged(ranges: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Join ranges that overlap or touch: nftables refuses a set with both."""
    found: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if found and low <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(high, found[-1][1]))
        else:
            found.append((low, high))
    return tuple(found)


def _not_understood(host: HostFacts, services: list[_Service]) -> Iterator[Finding]:
    if services:
        yield Finding(
            code="firewall.not-understood",
            severity=Severity.ADVICE,
            host=host.host,
            what=f"Whether the firewall of {host.host} ({_kind(host)}) lets the other hosts in cannot be told from its"
            " rules.",
            evidence=f"rules with conditions that depend on more than address and port, on the way to"
            f" {listed(service.title for service in services)}",
            why="The proof from host to host tells whether the ports answer today.",
            remedy=f"Look at the rules of {host.host} by hand if the topic ports finds anything.",
        )


def _nothing_filters(cluster: Cluster, host: HostFacts, services: list[_Service]) -> Finding:
    plain = cluster.libvirt.transport == "tcp"
    return Finding(
        code="firewall.none",
        severity=Severity.DANGEROUS if plain else Severity.ADVICE,
        host=host.host,
        what=f"Nothing filters what reaches {host.host}.",
        evidence="no rules at the hook for incoming packets; neither firewalld nor ufw runs",
        why="libvirt's plain TCP port makes anyone who reaches it root on the host."
        if plain
        else "Whoever reaches the host reaches QEMU's migration ports, which take what comes unless TLS guards them.",
        remedy=f"Keep these hosts in a network of their own, or let only the cluster's hosts and the machine that"
        f" Hotfoot runs on in to {listed(_span(each) for service in services for each in service.ports)}.",
    )


def _open_to_all(
    cluster: Cluster, host: HostFacts, services: list[_Service], firewall: _Judge, own: Addresses
) -> Iterator[Finding]:
    """Judge whether strangers get in: by a rule that opens a port to all, or because the rest of the rules do."""
    outsider = _OUTSIDERS[1] if all(":" in each for each in own.declared) and own.declared else _OUTSIDERS[0]

    def lets_in(port: int) -> bool:
        return firewall.verdicts(outsider, port, _destination(own, outsider)) == ACCEPT

    guarded = [service for service in services if service.key != "ssh"]
    opened = [service for service in guarded if any(lets_in(port) for span in service.ports for port in span)]
    if not opened:
        return
    titles = listed(f"{service.title} ({listed(_span(each) for each in service.ports)})" for service in opened)
    wide = lets_in(_NOBODY_S_PORT)
    plain = cluster.libvirt.transport == "tcp"
    yield Finding(
        code="firewall.open-to-all",
        severity=Severity.ADVICE if wide and not plain else Severity.DANGEROUS,
        host=host.host,
        what=f"The firewall of {host.host} ({_kind(host)}) lets everybody in to {titles}.",
        evidence=f"by its rules a connection from any address to these ports is accepted"
        f"{', as to all others' if wide else ''}",
        why="QEMU's migration ports take what comes first unless TLS guards them, and a storage port gives the disks"
        " of all instances to whoever asks; only the cluster's hosts need any of them.",
        remedy=f"Let only the cluster's hosts (and, to libvirt, the machine that Hotfoot runs on) in to these ports on"
        f" {host.host}.",
    )


def _consoles(host: HostFacts, firewall: _Judge, known: Mapping[str, Addresses]) -> Iterator[Finding]:
    """Judge the ports of consoles where Nova runs: its console proxy connects to them from elsewhere."""
    if not any(name in host.packages for name in _NOVA_COMPUTE):
        return
    ports = _telling_ports(firewall, (CONSOLE_PORTS,))
    peers = [
        name
        for name, peer in known.items()
        if name != host.host
        and peer.management
        and _over_ports(firewall, peer.management, ports, known[host.host].management or "") == DROP
    ]
    if peers:
        yield Finding(
            code="firewall.consoles-closed",
            severity=Severity.ADVICE,
            host=host.host,
            what=f"The firewall of {host.host} ({_kind(host)}) keeps {listed(peers)} out at the ports of consoles,"
            f" {_span(CONSOLE_PORTS)}.",
            evidence="by its rules such a connection is dropped",
            why="Nova's console proxy connects to the host that the instance is on after the move.",
            remedy=f"Let the hosts where nova-novncproxy runs in to {_span(CONSOLE_PORTS)} on {host.host}.",
        )


def _span(ports: tuple[int, int]) -> str:
    return str(ports[0]) if ports[0] == ports[1] else f"{ports[0]} to {ports[1]}"


def _kind(host: HostFacts) -> str:
    return host.firewall.kind if host.firewall else ""


TOPIC = Topic(
    name="firewall",
    title="Firewall",
    judge=judge,
    files=(_QEMU_CONF, *NFT_FILES),
    packages=_NOVA_COMPUTE,
)
