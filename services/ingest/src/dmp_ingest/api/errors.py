"""What a caller sees of each error: status, reason and public sentence. The one place that knows."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import grpc

from dmp_chassis.errors import ErrorSpec, ErrorTable
from dmp_chassis.violations import Violation
from dmp_ingest.domain.errors import (
    AuditBusyError,
    CannotAskError,
    CannotStoreError,
    ErasureNotFoundError,
    EventNotFoundError,
    ExpiredRangeError,
    MalformedBodyError,
    MinuteTooLargeError,
    OverloadedError,
    TooLargeError,
    UnhealthyError,
    UserNotFoundError,
)

DOMAIN: Final = "ingest.dmp"

ERRORS: Final[ErrorTable] = {
    MalformedBodyError: ErrorSpec(
        code=grpc.StatusCode.INVALID_ARGUMENT,
        reason="MALFORMED_BODY",
        message=lambda error: f"the body is not JSON: {error.problem}",
        field_violations=lambda error: [Violation("body", f"is not JSON: {error.problem}")],
    ),
    TooLargeError: ErrorSpec(
        code=grpc.StatusCode.RESOURCE_EXHAUSTED,
        reason="TOO_LARGE",
        message=lambda error: (
            f"a request may have at most {error.limit:,} {error.unit}; nothing of this one was stored"
        ),
        metadata=lambda error: {"limit": str(error.limit), "unit": error.unit},
        http_status=413,
    ),
    OverloadedError: ErrorSpec(
        code=grpc.StatusCode.RESOURCE_EXHAUSTED,
        reason="OVERLOADED",
        message="too many events are waiting to be stored; nothing of this request was stored, send it again later",
        retry_after_seconds=lambda error: error.retry_after_seconds,
        http_status=429,
    ),
    CannotStoreError: ErrorSpec(
        code=grpc.StatusCode.UNAVAILABLE,
        reason="CANNOT_STORE",
        message="the events cannot be stored at the moment; sending them again is safe",
        retry_after_seconds=1.0,
        http_status=503,
    ),
    EventNotFoundError: ErrorSpec(
        code=grpc.StatusCode.NOT_FOUND,
        reason="EVENT_NOT_FOUND",
        message=lambda error: (
            "the event of this id was counted; it is older than the log keeps events, and only its id is still known"
            if error.expired
            else "no event has this id"
        ),
        metadata=lambda error: {"event_id": error.event_id},
    ),
    CannotAskError: ErrorSpec(
        code=grpc.StatusCode.UNAVAILABLE,
        reason="CANNOT_ASK",
        message=lambda error: f"{error.service} does not answer at the moment, please try again",
        metadata=lambda error: {"service": error.service},
        retry_after_seconds=1.0,
        http_status=503,
    ),
    AuditBusyError: ErrorSpec(
        code=grpc.StatusCode.RESOURCE_EXHAUSTED,
        reason="AUDIT_BUSY",
        message="another audit or repair is under way; one runs at a time, ask again later",
        retry_after_seconds=2.0,
        http_status=429,
    ),
    MinuteTooLargeError: ErrorSpec(
        code=grpc.StatusCode.INVALID_ARGUMENT,
        reason="INVALID_ARGUMENT",
        message=lambda error: f"the minute {_minute(error.minute)} is too large to be compared at once",
        field_violations=lambda error: [
            Violation("campaign_id", f"is required: the minute {_minute(error.minute)} is too large for all campaigns")
        ],
    ),
    ExpiredRangeError: ErrorSpec(
        code=grpc.StatusCode.INVALID_ARGUMENT,
        reason="INVALID_ARGUMENT",
        message=lambda error: f"the log keeps no events from before {_minute(error.first)}",
        field_violations=lambda error: [
            Violation("from", f"must not lie before {_minute(error.first)}: the log keeps no older events")
        ],
    ),
    UserNotFoundError: ErrorSpec(
        code=grpc.StatusCode.NOT_FOUND,
        reason="USER_NOT_FOUND",
        message="no person has this id",
        metadata=lambda error: {"internal_user_id": error.internal_user_id},
    ),
    ErasureNotFoundError: ErrorSpec(
        code=grpc.StatusCode.NOT_FOUND,
        reason="ERASURE_NOT_FOUND",
        message="there is no erasure of this id",
        metadata=lambda error: {"erasure_id": error.erasure_id},
    ),
    UnhealthyError: ErrorSpec(
        code=grpc.StatusCode.UNAVAILABLE,
        reason="UNHEALTHY",
        message=lambda error: f"missing: {', '.join(error.missing)}",
        metadata=lambda error: {"missing": ",".join(error.missing)},
        http_status=503,
    ),
}


def _minute(minute: int) -> str:
    return f"{datetime.fromtimestamp(minute * 60, UTC):%Y-%m-%dT%H:%MZ}"
