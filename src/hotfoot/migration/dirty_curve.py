"""How much memory a guest writes within a time: a curve fitted to measurements. Pure.

A page that is written twice is sent once, so what a guest dirties within t seconds grows ever slower with t. For
writes spread evenly over a working set of W bytes, at first r bytes/s, and for such that go over it in turn,

    D(t) = W (1 - exp(-r t / W)),        D(t) = min(r t, W),

and D(t) = r t where no end of the working set was seen (W infinite). Of many guests a small part is hot: it takes most
of the writes. Theirs is the sum of two such curves, since one alone would end where the hot part does:

    D(t) = H (1 - exp(-s r t / H)) + (W - H) (1 - exp(-(1 - s) r t / (W - H)))

D is concave, so the two bounds that it stands between beyond the last measurement hold for every guest: it does not
fall, and it does not rise faster than before. (Working set: Denning 1968; the writable one: Clark et al. 2005.)
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import NamedTuple

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
_PARAMETERS, _PARAMETERS_OF_TWO = 2, 4
"""Of a curve: rate and working set; and both for each of two parts."""
_APART = 4.0
"""A part is hot when it is gone over so many times as often as the rest; from less, points do not tell two."""
_COARSE = 3
"""Two parts are tried with every third of the turns: there are two to be chosen."""
_NEXT_TO_NOTHING = 1e-9
_FAR = 10.0
"""Which curve is the flattest shows after so many times the longest period."""


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


class Dirty(NamedTuple):
    """How many bytes are dirty: of the hot part of a guest's working set, and of all else."""

    hot_bytes: float
    rest_bytes: float

    @property
    def all_bytes(self) -> float:
        """Hot or not."""
        return self.hot_bytes + self.rest_bytes

    def cut_to(self, left_bytes: float) -> Dirty:
        """Return what of it is left when so much was not sent: pages are sent by address, however hot they are."""
        share = left_bytes / self.all_bytes if self.all_bytes else 0.0
        return Dirty(self.hot_bytes * share, self.rest_bytes * share)


@dataclass(frozen=True, slots=True)
class DirtyCurve:
    """``within`` never falls, is concave, and grows with each of the three figures."""

    rate_bytes_per_s: float
    """At first: the slope at 0."""
    working_set_bytes: float = math.inf
    ceiling_bytes: float = math.inf
    """More cannot be dirty, whatever is written: the memory that the guest uses."""
    in_turn: bool = False
    """Whether the working set, but for a hot part, is gone over in turn: no page twice before each was written once."""
    hot_share: float = 0.0
    """So much of what is written goes to the hot part of the working set; 0: there is none."""
    hot_bytes: float = 0.0
    """Of the working set: no more than that."""

    def within(self, seconds: float) -> float:
        """Return how many different bytes are written within a time."""
        return min(self._hot_within(seconds) + self._rest_within(seconds), self.ceiling_bytes)

    def _hot_within(self, seconds: float) -> float:
        return _spread(self.rate_bytes_per_s * self.hot_share * seconds, self.hot_bytes)

    def _rest_within(self, seconds: float) -> float:
        straight = self.rate_bytes_per_s * (1 - self.hot_share) * seconds
        return min(straight, self._rest_bytes) if self.in_turn else _spread(straight, self._rest_bytes)

    @property
    def _rest_bytes(self) -> float:
        return max(0.0, self.working_set_bytes - self.hot_bytes)

    def added_to(self, left: Dirty, seconds: float) -> Dirty:
        """Return what is dirty after a time that began with so much.

        Of writes spread evenly some meet what is dirty already. What goes over its working set in turn comes back to
        what it wrote last only after all the rest.
        """
        hot = left.hot_bytes + _missed(self._hot_within(seconds), left.hot_bytes, self.hot_bytes)
        rest = min(self._rest_within(seconds), self.ceiling_bytes)
        if not self.in_turn:
            rest = _missed(rest, left.rest_bytes, min(self._rest_bytes, self.ceiling_bytes))
        most = max(self.most_bytes, left.all_bytes)
        return Dirty(min(hot, most), min(left.rest_bytes + rest, max(0.0, most - hot)))

    @property
    def most_bytes(self) -> float:
        """What it comes to in the end."""
        return min(self.working_set_bytes, self.ceiling_bytes)

    def slowed(self, percent: float) -> DirtyCurve:
        """The same guest with its vCPUs slowed down."""
        return self.scaled(1 - percent / 100)

    def scaled(self, rate: float, size: float = 1.0) -> DirtyCurve:
        """Return the curve of a guest that writes so many times as much, over so many times as large an area."""
        return replace(
            self,
            rate_bytes_per_s=rate * self.rate_bytes_per_s,
            working_set_bytes=size * self.working_set_bytes,
            hot_bytes=size * self.hot_bytes,
        )


def _spread(written_bytes: float, over_bytes: float) -> float:
    """How many different ones of so many bytes, written all over an area."""
    if written_bytes <= 0 or over_bytes <= 0:
        return 0.0
    return written_bytes if math.isinf(over_bytes) else -over_bytes * math.expm1(-written_bytes / over_bytes)


