"""Reflection, background loops, limits and the end of a running server."""

from __future__ import annotations

import asyncio
import contextlib
import struct
import time
from collections.abc import Callable

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue
from grpc_reflection.v1alpha import reflection_pb2

from dmp_chassis.client import channel
from dmp_chassis.server import Parts, run_server, start_server
from tests.chassis.echo_service import API, SERVICE, EchoServicer, call, failure, health_of, serving
from tests.conditions import eventually

# One event loop for all of them: grpc.aio's poller belongs to the process and outlives the loop of a single test.
pytestmark = pytest.mark.asyncio(loop_scope="session")


async def echo(request: StringValue, context: object) -> StringValue:
    return request


async def test_health_follows_the_checks_of_the_dependencies() -> None:
    away = False

    async def check() -> None:
        if away:
            raise ConnectionRefusedError("away")

    checks = {"postgres": check, "redis": check}
    async with serving({"M": echo}, checks=checks, degrading=["redis"]) as (_, to_server):
        assert await health_of(to_server, SERVICE) == "SERVING"
        away = True

        async def is_down() -> bool:
            return await health_of(to_server, SERVICE) == "NOT_SERVING"

        await eventually(is_down)
        assert await health_of(to_server, "dependency.redis") == "NOT_SERVING"


async def test_reflection_lists_the_services() -> None:
    async with serving({"M": echo}) as (_, to_server):
        ask: grpc.aio.StreamStreamMultiCallable[
            reflection_pb2.ServerReflectionRequest, reflection_pb2.ServerReflectionResponse
        ] = to_server.stream_stream(
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
            reflection_pb2.ServerReflectionRequest.SerializeToString,
            reflection_pb2.ServerReflectionResponse.FromString,
        )
        (answer,) = [each async for each in ask(iter([reflection_pb2.ServerReflectionRequest(list_services="")]))]
        names = {service.name for service in answer.list_services_response.service}
    assert names == {SERVICE, "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"}


async def test_a_message_of_64_mebibytes_passes_and_one_over_the_limit_is_refused() -> None:
    async def length(request: StringValue, context: object) -> StringValue:
        return StringValue(value=str(len(request.value)))

    async with serving({"Length": length}) as (running, to_server):
        assert await call(to_server, "Length", "x" * (64 << 20), timeout=30) == [str(64 << 20)]
        options = [("grpc.max_send_message_length", 80 << 20)]
        async with grpc.aio.insecure_channel(f"127.0.0.1:{running.port}", options=options) as generous:
            error = await failure(generous, "Length", "x" * (73 << 20))
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def _raise_error() -> None:
    raise RuntimeError("the loop died")


@pytest.mark.parametrize(
    "make_loop",
    [
        pytest.param(_raise_error, id="raises"),
        pytest.param(lambda: asyncio.sleep(0), id="returns"),
    ],
)
async def test_the_end_of_a_background_loop_is_a_failure(make_loop: Callable[[], asyncio.Future[None]]) -> None:
    async with serving({"M": echo}, background=[make_loop]) as (running, _):
        async with asyncio.timeout(20):
            with pytest.raises(ExceptionGroup) as raised:
                await running.failed()
    assert raised.group_contains(RuntimeError)


async def test_a_server_whose_loop_dies_ends_in_order_and_raises() -> None:
    steps: list[str] = []

    async def die() -> None:
        raise RuntimeError("the loop died")

    async def flush() -> None:
        steps.append("flush")

    async def close() -> None:
        steps.append("close")

    with pytest.raises(ExceptionGroup) as raised:
        await run_server(
            API,
            Parts(
                servicer=EchoServicer({"M": echo}),
                background=[die],
                on_stop=[flush],
                on_close=[close],
            ),
            listen="127.0.0.1:0",
            drain_seconds=0,
        )
    assert raised.group_contains(RuntimeError, match="the loop died")
    assert steps == ["flush", "close"]


