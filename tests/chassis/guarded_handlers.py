"""Handlers of all four kinds, that fail or echo, and what a caller sees of their errors."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from dmp_chassis.errors import DomainError, ErrorSpec, ErrorTable

SECRET = "hunter2-the-password"


@dataclass(slots=True, kw_only=True, eq=False)
class QueueFull(DomainError):
    waiting: int


TABLE: ErrorTable = {
    QueueFull: ErrorSpec(
        code=grpc.StatusCode.RESOURCE_EXHAUSTED,
        reason="QUEUE_FULL",
        message=lambda error: f"{error.waiting} are waiting",
        metadata=lambda error: {"waiting": str(error.waiting)},
        retry_after_seconds=lambda error: error.waiting / 4,
        http_status=422,
    )
}


def raising(make_error: Callable[[], BaseException], kind: str) -> Callable[..., Any]:
    """A handler of this kind that fails after it has read its request."""

    async def read(request: Any) -> None:  # noqa: ANN401
        if kind.startswith("stream"):
            async for _ in request:
                pass

    async def fail() -> None:
        raise make_error()

    async def unary(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> StringValue:  # noqa: ANN401
        await read(request)
        await fail()
        return StringValue()

    async def stream(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[StringValue]:  # noqa: ANN401
        await read(request)
        await fail()
        yield StringValue()

    return stream if kind.endswith("stream") else unary


async def echo(request: StringValue, context: object) -> StringValue:
    return request


async def echo_stream(request: StringValue, context: object) -> AsyncIterator[StringValue]:
    yield request


async def echo_requests(requests: AsyncIterator[StringValue], context: object) -> StringValue:
    return StringValue(value=",".join([request.value async for request in requests]))


async def echo_both(requests: AsyncIterator[StringValue], context: object) -> AsyncIterator[StringValue]:
    async for request in requests:
        yield request


ECHOES: dict[str, Callable[..., Any]] = {
    "unary_unary": echo,
    "unary_stream": echo_stream,
    "stream_unary": echo_requests,
    "stream_stream": echo_both,
}


def status_of(error: grpc.aio.AioRpcError) -> status_pb2.Status:
    status: status_pb2.Status | None = rpc_status.from_call(error)  # type: ignore[arg-type]  # has what it needs
    assert status is not None
    return status


def info_of(error: grpc.aio.AioRpcError) -> error_details_pb2.ErrorInfo:
    info = error_details_pb2.ErrorInfo()
    assert status_of(error).details[0].Unpack(info)
    return info


def complaints(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """What the chassis or gRPC itself logged as a warning or worse."""
    ours = [record for record in caplog.records if record.name.startswith(("dmp_chassis", "grpc"))]
    return [record for record in ours if record.levelno >= logging.WARNING]


def everything_in(error: grpc.aio.AioRpcError) -> str:
    return repr(
        (error.details(), error.debug_error_string(), list(error.initial_metadata()), list(error.trailing_metadata()))
    )
