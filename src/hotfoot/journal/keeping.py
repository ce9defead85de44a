"""The journal's part of one ``hotfoot migrate``: claimed, recorded, given back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from contextlib import closing
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from hotfoot.cloud.protocol import Cloud
from hotfoot.errors import HotfootError
from hotfoot.inventory import Instance
from hotfoot.journal.claims import Held, claimed_by, refusal, take
from hotfoot.journal.entries import Entries, now_ms
from hotfoot.journal.living import asked_from, myself
from hotfoot.journal.place import Place
from hotfoot.journal.record import Json, Record, ended
from hotfoot.journal.recorder import Recorder
from hotfoot.migration.action import Action
from hotfoot.migration.options import Order
from hotfoot.migration.prepare import Request
from hotfoot.migration.result import MigrationResult
from hotfoot.migration.sample import JobSample

if TYPE_CHECKING:
    from hotfoot.journal.following import Following

OPEN_PATIENCE_S = 3.0
END_PATIENCE_S = 8.0
"""Longer than a database may take to say that it cannot: ``database.PATIENCE_S``."""


class Keeping:
    """One migration as the journal sees it.

    Invariant: no trouble with the journal is raised, and what is raised (``claim``) is raised before the start.
    ``say`` is called in the event loop.
    """

    def __init__(
        self, cloud: Cloud, place: Place, cluster: str, hosts: Collection[str] | None, say: Callable[[str], None]
    ) -> None:
        self._cloud = cloud
        self._place = place
        self._cluster = cluster
        self._hosts = hosts
        self._loop = asyncio.get_running_loop()
        self._say = say
        self._me = myself()
        self._held: Held | None = None
        self._recorder: Recorder | None = None
        self._id: str | None = None

    async def claim(self, instance: Instance) -> None:
        """Claim the instance. Raises HotfootError (refused) when another one moves it."""
        self._held = await take(self._cloud, instance, self._me, now_ms())

    async def open(
        self, instance: Instance, order: Order, request: Request, forecast: Json | None, policy: str | None
    ) -> None:
        """Open the record, as the last thing before the move."""
        record = self._record(instance, request)
        record = replace(
            record, destination=order.destination or None, mode=order.mode.value, forecast=forecast, policy=policy
        )
        self._recorder = Recorder(Entries(self._place), record, self._say_from_thread)
        self._id = await asyncio.to_thread(self._recorder.begin, OPEN_PATIENCE_S)
        if self._held:
            await self._held.rest()

    def sample(self, sample: JobSample) -> None:
        """Keep a look at the migration."""
        if self._recorder:
            self._recorder.sample(sample)

    def action(self, action: Action) -> None:
        """Keep what steering did."""
        if self._recorder:
            self._recorder.action(action)

    async def give_back(self) -> None:
        """Give the claim back: nothing was started."""
        if self._held:
            await self._held.give_back()

    async def end(self, result: MigrationResult) -> MigrationResult:
        """Keep the end, and give the claim back; returns the result with its id."""
        result = replace(result, id=self._id)
        if self._recorder:
            await asyncio.to_thread(self._recorder.end, result, END_PATIENCE_S)
        if self._held:
            await self._held.give_back(result.destination)
        return result

    async def refused(self, instance: Instance, request: Request, result: MigrationResult) -> MigrationResult:
        """Keep that a migration was refused, and why; returns the result with its id."""
        await self.give_back()
        record = replace(self._record(instance, request), destination=result.destination)

        def write() -> str:
            with closing(Entries(self._place)) as entries:
                return entries.open(ended(record, result, now_ms()))

        try:
            return replace(result, id=await asyncio.to_thread(write))
        except HotfootError as error:
            self._say(f"This refusal is not in the journal: {error}.")
            return result

    async def pick_up(
        self, instance: Instance, destination: str | None, on_sample: Callable[[JobSample], None]
    ) -> Following | None:
        """Take over a migration of the instance to that destination (None: any) that goes on without its Hotfoot.

        Returns None when there is none. Raises HotfootError (refused) when a living Hotfoot moves it.
        """
        if await self._cloud.job(instance.host, instance.uuid) is None:
            return None
        from hotfoot.journal.afterwards import orphans
        from hotfoot.journal.following import follow
        from hotfoot.journal.store import Store

        store = Store(self._place)
        try:
            for record in await orphans(store, self._cluster, self._hosts):
                if record.uuid == instance.uuid and destination in (None, record.destination):
                    return await follow(self._cloud, self._place, record, self._me, self._say_from_thread, on_sample)
        except HotfootError as error:
            self._say(f"Whether this migration can be picked up is not known: {error}.")
        finally:
            store.close()
        if living := await claimed_by(self._cloud, instance):
            raise refusal(instance, living)
        return None

    def _record(self, instance: Instance, request: Request) -> Record:
        return Record(
            id="",
            cluster=self._cluster,
            instance=instance.name,
            uuid=instance.uuid,
            source=instance.host,
            destination=request.destination,
            mode=None,
            memory_bytes=instance.memory_bytes,
            persistent=instance.persistent,
            state_before=instance.state.value,
            asked={
                "instance": request.instance,
                "destination": request.destination,
                "from_host": request.from_host,
                "watch_address": request.watch_address,
                "first_downtime_ms": request.options.policy.first_downtime_ms,
                **asdict(request.options),
            },
            forecast=None,
            policy=None,
            owner=self._me,
            asked_from=asked_from(),
            started_ms=now_ms(),
        )

    def _say_from_thread(self, sentence: str) -> None:
        self._loop.call_soon_threadsafe(self._say, sentence)
