"""The audit log of acts: rows are written with the act that they tell of, and stay as they are."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"

# Deleting is for what has expired. Of a row that is there only the reason may go, for an erasure.
_GUARD = """
CREATE FUNCTION action_stays() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  may text = coalesce(current_setting('dmp.actions', true), '');
BEGIN
  IF TG_OP = 'DELETE' AND may = 'expire' THEN
    RETURN OLD;
  ELSIF TG_OP = 'UPDATE' AND may = 'remove_reasons' THEN
    IF NEW.reason IS NULL AND to_jsonb(NEW) - 'reason' = to_jsonb(OLD) - 'reason' THEN
      RETURN NEW;
    END IF;
  END IF;
  RAISE EXCEPTION 'an action stays as it was written' USING ERRCODE = 'restrict_violation';
END
$$
"""


def upgrade() -> None:
    op.create_table(
        "action",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("acted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("result", sa.Text(), nullable=False),
        sa.Column("subjects", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("refs", postgresql.JSONB(), nullable=False),
        sa.Column("counts", postgresql.JSONB(), nullable=False),
        sa.Column("reason", sa.Text()),
    )
    op.create_index("action_acted_at", "action", ["acted_at", "id"])
    op.create_index("action_kind", "action", ["kind", "acted_at", "id"])
    op.create_index("action_actor", "action", ["actor", "acted_at", "id"])
    op.execute(_GUARD)
    op.execute(
        "CREATE TRIGGER action_row_stays BEFORE UPDATE OR DELETE ON action FOR EACH ROW EXECUTE FUNCTION action_stays()"
    )
    op.execute(
        "CREATE TRIGGER action_table_stays BEFORE TRUNCATE ON action FOR EACH STATEMENT EXECUTE FUNCTION action_stays()"
    )


def downgrade() -> None:
    op.drop_table("action")
    op.execute("DROP FUNCTION action_stays()")
