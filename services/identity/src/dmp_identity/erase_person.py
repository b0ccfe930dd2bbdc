"""Erases a person, in one transaction, and names the events whose personal fields have to go from the log.

Whoever is responsible for the erasure calls, in this order and again after a crash, with the same id: `erase_person`;
`list_erased_events` until the last page, cleaning the log; `confirm_erasure`.
"""

from __future__ import annotations

import base64
import binascii
import uuid
from collections.abc import Callable
from typing import Any, Final

import psycopg

from dmp_chassis.database import Database, raw, retrying
from dmp_identity.adapters import erasure_store as store
from dmp_identity.adapters.erasure_store import Counts, Receipt
from dmp_identity.adapters.graph_locks import lock_merges, own_graph
from dmp_identity.adapters.profile_reads import find_root, members_of
from dmp_identity.domain.errors import ErasureNotFoundError, InvalidFieldsError, ProfileNotFoundError
from dmp_identity.domain.identifier_policy import IdentifierPolicy
from dmp_identity.domain.reading import Rule
from dmp_identity.read_profile import known_form

_LARGEST_PAGE: Final = 10_000


async def preview_erasure(database: Database, internal_user_id: str) -> tuple[list[int], Counts]:
    """The person's profiles and how much there is about them. Raises ProfileNotFoundError."""
    profile_id = known_form(internal_user_id)
    async with database.read() as transaction:
        connection = raw(transaction)
        members = await _members(connection, profile_id, internal_user_id)
        return members, await store.count_erasure(connection, members)


async def erase_person(
    database: Database,
    policy: IdentifierPolicy,
    *,
    erasure_id: str,
    internal_user_id: str,
    clock_us: Callable[[], int],
) -> tuple[Receipt, bool]:
    """The receipt, and whether it is an older one. Raises InvalidFieldsError, ProfileNotFoundError."""
    wanted = _checked_id(erasure_id)

    async def unit() -> tuple[Receipt, bool]:
        async with database.begin() as transaction:
            connection = raw(transaction)
            await own_graph(connection)
            receipt = await store.find_receipt(connection, wanted)
            if receipt is not None:
                return receipt, True
            profile_id = known_form(internal_user_id)
            await lock_merges(connection)
            members = await _members(connection, profile_id, internal_user_id)
            receipt = Receipt(
                id=wanted,
                profiles=members,
                counts=await store.count_erasure(connection, members),
                erased_at_us=clock_us(),
                confirmed=False,
            )
            remembered = {name for name, kind in policy.types.items() if kind.strong or kind.attributing}
            await store.erase_profiles(
                connection, receipt, remembered_types=remembered, rules=[rule.value for rule in Rule]
            )
            return receipt, False

    return await retrying(unit)


async def list_erased_events(
    database: Database, *, erasure_id: str, page_size: int, page_token: str
) -> tuple[list[str], str]:
    """A page of event ids and the token of the next one. Raises InvalidFieldsError, ErasureNotFoundError."""
    wanted = _checked_id(erasure_id)
    problems = [] if page_size >= 0 else [("page_size", "must not be negative")]
    after = _position(page_token)
    if after is None:
        problems.append(("page_token", "is not a token that a page before this one gave"))
    if problems or after is None:
        raise InvalidFieldsError(problems)
    limit = min(page_size or _LARGEST_PAGE, _LARGEST_PAGE)
    async with database.read() as transaction:
        connection = raw(transaction)
        if await store.find_receipt(connection, wanted) is None:
            raise ErasureNotFoundError(erasure_id)
        found = await store.erased_events(connection, wanted, after, limit + 1)
    token = base64.urlsafe_b64encode(found[limit - 1].encode()).decode() if len(found) > limit else ""
    return found[:limit], token


async def confirm_erasure(database: Database, *, erasure_id: str, clock_us: Callable[[], int]) -> int:
    """Forgets the erasure's events; how many there were. Raises InvalidFieldsError, ErasureNotFoundError."""
    wanted = _checked_id(erasure_id)
    async with database.begin() as transaction:
        connection = raw(transaction)
        if await store.find_receipt(connection, wanted) is None:
            raise ErasureNotFoundError(erasure_id)
        return await store.forget_events(connection, wanted, clock_us())


async def _members(connection: psycopg.AsyncConnection[Any], profile_id: int, internal_user_id: str) -> list[int]:
    root = await find_root(connection, profile_id)
    if root is None:
        raise ProfileNotFoundError(internal_user_id)
    return await members_of(connection, root)


def _checked_id(erasure_id: str) -> str:
    try:
        return str(uuid.UUID(erasure_id))
    except ValueError:
        raise InvalidFieldsError([("erasure_id", "must be a UUID")]) from None


def _position(token: str) -> str | None:
    try:
        text = base64.urlsafe_b64decode(token.encode()).decode()
    except (binascii.Error, ValueError):
        return None
    return None if "\0" in text else text
