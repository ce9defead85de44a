"""The expected end while a migration runs: corrected by each iteration, and calm."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotfoot.migration.dirty_curve import DirtyCurve, DirtyCurves
from hotfoot.migration.forecast import Band, Convergence, Measured, forecast
from hotfoot.migration.outlook import Outlook
from hotfoot.migration.progress import Progress
from hotfoot.migration.simulator import Guest, Link, Writes, simulate

MIB = 1 << 20


def begun(rate_mib: float, *, used_mib: int = 200, sends_mib: int = 50) -> Outlook:
    curve = DirtyCurve(rate_mib * MIB, ceiling_bytes=used_mib * MIB)
    measured = Measured(
        memory_used=Band.exactly(used_mib * MIB),
        throughput_bytes_per_s=Band.exactly(sends_mib * MIB),
        dirty=DirtyCurves(curve, curve, curve),
    )
    return Outlook.of(measured, forecast(measured))


def look(
    outlook: Outlook, iteration: int, remaining_mib: float, elapsed_ms: int, sends_mib: int = 50, sent_mib: int = 0
) -> Outlook:
    return outlook.look(iteration, int(remaining_mib * MIB), elapsed_ms, sends_mib * MIB, None, sent_mib * MIB)


def test_the_forecast_counts_from_the_first_look_and_zero_pages_do_not() -> None:
    outlook = look(begun(0), 1, 1024, 0)
    assert outlook.left_ms(1024 * MIB, 0) == 4000
    assert outlook.left_ms(900 * MIB, 100 * MIB) == 2000


def test_an_iteration_that_was_worse_than_foretold_moves_the_end() -> None:
    calm = look(begun(0), 1, 200, 0)
    busy = look(calm, 2, 100, 4000)  # 25 MiB/s were dirtied
    left = busy.left_ms(100 * MIB, 200 * MIB)
    assert left is not None
    assert 3000 < left < 4300


def test_a_first_look_that_comes_late_does_not_make_the_guest_look_busier() -> None:
    on_time = look(look(begun(0), 1, 200, 0), 2, 100, 4000)
    late = look(look(begun(0), 1, 50, 3000, sent_mib=150), 2, 100, 4000, sent_mib=200)
    assert late.left_ms(100 * MIB, 200 * MIB) == on_time.left_ms(100 * MIB, 200 * MIB)


def test_one_iteration_without_progress_does_not_turn_the_verdict_but_two_do() -> None:
    outlook = look(look(begun(0), 1, 200, 0), 2, 190, 4000)
    assert outlook.left_ms(190 * MIB, 200 * MIB) is not None
    assert outlook.obstacle(None) is None
    outlook = look(outlook, 3, 190, 7800)
    assert outlook.left_ms(190 * MIB, 390 * MIB) is not None
    outlook = look(outlook, 4, 190, 11_600)
    assert outlook.left_ms(190 * MIB, 580 * MIB) is None
    assert outlook.obstacle(60 * MIB) == "not converging: dirties 60 MiB/s, sends 50 MiB/s"


def test_what_was_foretold_not_to_converge_is_shown_so_until_two_iterations_say_the_opposite() -> None:
    outlook = look(begun(90), 1, 200, 0)
    assert outlook.stuck
    assert outlook.left_ms(200 * MIB, 0) is None
    outlook = look(outlook, 2, 20, 4000)
    assert outlook.stuck
    outlook = look(outlook, 3, 16, 4200)
    assert outlook.left_ms(16 * MIB, 220 * MIB) is not None


def test_of_a_guest_with_a_hot_part_the_end_is_known_after_the_first_pass() -> None:
    hot = Writes(bytes_per_s=36 * MIB, area_bytes=6.4 * MIB)
    rest = Writes(bytes_per_s=4 * MIB, area_bytes=57.6 * MIB)
    guest = Guest(memory_bytes=256 * MIB, used_bytes=128 * MIB, work=((0, (hot, rest)),))
    end = simulate(guest, Link(bytes_per_s=((0, 23.0 * MIB),)))
    curve = DirtyCurve(40.0 * MIB, 64.0 * MIB, 128.0 * MIB, hot_share=0.9, hot_bytes=6.4 * MIB).scaled(1.1)
    measured = Measured(
        memory_used=Band.exactly(128 * MIB),
        throughput_bytes_per_s=Band.exactly(23 * MIB),
        dirty=DirtyCurves(curve, curve, curve),
    )
    progress, told = Progress(outlook=Outlook.of(measured, forecast(measured))), 0
    for sample in end.samples:
        progress = progress.advance(sample)
        if progress.iteration > 1 and progress.left_ms is not None:
            told += 1
            assert progress.elapsed_ms + progress.left_ms == pytest.approx(end.total_ms, rel=0.05)
    assert told > 3


def test_a_raised_downtime_limit_lets_it_end() -> None:
    outlook = look(look(begun(90), 1, 200, 0), 2, 190, 4000).with_downtime_limit(10_000)
    outlook = look(look(outlook, 3, 190, 7800), 4, 190, 11_600)
    assert outlook.left_ms(190 * MIB, 500 * MIB) is not None


steps = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 4000), st.integers(1, 5000)), max_size=30)


@given(st.floats(0, 200), steps)
def test_the_verdict_turns_only_when_two_iterations_in_a_row_say_so(
    rate: float, looks: list[tuple[int, int, int]]
) -> None:
    outlook, iteration, elapsed_ms, since = begun(rate), 1, 0, 0
    assert outlook.stuck is (forecast_verdict(rate) is Convergence.NEVER)
    for more, remaining_mib, ms in looks:
        iteration, elapsed_ms = iteration + more, elapsed_ms + ms
        before, outlook = outlook, look(outlook, iteration, remaining_mib, elapsed_ms)
        since = since + 1 if outlook.iteration > before.iteration else since
        if outlook.stuck is not before.stuck:
            assert outlook.iteration > before.iteration
            assert since >= 2
            since = 0
        left = outlook.left_ms(remaining_mib * MIB, 0)
        assert left is None or left >= 0
        assert (left is None) == bool(outlook.stuck)


def forecast_verdict(rate_mib: float) -> Convergence:
    curve = DirtyCurve(rate_mib * MIB, ceiling_bytes=200 * MIB)
    known = Measured(
        memory_used=Band.exactly(200 * MIB),
        throughput_bytes_per_s=Band.exactly(50 * MIB),
        dirty=DirtyCurves(curve, curve, curve),
    )
    return forecast(known).verdict
