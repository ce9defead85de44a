"""How others steer a migration, re-stated over the simulator's samples. Pure; no code of theirs.

Nova is not here: its own functions are run, in ``nova_in_simulator``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from hotfoot.migration.action import Action, ActionKind
from hotfoot.migration.policy import Throttle
from hotfoot.migration.sample import JobSample

GIB = 2**30
QEMU_LADDER = Throttle(first=20, rung=10, top=99)
"""Auto-converge as QEMU does it unless told otherwise."""


def _act(kind: ActionKind, sample: JobSample, value: int | None = None) -> tuple[Action, ...]:
    return (Action(kind=kind, at_ms=sample.elapsed_ms, value=value, reason="theirs"),)


@dataclass(frozen=True, slots=True)
class Schedule:
    """A convergence schedule of oVirt: the first limit, then an action whenever so many more passes have begun."""

    name: str
    first_downtime_ms: int
    items: tuple[tuple[int, ActionKind, int | None], ...]


_LIMIT = ActionKind.DOWNTIME_LIMIT
OVIRT_MINIMAL = Schedule(
    "oVirt minimal downtime",
    100,
    (
        *((number, _LIMIT, limit) for number, limit in ((1, 150), (2, 200), (3, 300), (4, 400), (6, 500))),
        (-1, ActionKind.GIVE_UP, None),
    ),
)
OVIRT_POST_COPY = Schedule(
    "oVirt post-copy",
    100,
    ((1, _LIMIT, 150), (2, _LIMIT, 200), (-1, ActionKind.POST_COPY, None)),
)
"""Both from ovirt-engine's packaging/dbscripts (MigrationPolicies), with auto-converge on."""
OVIRT_LOOK_MS = 10_000
"""vdsm's migration_monitor_interval."""


class OVirt:
    """vdsm's monitor: looks every 10 s, and takes a rise of what remains for a new pass (lib/vdsm/virt)."""

    def __init__(self, schedule: Schedule) -> None:
        self._items = list(schedule.items)
        self._next_ms, self._rises, self._before = OVIRT_LOOK_MS, 0, math.inf

    def step(self, sample: JobSample) -> tuple[Action, ...]:
        """Return what vdsm would do at this sample."""
        if sample.elapsed_ms < self._next_ms:
            return ()
        self._next_ms = sample.elapsed_ms + OVIRT_LOOK_MS
        rose, self._before = sample.memory_remaining_bytes > self._before, sample.memory_remaining_bytes
        if not rose or not self._items:
            return ()
        self._rises += 1
        limit, kind, value = self._items[0]
        if limit >= self._rises:
            return ()
        self._items.pop(0)
        return _act(kind, sample, value)


class KubeVirtTimeouts:
    """KubeVirt by default: given up after 150 s per GiB, or 150 s without less remaining than ever before."""

    def __init__(self, memory_bytes: int, *, post_copy: bool = False) -> None:
        self._most_ms = 150_000 * max(1, math.ceil(memory_bytes / GIB))
        self._post_copy = post_copy
        self._least, self._least_ms = math.inf, 0

    def step(self, sample: JobSample) -> tuple[Action, ...]:
        """Return what virt-launcher would do at this sample."""
        if sample.memory_remaining_bytes < self._least:
            self._least, self._least_ms = sample.memory_remaining_bytes, sample.elapsed_ms
        if sample.elapsed_ms - self._least_ms > 150_000:
            return _act(ActionKind.GIVE_UP, sample)
        if sample.elapsed_ms > self._most_ms:
            return _act(ActionKind.POST_COPY if self._post_copy else ActionKind.GIVE_UP, sample)
        return ()


@dataclass
class KubeVirtStall:
    """KubeVirt's stall detection (its enhancement 248, 2026), with its defaults, at iteration boundaries.

    Stalled: not 4 % below the least that remained before the last 40 s. Then, at a boundary within 4 % of the best,
    the limit is set to the greatest downtime if that would do, else it is given up from 1.5 times of it on; with
    workload disruption allowed it switches to post-copy. The best is relaxed after 40 s, 20 s, 10 s ...
    """

    memory_bytes: int
    max_downtime_ms: int = 300
    post_copy: bool = False
    _iteration: int = 0
    _records: list[tuple[int, int]] = field(default_factory=list)
    _bandwidth: float = 0.0
    _best: int | None = None
    _seen: list[int] = field(default_factory=list)
    _patience_ms: float = 40_000
    _relax_at_ms: float = 0
    _done: bool = False

    def step(self, sample: JobSample) -> tuple[Action, ...]:
        """Return what virt-launcher would do at this sample."""
        if sample.elapsed_ms > 150_000 * max(1, math.ceil(self.memory_bytes / GIB)):
            return _act(ActionKind.POST_COPY if self.post_copy else ActionKind.GIVE_UP, sample)
        if sample.iteration <= self._iteration or self._done:
            return ()
        self._iteration = sample.iteration
        now_ms, left = sample.elapsed_ms, sample.memory_remaining_bytes
        measured = float(sample.throughput_bytes_per_s or 0)
        self._bandwidth = 0.4 * measured + 0.6 * self._bandwidth if self._bandwidth else measured
        self._records.append((now_ms, left))
        old = [remaining for at, remaining in self._records if now_ms - at >= 40_000]
        if self._best is None:
            if not old or left < 0.96 * min(old):
                return ()
            self._best = min(remaining for _, remaining in self._records)
            self._relax_at_ms = now_ms + self._patience_ms
        self._seen.append(left)
        if now_ms >= self._relax_at_ms:
            self._seen.sort()
            self._best = self._seen.pop(0)
            self._patience_ms = max(self._patience_ms / 2, 1000)
            self._relax_at_ms = now_ms + self._patience_ms
        if left > 1.04 * self._best:
            return ()
        return self._converge(sample, 1000 * self._best / max(self._bandwidth, 1))

    def _converge(self, sample: JobSample, need_ms: float) -> tuple[Action, ...]:
        self._done = True
        if self.post_copy:
            return _act(ActionKind.POST_COPY, sample)
        if need_ms >= 1.5 * self.max_downtime_ms:
            return _act(ActionKind.GIVE_UP, sample)
        return _act(ActionKind.DOWNTIME_LIMIT, sample, self.max_downtime_ms)
