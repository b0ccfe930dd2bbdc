"""Calls that are cancelled, answers that nobody reads to the end, and streams that are too many."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue

from dmp_chassis.interceptors import answers_in_parts
from tests.chassis.echo_service import (
    API,
    KINDS,
    SERVICE,
    call,
    failure,
    open_stream,
    serving,
)
from tests.chassis.guarded_handlers import (
    complaints,
    info_of,
)

# One event loop for all of them: grpc.aio's poller belongs to the process and outlives the loop of a single test.
pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.parametrize("kind", ["unary_unary", "unary_stream"])
async def test_a_cancelled_call_cancels_its_handler_and_is_no_error(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    started, cleaned = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.set()

    async def unary(request: StringValue, context: object) -> StringValue:
        await wait()
        return request

    async def stream(request: StringValue, context: object) -> AsyncGenerator[StringValue]:
        yield request
        await wait()

    method: Callable[..., Any] = unary if kind == "unary_unary" else stream
    async with serving({"M": method}, kind) as (_, to_server):
        make = to_server.unary_unary if kind == "unary_unary" else to_server.unary_stream
        rpc = make(f"/{SERVICE}/M", StringValue.SerializeToString, StringValue.FromString)(StringValue())
        async with asyncio.timeout(20):
            await started.wait()
            rpc.cancel()
            await cleaned.wait()
        assert await call_still_works(to_server)
    assert not complaints(caplog)


async def call_still_works(to_server: grpc.aio.Channel) -> bool:
    error = await failure(to_server, "NoSuchMethod")
    return error.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_response_generator_is_closed_when_its_caller_goes_away() -> None:
    closed = asyncio.Event()

    async def for_ever(request: StringValue, context: object) -> AsyncGenerator[StringValue]:
        try:
            while True:
                yield request
        finally:
            closed.set()

    async with serving({"M": for_ever}, "unary_stream") as (_, to_server):
        rpc = open_stream(to_server, "M")
        await rpc.read()
        rpc.cancel()
        async with asyncio.timeout(20):
            await closed.wait()


@pytest.mark.parametrize("kind", KINDS)
async def test_a_stream_beyond_the_limit_is_refused_until_one_ends(kind: str) -> None:
    opened, released = asyncio.Event(), asyncio.Event()

    async def one(_: object, context: object) -> StringValue:
        opened.set()
        await released.wait()
        return StringValue(value="done")

    async def many(_: object, context: object) -> AsyncIterator[StringValue]:
        yield await one(_, context)

    async with serving({"M": many if kind.endswith("stream") else one}, kind, api=replace(API, max_streams=1)) as (
        _,
        to_server,
    ):
        first = asyncio.ensure_future(call(to_server, "M", kind=kind))
        await opened.wait()
        if kind == "unary_unary":
            second = asyncio.ensure_future(call(to_server, "M", kind=kind))
            released.set()
            assert await second == ["done"]
        else:
            error = await failure(to_server, "M", kind=kind)
            assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert (info_of(error).reason, info_of(error).metadata["limit"]) == ("TOO_MANY_STREAMS", "1")
            released.set()
        assert await first == ["done"]
        assert await call(to_server, "M", kind=kind) == ["done"]


async def test_one_key_leaves_places_to_others() -> None:
    opened, released = asyncio.Semaphore(0), asyncio.Event()

    async def hold(_: object, context: object) -> AsyncIterator[StringValue]:
        opened.release()
        await released.wait()
        yield StringValue(value="done")

    def held_by(key: str) -> asyncio.Task[list[str]]:
        metadata = [("x-internal-caller", key)] if key else []
        return asyncio.ensure_future(call(to_server, "M", kind="unary_stream", metadata=metadata))

    api = replace(API, max_streams=4)
    async with serving({"M": hold}, "unary_stream", api=api) as (_, to_server), asyncio.timeout(20):
        held = [held_by("greedy") for _ in range(3)]
        for _ in held:
            await opened.acquire()
        refused = await failure(to_server, "M", kind="unary_stream", metadata=[("x-internal-caller", "greedy")])
        assert (info_of(refused).reason, info_of(refused).metadata["limit"]) == ("TOO_MANY_STREAMS", "3")
        held.append(held_by("modest"))
        await opened.acquire()
        refused = await failure(to_server, "M", kind="unary_stream", metadata=[("x-internal-caller", "another")])
        assert info_of(refused).metadata["limit"] == "4"
        released.set()
        assert await asyncio.gather(*held) == [["done"]] * 4
        # Without keys there is nobody to tell apart.
        released.clear()
        held = [held_by("") for _ in range(4)]
        for _ in held:
            await opened.acquire()
        released.set()
        assert await asyncio.gather(*held) == [["done"]] * 4


async def test_an_answer_in_parts_takes_no_place_of_a_stream() -> None:
    opened, released = asyncio.Event(), asyncio.Event()

    @answers_in_parts
    async def parts(_: object, context: object) -> AsyncIterator[StringValue]:
        opened.set()
        await released.wait()
        yield StringValue(value="done")

    async with serving({"M": parts}, "unary_stream", api=replace(API, max_streams=0)) as (_, to_server):
        first = asyncio.ensure_future(call(to_server, "M", kind="unary_stream"))
        await opened.wait()
        released.set()
        assert await call(to_server, "M", kind="unary_stream") == ["done"]
        assert await first == ["done"]
