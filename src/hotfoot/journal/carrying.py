"""One migration from what was asked to its record in the journal: prepared, claimed, moved. No terminal."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from hotfoot.cloud.protocol import Cloud
from hotfoot.errors import ExitStatus, HotfootError
from hotfoot.journal.out_of_placement import told_hosts_out
from hotfoot.journal.place import Place
from hotfoot.migration.action import Action
from hotfoot.migration.prepare import Preparation, Request, prepare
from hotfoot.migration.result import MigrationResult, Outcome
from hotfoot.migration.sample import JobSample

if TYPE_CHECKING:
    from hotfoot.journal.following import Following
    from hotfoot.journal.keeping import Keeping
    from hotfoot.migration.run import Run
    from hotfoot.migration.survey import Survey

OnSample = Callable[[JobSample], None]
OnAction = Callable[[Action], None]


class Carrying:
    """One migration. In order: ``prepare``, ``claim``, ``move``; where it cannot be moved, ``pick_up`` or ``refuse``;
    or all of it by ``carry_out``.

    Invariants: every end is a result, also a refusal, and is kept in the journal where that can be written; what is
    claimed is given back. ``say`` is called in the event loop with sentences for the operator.
    """

    def __init__(
        self,
        cloud: Cloud,
        place: Place,
        cluster: str,
        hosts: Collection[str] | None,
        request: Request,
        survey: Survey | None,
        say: Callable[[str], None],
    ) -> None:
        self._cloud = cloud
        self._place = place
        self._cluster = cluster
        self._hosts = hosts
        self.request = request
        self._survey = survey
        self._say = say
        self.preparation: Preparation | None = None
        self._keeping: Keeping | None = None
        self._run: Run | Following | None = None

    async def prepare(self) -> Preparation:
        """Find the instance and its destination, and judge the move. Raises HotfootError (refused)."""
        loading = asyncio.create_task(asyncio.to_thread(_keeping_class))  # while the hosts are asked
        out = told_hosts_out(self._place, self._cluster, self._say if self.request.destination is None else None)
        self.preparation = await prepare(self._cloud, self.request, self._survey, out)
        self._keeping = (await loading)(self._cloud, self._place, self._cluster, self._hosts, self._say)
        return self.preparation

    async def claim(self) -> None:
        """Claim the instance. Raises HotfootError (refused) when another process moves it."""
        preparation, keeping = self._prepared()
        verdict = preparation.verdict
        if verdict.order:
            self._cloud.look_ahead(verdict.order)  # while the claim settles
        await keeping.claim(verdict.instance)

    @property
    def under_way(self) -> bool:
        """Whether the migration has been started, or picked up, so that only ``request_abort`` stops it."""
        return self._run is not None

    def request_abort(self) -> str | None:
        """Stop what is under way as soon as the hypervisor can; returns why it cannot be stopped, if so."""
        return self._run.request_abort() if self._run else None

    async def move(self, on_sample: OnSample, on_action: OnAction) -> MigrationResult:
        """Move the instance, which is claimed, and keep it in the journal."""
        from hotfoot.migration.run import Run

        preparation, keeping = self._prepared()
        verdict, order = preparation.verdict, preparation.verdict.order
        assert order is not None

        def sample(seen: JobSample) -> None:
            on_sample(seen)
            keeping.sample(seen)

        def act(action: Action) -> None:
            on_action(action)
            keeping.action(action)

        run = self._run = Run(self._cloud, verdict, order, preparation.seat, sample, act, self._say)
        told = preparation.forecast.as_json() if preparation.forecast else None
        policy = order.options.policy.name
        await keeping.open(verdict.instance, order, self.request, forecast=told, policy=policy)
        return await keeping.end(replace(await run.execute(), forecast=told))

    async def carry_out(self, on_sample: OnSample, may_send: Callable[[], Awaitable[None]]) -> MigrationResult:
        """Judge, claim, wait until it ``may_send``, and move; every end is a result, also a refusal."""
        try:
            preparation = await self.prepare()
            if preparation.verdict.order is None:
                return await self.refuse(ExitStatus.REFUSED, " ".join(preparation.verdict.obstacles))
            await self.claim()
            await may_send()
            return await self.move(on_sample, lambda _action: None)
        except HotfootError as error:
            return await self.refuse(error.status, str(error))

    async def follow(self, on_sample: OnSample, begun: Callable[[], None]) -> MigrationResult | None:
        """Follow a migration that goes on without its Hotfoot, calling ``begun`` first; None when there is none."""
        with suppress(HotfootError):  # the instance is no longer on its source, or somebody else follows it
            await self.prepare()
            following = await self.pick_up(on_sample)
            if following is not None:
                begun()
                return await following.execute()
        return None

    async def pick_up(self, on_sample: OnSample) -> Following | None:
        """Take over the migration of the instance that goes on without its Hotfoot; None when there is none.

        Raises HotfootError (refused) when a living Hotfoot moves it.
        """
        preparation, keeping = self._prepared()
        instance, destination = preparation.verdict.instance, self.request.destination
        following = self._run = await keeping.pick_up(instance, destination, on_sample)
        return following

    async def give_up(self, reason: str) -> MigrationResult:
        """Give back what was claimed, as somebody stopped it before the start; not kept in the journal."""
        if self._keeping:
            await self._keeping.give_back()
        return self._result(ExitStatus.ABORTED, reason)

    async def refuse(self, status: ExitStatus, reason: str) -> MigrationResult:
        """Give back what was claimed, and keep why the instance was not moved."""
        result = self._result(status, reason)
        if self._keeping and self.preparation:
            return await self._keeping.refused(self.preparation.verdict.instance, self.request, result)
        return result

    def _prepared(self) -> tuple[Preparation, Keeping]:
        assert self.preparation is not None
        assert self._keeping is not None
        return self.preparation, self._keeping

    def _result(self, status: ExitStatus, reason: str) -> MigrationResult:
        preparation = self.preparation
        instance = preparation.verdict.instance if preparation else None
        return MigrationResult(
            instance=instance.name if instance else self.request.instance,
            uuid=instance.uuid if instance else None,
            source=instance.host if instance else self.request.from_host,
            destination=(preparation.verdict.destination if preparation else None) or self.request.destination,
            memory_bytes=instance.memory_bytes if instance else None,
            outcome=Outcome.ABORTED if status is ExitStatus.ABORTED else Outcome.FAILED,
            status=status,
            reason=reason,
        )


def _keeping_class() -> type[Keeping]:
    from hotfoot.journal.keeping import Keeping

    return Keeping
