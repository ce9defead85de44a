"""The journal in its database: records written as they grow, and read again. Blocking calls."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from sqlalchemy import Connection, Engine, Row, Table, create_engine, delete, event, func, or_, select, update
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from hotfoot.errors import ExitStatus, HotfootError
from hotfoot.journal.database import PATIENCE_S, SERVER_CLOCK, SERVER_LIMITS, SQLITE_BEGIN, in_one_line, set_up_sqlite
from hotfoot.journal.entries import Entries, now_ms
from hotfoot.journal.owner import Owner
from hotfoot.journal.place import Place
from hotfoot.journal.record import Record, Timed
from hotfoot.journal.schema import NEWEST
from hotfoot.journal.tables import ACTIONS, HOSTS_OUT, MIGRATIONS, PLANS, SAMPLES

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
        self.entries = Entries(place)
        self._engine: Engine | None = None
        self._made: str = ""

    def bring_up_to_date(self) -> None:
        """Make the tables, or change them to what this Hotfoot knows."""
        with self.transaction():
            pass

    def adopt(self, record: Record, owner: Owner) -> Record | None:
        """Give an open record to another owner; None when it has ended, or somebody else was faster."""
        mine: dict[str, object] = {f"owner_{key}": value for key, value in asdict(owner).items()}
        with self.transaction() as database:
            mine["heartbeat_ms"] = clock_ms(database)
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
        if not self.place.exists:
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
        with self.transaction() as database:
            return tuple(_record(row) for row in database.execute(query))

    def left_open(self, cluster: str) -> tuple[Open, ...]:
        """Return the records of a cluster that have not ended, the oldest first."""
        if not self.place.exists:
            return ()
        at = MIGRATIONS.c
        query = select(MIGRATIONS).where(at.cluster == cluster, at.ended_ms.is_(None)).order_by(at.started_ms)
        with self.transaction() as database:
            now = clock_ms(database)
            return tuple(Open(_record(row), now - row.heartbeat_ms) for row in database.execute(query))

    def find(self, name: str) -> Record:
        """Return the record of an id, or of the beginning of one; raises HotfootError (usage) when none or two fit."""
        found: list[Record] = []
        if self.place.exists:
            query = select(MIGRATIONS).where(MIGRATIONS.c.id.startswith(name, autoescape=True)).limit(2)
            with self.transaction() as database:
                found = [_record(row) for row in database.execute(query)]
        if len(found) != 1:
            what = "two migrations" if found else "no migration"
            raise HotfootError(
                f"the journal {self.place.name} has {what} {name}; `hotfoot history` lists them with their ids",
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
        """Forget the ended migrations of a cluster that began before that time; returns how many.

        Ended plans too, as long as no host of the cluster is out of placement.
        """
        if not self.place.exists:
            return 0
        at = MIGRATIONS.c
        old = (at.cluster == cluster, at.started_ms < before_ms, at.ended_ms.is_not(None))
        plans = PLANS.c
        with self.transaction() as database:
            if dry_run:
                return int(database.execute(select(func.count()).select_from(MIGRATIONS).where(*old)).scalar_one())
            out = database.execute(select(HOSTS_OUT.c.host).where(HOSTS_OUT.c.cluster == cluster)).fetchall()
            if not out:  # else `hotfoot restore` needs them
                of_old = (plans.cluster == cluster, plans.made_ms < before_ms, plans.ended_ms.is_not(None))
                database.execute(delete(PLANS).where(*of_old))
            return database.execute(delete(MIGRATIONS).where(*old)).rowcount

    def close(self) -> None:
        """Let go of the database."""
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None
        self.entries.close()

    def _timed(self, table: Table, key: str, migration: str) -> tuple[Timed, ...]:
        query = select(table.c.at_ms, table.c[key]).where(table.c.migration == migration).order_by(table.c.n)
        with self.transaction() as database:
            return tuple(Timed(at_ms, what) for at_ms, what in database.execute(query))

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """One transaction, with the tables as they are to be."""
        try:
            if self.place.file is not None:
                self.place.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            engine = self._open()
            with engine.begin() as database:
                if self._made != NEWEST:
                    self._made = _bring_up_to_date(database, self.place.name)
                yield database
        except (OSError, SQLAlchemyError) as error:
            raise HotfootError(f"the journal {self.place.name} cannot be used: {_cause(error)}") from None

    def _open(self) -> Engine:
        if self._engine is None:
            if self.place.file is not None:
                self._engine = create_engine(self._url(), connect_args={"timeout": PATIENCE_S})
                event.listen(self._engine, "connect", _of_sqlite)
                event.listen(self._engine, "begin", _begin_to_write)
            else:
                self._engine = create_engine(
                    self._url(),
                    connect_args=dict(SERVER_LIMITS),
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


def clock_ms(database: Connection) -> int:
    """Return the time by the one clock that all who share the journal have: the server's, or this machine's."""
    if database.dialect.name == "sqlite":
        return now_ms()
    ms: int = database.exec_driver_sql(SERVER_CLOCK).scalar_one()
    return ms


def _of_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # else Python commits before each change of the schema
    set_up_sqlite(connection)


def _begin_to_write(database: Connection) -> None:
    database.exec_driver_sql(SQLITE_BEGIN)


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


def _record(row: Row[Any]) -> Record:
    found = row._mapping
    owner = Owner(**{key: found[f"owner_{key}"] for key in _OWNER_KEYS})
    return Record(owner=owner, **{key: found[key] for key in _RECORD_KEYS})


def _cause(error: OSError | SQLAlchemyError) -> str:
    """What the driver said: SQLAlchemy adds the statement and its values, which nobody wants to read."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    return in_one_line(cause if isinstance(cause, Exception) else error)
