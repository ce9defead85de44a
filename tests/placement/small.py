"""Hosts and instances in few words."""

from __future__ import annotations

import time
from collections.abc import Mapping

from hotfoot.placement.plan import Target
from hotfoot.placement.snapshot import MEMORY, VCPUS, Host, Instance, Resource, Rule, RuleKind, Snapshot
from hotfoot.placement.solve import solve
from hotfoot.placement.wish import GIB, Objective, Wish


def host(
    name: str,
    gib: int = 64,
    vcpus: int = 32,
    *,
    safety: float = 1.0,
    zone: str | None = None,
    maintenance: bool = False,
    up: bool = True,
    load_capacity: Mapping[str, float] | None = None,
) -> Host:
    return Host(
        name=name,
        resources={MEMORY: Resource(total=gib * GIB), VCPUS: Resource(total=vcpus)},
        safety=safety,
        zone=zone,
        maintenance=maintenance,
        up=up,
        load_capacity=load_capacity or {},
    )


def instance(
    name: str,
    on: str,
    gib: int = 8,
    vcpus: int = 1,
    *,
    impossible: Mapping[str, str] | None = None,
    because: str | None = None,
    load: Mapping[str, float] | None = None,
) -> Instance:
    """An instance whose id is its name; ``because``: why it cannot be moved."""
    return Instance(
        name=name,
        id=name,
        host=on,
        sizes={MEMORY: gib * GIB, VCPUS: vcpus},
        impossible=impossible or {},
        movable=because is None,
        unmovable_because=because,
        load=load or {},
    )


def rule(
    name: str,
    kind: RuleKind,
    *instances: str,
    hosts: tuple[str, ...] = (),
    near: tuple[str, ...] = (),
    zones: int = 1,
    hard: bool = True,
    weight: float = 1.0,
) -> Rule:
    return Rule(
        name=name,
        kind=kind,
        instances=instances,
        hosts=frozenset(hosts),
        near=near,
        zones=zones,
        hard=hard,
        weight=weight,
    )


def cluster(*parts: Host | Instance | Rule) -> Snapshot:
    return Snapshot(
        hosts=tuple(part for part in parts if isinstance(part, Host)),
        instances=tuple(part for part in parts if isinstance(part, Instance)),
        rules=tuple(part for part in parts if isinstance(part, Rule)),
    )


def solved(
    snapshot: Snapshot,
    objective: Objective,
    *,
    most_moves: int | None = None,
    to: frozenset[str] | None = None,
    fixed: frozenset[str] = frozenset(),
) -> Target:
    """What is found when there is far more time than it takes."""
    wish = Wish(objective=objective, most_moves=most_moves, to=to, fixed=fixed, seconds=60)
    return solve(snapshot, wish, time.monotonic)
