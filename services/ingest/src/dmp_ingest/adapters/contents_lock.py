"""The lock of the contents of stored events: who takes personal fields out of them is alone with them.

It is one lock for all events, since a distributed log locks no rows of several shards together (ADR 0020). Erasures
take turns anyway, and handing over again is rare. It is held to the end of the transaction; whoever takes it reads
afterwards, and so sees what the holder before has changed.
"""

from __future__ import annotations

from typing import Any, Final

import psycopg

_LOCK: Final = 0x646D705F636F6E74


async def own_contents(connection: psycopg.AsyncConnection[Any]) -> None:
    """Waits until nobody else changes or hands over contents, and keeps others from it."""
    await connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))


async def share_contents(connection: psycopg.AsyncConnection[Any]) -> None:
    """Waits until nobody changes contents, and keeps others from changing any."""
    await connection.execute("SELECT pg_advisory_xact_lock_shared(%s)", (_LOCK,))
