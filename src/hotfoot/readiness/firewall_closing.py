"""Closing: a table of nftables of our own that lets only some in, whoever else filters on the host.

A packet is dropped for good by any one base chain (nft(8), VERDICT STATEMENTS), so that this table works beside
firewalld, ufw and iptables as well as alone; it opens nothing that they close. A unit of its own loads it at boot,
and again whenever nftables.service has thrown all rules away. Between the two, until systemd has run nft, all
are let in.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

from hotfoot.readiness.change import Change, CloseFirewall, Install, Phase, PutFile, SetUnit, Step
from hotfoot.readiness.facts import HostFacts
from hotfoot.readiness.firewall_changes import OWN_CHAIN
from hotfoot.readiness.nft import ACCEPT, DROP, Filter

TABLE = OWN_CHAIN[1]
RULES_FILE = "/etc/hotfoot/firewall.nft"
UNIT = "hotfoot-firewall.service"
UNIT_FILE = f"/etc/systemd/system/{UNIT}"
_UNIT_TEXT = f"""\
# Written by Hotfoot.
[Unit]
Description=Only this cluster's hosts reach libvirt, migrations and consoles
DefaultDependencies=no
Wants=network-pre.target
Before=network-pre.target shutdown.target
Conflicts=shutdown.target
After=nftables.service
PartOf=nftables.service
ReloadPropagatedFrom=nftables.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/nft -f {RULES_FILE}
ExecReload=/usr/sbin/nft -f {RULES_FILE}
ExecStop=-/usr/sbin/nft delete table inet {TABLE}

[Install]
WantedBy=sysinit.target
"""

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Spans = tuple[tuple[int, int], ...]
"""Port ranges, each first and last, none overlapping."""


class Judge(Protocol):
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
class Closing:
    """Who is let in, and to what, by IP addresses and networks; nobody else is. SSH stays as it is for all."""

    hosts: tuple[str, ...]
    ports: Spans
    """For hosts."""
    controllers: tuple[str, ...]
    controller_ports: Spans
    """For controllers, among ``ports``."""
    ssh_port: int


@lru_cache(maxsize=64)
def rules(closing: Closing) -> str:
    """Return the file that makes the table, in place of an older one, at once.

    Invariant: a new connection to the port of SSH, to a port not in ``ports``, from the host itself, or that is
    established, is never dropped.
    """
    opened = [
        *_opened(closing.hosts, closing.ports),
        *_opened(closing.controllers, closing.controller_ports),
    ]
    checks = [
        'iifname "lo" accept',
        "tcp flags & (fin | syn | rst | ack) != syn accept",
        f"tcp dport {closing.ssh_port} accept",
        *opened,
        f"tcp dport {{ {_written(closing.ports)} }} drop",
    ]
    mark = mark_of("\n".join(checks))
    body = "\n".join(f"        {check}" for check in checks)
    return (
        "#!/usr/sbin/nft -f\n"
        "# Written by Hotfoot: the cluster's hosts reach these ports, its controllers some of them, and nobody else.\n"
        f"table inet {TABLE}\n"
        f"delete table inet {TABLE}\n"
        f"table inet {TABLE} {{\n"
        "    chain input {\n"
        "        type filter hook input priority -5; policy accept;\n"
        f'{body} comment "{mark}"\n'
        "    }\n"
        "}\n"
    )


def mark_of(text: str) -> str:
    """Return what tells rules of ours from older ones."""
    return f"hotfoot {hashlib.sha256(text.encode()).hexdigest()[:12]}"


def _opened(sources: Iterable[str], ports: Spans) -> list[str]:
    found = []
    networks = [ipaddress.ip_network(source, strict=False) for source in sources]
    for version, word in ((4, "ip"), (6, "ip6")):
        mine = _apart([each for each in networks if each.version == version])
        named = ", ".join(str(each).removesuffix("/32" if version == 4 else "/128") for each in mine)
        if named and ports:
            found.append(f"{word} saddr {{ {named} }} tcp dport {{ {_written(ports)} }} accept")
    return found


def _apart(networks: Sequence[_Network]) -> list[_Network]:
    """Leave out what lies in another: elements of a set must not overlap."""
    found: list[_Network] = []
    for each in sorted(networks, key=lambda each: (int(each.network_address), each.prefixlen)):
        if not found or each.network_address not in found[-1]:
            found.append(each)
    return found


def _written(ports: Spans) -> str:
    return ", ".join(str(low) if low == high else f"{low}-{high}" for low, high in ports)


def close(host: HostFacts, closing: Closing) -> tuple[Change, ...]:
    """Return the steps that close a host, which tries the rules before it keeps them; none where nft is of no use."""
    fact = host.firewall
    if fact is None or (fact.ruleset is None and any(each.startswith("firewall.") for each in host.failures)):
        return ()
    text = rules(closing)
    before: list[Step] = [] if fact.ruleset is not None else [Install(packages=("nftables",))]
    tried: list[Step] = [
        PutFile(path=RULES_FILE, content=text),
        PutFile(path=UNIT_FILE, content=_UNIT_TEXT),
        CloseFirewall(path=RULES_FILE, table=TABLE, mark=text.rpartition('comment "')[2].partition('"')[0]),
    ]
    phases = (
        (Phase.PACKAGES, before),
        (Phase.FIREWALL, tried),
        (Phase.FIREWALL_KEPT, [SetUnit(unit=UNIT, enabled=True, running=True)]),
    )
    return tuple(Change(host=host.host, phase=phase, step=step) for phase, steps in phases for step in steps)


def own_table(ruleset: Mapping[str, Any] | None) -> Filter | None:
    """Return our own table among a host's rules, None where it has none."""
    entries = [
        entry
        for entry in (ruleset or {}).get("nftables", ())
        if any(isinstance(each, Mapping) and _table_of(kind, each) == TABLE for kind, each in entry.items())
    ]
    return Filter({"nftables": entries}) if entries else None


def _table_of(kind: str, entry: Mapping[str, Any]) -> object:
    return (entry.get("name") if kind == "table" else entry.get("table")) if entry.get("family") == "inet" else None


@dataclass(frozen=True, slots=True)
class Guarded:
    """A firewall that tells its own rules only, and our table beside it: both have to let a connection in."""

    inner: Judge
    own: Filter

    @property
    def ports(self) -> Sequence[int]:
        """Ports at which what either says may change."""
        return sorted({*self.inner.ports, *self.own.ports})

    def alike(self, source: str) -> object:
        """Return what is equal for sources that both treat alike."""
        return self.inner.alike(source), self.own.alike(source)

    @property
    def looks_at_destination(self) -> bool:
        """Whether the other's rules depend on the destination; ours never do."""
        return self.inner.looks_at_destination

    def verdicts(self, source: str, port: int, destination: str = "") -> frozenset[str]:
        """Return what may become of a connection."""
        both = self.inner.verdicts(source, port, destination), self.own.verdicts(source, port)
        if DROP in both:
            return DROP
        return ACCEPT if both == (ACCEPT, ACCEPT) else both[0] | both[1]
