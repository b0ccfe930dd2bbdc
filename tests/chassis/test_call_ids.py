"""The id of a request goes along to the services that it needs."""

from __future__ import annotations

import pytest
from google.protobuf.wrappers_pb2 import StringValue

from dmp_chassis.call_ids import request_id
from dmp_chassis.call_metrics import timed
from dmp_chassis.metrics import Metrics
from tests.chassis.echo_service import SERVICE, call, serving

# One event loop for all of them: grpc.aio's poller belongs to the process and outlives the loop of a single test.
pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_call_that_is_made_for_a_request_has_its_id() -> None:
    async def answer(request: StringValue, context: object) -> StringValue:
        return StringValue(value=request_id())

    async with serving({"Id": answer}) as (_, behind):
        other = timed(behind, Metrics()).unary_unary(
            f"/{SERVICE}/Id", StringValue.SerializeToString, StringValue.FromString
        )

        async def ask(request: StringValue, context: object) -> StringValue:
            response: StringValue = await other(StringValue(), timeout=10)
            return response

        async with serving({"Ask": ask}) as (_, to_server):
            assert await call(to_server, "Ask", metadata=[("x-request-id", "r-1")]) == ["r-1"]
            assert await call(to_server, "Ask") == [""]
        assert (await other(StringValue(), timeout=10)).value == "", "no request, no id"
