"""Reads the range of an audit."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from dmp_chassis.errors import FieldViolation, InvalidArgument
from dmp_ingest.domain.event_time import EARLIEST_US, LATEST_US, microseconds

_MINUTE_US: Final = 60_000_000
_MAX_MINUTES: Final = 366 * 24 * 60


def audit_range(first: str, last: str, *, campaign_id: str, campaign_required: bool) -> tuple[int, int]:
    """The first and the last minute, whole minutes since 1970. Raises InvalidArgument with all problems."""
    violations: list[FieldViolation] = []
    if campaign_required and not campaign_id:
        violations.append(FieldViolation(field="campaign_id", description="is required"))
    if len(campaign_id) > 255 or "\x00" in campaign_id:
        violations.append(FieldViolation(field="campaign_id", description="must have at most 255 characters, none NUL"))
    minutes = [_minute(name, text, violations) for name, text in (("from", first), ("to", last))]
    if not violations and minutes[0] > minutes[1]:
        violations.append(FieldViolation(field="from", description="must not be after to"))
    if not violations and minutes[1] - minutes[0] > _MAX_MINUTES:
        violations.append(FieldViolation(field="to", description="must be at most 366 days after from"))
    if violations:
        raise InvalidArgument(violations)
    return minutes[0], minutes[1]


def _minute(field: str, text: str, violations: list[FieldViolation]) -> int:
    try:
        moment = datetime.fromisoformat(text) if "T" in text.upper() else None
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        problem = "must be an ISO 8601 time with Z or an offset" if text else "is required"
        violations.append(FieldViolation(field=field, description=problem))
        return 0
    at_us = microseconds(moment)
    if not EARLIEST_US <= at_us <= LATEST_US:
        violations.append(FieldViolation(field=field, description="must be a time between the years 1 and 9999"))
        return 0
    return at_us // _MINUTE_US
