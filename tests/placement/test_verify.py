from __future__ import annotations

import pytest
from tests.placement.small import cluster, host, instance, rule

from hotfoot.placement.snapshot import RuleKind
from hotfoot.placement.verify import faults
from hotfoot.placement.wish import Consolidate, Drain, Wish

_WISH = Wish(objective=Consolidate())
_CLUSTER = cluster(
    host("n1"),
    host("n2", 16, safety=0.5),
    host("n3", maintenance=True),
    host("n4", up=False),
    host("n5"),
    instance("a", "n1"),
    instance("b", "n1", 12),
    instance("c", "n1", because="it has a GPU"),
    instance("d", "n4"),
    instance("e", "n5", impossible={"n1": "no shared storage"}),
    rule("ab", RuleKind.TOGETHER, "a", "b"),
    rule("ae", RuleKind.APART, "a", "e"),
    rule("a not", RuleKind.NOT_ON, "a", hosts=("n2",)),
)
_START = {one.id: one.host for one in _CLUSTER.instances}


def test_the_start_is_sound() -> None:
    assert faults(_CLUSTER, _WISH, _START) == ()


@pytest.mark.parametrize(
    ("moved", "told"),
    [
        ({"c": "n5"}, "must stay"),
        ({"d": "n1"}, "must stay"),
        ({"e": "n1"}, "cannot run"),
        ({"a": "n3", "b": "n3"}, "takes nothing"),
        ({"a": "n4", "b": "n4"}, "takes nothing"),
        ({"a": "n5"}, "rule ab is broken 1 times"),
        ({"a": "n5", "b": "n5"}, "rule ae is broken 1 times"),
        ({"a": "n2", "b": "n2"}, "against a not"),
        ({"a": "n2", "b": "n2"}, "above 8589934592"),
        ({"a": "n9"}, "is no host"),
    ],
)
def test_each_fault_is_told(moved: dict[str, str], told: str) -> None:
    assert any(told in fault for fault in faults(_CLUSTER, _WISH, _START | moved))


def test_what_the_wish_forbids_is_told() -> None:
    both = {"a": "n2", "b": "n2"}
    wish = Wish(objective=Drain(hosts=frozenset({"n2"})), to=frozenset({"n5"}), most_moves=1, fixed=frozenset({"a"}))
    told = " ".join(faults(_CLUSTER, wish, _START | both))
    for words in ("2 moves, and at most 1", "not named as a destination", "must stay", "takes nothing"):
        assert words in told


def test_a_host_above_its_safety_capacity_keeps_what_it_has_and_takes_nothing() -> None:
    full = cluster(
        host("n1", 16, safety=0.5), host("n2"), instance("a", "n1", 8), instance("b", "n1"), instance("c", "n2", 4)
    )
    start = {"a": "n1", "b": "n1", "c": "n2"}
    assert faults(full, _WISH, start) == ()
    assert faults(full, _WISH, start | {"a": "n2"}) == ()
    assert faults(full, _WISH, start | {"a": "n2", "c": "n1"}) != ()
