"""Measures what a forecast needs: the guest on its source, and the way to the destination. Changes nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from hotfoot.cloud.protocol import Cloud, MemoryTouched
from hotfoot.errors import HotfootError
from hotfoot.inventory import Instance, InstanceState
from hotfoot.migration.dirty_curve import DirtyCurve, DirtyCurves, DirtyPoint, fit
from hotfoot.migration.forecast import SETUP_MS, SWITCH_MS, Band, Measured, setup_ms, switch_ms
from hotfoot.migration.options import Order
from hotfoot.migration.page_watch import PageWatch, curves

Probe = Callable[[str, str, str | None], Awaitable[int]]
"""Tries for a moment how many bytes per second go from a source to a destination (and its stream address, if that is
known); raises HotfootError where it cannot."""
Earlier = Callable[[str, str], Sequence[int]]
"""What migrations from a source to a destination reached, in bytes per second, the newest first; may block."""

FIRST_PERIOD_S = 1
"""The shortest that libvirt measures a dirty rate for."""
LONG_PERIODS_S = range(3, 9)
"""A busy guest is measured again, for so long: the longer its first pass will take, the longer. Where only libvirt can
tell, which looks at few pages, for another second before."""
_NEAR = 0.4
"""Of the throughput; for what dirties more it matters whether its working set ends within the first pass: it is
measured for as long as that takes, so that nothing beyond has to be told."""
THOROUGH_PERIODS_S = range(4, 21)
_SHARE_OF_PASS, _THOROUGH_SHARE_OF_PASS = 0.35, 0.5
_BUSY = 0.04
"""Of the throughput; what dirties less changes a total by less than the other figures are off."""
_EARLIER, _ENOUGH_EARLIER = 8, 3
_SPREAD = 0.1
"""Throughput is not known more exactly than this, however it was learned."""
_TOUCHED_IS_ZERO, _MOST_TOUCHED_IS_ZERO = 0.1, 0.3
"""So much of what a guest has touched is zero again (measured: 0.06 to 0.2), and at most. Only where its pages could
not be looked at."""
_NINETY_PERCENT = 1.645
_USED_CHANGES = 0.03
"""Of what a guest uses: it may use more or less by the time that it moves."""


@dataclass(frozen=True, slots=True)
class _Look:
    """What one look at an instance's writing told: points of its dirty curve, and its pages where they were seen."""

    points: tuple[DirtyPoint, ...]
    watched: PageWatch | None


