"""The script that has a volume heal, with a double in place of the program gluster."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from hotfoot.readiness.change import Command
from hotfoot.readiness.gluster_steps import heal

DOUBLE = """#!/bin/sh
case "$*" in
    *heal-count) cat "$HERE/counts"; exit 0;;
esac
echo asked >> "$HERE/asked"
cat "$HERE/said"
exit "$(cat "$HERE/status")"
"""
NOTHING, SOME = "Brick n1:/b\nNumber of entries: 0\n\nBrick n2:/b\nNumber of entries: 0\n", "Number of entries: 3\n"


def ran(folder: Path, said: str, status: int, counts: str) -> tuple[int, str, int]:
    """Return how the script ended, what it complained of, and how often it asked."""
    program = folder / "gluster"
    program.write_text(DOUBLE)
    program.chmod(0o755)
    for name, text in (("said", said), ("status", str(status)), ("counts", counts)):
        (folder / name).write_text(text)
    step = heal("n1", "instances").step
    assert isinstance(step, Command)
    argv = [*step.argv, "0"]
    environment = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "HERE": str(folder)}
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stderr, len((folder / "asked").read_text().splitlines())


@pytest.mark.parametrize(
    ("said", "status"), [("Launching heal operation has been successful\n", 0), ("Commit failed on n2.\n", 1)]
)
def test_where_nothing_waits_it_is_done_whoever_cannot_heal(tmp_path: Path, said: str, status: int) -> None:
    assert ran(tmp_path, said, status, NOTHING) == (0, "", 1)


@pytest.mark.parametrize("counts", [SOME, ""])
def test_what_waits_or_is_not_known_is_asked_for_again_and_goes_on_by_itself(tmp_path: Path, counts: str) -> None:
    assert ran(tmp_path, "Launching heal operation has been successful\n", 0, counts) == (0, "", 15)


def test_a_heal_that_cannot_be_launched_while_something_waits_fails_with_its_word(tmp_path: Path) -> None:
    assert ran(tmp_path, "volume heal: failed\nCommit failed on n2.\n", 1, SOME) == (1, "Commit failed on n2.\n", 15)
