"""``hotfoot plan show``, ``pause``, and verbs of whole hosts as a user types them, on a journal that a test filled."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from tests.journal.records import DEAD
from tests.journal.test_plans import plan, step

from hotfoot.journal.entries import now_ms
from hotfoot.journal.place import Place
from hotfoot.journal.plan_record import PlanState
from hotfoot.journal.plans import Plans
from hotfoot.journal.store import Store
from hotfoot.placement.course import StepState


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "hotfoot.yaml").write_text("name: rack1\nhosts: [{name: n1, address: 127.0.0.1}]\n")
    return tmp_path


@pytest.fixture
def plans(folder: Path) -> Plans:
    return Plans(Store(Place(file=folder / "journal.sqlite3")))


def hotfoot(folder: Path, *words: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-c", "from hotfoot.cli import main; main()", *words],
        capture_output=True, text=True, timeout=60, check=False, cwd=folder,
        env={**os.environ, "HOTFOOT_JOURNAL": f"sqlite:///{folder}/journal.sqlite3", "NO_COLOR": "1"},
    )  # fmt: skip
    assert done.returncode == status, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


def test_the_newest_plan_is_shown_with_what_became_of_each_move(folder: Path, plans: Plans) -> None:
    done = replace(step(1, "vm1", "n1", "n2", StepState.DONE), began_ms=1000, ended_ms=3500, downtime_ms=240)
    failed = replace(step(2, "vm2", "n1", "n3", StepState.FAILED), status=4, why="The link was cut.")
    record = plans.open(plan("n1", "n2", "n3"), [done, failed])
    ended = replace(record, state=PlanState.ENDED, ended_ms=now_ms(), status=4, stays={"vm2": "The link was cut."})
    plans.put(ended)
    shown = hotfoot(folder, "plan", "show").stdout
    assert record.id in shown
    assert "2.5 s" in shown
    assert "240 ms" in shown
    found = json.loads(hotfoot(folder, "plan", "show", record.id[:15], "--json").stdout)
    assert (found["state"], found["status"], found["hosts"]) == ("ended", 4, ["n1"])
    assert [move["state"] for move in found["moves"]] == ["done", "failed"]
    assert found["stays"] == {"vm2": "The link was cut."}
    assert "has ended" in hotfoot(folder, "plan", "resume", status=3).stderr
    assert "has ended" in hotfoot(folder, "plan", "cancel", status=3).stderr


def test_a_plan_whose_hotfoot_was_killed_says_so(folder: Path, plans: Plans) -> None:
    plans.open(plan("n1", owner=DEAD), ())
    assert json.loads(hotfoot(folder, "plan", "show", "--json").stdout)["state"] == "orphaned"
    assert "plan resume" in hotfoot(folder, "plan", "show").stdout


@pytest.mark.parametrize(("verb", "state"), [("pause", "pausing"), ("cancel", "cancelling")])
def test_a_running_plan_is_told_by_the_journal_and_not_taken_up(
    folder: Path, plans: Plans, verb: str, state: str
) -> None:
    plans.open(plan("n1"), ())
    assert "was told" in hotfoot(folder, "plan", verb).stdout
    assert json.loads(hotfoot(folder, "plan", "show", "--json").stdout)["state"] == state
    assert "is being carried out" in hotfoot(folder, "plan", "resume", status=3).stderr


def test_no_plan_is_a_sentence(folder: Path) -> None:
    assert "no plan" in hotfoot(folder, "plan", "show", status=2).stderr
    assert "no plan" in hotfoot(folder, "plan", "cancel", "2031", status=2).stderr


def test_a_host_that_is_not_there_is_a_mistake_of_the_call(folder: Path) -> None:
    for verb in ("drain", "restore"):
        assert 'no host "n7"' in hotfoot(folder, verb, "n7", status=2).stderr


def test_a_policy_that_is_not_there_is_a_mistake_of_the_call(folder: Path) -> None:
    assert "swift" in hotfoot(folder, "drain", "n1", "--policy", "swift", status=2).stderr
