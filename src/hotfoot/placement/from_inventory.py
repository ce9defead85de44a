"""What was seen of a cluster's hosts and instances as a snapshot for planning. Pure.

Where an instance cannot run is judged by the rules of a migration's own preflight, from what each host was asked once
for all of its instances: of an instance's files the destination is asked about the folder only. What is on a shared
file system that both have mounted from the same place counts as seen there; each move looks again before it begins.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

from hotfoot.inventory import Host as SeenHost
from hotfoot.inventory import Instance as SeenInstance
from hotfoot.inventory import InstanceState, Inventory
from hotfoot.migration.facts import DeclaredStorage, FileSight, HostFiles, PairFacts
from hotfoot.migration.forecast import SETUP_MS, SWITCH_MS
from hotfoot.migration.options import MigrationOptions
from hotfoot.migration.preflight import cannot_run
from hotfoot.migration.sharing import Sharing, is_shared, judge, place_of
from hotfoot.placement.snapshot import CPU, MEMORY, VCPUS, Host, Instance, Resource, Snapshot

VCPUS_PER_CPU = 16.0
"""How often a CPU is promised, where nobody said; for years Nova did so by default (cpu_allocation_ratio)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSeen:
    """What a host told beside the inventory."""

    files: HostFiles = field(default_factory=HostFiles)
    networks: frozenset[str] | None = None
    """Active libvirt networks; None: not known."""
    pool_folders: frozenset[str] | None = None
    misfits: Mapping[str, str] = field(default_factory=dict)
    """Instances (uuid) whose CPU or machine it cannot give, each with the reason."""
    link_bytes_per_s: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceSeen:
    """What was measured of an instance."""

    cpus: float | None = None
    resident_bytes: int | None = None
    transfer_bytes: int | None = None
    """What a migration would send of its memory."""
    copied_bytes: int = 0
    """Written on its local disks, which would be copied too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """All that was seen at one moment."""

    inventory: Inventory
    hosts: Mapping[str, HostSeen] = field(default_factory=dict)
    instances: Mapping[str, InstanceSeen] = field(default_factory=dict)
    """By uuid."""
    moving: frozenset[str] = frozenset()
    """Instances (uuid) that are being migrated."""
    storage: tuple[DeclaredStorage, ...] = ()
    taken_at: str | None = None


def snapshot_of(sight: Sight) -> Snapshot:
    """Return the snapshot. Rules, zones, limits and safety are not to be seen on hosts: they are left open.

    An instance that does not run takes nothing and cannot be moved live. Of one uuid that is seen on two hosts the
    running one counts; what the other half of a migration takes is kept free on its host.
    """
    kept: dict[str, SeenInstance] = {}
    for one in sight.inventory.instances:
        if one.uuid not in kept or (one.movable and not kept[one.uuid].movable):
            kept[one.uuid] = one
    halves = [one for one in sight.inventory.instances if kept[one.uuid] is not one and one.running]
    return Snapshot(
        taken_at=sight.taken_at,
        hosts=tuple(_host(sight, host, halves) for host in sight.inventory.hosts),
        instances=tuple(_instance(sight, one) for one in kept.values()),
    )


def copied_disks(sight: Sight, instance: SeenInstance) -> tuple[str, ...]:
    """Return the disks (targets) that a move to some other host would copy."""
    found: dict[str, None] = {}
    for host in sight.inventory.hosts:
        if host.name != instance.host and host.answers:
            facts = _facts(sight, instance, host.name)
            for disk in instance.disks:
                if disk.source is None or disk.read_only:
                    continue
                here, there = (files.files.get(disk.source) for files in (facts.source_files, facts.destination_files))
                if judge(disk, here, there, sight.storage).sharing is Sharing.LOCAL:
                    found[disk.target] = None
    return tuple(found)


def paths_to_look_at(inventory: Inventory, host: str) -> tuple[str, ...]:
    """Return what a host is to be asked about: files of its own instances, and folders and files of all the others."""
    own = [disk.source for one in inventory.on(host) for disk in one.disks if disk.on_host and disk.source]
    return tuple(dict.fromkeys((*own, *_asked_everywhere(inventory))))


def _asked_everywhere(inventory: Inventory) -> Iterator[str]:
    for one in inventory.instances:
        yield from one.boot_files
        for disk in one.disks:
            if disk.on_host and disk.source:
                whole = disk.kind == "block" or disk.read_only
                yield disk.source if whole else str(PurePosixPath(disk.source).parent)


def _host(sight: Sight, host: SeenHost, halves: Sequence[SeenInstance]) -> Host:
    if not host.answers:
        return Host(name=host.name, resources={}, up=False)
    promised = sum(one.memory_bytes for one in halves if one.host == host.name)
    own = _own_memory_bytes(sight, host)
    return Host(
        name=host.name,
        resources={
            MEMORY: Resource(total=host.memory_total_bytes, reserved=own),
            VCPUS: Resource(total=host.cpus, overcommit=VCPUS_PER_CPU),
        },
        used_by_others={MEMORY: promised} if promised else {},
        load={MEMORY: float(own)} if own else {},
        load_capacity={
            name: float(size) for name, size in ((CPU, host.cpus), (MEMORY, host.memory_total_bytes)) if size
        },
        link_bytes_per_s=sight.hosts.get(host.name, HostSeen()).link_bytes_per_s,
    )


def _own_memory_bytes(sight: Sight, host: SeenHost) -> int:
    """Return what the host's system uses itself: what is not available, without the processes of instances."""
    running = [one for one in sight.inventory.on(host.name) if one.running]
    resident = sum(sight.instances.get(one.uuid, InstanceSeen()).resident_bytes or one.memory_bytes for one in running)
    return min(host.memory_total_bytes, max(0, host.memory_total_bytes - host.memory_available_bytes - resident))


