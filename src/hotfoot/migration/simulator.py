"""QEMU's migration as a calculation: a guest, a link and a steering in, an outcome out, in no time. Pure.

The rules are those of QEMU 10.0, migration/migration.c and ram.c:

- A pass sends the dirty set; what the guest dirties meanwhile is the next one. Pages written twice count once.
- When what remains of a pass falls below bandwidth x downtime limit, the dirty set is looked at anew; if all of it
  is below that too, the guest is stopped and the rest sent, else a further pass begins with it.
- Auto-converge: at the begin of a pass, if at least a second has passed since the last such look, what was dirtied
  is compared with what was sent; more than half of it, twice, puts the throttle one rung up, to 99 % at most.
- Post-copy stops the guest for the device state and the bitmap only, and then sends the rest once.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from hotfoot.migration.action import Action, ActionKind
from hotfoot.migration.policy import QEMU_DOWNTIME_MS, Throttle
from hotfoot.migration.sample import JobSample, Phase

PAGE_BYTES = 4096
THROTTLE_LOOK_MS = 1000
THROTTLE_TRIGGER = 0.5
MOST_THROTTLE_PERCENT = 99
LOOK_MS = 500
"""Between two samples, beside those at the begin of each pass."""
END_MS = 24 * 3600 * 1000
"""A migration that takes longer is called unfinished."""
SLIVER_MS = 1.0
"""The shortest time that is calculated with, so that a pass over nothing takes some."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Writes:
    """One kind of work of a guest: it writes ``bytes_per_s`` all over ``area_bytes``.

    Dirty after t: area x (1 - e^(-rate x t / area)) where it writes at random, min(area, rate x t) in a circle.
    """

    bytes_per_s: float
    area_bytes: float
    circle: bool = False
    duty: float = 1.0
    """The share of the vCPU that the work takes: a throttle that leaves so much of it does not slow it down."""

    def speed(self, throttle_percent: int) -> float:
        """Return the share of its full speed at which the work goes on under a throttle."""
        return min(1.0, (1 - throttle_percent / 100) / self.duty)

    def dirty_bytes(self, before_bytes: float, ms: float, speed: float) -> float:
        """Return what is dirty after so many ms at a share of the full speed, if ``before_bytes`` were before."""
        written = self.bytes_per_s * speed * ms / 1000
        if self.circle or not self.area_bytes:
            return min(self.area_bytes, before_bytes + written)
        return self.area_bytes - (self.area_bytes - before_bytes) * math.exp(-written / self.area_bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Guest:
    """The guest: its memory, how much of it is not empty, and what it writes from which moment on (ms, ascending)."""

    memory_bytes: int
    used_bytes: int
    work: tuple[tuple[int, tuple[Writes, ...]], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """The link: bytes/s from which moment on (ms, ascending, the first at 0), and what a migration costs besides."""

    bytes_per_s: tuple[tuple[int, float], ...]
    setup_ms: float = 0.0
    """Before the first byte."""
    device_ms: float = 20.0
    """Of downtime, for what is not memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedEnd:
    """How it ended; ``finished`` is False where it was given up, or still ran after a day."""

    finished: bool
    total_ms: float
    downtime_ms: float
    sent_bytes: float
    iterations: int
    post_copy: bool = False
    actions: tuple[Action, ...] = ()
    samples: tuple[JobSample, ...] = field(default=(), repr=False)


Steer = Callable[[JobSample], tuple[Action, ...]]


def simulate(
    guest: Guest,
    link: Link,
    steer: Steer = lambda _: (),
    *,
    first_downtime_ms: int = QEMU_DOWNTIME_MS,
    throttle: Throttle | None = None,
    look_ms: int = LOOK_MS,
) -> SimulatedEnd:
    """Run one migration; ``steer`` sees every sample, and what it returns is carried out at once."""
    return _Simulation(guest, link, steer, first_downtime_ms, throttle, look_ms).run()


class _Simulation:
    def __init__(
        self, guest: Guest, link: Link, steer: Steer, downtime_ms: int, throttle: Throttle | None, look_ms: int
    ) -> None:
        self._every_ms = look_ms
        self._guest, self._link, self._steer = guest, link, steer
        self._limit_ms: float = downtime_ms
        self._throttle = throttle
        self._percent = 0
        self._now_ms = link.setup_ms
        self._iteration = 0
        self._areas = {writes: writes.area_bytes for _, work in guest.work for writes in work}
        self._rest = max(0.0, guest.used_bytes - sum(self._areas.values()))
        self._sent = 0.0
        self._dirty: dict[Writes, float] = {}
        self._dirty_rate: float | None = None
        self._high, self._look_ms, self._look_sent, self._look_dirty = 0, link.setup_ms, 0.0, 0.0
        self._verdict: ActionKind | None = None
        self._actions: list[Action] = []
        self._samples: list[JobSample] = []

    def run(self) -> SimulatedEnd:
        """Pass after pass, until one is the last."""
        while self._now_ms < END_MS:
            self._iteration += 1
            began_ms = self._now_ms
            self._look()
            while self._verdict is None and self._left > self._threshold():
                self._copy()
            if self._verdict is ActionKind.GIVE_UP:
                return self._end(finished=False)
            if self._verdict is ActionKind.POST_COPY:
                return self._post_copy()
            self._sync(began_ms)
            if self._left <= self._threshold():
                return self._switch_over()
        return self._end(finished=False)

    def _copy(self) -> None:
        """Send for as long as nothing changes: until the next look, change of work or of the link, or the end."""
        bandwidth = self._bandwidth()
        ms = 1000 * (self._left - self._threshold()) / bandwidth
        ends = [at for at, _ in self._guest.work] + [at for at, _ in self._link.bytes_per_s]
        ms = min([ms, self._every_ms, *(at - self._now_ms for at in ends if at > self._now_ms)])
        ms = max(ms, SLIVER_MS)
        self._write(ms)
        self._send(bandwidth, ms)
        self._look()

    def _send(self, bandwidth: float, ms: float) -> None:
        """Send for so many ms, of all areas alike."""
        left = self._left
        sent = min(left, bandwidth * ms / 1000)
        stays = 1 - sent / left if left else 0.0
        self._rest *= stays
        self._areas = {writes: pending * stays for writes, pending in self._areas.items()}
        self._sent += sent
        self._now_ms += ms

    @property
    def _left(self) -> float:
        return self._rest + sum(self._areas.values())

    def _write(self, ms: float) -> None:
        for writes in self._work():
            before = self._dirty.get(writes, 0.0)
            self._dirty[writes] = writes.dirty_bytes(before, ms, writes.speed(self._percent))

    def _sync(self, began_ms: float) -> None:
        dirty = sum(self._dirty.values())
        self._join_dirty()
        if self._now_ms > began_ms:
            self._dirty_rate = 1000 * dirty / (self._now_ms - began_ms)
        self._look_dirty += dirty
        if self._now_ms - self._look_ms < THROTTLE_LOOK_MS:
            return
        if self._look_dirty > THROTTLE_TRIGGER * (self._sent - self._look_sent):
            self._high += 1
            if self._high >= 2 and self._throttle:
                self._high = 0
                rung = self._percent + self._throttle.rung if self._percent else self._throttle.first
                self._percent = min(rung, MOST_THROTTLE_PERCENT)
        self._look_ms, self._look_sent, self._look_dirty = self._now_ms, self._sent, 0.0

    def _join_dirty(self) -> None:
        """Add what was dirtied to what is left; a page that was still to be sent counts once."""
        for writes, dirty in self._dirty.items():
            pending = self._areas[writes]
            self._areas[writes] = pending + dirty * (1 - pending / writes.area_bytes)
        self._dirty.clear()

    def _look(self) -> None:
        sample = JobSample(
            at_s=self._now_ms / 1000,
            phase=Phase.COPYING_MEMORY,
            iteration=self._iteration,
            memory_total_bytes=self._guest.memory_bytes,
            memory_processed_bytes=round(self._sent),
            memory_remaining_bytes=max(round(self._left), 0),
            dirty_rate_bytes_per_s=None if self._dirty_rate is None else round(self._dirty_rate),
            throughput_bytes_per_s=round(self._bandwidth()),
            elapsed_ms=round(self._now_ms),
            throttle_percent=self._percent,
        )
        self._samples.append(sample)
        for action in self._steer(sample):
            self._actions.append(action)
            match action.kind:
                case ActionKind.DOWNTIME_LIMIT:
                    self._limit_ms = action.value or 0
                case ActionKind.PAUSE:
                    self._limit_ms = math.inf
                case ActionKind.POST_COPY | ActionKind.GIVE_UP:
                    self._verdict = action.kind

    def _switch_over(self) -> SimulatedEnd:
        began_ms = self._now_ms
        while self._left > 1:
            ms = 1000 * self._left / self._bandwidth()
            changes = [at - self._now_ms for at, _ in self._link.bytes_per_s if at > self._now_ms]
            self._send(self._bandwidth(), min([ms, *changes]))
        self._now_ms += self._link.device_ms
        return self._end(finished=True, downtime_ms=self._now_ms - began_ms)

    def _post_copy(self) -> SimulatedEnd:
        self._join_dirty()
        bitmap_bytes = self._guest.memory_bytes / PAGE_BYTES / 8
        downtime_ms = self._link.device_ms + 1000 * bitmap_bytes / self._bandwidth()
        self._now_ms += downtime_ms
        end = self._switch_over()
        return SimulatedEnd(
            finished=True,
            total_ms=end.total_ms,
            downtime_ms=downtime_ms,
            sent_bytes=end.sent_bytes,
            iterations=end.iterations,
            post_copy=True,
            actions=end.actions,
            samples=end.samples,
        )

    def _end(self, *, finished: bool, downtime_ms: float = 0.0) -> SimulatedEnd:
        return SimulatedEnd(
            finished=finished,
            total_ms=self._now_ms,
            downtime_ms=downtime_ms,
            sent_bytes=self._sent,
            iterations=self._iteration,
            actions=tuple(self._actions),
            samples=tuple(self._samples),
        )

    def _threshold(self) -> float:
        return self._bandwidth() * self._limit_ms / 1000

    def _bandwidth(self) -> float:
        return [rate for at, rate in self._link.bytes_per_s if at <= self._now_ms or at == 0][-1]

    def _work(self) -> tuple[Writes, ...]:
        return ([work for at, work in self._guest.work if at <= self._now_ms] or [()])[-1]
