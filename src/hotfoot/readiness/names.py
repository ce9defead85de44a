"""Names: every host finds every host, itself included, at the address that the cluster file declares."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from hotfoot.cluster import Cluster
from hotfoot.cluster.model import Host
from hotfoot.readiness import hosts_file
from hotfoot.readiness.addresses import Addresses, addresses_of, ip, is_ip, is_link_local, is_loopback
from hotfoot.readiness.change import Change, EditFile, Phase
from hotfoot.readiness.facts import Facts, HostFacts, NameFact
from hotfoot.readiness.finding import Finding, Severity, Topic
from hotfoot.readiness.hosts_template import PATHS, lost_at_boot
from hotfoot.readiness.listing import listed

_WHY_NAMES = (
    "libvirt on the destination gives the source its host name to send the memory to, certificates and SSH host keys"
    " are made out to names, and Nova and GlusterFS know hosts by name (libvirt's migration documentation; the"
    " OpenStack guide to configuring live migrations asks for names that resolve between all compute hosts)."
)
_WHY_LOOPBACK = (
    "What a service binds or announces by that name then stays inside the host, where no other host reaches it."
    " Debian's installer and cloud-init write 127.0.1.1 for a host's own name (Debian Reference, The hostname"
    " resolution)."
)


@dataclass(slots=True)
class _Seen:
    """What is wrong with the names on one host: by kind, each name with the addresses found."""

    unresolved: dict[str, tuple[str, ...]] = field(default_factory=dict)
    loopback: dict[str, tuple[str, ...]] = field(default_factory=dict)
    wrong: dict[str, tuple[str, ...]] = field(default_factory=dict)
    other: dict[str, tuple[str, ...]] = field(default_factory=dict)
    contradicting: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def names(self) -> set[str]:
        kinds = (self.unresolved, self.loopback, self.wrong, self.other, self.contradicting)
        return {name for kind in kinds for name in kind}


def judge(cluster: Cluster, facts: Facts) -> Iterator[Finding]:
    """Judge names, and the addresses behind them."""
    known = addresses_of(cluster, facts)
    owners = _names(cluster)
    right: dict[tuple[str, tuple[str, ...]], bool] = {}
    wanted = {name: address for name, owner in owners.items() if (address := known[owner].management)}
    declared = {address: name for name, each in known.items() for address in each.declared}
    for host in facts.hosts:
        if host.names is None:
            continue
        seen = _look(host, host.names, owners, known, right)
        yield from _told(host, seen, owners, known, declared)
        yield from _own(cluster, host, host.names, known[host.host])
        yield from lost_at_boot(host, wanted)
    yield from _doubles(facts, declared)


def _names(cluster: Cluster) -> dict[str, str]:
    """Return the host of each name that has to resolve: names of hosts, and addresses that are DNS names."""
    found = {}
    for host in cluster.hosts:
        for name in (host.address, host.migration_address, host.name):
            if name is not None and not is_ip(name):
                found[name] = host.name
    return found


def _look(
    host: HostFacts,
    names: NameFact,
    owners: Mapping[str, str],
    known: Mapping[str, Addresses],
    right: dict[tuple[str, tuple[str, ...]], bool],
) -> _Seen:
    """Compare all answers with what is declared. ``right`` remembers: most hosts of a cluster answer alike."""
    seen = _Seen()
    for name, answers in names.resolved.items():
        if (name, answers) not in right:
            owner = owners.get(name)
            right[name, answers] = owner is None or _is_right(answers, known[owner])
        if right[name, answers]:
            continue
        owner = owners[name]
        plain = tuple(ip(each) for each in answers)
        if owner == host.host and any(not is_link_local(each) for each in plain):  # nss-myhostname lists these too
            plain = tuple(each for each in plain if not is_link_local(each))
        if _is_right(plain, known[owner]):
            continue
        if not plain:
            seen.unresolved[name] = plain
        elif any(is_loopback(each) for each in plain):
            seen.loopback[name] = plain
        elif set(plain) <= known[owner].own:
            seen.other[name] = plain
        elif known[owner].management is not None:
            seen.wrong[name] = plain
    told = seen.names()
    for line in hosts_file.parse(host.text(hosts_file.PATH)):
        for name in line.names:
            owner = owners.get(name)
            if owner is None or name in told or line.address in known[owner].own or not known[owner].links_known:
                continue
            seen.contradicting[name] = (*seen.contradicting.get(name, ()), line.address)
    return seen


def _is_right(answers: tuple[str, ...], addresses: Addresses) -> bool:
    if not any(each in addresses.declared for each in answers):
        return False
    return not addresses.links_known or all(each in addresses.own for each in answers)


def _told(
    host: HostFacts,
    seen: _Seen,
    owners: Mapping[str, str],
    known: Mapping[str, Addresses],
    declared: Mapping[str, str],
) -> Iterator[Finding]:
    """Turn what was seen on one host into findings, which all ask for one and the same edit."""
    if not seen.names():
        return
    changes = _mend(host, sorted(seen.names()), owners, known)

    def finding(
        code: str, severity: Severity, names: Mapping[str, tuple[str, ...]], *, what: str, evidence: str, why: str
    ) -> Finding:
        peers = {owners[name] for name in names} - {host.host}
        right = [f"{name} is {address}" for name in names if (address := known[owners[name]].management)]
        remedy = f"Write it into {hosts_file.PATH} of {host.host}, or correct the DNS: {listed(right)}."
        if not right:
            remedy = f"Give IP addresses in the cluster file, or have {listed(names)} in the DNS."
        return Finding(
            code=code,
            severity=severity,
            host=host.host,
            peer=peers.pop() if len(peers) == 1 == len(names) else None,
            what=what,
            evidence=evidence,
            why=why,
            remedy=remedy,
            changes=changes,
        )

    if seen.unresolved:
        yield finding(
            "names.unresolved",
            Severity.BLOCKS,
            seen.unresolved,
            what=f"{host.host} does not know the name{_s(seen.unresolved)} {listed(seen.unresolved)}.",
            evidence=f"no address on {host.host} for {listed(seen.unresolved)}",
            why=_WHY_NAMES,
        )
    mine = {name: answers for name, answers in seen.loopback.items() if owners[name] == host.host}
    others = {name: answers for name, answers in seen.loopback.items() if name not in mine}
    if mine:
        yield finding(
            "names.own-name-on-loopback",
            Severity.DANGEROUS,
            mine,
            what=f"{host.host} takes its own name {listed(mine)} for a loopback address.",
            evidence=_answers(mine),
            why=_WHY_LOOPBACK,
        )
    if others:
        yield finding(
            "names.peer-on-loopback",
            Severity.BLOCKS,
            others,
            what=f"{host.host} takes {listed(others)} for itself: the name{_s(others)} lead to a loopback address.",
            evidence=_answers(others),
            why=f"A migration to {listed(others)} would connect to {host.host} itself.",
        )
    if seen.wrong:
        strays = [
            f"{name} leads to {declared[each]}"
            for name, answers in seen.wrong.items()
            for each in answers
            if each in declared and declared[each] != owners[name]
        ]
        yield finding(
            "names.wrong-address",
            Severity.BLOCKS,
            seen.wrong,
            what=f"{host.host} finds {listed(seen.wrong)} at an address that is not declared for it"
            f"{': ' + listed(strays) if strays else ''}.",
            evidence=_answers(seen.wrong),
            why=_WHY_NAMES,
        )
    if seen.other:
        yield finding(
            "names.undeclared-address",
            Severity.DANGEROUS,
            seen.other,
            what=f"{host.host} finds {listed(seen.other)} at an address of that host which the cluster file does not"
            " declare.",
            evidence=_answers(seen.other),
            why="Memory and logins then take another network than the one that was declared, checked and opened in"
            " the firewall.",
        )
    if seen.contradicting:
        yield finding(
            "names.contradicting-lines",
            Severity.DANGEROUS,
            seen.contradicting,
            what=f"{hosts_file.PATH} of {host.host} gives {listed(seen.contradicting)} an address that is not its own.",
            evidence=_answers(seen.contradicting),
            why="Which line counts depends on the program that asks, and changes with the next edit (hosts(5)).",
        )


def _mend(
    host: HostFacts, names: list[str], owners: Mapping[str, str], known: Mapping[str, Addresses]
) -> tuple[Change, ...]:
    wanted = {name: address for name in names if (address := known[owners[name]].management)}
    edits = hosts_file.edits(host.text(hosts_file.PATH), wanted)
    step = EditFile(path=hosts_file.PATH, edits=edits)
    return (Change(host=host.host, phase=Phase.NAMES, step=step),) if edits else ()


def _own(cluster: Cluster, host: HostFacts, names: NameFact, addresses: Addresses) -> Iterator[Finding]:
    """Judge the host's own name and its own addresses."""
    declared = cluster.host(host.host)
    told = {names.hostname.lower(), names.fqdn.lower()} - {""}
    given = addresses.migration is not None
    if names.hostname.lower().partition(".")[0] in ("localhost", ""):
        yield Finding(
            code="names.localhost",
            severity=Severity.DANGEROUS if given else Severity.BLOCKS,
            host=host.host,
            what=f"{host.host} has no host name of its own.",
            evidence=f"hostname: {names.hostname or '(empty)'}",
            why="libvirt refuses such a destination (hostname on destination resolved to localhost, but migration"
            " requires an FQDN), unless a migration address is declared.",
            remedy=f"On {host.host}: hostnamectl set-hostname {host.host}; then restart its libvirt.",
        )
    elif declared.name.lower() not in told and _first_label(declared.name) not in map(_first_label, told):
        yield Finding(
            code="names.hostname",
            severity=Severity.ADVICE if given else Severity.DANGEROUS,
            host=host.host,
            what=f"{host.host} of the cluster file calls itself {names.hostname}.",
            evidence=f"hostname: {names.hostname}, full name: {names.fqdn or '(none)'}",
            why="Without a migration address the destination's own host name is where the source sends the memory"
            " (libvirt's migration documentation), and Nova names the host by it.",
            remedy=f"Rename the host in the cluster file to {names.hostname}, or, where nothing knows it by that name"
            f" yet, run on it: hostnamectl set-hostname {host.host}. Or declare its migration_address.",
        )
    yield from _migration_address(cluster, declared, host, addresses, names)


