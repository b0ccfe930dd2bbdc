"""Every metric of the canary: name, unit, meaning. `docs/metrics.md` is made from here too."""

from __future__ import annotations

from typing import Final

from dmp_chassis.metrics import counter, gauge, histogram

STATIONS: Final = ("accept", "log", "timeline", "count", "window")
"""Where a canary event is looked for: the answer `202`, `GET /events/{id}`, `/users/{id}`, `/stats`, `/metrics`."""
_STATION: Final = {"station": STATIONS}

JOURNEYS: Final = counter(
    "dmp_canary_journeys_total",
    "Canary events, by what became of them: seen everywhere within five seconds, or later, or not within ten.",
    unit="events",
    labels={"outcome": ("fresh", "late", "lost")},
)
SEEN: Final = histogram(
    "dmp_canary_seen_seconds",
    "From the moment at which a canary event was sent until it was seen at a station.",
    unit="seconds",
    labels=_STATION,
)
FAILURES: Final = counter(
    "dmp_canary_failures_total",
    "Canary events that were not seen at a station within ten seconds; not accepted, they are seen nowhere.",
    unit="events",
    labels=_STATION,
)
LAST_SEEN: Final = gauge(
    "dmp_canary_last_seen_timestamp_seconds",
    "When a canary event was last seen at a station, in seconds since 1970; the start of the canary before the first.",
    unit="seconds",
    labels=_STATION,
)

OF_CANARY: Final = (JOURNEYS, SEEN, FAILURES, LAST_SEEN)
