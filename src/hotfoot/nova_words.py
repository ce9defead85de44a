"""What Nova and Placement say of an instance and of a host, beside what every cloud tells, and what a word means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_YES = frozenset({"1", "t", "true", "on", "y", "yes"})


def means_yes(text: str) -> bool:
    """Tell whether Nova takes an extra spec or image property for true (oslo_utils.strutils; all else is false)."""
    return text.strip().lower() in _YES


def taken_to_be_elsewhere(name: str, hosts: Sequence[str], named: str) -> str:
    """Say that an instance runs on other ``hosts`` than the one that Nova has ``named``, and what follows from that."""
    return (
        f"{name} runs on {' and '.join(hosts)}, and Nova takes it to be on {named}: do not stop, start, rebuild or move"
        " it through Nova before its host and its node are right in Nova's database, which no call of its API sets."
    )


@dataclass(frozen=True, slots=True)
class ServerGroup:
    """A server group of Nova that an instance belongs to."""

    id: str
    name: str
    policy: str
    """``anti-affinity``, ``affinity``, ``soft-anti-affinity`` or ``soft-affinity``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NovaServer:
    """What Nova says of an instance beside the rest, in its own words."""

    status: str
    """``ACTIVE``, ``MIGRATING``, ``ERROR`` ...; ``UNKNOWN`` where its cell does not answer."""
    task_state: str | None = None
    vm_state: str | None = None
    project_id: str
    project: str | None = None
    """The project's name; None where Keystone does not tell."""
    availability_zone: str | None = None
    libvirt_name: str | None = None
    """The name of its domain, such as ``instance-0000002a``; None where it has no host."""
    flavor: str | None = None
    extra_specs: tuple[tuple[str, str], ...] = ()
    """What its flavour asks for beside sizes; empty where Nova does not tell."""
    image_id: str | None = None
    """None for an instance that boots from a volume."""
    locked: bool = False
    host_status: str | None = None
    """``UP``, ``DOWN``, ``MAINTENANCE`` (disabled) or ``UNKNOWN``: of nova-compute on its host."""
    fault: str | None = None
    """Why it is in ERROR, as Nova says."""
    created_at: str | None = None
    metadata: tuple[tuple[str, str], ...] = ()
    server_groups: tuple[ServerGroup, ...] = ()
    floating_addresses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Capacity:
    """What Placement promises of one resource class on a host: after its reserve, with its overcommitment."""

    resource_class: str
    """``VCPU``, ``PCPU``, ``MEMORY_MB``, ``DISK_GB``, ``CUSTOM_...``; its unit is that of the class."""
    capacity: int
    used: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NovaHost:
    """What Nova and Placement say of a compute host."""

    enabled: bool
    up: bool
    disabled_reason: str | None = None
    forced_down: bool = False
    updated_at: str | None = None
    """When nova-compute last said that it lives (UTC)."""
    availability_zone: str | None = None
    hypervisor_id: str | None = None
    """UUID of the hypervisor, which is its resource provider's too; None where nova-compute has registered none."""
    hypervisor_hostname: str | None = None
    hypervisor_type: str | None = None
    aggregates: tuple[str, ...] = ()
    traits: tuple[str, ...] = ()
    capacity: tuple[Capacity, ...] = ()

    def free(self, resource_class: str) -> int | None:
        """Return what is free of a resource class; None where the host has none of it."""
        return next(
            (each.capacity - each.used for each in self.capacity if each.resource_class == resource_class), None
        )
