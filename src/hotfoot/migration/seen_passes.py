"""What the passes of a running migration say of the dirty curve that was foretold. Pure.

A few passes of nearly the same length tell one figure, never a curve. So the curve that was measured before the start
keeps its shape, with its hot part, and is corrected by two factors, for the rate and for the sizes: of those that
explain the passes the likeliest ones, each the less likely the further it is from 1 (the greatest posterior
probability, with a log-normal prior). A guest that no such factors explain does something else than it did.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from hotfoot.migration.dirty_curve import Dirty, DirtyCurve, DirtyPoint

_OFF = 0.1
"""By so much, as a logarithm, each factor is usually off 1."""
_RATES = tuple(1.05**step for step in range(-10, 11))
_SIZES = tuple(1.1**step for step in range(-5, 6))
_ERROR, _ERROR_BYTES = 0.05, 1 << 20
"""A pass's first look comes a little after it began."""
_UNLIKELY = 9.0
"""Three standard deviations, of each pass on average: the guest has changed."""
_LEAST_FRESH = 0.1


@dataclass(frozen=True, slots=True)
class SeenPass:
    """A pass that is over: it left something unsent, took a time, and then so much was dirty."""

    left: Dirty
    took_s: float
    then_bytes: int

    @property
    def error_bytes(self) -> float:
        """One standard deviation of ``then_bytes``."""
        return _ERROR * self.then_bytes + _ERROR_BYTES

    def point(self, most_bytes: float) -> DirtyPoint:
        """Return it as one point of a curve, where all that was ever dirty at once was so much."""
        left_bytes = min(self.left.all_bytes, self.then_bytes)
        written = self.then_bytes - left_bytes
        written /= max(_LEAST_FRESH, 1 - left_bytes / most_bytes) if most_bytes else 1  # written twice counts once
        return DirtyPoint(self.took_s, written, _ERROR * written + _ERROR_BYTES)


def corrected(foretold: DirtyCurve, passes: Sequence[SeenPass]) -> DirtyCurve | None:
    """Return the curve with the likeliest factors that explain one or more passes; None where none of them does."""
    sizes = _SIZES if math.isfinite(foretold.working_set_bytes) else (1.0,)

    def misfit(curve: DirtyCurve) -> float:
        found = ((each, curve.added_to(each.left, each.took_s)) for each in passes)
        return sum(((dirty.all_bytes - each.then_bytes) / each.error_bytes) ** 2 for each, dirty in found)

    likeliest: tuple[float, DirtyCurve] | None = None
    for rate, size in product(_RATES, sizes):
        curve = foretold.scaled(rate, size)
        off = misfit(curve)
        unlikely = off + (math.log(rate) ** 2 + math.log(size) ** 2) / _OFF**2
        if off <= _UNLIKELY * len(passes) and (likeliest is None or unlikely < likeliest[0]):
            likeliest = unlikely, curve
    return likeliest[1] if likeliest else None


def as_seen(reckoned: Dirty, seen_bytes: float) -> Dirty:
    """Return what is dirty, with as large a hot part of it as was reckoned."""
    hot = seen_bytes * reckoned.hot_bytes / reckoned.all_bytes if reckoned.all_bytes else 0.0
    return Dirty(hot, seen_bytes - hot)
