"""Plans, their moves, and hosts out of placement."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the tables of plans."""
    op.create_table(
        "plans",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("cluster", sa.Text, nullable=False),
        sa.Column("verb", sa.Text, nullable=False),
        sa.Column("wish", sa.JSON, nullable=False),
        sa.Column("asked", sa.JSON, nullable=False),
        sa.Column("hosts", sa.JSON, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("wanted", sa.Text),
        sa.Column("owner_user", sa.Text, nullable=False),
        sa.Column("owner_host", sa.Text, nullable=False),
        sa.Column("owner_boot", sa.Text, nullable=False),
        sa.Column("owner_pid", sa.BigInteger, nullable=False),
        sa.Column("owner_start", sa.BigInteger, nullable=False),
        sa.Column("asked_from", sa.Text),
        sa.Column("made_ms", sa.BigInteger, nullable=False),
        sa.Column("heartbeat_ms", sa.BigInteger, nullable=False),
        sa.Column("ended_ms", sa.BigInteger),
        sa.Column("status", sa.Integer),
        sa.Column("stays", sa.JSON, nullable=False),
        sa.Column("remark", sa.Text),
    )
    op.create_index("plans_by_time", "plans", ["made_ms"])
    op.create_index("plans_by_end", "plans", ["ended_ms"])
    op.create_table(
        "plan_moves",
        sa.Column("plan", sa.Text, sa.ForeignKey("plans.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("n", sa.Integer, primary_key=True),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("uuid", sa.Text, nullable=False),
        sa.Column("move", sa.JSON, nullable=False),
    )
    op.create_table(
        "hosts_out",
        sa.Column("cluster", sa.Text, primary_key=True),
        sa.Column("host", sa.Text, primary_key=True),
        sa.Column("taken_by", sa.Text, nullable=False),
        sa.Column("since_ms", sa.BigInteger, nullable=False),
        sa.Column("why", sa.Text, nullable=False),
    )


def downgrade() -> None:
    """Drop them."""
    for name in ("hosts_out", "plan_moves", "plans"):
        op.drop_table(name)
