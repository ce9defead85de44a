"""The page of one migration: everything in it, nothing from outside, nothing unescaped."""

from __future__ import annotations

import re
from dataclasses import asdict, replace
from xml.etree import ElementTree

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.journal.records import completed, failed, record

from hotfoot.errors import ExitStatus
from hotfoot.journal.curves import Chart, Mark, Series, Span, svg
from hotfoot.journal.record import Timed
from hotfoot.journal.report import html
from hotfoot.migration.action import Action, ActionKind
from hotfoot.migration.sample import JobSample, Phase
from hotfoot.sizes import human_bytes

EVIL = '<script>alert("1")</script>&\''


def looks(count: int) -> list[Timed]:
    return [
        Timed(
            1000 * n,
            asdict(
                JobSample(
                    at_s=n, phase=Phase.COPYING_MEMORY, iteration=n, memory_total_bytes=1 << 28,
                    memory_remaining_bytes=(count - n) << 20, throughput_bytes_per_s=1 << 25,
                    dirty_rate_bytes_per_s=1 << 24 if n else None, throttle_percent=20 if n > 2 else 0,
                )
            ),
        )
        for n in range(count)
    ]  # fmt: skip


ACTION = Timed(2500, asdict(Action(kind=ActionKind.DOWNTIME_LIMIT, at_ms=2500, value=800, reason=f"because {EVIL}")))


def test_the_page_tells_the_whole_migration() -> None:
    forecast = {"total_ms": 1000, "total_ms_low": 900, "total_ms_high": 1500, "verdict": "converges", "reason": "idle"}
    page = html(replace(completed(record(forecast=forecast)), id="20261121-0931-abc"), looks(6), [ACTION])
    for words in ("vm1: n1 → n2", "20261121-0931-abc", "90 ms", "converges", "900 ms to 1.5 s", "raised to 800 ms",
                  "Remaining", "Bandwidth and dirty rate", "Throttle of the guest", "not watched"):  # fmt: skip
        assert words in page, words


def test_the_page_needs_nothing_from_outside() -> None:
    page = html(completed(record()), looks(6), [ACTION])
    assert not re.search(r"(src|href|url\(|@import|https?:|<script|<link)", page)


@pytest.mark.parametrize("field", ["instance", "source", "destination", "cluster", "policy", "asked_from"])
def test_names_cannot_bring_markup_in(field: str) -> None:
    page = html(completed(record(**{field: EVIL, "asked": {"a": EVIL}})), looks(3), [ACTION])
    assert EVIL not in page
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_a_refused_and_an_open_one_have_a_page_too() -> None:
    assert "no room" in html(failed(record(mode=None), ExitStatus.REFUSED, "no room"), [], [])
    assert "not known to have ended" in html(record(), looks(1), [])


VALUES = st.one_of(st.none(), st.floats(0, 1e15, allow_nan=False))


@example([5e-324], 0.0, False, False, False)
@given(st.lists(VALUES, max_size=30), st.floats(0, 1e5), st.booleans(), st.booleans(), st.booleans())
def test_whatever_the_figures_the_drawing_is_whole_and_inside_its_frame(
    values: list[float | None], end_s: float, binary: bool, steps: bool, area: bool
) -> None:
    points = [(float(n), value) for n, value in enumerate(values)]
    series = (Series(name=EVIL, colour=1, points=points, steps=steps, area=area),)
    chart = Chart(title=EVIL, series=series, in_words=human_bytes, binary=binary)
    drawn = svg(chart, end_s, [Mark(end_s / 2, "1", EVIL)], [Span(0, end_s, EVIL)], labels=True)
    ElementTree.fromstring(drawn)
    for path in re.findall(r' d="([^"]+)"', drawn):
        for x, y in re.findall(r"(-?[\d.]+) (-?[\d.]+)", path):
            assert 0 <= float(x) <= 960
            assert 0 <= float(y) <= 206
