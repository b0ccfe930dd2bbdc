"""Counts timeline entries by minute, for an audit that compares them with the event log."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from dmp_chassis.database import Database, raw

_MINUTE_US: Final = 60_000_000
_PART: Final = 10_000
_COUNT: Final = """
SELECT floor(occurred_at_us / 60000000.0)::bigint AS minute, count(*),
  bit_xor(('x' || left(md5(event_id), 16))::bit(64)::bigint)
FROM timeline_entry
WHERE occurred_at_us >= %(first)s AND occurred_at_us < %(end)s
GROUP BY 1 ORDER BY 1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryCount:
    """A minute (whole minutes since 1970), its entries, and the XOR of the first halves of their ids' MD5 digests."""

    minute: int
    count: int
    digest: int


async def count_entries(database: Database, *, first: int, last: int) -> AsyncIterator[list[EntryCount]]:
    """The minutes from `first` to `last`, both included, that have entries: in order, in parts, as of one instant.

    Reads every timeline entry there is: it is for audits, not for the request path.
    """
    async with database.read() as transaction, raw(transaction).cursor() as cursor:
        await cursor.execute(_COUNT, {"first": first * _MINUTE_US, "end": (last + 1) * _MINUTE_US})
        while rows := await cursor.fetchmany(_PART):
            yield [EntryCount(minute=row[0], count=row[1], digest=row[2]) for row in rows]
