"""The firewall: it lets the cluster's hosts in at the ports that they need, and nobody else."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping

from hotfoot.cluster import Cluster
from hotfoot.cluster.model import in_network
from hotfoot.readiness.addresses import Addresses, addresses_of, first_of, ip, is_ip
from hotfoot.readiness.change import Change
from hotfoot.readiness.facts import Facts, FirewallFact, HostFacts
from hotfoot.readiness.finding import Finding, Severity, Topic
from hotfoot.readiness.firewall_changes import NFT_FILES, Opening, open_for
from hotfoot.readiness.firewall_closing import Closing, Guarded, Judge, close, own_table
from hotfoot.readiness.firewall_services import CONSOLE_PORTS, LIBVIRT_PORTS, QEMU_CONF, Service, services_of
from hotfoot.readiness.firewall_text import Firewalld, Ufw, iptables_ruleset
from hotfoot.readiness.listing import listed
from hotfoot.readiness.nft import ACCEPT, DROP, Filter
from hotfoot.readiness.ssh_host_keys import ssh_port

_NOBODY_S_PORT = 9  # discard: no rule would open it
_OUTSIDERS = ("198.51.100.77", "2001:db8:77::77")  # documentation addresses (RFC 5737, RFC 3849): nobody's
_NOVA_COMPUTE = ("nova-compute", "openstack-nova-compute")

_CLOSE = (
    "Close libvirt, migrations, consoles and storage to everybody but the cluster's hosts, and its controllers where"
    " they need them."
)
_NAME_CONTROLLERS = "with controllers named in the cluster file, `hotfoot prepare` does so"

_Remembered = dict[tuple[object, ...], dict[str, frozenset[str]]]


def judge(cluster: Cluster, facts: Facts) -> Iterator[Finding]:
    """Judge each host's firewall against what the others need of it."""
    known = addresses_of(cluster, facts)
    everyone = tuple(dict.fromkeys(each for peer in known.values() for each in peer.declared))
    read: dict[str, Judge] = {}
    remembered: _Remembered = {}
    for host in facts.hosts:
        if host.firewall is None:
            continue
        services = services_of(cluster, host)
        firewall = _firewall(host.firewall, read)
        own = own_table(host.firewall.ruleset)
        closing: tuple[Change, ...] = ()
        if cluster.controllers or own is not None:
            closing = close(host, _closing(cluster, host, services, everyone))
        if firewall is None:
            yield _nothing_filters(cluster, host, services, closing)
            continue
        closed: dict[str, list[str]] = {}
        unsure: list[Service] = []
        for service in services:
            kept_out = _kept_out(firewall, service, known, known[host.host], remembered)
            peers = {name: verdict for name, verdict in kept_out.items() if name != host.host}
            if refused := [name for name, verdict in peers.items() if verdict == DROP]:
                closed[service.key] = refused
            elif peers:
                unsure.append(service)
        yield from _closed(host, services, closed, known, firewall, closing if own is not None else ())
        yield from _controllers(cluster, host, firewall, known, closing if own is not None else ())
        yield from _not_understood(host, unsure)
        yield from _open_to_all(cluster, host, services, firewall, known[host.host], closing)
        yield from _consoles(host, firewall, known)


def _closing(cluster: Cluster, host: HostFacts, services: Iterable[Service], everyone: tuple[str, ...]) -> Closing:
    """Return who is to be let in to what, and nobody else: the address that we come from is always among them."""
    libvirt = [(port, port) for port in (*LIBVIRT_PORTS.values(), cluster.libvirt.port) if port is not None]
    needed = [span for service in services if service.key != "ssh" for span in service.ports]
    return Closing(
        hosts=everyone,
        ports=_merged([*needed, *libvirt, CONSOLE_PORTS]),
        controllers=(*cluster.controllers, *((ip(host.came_from),) if is_ip(host.came_from) else ())),
        controller_ports=_merged([*libvirt, CONSOLE_PORTS]),
        ssh_port=ssh_port(cluster, host),
    )


def _firewall(fact: FirewallFact, read: dict[str, Judge]) -> Judge | None:
    """Return what filters; None where nothing does. ``read`` keeps rulesets: those of many hosts are alike."""
    # Equal rules differ by handles and counters alone.
    ruleset = re.sub(r'"(?:handle|packets|bytes)": \d+', "", json.dumps(fact.ruleset))
    key = "\n".join((fact.kind, fact.details or fact.iptables + ruleset))
    own = own_table(fact.ruleset)
    if own is not None and fact.kind in ("firewalld", "ufw"):
        key += ruleset
    if key not in read and fact.kind in ("firewalld", "ufw"):
        inner = Firewalld(fact.details) if fact.kind == "firewalld" else Ufw(fact.details)
        read[key] = Guarded(inner, own) if own is not None else inner
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
    firewall: Judge, service: Service, known: Mapping[str, Addresses], own: Addresses, remembered: _Remembered
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


def _sources(service: Service, peer: Addresses) -> tuple[str, ...]:
    if service.network == "any" or not peer.declared:
        return peer.declared
    first = peer.migration if service.network == "migration" else peer.management
    return (first or peer.declared[0],)


def _destination(own: Addresses, source: str) -> str:
    """Return this host's address that a source speaks to, empty where that cannot be known."""
    same = [each for each in own.declared if (":" in each) == (":" in source)]
    return same[0] if len(same) == 1 else ""


