"""Finds the merges that one identifier made, identifiers that many people share, and the newest weak identifiers."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_INDEXES = {
    "merge_edge_key_a": "merge_edge (type_a, value_a) WHERE type_a IS NOT NULL",
    "merge_edge_key_b": "merge_edge (type_b, value_b) WHERE type_b IS NOT NULL",
    "identifier_shared": "identifier (shared_at_us, type, value) WHERE shared_at_us IS NOT NULL",
    "weak_link_newest": "weak_link (profile_id, type, first_seen_at_us, ordinal)",
}


def upgrade() -> None:
    # The tables are large and written to all the time. An attempt that was cut off leaves an index that is not valid.
    with op.get_context().autocommit_block():
        op.execute("SET statement_timeout = 0")
        for name, definition in _INDEXES.items():
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
            op.execute(f"CREATE INDEX CONCURRENTLY {name} ON {definition}")
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS weak_link_profile")
        op.execute("RESET statement_timeout")


def downgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS weak_link_profile")
        op.execute("CREATE INDEX CONCURRENTLY weak_link_profile ON weak_link (profile_id)")
        for name in reversed(_INDEXES):
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
