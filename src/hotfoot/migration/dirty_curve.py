"""How much memory a guest writes within a time: a curve fitted to measurements. Pure.

A page that is written twice is sent once, so what a guest dirties within t seconds grows ever slower with t. For
writes spread evenly over a working set of W bytes, at first r bytes/s, and for such that go over it in turn,

    D(t) = W (1 - exp(-r t / W)),        D(t) = min(r t, W),

and D(t) = r t where no end of the working set was seen (W infinite).

D is concave, so the two bounds that it stands between beyond the last measurement hold for every guest: it does not
fall, and it does not rise faster than before. (Working set: Denning 1968; the writable one: Clark et al. 2005.)
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

SAMPLE_BYTES = 1 << 21
"""Each page that QEMU's page-sampling looks at stands for so much memory: it takes 512 pages of each GiB."""
_MIB = 1 << 20
_TURNS_PER_S = tuple(0.02 * 1.07**n for n in range(103))  # r / W from 1/50 s to 1/0.05 s
PLAIN_ENOUGH = 4.0
"""A working set is believed in when it explains the points better than a straight line by two standard deviations."""
_AS_GOOD = 1.0
"""Of the curves within one standard deviation of the best the least bent: a rate that two points that are nearly equal
leave open is not taken for endless."""
_NINETY_PERCENT = 1.645
_NINETY_PERCENT_SQUARED = 2.706
_WELL_BEFORE = 0.7
"""Of the time that going over all takes: a guest that was only seen with all of its working set written again may have
written it in any order."""
_PARAMETERS = 2
"""Of a curve: rate and working set."""


@dataclass(frozen=True, slots=True)
class DirtyPoint:
    """So many different bytes were written within a time, give or take one standard deviation."""

    period_s: float
    dirtied_bytes: float
    error_bytes: float

    @classmethod
    def sampled(cls, period_s: float, mib_per_s: int, memory_bytes: int) -> DirtyPoint:
        """What page-sampling said: whole MiB/s, rounded down, from pages that were written or not (binomial)."""
        dirtied = min(float(memory_bytes), (mib_per_s + 0.5) * _MIB * period_s if mib_per_s else 0.0)
        share = dirtied / memory_bytes if memory_bytes else 0.0
        spread = math.sqrt(max(SAMPLE_BYTES, dirtied * (1 - share)) * SAMPLE_BYTES)
        return cls(period_s, dirtied, spread + 0.3 * _MIB * period_s)


@dataclass(frozen=True, slots=True)
class DirtyCurve:
    """``within`` never falls, is concave, and grows with each of the three figures."""

    rate_bytes_per_s: float
    """At first: the slope at 0."""
    working_set_bytes: float = math.inf
    ceiling_bytes: float = math.inf
    """More cannot be dirty, whatever is written: the memory that the guest uses."""
    in_turn: bool = False
    """Whether the working set is gone over in turn, so that no page is written twice before each was once."""

    def within(self, seconds: float) -> float:
        """Return how many different bytes are written within a time."""
        straight, most = self.rate_bytes_per_s * seconds, self.working_set_bytes
        if straight <= 0 or most <= 0:
            return 0.0
        if math.isinf(most) or self.in_turn:
            return min(straight, most, self.ceiling_bytes)
        return min(-most * math.expm1(-straight / most), self.ceiling_bytes)

    def added_to(self, left_bytes: float, seconds: float) -> float:
        """Return how many bytes are dirty after a time that began with so many.

        Of writes spread evenly some meet what is dirty already. What goes over its working set in turn comes back to
        what it wrote last only after all the rest.
        """
        written, most = self.within(seconds), max(self.most_bytes, left_bytes)
        if self.in_turn:
            return min(most, left_bytes + written)
        return left_bytes + (written * (1 - left_bytes / most) if most else 0.0)

    @property
    def most_bytes(self) -> float:
        """What it comes to in the end."""
        return min(self.working_set_bytes, self.ceiling_bytes)

    def slowed(self, percent: float) -> DirtyCurve:
        """The same guest with its vCPUs slowed down."""
        return replace(self, rate_bytes_per_s=self.rate_bytes_per_s * (1 - percent / 100))


