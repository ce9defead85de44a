"""One instance of a dead host started on another, and proven to run there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from hotfoot.cloud.image_locks import Lock, lockable
from hotfoot.cloud.libvirt_xml import instance_of
from hotfoot.cloud.protocol import MoveEnded
from hotfoot.errors import ExitStatus, HotfootError
from hotfoot.evacuation.life import HostAddresses, signs_of_life
from hotfoot.evacuation.one_start import OneStart
from hotfoot.evacuation.view import Ground
from hotfoot.inventory import Disk, Instance, InstanceState
from hotfoot.journal.definitions import Definitions, Kept
from hotfoot.journal.entries import now_ms
from hotfoot.migration.proof import Sighting
from hotfoot.placement.course import Step

LOCKS_PATIENCE_S = 120.0
"""NFS 4 keeps the locks of a client that is gone for its lease (90 s), GlusterFS for its ping timeout (42 s)."""
_LOCKS_EVERY_S = 2.0
SETTLE_S = 1.0
"""A QEMU that cannot run what it was given ends within it."""
_INACTIVE = frozenset({None, InstanceState.SHUT_OFF, InstanceState.CRASHED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What every start of an evacuation must know."""

    ground: Ground
    definitions: Definitions
    cluster: str
    living: tuple[str, ...]
    """The hosts that are not dead."""
    dead: Sequence[HostAddresses]


class Starting(OneStart):
    """One start by libvirt.

    Invariant: an instance is started only when, right before it, no dead host gives a sign of life, every other host
    says that it does not run there, and no image of it is locked; where it turns out to run on its destination already,
    it is not started again.
    """

    def __init__(self, around: Surroundings, step: Step, say: Callable[[str], None]) -> None:
        super().__init__(step)
        self._around = around
        self._say = say

    def request_abort(self) -> str | None:
        """Return why a start is not broken off."""
        return f"{self._step.name} is being started on {self._step.destination}; that is not broken off."

    async def _start(self) -> tuple[str, ...]:
        step, ground = self._step, self._around.ground
        kept = await self._kept()
        instance = instance_of(kept.definition.xml, step.source, InstanceState.RUNNING, persistent=True)
        remarks = await self._wait_for_locks(lockable(instance.disks))
        if not await self._runs_there():
            self._under_way = True
            try:
                await ground.start(step.destination, kept.definition.xml)
            except MoveEnded as error:
                raise HotfootError(
                    f"{step.destination} could not start it: {error}", ExitStatus.FAILED_ON_SOURCE
                ) from None
        remarks += await self._define(kept)
        await asyncio.sleep(SETTLE_S)
        await self._prove(instance)
        try:
            await asyncio.to_thread(
                self._around.definitions.place, self._around.cluster, step.uuid, step.destination, now_ms()
            )
        except HotfootError as error:
            remarks += (f"That it is on {step.destination} now is not in the journal: {error}.",)
        return remarks

    async def _kept(self) -> Kept:
        step = self._step
        kept = await asyncio.to_thread(self._around.definitions.kept, self._around.cluster)
        for one in kept:
            if (one.definition.uuid, one.host) == (step.uuid, step.source):
                return one
        raise HotfootError(f"The journal has no definition of it on {step.source} any more.", ExitStatus.REFUSED)

    async def _wait_for_locks(self, disks: Sequence[Disk]) -> tuple[str, ...]:
        """Return a remark where nothing could be told. Raises HotfootError (refused) while one is held."""
        step, waiting = self._step, False
        end_s = time.monotonic() + LOCKS_PATIENCE_S
        while disks:
            try:
                locks = await self._around.ground.image_locks(step.destination, disks)
            except HotfootError as error:
                return (f"Whether its disks are locked could not be told: {error}",)
            held = [disk for disk in disks if locks.get(disk.source or "") is Lock.HELD]
            if not held:
                untold = [disk.target for disk in disks if locks.get(disk.source or "") is not Lock.FREE]
                return (f"Whether {', '.join(untold)} is locked could not be told.",) if untold else ()
            if time.monotonic() > end_s:
                raise HotfootError(
                    f"Its disk {held[0].target} ({held[0].source}) is locked: another QEMU uses it, or the storage has"
                    f" not noticed yet that {step.source} is gone.",
                    ExitStatus.REFUSED,
                )
            if not waiting:
                waiting = True
                self._say(
                    f"{step.name}: its disk {held[0].target} is still locked; waiting up to {LOCKS_PATIENCE_S:.0f} s"
                    f" for the storage to notice that {step.source} is gone."
                )
            await asyncio.sleep(_LOCKS_EVERY_S)
        return ()

    async def _runs_there(self) -> bool:
        """Whether it runs on its destination already. Raises HotfootError (refused) where it may run anywhere else."""
        step, around = self._step, self._around
        signs, seen = await asyncio.gather(
            signs_of_life(around.dead), around.ground.sightings(step.uuid, around.living)
        )
        if signs:
            raise HotfootError(f"{signs[0]} Nothing is started while it does.", ExitStatus.REFUSED)
        for one in seen:
            if one.problem:
                raise HotfootError(f"{one.host} may run it, and does not answer: {one.problem}", ExitStatus.REFUSED)
        active = [one for one in seen if one.state not in _INACTIVE]
        if _alone_on(step.destination, active):
            return True
        if active:
            raise HotfootError(f"{active[0].host} has it {active[0].in_words} already.", ExitStatus.REFUSED)
        return False

    async def _define(self, kept: Kept) -> tuple[str, ...]:
        step, definition = self._step, kept.definition
        try:
            await self._around.ground.define(step.destination, definition.xml, autostart=definition.autostart)
        except HotfootError as error:
            return (f"It runs on {step.destination}, but is not defined there: {error}",)
        return ()

    async def _prove(self, instance: Instance) -> None:
        """Raise HotfootError unless it runs on its destination alone."""
        step, around = self._step, self._around
        seen = await around.ground.sightings(step.uuid, around.living)
        active = [one for one in seen if one.state not in _INACTIVE]
        if _alone_on(step.destination, active):
            return
        if active or any(one.problem for one in seen):
            where = ", ".join(f"{one.host} has it {one.in_words}" for one in active) or "no host that answers has it"
            raise HotfootError(f"It was started on {step.destination}, but {where}.", ExitStatus.UNKNOWN_STATE)
        await around.ground.forget(step.destination, step.uuid)  # so that it can be tried elsewhere
        raise HotfootError(
            f"It ended right after its start on {step.destination}: /var/log/libvirt/qemu/{instance.name}.log there"
            " says why.",
            ExitStatus.FAILED_ON_SOURCE,
        )


def _alone_on(host: str, active: Collection[Sighting]) -> bool:
    return {one.host for one in active} == {host} and all(one.alive for one in active)
