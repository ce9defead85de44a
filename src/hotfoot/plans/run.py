"""A plan carried out: moves started as they may, kept in the journal before and after, planned anew for what is left.

The decisions are those of ``placement.course``; this is the loop around them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace

from hotfoot.errors import ExitStatus, HotfootError
from hotfoot.inventory import Inventory
from hotfoot.journal.entries import now_ms
from hotfoot.journal.plan_record import Asked, PlanRecord, PlanState
from hotfoot.journal.plans import TakenOver
from hotfoot.migration.result import MigrationResult
from hotfoot.migration.sample import JobSample
from hotfoot.placement.course import Course, Ended, Next, Step, StepState
from hotfoot.placement.deadline import without_late
from hotfoot.placement.mending import still_broken
from hotfoot.placement.plan import Plan
from hotfoot.placement.streams import Seen
from hotfoot.placement.wish import Drain, Repair, Restore, Wish
from hotfoot.plans.ending import left_behind, left_off
from hotfoot.plans.means import Carrier, Means, Onlooker
from hotfoot.plans.planner import Around, Planned
from hotfoot.plans.seen_streams import SeenStreams
from hotfoot.plans.whereabouts import whereabouts

LOOK_S = 0.5
"""How often the journal is told that this process lives, and asked whether somebody wants the plan to stop."""
READY_S = 0.1
"""How often a move that is ready asks whether it may send: it shall not be late."""
END_PATIENCE_S = 20.0
"""How long it is tried to keep the end in a journal that cannot be written."""


class PlanRun:
    """One plan that is carried out; ``execute`` once, ``want`` at any time from the event loop.

    Invariants: a move is in the journal as running before it begins, and no move begins while the journal cannot be
    written; no instance is ever stopped, but for a cold move that the wish allows; of moves that a rule binds to each
    other either all are made, or it is planned for what brings their instances together again.
    """

    def __init__(self, means: Means, record: PlanRecord, course: Course, onlooker: Onlooker, *, once: bool) -> None:
        """``once``: it is not planned anew, but for a rule that a failed move broke. Running moves are picked up."""
        self._means = means
        self.record = record
        self.course = course
        self._wish = Wish.model_validate(record.wish)
        self._onlooker = onlooker
        self._once = once
        self._wanted: Asked | None = None
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._carrying: dict[int, Carrier] = {}
        self._streams = SeenStreams()
        self._ready: dict[int, asyncio.Event] = {}
        """Set when a running move that is judged and claimed may send."""
        self._taken_back: set[int] = set()
        """Moves that were ready and will not send, since the plan stops."""
        self._picked_up: set[int] = set()
        self._unwritten: dict[int, Step] = {}
        self._complained = False
        self._lost = False
        self._last: Plan | None = None
        self._nothing_left: Inventory | None = None
        """What showed that nothing more is to be done."""
        self._settled: frozenset[str] = frozenset()
        """Instances of torn convoys for which nothing more can be done, or has to be."""
        self._wake = asyncio.Event()

    def want(self, wanted: Asked) -> None:
        """Begin to stop: no more moves start; ``Asked.ABORT`` aborts those that run too. Nothing is taken back."""
        if wanted == self._wanted or self._wanted is Asked.ABORT:
            return
        self._wanted = wanted
        self.course = replace(self.course, stopping=True)
        if wanted is Asked.ABORT:
            self._become(self.course.left_out("cancelled"))
            for n, carrying in self._carrying.items():
                if carrying.under_way:
                    self._abort(carrying)
                elif n not in self._picked_up:
                    self._tasks[n].cancel()
        else:
            held = {n for n, ready in self._ready.items() if not ready.is_set()}
            for n in held - self._taken_back:
                self._tasks[n].cancel()
            self._taken_back |= held
        self._wake.set()

    def _abort(self, carrying: Carrier) -> None:
        if why_not := carrying.request_abort():
            self._onlooker.say(why_not)

    async def execute(self) -> PlanRecord:
        """Carry it out to its end, and keep that."""
        for step in self.course.in_state(StepState.RUNNING):
            self._picked_up.add(step.n)
            self._take_on(step)
        while True:
            heard = await self._heed()
            if heard:
                await self._start_what_may()
            self._let_send()
            what = self.course.next(once=self._once and self.course.torn() == self._settled)
            if what is Next.PLAN and heard and not await self._plan_anew():
                break
            if what is Next.END:
                break
            if what is Next.WAIT or not heard:
                await self._pause()
        return await self._end()

    async def _pause(self) -> None:
        waking = asyncio.ensure_future(self._wake.wait())
        await asyncio.wait([waking, *self._tasks.values()], timeout=LOOK_S, return_when=asyncio.FIRST_COMPLETED)
        waking.cancel()
        self._wake.clear()
        for task in [each for each in self._tasks.values() if each.done()]:
            task.result()  # one that has ended has gone from there by itself, unless by a mistake of ours

    async def _heed(self) -> bool:
        """Write what is unwritten, and see what is wanted; False when the journal cannot be used now."""
        try:
            if self._unwritten:
                await self._write(self._unwritten.values())
            wanted = await asyncio.to_thread(self._means.plans.beat, self.record.id, self.record.owner)
            if self._wanted and wanted is None:  # wanted at this terminal: tell all who look
                await asyncio.to_thread(self._means.plans.want, self.record.id, self._wanted)
        except TakenOver as error:
            self._onlooker.say(str(error))
            self._lost = True
            self.course = replace(self.course, stopping=True)
            return True
        except HotfootError as error:
            self._complain(error)
            return False
        if self._complained:
            self._complained = False
            self._onlooker.say("The journal can be written again: the plan goes on.")
        if wanted and wanted is not self._wanted:
            self._onlooker.say(_WANTED[wanted])
            self.want(wanted)
        return True

    async def _write(self, steps: Iterable[Step]) -> None:
        steps = tuple(steps)
        await asyncio.to_thread(self._means.plans.save, self.record.id, steps)
        for step in steps:
            if self._unwritten.get(step.n) == step:
                del self._unwritten[step.n]

    def _complain(self, error: HotfootError) -> None:
        if not self._complained:
            self._complained = True
            self._onlooker.say(f"No more moves begin as long as the plan cannot be kept: {error}.")

    def _become(self, course: Course) -> None:
        """Take over a course; moves of it that have changed are yet to be written."""
        before = {each.n: each for each in self.course.steps}
        self.course = course
        self._unwritten |= {each.n: each for each in course.steps if before[each.n] != each}

    async def _start_what_may(self) -> None:
        if self._lost:
            return
        on_time = without_late(self.course, now_ms())
        if on_time != self.course:
            self._become(on_time)
            self._onlooker.course(self.course)
        for step in self._startable():
            if self._unwritten:
                return
            begun = replace(step, state=StepState.RUNNING, began_ms=now_ms())
            try:
                await self._write([begun])
            except HotfootError as error:
                self._complain(error)
                return
            if step not in self._startable():  # it was cancelled while that was written
                self._unwritten[step.n] = self.course.steps[step.n - 1]
                return
            self.course = self.course.begun(step.n, begun.began_ms or 0)
            self._onlooker.course(self.course)
            self._take_on(begun)

    def _startable(self) -> tuple[Step, ...]:
        prepared_s = self._streams.prepared_s
        return self.course.startable(self._seen(None if prepared_s is None else prepared_s + LOOK_S))

    def _seen(self, ahead_s: float | None) -> Seen:
        return Seen(left_bytes=self._streams.left_bytes(time.monotonic()), ahead_s=ahead_s)

    def _let_send(self) -> None:
        """Let those send that are ready, as far as the links can use it."""
        streams = self._streams
        for n, ready in self._ready.items():
            if ready.is_set():
                continue
            if self.course.may_send(self.course.steps[n - 1], streams.sending, self._seen(streams.open_ahead_s)):
                self._become(self.course.held(n, streams.let_go(n, time.monotonic())))
                ready.set()

    async def _may_send(self, n: int) -> None:
        """Wait until the links can use what a move that is ready will send."""
        self._streams.ready(n, time.monotonic())
        self._ready[n] = ready = asyncio.Event()
        try:
            while not ready.is_set():
                self._let_send()
                with suppress(TimeoutError):  # wait_for would lose a cancellation on Python 3.11
                    async with asyncio.timeout(READY_S):
                        await ready.wait()
        finally:
            del self._ready[n]

    def _take_on(self, step: Step) -> None:
        carrying = self._means.carrying(step, self._onlooker.say)
        self._carrying[step.n] = carrying
        self._tasks[step.n] = asyncio.create_task(self._one(step, carrying))

    def _taken_over(self, carrying: Carrier) -> None:
        if self._wanted is Asked.ABORT:
            self._abort(carrying)

    async def _one(self, step: Step, carrying: Carrier) -> None:
        def show(sample: JobSample) -> None:
            self._streams.seen(step.n, sample, time.monotonic())
            self._let_send()
            self._onlooker.look(step, sample)

        try:
            if step.n in self._picked_up:
                self._streams.followed(step.n, time.monotonic())
                result = await carrying.follow(show, lambda: self._taken_over(carrying))
            else:
                self._streams.begun(step.n, time.monotonic())
                result = await carrying.carry_out(show, lambda: self._may_send(step.n))
        except asyncio.CancelledError:
            result = await carrying.give_up("Stopped before it began.")
        if result is None:  # what was seen to run has just ended
            inventory = await self._means.look()
            record = await asyncio.to_thread(self._means.record_of, step)
            course = self.course.found(step.n, whereabouts(inventory, step.uuid), now_ms(), record)
        elif step.n in self._taken_back and result.status is ExitStatus.ABORTED:
            course = self.course.taken_back(step.n)
        else:
            course = self.course.ended(step.n, self._end_of(result))
        self._become(course)
        del self._tasks[step.n], self._carrying[step.n]
        self._streams.ended(step.n, result.totals.elapsed_ms if result else None)
        self._let_send()
        self._onlooker.course(self.course)

    def _end_of(self, result: MigrationResult) -> Ended:
        said = result.as_json()["reason"]
        return Ended(
            status=int(result.status),
            why=None if said is None else str(said),
            at_ms=now_ms(),
            migration=result.id,
            downtime_ms=result.totals.downtime_ms,
            ours=self._wanted is Asked.ABORT,
            only_cold=result.only_cold,
        )

    async def _plan_anew(self) -> bool:
        """Look, and plan for what is left; False when nothing more is to be done."""
        plans = self._means.plans
        try:
            if await self._done():
                return False
            around = await self._means.around(self.record.id)
        except HotfootError as error:
            return await self._later(error)
        course = self.course
        around = replace(around, impossible=course.impossible(), alone=course.alone(), only_cold=course.only_cold())
        try:
            planned = await self._next_plan(around)
        except HotfootError as error:
            self._onlooker.say(f"It cannot be planned anew: {error}")
            return False
        if self.course.stopping:
            return True
        if planned is None:
            return False
        touched = sorted({host for move in planned.plan.moves for host in (move.source, move.destination)})
        course = self.course.planned(planned.plan, planned.overhead_s, planned.links)
        try:
            record = await asyncio.to_thread(plans.hold, self.record, touched)
            if isinstance(record, str):
                return True  # another plan has just taken that host: look again
            await self._write(course.steps[len(self.course.steps) :])
        except HotfootError as error:
            return await self._later(error)
        self.record, self.course = record, replace(course, stopping=self.course.stopping)
        self._onlooker.say(_anew(planned.plan))
        self._onlooker.course(self.course)
        return True

    async def _done(self) -> bool:
        """Whether one quick look shows that a drain or a restore has left nothing behind."""
        if not isinstance(self._wish.objective, Drain | Restore) or self.course.torn() != self._settled:
            return False
        seen = await self._means.look()
        if left_behind(self._wish, self.course, None, seen, stopped=False):
            return False
        self._nothing_left = seen
        return True

    async def _next_plan(self, around: Around) -> Planned | None:
        """Return the plan that brings together what a rule binds, or else one for what is left; None: nothing is."""
        torn, wish = self.course.torn(), self.course.still_wanted(self._wish)
        if torn != self._settled:
            planned = await self._means.plan(_mending(wish, torn), around)
            if planned.plan.moves:
                return planned
            self._settled = torn
        if self._once:
            return None
        planned = await self._means.plan(wish, around)
        self._last = planned.plan
        return planned if planned.plan.moves else None

    async def _later(self, error: HotfootError) -> bool:
        self._complain(error)
        await asyncio.sleep(LOOK_S)
        return True

    async def _end(self) -> PlanRecord:
        if self._lost:
            return replace(self.record, status=int(ExitStatus.ABORTED))
        paused = self._wanted is Asked.PAUSE
        stopped = self._wanted is not None
        if not paused:
            self._become(self.course.left_out("cancelled"))
        inventory = self._nothing_left or await self._means.look()
        stays = {
            **left_behind(self._wish, self.course, self._last, inventory, stopped=stopped),
            **await self._still_broken(),
        }
        why = self._last.remark if self._last and stays else None
        remarks = (f"{why.rstrip('.')}." if why else None, left_off(self._wish, inventory))
        self.record = replace(
            self.record,
            state=PlanState.PAUSED if paused else PlanState.ENDED,
            wanted=None,
            ended_ms=None if paused else now_ms(),
            status=int(self.course.status(still=bool(stays), stopped=stopped)),
            stays=stays,
            remark=" ".join(filter(None, remarks)) or None,
        )
        end_s = time.monotonic() + END_PATIENCE_S
        while True:
            try:
                await asyncio.to_thread(self._means.plans.put, self.record, tuple(self._unwritten.values()))
                return self.record
            except HotfootError as error:
                if time.monotonic() > end_s:
                    self._onlooker.say(
                        f"The end of the plan is not in the journal: {error}; `hotfoot plan resume {self.record.id}`"
                        " finds it out anew."
                    )
                    return self.record
                await asyncio.sleep(LOOK_S)

    async def _still_broken(self) -> Mapping[str, str]:
        """Look whether a rule is broken, of which not all moves were made."""
        torn = self.course.torn()
        if not torn:
            return {}
        try:
            planned = await self._means.plan(_mending(self._wish, torn), await self._means.around(self.record.id))
        except HotfootError as error:
            self._onlooker.say(f"Whether a rule is broken now is not known: {error}")
            return {}
        return still_broken(planned.snapshot, torn)


def _mending(wish: Wish, torn: frozenset[str]) -> Wish:
    return wish.model_copy(update={"objective": Repair(of=torn)})


_WANTED = {
    Asked.PAUSE: "Asked to pause: no more moves begin; the running ones end.",
    Asked.CANCEL: "Asked to cancel: no more moves begin; the running ones end.",
    Asked.ABORT: "Asked to cancel at once: the running moves are aborted.",
}


def _anew(plan: Plan) -> str:
    count = len(plan.moves)
    moves = ", ".join(f"{move.name} to {move.destination}" for move in plan.moves[:4])
    return f"Planned anew: {count} more move{'' if count == 1 else 's'} ({moves}{', ...' if count > 4 else ''})."
