"""What the search reads, and the sums that it keeps of an assignment. Pure.

A resource's load cost and a balance cost have one form: a weight times what a sum over the machine's processes is
above a constant of the machine. So has usage beyond capacity, which the search may pass through at a price. All are
columns of one table, multiplied by their weights, and what is wanted of a machine is what is above 0 in its row, added
up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from benchmarks.machine_reassignment.problem import Ints, Problem
from numpy.typing import NDArray

BLOCK = 4
"""Columns that the processor adds at once; each part of the table is filled up with zeros to whole blocks."""
_DRAWS = 1 << 14


class Tables(NamedTuple):
    """What does not change while searching."""

    demand: Ints
    """[2P + 1, W]: what a process adds to its machine's sums; in row P + p if that is the machine it was on at first,
    where it does not add what is transient. The last row adds nothing."""
    paid_from: int
    """The column at which usage beyond capacity ends, and what is paid for begins."""
    neighbourhood: Ints
    """[M]"""
    location: Ints
    """[M]"""
    machine_move: Ints
    """[M, M], weighted."""
    process_move: Ints
    """[P], weighted."""
    left_behind: Ints
    """[P]: what stays taken on the machine that it was on at first, once it has left, in units of load cost."""
    service_move_weight: int
    spread: Ints
    """[S]"""
    needs_from: Ints
    """[S + 1]: where the services that one depends on begin in ``needs``."""
    needs: Ints
    needed_from: Ints
    """[S + 1]: where the services that depend on one begin in ``needed``."""
    needed: Ints
    members_from: Ints
    """[S + 1]: where the processes of one begin in ``members``."""
    members: Ints
    service: Ints
    """[P]"""
    start: Ints
    """[P]"""
    by_size: Ints
    """[P]: processes, the smallest first."""
    rank: Ints
    """[P]: the place of each in ``by_size``."""
    distance: Ints
    """How far apart in ``by_size`` two are that may change places: each order of magnitude as often as any other."""
    exponential: NDArray[np.float64]
    """Quantiles of the exponential distribution of mean 1: a rise of cost below temperature times one of them is
    accepted as often as Metropolis does."""


class State(NamedTuple):
    """An assignment, with the sums that make a move cheap to judge. Changed in place."""

    at: Ints
    """[P]: machine."""
    sums: Ints
    """[M, W]: usage beyond capacity, usage above safety, balance."""
    beyond: Ints
    """[M]: usage beyond capacity; 0 on all machines: capacities are kept."""
    paid: Ints
    """[M]: load and balance costs."""
    there: NDArray[np.uint8]
    """[S, M]: whether a machine has a process of a service."""
    in_location: NDArray[np.int32]
    """[S, locations]: processes."""
    in_neighbourhood: NDArray[np.int32]
    """[S, neighbourhoods]: processes."""
    locations: Ints
    """[S]: how many it is in."""
    moved: Ints
    """[S]: processes that are not where they were at first."""
    services_moved: Ints
    """[most processes of a service + 1]: how many services have so many moved."""
    most_moved: Ints
    """[1]"""
    random: NDArray[np.uint64]
    """[1]: of the random number generator; never 0."""


def tables(problem: Problem) -> Tables:
    """Return the tables of a problem."""
    first, second, target, weight = problem.balance.T
    # target * free(first) - free(second) grows by this with each process.
    balanced = problem.requirement[:, second] - target * problem.requirement[:, first]
    taken = problem.requirement * _capacity_weight(problem)
    paid = [problem.requirement * problem.load_weight, balanced * weight]
    away, home = _row([taken], paid), _row([np.where(problem.transient, 0, taken)], paid)
    services = len(problem.spread)
    pairs = np.array(problem.needs, dtype=np.int64).reshape(-1, 2)
    needs_from, needs = _grouped(pairs[:, 0], pairs[:, 1], services)
    needed_from, needed = _grouped(pairs[:, 1], pairs[:, 0], services)
    members_from, members = _grouped(problem.service, np.arange(len(problem.start)), services)
    by_size = np.argsort(taken.sum(axis=1), kind="stable")
    quantiles = (np.arange(_DRAWS) + 0.5) / _DRAWS
    distance = np.maximum(1.0, len(by_size) / 2) ** quantiles
    return Tables(
        demand=np.vstack([away, home, np.zeros((1, away.shape[1]), dtype=np.int64)]),
        paid_from=_filled([taken]).shape[1],
        neighbourhood=problem.neighbourhood,
        location=problem.location,
        machine_move=np.ascontiguousarray(problem.machine_move_cost * problem.machine_move_weight),
        process_move=problem.process_move_cost * problem.process_move_weight,
        left_behind=np.where(problem.transient, taken, 0).sum(axis=1),
        service_move_weight=problem.service_move_weight,
        spread=problem.spread,
        needs_from=needs_from,
        needs=needs,
        needed_from=needed_from,
        needed=needed,
        members_from=members_from,
        members=members,
        service=problem.service,
        start=problem.start,
        by_size=by_size,
        rank=np.argsort(by_size),
        distance=(distance * np.where(np.arange(_DRAWS) % 2, 1, -1)).astype(np.int64),
        exponential=-np.log(quantiles),
    )


def state(problem: Problem, at: Ints, seed: int) -> State:
    """Return the state of an assignment ([P] of machines) that breaks no constraint, unless that of capacity."""
    machines, services = len(problem.capacity), len(problem.spread)
    usage = np.zeros_like(problem.capacity)
    np.add.at(usage, at, problem.requirement)
    away = np.flatnonzero(at != problem.start)
    kept = np.zeros_like(usage)
    np.add.at(kept, problem.start[away], problem.requirement[away])
    free = problem.capacity - usage
    first, second, target, weight = problem.balance.T
    beyond = (np.where(problem.transient, kept, 0) - free) * _capacity_weight(problem)
    paid = [(usage - problem.safety) * problem.load_weight, weight * (target * free[:, first] - free[:, second])]
    there = np.zeros((services, machines), dtype=np.uint8)
    there[problem.service, at] = 1
    in_location = np.zeros((services, int(problem.location.max()) + 1), dtype=np.int32)
    np.add.at(in_location, (problem.service, problem.location[at]), 1)
    in_neighbourhood = np.zeros((services, int(problem.neighbourhood.max()) + 1), dtype=np.int32)
    np.add.at(in_neighbourhood, (problem.service, problem.neighbourhood[at]), 1)
    moved = np.bincount(problem.service[away], minlength=services)
    largest = int(np.bincount(problem.service, minlength=services).max())
    return State(
        at=at.copy(),
        sums=_row([beyond], paid),
        beyond=np.maximum(0, beyond).sum(axis=1),
        paid=np.maximum(0, np.hstack(paid)).sum(axis=1),
        there=there,
        in_location=in_location,
        in_neighbourhood=in_neighbourhood,
        locations=np.count_nonzero(in_location, axis=1),
        moved=moved,
        services_moved=np.bincount(moved, minlength=largest + 1),
        most_moved=np.array([moved.max()]),
        random=np.array([(seed * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF) | 1], dtype=np.uint64),
    )


def _capacity_weight(problem: Problem) -> Ints:
    """[R]: what usage beyond capacity weighs: as much as load, so that resources of all units compare."""
    weight: Ints = np.maximum(1, problem.load_weight)
    return weight


def _row(beyond: Sequence[Ints], paid: Sequence[Ints]) -> Ints:
    """Return both parts side by side."""
    return np.ascontiguousarray(np.hstack([_filled(beyond), _filled(paid)]))


def _filled(columns: Sequence[Ints]) -> Ints:
    table = np.hstack(columns)
    return np.pad(table, ((0, 0), (0, -table.shape[1] % BLOCK)))


def _grouped(group: Ints, member: Ints, groups: int) -> tuple[Ints, Ints]:
    """Return where the members of each group begin, and the members."""
    begins = np.zeros(groups + 1, dtype=np.int64)
    np.cumsum(np.bincount(group, minlength=groups), out=begins[1:])
    return begins, member[np.argsort(group, kind="stable")]
