"""What is minimised in a placement model, one tier after the other. No I/O.

A tier is a whole number; times its unit it is what ``score.py`` calls the same. The tiers of a wish, each times its
unit, add up to the score of the placement, but for the rounding of a balance (1e-8 of a share in each summand).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from ortools.sat.python import cp_model

from hotfoot.placement.model import Expression, PlacementModel, total, weighted
from hotfoot.placement.room import Room
from hotfoot.placement.score import AWAY, HARD_RULES, LEFT, OCCUPIED_HOSTS, SOFT_RULES, Levels, occupied
from hotfoot.placement.wish import GIB, Balance, Consolidate, Drain, Repair, Restore

FINE = 10**8
"""Shares are whole numbers of a hundred-millionth: fine enough for 1,000 hosts, small enough for 64 bits."""
_SOFT_FINE = 10**6
_HEAVIEST = 1 << 48


@dataclass(frozen=True, slots=True)
class Tier:
    """One thing to be minimised."""

    value: Expression
    unit: float
    """What one of it adds to the score."""
    slack: float = 0.0
    """By how much, in the score, rounding can have changed it."""


def tiers_of(put: PlacementModel, levels: Levels | None, weights: Mapping[str, float]) -> Sequence[Tier]:
    """Return what is to be minimised, the most important first, and put what it needs on the model."""
    room, wish = put.room, put.wish
    fewest_bytes = Tier(_bytes(put) + _soft(put, GIB), 1 / GIB)
    match wish.objective:
        case Drain():
            return (Tier(_left(put), weights[LEFT]), fewest_bytes)
        case Restore():
            return (Tier(_away(put), weights[AWAY]), fewest_bytes)
        case Consolidate():
            return (Tier(_occupied(put), weights[OCCUPIED_HOSTS]), fewest_bytes)
        case Repair():
            hard = total([put.breaches(bond) for bond in room.bonds if bond.hard])
            soft = Tier(_soft(put, _SOFT_FINE), weights[SOFT_RULES] / _SOFT_FINE)
            return (Tier(hard, weights[HARD_RULES]), soft, Tier(_bytes(put), 1 / GIB))
        case Balance():
            assert levels is not None
            return (_unevenness(put, levels, wish.objective.cost_per_gib),)


def _bytes(put: PlacementModel) -> Expression:
    return weighted([leave for _, leave in put.leavers], [cost for cost, _ in put.leavers]) + put.fixed_bytes


def _soft(put: PlacementModel, fine: int) -> Expression:
    soft = [bond for bond in put.room.bonds if not bond.hard]
    # Heavier than anything else can be, and still within 64 bits; a bound stays one, since it can only be lower.
    return total([put.breaches(bond) * round(min(bond.weight * fine, _HEAVIEST)) for bond in soft])


def _left(put: PlacementModel) -> Expression:
    room = put.room
    here = [count for host in put.hosts if room.drained[host] for _, count in put.on(host)]
    return total(here) + int(np.count_nonzero(room.drained[put.at] & ~put.free))


def _away(put: PlacementModel) -> Expression:
    room = put.room
    wanted = np.flatnonzero(room.home >= 0).tolist()
    return len(wanted) - total([put.place(one).get(int(room.home[one]), 0) for one in wanted])


def _occupied(put: PlacementModel) -> Expression:
    room = put.room
    stays = occupied(room, put.at[~put.free])
    some = []
    for host in put.hosts:
        if stays[host]:
            continue
        there = put.on(host)
        used = put.model.new_bool_var("")
        for group, count in there:
            put.model.add(count <= min(group.most_on[host], len(group.members)) * used)
        _bear_if_used(put, host, used)
        some.append(used)
    return total(some) + int(np.count_nonzero(stays))


def _bear_if_used(put: PlacementModel, host: int, used: cp_model.IntVar) -> None:
    """Say that a host bears nothing unless it is used: follows from the rest, but makes a far better bound."""
    room: Room = put.room
    limits = np.maximum(room.safe[host], room.used_at_start[host])
    for resource, limit in enumerate(limits.tolist()):
        there = [(int(group.size[resource]), count) for group, count in put.on(host) if group.size[resource]]
        if there:
            put.model.add(weighted([count for _, count in there], [size for size, _ in there]) <= limit * used)


def _unevenness(put: PlacementModel, levels: Levels, cost_per_gib: float) -> Tier:
    room = put.room
    judged, typical = levels.capacity > 0, levels.typical
    kept = ~put.free
    base = levels.base.copy()
    np.add.at(base, put.at[kept], levels.amounts[kept])
    terms: list[Expression] = []
    rounded = 0
    for level in range(len(levels.names)):
        worst = put.model.new_int_var(0, 10**6 * FINE, "")
        terms.append(worst)
        for host in np.flatnonzero(judged[:, level]).tolist():
            capacity = float(levels.capacity[host, level])
            there = put.on(host) if host in put.hosts else []
            amounts = [float(group.amount[level]) for group, _ in there]
            counts = [count for _, count in there]
            rounded += sum(min(group.most_on[host], len(group.members)) for group, _ in there) + 1
            off = float(base[host, level]) - float(levels.mean[level]) * capacity
            far = put.model.new_int_var(0, 10**6 * FINE, "")
            typical_part = weighted(counts, [round(amount / typical[level] * FINE) for amount in amounts])
            put.model.add(far >= typical_part + round(off / typical[level] * FINE))
            put.model.add(far >= -typical_part - round(off / typical[level] * FINE))
            own_part = weighted(counts, [round(amount / capacity * FINE) for amount in amounts])
            put.model.add(worst >= own_part + round(off / capacity * FINE))
            terms.append(far)
        hidden = np.flatnonzero(room.up & room.maintenance)
        stays = float(levels.amounts[kept & np.isin(put.at, hidden), level].sum())
        terms.append(round(stays / typical[level] * FINE))
        for host in sorted(set(hidden.tolist()) & set(put.hosts)):
            terms += [
                count * round(float(group.amount[level]) / typical[level] * FINE) for group, count in put.on(host)
            ]
    terms += _over_safety(put)
    costs = [round(cost_per_gib * cost / GIB * FINE) for cost, _ in put.leavers]
    terms.append(weighted([leave for _, leave in put.leavers], costs))
    terms.append(round(cost_per_gib * put.fixed_bytes / GIB * FINE))
    terms.append(_soft(put, FINE))
    return Tier(total(terms), 1 / FINE, slack=0.5 * (2 * rounded + len(room.ids) + len(room.host_names)) / FINE)


def _over_safety(put: PlacementModel) -> list[Expression]:
    """Only where the start is above: newcomers never exceed a safety capacity."""
    room = put.room
    kept = ~put.free
    fixed = room.others.copy()
    np.add.at(fixed, put.at[kept], room.sizes[kept])
    judged = (room.up & ~room.maintenance)[:, None] & (room.capacity > 0) & (room.used_at_start > room.safe)
    terms: list[Expression] = []
    for host, resource in np.argwhere(judged).tolist():
        there = put.on(host) if host in put.hosts else []
        over = put.model.new_int_var(0, 10**6 * FINE, "")
        part = FINE / int(room.capacity[host, resource])
        counts = [count for _, count in there]
        sizes = [round(int(group.size[resource]) * part) for group, _ in there]
        put.model.add(
            over >= weighted(counts, sizes) + round(int(fixed[host, resource] - room.safe[host, resource]) * part)
        )
        terms.append(over)
    return terms
