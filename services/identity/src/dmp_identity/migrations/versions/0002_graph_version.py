"""The version of the graph: what replicas remember is true of one version.

Counted by triggers, so that whatever changes the tables counts: a replica of the release before, an operator by hand.
"""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_STATEMENTS = (
    """
    CREATE TABLE graph_version (
      is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
      people bigint NOT NULL,
      evidence bigint NOT NULL
    )
    """,
    "INSERT INTO graph_version (people, evidence) VALUES (1, 1)",
    """
    CREATE FUNCTION count_graph_people() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      UPDATE graph_version SET people = people + 1 WHERE is_only;
      RETURN NULL;
    END
    $$
    """,
    """
    CREATE FUNCTION count_graph_evidence() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      UPDATE graph_version SET evidence = evidence + 1 WHERE is_only;
      RETURN NULL;
    END
    $$
    """,
    """
    CREATE TRIGGER profile_moved AFTER UPDATE OF root_id ON profile
    FOR EACH STATEMENT EXECUTE FUNCTION count_graph_people()
    """,
    """
    CREATE TRIGGER profile_gone AFTER DELETE OR TRUNCATE ON profile
    FOR EACH STATEMENT EXECUTE FUNCTION count_graph_evidence()
    """,
    """
    CREATE TRIGGER identifier_changed AFTER UPDATE OR DELETE OR TRUNCATE ON identifier
    FOR EACH STATEMENT EXECUTE FUNCTION count_graph_evidence()
    """,
    """
    CREATE TRIGGER identifier_pair_changed AFTER UPDATE OR DELETE OR TRUNCATE ON identifier_pair
    FOR EACH STATEMENT EXECUTE FUNCTION count_graph_evidence()
    """,
    """
    CREATE TRIGGER weak_link_changed AFTER UPDATE OR DELETE OR TRUNCATE ON weak_link
    FOR EACH STATEMENT EXECUTE FUNCTION count_graph_evidence()
    """,
)


def upgrade() -> None:
    for statement in _STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    for table, trigger in (
        ("weak_link", "weak_link_changed"),
        ("identifier_pair", "identifier_pair_changed"),
        ("identifier", "identifier_changed"),
        ("profile", "profile_gone"),
        ("profile", "profile_moved"),
    ):
        op.execute(f"DROP TRIGGER {trigger} ON {table}")
    op.execute("DROP FUNCTION count_graph_evidence")
    op.execute("DROP FUNCTION count_graph_people")
    op.execute("DROP TABLE graph_version")
