"""Plans: whatever the cluster and the wish, the moves keep what must be kept, and lead to what the plan says."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.placement.replay import Leg, faults

from hotfoot.placement.plan import Plan
from hotfoot.placement.planning import plan
from hotfoot.placement.snapshot import MEMORY, VCPUS, Host, Instance, Limits, Resource, Rule, RuleKind, Snapshot
from hotfoot.placement.verify import faults as unsound
from hotfoot.placement.wish import Balance, Consolidate, Drain, Objective, Repair, Restore, Wish

GIB = 1 << 30


def ticking() -> Callable[[], float]:
    """Return a clock that goes on by a millisecond whenever it is looked at, however fast the machine is."""
    ticks = count()
    return lambda: next(ticks) / 1000


@st.composite
def clusters(draw: st.DrawFn) -> Snapshot:
    names = [f"h{number}" for number in range(draw(st.integers(2, 4)))]
    hosts = tuple(
        Host(
            name=name,
            resources={
                MEMORY: Resource(total=draw(st.integers(4, 10)) * GIB),
                VCPUS: Resource(total=draw(st.integers(2, 8)), overcommit=2.0),
            },
            zone=draw(st.sampled_from([None, "z1", "z2"])),
            safety=draw(st.sampled_from([1.0, 0.8])),
            maintenance=draw(st.sampled_from([False, False, False, True])),
            up=draw(st.sampled_from([True, True, True, False])),
            link_bytes_per_s=draw(st.sampled_from([None, GIB])),
        )
        for name in names
    )
    instances = tuple(
        Instance(
            name=f"i{number}",
            id=f"i{number}",
            host=draw(st.sampled_from(names)),
            sizes={MEMORY: draw(st.integers(1, 4)) * GIB, VCPUS: draw(st.integers(1, 3))},
            movable=draw(st.sampled_from([True, True, True, False])),
        )
        for number in range(draw(st.integers(1, 6)))
    )
    ids = [one.id for one in instances]
    some = st.lists(st.sampled_from(ids), min_size=1, max_size=3, unique=True).map(tuple)
    rules = tuple(
        Rule(
            name=f"r{number}",
            kind=draw(st.sampled_from(list(RuleKind))),
            instances=draw(some),
            near=draw(some),
            hosts=frozenset(draw(st.lists(st.sampled_from(names), min_size=1, max_size=3))),
            zones=draw(st.integers(1, 2)),
            hard=draw(st.booleans()),
        )
        for number in range(draw(st.integers(0, 2)))
    )
    limits = draw(st.sampled_from([Limits(), Limits(per_source=None, per_destination=None)]))
    return Snapshot(hosts=hosts, instances=instances, rules=rules, limits=limits)


@st.composite
def wishes(draw: st.DrawFn, snapshot: Snapshot) -> Wish:
    names, ids = [host.name for host in snapshot.hosts], [one.id for one in snapshot.instances]
    objectives: list[Objective] = [
        Drain(hosts=frozenset({names[0]})),
        Restore(homes=dict.fromkeys(ids, names[-1])),
        Balance(threshold=0.0),
        Consolidate(),
        Repair(),
    ]
    return Wish(objective=draw(st.sampled_from(objectives)), most_moves=draw(st.sampled_from([None, 2])), seconds=1.0)


def legs(made: Plan) -> list[Leg]:
    number = {move.number: at for at, move in enumerate(made.moves)}
    return [
        Leg(move.instance, move.source, move.destination, frozenset(number[one] for one in move.after), move.temporary)
        for move in made.moves
    ]


@settings(max_examples=80)
@given(st.data())
def test_every_plan_can_be_carried_out_and_is_no_worse_than_the_start(data: st.DataObject) -> None:
    snapshot = data.draw(clusters())
    wish = data.draw(wishes(snapshot))
    made = plan(snapshot, wish, ticking())
    assert faults(snapshot, wish, legs(made)) == []
    ends = {one.id: one.host for one in snapshot.instances} | {move.instance: move.destination for move in made.moves}
    assert unsound(snapshot, wish, ends) == ()
    assert made.after.total <= made.before.total + 1e-9
    assert made.bound is None or made.bound <= made.after.total + 1e-6
    assert made.seconds >= made.least_seconds - 1e-6
    assert made == plan(snapshot, wish, ticking())
    if isinstance(wish.objective, Drain):
        left = {one for one, host in ends.items() if host in wish.objective.hosts}
        assert left <= made.stays.keys()


def test_when_the_solvers_target_cannot_be_reached_the_next_best_is_planned() -> None:
    hosts = [Host(name=name, resources={MEMORY: Resource(total=8 * GIB)}) for name in ("h1", "h2", "h3")]
    instances = [
        Instance(name="a", id="a", host="h1", sizes={MEMORY: 8 * GIB}),
        Instance(name="b", id="b", host="h2", sizes={MEMORY: 8 * GIB}),
        Instance(name="c", id="c", host="h3", sizes={MEMORY: 1 * GIB}),
        Instance(name="d", id="d", host="h3", sizes={MEMORY: 1 * GIB}),
    ]
    rules = [
        Rule(name="swap1", kind=RuleKind.ONLY_ON, instances=("a",), hosts=frozenset({"h2"})),
        Rule(name="swap2", kind=RuleKind.ONLY_ON, instances=("b",), hosts=frozenset({"h1"})),
    ]
    snapshot = Snapshot(hosts=tuple(hosts), instances=tuple(instances), rules=tuple(rules))
    made = plan(snapshot, Wish(objective=Repair()), ticking())
    assert made.moves == ()
    assert made.after.total == made.before.total
    assert made.bound is not None
    assert made.gap is not None
    assert made.gap > 0, "the swap would be better, and cannot be reached"
