"""Users who are forgotten are in no table and no window of any replica, and their events stay counted."""

from __future__ import annotations

import time
import zlib

import grpc
import psycopg
import pytest
from google.api import httpbody_pb2

from dmp.stats.v1 import stats_service_pb2 as pb
from tests.stats.service import Event, Replica, StatsCluster, batch_of


async def forget(replica: Replica, *user_ids: str) -> pb.ForgetUsersResponse:
    """Forgets users."""
    response: pb.ForgetUsersResponse = await replica.stub.ForgetUsers(pb.ForgetUsersRequest(user_ids=user_ids))
    return response


async def started(cluster: StatsCluster) -> list[Replica]:
    """Two replicas."""
    return [await cluster.start() for _ in range(2)]


def stored(database_url: str, text: str) -> list[str]:
    """The tables that hold the text anywhere, packed payloads included."""
    with psycopg.connect(database_url) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        return [
            table
            for (table,) in tables
            for row in connection.execute(f"SELECT * FROM {table}".encode()).fetchall()  # noqa: S608  # names of tables
            if any(text.encode() in _bytes(column) for column in row)
        ]


def _bytes(column: object) -> bytes:
    if isinstance(column, bytes):
        return column + (zlib.decompress(column) if column[:1] == b"\x78" else b"")
    return str(column).encode()


async def test_a_forgotten_user_is_in_no_table_and_no_replica(cluster: StatsCluster, stats_database_url: str) -> None:
    first, second = two_replicas = await started(cluster)
    now = time.time()
    await first.put_reference(
        {"jane-doe": {"plan": "jane-only", "region": "eu"}, "u2": {"plan": "pro"}}, "2026-01-01T00:00:00Z"
    )
    await first.apply(batch_of([Event(event_id="1", at=now, user="jane-doe"), Event(event_id="2", at=now, user="u2")]))
    await second.apply(batch_of([Event(event_id="3", at=now, user="jane-doe"), Event(event_id="4", at=now, user="x")]))
    for replica in two_replicas:
        before = await replica.metrics(300)
        assert (before["unknown"], before["unique_users"], before["unknown_users"]) == (1, 2, 1)
    answer = await forget(second, "jane-doe", "nobody")
    assert (answer.batches, answer.generation) == (2, 2)
    for replica in two_replicas:
        after = await replica.metrics(300)
        assert (after["unknown"], after["unique_users"], after["unknown_users"]) == (3, 1, 2)
        assert after["generation"] == 2
        assert after["by_plan"] == {"pro": 1}
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await replica.stub.GetReferenceUser(pb.GetReferenceUserRequest(user_id="jane-doe"))
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    for text in ("jane-doe", "jane-only"):
        assert stored(stats_database_url, text) == []
    assert (await forget(first, "jane-doe", "nobody")).generation == 0


async def test_no_piece_of_a_change_names_a_forgotten_user(cluster: StatsCluster, stats_database_url: str) -> None:
    first, second = await started(cluster)
    await first.put_reference({"jane-doe": {"plan": "jane-only"}, "u2": {"plan": "pro"}}, "2026-01-01T00:00:00Z")
    body = httpbody_pb2.HttpBody(data=b'{"user_metadata": {"jane-doe": null}, "ts": "2026-01-02T00:00:00Z"}')
    await first.stub.UpdateReferenceUsersJson(pb.UpdateReferenceUsersJsonRequest(body=body))
    assert "reference_chunk" in stored(stats_database_url, "jane-doe")
    assert (await forget(second, "jane-doe")).generation == 3
    assert stored(stats_database_url, "jane-doe") == []
    response = await first.stub.GetReferenceUser(pb.GetReferenceUserRequest(user_id="u2"))
    assert dict(response.attributes) == {"plan": "pro"}


async def test_what_comes_after_is_counted_and_shown_as_it_is(cluster: StatsCluster) -> None:
    first, second = two_replicas = await started(cluster)
    now = time.time()
    await first.apply(batch_of([Event(event_id="1", at=now, user="jane-doe")]))
    await second.metrics(300)
    await forget(first, "jane-doe")
    await second.apply(batch_of([Event(event_id="2", at=now, user="jane-doe")]))
    for replica in two_replicas:
        metrics = await replica.metrics(300)
        assert (metrics["unknown"], metrics["unknown_users"]) == (2, 2)
    await first.put_reference({"jane-doe": {"plan": "pro"}}, "2026-01-01T00:00:00Z")
    for replica in two_replicas:
        assert (await replica.metrics(300))["by_plan"] == {"pro": 1}


@pytest.mark.parametrize("user_ids", [[], [""], [f"u{n}" for n in range(1001)]])
async def test_wrong_requests_are_refused(cluster: StatsCluster, user_ids: list[str]) -> None:
    replica = await cluster.start()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await forget(replica, *user_ids)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
