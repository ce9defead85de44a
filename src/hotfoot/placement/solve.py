"""Where instances should be: the way to the answer by the size of the question. No I/O: the clock is handed in."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np

from hotfoot.placement.descent import Descent
from hotfoot.placement.divisible import least_of_balance
from hotfoot.placement.exact import WORK_PER_S, Clock, everything, fits_a_model, improve
from hotfoot.placement.plan import Score, Target
from hotfoot.placement.reasons import reasons
from hotfoot.placement.room import Ints
from hotfoot.placement.search import make_way, polish
from hotfoot.placement.snapshot import Snapshot
from hotfoot.placement.sweep import swept
from hotfoot.placement.task import Task, task_of
from hotfoot.placement.verify import faults
from hotfoot.placement.wish import Balance, Consolidate, Wish

_CLOSE = 1e-6


def solve(snapshot: Snapshot, wish: Wish, clock: Clock) -> Target:
    """Return the best placement that is found within ``wish.seconds`` of the clock (seconds that never run backwards).

    Keeps: the result is never worse than the start, and has been judged sound by ``verify.faults``, which knows nothing
    of the search; where it is not, the start is returned, and the remark says so. Raises HotfootError when the wish
    names what the snapshot has not.
    """
    until_s = clock() + wish.seconds
    task = task_of(snapshot, wish)
    start = task.room.start
    before = task.score(start)
    if remark := _nothing_to_do(task, before):
        return _stay(snapshot, task, before, remark)
    at, bound, solver = _sought(task, clock, until_s)
    after = task.score(at)
    hosts = {one: task.room.host_names[host] for one, host in zip(task.room.ids, at.tolist(), strict=True)}
    if wrong := faults(snapshot, wish, hosts):
        return _stay(snapshot, task, before, f"the result was thrown away, since it is not sound: {wrong[0]}")
    if after.total >= before.total - _CLOSE * max(1.0, abs(before.total)) * 1e-3:
        return _stay(snapshot, task, before, "no allowed move makes it better", bound)
    if remark := _too_little(task, before, after):
        return _stay(snapshot, task, before, remark, bound)
    bound = None if bound is None else min(bound, after.total)
    return Target(
        hosts=hosts,
        before=before,
        after=after,
        bound=bound,
        gap=_gap(after, bound),
        solver=solver,
        reasons=reasons(snapshot, task, at),
        remark=None,
    )


def _sought(task: Task, clock: Clock, until_s: float) -> tuple[Ints, float | None, Literal["exact", "search"]]:
    """Return a placement, what no placement can be below, and who found it."""
    whole_s = until_s - clock()
    work = task.wish.seconds * WORK_PER_S
    at = make_way(task, task.room.start, clock, clock() + whole_s * 0.5)
    if isinstance(task.wish.objective, Balance) and task.levels is not None:
        levels, objective = task.levels, task.wish.objective
        descent = Descent(task, levels, objective, at)
        stop_s = clock() + whole_s * 0.5
        descent.run(lambda: clock() < stop_s)
        at = descent.at
        left_s = min(whole_s * 0.2, until_s - clock())
        task = replace(task, bound=least_of_balance(task.room, task.wish, objective, levels, max(0.0, left_s)))
    if task.bound is not None and task.score(at).total <= task.bound + _CLOSE:
        return at, task.bound, "exact"
    if isinstance(task.wish.objective, Consolidate):
        stop_s = clock() + whole_s * 0.5
        at = swept(task, at, lambda: clock() < stop_s)
    free, hosts = everything(task)
    if not fits_a_model(task, at, free, hosts):
        return polish(task, at, clock, until_s, work), task.bound, "search"
    if isinstance(task.wish.objective, Balance):
        # Proofs come late there, if at all: the better placement first.
        at = polish(task, at, clock, clock() + (until_s - clock()) * 0.5, work * 0.5)
        found = improve(task, at, free, hosts, clock, until_s, work * 0.5)
        at = _better(task, at, found.at)
    else:
        found = improve(task, at, free, hosts, clock, clock() + (until_s - clock()) * 0.7, work * 0.7)
        at = _better(task, at, found.at)
        if not found.proved:
            at = polish(task, at, clock, until_s, work * 0.3)
    return at, max(found.bound, task.bound or 0.0), "exact"


def _better(task: Task, one: Ints, other: Ints) -> Ints:
    return other if task.score(other).total < task.score(one).total else one


def _nothing_to_do(task: Task, before: Score) -> str | None:
    """Return why nothing is worth moving; None: something may be."""
    objective = task.wish.objective
    if isinstance(objective, Balance) and task.levels is not None:
        far = float(np.abs(task.levels.shares(task.room.start) - task.levels.mean).max(initial=0.0))
        if far <= objective.threshold:
            return f"no host is further than {far:.1%} from the mean, and up to {objective.threshold:.1%} is let be"
    if task.wish.most_moves == 0:
        return "no moves were allowed"
    if before.total <= _CLOSE * 1e-3:
        return "all is as it is wanted"
    return None


def _too_little(task: Task, before: Score, after: Score) -> str | None:
    objective = task.wish.objective
    if not isinstance(objective, Balance):
        return None
    gain = (before.total - after.total) / max(before.total, 1e-9)
    if gain >= objective.least_gain:
        return None
    least = f"less than {objective.least_gain:.2%} is not worth it"
    return f"the best that was found makes the score {gain:.2%} better, and {least}"


def _stay(snapshot: Snapshot, task: Task, before: Score, remark: str, bound: float | None = None) -> Target:
    bound = None if bound is None else min(bound, before.total)
    return Target(
        hosts={instance.id: instance.host for instance in snapshot.instances},
        before=before,
        after=before,
        bound=bound,
        gap=_gap(before, bound),
        solver="none",
        reasons=reasons(snapshot, task, task.room.start),
        remark=remark,
    )


def _gap(after: Score, bound: float | None) -> float | None:
    if bound is None:
        return None
    gap = (after.total - bound) / max(abs(after.total), 1e-9)
    return 0.0 if gap < _CLOSE else gap
