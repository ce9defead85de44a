"""What stands in the way of a migration, all of it, before the start. Pure: facts in, verdict out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from hotfoot.inventory import Disk, Instance, InstanceState, Inventory
from hotfoot.migration.action import ActionKind
from hotfoot.migration.facts import DeclaredStorage, FileSight, PairFacts
from hotfoot.migration.options import MIB, MigrationOptions, Mode, Order
from hotfoot.migration.policy import Throttle
from hotfoot.migration.sharing import DiskSharing, Sharing, judge

POST_COPY_WITH_CONNECTIONS = (10, 1, 0)
"""From this QEMU on, a switch to post-copy is possible with parallel connections (multifd)."""
QEMU_DROPS_CACHES = (4, 0, 0)
"""From this QEMU on, libvirt takes every cache mode for safe on shared storage."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a preflight concludes. ``order`` is there if and only if nothing stands in the way."""

    instance: Instance
    destination: str
    mode: Mode
    obstacles: tuple[str, ...]
    remarks: tuple[str, ...]
    order: Order | None
    visible: bool = True
    """Whether the source's hypervisor can be asked itself, so that the move can be measured before."""


def check_inventory(inventory: Inventory, instance: Instance, destination: str) -> tuple[str, ...]:
    """Return the obstacles that one look at all hosts shows."""
    return (*_names(inventory, instance, destination), *_room(inventory, instance, destination))


def cannot_run(
    inventory: Inventory,
    instance: Instance,
    facts: PairFacts,
    options: MigrationOptions,
    declared: Sequence[DeclaredStorage] = (),
) -> tuple[str, ...]:
    """Return all obstacles but a lack of memory, which moves of other instances may mend."""
    return (
        *_names(inventory, instance, facts.destination),
        *_pair(inventory, instance, facts, options, _judged(instance, facts, declared)),
    )


def refuse(instance: Instance, destination: str, obstacles: tuple[str, ...]) -> Verdict:
    """Return the verdict of a move that was not looked at any closer."""
    return Verdict(
        instance=instance,
        destination=destination,
        mode=Mode.LIVE,
        obstacles=obstacles,
        remarks=(),
        order=None,
    )


def check_pair(
    inventory: Inventory,
    instance: Instance,
    facts: PairFacts,
    options: MigrationOptions,
    declared: Sequence[DeclaredStorage] = (),
) -> Verdict:
    """Judge one instance and one destination.

    Invariant: an order is given only when no obstacle is known; and every obstacle is reported, not the
    first.
    """
    disks = _judged(instance, facts, declared)
    copied = _copied(disks, options)
    mode = Mode.BLOCK if copied or options.block else Mode.LIVE
    obstacles = (
        *check_inventory(inventory, instance, facts.destination),
        *_pair(inventory, instance, facts, options, disks),
    )
    against_post_copy = tuple(_against_post_copy(inventory, instance, facts, options, copied))
    post_copy = ActionKind.POST_COPY in options.policy.steps and not against_post_copy
    order = Order(
        uuid=instance.uuid,
        name=instance.name,
        source=instance.host,
        destination=facts.destination,
        mode=mode,
        persistent=instance.persistent,
        options=options,
        copied_disks=copied,
        stream_address=facts.stream_address,
        post_copy=post_copy,
        throttle=_throttle(options, post_copy=post_copy),
    )
    return Verdict(
        instance=instance,
        destination=facts.destination,
        mode=mode,
        obstacles=obstacles,
        remarks=(*_remarks(inventory, instance, facts, disks), *against_post_copy),
        order=None if obstacles else order,
    )


def _pair(
    inventory: Inventory,
    instance: Instance,
    facts: PairFacts,
    options: MigrationOptions,
    disks: Sequence[DiskSharing],
) -> tuple[str, ...]:
    return (
        *_machine(instance, facts),
        *_networks(facts),
        *_addresses(facts),
        *_read_only_files(instance, facts),
        *(sentence for judged in disks for sentence in _disk(judged, instance, facts, options)),
        *_caches(inventory, instance, facts, options, disks),
        *_insisted_on_nothing(options, _copied(disks, options), facts.destination),
        *_cold(instance, options),
    )


