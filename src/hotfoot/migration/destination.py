"""Which host takes an instance when the operator names none. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hotfoot.inventory import Instance, Inventory
from hotfoot.migration.preflight import check_inventory


@dataclass(frozen=True, slots=True)
class Candidates:
    """Hosts that could take the instance, best first, and why each other one was passed over."""

    names: tuple[str, ...]
    passed_over: tuple[tuple[str, str], ...]


def rank(inventory: Inventory, instance: Instance, out: Mapping[str, str] | None = None) -> Candidates:
    """Order the hosts that have room by free memory, most first, ties by name.

    ``out``: hosts that are out of placement, each with the sentence about it. Invariant: the source, these, and hosts
    with a known obstacle are never candidates, and none of the others is left out.
    """
    names: list[str] = []
    passed_over: list[tuple[str, str]] = []
    for host in inventory.hosts:
        if host.name == instance.host:
            continue
        obstacles = check_inventory(inventory, instance, host.name)
        if out and host.name in out:
            obstacles = (out[host.name], *obstacles)
        if obstacles:
            passed_over.append((host.name, " ".join(obstacles)))
        else:
            names.append(host.name)
    names.sort(key=lambda name: (-inventory.memory_free_bytes(name), name))
    return Candidates(tuple(names), tuple(passed_over))
