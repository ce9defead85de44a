"""From what the hosts say now to a plan, with all that it must respect beside that; moves nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from hotfoot.cloud.protocol import Cloud, Survey
from hotfoot.errors import ExitStatus, HotfootError
from hotfoot.inventory import Inventory
from hotfoot.placement.declared import NOTHING, Declared
from hotfoot.placement.mending import narrowed
from hotfoot.placement.plan import Plan
from hotfoot.placement.plan_text import MadePlan
from hotfoot.placement.recheck import recheck, renumbered
from hotfoot.placement.snapshot import Cold, Instance, Limits, Snapshot
from hotfoot.placement.streams import Links
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
    only_cold: Mapping[str, str] = field(default_factory=dict)
    """Instances that have shown that they cannot be moved live: id to reason."""
    overhead_s: float = 0.0
    """What each move takes beside its migration."""
    declared: Declared = NOTHING
    """Rules and zones of the cluster file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A plan, and what was seen when it was made."""

    plan: Plan
    inventory: Inventory
    snapshot: Snapshot
    overhead_s: float

    @property
    def links(self) -> Links:
        """What was known of the hosts' links."""
        return {host.name: host.link_bytes_per_s for host in self.snapshot.hosts}


async def plan_for(snapshot: Snapshot, inventory: Inventory, wish: Wish, around: Around) -> Planned:
    """Plan for what was seen, as ``within`` returned it. Raises HotfootError when the wish names what is not there."""
    wish = narrowed(snapshot, wish)
    instances = {one.id for one in snapshot.instances}
    fixed = (
        wish.fixed | ({*around.alone} & instances) | {one.id for one in snapshot.instances if one.host in around.held}
    )
    made = await asyncio.to_thread(_made, snapshot, wish.model_copy(update={"fixed": fixed}))
    stays = {one: around.alone.get(one, why) for one, why in made.stays.items()}
    made = made.model_copy(update={"stays": stays})
    return Planned(plan=made, inventory=inventory, snapshot=snapshot, overhead_s=around.overhead_s)


def load_solver() -> None:
    """Load what plans are made with, which takes a second of processor time: best while hosts are asked. Blocks."""
    import hotfoot.placement.planning  # noqa: F401


def _made(snapshot: Snapshot, wish: Wish) -> Plan:
    from hotfoot.placement.planning import plan

    return plan(snapshot, wish, time.monotonic)


def check(seen: Snapshot, inventory: Inventory, limits: Limits, made: MadePlan, around: Around) -> Planned:
    """Return a plan that was made earlier, if it can be carried out as it is on what was seen now. Pure.

    Raises HotfootError (refused) with a line for each move that is not valid any more.
    """
    snapshot = within(seen, limits, around)
    moves, wrong = recheck(snapshot, made.asked.wish, made.plan.moves)
    if wrong:
        lines = [f"The plan does not fit any more, {len(wrong)} of its {len(moves)} moves cannot be made now:"]
        lines += [
            f"  move {move.number}, {move.name} from {move.source} to {move.destination}: {wrong[move.number]}"
            for move in moves
            if move.number in wrong
        ]
        raise HotfootError("\n".join(lines), ExitStatus.REFUSED)
    checked = made.plan.model_copy(update={"moves": renumbered(moves)})
    return Planned(plan=checked, inventory=inventory, snapshot=snapshot, overhead_s=around.overhead_s)


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
        for one in (_only_cold(each, around.only_cold.get(each.id)) for each in seen.instances)
    )
    closed_to = seen.model_copy(update={"hosts": hosts, "instances": instances, "limits": limits})
    return around.declared.on(closed_to)


def _only_cold(one: Instance, why: str | None) -> Instance:
    """Return an instance as it is once a live move of it has been refused for what it is made of."""
    if why is None or not one.movable:
        return one
    cold = Cold.STOPPED
    told = {"movable": False, "unmovable_because": why.rstrip("."), "cold": cold}
    return one.model_copy(update={**told, "downtime_ms": cold.downtime_ms, "least_seconds": cold.seconds})
