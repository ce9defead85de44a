"""What a migration will take, before it begins: time, bytes, iterations, downtime, and whether it ends at all. Pure.

    total    = set-up + disks / B + the passes of ``passes.walk`` + downtime
    downtime = what remains at the end / B + switch-over (device state, round trips, the guest's network)

so that memory really used / B is the least for the total, and the last dirty set / B the least for the downtime
(Clark et al., NSDI 2005; the stop rule is QEMU's). Zero pages cost almost nothing: QEMU sends nine bytes for each.

Bands: each measurement comes with one. ``low`` is the model at the good end of all of them (least memory, slowest
dirtying, most throughput, shortest fixed times), ``high`` at the bad end of all; the truth lies outside when a
measurement was outside its own band, or the guest changes. Where the bad end never ends by itself, ``high`` is where
``BAND_PASSES`` passes would lead, or twice as many as are expected.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum

from hotfoot.migration.action import ActionKind
from hotfoot.migration.dirty_curve import DirtyCurve, DirtyCurves
from hotfoot.migration.passes import Pace, Walk, limit_needed_ms, throttle_needed_percent, walk
from hotfoot.migration.policy import FROM_ITERATION, MARGIN, QEMU_DOWNTIME_MS, Policy, Throttle
from hotfoot.sizes import human_bytes, human_duration, human_rate

BAND_PASSES = 20
_SYNCS_BESIDE_PASSES = 2
"""QEMU counts looks at what is dirty: one at the start and one when the guest stands still, beside one per pass."""
_PASSES_BEFORE_THE_CUT = 3
"""Steering sees within two after the first that a migration will not converge."""


@dataclass(frozen=True, slots=True)
class Band:
    """An expected figure, and between which two it should lie: low <= expected <= high."""

    expected: int
    low: int
    high: int

    @classmethod
    def exactly(cls, figure: int) -> Band:
        """A figure that is known."""
        return cls(figure, figure, figure)

    @classmethod
    def around(cls, figure: int, share: float) -> Band:
        """A figure that may be off by a share of itself, either way."""
        return cls(figure, round(figure * (1 - share)), round(figure * (1 + share)))


class Convergence(StrEnum):
    """Whether a migration comes to its end."""

    ITSELF = "converges"
    HELPED = "converges with help"
    NEVER = "does not converge"


SETUP_MS = Band(600, 250, 1500)
"""From the call until memory flows, and from the switch-over until the call returns: QEMU started on the destination,
connections, the guest resumed."""
SWITCH_MS = Band(70, 20, 250)
"""For how long the guest stands still beside what is sent meanwhile."""


def setup_ms(login_ms: float) -> Band:
    """Return the set-up where a login with one command took so long: both are programs started on busy hosts."""
    return Band(*(round(max(250, factor * login_ms)) for factor in (3.4, 1.7, 7.0)))


def switch_ms(login_ms: float) -> Band:
    """Return what of the downtime is not sending, likewise."""
    return Band(round(30 + 0.2 * login_ms), 20, round(100 + 0.6 * login_ms))


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What is known before the start. Sizes in bytes."""

    memory_used: Band
    """What of the memory is not zero: all that the first pass has to send."""
    throughput_bytes_per_s: Band
    dirty: DirtyCurves
    disks: Band = Band(0, 0, 0)
    """What is copied of local disks, before the memory."""
    downtime_limit_ms: int = QEMU_DOWNTIME_MS
    setup_ms: Band = SETUP_MS
    switch_ms: Band = SWITCH_MS
    policy: Policy | None = None
    """What may be done so that it ends; None: nothing."""
    throttle: Throttle | None = None
    """The ladder that QEMU climbs by its own rule; None: it does not."""
    post_copy: bool = False
    """Whether a switch to post-copy is prepared, if the policy has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What a migration will take; all figures are None where it does not come to an end."""

    verdict: Convergence
    reason: str
    """In a sentence, with the numbers that decide."""
    total_ms: Band | None = None
    transferred_bytes: Band | None = None
    iterations: Band | None = None
    downtime_ms: Band | None = None

    def as_json(self) -> dict[str, object]:
        """Return ``total_ms``, ``total_ms_low``, ``total_ms_high`` and so on, ``verdict`` and ``reason``."""
        told: dict[str, object] = {}
        for name in ("total_ms", "transferred_bytes", "iterations", "downtime_ms"):
            band: Band | None = getattr(self, name)
            told[name] = band.expected if band else None
            told[f"{name}_low"] = band.low if band else None
            told[f"{name}_high"] = band.high if band else None
        return {**told, "verdict": self.verdict.value, "reason": self.reason}

    def in_words(self) -> str:
        """One line for the operator."""
        total, sent, iterations, downtime = self.total_ms, self.transferred_bytes, self.iterations, self.downtime_ms
        if not (total and sent and iterations and downtime):
            return f"{self.verdict.value}: {self.reason}"
        line = (
            f"about {human_duration(total.expected)} ({_span(total)}), {human_bytes(sent.expected)} sent in"
            f" {iterations.expected} iterations, downtime about {human_duration(downtime.expected)} ({_span(downtime)})"
        )
        return line if self.verdict is Convergence.ITSELF else f"{line}; {self.verdict.value}: {self.reason}"