def _over_ports(firewall: Judge, source: str, ports: Iterable[int], destination: str) -> frozenset[str]:
    """Return what may become of connections to any of the ports: DROP as soon as one is surely dropped."""
    found: frozenset[str] = frozenset()
    for port in ports:
        verdict = firewall.verdicts(source, port, destination)
        if verdict == DROP:
            return DROP
        found |= verdict
    return found


def _telling_ports(firewall: Judge, ranges: Iterable[tuple[int, int]]) -> list[int]:
    """Return ports that tell for all of some ranges: their ends, and those next to where a rule may begin or end."""
    bounds = {each + step for each in firewall.ports for step in (-1, 0, 1)}
    found: set[int] = set()
    for low, high in ranges:
        found |= {low, (low + high) // 2, high} | {port for port in bounds if low <= port <= high}
    return sorted(found)


def _closed(
    host: HostFacts,
    services: list[Service],
    closed: Mapping[str, list[str]],
    known: Mapping[str, Addresses],
    firewall: Judge,
    closing: tuple[Change, ...],
) -> Iterator[Finding]:
    if not closed:
        return
    # With them our own rules are written anew, for the hosts of today.
    changes = (*_changes(host, services, known, firewall), *closing)
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
    host: HostFacts, services: list[Service], known: Mapping[str, Addresses], firewall: Judge
) -> tuple[Change, ...]:
    """Return what opens all needed ports for all hosts: the same rule on each host, whichever of them is missing."""
    sources = tuple(dict.fromkeys(each for peer in known.values() for each in peer.declared))
    ports = _merged(each for service in services for each in service.ports)
    inner = firewall.inner if isinstance(firewall, Guarded) else firewall
    return open_for(host, inner, Opening(sources, ports, known[host.host].declared))


def _merged(ranges: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Join ranges that overlap or touch: nftables refuses a set with both."""
    found: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if found and low <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(high, found[-1][1]))
        else:
            found.append((low, high))
    return tuple(found)


def _not_understood(host: HostFacts, services: list[Service]) -> Iterator[Finding]:
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


def _controllers(
    cluster: Cluster, host: HostFacts, firewall: Judge, known: Mapping[str, Addresses], closing: tuple[Change, ...]
) -> Iterator[Finding]:
    """Judge whether the machines that Hotfoot runs on, those named and the one that asks now, get in to libvirt."""
    if cluster.libvirt.transport == "ssh":
        return
    port = cluster.libvirt.port or LIBVIRT_PORTS[cluster.libvirt.transport]
    hosts = {address for peer in known.values() for address in peer.declared}
    own = known[host.host]

    def refused_by(rules: Judge, source: str) -> bool:
        first = first_of(source)
        return rules.verdicts(first, port, _destination(own, first)) == DROP

    out = [source for source in _controllers_of(cluster, host) if source not in hosts and refused_by(firewall, source)]
    if not out:
        return
    inner = firewall.inner if isinstance(firewall, Guarded) else firewall
    refused = tuple(source for source in out if refused_by(inner, source))
    opening = Opening(refused, ((port, port),), own.declared, "the controllers", "hotfoot controllers")
    yield Finding(
        code="firewall.controllers-closed",
        severity=Severity.BLOCKS,
        host=host.host,
        what=f"The firewall of {host.host} ({_kind(host)}) keeps the controller {listed(out)} out at port {port},"
        " meant for libvirt.",
        evidence=f"by its rules a connection from {listed(first_of(source) for source in out)} to {port} is dropped",
        why="Hotfoot on that machine talks to the hosts' libvirt there: without it no migration begins.",
        remedy=f"Let {listed(out)} in to {port} on {host.host}, and nobody else but the cluster's hosts.",
        changes=(*(open_for(host, inner, opening) if refused else ()), *closing),
    )


def _controllers_of(cluster: Cluster, host: HostFacts) -> tuple[str, ...]:
    """Return the controllers' addresses and networks, and the address that we came from where it is in none of them."""
    came_from = ip(host.came_from) if is_ip(host.came_from) else None
    if came_from is None or any(in_network(came_from, source) for source in cluster.controllers):
        return cluster.controllers
    return (*cluster.controllers, came_from)


def _nothing_filters(
    cluster: Cluster, host: HostFacts, services: list[Service], closing: tuple[Change, ...]
) -> Finding:
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
        remedy=_CLOSE
        if closing
        else f"Keep these hosts in a network of their own, or let only the cluster's hosts and the machine that"
        f" Hotfoot runs on in to {listed(_span(each) for service in services for each in service.ports)};"
        f" {_NAME_CONTROLLERS}.",
        changes=closing,
    )


def _open_to_all(
    cluster: Cluster,
    host: HostFacts,
    services: list[Service],
    firewall: Judge,
    own: Addresses,
    closing: tuple[Change, ...],
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
        remedy=_CLOSE
        if closing
        else f"Let only the cluster's hosts (and, to libvirt, the machine that Hotfoot runs on) in to these ports on"
        f" {host.host}; {_NAME_CONTROLLERS}.",
        changes=closing,
    )


def _consoles(host: HostFacts, firewall: Judge, known: Mapping[str, Addresses]) -> Iterator[Finding]:
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
    files=(QEMU_CONF, *NFT_FILES),
    packages=_NOVA_COMPUTE,
    sections=("firewall",),
)
