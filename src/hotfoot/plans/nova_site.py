"""Where plans are made and carried out on an OpenStack cloud: Nova's compute services say what is out of placement."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from typing import Protocol

from hotfoot.cloud.nova_hosts import NovaHosts
from hotfoot.errors import ExitStatus, HotfootError
from hotfoot.inventory import InstanceState, Inventory
from hotfoot.journal.entries import now_ms
from hotfoot.journal.plan_record import PlanRecord, PlanState
from hotfoot.migration.options import MigrationOptions, Mode, Order
from hotfoot.migration.whole_cluster import NovaSurvey, Trial, take_by_nova
from hotfoot.placement.course import Course, Step, StepState
from hotfoot.placement.snapshot import Cold, Snapshot
from hotfoot.placement.wish import Drain, Restore, Wish
from hotfoot.plans.planner import Around, Planned, WholeCloud
from hotfoot.plans.site import Site


class WholeNova(WholeCloud, NovaSurvey, Protocol):
    """An OpenStack cloud as a whole: it is looked at, it moves instances, and its hosts are taken out of placement."""

    @property
    def compute(self) -> NovaHosts:
        """Its compute hosts."""

    async def settle(self, order: Order, state_before: InstanceState) -> None:
        """Follow a cold migration whose Hotfoot was killed until it is confirmed or reverted. Raises MoveEnded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NovaSite(Site):
    """A site whose hosts are out of placement where Hotfoot has disabled their compute service.

    Invariant: a service that somebody else disabled is never enabled.
    """

    nova: WholeNova
    coming_back: frozenset[str] = frozenset()
    """Hosts that are planned for as they will be once they are back."""

    @classmethod
    def of(cls, site: Site, nova: WholeNova) -> NovaSite:
        """Return the site of an OpenStack cloud."""
        return cls(**{field.name: getattr(site, field.name) for field in fields(site)}, nova=nova)

    async def take(self, trial: Trial | None = None, *, measured: bool = False) -> tuple[Snapshot, Inventory]:
        """Look at the cloud, as Nova and Placement have it; ``measured``: load counts. Raises HotfootError."""
        return await take_by_nova(self.nova, trial, self.coming_back, measured=measured)

    async def around(self, but: str | None = None) -> Around:
        """Return what a plan must respect; what is out of placement, Nova says."""
        known, out = await asyncio.gather(Site.around(self, but), self.nova.compute.taken_out())
        return replace(known, out=known.out | out)

    async def first_plan(self, wish: Wish, named: Collection[str], back: Collection[str] = ()) -> Planned:
        """Look, and plan; raises HotfootError (refused) also when a host that is to come back is not Hotfoot's.

        Nova is told nothing yet: a host that it takes for dead since it was evacuated is planned for as if it were up.
        """
        await self.nova.compute.check_ours(back)
        return await Site.first_plan(replace(self, coming_back=frozenset(back)), wish, named, back)

    async def keep(self, record: PlanRecord, course: Course, out: Collection[str], back: Collection[str]) -> PlanRecord:
        """Keep the plan, and then disable and enable services; where Nova refuses that, the plan has ended."""
        opened = await asyncio.to_thread(self.plans.open, record, course.steps)
        try:
            await self._in_nova(opened, out, back)
        except HotfootError as error:
            ended = replace(
                opened, state=PlanState.ENDED, ended_ms=now_ms(), status=int(error.status), remark=str(error)
            )
            left = course.left_out("its compute services could not be told")
            with suppress(HotfootError):
                await asyncio.to_thread(self.plans.put, ended, left.steps)
            raise
        return opened

    async def put_back(self, hosts: Collection[str]) -> tuple[str, ...]:
        """Enable the services that Hotfoot disabled; returns their hosts.

        Raises HotfootError (refused) when an open plan touches one, or somebody else disabled one.
        """
        await self.check_free(hosts)
        await self.nova.compute.check_ours(hosts)
        return await self.nova.compute.put_back(hosts)

    async def take_up(self, record: PlanRecord) -> tuple[PlanRecord, Course]:
        """Make a plan this process's own; what its Hotfoot may not have come to tell Nova is told first.

        Cold moves that it began are waited for, and confirmed or reverted.
        """
        await asyncio.to_thread(self.check_idle, record)
        match Wish.model_validate(record.wish).objective:
            case Drain(hosts=hosts):
                await self._in_nova(record, hosts, ())
            case Restore():
                await self._in_nova(record, (), record.asked_hosts)
        steps = await asyncio.to_thread(self.plans.steps, record.id)
        await asyncio.gather(*(self._settled(step) for step in steps if step.state is StepState.RUNNING and step.cold))
        return await Site.take_up(self, record)

    async def _settled(self, step: Step) -> None:
        """Wait until Nova is done with a cold move whose Hotfoot was killed; where it is then, tells how it ended."""
        order = Order(
            uuid=step.uuid,
            name=step.name,
            source=step.source,
            destination=step.destination,
            mode=Mode.COLD,
            persistent=True,
            options=MigrationOptions(cold=True),
            by_nova=True,
        )
        with suppress(HotfootError):
            await self.nova.settle(order, InstanceState.SHUT_OFF if step.cold is Cold.OFF else InstanceState.RUNNING)

    async def _in_nova(self, record: PlanRecord, out: Collection[str], back: Collection[str]) -> None:
        if out:
            await self.nova.compute.take_out(out, f"{record.verb}, plan {record.id}, by {record.owner}")
        if back:
            await self.nova.compute.let_up(back)
            up = await self.nova.compute.up(back)
            if down := [host for host in back if host not in up]:
                raise HotfootError(
                    f"nova-compute on {down[0]} is not up: start it there, then again.", ExitStatus.REFUSED
                )
            await self.nova.compute.put_back(back)


def unknown_host(name: str, known: Collection[str]) -> HotfootError:
    """Return what is told of a host that Nova does not have."""
    return HotfootError(
        f"Nova has no compute host {name}; it has {', '.join(sorted(known)) or 'none'}.", ExitStatus.USAGE
    )
