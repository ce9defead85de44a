"""Placement's view against Nova's: providers without a host, allocations without an instance, and the reverse.

Source: Nova's guides "Orphaned resource allocations" and `nova-manage placement` (audit, heal_allocations), and
nova/conductor/tasks/migrate.py: while an instance moves, its migration holds the allocation of the source.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from hotfoot.readiness.cloud_facts import AllocationFact, CloudFacts, InstanceFact, ProviderFact
from hotfoot.readiness.finding import Finding, Severity

_HELD = frozenset({"VCPU", "PCPU", "MEMORY_MB"})
"""What only compute hosts give: other classes may come from a provider of other services."""
_RESTING = frozenset({"active", "stopped", "paused", "suspended", "rescued", "error", "shelved"})
"""States (vm_state) in which an instance that has a host has its allocation there and nowhere else."""


def judge(facts: CloudFacts) -> Iterator[Finding]:
    """Yield where the two views of a cloud differ; nothing where Placement did not tell."""
    if facts.providers is None:
        return
    yield from _providers(facts, {provider.id: provider for provider in facts.providers})
    host_of = _hosts_by_provider(facts)
    held = _held(facts, host_of)
    yield from _orphans(facts, held)
    for instance in _resting(facts):
        yield from _instance(facts, instance, held.get(instance.uuid, {}))


def suspects(facts: CloudFacts) -> frozenset[str]:
    """Return the consumers (UUID) of which the two views differ, to be asked for again before that is believed.

    What was asked for at different moments may differ though nothing is wrong.
    """
    host_of = _hosts_by_provider(facts)
    held = _held(facts, host_of)
    return frozenset(held.keys() - _known(facts)) | {
        instance.uuid for instance in _resting(facts) if any(_instance(facts, instance, held.get(instance.uuid, {})))
    }


def _hosts_by_provider(facts: CloudFacts) -> Mapping[str, str]:
    """Return the compute host of each provider, that of its tree's root."""
    roots = {hypervisor.id: hypervisor.host for hypervisor in facts.hypervisors}
    return {provider.id: roots[provider.root_id] for provider in facts.providers or () if provider.root_id in roots}


def _held(facts: CloudFacts, host_of: Mapping[str, str]) -> Mapping[str, Mapping[str, AllocationFact]]:
    """Return by consumer and host what is held of CPUs and memory."""
    found: dict[str, dict[str, AllocationFact]] = {}
    for allocation in facts.allocations:
        host = host_of.get(allocation.provider)
        if host is not None and _HELD & allocation.resources.keys():
            found.setdefault(allocation.consumer, {})[host] = allocation
    return found


def _known(facts: CloudFacts) -> frozenset[str]:
    """Return who may hold something (UUID): instances, and migrations that go on."""
    going_on = (migration.uuid for migration in facts.migrations if migration.unfinished and migration.uuid)
    return frozenset(instance.uuid for instance in facts.instances) | frozenset(going_on)


def _resting(facts: CloudFacts) -> Iterator[InstanceFact]:
    """Yield the instances on a host of which nothing is under way, so that the two views have to agree."""
    known, in_motion = facts.by_host, facts.in_motion
    for instance in facts.instances:
        waits = instance.task_state is not None or instance.uuid in in_motion
        if instance.host in known and instance.vm_state in _RESTING and not waits:
            yield instance


def _providers(facts: CloudFacts, providers: Mapping[str, ProviderFact]) -> Iterator[Finding]:
    services = facts.computes
    for hypervisor in facts.hypervisors:
        host = hypervisor.host
        service = services.get(host)
        provider = providers.get(hypervisor.id)
        if provider is None:
            yield Finding(
                code="cloud_placement.no-provider",
                severity=Severity.BLOCKS,
                host=host,
                what=f"Placement does not know the host {host}.",
                evidence=f"no resource provider {hypervisor.id} ({hypervisor.hostname})",
                why="Nova's scheduler asks Placement for hosts first, so that it never chooses this one.",
                remedy=f"Restart nova-compute on {host}, which registers it; its log tells if Placement refuses it,"
                " such as for a provider of the same name that an older installation has left.",
            )
            continue
        if service and service.enabled and service.up and "COMPUTE_STATUS_DISABLED" in provider.traits:
            yield Finding(
                code="cloud_placement.kept-out",
                severity=Severity.BLOCKS,
                host=host,
                what=f"Placement keeps instances away from {host}, though Nova has it enabled.",
                evidence=f"trait COMPUTE_STATUS_DISABLED on resource provider {provider.id}; nova-compute enabled, up",
                why="The trait was to go when the host was enabled, and did not; the scheduler never chooses a host"
                " with it, and only says that there is no valid host.",
                remedy=f"Restart nova-compute on {host}, which takes the trait away; or `openstack compute service set"
                f" --disable {host} nova-compute`, then --enable.",
            )
        yield from _overfull(host, provider)
    yield from _strangers(facts, providers)


