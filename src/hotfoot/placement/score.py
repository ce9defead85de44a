"""How far a placement is from what is wanted, term by term. Pure; docs/placement.md explains each term.

All objectives but *balance* are lexicographic: what they are for, then soft rules and bytes. The weight of the first is
a power of ten that is more than all that the others can add up to, so that no number of bytes ever outweighs it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hotfoot.placement.plan import Score, Term
from hotfoot.placement.room import Flags, Floats, Ints, Room
from hotfoot.placement.snapshot import Snapshot
from hotfoot.placement.wish import GIB, Balance, Consolidate, Drain, Repair, Restore, Wish

LEFT = "left"
AWAY = "away"
OCCUPIED_HOSTS = "occupied_hosts"
HARD_RULES = "hard_rules"
SOFT_RULES = "soft_rules"
MOVED_GIB = "moved_gib"
IN_MAINTENANCE = "in_maintenance"
OVER_SAFETY = "over_safety"


@dataclass(frozen=True, slots=True, kw_only=True)
class Levels:
    """What is balanced: K quantities in the order of ``Balance.what``, sizes or measured loads."""

    names: tuple[str, ...]
    amounts: Floats
    """[I, K]: what each instance takes."""
    base: Floats
    """[H, K]: what is taken by none of the instances."""
    capacity: Floats
    """[H, K]: 0 where the host is not judged: it is down, in maintenance, or has none of it."""
    mean: Floats
    """[K]: the share of the capacity that every host would have if all were alike. Taken from the start, with what
    is on hosts in maintenance and without what is on hosts that are down; the same for every placement."""

    @property
    def typical(self) -> Floats:
        """[K]: the mean capacity of the judged hosts; 1 where there is none."""
        judged = np.count_nonzero(self.capacity > 0, axis=0)
        typical: Floats = np.where(judged > 0, self.capacity.sum(axis=0) / np.maximum(judged, 1), 1.0)
        return typical

    def used(self, at: Ints) -> Floats:
        """[H, K]: what is taken with this placement."""
        used = self.base.copy()
        np.add.at(used, at, self.amounts)
        return used

    def shares(self, at: Ints) -> Floats:
        """[H, K]: the part of its capacity that is taken, the mean where a host is not judged."""
        judged = self.capacity > 0
        shares: Floats = np.where(judged, self.used(at) / np.where(judged, self.capacity, 1.0), self.mean)
        return shares


def levels_of(snapshot: Snapshot, room: Room, objective: Balance) -> Levels:
    """Return what is to be balanced."""
    what = objective.what
    if objective.measured:
        amounts = [[instance.load.get(name, 0.0) for name in what] for instance in snapshot.instances]
        base = [[host.load.get(name, 0.0) for name in what] for host in snapshot.hosts]
        capacity = [[host.load_capacity.get(name, 0.0) for name in what] for host in snapshot.hosts]
    else:
        chosen = [room.resources.index(name) for name in what]
        amounts, base, capacity = (table[:, chosen].tolist() for table in (room.sizes, room.others, room.capacity))
    shape = (-1, len(what))
    of_instance, of_host = np.array(amounts, dtype=np.float64).reshape(shape), np.array(base, dtype=np.float64)
    judged = (room.up & ~room.maintenance)[:, None] & (np.array(capacity) > 0)
    borne = np.where(judged, np.array(capacity, dtype=np.float64), 0.0)
    counted = judged[room.start] | (room.up & room.maintenance)[room.start][:, None]
    total = np.where(judged, of_host, 0.0).sum(axis=0) + np.where(counted, of_instance, 0.0).sum(axis=0)
    whole = borne.sum(axis=0)
    mean = np.divide(total, whole, out=np.zeros(len(what)), where=whole > 0)
    return Levels(names=what, amounts=of_instance, base=of_host, capacity=borne, mean=mean)


def weights_of(room: Room, wish: Wish) -> Mapping[str, float]:
    """Return the weight of each term; the same for every placement."""
    if isinstance(wish.objective, Balance):
        return {MOVED_GIB: wish.objective.cost_per_gib}
    moved = int(room.transfer_bytes.sum()) / GIB
    soft = sum(bond.weight * bond.most_breaches for bond in room.bonds if not bond.hard)
    if isinstance(wish.objective, Repair):
        above_bytes = _power_above(moved)
        return {SOFT_RULES: above_bytes, HARD_RULES: above_bytes * _power_above(soft)}
    above = _power_above(moved + soft)
    return {LEFT: above, AWAY: above, OCCUPIED_HOSTS: above}


def score(room: Room, wish: Wish, levels: Levels | None, at: Ints) -> Score:
    """Return the score of a placement (I host numbers); ``levels`` is needed for the objective balance alone."""
    weights = weights_of(room, wish)
    counts: dict[str, float] = {}
    match wish.objective:
        case Drain():
            counts[LEFT] = int(np.count_nonzero(room.drained[at]))
        case Restore():
            counts[AWAY] = int(np.count_nonzero((room.home >= 0) & (at != room.home)))
        case Consolidate():
            counts[OCCUPIED_HOSTS] = int(np.count_nonzero(occupied(room, at)))
        case Repair():
            counts[HARD_RULES] = sum(bond.breaches(at) for bond in room.bonds if bond.hard)
        case Balance():
            assert levels is not None
            counts |= _unevenness(levels, at)
            counts[IN_MAINTENANCE] = _in_maintenance(room, levels, at)
            counts[OVER_SAFETY] = over_safety(room, at)
    counts[SOFT_RULES] = sum(bond.weight * bond.breaches(at) for bond in room.bonds if not bond.hard)
    counts[MOVED_GIB] = int(room.transfer_bytes[at != room.start].sum()) / GIB
    return Score(
        terms=tuple(
            Term(name=name, value=count * weights.get(name, 1.0), weight=weights.get(name, 1.0))
            for name, count in counts.items()
        )
    )


def occupied(room: Room, at: Ints) -> Flags:
    """[H]: hosts that are not empty: an instance is there, or something that planning does not know."""
    there: Flags = np.any(room.others > 0, axis=1)
    there[at] = True
    return there


def over_safety(room: Room, at: Ints) -> float:
    """Return the sum of the shares of capacities that are taken above the safety capacity, over hosts that are up and
    not in maintenance, and all resources of which they have any.
    """
    judged = (room.up & ~room.maintenance)[:, None] & (room.capacity > 0)
    over = np.maximum(0, room.used(at) - room.safe)
    return float((over / np.maximum(room.capacity, 1))[judged].sum())


def _unevenness(levels: Levels, at: Ints) -> dict[str, float]:
    shares = levels.shares(at)
    judged = levels.capacity > 0
    spread = np.abs((shares - levels.mean) * levels.capacity / levels.typical).sum(axis=0)
    worst = np.where(judged, shares - levels.mean, 0.0).max(axis=0, initial=0.0)
    terms: dict[str, float] = {}
    for at_number, name in enumerate(levels.names):
        terms[f"spread_{name}"] = float(spread[at_number])
        terms[f"worst_{name}"] = float(worst[at_number])
    return terms


def _in_maintenance(room: Room, levels: Levels, at: Ints) -> float:
    hidden = (room.up & room.maintenance)[at]
    return float((levels.amounts[hidden] / levels.typical).sum())


def _power_above(amount: float) -> float:
    return float(10 ** math.ceil(math.log10(max(1.0, amount) + 1.0)))
