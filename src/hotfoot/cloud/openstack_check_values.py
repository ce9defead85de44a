"""What Nova, Placement and their neighbours answer, as the facts of a cloud's checks. Pure: JSON in, values out.

The fields are those of the Compute API reference at microversions 2.53 to 2.96, and of Placement's at 1.14.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from hotfoot.readiness.cloud_facts import (
    AggregateFact,
    AllocationFact,
    HypervisorFact,
    InstanceFact,
    MigrationFact,
    ProviderFact,
    ServiceFact,
)
from hotfoot.readiness.cloud_move import Attachment, MoveFacts

Json = Mapping[str, Any]

_RUNNING = 1
"""Nova's power state of a guest that runs (nova/compute/power_state.py)."""
_ASKING = ("hw_", "trait:")
"""How the properties of an image begin that ask something of a host."""


def service_of(service: Json) -> ServiceFact:
    """Translate one entry of ``/os-services``; one of a silent cell has neither state nor id."""
    state = service.get("state")
    return ServiceFact(
        id=str(service.get("id") or ""),
        binary=str(service["binary"]),
        host=str(service["host"]),
        enabled=service.get("status") != "disabled",
        up=None if state is None else state == "up",
        disabled_reason=service.get("disabled_reason") or None,
        forced_down=bool(service.get("forced_down")),
        updated_at=moment(service.get("updated_at")),
    )


def hypervisor_of(hypervisor: Json) -> HypervisorFact:
    """Translate one entry of ``/os-hypervisors/detail``; its CPU is there up to microversion 2.87."""
    cpu = _mapping(hypervisor.get("cpu_info"))
    version = hypervisor.get("hypervisor_version")
    return HypervisorFact(
        host=str(_mapping(hypervisor.get("service")).get("host")),
        id=str(hypervisor["id"]),
        hostname=str(hypervisor.get("hypervisor_hostname") or ""),
        address=str(hypervisor.get("host_ip") or ""),
        kind=str(hypervisor.get("hypervisor_type") or ""),
        version=version if isinstance(version, int) else 0,
        cpu_arch=str(cpu.get("arch") or ""),
        cpu_vendor=str(cpu.get("vendor") or ""),
        cpu_model=str(cpu.get("model") or ""),
        cpu_features=frozenset(str(each) for each in cpu.get("features") or ()),
    )


def aggregate_of(aggregate: Json) -> AggregateFact:
    """Translate one entry of ``/os-aggregates``."""
    return AggregateFact(
        name=str(aggregate["name"]),
        hosts=frozenset(str(host) for host in aggregate.get("hosts") or ()),
        metadata={str(key): str(value) for key, value in _mapping(aggregate.get("metadata")).items()},
    )


def provider_of(provider: Json, summary: Json) -> ProviderFact:
    """Translate one entry of ``/resource_providers``, with its ``resources`` and ``traits`` where they were told."""
    resources = _mapping(summary.get("resources"))
    return ProviderFact(
        id=str(provider["uuid"]),
        name=str(provider.get("name") or ""),
        root_id=str(provider.get("root_provider_uuid") or provider["uuid"]),
        traits=frozenset(str(trait) for trait in summary.get("traits") or ()),
        capacity={name: int(figures["capacity"]) for name, figures in resources.items()},
        used={name: int(figures["used"]) for name, figures in resources.items()},
    )


def allocations_on(provider: str, answer: Json) -> tuple[AllocationFact, ...]:
    """Translate ``/resource_providers/ID/allocations``: what each consumer has there."""
    return tuple(
        AllocationFact(consumer=str(consumer), provider=provider, resources=_amounts(each))
        for consumer, each in _mapping(answer.get("allocations")).items()
    )


def allocations_of(consumer: str, answer: Json) -> tuple[AllocationFact, ...]:
    """Translate ``/allocations/ID``: what one consumer has of each provider."""
    return tuple(
        AllocationFact(consumer=consumer, provider=str(provider), resources=_amounts(each))
        for provider, each in _mapping(answer.get("allocations")).items()
    )


