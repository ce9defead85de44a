"""``hotfoot hosts``, ``ls`` and ``show``: what there is, and where."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, cast

import typer

from hotfoot.cli import nova_view
from hotfoot.cli.options import CloudOption, ClusterOption, FromOption, InstanceArgument, JsonOption
from hotfoot.cli.session import with_cloud
from hotfoot.cli.tables import print_table, without_empty

if TYPE_CHECKING:
    from hotfoot.cloud.libvirt_cloud import LibvirtCloud
    from hotfoot.cloud.nova_cloud import NovaCloud
    from hotfoot.cloud.protocol import Cloud
    from hotfoot.cluster import Cluster
    from hotfoot.inventory import Disk, Host, Instance, Interface, Inventory
    from hotfoot.journal.out_of_placement import HostOut
    from hotfoot.migration.facts import HostFiles


def hosts(cluster: ClusterOption = None, cloud_name: CloudOption = None, as_json: JsonOption = False) -> None:
    """Show the hosts: whether they answer, what runs there, and what room they have."""
    inventory, out = with_cloud(cluster, _look_with_placement, cloud_name)
    if as_json:
        told = [_host_json(inventory, host.name, out.get(host.name)) for host in inventory.hosts]
        typer.echo(json.dumps({"hosts": told}))
        return
    print_table(
        *without_empty(
            ("HOST", "ADDRESS", "STATE", *nova_view.HOST_COLUMNS, "INSTANCES", "CPUS", "USED", "MEMORY", "FREE")
            + ("LIBVIRT", "QEMU"),
            [_host_row(inventory, host, out=host.name in out) for host in inventory.hosts],
            nova_view.HOST_COLUMNS + (("USED", "LIBVIRT") if any(host.nova for host in inventory.hosts) else ("USED",)),
        )
    )
    for host_out in out.values():
        typer.echo(str(host_out))
    for note in nova_view.host_notes(inventory):
        typer.echo(note)
    _tell_silent(inventory)


def ls(
    host: Annotated[str | None, typer.Option("--host", help="Only the instances on this host.")] = None,
    cluster: ClusterOption = None,
    cloud_name: CloudOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the instances: state, host, vCPUs, memory, and where their disks live."""
    from hotfoot.migration.selection import check_host
    from hotfoot.sizes import human_bytes

    inventory = with_cloud(cluster, lambda declared, cloud: _look(declared, cloud, closely=()), cloud_name)
    if host is not None:
        check_host(inventory, host)
    found = sorted(inventory.instances if host is None else inventory.on(host), key=lambda one: (one.name, one.host))
    if as_json:
        silent = [{"host": one.name, "problem": one.problem} for one in inventory.hosts if not one.answers]
        typer.echo(json.dumps({"instances": [asdict(instance) for instance in found], "unreachable": silent}))
        return
    columns = ("INSTANCE", "UUID", "HOST", "STATE", *nova_view.INSTANCE_COLUMNS, "VCPUS", "MEMORY", "DISKS")
    rows = [
        (
            instance.name,
            instance.uuid[:8],  # a UUID's beginning names it everywhere
            instance.host,
            str(instance.state),
            *nova_view.instance_cells(instance.nova),
            str(instance.vcpus),
            human_bytes(instance.memory_bytes),
            ", ".join(
                nova_view.disk_words(disk) if instance.nova else disk.source for disk in instance.disks if disk.source
            )
            or "none",
        )
        for instance in found
    ]
    print_table(*without_empty(columns, rows, nova_view.INSTANCE_COLUMNS))
    _tell_silent(inventory)


