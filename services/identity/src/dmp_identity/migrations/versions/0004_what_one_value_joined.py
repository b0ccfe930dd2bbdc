"""Finds the merges that one identifier made, identifiers that many people share, and the newest weak identifiers."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_STATEMENTS = (
    "CREATE INDEX merge_edge_key_a ON merge_edge (type_a, value_a) WHERE type_a IS NOT NULL",
    "CREATE INDEX merge_edge_key_b ON merge_edge (type_b, value_b) WHERE type_b IS NOT NULL",
    "CREATE INDEX identifier_shared ON identifier (shared_at_us, type, value) WHERE shared_at_us IS NOT NULL",
    "CREATE INDEX weak_link_newest ON weak_link (profile_id, type, first_seen_at_us, ordinal)",
    "DROP INDEX weak_link_profile",
)


def upgrade() -> None:
    for statement in _STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    op.execute("CREATE INDEX weak_link_profile ON weak_link (profile_id)")
    for index in ("weak_link_newest", "identifier_shared", "merge_edge_key_b", "merge_edge_key_a"):
        op.execute(f"DROP INDEX {index}")
