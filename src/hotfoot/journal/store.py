"""The journal in its database: records written as they grow, and read again. Blocking calls."""

from __future__ import annotations

import secrets
import string
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from typing import Any, Literal

from sqlalchemy import Connection, Engine, Row, Table, create_engine, delete, event, func, insert, or_, select, update
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError

from hotfoot.errors import ExitStatus, HotfootError
from hotfoot.journal.owner import Owner
from hotfoot.journal.place import Place
from hotfoot.journal.record import Record, Timed
from hotfoot.journal.tables import ACTIONS, MIGRATIONS, NEWEST, SAMPLES

PATIENCE_S = 5
"""How long another writer may hold the journal, and a server may take to answer."""
_UPGRADE_LOCK = 7_405_118  # any number that other users of the database are unlikely to lock
_OWNER_KEYS = tuple(field.name for field in fields(Owner))
_RECORD_KEYS = tuple(field.name for field in fields(Record) if field.name != "owner")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which records; what is None does not narrow."""

    cluster: str | None = None
    instance: str | None = None
    """A name, a UUID, or how a UUID begins."""
    host: str | None = None
    """Source or destination."""
    since_ms: int | None = None
    failed: bool = False
    """Only those that ended otherwise than completed."""
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class Open:
    """A record that has not ended, and for how long its owner has not written, by the database's clock."""

    record: Record
    silent_ms: int


