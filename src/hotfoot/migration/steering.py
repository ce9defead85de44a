"""The decisions of one running migration: samples in, actions out, with the reason in words. Pure."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from hotfoot.migration.action import Action, ActionKind
from hotfoot.migration.policy import FROM_ITERATION, MARGIN, Policy
from hotfoot.migration.sample import JobSample, Phase
from hotfoot.sizes import human_bytes, human_rate

STALLED = 0.85
"""The guest dirties at least this share of what is sent: at that pace it takes 15 passes to a tenth."""
NUDGE = 1.1
"""A raised limit is this much above the one before where that suffices by our numbers and not by QEMU's, whose
bandwidth is that of 100 ms."""
NEAR_LEAST = 1.05
"""So near the least of all passes counts as a local minimum ..."""
LONGEST_WAIT = 2
"""... for which no more than so many passes are waited."""
PATIENCE = 2.0
"""With nothing left to do, passes that get nowhere send the memory so many times over before it is given up: a burst
may end. A guest near its limit has a pass that shrinks every now and then, for ever: only less than before counts."""
LADDER_PATIENCE, LADDER_PATIENCE_MS = 6, 6_000
"""Passes and time without a new rung, after which QEMU is taken not to throttle: it may raise every second pass
that takes a second."""
TOP_PATIENCE_MS = 2_000
"""On the last rung a whole pass is waited for, and so long at least: sooner QEMU does not climb on."""
THROTTLE_SLICE_MS = 10
"""A throttled vCPU runs for so long, and then stands still for as long as the percentage says (QEMU,
CPU_THROTTLE_TIMESLICE_NS): at 99 % it writes once in a second, in a burst."""
TELLING_SLICES = 3
"""What was dirtied while a vCPU ran fewer times says more of the moment than of the guest."""
HOPE = 3
"""Passes for which QEMU may leave a limit unused that suffices by our numbers."""
SURELY = 0.5
"""What needs at most this share of the limit suffices by QEMU's numbers too: it is about to switch over."""
TELLING_BYTES = 2**20
"""A pass that sent less waited more than it sent, and says nothing of the bandwidth."""
DOWNTIME_GRAIN_MS = 10
MOST_DOWNTIME_MS = 2_000_000
"""The most that QEMU takes (MAX_MIGRATE_DOWNTIME): with it the guest is stopped, whatever is left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What this pair of hosts is able to do, as settled before the start."""

    post_copy: bool = False
    throttle: bool = False
    compressed: bool = False
    """Then what is sent is less than what was dirty, and cannot be set against it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Boundary:
    """The begin of an iteration: ``dirty_bytes`` is the set that the guest dirtied in the pass before."""

    iteration: int
    at_ms: int
    dirty_bytes: int
    sent_bytes: int
    pass_bytes: int
    """Sent since the boundary before."""


class Steering:
    """Steers one migration; feed ``step`` with every sample, in order, and carry out what it returns, in order.

    Invariants, whatever the samples are:

    - The downtime limit only rises, and never above ``policy.max_downtime_ms``; only an allowed pause exceeds it.
    - Only steps that the policy allows are taken, in its order, and post-copy and throttling only within the means.
    - Nothing follows a post-copy, a pause or a give-up.
    - It decides at iteration boundaries, from the third iteration on: two dirty sets are the least that shows
      whether they shrink. Only a deadline that has passed is acted on at once.
    - A migration that does not converge is acted on at the third iteration where the act can be taken back;
      post-copy, pause and give-up wait for a local minimum of what is dirty, but for two iterations at most.
    - Nothing is done while what is left fits into the limit twice: the switch-over is due at once.
    - A slowed-down guest is judged over passes in which it ran three times at least, since it writes in bursts.
    - At a throttle above the policy's, or one on its last rung that did not help, it does not stay unless it
      converges: the next step is taken, or it is given up (libvirt can neither hold QEMU's ladder nor take it back).

    The begin of an iteration is where decisions belong: ``remaining`` then is the whole dirty set D, which at
    bandwidth b makes a downtime of D / b. Within a pass it falls to zero whatever the guest does.
    """

    def __init__(self, policy: Policy, means: Means) -> None:
        self._policy = policy
        self._means = means
        self._steps = [step for step in policy.steps if self._able(step)]
        self._limit_ms = self._limit_before_ms = policy.first_downtime_ms
        self._last: _Boundary | None = None
        self._passed: deque[_Boundary] = deque()
        self._least_bytes: int | None = None
        self._bandwidth = 0.0
        self._throttle_percent = 0
        self._passes_on_rung, self._rung_at_ms = 0, 0
        self._waited, self._hoped = 0, 0
        self._stalled_bytes = 0
        self._furthest_bytes: float = math.inf
        self._over = False

    @property
    def policy(self) -> Policy:
        """The policy that is kept."""
        return self._policy

    def refused(self, action: Action) -> None:
        """Learn that the hypervisor would not carry an action out: this step is not tried again."""
        self._steps = [step for step in self._steps if step is not action.kind]
        self._limit_ms = self._limit_before_ms
        self._over = False

    def step(self, sample: JobSample) -> tuple[Action, ...]:
        """Return what is to be done now, mostly nothing."""
        if self._over or sample.phase not in (Phase.COPYING_MEMORY, Phase.SWITCHING_OVER):
            return ()
        actions = list(self._decide(sample))
        for action in actions:
            if action.kind is ActionKind.DOWNTIME_LIMIT and action.value is not None:
                self._limit_before_ms, self._limit_ms = self._limit_ms, action.value
            self._over = self._over or action.kind in (ActionKind.POST_COPY, ActionKind.PAUSE, ActionKind.GIVE_UP)
        return tuple(actions)

    def _decide(self, sample: JobSample) -> Iterator[Action]:
        before, now = self._last, self._boundary(sample)
        deadline_ms = self._policy.deadline_ms
        if deadline_ms is not None and sample.elapsed_ms > deadline_ms:
            yield from self._deadline_passed(sample)
            return
        if now is None or before is None:
            return
        yield from self._ladder(sample)
        before = self._telling(before, now)
        dirty, ratio = now.dirty_bytes, self._ratio(before, now)
        self._least_bytes = dirty if self._least_bytes is None else min(self._least_bytes, dirty)
        if now.iteration < FROM_ITERATION:
            return
        need_ms = self._need_ms(dirty)
        if need_ms <= self._limit_ms and (self._hoped < HOPE or need_ms <= SURELY * self._limit_ms):
            self._hoped += 1
            return
        late = deadline_ms is not None and now.at_ms + self._left_ms(dirty, ratio) > deadline_ms
        if ratio < STALLED and dirty < STALLED * self._furthest_bytes:
            self._stalled_bytes, self._furthest_bytes = 0, dirty
        if ratio < STALLED and not late:
            self._waited = 0
            return
        yield from self._help(sample, now, self._why(now, before, ratio, late=late))

    def _help(self, sample: JobSample, now: _Boundary, why: str) -> Iterator[Action]:
        need_ms = self._need_ms(now.dirty_bytes)
        raised: list[Action] = []
        for step in self._steps:
            match step:
                case ActionKind.DOWNTIME_LIMIT:
                    wanted_ms = self._wanted_ms(need_ms)
                    if wanted_ms > self._limit_ms:
                        reason = f"{why}; switching over now takes {need_ms:.0f} ms"
                        raised = [self._act(step, sample, wanted_ms, reason)]
                        if need_ms <= wanted_ms:
                            self._hoped = 0
                            yield from raised
                            return
                case ActionKind.THROTTLE:
                    if self._throttling(sample):  # it may yet make a limit do that is not the greatest one
                        return
                case ActionKind.POST_COPY | ActionKind.PAUSE:
                    if not self._least(now.dirty_bytes):
                        yield from raised
                        return
                    reason = f"{why}; switching over now would take {need_ms:.0f} ms"
                    yield self._act(step, sample, None, reason)
                    return
                case _:
                    continue
        yield from raised or self._out_of_steps(sample, now, why)

    def _out_of_steps(self, sample: JobSample, now: _Boundary, why: str) -> Iterator[Action]:
        if self._throttle_percent < self._top_percent() or not self._throttle_percent:
            self._stalled_bytes += now.pass_bytes
            patient = self._stalled_bytes < PATIENCE * sample.memory_total_bytes
            if self._policy.deadline_ms is not None or patient:
                return
        allowed = "policy allows nothing more"
        yield self._act(ActionKind.GIVE_UP, sample, None, f"{why}, and the {self._policy.name} {allowed}")

    def _deadline_passed(self, sample: JobSample) -> Iterator[Action]:
        why = f"the deadline of {(self._policy.deadline_ms or 0) / 1000:.0f} s has passed"
        last = [step for step in self._steps if step in (ActionKind.POST_COPY, ActionKind.PAUSE)]
        yield self._act(last[0] if last and sample.iteration > 1 else ActionKind.GIVE_UP, sample, None, why)

    def _ladder(self, sample: JobSample) -> Iterator[Action]:
        """Tell of QEMU's throttling, which it raises by its own rule once it is allowed to."""
        if sample.throttle_percent > self._throttle_percent:
            why = "the guest dirtied more than half of what was sent, twice"
            yield self._act(ActionKind.THROTTLE, sample, sample.throttle_percent, why)
            self._throttle_percent = sample.throttle_percent
            self._passes_on_rung, self._rung_at_ms = 0, sample.elapsed_ms
            self._passed.clear()
        else:
            self._passes_on_rung += 1

    def _throttling(self, sample: JobSample) -> bool:
        """Whether there is still something to be hoped for from throttling."""
        if self._throttle_percent > self._policy.throttle_percent:
            return False
        still_ms = sample.elapsed_ms - self._rung_at_ms
        if self._throttle_percent >= self._top_percent():
            return self._passes_on_rung < 1 or still_ms < max(TOP_PATIENCE_MS, self._telling_ms)
        return self._passes_on_rung < LADDER_PATIENCE or still_ms < LADDER_PATIENCE_MS

    def _least(self, dirty_bytes: int) -> bool:
        if self._least_bytes is None or dirty_bytes <= NEAR_LEAST * self._least_bytes or self._waited >= LONGEST_WAIT:
            return True
        self._waited += 1
        return False

    def _boundary(self, sample: JobSample) -> _Boundary | None:
        """Return the boundary if this sample is the first of its iteration, and learn the bandwidth from it."""
        before = self._last
        seen = before.iteration if before else 0
        if sample.iteration <= seen or not sample.memory_remaining_bytes:  # nothing remains: the next one is near
            return None
        sent = sample.memory_processed_bytes
        if before is not None and sample.elapsed_ms > before.at_ms and sent - before.sent_bytes >= TELLING_BYTES:
            self._bandwidth = 1000 * (sent - before.sent_bytes) / (sample.elapsed_ms - before.at_ms)
        elif sample.throughput_bytes_per_s and not self._bandwidth:
            self._bandwidth = float(sample.throughput_bytes_per_s)
        self._last = _Boundary(
            iteration=sample.iteration,
            at_ms=sample.elapsed_ms,
            dirty_bytes=sample.memory_remaining_bytes,
            sent_bytes=sent,
            pass_bytes=sent - before.sent_bytes if before else sent,
        )
        return self._last

    def _telling(self, before: _Boundary, now: _Boundary) -> _Boundary:
        """Return the latest boundary that lies long enough before this one to tell how much the guest dirties.

        The first is none: what it has left is the whole memory, of which empty pages are not sent.
        """
        if before.iteration > 1:
            self._passed.append(before)
        while len(self._passed) > 1 and now.at_ms - self._passed[1].at_ms >= self._telling_ms:
            self._passed.popleft()
        return self._passed[0] if self._passed and self._throttle_percent else before

    @property
    def _telling_ms(self) -> float:
        return TELLING_SLICES * THROTTLE_SLICE_MS / (1 - self._throttle_percent / 100)

    def _need_ms(self, dirty_bytes: int) -> float:
        return 1000 * dirty_bytes / max(self._bandwidth, 1.0)

    def _ratio(self, before: _Boundary, now: _Boundary) -> float:
        """Return how much was dirtied for each byte sent from one boundary to the next.

        Dirtied is what there is now, less what was left of the pass: before - sent. It does not matter how long
        after its boundary a sample was taken, since remaining + sent stays the same within a pass. Of a
        compressed stream only the dirty sets can be compared.
        """
        sent = now.sent_bytes - before.sent_bytes
        if self._means.compressed or sent <= 0:
            return now.dirty_bytes / before.dirty_bytes
        return max(0, now.dirty_bytes + sent - before.dirty_bytes) / sent

    def _left_ms(self, dirty_bytes: int, ratio: float) -> float:
        """How long it takes if every pass shrinks as the last did: the sum of a geometric series."""
        return self._need_ms(dirty_bytes) / (1 - ratio) if ratio < 1 else float("inf")

    def _wanted_ms(self, need_ms: float) -> int:
        """Return the limit that suffices, or the greatest one."""
        enough_ms = max(need_ms * MARGIN, self._limit_ms * NUDGE if need_ms <= self._limit_ms else 0)
        in_grains = -(-round(enough_ms) // DOWNTIME_GRAIN_MS) * DOWNTIME_GRAIN_MS
        return max(self._limit_ms, min(in_grains, self._policy.max_downtime_ms))

    def _why(self, now: _Boundary, before: _Boundary, ratio: float, *, late: bool) -> str:
        first, last = before.iteration, now.iteration - 1
        passes = f"iteration {last}" if first == last else f"iterations {first} to {last}"
        dirtied = f"{passes}: the guest dirtied {ratio:.0%} of what was sent"
        if late and ratio < STALLED:
            return f"{dirtied}, too much to end before the deadline at {human_rate(round(self._bandwidth))}"
        if self._throttle_percent:
            return f"{dirtied}, though slowed down by {self._throttle_percent} %"
        return f"{dirtied}, {human_bytes(now.dirty_bytes)} are left"

    def _act(self, kind: ActionKind, sample: JobSample, value: int | None, reason: str) -> Action:
        return Action(kind=kind, at_ms=sample.elapsed_ms, value=value, reason=reason)

    def _able(self, step: ActionKind) -> bool:
        able = {ActionKind.POST_COPY: self._means.post_copy, ActionKind.THROTTLE: self._means.throttle}
        return able.get(step, True)

    def _top_percent(self) -> int:
        throttle = self._policy.throttle
        return throttle.top if throttle else 0
