"""A small index by which the log is exported day by day."""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    # The table is large and written to all the time. An attempt that was cut off leaves an index that is not valid.
    with op.get_context().autocommit_block():
        op.execute("SET statement_timeout = 0")
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS event_received_at")
        op.execute(
            "CREATE INDEX CONCURRENTLY event_received_at ON event USING brin (received_at) WITH (autosummarize = on)"
        )
        op.execute("RESET statement_timeout")


def downgrade() -> None:
    op.drop_index("event_received_at", table_name="event")
