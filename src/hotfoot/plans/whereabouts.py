"""On which host an instance really is. Pure."""

from __future__ import annotations

from hotfoot.inventory import Instance, Inventory

_BETWEEN = frozenset({"RESIZE", "VERIFY_RESIZE", "REVERT_RESIZE"})
"""Statuses of a server in a cold migration that is neither confirmed nor reverted: it has a place on both hosts."""


def lives(one: Instance) -> bool:
    """Whether an instance lives where it was seen.

    On plain libvirt it must run there; of what is shut off Nova's word is enough, and of a server in ERROR only its
    guest tells.
    """
    if one.nova is None or one.nova.status == "ERROR":
        return one.movable
    return bool(one.host) and one.nova.status not in _BETWEEN


def whereabouts(inventory: Inventory, uuid: str) -> str | None:
    """Return the one host on which an instance lives; None when that is none, or more than one."""
    places = {one.host for one in inventory.instances if one.uuid == uuid and lives(one)}
    return places.pop() if len(places) == 1 else None