class Store:
    """One journal. Every method raises HotfootError where the database cannot do it; none is half done."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self._engine: Engine | None = None
        self._made: str = ""

    @property
    def name(self) -> str:
        """What the operator calls it; never with a password."""
        return str(self.place.file) if self.place.file else self._url().render_as_string(hide_password=True)

    @property
    def exists(self) -> bool:
        """Whether anything can have been written; a file that is not there is not made by reading."""
        return self.place.file is None or self.place.file.exists()

    def open(self, record: Record) -> str:
        """Keep a record that begins, or one that ended at once; returns its id, made from its start."""
        for _ in range(100):
            name = _new_id(record.started_ms)
            try:
                with self._begin() as database:
                    database.execute(
                        insert(MIGRATIONS).values(_values(replace(record, id=name, heartbeat_ms=_clock(database))))
                    )
            except IntegrityError:
                continue
            return name
        raise HotfootError(f"the journal {self.name} has no room for one more migration in this minute")

    def add(self, migration: str, samples: Sequence[tuple[int, Timed]], actions: Sequence[tuple[int, Timed]]) -> None:
        """Keep looks and actions, each with its number, and that the owner lives; nothing twice."""
        with self._begin() as database:
            for table, key, rows in ((SAMPLES, "sample", samples), (ACTIONS, "action", actions)):
                if not rows:
                    continue
                there = select(func.coalesce(func.max(table.c.n), -1)).where(table.c.migration == migration)
                newest = database.execute(there).scalar_one()
                new = [
                    {"migration": migration, "n": n, "at_ms": timed.at_ms, key: dict(timed.what)}
                    for n, timed in rows
                    if n > newest
                ]
                if new:
                    database.execute(insert(table), new)
            database.execute(
                update(MIGRATIONS)
                .where(MIGRATIONS.c.id == migration, MIGRATIONS.c.ended_ms.is_(None))
                .values(heartbeat_ms=_clock(database))
            )

    def counts(self, migration: str) -> dict[Literal["samples", "actions"], int]:
        """Return how many looks and actions a record has: the numbers of the next ones."""
        with self._begin() as database:
            samples, actions = (
                database.execute(
                    select(func.coalesce(func.max(table.c.n) + 1, 0)).where(table.c.migration == migration)
                ).scalar_one()
                for table in (SAMPLES, ACTIONS)
            )
        return {"samples": samples, "actions": actions}

    def end(self, record: Record) -> bool:
        """Keep how a record ended; False when it has ended already.

        Invariant: the first word stands, except that the owner's own stands above what others found afterwards.
        """
        values = {key: getattr(record, key) for key in ("ended_ms", "outcome", "status", "outage_at_ms")}
        values |= {"result": _plain(record.result), "found_afterwards": record.found_afterwards}
        open_yet = MIGRATIONS.c.ended_ms.is_(None)
        may = open_yet if record.found_afterwards else or_(open_yet, MIGRATIONS.c.found_afterwards)
        with self._begin() as database:
            done = database.execute(update(MIGRATIONS).where(MIGRATIONS.c.id == record.id, may).values(values))
            return bool(done.rowcount)

    def adopt(self, record: Record, owner: Owner) -> Record | None:
        """Give an open record to another owner; None when it has ended, or somebody else was faster."""
        mine: dict[str, object] = {f"owner_{key}": value for key, value in asdict(owner).items()}
        with self._begin() as database:
            mine["heartbeat_ms"] = _clock(database)
            done = database.execute(
                update(MIGRATIONS)
                .where(
                    MIGRATIONS.c.id == record.id,
                    MIGRATIONS.c.ended_ms.is_(None),
                    MIGRATIONS.c.owner_boot == record.owner.boot,
                    MIGRATIONS.c.owner_pid == record.owner.pid,
                    MIGRATIONS.c.owner_start == record.owner.start,
                )
                .values(mine)
            )
        return replace(record, owner=owner) if done.rowcount else None

    def records(self, wanted: Wanted = Wanted()) -> tuple[Record, ...]:
        """Return records, the newest first."""
        if not self.exists:
            return ()
        at = MIGRATIONS.c
        query = select(MIGRATIONS).order_by(at.started_ms.desc(), at.id.desc()).limit(wanted.limit)
        if wanted.cluster is not None:
            query = query.where(at.cluster == wanted.cluster)
        if wanted.instance is not None:
            begins = at.uuid.startswith(wanted.instance.lower(), autoescape=True)
            query = query.where(or_(at.instance == wanted.instance, begins))
        if wanted.host is not None:
            query = query.where(or_(at.source == wanted.host, at.destination == wanted.host))
        if wanted.since_ms is not None:
            query = query.where(at.started_ms >= wanted.since_ms)
        if wanted.failed:
            query = query.where(at.outcome.is_not(None), at.outcome != "completed")
        with self._begin() as database:
            return tuple(_record(row) for row in database.execute(query))

    def left_open(self, cluster: str) -> tuple[Open, ...]:
        """Return the records of a cluster that have not ended, the oldest first."""
        if not self.exists:
            return ()
        at = MIGRATIONS.c
        query = select(MIGRATIONS).where(at.cluster == cluster, at.ended_ms.is_(None)).order_by(at.started_ms)
        with self._begin() as database:
            now = _clock(database)
            return tuple(Open(_record(row), now - row.heartbeat_ms) for row in database.execute(query))

    def find(self, name: str) -> Record:
        """Return the record of an id, or of the beginning of one; raises HotfootError (usage) when none or two fit."""
        found: list[Record] = []
        if self.exists:
            query = select(MIGRATIONS).where(MIGRATIONS.c.id.startswith(name, autoescape=True)).limit(2)
            with self._begin() as database:
                found = [_record(row) for row in database.execute(query)]
        if len(found) != 1:
            what = "two migrations" if found else "no migration"
            raise HotfootError(
                f"the journal {self.name} has {what} {name}; `hotfoot history` lists them with their ids",
                ExitStatus.USAGE,
            )
        return found[0]

    def samples(self, migration: str) -> tuple[Timed, ...]:
        """Return the looks at a migration, in order of time."""
        return self._timed(SAMPLES, "sample", migration)

    def actions(self, migration: str) -> tuple[Timed, ...]:
        """Return what steering did in a migration, in order of time."""
        return self._timed(ACTIONS, "action", migration)

    def prune(self, cluster: str, before_ms: int, *, dry_run: bool = False) -> int:
        """Forget the ended migrations of a cluster that began before that time; returns how many."""
        if not self.exists:
            return 0
        at = MIGRATIONS.c
        old = (at.cluster == cluster, at.started_ms < before_ms, at.ended_ms.is_not(None))
        with self._begin() as database:
            if dry_run:
                return int(database.execute(select(func.count()).select_from(MIGRATIONS).where(*old)).scalar_one())
            return database.execute(delete(MIGRATIONS).where(*old)).rowcount

    def close(self) -> None:
        """Let go of the database."""
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None

    def _timed(self, table: Table, key: str, migration: str) -> tuple[Timed, ...]:
        query = select(table.c.at_ms, table.c[key]).where(table.c.migration == migration).order_by(table.c.n)
        with self._begin() as database:
            return tuple(Timed(at_ms, what) for at_ms, what in database.execute(query))

    @contextmanager
    def _begin(self) -> Iterator[Connection]:
        """One transaction, with the tables as they are to be."""
        try:
            if self.place.file is not None:
                self.place.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            engine = self._open()
            with engine.begin() as database:
                if self._made != NEWEST:
                    self._made = _bring_up_to_date(database, self.name)
                yield database
        except IntegrityError:
            raise
        except (OSError, SQLAlchemyError) as error:
            raise HotfootError(f"the journal {self.name} cannot be used: {_cause(error)}") from None

    def _open(self) -> Engine:
        if self._engine is None:
            if self.place.file is not None:
                self._engine = create_engine(self._url(), connect_args={"timeout": PATIENCE_S})
                event.listen(self._engine, "connect", _of_sqlite)
                event.listen(self._engine, "begin", _begin_to_write)
            else:
                limits = f"-c statement_timeout={PATIENCE_S * 1000} -c lock_timeout={PATIENCE_S * 1000}"
                self._engine = create_engine(
                    self._url(),
                    connect_args={"connect_timeout": PATIENCE_S, "options": limits, "tcp_user_timeout": 10_000},
                    pool_pre_ping=True,  # the server may have been restarted since the last write
                )
        return self._engine

    def _url(self) -> URL:
        if self.place.file is not None:
            return URL.create("sqlite", database=str(self.place.file))
        try:
            return make_url(self.place.url).set(drivername="postgresql+psycopg")
        except SQLAlchemyError:
            raise HotfootError("the journal's URL cannot be read", ExitStatus.USAGE) from None


def now_ms() -> int:
    """Return the time of this machine's clock, in ms since 1970 UTC."""
    return time.time_ns() // 1_000_000


