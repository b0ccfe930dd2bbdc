"""How far the continuous audit is: one replica at a time goes on, and a restart goes on where it was."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import psycopg
import pytest

from dmp_chassis.database import Database
from dmp_ingest.adapters.audit_pass_store import AuditPasses
from dmp_ingest.domain.audit_pass import AuditPass, Found
from dmp_ingest.metrics import PASS_DIFFERENCES, PASS_SECONDS, PASS_UNSETTLED


@pytest.fixture
async def database(ingest_database_url: str) -> AsyncIterator[Database]:
    connected = Database.connect(ingest_database_url, pool_size=3, application_name="test")
    yield connected
    await connected.close()


async def test_one_holder_at_a_time_until_it_lets_go_or_its_lease_ends(database: Database) -> None:
    first, second = AuditPasses(database, holder="first"), AuditPasses(database, holder="second")
    taken = await first.take(lease_seconds=60)
    assert taken is not None
    assert taken[0].whole, "there is no pass yet"
    assert await second.take(lease_seconds=60) is None
    assert await first.take(lease_seconds=60) is not None, "the holder goes on"
    await first.release()
    assert await second.take(lease_seconds=0) is not None
    assert await first.take(lease_seconds=60) is not None, "the lease of the other has ended"
    await second.note(AuditPass(next_minute=7, last_minute=9))
    assert (await first.take(lease_seconds=60) or taken)[0].whole, "who holds it no more notes nothing"


async def test_a_pass_goes_on_in_another_process_and_shows_what_it_found(database: Database) -> None:
    passes = AuditPasses(database, holder="before")
    assert await passes.figures() == {}
    assert await passes.take(lease_seconds=0) is not None
    half = AuditPass(next_minute=50, last_minute=99, found=Found(counts=2, timelines=1, unsettled=4))
    await passes.note(half)
    after = AuditPasses(database, holder="after a restart")
    taken = await after.take(lease_seconds=60)
    assert taken is not None
    assert taken[0] == half
    figures = await after.figures()
    assert (figures[PASS_DIFFERENCES, "counts"], figures[PASS_DIFFERENCES, "timelines"]) == (2, 1)
    assert figures[(PASS_UNSETTLED,)] == 0, "of the last whole pass"
    await after.note(half.after(99, Found(counts=1)))
    figures = await after.figures()
    assert (figures[PASS_DIFFERENCES, "counts"], figures[(PASS_UNSETTLED,)]) == (3, 4)
    assert 0 <= figures[(PASS_SECONDS,)] < 3600
    taken = await after.take(lease_seconds=60)
    assert taken is not None
    assert taken[0].whole
    await after.note(AuditPass(next_minute=10, last_minute=9))
    assert (await after.figures())[PASS_DIFFERENCES, "counts"] == 0, "a whole pass that finds nothing"


async def test_an_erasure_under_way_or_just_complete_is_known(database: Database, ingest_database_url: str) -> None:
    passes = AuditPasses(database, holder="one")
    taken = await passes.take(lease_seconds=60)
    assert taken is not None
    assert not await passes.erased_since(taken[1])
    with psycopg.connect(ingest_database_url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO erasure (id, internal_user_id, requested_at, cleaned_events)"
            " VALUES (gen_random_uuid(), 'user_1', now(), 0)"
        )
        assert await passes.erased_since(taken[1])
        connection.execute("UPDATE erasure SET completed_at = now()")
    assert await passes.erased_since(taken[1])
    assert not await passes.erased_since(taken[1] + timedelta(hours=1))
