"""Compute hosts side by side, as Nova knows them: hypervisor versions, CPUs, and what each can do (traits).

Source: nova/conductor/tasks/live_migrate.py (a destination must not be older), nova/virt/libvirt/driver.py
(_compare_cpu), and os-traits. The traits COMPUTE_... are what a release of nova-compute, libvirt and QEMU can do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hotfoot.readiness.cloud_facts import CloudFacts, HypervisorFact
from hotfoot.readiness.finding import Finding, Severity
from hotfoot.readiness.listing import listed

_MOST_PAIRED = 40
"""Hosts of which every pair is told; in a larger cloud one source stands for all of its kind."""
_STATES = frozenset({"COMPUTE_STATUS_DISABLED"})
"""Traits that tell a state and no ability."""


def judge(facts: CloudFacts) -> Iterator[Finding]:
    """Yield what differs between hosts of one type of hypervisor."""
    hypervisors = sorted(facts.by_host.values(), key=lambda each: each.host)
    for kind in sorted({each.kind for each in hypervisors}):
        alike = [each for each in hypervisors if each.kind == kind]
        yield from _versions(alike)
        yield from _cpus(alike)
        yield from _traits(facts, alike)


def older(source: HypervisorFact, destination: HypervisorFact) -> Finding | None:
    """Judge two hosts of one type of hypervisor by its version."""
    if not 0 < destination.version < source.version:
        return None
    return Finding(
        code="cloud_hosts.older-hypervisor",
        severity=Severity.BLOCKS,
        host=source.host,
        peer=destination.host,
        what=f"{destination.host} has an older hypervisor than {source.host}.",
        evidence=f"{source.host}: {source.version_words}; {destination.host}: {destination.version_words}",
        why="Nova's conductor refuses a live migration to an older hypervisor (DestinationHypervisorTooOld), unless its"
        " [workarounds] skip_hypervisor_version_check_on_lm is set; the older one may not know the state of a device.",
        remedy=f"Bring {destination.host} to {source.version_words}, or move the other way only.",
    )


def other_cpu(source: HypervisorFact, destination: HypervisorFact) -> Finding | None:
    """Judge two hosts by what their CPUs can do, as nova-compute reports it."""
    lost = sorted(source.cpu_features - destination.cpu_features)
    foreign = (source.cpu_arch, source.cpu_vendor) != (destination.cpu_arch, destination.cpu_vendor)
    if not source.cpu_features or not destination.cpu_features or not (lost or foreign):
        return None
    lacks = f"; {destination.host} lacks {listed(lost)}" if lost else ""
    return Finding(
        code="cloud_hosts.cpu",
        severity=Severity.ADVICE,
        host=source.host,
        peer=destination.host,
        what=f"The CPU of {destination.host} cannot do all that the one of {source.host} can.",
        evidence=f"{source.host}: {source.cpu_words}; {destination.host}: {destination.cpu_words}{lacks}",
        why="With KVM an instance gets the CPU of the host on which it starts, unless nova.conf names a model (cpu_mode"
        " custom); nova-compute on the destination then refuses it (Unacceptable CPU info).",
        remedy="Name one model that all hosts can run in [libvirt] cpu_mode, cpu_models of every host's nova.conf, and"
        " start the instances anew; where hosts are declared, `hotfoot check --topic cpu` names it.",
    )


def _versions(alike: Sequence[HypervisorFact]) -> Iterator[Finding]:
    for version in sorted({each.version for each in alike}):
        sources = [each for each in alike if each.version == version]
        for destination in alike:
            for source in sources if len(alike) <= _MOST_PAIRED else sources[:1]:
                if found := older(source, destination):
                    yield found


def _cpus(alike: Sequence[HypervisorFact]) -> Iterator[Finding]:
    kinds: dict[object, list[HypervisorFact]] = {}
    for each in alike:
        kinds.setdefault((each.cpu_arch, each.cpu_vendor, each.cpu_features), []).append(each)
    if len(kinds) < 2:
        return
    for sources in kinds.values():
        for destination in alike:
            for source in sources if len(alike) <= _MOST_PAIRED else sources[:1]:
                if found := other_cpu(source, destination):
                    yield found


def _traits(facts: CloudFacts, alike: Sequence[HypervisorFact]) -> Iterator[Finding]:
    providers = {provider.id: provider for provider in facts.providers or ()}
    able = {
        each.host: frozenset(name for name in providers[each.id].traits if name.startswith("COMPUTE_")) - _STATES
        for each in alike
        if each.id in providers and providers[each.id].traits
    }
    every = frozenset[str]().union(*able.values())
    for host, traits in able.items():
        if lacks := sorted(every - traits):
            others = [other for other, theirs in able.items() if theirs & set(lacks)]
            yield Finding(
                code="cloud_hosts.traits",
                severity=Severity.ADVICE,
                host=host,
                what=f"{host} cannot do all that other compute hosts can.",
                evidence=f"{listed(lacks)}: of {listed(others)}, not of {host}",
                why="Such traits tell what a release of nova-compute, libvirt and QEMU can do: releases or settings"
                " differ, and Nova's scheduler keeps an instance that asks for one of them away from this host.",
                remedy=f"Bring nova-compute, libvirt and QEMU on {host} to the others' release; or compare"
                " nova.conf, where the trait follows from a setting.",
            )
