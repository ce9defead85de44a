"""One instance of a dead host that Nova evacuates, followed to its end and proven to be where Nova has it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol

from hotfoot.cloud.nova_hosts import NovaHosts
from hotfoot.cloud.nova_migration import HOST, TASK
from hotfoot.cloud.nova_reasons import Moving, reason, said_by
from hotfoot.cloud.openstack_api import OpenStackApi, OpenStackRefusal
from hotfoot.errors import ExitStatus, HotfootError
from hotfoot.evacuation.one_start import OneStart
from hotfoot.migration.proof import Sighting
from hotfoot.placement.course import Step

KEEPS_STATE = (2, 94)
"""From 2.95 on Nova leaves an evacuated server shut off."""
LOOK_S = 1.0
TAKEN_UP_S = 120.0
"""How long an accepted request may lie before somebody takes it up: longer than Nova waits for a reply (60 s)."""
SILENT_S = 300.0
"""How long the API may be silent before it is no longer waited for: a restart of it takes less."""
SETTLE_S = 60.0
"""How long Nova may still work on the server when its migration has ended."""
PROOF_PATIENCE_S = 20.0
"""How long libvirt on the destination may take to show a guest that Nova has started."""
_DONE = ("done", "completed")
_FAILED = ("failed", "error")


class Ground(Protocol):
    """What is asked of the cloud: where a server is, by Nova and by the hosts that can be asked."""

    @property
    def compute(self) -> NovaHosts:
        """Its compute hosts."""

    @property
    def api(self) -> OpenStackApi:
        """Nova."""

    async def sightings(self, uuid: str) -> tuple[Sighting, ...]:
        """Ask every host that can be asked, and Nova."""


class Evacuating(OneStart):
    """One evacuation by Nova.

    Invariant: Nova is asked only while the compute service of the source is down; and it has ended well only when Nova
    has the server on the destination in the state that it had, and a destination that can be asked shows its guest.
    """

    def __init__(
        self, ground: Ground, step: Step, look_s: float = LOOK_S, patience_s: float = PROOF_PATIENCE_S
    ) -> None:
        """``look_s``: between two looks at Nova; ``patience_s``: how long a guest may take to be seen."""
        super().__init__(step)
        self._ground = ground
        self._look_s = look_s
        self._patience_s = patience_s
        self._path = f"/servers/{step.uuid}"

    def request_abort(self) -> str | None:
        """Return why it is not broken off."""
        return f"Nova evacuates {self._step.name} to {self._step.destination}; that cannot be broken off."

    async def _start(self) -> tuple[str, ...]:
        step, ground = self._step, self._ground
        if up := await ground.compute.up((step.source,)):
            raise HotfootError(
                f"nova-compute on {up[0]} is up, as Nova says: a living host is drained, not evacuated.",
                ExitStatus.REFUSED,
            )
        server, earlier = await asyncio.gather(self._server(), self._records())
        known = frozenset(int(one["id"]) for one in earlier)
        self._under_way = True
        try:
            await ground.api.post(
                "compute", f"{self._path}/action", {"evacuate": {"host": step.destination}}, at_most=KEEPS_STATE
            )
        except OpenStackRefusal as refusal:
            if refusal.status_code < 500:  # else it may have been accepted all the same
                raise HotfootError(self._in_words((refusal.message,)) or str(refusal), ExitStatus.REFUSED) from None
        except HotfootError:
            pass  # no answer: what Nova does of it is seen
        await self._prove(await self._follow(known), server)
        return ()

    async def _follow(self, earlier: Collection[int]) -> Mapping[str, Any]:
        """Return the server once Nova has ended its work on it. Raises HotfootError where it failed.

        The server has to be read after the record: Nova gives it its new host, and only then ends the record.
        """
        began_s = heard_s = time.monotonic()
        ended_s: float | None = None
        while True:
            try:
                records = [one for one in await self._records() if int(one["id"]) not in earlier]
                server = await self._server()
                heard_s = time.monotonic()
            except HotfootError as error:
                if isinstance(error, OpenStackRefusal) and error.status_code == 404:
                    raise HotfootError("It was deleted in the meantime.", ExitStatus.FAILED_ON_SOURCE) from None
                if time.monotonic() - heard_s > SILENT_S:
                    said = str(error).rstrip(".")
                    raise HotfootError(f"{said}: it is waited for no longer.", ExitStatus.UNKNOWN_STATE) from None
                await asyncio.sleep(self._look_s)
                continue
            status = str(max(records, key=lambda one: int(one["id"]))["status"]) if records else None
            if status in (*_DONE, *_FAILED):
                ended_s = ended_s or time.monotonic()
                if server.get(TASK) is None or time.monotonic() - ended_s > SETTLE_S:
                    if status in _DONE:
                        return server
                    raise HotfootError(await self._why(server), ExitStatus.FAILED_ON_SOURCE)
            if status in (None, "accepted") and time.monotonic() - began_s > TAKEN_UP_S:
                raise HotfootError(
                    f"Nova was asked to evacuate it, but for {TAKEN_UP_S:.0f} s nobody has taken it up (is"
                    " nova-conductor up, and RabbitMQ reachable?); it may still begin later.",
                    ExitStatus.UNKNOWN_STATE,
                )
            await asyncio.sleep(self._look_s)

    async def _prove(self, server: Mapping[str, Any], before: Mapping[str, Any]) -> None:
        """Raise HotfootError (unknown state) unless the server is where it was to go, as it was before."""
        step = self._step
        if server.get(HOST) != step.destination or server.get("status") != before.get("status"):
            raise HotfootError(
                f"Nova says that it has evacuated it, and shows it as {server.get('status')} on {server.get(HOST)}.",
                ExitStatus.UNKNOWN_STATE,
            )
        if before.get("status") != "ACTIVE":
            return
        end_s = time.monotonic() + self._patience_s
        while True:
            seen = await self._ground.sightings(step.uuid)
            alive = {one.host for one in seen if one.alive}
            if alive == {step.destination}:
                return
            if time.monotonic() > end_s:
                where = f"it is seen running on {' and '.join(sorted(alive))}" if alive else "nobody sees it running"
                raise HotfootError(
                    f"Nova says that it has evacuated it to {step.destination}, but {where}.", ExitStatus.UNKNOWN_STATE
                )
            await asyncio.sleep(self._look_s)

    async def _server(self) -> Mapping[str, Any]:
        server: Mapping[str, Any] = (await self._ground.api.get("compute", self._path))["server"]
        return server

    async def _records(self) -> Sequence[Mapping[str, Any]]:
        records: Sequence[Mapping[str, Any]] = (
            await self._ground.api.get(
                "compute", "/os-migrations", instance_uuid=self._step.uuid, migration_type="evacuation"
            )
        )["migrations"]
        return records

    async def _why(self, server: Mapping[str, Any]) -> str:
        """Return why Nova could not, in a sentence."""
        action: Mapping[str, Any] | None = None
        with suppress(HotfootError):
            actions = (await self._ground.api.get("compute", f"{self._path}/os-instance-actions"))["instanceActions"]
            request = next((str(one["request_id"]) for one in actions if one["action"] == "evacuate"), None)
            if request:
                path = f"{self._path}/os-instance-actions/{request}"
                action = (await self._ground.api.get("compute", path))["instanceAction"]
        fault = server.get("fault") if server.get("status") == "ERROR" else None
        return self._in_words(said_by(action, fault)) or "Nova's evacuation failed, and Nova does not say why."

    def _in_words(self, said: Sequence[str]) -> str | None:
        step = self._step
        return reason(said, Moving(name=step.name, source=step.source, destination=step.destination))
