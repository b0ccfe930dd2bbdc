"""Reads the range of an audit."""

from __future__ import annotations

import re
from typing import Final

from dmp_chassis.errors import FieldViolation, InvalidArgument
from dmp_chassis.instants import instant_problem, read_instant_us

_MINUTE_US: Final = 60_000_000
_MAX_MINUTES: Final = 366 * 24 * 60
_TOKEN: Final = re.compile("-?[0-9]{1,12}", re.ASCII).fullmatch


def audit_range(
    first: str, last: str, *, campaign_id: str, campaign_required: bool, page_token: str
) -> tuple[int, int]:
    """The first and the last minute, whole minutes since 1970; with a page token its minute is the first.

    Raises InvalidArgument with all problems.
    """
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
    if not violations and page_token:
        if _TOKEN(page_token) and minutes[0] <= int(page_token) <= minutes[1]:
            minutes[0] = int(page_token)
        else:
            what = "must be the next_page_token of an answer to the same range"
            violations.append(FieldViolation(field="page_token", description=what))
    if violations:
        raise InvalidArgument(violations)
    return minutes[0], minutes[1]


def page_token(minute: int | None) -> str:
    """The token with which the next page begins at this minute; empty if there is no next page."""
    return "" if minute is None else str(minute)


def _minute(field: str, text: str, violations: list[FieldViolation]) -> int:
    at_us = read_instant_us(text)
    if at_us is None:
        violations.append(FieldViolation(field=field, description=instant_problem(text) if text else "is required"))
        return 0
    return at_us // _MINUTE_US
