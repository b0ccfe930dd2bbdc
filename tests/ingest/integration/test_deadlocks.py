"""A group that the database gave up, because it and somebody else waited for each other, is stored again.

In one database groups cannot: all insert in the order of their keys. Over several shards there is no such order.
"""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from dmp_ingest.domain.event_key import event_key
from tests.conditions import eventually
from tests.ingest.conftest import Ingest, campaign_event

_ADD = (
    "INSERT INTO event (event_key, batch_id, fingerprint, occurred_at, received_at, event_id, type)"
    " VALUES (%s, '01990000-0000-7000-8000-000000000000', 1, now(), now(), 'other', 'click')"
)
_SOMEBODY_WAITS = "SELECT count(*) FROM pg_locks WHERE NOT granted"
_ATTEMPTS = 5


async def _is_given_up(ingest: Ingest, ids: list[str]) -> bool:
    """Stores events while somebody else inserts two of them in the other order, and changes their mind at last.

    Returns whether it was ingest that the database gave up: it is who notices first, and looks once, after a second.
    """
    first, *_, last = sorted(map(event_key, ids))
    async with await psycopg.AsyncConnection.connect(ingest.database_url) as other:
        await other.execute(_ADD, (last.hex(),))
        storing = asyncio.create_task(ingest.post([campaign_event(event_id) for event_id in ids]))
        async with await psycopg.AsyncConnection.connect(ingest.database_url, autocommit=True) as looking:

            async def waits() -> bool:
                return await (await looking.execute(_SOMEBODY_WAITS)).fetchone() != (0,)

            await eventually(waits)
        try:
            await other.execute(_ADD, (first.hex(),))
        except psycopg.errors.DeadlockDetected:
            given_up = False
        else:
            given_up = True
        await other.rollback()
    status, answer = await storing
    assert (status, answer["accepted"]) == (202, len(ids))
    return given_up


@pytest.mark.parametrize("count", [2, 300])
async def test_it_is_stored_again_by_one_statement_or_by_copying(ingest: Ingest, count: int) -> None:
    for attempt in range(_ATTEMPTS):
        if await _is_given_up(ingest, [f"{attempt}-{number}" for number in range(count)]):
            return
    pytest.fail("ingest was never the one that was given up")
