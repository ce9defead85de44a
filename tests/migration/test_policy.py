"""Policies: the ladder that is asked of QEMU, and which policy holds for a migration."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotfoot.cluster import Cluster
from hotfoot.cluster.model import BUILT_IN_POLICIES
from hotfoot.cluster.validation import cluster_from
from hotfoot.errors import HotfootError
from hotfoot.migration.action import ActionKind
from hotfoot.migration.policy import BUILT_IN, Policy
from hotfoot.migration.policy_choice import policy_named

HOSTS = [{"name": "n1", "address": "10.0.0.1"}]


def _cluster(**more: object) -> Cluster:
    return cluster_from({"hosts": HOSTS, **more})


def test_the_cluster_file_knows_the_built_in_names() -> None:
    assert tuple(BUILT_IN) == BUILT_IN_POLICIES


def test_gentle_never_throttles_and_never_switches() -> None:
    assert BUILT_IN["gentle"].steps == ()
    assert BUILT_IN["gentle"].throttle is None


@given(st.integers(1, 99))
def test_the_ladder_ends_just_below_what_is_allowed(percent: int) -> None:
    throttle = Policy(name="p", steps=(ActionKind.THROTTLE,), throttle_percent=percent).throttle
    assert throttle is not None
    assert throttle.rung >= 1
    assert percent - 5 < throttle.top <= percent
    assert (throttle.top - throttle.first) % throttle.rung == 0


def test_a_lower_greatest_downtime_is_kept_from_the_start() -> None:
    assert Policy(name="p", max_downtime_ms=100).first_downtime_ms == 100
    assert Policy(name="p", max_downtime_ms=2000).first_downtime_ms == 300


def test_where_the_downtime_limit_may_be_raised_it_begins_low() -> None:
    assert Policy(name="p", steps=(ActionKind.DOWNTIME_LIMIT,)).first_downtime_ms == 100
    assert Policy(name="p", max_downtime_ms=50, steps=(ActionKind.DOWNTIME_LIMIT,)).first_downtime_ms == 50


def test_without_a_word_it_is_balanced() -> None:
    policy = policy_named(_cluster(), None)
    assert (policy.name, policy.parallel, policy.compress) == ("balanced", 0, False)


def test_the_section_changes_its_base_key_by_key() -> None:
    policy = policy_named(_cluster(policy={"base": "gentle", "max_downtime_ms": 100, "parallel": 2}), None)
    assert (policy.name, policy.max_downtime_ms, policy.parallel, policy.steps) == ("gentle", 100, 2, ())


def test_a_named_policy_keeps_its_goals_and_takes_the_connections_of_the_section() -> None:
    cluster = _cluster(policy={"max_downtime_ms": 100, "parallel": 2, "compress": True})
    policy = policy_named(cluster, "must-finish")
    assert (policy.max_downtime_ms, policy.parallel, policy.compress) == (500, 2, True)
    assert policy_named(cluster, "large-memory").parallel == 4


def test_an_own_policy_starts_from_a_built_in_one() -> None:
    own = {"name": "nightly", "base": "must-finish", "deadline": "2h", "steps": ["post-copy"]}
    policy = policy_named(_cluster(policies=[own], policy={"base": "nightly"}), None)
    assert (policy.name, policy.deadline_ms, policy.steps) == ("nightly", 7_200_000, (ActionKind.POST_COPY,))


def test_an_empty_list_of_steps_allows_none() -> None:
    assert policy_named(_cluster(policy={"steps": []}), None).steps == ()


def test_an_unknown_policy_is_answered_with_a_near_one() -> None:
    with pytest.raises(HotfootError, match="did you mean gentle"):
        policy_named(_cluster(), "gentel")
