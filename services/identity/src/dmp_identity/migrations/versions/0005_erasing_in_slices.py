"""Erasing in slices: what an erasure has still to look through, and whose events may show somebody else's identifiers.

Links of profiles that are no more decide nothing, so that taking them away does not change the version of the graph.
"""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_STATEMENTS = (
    "ALTER TABLE erasure ADD COLUMN finished_at_us bigint",
    "UPDATE erasure SET finished_at_us = erased_at_us",
    "ALTER TABLE erasure_event ADD COLUMN is_others boolean NOT NULL DEFAULT false",
    """
    CREATE TABLE erasure_key (
      erasure_id uuid NOT NULL,
      type text COLLATE "C" NOT NULL,
      value text COLLATE "C" NOT NULL,
      shown text,
      PRIMARY KEY (erasure_id, type, value)
    )
    """,
    """
    CREATE TABLE erasure_timeline (
      erasure_id uuid NOT NULL,
      is_others boolean NOT NULL,
      profile_id bigint NOT NULL,
      occurred_at_us bigint NOT NULL,
      event_id text COLLATE "C" NOT NULL,
      PRIMARY KEY (erasure_id, is_others, profile_id)
    )
    """,
    "ALTER TABLE erased_identifier DROP CONSTRAINT erased_identifier_pkey, ADD PRIMARY KEY (digest, erasure_id)",
    """
    CREATE TABLE separated_profile (
      separation_id uuid NOT NULL,
      profile_id bigint NOT NULL,
      PRIMARY KEY (separation_id, profile_id)
    )
    """,
    "CREATE INDEX separated_profile_profile ON separated_profile (profile_id)",
    "CREATE INDEX review_other ON review (other_profile_id) WHERE other_profile_id <> 0",
    # What was undone before: the profiles that the merges connected, and all that belong to the same people now.
    """
    INSERT INTO separated_profile (separation_id, profile_id)
    SELECT DISTINCT m.id, p.id
    FROM merge m
    JOIN merge_edge e ON e.merge_id = m.id
    JOIN profile s ON s.id IN (e.profile_a, e.profile_b)
    JOIN profile p ON p.root_id = s.root_id
    WHERE m.undone_at_us IS NOT NULL
    """,
    """
    CREATE FUNCTION count_graph_links_gone() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      IF EXISTS (SELECT FROM gone g JOIN profile p ON p.id = g.profile_id) THEN
        UPDATE graph_version SET evidence = evidence + 1 WHERE is_only;
      END IF;
      RETURN NULL;
    END
    $$
    """,
    "DROP TRIGGER weak_link_changed ON weak_link",
    """
    CREATE TRIGGER weak_link_changed AFTER UPDATE OR TRUNCATE ON weak_link
    FOR EACH STATEMENT EXECUTE FUNCTION count_graph_evidence()
    """,
    """
    CREATE TRIGGER weak_link_gone AFTER DELETE ON weak_link REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION count_graph_links_gone()
    """,
)


def upgrade() -> None:
    for statement in _STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TRIGGER weak_link_gone ON weak_link")
    op.execute("DROP TRIGGER weak_link_changed ON weak_link")
    op.execute(
        "CREATE TRIGGER weak_link_changed AFTER UPDATE OR DELETE OR TRUNCATE ON weak_link"
        " FOR EACH STATEMENT EXECUTE FUNCTION count_graph_evidence()"
    )
    op.execute("DROP FUNCTION count_graph_links_gone")
    op.execute("DROP INDEX review_other")
    for table in ("separated_profile", "erasure_timeline", "erasure_key"):
        op.execute(f"DROP TABLE {table}")
    op.execute(
        "DELETE FROM erased_identifier a USING erased_identifier b"
        " WHERE a.digest = b.digest AND a.erasure_id < b.erasure_id"
    )
    op.execute("ALTER TABLE erased_identifier DROP CONSTRAINT erased_identifier_pkey, ADD PRIMARY KEY (digest)")
    op.execute("ALTER TABLE erasure_event DROP COLUMN is_others")
    op.execute("ALTER TABLE erasure DROP COLUMN finished_at_us")
