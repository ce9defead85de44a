"""Where evacuations are planned and carried out on an OpenStack cloud: Hotfoot says where, and Nova starts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Protocol

from hotfoot.errors import ExitStatus, HotfootError
from hotfoot.evacuation.candidates import with_dead
from hotfoot.evacuation.fitness import on_shared_storage
from hotfoot.evacuation.life import HostAddresses, signs_of_life
from hotfoot.evacuation.nova_start import Evacuating, Ground
from hotfoot.inventory import Instance, Inventory
from hotfoot.journal.plan_record import PlanRecord
from hotfoot.migration.facts import FileSight
from hotfoot.placement.course import Course, Step
from hotfoot.placement.plan import Plan
from hotfoot.placement.snapshot import Snapshot
from hotfoot.placement.wish import Wish
from hotfoot.plans.means import Carrier, Means
from hotfoot.plans.nova_site import NovaSite, WholeNova
from hotfoot.plans.planner import Around, Planned, plan_for, within

STATUSES = ("ACTIVE", "SHUTOFF")
"""In which Nova evacuates a server and leaves it as it was. It would take one in ERROR too, whose guest may run."""
INSTANCES_PATH = "/var/lib/nova/instances"
"""Where Nova keeps disks unless nova.conf says otherwise (``instances_path``)."""
START_S = 10.0
"""What one evacuation takes, so that an end can be told."""
REBUILDING = "rebuild"
"""How the task states of a server begin that is being evacuated."""
PATIENCE_S = 300.0
_AGAIN_S = 2.0


class NovaGround(WholeNova, Ground, Protocol):
    """An OpenStack cloud whose dead hosts can be evacuated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NovaEvacuation:
    """What was planned, and what it was planned from."""

    planned: Planned
    instances: Mapping[str, Instance]
    """Those of the dead hosts, by uuid."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadNovaSite(NovaSite):
    """A site whose dead hosts are left by Nova's evacuations.

    Invariant: nothing is evacuated from a host that gives a sign of life, and no instance whose disks are not known to
    outlive its host: Nova would make them anew from the image.
    """

    ground: NovaGround
    dead: tuple[HostAddresses, ...]
    disks_outlive: bool
    """Whether the operator said that what Nova keeps of disks is not on the hosts alone."""

    @classmethod
    def over(
        cls, site: NovaSite, ground: NovaGround, dead: tuple[HostAddresses, ...], *, disks_outlive: bool
    ) -> DeadNovaSite:
        """Return a site with dead hosts, which bear any number of evacuations at once."""
        values = {field.name: getattr(site, field.name) for field in fields(site)}
        values["limits"] = site.limits.model_copy(update={"per_source": None})
        return cls(**values, ground=ground, dead=dead, disks_outlive=disks_outlive)

    @property
    def dead_names(self) -> frozenset[str]:
        """The names of the dead hosts."""
        return frozenset(host.name for host in self.dead)

    async def first_evacuation(self, wish: Wish) -> NovaEvacuation:
        """Look, and plan; raises HotfootError (refused) also when a plan touches a dead host."""
        await self.check_free(sorted(self.dead_names))
        return await self.evacuation(wish, await self.around())

    async def plan(self, wish: Wish, around: Around) -> Planned:
        """Look, and plan for what is left."""
        return (await self.evacuation(wish, around)).planned

    async def evacuation(self, wish: Wish, around: Around) -> NovaEvacuation:
        """Look, and plan: only instances of dead hosts are placed, and all others stay where they are.

        Raises HotfootError (refused) where a dead host gives a sign of life.
        """
        if signs := await signs_of_life(self.dead):
            raise HotfootError(
                f"{' '.join(signs)} Nothing is started while that is so: `hotfoot drain` empties a living host, and a"
                " dead one is switched off first.",
                ExitStatus.REFUSED,
            )
        seen, inventory = await self.take()
        instances = {one.uuid: one for one in inventory.instances if one.host in self.dead_names}
        shared = await self._shared(inventory, [*instances.values()])
        ties = {one.uuid: why for one in instances.values() if (why := self._tie(one, shared))}
        inventory = with_dead(inventory, self.dead_names, [*instances.values()])
        snapshot = within(_to_start(seen, self.dead_names, ties), self.limits, replace(around, overhead_s=0.0))
        fixed = {one.id for one in snapshot.instances} - {*instances}
        planned = await plan_for(snapshot, inventory, wish.model_copy(update={"fixed": wish.fixed | fixed}), around)
        tied = {uuid: f"{instances[uuid].name} is not evacuated: {why}" for uuid, why in ties.items()}
        return NovaEvacuation(
            planned=replace(planned, plan=_worded(planned.plan, tied), overhead_s=0.0), instances=instances
        )

    def _tie(self, one: Instance, shared: Mapping[str, FileSight]) -> str | None:
        nova = one.nova
        if nova is None or nova.status not in STATUSES or nova.task_state:
            shown = f"{nova.status}{f' ({nova.task_state})' if nova.task_state else ''}" if nova else "unknown"
            return f"Nova shows it as {shown}, and what it was last doing is to be looked at first"
        local = [disk for disk in one.disks if disk.kind == "local"]
        if local and not self.disks_outlive and not any(path in shared for path in self._paths(one)):
            return (
                "nothing shows that its disks outlive its host, and Nova would make them anew from the image"
                " (--shared-disks says that they do)"
            )
        return None

    def _paths(self, one: Instance) -> tuple[str, ...]:
        folders = dict.fromkeys((*(storage.path for storage in self.storage), INSTANCES_PATH))
        return tuple(f"{folder}/{one.uuid}/disk" for folder in folders)

    async def _shared(self, inventory: Inventory, instances: Sequence[Instance]) -> Mapping[str, FileSight]:
        """Look on the living hosts that can be asked which disks are on storage that hosts share."""
        paths = [path for one in instances for path in self._paths(one)]
        living = [host.name for host in inventory.hosts if host.name not in self.dead_names and host.answers]
        if not paths or not living:
            return {}
        return on_shared_storage(await asyncio.gather(*(self.ground.sights(host, paths, ()) for host in living)))

    def means(self) -> Means:
        """Return what a run works with: evacuations in place of migrations."""

        def starting(step: Step, _say: Callable[[str], None]) -> Carrier:
            return Evacuating(self.ground, step)

        return replace(NovaSite.means(self), carrying=starting, plan=self.plan, look=self._look_at_the_end)

    async def take_up(self, record: PlanRecord) -> tuple[PlanRecord, Course]:
        """Make a plan this process's own, once Nova has ended what it began."""
        await asyncio.to_thread(self.check_idle, record)
        end_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < end_s:
            there = (await self.ground.look()).instances
            if not any(_being_evacuated(one) for one in there if one.host in self.dead_names):
                break
            await asyncio.sleep(_AGAIN_S)
        return await NovaSite.take_up(self, record)

    async def _in_nova(self, record: PlanRecord, out: Collection[str], back: Collection[str]) -> None:
        await self.nova.compute.force_down(out)  # first, so that Nova does not ask them anything any more
        await NovaSite._in_nova(self, record, out, back)

    async def _look_at_the_end(self) -> Inventory:
        """Look where all is, with what is still on the dead hosts."""
        inventory = await self.ground.look()
        return with_dead(
            inventory, self.dead_names, [one for one in inventory.instances if one.host in self.dead_names]
        )


def _being_evacuated(one: Instance) -> bool:
    return one.nova is not None and (one.nova.task_state or "").startswith(REBUILDING)


def _to_start(seen: Snapshot, dead: Collection[str], ties: Mapping[str, str]) -> Snapshot:
    """Return the snapshot in which dead hosts are left without sending anything, and nothing goes to them."""
    hosts = tuple(
        host.model_copy(update={"up": True, "maintenance": True}) if host.name in dead else host for host in seen.hosts
    )
    instances = tuple(
        one.model_copy(
            update={
                "transfer_bytes": 0,
                "downtime_ms": 0,
                "least_seconds": START_S,
                "movable": one.id not in ties,
                "unmovable_because": ties.get(one.id),
            }
        )
        if one.host in dead
        else one
        for one in seen.instances
    )
    return seen.model_copy(update={"hosts": hosts, "instances": instances})


def _worded(plan: Plan, tied: Mapping[str, str]) -> Plan:
    """Return the plan in the words of an evacuation."""
    moves = tuple(move.model_copy(update={"reason": "starts it again"}) for move in plan.moves)
    return plan.model_copy(update={"moves": moves, "stays": {**plan.stays, **tied}})
