from __future__ import annotations

import re
import sqlite3
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hotfoot.errors import HotfootError
from hotfoot.prepare.journal import Journal, StepRow


def row(n: int, stage: int = 30, state: str = "done") -> StepRow:
    return StepRow(stage, n, "n1", "NAMES", "write /etc/hosts", ("names.self", "names.other"), state, "")


def test_names_of_runs_are_short_sortable_and_their_own(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "deep" / "journal.sqlite3")
    with ThreadPoolExecutor(4) as pool:
        names = list(pool.map(lambda _: journal.new_run("c"), range(20)))
    assert len(set(names)) == 20
    assert all(re.fullmatch(r"\d{8}-\d{4}-[a-z]{4}", name) for name in names)
    assert stat.S_IMODE((tmp_path / "deep").stat().st_mode) == 0o700


def test_a_run_is_found_with_its_steps_and_its_end(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    assert (journal.runs(), journal.steps("x")) == ((), ())
    assert not journal.path.exists()
    run = journal.new_run("east")
    journal.new_run("west")
    journal.note(run, row(1, state="begun"))
    journal.note(run, row(0))
    journal.note(run, row(1, state="failed"))
    journal.end(run, "failed")
    (found,) = journal.runs("east")
    assert (found.id, found.outcome, found.ended is not None) == (run, "failed", True)
    assert len(journal.runs()) == 2
    assert journal.steps(run) == (row(0), row(1, state="failed"))


def test_each_time_a_run_goes_on_is_a_round_of_its_own(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    run = journal.new_run("c")
    assert journal.resume(run, "c") == 0
    journal.note(run, row(0, stage=80))
    journal.end(run, "completed")
    assert journal.resume(run, "c") == 1
    assert journal.runs()[0].outcome == "running"
    journal.note(run, row(0, stage=130))
    assert journal.resume(run, "c") == 2
    assert journal.resume("20260101-0000-aa", "c") == 0


def test_a_journal_that_cannot_be_used_is_said_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HotfootError, match="cannot be opened"):
        Journal(tmp_path / "file" / "j").new_run("c")
    (tmp_path / "broken").write_text("this is no database, and never was one" * 100)
    with pytest.raises(HotfootError, match="cannot be read or written"):
        Journal(tmp_path / "broken").runs()
    sqlite3.connect(tmp_path / "newer").execute("PRAGMA user_version = 99").connection.commit()
    with pytest.raises(HotfootError, match="newer Hotfoot"):
        Journal(tmp_path / "newer").new_run("c")


def test_where_it_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert Journal().path == tmp_path / "hotfoot" / "journal.sqlite3"
