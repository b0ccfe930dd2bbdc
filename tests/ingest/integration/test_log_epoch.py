"""The epoch of the log: what Redis remembers of events that the log has lost is not believed."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator

import psycopg
import pytest

from dmp_ingest.adapters.log_epoch import LogEpoch
from tests.ingest.conftest import Ingest, campaign_event


@pytest.fixture
async def epoch(ingest_database_url: str) -> AsyncIterator[LogEpoch]:
    epoch = LogEpoch(ingest_database_url)
    yield epoch
    await epoch.close()


def lose_everything(url: str) -> None:
    """Takes the log back to a moment before all events."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("TRUNCATE event")


async def test_it_is_the_same_for_every_replica_until_the_log_may_have_lost_something(
    epoch: LogEpoch, ingest_database_url: str, stats_database_url: str
) -> None:
    first = await epoch.read()
    other = LogEpoch(ingest_database_url)
    assert (len(first), await epoch.read(), await other.known()) == (8, first, first)
    lose_everything(ingest_database_url)
    assert await other.known() == first
    second = await other.read()
    assert second != first
    assert (await epoch.read(), await other.known()) == (second, second)
    await other.close()


@pytest.mark.parametrize("count", [1, 300])
async def test_a_log_that_lost_events_takes_them_again_and_knows_them_then(ingest: Ingest, count: int) -> None:
    events = [campaign_event(str(uuid.uuid4())) for _ in range(count)]
    seen = [(await ingest.post(events))[1] for _ in range(2)]
    assert [(answer["accepted"], answer["duplicates"]) for answer in seen] == [(count, 0), (0, count)]
    lose_everything(ingest.database_url)
    # Some are new, so that a group has both what Redis believes to be stored and what it does not know.
    events += [campaign_event(str(uuid.uuid4()))]
    seen = [(await ingest.post(events))[1] for _ in range(3)]
    expected = [(count + 1, 0), (0, count + 1), (0, count + 1)]
    assert [(answer["accepted"], answer["duplicates"]) for answer in seen] == expected
    with psycopg.connect(ingest.database_url) as connection:
        assert connection.execute("SELECT count(*) FROM event").fetchone() == (count + 1,)
