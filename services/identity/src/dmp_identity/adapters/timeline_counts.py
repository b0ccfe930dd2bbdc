"""Reads how many timeline entries each minute has, for audits."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

import msgspec
import psycopg

_PART: Final = 10_000
_MINUTE_US: Final = 60_000_000
_COUNT: Final = """
SELECT floor(occurred_at_us / 60000000.0)::bigint AS minute, count(*),
  bit_xor(('x' || left(md5(event_id), 16))::bit(64)::bigint)
FROM timeline_entry
WHERE occurred_at_us >= %(first)s AND occurred_at_us < %(end)s
GROUP BY 1 ORDER BY 1
"""


class EntryCount(msgspec.Struct, frozen=True):
    """The entries of one minute."""

    minute: int
    """Whole minutes since 1970."""
    count: int
    digest: int
    """The XOR of the first halves of their ids' MD5 digests."""


async def counts_by_minute(
    connection: psycopg.AsyncConnection[Any], *, first: int, last: int
) -> AsyncIterator[list[EntryCount]]:
    """The minutes from `first` to `last`, both included, that have entries: in order, in parts.

    Reads every timeline entry there is.
    """
    async with connection.cursor() as cursor:
        await cursor.execute(_COUNT, {"first": first * _MINUTE_US, "end": (last + 1) * _MINUTE_US})
        while rows := await cursor.fetchmany(_PART):
            yield [EntryCount(*row) for row in rows]
