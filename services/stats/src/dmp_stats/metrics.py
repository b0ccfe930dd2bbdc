"""Every metric of stats: name, unit, meaning. `docs/metrics.md` is made from here and from the chassis."""

from __future__ import annotations

from typing import Final

from dmp_chassis.metrics import counter, gauge, histogram

BATCHES: Final = counter(
    "dmp_stats_batches_total",
    "Batches of events from ingest; `repeated`: one that had been applied before and changed nothing.",
    unit="batches",
    labels={"outcome": ("applied", "repeated")},
)
EVENTS: Final = counter("dmp_stats_events_total", "Events of the batches that were applied.", unit="events")
APPLY: Final = histogram(
    "dmp_stats_apply_duration_seconds",
    "How long a batch took from its arrival until its transaction was committed; `failed`: ingest delivers it again.",
    unit="seconds",
    labels={"outcome": ("applied", "failed")},
)
BATCH_AGE: Final = histogram(
    "dmp_stats_batch_age_seconds",
    "From the moment at which ingest accepted a batch until it is counted, by the clocks of both machines.",
    unit="seconds",
)
DELTAS_WAITING: Final = gauge(
    "dmp_stats_deltas_waiting",
    "Batches that wait to be folded into the rollups, counted up to 100,000.",
    unit="batches",
)
FOLD: Final = histogram(
    "dmp_stats_fold_duration_seconds",
    "How long one transaction took that folds batches into the rollups; `failed`: they wait for the next.",
    unit="seconds",
    labels={"outcome": ("folded", "failed")},
)
FOLDED: Final = counter("dmp_stats_folded_batches_total", "Batches that this replica has folded.", unit="batches")
WINDOW_EVENTS: Final = gauge(
    "dmp_stats_window_events", "Events that the sliding window of this replica holds.", unit="events"
)
WINDOW_LAG: Final = gauge(
    "dmp_stats_window_lag_seconds",
    "Since when the window of this replica has not been compared with the database; no answer is that old.",
    unit="seconds",
)
GENERATION: Final = gauge(
    "dmp_stats_reference_generation",
    "The generation of the reference table that this replica uses; 0: there is none.",
    unit="generation",
)
OF_STATS: Final = (
    BATCHES, EVENTS, APPLY, BATCH_AGE, DELTAS_WAITING, FOLD, FOLDED, WINDOW_EVENTS, WINDOW_LAG, GENERATION,
)  # fmt: skip