async def test_closing_lets_running_calls_finish_and_refuses_new_ones() -> None:
    arrived, release = asyncio.Event(), asyncio.Event()

    async def hold(request: StringValue, context: object) -> StringValue:
        arrived.set()
        await release.wait()
        return request

    async with serving({"Hold": hold, "M": echo}) as (running, to_server):
        held = asyncio.ensure_future(call(to_server, "Hold", "kept"))
        await arrived.wait()
        closing = asyncio.ensure_future(running.close(end_seconds=60))

        async def refuses() -> bool:
            async with channel(running.address) as another:
                try:
                    await call(another, "M", timeout=1)
                except grpc.aio.AioRpcError as error:
                    return error.code() in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}
                return False

        await eventually(refuses)
        assert not closing.done()
        release.set()
        assert await held == ["kept"]
        await closing


async def test_the_loops_run_until_everything_is_flushed_and_end_before_anything_is_closed() -> None:
    steps: list[str] = []
    looping = asyncio.Event()

    async def loop() -> None:
        looping.set()
        try:
            await asyncio.Event().wait()
        finally:
            steps.append("loop ends")

    async def flush() -> None:
        steps.append("flush")

    async def break_down() -> None:
        raise OSError("a callback that fails does not keep the others from running")

    async def close() -> None:
        steps.append("close")

    running = await start_server(
        API,
        Parts(
            servicer=EchoServicer({"M": echo}),
            background=[loop],
            on_stop=[break_down, flush],
            on_close=[close],
        ),
    )
    await looping.wait()
    await asyncio.gather(running.close(), running.close())
    assert steps == ["flush", "loop ends", "close"]


async def test_a_loop_that_takes_its_cancellation_for_an_error_is_cancelled_again() -> None:
    looping = asyncio.Event()
    ends: list[str] = []

    async def loop() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            looping.set()
            await asyncio.Event().wait()
        try:
            await asyncio.Event().wait()
        finally:
            ends.append("loop")

    running = await start_server(
        API,
        Parts(
            servicer=EchoServicer({"M": echo}),
            background=[loop],
        ),
    )
    await looping.wait()
    await running.close()
    assert ends == ["loop"]


async def test_what_does_not_end_is_cut_short_so_that_the_end_takes_no_longer_than_promised() -> None:
    closed: list[str] = []
    arrived = asyncio.Event()

    async def for_ever(*_: object) -> StringValue:
        arrived.set()
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    async def loop() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(3.0)  # longer than the end may take

    async def flush() -> None:
        await for_ever()

    async def close() -> None:
        closed.append("close")

    running = await start_server(
        API,
        Parts(
            servicer=EchoServicer({"Hold": for_ever}),
            background=[loop],
            on_stop=[flush, flush],
            on_close=[close],
        ),
    )
    async with channel(running.address) as to_server:
        held = asyncio.ensure_future(call(to_server, "Hold", timeout=30))
        await arrived.wait()
        begun = time.monotonic()
        await running.close(end_seconds=1.0)
        assert time.monotonic() - begun < 1.25
        with pytest.raises(grpc.aio.AioRpcError):
            await held
    assert closed == ["close"]


async def test_frequent_pings_of_an_idle_peer_are_answered() -> None:
    """By default gRPC ends a connection after a few pings without data: the gateway's would be too many."""
    frame = struct.Struct(">HBBBL")  # the length is 24 bits: its upper 16, its lower 8; type, flags, stream
    async with serving({"M": echo}) as (running, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame.pack(0, 0, 4, 0, 0))
        for _round in range(20):
            writer.write((frame.pack(0, 8, 6, 0, 0) + bytes(8)) * 5)
            answered = 0
            async with asyncio.timeout(20):
                while answered < 5:
                    upper, lower, kind, flags, _stream = frame.unpack(await reader.readexactly(frame.size))
                    payload = await reader.readexactly(upper << 8 | lower)
                    assert kind != 7, f"the connection was ended: {payload!r}"
                    answered += kind == 6 and flags == 1
        writer.close()
        await writer.wait_closed()
