"""When each batch was applied, so that the inbox can forget it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_BEFORE = "Every batch that was applied."
_NOW = "Every batch that was applied, for as long as one may come again."


def upgrade() -> None:
    # No row is written again: PostgreSQL keeps the moment of the migration as the value of all that are there.
    column = sa.Column("applied_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now())
    op.add_column("inbox", column)
    op.create_table_comment("inbox", _NOW, existing_comment=_BEFORE)


def downgrade() -> None:
    op.create_table_comment("inbox", _BEFORE, existing_comment=_NOW)
    op.drop_column("inbox", "applied_at")
