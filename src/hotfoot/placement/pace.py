"""When a plan that is carried out will have ended, at the pace so far. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import median

from hotfoot.placement.course import PREPARED_S, Course, Step, StepState
from hotfoot.placement.times import Job, timetable

_SHORTEST_S = 1.0


def left_s(course: Course, now_ms: int, seen: Mapping[int, float]) -> float | None:
    """Return the seconds until the last planned move is over; None: nothing tells.

    ``seen``: of running moves (their numbers), the seconds that each of them shows to be left.
    """
    to_come = course.in_state(StepState.RUNNING, StepState.WAITING)
    pace = _pace(course, now_ms, seen)
    number = {step.n: at for at, step in enumerate(to_come)}
    jobs = []
    for step in to_come:
        left = seen.get(step.n)
        if left is None:
            length = _length_s(step, pace)
            if length is None:
                return None
            left = length - _gone_s(step, now_ms)
        after = frozenset(number[n] for n in course.waits_for(step) if n in number)
        jobs.append(_job(course, step, max(_SHORTEST_S, left), after))
    running = [number[step.n] for step in to_come if step.state is StepState.RUNNING]
    return timetable(jobs, course.links, course.limits, running).seconds


def _job(course: Course, step: Step, left_s: float, after: frozenset[int]) -> Job:
    """Return what a move has yet to do: where its links are known it sends for most of that time, and shares them."""
    rate = course.fastest(step)
    prepared_s = left_s
    if rate and step.transfer_bytes:
        prepared_s = 0.0 if step.state is StepState.RUNNING else min(left_s, max(step.overhead_s, PREPARED_S))
    return Job(
        source=step.source,
        destination=step.destination,
        transfer_bytes=round((left_s - prepared_s) * (rate or 0)),
        least_seconds=prepared_s,
        after=after,
    )


def lengths_s(course: Course, now_ms: int) -> Mapping[int, float]:
    """Return how many seconds each move that waits (its number) will take at the pace so far; 0: nothing tells."""
    pace = _pace(course, now_ms, {})
    return {step.n: _length_s(step, pace) or 0.0 for step in course.in_state(StepState.WAITING)}


def overhead_of(done: Iterable[Step]) -> float | None:
    """Return what moves took beside what was expected of the migrations themselves: the median, in seconds."""
    took = [
        max(0.0, step.took_s - step.expected_s + step.overhead_s)
        for step in done
        if step.state is StepState.DONE and step.took_s is not None
    ]
    return median(took) if took else None


@dataclass(frozen=True, slots=True)
class _Pace:
    times: float
    """How many times as long as expected moves take."""
    each_s: float


def _pace(course: Course, now_ms: int, seen: Mapping[int, float]) -> _Pace | None:
    took: list[tuple[float, float]] = []
    for step in course.steps:
        if step.state is StepState.DONE and step.took_s is not None:
            took.append((step.took_s, step.expected_s))
        elif step.state is StepState.RUNNING and step.n in seen:
            took.append((_gone_s(step, now_ms) + seen[step.n], step.expected_s))
    if not took:
        return None
    total_s, expected_s = sum(each for each, _ in took), sum(each for _, each in took)
    return _Pace(times=total_s / expected_s if expected_s else 1.0, each_s=total_s / len(took))


def _length_s(step: Step, pace: _Pace | None) -> float | None:
    if pace is None:
        return step.expected_s or None
    return step.expected_s * pace.times or pace.each_s


def _gone_s(step: Step, now_ms: int) -> float:
    return (now_ms - step.began_ms) / 1000 - step.held_s if step.began_ms else 0.0
