"""The event log, its outbox, and the outbox of domain events."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "event",
        sa.Column("event_key", sa.Uuid(), primary_key=True),
        sa.Column("batch_id", sa.Uuid(), nullable=False),
        sa.Column("fingerprint", sa.BigInteger(), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("source", sa.Text()),
        sa.Column("campaign_id", sa.Text()),
        sa.Column("creative_id", sa.Text()),
        sa.Column("user_id", sa.Text()),
        sa.Column("identifiers", postgresql.JSON()),
        sa.Column("metadata", postgresql.JSON()),
    )
    op.create_index(
        "event_occurred_at", "event", ["occurred_at"], postgresql_using="brin", postgresql_with={"autosummarize": "on"}
    )
    op.create_table(
        "outbox",
        sa.Column("batch_id", sa.Uuid(), primary_key=True),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("identity_applied", sa.Boolean(), nullable=False),
        sa.Column("stats_applied", sa.Boolean(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("deliver_after", sa.DateTime(timezone=True), nullable=False),
    )
    # Rows live for milliseconds: compressing them would cost more than it saves.
    op.execute("ALTER TABLE outbox ALTER COLUMN payload SET STORAGE EXTERNAL")
    op.create_index("outbox_deliver_after", "outbox", ["deliver_after"])
    op.create_table(
        "domain_event_outbox",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("payload", postgresql.JSONB(), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("domain_event_outbox")
    op.drop_table("outbox")
    op.drop_table("event")
