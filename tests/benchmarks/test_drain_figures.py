from __future__ import annotations

import pytest
from benchmarks.drain_figures import ALL_AT_ONCE, HOTFOOT, ONE_BY_ONE, Drain, as_text, bound_s, goals
from benchmarks.heard_moves import HeardMove, heard_moves

from hotfoot.errors import HotfootError

HEARD = """\
2026-11-22 16:40:03.500+0000: event 'job-completed' for domain 'vm1':
\toperation: 5
\ttime_elapsed: 2500
\tdowntime: 40
\tmemory_processed: 1000000
2026-11-22 16:40:05.000+0000: event 'job-completed' for domain 'vm2':
\ttime_elapsed: 2000
\tdowntime: 60
\tmemory_processed: 3000000
events received: 2
"""


def drain(way: str, *, span_s: float = 4.0, downtime_ms: int = 50, sent: tuple[int, int] = (10**6, 3 * 10**6)) -> Drain:
    one, other = sent
    moves = (
        HeardMove(instance="vm1", ended_s=3.5, total_ms=2500, downtime_ms=downtime_ms, sent_bytes=one),
        HeardMove(instance="vm2", ended_s=1.0 + span_s, total_ms=2000, downtime_ms=downtime_ms, sent_bytes=other),
    )
    return Drain(way=way, link="8mbit", link_bytes_per_s=1e6, command_s=span_s + 2, moves=moves)


def test_moves_that_libvirt_told_of_are_read_with_their_times() -> None:
    one, other = heard_moves(HEARD)
    assert (one.instance, one.total_ms, one.downtime_ms, one.sent_bytes) == ("vm1", 2500, 40, 1_000_000)
    assert other.instance == "vm2"
    assert other.ended_s - one.ended_s == pytest.approx(1.5)
    assert heard_moves("event loop timed out\nevents received: 0\n") == ()


def test_a_move_without_figures_is_an_error() -> None:
    with pytest.raises(HotfootError, match="no figures"):
        heard_moves(HEARD.replace("\tdowntime: 40\n", ""))


def test_the_span_begins_with_the_first_move_and_the_bound_is_of_the_fewest_bytes() -> None:
    drains = [drain(HOTFOOT), drain(ONE_BY_ONE, sent=(2 * 10**6, 2 * 10**6))]
    assert drains[0].span_s == pytest.approx(4.0)
    assert bound_s(drains) == pytest.approx(3.0)


def test_the_faster_way_by_hand_is_the_measure() -> None:
    by_hand = [drain(ONE_BY_ONE, span_s=3.2, downtime_ms=100), drain(ALL_AT_ONCE, span_s=8.0, downtime_ms=1)]
    drains = [drain(HOTFOOT), *by_hand]
    found = {goal.what: goal.measured for goal in goals(drains)}
    assert found[f"8mbit: moves of {HOTFOOT}, to the bound"] == pytest.approx(1.0)
    assert found[f"8mbit: moves of {HOTFOOT}, to {ONE_BY_ONE}"] == pytest.approx(1.25)
    assert found[f"8mbit: downtime of all, to {ONE_BY_ONE}"] == pytest.approx(0.5)
    assert goals(drains[:2]) == []
    assert f"MISS  8mbit: moves of {HOTFOOT}, to {ONE_BY_ONE}" in as_text(drains)
