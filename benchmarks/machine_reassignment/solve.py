"""The search: rounds of annealing on two threads, each from the best so far. No I/O.

Keeps: what is returned breaks no constraint and is never worse than the start, whenever the time is over; both are
looked at by ``judge``, which shares nothing with the search. With a number of tries instead of a time, it is the same
for a seed.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Event

import numpy as np
from benchmarks.machine_reassignment.anneal import anneal
from benchmarks.machine_reassignment.judge import cost, faults
from benchmarks.machine_reassignment.problem import Ints, Problem
from benchmarks.machine_reassignment.tables import Tables, state, tables

Clock = Callable[[], float]
_STRIDE = 100_000
"""Tries between two looks at the clock, at the temperature, and at whether the assignment is the best."""
_FORBIDDEN = 1e6
"""The price of usage beyond capacity at which no gain makes up for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One annealing on each thread, as shares and multiples, so that it fits problems of any size.

    Temperatures are multiples of the best cost so far divided by the number of processes, and fall evenly on a
    logarithmic scale; so rises the price, until it becomes forbidding.
    """

    share: float
    """Of the whole effort."""
    hot: tuple[float, ...]
    """At which temperature each thread begins."""
    cold: float
    """At which all end."""
    price: tuple[tuple[float, float], ...]
    """Of usage beyond capacity, from and to, on each thread; a load weight is 1."""
    rent: tuple[tuple[float, float], ...]
    """Of what moved processes still take on their first machines, from and to, on each thread; a load weight is 1."""
    firm: float = 0.8
    """The share of the round after which usage beyond capacity is forbidden, and there is no rent."""


ROUNDS = (
    Round(share=0.05, hot=(1e-4, 1e-4), cold=1e-4, price=((1e3, 1e3),) * 2, rent=((3.0, 3e-3),) * 2),
    Round(share=0.75, hot=(2.5, 0.3), cold=3e-3, price=((1.0, 1e3), (0.3, 1e2)), rent=((3.0, 3e-2), (1.0, 1e-2))),
    Round(share=0.20, hot=(0.1, 0.02), cold=1e-4, price=((10.0, 1e3),) * 2, rent=((1e-2, 1e-3),) * 2),
)
"""Down to where the cost says something of the temperature; the long one; what it leaves to be gained nearby. In the
long one a hot and a cool thread: which is the better differs between instances."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How long it may look."""

    began_s: float
    """On the clock."""
    until_s: float
    tries: int | None = None
    """Of each thread; None: as many as there is time for."""
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Found:
    """A feasible assignment, and what was tried for it."""

    at: Ints
    cost: int
    tries: int


def solve(problem: Problem, effort: Effort, clock: Clock) -> Found:
    """Return the best assignment found from a feasible start."""
    best = Found(problem.start, cost(problem, problem.start), 0)
    if not len(problem.start) or len(problem.capacity) == 1:
        return best
    fixed = tables(problem)
    begin, tries = 0.0, 0
    stop = Event()
    with ThreadPoolExecutor(len(ROUNDS[0].hot)) as pool:
        for number, one in enumerate(ROUNDS):
            runs = [
                _Run(
                    problem,
                    fixed,
                    effort,
                    one,
                    begin,
                    hot,
                    price,
                    rent,
                    effort.seed + 1000 * number + 100 * thread,
                    stop,
                )
                for thread, (hot, price, rent) in enumerate(zip(one.hot, one.price, one.rent, strict=True))
            ]
            try:
                ended = [each.result() for each in [pool.submit(run.go, best, clock) for run in runs]]
            except BaseException:
                stop.set()
                raise
            tries += sum(each.tries for each in ended)
            found = min(ended, key=lambda each: each.cost)
            if found.cost < best.cost and not faults(problem, found.at) and cost(problem, found.at) == found.cost:
                best = found
            begin += one.share
    return Found(best.at, best.cost, tries)


@dataclass(frozen=True, slots=True)
class _Run:
    """One thread's annealing in one round."""

    problem: Problem
    tables: Tables
    effort: Effort
    round: Round
    begin: float
    hot: float
    price: tuple[float, float]
    rent: tuple[float, float]
    seed: int
    stop: Event
    """Set when it was interrupted."""

    def go(self, best: Found, clock: Clock) -> Found:
        """Return the best that was met, which may be what it began with."""
        fixed, now = self.tables, state(self.problem, best.at, self.seed)
        at, least, total, tries = best.at, best.cost, best.cost, 0
        unit = best.cost / len(best.at)
        while (done := self._done(tries, clock)) < 1.0:
            temperature = unit * self.hot * (self.round.cold / self.hot) ** done
            rent = (self._rent(done) * fixed.left_behind).astype(np.int64)
            total += int(rent[now.at != fixed.start].sum())
            dearer = fixed._replace(process_move=fixed.process_move + rent)
            total += anneal(dearer, now, _STRIDE, temperature, self._price(done))
            total -= int(rent[now.at != fixed.start].sum())
            tries += _STRIDE
            if total < least and not now.beyond.any():
                at, least = now.at.copy(), total
        return Found(at, least, tries)

    def _price(self, done: float) -> float:
        if done >= self.round.firm:
            return _FORBIDDEN
        return self._between(self.price, done)

    def _rent(self, done: float) -> float:
        return 0.0 if done >= self.round.firm else self._between(self.rent, done)

    def _between(self, ends: tuple[float, float], done: float) -> float:
        """Return what lies between both on a logarithmic scale, before the round becomes firm."""
        first, last = ends
        share: float = (last / first) ** (done / self.round.firm)
        return first * share

    def _done(self, tries: int, clock: Clock) -> float:
        """Return how much of the round is over: by its tries, or by the time; no time left: all."""
        effort = self.effort
        now_s = clock()
        if now_s >= effort.until_s or self.stop.is_set():
            return 1.0
        if effort.tries is not None:
            return tries / max(1.0, effort.tries * self.round.share)
        whole_s = effort.until_s - effort.began_s
        return (now_s - effort.began_s - self.begin * whole_s) / (self.round.share * whole_s)
