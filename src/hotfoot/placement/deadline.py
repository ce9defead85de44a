"""When a plan is to be over, and which of its moves can no longer end by then. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from hotfoot.cluster import parse_duration_ms
from hotfoot.placement.course import Course, StepState
from hotfoot.placement.pace import lengths_s
from hotfoot.placement.plan import Move, Plan


def deadline_ms(text: str, now_ms: int) -> int:
    """Read ``90m`` (from now), ``06:00`` (the next one, local time) or a date with a time; ms since 1970 UTC.

    Raises ValueError with a phrase that begins with "must".
    """
    words, now = text.strip(), datetime.fromtimestamp(now_ms / 1000)
    try:
        return now_ms + parse_duration_ms(words)
    except ValueError:
        pass
    if found := re.fullmatch(r"([01]?[0-9]|2[0-3]):([0-5][0-9])", words):
        at = now.replace(hour=int(found[1]), minute=int(found[2]), second=0, microsecond=0)
        return round(1000 * (at if at > now else at + timedelta(days=1)).timestamp())
    try:
        at_ms = round(1000 * datetime.fromisoformat(words).timestamp())
    except (ValueError, OverflowError):
        raise ValueError(f'must be such as 90m, 06:00, or 2026-11-22 06:00, not "{text}"') from None
    if at_ms <= now_ms:
        raise ValueError(f"must be in the future, and {text} is not")
    return at_ms


def told(at_ms: int, now_ms: int) -> str:
    """Return a moment as it is read by a clock on the wall: ``06:00``, or with its date where that is another day."""
    at, now = datetime.fromtimestamp(at_ms / 1000), datetime.fromtimestamp(now_ms / 1000)
    return f"{at:%H:%M:%S}" if at.date() == now.date() else f"{at:%Y-%m-%d %H:%M:%S}"


def late_moves(plan: Plan, left_s: float) -> Sequence[Move]:
    """Return the moves of a plan that would not be over in so many seconds, with all that are bound to them."""
    convoys = {move.convoy for move in plan.moves if move.begins_s + move.seconds > left_s} - {None}
    return [move for move in plan.moves if move.begins_s + move.seconds > left_s or move.convoy in convoys]


def without_late(course: Course, now_ms: int) -> Course:
    """Return the course in which what could not end before the deadline, if it began now, is left out.

    Invariant: no move waits that would take longer than is left, at the pace so far; of moves that a rule binds to each
    other all are made or none, so that they are begun only when there is time for one after the other, and then all
    are. Where nothing tells how long a move takes, it may begin until the deadline.
    """
    if course.deadline_ms is None:
        return course
    left_s, lengths = (course.deadline_ms - now_ms) / 1000, lengths_s(course, now_ms)
    why = f"it would not have ended before {told(course.deadline_ms, now_ms)}"
    steps = []
    for step in course.steps:
        needed_s = sum(lengths.get(other.n, 0.0) for other in course.convoy(step))
        late = step.state is StepState.WAITING and not course.convoy_begun(step) and needed_s >= left_s
        steps.append(replace(step, state=StepState.LEFT_OUT, why=why, late=True) if late else step)
    return replace(course, steps=tuple(steps)).without_vain()
