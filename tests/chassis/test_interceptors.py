"""What a caller sees of errors, over a real connection and for all four kinds of RPC."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import grpc
import psycopg
import pytest
import redis.asyncio
import sqlalchemy as sa
from google.protobuf.wrappers_pb2 import StringValue
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from dmp_chassis.call_ids import request_id, trace_id
from dmp_chassis.client import channel
from dmp_chassis.database import Database
from dmp_chassis.errors import ErrorSpec
from dmp_chassis.violations import InvalidArgument, Violation
from tests.chassis.echo_service import (
    API,
    DOMAIN,
    KINDS,
    SERVICE,
    UNPARSEABLE,
    call,
    failure,
    health_of,
    open_stream,
    serving,
)
from tests.chassis.guarded_handlers import (
    ECHOES,
    SECRET,
    TABLE,
    QueueFull,
    complaints,
    echo,
    everything_in,
    info_of,
    raising,
)
from tests.conditions import eventually

# One event loop for all of them: grpc.aio's poller belongs to the process and outlives the loop of a single test.
pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.parametrize("kind", KINDS)
async def test_calls_that_succeed_are_left_alone(kind: str) -> None:
    async with serving({"M": ECHOES[kind]}, kind) as (_, to_server):
        assert await call(to_server, "M", "hello", kind=kind) == ["hello"]
        assert await call(to_server, "M", "again", kind=kind) == ["again"]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_domain_error_becomes_its_status_with_details_and_headers(kind: str) -> None:
    async with serving({"M": raising(lambda: QueueFull(waiting=9), kind)}, kind, api=replace(API, errors=TABLE)) as (
        _,
        to_server,
    ):
        error = await failure(to_server, "M", kind=kind)
    assert (error.code(), error.details()) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "9 are waiting")
    info = info_of(error)
    assert (info.reason, info.domain, dict(info.metadata)) == ("QUEUE_FULL", DOMAIN, {"waiting": "9"})
    initial = error.initial_metadata()
    assert initial["x-http-status"] == "422"
    assert initial["retry-after"] == "3"


@pytest.mark.parametrize("kind", KINDS)
async def test_an_unknown_error_tells_the_caller_a_request_id_and_the_log_everything(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving({"M": raising(lambda: RuntimeError(SECRET), kind)}, kind) as (_, to_server):
        error = await failure(to_server, "M", kind=kind, metadata=[("x-request-id", "request-1")])
    assert (error.code(), error.details()) == (grpc.StatusCode.INTERNAL, "internal error")
    assert SECRET not in everything_in(error)
    assert "RuntimeError" not in everything_in(error)
    assert dict(info_of(error).metadata) == {"request_id": "request-1"}
    (record,) = complaints(caplog)
    assert vars(record)["request_id"] == "request-1"
    assert vars(record)["method"] == f"/{SERVICE}/M"
    assert record.exc_info is not None
    assert SECRET in str(record.exc_info[1])


async def test_an_unknown_error_gets_a_request_id_when_the_caller_gave_none(caplog: pytest.LogCaptureFixture) -> None:
    async with serving({"M": raising(lambda: RuntimeError(SECRET), "unary_unary")}) as (_, to_server):
        error = await failure(to_server, "M")
    request_id = info_of(error).metadata["request_id"]
    assert len(request_id) == 36
    assert [vars(record)["request_id"] for record in complaints(caplog)] == [request_id]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_request_that_cannot_be_parsed_is_an_invalid_argument(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving({"M": ECHOES[kind]}, kind) as (_, to_server):
        error = await failure(to_server, "M", UNPARSEABLE, kind=kind)
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error.details() == "the request is not a valid message of its type"
    assert info_of(error).reason == "INVALID_ARGUMENT"
    assert not complaints(caplog)


async def test_a_handler_that_reads_its_stream_by_hand_gets_the_same_guard() -> None:
    async def read_one(_: object, context: grpc.aio.ServicerContext[Any, Any]) -> StringValue:
        request: StringValue = await context.read()
        return request

    async with serving({"M": read_one}, "stream_unary") as (_, to_server):
        assert await call(to_server, "M", "hello", kind="stream_unary") == ["hello"]
        error = await failure(to_server, "M", UNPARSEABLE, kind="stream_unary")
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_handler_that_writes_its_responses_by_hand_is_guarded() -> None:
    async def write(request: StringValue, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        await context.write(request)
        raise QueueFull(waiting=1)

    async with serving({"M": write}, "unary_stream", api=replace(API, errors=TABLE)) as (_, to_server):
        error = await failure(to_server, "M", "hello", kind="unary_stream")
    assert error.details() == "1 are waiting"


@pytest.mark.parametrize("kind", KINDS)
async def test_a_handlers_own_abort_passes_untouched(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    async def abort(context: grpc.aio.ServicerContext[Any, Any]) -> None:
        await context.abort(grpc.StatusCode.NOT_FOUND, "not here")

    async def unary(request: object, context: grpc.aio.ServicerContext[Any, Any]) -> StringValue:
        await abort(context)
        return StringValue()

    async def stream(request: object, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[StringValue]:
        await abort(context)
        yield StringValue()

    method: Callable[..., Any] = stream if kind.endswith("stream") else unary
    async with serving({"M": method}, kind) as (_, to_server):
        error = await failure(to_server, "M", kind=kind)
    assert (error.code(), error.details()) == (grpc.StatusCode.NOT_FOUND, "not here")
    assert not complaints(caplog)


async def test_an_error_out_of_a_task_group_counts_as_itself() -> None:
    async def in_group(coroutine: Any) -> None:  # noqa: ANN401
        async with asyncio.TaskGroup() as group:
            group.create_task(coroutine)

    async def domain_error(request: object, context: object) -> StringValue:
        async def fail() -> None:
            raise QueueFull(waiting=2)

        await in_group(fail())
        return StringValue()

    async def abort(request: object, context: grpc.aio.ServicerContext[Any, Any]) -> StringValue:
        await in_group(context.abort(grpc.StatusCode.NOT_FOUND, "not here"))
        return StringValue()

    async with serving({"Error": domain_error, "Abort": abort}, api=replace(API, errors=TABLE)) as (_, to_server):
        assert (await failure(to_server, "Error")).details() == "2 are waiting"
        assert (await failure(to_server, "Abort")).details() == "not here"


async def test_responses_before_an_error_arrive_and_the_error_after_them() -> None:
    async def two_then_fail(request: object, context: object) -> AsyncIterator[StringValue]:
        yield StringValue(value="1")
        yield StringValue(value="2")
        raise QueueFull(waiting=3)

    async with serving({"M": two_then_fail}, "unary_stream", api=replace(API, errors=TABLE)) as (_, to_server):
        rpc = open_stream(to_server, "M")
        seen: list[str] = []
        with pytest.raises(grpc.aio.AioRpcError, match="3 are waiting"):
            seen.extend([response.value async for response in rpc])
        assert await rpc.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def redis_refused() -> None:
    async with redis.asyncio.Redis(host="127.0.0.1", port=1, retry=Retry(NoBackoff(), 0)) as client:
        await client.get("x")


async def psycopg_refused() -> None:
    await psycopg.AsyncConnection.connect("postgresql://role:hunter2-the-password@127.0.0.1:1/hunter2-the-password")


async def database_refused() -> None:
    database = Database.connect(
        "postgresql://role:hunter2-the-password@127.0.0.1:1/db", pool_size=1, application_name="test"
    )
    try:
        async with database.begin():
            pass
    finally:
        await database.close()


async def service_refused() -> None:
    async with channel("127.0.0.1:1") as to_nobody:
        await call(to_nobody, "M", timeout=2)


@pytest.mark.parametrize(
    ("use", "dependency"),
    [
        (redis_refused, "redis"),
        (psycopg_refused, "postgres"),
        (database_refused, "postgres"),
        (service_refused, "service"),
    ],
)
async def test_a_dependency_that_is_away_is_unavailable_and_says_nothing_else(
    use: Callable[[], Any], dependency: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def method(request: StringValue, context: object) -> StringValue:
        await use()
        return request

    async with serving({"M": method}) as (_, to_server):
        error, *others = [await failure(to_server, "M") for _ in range(3)]
    assert {each.code() for each in (error, *others)} == {grpc.StatusCode.UNAVAILABLE}
    assert error.details() == "something this call needs is unavailable at the moment, please try again"
    assert dict(info_of(error).metadata) == {"dependency": dependency}
    assert error.initial_metadata()["retry-after"] == "1"
    assert SECRET not in everything_in(error)
    assert "127.0.0.1:1" not in everything_in(error).replace(str(error.debug_error_string()), "")
    logged = complaints(caplog)
    assert [vars(record)["dependency"] for record in logged] == [dependency] * 3


def answered(caplog: pytest.LogCaptureFixture) -> list[tuple[str, dict[str, object]]]:
    """Level and data of each line on an answer that was an error."""
    names = ("method", "code", "reason")
    return [
        (record.levelname, {name: vars(record)[name] for name in names})
        for record in caplog.records
        if record.message == "a call was answered with an error"
    ]


@pytest.mark.parametrize(
    ("code", "retry_after_seconds", "level"),
    [
        (grpc.StatusCode.UNAVAILABLE, None, "WARNING"),
        (grpc.StatusCode.DEADLINE_EXCEEDED, None, "WARNING"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, 1.0, "WARNING"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, None, "DEBUG"),
        (grpc.StatusCode.INVALID_ARGUMENT, None, "DEBUG"),
        (grpc.StatusCode.NOT_FOUND, None, "DEBUG"),
        (grpc.StatusCode.ABORTED, 1.0, "DEBUG"),
    ],
)
async def test_an_answer_that_is_our_fault_is_one_warning_and_a_callers_mistake_is_none(
    code: grpc.StatusCode, retry_after_seconds: float | None, level: str, caplog: pytest.LogCaptureFixture
) -> None:
    spec = ErrorSpec(code=code, reason="R", message=SECRET, retry_after_seconds=retry_after_seconds)
    caplog.set_level(logging.DEBUG, "dmp_chassis")
    method = raising(lambda: QueueFull(waiting=9), "unary_unary")
    async with serving({"M": method}, api=replace(API, errors={QueueFull: spec})) as (_, to_server):
        await failure(to_server, "M")
    assert answered(caplog) == [(level, {"method": f"/{SERVICE}/M", "code": code.name, "reason": "R"})]
    assert SECRET not in caplog.text


@pytest.mark.parametrize("kind", KINDS)
async def test_a_line_that_a_handler_logs_has_the_request_id_of_its_call(kind: str) -> None:
    found: list[tuple[str, str]] = []

    def note() -> ValueError:
        found.append((request_id(), trace_id()))
        return ValueError()

    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
    async with serving({"M": raising(note, kind)}, kind) as (_, to_server):
        await failure(to_server, "M", kind=kind, metadata=[("x-request-id", "r-1"), ("traceparent", parent)])
        await failure(to_server, "M", kind=kind)
    assert found == [("r-1", "0af7651916cd43dd8448eb211c80319c"), ("", "")]


async def test_a_mistake_in_a_query_is_not_taken_for_an_outage(database_url: str) -> None:
    database = Database.connect(database_url, pool_size=1, application_name="test")

    async def method(request: StringValue, context: object) -> StringValue:
        async with database.begin() as connection:
            await connection.execute(sa.text("SELECT no_such_column"))
        return request

    async with serving({"M": method}) as (_, to_server):
        error = await failure(to_server, "M")
    await database.close()
    assert (error.code(), error.details()) == (grpc.StatusCode.INTERNAL, "internal error")
    assert "no_such_column" not in everything_in(error)


async def test_thousands_of_violations_still_reach_a_client_with_default_limits() -> None:
    async def method(request: StringValue, context: object) -> StringValue:
        raise InvalidArgument([Violation(field=f"events[{i}].event_id", description="ü" * 200) for i in range(10_000)])

    async with serving({"M": method}) as (running, _), grpc.aio.insecure_channel(running.address) as plain:
        error = await failure(plain, "M")
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert int(info_of(error).metadata["violations_omitted"]) > 9_000


async def test_a_handler_that_would_block_the_event_loop_is_refused() -> None:
    def blocking(request: StringValue, context: object) -> StringValue:
        return request

    async with serving({"M": blocking}) as (_, to_server):
        error = await failure(to_server, "M")
    assert error.code() is grpc.StatusCode.UNKNOWN


async def test_the_access_log_is_at_debug_level_and_leaves_out_health(caplog: pytest.LogCaptureFixture) -> None:
    def logged() -> list[str]:
        return [vars(record)["method"] for record in caplog.records if record.message == "call"]

    async with serving({"M": echo}) as (_, to_server):
        caplog.set_level(logging.INFO, "dmp_chassis")
        await call(to_server, "M")
        assert logged() == []
        caplog.set_level(logging.DEBUG, "dmp_chassis")
        await health_of(to_server, SERVICE)
        await call(to_server, "M")

        async def has_been_logged() -> bool:
            return logged() == [f"/{SERVICE}/M"]

        await eventually(has_been_logged)
