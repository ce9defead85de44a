"""What one migration writes into the journal and reads from it, in plain SQL. Blocking calls.

All else goes through SQLAlchemy (``store``), which costs a third of the processor time of a migration to import
alone (benchmarks/README.md): too much for the few statements that every migration needs.
"""

from __future__ import annotations

import json
import secrets
import string
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from typing import Literal

from hotfoot.errors import ExitStatus, HotfootError
from hotfoot.journal.database import Database, Doubled, Trouble, connect
from hotfoot.journal.owner import Owner
from hotfoot.journal.place import Place
from hotfoot.journal.record import Json, Record, Timed
from hotfoot.journal.schema import NEWEST

_OWNER_KEYS = tuple(field.name for field in fields(Owner))
_RECORD_KEYS = tuple(field.name for field in fields(Record) if field.name != "owner")
_JSON_KEYS = ("asked", "forecast", "result")
_COLUMNS = (*_RECORD_KEYS, *(f"owner_{key}" for key in _OWNER_KEYS))
_OPEN = f"INSERT INTO migrations ({', '.join(_COLUMNS)}) VALUES ({', '.join(f':{key}' for key in _COLUMNS)})"
_END = """
    UPDATE migrations SET destination = :destination, ended_ms = :ended_ms, outcome = :outcome, status = :status,
        outage_at_ms = :outage_at_ms, result = :result, found_afterwards = :found_afterwards
    WHERE id = :id AND (
        ended_ms IS NULL OR (found_afterwards AND NOT :found_afterwards) OR (status = :unknown AND status <> :status)
    )
"""
_PLACED = """
    UPDATE definitions SET host = :destination, running = :running, placed_ms = :ended_ms
    WHERE cluster = :cluster AND uuid = :uuid AND placed_ms <= :ended_ms
"""
_SAMPLE = "INSERT INTO samples (migration, n, at_ms, sample) VALUES (:id, :n, :at_ms, :what) ON CONFLICT DO NOTHING"
_ACTION = "INSERT INTO actions (migration, n, at_ms, action) VALUES (:id, :n, :at_ms, :what) ON CONFLICT DO NOTHING"
_COUNTS = """
    SELECT (SELECT coalesce(max(n) + 1, 0) FROM samples WHERE migration = :id),
        (SELECT coalesce(max(n) + 1, 0) FROM actions WHERE migration = :id)
"""
_BEAT = "UPDATE migrations SET heartbeat_ms = :now WHERE id = :id AND ended_ms IS NULL"
_OUT = "SELECT host, taken_by, since_ms, why FROM hosts_out WHERE cluster = :cluster ORDER BY host"
_MOVES = """
    SELECT asked, result FROM migrations
    WHERE cluster = :cluster AND source = :source AND destination = :destination AND outcome = 'completed'
        AND mode = 'live'
    ORDER BY started_ms DESC LIMIT :most
"""


@dataclass(frozen=True, slots=True)
class Move:
    """A completed live migration between two hosts: what was asked for, and its migrate record."""

    asked: Json
    result: Json


