"""What an assignment costs, and which constraints it breaks, from the definitions alone. Pure.

Shares nothing with the search, so that a mistake there shows here.
"""

from __future__ import annotations

import numpy as np
from benchmarks.machine_reassignment.problem import Ints, Problem


def faults(problem: Problem, at: Ints) -> list[str]:
    """Return what is wrong with an assignment ([P] of machines), one sentence each; none: it is feasible."""
    machines = len(problem.capacity)
    if len(at) != len(problem.start) or (len(at) and (at.min() < 0 or at.max() >= machines)):
        return [f"It names {len(at)} machines for {len(problem.start)} processes, or one that is not there."]
    found: list[str] = []
    taken = _usage(problem, at)
    moved = np.flatnonzero(at != problem.start)
    left = np.zeros_like(taken)
    np.add.at(left, problem.start[moved], problem.requirement[moved])
    taken += np.where(problem.transient, left, 0)
    for machine, resource in np.argwhere(taken > problem.capacity).tolist():
        found.append(
            f"Machine {machine} is used beyond its capacity of resource {resource}: {taken[machine, resource]} of "
            f"{problem.capacity[machine, resource]}."
        )
    pairs, times = np.unique(np.stack([problem.service, at]), axis=1, return_counts=True)
    for service, machine in pairs[:, times > 1].T.tolist():
        found.append(f"Machine {machine} has more than one process of service {service}.")
    places = _pairs(problem.service, problem.location[at])
    counts = np.bincount([service for service, _ in places], minlength=len(problem.spread))
    present = np.bincount(problem.service, minlength=len(problem.spread)) > 0
    for service in np.flatnonzero(present & (counts < problem.spread)).tolist():
        found.append(f"Service {service} is in {counts[service]} locations instead of {problem.spread[service]}.")
    areas = _pairs(problem.service, problem.neighbourhood[at])
    by_service: dict[int, set[int]] = {}
    for service, area in areas:
        by_service.setdefault(service, set()).add(area)
    for service, other in problem.needs:
        for area in sorted(by_service.get(service, set()) - by_service.get(other, set())):
            found.append(f"Service {service} is in neighbourhood {area} without service {other}, on which it depends.")
    return found


def cost(problem: Problem, at: Ints) -> int:
    """Return the cost of a feasible assignment ([P] of machines)."""
    usage = _usage(problem, at)
    total = int((problem.load_weight * np.maximum(0, usage - problem.safety)).sum())
    free = problem.capacity - usage
    for first, second, target, weight in problem.balance.tolist():
        total += weight * int(np.maximum(0, target * free[:, first] - free[:, second]).sum())
    moved = at != problem.start
    total += problem.process_move_weight * int(problem.process_move_cost[moved].sum())
    total += problem.service_move_weight * int(np.bincount(problem.service[moved]).max(initial=0))
    return total + problem.machine_move_weight * int(problem.machine_move_cost[problem.start, at].sum())


def _usage(problem: Problem, at: Ints) -> Ints:
    """Return what is taken, [M, R]."""
    usage = np.zeros_like(problem.capacity)
    np.add.at(usage, at, problem.requirement)
    return usage


def _pairs(first: Ints, second: Ints) -> list[tuple[int, int]]:
    return list(dict.fromkeys(zip(first.tolist(), second.tolist(), strict=True)))
