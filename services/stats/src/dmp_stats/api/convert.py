"""Between messages and what the use cases take and give."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import numpy as np
from google.protobuf import timestamp_pb2

from dmp.ingest.v1 import accepted_batch_pb2
from dmp.stats.v1 import stats_service_pb2
from dmp_stats.adapters.campaign_store import Totals
from dmp_stats.domain.cells import CLICK, Batch, Ints
from dmp_stats.domain.errors import InvalidRequestError, Violation
from dmp_stats.domain.instants import instant_of_minute
from dmp_stats.domain.stats_query import StatsQuery
from dmp_stats.domain.window import WindowCounts
from dmp_stats.query_stats import StatsAnswer
from dmp_stats.watch_live import LiveView

_UUID: Final = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
_COLUMNS: Final = ("occurred_at_us", "types", "sources", "campaigns", "creatives", "users", "counts_as")
_LARGEST_COUNT: Final = 2**31 - 1
_LONGEST_TEXT: Final = 255
_EARLIEST_US: Final = -62_135_596_800_000_000
_LATEST_US: Final = 253_402_300_799_999_999


def batch_from_proto(message: accepted_batch_pb2.AcceptedBatch) -> Batch:
    """The columns of a batch that statistics are made of. Raises InvalidRequestError if they contradict each other."""
    size = len(message.event_ids)
    texts = list(message.texts)
    raw = {name: getattr(message, name)[:] for name in _COLUMNS}
    problems = [
        Violation(field=f"batch.{name}", description="must have one entry for each event")
        for name, column in raw.items()
        if len(column) != size
    ]
    if _UUID.fullmatch(message.batch_id) is None:
        problems.append(Violation(field="batch.batch_id", description="must be a UUID in its text form"))
    if len(message.event_keys) != 16 * size:
        problems.append(Violation(field="batch.event_keys", description="must have 16 bytes for each event"))
    if not texts or texts[0]:
        problems.append(Violation(field="batch.texts", description="must begin with the empty text"))
    if problems:
        raise InvalidRequestError(problems)
    # One array for all columns: for a small batch seven would cost more than everything that is done with them.
    together = np.array([value for column in raw.values() for value in column], np.int64).reshape(len(_COLUMNS), size)
    columns = dict(zip(_COLUMNS, together, strict=True))
    if size:
        problems = _impossible_values(columns, texts)
    if problems:
        raise InvalidRequestError(problems)
    return Batch(
        batch_id=message.batch_id,
        texts=texts,
        event_keys=np.frombuffer(message.event_keys, ">u8").astype(np.uint64).reshape(size, 2),
        **columns,
    )


def _impossible_values(columns: dict[str, Ints], texts: Sequence[str]) -> list[Violation]:
    problems: list[Violation] = []
    positions = [columns[name] for name in ("types", "sources", "campaigns", "creatives", "users")]
    if max(int(column.max()) for column in positions) >= len(texts):
        return [Violation(field="batch.texts", description="must hold every position that is referred to")]
    if int(columns["counts_as"].max()) > CLICK:
        problems.append(Violation(field="batch.counts_as", description="must be 0, 1 or 2"))
    times = columns["occurred_at_us"]
    if int(times.min()) < _EARLIEST_US or int(times.max()) > _LATEST_US:
        problems.append(Violation(field="batch.occurred_at_us", description="must lie in the years 1 to 9999"))
    if max(map(len, texts)) > _LONGEST_TEXT and _uses_a_long_text(positions[:-1], texts):
        problems.append(
            Violation(
                field="batch.texts",
                description=f"types, sources, campaigns and creatives must have at most {_LONGEST_TEXT} characters",
            )
        )
    if "\0" in "".join(texts):
        problems.append(Violation(field="batch.texts", description="must not contain a NUL character"))
    return problems


def _uses_a_long_text(columns: Sequence[Ints], texts: Sequence[str]) -> bool:
    return any(len(texts[place]) > _LONGEST_TEXT for column in columns for place in np.unique(column).tolist())


def stats_to_proto(query: StatsQuery, answer: StatsAnswer) -> stats_service_pb2.QueryStatsResponse:
    """The typed answer to a query."""
    series = answer.series
    response = stats_service_pb2.QueryStatsResponse(
        campaign_id=query.campaign_id,
        to=timestamp_to_proto(query.end),
        granularity=query.granularity.value,
        next_page_token=page_token(answer.next_minute),
    )
    getattr(response, "from").CopyFrom(timestamp_to_proto(query.start))
    for start, impressions, clicks, events, group in zip(
        series.starts.tolist(),
        series.impressions.tolist(),
        series.clicks.tolist(),
        series.events.tolist(),
        series.group_of.tolist(),
        strict=True,
    ):
        response.series.add(
            ts=timestamp_to_proto(instant_of_minute(start)),
            impressions=min(impressions, _LARGEST_COUNT),
            clicks=min(clicks, _LARGEST_COUNT),
            events=min(events, _LARGEST_COUNT),
            group=series.groups[group],
        )
    return response


def page_token(next_position: int | None) -> str:
    """The token that goes on there; empty for the end."""
    return "" if next_position is None else str(next_position)


def metrics_to_proto(counts: WindowCounts) -> stats_service_pb2.GetMetricsResponse:
    """The typed figures of a window."""
    return stats_service_pb2.GetMetricsResponse(
        window_sec=counts.window_seconds,
        events_per_sec=counts.events / counts.window_seconds,
        unique_users=counts.unique_users,
        unknown=counts.unknown,
        unknown_users=counts.unknown_users,
        generation=counts.generation,
        events=counts.events,
        by={name: stats_service_pb2.AttributeCounts(counts=values) for name, values in counts.by.items()},
    )


def click_through_rate(totals: Totals) -> float:
    """Clicks by impressions; 0 without impressions."""
    return totals.clicks / totals.impressions if totals.impressions else 0.0


def campaign_to_proto(name: str, totals: Totals) -> stats_service_pb2.CampaignTotals:
    """One campaign's totals."""
    return stats_service_pb2.CampaignTotals(
        campaign_id=name,
        impressions=min(totals.impressions, _LARGEST_COUNT),
        clicks=min(totals.clicks, _LARGEST_COUNT),
        events=min(totals.events, _LARGEST_COUNT),
        click_through_rate=click_through_rate(totals),
        last_activity=timestamp_to_proto(instant_of_minute(totals.last_minute)),
    )


def live_to_proto(view: LiveView, *, top: int) -> stats_service_pb2.WatchLiveResponse:
    """One view of the live feed."""
    return stats_service_pb2.WatchLiveResponse(
        ts=timestamp_to_proto(view.at),
        events_per_sec=stats_service_pb2.LiveRates(
            last_10_seconds=view.rates[0], last_minute=view.rates[1], last_5_minutes=view.rates[2]
        ),
        users=view.users,
        generation=view.generation,
        verdicts=stats_service_pb2.LiveVerdicts(
            accepted=view.accepted, duplicates=view.duplicates, rejected=view.rejected
        ),
        top_campaigns=[campaign_to_proto(name, totals) for name, totals in view.top[:top]],
    )


def timestamp_to_proto(instant: datetime) -> timestamp_pb2.Timestamp:
    """An aware instant as a message."""
    message = timestamp_pb2.Timestamp()
    message.FromDatetime(instant.astimezone(UTC).replace(tzinfo=None))
    return message
