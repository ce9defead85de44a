from __future__ import annotations

import pytest
from benchmarks.completed_job import CompletedJob, completed_job
from benchmarks.figures import Move, Pair, StartUps, comparisons, goals
from benchmarks.report import Measurement
from hypothesis import given
from hypothesis import strategies as st

from hotfoot.errors import HotfootError

EVENT = """event 'job-completed' for domain 'vm1':
\toperation: 5
\ttime_elapsed: 1861
\ttime_elapsed_net: 1860
\tdowntime: 265
\tdowntime_net: 264
\tmemory_iteration: 4
events received: 1

"""
START_UPS = StartUps(virsh_ms=(30, 50, 40), hotfoot_ms=(400, 380, 500), dry_run_ms=(800,), help_ms=(150,))


def move(total_ms: int, outage_ms: int = 300, cpu_s: float = 0.4, resident_bytes: int = 58_000_000) -> Move:
    return Move(
        source="n1",
        destination="n2",
        total_ms=total_ms,
        downtime_ms=0,
        iterations=4,
        outage_ms=outage_ms,
        unwatched_ms=0,
        command_ms=total_ms + 1000,
        cpu_s=cpu_s,
        children_cpu_s=0.1,
        resident_bytes=resident_bytes,
    )


def pair(virsh: Move, hotfoot: Move) -> Pair:
    return Pair(virsh_first=True, virsh=virsh, hotfoot=hotfoot)


def missed(pairs: list[Pair], *, whole: bool = True) -> list[str]:
    return [goal.what.split(" (")[0] for goal in goals(pairs, START_UPS, whole=whole) if not goal.met]


def test_what_virsh_prints_of_a_completed_migration_is_read() -> None:
    assert completed_job(EVENT) == CompletedJob(total_ms=1861, downtime_ms=265, iterations=4)


@pytest.mark.parametrize("text", ["", "event loop timed out\nevents received: 0\n", "error: Domain not found"])
def test_no_event_is_one_sentence(text: str) -> None:
    with pytest.raises(HotfootError, match="no figures of a completed migration"):
        completed_job(text)


def test_a_ratio_is_taken_in_each_pair_and_not_of_medians() -> None:
    pairs = [pair(move(1000), move(1100)), pair(move(3000), move(3000)), pair(move(2000), move(1000))]
    total = comparisons(pairs, START_UPS)["total time"]
    assert (total.ratio.least, total.ratio.median, total.ratio.most) == (0.5, 1.0, 1.1)
    assert total.virsh.median == 2000
    assert total.hotfoot.median == 1100


def test_start_up_is_taken_off_each_command_by_its_own_median() -> None:
    found = comparisons([pair(move(1040), move(1400))], START_UPS)["command less start-up"]
    assert (found.virsh.median, found.hotfoot.median) == (2000, 2000)


def test_goals_are_met_at_their_limit_for_ratios_and_below_it_for_the_rest() -> None:
    assert missed([pair(move(1000, 100), move(1050, 105))]) == []
    ratios = ["total time, hotfoot to virsh", "outage, hotfoot to virsh"]
    assert missed([pair(move(1000, 100), move(1051, 106))]) == ratios
    assert missed([pair(move(1000), move(1000, cpu_s=0.5))]) == ["own processor time of a migration"]


def test_one_run_with_too_much_memory_is_a_miss() -> None:
    pairs = [pair(move(1), move(1)), pair(move(1), move(1)), pair(move(1), move(1, resident_bytes=100_000_000))]
    assert missed(pairs) == ["resident memory"]


def test_a_damaged_instance_is_a_miss() -> None:
    assert missed([pair(move(1), move(1))], whole=False) == ["instances damaged"]


@given(st.lists(st.tuples(st.integers(0, 9999), st.integers(0, 9999)), min_size=1))
def test_a_spread_is_in_order_and_ratios_are_positive(times: list[tuple[int, int]]) -> None:
    pairs = [pair(move(theirs), move(ours)) for theirs, ours in times]
    for found in comparisons(pairs, START_UPS).values():
        for each in (found.virsh, found.hotfoot, found.ratio):
            assert each.least <= each.median <= each.most
        assert found.ratio.least > 0


def test_the_table_tells_misses_and_that_few_pairs_prove_nothing() -> None:
    machine: dict[str, str | int | float] = {"cores": 2, "memory_bytes": 2**34, "load_average": 0.1}
    words = ("cpu", "kernel", "date", "accelerator", "qemu", "libvirt", "storage", "hotfoot", "python")
    found = Measurement(
        machine={**machine, **dict.fromkeys(words, "x")},
        virsh_runs="here",
        pairs=(pair(move(1000), move(2000)),),
        start_ups=START_UPS,
        whole=True,
    )
    text = found.as_text()
    assert "MISS  total time" in text
    assert "pass  outage" in text
    assert "a trial, not a measurement" in text
