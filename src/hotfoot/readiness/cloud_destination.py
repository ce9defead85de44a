"""What keeps one instance from one compute host, by what Nova and Placement tell of both.

Source: nova/conductor/tasks/live_migrate.py, the scheduler's filters, and os-traits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from hotfoot.readiness.cloud_facts import CloudFacts, ProviderFact
from hotfoot.readiness.cloud_hosts import older, other_cpu
from hotfoot.readiness.finding import Finding, Severity
from hotfoot.readiness.listing import listed

if TYPE_CHECKING:
    from hotfoot.readiness.cloud_move import MoveFacts

_SCOPED = "aggregate_instance_extra_specs:"
_OWNED = "filter_tenant_id"
_SHARED = frozenset({"DISK_GB"})
"""What a destination may have of a pool that hosts share."""


def there(facts: CloudFacts, move: MoveFacts, host: str) -> Iterator[Finding]:
    """Yield what stands in the way to a host, each with that host as its ``peer``."""
    source, destination = facts.by_host.get(move.host), facts.by_host.get(host)
    if source and destination:
        if source.kind != destination.kind:
            yield _to(
                move,
                host,
                "hypervisor-type",
                what=f"{host} has another type of hypervisor than {move.host}.",
                evidence=f"{move.host}: {source.kind}; {host}: {destination.kind}",
                why="Nova refuses a live migration between types of hypervisors (InvalidHypervisorType).",
                remedy=f"Choose a host with {source.kind}.",
            )
        else:
            yield from filter(None, (older(source, destination), other_cpu(source, destination)))
        yield from _traits(facts, move, host, source.id, destination.id)
    yield from _aggregates(facts, move, host)


def _traits(facts: CloudFacts, move: MoveFacts, host: str, source_id: str, destination_id: str) -> Iterator[Finding]:
    providers = {provider.id: provider for provider in facts.providers or ()}
    if source_id not in providers or destination_id not in providers:
        return
    here, yonder = providers[source_id], providers[destination_id]
    yield from _resources(move, host, move.held.get(source_id, {}), yonder)
    wanted = {**move.image_properties, **move.extra_specs}
    for key, value in sorted(wanted.items()):
        name = key.removeprefix("trait:")
        if name == key:
            continue
        # What the source's own provider lacks as well comes from another one of its tree.
        lacks = value == "required" and name in here.traits and name not in yonder.traits
        if lacks or (value == "forbidden" and name in yonder.traits):
            yield _to(
                move,
                host,
                "trait",
                what=f"{host} {'lacks' if lacks else 'has'} the trait {name}, which {move.name}"
                f" {'needs' if lacks else 'must not meet'}.",
                evidence=f"{key}={value}; resource provider {yonder.id} ({yonder.name})",
                why="Placement offers the scheduler only hosts whose traits fit flavour and image.",
                remedy=f"Choose another host, or `openstack resource provider trait set` on {yonder.id}, if it is so.",
            )
    if move.shared_volumes and "COMPUTE_VOLUME_MULTI_ATTACH" in here.traits - yonder.traits:
        yield _to(
            move,
            host,
            "shared-volume",
            what=f"nova-compute on {host} cannot attach a volume that several instances share.",
            evidence=f"volumes {listed(move.shared_volumes)}: multiattach; {host} lacks COMPUTE_VOLUME_MULTI_ATTACH",
            why="Its driver refuses such volumes, and the instance keeps its own.",
            remedy=f"Choose a host with that trait, or bring libvirt and QEMU on {host} to a release that has it.",
        )


def _resources(move: MoveFacts, host: str, held: Mapping[str, int], there: ProviderFact) -> Iterator[Finding]:
    """Name what a destination has none of; how much of the rest is free, the look before a move judges."""
    lacks = sorted(held.keys() - there.capacity.keys() - _SHARED) if there.capacity else []
    if lacks:
        yield _to(
            move,
            host,
            "resource",
            what=f"{host} has no {listed(lacks)}, which {move.name} takes.",
            evidence=f"{listed(f'{amount} {name}' for name, amount in sorted(held.items()))} of {move.host}; resource"
            f" provider {there.id} ({there.name}): {listed(sorted(there.capacity))}",
            why="Placement offers the scheduler only hosts that have it. PCPU are CPUs that nova.conf dedicates to"
            " single instances ([compute] cpu_dedicated_set).",
            remedy=f"Choose another host, or declare it on {host} as on {move.host}.",
        )


def _aggregates(facts: CloudFacts, move: MoveFacts, host: str) -> Iterator[Finding]:
    def metadata(name: str, key: str) -> frozenset[str]:
        values = [each.metadata[key] for each in facts.aggregates if name in each.hosts and key in each.metadata]
        return frozenset(word.strip() for value in values for word in value.split(","))

    for key, value in sorted(move.extra_specs.items()):
        wanted = key.removeprefix(_SCOPED)
        if wanted != key and value in metadata(move.host, wanted) and value not in metadata(host, wanted):
            yield _to(
                move,
                host,
                "aggregate",
                what=f"{host} is in no aggregate with {wanted}={value}, as the flavour of {move.name} asks.",
                evidence=f"flavour {move.flavour}: {key}={value}; {move.host} is in such an aggregate",
                why="Nova's scheduler keeps the instance to those hosts (AggregateInstanceExtraSpecsFilter). Where that"
                " filter is not enabled, this does not count.",
                remedy=f"Choose a host of such an aggregate, or add {host} to it.",
            )
    owners = metadata(host, _OWNED)
    if owners and move.project_id not in owners:
        yield _to(
            move,
            host,
            "other-tenant",
            what=f"{host} is kept for other projects than that of {move.name}.",
            evidence=f"aggregate metadata {_OWNED}: {listed(sorted(owners))}; its project: {move.project_id}",
            why="Nova's scheduler keeps other projects away (AggregateMultiTenancyIsolation). Where that filter is not"
            " enabled, this does not count.",
            remedy="Choose another host, or add the project to the aggregate.",
        )
    zones = metadata(host, "availability_zone") or frozenset({"nova"})
    if move.pinned_zone and move.pinned_zone not in zones:
        yield _to(
            move,
            host,
            "zone",
            what=f"{move.name} was asked for in the availability zone {move.pinned_zone}, and {host} is in another.",
            evidence=f"pinned_availability_zone {move.pinned_zone}; {host}: {listed(sorted(zones))}",
            why="Nova's scheduler never takes an instance out of a zone that was asked for.",
            remedy=f"Choose a host in {move.pinned_zone}.",
        )


def _to(move: MoveFacts, host: str, code: str, *, what: str, evidence: str, why: str, remedy: str) -> Finding:
    return Finding(
        code=f"cloud_move.{code}",
        severity=Severity.BLOCKS,
        host=move.host,
        peer=host,
        what=what,
        evidence=evidence,
        why=why,
        remedy=remedy,
    )
