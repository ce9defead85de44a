"""Where plans are made and carried out: one cluster, its cloud, its journal; what the verbs share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from hotfoot.errors import ExitStatus, HotfootError
from hotfoot.inventory import Inventory
from hotfoot.journal.carrying import Carrying
from hotfoot.journal.claims import SETTLE_S
from hotfoot.journal.entries import now_ms
from hotfoot.journal.living import asked_from, myself
from hotfoot.journal.out_of_placement import hosts_out
from hotfoot.journal.place import Place
from hotfoot.journal.plan_record import PlanRecord, PlanState
from hotfoot.journal.plans import Plans, busy
from hotfoot.journal.record import Json
from hotfoot.journal.store import Store, Wanted
from hotfoot.migration.facts import DeclaredStorage
from hotfoot.migration.prepare import Request
from hotfoot.migration.run import WATCH_AFTER_S, WATCH_BEFORE_S
from hotfoot.migration.whole_cluster import Trial, take
from hotfoot.placement.course import Course, Step, StepState
from hotfoot.placement.declared import NOTHING, Declared
from hotfoot.placement.pace import overhead_of
from hotfoot.placement.plan_text import MadePlan
from hotfoot.placement.recheck import still_valid
from hotfoot.placement.snapshot import Limits, Snapshot
from hotfoot.placement.wish import Balance, Wish
from hotfoot.plans.homes import Drained, drained_of
from hotfoot.plans.load import AskLoad, with_load
from hotfoot.plans.means import Means
from hotfoot.plans.planner import Around, Planned, WholeCloud, check, load_solver, plan_for, within
from hotfoot.plans.whereabouts import whereabouts

LEAST_OVERHEAD_S = SETTLE_S + WATCH_BEFORE_S + WATCH_AFTER_S
"""What a move waits for beside its migration; counted as its overhead until earlier moves of the cluster tell it."""
_OVERHEAD_OF = 20
"""So many moves tell it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One cluster. ``request_of`` makes what a move asks of its migration."""

    cloud: WholeCloud
    place: Place
    cluster: str
    hosts: tuple[str, ...] | None
    """Those that are declared; None: the cloud tells which there are."""
    storage: Sequence[DeclaredStorage]
    limits: Limits
    request_of: Callable[[Step], Request]
    store: Store
    declared: Declared = NOTHING
    """Rules and zones of the cluster file."""
    load: AskLoad | None = None
    trial: Trial | None = None
    """Tries what the links carry, before the first plan."""

    @property
    def plans(self) -> Plans:
        """The plans of its journal."""
        return Plans(self.store)

    async def first_plan(self, wish: Wish, named: Collection[str], back: Collection[str] = ()) -> Planned:
        """Look, and plan around what other plans touch; ``back``: hosts that will be in placement again by then.

        Raises HotfootError (refused) when a plan touches a named host.
        """
        await self.check_free(named)
        around = await self.around()
        around = replace(around, out=around.out - {*back})
        (seen, inventory), _ = await asyncio.gather(self.look(around, wish, self.trial), asyncio.to_thread(load_solver))
        return await plan_for(seen, inventory, wish, around)

    async def checked(self, made: MadePlan) -> Planned:
        """Look whether a plan that was made earlier can be carried out as it is.

        Raises HotfootError (refused) with a line for each move that is not valid any more, or when another plan
        touches a host of it.
        """
        await self.check_free(made.hosts)
        around = await self.around()
        seen, inventory = await self.take()
        return check(seen, inventory, self.limits, made, around)

    async def around(self, but: str | None = None) -> Around:
        """Return what the journal says that a plan must respect; ``but``: not what this plan holds."""
        held = await asyncio.to_thread(self.plans.held, self.cluster, but)
        out = await asyncio.to_thread(hosts_out, self.place, self.cluster)
        overhead_s = overhead_of(await asyncio.to_thread(self.plans.newest_done, self.cluster, _OVERHEAD_OF))
        return Around(
            out=frozenset(out),
            held=frozenset(held),
            overhead_s=LEAST_OVERHEAD_S if overhead_s is None else overhead_s,
            declared=self.declared,
        )

    async def take(self, trial: Trial | None = None, *, measured: bool = False) -> tuple[Snapshot, Inventory]:
        """Look at all hosts, as they are; ``measured``: load counts. Raises HotfootError."""
        return await take(self.cloud, self.storage, trial, measured=measured)

    async def look(self, around: Around, wish: Wish, trial: Trial | None = None) -> tuple[Snapshot, Inventory]:
        """Look at all hosts; returns what planning is to see, and what it was seen from.

        Where the wish is for measured load, that is asked for where it is known best. Raises HotfootError.
        """
        measured = isinstance(wish.objective, Balance) and wish.objective.measured
        seen, inventory = await self.take(trial, measured=measured)
        if measured:
            seen = await with_load(seen, inventory, self.load)
        return within(seen, self.limits, around), inventory

    async def plan(self, wish: Wish, around: Around) -> Planned:
        """Look at all hosts, and plan; the links are not tried, since migrations may run over them."""
        seen, inventory = await self.take()
        return await plan_for(within(seen, self.limits, around), inventory, wish, around)

    async def open(
        self,
        verb: str,
        wish: Wish,
        asked: Json,
        planned: Planned,
        out: Collection[str] = (),
        back: Collection[str] = (),
    ) -> tuple[PlanRecord, Course]:
        """Keep a plan, and take hosts out of placement or put them back. Raises HotfootError (refused)."""
        course = Course(limits=self.limits)
        if isinstance(deadline_ms := asked.get("deadline_ms"), int):
            course = replace(course, deadline_ms=deadline_ms)
        course = course.planned(planned.plan, planned.overhead_s, planned.links)
        touched = [host for step in course.steps for host in (step.source, step.destination)]
        record = PlanRecord(
            id="",
            cluster=self.cluster,
            verb=verb,
            wish=wish.model_dump(mode="json"),
            asked=asked,
            hosts=tuple(dict.fromkeys((*out, *back, *touched))),
            state=PlanState.RUNNING,
            owner=myself(),
            made_ms=now_ms(),
            asked_from=asked_from(),
        )
        return await self.keep(record, course, out, back), course

    async def keep(self, record: PlanRecord, course: Course, out: Collection[str], back: Collection[str]) -> PlanRecord:
        """Keep a plan that begins with its id, and take hosts out of placement or put them back."""
        return await asyncio.to_thread(self.plans.open, record, course.steps, out, back)

    async def drained(self, hosts: Collection[str]) -> Drained:
        """Return what can be brought back to hosts, of all that was drained from them and not restored since."""
        places, inventory = await asyncio.gather(
            asyncio.to_thread(self.plans.drained, self.cluster, hosts), self.cloud.look()
        )
        at = {uuid: host for uuid in places if (host := whereabouts(inventory, uuid)) is not None}
        return drained_of(places, at, {one.uuid: one.name for one in inventory.instances})

    async def put_back(self, hosts: Collection[str]) -> tuple[str, ...]:
        """Put hosts back into placement; returns those that were out of it.

        Raises HotfootError (refused) when an open plan touches one.
        """
        await self.check_free(hosts)
        return await asyncio.to_thread(self.plans.put_back, self.cluster, hosts)

    async def check_free(self, hosts: Collection[str]) -> None:
        """Raise HotfootError (refused) when an open plan touches one of these hosts."""
        held = await asyncio.to_thread(self.plans.held, self.cluster)
        for host in hosts:
            if host in held:
                raise busy(host, held[host])

    def orphaned(self, verb: str) -> tuple[PlanRecord, ...]:
        """Return the open plans of a verb whose process is gone, though nobody paused them. Blocks."""
        found = {record.id: record for record in self.plans.held(self.cluster).values()}
        return tuple(
            record
            for record in found.values()
            if record.verb == verb and record.state is PlanState.RUNNING and not self.plans.runs(record)
        )

    async def take_up(self, record: PlanRecord) -> tuple[PlanRecord, Course]:
        """Make a plan this process's own, and look where each of its instances really is.

        A move whose instance is on its destination is done; one that still runs is followed; all others are planned
        anew, or, of a plan that is planned only once, go on as far as they are still valid. Raises HotfootError
        (refused) when the plan has ended, or its Hotfoot lives.
        """
        await asyncio.to_thread(self.check_idle, record)
        adopted = await asyncio.to_thread(self.plans.adopt, record, myself())
        if adopted is None:
            raise HotfootError(f"The plan {record.id} was taken up by another Hotfoot just now.", ExitStatus.REFUSED)
        steps = await asyncio.to_thread(self.plans.steps, record.id)
        course = Course(steps=steps, limits=self.limits, deadline_ms=record.deadline_ms)
        once = bool(record.asked.get("once"))
        course = await self._reconciled(course, once=once)
        if once and course.in_state(StepState.WAITING):
            seen, _ = await self.take()
            now = within(seen, self.limits, await self.around(but=record.id))
            course = still_valid(now, Wish.model_validate(record.wish), course)
        await asyncio.to_thread(self.plans.save, record.id, course.steps)
        return adopted, course

    async def _reconciled(self, course: Course, *, once: bool) -> Course:
        """Return the course with what became of the moves that were not over; ``once``: what did not begin may yet."""
        inventory, jobs = await asyncio.gather(self.cloud.look(), self.cloud.jobs())
        moving = {(host, uuid) for host, uuid, _ in jobs}
        for step in course.in_state(StepState.RUNNING, StepState.WAITING):
            if step.state is StepState.RUNNING and (step.source, step.uuid) in moving:
                continue
            at = whereabouts(inventory, step.uuid)
            begun = step.state is StepState.RUNNING
            migration = await asyncio.to_thread(self.record_of, step) if begun else None
            course = course.found(step.n, at, now_ms(), migration, again=once)
        return course.without_vain()

    def record_of(self, step: Step) -> str | None:
        """Return the id of the record of a move's migration; None where there is none, or it cannot be known."""
        wanted = Wanted(cluster=self.cluster, instance=step.uuid, since_ms=step.began_ms or 0, limit=1)
        with suppress(HotfootError):
            return next((each.id for each in self.store.records(wanted) if each.destination == step.destination), None)
        return None

    def check_idle(self, record: PlanRecord) -> None:
        """Raise HotfootError (refused) when a plan has ended, or is being carried out."""
        if record.state is PlanState.ENDED:
            raise HotfootError(
                f"The plan {record.id} ({record.title}) has ended; `hotfoot plan show {record.id}` shows how.",
                ExitStatus.REFUSED,
            )
        if self.plans.runs(record):
            raise HotfootError(
                f"The plan {record.id} ({record.title}) is being carried out by {record.owner}; `hotfoot plan pause` or"
                " `hotfoot plan cancel` stops it.",
                ExitStatus.REFUSED,
            )

    def means(self) -> Means:
        """Return what a run works with."""

        def carrying(step: Step, say: Callable[[str], None]) -> Carrying:
            return Carrying(self.cloud, self.place, self.cluster, self.hosts, self.request_of(step), None, say)

        return Means(
            plans=self.plans,
            carrying=carrying,
            around=lambda plan: self.around(but=plan),
            plan=self.plan,
            look=self.cloud.look,
            record_of=self.record_of,
        )
