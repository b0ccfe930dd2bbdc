"""Asks identity whose an identifier is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import grpc

from dmp.identity.v1 import identity_service_pb2 as pb
from dmp.identity.v1 import identity_service_pb2_grpc

_SECONDS: Final = 0.5


class Owners:
    """Identity over one channel."""

    def __init__(self, identity: grpc.aio.Channel) -> None:
        self._stub: identity_service_pb2_grpc.IdentityServiceAsyncStub
        self._stub = identity_service_pb2_grpc.IdentityServiceStub(identity)

    async def owner_of(self, identifiers: Iterable[tuple[str, str]]) -> str:
        """The profile that the first of these identifiers with one owner belongs to; empty if none, or on failure."""
        for kind, value in identifiers:
            try:
                answer = await self._stub.MatchIdentifier(
                    pb.MatchIdentifierRequest(identifier=kind, value=value), timeout=_SECONDS
                )
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.NOT_FOUND:
                    continue
                return ""
            if not answer.match.ambiguous:
                return answer.internal_user_id
        return ""