def _overfull(host: str, provider: ProviderFact) -> Iterator[Finding]:
    over = [
        f"{provider.used.get(name, 0)} {name} of {capacity}"
        for name, capacity in sorted(provider.capacity.items())
        if provider.used.get(name, 0) > capacity
    ]
    if over:
        yield Finding(
            code="cloud_placement.overfull",
            severity=Severity.DANGEROUS,
            host=host,
            what=f"More is promised on {host} than Placement counts as there.",
            evidence=f"{'; '.join(over)} taken",
            why="Nothing can be moved there, and some releases of Placement refuse even the exchange of allocations"
            " with which a move away begins. A smaller overcommitment, a larger reserve or lost memory make it so.",
            remedy="Compare the allocation ratios and reserves in nova.conf with those of before; raise them until"
            " enough has been moved away.",
        )


def _strangers(facts: CloudFacts, providers: Mapping[str, ProviderFact]) -> Iterator[Finding]:
    if any(service.up is None for service in facts.services):
        return  # hypervisors of a silent cell are not listed
    known = {hypervisor.id for hypervisor in facts.hypervisors}
    for provider in providers.values():
        if provider.id == provider.root_id and provider.id not in known and "COMPUTE_NODE" in provider.traits:
            yield Finding(
                code="cloud_placement.orphaned-provider",
                severity=Severity.DANGEROUS,
                host=provider.name,
                what=f"Placement offers room on {provider.name}, of which Nova has no hypervisor.",
                evidence=f"resource provider {provider.id} ({provider.name}) has the trait COMPUTE_NODE",
                why="The scheduler is offered a host that is not there; and a new host of that name cannot register.",
                remedy=f"If the host is gone for good: `openstack resource provider delete {provider.id}`, after"
                " `nova-manage placement audit --verbose --delete --resource-provider` of it, should it have"
                " allocations.",
            )


def _orphans(facts: CloudFacts, held: Mapping[str, Mapping[str, AllocationFact]]) -> Iterator[Finding]:
    known = _known(facts)
    for consumer, by_host in sorted(held.items()):
        for host, allocation in sorted(by_host.items()) if consumer not in known else ():
            yield Finding(
                code="cloud_placement.orphaned-allocation",
                severity=Severity.DANGEROUS,
                host=host,
                what=f"Room on {host} is held for {consumer}, which is no instance and no migration that goes on.",
                evidence=f"{allocation.words} of the resource provider {allocation.provider} for {consumer}",
                why="The scheduler counts it as taken: hosts seem full, and moves find no room. An instance that was"
                " deleted while its host was down, or a migration that broke off, leaves such behind.",
                remedy="`nova-manage placement audit --verbose` on the control plane lists it; `openstack resource"
                f" provider allocation delete {consumer}` gives the room back.",
            )


def _instance(facts: CloudFacts, instance: InstanceFact, held: Mapping[str, AllocationFact]) -> Iterator[Finding]:
    name, host = instance.name, instance.host
    if not held:
        yield Finding(
            code="cloud_placement.no-allocation",
            severity=Severity.DANGEROUS,
            host=host,
            what=f"Placement has no room on {host} taken for {name}, which is there.",
            evidence=f"no allocation of CPUs or memory for {instance.uuid}",
            why="The scheduler gives the same room to others, until the host is overloaded; and a move of the instance"
            " has nothing to exchange.",
            remedy=f"`nova-manage placement heal_allocations --verbose --instance {instance.uuid}` on a controller.",
        )
        return
    for other, allocation in sorted(held.items()):
        if other == host:
            continue
        service = facts.computes.get(other)
        dead = service is not None and not service.up
        unset = f"`openstack resource provider allocation unset --provider {allocation.provider} {instance.uuid}`"
        heal = f", then `nova-manage placement heal_allocations --verbose --instance {instance.uuid}`"
        yield Finding(
            code="cloud_placement.elsewhere",
            severity=Severity.ADVICE if dead and host in held else Severity.DANGEROUS,
            host=other,
            what=f"Room on {other} is held for {name}, which is on {host}.",
            evidence=f"{allocation.words} of the resource provider {allocation.provider} for {instance.uuid}; on"
            f" {host}: {held[host].words if host in held else 'nothing'}",
            why="After an evacuation nova-compute on the old host gives it back when it starts again; until then that"
            " host's record cannot be deleted."
            if dead
            else "The scheduler counts the wrong host as taken. A migration that broke off leaves it so.",
            remedy=f"Start nova-compute on {other}; if the host is gone for good, {unset}."
            if dead
            else f"When no migration of {name} goes on: {unset}{'' if host in held else heal}.",
        )
