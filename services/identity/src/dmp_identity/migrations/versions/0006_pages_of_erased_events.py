"""The list of events that an erasure has to clean is kept in pages: a row for each event cost three times as much."""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_STATEMENTS = (
    """
    CREATE TABLE erasure_page (
      page bigint GENERATED ALWAYS AS IDENTITY,
      erasure_id uuid NOT NULL,
      is_others boolean NOT NULL,
      events integer NOT NULL,
      event_ids text[] COLLATE "C" NOT NULL,
      PRIMARY KEY (page)
    )
    """,
    # Random ids do not get smaller.
    "ALTER TABLE erasure_page ALTER COLUMN event_ids SET STORAGE EXTERNAL",
    "CREATE INDEX erasure_page_erasure ON erasure_page (erasure_id, page)",
    """
    INSERT INTO erasure_page (erasure_id, is_others, events, event_ids)
    SELECT erasure_id, is_others, count(*), array_agg(event_id ORDER BY event_id) FROM (
      SELECT erasure_id, is_others, event_id,
        row_number() OVER (PARTITION BY erasure_id, is_others ORDER BY event_id) / 5000 AS part
      FROM erasure_event
    ) AS e GROUP BY erasure_id, is_others, part
    """,
    "DROP TABLE erasure_event",
)


def upgrade() -> None:
    for statement in _STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    op.execute(
        """
        CREATE TABLE erasure_event (
          erasure_id uuid NOT NULL,
          event_id text COLLATE "C" NOT NULL,
          is_others boolean NOT NULL DEFAULT false,
          PRIMARY KEY (erasure_id, event_id)
        )
        """
    )
    op.execute(
        "INSERT INTO erasure_event (erasure_id, event_id, is_others)"
        " SELECT erasure_id, e, is_others FROM erasure_page, unnest(event_ids) AS e ORDER BY is_others"
        " ON CONFLICT DO NOTHING"
    )
    op.execute("DROP TABLE erasure_page")
