"""How a plan is carried out: what may start, what an end means, when to plan anew, when it is over."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotfoot.errors import ExitStatus
from hotfoot.placement.course import MOST_TRIES, Course, Ended, Next, Step, StepState
from hotfoot.placement.pace import left_s, overhead_of
from hotfoot.placement.plan import Move, Plan, Score
from hotfoot.placement.snapshot import Limits
from hotfoot.placement.streams import Seen
from hotfoot.placement.wish import Drain, Wish

HOSTS = ("n1", "n2", "n3")
ROUND = ((1, "a", "n2"), (2, "b", "n3"), (3, "c", "n2"))
ENDS = (
    ExitStatus.COMPLETED,
    ExitStatus.COMPLETED,
    ExitStatus.ERROR,
    ExitStatus.REFUSED,
    ExitStatus.FAILED_ON_SOURCE,
    ExitStatus.ABORTED,
    ExitStatus.UNKNOWN_STATE,
)


def planned(*moves: Move) -> Plan:
    return Plan(moves=moves, before=Score(terms=()), after=Score(terms=()))


def move(number: int, name: str, source: str, destination: str, after: tuple[int, ...] = (), **more: float) -> Move:
    return Move(
        number=number, instance=f"id-{name}", name=name, source=source, destination=destination, transfer_bytes=1 << 26,
        downtime_ms=70, begins_s=0.0, seconds=more.get("seconds", 2.0), after=after, reason="empties n1",
    )  # fmt: skip


def ended(course: Course, n: int, status: int, *, ours: bool = False) -> Course:
    return course.ended(n, Ended(status=int(status), why=None if status == 0 else f"why {n}", at_ms=2000, ours=ours))


def state(course: Course, n: int) -> StepState:
    return course.steps[n - 1].state


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Moves that wait for earlier ones at random; one instance may move twice, from where it was put."""
    count = draw(st.integers(1, 8))
    at: dict[str, str] = {}
    moves = []
    for number in range(1, count + 1):
        name = draw(st.sampled_from("abcde"))
        source = at.get(name) or draw(st.sampled_from(HOSTS))
        destination = draw(st.sampled_from([host for host in HOSTS if host != source]))
        at[name] = destination
        after = draw(st.sets(st.integers(1, number - 1), max_size=2)) if number > 1 else set()
        moves.append(move(number, name, source, destination, tuple(sorted(after))))
    return planned(*moves)


limits = st.builds(
    Limits,
    per_source=st.none() | st.integers(1, 3),
    per_destination=st.none() | st.integers(1, 3),
    at_once=st.none() | st.integers(1, 3),
)


links = st.dictionaries(st.sampled_from(HOSTS), st.none() | st.integers(1, 1 << 30))


@given(plans(), limits, links, st.data())
def test_whatever_comes_of_the_moves_it_comes_to_an_end_and_keeps_its_rules(
    plan: Plan, bounds: Limits, rates: dict[str, int | None], data: st.DataObject
) -> None:
    course = Course(limits=bounds).planned(plan, links=rates)
    for _ in range(4 * len(plan.moves) + 4):
        if course.next() is not Next.WAIT:
            break
        for step in course.startable():
            done = {each.n for each in course.in_state(StepState.DONE)}
            assert {*step.after} <= done
            course = course.begun(step.n, 1000)
        running = course.in_state(StepState.RUNNING)
        assert running
        assert len({step.uuid for step in running}) == len(running)
        assert bounds.at_once is None or len(running) <= bounds.at_once
        for host in HOSTS:
            assert bounds.per_source is None or sum(step.source == host for step in running) <= bounds.per_source
            most = bounds.per_destination
            assert most is None or sum(step.destination == host for step in running) <= most
        over = {step.n: step for step in course.steps if step.over}
        if data.draw(st.integers(0, 9)) == 0:
            course = replace(course, stopping=True)
            assert course.startable() == ()
        one = data.draw(st.sampled_from(running))
        course = ended(course, one.n, data.draw(st.sampled_from(ENDS)))
        assert all(step == over[step.n] for step in course.steps if step.n in over)
    assert course.next() is (Next.END if course.stopping else Next.PLAN)
    assert course.in_state(StepState.RUNNING) == ()
    assert course.stopping or course.in_state(StepState.WAITING) == ()


@given(st.lists(st.sampled_from(ENDS), min_size=1, max_size=6))
def test_no_instance_is_tried_too_often_nor_twice_to_the_same_host(ends: list[ExitStatus]) -> None:
    """Plan for one instance again and again, as long as it may be tried, to the first host that is possible."""
    course, hosts, failed = Course(), ["n2", "n3", "n4", "n5"], 0
    for end in ends:
        ruled_out = course.impossible().get("id-a", {})
        possible = [host for host in hosts if host not in ruled_out]
        if "id-a" in course.alone() or not possible:
            break
        course = course.planned(planned(move(1, "a", "n1", possible[0])))
        (step,) = course.startable()
        course = ended(course.begun(step.n, 1000), step.n, end)
        failed += end is not ExitStatus.COMPLETED
    assert failed <= MOST_TRIES
    places = [step.destination for step in course.in_state(StepState.FAILED)]
    assert len(places) == len(set(places))


