"""The run of one migration: started, watched, stopped when asked, and its end proven."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Protocol

from hotfoot.cloud.protocol import NO_WAY_BACK, Cloud, MoveEnded
from hotfoot.errors import ExitStatus, HotfootError
from hotfoot.migration import rejoin
from hotfoot.migration.action import Action, ActionKind
from hotfoot.migration.options import Mode, Order
from hotfoot.migration.outage import Outage
from hotfoot.migration.preflight import Verdict
from hotfoot.migration.prepare import Seat
from hotfoot.migration.prober import OutageWatch
from hotfoot.migration.proof import Place, Proof, Sighting, judge, left_at_home
from hotfoot.migration.recovery import LOST, MAY_COME_BACK, Situation
from hotfoot.migration.result import JobTotals, MigrationResult, Outcome
from hotfoot.migration.sample import JobSample, Phase
from hotfoot.migration.steering import MOST_DOWNTIME_MS, Means, Steering
from hotfoot.sizes import human_duration

LOOK_S = 0.5
"""Between two looks at the job, if no new iteration begins earlier; each takes CPU time from the source."""
MUTE_S, MUTE_AGAIN_S = 20.0, 5.0
"""For how long a source may tell nothing new of the migration before a dead stream is looked for; and again."""
WATCH_BEFORE_S, WATCH_AFTER_S = 0.3, 0.5
"""The outage watch begins before and ends after the move: switches learn the new place late."""
ABORT_AGAIN_S = 0.1
PROOF_PATIENCE_S = 15.0
"""How long a host may take to come back, or a half of a migration to go away, before the proof is judged."""
PROOF_AGAIN_S = 0.3


class Steers(Protocol):
    """What decides during a migration, as ``Steering`` does."""

    def step(self, sample: JobSample) -> tuple[Action, ...]:
        """Return what is to be done now, mostly nothing."""

    def refused(self, action: Action) -> None:
        """Learn that the hypervisor would not carry an action out."""


class Run:
    """One migration. ``execute`` once; ``request_abort`` at any time from the event loop.

    Invariant: once a switch to post-copy was asked for, nothing aborts the migration.
    """

    def __init__(
        self,
        cloud: Cloud,
        verdict: Verdict,
        order: Order,
        seat: Seat | None,
        on_sample: Callable[[JobSample], None],
        on_action: Callable[[Action], None],
        say: Callable[[str], None],
        steering: Steers | None = None,
    ) -> None:
        """``say`` is given what the operator has to read while it goes on.

        Without ``steering`` it is that of the order's policy.
        """
        self._cloud = cloud
        self._order = order
        self._instance = verdict.instance
        self._watch = OutageWatch(seat.address, seat.method) if seat else None
        self._on_sample, self._on_action, self._say = on_sample, on_action, say
        self._steering = steering or steering_of(order)
        self._actions: list[Action] = []
        self._post_copy = False
        self._rejoined = False
        self._given_up: str | None = None
        self._remarks: list[str] = []
        self._iteration = asyncio.Event()
        self._abort = asyncio.Event()
        self._lost = asyncio.Event()
        self._gone = ""
        """Why no more is to be waited for libvirt, once that was seen."""
        self._last: JobSample | None = None
        self._counted: JobSample | None = None
        """The last look with figures: of what a cloud has left to do at the end there are none."""

    def request_abort(self) -> str | None:
        """Stop the migration as soon as the hypervisor can; ``execute`` still returns what became of it.

        Returns why it cannot be stopped, if so.
        """
        if self._post_copy:
            return NO_WAY_BACK
        if self._order.mode is Mode.COLD:
            return f"A cold migration cannot be stopped half-way: that of {self._order.name} is followed to its end."
        self._abort.set()
        return None

    async def execute(self) -> MigrationResult:
        """Move the instance and prove where it is.

        Invariant: the outcome is COMPLETED only when the instance is proven to live on the destination and
        only there, FAILED_ON_SOURCE and ABORTED only when it is proven to live on the source; else
        UNKNOWN_STATE.
        """
        if self._watch:
            self._watch.start()
            if not self._order.by_nova:  # which takes longer from what it is asked to where a guest could feel it
                await asyncio.sleep(WATCH_BEFORE_S)
        started_s = time.monotonic()
        ended, total_ms = await self._move(started_s)
        proving = asyncio.create_task(self._prove())
        watching = asyncio.create_task(self._end_watch(proving))
        proof = await proving
        if proof.place is Place.DESTINATION and proof.host:  # it may have been left to the cloud
            self._order = replace(self._order, destination=proof.host)
        if self._rejoined:
            total_ms = round(1000 * (time.monotonic() - started_s))
        totals = await self._totals() if proof.place is Place.DESTINATION else JobTotals()
        return self._result(ended, proof, totals, await watching, total_ms)

    async def _move(self, started_s: float) -> tuple[MoveEnded | None, int]:
        """Return how the call ended (None: done), and how many ms it took."""
        looking = asyncio.create_task(self._look())
        aborting = asyncio.create_task(self._abort_when_wanted())
        ended: MoveEnded | None = None
        try:
            if self._abort.is_set():
                ended = MoveEnded("It was stopped before it began.", aborted=True)
            else:
                await self._call()
        except MoveEnded as error:
            ended = error
        finally:
            total_ms = round(1000 * (time.monotonic() - started_s))
            for task in (looking, aborting):
                task.cancel()
            await asyncio.gather(looking, aborting, return_exceptions=True)
        return ended, total_ms

    async def _call(self) -> None:
        """Migrate; raises MoveEnded also where the call waits on for what is gone for good."""
        calling = asyncio.create_task(self._cloud.migrate(self._order, self._iteration.set, self._say))
        losing = asyncio.create_task(self._lost.wait())
        try:
            await asyncio.wait({calling, losing}, return_when=asyncio.FIRST_COMPLETED)
            if not calling.done():
                raise MoveEnded(f"{self._gone}, and libvirt goes on waiting for it.")
            await calling
        finally:
            calling.cancel()
            losing.cancel()
            await asyncio.gather(calling, losing, return_exceptions=True)

    async def _look(self) -> None:
        news_s = time.monotonic()
        while True:
            sample = await self._cloud.job(self._order.source, self._order.uuid)
            if _is_news(sample, self._last):
                news_s = time.monotonic()
            elif self._last and time.monotonic() - news_s > MUTE_S:
                news_s += MUTE_AGAIN_S
                await self._free()
            if sample is not None:
                if self._post_copy and sample.phase in (Phase.COPYING_MEMORY, Phase.SWITCHING_OVER):
                    sample = replace(sample, phase=Phase.POST_COPY)  # not told before the first page was waited for
                self._last = sample
                if sample.memory_total_bytes or sample.disk_total_bytes:
                    self._counted = sample
                self._on_sample(sample)
                await self._steer(sample)
            with suppress(TimeoutError):  # wait_for would lose a cancellation on Python 3.11
                async with asyncio.timeout(LOOK_S):
                    await self._iteration.wait()
            self._iteration.clear()

    async def _free(self) -> None:
        """Let the guest run on where QEMU waits in vain to send the last of its memory, and tells nobody anything new.

        In post-copy nothing is ended; but where a half is lost, or no host has the instance alive and all of them
        answer, twice, no more is waited for libvirt, which may never return.
        """
        order = self._order
        if self._post_copy or (self._last and self._last.phase is Phase.POST_COPY):
            found = await rejoin.look(self._cloud, order.uuid, order.name, (order.source, order.destination))
            nowhere = found.situation is Situation.UNCLEAR and not found.silent
            if found.situation in LOST:
                self._gone = "A half of the migration is gone for good"
                self._lost.set()
            elif nowhere and self._gone:
                self._lost.set()
            else:
                self._gone = f"No host has {order.name} alive" if nowhere else ""
            return
        ended = await self._cloud.end_dead_stream(order)
        if ended is None or self._post_copy:
            return
        what = f"{order.destination} takes nothing of the memory of {order.name} any more, which stands still for it"
        if ended:
            if not self._abort.is_set():
                self._given_up = f"{order.destination} took nothing of its memory any more"
            self._remarks.append(f"The dead memory stream to {order.destination} was ended.")
            self._say(f"{what}: the stream is ended.")
        else:
            self._say(f"{what}, and the kernel of {order.source} cannot end the stream.")

    async def _steer(self, sample: JobSample) -> None:
        for action in self._late(sample) if self._order.by_nova else self._steering.step(sample):
            if self._abort.is_set():
                return
            try:
                await self._carry_out(action)
            except HotfootError as error:  # as far as it goes: the next step may be possible
                self._steering.refused(action)
                if action.kind is ActionKind.POST_COPY:
                    self._remarks.append(f"The switch to post-copy was refused: {error}")
                continue
            self._actions.append(action)
            self._on_action(action)

    def _late(self, sample: JobSample) -> tuple[Action, ...]:
        """Give up what Nova moves when its deadline has passed: nothing else of it is Hotfoot's to decide."""
        deadline_ms = self._order.options.policy.deadline_ms
        if self._abort.is_set() or deadline_ms is None or sample.elapsed_ms <= deadline_ms:
            return ()
        why = f"it has not ended within its deadline of {human_duration(deadline_ms)}"
        return (Action(kind=ActionKind.GIVE_UP, at_ms=sample.elapsed_ms, reason=why),)

    async def _carry_out(self, action: Action) -> None:
        source, uuid = self._order.source, self._order.uuid
        match action.kind:
            case ActionKind.DOWNTIME_LIMIT:
                await self._cloud.limit_downtime(source, uuid, action.value or 1)
            case ActionKind.PAUSE:
                # QEMU then stops the guest itself: it counts as downtime, and goes on if the migration fails.
                await self._cloud.limit_downtime(source, uuid, MOST_DOWNTIME_MS)
            case ActionKind.POST_COPY:
                self._post_copy = True
                try:
                    await self._cloud.start_post_copy(source, uuid)
                except HotfootError:
                    self._post_copy = False
                    raise
            case ActionKind.GIVE_UP:
                self._given_up = action.reason
                self._abort.set()
            case ActionKind.THROTTLE:
                pass  # the hypervisor did

    async def _abort_when_wanted(self) -> None:
        await self._abort.wait()
        # A migration that is still being prepared has no job yet: again, until the call itself ends.
        while not self._post_copy:
            with suppress(HotfootError):
                await self._cloud.abort(self._order.source, self._order.uuid)
            await asyncio.sleep(ABORT_AGAIN_S)

    async def _end_watch(self, proving: asyncio.Task[Proof]) -> Outage | None:
        if self._watch is None:
            return None
        await asyncio.sleep(WATCH_AFTER_S)
        if self._post_copy:  # whatever ended the call, the guest may stand still until its halves are one
            await asyncio.wait({proving})
        return await asyncio.to_thread(self._watch.stop)

    async def _prove(self) -> Proof:
        tidied = False
        end_s = time.monotonic() + PROOF_PATIENCE_S
        while True:
            sightings = await self._cloud.sightings(self._order.uuid)
            proof = judge(self._order, sightings, self._instance.state)
            settled = self._settled(proof, sightings)
            if not settled and not self._rejoined and self._split(sightings):
                self._rejoined = True
                if unwhole := await self._rejoin():
                    return unwhole
                end_s = time.monotonic() + PROOF_PATIENCE_S
            elif settled and not tidied and left_at_home(self._order, proof, sightings):
                tidied = True
                await self._tidy()
            elif settled or time.monotonic() > end_s:
                return proof
            await asyncio.sleep(PROOF_AGAIN_S)

    def _split(self, sightings: Sequence[Sighting]) -> bool:
        """Whether its memory may be on two hosts, whoever switched it to post-copy."""
        return any(seen.post_copy or (self._post_copy and seen.half) for seen in sightings)

    async def _rejoin(self) -> Proof | None:
        """Wait for the two halves of a post-copy migration; None once the instance is whole."""
        order = self._order
        found = await rejoin.wait(self._cloud, order.uuid, order.name, (order.source, order.destination), self._say)
        if found.situation is Situation.WHOLE:
            return None
        words = found.in_words
        if found.situation in MAY_COME_BACK:
            words = (*words, f"`hotfoot recover {order.name}` goes on waiting, and says what can be done.")
        return Proof(Place.UNCLEAR, words)

    async def _tidy(self) -> None:
        """Finish what libvirt began; a definition that stays is named by the next proof."""
        with suppress(HotfootError):
            await self._cloud.forget(self._order.source, self._order.uuid)
            self._remarks.append(f"libvirt had left its definition on {self._order.source}; it was removed there.")

    @property
    def _mode(self) -> Mode:
        """The mode, where it was left to the cloud as it turned out to be."""
        found_out = self._order.mode is Mode.LIVE and self._counted is not None and self._counted.disk_total_bytes
        return Mode.BLOCK if found_out else self._order.mode

    def _settled(self, proof: Proof, sightings: Sequence[Sighting]) -> bool:
        return proof.place is not Place.UNCLEAR and not any(seen.half for seen in sightings)

    async def _totals(self) -> JobTotals:
        totals, last = await self._cloud.totals(self._order), self._counted
        if last is None:
            return totals
        if totals.disk_sent_bytes is None and last.disk_processed_bytes:  # only the source counts the disks
            totals = replace(totals, disk_sent_bytes=last.disk_processed_bytes)
        if totals.memory_sent_bytes is None and last.memory_total_bytes:
            totals = replace(
                totals,
                memory_sent_bytes=last.memory_processed_bytes,
                iterations=last.iteration or None,
                throughput_bytes_per_s=last.throughput_bytes_per_s,
            )
        return totals

    def _result(
        self, ended: MoveEnded | None, proof: Proof, totals: JobTotals, outage: Outage | None, total_ms: int
    ) -> MigrationResult:
        asked_to_stop = self._abort.is_set() and self._given_up is None
        outcome, status, reason = conclude(
            self._order, ended, proof, asked_to_stop=asked_to_stop, given_up=self._given_up
        )
        return MigrationResult(
            instance=self._order.name,
            uuid=self._order.uuid,
            source=self._order.source,
            destination=self._order.destination or (ended.destination if ended else None),
            mode=self._mode.value,
            outcome=outcome,
            status=status,
            reason=reason,
            remarks=(*proof.remarks, *self._remarks),
            total_ms=total_ms,
            outage=outage,
            attached=self._cloud.attached(self._order.uuid),
            memory_bytes=self._instance.memory_bytes,
            totals=totals,
            policy=self._order.options.policy.name,
            actions=tuple(self._actions),
            only_cold=ended is not None and ended.only_cold,
        )


