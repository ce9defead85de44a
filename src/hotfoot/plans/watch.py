"""A cluster kept balanced: one look after the other, and a plan when it is worth one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

from hotfoot.journal.entries import now_ms
from hotfoot.journal.plan_record import PlanRecord
from hotfoot.journal.store import Wanted
from hotfoot.placement.calm import Patience, judge
from hotfoot.placement.plan import Plan
from hotfoot.placement.snapshot import Snapshot
from hotfoot.placement.wish import Wish
from hotfoot.plans.planner import Planned, plan_for
from hotfoot.plans.site import Site
from hotfoot.sizes import human_duration

Act = Callable[[str, Wish, Planned], Awaitable[PlanRecord | None]]
"""Carries a plan out, for the reason that it is told first; None where it was not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One look, and what followed."""

    at_ms: int
    why: str
    """What was seen, and why nothing was done if so."""
    silent: tuple[str, ...] = ()
    """Why hosts did not answer."""
    plan: Plan | None = None
    """What was planned, with moves; None: nothing was worth moving."""
    record: PlanRecord | None = None
    """How that was carried out."""


class Balancer:
    """Keeps a cluster balanced; ``round`` again and again. Raises HotfootError where a look or a plan cannot be made.

    Invariants: what ``calm.judge`` says; an instance that a migration was begun of within the cooldown, by anybody, as
    the journal knows, stays where it is, however that ended.
    """

    def __init__(self, site: Site, patience: Patience, cooldown_ms: int, wish: Wish, act: Act) -> None:
        self._site = site
        self._patience = patience
        self._cooldown_ms = cooldown_ms
        self._wish = wish
        self._act = act
        self._looks: tuple[Snapshot, ...] = ()

    async def round(self) -> Round:
        """Look once; plan, and act, when it is time to."""
        at_ms, looks = now_ms(), self._looks
        self._looks = ()  # a look that fails is no look: it is begun anew
        around = await self._site.around()
        seen, inventory = await self._site.look(around, self._wish)
        silent = tuple(host.problem for host in inventory.hosts if host.problem)
        minute = datetime.now().hour * 60 + datetime.now().minute
        verdict = judge(self._patience, looks, seen, minute)
        self._looks = verdict.looks
        if verdict.mean is None:
            return Round(at_ms=at_ms, why=verdict.why, silent=silent)
        cooling = await asyncio.to_thread(self._cooling, at_ms)
        cooling &= {one.id for one in seen.instances}
        wish = self._wish.model_copy(update={"fixed": self._wish.fixed | cooling})
        planned = await plan_for(verdict.mean, inventory, wish, around)
        if not planned.plan.moves:
            why = f"{verdict.why}, but {(planned.plan.remark or 'no allowed move makes it better').rstrip('.')}"
            if cooling:
                what, stay = ("1 instance", "stays") if len(cooling) == 1 else (f"{len(cooling)} instances", "stay")
                why += f"; {what} moved in the last {human_duration(self._cooldown_ms)} {stay}"
            return Round(at_ms=at_ms, why=why, silent=silent)
        record = await self._act(verdict.why, self._wish, planned)
        return Round(at_ms=at_ms, why=verdict.why, silent=silent, plan=planned.plan, record=record)

    def _cooling(self, at_ms: int) -> frozenset[str]:
        """Return the instances (uuid) of which a migration was begun, or tried, a short while ago."""
        wanted = Wanted(cluster=self._site.cluster, since_ms=at_ms - self._cooldown_ms)
        return frozenset(record.uuid for record in self._site.store.records(wanted) if record.uuid)
