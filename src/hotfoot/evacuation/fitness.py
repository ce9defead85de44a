"""Whether an instance of a dead host can be started elsewhere at all, and what it would lose. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from defusedxml.ElementTree import fromstring

from hotfoot.inventory import Disk, Instance
from hotfoot.migration.facts import DeclaredStorage, FileSight, HostFiles
from hotfoot.migration.sharing import Sharing, is_shared, judge


def on_shared_storage(sights: Sequence[HostFiles]) -> Mapping[str, FileSight]:
    """Return the paths that some living host sees on storage that other hosts see too: as the first of them sees it.

    A file counts on a file system that hosts share; a device, when it has a world-wide name.
    """
    found: dict[str, FileSight] = {}
    for files in sights:
        for path, sight in files.files.items():
            if sight.exists and (sight.wwid or is_shared(sight)):
                found.setdefault(path, sight)
    return found


def bound(
    instance: Instance, xml: str, shared: Mapping[str, FileSight], declared: Sequence[DeclaredStorage]
) -> str | None:
    """Return what ties an instance to its dead host, in a few words; None where nothing is known to.

    Invariant: an instance is free only when every disk that it writes to is seen on shared storage by a living host, or
    is an image on the network; what the cluster file says of a folder that no host sees there is not enough.
    """
    for disk in instance.disks:
        if disk.source is not None and not disk.read_only and (why := _disk(disk, instance.host, shared, declared)):
            return why
    if instance.host_devices:
        return f"it uses {instance.host_devices[0]} of {instance.host}"
    if fromstring(xml).find("devices/tpm/backend[@type='emulator']") is not None:
        return f"the state of its TPM is on {instance.host}"
    return None


def lost(instance: Instance, xml: str, shared: Mapping[str, FileSight]) -> str | None:
    """Return the sentence about what it will not have any more; None where nothing is known to be lost."""
    nvram = nvram_of(xml)
    if nvram and nvram not in shared:
        return (
            f"{instance.name}'s UEFI variables ({nvram}) are on {instance.host}: it starts with those of its firmware's"
            " template."
        )
    return None


def nvram_of(xml: str) -> str | None:
    """Return the path of an instance's UEFI variables."""
    return (fromstring(xml).findtext("os/nvram") or "").strip() or None


def _disk(disk: Disk, host: str, shared: Mapping[str, FileSight], declared: Sequence[DeclaredStorage]) -> str | None:
    if disk.kind == "network":
        return None
    name = f"its disk {disk.target} ({disk.source})"
    if not disk.on_host:
        return f"{name} is of kind {disk.kind}, of which it is not known whether it was on {host} alone"
    if disk.source in shared:
        return None
    if judge(disk, None, None, declared).sharing is Sharing.LOCAL:
        return f"{name} was on {host} alone"
    return f"no other host sees {name} on shared storage"
