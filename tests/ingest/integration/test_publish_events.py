"""Events through a running ingest: stored once, handed over once, answered in order."""

from __future__ import annotations

import asyncio
import json
import time
from functools import partial

import grpc
import psycopg
import pytest

from dmp.ingest.v1 import event_pb2
from dmp.ingest.v1 import ingest_service_pb2 as pb
from dmp_chassis.database import Database
from dmp_ingest.adapters.event_store import EventLog
from dmp_ingest.adapters.group_writer import GroupWriter
from dmp_ingest.domain.duplicate import Verdict
from dmp_ingest.domain.event_key import event_key
from dmp_ingest.judge_group import judge_group
from dmp_ingest.store_group import StoredGroup
from tests.conditions import eventually
from tests.ingest.conftest import Ingest, campaign_event
from tests.ingest.events import accepted, campaign


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
        waiting = []
        for number, event_id in enumerate(held):
            # Each committer has one of the first two, a group of its own.
            await eventually(partial(_groups_wait, ingest.database_url, number))
            waiting.append(asyncio.ensure_future(ingest.post(campaign_event(event_id))))
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


async def _groups_wait(database_url: str, count: int) -> bool:
    """Whether so many groups wait for somebody else's transaction."""
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        cursor = await connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return await cursor.fetchone() == (count,)


HUGE = b"1" * 400
STRANGE = b'{"x": 1e400, "y":' + HUGE + b',"z" : [1.50, -0.0, 1e-999], "t":true, "big":9007199254740993}'


def with_metadata(event_id: str, metadata: bytes) -> bytes:
    event = campaign_event(event_id, occurred_at="2026-02-10T21:10:00Z", metadata="@")
    return json.dumps(event).encode().replace(b'"@"', metadata)


async def test_a_number_beyond_every_float_spoils_no_other_event(ingest: Ingest) -> None:
    await ingest.post(with_metadata("p1", b'{"x":1}'))
    for number in (b"1e400", HUGE, b"1" * 5_000, b"-1e99999999999999999999"):
        good = f"good-{number[:8].decode()}-{len(number)}"
        body = b"[" + with_metadata("p1", b'{"x":' + number + b"}") + b"," + json.dumps(campaign_event(good)).encode()
        (status, answer), *others = await asyncio.gather(
            ingest.post(body + b"]"), *(ingest.post(campaign_event(f"{good}-{n}")) for n in range(20))
        )
        assert status == 202
        assert [result.get("conflict", False) for result in answer["results"]] == [True, False]
        assert [result["duplicate"] for result in answer["results"]] == [True, False]
        assert {status for status, _ in others} == {202}


@pytest.mark.parametrize(
    ("first", "again", "is_same"),
    [
        (b'{"a":1,"b":[2]}', b'{ "b" : [2.0], "a" : 10e-1 }', True),
        (b'{"a":1e400}', b'{"a":10e399}', True),
        (b'{"a":' + HUGE + b"}", b'{"a":' + HUGE + b".0}", True),
        (b'{"a":0}', b'{"a":-0.0}', True),
        (b'{"a":"\xc3\xa9"}', b'{"a":"\\u00e9"}', True),
        (b'{"a":1,"a":2}', b'{"a":2}', True),
        (b'{"a":1e400}', b'{"a":2e400}', False),
        (b'{"a":' + HUGE + b"}", b'{"a":' + HUGE[:-1] + b"2}", False),
        (b'{"a":9007199254740993}', b'{"a":9007199254740992}', False),
        (b'{"a":0.1}', b'{"a":0.1000000000000000055511151231257827}', False),
        (b'{"a":1}', b'{"a":true}', False),
        (b'{"a":0}', b'{"a":false}', False),
        (b'{"a":1}', b'{"a":"1"}', False),
        (b'{"a":null}', b"{}", False),
        (b"{}", b"null", False),
    ],
)
async def test_contents_are_compared_as_json_without_floats(
    ingest: Ingest, first: bytes, again: bytes, is_same: bool
) -> None:
    await ingest.post(with_metadata("a", first))
    _, answer = await ingest.post(b"[" + with_metadata("a", again) + b"]")
    assert answer["results"][0].get("conflict", False) is not is_same
    together = b"[" + with_metadata("b", first) + b"," + with_metadata("b", again) + b"]"
    _, answer = await ingest.post(together)
    assert [result.get("conflict", False) for result in answer["results"]] == [False, not is_same]


