"""In which order instances get to where they should be."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.placement.replay import Leg, faults

from hotfoot.placement.order import Ordered, order
from hotfoot.placement.passage import Passage
from hotfoot.placement.snapshot import MEMORY, Host, Instance, Resource, Rule, RuleKind, Snapshot
from hotfoot.placement.verify import faults as unsound
from hotfoot.placement.waits import waits
from hotfoot.placement.wish import Drain, Repair, Wish

GIB = 1 << 30
ANY = Wish(objective=Repair())


def host(name: str, memory: int, *, zone: str | None = None, safety: float = 1.0) -> Host:
    return Host(name=name, resources={MEMORY: Resource(total=memory)}, zone=zone, safety=safety)


def instance(name: str, on: str, memory: int, **more: object) -> Instance:
    return Instance.model_validate({"name": name, "id": name, "host": on, "sizes": {MEMORY: memory}, **more})


def cluster(hosts: Sequence[Host], instances: Sequence[Instance], rules: Sequence[Rule] = ()) -> Snapshot:
    return Snapshot(hosts=tuple(hosts), instances=tuple(instances), rules=tuple(rules))


def legs(snapshot: Snapshot, wish: Wish, ordered: Ordered) -> list[Leg]:
    shifts = [shift for step in ordered.steps for shift in step]
    needed = waits(Passage(snapshot, wish), ordered.steps)
    return [
        Leg(shift.instance, shift.source, shift.destination, after, shift.temporary)
        for shift, after in zip(shifts, needed, strict=True)
    ]


def short(ordered: Ordered) -> list[str]:
    return [
        f"{shift.instance} {shift.source}>{shift.destination}{' for a while' if shift.temporary else ''}"
        for step in ordered.steps
        for shift in step
    ]


def test_a_chain_is_made_from_its_free_end() -> None:
    snapshot = cluster([host("h1", 8), host("h2", 8), host("h3", 8)], [instance("a", "h1", 8), instance("b", "h2", 8)])
    ordered = order(snapshot, ANY, {"a": "h2", "b": "h3"})
    assert short(ordered) == ["b h2>h3", "a h1>h2"]
    assert [sorted(leg.after) for leg in legs(snapshot, ANY, ordered)] == [[], [0]]


def test_a_swap_takes_the_way_over_a_third_host_with_the_smaller_one() -> None:
    snapshot = cluster([host("h1", 8), host("h2", 8), host("h3", 8)], [instance("a", "h1", 8), instance("b", "h2", 5)])
    assert short(order(snapshot, ANY, {"a": "h2", "b": "h1"})) == ["b h2>h3 for a while", "a h1>h2", "b h3>h1"]


def test_what_crosses_needs_no_temporary_place_when_both_fit_at_once() -> None:
    snapshot = cluster([host("h1", 16), host("h2", 16)], [instance("a", "h1", 8), instance("b", "h2", 8)])
    ordered = order(snapshot, ANY, {"a": "h2", "b": "h1"})
    assert all(not leg.after and not leg.temporary for leg in legs(snapshot, ANY, ordered))


def test_a_small_bystander_makes_way_for_a_cycle_and_comes_back() -> None:
    snapshot = cluster(
        [host("h1", 10), host("h2", 14), host("h3", 4)],
        [instance("a", "h1", 8), instance("b", "h2", 6), instance("x", "h2", 4)],
    )
    ordered = order(snapshot, ANY, {"a": "h2", "b": "h1"})
    assert short(ordered) == ["x h2>h3 for a while", "a h1>h2", "b h2>h1", "x h3>h2"]


def test_a_swap_without_a_third_place_is_left_and_says_why() -> None:
    snapshot = cluster([host("h1", 8), host("h2", 8)], [instance("a", "h1", 8), instance("b", "h2", 8)])
    ordered = order(snapshot, ANY, {"a": "h2", "b": "h1"})
    assert ordered.steps == ()
    assert ordered.left.keys() == {"a", "b"}
    assert "no order of moves brings it to h2" in ordered.left["a"]


def test_nothing_is_parked_on_a_host_that_is_being_emptied() -> None:
    hosts, instances = [host("h1", 8), host("h2", 8), host("h3", 8)], [instance("a", "h1", 8), instance("b", "h2", 8)]
    wish = Wish(objective=Drain(hosts=frozenset({"h3"})))
    assert order(cluster(hosts, instances), wish, {"a": "h2", "b": "h1"}).left


def test_those_apart_pass_each_other_without_meeting() -> None:
    rule = Rule(name="r", kind=RuleKind.APART, instances=("a", "b"))
    hosts = [host(name, 100) for name in ("h1", "h2", "h3")]
    snapshot = cluster(hosts, [instance("a", "h1", 8), instance("b", "h2", 4)], [rule])
    assert short(order(snapshot, ANY, {"a": "h2", "b": "h1"})) == ["b h2>h3 for a while", "a h1>h2", "b h3>h1"]
    ordered = order(snapshot, ANY, {"a": "h2", "b": "h3"})
    assert [sorted(leg.after) for leg in legs(snapshot, ANY, ordered)] == [[], [0]]


def test_those_together_go_one_after_the_other_or_not_at_all() -> None:
    rule = Rule(name="r", kind=RuleKind.TOGETHER, instances=("a", "b"))
    instances = [instance("a", "h1", 4), instance("b", "h1", 4), instance("c", "h2", 2)]
    wide = cluster([host("h1", 8), host("h2", 10)], instances, [rule])
    assert short(order(wide, ANY, {"a": "h2", "b": "h2"})) == ["a h1>h2", "b h1>h2"]
    narrow = cluster([host("h1", 8), host("h2", 8)], instances, [rule])
    assert order(narrow, ANY, {"a": "h2", "b": "h2"}).steps == ()


def test_a_pair_that_must_be_together_goes_aside_together() -> None:
    rule = Rule(name="r", kind=RuleKind.TOGETHER, instances=("a", "b"))
    instances = [instance("a", "h1", 2), instance("b", "h1", 2), instance("c", "h2", 8)]
    snapshot = cluster([host("h1", 8), host("h2", 8), host("h3", 4)], instances, [rule])
    assert short(order(snapshot, ANY, {"a": "h2", "b": "h2", "c": "h1"})) == [
        "a h1>h3 for a while",
        "b h1>h3 for a while",
        "c h2>h1",
        "a h3>h2",
        "b h3>h2",
    ]


def test_many_deadlocks_are_opened_one_after_the_other() -> None:
    pairs = 20
    hosts = [host(f"h{number}", 8) for number in range(2 * pairs)]
    instances = [instance(f"i{number:02}", f"h{number}", 8) for number in range(2 * pairs)]
    snapshot = cluster([*hosts, host("spare", 8)], instances)
    target = {f"i{number:02}": f"h{number ^ 1}" for number in range(2 * pairs)}
    ordered = order(snapshot, ANY, target)
    assert ordered.left == {}
    assert len(short(ordered)) == 3 * pairs
    assert faults(snapshot, ANY, legs(snapshot, ANY, ordered)) == []


def test_temporary_moves_count_among_the_most_moves() -> None:
    snapshot = cluster([host("h1", 8), host("h2", 8), host("h3", 8)], [instance("a", "h1", 8), instance("b", "h2", 8)])
    target = {"a": "h2", "b": "h1"}
    assert order(snapshot, Wish(objective=Repair(), most_moves=3), target).left == {}
    assert order(snapshot, Wish(objective=Repair(), most_moves=2), target).steps == ()


@st.composite
def crowded(draw: st.DrawFn) -> tuple[Snapshot, Wish, Mapping[str, str]]:
    """Small crowded clusters with rules, and a target that the verifier finds sound."""
    names = [f"h{number}" for number in range(draw(st.integers(2, 5)))]
    hosts = [
        host(
            name,
            draw(st.integers(4, 12)),
            zone=draw(st.sampled_from([None, "z1", "z2"])),
            safety=draw(st.sampled_from([1.0, 1.0, 0.75])),
        )
        for name in names
    ]
    count = draw(st.integers(1, 7))
    instances = [
        instance(
            f"i{number}",
            draw(st.sampled_from(names)),
            draw(st.integers(0, 5)),
            movable=draw(st.sampled_from([True, True, True, False])),
        )
        for number in range(count)
    ]
    ids = [one.id for one in instances]
    some = st.lists(st.sampled_from(ids), min_size=1, max_size=3, unique=True).map(tuple)
    rules = [
        Rule(
            name=f"r{number}",
            kind=draw(st.sampled_from(list(RuleKind))),
            instances=draw(some),
            near=draw(some),
            hosts=frozenset(draw(st.lists(st.sampled_from(names), min_size=1, max_size=3))),
            zones=draw(st.integers(1, 2)),
        )
        for number in range(draw(st.integers(0, 2)))
    ]
    wish = Wish(objective=Repair(), most_moves=draw(st.sampled_from([None, None, 8])))
    snapshot = cluster(hosts, instances, rules)
    target = {one.id: draw(st.sampled_from(names)) if one.movable else one.host for one in instances}
    for one in instances:  # take back what is unsound, until the target is sound: in the end it is the start
        if not unsound(snapshot, wish, target):
            break
        target[one.id] = one.host
    return snapshot, wish, target


@settings(max_examples=300)
@given(crowded())
def test_whatever_the_target_no_step_overfills_a_host_or_breaks_a_rule(
    case: tuple[Snapshot, Wish, Mapping[str, str]],
) -> None:
    snapshot, wish, target = case
    ordered = order(snapshot, wish, target)
    made = legs(snapshot, wish, ordered)
    assert faults(snapshot, wish, made) == []
    end = {one.id: one.host for one in snapshot.instances} | {leg.instance: leg.destination for leg in made}
    assert {one for one in end if end[one] != target[one]} == ordered.left.keys()
    assert order(snapshot, wish, target) == ordered


@settings(max_examples=150)
@given(st.lists(st.integers(1, 6), min_size=2, max_size=6), st.randoms(use_true_random=False))
def test_with_a_large_empty_host_every_permutation_can_be_reached(sizes: list[int], chance: object) -> None:
    names = [f"h{number}" for number in range(len(sizes))]
    shuffled = list(names)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    snapshot = cluster(
        [*(host(name, 6) for name in names), host("spare", 6)],
        [instance(f"i{number}", name, size) for number, (name, size) in enumerate(zip(names, sizes, strict=True))],
    )
    target = {f"i{number}": name for number, name in enumerate(shuffled)}
    ordered = order(snapshot, ANY, target)
    assert ordered.left == {}
    cycles = _cycles(dict(zip(names, shuffled, strict=True)))
    assert len(short(ordered)) <= sum(len(cycle) + 1 for cycle in cycles if len(cycle) > 1)


def _cycles(goes: Mapping[str, str]) -> list[list[str]]:
    seen: set[str] = set()
    found = []
    for first in goes:
        cycle, host = [], first
        while host not in seen:
            seen.add(host)
            cycle.append(host)
            host = goes[host]
        if cycle:
            found.append(cycle)
    return found


@st.composite
def _tiny(draw: st.DrawFn) -> tuple[Snapshot, Mapping[str, str]]:
    names = ["h0", "h1", "h2"]
    hosts = [host(name, draw(st.integers(3, 9))) for name in names]
    instances = [
        instance(f"i{number}", draw(st.sampled_from(names)), draw(st.integers(1, 5)))
        for number in range(draw(st.integers(2, 4)))
    ]
    snapshot = cluster(hosts, instances)
    target = {one.id: draw(st.sampled_from(names)) for one in instances}
    for one in instances:
        if not unsound(snapshot, ANY, target):
            break
        target[one.id] = one.host
    return snapshot, target


@settings(max_examples=300, derandomize=True)
@given(_tiny())
def test_no_order_sends_less_and_what_can_be_reached_is(case: tuple[Snapshot, Mapping[str, str]]) -> None:
    snapshot, target = case
    ordered = order(snapshot, ANY, target)
    least = _least_bytes(snapshot, target)
    if least is None:
        assert ordered.left
    else:
        sizes = {one.id: one.bytes_to_move for one in snapshot.instances}
        assert ordered.left == {}
        assert sum(sizes[shift.instance] for step in ordered.steps for shift in step) == least


def _least_bytes(snapshot: Snapshot, target: Mapping[str, str]) -> int | None:
    """Try every order of every move, cheapest first."""
    ids = [one.id for one in snapshot.instances]
    sizes = [one.sizes[MEMORY] for one in snapshot.instances]
    capacity = {one.name: one.safe_capacity(MEMORY) for one in snapshot.hosts}
    goal = tuple(target[one] for one in ids)
    heap = [(0, tuple(one.host for one in snapshot.instances))]
    seen = set()
    while heap:
        cost, at = heapq.heappop(heap)
        if at == goal:
            return cost
        if at in seen:
            continue
        seen.add(at)
        for number, size in enumerate(sizes):
            for name, most in capacity.items():
                used = sum(its for its, where in zip(sizes, at, strict=True) if where == name)
                if name != at[number] and used + size <= most:
                    heapq.heappush(heap, (cost + size, (*at[:number], name, *at[number + 1 :])))
    return None
