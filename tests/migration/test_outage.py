"""The verdict of the outage watch, from streams of probes and answers."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from hotfoot.migration.outage import PATIENCE_NS, Outage, OutageTally

MS = 1_000_000
INTERVAL_MS = 5
WALL_NS = 1_700_000_000 * 1_000_000_000


def watched(
    answers_ms: dict[int, float], probes: int, *, also: list[tuple[int, float]] | None = None
) -> tuple[OutageTally, Outage]:
    """Probe i leaves at 5 i ms; its answer arrives at ``answers_ms[i]``; ``also``: further arrivals."""
    tally = OutageTally("192.0.2.7", "icmp", INTERVAL_MS * MS)
    events: list[tuple[float, int, int]] = [(INTERVAL_MS * i, 1, i) for i in range(probes)]
    events += [(at, 0, i) for i, at in [*answers_ms.items(), *(also or [])]]
    for at_ms, kind, sequence in sorted(events):
        if kind:
            tally.sent(sequence, int(at_ms * MS))
        else:
            tally.answered(sequence, int(at_ms * MS))
    return tally, tally.verdict(int(max(event[0] for event in events) * MS), WALL_NS, ended=True)


def answered_except(lost: range, probes: int, round_trip_ms: float = 1) -> dict[int, float]:
    return {i: INTERVAL_MS * i + round_trip_ms for i in range(probes) if i not in lost}


def test_an_instance_that_always_answers_shows_one_interval() -> None:
    _, seen = watched(answered_except(range(0), 200), 200)
    assert (seen.probes_sent, seen.probes_lost, seen.outage_ms, seen.unwatched_ms) == (200, 0, INTERVAL_MS, 0)


def test_lost_probes_make_a_silence_from_answer_to_answer() -> None:
    _, seen = watched(answered_except(range(40, 100), 200), 200)
    assert seen.probes_lost == 60
    assert seen.outage_ms == 61 * INTERVAL_MS
    assert seen.outage_at == datetime.fromtimestamp(1_700_000_000 + (39 * INTERVAL_MS + 1) / 1000, UTC)


def test_late_answers_are_not_lost_but_make_a_silence() -> None:
    answers = answered_except(range(0), 200)
    answers |= dict.fromkeys(range(40, 100), 500.5)  # queued while the instance stood still
    _, seen = watched(answers, 200)
    assert seen.probes_lost == 0
    assert seen.outage_ms == 305  # 196 ms to 500.5 ms, rounded up


def test_answers_out_of_order_and_twice_change_nothing() -> None:
    answers = answered_except(range(0), 50)
    answers[20], answers[21] = answers[21], answers[21] - 0.5
    _, seen = watched(answers, 50, also=[(20, 110.0), (7, 200.0), (99, 210.0)])
    assert seen.probes_lost == 0
    assert seen.outage_ms == 10  # the probe that was overtaken leaves a step of two intervals, no more


def test_a_duplicate_does_not_end_a_silence() -> None:
    _, seen = watched(answered_except(range(40, 100), 200), 200, also=[(10, 350.0)])
    assert seen.outage_ms == 305


def test_an_instance_that_stays_mute_does_not_look_fine() -> None:
    _, seen = watched(answered_except(range(50, 400), 400), 400)
    assert seen.probes_lost == 350
    assert seen.outage_ms == 400 * INTERVAL_MS - 246 - INTERVAL_MS


def test_silence_before_the_first_answer_counts() -> None:
    _, seen = watched(answered_except(range(80), 200), 200)
    assert seen.outage_ms == 401


def test_never_answered_is_unknown_not_an_outage() -> None:
    _, seen = watched({}, 100)
    assert not seen.reachable
    assert seen.outage_ms is None
    assert seen.outage_at is None
    assert (seen.probes_sent, seen.probes_lost) == (100, 100)


def test_a_watch_that_never_asked_knows_nothing() -> None:
    seen = OutageTally("192.0.2.7", "tcp", MS).verdict(0, WALL_NS, ended=True)
    assert (seen.probes_sent, seen.probes_lost, seen.outage_ms) == (0, 0, None)


def test_a_hold_up_of_the_watch_itself_is_told_but_is_no_outage() -> None:
    tally = OutageTally("192.0.2.7", "icmp", INTERVAL_MS * MS)
    for sequence, sent_ms in enumerate([0, 5, 10, 410, 415]):
        tally.sent(sequence, sent_ms * MS)
        tally.answered(sequence, (sent_ms + 1) * MS)
    seen = tally.verdict(416 * MS, WALL_NS, ended=True)
    assert seen.outage_ms == 6  # one interval before the probe, and its round trip
    assert seen.unwatched_ms == 395


def test_young_probes_are_not_yet_lost_while_the_watch_runs() -> None:
    tally = OutageTally("192.0.2.7", "icmp", INTERVAL_MS * MS)
    tally.sent(0, 0)
    tally.answered(0, MS)
    for sequence in range(1, 11):
        tally.sent(sequence, sequence * 5 * MS)
    assert tally.verdict(60 * MS, WALL_NS, ended=False).probes_lost == 0
    assert tally.verdict(60 * MS, WALL_NS, ended=True).probes_lost == 10
    assert tally.verdict(1055 * MS, WALL_NS, ended=False).probes_lost == 10


def test_hours_of_silence_are_remembered_in_bounded_memory() -> None:
    tally = OutageTally("192.0.2.7", "icmp", INTERVAL_MS * MS)
    tally.sent(0, 0)
    tally.answered(0, MS)
    probes = 50_000
    for sequence in range(1, probes):
        tally.sent(sequence, sequence * INTERVAL_MS * MS)
    assert len(tally._waiting) <= PATIENCE_NS // (INTERVAL_MS * MS) + 1
    seen = tally.verdict(probes * INTERVAL_MS * MS, WALL_NS, ended=True)
    assert seen.probes_lost == probes - 1
    assert seen.outage_ms == probes * INTERVAL_MS - 1


round_trips = st.lists(st.one_of(st.none(), st.floats(0.01, 900)), min_size=1, max_size=120)


@given(round_trips)
def test_never_too_small_and_within_the_watch(trips: list[float | None]) -> None:
    answers = {i: INTERVAL_MS * i + trip for i, trip in enumerate(trips) if trip is not None}
    _, seen = watched(answers, len(trips))
    assert seen.probes_sent == len(trips)
    assert seen.probes_lost == trips.count(None)
    if not answers:
        assert seen.outage_ms is None
        return
    assert seen.outage_ms is not None
    arrivals = [int(at * MS) for at in sorted(answers.values())]
    end_ns = max(arrivals[-1], len(trips) * INTERVAL_MS * MS)
    # Regular probes: the outage is the longest step between arrivals, the watch's two ends included,
    # but for steps in which nobody was waiting, which are one interval and one round trip at most.
    longest_ns = max(b - a for a, b in zip([0, *arrivals], [*arrivals, end_ns], strict=True))
    assert seen.outage_ms <= longest_ns / MS + 1
    for i, trip in enumerate(trips):
        if trip is not None and all(other is None for other in trips[i + 1 :]) and i + 1 < len(trips):
            assert seen.outage_ms >= (len(trips) - 1) * INTERVAL_MS - max(answers.values())


@given(st.integers(1, 300), st.floats(0, 5, exclude_max=True), st.floats(0.1, 4))
def test_a_mute_time_is_measured_to_two_intervals_and_a_round_trip(mute: int, phase: float, trip: float) -> None:
    """The instance is mute from 100 ms + phase on; probes that arrive then are dropped."""
    begin, end = 100 + phase, 100 + phase + mute
    answers = {i: 5 * i + trip for i in range(150) if not begin <= 5 * i < end}
    _, seen = watched(answers, 150)
    assert seen.outage_ms is not None
    assert mute <= seen.outage_ms <= mute + 2 * INTERVAL_MS + trip + 1


@given(round_trips, st.data())
def test_the_outage_never_shrinks_while_it_is_watched(trips: list[float | None], data: st.DataObject) -> None:
    tally = OutageTally("192.0.2.7", "icmp", INTERVAL_MS * MS)
    events: list[tuple[int, int, int]] = [(INTERVAL_MS * MS * i, 1, i) for i in range(len(trips))]
    events += [(INTERVAL_MS * MS * i + int(t * MS), 0, i) for i, t in enumerate(trips) if t is not None]
    before = 0
    for at_ns, kind, sequence in sorted(events):
        (tally.sent if kind else tally.answered)(sequence, at_ns)
        if data.draw(st.booleans()):
            seen = tally.verdict(at_ns, WALL_NS, ended=False)
            assert before <= (seen.outage_ms or 0)
            before = seen.outage_ms or 0
