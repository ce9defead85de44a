"""When a plan is over: whether it is planned once more at its end, on a double of a cluster with a real journal."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace

import pytest
from tests.plans.test_run import DRAIN, Fleet, fleet

from hotfoot.errors import ExitStatus
from hotfoot.placement.wish import Restore, Wish
from hotfoot.plans.means import Means
from hotfoot.plans.planner import Around, Planned
from hotfoot.plans.run import PlanRun

__all__ = ["fleet"]


@dataclass
class Planning:
    """The planning of a fleet, with what came out each time that it was planned anew: how many moves."""

    fleet: Fleet
    anew: list[int] = field(default_factory=list)

    async def begin(self, verb: str, wish: Wish) -> PlanRun:
        run = await self.fleet.begin(verb, wish)
        return PlanRun(self._means(), run.record, run.course, self.fleet.onlooker, once=False)

    def _means(self) -> Means:
        means = self.fleet.site.means()

        async def plan(wish: Wish, around: Around) -> Planned:
            planned = await means.plan(wish, around)
            self.anew.append(len(planned.plan.moves))
            return planned

        return replace(means, plan=plan)


@pytest.fixture
def planning(fleet: Fleet) -> Planning:
    return Planning(fleet)


async def test_a_drain_that_left_nothing_behind_is_not_planned_anew(planning: Planning) -> None:
    ended = await (await planning.begin("drain", DRAIN)).execute()
    assert (ended.status, ended.stays) == (0, {})
    assert planning.anew == []


async def test_a_restore_that_left_nothing_behind_is_not_planned_anew(planning: Planning) -> None:
    await (await planning.begin("drain", DRAIN)).execute()
    homes = (await planning.fleet.site.drained(["n1"])).homes
    ended = await (await planning.begin("restore", Wish(objective=Restore(homes=homes)))).execute()
    assert (ended.status, ended.stays) == (0, {})
    assert planning.anew == []


async def test_a_drain_that_left_something_behind_is_planned_anew_until_nothing_is(planning: Planning) -> None:
    cluster = planning.fleet.cluster
    cluster.slow = True
    run = await planning.begin("drain", DRAIN)
    executing = asyncio.create_task(run.execute())
    await cluster.until_begun(2)
    cluster.at["late"] = "n1"
    cluster.let_go()
    ended = await executing
    assert (ended.status, ended.stays) == (0, {})
    assert planning.anew == [1]
    assert cluster.at["late"] != "n1"


async def test_a_restore_of_which_a_move_failed_is_planned_anew(planning: Planning) -> None:
    cluster = planning.fleet.cluster
    await (await planning.begin("drain", DRAIN)).execute()
    homes = (await planning.fleet.site.drained(["n1"])).homes
    cluster.fails = {("a", "n1")}
    ended = await (await planning.begin("restore", Wish(objective=Restore(homes=homes)))).execute()
    assert ended.status == ExitStatus.FAILED_ON_SOURCE
    assert ended.stays.keys() == {"a"}
    assert planning.anew == [0]
