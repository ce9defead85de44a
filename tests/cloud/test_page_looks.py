"""Which pages of a process are written: a real process, which is told when to write, and looks at its memory."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.resources import files

import pytest

from hotfoot.cloud.page_looks import PAGE_BYTES, Guest, watch
from hotfoot.cloud.page_question import answer, looks_s, question

PAGES = 8192
WRITER = f"""
import mmap, sys
memory = mmap.mmap(-1, {PAGES} * {PAGE_BYTES}, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
print("ready", flush=True)
for line in sys.stdin:
    value, first, past = map(int, line.split())
    for n in range(first, past):
        memory[n * {PAGE_BYTES}] = value
    print("written", flush=True)
"""


class Writer:
    """Stands in for a QEMU process: memory of a known size, pages of it written on request."""

    def __init__(self) -> None:
        argv = [sys.executable, "-c", WRITER]
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout
        assert self.process.stdout.readline() == "ready\n"

    def write(self, value: int, first: int, past: int) -> None:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(f"{value} {first} {past}\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "written\n"

    def mapped_kib(self) -> int:
        with open(f"/proc/{self.process.pid}/smaps_rollup") as rollup:
            return next(int(line.split()[1]) for line in rollup if line.startswith("Rss:"))


@pytest.fixture
def writer() -> Iterator[Writer]:
    found = Writer()
    try:
        os.close(os.open(f"/proc/{found.process.pid}/mem", os.O_RDONLY))
    except PermissionError:
        pytest.skip("this system lets no process read another's memory")
    yield found
    found.process.kill()
    found.process.communicate()


def test_exactly_the_pages_that_were_written_differ(writer: Writer) -> None:
    writer.write(1, 0, 2000)
    guest = Guest(writer.process.pid, PAGES * PAGE_BYTES)
    assert guest.pages == len(guest.chosen) == PAGES
    _, before = guest.look()
    writer.write(2, 100, 200)
    writer.write(1, 3000, 3050)
    _, after = guest.look()
    assert [n for n in range(PAGES) if before[n] != after[n]] == [*range(100, 200), *range(3000, 3050)]


def test_a_page_of_zeros_holds_nothing_touched_or_not(writer: Writer) -> None:
    writer.write(0, 0, 1000)
    writer.write(7, 4000, 4010)
    told = watch(writer.process.pid, PAGES * PAGE_BYTES, [0.0])
    looked_at, used = told["looked_at"], told["used"]
    assert isinstance(looked_at, int)
    assert isinstance(used, int)
    step = -(-PAGES // looked_at)  # a busy machine looks at fewer
    assert 10 // step <= used <= -(-10 // step)
    assert told["histories"] == {"0": looked_at}


def test_looking_maps_nothing(writer: Writer) -> None:
    writer.write(1, 0, 10)
    before_kib = writer.mapped_kib()
    Guest(writer.process.pid, PAGES * PAGE_BYTES).look()
    assert writer.mapped_kib() < before_kib + PAGES * PAGE_BYTES // 1024 // 8


def test_fewer_pages_are_looked_at_where_that_takes_long(writer: Writer) -> None:
    guest = Guest(writer.process.pid, PAGES * PAGE_BYTES)
    guest.thin(0.0)
    assert len(guest.chosen) == PAGES
    guest.thin(10.0)
    assert 0 < len(guest.chosen) < PAGES / 16


def test_memory_of_another_size_is_not_taken_for_the_guest_s(writer: Writer) -> None:
    with pytest.raises(ValueError, match="no mapping is as large"):
        Guest(writer.process.pid, 1 << 40)


def test_a_period_is_halved_as_long_as_that_tells_something() -> None:
    assert looks_s(1) == (0.25, 0.5, 1.0)
    assert looks_s(3) == (0.375, 0.75, 1.5, 3.0)


def test_the_script_is_one_that_a_shell_takes_and_says_nothing_without_the_guest() -> None:
    script = question("no such guest", PAGES * PAGE_BYTES, looks_s(1))
    assert "'no such guest'.pid" in script
    assert subprocess.run(["sh", "-n", "-c", script], check=False).returncode == 0
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, timeout=30, check=False)
    assert answer(done.stdout) is None


def test_hosts_with_an_old_python_can_look() -> None:
    ast.parse((files("hotfoot.cloud") / "page_looks.py").read_text(), feature_version=(3, 6))


def test_answers_of_hosts() -> None:
    looked = (
        '"page_bytes": 4096, "pages": 8, "looked_at": 4, "used": 3, "at_s": [0.0, 1.0], "histories": {"0": 3, "1": 1}'
    )
    seen = answer(f"Welcome\n{{{looked}}}\n")
    assert seen
    assert (seen.used_bytes, seen.points()[0].dirtied_bytes) == (6 * 4096, 2 * 4096)
    assert answer("") is answer("Welcome\n") is answer("{}\n") is answer("[1]\n") is None
