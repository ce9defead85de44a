"""How each kind of firewall is told to let the cluster's hosts in, for now and for good."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass

from hotfoot.readiness.addresses import first_of
from hotfoot.readiness.change import Change, Command, EditFile, Phase, Step
from hotfoot.readiness.edit import EnsureLine
from hotfoot.readiness.facts import HostFacts
from hotfoot.readiness.firewall_text import Firewalld
from hotfoot.readiness.nft import BaseChain, Filter

NFT_FILES = (
    "/etc/nftables.conf",
    "/etc/nftables.d/*",
    "/etc/nftables/*.nft",
    "/etc/sysconfig/nftables.conf",
)
OWN_CHAIN = ("inet", "hotfoot", "input")
"""Of the table that closes a host: it is written anew as a whole, never added to."""
_MAIN_FILES = ("/etc/nftables.conf", "/etc/sysconfig/nftables.conf")


@dataclass(frozen=True, slots=True)
class Opening:
    """What is to be let in: from which addresses or networks to which ports of TCP, none of either overlapping.

    Ports are given as first and last.
    """

    sources: tuple[str, ...]
    ports: tuple[tuple[int, int], ...]
    own: tuple[str, ...]
    """The host's own addresses, which need no rule where there is one rule per address."""
    whom: str = "the cluster's hosts"
    mark: str = "hotfoot"
    """Begins the comment of a rule of nftables: those with the same mark take each other's place."""

    def own_as_seen_from(self, source: str) -> str:
        """Return the host's address that a source speaks to, empty where that cannot be known."""
        same = [each for each in self.own if (":" in each) == (":" in source)]
        return same[0] if len(same) == 1 else ""

    @property
    def others(self) -> tuple[str, ...]:
        """The addresses without the host's own."""
        return tuple(source for source in self.sources if source not in self.own)


def open_for(host: HostFacts, firewall: object, opening: Opening) -> tuple[Change, ...]:
    """Return the steps that let the opening in on a host, each with what takes it back."""
    kind = host.firewall.kind if host.firewall else ""
    steps: list[Step] = []
    if isinstance(firewall, Firewalld):
        steps = list(_firewalld(firewall, opening))
    elif kind == "ufw":
        steps = [_ufw(source, opening) for source in opening.others]
    elif isinstance(firewall, Filter):
        steps = list(_nft(host, firewall, opening))
    return tuple(Change(host=host.host, phase=Phase.FIREWALL, step=step) for step in steps)


