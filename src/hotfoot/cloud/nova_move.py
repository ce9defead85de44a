"""One move that Nova makes: asked for, followed to its end, and confirmed or reverted where it is cold."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from hotfoot.cloud.nova_before import Before, actions_of, belongings_of, records_of
from hotfoot.cloud.nova_migration import (
    ENDS,
    HOST,
    TASK,
    Belongings,
    Json,
    Stage,
    attached,
    destination_of,
    differences,
    job_sample,
    own_record,
    stage,
)
from hotfoot.cloud.nova_reasons import STARTED_AGAIN, Moving, only_cold, reason, said_by, was_cancelled
from hotfoot.cloud.openstack_api import OpenStackApi, OpenStackRefusal
from hotfoot.cloud.openstack_values import instance_of
from hotfoot.cloud.protocol import MoveEnded
from hotfoot.errors import HotfootError
from hotfoot.inventory import InstanceState
from hotfoot.migration.options import Mode, Order
from hotfoot.migration.result import Attached
from hotfoot.migration.sample import JobSample

LOOK_S = 0.5
TAKEN_UP_S = 120.0
"""How long an accepted request may lie before somebody takes it up: longer than Nova waits for a reply (60 s)."""
SILENT_S = 300.0
"""How long the API, or a nova-compute that nobody else can stand in for, may be silent before the move is no longer
waited for: a restart takes less."""
SETTLE_S = 60.0
"""How long Nova may still work on the server when its migration has ended, and the other way round."""
LAST_WORD_LOOKS = 4
"""For so many looks a live migration must be called off before that counts: Nova's libvirt driver takes it back, the
server ACTIVE and the record ``failed`` or ``cancelled``, and a moment later sets both to error."""
SOURCE_EVERY_S = 10.0
"""Between two looks at nova-compute on the source, which moves the server: nothing else notices its death."""
UNCHANGED_S = 5.0
"""How long volumes and ports may take to be as they were: Neutron tells Nova of a port that is up again."""

LogOf = Callable[[str, str, float], Awaitable[tuple[str, ...]]]
"""Returns what nova-compute on a host logged as errors of a server (host, uuid, not longer ago than so many s)."""


async def is_down(api: OpenStackApi, host: str) -> bool:
    """Whether Nova takes nova-compute on a host to be down; False where that cannot be told now."""
    with suppress(HotfootError):
        answer = await api.get("compute", "/os-services", binary="nova-compute", host=host)
        return any(one.get("state") == "down" for one in answer["services"])
    return False


class NovaMove:
    """One move; ``start`` or ``take_up``, then ``follow``. ``sample`` at any time.

    Invariant: it ends only when Nova says that the migration has ended and works no longer on the server, or with the
    sentence why that is waited for no longer. What is true then is not judged here.
    """

    def __init__(
        self,
        api: OpenStackApi,
        order: Order,
        log_of: LogOf,
        still_runs: Callable[[], Awaitable[bool | None]],
        say: Callable[[str], None],
        look_s: float = LOOK_S,
    ) -> None:
        """``still_runs``: whether libvirt on the source shows the migration; None where it cannot be asked.

        ``say`` is given what the operator has to read meanwhile; ``look_s``: how long to wait between two looks at
        Nova.
        """
        self._api = api
        self._order = order
        self._log_of = log_of
        self._still_runs = still_runs
        self._say = say
        self._look_s = look_s
        self._path = f"/servers/{order.uuid}"
        self._began_s = time.monotonic()
        self._before = Before()
        self._after: Belongings | None = None
        self._record: Json | None = None
        self._no_answer: HotfootError | None = None
        self._reverted: str | None = None
        self._concluded = False
        self._source_down_s: float | None = None
        """Since when nova-compute on the source is down (``time.monotonic()``)."""
        self._source_was_down = False
        self._given_up = False
        """Whether Nova has, and libvirt has not."""
        self.over = False
        """Whether it is waited for no longer."""
        self._changed: asyncio.Task[tuple[str, ...]] | None = None

    @property
    def destination(self) -> str | None:
        """The host that was asked for, or that Nova chose; None before it has."""
        return self._order.destination or destination_of(self._record)

    @property
    def cold(self) -> bool:
        """Whether the server is stopped for it, so that libvirt shows nothing of it."""
        return self._order.mode is Mode.COLD

    @property
    def migration_id(self) -> int | None:
        """Nova's number of the migration; None before it has one."""
        return int(self._record["id"]) if self._record else None

    @property
    def elapsed_ms(self) -> int:
        """How long ago Nova was asked."""
        return round(1000 * (time.monotonic() - self._began_s))

    def sample(self) -> JobSample | None:
        """Return the last look at it; None before Nova has taken it up."""
        if self._record is None:
            return None
        return job_sample(self._record, time.monotonic(), self.elapsed_ms)

    async def remarks(self) -> tuple[str, ...]:
        """Say what of volumes and ports is not as it was before; waits a little for it to become so."""
        return await self._changed if self._changed else ()

    def attached(self) -> tuple[Attached, ...]:
        """Return volumes and ports before and after; nothing where it has not moved, or they could not be asked for."""
        return attached(self._before.belongings, self._after) if self._after is not None else ()

    async def start(self, before: Before) -> None:
        """Ask Nova for it. Raises MoveEnded where Nova refuses at once."""
        self._before = before
        self._began_s = time.monotonic()
        try:
            await self._api.post("compute", f"{self._path}/action", self._request())
        except OpenStackRefusal as refusal:
            if refusal.status_code >= 500:  # it may have been accepted all the same
                self._no_answer = refusal
                return
            said = (refusal.message,)
            raise MoveEnded(self._in_words(said) or str(refusal), only_cold=self._only_cold(said)) from refusal
        except HotfootError as error:
            self._no_answer = error

    async def take_up(self, state_before: InstanceState) -> None:
        """Take over a cold migration that another process asked for, of a server that was in this state before it."""
        uuid = self._order.uuid
        records, belongings = await asyncio.gather(records_of(self._api, uuid), belongings_of(self._api, uuid))
        self._record = own_record([one for one in records if one.get("source_compute") == self._order.source], ())
        earlier = frozenset(int(one["id"]) for one in records) - {self.migration_id or 0}
        self._before = Before(records=earlier, state=state_before, belongings=belongings)

    def _request(self) -> dict[str, Any]:
        order = self._order
        if self.cold:
            return {"migrate": {"host": order.destination} if order.destination else None}
        block = "auto" if order.options.block is None else order.options.block
        return {"os-migrateLive": {"host": order.destination or None, "block_migration": block}}

    async def follow(self) -> None:
        """Return once Nova says that the server has moved. Raises MoveEnded."""
        heard_s = looked_s = time.monotonic()
        settling_s: float | None = None
        taken_back_s: float | None = None
        while True:
            now_s = time.monotonic()
            try:
                server, at = await self._look()
                heard_s = time.monotonic()
            except HotfootError as error:
                if now_s - heard_s > SILENT_S:
                    raise MoveEnded(f"{str(error).rstrip('.')}: it is waited for no longer.") from error
                await asyncio.sleep(self._look_s)
                continue
            if at is Stage.SETTLING or self._let_go(at, server):
                settling_s = settling_s or now_s
                if now_s - settling_s > SETTLE_S:
                    at = await self._unsettled(at, server)
            else:
                settling_s = None
            if at is Stage.TO_CONFIRM and server is not None:
                await self._conclude(server)
            elif at in ENDS and not await self._outlives(at):
                taken_back_s = taken_back_s or now_s
                if not self._taken_back or now_s - taken_back_s >= LAST_WORD_LOOKS * self._look_s:
                    await self._end(at, server)
                    return
            if at is Stage.ACCEPTED and now_s - self._began_s > TAKEN_UP_S:
                raise MoveEnded(
                    f"Nova accepted it, but for {TAKEN_UP_S:.0f} s nobody has taken it up (is nova-conductor up, and"
                    " RabbitMQ reachable?); it may still begin later."
                )
            if at is Stage.UNDER_WAY and now_s - looked_s > SOURCE_EVERY_S:
                looked_s = now_s
                await self._look_at_source()
            await asyncio.sleep(self._look_s)

    @property
    def _taken_back(self) -> bool:
        """Whether the record calls a live migration off, and does not say yet that it ended in error."""
        return not self.cold and (self._record or {}).get("status") in ("failed", "cancelled")

    def _let_go(self, at: Stage, server: Json | None) -> bool:
        """Whether Nova works on the server no longer, on its source, though the record of the live migration goes on.

        It is so for a moment when a migration fails, and for good when nova-compute was started again before libvirt
        had begun.
        """
        where, task = (server or {}).get(HOST), (server or {}).get(TASK)
        return at is Stage.UNDER_WAY and not self.cold and task is None and where == self._order.source

    async def _unsettled(self, at: Stage, server: Json | None) -> Stage:
        """Return the end of what has not settled for long: as the record says, or failed where that never ends."""
        if at is Stage.SETTLING:
            return stage({**(server or {}), TASK: None}, self._record)
        return at if await self._still_runs() else Stage.FAILED

    async def _outlives(self, at: Stage) -> bool:
        """Whether libvirt goes on with what Nova takes for failed, so that nobody knows yet where the guest will be."""
        if at is not Stage.FAILED or self.cold or not await self._still_runs():
            return False
        if not self._given_up:
            self._given_up = True
            source = self._order.source
            self._say(f"Nova has given it up, and libvirt on {source} goes on with it: that is followed to its end.")
        return True

    async def _look(self) -> tuple[Json | None, Stage]:
        try:
            server: Json | None = (await self._api.get("compute", self._path))["server"]
        except OpenStackRefusal as refusal:
            if refusal.status_code != 404:
                raise
            server = None
        if server is not None:
            self._record = await self._own_record() or self._record
        return server, stage(server, self._record)

    async def _own_record(self) -> Json | None:
        if not self.cold:
            answer = await self._api.get("compute", f"{self._path}/migrations")
            if found := own_record(answer["migrations"], self._before.records):
                return found
        found = own_record(await records_of(self._api, self._order.uuid), self._before.records)
        # Only while it is in progress Nova tells how much has been sent: what was last known stays.
        return {**(self._record or {}), **found} if found else None

    async def _look_at_source(self) -> None:
        """Say once that nova-compute on the source is down, without which Nova learns nothing of the move any more.

        Raises MoveEnded when nothing goes on without it: libvirt is done, or cannot be asked for long.
        """
        source, name, now_s = self._order.source, self._order.name, time.monotonic()
        if not await is_down(self._api, source):
            self._source_down_s = None
            return
        self._source_down_s = self._source_down_s or now_s
        goes_on = False if self.cold else await self._still_runs()
        if goes_on is False or (goes_on is None and now_s - self._source_down_s > SILENT_S):
            raise MoveEnded(
                f"nova-compute on {source}, the source, went down in the middle, so that Nova does not know how it"
                " ends; start it there."
            )
        if not self._source_was_down:
            self._source_was_down = True
            here = "libvirt there goes on, and is followed" if goes_on else "it is waited for, five minutes at most"
            self._say(
                f"nova-compute on {source}, the source, is down, so that Nova learns nothing of this move: {here}."
                f" Where it is started before libvirt is done, it breaks the move off, and {name} stays on {source};"
                f" after that, Nova does not learn where {name} is."
            )

    async def _conclude(self, server: Json) -> None:
        """Confirm a cold migration whose server is there as it was before; else revert it."""
        if self._concluded:
            return
        now = instance_of(server, {})
        expected = self._order.destination or now.host
        if now.host == expected != self._order.source and now.state is self._before.state:
            action = {"confirmResize": None}
        else:
            self._reverted = (
                f"It was {self._before.state} before, and {now.state} on {now.host}: it was brought back (reverted)."
            )
            action = {"revertResize": None}
        try:
            await self._api.post("compute", f"{self._path}/action", action)
        except OpenStackRefusal as refusal:
            if refusal.status_code not in (404, 409):  # Nova confirms it by itself where it is told to
                raise MoveEnded(
                    f"{str(refusal).rstrip('.')}; it waits on {now.host} to be confirmed or reverted (`openstack server"
                    " resize confirm` or `revert`)."
                ) from refusal
        self._concluded = True

    async def _end(self, at: Stage, server: Json | None) -> None:
        if at is Stage.MOVED and (server or {}).get(HOST) != self._order.source:
            self._changed = asyncio.create_task(self._what_changed())
            return
        if at is Stage.DELETED:
            raise MoveEnded(f"{self._order.name} was deleted in the meantime.")
        if at is Stage.DROPPED and self._no_answer is not None:
            raise MoveEnded(str(self._no_answer)) from self._no_answer
        if self._reverted:
            raise MoveEnded(self._reverted)
        said, stopped = await self._what_was_said(server)
        aborted = at is Stage.CANCELLED or stopped or was_cancelled(said)
        why = self._in_words(said)
        if why is None and at is Stage.DROPPED:
            why = "Nova accepted it, and did nothing: no migration was made of it."
        why = why or "Nova's migration failed, and Nova does not say why."
        raise MoveEnded(why, aborted=aborted, destination=self.destination, only_cold=self._only_cold(said))

    async def _what_changed(self) -> tuple[str, ...]:
        end_s = time.monotonic() + UNCHANGED_S
        while True:
            try:
                self._after = await belongings_of(self._api, self._order.uuid)
            except HotfootError as error:
                return (f"Whether its volumes and ports are as before is not known: {error}",)
            changed = differences(self._before.belongings, self._after)
            if not changed or time.monotonic() > end_s:
                return changed
            await asyncio.sleep(self._look_s)

    async def _what_was_said(self, server: Json | None) -> tuple[tuple[str, ...], bool]:
        """Return what Nova and its logs say of the failure, and whether somebody told it to stop."""
        action: Json | None = None
        stopped = False
        known = self._before.actions
        with suppress(HotfootError):
            own = [one for one in await actions_of(self._api, self._order.uuid) if one["request_id"] not in known]
            stopped = any(one["action"] == "live_migration_cancel" for one in own)
            wanted = "migrate" if self.cold else "live-migration"
            request = next((str(one["request_id"]) for one in own if one["action"] == wanted), None)
            if request:
                answer = await self._api.get("compute", f"{self._path}/os-instance-actions/{request}")
                action = answer["instanceAction"]
        log = () if stopped else await self._log()
        fault = (server or {}).get("fault") if (server or {}).get("status") == "ERROR" else None
        said = said_by(action, fault, log)
        if not said and not stopped and self._source_was_down:
            said = (STARTED_AGAIN,)
        return said, stopped

    async def _log(self) -> tuple[str, ...]:
        with suppress(HotfootError):
            age_s = time.monotonic() - self._began_s + 1
            return await self._log_of(self._order.source, self._order.uuid, age_s)
        return ()

    def _only_cold(self, said: tuple[str, ...]) -> bool:
        return not self.cold and only_cold(said)

    def _in_words(self, said: tuple[str, ...]) -> str | None:
        order = self._order
        return reason(said, Moving(name=order.name, source=order.source, destination=self.destination))
