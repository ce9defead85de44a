"""A look at a cloud for its checks, through the APIs alone: what is asked, and what is asked twice."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from hotfoot.cloud.openstack_api import Json, OpenStackApi, OpenStackRefusal
from hotfoot.cloud.openstack_check_values import (
    aggregate_of,
    allocations_of,
    allocations_on,
    hypervisor_of,
    instance_of,
    migration_of,
    move_of,
    provider_of,
    service_of,
)
from hotfoot.cloud.openstack_inventory import hypervisors_and_providers
from hotfoot.errors import HotfootError
from hotfoot.readiness.cloud_facts import UNFINISHED, AllocationFact, CloudFacts, InstanceFact, MigrationFact
from hotfoot.readiness.cloud_judge import suspects
from hotfoot.readiness.cloud_move import MoveFacts

Answer = TypeVar("Answer")

_AT_ONCE = 10


async def look_at_cloud(api: OpenStackApi) -> CloudFacts:
    """Return what the checks of a cloud need. Raises HotfootError.

    Lists are asked for at the same time, and hold different moments of a cloud at work. So every instance and every
    allocation that looks wrong is asked for once more, by itself, before anything is said of it.
    """
    facts, servers, migrations = await asyncio.gather(
        _hosts_with_allocations(api),
        api.all("compute", "/servers/detail", "servers", all_tenants="1"),
        _unfinished(api),
    )
    facts = replace(facts, instances=tuple(map(instance_of, servers)), migrations=migrations)
    doubtful = suspects(facts)
    return await _again(api, facts, doubtful) if doubtful else facts


async def look_at_move(api: OpenStackApi, uuid: str) -> tuple[CloudFacts, MoveFacts]:
    """Return the hosts of a cloud, and what one server is made of. Raises HotfootError.

    What Glance, Neutron or Cinder do not tell is named in ``untold``.
    """
    facts, answer, held = await asyncio.gather(
        _hosts(api), api.get("compute", f"/servers/{uuid}"), api.get("placement", f"/allocations/{uuid}")
    )
    server = answer["server"]
    image = server["image"]["id"] if isinstance(server.get("image"), Mapping) else None
    attached = [str(volume["id"]) for volume in server.get("os-extended-volumes:volumes_attached") or ()]
    properties, ports, *volumes = await asyncio.gather(
        _told(api.get("image", f"/images/{image}") if image else _nothing()),
        _told(api.get("network", "/ports", device_id=uuid)),
        *(_told(api.get("block-storage", f"/volumes/{volume}")) for volume in attached),
    )
    untold = [each.problem for each in (properties, ports, *volumes) if each.problem]
    return facts, move_of(
        server,
        image=properties.answer,
        ports=ports.answer.get("ports") or (),
        volumes=[each.answer["volume"] for each in volumes if each.answer.get("volume")],
        held=allocations_of(uuid, held),
        untold=dict.fromkeys(untold),
        newest=api.newest,
    )


async def _hosts_with_allocations(api: OpenStackApi) -> CloudFacts:
    facts = await _hosts(api)
    return replace(facts, allocations=await _allocations(api, facts))


async def _hosts(api: OpenStackApi) -> CloudFacts:
    services, (hypervisors, summaries), aggregates, providers = await asyncio.gather(
        api.all("compute", "/os-services", "services"),
        hypervisors_and_providers(api),
        api.all("compute", "/os-aggregates", "aggregates"),
        _providers(api),
    )
    told = (
        None if providers is None else tuple(provider_of(each, summaries.get(each["uuid"], {})) for each in providers)
    )
    return CloudFacts(
        services=tuple(map(service_of, services)),
        hypervisors=tuple(map(hypervisor_of, hypervisors)),
        aggregates=tuple(map(aggregate_of, aggregates)),
        providers=told,
    )


async def _providers(api: OpenStackApi) -> list[Json] | None:
    """Return all resource providers with the roots of their trees; None where Placement is too old to tell these."""
    try:
        return await api.all("placement", "/resource_providers", "resource_providers")
    except OpenStackRefusal as refusal:
        if refusal.status_code not in (404, 406):
            raise
        return None


async def _allocations(api: OpenStackApi, facts: CloudFacts) -> tuple[AllocationFact, ...]:
    turn = asyncio.Semaphore(_AT_ONCE)

    async def one(provider: str) -> tuple[AllocationFact, ...]:
        async with turn:
            try:
                return allocations_on(
                    provider, await api.get("placement", f"/resource_providers/{provider}/allocations")
                )
            except OpenStackRefusal as refusal:
                if refusal.status_code != 404:  # deleted meanwhile
                    raise
                return ()

    found = await asyncio.gather(*(one(provider.id) for provider in facts.providers or ()))
    return tuple(allocation for each in found for allocation in each)


async def _unfinished(api: OpenStackApi) -> tuple[MigrationFact, ...]:
    """Ask state by state: a cloud keeps the records of all migrations that it ever made."""
    lists = await asyncio.gather(
        *(api.all("compute", "/os-migrations", "migrations", status=status) for status in UNFINISHED)
    )
    return tuple({each["id"]: migration_of(each) for found in lists for each in found}.values())


async def _again(api: OpenStackApi, facts: CloudFacts, doubtful: Iterable[str]) -> CloudFacts:
    """Return the facts with everything about these consumers asked for anew."""
    turn = asyncio.Semaphore(_AT_ONCE)
    asked = sorted(doubtful)

    async def one(uuid: str) -> tuple[InstanceFact | None, tuple[AllocationFact, ...], tuple[MigrationFact, ...]]:
        async with turn:
            held: tuple[AllocationFact, ...] = ()
            if facts.providers is not None:
                held = allocations_of(uuid, await api.get("placement", f"/allocations/{uuid}"))
            try:
                server = (await api.get("compute", f"/servers/{uuid}"))["server"]
            except OpenStackRefusal as refusal:
                if refusal.status_code != 404:
                    raise
                return None, held, ()
            records = await api.all("compute", "/os-migrations", "migrations", instance_uuid=uuid)
            return instance_of(server), held, tuple(map(migration_of, records))

    before = await _unfinished(api)
    found = await asyncio.gather(*(one(uuid) for uuid in asked))
    # One that ends meanwhile is taken to go on: what it held is no orphan yet.
    records = {record.id: record for record in before}
    records |= {record.id: record for _, _, records in found for record in records}
    records |= {record.id: record for record in await _unfinished(api)}
    return replace(
        facts,
        instances=(
            *(each for each in facts.instances if each.uuid not in asked),
            *(instance for instance, _, _ in found if instance),
        ),
        allocations=(
            *(each for each in facts.allocations if each.consumer not in asked),
            *(allocation for _, held, _ in found for allocation in held),
        ),
        migrations=tuple(records.values()),
    )


@dataclass(frozen=True, slots=True)
class _Told:
    answer: Json
    problem: str = ""


async def _told(call: Awaitable[Json]) -> _Told:
    try:
        return _Told(await call)
    except HotfootError as error:
        return _Told({}, str(error))


async def _nothing() -> Json:
    return {}
