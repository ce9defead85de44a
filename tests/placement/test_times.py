"""When each move of a plan begins, and how long it takes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotfoot.placement.snapshot import Limits
from hotfoot.placement.times import Job, Timetable, timetable

FREE = Limits(per_source=None, per_destination=None)


def job(source: str, destination: str, size: int, *after: int, least: float = 0.0) -> Job:
    return Job(source=source, destination=destination, transfer_bytes=size, least_seconds=least, after=frozenset(after))


def spans(table: Timetable) -> list[tuple[float, float]]:
    return [(round(span.begins_s, 6), round(span.seconds, 6)) for span in table.spans]


def test_one_link_sends_one_after_the_other_at_full_rate() -> None:
    table = timetable([job("a", "b", 100), job("a", "c", 300)], {"a": 100, "b": 1000, "c": 1000}, FREE)
    assert spans(table) == [(3, 1), (0, 3)]
    assert table.seconds == pytest.approx(table.least_seconds) == pytest.approx(4)


def test_links_of_their_own_send_side_by_side() -> None:
    table = timetable([job("a", "b", 100), job("c", "d", 300)], dict.fromkeys("abcd", 100), Limits())
    assert spans(table) == [(0, 1), (0, 3)]


def test_a_link_carries_its_rate_in_each_direction() -> None:
    table = timetable([job("a", "b", 100), job("b", "a", 100)], {"a": 100, "b": 100}, Limits())
    assert table.seconds == pytest.approx(1)


def test_streams_that_meet_share_fairly_and_leave_what_they_cannot_use() -> None:
    links = {"slow": 100, "fast": 400, "sink": 400}
    table = timetable([job("slow", "sink", 100), job("fast", "sink", 600)], links, FREE)
    # 100 for the slow one and 300 for the fast one in the first second, then 300 bytes at 400.
    assert spans(table) == [(0, 1), (0, 1.75)]


def test_a_shared_network_is_the_narrowest_link_of_all() -> None:
    limits = Limits(network_bytes_per_s=100)
    table = timetable([job("a", "b", 100), job("c", "d", 100)], dict.fromkeys("abcd", 100), limits)
    assert table.least_seconds == pytest.approx(2) == pytest.approx(table.seconds)


def test_the_next_move_is_prepared_while_the_link_is_busy() -> None:
    jobs = [job("a", "b", 300, least=1.0) for _ in range(4)]
    assert timetable(jobs, {"a": 100, "b": 100}, FREE).seconds == pytest.approx(13)
    assert timetable(jobs, {"a": 100, "b": 100}, Limits()).seconds == pytest.approx(16)


def test_what_others_wait_for_comes_first() -> None:
    jobs = [job("a", "b", 100), job("a", "c", 100), job("c", "d", 500, 1)]
    table = timetable(jobs, dict.fromkeys("abcd", 100), Limits())
    assert spans(table) == [(1, 1), (0, 1), (1, 5)]


def test_without_a_known_link_a_move_takes_what_it_takes_besides() -> None:
    table = timetable([job("a", "b", 10**12, least=2.0)], {"a": None, "b": None}, Limits())
    assert spans(table) == [(0, 2)]
    assert table.least_seconds == 0


def test_no_moves_take_no_time() -> None:
    assert timetable([], {}, Limits()).seconds == 0


@st.composite
def _work(draw: st.DrawFn) -> tuple[list[Job], dict[str, int | None], Limits]:
    names = ["a", "b", "c", "d"]
    links = {name: draw(st.sampled_from([None, 50, 100, 1000])) for name in names}
    jobs = []
    for number in range(draw(st.integers(0, 9))):
        source, destination = draw(st.permutations(names))[:2]
        after = draw(st.frozensets(st.integers(0, number - 1), max_size=2)) if number else frozenset()
        size, least = draw(st.integers(0, 1000)), draw(st.sampled_from([0.0, 0.5, 3.0]))
        jobs.append(job(source, destination, size, *after, least=least))
    some = st.sampled_from([None, 1, 2])
    rate = st.sampled_from([None, 75, 500])
    return (
        jobs,
        links,
        Limits(per_source=draw(some), per_destination=draw(some), at_once=draw(some), network_bytes_per_s=draw(rate)),
    )


@settings(max_examples=300)
@given(_work())
def test_limits_waits_and_links_are_kept(case: tuple[list[Job], dict[str, int | None], Limits]) -> None:
    jobs, links, limits = case
    table = timetable(jobs, links, limits)
    ends = [span.begins_s + span.seconds for span in table.spans]
    assert table.seconds >= table.least_seconds - 1e-6
    for number, one in enumerate(jobs):
        span = table.spans[number]
        assert all(ends[earlier] <= span.begins_s + 1e-6 for earlier in one.after)
        fastest = min((rate for rate in (links[one.source], links[one.destination]) if rate), default=None)
        assert span.seconds >= one.least_seconds + (one.transfer_bytes / fastest if fastest else 0) - 1e-6
        running = [
            other
            for other, its in enumerate(table.spans)
            if its.begins_s <= span.begins_s + 1e-9 < its.begins_s + its.seconds - 1e-6
        ]
        assert limits.at_once is None or len(running) <= limits.at_once
        for most, side in ((limits.per_source, "source"), (limits.per_destination, "destination")):
            busy = [getattr(jobs[other], side) for other in running]
            assert most is None or all(busy.count(name) <= most for name in busy)
    for name, rate in links.items():  # in any stretch of time no link can have sent more than its rate
        for begin in {span.begins_s for span in table.spans}:
            for end in ends:
                inside = [
                    one.transfer_bytes
                    for one, span, its_end in zip(jobs, table.spans, ends, strict=True)
                    if one.source == name and span.begins_s >= begin and its_end <= end
                ]
                assert rate is None or sum(inside) <= rate * max(0, end - begin) + 1e-3


@settings(max_examples=100)
@given(st.lists(st.tuples(st.sampled_from("bcd"), st.integers(1, 1000)), min_size=1, max_size=12))
def test_emptying_a_host_over_its_link_reaches_the_lower_bound(moves: list[tuple[str, int]]) -> None:
    table = timetable([job("a", to, size) for to, size in moves], {"a": 100, "b": 1000, "c": 1000, "d": 1000}, FREE)
    assert table.seconds == pytest.approx(table.least_seconds)
