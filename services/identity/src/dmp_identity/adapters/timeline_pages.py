"""Reads timelines: those of all profiles of a person as one, page by page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
import psycopg

_PROFILES_AT_ONCE: Final = 16
"""A statement for each number of profiles stays prepared."""
# An index leads to the first entries of a profile after a position. Each profile is asked by itself, because its
# timeline may be anywhere: one statement for all of them would read every timeline to its end.
_OF_ONE_PROFILE: Final = """
SELECT t.event_id, t.type, t.source, t.occurred_at_us, t.profile_id
FROM timeline_entry t
WHERE t.profile_id = %(p)s AND (t.occurred_at_us, t.event_id) > (%(after_us)s::bigint, %(after)s::text COLLATE "C")
  AND (t.occurred_at_us, t.event_id) <= (%(end_us)s::bigint, %(end)s::text COLLATE "C")
ORDER BY t.occurred_at_us, t.event_id
LIMIT %(limit)s
"""
_OF_PROFILES: Final = [f"({_OF_ONE_PROFILE.replace('%(p)s', f'%(p{n})s')})" for n in range(_PROFILES_AT_ONCE)]
_END_OF_TIME: Final = (2**63 - 1, "")


class TimelineRow(msgspec.Struct, frozen=True):
    """One entry of a timeline."""

    event_id: str
    type: str
    source: str
    occurred_at_us: int
    profile: int


async def timeline_page(
    connection: psycopg.AsyncConnection[Any], members: Sequence[int], after: tuple[int, str], limit: int
) -> list[TimelineRow]:
    """Entries after a position, in order of time and event id, at most `limit`.

    Costs a look into the index for each member, and a statement for each 16.
    """
    page: list[TimelineRow] = []
    end = _END_OF_TIME
    for start in range(0, len(members), _PROFILES_AT_ONCE):
        some = members[start : start + _PROFILES_AT_ONCE]
        statement = " UNION ALL ".join(_OF_PROFILES[: len(some)])
        given: dict[str, int | str] = {f"p{n}": member for n, member in enumerate(some)}
        given |= {"after_us": after[0], "after": after[1], "end_us": end[0], "end": end[1], "limit": limit}
        cursor = await connection.execute(statement.encode(), given)
        page += [TimelineRow(*row) for row in await cursor.fetchall()]
        page.sort(key=_position)
        del page[limit:]
        if len(page) == limit and page:
            end = _position(page[-1])
    return page


def _position(row: TimelineRow) -> tuple[int, str]:
    return row.occurred_at_us, row.event_id
