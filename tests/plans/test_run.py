"""Plans carried out on a double of a cluster, with a real journal: failures, newcomers, stops, and taking up again."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from tests.journal.records import DEAD, record
from tests.plans.cluster_double import GIB, ClusterDouble

from hotfoot.errors import ExitStatus, HotfootError
from hotfoot.journal.out_of_placement import hosts_out
from hotfoot.journal.place import Place
from hotfoot.journal.plan_record import Asked, PlanRecord, PlanState
from hotfoot.journal.store import Store
from hotfoot.migration.options import MigrationOptions, Mode, Order
from hotfoot.migration.prepare import Request
from hotfoot.migration.sample import JobSample
from hotfoot.placement.course import Course, Step, StepState
from hotfoot.placement.snapshot import Limits
from hotfoot.placement.wish import Drain, Restore, Wish
from hotfoot.plans.run import LOOK_S, PlanRun
from hotfoot.plans.site import Site

DRAIN = Wish(objective=Drain(hosts=frozenset({"n1"})))


@dataclass
class Onlooker:
    said: list[str] = field(default_factory=list)
    heard: asyncio.Event = field(default_factory=asyncio.Event)
    looked: asyncio.Event = field(default_factory=asyncio.Event)

    def say(self, sentence: str) -> None:
        self.said.append(sentence)
        self.heard.set()

    def look(self, step: Step, sample: JobSample) -> None:
        self.looked.set()

    def course(self, course: Course) -> None:
        pass


@dataclass
class Fleet:
    """A cluster, its journal, and one plan of it."""

    cluster: ClusterDouble
    place: Place
    site: Site
    onlooker: Onlooker = field(default_factory=Onlooker)

    async def begin(self, verb: str = "drain", wish: Wish = DRAIN, *, once: bool = False) -> PlanRun:
        named = ("n1",)
        planned = await self.site.first_plan(wish, named, named if verb == "restore" else ())
        out, back = (named, ()) if verb == "drain" else ((), named)
        opened, course = await self.site.open(verb, wish, {"hosts": list(named)}, planned, out, back)
        return PlanRun(self.site.means(), opened, course, self.onlooker, once=once)

    async def resume(self, opened: PlanRecord) -> PlanRun:
        adopted, course = await self.site.take_up(opened)
        return PlanRun(self.site.means(), adopted, course, self.onlooker, once=False)

    def kept(self) -> tuple[PlanRecord, tuple[Step, ...]]:
        found = self.site.plans.find("rack1", None)
        return found, self.site.plans.steps(found.id)


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """Four instances on n1, one on n2, none on n3."""
    cluster = ClusterDouble({"a": "n1", "b": "n1", "c": "n1", "d": "n1", "e": "n2"})
    place = Place(file=tmp_path / "journal.sqlite3")
    with closing(Store(place)) as store:
        site = Site(
            cloud=cluster.cloud,
            place=place,
            cluster="rack1",
            hosts=("n1", "n2", "n3"),
            storage=(),
            limits=Limits(per_source=2, per_destination=2),
            request_of=lambda step: Request(instance=step.uuid, from_host=step.source, destination=step.destination),
            store=store,
        )
        yield Fleet(cluster, place, site)


def order(name: str, source: str, destination: str) -> Order:
    return Order(
        uuid=f"id-{name}", name=name, source=source, destination=destination, mode=Mode.LIVE, persistent=True,
        options=MigrationOptions(),
    )  # fmt: skip


async def test_a_host_is_emptied_by_as_many_at_once_as_allowed_and_is_out_of_placement(fleet: Fleet) -> None:
    ended = await (await fleet.begin()).execute()
    assert (ended.status, ended.stays, ended.state) == (0, {}, PlanState.ENDED)
    assert "n1" not in fleet.cluster.at.values()
    assert len(fleet.cluster.moved) == 4
    assert fleet.cluster.most_at_once <= 2
    assert hosts_out(fleet.place, "rack1").keys() == {"n1"}
    kept, steps = fleet.kept()
    assert replace(kept, heartbeat_ms=0) == replace(ended, heartbeat_ms=0)
    assert all(step.state is StepState.DONE and step.migration and step.downtime_ms == 80 for step in steps)
    assert fleet.cluster.claims == {}


async def test_over_a_known_link_the_next_move_begins_when_the_one_before_has_little_left(fleet: Fleet) -> None:
    fleet.cluster.slow = True
    fleet.cluster.left_bytes = GIB
    run = await fleet.begin()
    run.course = replace(run.course, links={"n1": GIB >> 4})
    executing = asyncio.create_task(run.execute())
    await fleet.onlooker.looked.wait()
    await asyncio.sleep(2.5 * LOOK_S)
    assert len(fleet.cluster.running) == 1
    fleet.cluster.left_bytes = GIB >> 6
    async with asyncio.timeout(20):
        await fleet.cluster.until_begun(2)
    fleet.cluster.let_go()
    assert (await executing).status == 0
    assert fleet.cluster.most_at_once == 2


async def with_one_ready(fleet: Fleet) -> tuple[PlanRun, asyncio.Task[PlanRecord]]:
    """Begin a plan whose second move is judged in less time than was thought: the link is in use for 4 s more."""
    fleet.cluster.slow = True
    fleet.cluster.left_bytes = GIB >> 2
    run = await fleet.begin()
    steps = tuple(replace(step, overhead_s=10.0) for step in run.course.steps)
    run.course = replace(run.course, steps=steps, links={"n1": GIB >> 4})
    executing = asyncio.create_task(run.execute())
    await fleet.onlooker.looked.wait()
    await asyncio.sleep(2.5 * LOOK_S)
    assert len(run.course.in_state(StepState.RUNNING)) == 2
    assert len(fleet.cluster.claims) == 2
    assert len(fleet.cluster.running) == 1
    return run, executing


async def test_what_is_ready_too_early_opens_no_stream_before_the_link_can_use_it(fleet: Fleet) -> None:
    _, executing = await with_one_ready(fleet)
    fleet.cluster.left_bytes = 0
    async with asyncio.timeout(20):
        await fleet.cluster.until_begun(2)
    fleet.cluster.let_go()
    assert (await executing).status == 0
    _, steps = fleet.kept()
    assert steps[0].held_s < LOOK_S < steps[1].held_s


@pytest.mark.parametrize(
    ("wanted", "state", "left"),
    [(Asked.PAUSE, PlanState.PAUSED, StepState.WAITING), (Asked.CANCEL, PlanState.ENDED, StepState.LEFT_OUT)],
)
async def test_what_waits_for_the_link_does_not_begin_once_the_plan_stops(
    fleet: Fleet, wanted: Asked, state: PlanState, left: StepState
) -> None:
    run, executing = await with_one_ready(fleet)
    run.want(wanted)
    await asyncio.sleep(LOOK_S)
    fleet.cluster.let_go()
    async with asyncio.timeout(20):
        ended = await executing
    assert ended.state is state
    assert len(fleet.cluster.moved) == 1
    assert fleet.cluster.claims == {}
    _, steps = fleet.kept()
    assert [step.state for step in steps] == [StepState.DONE, left, left, left]
    assert all(step.began_ms is None for step in steps[1:])


async def test_what_waits_for_the_link_is_given_back_when_all_is_aborted(fleet: Fleet) -> None:
    before = dict(fleet.cluster.at)
    run, executing = await with_one_ready(fleet)
    run.want(Asked.ABORT)
    async with asyncio.timeout(20):
        await executing
    assert len(fleet.cluster.moved) == 1
    assert fleet.cluster.at == before
    assert fleet.cluster.claims == {}


async def test_what_fails_goes_to_the_next_best_host_and_what_fails_twice_stays_with_its_reason(fleet: Fleet) -> None:
    run = await fleet.begin()
    first = run.course.steps[0]
    fleet.cluster.fails = {(first.name, first.destination), ("d", "n2"), ("d", "n3")}
    ended = await run.execute()
    assert ended.status == ExitStatus.FAILED_ON_SOURCE
    assert ended.stays.keys() == {"d"}
    assert "QEMU on" in ended.stays["d"]
    assert [name for name, host in fleet.cluster.at.items() if host == "n1"] == ["d"]
    assert len([one for one in fleet.cluster.moved if one[0] == "d"]) == 2
    assert any("Planned anew" in said for said in fleet.onlooker.said)


async def test_an_instance_that_appears_meanwhile_is_moved_too(fleet: Fleet) -> None:
    fleet.cluster.slow = True
    run = await fleet.begin()
    executing = asyncio.create_task(run.execute())
    await fleet.cluster.until_begun(2)
    fleet.cluster.at["late"] = "n1"
    fleet.cluster.let_go()
    assert (await executing).status == 0
    assert fleet.cluster.at["late"] != "n1"
    assert {step.round for step in run.course.steps} == {1, 2}


async def test_cancelled_it_ends_after_the_running_moves(fleet: Fleet) -> None:
    fleet.cluster.slow = True
    run = await fleet.begin()
    executing = asyncio.create_task(run.execute())
    await fleet.cluster.until_begun(2)
    assert fleet.site.plans.want(run.record.id, Asked.CANCEL)
    await fleet.onlooker.heard.wait()
    assert "cancel" in fleet.onlooker.said[0]
    fleet.cluster.let_go()
    ended = await executing
    assert ended.status == ExitStatus.ABORTED
    states = sorted(step.state for step in fleet.kept()[1])
    assert states == [StepState.DONE, StepState.DONE, StepState.LEFT_OUT, StepState.LEFT_OUT]
    assert set(ended.stays.values()) == {"stopped before it was moved"}
    assert hosts_out(fleet.place, "rack1").keys() == {"n1"}


async def test_aborted_the_running_moves_end_on_their_source(fleet: Fleet) -> None:
    fleet.cluster.slow = True
    run = await fleet.begin()
    executing = asyncio.create_task(run.execute())
    await fleet.cluster.until_begun(2)
    begun = [order.name for order in fleet.cluster.running.values()]
    run.want(Asked.ABORT)
    ended = await executing
    assert ended.status == ExitStatus.ABORTED
    assert sorted(ended.stays.values()) == [
        *(f"Stopped as you asked; {name} lives on n1, as before." for name in sorted(begun)),
        "stopped before it was moved",
        "stopped before it was moved",
    ]
    assert {step.state for step in fleet.kept()[1]} == {StepState.LEFT_OUT}
    assert fleet.cluster.running == {}
    assert fleet.cluster.claims == {}


async def test_paused_it_holds_its_hosts_until_it_is_taken_up(fleet: Fleet) -> None:
    run = await fleet.begin()
    run.want(Asked.PAUSE)
    paused = await run.execute()
    assert (paused.state, paused.ended_ms, fleet.cluster.moved) == (PlanState.PAUSED, None, [])
    with pytest.raises(HotfootError, match=paused.id):
        await fleet.site.first_plan(DRAIN, ("n1",))
    ended = await (await fleet.resume(fleet.kept()[0])).execute()
    assert (ended.status, ended.state) == (0, PlanState.ENDED)
    assert "n1" not in fleet.cluster.at.values()


async def test_no_move_begins_while_the_journal_cannot_be_written(fleet: Fleet) -> None:
    run = await fleet.begin()
    assert fleet.place.file is not None

    def rename(old: str, new: str) -> None:
        with closing(sqlite3.connect(fleet.place.file or "")) as database:
            database.execute(f"ALTER TABLE {old} RENAME TO {new}")

    rename("plan_moves", "elsewhere")
    executing = asyncio.create_task(run.execute())
    await fleet.onlooker.heard.wait()
    assert "No more moves begin" in fleet.onlooker.said[0]
    assert fleet.cluster.moved == []
    rename("elsewhere", "plan_moves")
    assert (await executing).status == 0
    assert "n1" not in fleet.cluster.at.values()


async def killed(fleet: Fleet) -> tuple[Course, asyncio.Task[None]]:
    """Leave a drain as a kill would; returns its moves, and the second one's migration, which goes on by itself.

    The first move had ended, though the journal does not know; the second still runs; the third had not begun.
    """
    run = await fleet.begin()
    first, second, third, _ = run.course.steps
    with closing(Store(fleet.place)) as store:
        for step in (first, second):
            left = record(instance=step.name, uuid=step.uuid, owner=DEAD, source="n1", destination=step.destination)
            store.entries.open(left)
    begun = [replace(step, state=StepState.RUNNING, began_ms=1000) for step in (first, second, third)]
    fleet.site.plans.save(run.record.id, begun)
    with closing(sqlite3.connect(fleet.place.file or "")) as database, database:
        database.execute("UPDATE plans SET owner_pid = ?, owner_start = ?", (DEAD.pid, DEAD.start))
    fleet.cluster.at[first.name] = first.destination
    fleet.cluster.slow = True
    going_on = order(second.name, "n1", second.destination)
    fleet.cluster.begin(going_on)
    return run.course, asyncio.create_task(fleet.cluster.follow(going_on))


async def test_taken_up_after_a_kill_nothing_is_done_twice_and_nothing_is_lost(fleet: Fleet) -> None:
    course, by_itself = await killed(fleet)
    again = await fleet.resume(fleet.kept()[0])
    assert [step.state for step in again.course.steps] == [
        StepState.DONE, StepState.RUNNING, StepState.LEFT_OUT, StepState.LEFT_OUT,
    ]  # fmt: skip
    executing = asyncio.create_task(again.execute())
    await fleet.onlooker.looked.wait()
    fleet.cluster.let_go()
    ended = await executing
    await by_itself
    assert (ended.status, ended.stays) == (0, {})
    assert "n1" not in fleet.cluster.at.values()
    assert sorted(name for name, *_ in fleet.cluster.moved) == sorted(step.name for step in course.steps[1:])
    assert all(step.migration for step in fleet.kept()[1] if step.state is StepState.DONE)


async def test_what_ends_between_two_looks_while_a_plan_is_taken_up_is_done(fleet: Fleet) -> None:
    _, by_itself = await killed(fleet)
    again = await fleet.resume(fleet.kept()[0])
    fleet.cluster.let_go()
    await by_itself
    ended = await again.execute()
    assert (ended.status, ended.stays) == (0, {})
    assert all(step.migration for step in fleet.kept()[1] if step.state is StepState.DONE)
    assert StepState.FAILED not in {step.state for step in fleet.kept()[1]}
    assert len(fleet.cluster.moved) == 3


async def test_a_killed_plan_is_cancelled_and_what_went_on_by_itself_is_aborted(fleet: Fleet) -> None:
    course, by_itself = await killed(fleet)
    again = await fleet.resume(fleet.kept()[0])
    again.want(Asked.ABORT)
    ended = await again.execute()
    await asyncio.gather(by_itself, return_exceptions=True)
    assert (ended.status, ended.state) == (ExitStatus.ABORTED, PlanState.ENDED)
    assert [name for name, host in fleet.cluster.at.items() if host == "n1"] == [
        step.name for step in sorted(course.steps[1:], key=lambda step: step.name)
    ]
    assert len(fleet.cluster.moved) == 1


async def test_what_was_drained_comes_home_unless_it_was_moved_since(fleet: Fleet) -> None:
    await (await fleet.begin()).execute()
    other = "n2" if fleet.cluster.at["a"] == "n3" else "n3"
    fleet.cluster.at["a"] = other
    drained = await fleet.site.drained(["n1"])
    assert drained.homes == {f"id-{name}": "n1" for name in "bcd"}
    assert drained.moved_since[0].startswith("a was moved since it was drained from n1: it stays on")
    run = await fleet.begin("restore", Wish(objective=Restore(homes=drained.homes)))
    ended = await run.execute()
    assert (ended.status, ended.stays) == (0, {})
    assert [fleet.cluster.at[name] for name in "abcd"] == [other, "n1", "n1", "n1"]
    assert hosts_out(fleet.place, "rack1") == {}
    assert (await fleet.site.drained(["n1"])).homes == {}
