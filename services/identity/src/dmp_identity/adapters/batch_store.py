"""The inbox and the timelines: what applying a batch writes besides the graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import psycopg

from dmp_identity.adapters.bulk import Bigints, Texts, all_escaped, bulk_cursor, copy_rows
from dmp_identity.adapters.graph_version import SERVER
from dmp_identity.domain.snapshot import GraphVersion

_REMEMBER: Final = f"""
WITH noted AS (INSERT INTO inbox (batch_id) SELECT unnest(%s::uuid[]) ON CONFLICT DO NOTHING RETURNING 1)
SELECT coalesce((SELECT max(erased_at_us) FROM erasure), 0), {SERVER}, v.people, v.evidence
FROM noted, graph_version v
""".encode()  # noqa: S608  # no input in it


_COLUMNS: Final = ("profile_id", "occurred_at_us", "event_id", "type", "source")
_APPEND: Final = f"""
INSERT INTO timeline_entry ({", ".join(_COLUMNS)})
SELECT * FROM unnest(%b::bigint[], %b::bigint[], %s::text[], %s::text[], %s::text[])
""".encode()  # noqa: S608  # no input in it
_AT_ONCE_ENTRIES: Final = 200


async def remember_batches(
    connection: psycopg.AsyncConnection[Any], batch_ids: Sequence[str]
) -> tuple[int, GraphVersion] | None:
    """Notes that this transaction applies the batches; None if another one has applied any. Waits for one that is about
    to.

    Otherwise returns when a person was erased last, in microseconds since 1970, 0 if nobody ever was, and the version
    of the graph.
    """
    cursor = await connection.execute(_REMEMBER, (list(batch_ids),))
    rows = await cursor.fetchall()
    return (rows[0][0], GraphVersion(*rows[0][1:])) if len(rows) == len(batch_ids) else None


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
    if some_may_be_there:
        await cursor.execute(_APPEND + b" ON CONFLICT DO NOTHING", _arrays(entries))
    elif len(entries.profile_ids) > _AT_ONCE_ENTRIES:
        await copy_rows(cursor, f"timeline_entry ({', '.join(_COLUMNS)})", _lines(entries))
    elif entries.profile_ids:
        await cursor.execute(_APPEND, _arrays(entries))


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
