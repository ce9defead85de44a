"""Hotfoot is killed in the middle of moves, and a second one wants the same instance: the journal tells the truth."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest
from tests.lab.command import finish
from tests.lab.labs import TestLab

SLOW, FAST = "150mbit", "1gbit"


@pytest.fixture
def own(lab: TestLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestLab]:
    """The lab with vm1 on n1, both links slow, and a journal of the test's own."""
    if lab.where("vm1") != "n1":
        assert lab.run("migrate", "vm1", "n1", "--no-forecast").status == 0
    monkeypatch.setenv("HOTFOOT_JOURNAL", f"sqlite:///{tmp_path}/journal.sqlite3")
    for host in ("n1", "n2"):
        lab.lab("shape", host, SLOW)
    yield lab
    for host in ("n1", "n2"):
        lab.lab("shape", host, FAST)
    lab.verify("vm1")


def start_move(lab: TestLab, until: str) -> Popen[str]:
    """Start a move of vm1 to n2; return once the source's libvirt says ``until`` of it."""
    process: Popen[str] = lab.start("migrate", "vm1", "n2", "--json", "--no-forecast")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        if until in lab.on("n1", "sh", "-c", "virsh domjobinfo vm1 || true"):
            return process
        time.sleep(0.1)
    raise AssertionError(f"the move never came to: {until}")


def kill(process: Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate()


def newest(lab: TestLab) -> dict[str, Any]:
    found: list[dict[str, Any]] = json.loads(lab.run("history", "--json", "--limit", "1").out)
    return found[0]


def test_killed_in_the_first_pass_it_is_picked_up_and_followed_to_its_end(own: TestLab) -> None:
    process = start_move(own, "Memory processed")
    kill(process)
    said = own.run("ls")
    assert said.status == 0
    assert f"(pid {process.pid})" in said.err
    assert "it goes on from n1 to n2" in said.err
    watching: Popen[str] = own.start("watch", "vm1", "--json")
    assert watching.stderr is not None
    assert "picked up" in next(line for line in watching.stderr if "picked up" in line or "has ended" in line)
    for host in ("n1", "n2"):
        own.lab("shape", host, FAST)
    watched = finish(watching)
    assert watched.status == 0, watched.out + watched.err
    assert watched.json["outcome"] == "completed"
    assert own.where("vm1") == "n2"
    found = newest(own)
    assert (found["outcome"], found["found_afterwards"], found["id"]) == ("completed", True, watched.json["id"])
    assert found["downtime_ms"] is not None
    assert "goes on" not in own.run("ls").err


def test_killed_in_a_later_pass_it_is_stopped_by_abort_and_the_record_says_so(own: TestLab) -> None:
    process = start_move(own, "Iteration:        2")
    kill(process)
    said = own.run("abort", "vm1")
    assert said.status == 0, said.err
    assert "stopped by `hotfoot abort`" in said.err
    found = newest(own)
    assert (found["outcome"], found["found_afterwards"]) == ("aborted", True)
    assert own.where("vm1") == "n1"


def test_killed_around_the_switch_over_the_next_command_says_where_it_is(own: TestLab) -> None:
    for host in ("n1", "n2"):
        own.lab("shape", host, FAST)
    process = start_move(own, "Memory processed")
    time.sleep(0.3)  # anywhere near the end: what must be true is so wherever it was
    kill(process)
    deadline = time.monotonic() + 30
    while "it goes on" in own.run("history").err:
        assert time.monotonic() < deadline
    found, place = newest(own), own.where("vm1")
    assert found["outcome"] == {"n2": "completed", "n1": "failed"}[str(place)], found


def test_the_second_is_refused_with_the_name_of_the_first_also_with_another_journal(
    own: TestLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = start_move(own, "Memory processed")
    try:
        for journal in (os.environ["HOTFOOT_JOURNAL"], f"sqlite:///{tmp_path}/other.sqlite3"):
            monkeypatch.setenv("HOTFOOT_JOURNAL", journal)
            second = own.run("migrate", "vm1", own.hosts[-1], "--json", "--no-forecast")
            assert second.status == 3, second.out + second.err
            assert f"(pid {process.pid})" in second.json["reason"]
    finally:
        process.send_signal(signal.SIGINT)
        assert finish(process).status == 5
    assert own.run("migrate", "vm1", own.hosts[-1], "--no-forecast", "--dry-run").status == 0
