from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.placement.small import cluster, host, instance, rule, solved

from hotfoot.errors import HotfootError
from hotfoot.placement.descent import Descent
from hotfoot.placement.search import polish
from hotfoot.placement.snapshot import MEMORY, RuleKind, Snapshot
from hotfoot.placement.solve import solve
from hotfoot.placement.sweep import swept
from hotfoot.placement.task import task_of
from hotfoot.placement.verify import faults
from hotfoot.placement.wish import Balance, Consolidate, Drain, Objective, Repair, Restore, Wish

_LOPSIDED = cluster(host("n1"), host("n2"), *[instance(f"i{number}", "n1", 8) for number in range(4)])


def test_a_chain_makes_room_where_none_is() -> None:
    chain = cluster(
        host("n1", 32),
        host("n2", 32),
        host("n3", 16),
        instance("big", "n1", 32),
        instance("small", "n2", 8),
        instance("x", "n3", 8),
    )
    target = solved(chain, Drain(hosts=frozenset({"n1"})))
    assert target.hosts == {"big": "n2", "small": "n3", "x": "n3"}
    assert (target.solver, target.gap, target.reasons) == ("exact", 0, {})


def test_of_those_that_do_not_all_fit_as_many_as_possible_go() -> None:
    tight = cluster(
        host("n1", 64), host("n2", 16), instance("a", "n1", 12), instance("b", "n1", 8), instance("c", "n1", 8)
    )
    target = solved(tight, Drain(hosts=frozenset({"n1"})))
    assert target.hosts == {"a": "n1", "b": "n2", "c": "n2"}
    assert target.gap == 0


def test_two_change_places_to_get_home() -> None:
    swapped = cluster(host("n1", 8), host("n2", 8), instance("a", "n2"), instance("b", "n1"))
    target = solved(swapped, Restore(homes={"a": "n1", "b": "n2"}))
    assert target.hosts == {"a": "n1", "b": "n2"}


def test_consolidation_fills_the_host_that_costs_least() -> None:
    target = solved(
        cluster(
            host("n1"), host("n2"), host("n3"), instance("a", "n1", 32), instance("b", "n2", 4), instance("c", "n3", 8)
        ),
        Consolidate(),
    )
    assert set(target.hosts.values()) == {"n1"}


def test_a_broken_rule_is_mended_with_the_fewest_bytes() -> None:
    pair = cluster(
        host("n1"), host("n2"), instance("a", "n1", 16), instance("b", "n1", 4), rule("pair", RuleKind.APART, "a", "b")
    )
    target = solved(pair, Repair())
    assert target.hosts == {"a": "n1", "b": "n2"}


def test_rules_that_contradict_each_other_leave_the_lesser_evil() -> None:
    torn = cluster(
        host("n1"),
        host("n2"),
        host("n3"),
        *[instance(name, "n1") for name in "abc"],
        rule("apart", RuleKind.APART, "a", "b", "c"),
        rule("together", RuleKind.TOGETHER, "a", "b"),
    )
    target = solved(torn, Repair())
    assert target.hosts["a"] == target.hosts["b"] != target.hosts["c"]
    assert target.after.terms[0].value / target.after.terms[0].weight == 1


def test_balance_makes_hosts_alike() -> None:
    target = solved(_LOPSIDED, Balance())
    assert sorted(target.hosts.values()) == ["n1", "n1", "n2", "n2"]
    assert target.gap == 0


@pytest.mark.parametrize(
    ("objective", "told"),
    [
        (Balance(threshold=0.3), "no host is further than 25.0% from the mean, and up to 30.0% is let be"),
        (Balance(cost_per_gib=1.0), "no allowed move makes it better"),
        (Balance(least_gain=1.0), "the best that was found makes the score"),
        (Drain(hosts=frozenset({"n2"})), "all is as it is wanted"),
        (Repair(), "all is as it is wanted"),
        (Consolidate(), "no allowed move makes it better"),
    ],
)
def test_nothing_worth_moving_is_a_result_with_its_reason(objective: Objective, told: str) -> None:
    target = solved(_LOPSIDED, objective)
    assert target.solver == "none"
    assert target.remark is not None
    assert target.remark.startswith(told)
    assert target.hosts == {one.id: one.host for one in _LOPSIDED.instances}
    assert target.before == target.after


def test_the_cost_of_moving_decides_between_two_ways() -> None:
    dear = instance("dear", "n1", 16).model_copy(update={"transfer_bytes": 1 << 40})
    target = solved(cluster(host("n1"), host("n2"), dear, instance("cheap", "n1", 16)), Balance(what=(MEMORY,)))
    assert target.hosts == {"dear": "n1", "cheap": "n2"}


