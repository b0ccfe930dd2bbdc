"""Users whom the sliding window has forgotten, for the replicas that remember them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0001"

_BATCHES = "Who was seen when, by batch, as long as the window reaches."
_BEFORE = "Who was seen when, by batch, for as long as the sliding window reaches. Rows never change."


def upgrade() -> None:
    op.create_table(
        "forgotten_user",
        sa.Column("seq", sa.BigInteger(), sa.Identity(always=True), primary_key=True),
        sa.Column("forgotten_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("salt", sa.LargeBinary(), nullable=False),
        sa.Column("digests", postgresql.ARRAY(sa.LargeBinary()), nullable=False),
        sa.Column("names", postgresql.ARRAY(sa.Text()), nullable=False),
        comment="What replicas must forget; kept for as long as the sliding window reaches.",
    )
    op.create_table_comment("window_batch", f"{_BATCHES} Rows change only to forget users.", existing_comment=_BEFORE)


def downgrade() -> None:
    op.create_table_comment("window_batch", _BEFORE)
    op.drop_table("forgotten_user")