def test_what_waited_for_a_move_that_failed_is_left_out_and_the_rest_goes_on() -> None:
    plan = planned(move(1, "a", "n1", "n2"), move(2, "b", "n3", "n1", (1,)), move(3, "c", "n1", "n3"))
    course = Course(limits=Limits(per_source=2)).planned(plan)
    assert [step.n for step in course.startable()] == [1, 3]
    course = ended(course.begun(1, 1000).begun(3, 1000), 1, ExitStatus.FAILED_ON_SOURCE)
    assert state(course, 2) is StepState.LEFT_OUT
    assert course.steps[1].why == "waited for a to be moved to n2"
    assert course.next() is Next.WAIT
    course = ended(course, 3, ExitStatus.COMPLETED)
    assert course.next() is Next.PLAN
    assert course.next(once=True) is Next.END
    assert course.impossible() == {"id-a": {"n2": "why 1"}}
    assert course.alone() == {}


@pytest.mark.parametrize("status", [ExitStatus.ABORTED, ExitStatus.UNKNOWN_STATE])
def test_what_somebody_stopped_or_nobody_can_find_is_left_alone(status: ExitStatus) -> None:
    course = Course().planned(planned(move(1, "a", "n1", "n2"))).begun(1, 1000)
    assert "id-a" in ended(course, 1, status).alone()


def test_what_goes_only_cold_has_failed_nowhere_and_is_tried_again() -> None:
    course = Course().planned(planned(move(1, "a", "n1", "n2"))).begun(1, 1000)
    course = course.ended(1, Ended(status=4, why="it has a NUMA topology", at_ms=2000, only_cold=True))
    assert course.only_cold() == {"id-a": "it has a NUMA topology"}
    assert (course.impossible(), course.alone()) == ({}, {})


def test_a_move_aborted_with_its_plan_is_left_out_and_no_failure() -> None:
    course = Course(stopping=True).planned(planned(move(1, "a", "n1", "n2"))).begun(1, 1000)
    course = ended(course, 1, ExitStatus.ABORTED, ours=True)
    assert state(course, 1) is StepState.LEFT_OUT
    assert course.alone() == {}
    assert course.status(still=True, stopped=True) is ExitStatus.ABORTED


def test_a_second_round_counts_on_and_waits_for_its_own_moves() -> None:
    course = Course().planned(planned(move(1, "a", "n1", "n2")))
    course = ended(course.begun(1, 1000), 1, ExitStatus.REFUSED)
    course = course.planned(planned(move(1, "a", "n1", "n3"), move(2, "b", "n1", "n3", (1,))))
    assert [(step.n, step.round, step.after) for step in course.steps] == [(1, 1, ()), (2, 2, ()), (3, 2, (2,))]
    assert [step.n for step in course.startable()] == [2]


def test_taken_up_again_a_move_whose_instance_is_there_is_done_and_all_others_are_planned_anew() -> None:
    course = Course().planned(planned(move(1, "a", "n1", "n2"), move(2, "b", "n1", "n3"))).begun(1, 1000)
    course = course.found(1, "n2", 3000, "20261121-1000-abc").found(2, "n1", 3000)
    assert [step.state for step in course.steps] == [StepState.DONE, StepState.LEFT_OUT]
    assert course.steps[0].migration == "20261121-1000-abc"
    assert course.next() is Next.PLAN
    with pytest.raises(ValueError, match="done"):
        course.found(1, "n1", 4000)


def test_the_end_in_one_status() -> None:
    whole = ended(Course().planned(planned(move(1, "a", "n1", "n2"))).begun(1, 1000), 1, ExitStatus.COMPLETED)
    assert whole.status(still=False, stopped=False) is ExitStatus.COMPLETED
    assert whole.status(still=True, stopped=False) is ExitStatus.FAILED_ON_SOURCE
    assert whole.status(still=False, stopped=True) is ExitStatus.ABORTED
    lost = ended(whole.planned(planned(move(1, "b", "n1", "n2"))).begun(2, 1000), 2, ExitStatus.UNKNOWN_STATE)
    assert lost.status(still=False, stopped=True) is ExitStatus.UNKNOWN_STATE


def test_most_moves_holds_over_all_rounds() -> None:
    wish = Wish(objective=Drain(hosts=frozenset({"n1"})), most_moves=2)
    course = ended(Course().planned(planned(move(1, "a", "n1", "n2"))).begun(1, 1000), 1, ExitStatus.COMPLETED)
    assert course.still_wanted(wish).most_moves == 1
    assert course.still_wanted(wish.model_copy(update={"most_moves": None})).most_moves is None


