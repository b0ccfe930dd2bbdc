"""The reference table: whole, changed, by user; the same on every replica; never a mixture."""

from __future__ import annotations

import asyncio

import grpc
import msgspec
import psycopg
import pytest
from google.api import httpbody_pb2
from google.protobuf import timestamp_pb2

from dmp.stats.v1 import stats_service_pb2 as pb
from tests.stats.service import Event, Replica, StatsCluster, batch_of

NOW = 1_770_757_800
TS = "2026-01-01T00:00:00Z"


async def patch(replica: Replica, users: object, ts: str = TS) -> pb.UpdateReferenceUsersJsonResponse:
    data = msgspec.json.encode({"user_metadata": users, "ts": ts})
    response: pb.UpdateReferenceUsersJsonResponse = await replica.stub.UpdateReferenceUsersJson(
        pb.UpdateReferenceUsersJsonRequest(body=httpbody_pb2.HttpBody(data=data))
    )
    return response


async def attributes(replica: Replica, user_id: str) -> dict[str, str] | None:
    try:
        response = await replica.stub.GetReferenceUser(pb.GetReferenceUserRequest(user_id=user_id))
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.NOT_FOUND:
            return None
        raise
    return dict(response.attributes)


async def test_generations_count_replacements_and_an_older_ts_is_stale(cluster: StatsCluster) -> None:
    replica = await cluster.start()
    assert await replica.put_reference({}, "2026-01-02T00:00:00Z") == 1
    assert await replica.put_reference({"u": {}}, "2026-01-02T00:00:00Z") == 2
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await replica.put_reference({}, "2026-01-01T23:59:59.999Z")
    assert raised.value.code() is grpc.StatusCode.ABORTED
    assert await replica.put_reference({}, "2026-01-02T01:00:00+01:00") == 3
    described = await replica.stub.GetReference(pb.GetReferenceRequest())
    assert (described.generation, described.users, described.ts.seconds) == (3, 0, 1_767_312_000)


async def test_without_a_table_everything_is_unknown(cluster: StatsCluster) -> None:
    cluster.clock.now = NOW
    replica = await cluster.start()
    await replica.apply(batch_of([Event(event_id="a", at=NOW, user="u")]))
    assert await replica.metrics() == {
        "window_sec": 300,
        "events_per_sec": 1 / 300,
        "unique_users": 0,
        "unknown": 1,
        "by_plan": {},
        "by_region": {},
        "unknown_users": 1,
        "events": 1,
        "generation": 0,
    }
    assert await attributes(replica, "u") is None
    described = await replica.stub.GetReference(pb.GetReferenceRequest())
    assert (described.generation, described.HasField("ts")) == (0, False)


async def test_a_new_table_relabels_what_is_in_the_window_on_every_replica(cluster: StatsCluster) -> None:
    cluster.clock.now = NOW
    one, two = await cluster.start(), await cluster.start()
    await one.apply(batch_of([Event(event_id=f"{n}", at=NOW - n, user=f"u{n % 3}") for n in range(9)]))
    await one.put_reference({"u0": {"plan": "pro"}, "u1": {"plan": "free", "tier": "gold"}}, TS)
    for replica in (two, one):
        answer = await replica.metrics(group_by=["tier"])
        assert (answer["by_plan"], answer["by_tier"]) == ({"free": 3, "pro": 3}, {"gold": 3})
        assert (answer["unknown"], answer["unique_users"], answer["unknown_users"]) == (3, 2, 1)
    await two.put_reference({"u2": {"plan": "team"}}, TS)
    for replica in (one, two):
        answer = await replica.metrics(group_by=["tier"])
        assert (answer["by_plan"], answer["by_tier"], answer["generation"]) == ({"team": 3}, {}, 2)


async def test_readers_never_see_a_mixture(cluster: StatsCluster) -> None:
    cluster.clock.now = NOW
    replicas = [await cluster.start(), await cluster.start()]
    users = [f"u{number}" for number in range(200)]
    await replicas[0].apply(batch_of([Event(event_id=user, at=NOW, user=user) for user in users]))
    await replicas[0].put_reference({user: {"plan": "g1", "region": "g1"} for user in users}, TS)
    done = asyncio.Event()

    async def read(replica: Replica) -> list[int]:
        seen = []
        while not done.is_set():
            answer = await replica.metrics()
            label = f"g{answer['generation']}"
            assert answer["by_plan"] == answer["by_region"] == {label: 200}
            seen.append(answer["generation"])
        return seen

    readers = [asyncio.ensure_future(read(replica)) for replica in replicas for _ in range(2)]
    for generation in range(2, 20):
        label = {"plan": f"g{generation}", "region": f"g{generation}"}
        assert await replicas[generation % 2].put_reference(dict.fromkeys(users, label), TS) == generation
        for replica in replicas:
            assert (await replica.metrics())["generation"] >= generation
    done.set()
    for seen in await asyncio.gather(*readers):
        assert seen == sorted(seen)