def _is_news(sample: JobSample | None, last: JobSample | None) -> bool:
    """Whether a look tells something new; in the switch-over only figures do, as QEMU may answer there for ever."""
    if sample is None or last is None or sample.phase is not Phase.SWITCHING_OVER:
        return sample is not None
    return _figures(sample) != _figures(last)


def _figures(sample: JobSample) -> tuple[int, ...]:
    return (
        sample.iteration,
        sample.memory_processed_bytes,
        sample.memory_remaining_bytes,
        sample.disk_processed_bytes,
    )


def steering_of(order: Order) -> Steering:
    """Return what steers by an order's own policy, with the means that were settled for it."""
    means = Means(
        post_copy=order.post_copy,
        throttle=order.throttle is not None,
        compressed=order.options.compression is not None,
    )
    return Steering(order.options.policy, means)


def conclude(
    order: Order, ended: MoveEnded | None, proof: Proof, *, asked_to_stop: bool, given_up: str | None = None
) -> tuple[Outcome, ExitStatus, str | None]:
    """Say how it ended: the proof decides, not what the call returned. Pure."""
    why = str(ended) if ended else None
    if proof.place is Place.DESTINATION:
        stop = asked_to_stop or given_up
        late = f"It was asked to stop too late: {order.name} runs on {order.destination}." if stop else None
        lost = f"{why} Yet the move had come to its end." if why and not stop else None
        return Outcome.COMPLETED, ExitStatus.COMPLETED, late or lost
    if proof.place is Place.UNCLEAR:
        return Outcome.FAILED, ExitStatus.UNKNOWN_STATE, why
    home = f"{order.name} lives on {order.source}, as before."
    if given_up:
        return Outcome.FAILED, ExitStatus.FAILED_ON_SOURCE, f"Given up: {given_up}. {home}"
    # Whatever libvirt calls it: a job stopped while it is being set up ends with another error than a later one.
    if asked_to_stop or (ended is not None and ended.aborted):
        other = "Nova's own tools or time limit" if order.by_nova else "virsh"
        who = "Stopped as you asked;" if asked_to_stop else f"Stopped by someone else (`hotfoot abort`, or {other});"
        return Outcome.ABORTED, ExitStatus.ABORTED, f"{who} {home}"
    done = f"{'Nova' if order.by_nova else 'libvirt'} called it done, but it did not move."
    return (
        Outcome.FAILED,
        ExitStatus.FAILED_ON_SOURCE,
        f"{why or done} {home}",
    )
