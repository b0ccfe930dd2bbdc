"""Reads the range of an audit."""

from __future__ import annotations

from typing import Final

from dmp_chassis.errors import FieldViolation, InvalidArgument
from dmp_chassis.instants import instant_problem, read_instant_us

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
    at_us = read_instant_us(text)
    if at_us is None:
        violations.append(FieldViolation(field=field, description=instant_problem(text) if text else "is required"))
        return 0
    return at_us // _MINUTE_US
