"""Which IP addresses are a host's, as far as the cluster file and the hosts themselves tell."""

from __future__ import annotations

import ipaddress
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache

from hotfoot.cluster import Cluster
from hotfoot.cluster.model import in_network
from hotfoot.readiness.facts import Facts


@dataclass(frozen=True, slots=True)
class Addresses:
    """The IP addresses of one host, each in its canonical spelling."""

    management: str | None
    """None where the cluster file gives a DNS name that no host resolves."""
    migration: str | None
    """Where it receives the memory stream; None where libvirt chooses."""
    own: frozenset[str]
    """These, and all of its links, link-local ones left out."""
    links_known: bool
    """Whether the host told its links' addresses; else ``own`` may lack some."""
    declared: tuple[str, ...]
    """Management, then migration address, those that are known."""


def addresses_of(cluster: Cluster, facts: Facts) -> dict[str, Addresses]:
    """Return what is known of every host of the cluster file, silent ones included, by name."""
    by_name = facts.by_name
    found = {}
    for host in cluster.hosts:
        known = by_name.get(host.name)
        links = [ip(each) for each in known.names.addresses] if known and known.names else []
        own = [each for each in links if not is_link_local(each)]
        migration = cluster.migration_address_of(host)
        if migration is None and cluster.migration.network is not None:
            inside = [each for each in own if in_network(each, cluster.migration.network)]
            migration = inside[0] if len(inside) == 1 else None
        management = _number(host.address, facts)
        migration = _number(migration, facts) if migration else None
        declared = tuple(dict.fromkeys(each for each in (management, migration) if each))
        found[host.name] = Addresses(management, migration, frozenset((*own, *declared)), bool(links), declared)
    return found


@lru_cache(maxsize=65536)
def ip(text: str) -> str:
    """Return an address in its canonical spelling, without a scope (``%eth0``)."""
    bare = text.partition("%")[0]
    try:
        return str(ipaddress.ip_address(bare))
    except ValueError:
        return bare


def is_ip(text: str) -> bool:
    """Whether it is an IP address rather than a name."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def first_of(source: str) -> str:
    """Return an address, or the first one of a host in a network."""
    network = ipaddress.ip_network(source, strict=False)
    return str(network[1] if network.num_addresses > 2 else network[0])


def is_loopback(text: str) -> bool:
    """Whether it is an address that leads a host to itself."""
    return text.startswith("127.") or text == "::1"


def is_link_local(text: str) -> bool:
    """Whether it is an address that says nothing without a link."""
    return text.startswith(("fe80:", "169.254."))


def _number(address: str, facts: Facts) -> str | None:
    """Return the address itself, or of a DNS name what most hosts resolve it to."""
    if is_ip(address):
        return ip(address)
    votes = Counter(
        ip(answer)
        for host in facts.hosts
        if host.names
        for answer in host.names.resolved.get(address, ())[:1]
        if not is_loopback(answer)
    )
    return min(votes, key=lambda each: (-votes[each], each)) if votes else None
