"""What looks at a guest's pages told: how many were written between which two, and how many hold anything. Pure.

One page stands for as many as there are for each that was looked at. The pages are picked one from each of as many
equal parts of the memory (stratified sampling, Cochran, *Sampling Techniques*, 1977), so that of k found written the
count is at most as uncertain as that of a binomial distribution: by the square root of k, and not at all where every
page was looked at.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from hotfoot.migration.dirty_curve import DirtyCurves, DirtyPoint, fit

_UNSTEADY = 0.04
"""Of what was written: guests are not steady, and a look at all pages takes a moment."""
_UNSEEN_BYTES = 1 << 18
_PLAIN_ENOUGH = 2.0
"""Pages are seen better than libvirt samples them, so that a working set is believed in sooner."""
_TOLD_TWICE = math.sqrt(2)
"""Each second is in two points, which so count half."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PageWatch:
    """Looks at the same pages, one after the other."""

    page_bytes: int
    pages: int
    """Of the guest's memory."""
    looked_at: int
    used: int
    """Of those looked at, how many held something else than zeros at the last look."""
    at_s: tuple[float, ...]
    """When it was looked, from the first look."""
    histories: Mapping[str, int]
    """For how many pages each: a digit for each time between two looks, 1 where the page was written."""

    @property
    def used_bytes(self) -> int:
        """What is not zero of the memory."""
        return round(self.used * self._each_bytes)

    @property
    def used_error_bytes(self) -> int:
        """One standard deviation of that."""
        return round(self._error_bytes(self.used))

    def points(self) -> tuple[DirtyPoint, ...]:
        """Return what was written from the first look to each other one, and between each two neighbours."""
        last = len(self.at_s) - 1
        from_first = [self._point(0, past) for past in range(1, last + 1)]
        return (*from_first, *(self._point(first, first + 1) for first in range(1, last)))

    def _point(self, first: int, past: int) -> DirtyPoint:
        found = sum(count for history, count in self.histories.items() if "1" in history[first:past])
        written = found * self._each_bytes
        error = math.hypot(self._error_bytes(found), _UNSTEADY * written) + _UNSEEN_BYTES
        return DirtyPoint(self.at_s[past] - self.at_s[first], written, _TOLD_TWICE * error)

    @property
    def _each_bytes(self) -> float:
        return self.page_bytes * self.pages / self.looked_at

    def _error_bytes(self, found: int) -> float:
        """Of none found, as of one."""
        missed = 1 - self.looked_at / self.pages
        return self._each_bytes * math.sqrt(max(1, found) * (1 - found / self.looked_at) * missed)


def curves(watches: Sequence[PageWatch], ceiling_bytes: float) -> DirtyCurves:
    """Fit curves to all that was seen of one guest; raises ValueError where that is nothing.

    Where no end of the working set was seen, it is at least what was, and at most the ceiling; the middle is expected
    by ratio, as for any scale that nothing is known of (Jeffreys, *Theory of Probability*, 3.1).
    """
    points = [point for watched in watches for point in watched.points()]
    found = fit(points, ceiling_bytes, _PLAIN_ENOUGH, exact=True)
    if found.expected.working_set_bytes < ceiling_bytes:
        return found
    seen_bytes = max(point.dirtied_bytes for point in points)
    middle_bytes = max(seen_bytes, found.expected.hot_bytes, math.sqrt(seen_bytes * ceiling_bytes))
    return replace(found, expected=replace(found.expected, working_set_bytes=middle_bytes, in_turn=True))