def forecast(measured: Measured) -> Forecast:
    """Tell what a migration takes from what was measured.

    Invariant (held by property tests): low <= expected <= high in each band; more throughput never makes the expected
    total of what converges by itself longer, more dirtying never shorter; and what converges by itself does so at
    every greater throughput and downtime limit.
    """
    expected, high = _case(measured, "expected"), _case(measured, "high")
    limit_ms = measured.downtime_limit_ms
    pace = expected.pace(limit_ms)
    by_itself = walk(expected.memory, expected.dirty, pace)
    if not by_itself.ended:
        why = _why_never(expected, pace, by_itself)
        low = _case(measured, "low")
        near = " It is near the limit: it may be that it converges." if _ends(low, limit_ms) else ""
        never = Forecast(verdict=Convergence.NEVER, reason=f"{why}{near} {_would_help(expected, pace)}")
        return _helped(measured, expected, why) or never
    sends = f"{human_rate(expected.throughput)} can be sent"
    reason = f"The guest dirties {human_rate(expected.dirty.rate_bytes_per_s)}, and {sends}."
    slowed = walk(expected.memory, expected.dirty, pace, throttle=measured.throttle)
    if slowed.throttle_percent:  # by its own rule, which does not ask whether it is needed
        reason += f" QEMU slows the vCPUs down, by up to {slowed.throttle_percent} %."
        return _told(measured, Convergence.HELPED, reason, limit_ms)
    if not _ends(high, limit_ms):
        reason += " It is near the limit: it may be that it does not converge."
    return _told(measured, Convergence.ITSELF, reason, limit_ms)


def _helped(measured: Measured, expected: _Case, why: str) -> Forecast | None:
    """Take the policy's steps as steering does; None when none of them is enough."""
    policy = measured.policy
    if policy is None:
        return None
    most_ms = policy.max_downtime_ms if ActionKind.DOWNTIME_LIMIT in policy.steps else measured.downtime_limit_ms
    first = expected.pace(measured.downtime_limit_ms)
    copied = walk(expected.memory, expected.dirty, first, most_passes=FROM_ITERATION - 1)
    needed_ms = math.ceil(1000 * MARGIN * copied.remaining_bytes / expected.throughput)
    limit_ms = max(measured.downtime_limit_ms, min(most_ms, needed_ms))
    passed = walk(expected.memory, expected.dirty, expected.pace(limit_ms), throttle=measured.throttle)
    if passed.ended:
        means = [f"a downtime limit of {human_duration(limit_ms)}"] if limit_ms > measured.downtime_limit_ms else []
        means += [f"vCPUs slowed by up to {passed.throttle_percent} %"] if passed.throttle_percent else []
        return _told(measured, Convergence.HELPED, f"{why} By policy {policy.name}: {' and '.join(means)}.", limit_ms)
    for step in policy.steps:
        if step is ActionKind.POST_COPY and measured.post_copy:
            return _cut_short(measured, f"{why} By policy {policy.name}: post-copy.", post_copy=True)
        if step is ActionKind.PAUSE:
            return _cut_short(measured, f"{why} By policy {policy.name}: a pause.", post_copy=False)
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """One end of all bands, or the middle of all."""

    memory: float
    throughput: float
    dirty: DirtyCurve
    disks: float
    setup_ms: float
    switch_ms: float

    def pace(self, downtime_limit_ms: float) -> Pace:
        return Pace(self.throughput, downtime_limit_ms)

    def total_ms(self, passed: Walk) -> float:
        copying_s = self.disks / self.throughput + passed.seconds
        return self.setup_ms + 1000 * copying_s + self.downtime_ms(passed)

    def downtime_ms(self, passed: Walk) -> float:
        return self.switch_ms + 1000 * passed.remaining_bytes / self.throughput

    def sent(self, passed: Walk) -> float:
        return self.disks + passed.sent_bytes + passed.remaining_bytes


