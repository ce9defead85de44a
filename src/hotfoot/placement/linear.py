"""A linear program, and what its least value is proved not to be below. No I/O.

A solver holds a price for every row at its end. *Any* prices give a true bound, by arithmetic alone, since every
variable has limits: so the bound is reckoned anew from them, and no tolerance of the solver can make it a wrong one.
"""

from __future__ import annotations

import numpy as np
from ortools.linear_solver import pywraplp

from hotfoot.placement.room import Floats, Ints

_NOTHING = 1e-9
"""What the solver is not told of: GLOP takes so little for zero (preprocessor_zero_tolerance, 1e-9), and with weights
and ranges below that it was seen to end without an answer, or not before its time was over."""
_ROUNDING = 1e-12
"""Of all that is added up, by which the bound is lowered: float64 tells 1e-16 of a number, and sums are long."""


class LinearProgram:
    """The least cost * x with low <= x <= high, and in each row the sum of weight * x not below a number, or equal."""

    def __init__(self) -> None:
        self._low: list[Floats] = []
        self._high: list[Floats] = []
        self._cost: list[Floats] = []
        self._least: list[Floats] = []
        self._equal: list[bool] = []
        self._entries: list[tuple[Ints, Ints, Floats]] = []
        self._count = 0

    def variables(self, low: Floats, high: Floats, cost: Floats) -> Ints:
        """Add variables with limits, which are finite; returns their numbers."""
        self._low.append(low)
        self._high.append(np.maximum(low, high))
        self._cost.append(cost)
        self._count += len(low)
        return np.arange(self._count - len(low), self._count)

    def rows(self, least: Floats, *, equal: bool = False) -> Ints:
        """Add rows, each with what its sum is not below, or equal to; returns their numbers."""
        self._least.append(least)
        self._equal += [equal] * len(least)
        return np.arange(len(self._equal) - len(least), len(self._equal))

    def enter(self, rows: Ints, variables: Ints, weights: Floats) -> None:
        """Give variables their weights in rows, one by one; no pair of the two comes twice."""
        self._entries.append((rows, variables, weights))

    def bound(self, seconds: float) -> float | None:
        """Return what the least cost is not below; None: the solver did not end well within so many seconds.

        It solves a program without the smallest numbers; what is returned is true of the whole one.
        """
        low, high, cost, least = (np.concatenate(of) for of in (self._low, self._high, self._cost, self._least))
        row, variable, weight = (np.concatenate(of) for of in zip(*self._entries, strict=True))
        solver = pywraplp.Solver.CreateSolver("GLOP")
        most = np.where(high - low < _NOTHING, low, high)
        x = [solver.NumVar(*limits, "") for limits in zip(low.tolist(), most.tolist(), strict=True)]
        infinity = solver.infinity()
        sums = [
            solver.Constraint(one, one if equal else infinity)
            for one, equal in zip(least.tolist(), self._equal, strict=True)
        ]
        for one, price in zip(x, cost.tolist(), strict=True):
            solver.Objective().SetCoefficient(one, price)
        told = np.where(np.abs(weight) < _NOTHING, 0.0, weight)
        for at, of, much in zip(row.tolist(), variable.tolist(), told.tolist(), strict=True):
            sums[at].SetCoefficient(x[of], much)
        # Fifteen times as few steps as by the primal one, for the balance of 1,000 hosts.
        solver.SetSolverSpecificParametersAsString("use_dual_simplex:true")
        solver.SetTimeLimit(max(1, round(seconds * 1000)))
        if solver.Solve() != pywraplp.Solver.OPTIMAL:
            return None
        prices = np.array([each.dual_value() for each in sums])
        # Where a sum may be greater, a price below zero would prove nothing.
        prices = np.where(self._equal, prices, np.maximum(prices, 0.0))
        rest = cost - np.bincount(variable, weights=weight * prices[row], minlength=len(cost))
        parts = np.concatenate([prices * least, np.where(rest > 0, rest * low, rest * high)])
        return float(parts.sum() - _ROUNDING * np.abs(parts).sum())
