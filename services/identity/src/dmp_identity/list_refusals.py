"""Lists the evidence that was not followed, for a person to look at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from dmp_chassis.database import Database, raw
from dmp_chassis.page_token import position_of, token_of
from dmp_chassis.violations import InvalidArgument, Violations
from dmp_identity.adapters import explanation_reads as reads
from dmp_identity.adapters.explanation_reads import StoredRefusal
from dmp_identity.adapters.profile_reads import find_root, members_of
from dmp_identity.domain.errors import ProfileNotFoundError
from dmp_identity.domain.refusal_reason import RefusalReason
from dmp_identity.domain.request_checks import profile_id_asked_for, token_violation

_DEFAULT_PAGE: Final = 100
_LARGEST_PAGE: Final = 1000


async def list_refusals(
    database: Database,
    *,
    rule: str,
    internal_user_id: str,
    page_size: int,
    page_token: str,
    clock_us: Callable[[], int],
) -> tuple[list[StoredRefusal], str]:
    """A page and the token of the next one. Raises InvalidArgument, ProfileNotFoundError."""
    problems = Violations()
    if rule and rule not in {known.value for known in RefusalReason}:
        problems.add("rule", f"must be one of {', '.join(known.value for known in RefusalReason)}")
    if page_size < 0:
        problems.add("page_size", "must not be negative")
    position = _position(page_token) if page_token else (clock_us(), 0)
    if position is None:
        problems.append(token_violation())
    if problems or position is None:
        raise InvalidArgument(problems)
    until_us, skip = position
    limit = min(page_size or _DEFAULT_PAGE, _LARGEST_PAGE)
    async with database.read() as transaction:
        connection = raw(transaction)
        profiles = None
        if internal_user_id:
            root = await find_root(connection, profile_id_asked_for(internal_user_id))
            if root is None:
                raise ProfileNotFoundError(internal_user_id)
            profiles = await members_of(connection, root)
        found = await reads.list_refusals(
            connection, rule=rule, profiles=profiles, until_us=until_us, limit=limit + 1, skip=skip
        )
    token = token_of((until_us, skip + limit))
    return found[:limit], token if len(found) > limit else ""


def _position(token: str) -> tuple[int, int] | None:
    position = position_of(token, tuple[int, int])
    return position if position is not None and 0 <= position[1] < 2**31 and abs(position[0]) < 2**62 else None
