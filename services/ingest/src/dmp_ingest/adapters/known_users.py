"""What stats knows of users by their ids: the reference table and the sliding window."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import grpc

from dmp.stats.v1 import stats_service_pb2 as pb
from dmp.stats.v1 import stats_service_pb2_grpc
from dmp_ingest.domain.errors import CannotAskError

_SECONDS: Final = 30.0
_AT_ONCE: Final = 1_000


class KnownUsers:
    """Stats over one channel."""

    def __init__(self, stats: grpc.aio.Channel) -> None:
        self._stub: stats_service_pb2_grpc.StatsServiceAsyncStub
        self._stub = stats_service_pb2_grpc.StatsServiceStub(stats)

    async def forget(self, user_ids: Sequence[str]) -> None:
        """Makes stats forget these users. Raises CannotAskError if it does not answer."""
        for start in range(0, len(user_ids), _AT_ONCE):
            request = pb.ForgetUsersRequest(user_ids=user_ids[start : start + _AT_ONCE])
            try:
                await self._stub.ForgetUsers(request, timeout=_SECONDS)
            except grpc.aio.AioRpcError as error:
                raise CannotAskError(service="stats") from error
