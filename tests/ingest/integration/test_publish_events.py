"""Events through a running ingest: stored once, handed over once, answered in order."""

from __future__ import annotations

import asyncio
import time

import grpc
import psycopg

from dmp_ingest.domain.event_key import event_key
from tests.ingest.conftest import Ingest, campaign_event


async def test_a_new_event_is_stored_handed_over_and_applied(ingest: Ingest) -> None:
    status, answer = await ingest.post(campaign_event("a", user_id="u1", metadata={"b": 1, "a": [1, 2]}))
    assert (status, answer["accepted"], answer["applied"]) == (202, 1, True)
    assert answer["results"] == [
        {"event_id": "a", "status": "success", "duplicate": False, "message": "accepted", "internal_user_id": "user_1"}
    ]
    assert ingest.consumers.identity.event_ids == ["a"]
    assert ingest.consumers.stats.event_ids == ["a"]


async def test_a_repeated_event_is_a_duplicate_and_handed_over_once(ingest: Ingest) -> None:
    event = campaign_event("a")
    await ingest.post(event)
    status, answer = await ingest.post(event)
    assert (status, answer["accepted"], answer["duplicates"]) == (202, 0, 1)
    assert answer["results"][0]["duplicate"] is True
    assert answer["results"][0]["message"] == "duplicate ignored"
    assert "conflict" not in answer["results"][0]
    assert ingest.consumers.stats.event_ids == ["a"]


async def test_other_content_under_the_same_id_is_a_conflict(ingest: Ingest) -> None:
    await ingest.post(campaign_event("a", occurred_at="2026-02-10T21:10:00Z", metadata={"x": 1, "y": 2}))
    _, same = await ingest.post(campaign_event("a", occurred_at="2026-02-10T22:10:00+01:00", metadata={"y": 2, "x": 1}))
    _, other = await ingest.post(campaign_event("a", occurred_at="2026-02-10T21:10:00Z", metadata={"x": 1, "y": 3}))
    assert "conflict" not in same["results"][0]
    assert other["results"][0]["conflict"] is True


async def test_without_redis_memory_the_log_still_knows_duplicates_and_conflicts(
    ingest: Ingest, redis_url: str
) -> None:
    from redis.asyncio import Redis

    event = campaign_event("a")
    await ingest.post(event)
    async with Redis.from_url(redis_url) as redis:
        await redis.flushdb()
    _, same = await ingest.post([event, campaign_event("b")])
    assert [result["duplicate"] for result in same["results"]] == [True, False]
    async with Redis.from_url(redis_url) as redis:
        await redis.flushdb()
    _, other = await ingest.post({**event, "campaign_id": "another"})
    assert other["results"][0]["conflict"] is True
    assert sorted(ingest.consumers.stats.event_ids) == ["a", "b"]


async def test_parallel_clients_with_the_same_events_store_each_once(ingest: Ingest) -> None:
    events = [campaign_event(f"e{n}") for n in range(300)]
    answers = await asyncio.gather(*(ingest.post(events[start:] + events[:start]) for start in range(0, 300, 20)))
    assert sum(answer["accepted"] for _, answer in answers) == 300
    assert sum(answer["duplicates"] for _, answer in answers) == 300 * 14
    assert sorted(ingest.consumers.stats.event_ids) == sorted(str(event["event_id"]) for event in events)
    with psycopg.connect(ingest.database_url) as connection:
        assert connection.execute("SELECT count(*) FROM event").fetchone() == (300,)


async def test_one_bad_event_does_not_spoil_its_neighbours(ingest: Ingest) -> None:
    status, answer = await ingest.post(
        [campaign_event("a"), campaign_event("b", type="nonsense"), 5, campaign_event("c", metadata=7)]
    )
    assert status == 202
    assert [result["status"] for result in answer["results"]] == ["success", "error", "error", "error"]
    assert [sorted(result.get("errors", {})) for result in answer["results"]] == [[], ["type"], ["event"], ["metadata"]]
    assert ingest.consumers.stats.event_ids == ["a"]


async def test_nobody_joins_a_queue_whose_first_has_waited_too_long(ingest: Ingest) -> None:
    held = ["held-0", "held-1", "held-2"]
    async with await psycopg.AsyncConnection.connect(ingest.database_url) as holder:
        for event_id in held:
            await holder.execute(
                "INSERT INTO event (event_key, batch_id, fingerprint, occurred_at, received_at, event_id, type)"
                " VALUES (%s, gen_random_uuid(), 0, now(), now(), %s, 'click')",
                (event_key(event_id).hex(), event_id),
            )
        waiting = [asyncio.ensure_future(ingest.post(campaign_event(event_id))) for event_id in held]
        refused: grpc.aio.AioRpcError | None = None
        deadline = time.monotonic() + 15
        while refused is None:
            assert time.monotonic() < deadline, "everybody may join"
            try:
                await asyncio.wait_for(ingest.post(campaign_event("late")), 0.3)
            except TimeoutError:
                continue
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    refused = error
        assert refused.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        await holder.rollback()
    await asyncio.gather(*waiting, return_exceptions=True)
