"""Erasures take turns, each with a pause of its own after a failure, and may name an identifier instead of an id."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("erasure", sa.Column("identifier", sa.Text()))
    op.add_column("erasure", sa.Column("value", sa.Text()))
    op.add_column("erasure", sa.Column("failures", sa.Integer(), nullable=False, server_default="0"))
    op.add_column(
        "erasure", sa.Column("due_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.text("now()"))
    )
    op.create_index("erasure_due", "erasure", ["due_at"], postgresql_where=sa.text("completed_at IS NULL"))


def downgrade() -> None:
    op.drop_index("erasure_due", "erasure")
    for column in ("due_at", "failures", "value", "identifier"):
        op.drop_column("erasure", column)
