"""A cluster kept balanced, on a double of it with a real journal: when it acts, and what it leaves alone."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pytest
from tests.plans.test_run import Fleet, fleet

from hotfoot.errors import HotfootError
from hotfoot.journal.plan_record import Asked, PlanRecord
from hotfoot.placement.calm import Patience
from hotfoot.placement.wish import Balance, Wish
from hotfoot.plans.planner import Planned
from hotfoot.plans.run import PlanRun
from hotfoot.plans.watch import Balancer

__all__ = ["fleet"]

BY_CPU = Balance(what=("cpu",), measured=True, threshold=0.1, cost_per_gib=0.0)
HOUR_MS = 3_600_000


@dataclass
class Kept:
    """A balancer that carries its plans out."""

    fleet: Fleet
    rounds: int = 2
    cooldown_ms: int = HOUR_MS
    wish: Wish = field(default_factory=lambda: Wish(objective=BY_CPU))
    want: Asked | None = None

    def __post_init__(self) -> None:
        patience = Patience(objective=BY_CPU, rounds=self.rounds)
        self.balancer = Balancer(self.fleet.site, patience, self.cooldown_ms, self.wish, self._act)

    async def _act(self, _why: str, wish: Wish, planned: Planned) -> PlanRecord | None:
        opened, course = await self.fleet.site.open("balance", wish, {"once": True}, planned)
        run = PlanRun(self.fleet.site.means(), opened, course, self.fleet.onlooker, once=True)
        if self.want:
            run.want(self.want)
        return await run.execute()


@pytest.fixture
def busy(fleet: Fleet) -> Fleet:
    """Each of the four instances on n1 keeps a core of its four busy, e on n2 none; n3 is empty."""
    fleet.cluster.uses = {**dict.fromkeys("abcd", 1.0), "e": 0.0}
    return fleet


async def test_it_acts_when_a_host_was_too_far_for_so_many_looks_and_rests_afterwards(busy: Fleet) -> None:
    kept = Kept(busy)
    first = await kept.balancer.round()
    assert (first.plan, busy.cluster.moved) == (None, [])
    assert first.why == "n1 is 66.7% above the mean in CPU, in 1 of 2 looks"
    second = await kept.balancer.round()
    assert second.plan is not None
    assert second.record is not None
    assert second.record.status == 0
    placed = dict(busy.cluster.at)
    used = {host: sum(busy.cluster.uses[one] for one in placed if placed[one] == host) for host in ("n1", "n2", "n3")}
    assert sorted(used.values()) == [1.0, 1.0, 2.0]
    for _ in range(4):
        after = await kept.balancer.round()
        assert after.plan is None
    assert busy.cluster.at == placed


async def test_what_was_moved_a_short_while_ago_stays_and_that_is_said(busy: Fleet) -> None:
    kept = Kept(busy, rounds=1)
    moved = {move.name for move in (await kept.balancer.round()).plan.moves}  # type: ignore[union-attr]
    busy.cluster.uses = {name: 3.0 if name in moved else 0.0 for name in "abcde"}
    busy.cluster.at |= dict.fromkeys(moved, "n3")
    again = await kept.balancer.round()
    assert again.plan is None
    assert again.why.endswith("; 2 instances moved in the last 1 h 00 min stay")
    assert (await Kept(busy, rounds=1, cooldown_ms=0).balancer.round()).plan is not None


async def test_one_that_was_moved_a_short_while_ago_stays(busy: Fleet) -> None:
    kept = Kept(busy, rounds=1, wish=Wish(objective=BY_CPU, most_moves=1))
    await kept.balancer.round()
    ((moved, _, _),) = busy.cluster.moved
    busy.cluster.uses = {name: 3.0 * (name == moved) for name in "abcde"}
    assert (await kept.balancer.round()).why.endswith("; 1 instance moved in the last 1 h 00 min stays")


async def test_each_round_moves_no_more_than_it_may(busy: Fleet) -> None:
    kept = Kept(busy, rounds=1, wish=Wish(objective=BY_CPU, most_moves=1))
    for already in range(2):
        await kept.balancer.round()
        assert len(busy.cluster.moved) == already + 1


async def test_what_cannot_be_moved_is_not_tried_in_every_round(busy: Fleet) -> None:
    busy.cluster.fails = {(name, host) for name in "abcd" for host in ("n2", "n3")}
    kept = Kept(busy, rounds=1)
    await kept.balancer.round()
    tried = len(busy.cluster.moved)
    assert tried
    await kept.balancer.round()
    names = [name for name, *_ in busy.cluster.moved]
    assert len(names) == len(set(names))


async def test_a_look_that_fails_is_begun_anew(busy: Fleet) -> None:
    kept = Kept(busy)
    await kept.balancer.round()
    assert busy.place.file is not None
    busy.place.file.mkdir()  # no journal can be read there
    with pytest.raises(HotfootError):
        await kept.balancer.round()
    busy.place.file.rmdir()
    assert "in 1 of 2 looks" in (await kept.balancer.round()).why


async def test_cancelled_it_ends_after_the_running_moves(busy: Fleet) -> None:
    busy.cluster.slow = True
    kept = Kept(busy, rounds=1, want=Asked.CANCEL)
    ended = await asyncio.wait_for(kept.balancer.round(), 60)
    assert ended.record is not None
    assert ended.record.status == 5
    assert busy.cluster.moved == []


async def told() -> tuple[str, Mapping[str, float]]:
    return "cpu", {"e": 4.0, "id-a": 0.0, "stranger": 9.0}


async def of_strangers() -> tuple[str, Mapping[str, float]]:
    return "cpu", {"stranger": 9.0}


async def test_load_is_asked_for_where_it_is_known_and_measured_for_the_rest(busy: Fleet) -> None:
    asking = replace(busy, site=replace(busy.site, load=told))
    seen, _ = await asking.site.look(await asking.site.around(), Wish(objective=BY_CPU))
    assert {one.name: one.load["cpu"] for one in seen.instances} == {"a": 0.0, "b": 1.0, "c": 1.0, "d": 1.0, "e": 4.0}


async def test_where_load_does_not_count_it_is_neither_asked_for_nor_measured(busy: Fleet) -> None:
    asking = replace(busy, site=replace(busy.site, load=of_strangers))
    by_promise = Wish(objective=Balance(what=("vcpus",)))
    seen, _ = await asking.site.look(await asking.site.around(), by_promise)
    assert all("cpu" not in one.load for one in seen.instances)


async def test_a_source_of_load_that_knows_no_instance_is_an_error(busy: Fleet) -> None:
    asking = replace(busy, site=replace(busy.site, load=of_strangers))
    with pytest.raises(HotfootError, match="tells of no instance of this cluster"):
        await asking.site.first_plan(Wish(objective=BY_CPU), ())
