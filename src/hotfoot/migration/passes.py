"""QEMU's pre-copy, pass by pass, as a recursion over the bytes that remain. Pure.

Of P bytes to send, QEMU sends until fewer remain than it could send within the downtime limit L at the throughput B,
looks again what is dirty by then, and either stops the guest or begins the next pass (migration_iteration_run and
migration_update_counters in QEMU's migration/migration.c). It looks every 50 ms (MAX_WAIT in migration/ram.c), so that
on average half of such a slice less than B L is left over, R, and a pass takes a slice at least. With D from
``dirty_curve``,

    t[n] = (P[n] - R) / B,    P[n+1] = R + D(t[n]) (1 - R / W),    end as soon as P[n+1] < B L.

The last factor: what was left over and is written again counts once. A guest that goes over its working set in turn
comes to what was left over last: P[n+1] = R + D(t[n]), and W at most. Where a part is hot, each part has its own such
factor, and R is made up of both as P was: what the first pass leaves over is hardly ever hot. The sums are those of
pre-copy since Clark and others, Live Migration of Virtual Machines (NSDI 2005): the passes take at least P[0] / B, and
the guest stands still for what remains at the end.
"""

from __future__ import annotations

from dataclasses import dataclass

from hotfoot.migration.dirty_curve import Dirty, DirtyCurve
from hotfoot.migration.policy import Throttle

SLICE_S = 0.05
"""So long QEMU sends between two looks at what remains."""
SYNC_S = 0.002
"""What it takes to look at what is dirty, at the end of each pass."""
MOST_PASSES = 100
"""A migration that needs more is not one that converges."""
SLOWINGS = (*range(20, 99, 10), 99)
"""In percent, as QEMU slows vCPUs down: cpu-throttle-initial, cpu-throttle-increment, max-cpu-throttle."""
_THROTTLE_SHARE = 0.5
_THROTTLE_AFTER = 2
"""It slows the guest down whenever twice more than half of what was sent had been written meanwhile."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast memory is sent, and how long the guest may stand still for the rest of it."""

    throughput_bytes_per_s: float
    downtime_limit_ms: float

    @property
    def threshold_bytes(self) -> float:
        """When less remains, the guest is stopped."""
        return self.throughput_bytes_per_s * self.downtime_limit_ms / 1000

    @property
    def leftover_bytes(self) -> float:
        """What on average remains unsent when QEMU looks again."""
        return max(0.0, self.threshold_bytes - self.throughput_bytes_per_s * SLICE_S / 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """Where a number of passes led to."""

    ended: bool
    """Whether little enough remains."""
    passes: int
    seconds: float
    sent_bytes: float
    remaining_bytes: float
    """At the end what the guest is stopped for; else what remained after the last pass."""
    throttle_percent: int = 0


def walk(
    start_bytes: float,
    dirty: DirtyCurve,
    pace: Pace,
    *,
    hot_bytes: float = 0.0,
    most_passes: int = MOST_PASSES,
    throttle: Throttle | None = None,
) -> Walk:
    """Send ``start_bytes`` and what is dirtied meanwhile, until the end or until it is clear that there is none.

    ``hot_bytes``: so much of what it starts with is of the guest's hot part.
    Invariant (held by property tests): more throughput never takes longer, a curve that lies above another never takes
    less time, and whoever ends at one throughput or limit ends at every greater one.
    """
    throughput = pace.throughput_bytes_per_s
    dirty_now, seconds, sent, slowed, high = Dirty(hot_bytes, start_bytes - hot_bytes), 0.0, 0.0, 0, 0
    for number in range(1, most_passes + 1):
        pending = dirty_now.all_bytes
        now = min(pending, max(pending - pace.leftover_bytes, throughput * SLICE_S))
        took = now / throughput + SYNC_S
        guest = dirty.slowed(slowed)
        before, dirty_now = dirty_now, guest.added_to(dirty_now.cut_to(pending - now), took)
        pending = dirty_now.all_bytes
        seconds, sent = seconds + took, sent + now
        if pending < pace.threshold_bytes or pending == 0:
            return Walk(
                ended=True, passes=number, seconds=seconds, sent_bytes=sent, remaining_bytes=pending,
                throttle_percent=slowed,
            )  # fmt: skip
        if throttle:
            high = high + 1 if guest.within(took) > _THROTTLE_SHARE * now else high
            if high >= _THROTTLE_AFTER:
                high = 0
                slowed = min(throttle.top, slowed + throttle.rung if slowed else throttle.first)
        elif pending >= before.all_bytes and dirty_now.hot_bytes >= before.hot_bytes and number > 1:
            break  # of one part the recursion is monotone, and never falls again; of two it was never seen to
    return Walk(
        ended=False, passes=number, seconds=seconds, sent_bytes=sent, remaining_bytes=pending, throttle_percent=slowed
    )


def limit_needed_ms(start_bytes: float, dirty: DirtyCurve, pace: Pace) -> float:
    """Return the least downtime limit with which it would end."""
    low, high = pace.downtime_limit_ms, max(pace.downtime_limit_ms, 1100 * start_bytes / pace.throughput_bytes_per_s)
    while high - low > 0.02 * high:
        middle = (low + high) / 2
        if walk(start_bytes, dirty, Pace(pace.throughput_bytes_per_s, middle)).ended:
            high = middle
        else:
            low = middle
    return high


def throttle_needed_percent(start_bytes: float, dirty: DirtyCurve, pace: Pace) -> int | None:
    """Return the least slowing of the vCPUs with which it would end, in QEMU's steps; None where none is enough."""
    return next((each for each in SLOWINGS if walk(start_bytes, dirty.slowed(each), pace).ended), None)
