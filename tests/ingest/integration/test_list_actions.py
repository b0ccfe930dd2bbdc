"""The audit log of acts has no gaps: without the acts of one service there is no page."""

from __future__ import annotations

import grpc
import psycopg
import pytest

from dmp.ingest.v1 import ingest_service_pb2 as pb
from tests.ingest.conftest import Ingest


async def test_without_an_answer_of_each_service_there_is_no_page(ingest: Ingest) -> None:
    # The consumers of these tests do not know the RPC, as those of an older version do not.
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await ingest.stub.ListActions(pb.ListActionsRequest(), timeout=20)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_an_erasure_that_identity_cannot_begin_is_told_as_asked_for_once(ingest: Ingest) -> None:
    request = pb.EraseUserRequest(internal_user_id="user_1")
    for _ in range(2):  # the second call goes on with the erasure of the first
        with pytest.raises(grpc.aio.AioRpcError):
            await ingest.stub.EraseUser(request, metadata=(("x-internal-caller", "desk"),), timeout=20)
    async with await psycopg.AsyncConnection.connect(ingest.database_url) as connection:
        rows = await (await connection.execute("SELECT kind, actor, result, subjects FROM action")).fetchall()
    assert rows == [("erase_person", "desk", "requested", ["user_1"])]
