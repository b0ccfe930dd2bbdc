"""Every metric of identity: name, unit, meaning. `docs/metrics.md` is made from here and from the chassis."""

from __future__ import annotations

from typing import Final

from dmp_chassis.metrics import OTHER, SIZES, counter, gauge, histogram
from dmp_identity.domain.refusal_reason import RefusalReason

BATCHES: Final = counter(
    "dmp_identity_batches_total",
    "Batches of events from ingest; `repeated`: one that had been applied before and changed nothing.",
    unit="batches",
    labels={"outcome": ("applied", "repeated")},
)
EVENTS: Final = counter(
    "dmp_identity_events_total",
    "Applied events, by what attributed them: the cache, the stored graph, or nothing, since they show no identifier.",
    unit="events",
    labels={"attributed_by": ("cache", "graph", "nothing")},
)
APPLY: Final = histogram(
    "dmp_identity_apply_duration_seconds",
    "How long a transaction took that applies one or several batches; `failed`: they are tried again, one by one.",
    unit="seconds",
    labels={"outcome": ("applied", "failed")},
)
BATCH_AGE: Final = histogram(
    "dmp_identity_batch_age_seconds",
    "From the moment at which ingest accepted a batch until it is on the timelines, by the clocks of both machines.",
    unit="seconds",
)
MERGES: Final = counter(
    "dmp_identity_merges_total",
    "Merges of people, by what made them.",
    unit="merges",
    labels={"cause": ("event", "contact", "manual", OTHER)},
)
CLUSTER: Final = histogram(
    "dmp_identity_merged_person_identifiers",
    "Strong identifiers of a person right after events or a contact have merged it.",
    unit="identifiers",
    buckets=SIZES,
)
UNDOS: Final = counter("dmp_identity_merges_undone_total", "Merges that somebody took back.", unit="merges")
REFUSALS: Final = counter(
    "dmp_identity_refusals_total",
    "Evidence of events and contacts that was not followed, by the rule that said so.",
    unit="refusals",
    labels={"rule": tuple(reason.value for reason in RefusalReason)},
)
CACHE_FORGOT: Final = counter(
    "dmp_identity_cache_forgotten_total",
    "How often the cache dropped what it knew of people, and why: people merged elsewhere, other changes of the graph, "
    "merges that it cannot follow, or no memory left.",
    unit="times",
    labels={"reason": ("merged_elsewhere", "changed_elsewhere", "merges", "memory")},
)
CONTACTS_WAITING: Final = gauge(
    "dmp_identity_contact_queue_requests", "Requests that wait to be stored.", unit="requests"
)

OF_IDENTITY: Final = (
    BATCHES, EVENTS, APPLY, BATCH_AGE, MERGES, CLUSTER, UNDOS, REFUSALS, CACHE_FORGOT, CONTACTS_WAITING,
)  # fmt: skip
