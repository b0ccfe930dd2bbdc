"""The rollups: counted events by campaign and bucket, in three grains."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, Final

import numpy as np
from sqlalchemy.ext.asyncio import AsyncConnection

from dmp_chassis.database import raw
from dmp_stats.adapters.arrays import (
    array_cursor,
    int2_array,
    int4_array,
    int8_array,
    text_array,
    uuid_array,
)
from dmp_stats.domain.buckets import DAY, HOUR, MINUTE, BucketRange
from dmp_stats.domain.cells import Cells, Ints, coarsen, group_rows
from dmp_stats.domain.series import Counted
from dmp_stats.domain.stats_query import StatsQuery

_GRAINS: Final = (MINUTE, HOUR, DAY)
_NUMBERED_INLINE: Final = 20_000

_ADD: Final = b"""
INSERT INTO rollup AS r (campaign_id, grain, bucket, type, counts_as, count, digest_high, digest_low)
SELECT * FROM unnest(%b, %b, %b, %b, %b, %b, %b, %b)
ON CONFLICT (campaign_id, grain, bucket, type, counts_as) DO UPDATE SET
  count = r.count + EXCLUDED.count,
  digest_high = r.digest_high # EXCLUDED.digest_high,
  digest_low = r.digest_low # EXCLUDED.digest_low
"""
_ADD_DETAIL: Final = b"""
INSERT INTO rollup_detail AS r (campaign_id, grain, bucket, kind, type, counts_as, source, creative_id, count)
SELECT * FROM unnest(%b, %b, %b, %b, %b, %b, %b, %b, %b)
ON CONFLICT (campaign_id, grain, bucket, kind) DO UPDATE SET count = r.count + EXCLUDED.count
"""
# By their keys: where the table is distributed a row has no place that a statement could name.
_REMOVE: Final = b"""
DELETE FROM rollup r USING (
  SELECT campaign_id, bucket, type, counts_as FROM rollup WHERE bucket < %(bucket)b AND grain = %(grain)b
  LIMIT %(limit)b
) AS old
WHERE r.campaign_id = old.campaign_id AND r.grain = %(grain)b AND r.bucket = old.bucket AND r.type = old.type
  AND r.counts_as = old.counts_as
