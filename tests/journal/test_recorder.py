"""Writing while a migration runs: thinned, never in its way, whole after a kill and on a full disk."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from tests.journal.records import record

from hotfoot.errors import ExitStatus
from hotfoot.journal.afterwards import is_orphan
from hotfoot.journal.entries import Entries
from hotfoot.journal.place import Place
from hotfoot.journal.recorder import MOST_KEPT, Recorder
from hotfoot.journal.store import Store
from hotfoot.migration.action import Action, ActionKind
from hotfoot.migration.result import MigrationResult, Outcome
from hotfoot.migration.sample import JobSample, Phase

ROOT = Path(__file__).parents[2]
DONE = MigrationResult(instance="vm1", outcome=Outcome.COMPLETED, status=ExitStatus.COMPLETED, total_ms=900)
WRITE = [sys.executable, "-m", "tests.journal.writing_process"]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a mount namespace")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "migrations.sqlite3"


def look(at_s: float, iteration: int, phase: Phase = Phase.COPYING_MEMORY) -> JobSample:
    return JobSample(at_s=at_s, phase=phase, iteration=iteration)


def test_samples_are_thinned_but_no_iteration_is_lost(place: Place) -> None:
    recorder = Recorder(Entries(place), record(), lambda _: None)
    name = recorder.begin(60)
    assert name is not None
    for at_s, iteration in ((10.0, 1), (10.4, 1), (10.8, 1), (10.9, 2), (11.1, 2), (12.0, 2), (12.1, 2)):
        recorder.sample(look(at_s, iteration))
    recorder.sample(look(12.2, 2, Phase.SWITCHING_OVER))
    recorder.action(Action(kind=ActionKind.THROTTLE, at_ms=5, value=20, reason="it does not converge"))
    recorder.end(DONE, 60)
    store = Store(place)
    kept = store.samples(name)
    assert [each.at_ms - kept[0].at_ms for each in kept] == [0, 900, 2000, 2200]
    assert kept[0].what["iteration"] == 1
    assert "at_s" not in kept[0].what
    assert [each.what["kind"] for each in store.actions(name)] == ["throttle"]
    assert store.find(name).word == "completed"
    store.close()


def test_of_samples_that_come_without_a_pause_none_is_lost(file: Path) -> None:
    recorder = Recorder(Entries(Place(file=file)), record(), lambda _: None)
    for n in range(MOST_KEPT + 700):
        recorder.sample(look(float(n), n))
    name = recorder.begin(60)
    recorder.end(DONE, 60)
    assert name is not None
    with closing(Store(Place(file=file))) as store:
        assert len(store.samples(name)) == MOST_KEPT + 700


def test_a_journal_that_comes_back_gets_everything(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    folder.write_text("a file where the folder is to be")
    said: list[str] = []
    place = Place(file=folder / "migrations.sqlite3")
    recorder = Recorder(Entries(place), record(), said.append)
    assert recorder.begin(60) is None
    recorder.sample(look(1.0, 1))
    recorder.sample(look(2.0, 2))
    folder.unlink()
    recorder.end(DONE, 60)
    store = Store(place)
    (found,) = store.records()
    assert found.word == "completed"
    assert len(store.samples(found.id)) == 2
    store.close()
    assert len(said) == 1
    assert said[0].endswith("the migration goes on without it.")


def test_trouble_is_said_once_and_the_end_is_said_to_be_missing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    said: list[str] = []
    recorder = Recorder(Entries(Place(file=tmp_path / "file" / "x.sqlite3")), record(), said.append)
    recorder.begin(60)
    for n in range(20):
        recorder.sample(look(float(n), n))
    recorder.end(DONE, 60)
    assert len(said) == 2
    assert "not in the journal" in said[1]


@pytest.mark.parametrize("lines", [1, 2, 3])
def test_a_killed_process_leaves_a_whole_journal_and_an_open_record(file: Path, lines: int) -> None:
    process = subprocess.Popen([*WRITE, str(file), "1000000"], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout is not None
    name = process.stdout.readline().strip()
    store = Store(Place(file=file))
    while len(store.samples(name)) < 40 * lines:
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    with closing(sqlite3.connect(file)) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    (left,) = store.left_open("rack1")
    assert left.record.id == name
    assert is_orphan(left)
    numbers = [each.what["iteration"] for each in store.samples(name)]
    assert numbers == list(range(len(numbers)))
    store.close()


@needs_root
def test_a_full_disk_is_said_once_and_the_journal_stays_whole(tmp_path: Path) -> None:
    script = (
        'mount -t tmpfs -o size=400k none "$1" && "$2" -m tests.journal.writing_process "$1/migrations.sqlite3" 4000'
        ' && cp "$1"/* "$3"'
    )
    full, kept = tmp_path / "full", tmp_path / "kept"
    full.mkdir()
    kept.mkdir()
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, "sh", full, sys.executable, kept],
        capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    if "unshare" in done.stderr:
        pytest.skip(f"this machine has no mount namespaces: {done.stderr}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout.count("goes on without it") == 1
    assert done.stdout.endswith("ended\n")
    with closing(sqlite3.connect(kept / "migrations.sqlite3")) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        (count,) = database.execute("SELECT count(*) FROM samples").fetchone()
    assert 0 < count < 4000


def test_a_server_that_drops_its_connections_loses_nothing(postgresql: str) -> None:
    store = Store(Place(url=postgresql))
    recorder = Recorder(Entries(Place(url=postgresql)), record(cluster="dropped"), lambda _: None)
    name = recorder.begin(60)
    assert name is not None
    for n in range(6):
        recorder.sample(look(float(n), n))
        with psycopg.connect(postgresql) as connection:
            connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'hotfoot'"
                               " AND pid <> pg_backend_pid()")  # fmt: skip
    recorder.end(DONE, 60)
    assert [each.what["iteration"] for each in store.samples(name)] == [0, 1, 2, 3, 4, 5]
    assert store.find(name).word == "completed"
    store.close()
