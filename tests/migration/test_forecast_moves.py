"""Real migrations of lab guests (QEMU 10.0 under TCG, shaped links), played again: what the operator would have seen.

Recorded by ``make bench-forecast``, under a policy that never helps. Of hot-does-not-converge the first 22 s.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from hotfoot.migration.dirty_curve import DirtyCurve, DirtyCurves
from hotfoot.migration.forecast import Band, Measured, forecast
from hotfoot.migration.outlook import Outlook
from hotfoot.migration.progress import Progress
from hotfoot.migration.sample import JobSample, Phase

RECORDED = sorted(Path(__file__).with_name("forecasts").glob("*.json"))
MOVES: dict[str, dict[str, Any]] = {path.stem: json.loads(path.read_text()) for path in RECORDED}
MISJUDGED = "nearly-as-fast-as-the-link"
COMPLETED = [name for name, move in MOVES.items() if move["outcome"] == "completed" and name != MISJUDGED]
GIVEN_UP = [name for name, move in MOVES.items() if move["outcome"] != "completed"]


def played(move: dict[str, Any]) -> Iterator[Progress]:
    told = move["measured"]
    measured = Measured(
        memory_used=Band(**told["memory_used"]),
        throughput_bytes_per_s=Band(**told["throughput_bytes_per_s"]),
        dirty=DirtyCurves(**{which: DirtyCurve(**curve) for which, curve in told["dirty"].items()}),
        downtime_limit_ms=told["downtime_limit_ms"],
    )
    progress = Progress(outlook=Outlook.of(measured, forecast(measured)))
    for sample in move["samples"]:
        progress = progress.advance(JobSample(**{**sample, "phase": Phase(sample["phase"])}))
        yield progress


@pytest.mark.parametrize("name", COMPLETED)
def test_the_expected_end_of_what_completed_was_near_the_real_one(name: str) -> None:
    *looks, last = played(MOVES[name])
    for look in looks:
        assert look.obstacle is None
        if look.iteration > 1 and look.left_ms is not None:
            assert look.elapsed_ms + look.left_ms == pytest.approx(last.elapsed_ms, rel=0.2, abs=1000)


@pytest.mark.parametrize("name", GIVEN_UP)
def test_what_was_given_up_was_shown_not_to_converge_and_without_wavering(name: str) -> None:
    shown = [look.obstacle is not None for look in played(MOVES[name]) if look.iteration > 4]
    assert all(shown)


@pytest.mark.parametrize("name", MOVES)
def test_the_view_turns_from_one_to_the_other_once_at_most(name: str) -> None:
    shown = [look.obstacle is not None for look in played(MOVES[name]) if look.left_ms is not None or look.obstacle]
    assert sum(one is not other for one, other in pairwise(shown)) <= 1
