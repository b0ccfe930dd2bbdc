"""How far the continuous audit is, and what its last whole pass found: one row."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.create_table(
        "audit_pass",
        sa.Column("id", sa.SmallInteger(), primary_key=True, autoincrement=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("held_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("began_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("next_minute", sa.BigInteger(), nullable=False),
        sa.Column("last_minute", sa.BigInteger(), nullable=False),
        sa.Column("counts", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("timelines", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("unsettled", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("whole_at", sa.DateTime(timezone=True)),
        sa.Column("whole_counts", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("whole_timelines", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("whole_unsettled", sa.BigInteger(), nullable=False, server_default="0"),
    )


def downgrade() -> None:
    op.drop_table("audit_pass")