async def test_metadata_are_given_back_as_they_were_sent(ingest: Ingest) -> None:
    await ingest.post(b"[" + with_metadata("a", STRANGE) + b', {"event_id":5}]')
    request = pb.GetEventRequest(event_id="a")
    rendered = (await ingest.stub.GetEvent(request, metadata=(("x-envoy-original-path", "/events/a"),))).rendered
    assert STRANGE in rendered.data
    typed = (await ingest.stub.GetEvent(request)).event
    assert typed.metadata_json.encode() == STRANGE
    assert not typed.HasField("metadata")
    await ingest.post(with_metadata("b", b'{"n":1e22,"m":12345678901234567890}'))
    typed = (await ingest.stub.GetEvent(pb.GetEventRequest(event_id="b"))).event
    assert dict(typed.metadata) == {"n": 1e22, "m": 12345678901234567890.0}


async def test_nothing_after_the_commit_takes_an_answer_back() -> None:
    """A log that is away when repeated events are to be compared: they count as conflicts, the others as accepted."""
    away = "postgresql://nobody@127.0.0.1:1/nothing"
    database = Database.connect(away, pool_size=1, application_name="test")
    known, new = accepted(campaign(event_id="known")), accepted(campaign(event_id="new"))
    stored = StoredGroup(
        events=[known, new, known],
        firsts={known.key: known, new.key: new},
        stored={known.key: known.fingerprint + 1},
        batch=None,
        accepted=[new],
        unsettled={},
        token=bytes(8),
        epoch=bytes(8),
        disputed=False,
    )
    try:
        verdicts = await judge_group(stored, log=EventLog(database, GroupWriter(away)))
    finally:
        await database.close()
    assert verdicts == [Verdict.CONFLICT, Verdict.ACCEPTED, Verdict.CONFLICT]


@pytest.mark.parametrize("zone", ["Z", "z", "+00:00"])
async def test_an_event_is_the_same_by_json_and_by_grpc(ingest: Ingest, zone: str) -> None:
    await ingest.post(campaign_event("a", occurred_at=f"2026-02-10 21:10:59.999999999{zone}", metadata={"n": 1}))
    event = event_pb2.Event(event_id="a", type="click", campaign_id="camp_1", source="web")
    event.occurred_at.seconds, event.occurred_at.nanos = 1_770_757_859, 999_999_999
    event.metadata.update({"n": 1.0})
    answer = await ingest.stub.PublishEvents(pb.PublishEventsRequest(events=[event]))
    assert answer.results[0].verdict == event_pb2.VERDICT_DUPLICATE


@pytest.mark.parametrize(
    ("seconds", "nanos"),
    [
        (0, -1),
        (0, 1_000_000_000),
        (0, 2**31 - 1),
        (2**62, 0),
        (-(2**62), 0),
        (-62_135_596_800, 0),
        (-62_104_060_801, 999_999_999),
        (253_339_228_800, 0),
        (253_402_300_799, 0),
    ],
)
async def test_a_timestamp_message_outside_its_bounds_is_refused(ingest: Ingest, seconds: int, nanos: int) -> None:
    event = event_pb2.Event(event_id="a", type="click", campaign_id="camp_1", source="web")
    event.occurred_at.seconds, event.occurred_at.nanos = seconds, nanos
    answer = await ingest.stub.PublishEvents(pb.PublishEventsRequest(events=[event]))
    assert [error.field for error in answer.results[0].errors] == ["occurred_at"]


async def test_a_rejected_event_without_an_id_is_given_none(ingest: Ingest) -> None:
    event = {"type": "click", "source": "web", "timestamp": 1, "identifiers": {"email": "a@x.com"}}
    broken: list[dict[str, object]] = [
        {"type": "unheard_of"},
        {"type": 5},
        {"timestamp": "x"},
        {"identifiers": {}},
        {"metadata": []},
    ]
    for wrong in broken:
        for headers in ({}, {"idempotency_key": "k"}):
            _, body = await ingest.post({**event, **wrong}, **headers)
            assert [result["event_id"] for result in body["results"]] == [""], wrong
    answer = await ingest.stub.PublishEvents(
        pb.PublishEventsRequest(
            events=[
                event_pb2.Event(type="unheard_of", source="web", timestamp=1, identifiers={"email": "a@x.com"}),
                event_pb2.Event(type="click", source="web", timestamp=float("nan"), identifiers={"email": "a@x.com"}),
            ],
            idempotency_key="k",
        )
    )
    assert [result.event_id for result in answer.results] == ["", ""]
