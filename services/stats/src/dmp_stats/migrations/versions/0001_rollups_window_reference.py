"""The inbox, the rollups, the sliding window, the reference table and the outbox of domain events."""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE TABLE inbox (batch_id uuid NOT NULL, CONSTRAINT inbox_pkey PRIMARY KEY (batch_id))")
    op.execute("COMMENT ON TABLE inbox IS 'Every batch that was applied.'")
    op.execute(
        """
        CREATE TABLE rollup_delta (
            seq bigint GENERATED ALWAYS AS IDENTITY,
            cells bytea NOT NULL,
            CONSTRAINT rollup_delta_pkey PRIMARY KEY (seq)
        )
        """
    )
    # Payloads are written once, read at most once by each replica, and deleted: compressing them costs more than it
    # saves.
    op.execute("ALTER TABLE rollup_delta ALTER COLUMN cells SET STORAGE EXTERNAL")
    op.execute(
        "COMMENT ON TABLE rollup_delta IS "
        "'What applied batches add to the rollups and has not been folded into them yet. Rows never change.'"
    )
    op.execute(
        """
        CREATE TABLE rollup (
            campaign_id text COLLATE "C" NOT NULL,
            grain smallint NOT NULL,
            bucket integer NOT NULL,
            type text COLLATE "C" NOT NULL,
            counts_as smallint NOT NULL,
            count bigint NOT NULL,
            digest_high bigint NOT NULL,
            digest_low bigint NOT NULL,
            CONSTRAINT rollup_pkey PRIMARY KEY (campaign_id, grain, bucket, type, counts_as) INCLUDE (count)
        ) WITH (
            fillfactor = 80,
            autovacuum_vacuum_scale_factor = 0.02,
            autovacuum_vacuum_insert_scale_factor = 0.02
        )
        """
    )
    op.execute("CREATE INDEX rollup_by_bucket ON rollup USING brin (bucket)")
    op.execute("COMMENT ON TABLE rollup IS 'Events by campaign, bucket and type.'")
    op.execute("COMMENT ON COLUMN rollup.digest_high IS 'XOR of the upper halves of the event keys'")
    op.execute("COMMENT ON COLUMN rollup.digest_low IS 'XOR of the lower halves of the event keys'")
    op.execute(
        """
        CREATE TABLE rollup_detail (
            campaign_id text COLLATE "C" NOT NULL,
            grain smallint NOT NULL,
            bucket integer NOT NULL,
            kind uuid NOT NULL,
            type text COLLATE "C" NOT NULL,
            counts_as smallint NOT NULL,
            source text COLLATE "C" NOT NULL,
            creative_id text COLLATE "C" NOT NULL,
            count bigint NOT NULL,
            CONSTRAINT rollup_detail_pkey PRIMARY KEY (campaign_id, grain, bucket, kind)
        ) WITH (fillfactor = 80)
        """
    )
    op.execute("CREATE INDEX rollup_detail_by_bucket ON rollup_detail USING brin (bucket)")
    op.execute("COMMENT ON TABLE rollup_detail IS 'The same events, also by source and creative.'")
    op.execute(
        "COMMENT ON COLUMN rollup_detail.kind IS '128-bit hash of type, counts_as, source, creative'",
    )
    op.execute("COMMENT ON COLUMN rollup_detail.creative_id IS 'empty if the event names none'")
    for table in ("rollup", "rollup_detail"):
        op.execute(f"COMMENT ON COLUMN {table}.grain IS 'minutes in a bucket: 1, 60 or 1440 (UTC)'")
    op.execute("COMMENT ON COLUMN rollup.counts_as IS '0 nothing, 1 an impression, 2 a click'")
    op.execute(
        """
        CREATE TABLE window_batch (
            seq bigint GENERATED ALWAYS AS IDENTITY,
            xact_id bigint NOT NULL DEFAULT pg_current_xact_id()::text::bigint,
            last_second bigint NOT NULL,
            sightings bytea NOT NULL,
            CONSTRAINT window_batch_pkey PRIMARY KEY (seq)
        )
        """
    )
    op.execute("ALTER TABLE window_batch ALTER COLUMN sightings SET STORAGE EXTERNAL")
    op.execute("CREATE INDEX window_batch_by_xact_id ON window_batch (xact_id)")
    op.execute(
        "COMMENT ON TABLE window_batch IS "
        "'Who was seen when, by batch, for as long as the sliding window reaches. Rows never change.'"
    )
    op.execute("COMMENT ON COLUMN window_batch.last_second IS 'the latest event, in seconds since 1970 UTC'")
    op.execute(
        """
        CREATE TABLE reference_generation (
            generation integer NOT NULL,
            base integer NOT NULL,
            ts timestamptz NOT NULL,
            users integer NOT NULL,
            replaced_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT reference_generation_pkey PRIMARY KEY (generation)
        )
        """
    )
    op.execute(
        "COMMENT ON TABLE reference_generation IS 'Versions of the reference table; the highest one is current.'"
    )
    op.execute(
        "COMMENT ON COLUMN reference_generation.base IS 'the generation that this one is a change of; itself if whole'"
    )
    op.execute(
        """
        CREATE TABLE reference_chunk (
            base integer NOT NULL,
            generation integer NOT NULL,
            position integer NOT NULL,
            payload bytea NOT NULL,
            CONSTRAINT reference_chunk_pkey PRIMARY KEY (base, generation, position)
        )
        """
    )
    op.execute("ALTER TABLE reference_chunk ALTER COLUMN payload SET STORAGE EXTERNAL")
    op.execute(
        "COMMENT ON TABLE reference_chunk IS 'A version is all chunks of its base up to its own generation, in order; "
        "of a user that comes twice the last counts.'"
    )
    op.execute(
        """
        CREATE TABLE domain_event_outbox (
            id uuid NOT NULL,
            kind text NOT NULL,
            occurred_at timestamptz NOT NULL,
            payload jsonb NOT NULL,
            CONSTRAINT domain_event_outbox_pkey PRIMARY KEY (id)
        )
        """
    )


def downgrade() -> None:
    for table in (
        "domain_event_outbox",
        "reference_chunk",
        "reference_generation",
        "window_batch",
        "rollup_detail",
        "rollup",
        "rollup_delta",
        "inbox",
    ):
        op.execute(f"DROP TABLE {table}")