def _nft(host: HostFacts, firewall: Filter, opening: Opening) -> Iterator[Step]:
    """Yield what inserts a rule into each base chain that drops.

    A table of our own would not do: a packet has to be accepted by every base chain (nft(8), VERDICT STATEMENTS).
    """
    refusing: list[BaseChain] = []
    for source in opening.others:
        for low, high in opening.ports:
            for port in {low, (low + high) // 2, high}:
                chains = firewall.refusing(first_of(source), port, opening.own_as_seen_from(source))
                refusing += [chain for chain in chains if chain not in refusing and chain.key != OWN_CHAIN]
    for chain in refusing:
        if chain.table == "filter" and chain.name == "INPUT":  # made by iptables, which reads no rules of nft's
            sources = [source for source in opening.others if (":" in source) == (chain.family == "ip6")]
            yield from (_iptables(source, opening) for source in sources)
            continue
        rules = _rules(chain, opening)
        place = " ".join(chain.key)
        mark = f"{opening.mark} {hashlib.sha256(' '.join(rules).encode()).hexdigest()[:8]}"
        lines = [f'insert rule {place} {rule} accept comment "{mark}"' for rule in rules]
        path = _file_of(host, chain)
        if path is not None:
            edits = tuple(
                EnsureLine(
                    line=line,
                    instead_of=f'^insert rule {re.escape(place)} {line.split()[5]} .*"{opening.mark} [0-9a-f]+"$',
                )
                for line in lines
            )
            yield EditFile(path=path, edits=edits, check=("nft", "-c", "-f", "{}") if path in _MAIN_FILES else ())
        yield _insert(place, lines, mark, opening)


def _rules(chain: BaseChain, opening: Opening) -> list[str]:
    ports = ", ".join(str(low) if low == high else f"{low}-{high}" for low, high in opening.ports)
    found = []
    for word, colon in (("ip", False), ("ip6", True)):
        sources = [source for source in opening.sources if (":" in source) == colon]
        if sources and chain.family in ("inet", word):
            found.append(f"{word} saddr {{ {', '.join(sources)} }} tcp dport {{ {ports} }}")
    return found


def _file_of(host: HostFacts, chain: BaseChain) -> str | None:
    """Return the file that makes a chain at boot; None where another program made it."""
    table = re.compile(rf"^\s*(?:add |create )?table\s+{chain.family}\s+{re.escape(chain.table)}\b", re.MULTILINE)
    bare = re.compile(rf"^\s*(?:add |create )?table\s+{re.escape(chain.table)}\b", re.MULTILINE)
    for path, text in host.files.items():
        if not path.startswith(("/etc/nftables", "/etc/sysconfig/nftables")) or not text.content:
            continue
        if table.search(text.content) or (chain.family == "ip" and bare.search(text.content)):
            return path
    return None


def _insert(place: str, lines: list[str], mark: str, opening: Opening) -> Command:
    """Return what inserts the rules into the running ruleset, in place of older ones of ours.

    The whole file is not loaded anew: that would throw away what libvirt, containers and others added.
    """
    clear = (
        f"for handle in $(nft -a list chain {place}"
        f" | sed -n 's/.*comment \"{opening.mark} [0-9a-f]*\" # handle \\([0-9]*\\)$/\\1/p'); do"
        f" nft delete rule {place} handle $handle || exit 1; done"
    )
    inserts = "; ".join(f"nft '{line}' || exit 1" for line in lines)
    return Command(
        title=f"let {opening.whom} in, by {'rules' if len(lines) > 1 else 'a rule'} in {place} of nftables",
        argv=("sh", "-c", f"{clear}; {inserts}"),
        done_if=("sh", "-c", f"nft list chain {place} | grep -qF '\"{mark}\"'"),
        undo=("sh", "-c", clear),
    )


def _iptables(source: str, opening: Opening) -> Command:
    ports = ",".join(str(low) if low == high else f"{low}:{high}" for low, high in opening.ports)
    program = "ip6tables" if ":" in source else "iptables"
    rule = ("INPUT", "-s", source, "-p", "tcp", "-m", "multiport", "--dports", ports, "-j", "ACCEPT")
    return Command(
        title=f"let {source} in by {program} (until the next boot, unless its rules are saved as they were)",
        argv=(program, "-w", "-I", *rule),
        done_if=(program, "-w", "-C", *rule),
        undo=(program, "-w", "-D", *rule),
    )


def _ufw(source: str, opening: Opening) -> Command:
    ports = ",".join(str(low) if low == high else f"{low}:{high}" for low, high in opening.ports)
    # In the very words of `ufw show added`; above all rules, since the first that fits counts.
    rule = ("allow", "from", source, "to", "any", "port", ports, "proto", "tcp")
    added = f"ufw {' '.join(rule)}"
    return Command(
        title=f"let {source} in by ufw",
        argv=("ufw", "prepend", *rule),
        done_if=("sh", "-c", f"ufw show added | grep -qxF '{added}'"),
        undo=("ufw", "--force", "delete", *rule),
    )


def _firewalld(firewall: Firewalld, opening: Opening) -> Iterator[Command]:
    """Yield what adds rich rules, to the running firewall and for good: a reload would drop what others added."""
    by_zone: dict[str, list[str]] = {}
    for source in opening.others:
        for zone in firewall.zones_of(first_of(source)):
            by_zone.setdefault(zone.name, []).extend(_rich_rules(source, opening))
    for name, rules in by_zone.items():
        for where, words in (("for good", ["--permanent"]), ("at once", [])):
            call = ("firewall-cmd", "-q", *words, f"--zone={name}")
            query = " ".join(call)
            yield Command(
                title=f"let {opening.whom} in by zone {name} of firewalld, {where}",
                argv=(*call, *(f"--add-rich-rule={rule}" for rule in rules)),
                done_if=("sh", "-c", f'for rule; do {query} --query-rich-rule="$rule" || exit 1; done', "sh", *rules),
                undo=(*call, *(f"--remove-rich-rule={rule}" for rule in rules)),
            )


def _rich_rules(source: str, opening: Opening) -> list[str]:
    family = "ipv6" if ":" in source else "ipv4"
    return [
        f'rule family="{family}" source address="{source}"'
        f' port port="{low if low == high else f"{low}-{high}"}" protocol="tcp" accept'
        for low, high in opening.ports
    ]
