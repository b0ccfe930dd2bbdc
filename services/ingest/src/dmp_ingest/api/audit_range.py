"""Reads the range of an audit."""

from __future__ import annotations

from typing import Final

from dmp_chassis.instants import instant_problem, read_instant_us
from dmp_chassis.page_token import NOT_FROM_US, number_of
from dmp_chassis.violations import Violations

_MINUTE_US: Final = 60_000_000
_MAX_MINUTES: Final = 366 * 24 * 60


def audit_range(
    first: str, last: str, *, campaign_id: str, campaign_required: bool, page_token: str
) -> tuple[int, int]:
    """The first and the last minute, whole minutes since 1970; with a page token its minute is the first.

    Raises InvalidArgument with all problems.
    """
    violations = Violations()
    if campaign_required and not campaign_id:
        violations.add("campaign_id", "is required")
    if len(campaign_id) > 255 or "\x00" in campaign_id:
        violations.add("campaign_id", "must have at most 255 characters, none NUL")
    minutes = [_minute(name, text, violations) for name, text in (("from", first), ("to", last))]
    if not violations and minutes[0] > minutes[1]:
        violations.add("from", "must not be after to")
    if not violations and minutes[1] - minutes[0] > _MAX_MINUTES:
        violations.add("to", "must be at most 366 days after from")
    if not violations and page_token:
        begin = number_of(page_token)
        if begin is not None and minutes[0] <= begin <= minutes[1]:
            minutes[0] = begin
        else:
            violations.add("page_token", f"{NOT_FROM_US}, for the same range")
    violations.check()
    return minutes[0], minutes[1]


def _minute(field: str, text: str, violations: Violations) -> int:
    at_us = read_instant_us(text)
    if at_us is None:
        violations.add(field, instant_problem(text) if text else "is required")
        return 0
    return at_us // _MINUTE_US
