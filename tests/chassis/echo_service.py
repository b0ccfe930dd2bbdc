"""A tiny gRPC service for tests: methods of all four kinds over StringValue, made from plain functions."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc
from google.protobuf.wrappers_pb2 import StringValue
from grpc_health.v1 import health_pb2

from dmp_chassis.client import channel
from dmp_chassis.server import Api, Parts, RunningServer, start_server

SERVICE = "dmp.test.v1.Echo"
DOMAIN = "test.dmp"
KINDS = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")
UNPARSEABLE = b"\x0a\x02\xff\xfe"
"""A StringValue whose text is not UTF-8."""

Method = Callable[..., Any]


class EchoServicer:
    """Answers with these methods, all of one kind."""

    def __init__(self, methods: Mapping[str, Method], kind: str = "unary_unary") -> None:
        self._methods = methods
        self._kind = kind

    def add_to(self, server: grpc.aio.Server) -> None:
        """Registers all methods."""
        make = getattr(grpc, f"{self._kind}_rpc_method_handler")
        handlers = {
            name: make(method, StringValue.FromString, StringValue.SerializeToString)
            for name, method in self._methods.items()
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))


API = Api(services=[SERVICE], errors={}, domain=DOMAIN)


@asynccontextmanager
async def serving(
    methods: Mapping[str, Method],
    kind: str = "unary_unary",
    *,
    api: Api = API,
    **parts: Any,  # noqa: ANN401 -- fields of Parts
) -> AsyncIterator[tuple[RunningServer, grpc.aio.Channel]]:
    """A server with these methods, and a channel to it."""
    running = await start_server(api, Parts(servicer=EchoServicer(methods, kind), **parts))
    async with running, channel(running.address) as to_server:
        yield running, to_server


async def call(
    to_server: grpc.aio.Channel,
    name: str,
    request: bytes | str = "",
    *,
    kind: str = "unary_unary",
    timeout: float = 10.0,  # noqa: ASYNC109 -- the deadline of the RPC
    metadata: Sequence[tuple[str, str]] = (),
) -> list[str]:
    """Calls a method of any kind with one request, as text or as raw bytes; the texts of all its responses."""
    data = StringValue(value=request).SerializeToString() if isinstance(request, str) else request
    multi_callable = getattr(to_server, kind)(f"/{SERVICE}/{name}", None, StringValue.FromString)

    async def requests() -> AsyncGenerator[bytes]:
        yield data

    rpc = multi_callable(requests() if kind.startswith("stream") else data, timeout=timeout, metadata=tuple(metadata))
    if kind.endswith("stream"):
        return [response.value async for response in rpc]
    return [(await rpc).value]


async def failure(
    to_server: grpc.aio.Channel,
    name: str,
    request: bytes | str = "",
    *,
    kind: str = "unary_unary",
    metadata: Sequence[tuple[str, str]] = (),
) -> grpc.aio.AioRpcError:
    """The error that a call ends with."""
    try:
        answer = await call(to_server, name, request, kind=kind, metadata=metadata)
    except grpc.aio.AioRpcError as error:
        return error
    raise AssertionError(f"the call succeeded: {answer}")


def open_stream(to_server: grpc.aio.Channel, name: str) -> grpc.aio.UnaryStreamCall[StringValue, StringValue]:
    """A call of a `unary_stream` method whose responses have not been read yet."""
    method: grpc.aio.UnaryStreamMultiCallable[StringValue, StringValue] = to_server.unary_stream(
        f"/{SERVICE}/{name}", StringValue.SerializeToString, StringValue.FromString
    )
    return method(StringValue())


async def health_of(to_server: grpc.aio.Channel, name: str) -> str:
    """`SERVING` or `NOT_SERVING`: what the server says about this name."""
    check: grpc.aio.UnaryUnaryMultiCallable[health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse] = (
        to_server.unary_unary(
            "/grpc.health.v1.Health/Check",
            health_pb2.HealthCheckRequest.SerializeToString,
            health_pb2.HealthCheckResponse.FromString,
        )
    )
    answer = await check(health_pb2.HealthCheckRequest(service=name), timeout=5)
    return health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
