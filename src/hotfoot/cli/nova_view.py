"""What ``hosts``, ``ls`` and ``show`` tell of an OpenStack cloud beside the rest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hotfoot.inventory import Disk, Host, Instance, Interface, Inventory
    from hotfoot.nova_words import NovaHost, NovaServer

HOST_COLUMNS = ("ZONE", "AGGREGATES", "TRAITS")
INSTANCE_COLUMNS = ("STATUS", "TASK", "PROJECT")


def host_state(nova: NovaHost) -> str:
    """Return whether its nova-compute is up, and whether the scheduler may choose it."""
    words = ["up" if nova.up else "forced down" if nova.forced_down else "down"]
    return ", ".join(words if nova.enabled else [*words, "disabled"])


def host_cells(nova: NovaHost | None) -> tuple[str, ...]:
    """Return the cells under ``HOST_COLUMNS``: of the traits those that the operators have made themselves."""
    if nova is None:
        return ("",) * len(HOST_COLUMNS)
    own = [trait for trait in nova.traits if trait.startswith("CUSTOM_")]
    return nova.availability_zone or "", ", ".join(nova.aggregates), ", ".join(own)


def instance_cells(nova: NovaServer | None) -> tuple[str, ...]:
    """Return the cells under ``INSTANCE_COLUMNS``."""
    if nova is None:
        return ("",) * len(INSTANCE_COLUMNS)
    return nova.status, nova.task_state or "", nova.project or nova.project_id


def host_notes(inventory: Inventory) -> Iterator[str]:
    """Say of each host why the scheduler passes it over."""
    for host in inventory.hosts:
        if host.nova is not None and not host.nova.enabled:
            why = f": {host.nova.disabled_reason}" if host.nova.disabled_reason else ", without a reason given"
            yield f"{host.name} is disabled in Nova{why}."


def cpus_used(host: Host) -> str:
    """Return how many of its CPUs Placement has given away; empty where there is no Placement."""
    used = [each.used for each in host.nova.capacity if each.resource_class in ("VCPU", "PCPU")] if host.nova else []
    return str(sum(used)) if used else ""


def instance_rows(instance: Instance, nova: NovaServer) -> Iterator[tuple[str, str]]:
    """Return what ``show`` tells of a server, label by label."""
    yield "status", nova.status + (f", {nova.task_state}" if nova.task_state else "")
    if nova.fault:
        yield "fault", nova.fault
    yield "project", f"{nova.project} ({nova.project_id})" if nova.project else nova.project_id
    if nova.availability_zone:
        yield "zone", nova.availability_zone
    if nova.host_status and nova.host_status != "UP":
        yield "host status", nova.host_status
    if nova.flavor:
        yield "flavor", nova.flavor
    if nova.image_id:
        yield "image", nova.image_id
    if nova.libvirt_name:
        yield "libvirt", nova.libvirt_name
    if nova.locked:
        yield "locked", "yes"
    for group in nova.server_groups:
        yield "group", f"{group.name} ({group.policy})"


def disk_words(disk: Disk) -> str:
    """Return where a disk of a server lives, as far as Nova tells: ``volume 8f3c11d2``, ``local 20 GiB``."""
    from hotfoot.sizes import human_bytes

    if disk.kind == "cinder":
        return f"volume {(disk.source or '')[:8]}"
    what = "local" if _is_root(disk) else f"local {disk.source}"
    return f"{what} {human_bytes(disk.size_bytes)}" if disk.size_bytes else what


def disk_row(disk: Disk) -> str:
    """Return one line of ``show`` about a disk."""
    if disk.kind == "cinder":
        return f"{disk.target or '?'}  volume {disk.source}"
    return f"{disk.target}  {disk_words(disk)}" + (f", from {disk.source}" if _is_root(disk) else "")


def _is_root(disk: Disk) -> bool:
    return (disk.source or "").startswith("image ")


def interface_row(card: Interface) -> str:
    """Return one line of ``show`` about a port."""
    port = f"  port {card.device}" if card.device else ""
    return f"{card.mac}  {card.source or ''}{port}" + (f"  ({card.model})" if card.model else "")


def belongings(instance: Instance) -> list[tuple[str, str]]:
    """Return what goes with a server, as rows: its volumes, and the addresses of its ports."""
    volumes = ", ".join(disk_words(disk).removeprefix("volume ") for disk in instance.disks if disk.kind == "cinder")
    return [(label, what) for label, what in (("volumes", volumes), ("ports", ", ".join(instance.addresses))) if what]