def _missed(written_bytes: float, dirty_bytes: float, over_bytes: float) -> float:
    """How many of the written bytes, all over an area, were not dirty already."""
    most = max(over_bytes, dirty_bytes)
    return written_bytes * (1 - dirty_bytes / most) if most else 0.0


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
    which one lies well before the end of it. So are those of two parts, which have to explain the points by
    ``plain_enough`` better for each of the two figures that they have more. Raises ValueError without a point.
    """
    if not points:
        raise ValueError("a dirty curve needs a measured point")
    line = _Fit.of(points, _LINE)
    shortest_s, longest_s = (extreme(point.period_s for point in points) for extreme in (min, max))
    bent = [
        _Fit.of(points, DirtyCurve(1.0, 1 / turns, in_turn=in_turn))
        for turns in _TURNS_PER_S
        for in_turn in (False, True)
        if not in_turn or (exact and shortest_s * turns <= _WELL_BEFORE)
    ]
    tried, parameters = [line, *bent], _PARAMETERS
    best = min(tried, key=lambda each: each.misfit)
    plain = line.misfit - best.misfit < plain_enough
    expected = line if plain else next(each for each in bent if each.misfit <= best.misfit + _AS_GOOD)
    two = list(_of_two_parts(points)) if exact and len(points) > _PARAMETERS_OF_TWO else []
    best_of_two = min(two, key=lambda each: each.misfit, default=best)
    unsteady = max(1.0, best_of_two.misfit / max(1, len(points) - _PARAMETERS_OF_TWO))
    if best.misfit - best_of_two.misfit >= plain_enough * (_PARAMETERS_OF_TWO - _PARAMETERS) * unsteady:
        tried, parameters, best, expected = two, _PARAMETERS_OF_TWO, best_of_two, best_of_two
    scale = max(1.0, best.misfit / max(1, len(points) - parameters))
    likely = [each for each in tried if each.misfit <= best.misfit + _NINETY_PERCENT_SQUARED * scale]
    by_reach = sorted(likely, key=lambda each: each.within(_FAR * longest_s))
    errors = _NINETY_PERCENT * math.sqrt(scale)
    return DirtyCurves(
        low=by_reach[0].curve(-errors, ceiling_bytes),
        expected=expected.curve(0.0, ceiling_bytes),
        high=by_reach[-1].curve(errors, ceiling_bytes),
    )


@dataclass(frozen=True, slots=True)
class _Fit:
    shape: DirtyCurve
    """Of a guest that writes one byte per second; the rate and all sizes grow with what the guest writes."""
    rate_bytes_per_s: float
    error_bytes_per_s: float
    misfit: float

    @classmethod
    def of(cls, points: Iterable[DirtyPoint], shape: DirtyCurve) -> _Fit:
        rows = [(shape.within(each.period_s), each.dirtied_bytes, 1 / each.error_bytes**2) for each in points]
        weight = sum(w * reach * reach for reach, _, w in rows)
        rate = sum(w * reach * dirtied for reach, dirtied, w in rows) / weight
        misfit = sum(w * (dirtied - rate * reach) ** 2 for reach, dirtied, w in rows)
        return cls(shape, rate, 1 / math.sqrt(weight), misfit)

    def within(self, seconds: float) -> float:
        return self.rate_bytes_per_s * self.shape.within(seconds)

    def curve(self, errors: float, ceiling_bytes: float) -> DirtyCurve:
        rate = max(0.0, self.rate_bytes_per_s + errors * self.error_bytes_per_s)
        endless = math.isinf(self.shape.working_set_bytes)
        return replace(
            self.shape,
            rate_bytes_per_s=rate,
            working_set_bytes=math.inf if endless else rate * self.shape.working_set_bytes,
            hot_bytes=rate * self.shape.hot_bytes,
            ceiling_bytes=ceiling_bytes,
        )


_LINE = DirtyCurve(1.0)


def _of_two_parts(points: Sequence[DirtyPoint]) -> Iterator[_Fit]:
    """Yield the best fit for each hot part with a rest that is gone over less often, or has no end."""
    weights = [1 / each.error_bytes**2 for each in points]
    found = [each.dirtied_bytes for each in points]
    tried = (0.0, *_TURNS_PER_S[::_COARSE])
    reaches = {
        turns: [(DirtyCurve(1.0, 1 / turns) if turns else _LINE).within(each.period_s) for each in points]
        for turns in tried
    }

    def dot(one: Sequence[float], other: Sequence[float]) -> float:
        return sum(w * a * b for w, a, b in zip(weights, one, other, strict=True))

    found_found = dot(found, found)
    of_itself = {turns: (dot(reach, reach), dot(reach, found)) for turns, reach in reaches.items()}
    for turns, hot_turns in product(tried, tried[1:]):
        if hot_turns < _APART * turns:
            continue
        (hot_hot, hot_found), (rest_rest, rest_found) = of_itself[hot_turns], of_itself[turns]
        hot_rest = dot(reaches[hot_turns], reaches[turns])
        # The normal equations by Cramer's rule; of two shapes that are the same in all points they tell nothing.
        determinant = hot_hot * rest_rest - hot_rest**2
        if determinant <= _NEXT_TO_NOTHING * hot_hot * rest_rest:
            continue
        hot = (hot_found * rest_rest - rest_found * hot_rest) / determinant
        rest = (rest_found * hot_hot - hot_found * hot_rest) / determinant
        if hot <= 0 or rest <= 0:
            continue
        rate, share = hot + rest, hot / (hot + rest)
        hot_bytes = share / hot_turns
        working_set = hot_bytes + (1 - share) / turns if turns else math.inf
        weight = (hot**2 * hot_hot + 2 * hot * rest * hot_rest + rest**2 * rest_rest) / rate**2
        misfit = max(0.0, found_found - hot * hot_found - rest * rest_found)
        yield _Fit(DirtyCurve(1.0, working_set, hot_share=share, hot_bytes=hot_bytes), rate, weight**-0.5, misfit)