async def test_parallel_replacements_take_turns(cluster: StatsCluster) -> None:
    replicas = [await cluster.start(pool_size=2), await cluster.start(pool_size=2)]
    numbers = await asyncio.gather(*(replicas[n % 2].put_reference({f"u{n}": {}}, TS) for n in range(12)))
    assert sorted(numbers) == list(range(1, 13))
    for replica in replicas:
        assert (await replica.metrics())["generation"] == 12


async def test_a_failed_replacement_leaves_the_old_table(cluster: StatsCluster) -> None:
    cluster.clock.now = NOW
    replica = await cluster.start()
    await replica.apply(batch_of([Event(event_id="a", at=NOW, user="u")]))
    await replica.put_reference({"u": {"plan": "old"}}, TS)
    async with await psycopg.AsyncConnection.connect(cluster.database_url, autocommit=True) as connection:
        await connection.execute("ALTER TABLE domain_event_outbox ADD CONSTRAINT nothing CHECK (false) NOT VALID")
        with pytest.raises(grpc.aio.AioRpcError):
            await replica.put_reference({"u": {"plan": "new"}}, TS)
        assert (await replica.metrics())["by_plan"] == {"old": 1}
        await connection.execute("ALTER TABLE domain_event_outbox DROP CONSTRAINT nothing")
    assert await replica.put_reference({"u": {"plan": "newer"}}, TS) == 2
    assert (await replica.metrics())["by_plan"] == {"newer": 1}


async def test_a_change_leaves_the_others(cluster: StatsCluster) -> None:
    cluster.clock.now = NOW
    one, two = await cluster.start(), await cluster.start()
    await one.put_reference({"a": {"plan": "pro", "region": "eu"}, "b": {"plan": "free"}, "c": {"plan": "x"}}, TS)
    changed = await patch(two, {"a": {"region": None, "tier": 3}, "c": None, "d": {"plan": "new", "region": None}})
    assert (changed.generation, changed.users) == (2, 3)
    three = await cluster.start()
    for replica in (one, two, three):
        assert await attributes(replica, "a") == {"plan": "pro", "tier": "3"}
        assert await attributes(replica, "b") == {"plan": "free"}
        assert await attributes(replica, "c") is None
        assert await attributes(replica, "d") == {"plan": "new"}
        answer = await replica.metrics()
        assert (answer["by_plan"], answer["by_region"]) == ({"free": 0, "new": 0, "pro": 0}, {})
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await patch(one, {}, "2025-12-31T23:59:59Z")
    assert raised.value.code() is grpc.StatusCode.ABORTED


async def test_a_change_needs_no_table_before_it(cluster: StatsCluster) -> None:
    replica = await cluster.start()
    assert (await patch(replica, {"a": {"plan": "pro"}, "gone": None})).generation == 1
    assert await attributes(await cluster.start(), "a") == {"plan": "pro"}


async def test_many_changes_are_folded_into_a_whole_table(cluster: StatsCluster) -> None:
    one, two = await cluster.start(), await cluster.start()
    await one.put_reference({"stays": {"plan": "pro", "region": "eu"}, "goes": {}}, TS)
    await patch(two, {"goes": None})
    for number in range(60):
        await patch((one, two)[number % 2], {f"u{number % 7}": {"plan": f"p{number}"}})
    async with await psycopg.AsyncConnection.connect(cluster.database_url) as connection:
        row = await (await connection.execute("SELECT count(*), count(DISTINCT base) FROM reference_chunk")).fetchone()
    assert row is not None
    assert row[0] < 30
    assert row[1] == 1
    for replica in (one, two, await cluster.start()):
        assert await attributes(replica, "stays") == {"plan": "pro", "region": "eu"}
        assert await attributes(replica, "goes") is None
        assert await attributes(replica, "u3") == {"plan": "p59"}
        assert await attributes(replica, "u4") == {"plan": "p53"}


