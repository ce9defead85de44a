from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.placement.random_clusters import every_sound_placement, snapshots
from tests.placement.small import cluster, host, instance, solved

from hotfoot.placement.divisible import least_of_balance
from hotfoot.placement.snapshot import MEMORY, VCPUS, Snapshot
from hotfoot.placement.task import Task, task_of
from hotfoot.placement.wish import Balance, Wish

_BY_MEMORY = Balance(what=(MEMORY,))


def _least(snapshot: Snapshot, objective: Balance = _BY_MEMORY, most_moves: int | None = None) -> float | None:
    return _of(task_of(snapshot, Wish(objective=objective, most_moves=most_moves)))


def _of(task: Task) -> float | None:
    assert isinstance(task.wish.objective, Balance)
    assert task.levels is not None
    return least_of_balance(task.room, task.wish, task.wish.objective, task.levels, 60)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(
    snapshots(3, 5),
    st.booleans(),
    st.sampled_from([None, None, 1, 2]),
    st.sampled_from([0.0, 0.0005, 0.05]),
    st.sampled_from([None, None, frozenset({"node0"})]),
)
def test_no_sound_placement_is_below_it(
    snapshot: Snapshot, measured: bool, most_moves: int | None, cost_per_gib: float, to: frozenset[str] | None
) -> None:
    what = ("cpu",) if measured else (MEMORY, VCPUS)
    objective = Balance(measured=measured, what=what, cost_per_gib=cost_per_gib)
    wish = Wish(objective=objective, most_moves=most_moves, to=to)
    task = task_of(snapshot, wish)
    number = {name: at for at, name in enumerate(task.room.host_names)}
    best = min(
        task.score(np.array([number[hosts[one]] for one in task.room.ids])).total
        for hosts in every_sound_placement(snapshot, wish)
    )
    least = _of(task)
    assert least is not None
    assert least <= best + 1e-9


def test_what_can_be_made_even_costs_its_moves_at_least() -> None:
    # Two of four have to go, 8 GiB each.
    even = cluster(host("n1"), host("n2"), *[instance(f"i{number}", "n1") for number in range(4)])
    assert _least(even) == pytest.approx(16 * 0.0005)
    assert solved(even, _BY_MEMORY).gap == 0


def test_what_cannot_leave_stays_uneven() -> None:
    # n1 keeps half of its 64 GiB, n2 gets nothing: a quarter too much and too little, and the worst once more.
    stays = cluster(host("n1"), host("n2"), instance("a", "n1", 32, because="it uses a device of its host"))
    assert _least(stays) == pytest.approx(0.25 + 0.25 + 0.25)


def test_nothing_comes_above_the_safety_capacity() -> None:
    # The mean is a half, and n2 may be filled to a quarter, with 16 GiB.
    shut = cluster(host("n1"), host("n2", safety=0.25), *[instance(f"i{number}", "n1", 16) for number in range(4)])
    assert _least(shut) == pytest.approx(0.25 * 3 + 16 * 0.0005)


def test_so_many_moves_make_it_no_more_even() -> None:
    four = cluster(host("n1"), host("n2"), *[instance(f"i{number}", "n1", 16) for number in range(4)])
    assert _least(four, most_moves=1) == pytest.approx(0.25 * 3 + 16 * 0.0005)


def test_what_is_in_maintenance_or_above_safety_and_stays_counts() -> None:
    kept = cluster(
        host("n1", safety=0.5),
        host("n2", maintenance=True),
        instance("a", "n1", 48, because="it uses a device of its host"),
        instance("b", "n2", 16, because="it uses a device of its host"),
    )
    # The mean is 1, with what is in maintenance: n1 is a quarter short of it, and a quarter above its safety.
    target = solved(kept, Balance(what=(MEMORY,), threshold=0))
    assert _least(kept) == pytest.approx(target.after.total) == pytest.approx(0.25 * 3)


@pytest.mark.parametrize("tiny", [1e-8, 1e-9, 1e-10, 1e-12, 1e-27, 0.0])
def test_an_instance_that_does_next_to_nothing_does_not_hide_the_bound(tiny: float) -> None:
    # n3 is full beyond its memory; nothing that counts can be moved.
    uneven = cluster(
        host("n1", load_capacity={"cpu": 4}),
        host("n2", load_capacity={"cpu": 8}),
        host("n3", 2, load_capacity={"cpu": 6}),
        instance("a", "n3", 1, load={"cpu": 1.18}, because="it uses a device of its host"),
        instance("b", "n3", 2, load={"cpu": tiny}, impossible={"n2": "no shared storage"}),
        instance("c", "n2", 2, load={"cpu": 1.18}, because="it uses a device of its host"),
    )
    by_load = Balance(what=("cpu",), measured=True, threshold=0, least_gain=0, cost_per_gib=0)
    target = solved(uneven, by_load)
    assert _least(uneven, by_load) == pytest.approx(target.after.total, abs=1e-7)


def test_nothing_is_known_of_loads_below_zero() -> None:
    odd = cluster(host("n1", load_capacity={"cpu": 4}), instance("a", "n1", load={"cpu": -1.0}))
    assert _least(odd, Balance(what=("cpu",), measured=True)) is None