@dataclass(frozen=True, slots=True)
class DirtyCurves:
    """The expected curve, and what it may be at worst and at best (each with 90 % confidence)."""

    low: DirtyCurve
    expected: DirtyCurve
    high: DirtyCurve


def fit(
    points: Sequence[DirtyPoint], ceiling_bytes: float, plain_enough: float = PLAIN_ENOUGH, *, exact: bool = False
) -> DirtyCurves:
    """Fit curves to one or more points by weighted least squares.

    With one point, or several on a line (chi squared less than ``plain_enough`` worse than the best), a straight line
    is expected. What else agrees with the points (chi squared within 2.7 of the best: 90 %) gives the bounds; where not
    even the best agrees with them (chi squared above the degrees of freedom), because the guest was not steady, all
    errors count for so much more (the scale factor of the Particle Data Group, *Review of Particle Physics*, 5.2).
    Curves that go over the working set in turn are tried only with points that are ``exact`` enough to tell them, of
    which one lies well before the end of it. Raises ValueError without a point.
    """
    if not points:
        raise ValueError("a dirty curve needs a measured point")
    line = _Fit.of(points, 0.0, in_turn=False)
    shortest_s = min(point.period_s for point in points)
    bent = [
        _Fit.of(points, turns, in_turn=in_turn)
        for turns in _TURNS_PER_S
        for in_turn in (False, True)
        if not in_turn or (exact and shortest_s * turns <= _WELL_BEFORE)
    ]
    best = min([line, *bent], key=lambda each: each.misfit)
    plain = line.misfit - best.misfit < plain_enough
    expected = line if plain else next(each for each in bent if each.misfit <= best.misfit + _AS_GOOD)
    scale = max(1.0, best.misfit / max(1, len(points) - _PARAMETERS))
    likely = [each for each in (line, *bent) if each.misfit <= best.misfit + _NINETY_PERCENT_SQUARED * scale]
    flattest, steepest = max(likely, key=lambda each: each.turns_per_s), min(likely, key=lambda each: each.turns_per_s)
    errors = _NINETY_PERCENT * math.sqrt(scale)
    return DirtyCurves(
        low=flattest.curve(-errors, ceiling_bytes),
        expected=expected.curve(0.0, ceiling_bytes),
        high=steepest.curve(errors, ceiling_bytes),
    )


@dataclass(frozen=True, slots=True)
class _Fit:
    turns_per_s: float
    """r / W: how often the working set would be written over in a second; 0 is a straight line."""
    in_turn: bool
    rate_bytes_per_s: float
    error_bytes_per_s: float
    misfit: float

    @classmethod
    def of(cls, points: Iterable[DirtyPoint], turns_per_s: float, *, in_turn: bool) -> _Fit:
        shape = DirtyCurve(1.0, 1 / turns_per_s if turns_per_s else math.inf, in_turn=in_turn)
        rows = [(shape.within(each.period_s), each.dirtied_bytes, 1 / each.error_bytes**2) for each in points]
        weight = sum(w * reach * reach for reach, _, w in rows)
        rate = sum(w * reach * dirtied for reach, dirtied, w in rows) / weight
        misfit = sum(w * (dirtied - rate * reach) ** 2 for reach, dirtied, w in rows)
        return cls(turns_per_s, in_turn, rate, 1 / math.sqrt(weight), misfit)

    def curve(self, errors: float, ceiling_bytes: float) -> DirtyCurve:
        rate = max(0.0, self.rate_bytes_per_s + errors * self.error_bytes_per_s)
        working_set = rate / self.turns_per_s if self.turns_per_s else math.inf
        return DirtyCurve(rate, working_set, ceiling_bytes, self.in_turn)
