"""The cluster as a look for planning sees it while hosts are dead: these as they were, the living ones as they are."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from hotfoot.cloud.image_locks import Lock
from hotfoot.cloud.protocol import Offer, Usage
from hotfoot.definition import Definition
from hotfoot.errors import HotfootError
from hotfoot.evacuation.fitness import on_shared_storage
from hotfoot.inventory import Disk, Instance, Inventory
from hotfoot.migration.facts import FileSight, HostFiles
from hotfoot.migration.proof import Sighting
from hotfoot.migration.sample import JobSample
from hotfoot.plans.planner import WholeCloud


class Ground(WholeCloud, Protocol):
    """A cloud of hosts on which instances can be started from their definitions."""

    async def sightings(self, uuid: str, hosts: Collection[str] | None = None) -> tuple[Sighting, ...]:
        """Ask every host about one UUID, or these alone."""

    async def definitions(self, host: str) -> tuple[Definition, ...]:
        """Return what each instance of a host will be started from. Raises HotfootError."""

    async def start(self, host: str, xml: str) -> None:
        """Start an instance that runs nowhere. Raises MoveEnded (refused there), HotfootError (not known)."""

    async def define(self, host: str, xml: str, *, autostart: bool) -> None:
        """Define an instance persistently on a host. Raises HotfootError."""

    async def image_locks(self, host: str, disks: Sequence[Disk]) -> Mapping[str, Lock]:
        """Ask a host who has images open: path to lock. Raises HotfootError."""


async def shared_files(
    cloud: WholeCloud, living: Sequence[str], instances: Sequence[Instance], more: Sequence[str]
) -> Mapping[str, FileSight]:
    """Look on all living hosts for the files and devices of instances, and return those on shared storage."""
    paths = [disk.source for one in instances for disk in one.disks if disk.on_host and disk.source]
    asked = list(dict.fromkeys((*paths, *more)))
    if not asked:
        return {}
    return on_shared_storage(await asyncio.gather(*(cloud.sights(host, asked, ()) for host in living)))


class View:
    """Implements ``cloud.protocol.Survey`` for one look, without moving anything."""

    def __init__(
        self,
        cloud: WholeCloud,
        inventory: Inventory,
        dead: Collection[str],
        machines: Mapping[str, str],
        shared: Mapping[str, FileSight],
    ) -> None:
        """``inventory``: with the instances of the dead hosts; ``machines``: their definitions, by uuid."""
        self._cloud = cloud
        self._inventory = inventory
        self._dead = frozenset(dead)
        self._machines = machines
        self._shared = shared

    async def look(self) -> Inventory:
        """Return what was looked at already."""
        return self._inventory

    async def jobs(self) -> Mapping[tuple[str, str, str], JobSample]:
        """Return the migrations of living hosts."""
        return await self._cloud.jobs()

    async def usage(self, host: str, period_s: float) -> Mapping[str, Usage]:
        """Return nothing for a dead host."""
        return {} if host in self._dead else await self._cloud.usage(host, period_s)

    async def touched(self, host: str, instances: Sequence[Instance]) -> Mapping[str, int]:
        """Return nothing for a dead host."""
        return {} if host in self._dead else await self._cloud.touched(host, instances)

    async def machines(self, host: str) -> Mapping[str, str]:
        """Return the kept definitions for a dead host."""
        if host not in self._dead:
            return await self._cloud.machines(host)
        return {one.uuid: self._machines[one.uuid] for one in self._inventory.on(host) if one.uuid in self._machines}

    async def offer(self, host: str, machines: Sequence[tuple[Instance, str]]) -> Offer:
        """Return an empty offer of a dead host, which takes nothing."""
        if host in self._dead:
            return Offer(misfits=(None,) * len(machines))
        return await self._cloud.offer(host, machines)

    async def sights(self, host: str, paths: Sequence[str], devices: Sequence[str]) -> HostFiles:
        """Return for a dead host what living ones see on shared storage, as it saw it too."""
        if host not in self._dead:
            return await self._cloud.sights(host, paths, devices)
        return HostFiles(files={path: self._shared[path] for path in paths if path in self._shared})

    async def link_bytes_per_s(self, source: str, destination: str) -> int | None:
        """Return nothing where one of the two is dead."""
        if {source, destination} & self._dead:
            return None
        return await self._cloud.link_bytes_per_s(source, destination)

    async def disk_bytes(self, instance: Instance, targets: tuple[str, ...]) -> tuple[int, int]:
        """Raise HotfootError for an instance of a dead host: nothing of it is copied."""
        if instance.host in self._dead:
            raise HotfootError(f"{instance.host} is dead.")
        return await self._cloud.disk_bytes(instance, targets)
