"""Where the rules of a cluster file forbid a single instance to go. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from hotfoot.inventory import Inventory
from hotfoot.placement.declared import Declared
from hotfoot.placement.from_inventory import Sight, snapshot_of
from hotfoot.placement.room import Room, room_of
from hotfoot.placement.rules import Bond
from hotfoot.placement.snapshot import RuleKind, Snapshot
from hotfoot.placement.wish import Repair, Wish


def forbidden_hosts(declared: Declared, inventory: Inventory, uuid: str) -> Mapping[str, str]:
    """Return the hosts where an instance must not go, each with a sentence for every rule that forbids it.

    Invariant: a host is forbidden if and only if some hard rule would be broken more often than now with the instance
    there and all others where they are. So what is broken already holds nobody in its place.
    """
    snapshot = declared.on(snapshot_of(Sight(inventory=inventory)))
    room = room_of(snapshot, Wish(objective=Repair()))
    if uuid not in room.ids:
        return {}
    number = room.ids.index(uuid)
    told: dict[str, list[str]] = {}
    for bond in room.bonds:
        if not bond.hard or number not in bond.touched:
            continue
        worse = bond.breaches_with(room.start, number) > bond.breaches(room.start)
        for where, name in enumerate(room.host_names):
            if worse[where]:
                told.setdefault(name, []).append(_sentence(snapshot, room, bond, number, where))
    return {name: " ".join(sentences) for name, sentences in told.items()}


def _sentence(snapshot: Snapshot, room: Room, bond: Bond, number: int, where: int) -> str:
    instance, host = snapshot.instances[number].name, room.host_names[where]
    told = f"The rule {bond.name} ({bond.kind}) forbids {instance} on {host}"
    others = [
        snapshot.instances[one].name for one in bond.members.tolist() if one != number and room.start[one] == where
    ]
    if bond.kind is RuleKind.APART and others:
        return f"{told}: {', '.join(others)} {'is' if len(others) == 1 else 'are'} there."
    if bond.kind is RuleKind.ONLY_ON:
        allowed = [name for name, named in zip(room.host_names, bond.hosts, strict=True) if named]
        return f"{told}: it belongs on {', '.join(allowed)}." if allowed else f"{told}: it names no host that is there."
    return f"{told}."
