"""Versions of the reference table."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from dmp_chassis.database import raw
from dmp_stats.adapters.arrays import array_cursor
from dmp_stats.adapters.tables import REFERENCE_CHUNK, REFERENCE_GENERATION

_WRITERS_LOCK: Final = 0x646D705F72656601


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """One version of the reference table."""

    generation: int
    """Its number."""
    base: int
    """The number of the whole table on which this version is a change; its own number if it is a whole table."""
    ts: datetime
    users: int
    """How many users it has."""


async def lock_writers(connection: AsyncConnection) -> None:
    """Makes other writers wait until this transaction ends; readers never wait."""
    await connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_WRITERS_LOCK)))


async def current(connection: AsyncConnection) -> Generation | None:
    """The version that readers see, None if there is none yet."""
    table = REFERENCE_GENERATION
    row = (
        await connection.execute(
            sa.select(table.c.generation, table.c.base, table.c.ts, table.c.users)
            .order_by(table.c.generation.desc())
            .limit(1)
        )
    ).one_or_none()
    return None if row is None else Generation(generation=row.generation, base=row.base, ts=row.ts, users=row.users)


async def by_number(connection: AsyncConnection, generation: int) -> Generation | None:
    """That version, None if it is gone."""
    table = REFERENCE_GENERATION
    row = (
        await connection.execute(
            sa.select(table.c.generation, table.c.base, table.c.ts, table.c.users).where(
                table.c.generation == generation
            )
        )
    ).one_or_none()
    return None if row is None else Generation(generation=row.generation, base=row.base, ts=row.ts, users=row.users)


async def insert(connection: AsyncConnection, version: Generation, payloads: Iterable[bytes]) -> None:
    """Writes a version and its own chunks."""
    await connection.execute(
        sa.insert(REFERENCE_GENERATION),
        {"generation": version.generation, "base": version.base, "ts": version.ts, "users": version.users},
    )
    async with array_cursor(raw(connection)) as cursor:
        for position, payload in enumerate(payloads):
            await cursor.execute(
                b"INSERT INTO reference_chunk (base, generation, position, payload) VALUES (%b, %b, %b, %b)",
                (version.base, version.generation, position, payload),
            )


async def chunks(connection: AsyncConnection, version: Generation, *, after: int) -> AsyncIterator[bytes]:
    """The stored chunks of a version that were added after generation `after`, in order, one at a time."""
    table = REFERENCE_CHUNK
    keys = (
        await connection.execute(
            sa.select(table.c.generation, table.c.position)
            .where(table.c.base == version.base, table.c.generation <= version.generation, table.c.generation > after)
            .order_by(table.c.generation, table.c.position)
        )
    ).all()
    async with array_cursor(raw(connection)) as cursor:
        for generation, position in keys:
            await cursor.execute(
                b"SELECT payload FROM reference_chunk WHERE base = %b AND generation = %b AND position = %b",
                (version.base, generation, position),
            )
            row = await cursor.fetchone()
            assert row is not None
            yield row[0]


async def forget_before(connection: AsyncConnection, *, generation: int, base: int) -> None:
    """Removes versions below a generation, and chunks of bases below a base."""
    await connection.execute(sa.delete(REFERENCE_GENERATION).where(REFERENCE_GENERATION.c.generation < generation))
    await connection.execute(sa.delete(REFERENCE_CHUNK).where(REFERENCE_CHUNK.c.base < base))


async def patches(connection: AsyncConnection, base: int) -> int:
    """How many versions are changes of that base."""
    table = REFERENCE_GENERATION
    count = await connection.scalar(
        sa.select(sa.func.count()).select_from(table).where(table.c.base == base, table.c.generation > base)
    )
    return int(count or 0)
