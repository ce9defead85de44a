"""Host keys between hosts: every host knows the others' by all their names, and checks them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from hotfoot.cluster import Cluster
from hotfoot.readiness.addresses import addresses_of
from hotfoot.readiness.change import Change, EditFile, Phase
from hotfoot.readiness.edit import Edit, EnsureLine, RemoveLines
from hotfoot.readiness.facts import Facts, HostFacts
from hotfoot.readiness.finding import Finding, Severity
from hotfoot.readiness.listing import listed
from hotfoot.readiness.ssh_files import KnownHost, KnownHosts, bracketed, known_hosts, without_checks

SYSTEM_FILE = "/etc/ssh/ssh_known_hosts"
SYSTEM_CONFIGS = ("/etc/ssh/ssh_config", "/etc/ssh/ssh_config.d/*.conf")

_WHY = (
    "ssh, and libvirt and Nova through it, refuse a host whose key they do not know when nobody is there to ask"
    " (ssh(1), Verifying host keys)."
)


@dataclass(frozen=True, slots=True)
class _Peer:
    """A host as others' known_hosts should have it."""

    names: tuple[str, ...]
    """As known_hosts names it, with its port."""
    keys: frozenset[str]
    lines: tuple[str, ...]


@dataclass(slots=True)
class _Seen:
    """What a set of known_hosts files lacks: names by host, and lines that are wrong."""

    unknown: dict[str, list[str]] = field(default_factory=dict)
    stale: dict[str, list[KnownHost]] = field(default_factory=dict)


def unknown_host_keys(cluster: Cluster, facts: Facts, homes: Mapping[str, str]) -> Iterator[Finding]:
    """Judge who knows whom; ``homes`` are the homes of the migration user by host."""
    peers = _peers(cluster, facts)
    judged: dict[tuple[str, ...], _Seen] = {}
    for host in facts.hosts:
        if host.ssh is None:
            continue
        paths = _files(homes.get(host.host))
        texts = tuple(host.text(path) for path in paths)
        if texts not in judged:
            judged[texts] = _Seen() if _as_written(texts, peers) else _look(known_hosts(texts), peers)
        seen = judged[texts]
        # Of itself a host's file may be silent; where it has to be written, it gets all, and all get the same.
        stale = {name: lines for name, lines in seen.stale.items() if name != host.host}
        unknown = {name: names for name, names in seen.unknown.items() if name != host.host}
        if not stale and not unknown:
            continue
        changes = tuple(_mend(host, paths, seen, peers))
        if stale:
            lines = [f"{line.names[0]} {line.type}" for found in stale.values() for line in found]
            yield Finding(
                code="ssh.host-key-changed",
                severity=Severity.BLOCKS,
                host=host.host,
                peer=_only(stale),
                what=f"{host.host} knows another host key of {listed(stale)} than the one in use there.",
                evidence=f"known_hosts of {host.host}: {listed(dict.fromkeys(lines))}",
                why="ssh takes it for an attack and refuses (REMOTE HOST IDENTIFICATION HAS CHANGED); it also happens"
                " when a host was installed anew. The keys in use were read on the hosts themselves.",
                remedy=f"Take the old lines out on {host.host} and write the present keys into {SYSTEM_FILE}.",
                changes=changes,
            )
        if unknown:
            yield Finding(
                code="ssh.host-key-unknown",
                severity=Severity.BLOCKS,
                host=host.host,
                peer=_only(unknown),
                what=f"{host.host} does not know the SSH host keys of {listed(unknown)}.",
                evidence="no line for " + listed(name for names in unknown.values() for name in names),
                why=_WHY,
                remedy=f"Write the hosts' public host keys, by name and by address, into {SYSTEM_FILE} of {host.host}.",
                changes=changes,
            )


def checking_off(cluster: Cluster, host: HostFacts, home: str | None) -> Iterator[Finding]:
    """Judge whether the hosts' keys are checked at all: old guides switch it off."""
    names = tuple(name for each in cluster.hosts for name in (each.name, each.address, each.migration_address) if name)
    own = f"{home}/.ssh/config" if home else None
    texts = {path: text.content or "" for path, text in host.files.items() if _is_config(path, own)}
    for path, content in texts.items():
        lines = without_checks(content, names)
        if not lines:
            continue
        edits = tuple(RemoveLines(matching=f"^{re.escape(line)}$") for line in dict.fromkeys(lines))
        yield Finding(
            code="ssh.host-key-checking-off",
            severity=Severity.DANGEROUS,
            host=host.host,
            what=f"{path} on {host.host} switches the checking of SSH host keys off.",
            evidence=listed(f'"{line.strip()}"' for line in lines),
            why="Whoever can answer in place of a host gets the login, and with it the instances. Old guides write"
            " StrictHostKeyChecking no, and UserKnownHostsFile /dev/null, to save the exchange of keys.",
            remedy=f"Take these lines out, and have the hosts' keys in {SYSTEM_FILE} of {host.host}.",
            changes=(Change(host=host.host, phase=Phase.TRUST, step=EditFile(path=path, edits=edits)),),
        )


