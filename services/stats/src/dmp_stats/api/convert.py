"""Between messages and what the use cases take and give."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import numpy as np
from google.protobuf import timestamp_pb2
from google.protobuf.message import DecodeError

from dmp.ingest.v1 import accepted_batch_pb2
from dmp.stats.v1 import stats_service_pb2
from dmp_chassis.page_token import number_token
from dmp_chassis.unfilled_macros import is_unfilled_macro
from dmp_chassis.violations import InvalidArgument, Violation, Violations
from dmp_stats.adapters.campaign_store import Totals
from dmp_stats.api.batch_columns import COLUMNS, RequestColumns, decoded_columns
from dmp_stats.domain.cells import CLICK, Batch, Ints
from dmp_stats.domain.minutes import instant_of_minute
from dmp_stats.domain.rejections import LastRejection
from dmp_stats.domain.stats_query import StatsQuery, check_stats_query
from dmp_stats.domain.window import WindowCounts
from dmp_stats.make_live_view import LiveView
from dmp_stats.query_stats import StatsAnswer

_MOST_FORGOTTEN: Final = 1_000

_UUID: Final = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
_LARGEST_COUNT: Final = 2**31 - 1
_LONGEST_TEXT: Final = 255
_MANY_TEXTS: Final = 64
_EARLIEST_US: Final = -62_135_596_800_000_000
_LATEST_US: Final = 253_402_300_799_999_999


def batch_from_request(request: RequestColumns | stats_service_pb2.ApplyBatchRequest) -> Batch:
    """The columns of a batch that statistics are made of. Raises InvalidArgument if they contradict each other."""
    if isinstance(request, stats_service_pb2.ApplyBatchRequest):
        return batch_from_proto(request.batch)
    table = decoded_columns(request.batch, len(request.batch.event_ids))
    if table is None:
        try:
            whole = stats_service_pb2.ApplyBatchRequest.FromString(request.SerializeToString())
        except DecodeError:
            raise InvalidArgument([Violation("batch", "is not a valid message")]) from None
        return batch_from_proto(whole.batch)
    return _checked_batch(request.batch, table)


def batch_from_proto(message: accepted_batch_pb2.AcceptedBatch) -> Batch:
    """The same from the message itself, however it was encoded. Raises InvalidArgument."""
    size = len(message.event_ids)
    raw = {name: getattr(message, name)[:] for name in COLUMNS}
    problems = [
        Violation(f"batch.{name}", "must have one entry for each event")
        for name, column in raw.items()
        if len(column) != size
    ]
    if problems:
        raise InvalidArgument([*problems, *_contradictions(message)])
    table = np.array([value for column in raw.values() for value in column], np.int64).reshape(len(COLUMNS), size)
    return _checked_batch(message, table)


def _checked_batch(message: accepted_batch_pb2.AcceptedBatch, table: Ints) -> Batch:
    _contradictions(message).check()
    texts = list(message.texts)
    if table.size and (problems := _impossible_values(table, texts)):
        raise InvalidArgument(problems)
    return Batch(
        batch_id=message.batch_id,
        texts=texts,
        event_keys=np.frombuffer(message.event_keys, ">u8").astype(np.uint64).reshape(-1, 2),
        **dict(zip(COLUMNS, table, strict=True)),
    )


def _contradictions(message: accepted_batch_pb2.AcceptedBatch) -> Violations:
    problems = Violations()
    if _UUID.fullmatch(message.batch_id) is None:
        problems.add("batch.batch_id", "must be a UUID in its text form")
    if len(message.event_keys) != 16 * len(message.event_ids):
        problems.add("batch.event_keys", "must have 16 bytes for each event")
    if not message.texts or message.texts[0]:
        problems.add("batch.texts", "must begin with the empty text")
    return problems


def _impossible_values(table: Ints, texts: Sequence[str]) -> list[Violation]:
    problems = Violations()
    latest, *positions, counts_as = table.max(axis=1).tolist()
    if max(positions) >= len(texts):
        return [Violation("batch.texts", "must hold every position that is referred to")]
    if counts_as > CLICK:
        problems.add("batch.counts_as", "must be 0, 1 or 2")
    if int(table[0].min()) < _EARLIEST_US or latest > _LATEST_US:
        problems.add("batch.occurred_at_us", "must lie in the years 1 to 9999")
    # Of a large batch most texts are users, which may be longer.
    names = texts if len(texts) < _MANY_TEXTS else _texts_at(table[1:5], texts)
    if max(map(len, names)) > _LONGEST_TEXT and max(map(len, _texts_at(table[1:5], texts))) > _LONGEST_TEXT:
        problems.add(
            "batch.texts",
            f"types, sources, campaigns and creatives must have at most {_LONGEST_TEXT} characters",
        )
    if "\0" in "".join(texts):
        problems.add("batch.texts", "must not contain a NUL character")
    return problems


def _texts_at(positions: Ints, texts: Sequence[str]) -> list[str]:
    used = np.zeros(len(texts), bool)
    used[positions] = True
    return [texts[place] for place in np.flatnonzero(used).tolist()]


def stats_query_from_proto(
    request: stats_service_pb2.QueryStatsRequest | stats_service_pb2.RenderStatsRequest,
) -> StatsQuery:
    """The question. Raises InvalidArgument with every parameter that makes no sense."""
    return check_stats_query(
        campaign_id=request.campaign_id,
        start=getattr(request, "from"),
        end=request.to,
        granularity=request.granularity,
        tz=request.tz,
        fill=request.fill,
        group_by=request.group_by,
        types=request.type,
        sources=request.source,
        creative_ids=request.creative_id,
        page_size=request.page_size,
        page_token=request.page_token,
    )


def stats_to_proto(query: StatsQuery, answer: StatsAnswer) -> stats_service_pb2.QueryStatsResponse:
    """The typed answer to a query."""
    series = answer.series
    response = stats_service_pb2.QueryStatsResponse(
        campaign_id=query.campaign_id,
        to=timestamp_to_proto(query.end),
        granularity=query.granularity.value,
        next_page_token=number_token(answer.next_minute),
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
        unfilled_macro=is_unfilled_macro(name),
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
        last_rejections=[_rejection_to_proto(last) for last in view.rejections],
    )


def _rejection_to_proto(last: LastRejection) -> stats_service_pb2.LiveRejection:
    kind = last.kind
    return stats_service_pb2.LiveRejection(
        ts=timestamp_pb2.Timestamp(seconds=int(last.at)),
        form=kind.form,
        field=kind.field,
        reason=stats_service_pb2.RejectionReason.Value(f"REJECTION_REASON_{kind.reason.upper()}"),
        events=last.events,
    )


def timestamp_to_proto(instant: datetime) -> timestamp_pb2.Timestamp:
    """An aware instant as a message."""
    message = timestamp_pb2.Timestamp()
    message.FromDatetime(instant.astimezone(UTC).replace(tzinfo=None))
    return message


def user_ids_from_proto(request: stats_service_pb2.ForgetUsersRequest) -> list[str]:
    """The users to forget, each once. Raises InvalidArgument."""
    user_ids = list(dict.fromkeys(request.user_ids))
    if not 1 <= len(user_ids) <= _MOST_FORGOTTEN or not all(user_ids):
        description = f"must be 1 to {_MOST_FORGOTTEN} ids that are not empty"
        raise InvalidArgument([Violation("user_ids", description)])
    return user_ids
