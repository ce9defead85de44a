"""One look at a whole cluster for planning: a few questions to each host, all at the same time. Changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Protocol, TypeVar

from hotfoot.cloud.protocol import MemoryTouched, Offer, Survey, Usage
from hotfoot.errors import HotfootError
from hotfoot.inventory import Host, Instance, Inventory
from hotfoot.migration.facts import DeclaredStorage
from hotfoot.migration.sample import JobSample
from hotfoot.migration.survey import memory_used
from hotfoot.placement.from_inventory import HostSeen, InstanceSeen, Sight, copied_disks, paths_to_look_at, snapshot_of
from hotfoot.placement.from_nova import NovaSight, WrittenDown, let_up, snapshot_by_nova
from hotfoot.placement.snapshot import Snapshot

Told = TypeVar("Told")

PERIOD_S = 2.0
"""How long processor use is measured, where it counts."""
Jobs = Mapping[tuple[str, str, str], JobSample]
"""Running migrations by host, uuid and name."""
Links = Mapping[str, int | None]
"""Bytes per second by host."""
_NAMELESS = "it"
"""Stands in a sentence about all instances that are alike."""


Trial = Callable[[str, str, Callable[[], Awaitable[object]]], Awaitable[int]]
"""Tries for a moment how many bytes per second go from one host to another, once what it is given comes back; raises
HotfootError where it cannot."""


async def take(
    cloud: Survey, storage: Sequence[DeclaredStorage], trial: Trial | None = None, *, measured: bool = False
) -> tuple[Snapshot, Inventory]:
    """Return the snapshot, and the inventory that it was taken from (which tells why a host is silent).

    Without a trial the links' nominal speeds are taken. ``measured``: processor use counts, and takes ``PERIOD_S``.
    """
    taken_at = datetime.now(UTC).isoformat(timespec="seconds")
    inventory = await cloud.look()
    up = [host for host in inventory.hosts if host.answers]

    quiet = asyncio.Event()

    async def jobs_hosts_and_touched() -> tuple[Jobs, Sequence[HostSeen], Mapping[str, int]]:
        """Ask everything at once, and only then let the links be tried: what keeps hosts busy makes them slower."""
        try:
            return await asyncio.gather(
                cloud.jobs(),
                _hosts(cloud, inventory, up),
                _joined(cloud.touched(host.name, _running(inventory, host.name)) for host in up),
            )
        finally:
            quiet.set()

    (jobs, seen, touched), links, used = await asyncio.gather(
        jobs_hosts_and_touched(),
        _links(cloud, [host.name for host in up], trial, quiet),
        _joined(cloud.usage(host.name, _period_s(measured)) for host in up),
    )
    sight = Sight(
        inventory=inventory,
        hosts={host.name: replace(of, link_bytes_per_s=links[host.name]) for host, of in zip(up, seen, strict=True)},
        instances={
            one.uuid: _measured(one, used.get(one.uuid), touched.get(one.uuid))
            for one in inventory.instances
            if one.movable
        },
        moving=frozenset(uuid for _, uuid, _ in jobs),
        storage=tuple(storage),
        taken_at=taken_at,
    )
    return snapshot_of(replace(sight, instances=await _with_disks(cloud, sight))), inventory


class NovaSurvey(Survey, Protocol):
    """What a look at a whole OpenStack cloud asks."""

    async def written_down(self, inventory: Inventory) -> WrittenDown:
        """Return what Placement and Nova's aggregates say beside the inventory. Raises HotfootError."""


async def take_by_nova(
    cloud: NovaSurvey, trial: Trial | None = None, back: Collection[str] = (), *, measured: bool = False
) -> tuple[Snapshot, Inventory]:
    """Do what ``take`` does for an OpenStack cloud: where instances may be, Nova and Placement say.

    Loads, what a migration sends, and links are measured where hosts can be asked. ``back``: hosts that are seen as
    they will be once Nova goes by what it hears of them again. Raises HotfootError.
    """
    taken_at = datetime.now(UTC).isoformat(timespec="seconds")
    inventory = let_up(await cloud.look(), back)
    up = [host.name for host in inventory.hosts if host.answers]
    at_once = asyncio.Event()
    at_once.set()
    jobs, written, used, touched, links = await asyncio.gather(
        cloud.jobs(),
        cloud.written_down(inventory),
        _joined(cloud.usage(host, _period_s(measured)) for host in up),
        _joined(cloud.touched(host, _running(inventory, host)) for host in up),
        _links(cloud, up, trial, at_once),
    )
    sight = NovaSight(
        inventory=inventory,
        written=written,
        measured={
            one.uuid: _measured(one, used.get(one.uuid), touched.get(one.uuid))
            for one in inventory.instances
            if one.movable
        },
        links=links,
        moving=frozenset(uuid for _, uuid, _ in jobs),
        taken_at=taken_at,
    )
    return snapshot_by_nova(sight), inventory


