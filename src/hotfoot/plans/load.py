"""What instances use, asked for where that is known better than by a look at their hosts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from hotfoot.errors import HotfootError
from hotfoot.inventory import Inventory
from hotfoot.placement.calm import told_of
from hotfoot.placement.snapshot import Snapshot

AskLoad = Callable[[], Awaitable[tuple[str, Mapping[str, float]]]]
"""Asks what instances use, of one load (its name): by name or uuid."""


async def with_load(seen: Snapshot, inventory: Inventory, load: AskLoad | None) -> Snapshot:
    """Return the snapshot with the load that is asked for; of instances that it does not tell, what was measured.

    None asks nobody. Raises HotfootError where it tells of no instance, though some could be moved.
    """
    if load is None:
        return seen
    told, count = told_of(seen, *await load())
    if not count and any(one.movable for one in inventory.instances):
        raise HotfootError(
            "What balance.load asks for tells of no instance of this cluster; does its label hold their names?"
        )
    return told
