"""Compressed messages: inflated by the server itself, within the limit of the RPC."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator
from typing import Any

import grpc
import psutil
import pytest
from google.protobuf.wrappers_pb2 import StringValue

from dmp_chassis.requests import RequestReader
from dmp_chassis.violations import InvalidArgument
from tests.chassis.echo_service import KINDS, SERVICE, serving

MIB = 1 << 20


def message(size: int) -> bytes:
    return StringValue(value="x" * size).SerializeToString()


def test_a_message_is_read_as_it_came_or_inflated() -> None:
    reader = RequestReader(StringValue.FromString, MIB)
    for size in (0, 1, 5_000, MIB - 10):
        assert reader.read_now(message(size)) == reader.read_now(gzip.compress(message(size)))


def test_a_message_that_the_gateway_kept_back_is_too_large() -> None:
    for parse in (StringValue.FromString, None):
        with pytest.raises(InvalidArgument, match=f"at most {MIB} bytes"):
            RequestReader(parse, MIB).read_now(b"\x07")


@pytest.mark.parametrize("size", [MIB + 1, 100 * MIB])
async def test_what_is_over_the_limit_is_never_there(size: int) -> None:
    reader = RequestReader(StringValue.FromString, MIB)
    packed = gzip.compress(message(size))
    before = psutil.Process().memory_info().rss
    with pytest.raises(InvalidArgument) as refused:
        reader.read_now(packed)
    with pytest.raises(InvalidArgument):
        await reader.read(packed)
    assert refused.value.violations[0].description == f"the request must have at most {MIB} bytes"
    assert psutil.Process().memory_info().rss - before < 20 * MIB


@pytest.mark.parametrize(
    "damaged",
    [
        b"\x1f\x8b",
        gzip.compress(b"\x0a\x01x")[:-1],
        gzip.compress(b"\x0a\x02\xff\xfe"),
        b"\x1f\x8b" + bytes(30),
        b"\x0b",
    ],
)
def test_what_is_no_message_is_an_invalid_argument(damaged: bytes) -> None:
    with pytest.raises(InvalidArgument) as refused:
        RequestReader(StringValue.FromString).read_now(damaged)
    assert refused.value.violations[0].description == "the request is not a valid message of its type"


def test_a_handler_without_a_parser_gets_inflated_bytes() -> None:
    assert RequestReader(None).read_now(gzip.compress(b"abc")) == b"abc"


async def one(request: StringValue, context: object) -> StringValue:
    return StringValue(value=str(len(request.value)))


async def many(request: StringValue, context: object) -> AsyncIterator[StringValue]:
    yield await one(request, context)


async def last_of(requests: AsyncIterator[StringValue], context: object) -> StringValue:
    return [await one(request, context) async for request in requests][-1]


async def each_of(requests: AsyncIterator[StringValue], context: object) -> AsyncIterator[StringValue]:
    async for request in requests:
        yield await one(request, context)


@pytest.mark.parametrize(("kind", "method"), list(zip(KINDS, (one, many, last_of, each_of), strict=True)))
async def test_gzip_works_for_every_kind_of_call(kind: str, method: Any) -> None:  # noqa: ANN401 -- four kinds
    async with serving({"M": method}, kind) as (running, _):
        options = [("grpc.enable_http_proxy", 0)]
        async with grpc.aio.insecure_channel(running.address, options, grpc.Compression.Gzip) as connection:
            call = getattr(connection, kind)(f"/{SERVICE}/M", None, StringValue.FromString)
            for size in (10, 100_000):
                data = message(size)

                async def sent(data: bytes = data) -> AsyncIterator[bytes]:
                    yield data

                answer = call(sent() if kind.startswith("stream") else data, timeout=10)
                got = [each async for each in answer] if kind.endswith("stream") else [await answer]
                assert [each.value for each in got] == [str(size)]


async def test_other_codings_are_not_known() -> None:
    async with serving({"M": one}) as (running, _):
        options = [("grpc.enable_http_proxy", 0)]
        async with grpc.aio.insecure_channel(running.address, options, grpc.Compression.Deflate) as connection:
            call: Any = connection.unary_unary(f"/{SERVICE}/M")
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await call(message(10_000), timeout=10)
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