def _case(measured: Measured, which: str) -> _Case:
    """Take the good (low), bad (high) or expected figure of each band; the good end of throughput is its high one."""
    throughput = {"low": "high", "high": "low"}.get(which, which)
    return _Case(
        memory=getattr(measured.memory_used, which),
        throughput=max(1, getattr(measured.throughput_bytes_per_s, throughput)),
        dirty=getattr(measured.dirty, which),
        disks=getattr(measured.disks, which),
        setup_ms=getattr(measured.setup_ms, which),
        switch_ms=getattr(measured.switch_ms, which),
    )


def _ends(case: _Case, downtime_limit_ms: float) -> bool:
    return walk(case.memory, case.dirty, case.pace(downtime_limit_ms)).ended


def _told(measured: Measured, verdict: Convergence, reason: str, downtime_limit_ms: float) -> Forecast:
    walks: list[tuple[_Case, Walk]] = []
    for which in ("expected", "low", "high"):
        case = _case(measured, which)
        pace = case.pace(downtime_limit_ms)
        passed = walk(case.memory, case.dirty, pace, throttle=measured.throttle)
        if not passed.ended:
            most = max([BAND_PASSES, *(2 * each.passes for _, each in walks)])
            passed = walk(case.memory, case.dirty, pace, throttle=measured.throttle, most_passes=most)
        walks.append((case, passed))
    return _bands(verdict, reason, walks)


def _cut_short(measured: Measured, reason: str, *, post_copy: bool) -> Forecast:
    """After some passes the rest is sent at once: while the guest runs on the destination, or stands still."""
    walks = []
    for which in ("expected", "low", "high"):
        case = _case(measured, which)
        pace = case.pace(measured.downtime_limit_ms)
        walks.append((case, walk(case.memory, case.dirty, pace, most_passes=_PASSES_BEFORE_THE_CUT)))
    told = _bands(Convergence.HELPED, reason, walks)
    return replace(told, downtime_ms=measured.switch_ms) if post_copy else told


def _bands(verdict: Convergence, reason: str, walks: list[tuple[_Case, Walk]]) -> Forecast:
    return Forecast(
        verdict=verdict,
        reason=reason,
        total_ms=_spanning([case.total_ms(passed) for case, passed in walks]),
        transferred_bytes=_spanning([case.sent(passed) for case, passed in walks]),
        iterations=_spanning([passed.passes + _SYNCS_BESIDE_PASSES for _, passed in walks]),
        downtime_ms=_spanning([case.downtime_ms(passed) for case, passed in walks]),
    )


def _spanning(figures: list[float]) -> Band:
    """Of expected, low and high: a good end with fewer passes may leave more to the end, so they are put in order."""
    return Band(round(figures[0]), round(min(figures)), round(max(figures)))


def _why_never(case: _Case, pace: Pace, passed: Walk) -> str:
    return (
        f"The guest dirties {human_rate(case.dirty.rate_bytes_per_s)}, and {human_rate(case.throughput)} can be sent:"
        f" {human_bytes(passed.remaining_bytes)} always remain, which take"
        f" {human_duration(1000 * passed.remaining_bytes / case.throughput)}, and the downtime limit is"
        f" {human_duration(pace.downtime_limit_ms)}."
    )


def _would_help(case: _Case, pace: Pace) -> str:
    limit = human_duration(limit_needed_ms(case.memory, case.dirty, pace))
    percent = throttle_needed_percent(case.memory, case.dirty, pace)
    throttle = f", vCPUs slowed by {percent} %" if percent is not None else ""
    return f"A downtime limit of {limit}{throttle}, or post-copy would end it."


def _span(band: Band) -> str:
    return f"{human_duration(band.low)} to {human_duration(band.high)}"
