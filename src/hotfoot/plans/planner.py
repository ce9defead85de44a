"""From what the hosts say now to a plan, with all that it must respect beside that; moves nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from hotfoot.cloud.protocol import Cloud, Survey
from hotfoot.inventory import Inventory
from hotfoot.migration.facts import DeclaredStorage
from hotfoot.migration.whole_cluster import Trial, take
from hotfoot.placement.plan import Plan
from hotfoot.placement.planning import plan
from hotfoot.placement.snapshot import Limits, Snapshot
from hotfoot.placement.wish import Wish


class WholeCloud(Cloud, Survey, Protocol):
    """A cloud that can move instances, and be looked at as a whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What a plan must respect beside what the hosts say."""

    out: frozenset[str] = frozenset()
    """Hosts to which nothing is moved: out of placement."""
    held: frozenset[str] = frozenset()
    """Hosts that another plan touches: nothing is moved to or from them."""
    impossible: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Where instances have failed to go: id to host to reason."""
    alone: Mapping[str, str] = field(default_factory=dict)
    """Instances that are not tried again: id to reason."""
    overhead_s: float = 0.0
    """What each move takes beside its migration."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A plan, and what was seen when it was made."""

    plan: Plan
    inventory: Inventory
    snapshot: Snapshot
    overhead_s: float


async def look_and_plan(
    cloud: WholeCloud,
    storage: Sequence[DeclaredStorage],
    limits: Limits,
    wish: Wish,
    around: Around,
    trial: Trial | None = None,
) -> Planned:
    """Look at all hosts, and plan. Raises HotfootError when the wish names what is not there.

    Without a trial of the links their nominal speeds are taken. Invariant: nothing is planned against ``around``.
    """
    seen, inventory = await take(cloud, storage, trial)
    snapshot = within(seen, limits, around)
    instances = {one.id for one in snapshot.instances}
    fixed = (
        wish.fixed | ({*around.alone} & instances) | {one.id for one in snapshot.instances if one.host in around.held}
    )
    made = await asyncio.to_thread(plan, snapshot, wish.model_copy(update={"fixed": fixed}), time.monotonic)
    stays = {one: around.alone.get(one, why) for one, why in made.stays.items()}
    made = made.model_copy(update={"stays": stays})
    return Planned(plan=made, inventory=inventory, snapshot=snapshot, overhead_s=around.overhead_s)


def within(seen: Snapshot, limits: Limits, around: Around) -> Snapshot:
    """Return the snapshot as planning is to see it. Pure."""
    closed = around.out | around.held
    hosts = tuple(host.model_copy(update={"maintenance": True}) if host.name in closed else host for host in seen.hosts)
    instances = tuple(
        one.model_copy(
            update={
                "impossible": {**one.impossible, **around.impossible.get(one.id, {})},
                "least_seconds": one.least_seconds + around.overhead_s,
            }
        )
        for one in seen.instances
    )
    return seen.model_copy(update={"hosts": hosts, "instances": instances, "limits": limits})
