"""Erasures of people."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "erasure",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("internal_user_id", sa.Text(), nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("receipt", postgresql.JSON()),
        sa.Column("cleaned_events", sa.Integer(), nullable=False),
        sa.Column("completed_at", sa.DateTime(timezone=True)),
    )
    op.create_index("erasure_open", "erasure", ["requested_at"], postgresql_where=sa.text("completed_at IS NULL"))


def downgrade() -> None:
    op.drop_table("erasure")
