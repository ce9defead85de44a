"""Where evacuations are planned and carried out: a site some of whose hosts are dead."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, fields, replace

from hotfoot.errors import ExitStatus, HotfootError
from hotfoot.evacuation.candidates import Candidates, candidates, check_silence, with_dead
from hotfoot.evacuation.fitness import bound, lost, nvram_of
from hotfoot.evacuation.life import HostAddresses, signs_of_life
from hotfoot.evacuation.start import SETTLE_S, Starting, Surroundings
from hotfoot.evacuation.view import Ground, View, shared_files
from hotfoot.inventory import Inventory
from hotfoot.journal.definitions import Definitions
from hotfoot.journal.entries import now_ms
from hotfoot.journal.plan_record import PlanRecord
from hotfoot.migration.whole_cluster import take
from hotfoot.placement.course import Course, Step, StepState
from hotfoot.placement.plan import Plan
from hotfoot.placement.snapshot import Snapshot
from hotfoot.placement.wish import Wish
from hotfoot.plans.means import Carrier, Means
from hotfoot.plans.planner import Around, Planned, plan_for, within
from hotfoot.plans.site import Site

VERB = "evacuate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Evacuation:
    """What was planned, and what it was planned from."""

    planned: Planned
    found: Candidates
    lost: tuple[str, ...] = ()
    """What instances will not have any more, in sentences."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadSite(Site):
    """A site whose dead hosts are left by starting their instances elsewhere."""

    ground: Ground
    dead: tuple[HostAddresses, ...]

    @classmethod
    def of(cls, site: Site, ground: Ground, dead: tuple[HostAddresses, ...]) -> DeadSite:
        """Return a site with dead hosts, which bear any number of starts at once."""
        values = {field.name: getattr(site, field.name) for field in fields(site)}
        values["limits"] = site.limits.model_copy(update={"per_source": None})
        return cls(**values, ground=ground, dead=dead)

    @property
    def dead_names(self) -> frozenset[str]:
        """The names of the dead hosts."""
        return frozenset(host.name for host in self.dead)

    @property
    def definitions(self) -> Definitions:
        """The definitions in its journal."""
        return Definitions(self.store)

    async def first_plan(self, wish: Wish, named: Collection[str], back: Collection[str] = ()) -> Planned:
        """Look, and plan; raises HotfootError (refused) also when a plan touches a named host."""
        return (await self.first_evacuation(wish)).planned

    async def first_evacuation(self, wish: Wish) -> Evacuation:
        """Do what ``first_plan`` does, and return what it was planned from too."""
        await self.check_free(sorted(self.dead_names))
        if not await asyncio.to_thread(self.definitions.kept, self.cluster):
            raise HotfootError(
                f"The journal {self.place.name} keeps no definition of an instance, so that none can be started:"
                " `hotfoot definitions` keeps them while their hosts live.",
                ExitStatus.REFUSED,
            )
        return await self.evacuation(wish, await self.around())

    async def plan(self, wish: Wish, around: Around) -> Planned:
        """Look at all living hosts, and plan for what is left."""
        return (await self.evacuation(wish, around)).planned

    async def evacuation(self, wish: Wish, around: Around) -> Evacuation:
        """Look, and plan: only instances of dead hosts are placed, and all others stay where they are.

        Raises HotfootError (refused) where a dead host, or an instance that it had, gives a sign of life, and where
        another host is silent.
        """
        inventory = await self.ground.look()
        check_silence(inventory, self.dead_names)
        found = candidates(await asyncio.to_thread(self.definitions.kept, self.cluster), inventory, self.dead_names)
        if signs := await signs_of_life(self.dead, (*found.start, *found.stranded)):
            raise HotfootError(
                f"{' '.join(signs)} Nothing is started while that is so: switch it off first.", ExitStatus.REFUSED
            )
        machines = {uuid: kept.definition.xml for uuid, kept in found.kept.items()}
        nvram = [path for xml in machines.values() if (path := nvram_of(xml))]
        shared = await shared_files(self.ground, self._living, found.start, nvram)
        ties = {one.uuid: why for one in found.start if (why := bound(one, machines[one.uuid], shared, self.storage))}
        seen_as = with_dead(inventory, self.dead_names, found.start)
        seen, _ = await take(View(self.ground, seen_as, self.dead_names, machines, shared), self.storage)
        snapshot = within(_to_start(seen, machines, ties), self.limits, replace(around, overhead_s=0.0))
        fixed = {one.id for one in snapshot.instances} - {*machines}
        planned = await plan_for(snapshot, seen_as, wish.model_copy(update={"fixed": wish.fixed | fixed}), around)
        names = {one.uuid: one.name for one in found.start}
        tied = {uuid: f"{names[uuid]} cannot be started elsewhere: {why}" for uuid, why in ties.items()}
        return Evacuation(
            planned=replace(planned, plan=_worded(planned.plan, {**tied, **found.left}), overhead_s=0.0),
            found=found,
            lost=tuple(
                told for one in found.start if one.uuid not in ties and (told := lost(one, machines[one.uuid], shared))
            ),
        )

    def means(self) -> Means:
        """Return what a run works with: starts in place of migrations."""
        around = Surroundings(
            ground=self.ground,
            definitions=self.definitions,
            cluster=self.cluster,
            living=self._living,
            dead=self.dead,
        )

        def starting(step: Step, say: Callable[[str], None]) -> Carrier:
            return Starting(around, step, say)

        return replace(Site.means(self), carrying=starting, plan=self.plan, look=self._look_at_the_end)

    async def take_up(self, record: PlanRecord) -> tuple[PlanRecord, Course]:
        """Make a plan this process's own; what was started meanwhile is defined where it runs, and kept so."""
        adopted, course = await Site.take_up(self, record)
        inventory = await self.ground.look()
        kept = {one.definition.uuid: one for one in await asyncio.to_thread(self.definitions.kept, self.cluster)}
        runs = {(one.uuid, one.host): one for one in inventory.instances if one.movable}
        for step in course.in_state(StepState.DONE):
            there, known = runs.get((step.uuid, step.destination)), kept.get(step.uuid)
            if there is None or known is None or known.host != step.source:
                continue
            await self.ground.define(step.destination, known.definition.xml, autostart=known.definition.autostart)
            await asyncio.to_thread(self.definitions.place, self.cluster, step.uuid, step.destination, now_ms())
        return adopted, course

    @property
    def _living(self) -> tuple[str, ...]:
        return tuple(host for host in self.hosts or () if host not in self.dead_names)

    async def _look_at_the_end(self) -> Inventory:
        """Look where all is, with what was not started on the dead hosts. Never raises for what a host says."""
        inventory = await self.ground.look()
        found = candidates(await asyncio.to_thread(self.definitions.kept, self.cluster), inventory, self.dead_names)
        return with_dead(inventory, self.dead_names, (*found.start, *found.stranded, *found.off))


def _to_start(seen: Snapshot, machines: Mapping[str, str], ties: Mapping[str, str]) -> Snapshot:
    """Return the snapshot in which an instance of a dead host sends nothing, and stays where it is tied to it."""
    instances = (
        one.model_copy(
            update={
                "transfer_bytes": 0,
                "downtime_ms": 0,
                "least_seconds": SETTLE_S,
                "movable": one.movable and one.id not in ties,
                "unmovable_because": ties.get(one.id, one.unmovable_because),
            }
        )
        if one.id in machines
        else one
        for one in seen.instances
    )
    return seen.model_copy(update={"instances": tuple(instances)})


def _worded(plan: Plan, left: Mapping[str, str]) -> Plan:
    """Return the plan in the words of an evacuation."""
    return plan.model_copy(
        update={
            "moves": tuple(move.model_copy(update={"reason": "starts it again"}) for move in plan.moves),
            "stays": {**plan.stays, **left},
        }
    )
