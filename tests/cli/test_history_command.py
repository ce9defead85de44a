"""``hotfoot history`` and ``report`` as a user types them, on a journal that a test has filled."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from tests.journal.records import completed, failed, record

from hotfoot.errors import ExitStatus
from hotfoot.journal.entries import now_ms
from hotfoot.journal.place import Place
from hotfoot.journal.record import RESULT_KEYS
from hotfoot.journal.store import Store

DAY_MS = 86_400_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "hotfoot.yaml").write_text("name: rack1\nhosts: [{name: n1, address: 127.0.0.1}]\n")
    store = Store(Place(file=tmp_path / "journal.sqlite3"))
    now = now_ms()
    forecast = {"total_ms": 1000, "verdict": "converges"}
    store.entries.open(completed(record(started_ms=now - 3 * DAY_MS)))
    store.entries.open(
        failed(record(started_ms=now - 2 * DAY_MS, instance="vm2"), ExitStatus.REFUSED, "no room, on n2")
    )
    store.entries.open(completed(record(started_ms=now - DAY_MS, forecast=forecast), total_ms=1250))
    store.entries.open(completed(record(cluster="rack2")))
    store.entries.open(record())
    store.close()
    return tmp_path


def hotfoot(folder: Path, *words: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-c", "from hotfoot.cli import main; main()", *words],
        capture_output=True, text=True, timeout=60, check=False, cwd=folder,
        env={**os.environ, "HOTFOOT_JOURNAL": f"sqlite:///{folder}/journal.sqlite3", "NO_COLOR": "1"},
    )  # fmt: skip
    assert done.returncode == status, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


def test_json_is_a_list_the_newest_first_with_the_fields_of_the_migrate_record(folder: Path) -> None:
    found = json.loads(hotfoot(folder, "history", "--json").stdout)
    assert [each["outcome"] for each in found] == [None, "completed", "failed", "completed"]
    assert all({*RESULT_KEYS} <= {*each} for each in found)
    assert [each["total_ms"] for each in found] == [None, 1250, None, 1200]
    assert found[2]["reason"] == "no room, on n2"
    assert found[2]["status"] == 3
    assert found[1]["forecast"]["verdict"] == "converges"
    assert len(json.loads(hotfoot(folder, "history", "--json", "--limit", "1").stdout)) == 1


def test_the_table_is_narrowed(folder: Path) -> None:
    whole = hotfoot(folder, "history").stdout.splitlines()
    assert len(whole) == 5
    assert "open" in whole[1]
    refused = hotfoot(folder, "history", "--failed").stdout.splitlines()
    assert len(refused) == 2
    assert refused[1].endswith("no room, on n2")
    assert len(hotfoot(folder, "history", "--since", "36h").stdout.splitlines()) == 3
    assert hotfoot(folder, "history", "--instance", "web").stdout == "No migration is in the journal that fits.\n"


def test_csv_has_one_row_for_each(folder: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(hotfoot(folder, "history", "--csv").stdout)))
    assert [row["reason"] for row in rows] == ["", "", "no room, on n2", ""]
    assert json.loads(rows[1]["forecast"])["total_ms"] == 1000


def test_accuracy_and_summary(folder: Path) -> None:
    found = json.loads(hotfoot(folder, "history", "--accuracy", "--json").stdout)
    assert (found["timed"], found["total_error_median"], found["right_share"]) == (1, 0.2, 1.0)
    assert "wrong by 20 %" in hotfoot(folder, "history", "--accuracy").stdout
    summary = json.loads(hotfoot(folder, "history", "--summary", "--json").stdout)
    assert summary["groups"][0]["migrations"] == 2
    assert summary["failures"] == [{"end": "refused", "reason": "no room, on DESTINATION", "count": 1}]
    assert "1 refused: no room" in hotfoot(folder, "history", "--summary").stdout


def test_pruning_is_tried_first_and_leaves_other_clusters_alone(folder: Path) -> None:
    assert "Would forget 2 migrations" in hotfoot(folder, "history", "--prune", "36h", "--dry-run").stdout
    assert "Forgot 2 migrations" in hotfoot(folder, "history", "--prune", "36h").stdout
    store = Store(Place(file=folder / "journal.sqlite3"))
    assert len(store.records()) == 3
    store.close()


def test_a_report_is_written_where_it_is_wanted(folder: Path) -> None:
    name = json.loads(hotfoot(folder, "history", "--json").stdout)[1]["id"]
    assert hotfoot(folder, "report", name).stdout == f"{name}.html\n"
    page = (folder / f"{name}.html").read_text()
    assert page.startswith("<!DOCTYPE html>")
    assert hotfoot(folder, "report", name, "--output", "-").stdout == page
    assert "cannot be written" in hotfoot(folder, "report", name, "-o", "no/where.html", status=1).stderr
    assert "no migration 1999" in hotfoot(folder, "report", "1999", status=2).stderr


@pytest.mark.parametrize(
    "words", [["--since", "soon"], ["--accuracy", "--summary"], ["--csv", "--json"], ["--prune", "x"]]
)
def test_what_makes_no_sense_is_told(folder: Path, words: list[str]) -> None:
    assert hotfoot(folder, "history", *words, status=2).stderr.startswith("hotfoot: ")


def test_an_empty_journal_is_no_error(folder: Path) -> None:
    (folder / "journal.sqlite3").unlink()
    assert "No migration" in hotfoot(folder, "history").stdout
    assert hotfoot(folder, "history", "--json").stdout == "[]\n"
    assert "No migration with a forecast" in hotfoot(folder, "history", "--accuracy").stdout


def test_a_command_that_cannot_ask_the_hosts_leaves_what_is_open_open(folder: Path) -> None:
    from tests.journal.records import DEAD

    store = Store(Place(file=folder / "journal.sqlite3"))
    orphan = store.entries.open(replace(record(), owner=DEAD, destination="n1"))
    assert orphan in hotfoot(folder, "history").stdout
    assert store.find(orphan).ended_ms is None
    store.close()
