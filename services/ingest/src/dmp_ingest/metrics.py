"""Every metric of ingest: name, unit, meaning. `docs/metrics.md` is made from here and from the chassis."""

from __future__ import annotations

from typing import Final

from dmp_chassis.metrics import OTHER, SIZES, counter, gauge, histogram
from dmp_ingest.domain.rejections import ACTIVITY, CAMPAIGN, IDENTIFIED, NAMED_FIELDS

_CONSUMER: Final = {"consumer": ("identity", "stats")}

EVENTS: Final = counter(
    "dmp_ingest_events_total",
    "Answered events, by what became of them. The form is that of their time field; `other`: none or several.",
    unit="events",
    labels={
        "verdict": ("accepted", "duplicate", "conflict", "rejected"),
        "form": (CAMPAIGN, ACTIVITY, IDENTIFIED, OTHER),
        "transport": ("json", "json_stream", "grpc", "grpc_stream"),
    },
)
REJECTED_FIELDS: Final = counter(
    "dmp_ingest_rejected_fields_total",
    "Fields that were named when an event was rejected. All identifiers are one field; unknown fields are `other`.",
    unit="fields",
    labels={"field": NAMED_FIELDS},
)
GROUP_EVENTS: Final = histogram(
    "dmp_ingest_group_events", "Events in a group that is stored in one transaction.", unit="events", buckets=SIZES
)
GROUP_WAIT: Final = histogram(
    "dmp_ingest_group_wait_seconds",
    "How long the first request of a group waited before the group was taken to be stored.",
    unit="seconds",
)
QUEUED_EVENTS: Final = gauge("dmp_ingest_queue_events", "Events that wait to be stored.", unit="events")
QUEUED_SECONDS: Final = gauge(
    "dmp_ingest_queue_oldest_age_seconds", "How long the first request in the queue has waited.", unit="seconds"
)
QUEUE_LIMIT: Final = gauge(
    "dmp_ingest_queue_events_limit", "Events that may wait; beyond it requests are refused.", unit="events"
)
CLAIMS: Final = counter(
    "dmp_ingest_claims_total",
    "Ids of stored groups, by who decided whether they are new: Redis for all of the group, or the log in any doubt.",
    unit="ids",
    labels={"decided_by": ("redis", "log")},
)
COMMIT: Final = histogram(
    "dmp_ingest_commit_duration_seconds",
    "How long it took to claim and commit a group; `failed`: its callers were told to send again.",
    unit="seconds",
    labels={"outcome": ("stored", "failed")},
)
HAND_OVER: Final = histogram(
    "dmp_ingest_hand_over_duration_seconds",
    "From the commit of a batch until both consumers have answered; `left`: one did not, and its relay delivers it.",
    unit="seconds",
    labels={"outcome": ("applied", "left")},
)
ANSWERED: Final = counter(
    "dmp_ingest_answered_events_total",
    "Valid events whose callers were told whether identity and stats have applied them.",
    unit="events",
    labels={"applied": ("true", "false")},
)
RELAYED: Final = counter(
    "dmp_ingest_relay_attempts_total",
    "Batches of the outbox that a relay delivered, or tried to: the consumer was away, or failed on this batch.",
    unit="batches",
    labels={**_CONSUMER, "result": ("applied", "away", "failed")},
)
CONSUMER_AWAY: Final = gauge(
    "dmp_ingest_consumer_away",
    "1 while nobody waits for the consumer: it failed lately, or is late.",
    unit="boolean",
    labels=_CONSUMER,
)
OUTBOX_BATCHES: Final = gauge(
    "dmp_ingest_outbox_batches",
    "Batches that the consumer has not acknowledged, those under way included; counted up to 100,000.",
    unit="batches",
    labels=_CONSUMER,
)
OUTBOX_SECONDS: Final = gauge(
    "dmp_ingest_outbox_oldest_age_seconds",
    "Age of the oldest batch that the consumer has not acknowledged; 0 if there is none.",
    unit="seconds",
    labels=_CONSUMER,
)
ERASURES_OPEN: Final = gauge("dmp_ingest_erasures_open", "Erasures that are not complete.", unit="erasures")
ERASURES_SECONDS: Final = gauge(
    "dmp_ingest_erasures_oldest_age_seconds", "Age of the oldest erasure that is not complete.", unit="seconds"
)
ERASURES_COMPLETED: Final = counter(
    "dmp_ingest_erasures_completed_total", "Erasures that this replica completed.", unit="erasures"
)
AUDIT_DIFFERENCES: Final = gauge(
    "dmp_ingest_audit_differences",
    "What differed in the last audit of this replica, in its pages so far: counted cells, timeline minutes.",
    unit="differences",
    labels={"of": ("counts", "timelines")},
)
AUDIT_TIME: Final = gauge(
    "dmp_ingest_audit_timestamp_seconds", "When the last page of an audit was answered; 0: never.", unit="seconds"
)
PASS_DIFFERENCES: Final = gauge(
    "dmp_ingest_continuous_audit_differences",
    "What differs by the continuous audit: the most of its last whole pass and the one under way. NaN: switched off.",
    unit="differences",
    labels={"of": ("counts", "timelines")},
)
PASS_UNSETTLED: Final = gauge(
    "dmp_ingest_continuous_audit_unsettled",
    "What the last whole pass could not judge, because events kept arriving or a person was being erased.",
    unit="cells",
)
PASS_SECONDS: Final = gauge(
    "dmp_ingest_continuous_audit_age_seconds",
    "How long ago the last whole pass of the continuous audit ended, or the audit first began. NaN: switched off.",
    unit="seconds",
)

OF_INGEST: Final = (
    EVENTS, REJECTED_FIELDS, GROUP_EVENTS, GROUP_WAIT, QUEUED_EVENTS, QUEUED_SECONDS, QUEUE_LIMIT, CLAIMS, COMMIT,
    HAND_OVER, ANSWERED, RELAYED, CONSUMER_AWAY, OUTBOX_BATCHES, OUTBOX_SECONDS, ERASURES_OPEN, ERASURES_SECONDS,
    ERASURES_COMPLETED, AUDIT_DIFFERENCES, AUDIT_TIME, PASS_DIFFERENCES, PASS_UNSETTLED, PASS_SECONDS,
)  # fmt: skip
