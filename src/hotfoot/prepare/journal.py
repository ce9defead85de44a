"""The controller's journal of preparations: which run changed which hosts, and how each step ended.

SQLite below the user's state folder; nothing in it is secret. The hosts keep what takes a run back: this journal only
says where to look, and a lost one can be done without, but for what a run wrote into the cluster file.
"""

from __future__ import annotations

import secrets
import sqlite3
import string
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from hotfoot.errors import HotfootError
from hotfoot.state import state_folder

_VERSION = 1
_TABLES = """
CREATE TABLE IF NOT EXISTS runs (
    id TEXT PRIMARY KEY, cluster TEXT NOT NULL, started TEXT NOT NULL, ended TEXT, outcome TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS steps (
    run TEXT NOT NULL REFERENCES runs (id), stage INTEGER NOT NULL, n INTEGER NOT NULL, host TEXT NOT NULL,
    phase TEXT NOT NULL, title TEXT NOT NULL, codes TEXT NOT NULL, state TEXT NOT NULL, problem TEXT NOT NULL,
    PRIMARY KEY (run, stage, n)
);
CREATE TABLE IF NOT EXISTS declarations (
    run TEXT NOT NULL REFERENCES runs (id), path TEXT NOT NULL, title TEXT NOT NULL, at INTEGER NOT NULL,
    added TEXT NOT NULL, old_sha256 TEXT NOT NULL, new_sha256 TEXT NOT NULL, PRIMARY KEY (run, path)
);
"""


@dataclass(frozen=True, slots=True)
class RunRow:
    """One run: times are UTC in ISO 8601, ``ended`` is None while it goes on (or was killed).

    ``outcome``: running, completed, failed, stopped, undone, partly undone.
    """

    id: str
    cluster: str
    started: str
    ended: str | None
    outcome: str


@dataclass(frozen=True, slots=True)
class StepRow:
    """One step of a run on one host; ``codes`` are those of the findings that it mends."""

    stage: int
    n: int
    host: str
    phase: str
    title: str
    codes: tuple[str, ...]
    state: str
    problem: str


@dataclass(frozen=True, slots=True)
class Declaration:
    """What a run added to the cluster file at ``path``: ``added``, ``at`` so many characters from its beginning."""

    path: str
    title: str
    at: int
    added: str
    old_sha256: str
    new_sha256: str


class Journal:
    """The journal in a file (of this user unless told), which is made when first written."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or state_folder() / "journal.sqlite3"

    def new_run(self, cluster: str) -> str:
        """Begin a run and return its name: sortable by time (UTC), short, its own, of other journals too."""
        with self._open() as database:
            while True:
                now = datetime.now(UTC)
                tail = "".join(secrets.choice(string.ascii_lowercase) for _ in range(4))
                name = f"{now:%Y%m%d-%H%M}-{tail}"
                added = database.execute(
                    "INSERT OR IGNORE INTO runs VALUES (?, ?, ?, NULL, 'running')", (name, cluster, _iso(now))
                )
                if added.rowcount:
                    return name

    def resume(self, run: str, cluster: str) -> int:
        """Note that a run goes on (or begins, where its name was made elsewhere); returns its next round, from 0."""
        with self._open() as database:
            database.execute(
                "INSERT INTO runs VALUES (?, ?, ?, NULL, 'running') "
                "ON CONFLICT (id) DO UPDATE SET ended = NULL, outcome = 'running'",
                (run, cluster, _iso(datetime.now(UTC))),
            )
            last = database.execute("SELECT max(stage) FROM steps WHERE run = ?", (run,)).fetchone()[0]
            return 0 if last is None else int(last) // 100 + 1

    def note(self, run: str, step: StepRow) -> None:
        """Keep how a step stands; a later note on it replaces the earlier."""
        with self._open() as database:
            database.execute(
                "INSERT OR REPLACE INTO steps VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (run, step.stage, step.n, step.host, step.phase, step.title, " ".join(step.codes), step.state,
                 step.problem),
            )  # fmt: skip

    def end(self, run: str, outcome: str) -> None:
        """Note how a run ended."""
        with self._open() as database:
            database.execute(
                "UPDATE runs SET ended = ?, outcome = ? WHERE id = ?", (_iso(datetime.now(UTC)), outcome, run)
            )

    def runs(self, cluster: str | None = None) -> tuple[RunRow, ...]:
        """Return all runs, of one cluster or of all, the newest first; none where nothing was ever written."""
        if not self.path.exists():
            return ()
        with self._open() as database:
            rows = database.execute(
                "SELECT id, cluster, started, ended, outcome FROM runs WHERE ? IN ('', cluster) "
                "ORDER BY started DESC, id DESC",
                (cluster or "",),
            ).fetchall()
        return tuple(RunRow(*row) for row in rows)

    def steps(self, run: str) -> tuple[StepRow, ...]:
        """Return the steps of a run in the order in which they were planned; none for a run that is not known."""
        if not self.path.exists():
            return ()
        with self._open() as database:
            rows = database.execute(
                "SELECT stage, n, host, phase, title, codes, state, problem FROM steps WHERE run = ? ORDER BY stage, n",
                (run,),
            ).fetchall()
        return tuple(
            StepRow(stage, n, host, phase, title, tuple(codes.split()), state, problem)
            for stage, n, host, phase, title, codes, state, problem in rows
        )

    def keep_declaration(self, run: str, kept: Declaration) -> None:
        """Keep what takes back a change of the cluster file."""
        with self._open() as database:
            database.execute(
                "INSERT OR REPLACE INTO declarations VALUES (?, ?, ?, ?, ?, ?, ?)",
                (run, kept.path, kept.title, kept.at, kept.added, kept.old_sha256, kept.new_sha256),
            )

    def declarations(self, run: str) -> tuple[Declaration, ...]:
        """Return what a run declared and was not taken back."""
        if not self.path.exists():
            return ()
        with self._open() as database:
            rows = database.execute(
                "SELECT path, title, at, added, old_sha256, new_sha256 FROM declarations WHERE run = ?", (run,)
            ).fetchall()
        return tuple(Declaration(*row) for row in rows)

    def forget_declaration(self, run: str, path: str) -> None:
        """Note that a change of the cluster file was taken back."""
        with self._open() as database:
            database.execute("DELETE FROM declarations WHERE run = ? AND path = ?", (run, path))

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            database = sqlite3.connect(self.path, timeout=10.0)
        except (OSError, sqlite3.Error) as error:
            raise HotfootError(f"the journal {self.path} cannot be opened: {error}") from None
        try:
            with database:
                if database.execute("PRAGMA user_version").fetchone()[0] > _VERSION:
                    raise HotfootError(f"the journal {self.path} was written by a newer Hotfoot; use that one")
                database.executescript(_TABLES)
                database.execute(f"PRAGMA user_version = {_VERSION}")
                yield database
        except sqlite3.Error as error:
            raise HotfootError(f"the journal {self.path} cannot be read or written: {error}") from None
        finally:
            database.close()


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")
