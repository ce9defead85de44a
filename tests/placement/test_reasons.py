from __future__ import annotations

import time

from tests.placement.small import cluster, host, instance, rule, solved

from hotfoot.placement.planning import plan
from hotfoot.placement.snapshot import Cold, Instance, RuleKind
from hotfoot.placement.wish import Drain, Repair, Restore, Wish

_DRAIN = Drain(hosts=frozenset({"node1"}))


def test_what_is_lacking_is_told_with_what_is_free_and_who_forbids_it_there() -> None:
    crowd = cluster(
        host("node1", 128),
        host("node5", 80),
        host("node6", 64),
        instance("web3", "node1", 64),
        instance("db1", "node5", 16, because="busy"),
        instance("db2", "node5", 16, because="busy"),
        instance("x", "node6", 32, because="busy"),
        rule("apart", RuleKind.APART, "web3", "db1"),
        rule("apart too", RuleKind.APART, "web3", "db2"),
    )
    target = solved(crowd, _DRAIN)
    told = "web3 fits nowhere else: needs 64 GiB, most free is 48 GiB on node5; 2 instances forbid it there"
    assert target.reasons == {"web3": told}
    assert target.hosts["web3"] == "node1"


def test_each_cause_is_named_once_with_its_hosts() -> None:
    crowd = cluster(
        host("node1"),
        host("node2", maintenance=True),
        host("node3", up=False),
        host("node4"),
        host("node5"),
        host("node6", vcpus=4),
        host("node7"),
        host("node8"),
        instance(
            "web1",
            "node1",
            8,
            8,
            impossible={"node4": "the disk vda is only on node1", "node5": "the disk vda is only on node1"},
        ),
        instance("other", "node7", because="busy"),
        rule("pair", RuleKind.APART, "web1", "other"),
        rule("licence", RuleKind.NOT_ON, "web1", hosts=("node8",)),
    )
    told = solved(crowd, _DRAIN).reasons["web1"]
    assert told == (
        "web1 fits nowhere else: needs 8 vCPUs, most free is 4 vCPUs on node6; node2 is in maintenance; node3 is down; "
        "the disk vda is only on node1 (2 hosts); rule pair forbids node7; rule licence forbids node8"
    )


def test_who_must_not_go_is_told_why() -> None:
    still = cluster(
        host("node1"),
        host("node2"),
        host("node3", up=False),
        instance("gpu", "node1", because="it has a GPU of the host"),
        instance("late", "node1"),
        instance("dead", "node3"),
    )
    target = solved(still, Drain(hosts=frozenset({"node1", "node3"})), fixed=frozenset({"late"}))
    assert target.solver == "none"
    assert target.reasons["gpu"] == "gpu cannot be moved: it has a GPU of the host"
    assert target.reasons["late"] == "late is to stay where it is for now"
    assert target.reasons["dead"] == "dead is on node3, which is down: it cannot be migrated, only evacuated"


def test_what_does_not_move_live_is_told_of_the_option_that_moves_it() -> None:
    def of(cold: Cold) -> Instance:
        return instance("a", "node1", because="it is so").model_copy(update={"cold": cold})

    for cold, hint in ((Cold.OFF, "--cold moves it"), (Cold.STOPPED, "--cold stops it for the move")):
        two = cluster(host("node1"), host("node2"), of(cold))
        assert solved(two, _DRAIN).reasons == {"a": f"a cannot be moved live: it is so; {hint}"}
        made = plan(two, Wish(objective=_DRAIN, cold=True), time.monotonic)
        assert [(move.name, move.cold) for move in made.moves] == [("a", cold)]
        assert made.stays == {}


def test_one_that_only_the_limit_of_moves_keeps_is_told_so() -> None:
    two = cluster(host("node1"), host("node2"), instance("a", "node1", 4), instance("b", "node1", 8))
    target = solved(two, _DRAIN, most_moves=1)
    assert target.hosts == {"a": "node2", "b": "node1"}
    assert target.reasons == {"b": "b could go to node2, but no more than 1 moves were allowed"}


def test_two_that_fit_only_one_at_a_time_are_told_so() -> None:
    tight = cluster(host("node1"), host("node2", 8), instance("a", "node1", 6), instance("b", "node1", 7))
    target = solved(tight, _DRAIN)
    assert target.hosts == {"a": "node2", "b": "node1"}
    assert target.reasons == {"b": "b fits nowhere else: needs 7.0 GiB, most free is 2.0 GiB on node2"}


def test_one_that_cannot_go_home_is_told_why() -> None:
    away = cluster(
        host("node1", 8), host("node2"), instance("a", "node2", 16), instance("b", "node2"), instance("c", "node2")
    )
    target = solved(away, Restore(homes={"a": "node1", "b": "node9", "c": "node1"}))
    assert target.hosts == {"a": "node2", "b": "node2", "c": "node1"}
    assert target.reasons == {
        "a": "a cannot go back to node1: needs 16 GiB, most free is 0 B on node1",
        "b": "b cannot go back: its home node9 is no host of the snapshot",
    }


def test_members_of_a_rule_that_stays_broken_are_told_why() -> None:
    lone = cluster(
        host("node1"),
        host("node2", 4),
        instance("a", "node1"),
        instance("b", "node1"),
        rule("pair", RuleKind.APART, "a", "b"),
    )
    target = solved(lone, Repair())
    assert target.reasons["a"] == "a fits nowhere else: needs 8.0 GiB, most free is 4.0 GiB on node2"
