"""Looks at pages, and what follows from them.

Recorded: lab guests (QEMU 10.0 under TCG on two busy cores) that rewrote so many MiB/s of so large an area, in turn but
where a ``pattern`` is told; ``sampled`` is what libvirt's page-sampling said of the same guest at the same time (period
in s, MiB/s).
"""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotfoot.migration.dirty_curve import DirtyCurve, DirtyCurves, DirtyPoint, fit
from hotfoot.migration.page_watch import PageWatch, curves
from hotfoot.migration.simulator import Writes

MIB = 1 << 20
PAGE = 4096
RECORDED = sorted(Path(__file__).with_name("page_watches").glob("*.json"))
GUESTS: dict[str, dict[str, Any]] = {path.stem: json.loads(path.read_text()) for path in RECORDED}
BUSY = [name for name, guest in GUESTS.items() if guest["rate_mib"]]
IDLE = [name for name in GUESTS if name not in BUSY]
SHORT_S, LONG_S = 0.3, 4.0


def watch(histories: dict[str, int], *, pages: int, used: int = 0) -> PageWatch:
    looks = len(next(iter(histories)))
    return PageWatch(
        page_bytes=PAGE, pages=pages, looked_at=sum(histories.values()), used=used,
        at_s=tuple(float(n) for n in range(looks + 1)), histories=histories,
    )  # fmt: skip


def watched(guest: dict[str, Any]) -> list[PageWatch]:
    return [PageWatch(**{**look, "at_s": tuple(look["at_s"])}) for look in guest["looks"]]


def found_of(guest: dict[str, Any]) -> DirtyCurves:
    return curves(watched(guest), guest["memory_mib"] * MIB)


def sampled(guest: dict[str, Any]) -> DirtyCurve:
    memory_bytes = guest["memory_mib"] * MIB
    points = [DirtyPoint.sampled(period_s, rate, memory_bytes) for period_s, rate in guest["sampled"]]
    return fit(points, memory_bytes).expected


def written_by(guest: dict[str, Any], seconds: float) -> float:
    work = Writes(
        bytes_per_s=guest["rate_mib"] * MIB, area_bytes=guest["area_mib"] * MIB, circle="pattern" not in guest
    )
    parts = [work]
    if guest.get("pattern") == "hot":
        parts = [
            replace(work, bytes_per_s=writes * work.bytes_per_s, area_bytes=area * work.area_bytes)
            for writes, area in ((0.9, 0.1), (0.1, 0.9))
        ]
    return sum(part.dirty_bytes(0, 1000 * seconds, 1) for part in parts)


def off(guest: dict[str, Any], found: DirtyCurve, seconds: float) -> float:
    written = written_by(guest, seconds)
    return abs(found.within(seconds) - written) / written


@st.composite
def watches(draw: st.DrawFn) -> PageWatch:
    looks = draw(st.integers(1, 5))
    every = ["".join(digits) for digits in product("01", repeat=looks)]
    histories = draw(st.dictionaries(st.sampled_from(every), st.integers(1, 1 << 15), min_size=1))
    looked_at = sum(histories.values())
    return watch(histories, pages=looked_at * draw(st.integers(1, 64)), used=draw(st.integers(0, looked_at)))


@given(watches())
def test_more_time_finds_no_less_written_and_never_more_than_all(seen: PageWatch) -> None:
    from_first = seen.points()[: len(seen.at_s) - 1]
    found = [point.dirtied_bytes for point in from_first]
    assert found == sorted(found)
    assert found[-1] <= seen.pages * PAGE * 1.000001
    assert seen.used_bytes <= seen.pages * PAGE


@given(watches())
def test_what_is_written_within_a_time_is_never_more_than_within_its_parts(seen: PageWatch) -> None:
    looks = len(seen.at_s) - 1
    from_first, between = seen.points()[:looks], seen.points()[looks:]
    parts = from_first[0].dirtied_bytes + sum(point.dirtied_bytes for point in between)
    assert from_first[-1].dirtied_bytes <= parts * 1.000001


