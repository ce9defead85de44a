"""Migrations, their samples and the actions of steering."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables of the first version."""
    op.create_table(
        "migrations",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("cluster", sa.Text, nullable=False),
        sa.Column("instance", sa.Text, nullable=False),
        sa.Column("uuid", sa.Text),
        sa.Column("source", sa.Text),
        sa.Column("destination", sa.Text),
        sa.Column("mode", sa.Text),
        sa.Column("memory_bytes", sa.BigInteger),
        sa.Column("persistent", sa.Boolean, nullable=False),
        sa.Column("state_before", sa.Text, nullable=False),
        sa.Column("asked", sa.JSON, nullable=False),
        sa.Column("forecast", sa.JSON),
        sa.Column("policy", sa.Text),
        sa.Column("owner_user", sa.Text, nullable=False),
        sa.Column("owner_host", sa.Text, nullable=False),
        sa.Column("owner_boot", sa.Text, nullable=False),
        sa.Column("owner_pid", sa.BigInteger, nullable=False),
        sa.Column("owner_start", sa.BigInteger, nullable=False),
        sa.Column("asked_from", sa.Text),
        sa.Column("started_ms", sa.BigInteger, nullable=False),
        sa.Column("heartbeat_ms", sa.BigInteger, nullable=False),
        sa.Column("ended_ms", sa.BigInteger),
        sa.Column("outcome", sa.Text),
        sa.Column("status", sa.Integer),
        sa.Column("result", sa.JSON),
        sa.Column("outage_at_ms", sa.BigInteger),
        sa.Column("found_afterwards", sa.Boolean, nullable=False),
    )
    op.create_index("migrations_by_start", "migrations", ["started_ms"])
    op.create_index("migrations_by_uuid", "migrations", ["uuid"])
    op.create_index("migrations_by_end", "migrations", ["ended_ms"])
    for name, content in (("samples", "sample"), ("actions", "action")):
        op.create_table(
            name,
            sa.Column("migration", sa.Text, sa.ForeignKey("migrations.id", ondelete="CASCADE"), primary_key=True),
            sa.Column("n", sa.Integer, primary_key=True),
            sa.Column("at_ms", sa.BigInteger, nullable=False),
            sa.Column(content, sa.JSON, nullable=False),
        )


def downgrade() -> None:
    """Drop everything: there is no older version."""
    for name in ("actions", "samples", "migrations"):
        op.drop_table(name)
