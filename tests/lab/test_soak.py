"""A few moves of a soak on real hosts: all faults, each instance whole after each, and Ctrl-C after a move."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.lab.command import finish
from tests.lab.labs import TestLab


@pytest.fixture
def own(lab: TestLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestLab]:
    """The lab, and a journal of the test's own."""
    monkeypatch.setenv("HOTFOOT_JOURNAL", f"sqlite:///{tmp_path}/journal.sqlite3")
    yield lab
    for instance in ("vm1", "vm2"):
        lab.verify(instance)


@pytest.mark.matrix
def test_six_moves_with_faults_lose_nothing_and_tell_the_truth(own: TestLab) -> None:
    said = own.run("soak", "--name", own.name, "--moves", "6", "--seed", "7", "--faults", "all", "--json")
    assert said.status == 0, said.err
    found = said.json
    assert found["moves"] == 6
    assert found["whole"] is True
    assert (found["lost"], found["doubled"], found["wrong_reports"], found["failed_otherwise"]) == (0, 0, 0, 0)
    assert found["completed"] + found["failed_as_expected"] == 6
    assert all(step["fault"] != "none" for step in found["steps"])
    assert any(step["struck"] for step in found["steps"])
    kept = json.loads(own.run("history", "--json").out)
    assert [record["id"] for record in reversed(kept)] == [step["id"] for step in found["steps"]]


def test_ctrl_c_ends_it_after_the_running_move(own: TestLab) -> None:
    process = own.start("soak", "--name", own.name, "--moves", "50", "--seed", "7", "--faults", "none", "--json")
    assert "seed 7" in process.stderr.readline()
    assert "1 of 50" in process.stderr.readline()
    process.send_signal(signal.SIGINT)  # in the second move, or just before it
    said = finish(process)
    assert said.status == 5, said.err
    assert said.json["stopped"] is True
    assert said.json["moves"] in (1, 2)
    assert said.json["completed"] == said.json["moves"]