def test_the_expected_end_follows_the_pace_of_what_was_done() -> None:
    plan = planned(*(move(number, name, "n1", "n2", seconds=2.0) for number, name in enumerate("abc", 1)))
    course = Course(limits=Limits(per_source=1)).planned(plan)
    assert left_s(course, 0, {}) == pytest.approx(6.0)
    course = course.begun(1, 1000)
    course = course.ended(1, Ended(status=0, why=None, at_ms=5000))
    assert left_s(course, 5000, {}) == pytest.approx(8.0)
    assert left_s(course.begun(2, 5000), 6000, {2: 5.0}) == pytest.approx(5.0 + 5.0)
    held = course.begun(2, 5000).held(2, 6.0).ended(2, Ended(status=0, why=None, at_ms=15000))
    assert left_s(held, 15000, {}) == pytest.approx(4.0)  # waiting for the link is no slowness of its own
    assert overhead_of(held.in_state(StepState.DONE)) == pytest.approx(2.0)


def test_on_a_link_that_is_known_one_stream_follows_the_other_without_a_pause() -> None:
    rate = 1 << 23  # each move sends for 8 s
    plan = planned(*(move(number, name, "n1", place, seconds=8.5) for number, name, place in ROUND))
    course = Course(limits=Limits(per_source=2)).planned(plan, 0.5, {"n1": rate, "n2": 8 * rate, "n3": None})
    assert [step.n for step in course.startable()] == [1]
    course = course.begun(1, 1000)
    assert course.startable() == ()
    assert course.startable(Seen(left_bytes={1: 6 * rate})) == ()
    assert course.startable(Seen(left_bytes={1: 2 * rate}, ahead_s=1.0)) == ()
    assert [step.n for step in course.startable(Seen(left_bytes={1: rate // 2}))] == [2]
    assert [step.n for step in course.startable(Seen(left_bytes={1: 2 * rate}, ahead_s=3.0))] == [2]
    course = course.begun(2, 2000)
    second = course.steps[1]
    assert course.may_send(second, {2})  # the first one is not ready either
    assert not course.may_send(second, {1, 2}, Seen(left_bytes={1: 2 * rate}))
    assert course.may_send(second, {1, 2}, Seen(left_bytes={1: 2 * rate}, ahead_s=2.0))
    unknown = Course(limits=Limits(per_source=2)).planned(plan)
    assert [step.n for step in unknown.startable()] == [1, 2]


def test_beyond_the_limits_a_move_is_judged_while_one_ends_and_does_not_send_before() -> None:
    plan = planned(*(move(number, name, "n1", place) for number, name, place in ROUND))
    course = Course(limits=Limits(per_source=2)).planned(plan, 0.5, {"n1": 60})
    course = course.begun(1, 1000).begun(2, 2000)
    assert course.startable(Seen(left_bytes={1: 1000, 2: 1000}, ahead_s=30.0)) == ()
    ending = Seen(left_bytes={1: 30, 2: 1000}, ahead_s=30.0)
    assert [step.n for step in course.startable(ending)] == [3]
    course = course.begun(3, 3000)
    third = course.steps[2]
    assert not course.may_send(third, {1, 2}, ending)
    assert course.may_send(third, {2}, Seen(left_bytes={2: 1000}, ahead_s=30.0))


def test_a_link_that_carries_more_than_one_stream_takes_can_use_another() -> None:
    plan = planned(*(move(number, name, "n1", place) for number, name, place in ROUND))
    course = Course(limits=Limits(per_source=3, per_destination=2)).planned(
        plan, 0.5, {"n1": 300, "n2": 100, "n3": 100}
    )
    assert [step.n for step in course.startable()] == [1, 2]  # one to each of the slower ones


def test_the_expected_end_counts_streams_over_a_known_link_one_after_the_other() -> None:
    plan = planned(*(move(number, name, "n1", place, seconds=3.0) for number, name, place in ROUND))
    course = Course(limits=Limits(per_source=2)).planned(plan, 1.0, {"n1": 1 << 25})
    assert left_s(course, 0, {}) == pytest.approx(1.0 + 3 * 2.0)
    assert left_s(course.begun(1, 1000), 2000, {1: 2.0}) == pytest.approx(3 * 2.0)


def test_the_overhead_of_moves_is_learned_from_those_that_were_done() -> None:
    course = Course(limits=Limits(per_source=None, per_destination=None))
    course = course.planned(planned(*(move(number, name, "n1", "n2") for number, name in enumerate("abc", 1))), 1.0)
    assert overhead_of(course.steps) is None
    for n, took_ms in ((1, 5000), (2, 4000), (3, 1500)):
        course = course.begun(n, 1000).ended(n, Ended(status=0, why=None, at_ms=1000 + took_ms))
    assert overhead_of(course.steps) == pytest.approx(3.0)  # of 4.0, 3.0, 0.5


def test_no_end_is_told_where_nothing_tells_it() -> None:
    assert left_s(Course().planned(planned(move(1, "a", "n1", "n2", seconds=0.0))), 0, {}) is None


def test_steps_that_wait_say_nothing_yet() -> None:
    step = Step(
        n=1, round=1, uuid="u", name="a", source="n1", destination="n2", transfer_bytes=1, expected_s=1.0
    )  # fmt: skip
    assert not step.over
