"""What is made of measurements: memory used, throughput, limits."""

from __future__ import annotations

import subprocess

from hotfoot.cloud.libvirt_measure import (
    link_answer,
    link_question,
    memories_answer,
    memories_question,
    memory_answer,
    memory_question,
)
from hotfoot.cloud.protocol import MemoryTouched
from hotfoot.migration.forecast import Band
from hotfoot.migration.survey import limited, memory_used, no_more_than_reached, throughput_of

MIB = 1 << 20


def test_the_guest_s_own_memory_counts_where_it_is_known() -> None:
    band = memory_used(MemoryTouched(guest_bytes=100 * MIB), 256 * MIB)
    assert band.high == 100 * MIB
    assert 0 < band.low < band.expected < band.high


def test_of_a_whole_process_no_more_than_the_memory_counts() -> None:
    assert memory_used(MemoryTouched(process_bytes=900 * MIB), 256 * MIB).high == 256 * MIB
    assert memory_used(MemoryTouched(), 256 * MIB).high == 256 * MIB


def test_earlier_migrations_tell_the_throughput_by_their_median() -> None:
    assert throughput_of((400, 100, 90)) == Band(100, 90, 400)
    assert throughput_of((100,)) == Band(100, 90, 110)


def test_a_link_that_carries_more_than_qemu_ever_sent_counts_for_what_it_sent() -> None:
    tried = Band(3000, 2700, 3300)
    assert no_more_than_reached(tried, (1000, 1100, 900)) == Band(1100, 900, 3300)
    assert no_more_than_reached(tried, (1000, 1100)) == tried
    assert no_more_than_reached(tried, (2600, 1100, 900)) == tried


def test_a_limit_bounds_the_band() -> None:
    assert limited(Band(100, 90, 110), 95) == Band(95, 90, 95)
    assert limited(Band(100, 90, 110), None) == Band(100, 90, 110)


def test_answers_of_hosts() -> None:
    assert memory_answer("Welcome\nguest_kib 2048\n") == 2 * MIB
    assert memory_answer("cat: no such file\n") is None
    assert link_answer("link_mbit 1000\n") == 125_000_000
    assert link_answer("link_mbit -1\n") is None


def test_names_are_quoted_in_questions() -> None:
    assert "'vm 1'.pid" in memory_question("vm 1", 256 * MIB)
    assert "'a;b'" in link_question("a;b")


def test_many_guests_are_asked_about_in_one_script() -> None:
    script = memories_question([("u1", "web1", 256 * MIB), ("u2", "vm 2", 512 * MIB)])
    assert script.count("/smaps") == 2
    assert "'vm 2'.pid" in script
    told = "Welcome\nguest u1\nguest_kib 2048\nguest u2\ncat: no such file\nguest u3\nguest_kib 1024\n"
    assert memories_answer(told) == {"u1": 2 * MIB, "u3": MIB}
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, timeout=10, check=False)
    assert done.returncode == 0, "what is not there does not hold up the others"
    assert memories_answer(done.stdout) == {}
