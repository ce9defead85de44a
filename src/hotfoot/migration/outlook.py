"""When a running migration will end: the forecast, corrected by what each iteration showed. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hotfoot.migration.dirty_curve import DirtyCurve, DirtyPoint, fit
from hotfoot.migration.forecast import Convergence, Forecast, Measured
from hotfoot.migration.passes import Pace, walk
from hotfoot.migration.policy import QEMU_DOWNTIME_MS
from hotfoot.sizes import human_rate

_POINTS = 3
"""Iterations that are looked back on: a guest changes."""
_FORECAST_ERROR, _FORECAST_ERROR_BYTES = 0.3, 2 << 20
_PASS_ERROR, _PASS_ERROR_BYTES = 0.05, 1 << 20
"""An iteration's first look comes a little after it began."""
_VOTES = 2
"""Iterations that must agree before it is said that a migration converges after all, or does not."""
_SAME = 0.97
"""Of what the pass before began with: so much again is no progress."""
_PLAIN_ENOUGH = 1.0
"""Iterations are measured better than the dirty rate before, so that a working set is believed in sooner."""
_LEAST_FRESH = 0.1
_CHANGED = 2.0
"""A guest that wrote so many times more or less than foretold does something else now."""
_NEW_SHARE = 0.3
"""Of a new throughput in the one that is reckoned with: QEMU's own figure is that of the last tenth of a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """When it will end, or that there is no end in sight.

    Invariant: ``stuck`` changes only at the start of an iteration, and, once it was known, only when two in a row say
    the opposite; so that the view never jumps between a time and "not converging".
    """

    memory_used_bytes: int | None = None
    """What the first pass has to send, as the forecast has it."""
    dirty: DirtyCurve | None = None
    downtime_limit_ms: float = QEMU_DOWNTIME_MS
    throughput_bytes_per_s: float | None = None
    stuck: bool | None = None
    """That it does not converge; None as long as nothing tells."""
    votes: int = 0
    points: tuple[DirtyPoint, ...] = ()
    """What the forecast measured, until as many iterations are over."""
    iteration: int = 0
    began_ms: int = 0
    pending_bytes: int = 0
    """What this pass began with."""
    most_pending_bytes: int = 0
    """The most that a pass but the first began with: of the working set so much is known."""
    rest_ms: float | None = None
    """From the end of this pass to the end of the migration."""

    @classmethod
    def of(cls, measured: Measured, told: Forecast) -> Outlook:
        """Begin with a forecast."""
        first_bytes = measured.dirty.expected.within(1)
        begun = cls(
            memory_used_bytes=measured.memory_used.expected,
            dirty=measured.dirty.expected,
            downtime_limit_ms=measured.downtime_limit_ms,
            throughput_bytes_per_s=measured.throughput_bytes_per_s.expected,
            stuck=told.verdict is Convergence.NEVER,
            points=(DirtyPoint(1, first_bytes, _FORECAST_ERROR * first_bytes + _FORECAST_ERROR_BYTES),),
        )
        return begun._reckon(measured.memory_used.expected)

    def with_downtime_limit(self, downtime_limit_ms: float) -> Outlook:
        """Go on with another limit."""
        return replace(self, downtime_limit_ms=downtime_limit_ms)

    def look(
        self,
        iteration: int,
        remaining_bytes: int,
        elapsed_ms: int,
        throughput: int | None,
        dirty_rate: int | None,
        sent_bytes: int = 0,
    ) -> Outlook:
        """Take in one look at a migration that copies memory while the guest runs on the source."""
        known = self.throughput_bytes_per_s
        if throughput:
            known = throughput if known is None else known + _NEW_SHARE * (throughput - known)
        now = replace(self, throughput_bytes_per_s=known)
        if iteration > self.iteration and known:
            if iteration == 1:  # the first look may come seconds after the first pass began
                elapsed_ms = max(0, elapsed_ms - round(1000 * sent_bytes / known))
            return now._begin(iteration, remaining_bytes, elapsed_ms, dirty_rate)
        if self.dirty is None and dirty_rate is not None and known:  # measured in the middle of an iteration
            return replace(now, dirty=DirtyCurve(dirty_rate))._vote(remaining_bytes)
        return now

    def left_ms(self, remaining_bytes: int, sent_bytes: int) -> int | None:
        """Return how long it will still take; None without an end, or as long as nothing is known."""
        if not self.throughput_bytes_per_s or self.stuck:
            return None
        to_send = float(remaining_bytes)
        if self.iteration <= 1 and self.memory_used_bytes is not None:  # the rest of the first pass is zero pages
            to_send = min(to_send, max(0.0, self.memory_used_bytes - sent_bytes))
        if self.rest_ms is None:
            return round(1000 * to_send / self.throughput_bytes_per_s)
        to_send = max(0.0, to_send - self._pace(self.throughput_bytes_per_s).leftover_bytes)
        return round(1000 * to_send / self.throughput_bytes_per_s + self.rest_ms)

    def obstacle(self, dirty_rate: int | None) -> str | None:
        """Say why there is no end; None when there is one."""
        if not self.stuck or not self.throughput_bytes_per_s or self.dirty is None:
            return None
        dirties = dirty_rate or self.dirty.rate_bytes_per_s
        return f"not converging: dirties {human_rate(dirties)}, sends {human_rate(self.throughput_bytes_per_s)}"

    def _pace(self, throughput: float) -> Pace:
        return Pace(throughput, self.downtime_limit_ms)

    def _begin(self, iteration: int, remaining_bytes: int, elapsed_ms: int, dirty_rate: int | None) -> Outlook:
        assert self.throughput_bytes_per_s
        now = replace(self, iteration=iteration, began_ms=elapsed_ms)
        took_s = (elapsed_ms - self.began_ms) / 1000
        if iteration == self.iteration + 1 > 1 and took_s > 0:
            most = max(self.most_pending_bytes, remaining_bytes)
            leftover = min(remaining_bytes, self._pace(self.throughput_bytes_per_s).leftover_bytes)
            written = remaining_bytes - leftover
            written /= max(_LEAST_FRESH, 1 - leftover / most) if most else 1  # what is written twice counts once
            point = DirtyPoint(took_s, written, _PASS_ERROR * written + _PASS_ERROR_BYTES)
            points = (*self._still_true(point), point)[-_POINTS:]
            curve = fit(points, max(self.memory_used_bytes or 0, most), _PLAIN_ENOUGH).expected
            now = replace(now, points=points, dirty=curve, most_pending_bytes=most)
        elif self.dirty is None and dirty_rate is not None:
            now = replace(now, dirty=DirtyCurve(dirty_rate))
        voted = now if iteration <= 1 else now._vote(remaining_bytes)
        return replace(voted, pending_bytes=remaining_bytes)

    def _still_true(self, seen: DirtyPoint) -> tuple[DirtyPoint, ...]:
        """What was known before; of the forecast nothing more, if the guest does something else in the first pass."""
        if self.iteration > 1:
            return self.points
        foretold = self.dirty.within(seen.period_s) if self.dirty else 0.0
        return self.points if foretold / _CHANGED <= seen.dirtied_bytes <= foretold * _CHANGED else ()

    def _vote(self, pending_bytes: int) -> Outlook:
        reckoned = self._reckon(pending_bytes)
        if self.dirty is None or not self.throughput_bytes_per_s:
            return reckoned
        # Where all passes are equally long they tell nothing of shorter ones, but that it goes no further.
        pace = self._pace(self.throughput_bytes_per_s)
        still = self.iteration > 2 and 0 < _SAME * self.pending_bytes <= pending_bytes
        stuck = still and pending_bytes >= pace.threshold_bytes
        stuck = stuck or not walk(pending_bytes, self.dirty, pace).ended
        if stuck == self.stuck:
            return replace(reckoned, votes=0)
        if self.stuck is None or self.votes + 1 >= _VOTES:
            return replace(reckoned, stuck=stuck, votes=0)
        return replace(reckoned, votes=self.votes + 1)

    def _reckon(self, pending_bytes: int) -> Outlook:
        """What comes after the pass that sends ``pending_bytes``; where no end is in sight, keep what was known."""
        if self.dirty is None or not self.throughput_bytes_per_s:
            return self
        pace = self._pace(self.throughput_bytes_per_s)
        passed = walk(pending_bytes, self.dirty, pace)
        if not passed.ended:
            return self
        this_s = walk(pending_bytes, self.dirty, pace, most_passes=1).seconds
        rest_s = passed.seconds - this_s + passed.remaining_bytes / self.throughput_bytes_per_s
        return replace(self, rest_ms=1000 * rest_s)
