"""The tables of the journal, as the newest step of ``schema/versions`` leaves them (a test compares)."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Boolean, Column, ForeignKey, Index, Integer, MetaData, Table, Text

METADATA = MetaData()

MIGRATIONS = Table(
    "migrations",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("cluster", Text, nullable=False),
    Column("instance", Text, nullable=False),
    Column("uuid", Text),
    Column("source", Text),
    Column("destination", Text),
    Column("mode", Text),
    Column("memory_bytes", BigInteger),
    Column("persistent", Boolean, nullable=False),
    Column("state_before", Text, nullable=False),
    Column("asked", JSON, nullable=False),
    Column("forecast", JSON(none_as_null=True)),
    Column("policy", Text),
    Column("owner_user", Text, nullable=False),
    Column("owner_host", Text, nullable=False),
    Column("owner_boot", Text, nullable=False),
    Column("owner_pid", BigInteger, nullable=False),
    Column("owner_start", BigInteger, nullable=False),
    Column("asked_from", Text),
    Column("started_ms", BigInteger, nullable=False),
    Column("heartbeat_ms", BigInteger, nullable=False),
    Column("ended_ms", BigInteger),
    Column("outcome", Text),
    Column("status", Integer),
    Column("result", JSON(none_as_null=True)),
    Column("outage_at_ms", BigInteger),
    Column("found_afterwards", Boolean, nullable=False),
    Index("migrations_by_start", "started_ms"),
    Index("migrations_by_uuid", "uuid"),
    Index("migrations_by_end", "ended_ms"),
)


def _of_migration(name: str, content: str) -> Table:
    return Table(
        name,
        METADATA,
        Column("migration", Text, ForeignKey("migrations.id", ondelete="CASCADE"), primary_key=True),
        Column("n", Integer, primary_key=True),
        Column("at_ms", BigInteger, nullable=False),
        Column(content, JSON, nullable=False),
    )


SAMPLES = _of_migration("samples", "sample")
ACTIONS = _of_migration("actions", "action")
