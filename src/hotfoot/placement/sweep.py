"""Consolidate one host after the other, small and empty ones first, for clusters of any size. Pure, NumPy.

Keeps: a host's instances go all or not at all, to hosts that are not empty; no step exceeds a safety capacity, breaks a
hard rule more often than at the start, or moves more instances than the wish allows. So the score falls with each.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

import numpy as np

from hotfoot.placement.room import Ints
from hotfoot.placement.rules import Bond
from hotfoot.placement.task import Task


def swept(task: Task, at: Ints, go_on: Callable[[], bool]) -> Ints:
    """Return a placement with as many hosts emptied as one sweep can, until ``go_on`` says no."""
    room = task.room
    bonds: dict[int, list[Bond]] = defaultdict(list)
    for bond in room.bonds:
        if bond.hard:
            for one in bond.touched.tolist():
                bonds[one].append(bond)
    limits = {bond.name: bond.breaches(room.start) for bond in room.bonds}
    for host in _in_order(task, at):
        if not go_on():
            break
        tried = _without(task, at, host, bonds, limits)
        if tried is not None:
            at = tried
    return at


def _in_order(task: Task, at: Ints) -> list[int]:
    room = task.room
    # Small hosts before large ones, too: those that stay are to have much room.
    typical = np.maximum(room.capacity.mean(axis=0), 1)
    worth = ((room.used(at) + room.capacity) / typical).max(axis=1, initial=0.0)
    count = len(room.host_names)
    there = np.bincount(at, minlength=count)
    stay = np.bincount(at[~room.movable], minlength=count) > 0
    chosen = np.flatnonzero((there > 0) & ~stay & ~(room.others > 0).any(axis=1))
    order: list[int] = chosen[np.argsort(worth[chosen], kind="stable")].tolist()
    return order


def _without(task: Task, at: Ints, host: int, bonds: dict[int, list[Bond]], limits: dict[str, int]) -> Ints | None:
    """Return the placement without anything on this host; None: it does not all fit elsewhere."""
    room = task.room
    residents = np.flatnonzero(at == host)
    at, used = at.copy(), room.used(at)
    full = np.bincount(at, minlength=len(room.host_names)) > 0
    full[host] = False
    bulk = (room.sizes[residents] / np.maximum(room.capacity[host], 1)).max(axis=1, initial=0.0)
    for one in residents[np.argsort(-bulk, kind="stable")].tolist():
        after = used + room.sizes[one]
        fits = ((after <= room.safe) | (room.sizes[one] == 0)).all(axis=1) & full & room.open_to[one]
        for bond in bonds.get(one, ()):
            fits &= bond.breaches_with(at, one) <= limits[bond.name]
        if not fits.any():
            return None
        # Where least is left over: room that is whole is of more use than room in pieces.
        left = ((room.safe - after) / np.maximum(room.capacity, 1)).min(axis=1, initial=1.0)
        there = int(np.argmin(np.where(fits, left, np.inf)))
        at[one] = there
        used[host] -= room.sizes[one]
        used[there] += room.sizes[one]
    most = task.wish.most_moves
    return at if most is None or int(np.count_nonzero(at != room.start)) <= most else None
