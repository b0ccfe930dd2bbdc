"""What a caller sees of each error: status, reason and public sentence. The one place that knows."""

from __future__ import annotations

from typing import Final

import grpc

from dmp_chassis.errors import DependencyUnavailable, ErrorSpec, ErrorTable
from dmp_chassis.instants import format_instant
from dmp_stats.domain.errors import (
    BusyError,
    CellsChangedError,
    MalformedBodyError,
    StaleReferenceError,
    TooLargeError,
    UserNotFoundError,
)

DOMAIN: Final = "stats.dmp"

ERRORS: Final[ErrorTable] = {
    MalformedBodyError: ErrorSpec(
        code=grpc.StatusCode.INVALID_ARGUMENT,
        reason="MALFORMED_BODY",
        message=lambda error: f"the body is not usable: {error.problem}",
    ),
    TooLargeError: ErrorSpec(
        code=grpc.StatusCode.RESOURCE_EXHAUSTED,
        reason="TOO_LARGE",
        message=lambda error: f"the request has more than {error.limit} {error.unit}",
        metadata=lambda error: {"limit": str(error.limit), "unit": error.unit},
        http_status=413,
    ),
    BusyError: ErrorSpec(
        code=grpc.StatusCode.RESOURCE_EXHAUSTED,
        reason="BUSY",
        message=lambda error: f"stats is busy with {error.what}; ask again later",
        retry_after_seconds=2.0,
        http_status=429,
    ),
    StaleReferenceError: ErrorSpec(
        code=grpc.StatusCode.ABORTED,
        reason="STALE_REFERENCE",
        message=lambda error: f"a reference table of {format_instant(error.current_ts)} is in place, which is newer",
        metadata=lambda error: {
            "current_ts": format_instant(error.current_ts),
            "generation": str(error.generation),
        },
    ),
    UserNotFoundError: ErrorSpec(
        code=grpc.StatusCode.NOT_FOUND,
        reason="USER_NOT_FOUND",
        message="the reference table does not know this user",
        metadata=lambda error: {"user_id": error.user_id, "generation": str(error.generation)},
    ),
    CellsChangedError: ErrorSpec(
        code=grpc.StatusCode.ABORTED,
        reason="CELLS_CHANGED",
        message="the cells are not as you have seen them; look again",
    ),
    DependencyUnavailable: ErrorSpec(
        code=grpc.StatusCode.UNAVAILABLE,
        reason="CANNOT_STORE",
        message="stats cannot read or store now; try again",
        metadata=lambda error: {"dependency": error.dependency},
        retry_after_seconds=1.0,
    ),
}
