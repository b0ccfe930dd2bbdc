"""Identity and stats as ingest knows them: two services that apply batches, each of which may be away."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Final, Generic, TypeVar

import grpc

from dmp.identity.v1 import identity_service_pb2
from dmp.stats.v1 import stats_service_pb2

_Response = TypeVar("_Response", identity_service_pb2.ApplyBatchResponse, stats_service_pb2.ApplyBatchResponse)

_LOG: Final = logging.getLogger(__name__)
_PAUSE_SECONDS: Final = 0.5
_LONGEST_PAUSE_SECONDS: Final = 8.0


class Consumer(Generic[_Response]):
    """One consumer over one channel. While it fails or is late, its batches wait in the outbox.

    patience_seconds: a call that has not been answered for so long is late. After a failure one call at a time probes
    the consumer, with growing pauses.
    """

    def __init__(
        self, name: str, channel: grpc.aio.Channel, method: str, response: type[_Response], *, patience_seconds: float
    ) -> None:
        self.name = name
        self._apply: grpc.aio.UnaryUnaryMultiCallable[bytes, _Response] = channel.unary_unary(
            method, request_serializer=None, response_deserializer=response.FromString
        )
        self._patience_seconds = patience_seconds
        self._failures = 0
        self._away_until = 0.0
        self._probing = False
        self._asked_at: dict[int, float] = {}
        self._calls = 0

    @property
    def away(self) -> bool:
        """Whether nobody should wait for it now: it failed lately, or is late with an answer."""
        if self._failures > 0 and (self._probing or time.monotonic() < self._away_until):
            return True
        # Calls are noted in the order in which they began: the first is the oldest.
        oldest = next(iter(self._asked_at.values()), None)
        return oldest is not None and time.monotonic() - oldest > self._patience_seconds

    async def apply(self, payload: bytes, *, timeout_seconds: float) -> _Response | None:
        """Hands a batch over; the response, or None if it was not acknowledged in time. Raises on cancellation only."""
        self._probing = self._failures > 0
        self._calls += 1
        call = self._calls
        self._asked_at[call] = time.monotonic()
        try:
            response = await self._apply(payload, timeout=timeout_seconds)
        except grpc.aio.AioRpcError as error:
            if self._failures == 0:
                _LOG.warning("%s does not take batches", self.name, extra={"code": error.code().name})
            self._failures += 1
            pause = _PAUSE_SECONDS * 2 ** min(self._failures - 1, 10)
            self._away_until = time.monotonic() + min(_LONGEST_PAUSE_SECONDS, pause)
            return None
        finally:
            self._probing = False
            del self._asked_at[call]
        if self._failures:
            _LOG.info("%s takes batches again", self.name, extra={"failures": self._failures})
            self._failures = 0
        return response


class Consumers:
    """Both consumers."""

    def __init__(self, *, identity: grpc.aio.Channel, stats: grpc.aio.Channel, patience_seconds: float) -> None:
        self.identity = Consumer(
            "identity",
            identity,
            "/dmp.identity.v1.IdentityService/ApplyBatch",
            identity_service_pb2.ApplyBatchResponse,
            patience_seconds=patience_seconds,
        )
        self.stats = Consumer(
            "stats",
            stats,
            "/dmp.stats.v1.StatsService/ApplyBatch",
            stats_service_pb2.ApplyBatchResponse,
            patience_seconds=patience_seconds,
        )

    async def apply(
        self, payload: bytes, *, to_identity: bool, to_stats: bool, timeout_seconds: float
    ) -> tuple[identity_service_pb2.ApplyBatchResponse | None, bool]:
        """Hands a batch to those that are asked for, both at once: identity's answer, if it gave one, and whether
        stats acknowledged."""

        async def ask(consumer: Consumer[_Response], wanted: bool) -> _Response | None:
            return await consumer.apply(payload, timeout_seconds=timeout_seconds) if wanted else None

        identity, stats = await asyncio.gather(ask(self.identity, to_identity), ask(self.stats, to_stats))
        return identity, stats is not None


def profile_ids(response: identity_service_pb2.ApplyBatchResponse) -> Sequence[str]:
    """The profile id of each event of a batch, empty where an event names nobody; none at all if the batch had been
    applied before."""
    ids = list(response.internal_user_ids)
    return [ids[position] for position in list(response.event_profiles)]
