"""Large neighbourhood search: parts of a cluster are placed anew by CP-SAT, one after the other. No I/O.

Keeps: what is returned is never worse than what was given, and every part that is accepted keeps what the exact model
keeps. For drain, restore and repair the first parts hold those that have to go, with the hosts that have most room for
them; so most drains of the largest clusters are over, and proved by ``floors.bound``, before any search begins.
"""

from __future__ import annotations

import numpy as np

from hotfoot.placement.exact import WORK_PER_S, Clock, fits_a_model, improve
from hotfoot.placement.floors import needed
from hotfoot.placement.room import Flags, Floats, Ints
from hotfoot.placement.task import Task
from hotfoot.placement.wish import Balance, Consolidate

_FIRST_HOSTS = 12
_MOST_INSTANCES = 1500
_MOST_WORK = 0.25
"""For one part, as CP-SAT counts it; about a second."""
_ROUND = 0.01
"""What a round takes beside it."""
_LEAST_GAIN = 1e-9
_PATIENCE = 40
"""Rounds without a gain after which the search ends, once the parts are as large as they may be."""


def make_way(task: Task, at: Ints, clock: Clock, until_s: float) -> Ints:
    """Return a placement in which those that have to go have gone, as far as growing parts of the cluster allow."""
    best = task.score(at).total
    count = len(task.room.host_names)
    width = _FIRST_HOSTS
    alone = True
    while clock() < until_s and task.least is not None:
        going = needed(task.room, task.wish, at)
        if not going.any() or (task.bound is not None and best <= task.bound + _LEAST_GAIN):
            break
        hosts = np.zeros(count, dtype=bool)
        hosts[at[going]] = True
        homes = task.room.home[going]
        hosts[homes[homes >= 0]] = True
        hosts[_roomy(task, at, going, width)] = True
        # The first part moves nobody else; each further one may.
        free = task.room.movable & (going if alone else hosts[at])
        if not fits_a_model(task, at, free, hosts):
            break
        found = improve(task, at, free, hosts, clock, until_s, task.wish.seconds * WORK_PER_S / 6)
        after = task.score(found.at).total
        if after < best - _LEAST_GAIN:
            at, best = found.at, after
        if task.score(at).terms[0].value <= (task.least or 0) * task.score(at).terms[0].weight:
            break
        if not alone and width >= count:
            break
        width, alone = (width if alone else width * 2), False
    return at


def polish(task: Task, at: Ints, clock: Clock, until_s: float, work: float) -> Ints:
    """Return a better placement, or the same: random parts of the cluster, growing while they are solved too fast.

    The same for the same seed, unless ``until_s`` of the clock comes before so much work is done.
    """
    random = np.random.default_rng(task.wish.seed)
    count = len(task.room.host_names)
    best = task.score(at).total
    width, idle, spent = min(count, _FIRST_HOSTS), 0, 0.0
    while clock() < until_s and spent < work:
        if task.bound is not None and best <= task.bound + _LEAST_GAIN:
            break
        hosts = _part(task, at, width, random)
        free = task.room.movable & hosts[at]
        if not fits_a_model(task, at, free, hosts):
            width, spent = max(2, width * 2 // 3), spent + _ROUND
            continue
        found = improve(task, at, free, hosts, clock, until_s, min(_MOST_WORK, work - spent))
        spent += found.work + _ROUND
        after = task.score(found.at).total
        if after < best - _LEAST_GAIN * max(1.0, abs(best)):
            at, best, idle = found.at, after, 0
            continue
        idle += 1
        if not found.proved:
            width = max(2, width - 1)
        elif idle % 5 == 0 and width < count and np.count_nonzero(free) < _MOST_INSTANCES:
            width = min(count, width + max(1, width // 3))
        if (found.proved and hosts.all()) or idle >= _PATIENCE:
            break
    return at


def _roomy(task: Task, at: Ints, going: Flags, width: int) -> Ints:
    """Return so many hosts with most room, and for each of those that have to go some where it may go."""
    slack = _slack(task, at)
    chosen = set(_first(np.where(task.room.takes, slack, -np.inf), width).tolist())
    free = task.room.safe - task.room.used(at)
    for one in np.flatnonzero(going).tolist():
        fits = task.room.open_to[one]
        after = (free - task.room.sizes[one]).min(axis=1, initial=2**62)
        enough = np.where(fits, slack + (after >= 0), -np.inf)
        chosen |= set(_first(enough, max(3, width // 4)).tolist())
    return np.array(sorted(chosen), dtype=np.int64)


def _slack(task: Task, at: Ints) -> Floats:
    """[H]: the share of the capacity that is free, of the scarcest resource."""
    room = task.room
    free = (room.safe - room.used(at)) / np.maximum(room.capacity, 1)
    slack: Floats = np.where(room.capacity > 0, free, 1.0).min(axis=1, initial=1.0)
    return slack


def _first(value: Floats, count: int) -> Ints:
    """Return the places of the greatest, best first; not of what is minus infinite."""
    order = np.argsort(-value, kind="stable")[:count]
    chosen: Ints = order[value[order] > -np.inf]
    return chosen


def _part(task: Task, at: Ints, width: int, random: np.random.Generator) -> Flags:
    """[H]: hosts to be placed anew together: half of them where there is most to gain, half at random."""
    room = task.room
    count = len(room.host_names)
    worth = np.zeros(count)
    objective = task.wish.objective
    if isinstance(objective, Balance) and task.levels is not None:
        worth = np.abs(task.levels.shares(at) - task.levels.mean).sum(axis=1)
    elif isinstance(objective, Consolidate):
        worth = np.where(np.bincount(at, minlength=count) > 0, 1.0 + _slack(task, at), 0.0)
    np.add.at(worth, at[at != room.start], 1.0)
    np.add.at(worth, room.start[at != room.start], 1.0)
    for bond in room.bonds:
        if bond.breaches(at):
            worth[at[bond.touched]] += 1.0
    shares = worth + worth.sum() * 1e-3 / count + 1e-12
    if width >= count:
        return np.ones(count, dtype=bool)
    half = max(1, width // 2)
    chosen = random.choice(count, size=half, replace=False, p=shares / shares.sum())
    hosts = np.zeros(count, dtype=bool)
    hosts[chosen] = True
    hosts[random.choice(count, size=width - half, replace=False)] = True
    return hosts
