"""The tables of the stats database. A bucket is named by its first minute, in whole minutes since 1970 UTC."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from dmp_chassis.actions import action_table
from dmp_chassis.domain_events import domain_event_outbox

METADATA: Final = sa.MetaData()


def _text() -> sa.Text:
    # Compared byte by byte: cheaper than a language's rules, and the order in which rows are written.
    return sa.Text(collation="C")


INBOX: Final = sa.Table(
    "inbox",
    METADATA,
    sa.Column("batch_id", sa.Uuid(as_uuid=False), primary_key=True),
    sa.Column("applied_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    comment="Every batch that was applied, for as long as one may come again.",
)

ROLLUP_DELTA: Final = sa.Table(
    "rollup_delta",
    METADATA,
    sa.Column("seq", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("cells", sa.LargeBinary, nullable=False),
    comment="What applied batches add to the rollups and has not been folded into them yet. Rows never change.",
)

ROLLUP: Final = sa.Table(
    "rollup",
    METADATA,
    sa.Column("campaign_id", _text()),
    sa.Column("grain", sa.SmallInteger, comment="minutes in a bucket: 1, 60 or 1440 (UTC)"),
    sa.Column("bucket", sa.Integer),
    sa.Column("type", _text()),
    sa.Column("counts_as", sa.SmallInteger, comment="0 nothing, 1 an impression, 2 a click"),
    sa.Column("count", sa.BigInteger, nullable=False),
    sa.Column("digest_high", sa.BigInteger, nullable=False, comment="XOR of the upper halves of the event keys"),
    sa.Column("digest_low", sa.BigInteger, nullable=False, comment="XOR of the lower halves of the event keys"),
    # With the count in the index a long range is read from it alone: a campaign's minutes lie on one table page each.
    sa.PrimaryKeyConstraint(
        "campaign_id", "grain", "bucket", "type", "counts_as", name="rollup_pkey", postgresql_include=["count"]
    ),
    sa.Index("rollup_by_bucket", "bucket", postgresql_using="brin"),
    # Vacuumed early: only pages that it has seen need not be visited.
    postgresql_with={
        "fillfactor": "80",
        "autovacuum_vacuum_scale_factor": "0.02",
        "autovacuum_vacuum_insert_scale_factor": "0.02",
    },
    comment="Events by campaign, bucket and type.",
)

ROLLUP_DETAIL: Final = sa.Table(
    "rollup_detail",
    METADATA,
    sa.Column("campaign_id", _text(), primary_key=True),
    sa.Column("grain", sa.SmallInteger, primary_key=True, comment="minutes in a bucket: 1, 60 or 1440 (UTC)"),
    sa.Column("bucket", sa.Integer, primary_key=True),
    sa.Column(
        "kind", sa.Uuid(as_uuid=False), primary_key=True, comment="128-bit hash of type, counts_as, source, creative"
    ),
    sa.Column("type", _text(), nullable=False),
    sa.Column("counts_as", sa.SmallInteger, nullable=False),
    sa.Column("source", _text(), nullable=False),
    sa.Column("creative_id", _text(), nullable=False, comment="empty if the event names none"),
    sa.Column("count", sa.BigInteger, nullable=False),
    sa.Index("rollup_detail_by_bucket", "bucket", postgresql_using="brin"),
    postgresql_with={"fillfactor": "80"},
    comment="The same events, also by source and creative.",
)

FOLDED_CAMPAIGN: Final = sa.Table(
    "folded_campaign",
    METADATA,
    sa.Column("campaign_id", _text(), primary_key=True),
    sa.Column("fold", sa.BigInteger, nullable=False, comment="the last fold with events of the campaign, 0 if unknown"),
    # One of the rows changes with each fold of its campaign: within its page.
    postgresql_with={"fillfactor": "70"},
    comment="Every campaign that has rows in the rollups, and which fold they include.",
)

FOLD: Final = sa.Table(
    "fold",
    METADATA,
    sa.Column("id", sa.SmallInteger, primary_key=True, autoincrement=False, comment="there is one row at most: 1"),
    sa.Column("number", sa.BigInteger, nullable=False, comment="of the last fold; the first one was 1"),
    sa.Column("cells", sa.LargeBinary, nullable=False, comment="what it added to the rollups"),
    comment="The last fold: what readers add while shards of a distributed rollup do not show it.",
)

WINDOW_BATCH: Final = sa.Table(
    "window_batch",
    METADATA,
    sa.Column("seq", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("xact_id", sa.BigInteger, nullable=False, server_default=sa.text("(pg_current_xact_id())::text::bigint")),
    sa.Column("last_second", sa.BigInteger, nullable=False, comment="the latest event, in seconds since 1970 UTC"),
    sa.Column("sightings", sa.LargeBinary, nullable=False),
    sa.Index("window_batch_by_xact_id", "xact_id"),
    comment="Who was seen when, by batch, as long as the window reaches. Rows change only to forget users.",
)

FORGOTTEN_USER: Final = sa.Table(
    "forgotten_user",
    METADATA,
    sa.Column("seq", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("forgotten_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    sa.Column("salt", sa.LargeBinary, nullable=False),
    # Digests of user ids with the salt, and the made-up names that stand for them in the window.
    sa.Column("digests", sa.ARRAY(sa.LargeBinary), nullable=False),
    sa.Column("names", sa.ARRAY(sa.Text), nullable=False),
    comment="What replicas must forget; kept for as long as the sliding window reaches.",
)

REFERENCE_GENERATION: Final = sa.Table(
    "reference_generation",
    METADATA,
    sa.Column("generation", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column(
        "base", sa.Integer, nullable=False, comment="the generation that this one is a change of; itself if whole"
    ),
    sa.Column("ts", sa.DateTime(timezone=True), nullable=False),
    sa.Column("users", sa.Integer, nullable=False),
    sa.Column("replaced_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    comment="Versions of the reference table; the highest one is current.",
)

REFERENCE_CHUNK: Final = sa.Table(
    "reference_chunk",
    METADATA,
    sa.Column("base", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("generation", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("payload", sa.LargeBinary, nullable=False),
    comment=(
        "A version is all chunks of its base up to its own generation, in order; "
        "of a user that comes twice the last counts."
    ),
)

DOMAIN_EVENT_OUTBOX: Final = domain_event_outbox(METADATA)

ACTION: Final = action_table(METADATA)