async def test_a_stream_replaces_the_table(cluster: StatsCluster) -> None:
    replica = await cluster.start()

    async def parts() -> object:
        yield pb.ReplaceReferenceUsersRequest(
            ts=timestamp_pb2.Timestamp(seconds=NOW),
            users={"a": pb.ReferenceUser(attributes={"plan": "old"}), "b": pb.ReferenceUser()},
        )
        yield pb.ReplaceReferenceUsersRequest(users={"a": pb.ReferenceUser(attributes={"plan": "new"})})

    response = await replica.stub.ReplaceReferenceUsers(parts())
    assert (response.generation, response.users) == (1, 2)
    assert await attributes(replica, "a") == {"plan": "new"}
    assert await attributes(replica, "b") == {}


async def test_a_large_table_is_read_elsewhere_while_others_are_answered(cluster: StatsCluster) -> None:
    cluster.clock.now = NOW
    replica = await cluster.start()
    await replica.apply(batch_of([Event(event_id="a", at=NOW, user="user-7")]))
    users = {f"user-{n}": {"plan": ("free", "pro")[n % 2], "region": "eu"} for n in range(60_000)}
    put = asyncio.ensure_future(replica.put_reference(users, TS))
    answers = 0
    while not put.done():
        answer = await replica.metrics()
        assert answer["by_plan"] in ({}, {"free": 0, "pro": 1})
        answers += 1
    assert await put == 1
    assert answers > 5
    assert (await replica.metrics())["by_plan"] == {"free": 0, "pro": 1}
    assert await attributes(await cluster.start(), "user-59999") == {"plan": "pro", "region": "eu"}


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b"", "body"),
        (b"{", "body"),
        (b"[]", "body"),
        (b"null", "body"),
        (b"\xff\xfe", "body"),
        (b'{"user_metadata": {"u": {"plan": "\\ud800"}}, "ts": "2026-01-01T00:00:00Z"}', "body"),
        (b'{"user_metadata": ' + b'{"a":' * 20_000 + b"1" + b"}" * 20_000 + b', "ts": "2026-01-01T00:00:00Z"}', "body"),
        (b"{}", "ts"),
        (b"{}", "user_metadata"),
        (b'{"user_metadata": {}, "ts": "2026-01-01"}', "ts"),
        (b'{"user_metadata": [], "ts": "2026-01-01T00:00:00Z"}', "user_metadata"),
        (b'{"user_metadata": {"u": 1}, "ts": "2026-01-01T00:00:00Z"}', "user_metadata.u"),
        (b'{"user_metadata": {"u": null}, "ts": "2026-01-01T00:00:00Z"}', "user_metadata.u"),
        (b'{"user_metadata": {"u": {"plan": [1]}}, "ts": "2026-01-01T00:00:00Z"}', "user_metadata.u.plan"),
        (b'{"user_metadata": {"u": {"plan": "a\\u0000"}}, "ts": "2026-01-01T00:00:00Z"}', "user_metadata.u.plan"),
        (b'{"user_metadata": {"u": {"n": 1e999}}, "ts": "2026-01-01T00:00:00Z"}', "user_metadata.u"),
        (b'{"user_metadata": {"": {}}, "ts": "2026-01-01T00:00:00Z"}', "user_metadata."),
        (b'{"user_metadata": {"u": {"' + b"n" * 65 + b'": "x"}}, "ts": "2026-01-01T00:00:00Z"}', "nnnn"),
        (b'{"user_metadata": {"' + b"u" * 256 + b'": {}}, "ts": "2026-01-01T00:00:00Z"}', "uuuu"),
    ],
)
async def test_bad_bodies_are_named(cluster: StatsCluster, body: bytes, named: str) -> None:
    replica = await cluster.start()
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await replica.put_body(body)
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert named in str(raised.value.details())


async def test_scalars_are_read_as_their_text_and_the_last_of_two_counts(cluster: StatsCluster) -> None:
    replica = await cluster.start()
    await replica.put_body(
        b'{"ts": "2026-01-01T00:00:00Z", "user_metadata": {"u": {"plan": "first"},'
        b' "u": {"plan": "a", "plan": 7, "vip": true, "score": 1.5, "none": null}}}'
    )
    assert await attributes(replica, "u") == {"plan": "7", "vip": "true", "score": "1.5"}
