"""When a running migration will end: the forecast, corrected by what each iteration showed. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hotfoot.migration.dirty_curve import Dirty, DirtyCurve, fit
from hotfoot.migration.forecast import Convergence, Forecast, Measured
from hotfoot.migration.passes import MOST_PASSES, Pace, Walk, walk
from hotfoot.migration.policy import QEMU_DOWNTIME_MS
from hotfoot.migration.seen_passes import SeenPass, as_seen, corrected
from hotfoot.sizes import human_rate

_PASSES = 3
"""That are looked back on: a guest changes."""
_VOTES = 2
"""Iterations that must agree before it is said that a migration converges after all, or does not."""
_SAME = 0.97
"""Of what the pass before began with: so much again is no progress."""
_PLAIN_ENOUGH = 1.0
"""Iterations are measured well, so that a working set is believed in soon."""
_NEW_SHARE = 0.3
"""Of a new throughput in the one that is reckoned with: QEMU's own figure is that of the last tenth of a second."""
_NOTHING = Dirty(0.0, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """When it will end, or that there is no end in sight.

    Invariant: ``stuck`` changes only at the start of an iteration, and, once it was known, only when two in a row say
    the opposite; so that the view never jumps between a time and "not converging".
    """

    memory_used_bytes: int | None = None
    """What the first pass has to send, as the forecast has it."""
    foretold: DirtyCurve | None = None
    dirty: DirtyCurve | None = None
    """The one that was foretold, corrected; or fitted to the passes alone, where it does not explain them."""
    downtime_limit_ms: float = QEMU_DOWNTIME_MS
    throughput_bytes_per_s: float | None = None
    stuck: bool | None = None
    """That it does not converge; None as long as nothing tells."""
    votes: int = 0
    passes: tuple[SeenPass, ...] = ()
    """The last ones that are over."""
    iteration: int = 0
    began_ms: int = 0
    pending: Dirty = _NOTHING
    """What this pass began with."""
    most_pending_bytes: int = 0
    """The most that a pass but the first began with: of the working set so much is known."""
    rest_ms: float | None = None
    """From the end of this pass to the end of the migration."""

    @classmethod
    def of(cls, measured: Measured, told: Forecast) -> Outlook:
        """Begin with a forecast."""
        used_bytes = measured.memory_used.expected
        begun = cls(
            memory_used_bytes=used_bytes,
            foretold=measured.dirty.expected,
            dirty=measured.dirty.expected,
            downtime_limit_ms=measured.downtime_limit_ms,
            throughput_bytes_per_s=measured.throughput_bytes_per_s.expected,
            stuck=told.verdict is Convergence.NEVER,
            pending=Dirty(0.0, used_bytes),
        )
        return begun._reckon()

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
            here = replace(now, dirty=DirtyCurve(dirty_rate), pending=Dirty(0.0, remaining_bytes))
            return replace(here._vote(self.pending), pending=self.pending)
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
        if iteration <= 1:
            return replace(now, pending=Dirty(0.0, remaining_bytes))
        took_s = (elapsed_ms - self.began_ms) / 1000
        if iteration == self.iteration + 1 and took_s > 0:
            left_bytes = self._pace(self.throughput_bytes_per_s).leftover_bytes
            left = self.pending.cut_to(min(left_bytes, remaining_bytes, self.pending.all_bytes))
            passes = (*self.passes, SeenPass(left, took_s, remaining_bytes))[-_PASSES:]
            most = max(self.most_pending_bytes, remaining_bytes)
            now = replace(now, passes=passes, most_pending_bytes=most)
            curve = now._curve()
            now = replace(now, dirty=curve, pending=as_seen(curve.added_to(left, took_s), remaining_bytes))
        else:
            dirty = DirtyCurve(dirty_rate) if self.dirty is None and dirty_rate is not None else self.dirty
            now = replace(now, dirty=dirty, pending=as_seen(self.pending, remaining_bytes))
        return now._vote(self.pending)

    def _curve(self) -> DirtyCurve:
        curve = corrected(self.foretold, self.passes) if self.foretold else None
        if curve is None:
            points = [each.point(self.most_pending_bytes) for each in self.passes]
            curve = fit(points, max(self.memory_used_bytes or 0, self.most_pending_bytes), _PLAIN_ENOUGH).expected
        return curve

    def _vote(self, before: Dirty) -> Outlook:
        """Judge anew whether it converges; ``before``: what the pass before began with."""
        reckoned = self._reckon()
        if self.dirty is None or not self.throughput_bytes_per_s:
            return reckoned
        # Where all passes are equally long they tell nothing of shorter ones, but that it goes no further.
        still = self.iteration > 2 and 0 < _SAME * before.all_bytes <= self.pending.all_bytes
        stuck = still and self.pending.all_bytes >= self._pace(self.throughput_bytes_per_s).threshold_bytes
        stuck = stuck or not self._walk(self.dirty, self.throughput_bytes_per_s).ended
        if stuck == self.stuck:
            return replace(reckoned, votes=0)
        if self.stuck is None or self.votes + 1 >= _VOTES:
            return replace(reckoned, stuck=stuck, votes=0)
        return replace(reckoned, votes=self.votes + 1)

    def _reckon(self) -> Outlook:
        """What comes after the pass that sends what is pending; where no end is in sight, keep what was known."""
        if self.dirty is None or not self.throughput_bytes_per_s:
            return self
        passed = self._walk(self.dirty, self.throughput_bytes_per_s)
        if not passed.ended:
            return self
        this_s = self._walk(self.dirty, self.throughput_bytes_per_s, most_passes=1).seconds
        rest_s = passed.seconds - this_s + passed.remaining_bytes / self.throughput_bytes_per_s
        return replace(self, rest_ms=1000 * rest_s)

    def _walk(self, dirty: DirtyCurve, throughput: float, most_passes: int = MOST_PASSES) -> Walk:
        hot_bytes = self.pending.hot_bytes
        pace = self._pace(throughput)
        return walk(self.pending.all_bytes, dirty, pace, hot_bytes=hot_bytes, most_passes=most_passes)