def _clock(database: Connection) -> int:
    """Return the time by the one clock that all who share the journal have: the server's, or this machine's."""
    if database.dialect.name == "sqlite":
        return now_ms()
    ms: int = database.exec_driver_sql("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint").scalar_one()
    return ms


def _of_sqlite(connection: Any, _record: object) -> None:
    """A write-ahead log lets readers in while a migration writes; each commit is on disk before it is called done."""
    connection.isolation_level = None  # else Python commits before each change of the schema
    cursor = connection.cursor()
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_to_write(database: Connection) -> None:
    """Take the lock at the beginning: a transaction that becomes a writer later can be refused without a wait."""
    database.exec_driver_sql("BEGIN IMMEDIATE")


def _bring_up_to_date(database: Connection, name: str) -> str:
    """Make the tables, or change them to what this Hotfoot knows; returns the step that they are at."""
    if _step(database) == NEWEST:
        return NEWEST
    if database.dialect.name == "postgresql":  # of two that find no tables, the second finds those of the first
        database.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_UPGRADE_LOCK})")
    from hotfoot.journal.upgrade import UnknownStep, upgrade  # Alembic costs a tenth of a second

    try:
        upgrade(database)
    except UnknownStep:
        raise HotfootError(f"the journal {name} was written by a newer Hotfoot; use that one") from None
    return NEWEST


def _step(database: Connection) -> object:
    there = database.dialect.has_table(database, "alembic_version")
    return database.exec_driver_sql("SELECT version_num FROM alembic_version").scalar() if there else None


def _new_id(started_ms: int) -> str:
    tail = "".join(secrets.choice(string.ascii_lowercase) for _ in range(3))
    return f"{datetime.fromtimestamp(started_ms / 1000, UTC):%Y%m%d-%H%M}-{tail}"


def _values(record: Record) -> dict[str, object]:
    values = {key: getattr(record, key) for key in _RECORD_KEYS}
    values |= {key: _plain(values[key]) for key in ("asked", "forecast", "result")}
    return values | {f"owner_{key}": getattr(record.owner, key) for key in _OWNER_KEYS}


def _plain(value: object) -> object:
    return dict(value) if isinstance(value, Mapping) else value


def _record(row: Row[Any]) -> Record:
    found = row._mapping
    owner = Owner(**{key: found[f"owner_{key}"] for key in _OWNER_KEYS})
    return Record(owner=owner, **{key: found[key] for key in _RECORD_KEYS})


def _cause(error: OSError | SQLAlchemyError) -> str:
    """What the driver said, in one line: SQLAlchemy adds the statement and its values, which nobody wants to read."""
    if isinstance(error, DBAPIError):
        return " ".join(str(error.orig).split())
    return error.strerror or str(error) if isinstance(error, OSError) else " ".join(str(error).split())
