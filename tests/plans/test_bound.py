"""Plans carried out on a double of a cluster that keep rules, deadlines, and what was planned earlier."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest
from tests.journal.records import DEAD
from tests.plans.test_run import DRAIN, Fleet, fleet

from hotfoot.cluster import Rule
from hotfoot.errors import ExitStatus, HotfootError
from hotfoot.journal.entries import now_ms
from hotfoot.journal.out_of_placement import hosts_out
from hotfoot.journal.plan_record import Asked, PlanState
from hotfoot.placement.course import StepState
from hotfoot.placement.declared import Declared
from hotfoot.placement.plan_text import MadePlan, PlanAsked, read_plan
from hotfoot.placement.snapshot import Limits
from hotfoot.placement.wish import Restore, Wish
from hotfoot.plans.run import PlanRun

__all__ = ["fleet"]

TOGETHER = Declared(rules=(Rule(name="pair", kind="together", instances=("a", "b")),))
APART = Declared(rules=(Rule(name="three", kind="apart", instances=("a", "b", "e")),))


@pytest.fixture
def bound(fleet: Fleet) -> Fleet:
    """A and b must be on one host, and are."""
    return replace(fleet, site=replace(fleet.site, declared=TOGETHER))


async def test_what_must_be_together_is_moved_together(bound: Fleet) -> None:
    ended = await (await bound.begin()).execute()
    assert (ended.status, ended.stays) == (0, {})
    assert bound.cluster.at["a"] == bound.cluster.at["b"] != "n1"


@pytest.mark.parametrize("victim", ["a", "b"])
async def test_what_a_failed_move_has_torn_is_brought_together_again(bound: Fleet, victim: str) -> None:
    run = await bound.begin()
    to = next(step.destination for step in run.course.steps if step.name == victim)
    bound.cluster.fails = {(victim, to)}
    ended = await run.execute()
    assert (ended.status, ended.stays) == (0, {})
    assert bound.cluster.at["a"] == bound.cluster.at["b"] not in ("n1", to)


async def test_where_it_can_go_nowhere_else_those_that_went_before_come_back(fleet: Fleet) -> None:
    bound = replace(fleet, site=replace(fleet.site, declared=TOGETHER))
    bound.cluster.at |= {"a": "n2", "b": "n2"}
    bound.cluster.fails = {("b", "n1"), ("b", "n3")}
    home = Wish(objective=Restore(homes={"id-a": "n1", "id-b": "n1"}))
    ended = await (await bound.begin("restore", home)).execute()
    assert ended.status == ExitStatus.FAILED_ON_SOURCE
    assert bound.cluster.at["a"] == bound.cluster.at["b"] == "n2"
    assert set(ended.stays) == {"a", "b"}


async def test_a_plan_that_is_made_once_keeps_a_rule_all_the_same(bound: Fleet) -> None:
    run = await bound.begin(once=True)
    to = next(step.destination for step in run.course.steps if step.name == "b")
    bound.cluster.fails = {("b", to)}
    ended = await run.execute()
    assert bound.cluster.at["a"] == bound.cluster.at["b"] != "n1"
    assert (ended.status, ended.stays) == (0, {})


async def test_what_could_not_be_brought_together_is_named_with_its_rule(bound: Fleet) -> None:
    run = await bound.begin()
    bound.cluster.fails = {("b", "n2"), ("b", "n3")}
    ended = await run.execute()
    assert ended.status == ExitStatus.FAILED_ON_SOURCE
    assert "rule pair is broken" in ended.stays["b"]
    assert bound.cluster.at["b"] == "n1"


async def test_cancelled_in_the_middle_what_belongs_together_still_goes(bound: Fleet) -> None:
    bound = replace(bound, site=replace(bound.site, limits=Limits(per_source=1)))
    bound.cluster.at |= {"c": "n2", "d": "n2"}
    bound.cluster.slow = True
    run = await bound.begin()
    executing = asyncio.create_task(run.execute())
    await bound.cluster.until_begun(1)
    run.want(Asked.CANCEL)
    bound.cluster.let_go()
    ended = await executing
    assert ended.status == ExitStatus.ABORTED
    assert {step.state for step in run.course.steps} == {StepState.DONE}
    assert bound.cluster.at["a"] == bound.cluster.at["b"] != "n1"


async def test_anti_affinity_is_kept_and_what_it_keeps_is_named(fleet: Fleet) -> None:
    bound = replace(fleet, site=replace(fleet.site, declared=APART))
    bound.cluster.at |= {"a": "n1", "b": "n3", "e": "n2"}
    ended = await (await bound.begin()).execute()
    assert ended.status == ExitStatus.FAILED_ON_SOURCE
    assert set(ended.stays) == {"a"}
    assert len({bound.cluster.at[name] for name in "abe"}) == 3


async def test_after_the_deadline_nothing_begins_and_what_stays_is_named(fleet: Fleet) -> None:
    planned = await fleet.site.first_plan(DRAIN, ("n1",))
    asked = {"hosts": ["n1"], "deadline_ms": now_ms() - 1}
    opened, course = await fleet.site.open("drain", DRAIN, asked, planned, ("n1",))
    ended = await PlanRun(fleet.site.means(), opened, course, fleet.onlooker, once=False).execute()
    assert ended.status == ExitStatus.FAILED_ON_SOURCE
    assert fleet.cluster.moved == []
    assert all("would not have ended before" in why for why in ended.stays.values())
    assert set(ended.stays) == set("abcd")
    kept, steps = fleet.kept()
    assert kept.deadline_ms == asked["deadline_ms"]
    assert {(step.state, step.late) for step in steps} == {(StepState.LEFT_OUT, True)}


async def test_a_deadline_holds_for_a_plan_that_is_taken_up_too(fleet: Fleet) -> None:
    planned = await fleet.site.first_plan(DRAIN, ("n1",))
    asked = {"hosts": ["n1"], "deadline_ms": now_ms() + 3_600_000}
    opened, course = await fleet.site.open("drain", DRAIN, asked, planned, ("n1",))
    run = PlanRun(fleet.site.means(), opened, course, fleet.onlooker, once=False)
    run.want(Asked.PAUSE)
    assert (await run.execute()).state is PlanState.PAUSED
    again = await fleet.resume(fleet.kept()[0])
    assert again.course.deadline_ms == asked["deadline_ms"]
    assert (await again.execute()).status == 0


async def kept_as_text(fleet: Fleet) -> str:
    planned = await fleet.site.first_plan(DRAIN, ("n1",))
    made = MadePlan(planned.plan, PlanAsked(wish=DRAIN, limits=planned.snapshot.limits))
    return json.dumps(made.as_json())


async def test_a_plan_that_was_kept_is_carried_out_exactly_as_it_was_shown(fleet: Fleet) -> None:
    made = read_plan(await kept_as_text(fleet), "plan.json")
    planned = await fleet.site.checked(made)
    opened, course = await fleet.site.open("drain", DRAIN, {"hosts": ["n1"]}, planned, ("n1",))
    ended = await PlanRun(fleet.site.means(), opened, course, fleet.onlooker, once=True).execute()
    assert ended.status == 0
    shown = {(move.name, move.source, move.destination) for move in made.plan.moves}
    assert set(fleet.cluster.moved) == shown
    assert hosts_out(fleet.place, "rack1").keys() == {"n1"}
    assert (await fleet.site.drained(["n1"])).homes == {f"id-{name}": "n1" for name in "abcd"}


async def test_a_kept_plan_is_refused_when_the_world_differs_and_nothing_is_moved(fleet: Fleet) -> None:
    made = read_plan(await kept_as_text(fleet), "plan.json")
    fleet.cluster.at["b"] = "n3"
    del fleet.cluster.at["c"]
    with pytest.raises(HotfootError) as error:
        await fleet.site.checked(made)
    assert error.value.status == ExitStatus.REFUSED
    first, *lines = str(error.value).splitlines()
    assert first == "The plan does not fit any more, 2 of its 4 moves cannot be made now:"
    assert sorted(line.rpartition(": ")[2] for line in lines) == ["b is on n3", "c is not there any more"]
    assert fleet.cluster.moved == []


async def test_a_kept_plan_is_refused_while_another_plan_touches_its_hosts(fleet: Fleet) -> None:
    made = read_plan(await kept_as_text(fleet), "plan.json")
    run = await fleet.begin()
    with pytest.raises(HotfootError, match=run.record.id):
        await fleet.site.checked(made)


async def test_a_plan_that_is_planned_only_once_goes_on_when_it_is_taken_up_as_far_as_it_is_valid(fleet: Fleet) -> None:
    made = read_plan(await kept_as_text(fleet), "plan.json")
    planned = await fleet.site.checked(made)
    asked = {"hosts": ["n1"], "once": True}
    opened, course = await fleet.site.open("drain", DRAIN, asked, planned, ("n1",))
    run = PlanRun(fleet.site.means(), opened, course, fleet.onlooker, once=True)
    run.want(Asked.PAUSE)
    await run.execute()
    elsewhere = next(host for host in ("n2", "n3") if host != course.steps[0].destination)
    gone = course.steps[0].name
    fleet.cluster.at[gone] = elsewhere
    adopted, left = await fleet.site.take_up(fleet.kept()[0])
    assert (left.steps[0].state, left.steps[0].why) == (StepState.LEFT_OUT, f"{gone} is on {elsewhere}")
    ended = await PlanRun(fleet.site.means(), adopted, left, fleet.onlooker, once=True).execute()
    assert (ended.status, ended.stays) == (0, {})  # what was to be drained is not there
    shown = {(move.name, move.source, move.destination) for move in made.plan.moves}
    assert set(fleet.cluster.moved) == {move for move in shown if move[0] != gone}


async def test_killed_before_its_move_began_a_plan_that_is_planned_once_makes_it(fleet: Fleet) -> None:
    planned = await fleet.site.first_plan(DRAIN, ("n1",))
    opened, course = await fleet.site.open("drain", DRAIN, {"hosts": ["n1"], "once": True}, planned, ("n1",))
    fleet.site.plans.save(opened.id, [replace(course.steps[0], state=StepState.RUNNING, began_ms=1000)])
    with closing(sqlite3.connect(fleet.place.file or "")) as database, database:
        database.execute("UPDATE plans SET owner_pid = ?, owner_start = ?", (DEAD.pid, DEAD.start))
    assert [record.id for record in fleet.site.orphaned("drain")] == [opened.id]
    assert fleet.site.orphaned("balance") == ()
    adopted, left = await fleet.site.take_up(fleet.kept()[0])
    assert fleet.site.orphaned("drain") == ()
    assert {step.state for step in left.steps} == {StepState.WAITING}
    ended = await PlanRun(fleet.site.means(), adopted, left, fleet.onlooker, once=True).execute()
    assert ended.status == 0
    assert len(fleet.cluster.moved) == 4