def _cold(instance: Instance, options: MigrationOptions) -> Iterator[str]:
    if options.cold:
        yield (
            f"A cold migration is Nova's, and there is no Nova here; leave out --cold, or shut {instance.name} down and"
            " start it elsewhere."
        )


def _judged(instance: Instance, facts: PairFacts, declared: Sequence[DeclaredStorage]) -> list[DiskSharing]:
    return [judged for disk in _writable(instance) if (judged := _judge(disk, facts, declared))]


def _copied(disks: Sequence[DiskSharing], options: MigrationOptions) -> tuple[str, ...]:
    return tuple(judged.disk.target for judged in disks if _copies(judged, options))


def _names(inventory: Inventory, instance: Instance, destination: str) -> Iterator[str]:
    if not instance.movable:
        yield (
            f"{instance.name} on {instance.host} is {instance.state}; only a running or paused instance can move live."
        )
    if destination == instance.host:
        yield f"{instance.name} is already on {destination}: source and destination are the same host."
        return
    host = inventory.host(destination)
    if host.problem:
        yield host.problem
        return
    for other in inventory.on(destination):
        if _old_definition(other, instance):
            continue
        if other.uuid == instance.uuid:
            if other.state is InstanceState.IN_TRANSIT:
                yield (f"{instance.name} is already being migrated to {destination}; `hotfoot abort` stops that.")
                continue
            what = "runs" if other.running else "is defined"
            yield (
                f"An instance with the same UUID {what} on {destination} too ({other.name},"
                f" {other.state}); find out"
                f" which of the two is right, and remove the other (`virsh undefine`)."
            )
        elif other.name == instance.name:
            yield (f"{destination} has another instance named {other.name} ({other.uuid}); rename one of the two.")


def _old_definition(other: Instance, instance: Instance) -> bool:
    """Whether it is the instance's own definition, unused: left by a move that broke, or made there on purpose.

    The one that runs is right, and libvirt puts its definition in the other's place.
    """
    return (other.uuid, other.name, other.state) == (instance.uuid, instance.name, InstanceState.SHUT_OFF)


def _room(inventory: Inventory, instance: Instance, destination: str) -> Iterator[str]:
    if destination == instance.host or not inventory.host(destination).answers:
        return
    free = inventory.memory_free_bytes(destination)
    if free < instance.memory_bytes:
        yield (
            f"There is no room on {destination}: {instance.name} needs"
            f" {instance.memory_bytes // MIB} MiB of memory,"
            f" and {free // MIB} MiB are free."
        )


def _machine(instance: Instance, facts: PairFacts) -> Iterator[str]:
    if facts.job_under_way:
        yield (f"{instance.name} is already being migrated; `hotfoot watch` shows it, `hotfoot abort` stops it.")
    if facts.cpu_problem:
        yield facts.cpu_problem
    if facts.machine_problem:
        yield facts.machine_problem
    for device in instance.host_devices:
        yield f"{instance.name} uses {device} of {instance.host}, which cannot move with it; detach it first."


def _networks(facts: PairFacts) -> Iterator[str]:
    for bridge in facts.destination_files.missing_devices:
        yield f"{facts.destination} has no bridge or device {bridge}, which the instance's network needs."
    for network in facts.missing_networks:
        yield (
            f"{facts.destination} has no active libvirt network '{network}'; start it there (`virsh"
            f" net-start {network}`)."
        )


def _addresses(facts: PairFacts) -> Iterator[str]:
    if facts.stream_network and not facts.stream_address:
        yield (
            f"{facts.destination} has no known address in the migration network"
            f" {facts.stream_network}; give it"
            f" migration_address in the cluster file."
        )


