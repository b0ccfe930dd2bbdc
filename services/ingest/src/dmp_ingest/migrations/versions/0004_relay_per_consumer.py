"""One index of the outbox for each consumer: each has a relay of its own."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0002"


def upgrade() -> None:
    op.create_index(
        "outbox_for_identity", "outbox", ["deliver_after"], postgresql_where=sa.text("NOT identity_applied")
    )
    op.create_index("outbox_for_stats", "outbox", ["deliver_after"], postgresql_where=sa.text("NOT stats_applied"))
    op.drop_index("outbox_deliver_after", "outbox")


def downgrade() -> None:
    op.create_index("outbox_deliver_after", "outbox", ["deliver_after"])
    op.drop_index("outbox_for_stats", "outbox")
    op.drop_index("outbox_for_identity", "outbox")
