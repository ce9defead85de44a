"""The fence command: real programs, and what their ends say."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from hotfoot.cluster import Fence
from hotfoot.errors import ExitStatus, HotfootError
from hotfoot.evacuation.fence import look, switch_off


def fence(*command: str, timeout_ms: int = 60_000) -> Fence:
    return Fence(command=command, timeout_ms=timeout_ms)


async def test_an_end_with_0_says_that_the_host_is_off_and_no_shell_reads_the_words(tmp_path: Path) -> None:
    said = await switch_off("n1", fence("touch", f"{tmp_path}/a b; $(x)"))
    assert said == "n1 is off: its fence command touch ended with 0."
    assert os.listdir(tmp_path) == ["a b; $(x)"]


async def test_any_other_end_is_refused_with_its_last_line() -> None:
    script = "import sys; print('first'); sys.exit('BMC does not answer')"
    with pytest.raises(HotfootError, match=r"ended with 1 \(BMC does not answer\); nothing was started") as refused:
        await switch_off("n1", fence(sys.executable, "-c", script))
    assert refused.value.status is ExitStatus.REFUSED


async def test_a_command_that_does_not_end_is_killed_with_its_children(tmp_path: Path) -> None:
    script = f"sleep 1000 & echo $! > {tmp_path}/pid; wait"
    with pytest.raises(HotfootError, match="did not end within 1 s"):
        await switch_off("n1", fence("sh", "-c", script, timeout_ms=1000))
    assert not _lives(tmp_path)


def _lives(folder: Path) -> bool:
    stat = Path(f"/proc/{int((folder / 'pid').read_text())}/stat")
    return stat.exists() and stat.read_text().split()[2] not in "ZX"


async def test_a_program_that_is_not_there_is_one_sentence() -> None:
    with pytest.raises(HotfootError, match="its fence command /no/such/fence cannot be run"):
        await switch_off("n1", fence("/no/such/fence"))


async def test_a_command_cannot_be_asked_without_an_order(tmp_path: Path) -> None:
    assert await look(fence("touch", f"{tmp_path}/ordered")) is None
    assert not os.listdir(tmp_path)
