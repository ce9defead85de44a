from __future__ import annotations

import pytest
from tests.placement.small import cluster, host, instance, rule

from hotfoot.placement.plan import Score
from hotfoot.placement.snapshot import MEMORY, RuleKind, Snapshot
from hotfoot.placement.task import task_of
from hotfoot.placement.wish import Balance, Consolidate, Drain, Objective, Repair, Restore, Wish


def _counts(snapshot: Snapshot, objective: Objective, **moved: str) -> dict[str, float]:
    return {term.name: round(term.value / term.weight, 9) for term in _score(snapshot, objective, **moved).terms}


def _score(snapshot: Snapshot, objective: Objective, **moved: str) -> Score:
    task = task_of(snapshot, Wish(objective=objective))
    at = task.room.start.copy()
    for name, where in moved.items():
        at[task.room.ids.index(name)] = task.room.host_names.index(where)
    return task.score(at)


_THREE = cluster(
    host("n1", 16),
    host("n2", 16),
    host("n3", 32),
    instance("a", "n1", 8),
    instance("b", "n1", 4),
    instance("c", "n2", 4),
    rule("soft", RuleKind.APART, "a", "b", hard=False, weight=2.0),
    rule("hard", RuleKind.TOGETHER, "b", "c"),
)


def test_a_drain_counts_who_is_left_soft_rules_and_what_is_sent() -> None:
    drain = Drain(hosts=frozenset({"n1"}))
    assert _counts(_THREE, drain) == {"left": 2, "soft_rules": 2, "moved_gib": 0}
    assert _counts(_THREE, drain, a="n3") == {"left": 1, "soft_rules": 0, "moved_gib": 8}


def test_no_bytes_and_no_soft_rule_outweigh_what_the_wish_is_for() -> None:
    gone = _score(_THREE, Drain(hosts=frozenset({"n1"})), a="n3", b="n3", c="n3")
    assert gone.total < _score(_THREE, Drain(hosts=frozenset({"n1"})), a="n3").total


def test_restore_counts_who_is_away() -> None:
    assert _counts(_THREE, Restore(homes={"a": "n2", "b": "n1"}))["away"] == 1
    assert _counts(_THREE, Restore(homes={"a": "n2", "b": "n1"}), a="n2")["away"] == 0


def test_consolidation_counts_hosts_that_are_not_empty() -> None:
    assert _counts(_THREE, Consolidate())["occupied_hosts"] == 2
    assert _counts(_THREE, Consolidate(), c="n1")["occupied_hosts"] == 1


def test_repair_counts_hard_breaches_above_soft_ones_above_bytes() -> None:
    assert _counts(_THREE, Repair()) == {"hard_rules": 1, "soft_rules": 2, "moved_gib": 0}
    hard, soft = _score(_THREE, Repair(), b="n2"), _score(_THREE, Repair(), a="n3")
    assert hard.terms[0].value == 0
    assert hard.total < soft.total < _score(_THREE, Repair()).total


def test_balance_sums_how_far_hosts_are_from_the_mean() -> None:
    # 16 of 64 GiB are taken: a mean of a quarter. n1 has three quarters, n2 a quarter, n3 nothing; n3 counts 1.5 times,
    # since it has 1.5 times the mean capacity, the two others three quarters each.
    balance = Balance(what=(MEMORY,), cost_per_gib=0.25)
    counts = _counts(_THREE, balance)
    assert counts["spread_memory_bytes"] == 0.5 * 0.75 + 0 + 0.25 * 1.5
    assert counts["worst_memory_bytes"] == 0.5
    even = _score(_THREE, balance, a="n3")
    assert {term.name: term.value for term in even.terms} == {
        "spread_memory_bytes": 0,
        "worst_memory_bytes": 0,
        "in_maintenance": 0,
        "over_safety": 0,
        "soft_rules": 0,
        "moved_gib": 2.0,
    }


def test_a_move_counts_the_same_in_a_cluster_of_any_size() -> None:
    def gain(hosts: int) -> float:
        many = cluster(
            *[host(f"n{number}") for number in range(hosts)],
            *[instance(f"i{number}", f"n{number}", 32) for number in range(1, hosts)],
            instance("a", "n1", 16),
        )
        balance = Balance(what=(MEMORY,))
        parts = [_score(many, balance), _score(many, balance, a="n0")]
        return parts[0].terms[0].value - parts[1].terms[0].value

    assert gain(4) == pytest.approx(gain(40), rel=0.1)


def test_what_is_above_safety_or_in_maintenance_counts_by_its_share() -> None:
    full = cluster(
        host("n1", 16, safety=0.5),
        host("n2", 16, maintenance=True),
        host("n3", 16),
        instance("a", "n1", 12),
        instance("b", "n2", 4),
    )
    counts = _counts(full, Balance(what=(MEMORY,)))
    assert (counts["over_safety"], counts["in_maintenance"]) == (0.25, 0.25)
    # The goal is the same wherever instances are: n1 and n3 share what is in maintenance too.
    assert counts["worst_memory_bytes"] == 0.75 - 0.5


def test_measured_load_is_balanced_by_the_load_that_hosts_bear() -> None:
    busy = cluster(
        host("n1", load_capacity={"cpu": 8}),
        host("n2", load_capacity={"cpu": 4}),
        host("n3"),
        instance("a", "n1", load={"cpu": 3}),
        instance("b", "n1", load={"cpu": 1}),
        instance("c", "n2", load={"cpu": 2}),
    )
    counts = _counts(busy, Balance(what=("cpu",), measured=True))
    assert (counts["spread_cpu"], counts["worst_cpu"]) == (0, 0)
