"""What the reference table refuses before it costs anything: width, time, a second large body at once."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import grpc
import msgspec
import psutil
import pytest
from google.api import httpbody_pb2
from google.protobuf import timestamp_pb2

from dmp.stats.v1 import stats_service_pb2 as pb
from dmp_chassis.violations import InvalidArgument
from dmp_stats.api.reference_body import ReadTask
from dmp_stats.api.reference_reader import read_elsewhere
from dmp_stats.domain.reference_limits import check_size
from tests.stats.service import Replica, StatsCluster

NOW = 1_770_757_800
TS = "2026-01-01T00:00:00Z"
IN_A_DAY = "2026-02-11T21:10:00Z"
GZIP = (("x-internal-content-encoding", "gzip"),)


def request(data: bytes) -> pb.ReplaceReferenceUsersJsonRequest:
    return pb.ReplaceReferenceUsersJsonRequest(body=httpbody_pb2.HttpBody(data=data))


async def patch(replica: Replica, users: object, ts: str = TS) -> pb.UpdateReferenceUsersJsonResponse:
    body = httpbody_pb2.HttpBody(data=msgspec.json.encode({"user_metadata": users, "ts": ts}))
    response: pb.UpdateReferenceUsersJsonResponse = await replica.stub.UpdateReferenceUsersJson(
        pb.UpdateReferenceUsersJsonRequest(body=body)
    )
    return response


async def stream(replica: Replica, names: int, seconds: int = NOW) -> pb.ReplaceReferenceUsersResponse:
    async def parts() -> AsyncIterator[pb.ReplaceReferenceUsersRequest]:
        yield pb.ReplaceReferenceUsersRequest(ts=timestamp_pb2.Timestamp(seconds=seconds))
        for name in range(names):
            user = pb.ReferenceUser(attributes={f"name-{name}": "x"})
            yield pb.ReplaceReferenceUsersRequest(users={f"u-{name}": user})

    response: pb.ReplaceReferenceUsersResponse = await replica.stub.ReplaceReferenceUsers(parts())
    return response


def own_names(users: int, each: int) -> dict[str, dict[str, str]]:
    return {f"u-{user}": {f"name-{user}-{number}": "x" for number in range(each)} for user in range(users)}


@pytest.mark.parametrize("users", [5, 2_000])
async def test_a_table_with_too_many_attribute_names_is_refused_at_little_cost(
    cluster: StatsCluster, users: int
) -> None:
    cluster.clock.now = NOW
    replica = await cluster.start()
    before = psutil.Process().memory_info().rss
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await replica.put_reference(own_names(users, 64), TS)
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "user_metadata must have at most 256 different attribute names" in str(raised.value.details())
    assert psutil.Process().memory_info().rss - before < 100 * 1024 * 1024
    assert await replica.put_reference(own_names(4, 64), TS) == 1


async def test_a_stream_with_too_many_attribute_names_is_refused(cluster: StatsCluster) -> None:
    cluster.clock.now = NOW
    replica = await cluster.start()
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await stream(replica, 257)
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "256 different attribute names" in str(raised.value.details())
    assert (await stream(replica, 256)).users == 256


async def test_changes_make_no_table_too_wide_and_names_that_nobody_has_do_not_count(cluster: StatsCluster) -> None:
    cluster.clock.now = NOW
    replica = await cluster.start()
    await replica.put_reference(own_names(4, 64), TS)
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await patch(replica, {"u-9": {"one-more": "x"}})
    assert "256 different attribute names" in str(raised.value.details())
    await patch(replica, {"u-0": None})
    assert (await patch(replica, {"u-9": {"one-more": "x"}})).users == 4


def test_users_times_names_are_bounded() -> None:
    check_size(users=1_000_000, names=50)
    check_size(users=195_312, names=256)
    for users, names in ((1_000_001, 50), (195_313, 256), (1, 257)):
        with pytest.raises(InvalidArgument):
            check_size(users=users, names=names)


@pytest.mark.parametrize("users", [1, 20_000])
@pytest.mark.parametrize("ts_first", [True, False])
async def test_the_time_is_judged_before_the_users_are_read(cluster: StatsCluster, users: int, ts_first: bool) -> None:
    cluster.clock.now = NOW
    replica = await cluster.start()
    await replica.put_reference({}, TS)
    wrong: dict[str, object] = {f"user-{number}": 5 for number in range(users)}
    for ts, code in (
        ("2025-12-31T23:59:59Z", grpc.StatusCode.ABORTED),
        ("2026-02-11T21:10:00.000001Z", grpc.StatusCode.INVALID_ARGUMENT),
        ("2999-01-01T00:00:00Z", grpc.StatusCode.INVALID_ARGUMENT),
    ):
        body = {"ts": ts, "user_metadata": wrong} if ts_first else {"user_metadata": wrong, "ts": ts}
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await replica.put_body(json.dumps(body).encode())
        assert raised.value.code() is code
        assert "user-" not in str(raised.value.details())
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await patch(replica, wrong, ts)
        assert raised.value.code() is code
    assert await replica.put_reference({}, IN_A_DAY) == 2


@pytest.mark.parametrize(
    ("seconds", "code"), [(0, grpc.StatusCode.ABORTED), (NOW + 86_401, grpc.StatusCode.INVALID_ARGUMENT)]
)
async def test_the_time_of_a_stream_is_judged_at_its_first_message(
    cluster: StatsCluster, seconds: int, code: grpc.StatusCode
) -> None:
    cluster.clock.now = NOW
    replica = await cluster.start()
    await replica.put_reference({}, TS)
    call = replica.stub.ReplaceReferenceUsers()
    await call.write(pb.ReplaceReferenceUsersRequest(ts=timestamp_pb2.Timestamp(seconds=seconds)))
    # The caller has not said that it is done: the answer does not wait for it.
    async with asyncio.timeout(10):
        assert await call.code() is code


@pytest.mark.parametrize("packed", [False, True])
async def test_one_large_body_is_read_at_a_time(cluster: StatsCluster, packed: bool) -> None:
    cluster.clock.now = NOW
    replica = await cluster.start()
    users = {f"user-{number}": {"plan": "pro"} for number in range(60_000)}
    data = msgspec.json.encode({"user_metadata": users, "ts": TS})
    calls = [
        replica.stub.ReplaceReferenceUsersJson(
            request(gzip.compress(data) if packed else data), metadata=GZIP if packed else ()
        )
        for _ in range(4)
    ]
    small = replica.put_reference({}, "2025-01-01T00:00:00Z")
    codes = await asyncio.gather(*(call.code() for call in calls), asyncio.ensure_future(small))
    assert sorted(str(code) for code in codes[:4]) == [
        "StatusCode.OK",
        *["StatusCode.RESOURCE_EXHAUSTED"] * 3,
    ]
    refused = calls[codes.index(grpc.StatusCode.RESOURCE_EXHAUSTED)]
    assert {("x-http-status", "429"), ("retry-after", "2")} <= set(await refused.initial_metadata())
    assert await replica.put_body(data) > 1


async def test_an_operator_resets_the_clock_of_the_table(cluster: StatsCluster) -> None:
    cluster.clock.now = 32_472_144_000  # the year 2999: what an earlier build has taken
    first, second = await cluster.start(), await cluster.start()
    await first.put_reference({"u": {"plan": "pro"}}, "2999-01-01T00:00:00Z")
    cluster.clock.now = NOW
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await first.put_reference({}, TS)
    assert raised.value.code() is grpc.StatusCode.ABORTED

    def command() -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "DMP_STATS_DATABASE_URL": cluster.database_url}
        arguments = [sys.executable, "-m", "dmp_stats", "reset-reference-clock"]
        return subprocess.run(arguments, env=environment, capture_output=True, text=True, check=False)

    done = await asyncio.to_thread(command)
    assert (done.returncode, done.stdout) == (0, "generation 2 of 1970-01-01T00:00:00Z, 1 users\n"), done.stderr
    for replica in (first, second):
        kept = await replica.stub.GetReferenceUser(pb.GetReferenceUserRequest(user_id="u"))
        assert (dict(kept.attributes), kept.generation, kept.ts.seconds) == ({"plan": "pro"}, 2, 0)
    assert await second.put_reference({}, TS) == 3
    told = (await first.stub.ListActions(pb.ListActionsRequest())).actions
    assert [(act.kind, act.actor, act.refs["generation"]) for act in told] == [
        ("replace_reference", "-", "3"),
        ("reset_reference_clock", "operator", "2"),
        ("replace_reference", "-", "1"),
    ]


@pytest.mark.parametrize("users", [400_000, 10])
async def test_the_process_that_reads_a_body_has_a_bound_of_memory(users: int) -> None:
    data = json.dumps({"ts": TS, "user_metadata": {f"user-{n:030}": {"plan": f"p{n}"} for n in range(users)}}).encode()
    task = ReadTask(
        is_gzip=False,
        is_change=False,
        most_users=2_000_000,
        oldest=None,
        latest=datetime(2100, 1, 1, tzinfo=UTC),
        memory_bytes=192 * 1024 * 1024,
    )
    if users > 10:
        with pytest.raises(InvalidArgument) as raised:
            await read_elsewhere(data, task)
        assert [violation.field for violation in raised.value.violations] == ["user_metadata"]
    else:
        assert (await read_elsewhere(data, task)).users == users
