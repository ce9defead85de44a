"""Progress never runs backwards without saying why, and its outlook is honest."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotfoot.migration.progress import Progress
from hotfoot.migration.sample import JobSample, Phase

MIB = 1 << 20


def look(phase: Phase = Phase.COPYING_MEMORY, at_s: float = 0.0, **numbers: Any) -> JobSample:
    return JobSample(at_s=at_s, phase=phase, **numbers)


def memory(iteration: int, remaining_mib: int, processed_mib: int = 0, **numbers: Any) -> JobSample:
    return look(
        iteration=iteration,
        memory_total_bytes=256 * MIB,
        memory_remaining_bytes=remaining_mib * MIB,
        memory_processed_bytes=processed_mib * MIB,
        **numbers,
    )


def after(*samples: JobSample, start: Progress | None = None) -> Progress:
    progress = start or Progress()
    for sample in samples:
        progress = progress.advance(sample)
    return progress


def test_a_new_iteration_with_more_dirty_memory_is_explained() -> None:
    seen = after(memory(3, 40, 300), memory(3, 8, 330), memory(4, 120, 338))
    assert seen.note == "iteration 4: the guest rewrote 120 MiB while iteration 3 was sent"
    assert seen.remaining_bytes == 120 * MIB
    assert seen.percent == 100 * (1 - 8 / 256)


def test_the_note_stays_until_less_remains_than_ever() -> None:
    begun = after(memory(1, 8), memory(2, 120))
    assert after(memory(2, 60), start=begun).note == begun.note
    assert after(memory(2, 8), start=begun).note is None


def test_growth_within_an_iteration_is_explained() -> None:
    assert after(memory(2, 10), memory(2, 30)).note == ("iteration 2: the guest rewrote 20 MiB more than was sent")


def test_disks_written_to_while_they_are_copied_are_explained() -> None:
    disk = {"disk_total_bytes": 100 * MIB}
    seen = after(
        look(Phase.COPYING_DISKS, disk_remaining_bytes=10 * MIB, **disk),
        look(Phase.COPYING_DISKS, disk_remaining_bytes=15 * MIB, **disk),
    )
    assert seen.note == "the guest wrote 5.0 MiB to its disks that are copied again"


def test_memory_that_is_known_beforehand_counts_while_disks_are_copied() -> None:
    disks_done = look(Phase.COPYING_DISKS, disk_total_bytes=100 * MIB, disk_remaining_bytes=0)
    seen = after(disks_done, start=Progress(memory_bytes=300 * MIB))
    assert seen.percent == 25
    assert seen.remaining_bytes == 300 * MIB


def test_a_job_that_no_longer_counts_keeps_what_was_known() -> None:
    seen = after(memory(2, 10, 300, elapsed_ms=900), look(Phase.FINISHING))
    assert (seen.iteration, seen.remaining_bytes, seen.sent_bytes) == (2, 10 * MIB, 300 * MIB)
    assert (seen.elapsed_ms, seen.phase) == (900, Phase.FINISHING)


def test_the_dirty_rate_works_against_the_throughput() -> None:
    rates = {"dirty_rate_bytes_per_s": 20 * MIB, "throughput_bytes_per_s": 60 * MIB}
    left_ms = after(memory(2, 100, **rates)).left_ms
    assert left_ms is not None
    # 100 / 60 s without any dirtying, 100 / (60 - 20) s down to the last page: it ends between the two.
    assert 1667 < left_ms < 2500


def test_no_end_is_promised_before_a_throughput_is_known() -> None:
    assert after(memory(1, 100, dirty_rate_bytes_per_s=0)).left_ms is None


def test_in_the_first_iteration_the_end_is_a_lower_bound() -> None:
    seen = after(memory(1, 120, throughput_bytes_per_s=60 * MIB, dirty_rate_bytes_per_s=0))
    assert (seen.left_ms, seen.left_is_least, seen.dirty_rate_bytes_per_s) == (2000, True, None)
    seen = after(memory(2, 60, throughput_bytes_per_s=60 * MIB, dirty_rate_bytes_per_s=0), start=seen)
    assert (seen.left_ms, seen.left_is_least, seen.dirty_rate_bytes_per_s) == (1000, False, 0)


def test_nothing_remaining_for_a_moment_is_not_yet_the_end() -> None:
    moment = look(Phase.SWITCHING_OVER, iteration=2, memory_total_bytes=256 * MIB)
    seen = after(memory(2, 10), moment)
    assert (seen.phase, seen.percent) == (Phase.SWITCHING_OVER, 99)
    seen = after(memory(3, 50), start=seen)
    assert seen.phase == Phase.COPYING_MEMORY
    assert seen.note == "iteration 3: the guest rewrote 50 MiB while iteration 2 was sent"


def test_a_guest_that_dirties_faster_than_is_sent_is_told() -> None:
    seen = after(memory(5, 100, dirty_rate_bytes_per_s=60 * MIB, throughput_bytes_per_s=25 * MIB))
    assert seen.left_ms is None
    assert seen.obstacle == "not converging: dirties 60 MiB/s, sends 25 MiB/s"


def test_in_post_copy_nothing_is_dirtied_any_more() -> None:
    rates = {"dirty_rate_bytes_per_s": 60 * MIB, "throughput_bytes_per_s": 25 * MIB}
    seen = after(memory(5, 100, **rates))
    seen = seen.advance(look(Phase.POST_COPY, memory_total_bytes=256 * MIB, memory_remaining_bytes=50 * MIB, **rates))
    assert (seen.left_ms, seen.obstacle) == (2000, None)


SENDS = {"throughput_bytes_per_s": 25 * MIB, "dirty_rate_bytes_per_s": 10 * MIB}


def test_a_link_that_carries_nothing_is_told_in_place_of_throughput_and_end() -> None:
    looks = [memory(2, 100, 300, at_s=100 + tick / 2, **SENDS) for tick in range(25)]
    seen = after(*looks)
    assert (seen.obstacle, seen.throughput_bytes_per_s, seen.left_ms) == ("nothing sent for 12 s", None, None)
    assert (seen.sent_bytes, seen.remaining_bytes) == (300 * MIB, 100 * MIB)


def test_a_moment_in_which_nothing_is_sent_is_not_told() -> None:
    seen = after(memory(2, 100, 300, at_s=100, **SENDS), memory(2, 100, 300, at_s=104, **SENDS))
    assert (seen.obstacle, seen.throughput_bytes_per_s) == (None, 25 * MIB)
    assert seen.left_ms


def test_the_end_is_told_again_when_more_is_sent() -> None:
    cut = after(memory(2, 100, 300, at_s=100, **SENDS), memory(2, 100, 300, at_s=120, **SENDS))
    assert cut.obstacle == "nothing sent for 20 s"
    seen = after(memory(2, 99, 301, at_s=120.5, **SENDS), start=cut)
    assert (seen.obstacle, seen.throughput_bytes_per_s) == (None, 25 * MIB)
    assert seen.left_ms


def test_a_migration_that_does_not_converge_no_longer_sends_over_a_dead_link() -> None:
    rates = {"dirty_rate_bytes_per_s": 60 * MIB, "throughput_bytes_per_s": 25 * MIB}
    stuck = after(memory(5, 100, 300, at_s=100, **rates))
    assert stuck.obstacle == "not converging: dirties 60 MiB/s, sends 25 MiB/s"
    assert after(memory(5, 100, 300, at_s=106, **rates), start=stuck).obstacle == "nothing sent for 6 s"


@pytest.mark.parametrize("phase", [Phase.PREPARING, Phase.FINISHING, Phase.ABORTING])
def test_where_nothing_is_to_be_sent_that_is_no_obstacle(phase: Phase) -> None:
    assert after(look(phase, at_s=100), look(phase, at_s=200)).obstacle is None


def test_disks_and_post_copy_also_tell_that_nothing_is_sent() -> None:
    for phase in (Phase.COPYING_DISKS, Phase.POST_COPY):
        assert after(look(phase, at_s=100), look(phase, at_s=109)).obstacle == "nothing sent for 9 s"


sizes = st.integers(0, 1 << 40)
rates = st.one_of(st.none(), sizes)
samples = st.builds(
    JobSample,
    at_s=st.just(0.0),
    phase=st.sampled_from(Phase),
    iteration=st.integers(0, 20),
    memory_total_bytes=sizes,
    memory_processed_bytes=sizes,
    memory_remaining_bytes=sizes,
    disk_total_bytes=sizes,
    disk_processed_bytes=sizes,
    disk_remaining_bytes=sizes,
    dirty_rate_bytes_per_s=rates,
    throughput_bytes_per_s=rates,
    elapsed_ms=st.integers(0, 10**7),
)


@given(st.lists(samples, max_size=30), sizes)
def test_never_backwards_without_saying_why(looks: list[JobSample], memory_bytes: int) -> None:
    order = {phase: rank for rank, phase in enumerate(Phase)}
    order[Phase.SWITCHING_OVER] = order[Phase.COPYING_MEMORY]
    before = Progress(memory_bytes=memory_bytes)
    for sample in looks:
        now = before.advance(sample)
        assert 0 <= before.percent <= now.percent <= 100
        assert before.sent_bytes <= now.sent_bytes
        assert before.iteration <= now.iteration
        assert before.elapsed_ms <= now.elapsed_ms
        assert order[before.phase] <= order[now.phase]
        if before.remaining_bytes is not None:
            assert now.remaining_bytes is not None
            if now.remaining_bytes > before.remaining_bytes:
                assert now.note
        assert now.left_ms is None or now.left_ms >= 0
        before = now
