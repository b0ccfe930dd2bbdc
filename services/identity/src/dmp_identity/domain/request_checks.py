"""What several requests have in common: ids, reasons, values, pages; and what can be wrong with them."""

from __future__ import annotations

from typing import Final

from dmp_chassis.page_token import NOT_FROM_US, position_of, token_of
from dmp_chassis.violations import Violation
from dmp_identity.domain.errors import ProfileNotFoundError
from dmp_identity.domain.profile_id import profile_id_from_public

LONGEST_REASON: Final = 1000
LONGEST_VALUE: Final = 1024
"""Twice as long as any identifier: spelled with what is dropped for comparing."""
TimelinePosition = tuple[int, str]
"""Of a timeline's entry: its time in microseconds since 1970, and its event id."""
_BEGINNING: Final = (-(2**63), "")


def profile_id_asked_for(internal_user_id: str) -> int:
    """The number in a public id. Raises ProfileNotFoundError for what cannot be one."""
    profile_id = profile_id_from_public(internal_user_id)
    if profile_id is None:
        raise ProfileNotFoundError(internal_user_id)
    return profile_id


def reason_violations(reason: str, *, required: bool) -> list[Violation]:
    """What is wrong with the reason that somebody gives for a change."""
    if required and not reason.strip():
        return [Violation("reason", "is required")]
    if len(reason) > LONGEST_REASON:
        return [Violation("reason", f"must have at most {LONGEST_REASON} characters")]
    return [Violation("reason", "must not have NUL characters")] if "\0" in reason else []


def page_size_violations(page_size: int) -> list[Violation]:
    """What is wrong with the size of a page; 0 and too many stand for the largest."""
    return [] if page_size >= 0 else [Violation("page_size", "must not be negative")]


def token_violation(field: str = "page_token") -> Violation:
    """A page token is none of ours."""
    return Violation(field, NOT_FROM_US)


def unusable_value(value: str) -> str:
    """Why nobody can have the value that is asked for, empty if somebody can."""
    if len(value) > LONGEST_VALUE:
        return f"must have at most {LONGEST_VALUE} characters"
    return "must not have NUL characters" if "\0" in value else ""


def timeline_token(position: TimelinePosition) -> str:
    """The token of the page that follows an entry of a timeline."""
    return token_of(position)


def timeline_position(token: str) -> TimelinePosition | None:
    """The position after which the token's page begins, the beginning for no token; None for a token of others."""
    if not token:
        return _BEGINNING
    position = position_of(token, tuple[int, str])
    usable = position is not None and -(2**63) <= position[0] < 2**63 and "\0" not in position[1]
    return position if usable else None
