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

PLANS = Table(
    "plans",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("cluster", Text, nullable=False),
    Column("verb", Text, nullable=False),
    Column("wish", JSON, nullable=False),
    Column("asked", JSON, nullable=False),
    Column("hosts", JSON, nullable=False),
    Column("state", Text, nullable=False),
    Column("wanted", Text),
    Column("owner_user", Text, nullable=False),
    Column("owner_host", Text, nullable=False),
    Column("owner_boot", Text, nullable=False),
    Column("owner_pid", BigInteger, nullable=False),
    Column("owner_start", BigInteger, nullable=False),
    Column("asked_from", Text),
    Column("made_ms", BigInteger, nullable=False),
    Column("heartbeat_ms", BigInteger, nullable=False),
    Column("ended_ms", BigInteger),
    Column("status", Integer),
    Column("stays", JSON, nullable=False),
    Column("remark", Text),
    Index("plans_by_time", "made_ms"),
    Index("plans_by_end", "ended_ms"),
)

PLAN_MOVES = Table(
    "plan_moves",
    METADATA,
    Column("plan", Text, ForeignKey("plans.id", ondelete="CASCADE"), primary_key=True),
    Column("n", Integer, primary_key=True),
    Column("state", Text, nullable=False),
    Column("uuid", Text, nullable=False),
    Column("move", JSON, nullable=False),
)

HOSTS_OUT = Table(
    "hosts_out",
    METADATA,
    Column("cluster", Text, primary_key=True),
    Column("host", Text, primary_key=True),
    Column("taken_by", Text, nullable=False),
    Column("since_ms", BigInteger, nullable=False),
    Column("why", Text, nullable=False),
)

DEFINITIONS = Table(
    "definitions",
    METADATA,
    Column("cluster", Text, primary_key=True),
    Column("uuid", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("running", Boolean, nullable=False),
    Column("persistent", Boolean, nullable=False),
    Column("autostart", Boolean, nullable=False),
    Column("xml", Text, nullable=False),
    Column("seen_ms", BigInteger, nullable=False),
    Column("placed_ms", BigInteger, nullable=False),
)
