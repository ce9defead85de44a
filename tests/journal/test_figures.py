"""Accuracy, summary, percentiles, ages, places: values in, verdict out."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.journal.records import completed, failed, record

from hotfoot.errors import ExitStatus, HotfootError
from hotfoot.journal.accuracy import accuracy
from hotfoot.journal.ages import age_ms, moment_ms
from hotfoot.journal.place import place_of
from hotfoot.journal.ranks import percentile
from hotfoot.journal.record import Record
from hotfoot.journal.summary import failures, groups
from hotfoot.migration.action import Action, ActionKind


@given(st.lists(st.integers(), min_size=1), st.floats(0.1, 100))
def test_a_percentile_is_the_least_figure_that_so_many_do_not_exceed(figures: list[int], percent: float) -> None:
    found = percentile(figures, percent)
    assert found in figures
    share = sum(figure <= found for figure in figures) / len(figures)
    assert share >= percent / 100 - 1e-9
    below = [figure for figure in figures if figure < found]
    assert len(below) < math.ceil(percent / 100 * len(figures))


def forecast(of: Record, total_ms: int, verdict: str) -> Record:
    band = {"total_ms": total_ms, "total_ms_low": total_ms - 100, "total_ms_high": total_ms + 100}
    return replace(of, forecast={**band, "verdict": verdict})


def test_accuracy_compares_forecast_and_outcome() -> None:
    helped = (Action(kind=ActionKind.THROTTLE, at_ms=1),)
    gave_up = {"actions": [{"kind": "give-up"}]}
    aborted = failed(record(), ExitStatus.ABORTED, "given up")
    found = accuracy(
        [
            forecast(completed(record(), total_ms=1000), 1050, "converges"),
            forecast(completed(record(), total_ms=1000), 800, "converges"),
            forecast(completed(record(), total_ms=1000, actions=helped), 500, "converges with help"),
            forecast(replace(aborted, result=gave_up), 9000, "does not converge"),
            forecast(failed(record(), ExitStatus.FAILED_ON_SOURCE, "link down"), 1000, "converges"),
            completed(record()),
            forecast(record(), 1000, "converges"),
        ]
    )
    assert (found.forecasts, found.timed, found.total_in_band) == (5, 3, 1)
    assert (found.total_error_median, found.total_error_p90) == (0.2, 0.5)
    assert (found.verdicts, found.verdicts_right, found.right_share) == (4, 4, 1.0)
    wrong = accuracy([forecast(completed(record(), actions=helped), 1000, "converges")])
    assert wrong.right_share == 0.0
    assert accuracy([]).right_share is None


def test_summary_groups_by_hosts_and_policy_and_leaves_out_what_was_refused() -> None:
    there = [completed(record(), downtime_ms=ms) for ms in (10, 20, 30)]
    gentle = completed(record(policy="gentle"), downtime_ms=5)
    refused = failed(record(), ExitStatus.REFUSED, "no room")
    lost = failed(record(), ExitStatus.FAILED_ON_SOURCE, "link down")
    found = groups([*there, gentle, refused, lost, record()])
    assert [(each.policy, each.migrations, each.completed) for each in found] == [("balanced", 4, 3), ("gentle", 1, 1)]
    assert (found[0].downtime_ms_median, found[0].downtime_ms_p99, found[0].outage_ms_median) == (20, 30, None)


def test_failures_of_one_kind_are_counted_together_whatever_the_names() -> None:
    one = failed(record(), ExitStatus.REFUSED, "vm1 is already on n2: source and destination (n1) differ by 1.5 s.")
    other = failed(
        record(instance="web", source="a", destination="b"),
        ExitStatus.REFUSED,
        "web is already on b: source and destination (a) differ by 17 s.",
    )
    (found,) = failures([one, other, completed(record()), record()])
    assert (found.end, found.count) == ("refused", 2)
    assert found.reason == "INSTANCE is already on DESTINATION: source and destination (SOURCE) differ by N s."


def test_ages_and_dates() -> None:
    assert age_ms("90d") == 90 * 86_400_000
    assert moment_ms("2h", 10_000_000) == 10_000_000 - 7_200_000
    assert moment_ms("2026-11-01T00:00+00:00", 0) == 1_793_491_200_000
    for text in ("", "90", "d", "-1d", "yesterday", "9999999d"):
        with pytest.raises(ValueError, match="must be"):
            moment_ms(text, 0)


def test_the_environment_comes_before_the_cluster_file(tmp_path: Path) -> None:
    declared = "postgresql://hotfoot@db/hotfoot"
    assert place_of(declared, {}).url == declared
    assert place_of(declared, {"HOTFOOT_JOURNAL": f"sqlite:///{tmp_path}/x.sqlite3"}).file == tmp_path / "x.sqlite3"
    assert place_of(None, {}).file is not None
    with pytest.raises(HotfootError, match="HOTFOOT_JOURNAL must"):
        place_of(None, {"HOTFOOT_JOURNAL": "mysql://u:secret@h/d"})
