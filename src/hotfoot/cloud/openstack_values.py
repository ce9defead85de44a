"""What Nova, Placement and Keystone answer, as hosts and instances. Pure: JSON in, values out.

The fields are those of the Compute API reference at microversions 2.53 to 2.96, and of Placement's at 1.27.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from hotfoot.inventory import Disk, Host, Instance, InstanceState, Interface, Inventory
from hotfoot.nova_words import Capacity, NovaHost, NovaServer, ServerGroup

Json = Mapping[str, Any]

_MIB, _GIB = 1 << 20, 1 << 30

_STATES = {
    1: InstanceState.RUNNING,
    3: InstanceState.PAUSED,
    4: InstanceState.SHUT_OFF,
    6: InstanceState.CRASHED,
    7: InstanceState.SHUT_OFF,  # suspended: Nova has libvirt save it to disk, so that nothing runs
}
"""Nova's power states (``nova/compute/power_state.py``): what the hypervisor last told Nova, not libvirt's numbers."""


def inventory_of(
    servers: Iterable[Json],
    hypervisors: Iterable[Json],
    services: Iterable[Json],
    *,
    aggregates: Iterable[Json] = (),
    groups: Iterable[Json] = (),
    projects: Iterable[Json] = (),
    providers: Mapping[str, Json] | None = None,
) -> Inventory:
    """Put together what was asked at the same time.

    ``providers``: resource provider (UUID) -> ``{"resources": {CLASS: {"capacity": n, "used": n}}, "traits": [...]}``,
    as ``/allocation_candidates`` has them in its ``provider_summaries``. Invariant: every server and every compute host
    that Nova names is in the inventory, whatever the other services know of it.
    """
    names = {str(project["id"]): str(project["name"]) for project in projects}
    groups_of = _groups_by_member(groups)
    return Inventory(
        hosts=hosts_of(hypervisors, services, aggregates, providers or {}),
        instances=tuple(instance_of(server, names, groups_of.get(str(server["id"]), ())) for server in servers),
    )


def instance_of(server: Json, projects: Mapping[str, str], groups: Sequence[ServerGroup] = ()) -> Instance:
    """Translate one server of ``/servers/detail`` or ``/servers/ID``.

    One in a cell that does not answer has an id and little else: its state is unknown, and its status says so.
    """
    flavor = _mapping(server.get("flavor"))
    project_id = str(server.get("tenant_id") or "")
    addresses = _addresses(server)
    fixed = tuple(address for address, _, floating in addresses if not floating)
    floating = tuple(address for address, _, floating in addresses if floating)
    image = _mapping(server.get("image")).get("id")
    volumes = [str(volume["id"]) for volume in server.get("os-extended-volumes:volumes_attached") or ()]
    power = server.get("OS-EXT-STS:power_state")
    return Instance(
        uuid=str(server["id"]),
        name=str(server.get("name") or server["id"]),
        host=str(server.get("OS-EXT-SRV-ATTR:host") or ""),
        state=_STATES.get(power, InstanceState.UNKNOWN) if isinstance(power, int) else InstanceState.UNKNOWN,
        persistent=True,
        vcpus=int(flavor.get("vcpus") or 0),
        memory_bytes=int(flavor.get("ram") or 0) * _MIB,
        disks=(
            *_local_disks(server, flavor, image),
            *(Disk(target="", kind="cinder", source=volume) for volume in volumes),
        ),
        interfaces=_interfaces(server),
        addresses=(*floating, *fixed),
        nova=NovaServer(
            status=str(server.get("status") or "UNKNOWN"),
            task_state=server.get("OS-EXT-STS:task_state"),
            vm_state=server.get("OS-EXT-STS:vm_state"),
            project_id=project_id,
            project=projects.get(project_id),
            availability_zone=server.get("OS-EXT-AZ:availability_zone") or None,
            # One without a host is numbered in another database, with a number that one with a host may have as well.
            libvirt_name=server.get("OS-EXT-SRV-ATTR:instance_name") if server.get("OS-EXT-SRV-ATTR:host") else None,
            flavor=flavor.get("original_name"),
            extra_specs=tuple(sorted(_mapping(flavor.get("extra_specs")).items())),
            image_id=image,
            locked=bool(server.get("locked")),
            host_status=server.get("host_status") or None,
            fault=str(_mapping(server.get("fault")).get("message") or "").strip() or None,
            created_at=server.get("created"),
            metadata=tuple(sorted(_mapping(server.get("metadata")).items())),
            server_groups=tuple(groups),
            floating_addresses=floating,
        ),
    )


def with_attachments(instance: Instance, attachments: Iterable[Json], ports: Iterable[Json]) -> Instance:
    """Add what only the questions about one server tell: the volumes' device names, and the state of the ports.

    ``attachments`` are those of ``os-volume_attachments``, ``ports`` those of ``os-interface``.
    """
    volumes = {str(each["volumeId"]): str(each.get("device") or "").removeprefix("/dev/") for each in attachments}
    local = [disk for disk in instance.disks if disk.kind != "cinder"]
    networks = {card.mac: card.source for card in instance.interfaces}
    cards = [
        Interface(
            mac=str(port["mac_addr"]),
            kind="port",
            source=networks.get(str(port["mac_addr"])) or str(port.get("net_id") or "") or None,
            device=str(port["port_id"]),
            model=str(port.get("port_state") or "") or None,
        )
        for port in ports
    ]
    return replace(
        instance,
        disks=(*local, *(Disk(target=device, kind="cinder", source=volume) for volume, device in volumes.items())),
        interfaces=tuple(cards),
    )


def hosts_of(
    hypervisors: Iterable[Json], services: Iterable[Json], aggregates: Iterable[Json], providers: Mapping[str, Json]
) -> tuple[Host, ...]:
    """Translate ``/os-hypervisors/detail`` and the nova-compute services, sorted by name.

    A host is named as Nova's compute service is. One whose service is down is known, and says that it is down; one that
    has a service but no hypervisor has never come up, or has just been added.
    """
    by_host = {
        str(service["host"]): service for service in services if service.get("binary", "nova-compute") == "nova-compute"
    }
    found: dict[str, Json] = {}
    for hypervisor in hypervisors:
        found.setdefault(str(_mapping(hypervisor.get("service")).get("host")), hypervisor)
    member_of = _aggregates_by_host(aggregates)
    return tuple(
        _host(name, found.get(name, {}), by_host.get(name, {}), member_of.get(name, ()), providers)
        for name in sorted({*by_host, *found})
    )


def _host(
    name: str, hypervisor: Json, service: Json, aggregates: tuple[str, ...], providers: Mapping[str, Json]
) -> Host:
    up = str(service.get("state") or hypervisor.get("state")) == "up"
    hypervisor_id = str(hypervisor["id"]) if hypervisor else None
    provider = providers.get(hypervisor_id or "", {})
    capacity = tuple(
        Capacity(resource_class, int(figures["capacity"]), int(figures["used"]))
        for resource_class, figures in sorted(_mapping(provider.get("resources")).items())
    )
    nova = NovaHost(
        enabled=str(service.get("status") or hypervisor.get("status")) != "disabled",
        up=up,
        disabled_reason=service.get("disabled_reason") or _mapping(hypervisor.get("service")).get("disabled_reason"),
        forced_down=bool(service.get("forced_down")),
        updated_at=service.get("updated_at"),
        availability_zone=service.get("zone"),
        hypervisor_id=hypervisor_id,
        hypervisor_hostname=hypervisor.get("hypervisor_hostname"),
        hypervisor_type=hypervisor.get("hypervisor_type"),
        aggregates=aggregates,
        traits=tuple(sorted(str(trait) for trait in provider.get("traits") or ())),
        capacity=capacity,
    )
    figures = {each.resource_class: each for each in capacity}
    memory = figures.get("MEMORY_MB", Capacity("MEMORY_MB", 0, 0))
    return Host(
        name=name,
        address=str(hypervisor.get("host_ip") or ""),
        problem=_problem(name, nova),
        qemu_version=_version(hypervisor) if nova.hypervisor_type in ("QEMU", "KVM") else (0, 0, 0),
        cpus=sum(figures[each].capacity for each in ("VCPU", "PCPU") if each in figures),
        memory_total_bytes=memory.capacity * _MIB,
        memory_available_bytes=max(0, memory.capacity - memory.used) * _MIB,
        nova=nova,
    )


def _problem(name: str, nova: NovaHost) -> str | None:
    if nova.up:
        return None
    since = f" since {nova.updated_at} (UTC)" if nova.updated_at else ""
    if nova.forced_down:
        return f"{name} is forced down in Nova: nothing is started or moved there until that is taken back."
    return f"nova-compute on {name} is down{since}, as Nova says: see its log there, or whether the host is off."


def _version(hypervisor: Json) -> tuple[int, int, int]:
    """Take QEMU's version from libvirt's number for it: 10000013 is 10.0.13."""
    number = hypervisor.get("hypervisor_version")
    if not isinstance(number, int):
        return (0, 0, 0)
    return (number // 1_000_000, number // 1_000 % 1_000, number % 1_000)


def _local_disks(server: Json, flavor: Json, image: str | None) -> tuple[Disk, ...]:
    """Return what Nova itself keeps for an instance of this flavour; ``source`` says what it was made from.

    An instance without an image boots from a volume, whatever the flavour's root disk says. A root disk of 0 GB is as
    large as its image.
    """
    disks = []
    root = str(server.get("OS-EXT-SRV-ATTR:root_device_name") or "root").removeprefix("/dev/")
    if image:
        disks.append(Disk(target=root, kind="local", source=f"image {image}", size_bytes=_size(flavor.get("disk"))))
    if ephemeral := _size(flavor.get("ephemeral")):
        disks.append(Disk(target="ephemeral", kind="local", source="ephemeral", size_bytes=ephemeral))
    if swap := int(flavor.get("swap") or 0) * _MIB:
        disks.append(Disk(target="swap", kind="local", source="swap", size_bytes=swap))
    return tuple(disks)


def _size(gib: object) -> int | None:
    return gib * _GIB if isinstance(gib, int) and gib else None


def _addresses(server: Json) -> list[tuple[str, str, bool]]:
    """Return (address, network, whether it is floating) in Nova's order."""
    return [
        (str(each["addr"]), str(network), each.get("OS-EXT-IPS:type") == "floating")
        for network, entries in _mapping(server.get("addresses")).items()
        for each in entries
    ]


