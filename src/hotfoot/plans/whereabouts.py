"""On which host an instance really is. Pure."""

from __future__ import annotations

from hotfoot.inventory import Inventory


def whereabouts(inventory: Inventory, uuid: str) -> str | None:
    """Return the one host on which an instance lives; None when that is none, or more than one."""
    places = {one.host for one in inventory.instances if one.uuid == uuid and one.movable}
    return places.pop() if len(places) == 1 else None
