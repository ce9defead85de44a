from __future__ import annotations

from itertools import pairwise

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.placement.random_clusters import snapshots
from tests.placement.small import cluster, host, instance, rule

from hotfoot.placement.descent import Descent
from hotfoot.placement.snapshot import MEMORY, VCPUS, RuleKind, Snapshot
from hotfoot.placement.task import task_of
from hotfoot.placement.wish import Balance, Wish


def _scores(snapshot: Snapshot, wish: Wish) -> list[float]:
    """The score after each step, reckoned anew; ends at the first that is not lower than the one before."""
    assert isinstance(wish.objective, Balance)
    task = task_of(snapshot, wish)
    assert task.levels is not None
    descent = Descent(task, task.levels, wish.objective, task.room.start)
    at, scores = descent.at.copy(), [task.score(descent.at).total]

    def go_on() -> bool:
        nonlocal at
        if (descent.at != at).any():
            at = descent.at.copy()
            scores.append(task.score(at).total)
        return len(scores) < 2 or scores[-1] < scores[-2]

    descent.run(go_on)
    return scores


def _fall(scores: list[float]) -> bool:
    return all(after < before for before, after in pairwise(scores))


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(snapshots(8, 12), st.booleans(), st.sampled_from([None, None, None, 1, 2]))
def test_every_step_lowers_the_score(snapshot: Snapshot, measured: bool, most_moves: int | None) -> None:
    # It ends, therefore: no placement comes twice, and there are only so many.
    objective = Balance(measured=measured, what=("cpu",) if measured else (MEMORY, VCPUS))
    scores = _scores(snapshot, Wish(objective=objective, most_moves=most_moves))
    assert _fall(scores), scores


def test_nothing_is_gained_by_going_home_to_a_host_in_maintenance() -> None:
    # Once it went there to make n1 more even, and away again since n2 is to be emptied, for ever.
    pair = cluster(
        host("n1", 2, 2),
        host("n2", 2, 2, maintenance=True),
        instance("a", "n1", 1, 0),
        instance("b", "n2", 1, 1),
        rule("pair", RuleKind.APART, "a", "b", hard=False),
    )
    scores = _scores(pair, Wish(objective=Balance(threshold=0, least_gain=0)))
    assert _fall(scores), scores


def test_what_rounding_makes_of_large_numbers_is_no_gain() -> None:
    # Loads of 1e8 times what the hosts bear: float64 tells no difference of 1e-9 there.
    busy = cluster(
        *[host(f"n{number}", load_capacity={"cpu": 0.7}) for number in range(5)],
        *[
            instance(f"i{number}", f"n{number * number % 5}", load={"cpu": 1e8 * (0.1 + number / 3)})
            for number in range(12)
        ],
    )
    scores = _scores(busy, Wish(objective=Balance(what=("cpu",), measured=True, threshold=0, cost_per_gib=0)))
    assert len(scores) > 1
    assert _fall(scores), scores
