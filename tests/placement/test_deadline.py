"""When a plan is to be over: what the operator types, and which moves are not begun any more."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.placement.test_course import ended, move, planned, plans

from hotfoot.placement.course import Course, StepState
from hotfoot.placement.deadline import deadline_ms, late_moves, told, without_late
from hotfoot.placement.pace import lengths_s
from hotfoot.placement.plan import Plan

NOON_MS = round(1000 * datetime(2026, 11, 21, 12, 0).timestamp())


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("90m", datetime(2026, 11, 21, 13, 30)),
        ("2h", datetime(2026, 11, 21, 14, 0)),
        ("13:05", datetime(2026, 11, 21, 13, 5)),
        ("6:00", datetime(2026, 11, 22, 6, 0)),
        ("12:00", datetime(2026, 11, 22, 12, 0)),
        ("2026-11-22 06:30", datetime(2026, 11, 22, 6, 30)),
    ],
)
def test_a_deadline_is_a_time_from_now_the_next_time_of_day_or_a_date(text: str, at: datetime) -> None:
    assert deadline_ms(text, NOON_MS) == round(1000 * at.timestamp())


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("soon", "must be such as 90m, 06:00, or 2026-11-22 06:00"),
        ("25:00", "must be such"),
        ("2026-11-20 06:00", "must be in the future"),
        ("", "must be such"),
    ],
)
def test_what_is_no_deadline_is_told(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        deadline_ms(text, NOON_MS)


def test_a_deadline_is_told_as_by_a_clock() -> None:
    assert told(NOON_MS + 60_000, NOON_MS) == "12:01:00"
    assert told(NOON_MS + 86_400_000, NOON_MS) == "2026-11-22 12:00:00"


def test_what_would_end_too_late_is_known_before_with_all_that_is_bound_to_it() -> None:
    short, long = move(1, "a", "n1", "n2", seconds=5), move(2, "b", "n1", "n2", seconds=50)
    assert [one.name for one in late_moves(planned(short, long), 10)] == ["b"]
    bound = [one.model_copy(update={"convoy": 1}) for one in (short, long)]
    assert [one.name for one in late_moves(planned(*bound), 10)] == ["a", "b"]


def test_what_cannot_end_in_time_is_left_out_with_what_waits_for_it_and_a_shorter_one_goes() -> None:
    made = planned(
        move(1, "long", "n1", "n2", seconds=60), move(2, "after", "n1", "n2", (1,)), move(3, "short", "n1", "n3")
    )
    course = without_late(Course(deadline_ms=NOON_MS + 30_000).planned(made), NOON_MS)
    assert [step.state for step in course.steps] == [StepState.LEFT_OUT, StepState.LEFT_OUT, StepState.WAITING]
    assert course.alone() == {"id-long": "it would not have ended before 12:00:30"}
    assert course.steps[1].why == "waited for long to be moved to n2"


def test_the_pace_so_far_counts() -> None:
    made = planned(move(1, "a", "n1", "n2", seconds=2), move(2, "b", "n1", "n2", (1,), seconds=2))
    course = Course(deadline_ms=20_000).planned(made).begun(1, 1000)
    course = replace(course, steps=(replace(course.steps[0], state=StepState.DONE, ended_ms=11_000), course.steps[1]))
    assert without_late(course, 11_000).steps[1].late  # the first took five times as long as expected
    assert not without_late(replace(course, deadline_ms=60_000), 11_000).steps[1].late


def test_of_what_belongs_together_none_begins_unless_there_is_time_for_all_and_then_all_do() -> None:
    moves = [move(n, name, "n1", "n2", seconds=20).model_copy(update={"convoy": 1}) for n, name in ((1, "a"), (2, "b"))]
    course = Course(deadline_ms=30_000).planned(planned(*moves))
    assert {step.state for step in without_late(course, 0).steps} == {StepState.LEFT_OUT}
    begun = replace(course, deadline_ms=50_000).begun(1, 0)
    assert not any(step.late for step in without_late(begun, 40_000).steps)
    assert without_late(ended(begun, 1, 0), 40_000).steps[1].state is StepState.WAITING


@given(plans(), st.integers(0, 20_000), st.integers(0, 20_000))
def test_nothing_waits_that_would_not_end_in_time(made: Plan, ends_ms: int, now_ms: int) -> None:
    course = Course(deadline_ms=ends_ms).planned(made)
    left = without_late(course, now_ms)
    lengths = lengths_s(left, now_ms)
    assert all(now_ms + 1000 * lengths[step.n] < ends_ms for step in left.in_state(StepState.WAITING))
    assert without_late(left, now_ms) == left
    assert without_late(replace(course, deadline_ms=None), now_ms) == replace(course, deadline_ms=None)
