"""Asks identity on behalf of erasures and audits."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

import grpc
from google.protobuf import timestamp_pb2

from dmp.identity.v1 import audit_pb2, identity_service_pb2_grpc
from dmp.identity.v1 import erasure_pb2 as pb
from dmp_chassis.violations import InvalidArgument, Violation
from dmp_ingest.domain.audit import MinuteSum
from dmp_ingest.domain.erasure_steps import Erased, ListedEvent, Whom
from dmp_ingest.domain.errors import CannotAskError, RangeTooLargeError, UserNotFoundError

_SECONDS: Final = 8.0
_PAIRS_AT_ONCE: Final = 20_000
_COUNT_SECONDS: Final = 10.0


class People:
    """Identity over one channel. Raises CannotAskError if it does not answer, UserNotFoundError for unknown people."""

    def __init__(self, identity: grpc.aio.Channel) -> None:
        self._stub: identity_service_pb2_grpc.IdentityServiceAsyncStub
        self._stub = identity_service_pb2_grpc.IdentityServiceStub(identity)

    async def preview(self, whom: Whom) -> Erased:
        """What an erasure would erase."""
        request = pb.PreviewErasureRequest(
            internal_user_id=whom.internal_user_id, identifier=whom.identifier, value=whom.value
        )
        try:
            answer = await self._stub.PreviewErasure(request, timeout=_SECONDS)
        except grpc.aio.AioRpcError as error:
            raise _failure(error, whom) from error
        return _erased(list(answer.internal_user_ids), answer.counts, finished=True)

    async def erase(self, erasure_id: str, whom: Whom) -> tuple[Erased, list[str]]:
        """Makes the person unknown and continues with what is left.

        Returns how far it is, and the person's user ids.
        """
        request = pb.ErasePersonRequest(
            erasure_id=erasure_id,
            internal_user_id=whom.internal_user_id,
            identifier=whom.identifier,
            value=whom.value,
        )
        try:
            answer = await self._stub.ErasePerson(request, timeout=_SECONDS)
        except grpc.aio.AioRpcError as error:
            raise _failure(error, whom) from error
        erased = _erased(list(answer.internal_user_ids), answer.counts, finished=answer.finished)
        return erased, list(answer.user_ids)

    async def listed_events(self, erasure_id: str) -> list[ListedEvent]:
        """The events whose personal fields have to be removed, late ones included: at most 10,000.

        None if all are done.
        """
        request = pb.ListErasedEventsRequest(erasure_id=erasure_id)
        try:
            page = await self._stub.ListErasedEvents(request, timeout=_SECONDS)
        except grpc.aio.AioRpcError as error:
            raise CannotAskError(service="identity") from error
        return [
            ListedEvent(event_id=event_id, of_others=of_others)
            for event_id, of_others in zip(page.event_ids, page.of_others, strict=True)
        ]

    async def erased_among(self, erasure_id: str, pairs: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
        """Those of these identifiers, as they were sent, that are the erased person's."""
        ordered, found = list(pairs), set[tuple[str, str]]()
        for start in range(0, len(ordered), _PAIRS_AT_ONCE):
            part = ordered[start : start + _PAIRS_AT_ONCE]
            request = pb.MatchErasedRequest(
                erasure_id=erasure_id, types=[kind for kind, _ in part], values=[value for _, value in part]
            )
            try:
                answer = await self._stub.MatchErased(request, timeout=_SECONDS)
            except grpc.aio.AioRpcError as error:
                raise CannotAskError(service="identity") from error
            found.update(part[position] for position in answer.positions)
        return found

    async def forget_events(self, erasure_id: str, event_ids: Sequence[str]) -> None:
        """Takes events that are clean off the list."""
        request = pb.ForgetErasedEventsRequest(erasure_id=erasure_id, event_ids=event_ids)
        try:
            await self._stub.ForgetErasedEvents(request, timeout=_SECONDS)
        except grpc.aio.AioRpcError as error:
            raise CannotAskError(service="identity") from error

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
                raise RangeTooLargeError from error
            raise CannotAskError(service="identity") from error
        return counts

    async def confirm(self, erasure_id: str) -> None:
        """Ends an erasure: identity forgets which events the person had."""
        try:
            await self._stub.ConfirmErasure(pb.ConfirmErasureRequest(erasure_id=erasure_id), timeout=_SECONDS)
        except grpc.aio.AioRpcError as error:
            raise CannotAskError(service="identity") from error


def _erased(internal_user_ids: list[str], counts: pb.ErasureCounts, *, finished: bool) -> Erased:
    return Erased(
        internal_user_ids=internal_user_ids,
        identifiers=counts.identifiers,
        contacts=counts.contacts,
        merges=counts.merges,
        timeline_entries=counts.events,
        finished=finished,
    )


def _failure(error: grpc.aio.AioRpcError, whom: Whom) -> Exception:
    if whom.identifier and error.code() is grpc.StatusCode.INVALID_ARGUMENT:
        violation = Violation("identifier", "must be a strong type of the identifier policy")
        return InvalidArgument([violation])
    if error.code() in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT):
        return UserNotFoundError(internal_user_id=whom.internal_user_id)
    return CannotAskError(service="identity")
