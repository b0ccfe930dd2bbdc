"""The tables of the event log. The migrations create the same; a test compares the two."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSON

from dmp_chassis.actions import action_table
from dmp_chassis.domain_events import domain_event_outbox

METADATA: Final = sa.MetaData()

event = sa.Table(
    "event",
    METADATA,
    # What the event's id stands for (see domain/event_key.py): the unique key that makes counting exact.
    sa.Column("event_key", sa.Uuid(as_uuid=False), primary_key=True),
    sa.Column("batch_id", sa.Uuid(as_uuid=False), nullable=False),
    # Digest of the content: tells a repeated event from another one of the same id.
    sa.Column("fingerprint", sa.BigInteger, nullable=False),
    sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
    # As it was sent.
    sa.Column("event_id", sa.Text, nullable=False),
    sa.Column("type", sa.Text, nullable=False),
    sa.Column("source", sa.Text),
    sa.Column("campaign_id", sa.Text),
    sa.Column("creative_id", sa.Text),
    sa.Column("user_id", sa.Text),
    # An array of [type, value] pairs, values trimmed but otherwise as they were sent.
    sa.Column("identifiers", JSON),
    # As it was sent: json, not jsonb, keeps the text.
    sa.Column("metadata", JSON),
    # Rows arrive in the order of their receive time, and roughly in that of their event time: a few blocks name a
    # range.
    sa.Index("event_occurred_at", "occurred_at", postgresql_using="brin", postgresql_with={"autosummarize": "on"}),
    sa.Index("event_received_at", "received_at", postgresql_using="brin", postgresql_with={"autosummarize": "on"}),
)
"""The event log: one row for each event that was accepted."""

outbox = sa.Table(
    "outbox",
    METADATA,
    sa.Column("batch_id", sa.Uuid(as_uuid=False), primary_key=True),
    # The serialized AcceptedBatch, as it is delivered.
    sa.Column("payload", sa.LargeBinary, nullable=False),
    sa.Column("identity_applied", sa.Boolean, nullable=False),
    sa.Column("stats_applied", sa.Boolean, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    # Nobody else delivers the batch before this time: who holds it has until then.
    sa.Column("deliver_after", sa.DateTime(timezone=True), nullable=False),
    # A long absence of one consumer leaves many rows that are none of the other's business.
    sa.Index("outbox_for_identity", "deliver_after", postgresql_where=sa.text("NOT identity_applied")),
    sa.Index("outbox_for_stats", "deliver_after", postgresql_where=sa.text("NOT stats_applied")),
)
"""Batches that identity or stats has not acknowledged yet. A row goes when both have."""

log_horizon = sa.Table(
    "log_horizon",
    METADATA,
    # There is one row at most: 1.
    sa.Column("id", sa.SmallInteger, primary_key=True),
    # A whole minute. Of an event that happened earlier only key, times and fingerprint may be left.
    sa.Column("occurred_before", sa.DateTime(timezone=True), nullable=False),
    # When the next round begins that empties events.
    sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
)
"""How far back the log has the contents of its events. No row: all of them."""

erasure = sa.Table(
    "erasure",
    METADATA,
    sa.Column("id", sa.Uuid(as_uuid=False), primary_key=True),
    # The id that was asked for; empty until identity has found whom an identifier names.
    sa.Column("internal_user_id", sa.Text, nullable=False),
    # The identifier that was asked for, until identity knows it.
    sa.Column("identifier", sa.Text),
    sa.Column("value", sa.Text),
    sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
    # What identity erased; NULL until it has.
    sa.Column("receipt", JSON),
    sa.Column("cleaned_events", sa.Integer, nullable=False),
    sa.Column("completed_at", sa.DateTime(timezone=True)),
    # Who asked for it, as the audit log names them.
    sa.Column("actor", sa.Text, nullable=False, server_default="-"),
    # How often in a row it could not go on, and nobody goes on with it before this time.
    sa.Column("failures", sa.Integer, nullable=False, server_default="0"),
    sa.Column("due_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    sa.Index("erasure_open", "requested_at", postgresql_where=sa.text("completed_at IS NULL")),
    sa.Index("erasure_due", "due_at", postgresql_where=sa.text("completed_at IS NULL")),
)
"""Erasures of people: asked for, under way, and done."""

audit_pass = sa.Table(
    "audit_pass",
    METADATA,
    # 1: there is one row.
    sa.Column("id", sa.SmallInteger, primary_key=True, autoincrement=False),
    # Which process goes on with the pass, and until when nobody else does.
    sa.Column("holder", sa.Text, nullable=False),
    sa.Column("held_until", sa.DateTime(timezone=True), nullable=False),
    # When the first step of all was taken.
    sa.Column("began_at", sa.DateTime(timezone=True), nullable=False),
    # The pass under way, in whole minutes since 1970, and what differed so far.
    sa.Column("next_minute", sa.BigInteger, nullable=False),
    sa.Column("last_minute", sa.BigInteger, nullable=False),
    sa.Column("counts", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("timelines", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("unsettled", sa.BigInteger, nullable=False, server_default="0"),
    # When the last whole pass ended, NULL before the first, and what differed in it.
    sa.Column("whole_at", sa.DateTime(timezone=True)),
    sa.Column("whole_counts", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("whole_timelines", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("whole_unsettled", sa.BigInteger, nullable=False, server_default="0"),
)
"""How far the continuous audit is."""

domain_events = domain_event_outbox(METADATA)
"""Domain events that are not published yet."""

actions = action_table(METADATA)
"""What people decided, and who it was."""