"""
_REMOVE_DETAIL: Final = b"""
DELETE FROM rollup_detail r USING (
  SELECT campaign_id, bucket, kind FROM rollup_detail WHERE bucket < %(bucket)b AND grain = %(grain)b LIMIT %(limit)b
) AS old
WHERE r.campaign_id = old.campaign_id AND r.grain = %(grain)b AND r.bucket = old.bucket AND r.kind = old.kind
"""
_RANGES: Final = "unnest(%(grains)b, %(firsts)b, %(lasts)b) AS s (grain, first, last)"
_SINCE: Final = b"SELECT 1 FROM rollup WHERE bucket >= %b LIMIT 1"


async def add(connection: AsyncConnection, cells: Cells) -> None:
    """Adds the cells to all grains: two statements, rows in the order of their keys."""
    async with array_cursor(raw(connection)) as cursor:
        await cursor.execute(_ADD, _totals(cells))
        await cursor.execute(_ADD_DETAIL, _details(cells))


async def counted(
    connection: AsyncConnection, query: StatsQuery, ranges: Sequence[BucketRange], *, limit: int
) -> tuple[Counted, int]:
    """The stored rows of the query's campaign in these ranges that its filters let through, `limit` at most; and the
    last fold of the campaign that they include.

    Rows that the answer does not tell apart come added up.
    """
    table = "rollup_detail" if query.needs_detail else "rollup"
    parameters: dict[str, Any] = {
        "campaign_id": query.campaign_id,
        "grains": int2_array(np.array([s.grain for s in ranges])),
        "firsts": int8_array(np.array([s.first for s in ranges])),
        "lasts": int8_array(np.array([s.last for s in ranges])),
    }
    filters = ""
    for column, wanted in (("type", query.types), ("source", query.sources), ("creative_id", query.creative_ids)):
        if wanted:
            filters += f" AND r.{column} = ANY(%({column})s)"
            parameters[column] = list(wanted)
    parameters["limit"] = limit
    group = "NULL" if query.group_by is None else f"r.{query.group_by.value}"
    added_up = "" if query.group_by is None else ", group_name"
    # Only names from this module are put into the text.
    statement = (
        "SELECT array_agg(bucket), array_agg(counts_as::int4), array_agg(count), array_agg(group_name),"  # noqa: S608
        " (SELECT fold FROM folded_campaign WHERE campaign_id = %(campaign_id)s) FROM ("
        f"SELECT r.bucket, r.counts_as, sum(r.count)::int8 AS count, {group} AS group_name"
        f" FROM {_RANGES} JOIN {table} r ON r.campaign_id = %(campaign_id)s AND r.grain = s.grain"
        f" AND r.bucket BETWEEN s.first AND s.last{filters}"
        f" GROUP BY r.bucket, r.counts_as{added_up} LIMIT %(limit)b) found"
    )
    async with array_cursor(raw(connection)) as cursor:
        await cursor.execute(statement.encode(), parameters)
        row = await cursor.fetchone()
    assert row is not None
    nothing = np.zeros(0, np.int64)
    minutes, counts_as, counts = (nothing if column is None else column for column in row[:3])
    groups, group_of = [""], np.zeros(len(counts), np.int64)
    if query.group_by is not None and len(counts) > _NUMBERED_INLINE:
        groups, group_of = await asyncio.to_thread(_numbered, row[3])
    elif query.group_by is not None:
        groups, group_of = _numbered(row[3] or [])
    counted = Counted(minutes=minutes, counts_as=counts_as, counts=counts, groups=groups, group_of=group_of)
    return counted, row[4] or 0


async def has_since(connection: AsyncConnection, bucket: int) -> bool:
    """True if anything is counted in a bucket that begins at that minute or later."""
    async with array_cursor(raw(connection)) as cursor:
        await cursor.execute(_SINCE, (bucket,))
        row = await cursor.fetchone()
    return row is not None


async def remove_before(connection: AsyncConnection, *, grain: int, bucket: int, limit: int) -> int:
    """Removes up to `limit` rows of each table in a grain whose bucket begins before that minute.

    Returns how many: of the table that lost more.
    """
    removed = 0
    async with array_cursor(raw(connection)) as cursor:
        for statement in (_REMOVE, _REMOVE_DETAIL):
            await cursor.execute(statement, {"bucket": bucket, "grain": grain, "limit": limit})
            removed = max(removed, cursor.rowcount)
    return removed


def _totals(cells: Cells) -> tuple[Any, ...]:
    grains = [coarsen(cells, minutes=grain, by_detail=False) for grain in _GRAINS]
    columns = _stacked(grains)
    order, _ = group_rows([columns["campaigns"], columns["grains"], columns["minutes"], columns["types"]])
    columns = {name: column[order] for name, column in columns.items()}
    digests = np.concatenate([part.digests for part in grains])[order].view(np.int64)
    return (
        text_array(cells.texts, columns["campaigns"]),
        int2_array(columns["grains"]),
        int4_array(columns["minutes"]),
        text_array(cells.texts, columns["types"]),
        int2_array(columns["counts_as"]),
        int8_array(columns["counts"]),
        int8_array(digests[:, 0]),
        int8_array(digests[:, 1]),
    )


def _details(cells: Cells) -> tuple[Any, ...]:
    grains = [coarsen(cells, minutes=grain, by_detail=True) for grain in _GRAINS]
    columns = _stacked(grains)
    kinds = [columns["types"], columns["counts_as"], columns["sources"], columns["creatives"]]
    by_kind, starts = group_rows(kinds)
    keys = [
        _kind(cells.texts[t], c, cells.texts[s], cells.texts[k])
        for t, c, s, k in zip(*(column[by_kind[starts]].tolist() for column in kinds), strict=True)
    ]
    key_of = np.empty(len(by_kind), np.int64)
    key_of[by_kind] = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, len(by_kind))))
    order, _ = group_rows([columns["campaigns"], columns["grains"], columns["minutes"], key_of])
    columns = {name: column[order] for name, column in columns.items()}
    return (
        text_array(cells.texts, columns["campaigns"]),
        int2_array(columns["grains"]),
        int4_array(columns["minutes"]),
        uuid_array(keys, key_of[order]),
        text_array(cells.texts, columns["types"]),
        int2_array(columns["counts_as"]),
        text_array(cells.texts, columns["sources"]),
        text_array(cells.texts, columns["creatives"]),
        int8_array(columns["counts"]),
    )


def _kind(type_name: str, counts_as: int, source: str, creative: str) -> bytes:
    return blake2b(f"{type_name}\0{counts_as}\0{source}\0{creative}".encode(), digest_size=16).digest()


def _stacked(parts: Sequence[Cells]) -> dict[str, Ints]:
    names = ("campaigns", "minutes", "types", "counts_as", "sources", "creatives", "counts")
    columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    columns["grains"] = np.repeat(np.array(_GRAINS, np.int64), [len(part) for part in parts])
    return columns


def _numbered(values: Sequence[str]) -> tuple[list[str], Ints]:
    """The different values, and for each value which of them it is."""
    place: dict[str, int] = {}
    positions = np.fromiter((place.setdefault(value, len(place)) for value in values), np.int64, len(values))
    return list(place), positions