def copied_host_keys(facts: Facts) -> Iterator[Finding]:
    """Judge whether hosts have host keys of their own: copied images bring the same to all."""
    owners: dict[str, str] = {}
    for host in facts.hosts:
        peers = {owners.setdefault(key, host.host) for key in (host.ssh.host_keys if host.ssh else ())} - {host.host}
        for peer in sorted(peers):
            yield Finding(
                code="ssh.host-key-twice",
                severity=Severity.DANGEROUS,
                host=host.host,
                peer=peer,
                what=f"{host.host} has the same SSH host key as {peer}: one was copied from the other.",
                evidence=f"a public key in /etc/ssh of {host.host} is that of {peer} too",
                why="Either of the two can pass for the other, so that checking host keys proves nothing.",
                remedy=f"On {host.host}: rm /etc/ssh/ssh_host_*_key*; ssh-keygen -A; restart sshd; then run `hotfoot"
                " prepare --topic ssh`, which tells the other hosts.",
            )


def _peers(cluster: Cluster, facts: Facts) -> dict[str, _Peer]:
    addresses = addresses_of(cluster, facts)
    found = {}
    for declared in cluster.hosts:
        host = facts.by_name.get(declared.name)
        if host is None or host.ssh is None or not host.ssh.host_keys:
            continue
        words = [declared.name, declared.address, declared.migration_address, *addresses[declared.name].declared]
        names = tuple(bracketed(word, ssh_port(cluster, host)) for word in dict.fromkeys(words) if word)
        lines = tuple(f"{','.join(names)} {key}" for key in host.ssh.host_keys)
        found[declared.name] = _Peer(names, frozenset(host.ssh.host_keys), lines)
    return found


def ssh_port(cluster: Cluster, host: HostFacts) -> int:
    """Return the port that sshd of a host listens on, 22 if on that too."""
    told = host.ssh.effective.get("port", "").split() if host.ssh else []
    ports = [int(word) for word in told if word.isdigit()]
    if not ports:
        ports = [cluster.ssh_of(cluster.host(host.host)).port or 22]
    return 22 if 22 in ports else ports[0]


def _as_written(texts: tuple[str, ...], peers: Mapping[str, _Peer]) -> bool:
    """Whether every host's line stands there as we would write it: then nothing else needs to be looked at."""
    if any("@revoked" in text for text in texts):
        return False
    lines = {line for text in texts for line in text.splitlines()}
    return all(lines.issuperset(peer.lines) for peer in peers.values())


def _look(known: KnownHosts, peers: Mapping[str, _Peer]) -> _Seen:
    seen = _Seen()
    for name, peer in peers.items():
        stale = [line for each in peer.names for line in known.stale(each, peer.keys)]
        if stale:
            seen.stale[name] = list(dict.fromkeys(stale))
        unknown = [each for each in peer.names if not known.entries(each)]
        if unknown or (not stale and not all(known.knows(each, peer.keys) for each in peer.names)):
            seen.unknown[name] = unknown or list(peer.names)
    return seen


def _mend(host: HostFacts, paths: tuple[str, ...], seen: _Seen, peers: Mapping[str, _Peer]) -> Iterator[Change]:
    """Yield one edit per file: stale lines out, the present keys into the system's file."""
    for path in paths:
        edits: list[Edit] = []
        there = set(host.text(path).splitlines())
        for name, lines in seen.stale.items():
            edits += [edit for line in lines if line.text in there for edit in _without(line, peers[name])]
        if path == SYSTEM_FILE:
            for name in dict.fromkeys((*seen.stale, *seen.unknown)):
                first = re.escape(peers[name].names[0])
                for line in peers[name].lines:
                    kind = re.escape(line.split()[1])
                    edits.append(EnsureLine(line=line, instead_of=rf"^{first}(,\S*)? {kind} "))
        if edits:
            yield Change(host=host.host, phase=Phase.TRUST, step=EditFile(path=path, edits=tuple(edits)))


def _without(line: KnownHost, peer: _Peer) -> Iterator[Edit]:
    """Yield what takes a host out of a line: the whole line, unless it speaks of others too."""
    exactly = f"^{re.escape(line.text)}$"
    others = [name for name in line.names if name not in peer.names]
    if line.names[0].startswith("|") or line.marker or not others:
        yield RemoveLines(matching=exactly)
    elif len(others) < len(line.names):
        yield EnsureLine(line=line.text.replace(",".join(line.names), ",".join(others), 1), instead_of=exactly)
    # A pattern that catches the host cannot be narrowed safely: the remedy leaves it to a person.


def _files(home: str | None) -> tuple[str, ...]:
    return (SYSTEM_FILE, *((f"{home}/.ssh/known_hosts",) if home else ()))


def _is_config(path: str, own: str | None) -> bool:
    return path in (SYSTEM_CONFIGS[0], own) or path.startswith("/etc/ssh/ssh_config.d/")


def _only(names: Mapping[str, object]) -> str | None:
    return next(iter(names)) if len(names) == 1 else None
