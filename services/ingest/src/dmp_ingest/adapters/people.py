"""Identity as erasures and audits know it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

import grpc
from google.protobuf import timestamp_pb2

from dmp.identity.v1 import audit_pb2, identity_service_pb2_grpc
from dmp.identity.v1 import erasure_pb2 as pb
from dmp_ingest.domain.audit import MinuteSum
from dmp_ingest.domain.erasure import Erased
from dmp_ingest.domain.errors import CannotAskError, StretchTooLargeError, UserNotFoundError

_SECONDS: Final = 5.0
_COUNT_SECONDS: Final = 10.0


class People:
    """Identity over one channel. Raises CannotAskError if it does not answer, UserNotFoundError for unknown people."""

    def __init__(self, identity: grpc.aio.Channel) -> None:
        self._stub: identity_service_pb2_grpc.IdentityServiceAsyncStub
        self._stub = identity_service_pb2_grpc.IdentityServiceStub(identity)

    async def preview(self, internal_user_id: str) -> Erased:
        """What an erasure would take."""
        try:
            answer = await self._stub.PreviewErasure(
                pb.PreviewErasureRequest(internal_user_id=internal_user_id), timeout=_SECONDS
            )
        except grpc.aio.AioRpcError as error:
            raise _failure(error, internal_user_id) from error
        return _erased(list(answer.internal_user_ids), answer.counts)

    async def erase(self, erasure_id: str, internal_user_id: str) -> Erased:
        """Erases the person; a second time with the same erasure answers what the first did."""
        try:
            answer = await self._stub.ErasePerson(
                pb.ErasePersonRequest(erasure_id=erasure_id, internal_user_id=internal_user_id), timeout=_SECONDS
            )
        except grpc.aio.AioRpcError as error:
            raise _failure(error, internal_user_id) from error
        return _erased(list(answer.internal_user_ids), answer.counts)

    async def erased_events(self, erasure_id: str) -> AsyncIterator[list[str]]:
        """Ids of the events whose personal fields have to go, page by page; those that came late included."""
        token = ""
        while True:
            try:
                page = await self._stub.ListErasedEvents(
                    pb.ListErasedEventsRequest(erasure_id=erasure_id, page_token=token), timeout=_SECONDS
                )
            except grpc.aio.AioRpcError as error:
                raise CannotAskError(service="identity") from error
            if page.event_ids:
                yield list(page.event_ids)
            token = page.next_page_token
            if not token:
                return

    async def entries(self, *, first: int, last: int) -> dict[int, MinuteSum]:
        """Timeline entries by minute, from minute `first` to minute `last` since 1970, both included."""
        request = audit_pb2.CountEntriesRequest(to=timestamp_pb2.Timestamp(seconds=last * 60))
        getattr(request, "from").seconds = first * 60
        counts: dict[int, MinuteSum] = {}
        try:
            async for part in self._stub.CountEntries(request, timeout=_COUNT_SECONDS):
                counts |= {one.minute.seconds // 60: MinuteSum(one.count, one.digest) for one in part.counts}
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                raise StretchTooLargeError from error
            raise CannotAskError(service="identity") from error
        return counts

    async def confirm(self, erasure_id: str) -> None:
        """Lets identity forget which events they were."""
        try:
            await self._stub.ConfirmErasure(pb.ConfirmErasureRequest(erasure_id=erasure_id), timeout=_SECONDS)
        except grpc.aio.AioRpcError as error:
            raise CannotAskError(service="identity") from error


def _erased(internal_user_ids: list[str], counts: pb.ErasureCounts) -> Erased:
    return Erased(
        internal_user_ids=internal_user_ids,
        identifiers=counts.identifiers,
        contacts=counts.contacts,
        merges=counts.merges,
        timeline_entries=counts.events,
    )


def _failure(error: grpc.aio.AioRpcError, internal_user_id: str) -> Exception:
    if error.code() in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT):
        return UserNotFoundError(internal_user_id=internal_user_id)
    return CannotAskError(service="identity")
