"""What running moves show of their streams."""

from __future__ import annotations

import pytest

from hotfoot.migration.sample import JobSample, Phase
from hotfoot.plans.seen_streams import EARLY_S, SeenStreams

MIB = 2**20


def look(sent_mib: int, left_mib: int, iteration: int = 1, elapsed_s: float = 0.0, rate_mib: int = 20) -> JobSample:
    return JobSample(
        at_s=0.0,
        phase=Phase.COPYING_MEMORY,
        iteration=iteration,
        memory_total_bytes=320 * MIB,
        memory_processed_bytes=sent_mib * MIB,
        memory_remaining_bytes=left_mib * MIB,
        throughput_bytes_per_s=rate_mib * MIB,
        elapsed_ms=round(1000 * elapsed_s),
    )


def test_how_long_a_stream_takes_to_open_is_reckoned_back_from_what_it_has_sent() -> None:
    streams = SeenStreams()
    streams.begun(1, 100.0)
    assert streams.sending == []
    streams.ready(1, 102.0)
    assert streams.prepared_s is streams.opened_s is None
    assert streams.let_go(1, 105.0) == 3.0  # it waited for the link, which is not counted
    assert streams.sending == [1]
    streams.seen(1, look(0, 300), 106.0)
    streams.seen(1, look(100, 200, rate_mib=11), 111.5)  # nothing could be seen for a while
    assert streams.opened_s is None
    streams.seen(1, look(120, 180), 112.5)
    assert streams.opened_s == pytest.approx(1.5)
    assert streams.open_ahead_s == pytest.approx(1.5 + EARLY_S)
    assert streams.prepared_s == pytest.approx(2 * 2.0 + 1.5 + EARLY_S)


def test_what_is_left_goes_on_falling_between_looks() -> None:
    streams = SeenStreams()
    streams.begun(1, 0.0)
    streams.ready(1, 0.0)
    streams.let_go(1, 0.0)
    assert streams.left_bytes(0.0) == {}
    streams.seen(1, JobSample(at_s=0.0, phase=Phase.PREPARING), 1.0)
    assert streams.left_bytes(1.0) == {}
    streams.seen(1, look(100, 60), 5.0)
    assert streams.left_bytes(7.0) == {1: 20 * MIB}
    assert streams.left_bytes(9.0) == {1: 0}
    streams.ended(1)
    assert streams.left_bytes(8.0) == {}


def test_what_the_first_pass_does_not_show_is_learned_from_the_moves_before() -> None:
    streams = SeenStreams()
    streams.begun(1, 0.0)
    streams.ready(1, 0.0)
    streams.let_go(1, 0.0)
    streams.seen(1, look(100, 60, elapsed_s=4.0), 5.0)
    streams.seen(1, look(160, 12, iteration=2, elapsed_s=7.0), 8.0)
    assert streams.left_bytes(8.0) == {1: 12 * MIB}
    streams.ended(1, 9000)  # at 10 s, where 60 MiB at 20 MiB/s told 8
    streams.begun(2, 10.0)
    streams.ready(2, 10.0)
    streams.let_go(2, 10.0)
    streams.seen(2, look(100, 60), 15.0)
    assert streams.left_bytes(15.0) == {2: 100 * MIB}
    streams.seen(2, look(150, 10, iteration=2), 18.0)
    assert streams.left_bytes(18.0) == {2: 10 * MIB}


def test_of_what_another_process_began_no_time_is_learned() -> None:
    streams = SeenStreams()
    streams.followed(1, 0.0)
    streams.seen(1, look(100, 60), 50.0)
    streams.seen(1, look(120, 40), 51.0)
    assert streams.sending == [1]
    assert streams.opened_s is None
