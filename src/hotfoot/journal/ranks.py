"""Percentiles of a few figures, by the nearest rank: always a value that was measured. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TypeVar

Figure = TypeVar("Figure", int, float)


def percentile(figures: Iterable[Figure], percent: float) -> Figure | None:
    """Return the least figure that ``percent`` of all do not exceed; None of none.

    >>> percentile([10, 20, 30, 40], 50)
    20
    """
    ordered = sorted(figures)
    if not ordered:
        return None
    return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)]
