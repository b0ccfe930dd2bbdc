"""Hands batches to identity and stats, the two consumers. Each of them may be away."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from enum import Enum
from typing import Final, Generic, TypeAlias, TypeVar

import grpc

from dmp.identity.v1 import identity_service_pb2
from dmp.stats.v1 import stats_service_pb2
from dmp_chassis.breaker import Breaker
from dmp_ingest.adapters.outbox import ConsumerName

_Response_co = TypeVar("_Response_co", covariant=True)

_LOG: Final = logging.getLogger(__name__)
_PAUSE_SECONDS: Final = 0.5
_LONGEST_PAUSE_SECONDS: Final = 8.0
_AWAY_CODES: Final = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.UNIMPLEMENTED,
    }
)
"""The answers of a server that is absent, too slow, overloaded, stopping, or not the right one."""


class NotApplied(Enum):
    """Why a batch was not acknowledged."""

    AWAY = "away"
    """The consumer did not answer, or says that it cannot work at the moment. No other batch would do better."""
    FAILED = "failed"
    """The consumer answered this batch with an error. Other batches may do better."""


class Consumer(Generic[_Response_co]):
    """One consumer over one channel. While it fails or is late, its batches wait in the outbox.

    A consumer is late if it has not acknowledged a batch for `patience_seconds` after the commit. After a failure, one
    call at a time probes the consumer, with growing pauses in between.
    """

    def __init__(
        self,
        name: ConsumerName,
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, _Response_co],
        *,
        patience_seconds: float,
    ) -> None:
        self.name: ConsumerName = name
        self._apply = call
        self._patience_seconds = patience_seconds
        self._breaker = Breaker(pause_seconds=_PAUSE_SECONDS, longest_seconds=_LONGEST_PAUSE_SECONDS)
        self._asked_at: dict[int, float] = {}
        self._calls = 0

    @property
    def away(self) -> bool:
        """Whether nobody should wait for it now, because it failed lately or is late with an answer."""
        if self._breaker.is_open:
            return True
        # Calls are noted in the order in which they began: the first is the oldest.
        oldest = next(iter(self._asked_at.values()), None)
        return oldest is not None and time.monotonic() - oldest > self._patience_seconds

    async def deliver(self, payload: bytes, *, timeout_seconds: float) -> _Response_co | NotApplied:
        """Hands over a batch whose caller waits for it. Raises on cancellation only."""
        self._calls += 1
        call = self._calls
        self._asked_at[call] = time.monotonic()
        try:
            return await self.relay(payload, timeout_seconds=timeout_seconds)
        finally:
            del self._asked_at[call]

    async def relay(self, payload: bytes, *, timeout_seconds: float) -> _Response_co | NotApplied:
        """Hands over a batch that no caller waits for. A consumer that is slow with a backlog is not called late.

        Raises on cancellation only.
        """
        try:
            with self._breaker.call():
                response = await self._apply(payload, timeout=timeout_seconds)
        except grpc.aio.AioRpcError as error:
            if error.code() not in _AWAY_CODES:
                _LOG.error("%s cannot apply a batch", self.name, extra={"code": error.code().name})
                return NotApplied.FAILED
            if self._breaker.failures == 0:
                _LOG.warning("%s does not take batches", self.name, extra={"code": error.code().name})
            self._breaker.failed()
            return NotApplied.AWAY
        if failures := self._breaker.succeeded():
            _LOG.info("%s takes batches again", self.name, extra={"failures": failures})
        return response


IdentityConsumer: TypeAlias = Consumer[identity_service_pb2.ApplyBatchResponse]
StatsConsumer: TypeAlias = Consumer[stats_service_pb2.ApplyBatchResponse]


class Consumers:
    """Both consumers."""

    def __init__(self, *, identity: grpc.aio.Channel, stats: grpc.aio.Channel, patience_seconds: float) -> None:
        self.identity: IdentityConsumer = Consumer(
            "identity",
            identity.unary_unary(
                "/dmp.identity.v1.IdentityService/ApplyBatch",
                request_serializer=None,
                response_deserializer=identity_service_pb2.ApplyBatchResponse.FromString,
            ),
            patience_seconds=patience_seconds,
        )
        self.stats: StatsConsumer = Consumer(
            "stats",
            stats.unary_unary(
                "/dmp.stats.v1.StatsService/ApplyBatch",
                request_serializer=None,
                response_deserializer=stats_service_pb2.ApplyBatchResponse.FromString,
            ),
            patience_seconds=patience_seconds,
        )


def profile_ids(response: identity_service_pb2.ApplyBatchResponse) -> Sequence[str]:
    """The profile of each event of a batch, empty for an event that names nobody. No profiles if the batch had been
    applied before."""
    ids = list(response.internal_user_ids)
    return [ids[position] for position in list(response.event_profiles)]
