from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from tests.placement.random_clusters import every_sound_placement, questions

from hotfoot.placement.descent import Descent
from hotfoot.placement.exact import everything, improve
from hotfoot.placement.room import Ints
from hotfoot.placement.search import make_way, polish
from hotfoot.placement.snapshot import Snapshot
from hotfoot.placement.solve import solve
from hotfoot.placement.sweep import swept
from hotfoot.placement.task import Task, task_of
from hotfoot.placement.verify import faults
from hotfoot.placement.wish import Balance, Consolidate, Drain, Wish

_QUIETLY = settings(
    deadline=None, max_examples=30, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
_CLOSE = 1e-6


def _at(task: Task, hosts: dict[str, str]) -> Ints:
    number = {name: at for at, name in enumerate(task.room.host_names)}
    return np.array([number[hosts[one]] for one in task.room.ids], dtype=np.int64)


def _named(task: Task, at: Ints) -> dict[str, str]:
    return {one: task.room.host_names[host] for one, host in zip(task.room.ids, at.tolist(), strict=True)}


@_QUIETLY
@given(questions())
def test_a_target_is_sound_and_never_worse_than_the_start_nor_better_than_its_bound(
    question: tuple[Snapshot, Wish],
) -> None:
    snapshot, wish = question
    target = solve(snapshot, wish, time.monotonic)
    assert faults(snapshot, wish, target.hosts) == ()
    assert target.after.total <= target.before.total + _CLOSE
    if target.bound is not None:
        assert target.bound <= target.after.total + _CLOSE
    assert target.remark is None or "thrown away" not in target.remark
    if isinstance(wish.objective, Drain) and target.after.terms[0].value == 0:
        assert not set(target.hosts.values()) & wish.objective.hosts


@_QUIETLY
@given(questions(3, 5))
def test_the_target_is_as_good_as_the_best_of_all_placements(question: tuple[Snapshot, Wish]) -> None:
    snapshot, wish = question
    task = task_of(snapshot, wish)
    target = solve(snapshot, wish, time.monotonic)
    best = min(task.score(_at(task, hosts)).total for hosts in every_sound_placement(snapshot, wish))
    assert target.after.total == pytest.approx(best, abs=_CLOSE, rel=1e-9)
    assert target.bound is None or target.bound <= best + _CLOSE


@_QUIETLY
@given(questions(3, 5))
def test_what_is_seen_at_once_to_be_impossible_is_impossible(question: tuple[Snapshot, Wish]) -> None:
    snapshot, wish = question
    task = task_of(snapshot, wish)
    scores = [task.score(_at(task, hosts)) for hosts in every_sound_placement(snapshot, wish)]
    if task.bound is not None:
        assert task.bound <= min(score.total for score in scores) + _CLOSE
    if task.least is not None:
        assert task.least <= min(score.terms[0].value / score.terms[0].weight for score in scores)


@_QUIETLY
@given(questions())
def test_searching_keeps_what_the_exact_way_keeps_and_is_never_better(question: tuple[Snapshot, Wish]) -> None:
    snapshot, wish = question
    task = task_of(snapshot, wish)
    far = time.monotonic() + 60
    found = [make_way(task, task.room.start, time.monotonic, far)]
    found.append(polish(task, found[0], time.monotonic, far, 1.0))
    if isinstance(wish.objective, Balance) and task.levels is not None:
        descent = Descent(task, task.levels, wish.objective, task.room.start)
        descent.run(lambda: True)
        found.append(descent.at)
    if isinstance(wish.objective, Consolidate):
        found.append(swept(task, task.room.start, lambda: True))
    best = improve(task, task.room.start, *everything(task), time.monotonic, far, 15.0)
    assert best.proved
    start = task.score(task.room.start).total
    for at in found:
        assert faults(snapshot, wish, _named(task, at)) == ()
        assert task.score(best.at).total - _CLOSE <= task.score(at).total <= start + _CLOSE


@settings(_QUIETLY, max_examples=15)
@given(questions())
def test_the_same_seed_gives_the_same_target(question: tuple[Snapshot, Wish]) -> None:
    snapshot, wish = question
    assert solve(snapshot, wish, time.monotonic) == solve(snapshot, wish, time.monotonic)
