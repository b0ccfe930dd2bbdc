"""Appends events to timelines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import psycopg

from dmp_identity.adapters.bulk import Bigints, Texts, all_escaped, bulk_cursor, copy_rows

_COLUMNS: Final = ("profile_id", "occurred_at_us", "event_id", "type", "source")
_APPEND: Final = f"""
INSERT INTO timeline_entry ({", ".join(_COLUMNS)})
SELECT * FROM unnest(%b::bigint[], %b::bigint[], %s::text[], %s::text[], %s::text[])
""".encode()  # noqa: S608  # no input in it
_APPEND_MISSING: Final = _APPEND + b" ON CONFLICT DO NOTHING"
_AT_ONCE_ENTRIES: Final = 200


class Entries(NamedTuple):
    """Entries of timelines, in columns of equal length."""

    profile_ids: Sequence[int]
    occurred_at_us: Sequence[int]
    event_ids: Sequence[str]
    types: Sequence[str]
    sources: Sequence[str]


async def append_to_timelines(
    connection: psycopg.AsyncConnection[Any], entries: Entries, *, some_may_be_there: bool
) -> None:
    """Appends entries. One that is there already is a unique violation, unless `some_may_be_there`.

    Few go in one statement, many are copied: from there on that costs PostgreSQL less.
    """
    cursor = bulk_cursor(connection)
    if len(entries.profile_ids) > _AT_ONCE_ENTRIES and not some_may_be_there:
        lines = _lines(entries)
        await copy_rows(cursor, f"timeline_entry ({', '.join(_COLUMNS)})", lines)
    elif entries.profile_ids:
        await cursor.execute(_APPEND_MISSING if some_may_be_there else _APPEND, _arrays(entries))


def _arrays(entries: Entries) -> tuple[Bigints | Texts, ...]:
    return (
        Bigints(entries.profile_ids),
        Bigints(entries.occurred_at_us),
        Texts(entries.event_ids),
        Texts(entries.types),
        Texts(entries.sources),
    )


def _lines(entries: Entries) -> list[str]:
    texts = (all_escaped(entries.event_ids), all_escaped(entries.types), all_escaped(entries.sources))
    return [
        f"{profile_id}\t{at_us}\t{event_id}\t{kind}\t{source}"
        for profile_id, at_us, event_id, kind, source in zip(
            entries.profile_ids, entries.occurred_at_us, *texts, strict=True
        )
    ]
