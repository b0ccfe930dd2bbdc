"""Which fold the rollups of a campaign include, so that readers need no snapshot of deltas and rollups together.

The release before goes on without them: it folds in one transaction, whose snapshot tells as much.
"""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_STATEMENTS = (
    """
    CREATE TABLE folded_campaign (
        campaign_id text COLLATE "C" NOT NULL,
        fold bigint NOT NULL,
        CONSTRAINT folded_campaign_pkey PRIMARY KEY (campaign_id)
    ) WITH (fillfactor = 70)
    """,
    "COMMENT ON TABLE folded_campaign IS 'Every campaign that has rows in the rollups, and which fold they include.'",
    "COMMENT ON COLUMN folded_campaign.fold IS 'the last fold with events of the campaign, 0 if unknown'",
    """
    CREATE TABLE fold (
        id smallint NOT NULL,
        number bigint NOT NULL,
        cells bytea NOT NULL,
        CONSTRAINT fold_pkey PRIMARY KEY (id)
    )
    """,
    # Written once and read at most once by each replica.
    "ALTER TABLE fold ALTER COLUMN cells SET STORAGE EXTERNAL",
    "COMMENT ON TABLE fold IS 'The last fold: what readers add while shards of a distributed rollup do not show it.'",
    "COMMENT ON COLUMN fold.id IS 'there is one row at most: 1'",
    "COMMENT ON COLUMN fold.number IS 'of the last fold; the first one was 1'",
    "COMMENT ON COLUMN fold.cells IS 'what it added to the rollups'",
    "INSERT INTO folded_campaign (campaign_id, fold) SELECT DISTINCT campaign_id, 0 FROM rollup WHERE grain = 1440",
)


def upgrade() -> None:
    for statement in _STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TABLE fold")
    op.execute("DROP TABLE folded_campaign")
