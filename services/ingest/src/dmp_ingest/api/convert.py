"""Conversions between the API's messages and the domain."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Final, TypeAlias

import msgspec
from google.protobuf import json_format, struct_pb2, timestamp_pb2

from dmp.ingest.v1 import audit_pb2, event_pb2, ingest_service_pb2
from dmp_chassis.instants import OUT_OF_RANGE, instant_us, timestamp_us
from dmp_chassis.pauses import Pauses
from dmp_ingest.api.json_answer import MESSAGES, UNFILLED_MACRO, message_of
from dmp_ingest.audit_events import Audited, AuditedTimelines
from dmp_ingest.domain.audit import NOTHING, CellKey
from dmp_ingest.domain.check_event import MOST_IDENTIFIERS, TOO_MANY_IDENTIFIERS
from dmp_ingest.domain.duplicate import Verdict
from dmp_ingest.domain.event import RejectedEvent, SubmittedEvent
from dmp_ingest.domain.event_policy import COUNTS_AS, EventPolicy
from dmp_ingest.domain.json_text import is_deeper
from dmp_ingest.find_event import FoundEvent
from dmp_ingest.publish_events import Outcome, StoredOutcome

_VERDICTS: Final = {
    Verdict.ACCEPTED: (event_pb2.VERDICT_ACCEPTED, MESSAGES[Verdict.ACCEPTED]),
    Verdict.DUPLICATE: (event_pb2.VERDICT_DUPLICATE, MESSAGES[Verdict.DUPLICATE]),
    Verdict.CONFLICT: (event_pb2.VERDICT_CONFLICT, MESSAGES[Verdict.CONFLICT]),
}
_SHOWN_DIFFERENCES: Final = 1_000
_STRUCT_DEPTH: Final = 30
_STRUCT_FACTOR: Final = 8
"""No JSON is this many times as large as a Struct: a digit and a comma become 11 bytes."""
_NO_METADATA: Final = msgspec.Raw(b"")
_RESULTS_AT_ONCE: Final = 50


_Response: TypeAlias = ingest_service_pb2.PublishEventsResponse | ingest_service_pb2.PublishEventStreamResponse


def event_from_proto(event: event_pb2.Event, policy: EventPolicy) -> SubmittedEvent | RejectedEvent:
    """An event as a gRPC caller sent it.

    It is rejected if its time or metadata cannot be read, or if it is far too large.
    """
    time_field = event.WhichOneof("time")
    stamp: int | None = None
    seconds: float | None = None
    if time_field == "timestamp":
        seconds = event.timestamp
        if seconds != seconds:
            return RejectedEvent(event_id=event.event_id, errors={"timestamp": ["must be a number"]})
    elif time_field is not None:
        message = event.occurred_at if time_field == "occurred_at" else event.ts
        stamp = timestamp_us(message.seconds, message.nanos)
        if stamp is None:
            problem = f"{OUT_OF_RANGE}, with nanos from 0 to 999,999,999"
            return RejectedEvent(event_id=event.event_id, errors={time_field: [problem]})
    identifiers = event.identifiers
    if len(identifiers) > MOST_IDENTIFIERS:
        return RejectedEvent(event_id=event.event_id, errors={"identifiers": [TOO_MANY_IDENTIFIERS]})
    metadata = _NO_METADATA
    if event.HasField("metadata"):
        if event.metadata.ByteSize() > _STRUCT_FACTOR * policy.max_metadata_bytes:
            problem = f"must have at most {policy.max_metadata_bytes} bytes"
            return RejectedEvent(event_id=event.event_id, errors={"metadata": [problem]})
        try:
            metadata = msgspec.Raw(msgspec.json.encode(_plain(event.metadata)))
        except (ValueError, RecursionError):
            return RejectedEvent(event_id=event.event_id, errors={"metadata": ["must be a JSON object"]})
    return SubmittedEvent(
        event_id=event.event_id or None,
        type=event.type or None,
        source=event.source or None,
        occurred_at=stamp if time_field == "occurred_at" else None,
        ts=stamp if time_field == "ts" else None,
        timestamp=seconds,
        campaign_id=event.campaign_id,
        creative_id=event.creative_id,
        user_id=event.user_id,
        # Key by key: twice as fast as `dict`, which asks a protobuf map for its keys and for each of them once more.
        identifiers={kind: identifiers[kind] for kind in identifiers} if identifiers else None,
        metadata=metadata,
    )


def _plain(value: struct_pb2.Struct) -> dict[str, object]:
    """A Struct as a dictionary; whole numbers stay whole."""
    fields = value.fields
    return {name: _plain_value(fields[name]) for name in fields}


def _plain_value(value: struct_pb2.Value) -> object:
    text = value.string_value
    if text:
        return text
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        return ""
    if kind == "number_value":
        number = value.number_value
        if number != number or number in (float("inf"), float("-inf")):
            raise ValueError("not a JSON number")
        return int(number) if number.is_integer() and abs(number) < 2**53 else number
    if kind == "struct_value":
        return _plain(value.struct_value)
    if kind == "list_value":
        return [_plain_value(item) for item in value.list_value.values]
    return getattr(value, kind) if kind not in (None, "null_value") else None


async def add_results(response: _Response, outcomes: Sequence[Outcome], *, minimal: bool) -> None:
    """Adds a result for each outcome, in order; with `minimal` none for events that were simply accepted.

    Others have their turn while many are added.
    """
    add = response.results.add
    pauses = Pauses()
    for index, outcome in enumerate(outcomes):
        if index % _RESULTS_AT_ONCE == 0:
            await pauses.take_if_due()
        if isinstance(outcome, StoredOutcome):
            verdict = outcome.verdict
            if not (minimal and verdict is Verdict.ACCEPTED):
                number, message = _VERDICTS[verdict]
                add(
                    event_id=outcome.event_id,
                    verdict=number,
                    message=message,
                    internal_user_id=outcome.internal_user_id,
                    index=index,
                    warnings=[
                        event_pb2.FieldError(field=field, messages=[UNFILLED_MACRO]) for field in outcome.unfilled
                    ],
                )
        else:
            add(
                event_id=outcome.event_id,
                verdict=event_pb2.VERDICT_REJECTED,
                message=message_of(outcome),
                errors=[
                    event_pb2.FieldError(field=field, messages=problems) for field, problems in outcome.errors.items()
                ],
                index=index,
            )


def found_to_json(found: FoundEvent, policy: EventPolicy) -> bytes:
    """An event as the log holds it, and what became of it, as JSON: the metadata exactly as they were sent."""
    response = found_to_proto(found, policy)
    response.event.ClearField("metadata")
    answer = json_format.MessageToDict(
        response, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    if found.row.metadata_json is not None:
        answer["event"]["metadata"] = msgspec.Raw(found.row.metadata_json.encode())
    return msgspec.json.encode(answer)


def found_to_proto(found: FoundEvent, policy: EventPolicy) -> ingest_service_pb2.GetEventResponse:
    """An event as the log holds it, and what became of it."""
    row = found.row
    event = event_pb2.StoredEvent(
        event_id=row.event_id,
        type=row.type,
        source=row.source or "",
        campaign_id=row.campaign_id or "",
        creative_id=row.creative_id or "",
        user_id=row.user_id or "",
        identifiers=dict(row.identifiers or ()),
        batch_id=row.batch_id,
    )
    event.occurred_at.FromDatetime(row.occurred_at)
    event.received_at.FromDatetime(row.received_at)
    if row.metadata_json is not None:
        event.metadata_json = row.metadata_json
        _add_metadata(row.metadata_json, event)
    response = ingest_service_pb2.GetEventResponse(
        event=event, delivered=found.delivered, internal_user_id=found.internal_user_id
    )
    if row.campaign_id:
        counts_as = policy.counts_as.get(row.type, 0)
        response.counted_in.campaign_id = row.campaign_id
        response.counted_in.minute.CopyFrom(minute_to_proto(instant_us(row.occurred_at) // 60_000_000))
        response.counted_in.type = row.type
        response.counted_in.counts_as = next((name for name, number in COUNTS_AS.items() if number == counts_as), "")
    return response


def _add_metadata(text: str, event: event_pb2.StoredEvent) -> None:
    """Adds metadata as a Struct, if that form can hold them."""
    if is_deeper(text.encode(), _STRUCT_DEPTH):
        return
    try:
        json_format.ParseDict(json.loads(text, parse_int=_double, parse_float=_double), event.metadata)
    except (json_format.ParseError, ValueError, OverflowError):
        event.ClearField("metadata")


def _double(number: str) -> float:
    value = float(number)
    if not math.isfinite(value):
        raise ValueError("beyond every double")
    return value


def add_audit(audited: Audited, response: ingest_service_pb2.AuditEventsResponse) -> int:
    """Adds the comparison of a part of the range, with the first differences. Returns how many cells the part had."""
    cells = len(audited.logged.keys() | audited.counted.keys())
    response.clean = response.clean and not audited.differing and not audited.unsettled
    response.events += sum(cell.events for cell in audited.logged.values())
    response.cells += cells
    response.unsettled += len(audited.unsettled)
    room = _SHOWN_DIFFERENCES - len(response.differences)
    response.differences.extend(_difference_to_proto(key, audited) for key in audited.differing[:room])
    return cells


def add_timelines(audited: AuditedTimelines, response: ingest_service_pb2.AuditEventsResponse) -> None:
    """Adds the comparison of a part of the range with the timelines."""
    response.clean = response.clean and not audited.differing and not audited.unsettled
    response.unsettled += len(audited.unsettled)
    response.identified_events += sum(minute.events for minute in audited.logged.values())
    response.timeline_entries += sum(minute.events for minute in audited.entries.values())
    for minute in audited.differing[: _SHOWN_DIFFERENCES - len(response.timeline_differences)]:
        logged, entries = audited.logged.get(minute), audited.entries.get(minute)
        response.timeline_differences.add(
            minute=minute_to_proto(minute),
            logged=logged.events if logged is not None else 0,
            entries=entries.events if entries is not None else 0,
        )


def _difference_to_proto(key: CellKey, audited: Audited) -> audit_pb2.CellDifference:
    logged, counted = audited.logged.get(key, NOTHING), audited.counted.get(key, NOTHING)
    return audit_pb2.CellDifference(
        campaign_id=key.campaign_id,
        minute=minute_to_proto(key.minute),
        type=key.type,
        logged=logged.events,
        counted=counted.events,
        logged_digest=logged.digest.hex(),
        counted_digest=counted.digest.hex(),
    )


def minute_to_proto(minute: int) -> timestamp_pb2.Timestamp:
    """A minute, counted from 1970, as the time of its start."""
    return timestamp_pb2.Timestamp(seconds=minute * 60)