@pytest.mark.parametrize(
    ("wish", "told"),
    [
        (Wish(objective=Drain(hosts=frozenset({"n9"}))), "n9 is to be drained, but the snapshot has no such host"),
        (Wish(objective=Repair(), to=frozenset({"n8"})), "n8 is named as a destination, but"),
        (Wish(objective=Repair(), fixed=frozenset({"x"})), "x is to stay where it is, but"),
        (Wish(objective=Balance(what=("gpu",))), "no host of the snapshot has gpu to balance"),
        (
            Wish(objective=Balance(what=("cpu",), measured=True)),
            "no host of the snapshot tells its load_capacity of cpu",
        ),
    ],
)
def test_a_wish_for_what_is_not_there_is_one_sentence(wish: Wish, told: str) -> None:
    with pytest.raises(HotfootError, match=told):
        solve(_LOPSIDED, wish, time.monotonic)


def test_a_size_beyond_counting_is_one_sentence() -> None:
    odd = instance("a", "n1").model_copy(update={"sizes": {MEMORY: 1 << 70}})
    with pytest.raises(HotfootError, match="a size in the snapshot is 1180591620717411303424, more than"):
        solved(cluster(host("n1"), odd), Consolidate())


def test_a_soft_rule_of_any_weight_is_kept_where_it_can_be() -> None:
    heavy = rule("pair", RuleKind.APART, "a", "b", hard=False, weight=1e30)
    three = cluster(host("n1"), host("n2"), host("n3"), instance("a", "n1"), instance("b", "n2"), heavy)
    assert solved(three, Drain(hosts=frozenset({"n1"}))).hosts == {"a": "n3", "b": "n2"}


def test_when_there_is_no_time_the_answer_is_still_sound() -> None:
    began = time.monotonic()
    target = solve(_LOPSIDED, Wish(objective=Consolidate(), seconds=1e-3), lambda: began + 1)
    assert target.after.total <= target.before.total


def _crowd() -> Snapshot:
    """600 instances on 12 of 60 hosts; no two of the same size, so that a model has a number for each on each host."""
    hosts = [host(f"n{number}", zone=f"z{number % 3}") for number in range(60)]
    placed = [
        instance(f"i{number}", f"n{number % 12}").model_copy(update={"sizes": {MEMORY: (1 << 28) + number}})
        for number in range(600)
    ]
    pair = rule("pair", RuleKind.APART, "i0", "i1")
    far = rule("far", RuleKind.SPREAD, "i2", "i3", zones=2)
    return cluster(*hosts, *placed, pair, far)


def test_a_cluster_too_large_for_one_model_is_searched_and_bounded_all_the_same() -> None:
    target = solve(
        _crowd(), Wish(objective=Balance(what=(MEMORY,), threshold=0, least_gain=0), seconds=60), time.monotonic
    )
    assert target.remark is None
    assert target.bound is not None
    assert target.bound <= target.after.total
    assert target.gap is not None
    assert target.gap < 1e-4


def test_moves_and_swaps_alone_bring_a_large_cluster_near_its_mean() -> None:
    crowd = _crowd()
    wish = Wish(objective=Balance(what=(MEMORY,)))
    task = task_of(crowd, wish)
    assert task.levels is not None
    descent = Descent(task, task.levels, Balance(what=(MEMORY,)), task.room.start)
    descent.run(lambda: True)
    hosts = {one: task.room.host_names[where] for one, where in zip(task.room.ids, descent.at.tolist(), strict=True)}
    assert faults(crowd, wish, hosts) == ()
    assert task.score(descent.at).total < task.score(task.room.start).total / 10


def test_a_sweep_empties_small_hosts_into_large_ones() -> None:
    hosts = [host(f"n{number}", 64 if number else 256) for number in range(8)]
    placed = [instance(f"i{number}", f"n{number}", 8 * (number + 1)) for number in range(8)]
    task = task_of(cluster(*hosts, *placed), Wish(objective=Consolidate()))
    at = swept(task, task.room.start, lambda: True)
    # 8 to 64 GiB, 288 in all: the largest host takes all but the last, whose own is full.
    assert {task.room.host_names[where] for where in at} == {"n0", "n7"}


def test_a_search_is_the_same_for_the_same_seed() -> None:
    task = task_of(_crowd(), Wish(objective=Balance(what=(MEMORY,)), seed=3))
    far_s = time.monotonic() + 600
    once, again = (polish(task, task.room.start, time.monotonic, far_s, 0.2) for _ in range(2))
    assert once.tolist() == again.tolist()


_CTRL_C_AFTER_A_PLAN = """
import signal, sys
heard = []
signal.signal(signal.SIGINT, lambda number, frame: heard.append(number))
from tests.placement.small import cluster, host, instance, solved
from hotfoot.placement.wish import Balance
solved(cluster(host("h1"), host("h2"), *(instance(name, "h1") for name in "abcde")), Balance(threshold=0))
signal.raise_signal(signal.SIGINT)
sys.exit(0 if heard else 1)
"""


def test_planning_leaves_ctrl_c_to_those_who_wait_for_it() -> None:
    argv = [sys.executable, "-c", _CTRL_C_AFTER_A_PLAN]
    assert subprocess.run(argv, check=False, timeout=60, cwd=Path(__file__).parents[2]).returncode == 0