class Survey:
    """One instance's measurements: ``begin`` as early as it is known, ``finish`` when its move has been judged."""

    def __init__(
        self,
        cloud: Cloud,
        probe: Probe,
        *,
        thorough: bool = False,
        earlier: Earlier = lambda _source, _destination: (),
        look_at_pages: bool = True,
    ) -> None:
        self._cloud = cloud
        self._probe = probe
        self._thorough = thorough
        self._earlier = earlier
        self._look_at_pages = look_at_pages
        self._first: asyncio.Task[_Look | None] | None = None

    def begin(self, instance: Instance) -> None:
        """Begin with what takes longest."""
        if instance.state is InstanceState.RUNNING:
            self._first = asyncio.create_task(self._look(instance))

    def stop(self) -> None:
        """Wait for nothing any more; what is being measured ends by itself."""
        if self._first is not None:
            self._first.cancel()

    async def finish(self, instance: Instance, order: Order) -> Measured:
        """Return all measurements; raises HotfootError with the sentence why there can be no forecast."""
        throughput = await self._throughput(order)
        first = await self._first_look(instance)
        touched, login_ms = await self._login(instance)
        watched = first.watched if first else None
        memory = memory_watched(watched) if watched else memory_used(touched, instance.memory_bytes)
        dirty = await self._dirty(instance, memory, throughput, first)
        disks = Band(0, 0, 0)
        if order.copied_disks:
            written, most = await self._cloud.disk_bytes(instance, order.copied_disks)
            disks = Band(written, 0, max(written, most))
        return Measured(
            memory_used=memory,
            throughput_bytes_per_s=throughput,
            dirty=dirty,
            disks=disks,
            setup_ms=SETUP_MS if touched.guest_bytes is None else setup_ms(login_ms),
            switch_ms=SWITCH_MS if touched.guest_bytes is None else switch_ms(login_ms),
            downtime_limit_ms=order.options.policy.first_downtime_ms,
            policy=order.options.policy,
            throttle=order.throttle,
            post_copy=order.post_copy,
        )

    async def _login(self, instance: Instance) -> tuple[MemoryTouched, float]:
        """Ask for the memory touched, and nothing else meanwhile: how long a login takes tells how busy the host is."""
        began_s = time.monotonic()
        return await self._cloud.memory_touched_bytes(instance), 1000 * (time.monotonic() - began_s)

    async def _throughput(self, order: Order) -> Band:
        reaching = asyncio.create_task(asyncio.to_thread(self._earlier, order.source, order.destination))
        asked = order.options.bandwidth_bytes_per_s
        try:
            tried = await self._probe(order.source, order.destination, order.stream_address)
        except HotfootError:
            if reached := await reaching:
                return limited(throughput_of(reached), asked)
            link = await self._cloud.link_bytes_per_s(order.source, order.destination) or asked
            if link is None:
                raise
            return limited(Band(link, link // 2, link), asked)
        reached = await reaching if _is_plain(order) else ()
        return limited(no_more_than_reached(Band.around(tried, _SPREAD), reached), asked)

    async def _first_look(self, instance: Instance) -> _Look | None:
        """Return what ``begin`` began; None of an instance that stands still."""
        if self._first is None:
            self.begin(instance)
        if self._first is None:
            return None
        seen = await self._first
        if seen is None:
            raise HotfootError(f"the dirty rate of {instance.name} could not be measured on {instance.host}")
        return seen

    async def _look(self, instance: Instance) -> _Look | None:
        watched = await self._cloud.watch_pages(instance, FIRST_PERIOD_S) if self._look_at_pages else None
        points = watched.points() if watched else await self._sampled(instance, FIRST_PERIOD_S)
        return _Look(points, watched) if points else None

    async def _sampled(self, instance: Instance, *periods_s: int) -> tuple[DirtyPoint, ...]:
        """What libvirt measures, one period after the other; those that it cannot are left out."""
        rates = [(period_s, await self._cloud.dirty_mib_per_s(instance, period_s)) for period_s in periods_s]
        return tuple(
            DirtyPoint.sampled(period_s, rate, instance.memory_bytes) for period_s, rate in rates if rate is not None
        )

    async def _dirty(self, instance: Instance, memory: Band, throughput: Band, first: _Look | None) -> DirtyCurves:
        if first is None:
            still = DirtyCurve(0.0, ceiling_bytes=memory.expected)
            return DirtyCurves(low=still, expected=still, high=still)
        longest = max(first.points, key=lambda point: point.period_s)
        share = longest.dirtied_bytes / longest.period_s / throughput.expected
        long_s = 0
        if share > _BUSY:
            long_s = self._long_period_s(memory.expected / throughput.expected, near=share > _NEAR)
        if first.watched:
            again = await self._cloud.watch_pages(instance, long_s) if long_s else None
            found = curves([first.watched, again] if again else [first.watched], memory.expected)
        else:
            more = await self._sampled(instance, FIRST_PERIOD_S, long_s) if long_s else ()
            found = fit((*first.points, *more), memory.expected)
        return replace(found, high=replace(found.high, ceiling_bytes=memory.high))

    def _long_period_s(self, first_pass_s: float, *, near: bool) -> int:
        periods = THOROUGH_PERIODS_S if self._thorough else LONG_PERIODS_S
        share = 1.0 if near else _THOROUGH_SHARE_OF_PASS if self._thorough else _SHARE_OF_PASS
        return min(periods[-1], max(periods[0], round(share * first_pass_s)))


def memory_watched(watched: PageWatch) -> Band:
    """Return what of the memory is not zero, from a look at its pages. Pure."""
    used = watched.used_bytes
    off = round(_NINETY_PERCENT * watched.used_error_bytes + _USED_CHANGES * used)
    return Band(used, max(0, used - off), used + off)


def memory_used(touched: MemoryTouched, memory_bytes: int) -> Band:
    """Return what of the memory is probably not zero: at most what was touched, at most all of it. Pure."""
    if touched.guest_bytes is not None:
        expected, least = (touched.guest_bytes * (1 - share) for share in (_TOUCHED_IS_ZERO, _MOST_TOUCHED_IS_ZERO))
        return Band(round(expected), round(least), touched.guest_bytes)
    most = min(memory_bytes, touched.process_bytes or memory_bytes)
    return Band(most, most // 2, most)


def throughput_of(earlier_bytes_per_s: Sequence[int]) -> Band:
    """Return what the newest of earlier migrations let expect. Pure."""
    newest = sorted(earlier_bytes_per_s[:_EARLIER])
    around = Band.around(newest[len(newest) // 2], _SPREAD)
    return Band(around.expected, min(around.low, newest[0]), max(around.high, newest[-1]))


def no_more_than_reached(tried: Band, earlier_bytes_per_s: Sequence[int]) -> Band:
    """Lower what the way carries to the most that a memory stream made of it, if there were enough. Pure.

    A fast link carries more than QEMU sends over one connection.
    """
    newest = earlier_bytes_per_s[:_EARLIER]
    if len(newest) < _ENOUGH_EARLIER or max(newest) * (1 + _SPREAD) >= tried.low:
        return tried
    return Band(max(newest), min(newest), tried.high)


def limited(throughput: Band, asked_bytes_per_s: int | None) -> Band:
    """Return the throughput under the limit that was asked for. Pure."""
    if asked_bytes_per_s is None:
        return throughput
    return Band(*(min(each, asked_bytes_per_s) for each in (throughput.expected, throughput.low, throughput.high)))


def _is_plain(order: Order) -> bool:
    return not (order.options.parallel or order.options.native_tls or order.options.compress)
