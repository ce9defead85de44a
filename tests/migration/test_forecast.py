"""The forecast: what it promises of all guests and links, and some that are known by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotfoot.migration.action import Action, ActionKind
from hotfoot.migration.dirty_curve import DirtyCurve, DirtyCurves, DirtyPoint, fit
from hotfoot.migration.forecast import Band, Convergence, Forecast, Measured, forecast
from hotfoot.migration.passes import Pace, limit_needed_ms, throttle_needed_percent, walk
from hotfoot.migration.policy import BUILT_IN, Policy
from hotfoot.migration.simulator import Guest, Link, Writes, simulate

MIB = 1 << 20
GIB = 1 << 30

areas = st.floats(MIB, 64 * GIB)
curves = st.builds(
    lambda rate, most, ceiling, in_turn, share, hot: DirtyCurve(rate, most, ceiling, in_turn, share, hot * most),
    st.floats(0, 4 * GIB), areas, areas, st.booleans(), st.sampled_from([0.0, 0.5, 0.9]), st.floats(0, 1),
)  # fmt: skip
sizes = st.floats(0, 64 * GIB)
rates = st.floats(MIB, 4 * GIB)
limits = st.floats(1, 5000)
bands = st.lists(st.integers(1, 1 << 36), min_size=3, max_size=3).map(lambda three: Band(*_in_order(three)))
points = st.builds(DirtyPoint, st.sampled_from([1.0, 2.0, 4.0]), st.floats(0, GIB), st.floats(MIB, 20 * MIB))
measured = st.builds(
    Measured,
    memory_used=bands,
    throughput_bytes_per_s=bands,
    dirty=st.builds(fit, st.lists(points, min_size=1, max_size=3), st.floats(MIB, 64 * GIB)),
    downtime_limit_ms=st.integers(1, 5000),
    policy=st.sampled_from([None, *BUILT_IN.values()]),
    post_copy=st.booleans(),
)


def _in_order(three: list[int]) -> tuple[int, int, int]:
    low, middle, high = sorted(three)
    return middle, low, high


def of(rate_mib: float, *, used_mib: int = 180, sends_mib: int = 25, **more: Any) -> Measured:
    curve = DirtyCurve(rate_mib * MIB, ceiling_bytes=used_mib * MIB)
    figures: dict[str, Any] = {
        "memory_used": Band.exactly(used_mib * MIB),
        "throughput_bytes_per_s": Band.exactly(sends_mib * MIB),
        "dirty": DirtyCurves(curve, curve, curve),
        "setup_ms": Band.exactly(0),
        "switch_ms": Band.exactly(0),
    }
    return Measured(**(figures | more))


def seconds(size: float, curve: DirtyCurve, pace: Pace) -> float:
    passed = walk(size, curve, pace)
    return passed.seconds + passed.remaining_bytes / pace.throughput_bytes_per_s if passed.ended else float("inf")


@given(sizes, curves, rates, st.floats(1, 10), limits)
def test_more_throughput_never_takes_longer(
    size: float, curve: DirtyCurve, rate: float, more: float, limit: float
) -> None:
    slow, fast = (seconds(size, curve, Pace(each, limit)) for each in (rate, rate * more))
    assert fast <= slow * (1 + 1e-6) + 1e-6


@given(sizes, curves, st.floats(1, 10), st.floats(1, 10), rates, limits)
def test_more_dirtying_never_takes_less_time(
    size: float, curve: DirtyCurve, faster: float, larger: float, rate: float, limit: float
) -> None:
    worse = replace(
        curve, rate_bytes_per_s=curve.rate_bytes_per_s * faster, working_set_bytes=curve.working_set_bytes * larger,
        ceiling_bytes=curve.ceiling_bytes * larger, hot_bytes=curve.hot_bytes * larger,
    )  # fmt: skip
    calm, busy = (seconds(size, each, Pace(rate, limit)) for each in (curve, worse))
    assert calm <= busy * (1 + 1e-6) + 1e-6


@given(sizes, curves, rates, st.floats(1, 10), limits, st.floats(1, 10))
def test_what_converges_does_so_with_more_throughput_and_a_higher_limit(
    size: float, curve: DirtyCurve, rate: float, faster: float, limit: float, higher: float
) -> None:
    if walk(size, curve, Pace(rate, limit)).ended:
        assert walk(size, curve, Pace(rate * faster, limit)).ended
        assert walk(size, curve, Pace(rate, limit * higher)).ended


@given(measured)
def test_every_band_is_in_order(known: Measured) -> None:
    told = forecast(known)
    for band in (told.total_ms, told.transferred_bytes, told.iterations, told.downtime_ms):
        assert (band is None) == (told.verdict is Convergence.NEVER)
        assert band is None or 0 <= band.low <= band.expected <= band.high
    assert told.reason.endswith(".")


def test_an_idle_guest_takes_its_memory_over_the_throughput() -> None:
    told = forecast(of(0, used_mib=250, sends_mib=25))
    assert told.total_ms is not None
    assert told.total_ms.expected == pytest.approx(10_000, rel=0.01)
    assert told.iterations == Band.exactly(3)
    assert told.transferred_bytes == Band.exactly(250 * MIB)


def test_a_busy_guest_takes_a_geometric_series() -> None:
    told = forecast(of(12.5, used_mib=250, sends_mib=25, downtime_limit_ms=20))
    assert told.total_ms is not None
    assert told.total_ms.expected == pytest.approx(20_000, rel=0.03)  # 10 s (1 + 1/2 + 1/4 ...)
    assert told.verdict is Convergence.ITSELF


def test_what_does_not_converge_is_told_in_numbers() -> None:
    told = forecast(of(60, used_mib=120, sends_mib=25))
    assert told.verdict is Convergence.NEVER
    assert told.total_ms is None
    assert told.reason == (
        "The guest dirties 60 MiB/s, and 25 MiB/s can be sent: 120 MiB always remain, which take 4.8 s, and the"
        " downtime limit is 300 ms. A downtime limit of 3.0 s, vCPUs slowed by 60 %, or post-copy would end it."
    )


def test_of_what_may_converge_all_the_same_it_is_told_that_it_is_near_the_limit() -> None:
    slow, fast = (DirtyCurve(rate * MIB, ceiling_bytes=120 * MIB) for rate in (24.0, 26.0))
    near = forecast(of(0, dirty=DirtyCurves(slow, fast, fast)))
    assert near.verdict is Convergence.NEVER
    assert "It is near the limit: it may be that it converges. A downtime limit of" in near.reason
    assert "near the limit" not in forecast(of(0, dirty=DirtyCurves(fast, fast, fast))).reason


def test_the_help_that_it_names_is_enough_and_not_more_than_that() -> None:
    curve, pace = DirtyCurve(60 * MIB, ceiling_bytes=120 * MIB), Pace(25 * MIB, 300)
    need = limit_needed_ms(180 * MIB, curve, pace)
    assert walk(180 * MIB, curve, replace(pace, downtime_limit_ms=need)).ended
    assert not walk(180 * MIB, curve, replace(pace, downtime_limit_ms=0.95 * need)).ended
    percent = throttle_needed_percent(180 * MIB, curve, pace)
    assert percent is not None
    assert walk(180 * MIB, curve.slowed(percent), pace).ended
    assert not walk(180 * MIB, curve.slowed(percent - 10), pace).ended


def test_a_working_set_that_fits_into_the_downtime_converges_however_fast_it_is_written() -> None:
    assert forecast(of(600, used_mib=120, sends_mib=25)).verdict is Convergence.NEVER
    small = DirtyCurve(600 * MIB, working_set_bytes=5 * MIB)
    told = forecast(of(0, dirty=DirtyCurves(small, small, small)))
    assert told.verdict is Convergence.ITSELF


@pytest.mark.parametrize("sends_mib", [11.4, 22.8, 34.2])
@pytest.mark.parametrize(("rate_mib", "area_mib"), [(9, 96), (27, 96), (57, 96), (27, 16), (57, 16), (38, 64)])
def test_guests_with_a_hot_part_converge_where_they_do_in_the_simulator(
    rate_mib: int, area_mib: int, sends_mib: float
) -> None:
    tenth, used = 0.1 * area_mib * MIB, (area_mib + 100) * MIB
    hot = Writes(bytes_per_s=0.9 * rate_mib * MIB, area_bytes=tenth)
    rest = Writes(bytes_per_s=0.1 * rate_mib * MIB, area_bytes=9 * tenth)
    guest = Guest(memory_bytes=512 * MIB, used_bytes=used, work=((0, (hot, rest)),))
    given_up = Action(kind=ActionKind.GIVE_UP, at_ms=0, reason="it does not converge")
    real = simulate(
        guest, Link(bytes_per_s=((0, sends_mib * MIB),)), lambda seen: (given_up,) * (seen.elapsed_ms > 100_000)
    )
    written = [(t, hot.dirty_bytes(0, 1000 * t, 1) + rest.dirty_bytes(0, 1000 * t, 1)) for t in (0.25, 0.5, 1, 2, 4, 8)]
    curve = fit([DirtyPoint(t, found, 0.03 * found + 0.3 * MIB) for t, found in written], used, exact=True).expected
    foretold = walk(used, curve, Pace(sends_mib * MIB, 300))
    assert foretold.ended == real.finished
    if real.finished:
        took_s = foretold.seconds + foretold.remaining_bytes / MIB / sends_mib
        assert 1000 * took_s == pytest.approx(real.total_ms, rel=0.08)


@pytest.mark.parametrize(
    ("policy", "more", "verdict", "words"),
    [
        (BUILT_IN["gentle"], {}, Convergence.NEVER, "would end it"),
        (Policy(name="p", max_downtime_ms=6000, steps=(ActionKind.DOWNTIME_LIMIT,)), {}, Convergence.HELPED, "4.9 s"),
        (Policy(name="p", steps=(ActionKind.POST_COPY,)), {"post_copy": True}, Convergence.HELPED, "post-copy"),
        (Policy(name="p", steps=(ActionKind.POST_COPY,)), {}, Convergence.NEVER, "would end it"),
        (Policy(name="p", steps=(ActionKind.PAUSE,)), {}, Convergence.HELPED, "a pause"),
        (BUILT_IN["balanced"], {"throttle": BUILT_IN["balanced"].throttle}, Convergence.HELPED, "vCPUs slowed"),
    ],
)
def test_a_policy_decides_what_helps(policy: Policy, more: dict[str, Any], verdict: Convergence, words: str) -> None:
    told = forecast(of(60, used_mib=120, policy=policy, **more))
    assert told.verdict is verdict
    assert words in told.reason


def test_post_copy_lets_the_guest_stand_still_for_the_switch_over_only() -> None:
    known = of(60, policy=BUILT_IN["must-finish"], post_copy=True, switch_ms=Band(90, 30, 250))
    assert forecast(known).downtime_ms == Band(90, 30, 250)


def test_qemu_throttles_by_its_own_rule_also_what_would_converge() -> None:
    told = forecast(of(20, throttle=BUILT_IN["balanced"].throttle))
    assert told.verdict is Convergence.HELPED
    assert "QEMU slows the vCPUs down" in told.reason


def test_disks_are_sent_before_the_memory() -> None:
    plain, block = forecast(of(0)), forecast(of(0, disks=Band(250 * MIB, 0, 500 * MIB)))
    assert plain.total_ms is not None
    assert block.total_ms is not None
    assert block.total_ms.expected - plain.total_ms.expected == pytest.approx(10_000, abs=2)


def test_as_json_has_all_keys_whether_it_ends_or_not() -> None:
    names = ("total_ms", "transferred_bytes", "iterations", "downtime_ms")
    keys = {f"{name}{end}" for name in names for end in ("", "_low", "_high")} | {"verdict", "reason"}
    for rate in (0, 60):
        assert set(forecast(of(rate)).as_json()) == keys
    assert forecast(of(60)).as_json()["total_ms_high"] is None


def test_in_words() -> None:
    told = Forecast(
        verdict=Convergence.ITSELF,
        reason="The guest is idle.",
        total_ms=Band(4200, 3900, 5100),
        transferred_bytes=Band.exactly(160 * MIB),
        iterations=Band.exactly(3),
        downtime_ms=Band(250, 90, 330),
    )
    assert told.in_words() == (
        "about 4.2 s (3.9 s to 5.1 s), 160 MiB sent in 3 iterations, downtime about 250 ms (90 ms to 330 ms)"
    )