def _read_only_files(instance: Instance, facts: PairFacts) -> Iterator[str]:
    read_only = [disk.source for disk in instance.disks if disk.read_only and disk.on_host and disk.source]
    for path in dict.fromkeys((*read_only, *instance.boot_files)):
        sight = facts.destination_files.files.get(path)
        if sight is not None and not sight.exists:
            yield (
                f"{path}, which {instance.name} reads, is missing on {facts.destination}; copy it there or detach it."
            )


def _disk(judged: DiskSharing, instance: Instance, facts: PairFacts, options: MigrationOptions) -> Iterator[str]:
    disk, source, destination = judged.disk, instance.host, facts.destination
    there = _sight(disk, facts)
    name = f"{disk.target} ({disk.source})"
    if judged.sharing is Sharing.SAME_BY_TWO_WAYS:
        yield (
            f"{name} is perhaps one file reached in two ways, {judged.why}: moving it is not"
            " safe; mount its folder"
            f" from the same place on {source} and {destination}."
        )
        return
    if _copies(judged, options):
        yield from _copy(judged, name, facts)
        return
    if judged.sharing is Sharing.NOT_MOUNTED:
        yield (f"{name} is {judged.why}; mount the shared storage on {destination}, or copy the disk with --block.")
    elif judged.sharing is Sharing.LOCAL:
        yield (
            f"{name} is local to {source} ({judged.why}), and {destination} does not share it; leave out --no-block."
        )
    elif there is not None and not there.exists:
        yield f"{name} is missing on {destination}; mount its storage there, or copy the disk with --block."


def _copy(judged: DiskSharing, name: str, facts: PairFacts) -> Iterator[str]:
    disk, destination = judged.disk, facts.destination
    here, there = facts.source_files.files.get(disk.source or ""), _sight(disk, facts)
    if disk.shareable:
        yield f"{name} is shareable, and such a disk cannot be copied while others write it."
    if there is None:
        return
    if disk.kind == "block":
        if not there.exists:
            yield (
                f"{name} is missing on {destination}; make a device of that name and at least that size there first."
            )
        return
    if here is not None and there.exists and disk.format == "raw" and there.size_bytes < here.size_bytes:
        yield (
            f"{name} exists on {destination} with {there.size_bytes // MIB} MiB, less than the"
            f" {here.size_bytes // MIB}"
            f" MiB of the source; remove it there (`ssh {destination} rm {disk.source}`)."
        )
    if not there.exists and here is not None:
        folder = str(PurePosixPath(disk.source or "/").parent)
        if facts.pool_folders is not None and folder not in facts.pool_folders:
            pool = PurePosixPath(folder).name or "root"
            yield (
                f"{name} cannot be made on {destination}, which has no active storage pool for"
                f" {folder}; there:"
                f" `virsh pool-define-as {pool} dir --target {folder} && virsh pool-build {pool}"
                f" && virsh pool-start {pool} && virsh pool-autostart {pool}`."
            )
        if there.free_bytes < here.size_bytes:
            yield (
                f"There is no room on {destination} for {name}: {here.size_bytes // MIB} MiB are"
                f" needed in {folder},"
                f" and {there.free_bytes // MIB} MiB are free."
            )


def _caches(
    inventory: Inventory,
    instance: Instance,
    facts: PairFacts,
    options: MigrationOptions,
    disks: Sequence[DiskSharing],
) -> Iterator[str]:
    if inventory.host(instance.host).qemu_version >= QEMU_DROPS_CACHES:
        return
    for judged in disks:
        sight = facts.source_files.files.get(judged.disk.source or "")
        on_nfs = sight is not None and sight.fs_type in ("nfs", "nfs4")
        if on_nfs and not _copies(judged, options) and judged.disk.cache not in ("none", "directsync"):
            yield (
                f"{judged.disk.target} is shared over NFS with cache mode '{judged.disk.cache}',"
                " which is not safe to"
                f" move with this QEMU; set cache='none' in its definition and restart the instance."
            )


def _insisted_on_nothing(options: MigrationOptions, copied: Sequence[str], destination: str) -> Iterator[str]:
    if options.block and not copied:
        yield f"No disk needs to be copied: {destination} sees the same ones; leave out --block."


