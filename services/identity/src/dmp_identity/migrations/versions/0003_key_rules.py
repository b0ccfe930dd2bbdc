"""Stored keys carry the number of the rules they were made by, so that other rules do not split known people.

Adding a column with a constant default rewrites no table. From now on a change of an identifier that does not touch
what replicas remember (the number of its rules, what it arrived with) leaves the version of the graph alone.
"""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_STATEMENTS = (
    """
    CREATE TABLE key_rules (
      type text COLLATE "C" NOT NULL,
      number smallint NOT NULL,
      rules text NOT NULL,
      in_use boolean NOT NULL,
      PRIMARY KEY (type, number)
    )
    """,
    "ALTER TABLE identifier ADD COLUMN rules smallint NOT NULL DEFAULT 0",
    "ALTER TABLE weak_link ADD COLUMN rules smallint NOT NULL DEFAULT 0",
    """
    CREATE TABLE former_identifier (
      type text COLLATE "C" NOT NULL,
      value text COLLATE "C" NOT NULL,
      profile_id bigint NOT NULL,
      part_of text COLLATE "C" NOT NULL,
      merge_id uuid,
      first_seen_at_us bigint NOT NULL,
      ordinal integer NOT NULL,
      shown text,
      cause text NOT NULL,
      ref text COLLATE "C" NOT NULL,
      source text NOT NULL,
      via_type text COLLATE "C",
      via_value text COLLATE "C",
      shared_at_us bigint,
      PRIMARY KEY (type, value, profile_id)
    )
    """,
    "CREATE INDEX former_identifier_profile ON former_identifier (profile_id)",
    "CREATE INDEX former_identifier_part_of ON former_identifier (type, part_of)",
    "DROP TRIGGER identifier_changed ON identifier",
    """
    CREATE TRIGGER identifier_changed
    AFTER UPDATE OF type, value, profile_id, shared_at_us OR DELETE OR TRUNCATE ON identifier
    FOR EACH STATEMENT EXECUTE FUNCTION count_graph_evidence()
    """,
    "DROP TRIGGER weak_link_changed ON weak_link",
    """
    CREATE TRIGGER weak_link_changed
    AFTER UPDATE OF type, value, profile_id OR DELETE OR TRUNCATE ON weak_link
    FOR EACH STATEMENT EXECUTE FUNCTION count_graph_evidence()
    """,
)


def upgrade() -> None:
    for statement in _STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    for table in ("weak_link", "identifier"):
        op.execute(f"DROP TRIGGER {table}_changed ON {table}")
        op.execute(
            f"CREATE TRIGGER {table}_changed AFTER UPDATE OR DELETE OR TRUNCATE ON {table}"
            " FOR EACH STATEMENT EXECUTE FUNCTION count_graph_evidence()"
        )
        op.execute(f"ALTER TABLE {table} DROP COLUMN rules")
    op.execute("DROP TABLE former_identifier")
    op.execute("DROP TABLE key_rules")
