"""Lists the evidence that was not followed, for a person to look at."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Final

import msgspec

from dmp_chassis.database import Database, raw
from dmp_identity.adapters import explanation_reads as reads
from dmp_identity.adapters.explanation_reads import StoredRefusal
from dmp_identity.adapters.profile_reads import find_root, members_of
from dmp_identity.domain.errors import InvalidFieldsError, ProfileNotFoundError
from dmp_identity.domain.refusal_reason import RefusalReason
from dmp_identity.read_profile import known_form

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
    """A page and the token of the next one. Raises InvalidFieldsError, ProfileNotFoundError."""
    problems = []
    if rule and rule not in {known.value for known in RefusalReason}:
        problems.append(("rule", f"must be one of {', '.join(known.value for known in RefusalReason)}"))
    if page_size < 0:
        problems.append(("page_size", "must not be negative"))
    position = _position(page_token) if page_token else (clock_us(), 0)
    if position is None:
        problems.append(("page_token", "is not a token that a page before this one gave"))
    if problems or position is None:
        raise InvalidFieldsError(problems)
    until_us, skip = position
    limit = min(page_size or _DEFAULT_PAGE, _LARGEST_PAGE)
    async with database.read() as transaction:
        connection = raw(transaction)
        profiles = None
        if internal_user_id:
            root = await find_root(connection, known_form(internal_user_id))
            if root is None:
                raise ProfileNotFoundError(internal_user_id)
            profiles = await members_of(connection, root)
        found = await reads.list_refusals(
            connection, rule=rule, profiles=profiles, until_us=until_us, limit=limit + 1, skip=skip
        )
    token = base64.urlsafe_b64encode(msgspec.json.encode([until_us, skip + limit])).decode().rstrip("=")
    return found[:limit], token if len(found) > limit else ""


def _position(token: str) -> tuple[int, int] | None:
    try:
        data = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        until_us, skip = msgspec.json.decode(data, type=tuple[int, int])
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        return None
    return (until_us, skip) if 0 <= skip < 2**31 and abs(until_us) < 2**62 else None
