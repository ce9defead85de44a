"""A plan that was made earlier: read again, and held against the cluster as it is now."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.placement.random_clusters import questions
from tests.placement.small import cluster, host, instance, rule

from hotfoot.errors import HotfootError
from hotfoot.placement.course import Course, StepState
from hotfoot.placement.passage import Passage, Shift
from hotfoot.placement.plan import Move
from hotfoot.placement.plan_text import MadePlan, PlanAsked, read_plan
from hotfoot.placement.planning import plan
from hotfoot.placement.recheck import recheck, renumbered, still_valid
from hotfoot.placement.snapshot import Cold, RuleKind, Snapshot
from hotfoot.placement.wish import Drain, Wish

WISH = Wish(objective=Drain(hosts=frozenset({"h1"})), seconds=60)
CHAIN = cluster(
    host("h1", 16), host("h2", 16), host("h3", 8),
    instance("big", "h1", 16), instance("small", "h2", 8),
)  # fmt: skip
"""``small`` has to leave h2 before ``big`` fits there."""


def made_of(snapshot: Snapshot, wish: Wish = WISH) -> MadePlan:
    return MadePlan(plan(snapshot, wish, time.monotonic), PlanAsked(wish=wish, limits=snapshot.limits))


def changed(snapshot: Snapshot, name: str, **keys: object) -> Snapshot:
    """The snapshot with another value in keys of one host or instance."""

    def of(each: object) -> object:
        return each.model_copy(update=keys) if each.name == name else each  # type: ignore[attr-defined]

    return snapshot.model_copy(
        update={"hosts": tuple(map(of, snapshot.hosts)), "instances": tuple(map(of, snapshot.instances))}
    )


def refused(snapshot: Snapshot) -> list[str]:
    return list(recheck(snapshot, WISH, made_of(CHAIN).plan.moves)[1].values())


def test_a_plan_is_read_as_it_was_printed() -> None:
    made = made_of(CHAIN)
    assert read_plan(json.dumps(made.as_json()), "p.json") == made
    with_more = {"dry_run": True, "verb": "drain", "hosts": ["h1"], **made.as_json()}
    assert read_plan(json.dumps(with_more), "p.json") == made
    assert made.hosts == ("h1", "h2", "h3")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "p.json is not JSON: line 1"),
        ("[]", "p.json holds no plan"),
        ('{"id": "x", "moves": []}', "p.json holds no plan"),
        ('{"asked": {}, "moves": [{}]}', "p.json, moves[0].number: this key is missing, and "),
    ],
)
def test_what_is_no_plan_is_told_in_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(HotfootError) as error:
        read_plan(text, "p.json")
    assert str(error.value).startswith(sentence)
    assert "\n" not in str(error.value)


def test_moves_that_wait_for_later_ones_are_refused() -> None:
    told = made_of(CHAIN).as_json()
    told["moves"][0]["after"] = [2]
    with pytest.raises(HotfootError, match="wait for earlier ones only"):
        read_plan(json.dumps(told), "p.json")


def test_in_the_same_world_it_is_carried_out_as_it_is() -> None:
    made = made_of(CHAIN).plan
    assert [move.name for move in made.moves] == ["small", "big"]
    moves, wrong = recheck(CHAIN, WISH, made.moves)
    assert (tuple(moves), wrong) == (made.moves, {})


@pytest.mark.parametrize(
    ("now", "sentence"),
    [
        (changed(CHAIN, "small", host="h3"), "small is on h3"),
        (changed(CHAIN, "small", id="other"), "small is not there any more"),
        (changed(CHAIN, "h3", maintenance=True), "h3 is out of placement, or another plan touches it"),
        (changed(CHAIN, "h3", up=False), "h3 does not answer"),
        (changed(CHAIN, "small", impossible={"h3": "no bridge br0 there"}), "no bridge br0 there"),
        (changed(CHAIN, "small", movable=False, unmovable_because="it is shut off"), "it cannot move: it is shut off"),
        (cluster(*CHAIN.hosts[:2], *CHAIN.instances), "h3 is no host of the cluster"),
    ],
)
def test_a_move_that_is_not_valid_any_more_is_named_and_what_waits_for_it_is_not(now: Snapshot, sentence: str) -> None:
    (found,) = refused(now)
    assert found.endswith(sentence)


def test_a_cold_move_is_made_only_of_what_still_cannot_move_live_and_the_other_way_round() -> None:
    allowed = WISH.model_copy(update={"cold": True})
    bound = changed(CHAIN, "big", movable=False, unmovable_because="it is off", cold=Cold.OFF)
    cold, live = made_of(bound, allowed).plan.moves, made_of(CHAIN, allowed).plan.moves
    assert {move.name: move.cold for move in cold} == {"small": None, "big": Cold.OFF}
    assert recheck(bound, allowed, cold)[1] == {}
    assert [*recheck(CHAIN, allowed, cold)[1].values()] == ["it can be moved live by now"]
    assert [*recheck(bound, allowed, live)[1].values()] == ["it can only be moved cold by now"]
    assert [*recheck(bound, WISH, cold)[1].values()] == ["it cannot move: it is off"]


def test_room_that_is_taken_by_now_and_rules_that_are_new_are_named() -> None:
    taken = cluster(*CHAIN.hosts, *CHAIN.instances, instance("new", "h3", 4))
    assert refused(taken)[0].endswith("h3 has 4 GiB free of the 8 GiB that are needed")
    apart = cluster(*CHAIN.hosts, *CHAIN.instances, instance("c", "h3", 0), rule("r", RuleKind.APART, "small", "c"))
    assert refused(apart)[0].endswith("rule r forbids it for now")


def test_room_that_is_there_only_later_by_now_is_waited_for() -> None:
    roomy = cluster(host("h1", 16), host("h2", 64), host("h3", 8), *CHAIN.instances)
    made = made_of(roomy, WISH.model_copy(update={"to": frozenset({"h2"})})).plan
    small = made_of(CHAIN).plan.moves[0].model_copy(update={"after": ()})
    both = (small, made.moves[0].model_copy(update={"number": 2}))
    assert recheck(roomy, WISH, both)[0][1].after == ()
    assert recheck(CHAIN, WISH, both)[0][1].after == (1,)


def test_of_a_plan_that_is_taken_up_what_is_not_valid_any_more_is_left_out_and_the_rest_goes_on() -> None:
    roomy = cluster(
        host("h1", 64), host("h2", 64), host("h3", 64), *(instance(name, "h1") for name in "abc"),
        rule("pair", RuleKind.TOGETHER, "b", "c"),
    )  # fmt: skip
    course = Course().planned(made_of(roomy).plan)
    assert still_valid(roomy, WISH, course) == course
    gone = changed(roomy, "c", host="h3")
    left = {step.name: (step.state, step.why) for step in still_valid(gone, WISH, course).steps}
    assert left["a"] == (StepState.WAITING, None)
    assert left["c"] == (StepState.LEFT_OUT, "c is on h3")
    assert left["b"][0] is StepState.LEFT_OUT


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(questions(), st.data())
def test_whatever_is_planned_can_be_carried_out_and_what_passes_is_possible(
    given_: tuple[Snapshot, Wish], data: st.DataObject
) -> None:
    snapshot, wish = given_
    made = plan(snapshot, wish, time.monotonic)
    assert recheck(snapshot, wish, made.moves)[1] == {}
    if not made.moves:
        return
    gone = data.draw(st.sampled_from(snapshot.instances))
    elsewhere = data.draw(st.sampled_from(snapshot.hosts)).name
    now = snapshot.model_copy(
        update={
            "instances": tuple(
                one.model_copy(update={"host": elsewhere}) if one.id == gone.id else one for one in snapshot.instances
            )
        }
    )
    checked, wrong = recheck(now, wish, made.moves)
    if not wrong:
        _can_be_made(now, wish, renumbered(checked))


def _can_be_made(snapshot: Snapshot, wish: Wish, moves: Sequence[Move]) -> None:
    passage = Passage(snapshot, wish)
    for number, move in enumerate(moves, 1):
        assert move.number == number
        assert all(earlier < number for earlier in move.after)
        assert passage.where[move.instance] == move.source
        step = (Shift(move.instance, move.source, move.destination),)
        assert passage.fits(step)
        assert move.convoy is not None or passage.broken_by(step) is None
        passage.go(step)