def _migration_address(
    cluster: Cluster, declared: Host, host: HostFacts, addresses: Addresses, names: NameFact
) -> Iterator[Finding]:
    links = {ip(each) for each in names.addresses}
    network = cluster.migration.network
    if declared.migration_address is not None and addresses.migration and links and addresses.migration not in links:
        yield Finding(
            code="names.address-not-here",
            severity=Severity.BLOCKS,
            host=host.host,
            what=f"{host.host} does not have its migration address {addresses.migration}.",
            evidence=f"addresses of {host.host}: {listed(sorted(links))}",
            why="QEMU on the destination listens on the host's own addresses; memory sent elsewhere does not arrive.",
            remedy=f"Correct migration_address of {host.host} in the cluster file, or give the host that address.",
        )
    elif network is not None and addresses.migration is None and links:
        yield Finding(
            code="names.no-migration-address",
            severity=Severity.BLOCKS,
            host=host.host,
            what=f"{host.host} has no address, or several, in the migration network {network}.",
            evidence=f"addresses of {host.host}: {listed(sorted(links))}",
            why="The memory of instances is to flow through that network only.",
            remedy=f"Connect {host.host} to {network}, or declare its migration_address in the cluster file.",
        )


def _doubles(facts: Facts, declared: Mapping[str, str]) -> Iterator[Finding]:
    """Judge what must not be on two hosts."""
    by_hostname: dict[str, list[str]] = {}
    for host in facts.hosts:
        if host.names is None:
            continue
        if _first_label(host.names.hostname) not in ("", "localhost"):
            by_hostname.setdefault(host.names.hostname.lower(), []).append(host.host)
        for address in sorted({ip(each) for each in host.names.addresses}):
            owner = declared.get(address, host.host)
            if owner != host.host:
                yield Finding(
                    code="names.address-on-two-hosts",
                    severity=Severity.BLOCKS,
                    host=host.host,
                    peer=owner,
                    what=f"{host.host} has the address {address}, which the cluster file declares for {owner}.",
                    evidence=f"addresses of {host.host}: {listed(host.names.addresses)}",
                    why=f"What is meant for {owner} arrives at whichever of the two answers first.",
                    remedy=f"Take {address} from {host.host}, or correct the cluster file.",
                )
    for hostname, hosts in by_hostname.items():
        for host_name in hosts[1:]:
            yield Finding(
                code="names.hostname-twice",
                severity=Severity.BLOCKS,
                host=host_name,
                peer=hosts[0],
                what=f"{host_name} and {hosts[0]} both call themselves {hostname}.",
                evidence=f"hostname: {hostname} on {listed(hosts)}",
                why="The destination's host name leads the source back to itself, and Nova takes the two for one.",
                remedy=f"On {host_name}: hostnamectl set-hostname {host_name}; then restart its libvirt.",
            )


def _first_label(name: str) -> str:
    return name.lower().partition(".")[0]


def _answers(names: Mapping[str, tuple[str, ...]]) -> str:
    return listed(f"{name}: {' '.join(answers)}" for name, answers in names.items())


def _s(names: Mapping[str, object]) -> str:
    return "" if len(names) == 1 else "s"


TOPIC = Topic(
    name="names", title="Names and addresses", judge=judge, files=(hosts_file.PATH, PATHS), sections=("names",)
)
