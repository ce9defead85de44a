"""Small clusters of all kinds, sound and unsound, for hypothesis."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import product

from hypothesis import strategies as st

from hotfoot.placement.snapshot import MEMORY, VCPUS, Host, Instance, Resource, Rule, RuleKind, Snapshot
from hotfoot.placement.verify import faults
from hotfoot.placement.wish import GIB, Balance, Consolidate, Drain, Objective, Repair, Restore, Wish

_ZONES = st.sampled_from(["a", "b", "c", None])


@st.composite
def hosts(draw: st.DrawFn, number: int) -> Host:
    return Host(
        name=f"node{number}",
        resources={
            MEMORY: Resource(total=draw(st.integers(2, 16)) * GIB),
            VCPUS: Resource(total=draw(st.integers(2, 8)), overcommit=draw(st.sampled_from([1.0, 2.0]))),
        },
        used_by_others=draw(st.sampled_from([{}, {}, {}, {MEMORY: GIB}])),
        safety=draw(st.sampled_from([1.0, 1.0, 0.75])),
        load_capacity={"cpu": draw(st.integers(1, 8))},
        zone=draw(_ZONES),
        maintenance=draw(st.sampled_from([False] * 6 + [True])),
        up=draw(st.sampled_from([True] * 8 + [False])),
    )


@st.composite
def instances(draw: st.DrawFn, number: int, names: list[str]) -> Instance:
    refused = draw(st.sets(st.sampled_from(names), max_size=1)) if draw(st.booleans()) else set()
    return Instance(
        name=f"web{number}",
        id=f"id{number}",
        host=draw(st.sampled_from(names)),
        sizes={MEMORY: draw(st.sampled_from([1, 2, 2, 4])) * GIB, VCPUS: draw(st.integers(0, 3))},
        load={"cpu": draw(st.floats(0, 2))},
        impossible=dict.fromkeys(sorted(refused), "no shared storage"),
        movable=draw(st.sampled_from([True] * 6 + [False])),
        transfer_bytes=draw(st.sampled_from([None, None, GIB, 3 * GIB // 2])),
    )


@st.composite
def rules(draw: st.DrawFn, number: int, ids: list[str], names: list[str]) -> Rule:
    some = st.lists(st.sampled_from(ids), min_size=1, max_size=4, unique=True)
    kind = draw(st.sampled_from(list(RuleKind)))
    return Rule(
        name=f"rule{number}",
        kind=kind,
        instances=tuple(draw(some)),
        hosts=frozenset(draw(st.sets(st.sampled_from(names), min_size=1, max_size=2))),
        near=tuple(draw(some)) if kind is RuleKind.NEAR else (),
        zones=draw(st.integers(1, 3)),
        hard=draw(st.booleans()),
        weight=draw(st.sampled_from([0.5, 1.0, 2.0])),
    )


@st.composite
def snapshots(draw: st.DrawFn, most_hosts: int = 4, most_instances: int = 6) -> Snapshot:
    there = [draw(hosts(number)) for number in range(draw(st.integers(2, most_hosts)))]
    names = [host.name for host in there]
    placed = [draw(instances(number, names)) for number in range(draw(st.integers(1, most_instances)))]
    ids = [instance.id for instance in placed]
    bound = [draw(rules(number, ids, names)) for number in range(draw(st.integers(0, 3)))]
    return Snapshot(hosts=tuple(there), instances=tuple(placed), rules=tuple(bound))


@st.composite
def wishes(draw: st.DrawFn, snapshot: Snapshot) -> Wish:
    names = [host.name for host in snapshot.hosts]
    some = st.sets(st.sampled_from(names), min_size=1, max_size=2).map(frozenset)
    homes = {one.id: draw(st.sampled_from(names)) for one in snapshot.instances if draw(st.booleans())}
    measured = draw(st.booleans())
    objectives: list[Objective] = [
        Drain(hosts=draw(some)),
        Restore(homes=homes),
        Consolidate(),
        Repair(),
        Balance(threshold=0, least_gain=0, measured=measured, what=("cpu",) if measured else (MEMORY, VCPUS)),
    ]
    return Wish(
        objective=draw(st.sampled_from(objectives)),
        to=draw(st.sampled_from([None, None, None, frozenset(names[:2])])),
        most_moves=draw(st.sampled_from([None, None, None, 1, 2])),
        fixed=frozenset({snapshot.instances[0].id}) if draw(st.sampled_from([False] * 5 + [True])) else frozenset(),
        seconds=60,
    )


@st.composite
def questions(draw: st.DrawFn, most_hosts: int = 4, most_instances: int = 6) -> tuple[Snapshot, Wish]:
    snapshot = draw(snapshots(most_hosts, most_instances))
    return snapshot, draw(wishes(snapshot))


def every_sound_placement(snapshot: Snapshot, wish: Wish) -> Iterator[dict[str, str]]:
    names: Iterable[str] = [host.name for host in snapshot.hosts]
    for places in product(names, repeat=len(snapshot.instances)):
        hosts_of = {one.id: place for one, place in zip(snapshot.instances, places, strict=True)}
        if not faults(snapshot, wish, hosts_of):
            yield hosts_of
