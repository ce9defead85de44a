"""Which host takes an instance when the operator names none. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from hotfoot.inventory import Instance, Inventory
from hotfoot.migration.preflight import check_inventory


@dataclass(frozen=True, slots=True)
class Candidates:
    """Hosts that could take the instance, best first, and why each other one was passed over."""

    names: tuple[str, ...]
    passed_over: tuple[tuple[str, str], ...]


def rank(inventory: Inventory, instance: Instance) -> Candidates:
    """Order the hosts that have room by free memory, most first, ties by name.

    Invariant: the source and hosts with a known obstacle are never candidates, and none of the others is
    left out.
    """
    names: list[str] = []
    passed_over: list[tuple[str, str]] = []
    for host in inventory.hosts:
        if host.name == instance.host:
            continue
        obstacles = check_inventory(inventory, instance, host.name)
        if obstacles:
            passed_over.append((host.name, " ".join(obstacles)))
        else:
            names.append(host.name)
    names.sort(key=lambda name: (-inventory.memory_free_bytes(name), name))
    return Candidates(tuple(names), tuple(passed_over))
