"""A journal's database as a migration writes to it: one connection, statements in plain SQL. Blocking calls."""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Protocol

from hotfoot.journal.place import Place

PATIENCE_S = 5
"""How long another writer may hold the journal, and a server may take to answer."""
SERVER_LIMITS: Mapping[str, Any] = {
    "connect_timeout": PATIENCE_S,
    "options": f"-c statement_timeout={PATIENCE_S * 1000} -c lock_timeout={PATIENCE_S * 1000}",
    "tcp_user_timeout": 10_000,
}
"""Of connections to PostgreSQL."""
SQLITE_PRAGMAS = ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON")
"""A write-ahead log lets readers in while a migration writes; each commit is on disk before it is called done."""
_AGAIN_S = 0.01
SQLITE_BEGIN = "BEGIN IMMEDIATE"
"""Takes the lock at the beginning: a transaction that becomes a writer later can be refused without a wait."""
SERVER_CLOCK = "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)"


class Trouble(Exception):
    """The database cannot do it, in its own words, on one line."""


class Doubled(Exception):
    """A row with this key is there already."""


class Cursor(Protocol):
    """What a statement returned."""

    @property
    def rowcount(self) -> int: ...  # noqa: D102
    def fetchall(self) -> list[Any]: ...  # noqa: D102


class Database(Protocol):
    """One connection. Statements name their values ``:name``; every method raises Trouble."""

    def begin(self) -> None:
        """Begin a transaction."""

    def commit(self) -> None:
        """Keep what it did."""

    def roll_back(self) -> None:
        """Forget what it did; where the connection is gone, the database has done so."""

    def execute(self, statement: str, values: Mapping[str, object]) -> Cursor:
        """Carry out one statement. Raises Doubled."""

    def clock_ms(self) -> int:
        """Return the time by the one clock that all who share the journal have: the server's, or this machine's."""

    def step(self) -> str | None:
        """Return the step of the schema that its tables are at; None where it has none."""

    @property
    def broken(self) -> bool:
        """Whether only a new connection can help."""

    def close(self) -> None:
        """Let go of it."""


def set_up_sqlite(connection: sqlite3.Connection) -> None:
    """Set what every connection to a file needs. Raises sqlite3.Error.

    Of several that open a new file at once SQLite refuses all but one the write-ahead log, without a wait (its busy
    handler is not asked where two would wait for each other): they try again for as long as a writer may take.
    """
    end_s = time.monotonic() + PATIENCE_S
    while True:
        try:
            for pragma in SQLITE_PRAGMAS:
                connection.execute(f"PRAGMA {pragma}").close()
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > end_s:
                raise
        time.sleep(_AGAIN_S)


def connect(place: Place) -> Database:
    """Connect to a journal; a file is made where there is none. Raises Trouble."""
    return _Sqlite(place) if place.file is not None else _Postgresql(place)


class _Sqlite:
    broken = False

    def __init__(self, place: Place) -> None:
        assert place.file is not None
        try:
            place.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # One thread at a time uses it, though not always the same one.
            self._connection = sqlite3.connect(
                place.file, timeout=PATIENCE_S, isolation_level=None, check_same_thread=False
            )
            set_up_sqlite(self._connection)
        except (OSError, sqlite3.Error) as error:
            raise Trouble(in_one_line(error)) from None

    def begin(self) -> None:
        self.execute(SQLITE_BEGIN, {})

    def commit(self) -> None:
        self.execute("COMMIT", {})

    def roll_back(self) -> None:
        with suppress(Trouble):  # some errors, such as a full disk, have ended the transaction already
            self.execute("ROLLBACK", {})

    def execute(self, statement: str, values: Mapping[str, object]) -> Cursor:
        try:
            return self._connection.execute(statement, dict(values))
        except sqlite3.IntegrityError as error:
            raise Doubled(in_one_line(error)) from None
        except sqlite3.Error as error:
            raise Trouble(in_one_line(error)) from None

    def clock_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def step(self) -> str | None:
        if not self.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'", {}).fetchall():
            return None
        found = self.execute("SELECT version_num FROM alembic_version", {}).fetchall()
        return str(found[0][0]) if found else None

    def close(self) -> None:
        self._connection.close()


class _Postgresql:
    def __init__(self, place: Place) -> None:
        import psycopg

        self._psycopg = psycopg
        try:
            self._connection = psycopg.connect(place.url, autocommit=True, **SERVER_LIMITS)
        except (OSError, psycopg.Error) as error:
            raise Trouble(in_one_line(error)) from None

    def begin(self) -> None:
        self.execute("BEGIN", {})

    def commit(self) -> None:
        self.execute("COMMIT", {})

    def roll_back(self) -> None:
        with suppress(Trouble):
            self.execute("ROLLBACK", {})

    def execute(self, statement: str, values: Mapping[str, object]) -> Cursor:
        try:
            return self._connection.execute(re.sub(r":(\w+)", r"%(\1)s", statement).encode(), values)
        except self._psycopg.IntegrityError as error:
            raise Doubled(in_one_line(error)) from None
        except (OSError, self._psycopg.Error) as error:
            raise Trouble(in_one_line(error)) from None

    def clock_ms(self) -> int:
        return int(self.execute(SERVER_CLOCK, {}).fetchall()[0][0])

    def step(self) -> str | None:
        if not self.execute("SELECT 1 WHERE to_regclass('alembic_version') IS NOT NULL", {}).fetchall():
            return None
        found = self.execute("SELECT version_num FROM alembic_version", {}).fetchall()
        return str(found[0][0]) if found else None

    @property
    def broken(self) -> bool:
        return self._connection.broken or self._connection.closed

    def close(self) -> None:
        self._connection.close()


def in_one_line(error: Exception) -> str:
    """Return what a driver or the system said, without line breaks."""
    said = error.strerror if isinstance(error, OSError) else None
    return " ".join((said or str(error)).split())
