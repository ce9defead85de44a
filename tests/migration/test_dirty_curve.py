"""The dirty curve: concave, growing with what is measured, and bounded by what is not known."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from hotfoot.migration.dirty_curve import SAMPLE_BYTES, Dirty, DirtyCurve, DirtyPoint, fit

MIB = 1 << 20
GIB = 1 << 30

areas = st.one_of(st.just(math.inf), st.floats(0, 64 * GIB))
curves = st.builds(
    lambda rate, most, ceiling, in_turn, share, hot: DirtyCurve(rate, most, ceiling, in_turn, share, min(hot, most)),
    st.floats(0, 10 * GIB), areas, areas, st.booleans(), st.floats(0, 1), st.floats(0, GIB),
)  # fmt: skip
moments = st.floats(0, 3600)


def exact(period_s: float, dirtied_mib: float) -> DirtyPoint:
    return DirtyPoint(period_s, dirtied_mib * MIB, 0.01 * MIB)


@given(curves, moments, moments)
def test_it_never_falls_and_rises_ever_slower(curve: DirtyCurve, one: float, other: float) -> None:
    first, last = sorted((one, other))
    assert curve.within(first) <= curve.within(last) <= min(curve.rate_bytes_per_s * last, curve.most_bytes) * 1.001
    middle = curve.within((first + last) / 2)
    assert middle >= (curve.within(first) + curve.within(last)) / 2 * 0.999 - 1e-9


@given(curves, moments, st.floats(0, 99))
def test_a_slowed_guest_writes_no_more(curve: DirtyCurve, seconds: float, percent: float) -> None:
    assert curve.slowed(percent).within(seconds) <= curve.within(seconds)


def test_points_on_a_line_are_a_line_without_an_end() -> None:
    curve = fit([exact(1, 20), exact(4, 80)], GIB).expected
    assert curve.rate_bytes_per_s == pytest.approx(20 * MIB, rel=0.01)
    assert curve.working_set_bytes == math.inf


def test_a_working_set_is_found_from_two_periods() -> None:
    told = [exact(t, 100 * (1 - math.exp(-30 * t / 100))) for t in (1, 6)]
    curve = fit(told, GIB).expected
    assert curve.rate_bytes_per_s == pytest.approx(30 * MIB, rel=0.1)
    assert curve.working_set_bytes == pytest.approx(100 * MIB, rel=0.1)


def in_turn(t: float) -> DirtyPoint:
    return exact(t, min(9 * t, 16))


def test_a_guest_that_goes_over_its_working_set_in_turn_is_told_from_one_that_does_not() -> None:
    curve = fit([in_turn(t) for t in (0.25, 0.5, 1, 2, 4)], GIB, exact=True).expected
    assert curve.in_turn
    assert curve.rate_bytes_per_s == pytest.approx(9 * MIB, rel=0.05)
    assert curve.working_set_bytes == pytest.approx(16 * MIB, rel=0.05)


def test_only_points_from_before_and_after_the_end_of_it_tell() -> None:
    assert not fit([in_turn(t) for t in (2, 3, 4)], GIB, exact=True).expected.in_turn
    assert not fit([in_turn(t) for t in (0.25, 1, 4)], GIB).expected.in_turn


def hot(t: float, rate: float = 27, area: float = 96) -> DirtyPoint:
    most, tenth = 0.9 * rate * t, 0.1 * area
    return exact(t, tenth * (1 - math.exp(-most / tenth)) + 0.9 * area * (1 - math.exp(-most / 81 / tenth)))


def test_a_hot_part_is_told_from_the_rest_of_which_the_end_was_not_seen() -> None:
    curve = fit([hot(t) for t in (0.25, 0.5, 1, 2, 4, 8)], GIB, exact=True).expected
    assert curve.rate_bytes_per_s == pytest.approx(27 * MIB, rel=0.1)
    assert curve.hot_share == pytest.approx(0.9, rel=0.05)
    assert curve.hot_bytes == pytest.approx(9.6 * MIB, rel=0.1)
    for seconds in (0.05, 3, 16):
        assert curve.within(seconds) == pytest.approx(hot(seconds).dirtied_bytes, rel=0.1)


def test_too_few_points_tell_no_two_parts() -> None:
    assert not fit([hot(t) for t in (0.25, 1, 4, 8)], GIB, exact=True).expected.hot_share
    assert not fit([hot(t) for t in (0.25, 0.5, 1, 2, 4, 8)], GIB).expected.hot_share


def test_a_hot_part_that_is_all_dirty_is_not_counted_twice() -> None:
    curve = DirtyCurve(1000 * MIB, 1000 * MIB, hot_share=0.9, hot_bytes=5 * MIB)
    after = curve.added_to(Dirty(5 * MIB, 1 * MIB), 0.1)
    assert after.hot_bytes == 5 * MIB
    assert after.rest_bytes == pytest.approx((1 + 10) * MIB, rel=0.02)


def test_points_that_disagree_widen_the_band() -> None:
    steady, unsteady = (fit([exact(1, 20 - off), exact(1, 20), exact(1, 20 + off)], GIB) for off in (0, 6))
    assert steady.expected.rate_bytes_per_s == pytest.approx(unsteady.expected.rate_bytes_per_s)
    assert steady.high.rate_bytes_per_s < 20.1 * MIB
    assert unsteady.high.rate_bytes_per_s > 24 * MIB


@given(curves, st.floats(0, 64 * GIB), moments)
def test_what_was_dirty_stays_so_and_no_more_is_added_than_was_written(
    curve: DirtyCurve, left: float, seconds: float
) -> None:
    hot = min(left, curve.hot_bytes) / 2
    after = curve.added_to(Dirty(hot, left - hot), seconds).all_bytes
    assert left * 0.999999 <= after <= (left + curve.within(seconds)) * 1.000001


def test_no_more_is_dirty_than_is_used() -> None:
    assert fit([exact(1, 20), exact(4, 80)], 100 * MIB).expected.within(60) == 100 * MIB


def test_one_point_leaves_open_whether_it_goes_on() -> None:
    found = fit([exact(1, 20)], GIB)
    assert found.low.within(60) < 25 * MIB
    assert found.high.within(40) > 700 * MIB


def test_what_was_sampled_is_the_less_certain_the_fewer_pages_it_was() -> None:
    small, large = (DirtyPoint.sampled(1, 20, memory) for memory in (128 * MIB, 16 * GIB))
    assert small.dirtied_bytes == large.dirtied_bytes == 20.5 * MIB
    idle = DirtyPoint.sampled(1, 0, 128 * MIB)
    assert idle.dirtied_bytes == 0
    assert idle.error_bytes >= SAMPLE_BYTES


def test_without_a_point_there_is_no_curve() -> None:
    with pytest.raises(ValueError, match="needs a measured point"):
        fit([], GIB)


@given(
    st.lists(st.builds(DirtyPoint, st.floats(0.5, 20), st.floats(0, GIB), st.floats(MIB, 50 * MIB)), min_size=1),
    moments,
)
def test_every_measurement_gives_curves(points: list[DirtyPoint], seconds: float) -> None:
    found = fit(points, GIB)
    assume(points)
    for curve in (found.low, found.expected, found.high):
        assert 0 <= curve.within(seconds) <= GIB
