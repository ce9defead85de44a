"""The best placement that can be proved in the time there is, by CP-SAT. No I/O: the clock is handed in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from ortools.sat.python import cp_model

from hotfoot.placement.goals import Tier, tiers_of
from hotfoot.placement.groups import groups_of
from hotfoot.placement.model import PlacementModel
from hotfoot.placement.room import Flags, Ints
from hotfoot.placement.task import Task

Clock = Callable[[], float]
"""Seconds that never run backwards."""
WORK_PER_S = 0.25
"""What CP-SAT counts as work, and does at least in a second of a slow core. Limits are set in it, so that answers do
not depend on the speed of the machine; time is only the last resort."""
MOST_NUMBERS = 30_000
"""A model of more whole numbers than this is not made: to build it alone takes seconds, and in the end gigabytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A placement, and what is proved of it."""

    at: Ints
    bound: float
    """No placement of the modelled part has a lower score."""
    proved: bool
    """It is the best of the modelled part."""
    work: float
    """What it took, as CP-SAT counts it."""


def improve(task: Task, at: Ints, free: Flags, hosts: Flags, clock: Clock, until_s: float, work: float) -> Found:
    """Return the best placement in which only ``free`` instances ([I]) on ``hosts`` ([H]) are elsewhere than in ``at``.

    The same for the same seed, unless ``until_s`` of the clock comes before so much work is done.
    """
    put = PlacementModel(task.room, task.wish, task.amounts, at, free, hosts)
    tiers = tiers_of(put, task.levels, task.weights)
    bound, proved, spent = 0.0, True, 0.0
    first = task.score(at).terms[0]
    for number, tier in enumerate(tiers):
        if number == 0 and task.least is not None and first.value <= task.least * first.weight:
            # Nothing can be better in this than what there is: on to the next.
            put.model.add(tier.value <= task.least)
            bound += task.least * tier.unit
            continue
        last = number == len(tiers) - 1
        share = 1.0 if last else 0.5
        seconds = max(0.01, (until_s - clock()) * share)
        solver, status = _minimised(put, tier, task.wish.seed, seconds, (work - spent) * share)
        spent += solver.response_proto.deterministic_time
        if proved and status in (cp_model.OPTIMAL, cp_model.FEASIBLE, cp_model.UNKNOWN):
            bound += max(0.0, solver.best_objective_bound * tier.unit - tier.slack)
        if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
            return Found(at=at, bound=bound, proved=False, work=spent)
        at = put.placement(solver)
        proved = proved and status == cp_model.OPTIMAL
        if not last:
            put.model.add(tier.value <= round(solver.objective_value))
            put.hint(at)
    # Proved is proved, whatever rounding took off the bound.
    return Found(at=at, bound=task.score(at).total if proved else bound, proved=proved, work=spent)


def _minimised(
    put: PlacementModel, tier: Tier, seed: int, seconds: float, work: float
) -> tuple[cp_model.CpSolver, cp_model.CpSolverStatus]:
    put.model.minimize(tier.value)
    solver = cp_model.CpSolver()
    solver.parameters.random_seed = seed
    solver.parameters.num_workers = 1
    # Else it takes Ctrl-C for itself, and leaves it deadly afterwards: the handlers of a plan under way would be gone.
    solver.parameters.catch_sigint_signal = False
    solver.parameters.max_time_in_seconds = seconds
    solver.parameters.max_deterministic_time = max(1e-3, work)
    # Symmetries are broken against the hint, which is then of no use: hosts that are alike are, here, not in the way.
    solver.parameters.symmetry_level = 0
    return solver, solver.solve(put.model)


def everything(task: Task) -> tuple[Flags, Flags]:
    """Return the flags with which ``improve`` models the whole cluster."""
    return task.room.movable, np.ones(len(task.room.host_names), dtype=bool)


def fits_a_model(task: Task, at: Ints, free: Flags, hosts: Flags) -> bool:
    """Whether this part of the cluster is small enough for ``improve``."""
    groups = groups_of(task.room, task.wish, task.amounts, at, free & hosts[at] & task.room.movable, hosts)
    return sum(len(group.most_on) for group in groups) <= MOST_NUMBERS
