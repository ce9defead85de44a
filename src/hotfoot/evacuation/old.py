"""Old definitions on a host that is back: of instances that live elsewhere by now, and must not start here too."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass

from hotfoot.errors import ExitStatus, HotfootError
from hotfoot.inventory import InstanceState, Inventory
from hotfoot.plans.site import Site


@dataclass(frozen=True, slots=True, kw_only=True)
class OldDefinition:
    """One definition that is shut off on ``host``, while the instance lives on ``lives_on``."""

    uuid: str
    name: str
    host: str
    lives_on: str


async def old_definitions(site: Site, hosts: Collection[str]) -> tuple[OldDefinition, ...]:
    """Return the old definitions of what left these hosts by an evacuation or a drain.

    Raises HotfootError (unknown state) for an instance that is active on one of them and elsewhere too.
    """
    left = await asyncio.to_thread(site.plans.drained, site.cluster, hosts)
    return old_in(await site.cloud.look(), hosts, left)


async def remove(site: Site, old: Collection[OldDefinition]) -> tuple[OldDefinition, ...]:
    """Remove those that are still old, and return them; their disks stay.

    Raises HotfootError where a host refuses it, as it does for an instance that was started there meanwhile.
    """
    seen = old_in(await site.cloud.look(), {one.host for one in old}, {one.uuid for one in old})
    for one in seen:
        await site.cloud.forget(one.host, one.uuid)
    return seen


def old_in(inventory: Inventory, hosts: Collection[str], uuids: Collection[str]) -> tuple[OldDefinition, ...]:
    """Return the old definitions that these hosts have of these instances. Pure.

    Invariant: a definition is old only where its host says that it is shut off, and exactly one other host runs it.
    Raises HotfootError as ``old_definitions`` does.
    """
    found = []
    for one in inventory.instances:
        if one.host not in hosts or one.uuid not in uuids:
            continue
        alive = [
            other.host
            for other in inventory.instances
            if other.uuid == one.uuid and other.host != one.host and other.running
        ]
        if one.movable and alive:
            raise HotfootError(
                f"{one.name} is active on {one.host} and on {alive[0]} at once, and two of it destroy its disks:"
                f" destroy the wrong one now (`virsh destroy {one.name}` there), and check its file systems.",
                ExitStatus.UNKNOWN_STATE,
            )
        if one.state is InstanceState.SHUT_OFF and one.persistent and len(alive) == 1:
            found.append(OldDefinition(uuid=one.uuid, name=one.name, host=one.host, lives_on=alive[0]))
    return tuple(found)
