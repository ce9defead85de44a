"""The fence command: real programs, and what their ends say."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from hotfoot.errors import ExitStatus, HotfootError
from hotfoot.evacuation.fence import filled, switch_off


def test_placeholders_are_filled_inside_words() -> None:
    command = ("fence", "--to", "{host}-bmc.example.org", "-a={address}")
    assert filled(command, "n1", "10.0.0.1") == ("fence", "--to", "n1-bmc.example.org", "-a=10.0.0.1")


async def test_an_end_with_0_says_that_the_host_is_off_and_no_shell_reads_the_words(tmp_path: Path) -> None:
    await switch_off("n1", ("touch", f"{tmp_path}/a b; $(x)"), 60)
    assert os.listdir(tmp_path) == ["a b; $(x)"]


async def test_any_other_end_is_refused_with_its_last_line() -> None:
    script = "import sys; print('first'); sys.exit('BMC does not answer')"
    with pytest.raises(HotfootError, match=r"ended with 1 \(BMC does not answer\)") as refused:
        await switch_off("n1", (sys.executable, "-c", script), 60)
    assert refused.value.status is ExitStatus.REFUSED


async def test_a_command_that_does_not_end_is_killed_with_its_children(tmp_path: Path) -> None:
    script = f"sleep 1000 & echo $! > {tmp_path}/pid; wait"
    with pytest.raises(HotfootError, match="did not end within"):
        await switch_off("n1", ("sh", "-c", script), 1.0)
    assert not _lives(tmp_path)


def _lives(folder: Path) -> bool:
    stat = Path(f"/proc/{int((folder / 'pid').read_text())}/stat")
    return stat.exists() and stat.read_text().split()[2] not in "ZX"


async def test_a_program_that_is_not_there_is_one_sentence() -> None:
    with pytest.raises(HotfootError, match="/no/such/fence cannot be run"):
        await switch_off("n1", ("/no/such/fence",), 60)