def _interfaces(server: Json) -> tuple[Interface, ...]:
    """Return the cards, each once though it has several addresses."""
    cards = {
        str(each["OS-EXT-IPS-MAC:mac_addr"]): str(network)
        for network, entries in _mapping(server.get("addresses")).items()
        for each in entries
        if each.get("OS-EXT-IPS-MAC:mac_addr")
    }
    return tuple(Interface(mac=mac, kind="port", source=network) for mac, network in cards.items())


def _groups_by_member(groups: Iterable[Json]) -> dict[str, tuple[ServerGroup, ...]]:
    """Return each member's groups; before microversion 2.64 the policy is the only one of a list."""
    found: dict[str, tuple[ServerGroup, ...]] = {}
    for group in groups:
        policy = str(group.get("policy") or next(iter(group.get("policies") or ()), ""))
        value = ServerGroup(id=str(group["id"]), name=str(group["name"]), policy=policy)
        for member in group.get("members") or ():
            found[str(member)] = (*found.get(str(member), ()), value)
    return found


def _aggregates_by_host(aggregates: Iterable[Json]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for aggregate in sorted(aggregates, key=lambda each: str(each["name"])):
        for host in aggregate.get("hosts") or ():
            found[str(host)] = (*found.get(str(host), ()), str(aggregate["name"]))
    return found


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
