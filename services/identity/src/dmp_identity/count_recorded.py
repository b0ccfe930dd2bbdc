"""Counts what became of batches and contacts, once they are committed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from dmp_chassis.metrics import Metrics
from dmp_identity.apply_batch import AppliedBatch
from dmp_identity.domain.event_batch import EventBatch
from dmp_identity.metrics import BATCH_AGE, BATCHES, CLUSTER, EVENTS, MERGES, REFUSALS
from dmp_identity.record_observations import Recorded


def count_applied(
    batches: Sequence[EventBatch], applied: Sequence[AppliedBatch], *, now_us: int, metrics: Metrics
) -> None:
    """Counts batches that were applied in one transaction."""
    for batch, outcome in zip(batches, applied, strict=True):
        metrics.add(BATCHES, 1, "repeated" if outcome.already_applied else "applied")
        if not outcome.already_applied:
            metrics.observe(BATCH_AGE, max(0, now_us - batch.accepted_at_us) / 1e6)
        if outcome.transaction is None:
            continue
        from_cache, recorded = outcome.transaction
        events = sum(len(each.event_ids) for each in batches)
        from_graph = 0 if recorded is None else len(recorded.profiles)
        metrics.add(EVENTS, from_cache, "cache")
        metrics.add(EVENTS, from_graph, "graph")
        metrics.add(EVENTS, events - from_cache - from_graph, "nothing")
        if recorded is not None:
            count_recorded(recorded, metrics=metrics)


def count_recorded(recorded: Recorded, *, metrics: Metrics) -> None:
    """Counts the merges and the refusals of observations that were recorded."""
    for merge in recorded.merges:
        metrics.add(MERGES, 1, merge.cause)
        metrics.observe(CLUSTER, merge.identifiers)
    if recorded.refusals:
        for rule, count in Counter(refusal.rule.value for refusal in recorded.refusals).items():
            metrics.add(REFUSALS, count, rule)