class Entries:
    """The entries of one journal. Every method raises HotfootError where the database cannot do it; none is half done.

    Invariant: of several threads one at a time has a transaction, and the connection is let go of between two. (They
    share it: two orphans that are settled at once would else write into each other's transaction, and to close what
    another thread uses ends the process.)
    """

    def __init__(self, place: Place) -> None:
        self._place = place
        self._database: Database | None = None
        self._made = False
        self._one_at_a_time = threading.RLock()

    @property
    def name(self) -> str:
        """What the operator calls the journal; never with a password."""
        return self._place.name

    def open(self, record: Record) -> str:
        """Keep a record that begins, or one that ended at once; returns its id, made from its start."""
        for _ in range(100):
            name = _new_id(record.started_ms)
            try:
                with self._begin() as database:
                    database.execute(_OPEN, _values(replace(record, id=name, heartbeat_ms=database.clock_ms())))
            except Doubled:
                continue
            return name
        raise HotfootError(f"the journal {self._place.name} has no room for one more migration in this minute")

    def add(self, migration: str, samples: Sequence[tuple[int, Timed]], actions: Sequence[tuple[int, Timed]]) -> None:
        """Keep looks and actions, each with its number, and that the owner lives; nothing twice."""
        with self._begin() as database:
            for statement, rows in ((_SAMPLE, samples), (_ACTION, actions)):
                for n, timed in rows:
                    what = json.dumps(dict(timed.what))
                    database.execute(statement, {"id": migration, "n": n, "at_ms": timed.at_ms, "what": what})
            database.execute(_BEAT, {"now": database.clock_ms(), "id": migration})

    def counts(self, migration: str) -> dict[Literal["samples", "actions"], int]:
        """Return how many looks and actions a record has: the numbers of the next ones."""
        with self._begin() as database:
            ((samples, actions),) = database.execute(_COUNTS, {"id": migration}).fetchall()
        return {"samples": samples, "actions": actions}

    def end(self, record: Record) -> bool:
        """Keep how a record ended; False when it has ended already.

        Invariant: the first word stands, except that the owner's own stands above what others found afterwards, and
        what is known above that nothing was known. Where
        it completed, the instance's kept definition is of its destination from then on.
        """
        with self._begin() as database:
            ended = bool(database.execute(_END, {**_values(record), "unknown": int(ExitStatus.UNKNOWN_STATE)}).rowcount)
            if ended and record.outcome == "completed":
                where = ("cluster", "uuid", "destination", "ended_ms")
                database.execute(_PLACED, {**{key: getattr(record, key) for key in where}, "running": True})
            return ended

    def moves(self, cluster: str, source: str, destination: str, most: int) -> tuple[Move, ...]:
        """Return the last completed live migrations from the source to the destination, the newest first."""
        if not self._place.exists:
            return ()
        asked = {"cluster": cluster, "source": source, "destination": destination, "most": most}
        with self._begin() as database:
            rows = database.execute(_MOVES, asked).fetchall()
        return tuple(Move(_read(asked), _read(result)) for asked, result in rows)

    def out(self, cluster: str) -> tuple[tuple[str, str, int, str], ...]:
        """Return the hosts that are out of placement: host, who took it out, since when (ms since 1970), why."""
        if not self._place.exists:
            return ()
        with self._begin() as database:
            return tuple(tuple(row) for row in database.execute(_OUT, {"cluster": cluster}).fetchall())

    def close(self) -> None:
        """Let go of the database."""
        with self._one_at_a_time:
            if self._database is not None:
                self._database.close()
                self._database = None

    @contextmanager
    def _begin(self) -> Iterator[Database]:
        """One transaction, with the tables as they are to be."""
        with self._one_at_a_time:
            try:
                database = self._begun()
                try:
                    yield database
                    database.commit()
                except BaseException:
                    database.roll_back()
                    raise
            except Trouble as error:
                raise HotfootError(f"the journal {self._place.name} cannot be used: {error}") from None

    def _begun(self) -> Database:
        for again in (True, False):
            if self._database is None:
                self._database = connect(self._place)
            try:
                self._database.begin()
                break
            except Trouble:  # a server may have been restarted since the last write
                if not (again and self._database.broken):
                    raise
                self.close()
        assert self._database is not None
        if not self._made:
            if self._database.step() != NEWEST:
                self._database.roll_back()
                from hotfoot.journal.store import Store  # with SQLAlchemy and Alembic, once in a journal's life

                with closing(Store(self._place)) as store:
                    store.bring_up_to_date()
                self._database.begin()
            self._made = True
        return self._database


def now_ms() -> int:
    """Return the time of this machine's clock, in ms since 1970 UTC."""
    return time.time_ns() // 1_000_000


def _new_id(started_ms: int) -> str:
    tail = "".join(secrets.choice(string.ascii_lowercase) for _ in range(3))
    return f"{datetime.fromtimestamp(started_ms / 1000, UTC):%Y%m%d-%H%M}-{tail}"


def _values(record: Record) -> dict[str, object]:
    values = {key: getattr(record, key) for key in _RECORD_KEYS}
    for key in _JSON_KEYS:
        values[key] = None if values[key] is None else json.dumps(dict(values[key]))
    return values | {f"owner_{key}": getattr(record.owner, key) for key in _OWNER_KEYS}


def _read(value: object) -> Json:
    """SQLite keeps JSON as text; PostgreSQL's driver has read it already."""
    read = json.loads(value) if isinstance(value, str) else value
    return read if isinstance(read, Mapping) else {}
