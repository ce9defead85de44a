"""Whether a cluster that is kept balanced is to be balanced now."""

from __future__ import annotations

import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.placement.random_clusters import snapshots
from tests.placement.small import cluster, host, instance

from hotfoot.placement.calm import Patience, furthest, judge, mean_of
from hotfoot.placement.planning import plan
from hotfoot.placement.snapshot import Snapshot
from hotfoot.placement.wish import Balance, Wish

NOON = 12 * 60
BY_CPU = Balance(what=("cpu",), measured=True, threshold=0.1)


def loaded(busy: float, idle: float = 1.0) -> Snapshot:
    """h1 uses ``busy`` of its 4 cores, h2 ``idle``."""
    hosts = (host(name, load_capacity={"cpu": 4}) for name in ("h1", "h2"))
    return cluster(*hosts, instance("a", "h1", load={"cpu": busy}), instance("b", "h2", load={"cpu": idle}))


def patience(rounds: int = 3, quiet: tuple[str, ...] = ()) -> Patience:
    return Patience(objective=BY_CPU, rounds=rounds, quiet=quiet)


def test_the_host_that_is_furthest_from_the_mean_is_named() -> None:
    assert str(furthest(loaded(3.0), BY_CPU)) == "h1 is 25.0% above the mean in CPU"
    assert str(furthest(loaded(1.0, 4.0).model_copy(update={}), BY_CPU)) == "h1 is 37.5% below the mean in CPU"


def test_within_the_threshold_nothing_is_worth_moving_and_what_was_seen_is_forgotten() -> None:
    verdict = judge(patience(), (loaded(3.0), loaded(3.0)), loaded(1.2), NOON)
    assert verdict.mean is None
    assert verdict.looks == ()
    assert verdict.why == "no host is further than 2.5% from the mean, and up to 10.0% is let be"


def test_beyond_it_so_many_looks_in_a_row_are_waited_for_and_their_mean_is_planned_for() -> None:
    first = judge(patience(), (), loaded(3.0), NOON)
    assert (first.mean, first.why) == (None, "h1 is 25.0% above the mean in CPU, in 1 of 3 looks")
    second = judge(patience(), first.looks, loaded(4.0), NOON)
    third = judge(patience(), second.looks, loaded(2.0), NOON)
    assert second.mean is None
    assert third.mean is not None
    assert third.looks == ()
    assert third.mean.instances[0].load == {"cpu": 3.0}


@pytest.mark.parametrize(
    ("hours", "minute", "quiet"),
    [
        ("08:00-18:00", NOON, True),
        ("08:00-18:00", 18 * 60, False),
        ("22:00-06:00", 23 * 60, True),
        ("22:00-06:00", 5 * 60, True),
        ("22:00-06:00", NOON, False),
    ],
)
def test_in_quiet_hours_nothing_is_moved_and_nothing_forgotten(hours: str, minute: int, quiet: bool) -> None:
    verdict = judge(patience(1, ("03:00-03:01", hours)), (), loaded(3.0), minute)
    assert (verdict.mean is None, len(verdict.looks)) == (quiet, int(quiet))
    if quiet:
        assert verdict.why.endswith(f"but nothing is moved from {hours.replace('-', ' to ')}")


def test_what_is_new_counts_from_its_first_look_on() -> None:
    newcomer = cluster(*loaded(4.0).hosts, *loaded(4.0).instances, instance("new", "h1", load={"cpu": 2.0}))
    mean = mean_of((loaded(2.0), newcomer))
    assert {one.name: one.load["cpu"] for one in mean.instances} == {"a": 3.0, "b": 1.0, "new": 2.0}


def test_where_no_host_is_judged_nothing_is_moved() -> None:
    out = host("h1", load_capacity={"cpu": 4}, maintenance=True)
    verdict = judge(patience(1), (), cluster(out, instance("a", "h1", load={"cpu": 3.0})), NOON)
    assert (verdict.mean, verdict.why) == (None, "there is no load to compare")


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(
    snapshots(3, 5), st.integers(1, 3), st.sampled_from([0.0, 0.02, 0.2]), st.booleans(), st.sampled_from([None, 1, 2])
)
def test_on_constant_load_no_placement_ever_comes_back_and_it_comes_to_rest(
    start: Snapshot, rounds: int, threshold: float, measured: bool, most_moves: int | None
) -> None:
    what = ("cpu",) if measured else ("memory_bytes", "vcpus")
    objective = Balance(what=what, measured=measured, threshold=threshold, least_gain=0.0)
    patient = Patience(objective=objective, rounds=rounds)
    wish = Wish(objective=objective, most_moves=most_moves, seconds=60)
    looks: tuple[Snapshot, ...] = ()
    now, idle, seen = start, 0, {tuple(one.host for one in start.instances)}
    for _ in range(100):
        verdict = judge(patient, looks, now, NOON)
        looks = verdict.looks
        moves = () if verdict.mean is None else plan(verdict.mean, wish, time.monotonic).moves
        if not moves:
            idle += 1
            if idle > rounds:
                return
            continue
        idle = 0
        at = {move.instance: move.destination for move in moves}
        now = now.model_copy(
            update={
                "instances": tuple(one.model_copy(update={"host": at.get(one.id, one.host)}) for one in now.instances)
            }
        )
        placed = tuple(one.host for one in now.instances)
        assert placed not in seen, "a placement came back"
        seen.add(placed)
    raise AssertionError("it does not come to rest")