@given(watches())
def test_every_watch_gives_curves_within_the_memory(seen: PageWatch) -> None:
    found = curves([seen], seen.pages * PAGE)
    for each in (found.low, found.expected, found.high):
        assert 0 <= each.within(LONG_S) <= seen.pages * PAGE


def test_a_page_written_twice_counts_once() -> None:
    first, both, second = watch({"11": 30, "01": 10, "00": 60}, pages=100).points()
    assert (first.period_s, both.period_s, second.period_s) == (1, 2, 1)
    assert (first.dirtied_bytes, both.dirtied_bytes, second.dirtied_bytes) == (30 * PAGE, 40 * PAGE, 40 * PAGE)


def test_the_more_pages_are_looked_at_the_more_certain_it_is() -> None:
    few, many, every = (watch({"1": n // 8, "0": n - n // 8}, pages=1 << 18) for n in (1 << 12, 1 << 15, 1 << 18))
    assert few.points()[0].dirtied_bytes == many.points()[0].dirtied_bytes == 128 * MIB
    assert few.points()[0].error_bytes > many.points()[0].error_bytes > every.points()[0].error_bytes
    assert every.used_error_bytes == 0


@pytest.mark.parametrize("name", BUSY)
def test_hot_parts_are_found_where_there_are_some_and_nowhere_else(name: str) -> None:
    found = found_of(GUESTS[name]).expected
    if GUESTS[name].get("pattern") != "hot":
        assert not found.hot_share
        return
    assert found.hot_share == pytest.approx(0.9, abs=0.05)
    assert found.hot_bytes == pytest.approx(GUESTS[name]["area_mib"] / 10 * MIB, rel=0.2)


@pytest.mark.parametrize("name", BUSY)
@pytest.mark.parametrize("seconds", [SHORT_S, LONG_S])
def test_what_a_guest_writes_is_told_to_an_eighth(name: str, seconds: float) -> None:
    assert off(GUESTS[name], found_of(GUESTS[name]).expected, seconds) < 0.125


def test_libvirt_s_page_sampling_was_off_by_several_times_as_much() -> None:
    both = [GUESTS[name] for name in BUSY if GUESTS[name]["sampled"]]
    pages = sum(off(guest, found_of(guest).expected, SHORT_S) for guest in both)
    samples = sum(off(guest, sampled(guest), SHORT_S) for guest in both)
    assert samples > 4 * pages


def test_nine_times_of_ten_the_band_holds_what_the_guest_writes() -> None:
    held = []
    for guest, seconds in product((GUESTS[name] for name in BUSY), (SHORT_S, LONG_S)):
        found, unseen = found_of(guest), 0.35 * MIB * (1 + seconds)  # what the guest's kernel writes beside
        written = written_by(guest, seconds)
        held.append(found.low.within(seconds) - unseen <= written <= found.high.within(seconds))
    assert sum(held) >= 0.9 * len(held)


def test_a_working_set_whose_end_was_not_seen_lies_between_what_was_seen_and_all() -> None:
    seen = watch({"10": 100, "01": 100, "00": 800}, pages=1000)
    found = curves([seen], 800 * PAGE)
    assert found.expected.working_set_bytes == pytest.approx(400 * PAGE)
    assert found.expected.within(2) == pytest.approx(200 * PAGE)
    assert found.high.within(1000) == 800 * PAGE


@pytest.mark.parametrize("name", IDLE)
def test_a_guest_that_rests_writes_next_to_nothing(name: str) -> None:
    assert found_of(GUESTS[name]).expected.within(1) < 0.5 * MIB


@pytest.mark.parametrize("name", GUESTS)
def test_two_looks_agree_on_what_is_used(name: str) -> None:
    one, other = watched(GUESTS[name])
    assert one.used_bytes == pytest.approx(other.used_bytes, rel=0.03)