def _against_post_copy(
    inventory: Inventory, instance: Instance, facts: PairFacts, options: MigrationOptions, copied: Sequence[str]
) -> Iterator[str]:
    """Say why a switch to post-copy, which the policy allows, is not possible.

    Invariant: it is prepared only where QEMU is known to be able, since libvirt refuses the whole migration
    otherwise. That the link carries is proven by the passes sent over it before the switch.
    """
    if ActionKind.POST_COPY not in options.policy.steps:
        return
    without = f"Without post-copy, which the policy {options.policy.name} allows:"
    source, destination = inventory.host(instance.host), inventory.host(facts.destination)
    if instance.state is not InstanceState.RUNNING:
        yield f"{without} {instance.name} is {instance.state}."
    if copied:
        yield f"{without} local disks are copied too."
    if options.parallel and min(source.qemu_version, destination.qemu_version) < POST_COPY_WITH_CONNECTIONS:
        yield f"{without} with parallel connections it needs QEMU {_dotted(POST_COPY_WITH_CONNECTIONS)} on both hosts."
    if facts.destination_files.userfaultfd is False:
        yield (
            f"{without} QEMU on {destination.name} may not use userfaultfd"
            " (`hotfoot check --topic emulator` says how to allow it)."
        )
    elif facts.destination_files.userfaultfd is None:
        yield f"{without} whether QEMU on {destination.name} may use userfaultfd is not known."


def _throttle(options: MigrationOptions, *, post_copy: bool) -> Throttle | None:
    """Return the ladder, unless post-copy comes first: what is asked of QEMU it does by its own rule, at once."""
    steps = options.policy.steps
    if ActionKind.THROTTLE not in steps:
        return None
    first = post_copy and steps.index(ActionKind.POST_COPY) < steps.index(ActionKind.THROTTLE)
    return None if first else options.policy.throttle


def _remarks(inventory: Inventory, instance: Instance, facts: PairFacts, disks: Sequence[DiskSharing]) -> Iterator[str]:
    for other in inventory.on(facts.destination):
        if facts.destination != instance.host and _old_definition(other, instance):
            fate = "is replaced by the running one's" if instance.persistent else "stays"
            yield f"{facts.destination} has a definition of {instance.name} that is shut off; it {fate}."
    source, destination = inventory.host(instance.host), inventory.host(facts.destination)
    if destination.answers and destination.qemu_version < source.qemu_version:
        yield (
            f"QEMU on {destination.name} ({_dotted(destination.qemu_version)}) is older than on {source.name}"
            f" ({_dotted(source.qemu_version)}): the move may be refused."
        )
    for name, seen in ((source.name, facts.source_files), (destination.name, facts.destination_files)):
        if seen.problem:
            yield f"The files of {name} could not be looked at: {seen.problem}"
    for judged in disks:
        if judged.sharing is Sharing.UNKNOWN:
            yield f"{judged.disk.target} is taken for shared, which is not proven: {judged.why}."


def _writable(instance: Instance) -> list[Disk]:
    return [disk for disk in instance.disks if disk.source is not None and not disk.read_only]


def _judge(disk: Disk, facts: PairFacts, declared: Sequence[DeclaredStorage]) -> DiskSharing:
    path = disk.source or ""
    return judge(disk, facts.source_files.files.get(path), facts.destination_files.files.get(path), declared)


def _sight(disk: Disk, facts: PairFacts) -> FileSight | None:
    return facts.destination_files.files.get(disk.source or "")


def _copies(judged: DiskSharing, options: MigrationOptions) -> bool:
    """Whether a disk is copied. Invariant: never one that is, or may be, the same file on both hosts."""
    if options.block is False or judged.sharing in (Sharing.SHARED, Sharing.SAME_BY_TWO_WAYS):
        return False
    return judged.sharing is Sharing.LOCAL or options.block is True


def _dotted(version: tuple[int, int, int]) -> str:
    return ".".join(str(part) for part in version)