def instance_of(server: Json) -> InstanceFact:
    """Translate one server; one in a cell that does not answer has an id and little else."""
    return InstanceFact(
        uuid=str(server["id"]),
        name=str(server.get("name") or server["id"]),
        host=str(server.get("OS-EXT-SRV-ATTR:host") or ""),
        status=str(server.get("status") or "UNKNOWN"),
        task_state=server.get("OS-EXT-STS:task_state"),
        vm_state=server.get("OS-EXT-STS:vm_state"),
        runs=server.get("OS-EXT-STS:power_state") == _RUNNING,
        updated_at=moment(server.get("updated")),
        fault=str(_mapping(server.get("fault")).get("message") or "").strip() or None,
    )


def migration_of(migration: Json) -> MigrationFact:
    """Translate one record of ``/os-migrations``."""
    return MigrationFact(
        id=int(migration["id"]),
        uuid=migration.get("uuid"),
        instance=str(migration.get("instance_uuid") or ""),
        kind=str(migration.get("migration_type") or "migration"),
        status=str(migration.get("status") or ""),
        source=str(migration.get("source_compute") or ""),
        destination=str(migration.get("dest_compute") or ""),
        updated_at=moment(migration.get("updated_at") or migration.get("created_at")),
    )


def move_of(
    server: Json,
    *,
    image: Json,
    ports: Iterable[Json],
    volumes: Sequence[Json],
    held: Iterable[AllocationFact],
    untold: Iterable[str],
    newest: tuple[int, int],
) -> MoveFacts:
    """Put together what one server is made of, from ``/servers/ID``, Glance, Neutron, Cinder and Placement.

    Of a server that boots from a volume Nova tells no image: what that asked for is kept with the volume.
    """
    asking = image if _mapping(server.get("image")) else _image_of_root(server, volumes)
    flavour = _mapping(server.get("flavor"))
    keeps = bool(_mapping(server.get("image")).get("id") or flavour.get("ephemeral") or flavour.get("swap"))
    return MoveFacts(
        uuid=str(server["id"]),
        name=str(server.get("name") or server["id"]),
        host=str(server.get("OS-EXT-SRV-ATTR:host") or ""),
        project_id=str(server.get("tenant_id") or ""),
        flavour=str(flavour.get("original_name") or ""),
        extra_specs={str(key): str(value) for key, value in _mapping(flavour.get("extra_specs")).items()},
        image_properties={key: str(value) for key, value in asking.items() if key.startswith(_ASKING)},
        untold=tuple(untold),
        config_drive=str(server.get("config_drive") or "").lower() in ("true", "1"),
        local_disks=keeps,
        ports={str(port["id"]): str(port.get("binding:vnic_type") or "normal") for port in ports},
        held={allocation.provider: allocation.resources for allocation in held},
        shared_volumes=tuple(str(volume["id"]) for volume in volumes if volume.get("multiattach")),
        strays=tuple(_strays(server, volumes)),
        pinned_zone=server.get("pinned_availability_zone") or None,
        newest=newest,
    )


def _strays(server: Json, volumes: Iterable[Json]) -> Iterator[Attachment]:
    """Yield the attachments of a server's volumes for other hosts than its own; none while Nova works on it.

    Cinder tells hosts to administrators alone.
    """
    here = server.get("OS-EXT-SRV-ATTR:host")
    for volume in volumes if server.get("OS-EXT-STS:task_state") is None else ():
        for one in volume.get("attachments") or ():
            if one.get("server_id") == server["id"] and one.get("host_name") not in (None, here):
                yield Attachment(str(one.get("attachment_id")), str(volume["id"]), str(one["host_name"]))


def _image_of_root(server: Json, volumes: Iterable[Json]) -> Json:
    """Return the properties of the image from which the volume was made that a server boots from."""
    root = server.get("OS-EXT-SRV-ATTR:root_device_name")
    for volume in volumes:
        for one in volume.get("attachments") or ():
            if root and (one.get("server_id"), one.get("device")) == (server["id"], root):
                return _mapping(volume.get("volume_image_metadata"))
    return {}


def moment(text: object) -> datetime | None:
    """Read a time of Nova's, which is UTC whether it says so or not; None for none."""
    if not isinstance(text, str) or not text:
        return None
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        return None
    return read.astimezone(UTC) if read.tzinfo else read.replace(tzinfo=UTC)


def _amounts(allocation: Json) -> dict[str, int]:
    return {str(name): int(amount) for name, amount in _mapping(allocation.get("resources")).items()}


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
