"""What may be done so that a migration ends: policies, as data. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from hotfoot.migration.action import ActionKind

QEMU_DOWNTIME_MS = 300
"""The downtime limit that QEMU has by itself (migration/options.c, DEFAULT_MIGRATE_SET_DOWNTIME)."""
FIRST_DOWNTIME_MS = 100
"""The limit to begin with where it may be raised: most guests need no more, and the others two short passes more."""
FROM_ITERATION = 3
"""The first at which a step is taken: its dirty set can be compared with that of the second (the first pass copies
everything)."""
MARGIN = 1.02
"""A raised limit is this much above what the dirty set needs, since the next one differs a little."""
FIRST_THROTTLE_PERCENT = 20
"""QEMU's own first rung (cpu-throttle-initial)."""
THROTTLE_RUNG_PERCENT = 20
"""The most that one rung adds: twice QEMU's own, since each rung costs two passes."""

STEPS = (ActionKind.DOWNTIME_LIMIT, ActionKind.THROTTLE, ActionKind.POST_COPY, ActionKind.PAUSE)
"""What a policy may allow; giving up is what is left when none of them helps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Throttle:
    """QEMU's ladder of throttling, in percent: ``first``, then ``rung`` more each time; ``top`` is the last allowed."""

    first: int
    rung: int
    top: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The goals of a migration, and what may be done for them, in this order."""

    name: str
    max_downtime_ms: int = 500
    """The greatest downtime limit that is set; what an allowed pause takes comes on top."""
    deadline_ms: int | None = None
    """Since the start of the migration; when it has passed, the last allowed step is taken, or it is given up."""
    steps: tuple[ActionKind, ...] = ()
    throttle_percent: int = 99
    """How far the guest may be slowed down, where a step allows it."""
    parallel: int | None = None
    """Connections; None leaves it to the cluster file."""
    compress: bool | None = None

    @property
    def first_downtime_ms(self) -> int:
        """The downtime limit to begin with: QEMU's own where it may not be raised; never above the greatest one."""
        first_ms = FIRST_DOWNTIME_MS if ActionKind.DOWNTIME_LIMIT in self.steps else QEMU_DOWNTIME_MS
        return min(first_ms, self.max_downtime_ms)

    @property
    def throttle(self) -> Throttle | None:
        """The ladder to be asked of QEMU, whose last rung within ``throttle_percent`` is met as exactly as can be.

        >>> Policy(name="", steps=(ActionKind.THROTTLE,), throttle_percent=50).throttle
        Throttle(first=20, rung=15, top=50)
        """
        if ActionKind.THROTTLE not in self.steps:
            return None
        first = min(FIRST_THROTTLE_PERCENT, self.throttle_percent)
        above = self.throttle_percent - first
        rungs = -(-above // THROTTLE_RUNG_PERCENT)
        rung = above // rungs if rungs else THROTTLE_RUNG_PERCENT
        return Throttle(first=first, rung=rung, top=first + rung * rungs)


_ALL = (
    Policy(name="gentle", max_downtime_ms=QEMU_DOWNTIME_MS),
    Policy(name="balanced", steps=(ActionKind.DOWNTIME_LIMIT, ActionKind.THROTTLE)),
    Policy(
        name="must-finish",
        steps=(ActionKind.DOWNTIME_LIMIT, ActionKind.POST_COPY, ActionKind.THROTTLE, ActionKind.PAUSE),
    ),
    Policy(
        name="large-memory", max_downtime_ms=1000, steps=(ActionKind.DOWNTIME_LIMIT, ActionKind.THROTTLE), parallel=4
    ),
)
BUILT_IN = MappingProxyType({policy.name: policy for policy in _ALL})
DEFAULT = BUILT_IN["balanced"]