def show(
    instance: InstanceArgument,
    from_host: FromOption = None,
    cluster: ClusterOption = None,
    cloud_name: CloudOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one instance: state, host, vCPUs, memory, disks and where they live, network."""
    from hotfoot.migration.selection import find_instance
    from hotfoot.sizes import human_bytes

    async def work(
        declared: Cluster, cloud: Cloud
    ) -> tuple[Instance, tuple[str, ...], HostFiles | None, tuple[str, ...]]:
        found = find_instance(await _look(declared, cloud, instance, closely=()), instance, from_host)
        addresses = await cloud.addresses(found) if found.running else ()
        if declared.openstack is not None:
            nova = cast("NovaCloud", cloud)
            detailed, elsewhere = await asyncio.gather(nova.in_detail(found), nova.seen_elsewhere(found))
            return detailed, addresses, None, elsewhere
        return found, addresses, await cast("LibvirtCloud", cloud).disk_files(found), ()

    found, addresses, files, elsewhere = with_cloud(cluster, work, cloud_name)
    if as_json:
        places = {
            path: {"fs_type": seen.fs_type, "mount_source": seen.mount_source}
            for path, seen in (files.files.items() if files else ())
        }
        typer.echo(
            json.dumps({**asdict(found), "addresses": addresses, "storage": places, "seen_elsewhere": elsewhere})
        )
        return
    rows = [
        ("uuid", found.uuid),
        ("host", f"{found.host or 'none'}{', as Nova has it' if elsewhere else ''}"),
        *([("runs on", f"{' and '.join(elsewhere)}, says libvirt")] if elsewhere else ()),
        ("state", f"{found.state}{'' if found.persistent else ', transient'}"),
        *(nova_view.instance_rows(found, found.nova) if found.nova else ()),
        ("vcpus", str(found.vcpus)),
        ("memory", human_bytes(found.memory_bytes)),
        *([("machine", f"{found.machine} {found.arch}, {found.virt_type}")] if found.machine else []),
        *(("disk", _disk(disk, files) if files else nova_view.disk_row(disk)) for disk in found.disks),
        *(("network", _interface(card) if files else nova_view.interface_row(card)) for card in found.interfaces),
        *(("address", address) for address in addresses),
        *(("host device", device) for device in found.host_devices),
    ]
    typer.secho(found.name, bold=True)
    for label, value in rows:
        typer.echo(f"  {label:<12}{value}")


async def _look(
    declared: Cluster, cloud: Cloud, wanted: str | None = None, closely: Collection[str] | None = None
) -> Inventory:
    """Look, having told what became of migrations whose Hotfoot was killed."""
    from hotfoot.cli.orphans import tell_orphans

    await tell_orphans(declared, cloud)
    return await cloud.look(wanted, closely)


async def _look_with_placement(declared: Cluster, cloud: Cloud) -> tuple[Inventory, Mapping[str, HostOut]]:
    """Look, and see which hosts are out of placement; a journal that cannot be read is told by ``_look``."""
    from hotfoot.journal.out_of_placement import known_hosts_out
    from hotfoot.journal.place import place_of

    place = place_of(declared.journal.url)
    return await asyncio.gather(_look(declared, cloud), known_hosts_out(place, declared.name, None))


def _host_row(inventory: Inventory, host: Host, *, out: bool) -> tuple[str, ...]:
    from hotfoot.sizes import human_bytes

    own = nova_view.host_cells(host.nova)
    if not host.answers and host.nova is None:
        return (host.name, host.address, "no answer", *own, "", "", "", "", "", "", "")
    state = nova_view.host_state(host.nova) if host.nova else "up"
    return (
        host.name,
        host.address,
        f"{state}, out" if out else state,
        *own,
        str(sum(instance.running for instance in inventory.on(host.name))),
        str(host.cpus),
        nova_view.cpus_used(host),
        human_bytes(host.memory_total_bytes),
        human_bytes(inventory.memory_free_bytes(host.name)),
        "" if host.nova else _dotted(host.libvirt_version),
        _dotted(host.qemu_version) if any(host.qemu_version) else "",
    )


def _host_json(inventory: Inventory, name: str, out: HostOut | None) -> dict[str, object]:
    host = inventory.host(name)
    return {
        "name": host.name,
        "address": host.address,
        "answers": host.answers,
        "problem": host.problem,
        "out_of_placement": out.as_json() if out else None,
        "instances": sum(instance.running for instance in inventory.on(name)),
        "cpus": host.cpus,
        "memory_total_bytes": host.memory_total_bytes,
        "memory_free_bytes": inventory.memory_free_bytes(name),
        "libvirt_version": _dotted(host.libvirt_version) if any(host.libvirt_version) else None,
        "qemu_version": _dotted(host.qemu_version) if any(host.qemu_version) else None,
        "nova": asdict(host.nova) if host.nova else None,
    }


def _tell_silent(inventory: Inventory) -> None:
    for host in inventory.hosts:
        if host.problem:
            typer.secho(host.problem, err=True, fg=typer.colors.YELLOW)


def _disk(disk: Disk, files: HostFiles) -> str:
    where = f"{disk.protocol}:{disk.source}" if disk.protocol else disk.source or "empty"
    seen = files.files.get(disk.source or "")
    lives = f" on {seen.fs_type} {seen.mount_source}" if seen and seen.fs_type else ""
    return f"{disk.target}  {where}  ({disk.format} {disk.kind}{lives}{', read-only' if disk.read_only else ''})"


def _interface(card: Interface) -> str:
    return f"{card.mac}  {card.kind} {card.source or ''}".rstrip() + (f"  ({card.device})" if card.device else "")


def _dotted(version: tuple[int, int, int]) -> str:
    return ".".join(str(part) for part in version)
