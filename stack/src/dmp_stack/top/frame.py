"""What `make top` shows of each service: lines of a name and what there is to say."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from dmp_stack.top.readings import Change

UNKNOWN: Final = "?"
_POOL_LIMIT: Final = "dmp_database_connections_limit"
_OURS: Final = ("INTERNAL", "UNAVAILABLE", "UNKNOWN", "DEADLINE_EXCEEDED", "DATA_LOSS")


@dataclass(frozen=True, slots=True)
class Line:
    """name: what it is about. text: the numbers. alarming: whether somebody should look."""

    name: str
    text: str
    alarming: bool = False


@dataclass(frozen=True, slots=True)
class Panel:
    """One service."""

    title: str
    lines: list[Line]


Panels: TypeAlias = list[Panel]


def panels(changes: Mapping[str, Change], *, now: Callable[[], float] = time.time) -> Panels:
    """One panel for each service, in the order in which a request meets them."""
    own = {"ingest": lambda change: _ingest(change, now()), "identity": _identity, "stats": _stats}
    made = []
    for name, change in changes.items():
        up = change.replicas - change.away
        title = f"{name} · {up} of {change.replicas}" if change.replicas > 1 or change.away else name
        lines = [*own[name](change), *_every_service(change)] if up else []
        if change.away:
            lines.insert(0, Line("away", f"{change.away} of {change.replicas} show no metrics", alarming=True))
        made.append(Panel(title, lines))
    return made


def _ingest(change: Change, now: float) -> list[Line]:
    events = "dmp_ingest_events_total"
    queued, limit = change.total("dmp_ingest_queue_events"), change.total("dmp_ingest_queue_events_limit")
    applied = change.share("dmp_ingest_answered_events_total", {"applied": "true"})
    open_erasures = change.most("dmp_ingest_erasures_open")
    differences = change.total("dmp_ingest_audit_differences")
    audited = change.most("dmp_ingest_audit_timestamp_seconds")
    away = change.total("dmp_ingest_consumer_away")
    lines = [
        Line("events/s", f"{rate(change.rate(events))}   {_by(change.rates_by('verdict', events))}"),
        Line("form", _by(change.rates_by("form", events))),
        Line("transport", _by(change.rates_by("transport", events))),
        Line("applied", percent(applied), alarming=applied < 0.99),
        Line(
            "group",
            f"{rate(change.rate('dmp_ingest_group_events_count'))}/s "
            f"of {rate(change.mean('dmp_ingest_group_events'))}, "
            f"wait {_times(change, 'dmp_ingest_group_wait_seconds')}",
        ),
        Line("commit", _times(change, "dmp_ingest_commit_duration_seconds")),
        Line("hand-over", _times(change, "dmp_ingest_hand_over_duration_seconds")),
        Line("claims", f"{percent(change.share('dmp_ingest_claims_total', {'decided_by': 'log'}))} decided by the log"),
        Line(
            "queue",
            f"{number(queued)} of {number(limit)}, "
            f"oldest {seconds(change.most('dmp_ingest_queue_oldest_age_seconds'))}",
            alarming=queued > limit / 2,
        ),
    ]
    for consumer in ("identity", "stats"):
        rows = change.most("dmp_ingest_outbox_batches", consumer=consumer)
        age = change.most("dmp_ingest_outbox_oldest_age_seconds", consumer=consumer)
        relayed = change.rate("dmp_ingest_relay_attempts_total", consumer=consumer)
        text = f"{number(rows)} batches, oldest {seconds(age)}, relayed {rate(relayed)}/s"
        lines.append(Line(f"outbox {consumer}", text, alarming=age > 10))
    age = change.most("dmp_ingest_erasures_oldest_age_seconds")
    checked = "never" if audited == 0 else f"{seconds(now - audited)} ago"
    return [
        *lines,
        Line("consumers", "away" if away else "here", alarming=away > 0),
        Line("erasures", f"{number(open_erasures)} open, oldest {seconds(age)}", alarming=age > 600),
        Line("audit", f"{number(differences)} differences, {checked}", alarming=differences > 0),
    ]


def _identity(change: Change) -> list[Line]:
    events = "dmp_identity_events_total"
    return [
        Line("events/s", f"{rate(change.rate(events))}   {_by(change.rates_by('attributed_by', events))}"),
        Line("batches/s", _by(change.rates_by("outcome", "dmp_identity_batches_total"))),
        Line("apply", _times(change, "dmp_identity_apply_duration_seconds")),
        Line("age of a batch", _times(change, "dmp_identity_batch_age_seconds")),
        Line("merges/s", _by(change.rates_by("cause", "dmp_identity_merges_total"))),
        Line("undone/s", rate(change.rate("dmp_identity_merges_undone_total"))),
        Line("refusals/s", rate(change.rate("dmp_identity_refusals_total"))),
        Line("cache forgot", f"{rate(change.rate('dmp_identity_cache_forgotten_total'))}/s"),
        Line("contacts waiting", number(change.total("dmp_identity_contact_queue_requests"))),
    ]


def _stats(change: Change) -> list[Line]:
    lag, deltas = change.most("dmp_stats_window_lag_seconds"), change.most("dmp_stats_deltas_waiting")
    return [
        Line("events/s", rate(change.rate("dmp_stats_events_total"))),
        Line("batches/s", _by(change.rates_by("outcome", "dmp_stats_batches_total"))),
        Line("apply", _times(change, "dmp_stats_apply_duration_seconds")),
        Line("age of a batch", _times(change, "dmp_stats_batch_age_seconds")),
        Line("to be folded", f"{number(deltas)} batches", alarming=deltas > 5_000),
        Line("fold", _times(change, "dmp_stats_fold_duration_seconds")),
        Line(
            "window", f"{number(change.total('dmp_stats_window_events'))} events, lag {seconds(lag)}", alarming=lag > 10
        ),
        Line("reference", f"generation {number(change.most('dmp_stats_reference_generation'))}"),
    ]


def _every_service(change: Change) -> list[Line]:
    calls, redis = "rpc_server_call_duration_seconds", "dmp_redis_call_duration_seconds"
    failed = sum(change.rate(f"{calls}_count", rpc_status_code=code) for code in _OURS)
    broken = change.rate("dmp_database_errors_total")
    unanswered = change.rate(f"{redis}_count", outcome="failed")
    used = ", ".join(
        f"{pool} {number(change.total('dmp_database_connections_in_use', pool=pool))}/{number(limit)}"
        for pool in change.names_of("pool", _POOL_LIMIT)
        if (limit := change.total(_POOL_LIMIT, pool=pool)) > 0
    )
    wait = seconds(change.quantile(0.99, "dmp_database_connection_wait_seconds"))
    return [
        Line("calls/s", f"{rate(change.rate(f'{calls}_count'))}, {rate(failed)} failed", alarming=failed > 0),
        Line("pools", f"{used}, wait p99 {wait}, {rate(broken)} errors/s", alarming=broken > 0),
        Line("redis", f"{rate(change.rate(f'{redis}_count'))}/s, {rate(unanswered)} failed", alarming=unanswered > 0),
    ]


def _by(rates: Mapping[str, float]) -> str:
    """Those that there are, the largest first."""
    return ", ".join(f"{name} {rate(value)}" for name, value in rates.items() if value) or "-"


def _times(change: Change, histogram: str) -> str:
    return f"p50 {seconds(change.quantile(0.5, histogram))}, p99 {seconds(change.quantile(0.99, histogram))}"


def rate(value: float) -> str:
    """A rate with as many digits as matter."""
    if math.isnan(value):
        return "-"
    return f"{value:,.0f}" if value >= 10 or value == 0 else f"{value:.2g}"


def number(value: float) -> str:
    """A count."""
    return UNKNOWN if math.isnan(value) else f"{value:,.0f}"


def percent(share: float) -> str:
    """A share; "-" if nothing was counted."""
    return "-" if math.isnan(share) else f"{100 * share:.1f} %"


def seconds(value: float) -> str:
    """A duration in the unit that fits; "-" if nothing was measured."""
    if math.isnan(value):
        return "-"
    if value < 1:
        return f"{1000 * value:.3g} ms"
    return f"{value:.3g} s" if value < 120 else f"{value / 60:.3g} min" if value < 7200 else f"{value / 3600:.3g} h"
