"""What no placement can do better than, seen without solving anything. Pure."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hotfoot.placement.room import Flags, Ints, Room
from hotfoot.placement.score import AWAY, LEFT, OCCUPIED_HOSTS
from hotfoot.placement.wish import GIB, Balance, Consolidate, Drain, Repair, Restore, Wish


def needed(room: Room, wish: Wish, at: Ints) -> Flags:
    """[I]: the instances that have to go from where they are for the wish to come true, as long as they may.

    None in particular for *consolidate* and *balance*: there any may serve.
    """
    match wish.objective:
        case Drain():
            going: Flags = room.movable & room.drained[at]
            return going
        case Restore():
            away: Flags = room.movable & (room.home >= 0) & (at != room.home)
            return away
        case Repair():
            broken = np.zeros(len(room.ids), dtype=bool)
            for bond in room.bonds:
                if bond.breaches(at):
                    broken[bond.touched] = True
            members: Flags = broken & room.movable
            return members
        case Consolidate() | Balance():
            return np.zeros(len(room.ids), dtype=bool)


def stuck(room: Room, wish: Wish) -> Flags:
    """[I]: instances that stay where the wish does not want them in every placement that is allowed."""
    match wish.objective:
        case Drain():
            kept: Flags = room.drained[room.start] & ~room.open_to.any(axis=1)
            return kept
        case Restore():
            home = np.maximum(room.home, 0)
            reachable = room.open_to[np.arange(len(room.ids)), home] | (room.start == home)
            barred: Flags = (room.home >= 0) & ~reachable
            return barred
        case Consolidate() | Repair() | Balance():
            return np.zeros(len(room.ids), dtype=bool)


def least_of_first(room: Room, wish: Wish) -> int | None:
    """Return what the first term of the score cannot be below, before its weight; None: it has no weight of its own."""
    match wish.objective:
        case Drain() | Restore():
            return int(np.count_nonzero(stuck(room, wish)))
        case Repair():
            return 0
        case Consolidate():
            return _fewest_hosts(room)
        case Balance():
            return None


def bound(room: Room, wish: Wish, weights: Mapping[str, float]) -> float | None:
    """Return what the whole score cannot be below; None: nothing is known of it.

    Drain and restore: those that can go have to be sent, each once; all else may be for nothing.
    """
    least = least_of_first(room, wish)
    match wish.objective:
        case Drain():
            going = room.drained[room.start] & ~stuck(room, wish)
        case Restore():
            going = (room.home >= 0) & (room.start != room.home) & ~stuck(room, wish)
        case Consolidate():
            return float(least or 0) * weights[OCCUPIED_HOSTS]
        case Repair() | Balance():
            return None
    weight = weights[LEFT if isinstance(wish.objective, Drain) else AWAY]
    return float(least or 0) * weight + int(room.transfer_bytes[going].sum()) / GIB


def _fewest_hosts(room: Room) -> int:
    """Hosts that cannot be emptied, or as many as the largest that bear all there is."""
    pinned: Flags = np.any(room.others > 0, axis=1)
    pinned[room.start[~room.open_to.any(axis=1)]] = True
    fewest = int(np.count_nonzero(pinned))
    if not len(room.ids):
        return fewest
    bearable = np.maximum(room.safe, room.used_at_start)
    for resource in range(len(room.resources)):
        largest = np.sort(bearable[:, resource])[::-1].cumsum()
        wanted = int(room.sizes[:, resource].sum() + room.others[:, resource].sum())
        fewest = max(fewest, int(np.searchsorted(largest, wanted)) + 1 if wanted else 0)
    return fewest
