"""Channels that reconnect, and HTTP statuses that travel back."""

from __future__ import annotations

import time
from pathlib import Path

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue

from dmp_chassis.client import channel
from dmp_chassis.http_body import came_through_gateway, json_body, send_http_status
from dmp_chassis.server import Parts, RunningServer, start_server
from tests.chassis.echo_service import API, SERVICE, EchoServicer, call, failure, serving
from tests.conditions import eventually

# One event loop for all of them: grpc.aio's poller belongs to the process and outlives the loop of a single test.
pytestmark = pytest.mark.asyncio(loop_scope="session")


async def echo(request: StringValue, context: object) -> StringValue:
    return request


async def test_a_channel_soon_finds_a_server_that_has_been_away_for_long(tmp_path: Path) -> None:
    """By default the pauses between attempts grow to two minutes; after three seconds they would be that long."""
    address = f"unix:{tmp_path}/s"

    async def start() -> RunningServer:
        return await start_server(API, Parts(servicer=EchoServicer({"M": echo})), listen=address)

    running = await start()
    async with channel(address) as to_server:
        assert await call(to_server, "M", "first") == ["first"]
        await running.close()
        away_until = time.monotonic() + 3
        while time.monotonic() < away_until:
            assert (await failure(to_server, "M")).code() is grpc.StatusCode.UNAVAILABLE
        running = await start()
        came_back = time.monotonic()

        async def answers() -> bool:
            try:
                return await call(to_server, "M", "again") == ["again"]
            except grpc.aio.AioRpcError:
                return False

        await eventually(answers)
        assert time.monotonic() - came_back < 1.8
        await running.close()


async def test_several_addresses_are_used_in_turn_and_who_is_away_is_left_out(tmp_path: Path) -> None:
    addresses = [f"unix:{tmp_path}/{number}" for number in range(3)]
    answered: list[str] = []

    async def start(address: str) -> RunningServer:
        async def name(request: StringValue, context: object) -> StringValue:
            answered.append(address)
            return request

        return await start_server(API, Parts(servicer=EchoServicer({"M": name})), listen=address)

    servers = [await start(address) for address in addresses]
    async with channel(*addresses) as to_them:

        async def all_answer_in_turn() -> bool:
            answered.clear()
            for _ in range(6):
                await call(to_them, "M")
            return answered[:3] == answered[3:] and sorted(answered[:3]) == addresses

        await eventually(all_answer_in_turn)
        await servers[1].close()
        await eventually(lambda: refuses_nothing(to_them, 4))
        assert addresses[1] not in answered[-4:]
        servers[1] = await start(addresses[1])
        await eventually(all_answer_in_turn)
        for server in servers:
            await server.close()
        assert (await failure(to_them, "M")).code() is grpc.StatusCode.UNAVAILABLE


async def refuses_nothing(to_them: grpc.aio.Channel, times: int) -> bool:
    """Whether so many calls, one after another, are answered."""
    try:
        for _ in range(times):
            await call(to_them, "M")
    except grpc.aio.AioRpcError:
        return False
    return True


async def test_an_http_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "grpc_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with serving({"M": echo}) as (_, to_server):
        assert await call(to_server, "M", "direct") == ["direct"]


async def test_an_http_status_travels_as_initial_metadata() -> None:
    async def method(request: StringValue, context: grpc.aio.ServicerContext[StringValue, StringValue]) -> StringValue:
        await send_http_status(context, 202)
        return StringValue(value=str(came_through_gateway(context)))

    async with serving({"M": method}) as (_, to_server):
        rpc: grpc.aio.UnaryUnaryMultiCallable[StringValue, StringValue] = to_server.unary_unary(
            f"/{SERVICE}/M", StringValue.SerializeToString, StringValue.FromString
        )
        native = rpc(StringValue())
        assert (await native).value == "False"
        assert (await native.initial_metadata())["x-http-status"] == "202"
        through_gateway = rpc(StringValue(), metadata=grpc.aio.Metadata(("x-envoy-original-path", "/events")))
        assert (await through_gateway).value == "True"


async def test_a_json_body_says_what_it_is() -> None:
    assert json_body(b"{}").content_type == "application/json"
    assert json_body(b"{}").data == b"{}"
