from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.placement.random_clusters import snapshots
from tests.placement.small import cluster, host, instance, rule

from hotfoot.placement.room import room_of
from hotfoot.placement.snapshot import RuleKind, Snapshot
from hotfoot.placement.wish import Consolidate, Wish

_WISH = Wish(objective=Consolidate())
_ZONES = (host("n1", zone="a"), host("n2", zone="a"), host("n3", zone="b"), host("n4"))


def _breaches(snapshot: Snapshot) -> list[int]:
    room = room_of(snapshot, _WISH)
    return [bond.breaches(room.start) for bond in room.bonds]


def test_each_rule_counts_its_breaches() -> None:
    placed = [instance(name, on) for name, on in (("a", "n1"), ("b", "n1"), ("c", "n2"), ("d", "n3"), ("e", "n4"))]
    ids = [one.id for one in placed]
    rules = (
        rule("together", RuleKind.TOGETHER, *ids),
        rule("apart", RuleKind.APART, *ids),
        rule("only", RuleKind.ONLY_ON, *ids, hosts=("n1",)),
        rule("not", RuleKind.NOT_ON, *ids, hosts=("n1",)),
        rule("spread", RuleKind.SPREAD, *ids, zones=3),
        rule("near", RuleKind.NEAR, *ids, near=("d",)),
    )
    assert _breaches(cluster(*_ZONES, *placed, *rules)) == [3, 1, 3, 2, 1, 4]


def test_a_host_without_a_zone_is_near_nothing_and_spreads_nothing() -> None:
    rules = (
        rule("spread", RuleKind.SPREAD, "a", zones=1),
        rule("near", RuleKind.NEAR, "a", near=("a",)),
    )
    assert _breaches(cluster(*_ZONES, instance("a", "n4"), *rules)) == [1, 1]
    assert _breaches(cluster(*_ZONES, instance("a", "n3"), *rules)) == [0, 0]


@settings(deadline=None, max_examples=60)
@given(snapshots(), st.data())
def test_the_breaches_of_one_elsewhere_are_those_of_that_placement(snapshot: Snapshot, data: st.DataObject) -> None:
    room = room_of(snapshot, _WISH)
    one = data.draw(st.integers(0, len(room.ids) - 1))
    for bond in room.bonds:
        told = bond.breaches_with(room.start, one)
        for where in range(len(room.host_names)):
            at = room.start.copy()
            at[one] = where
            assert told[where] == bond.breaches(at), (bond.kind, where)