def _period_s(measured: bool) -> float:
    return PERIOD_S if measured else 0.0


def _running(inventory: Inventory, host: str) -> list[Instance]:
    return [one for one in inventory.on(host) if one.movable]


def _measured(one: Instance, used: Usage | None, touched: int | None) -> InstanceSeen:
    resident = used.resident_bytes if used else None
    own = None if touched is None else min(touched, one.memory_bytes)
    memory = memory_used(MemoryTouched(guest_bytes=own, process_bytes=resident), one.memory_bytes)
    return InstanceSeen(
        cpus=round(used.cpus, 3) if used and used.cpus is not None else None,
        resident_bytes=resident,
        transfer_bytes=None if own is None and resident is None else memory.expected,
    )


async def _joined(asked: Iterable[Awaitable[Mapping[str, Told]]]) -> dict[str, Told]:
    return {uuid: told for each in await asyncio.gather(*asked) for uuid, told in each.items()}


_Kind = tuple[str, str, str, str, str]


def _kinds(inventory: Inventory, definitions: Mapping[str, str]) -> Mapping[_Kind, list[tuple[Instance, str]]]:
    """Return the running instances with their definitions, those with the same CPU and machine together."""
    kinds: dict[_Kind, list[tuple[Instance, str]]] = {}
    for one in inventory.instances:
        if one.movable and (xml := definitions.get(one.uuid)):
            cpu = xml[xml.find("<cpu") : xml.find("</cpu>")] if "</cpu>" in xml else ""
            kinds.setdefault((cpu, one.emulator, one.arch, one.machine, one.virt_type), []).append((one, xml))
    return kinds


async def _hosts(cloud: Survey, inventory: Inventory, up: Sequence[Host]) -> Sequence[HostSeen]:
    kinds = _kinds(inventory, await _joined(cloud.machines(host.name) for host in up))
    return await asyncio.gather(*(_host(cloud, inventory, host, kinds) for host in up))


async def _host(
    cloud: Survey,
    inventory: Inventory,
    host: Host,
    kinds: Mapping[_Kind, Sequence[tuple[Instance, str]]],
) -> HostSeen:
    bridges = {
        card.source
        for one in inventory.instances
        for card in one.interfaces
        if card.kind in ("bridge", "direct") and card.source
    }
    samples = [(replace(alike[0][0], name=_NAMELESS), alike[0][1]) for alike in kinds.values()]
    files, offer = await asyncio.gather(
        cloud.sights(host.name, paths_to_look_at(inventory, host.name), sorted(bridges)),
        cloud.offer(host.name, samples),
    )
    return HostSeen(
        files=files,
        networks=offer.networks,
        pool_folders=offer.pool_folders,
        misfits=_misfits(offer, kinds),
    )


def _misfits(offer: Offer, kinds: Mapping[_Kind, Sequence[tuple[Instance, str]]]) -> dict[str, str]:
    found = zip(kinds.values(), offer.misfits, strict=True)
    return {one.uuid: problem for alike, problem in found if problem for one, _ in alike}


async def _links(
    cloud: Survey, hosts: Sequence[str], trial: Trial | None, quiet: asyncio.Event
) -> dict[str, int | None]:
    """Return what each host's link carries: all send at once, each to the next, so that each also receives once.

    The hosts are logged in to at once, and send once it is quiet.
    """

    async def of(host: str, other: str) -> int | None:
        with suppress(HotfootError):
            if trial is not None:
                return await trial(host, other, quiet.wait)
        return await cloud.link_bytes_per_s(host, other)

    if len(hosts) < 2:
        return dict.fromkeys(hosts)
    found = await asyncio.gather(*(of(host, hosts[(at + 1) % len(hosts)]) for at, host in enumerate(hosts)))
    return dict(zip(hosts, found, strict=True))


async def _with_disks(cloud: Survey, sight: Sight) -> dict[str, InstanceSeen]:
    """Return what was measured, with what is written on disks that would be copied."""

    async def of(one: Instance) -> tuple[str, InstanceSeen]:
        seen = sight.instances[one.uuid]
        targets = copied_disks(sight, one)
        with suppress(HotfootError):
            if targets:
                written, _ = await cloud.disk_bytes(one, targets)
                return one.uuid, replace(seen, copied_bytes=written)
        return one.uuid, seen

    movable = {one.uuid: one for one in sight.inventory.instances if one.movable}
    return dict(await asyncio.gather(*(of(one) for one in movable.values())))
