"""Bringing the two halves of a post-copy migration together: waited for, paused, resumed; never stopped."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from hotfoot.cloud.protocol import Cloud
from hotfoot.errors import HotfootError
from hotfoot.inventory import InstanceState
from hotfoot.migration.options import Order
from hotfoot.migration.proof import judge, left_at_home
from hotfoot.migration.recovery import LOST, Assessment, Ends, Situation, assess

PATIENCE_S = 125.0
"""Without any change, while both sides answer: TCP sends again after as long as the link was away, and after 120 s at
most (Linux, TCP_RTO_MAX). A host that answers again, and memory that arrives, are changes."""
LITTLE_PATIENCE_S = 45.0
"""The same while a side is silent, or says that the stream broke: waiting alone then rarely helps."""
SURE_S = 5.0
"""So long a half must be gone, or nothing be clear, before that is believed: libvirt ends the two sides one by one."""
TIDY_S = 10.0
AGAIN_S = 0.5
_FIRM = frozenset({Situation.BROKEN, Situation.SOURCE_SILENT, Situation.DESTINATION_SILENT})
"""What no migration that ends well passes through; of anything else the second look decides whether it is told."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class _Look:
    assessment: Assessment = field(compare=False)
    states: tuple[object, ...]
    """What each host has, or that it is silent."""
    left_bytes: int | None
    """What the source has yet to send, where it says so."""


async def look(cloud: Cloud, uuid: str, name: str, ends: Ends | None = None) -> Assessment:
    """Ask every host once, and say how the instance stands."""
    return (await _look(cloud, uuid, name, ends)).assessment


async def wait(
    cloud: Cloud,
    uuid: str,
    name: str,
    ends: Ends | None,
    say: Say,
    *,
    clock: Callable[[], float] = time.monotonic,
) -> Assessment:
    """Wait until the instance is whole, cannot become so any more, or nothing has changed for so long.

    What is where is said, and again when it changes. Nothing is done to either half.
    """
    changed_s, told = clock(), None
    before: _Look | None = None
    while True:
        now = await _look(cloud, uuid, name, ends)
        found = now.assessment
        if found.source and found.destination:  # a host that falls silent later keeps its part
            ends = (found.source, found.destination)
        if found.situation is Situation.WHOLE:
            return found
        if now != before:
            changed_s = clock()
        firm = found.situation in _FIRM or (before is not None and now.states == before.states)
        if firm and found.situation is not told:
            told = found.situation
            say(" ".join(found.in_words))
        if clock() - changed_s > _patience_s(found):
            return found
        before = now
        await asyncio.sleep(AGAIN_S)


def _patience_s(found: Assessment) -> float:
    if found.situation in LOST or found.situation is Situation.UNCLEAR:
        return SURE_S
    both_answer = found.situation in (Situation.UNDER_WAY, Situation.BROKEN)
    return PATIENCE_S if both_answer and not found.stream_broke else LITTLE_PATIENCE_S


async def _look(cloud: Cloud, uuid: str, name: str, ends: Ends | None) -> _Look:
    sightings = await cloud.sightings(uuid)
    assessment = assess(name, sightings, ends)
    source = next((seen for seen in sightings if seen.host == assessment.source and not seen.problem), None)
    sample = await cloud.job(source.host, uuid) if source else None
    states = tuple((seen.host, seen.state, seen.post_copy, seen.problem is None) for seen in sightings)
    left_bytes = None if sample is None else sample.memory_remaining_bytes
    return _Look(assessment, states, left_bytes)


async def resume(cloud: Cloud, order: Order, say: Say) -> Assessment:
    """Pause what is left of the old connection, resume over a new one, and wait until the instance is whole.

    Only to be called where ``resume.judge_resume`` allows it. What libvirt answers is said; what counts is where
    the instance then is.
    """

    async def ask() -> None:
        try:
            await cloud.resume_post_copy(order)
        except HotfootError as error:
            say(f"The resume ended: {error}")

    try:
        await cloud.pause_post_copy(order.source, order.uuid)
    except HotfootError as error:  # paused already
        say(f"{order.source} was not paused: {error}")
    asking = asyncio.create_task(ask())
    try:
        return await wait(cloud, order.uuid, order.name, (order.source, order.destination), say)
    finally:
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)


async def tidy(cloud: Cloud, order: Order) -> bool:
    """Remove the definition that libvirt left on the source; False where there is none, or the instance is not whole.

    It is waited for a little until libvirt has ended the half there. Raises HotfootError where libvirt refuses.
    """
    until_s = time.monotonic() + TIDY_S
    while True:
        sightings = await cloud.sightings(order.uuid)
        if not any(seen.half for seen in sightings) or time.monotonic() > until_s:
            break
        await asyncio.sleep(AGAIN_S)
    if not left_at_home(order, judge(order, sightings, InstanceState.RUNNING), sightings):
        return False
    await cloud.forget(order.source, order.uuid)
    return True
