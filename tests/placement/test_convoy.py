"""Moves that a rule binds to each other: all are made or none; what was made in a part is mended."""

from __future__ import annotations

import time
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from tests.placement.small import cluster, host, instance, rule
from tests.placement.test_course import ENDS, ended, move, planned, state

from hotfoot.errors import ExitStatus
from hotfoot.placement.course import Course, Step, StepState
from hotfoot.placement.mending import broken, narrowed, still_broken
from hotfoot.placement.plan import Move, Plan
from hotfoot.placement.planning import plan
from hotfoot.placement.snapshot import Limits, RuleKind
from hotfoot.placement.wish import Drain, Repair, Wish

DRAIN = Wish(objective=Drain(hosts=frozenset({"h1"})), seconds=60)


def bound(*names: str) -> Plan:
    """Moves that belong together, and one that does not."""
    moves = [move(n, name, "n1", "n2").model_copy(update={"convoy": 1}) for n, name in enumerate(names, 1)]
    return planned(*moves, move(len(names) + 1, "alone", "n1", "n3"))


def test_moves_of_instances_that_belong_together_are_told_as_such() -> None:
    pair = rule("pair", RuleKind.TOGETHER, "a", "b")
    made = plan(
        cluster(host("h1"), host("h2"), instance("a", "h1"), instance("b", "h1"), instance("c", "h1"), pair),
        DRAIN,
        time.monotonic,
    )
    of = {one.name: one.convoy for one in made.moves}
    assert of["a"] == of["b"] is not None
    assert of["c"] is None


def test_when_one_fails_those_that_have_not_begun_stay_and_others_go_on() -> None:
    course = Course(limits=Limits(per_source=1)).planned(bound("a", "b", "c"))
    course = ended(course.begun(1, 0), 1, ExitStatus.FAILED_ON_SOURCE)
    assert [state(course, n) for n in (1, 2, 3, 4)] == [
        StepState.FAILED, StepState.LEFT_OUT, StepState.LEFT_OUT, StepState.WAITING,
    ]  # fmt: skip
    assert course.steps[1].why == "is bound by a rule to a, which was not moved to n2"
    assert course.torn() == frozenset()


def test_what_was_moved_in_a_part_is_torn() -> None:
    course = Course().planned(bound("a", "b"))
    course = ended(course.begun(1, 0), 1, 0)
    assert course.torn() == frozenset()
    course = ended(course.begun(2, 0), 2, ExitStatus.FAILED_ON_SOURCE)
    assert course.torn() == {"id-a", "id-b"}


def test_cancelled_in_the_middle_the_rest_of_them_still_goes_and_nothing_else() -> None:
    course = Course(limits=Limits(per_source=1)).planned(bound("a", "b"))
    stopping = replace(course, stopping=True)
    assert stopping.startable() == ()
    begun = replace(course.begun(1, 0), stopping=True)
    assert begun.startable() == ()
    course = ended(begun, 1, 0)
    assert [step.name for step in course.startable()] == ["b"]


@st.composite
def convoys(draw: st.DrawFn) -> Plan:
    """Moves of different instances, some of which belong together and wait for the same ones."""
    moves: list[Move] = []
    for number in range(1, draw(st.integers(1, 4)) + 1):
        after = tuple(sorted(draw(st.sets(st.integers(1, len(moves)), max_size=2)))) if moves else ()
        size = draw(st.integers(1, 3))
        for _ in range(size):
            n = len(moves) + 1
            one = move(n, f"v{n}", draw(st.sampled_from(["n1", "n2"])), "n3", after)
            moves.append(one.model_copy(update={"convoy": number if size > 1 else None}))
    return planned(*moves)


@given(convoys(), st.data())
def test_however_moves_end_none_begins_whose_convoy_has_failed_in_a_part(made: Plan, data: st.DataObject) -> None:
    course = Course(limits=Limits(per_source=2, per_destination=2)).planned(made)
    begun: set[int] = set()
    stopped: set[int] = set()
    for _ in range(4 * len(made.moves)):
        if data.draw(st.integers(0, 9)) == 0 and not course.stopping:
            course, stopped = replace(course, stopping=True), set(begun)
        startable: tuple[Step, ...] = course.startable()
        running = course.in_state(StepState.RUNNING)
        if startable and (not running or data.draw(st.booleans())):
            step = startable[0]
            others = [other for other in course.convoy(step) if other != step]
            assert not any(other.state in (StepState.FAILED, StepState.LEFT_OUT) for other in others)
            assert not course.stopping or any(other.n in stopped for other in others)
            course = course.begun(step.n, 0)
            begun.add(step.n)
        elif running:
            course = ended(course, running[0].n, data.draw(st.sampled_from(ENDS)))
        else:
            break
    assert not course.in_state(StepState.RUNNING)
    assert course.startable() == ()


def test_mending_moves_nothing_else_and_brings_them_together_where_one_of_them_is() -> None:
    pair, other = rule("pair", RuleKind.TOGETHER, "a", "b"), rule("other", RuleKind.TOGETHER, "c", "d")
    torn = cluster(
        host("h1").model_copy(update={"maintenance": True}), host("h2"), host("h3"),
        instance("a", "h2", 16), instance("b", "h1", 4), instance("c", "h2", 1), instance("d", "h3", 1), pair, other,
    )  # fmt: skip
    wish = narrowed(torn, Wish(objective=Repair(of=frozenset({"a", "b"})), to=frozenset({"h3"}), seconds=60))
    assert wish.fixed == {"c", "d"}
    assert wish.to == frozenset({"h1", "h2", "h3"})
    made = plan(torn, wish, time.monotonic)
    assert [(one.name, one.destination) for one in made.moves] == [("b", "h2")]
    assert [one.name for one in broken(torn, {"a"})] == ["pair"]
    assert still_broken(torn, {"a", "b"}) == dict.fromkeys(
        ("a", "b"), "rule pair is broken (a on h2, b on h1); `hotfoot plan repair` shows what mends it"
    )


def test_where_one_cannot_follow_the_others_come_to_it_or_all_go_elsewhere() -> None:
    pair = rule("pair", RuleKind.TOGETHER, "a", "b")
    hosts = (host("h1").model_copy(update={"maintenance": True}), host("h2"), host("h3"))
    one = instance("b", "h1", 4, impossible={"h2": "it failed"})
    torn = cluster(*hosts, instance("a", "h2", 4), one, pair)
    wish = narrowed(torn, Wish(objective=Repair(of=frozenset({"a", "b"})), seconds=60))
    made = plan(torn, wish, time.monotonic)
    assert {(each.name, each.destination) for each in made.moves} == {("a", "h3"), ("b", "h3")}