def _instance(sight: Sight, one: SeenInstance) -> Instance:
    seen = sight.instances.get(one.uuid, InstanceSeen())
    bound = _bound(sight, one)
    load = {CPU: seen.cpus, MEMORY: None if seen.resident_bytes is None else float(seen.resident_bytes)}
    return Instance(
        name=one.name,
        id=one.uuid,
        host=one.host,
        sizes={MEMORY: one.memory_bytes, VCPUS: one.vcpus} if one.running else {},
        load={name: amount for name, amount in load.items() if amount is not None},
        impossible={} if bound else _impossible(sight, one),
        movable=bound is None,
        unmovable_because=bound,
        transfer_bytes=None if seen.transfer_bytes is None else seen.transfer_bytes + seen.copied_bytes,
        downtime_ms=SWITCH_MS.expected,
        least_seconds=(SETUP_MS.expected + SWITCH_MS.expected) / 1000,
    )


def _bound(sight: Sight, one: SeenInstance) -> str | None:
    if one.uuid in sight.moving or one.state is InstanceState.IN_TRANSIT:
        return "it is being migrated"
    if not one.movable:
        return f"it is {one.state}, and on plain libvirt only what runs or is paused is moved"
    if one.host_devices:
        return f"it uses {one.host_devices[0]} of its host"
    return None


def _impossible(sight: Sight, one: SeenInstance) -> dict[str, str]:
    found = {}
    for host in sight.inventory.hosts:
        if host.name == one.host or not host.answers:
            continue
        obstacles = cannot_run(sight.inventory, one, _facts(sight, one, host.name), MigrationOptions(), sight.storage)
        if obstacles:
            found[host.name] = obstacles[0]
    return found


def _facts(sight: Sight, one: SeenInstance, destination: str) -> PairFacts:
    here, there = sight.hosts.get(one.host, HostSeen()), sight.hosts.get(destination, HostSeen())
    needed = {card.source for card in one.interfaces if card.kind == "network" and card.source}
    bridges = {card.source for card in one.interfaces if card.kind in ("bridge", "direct") and card.source}
    missing = () if there.networks is None else tuple(sorted(needed - there.networks))
    files = dict(there.files.files)
    for disk in one.disks:
        if disk.kind == "file" and disk.source and disk.source not in files:
            folder = there.files.files.get(str(PurePosixPath(disk.source).parent))
            if folder is not None:
                files[disk.source] = _inside(folder, disk.source, here.files.files.get(disk.source))
    return PairFacts(
        destination=destination,
        source_files=here.files,
        destination_files=replace(
            there.files,
            files=files,
            missing_devices=tuple(name for name in there.files.missing_devices if name in bridges),
        ),
        cpu_problem=there.misfits.get(one.uuid),
        missing_networks=missing,
        pool_folders=there.pool_folders,
    )


def _inside(folder: FileSight, path: str, at_source: FileSight | None) -> FileSight:
    """Return a file as it is to be expected in a folder that was seen: the same one where both are one shared place."""
    same = at_source is not None and folder.exists and is_shared(folder) and place_of(folder) == place_of(at_source)
    if at_source is not None and same:
        return replace(at_source, free_bytes=folder.free_bytes)
    return replace(folder, path=path, exists=False, inode=0, size_bytes=0)
