"""Names of owners over NFSv4: /etc/idmapd.conf, the same on all hosts, and its names of nobody existing.

Sources: requirement A2 of live migration with libvirt and Nova, idmapd.conf(5), nfsidmap(8). With sec=sys, the
default, numbers travel and names matter little; where the mapping is on, hosts that disagree see nobody.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from hotfoot.readiness.change import Change, EditFile, Phase
from hotfoot.readiness.edit import Edit, RemoveKey, SetKey, value_of
from hotfoot.readiness.facts import Facts, HostFacts
from hotfoot.readiness.finding import Finding, Severity

PATH = "/etc/idmapd.conf"


def judge_idmapd(facts: Facts) -> Iterator[Finding]:
    """Return where hosts disagree on the domain, and where nobody has a name that does not exist."""
    yield from _domains(facts)
    for host in facts.hosts:
        yield from _nobody(host)


def _domains(facts: Facts) -> Iterator[Finding]:
    said = {host.host: domain for host in facts.hosts if (domain := _value(host, "Domain", "General"))}
    if len({domain.lower() for domain in said.values()}) < 2:
        return
    counts = Counter(said.values())
    usual = max(said.values(), key=lambda domain: counts[domain])
    for name, domain in said.items():
        if domain.lower() != usual.lower():
            yield Finding(
                code="nfs_server.idmap-domain",
                severity=Severity.DANGEROUS,
                host=name,
                what=f"{name} has another NFSv4 domain than the other hosts.",
                evidence=f"{PATH} on {name} says Domain = {domain}; most say {usual}.",
                why="Where owners travel as names, NAME@DOMAIN of another domain becomes nobody, and QEMU may not "
                "open its disk.",
                remedy=f"Set Domain = {usual} in {PATH} on {name}, then: nfsidmap -c.",
                changes=_set(name, SetKey(section="General", key="Domain", value=usual)),
            )


def _nobody(host: HostFacts) -> Iterator[Finding]:
    if host.identity is None:
        return
    for key, known in (
        ("Nobody-User", {user.name for user in host.identity.users}),
        ("Nobody-Group", {group.name for group in host.identity.groups}),
    ):
        name = _value(host, key, "Mapping")
        if name is None or name in known:
            continue
        candidates = ("nobody",) if key == "Nobody-User" else ("nogroup", "nobody")
        right = next((candidate for candidate in candidates if candidate in known), None)
        edit: Edit = SetKey(section="Mapping", key=key, value=right) if right else RemoveKey(section="Mapping", key=key)
        yield Finding(
            code="nfs_server.idmap-nobody",
            severity=Severity.DANGEROUS,
            host=host.host,
            what=f"{key} of {host.host} is {name}, which does not exist there.",
            evidence=f"{PATH}: {key} = {name}.",
            why="rpc.idmapd does not start with a name that it cannot find. The group is nogroup on Debian and "
            "Ubuntu, nobody on Red Hat's systems.",
            remedy=f"Set {key} = {right or 'a name that exists'} in {PATH} on {host.host}.",
            changes=_set(host.host, edit),
        )


def _set(host: str, edit: Edit) -> tuple[Change, ...]:
    return (Change(host=host, phase=Phase.STORAGE_SERVERS, step=EditFile(path=PATH, edits=(edit,))),)


def _value(host: HostFacts, key: str, section: str) -> str | None:
    try:
        return value_of(host.text(PATH), key, section) or None
    except ValueError:
        return None
