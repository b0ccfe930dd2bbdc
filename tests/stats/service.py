"""Runs replicas of stats in the test's event loop, and makes batches as ingest would."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any

import grpc
import msgspec
import psycopg
from google.api import httpbody_pb2
from hypothesis import settings

from dmp.ingest.v1 import accepted_batch_pb2
from dmp.stats.v1 import stats_service_pb2 as pb
from dmp.stats.v1 import stats_service_pb2_grpc
from dmp_chassis.client import channel
from dmp_chassis.metrics import Metrics
from dmp_chassis.server import RunningServer, start_server
from dmp_chassis.service_settings import CommonSettings
from dmp_chassis.uuid7 import uuid7_text
from dmp_stats.app import SERVICE, assemble
from dmp_stats.settings import Settings
from tests.conditions import eventually

QUICK = settings(max_examples=30, deadline=None)
"""For properties that are cheap to check but run on busy machines."""

THROUGH_GATEWAY = (("x-envoy-original-path", "/"),)
COUNTS_AS = {"impression": 1, "ad_impression": 1, "click": 2, "ad_click": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One accepted event, with times in seconds since 1970 UTC."""

    event_id: str
    at: float
    type: str = "impression"
    campaign: str = ""
    source: str = "web"
    creative: str = ""
    user: str = ""


class Clock:
    """Shows the time that the test sets; the real time until it does."""

    def __init__(self) -> None:
        self.now: float | None = None

    def __call__(self) -> float:
        return time.time() if self.now is None else self.now

    def microseconds(self) -> int:
        """As the service asks."""
        return round(self() * 1e6)


@dataclass(slots=True, kw_only=True)
class Replica:
    """One running replica and a way to call it."""

    server: RunningServer
    channel: grpc.aio.Channel
    measured: Metrics
    stub: Any = field(init=False)

    def __post_init__(self) -> None:
        self.stub = stats_service_pb2_grpc.StatsServiceStub(self.channel)

    async def apply(self, batch: accepted_batch_pb2.AcceptedBatch) -> bool:
        """Applies a batch; True if it was new."""
        response = await self.stub.ApplyBatch(pb.ApplyBatchRequest(batch=batch))
        return not response.already_applied

    async def stats(self, campaign_id: str, start: str, end: str, **parameters: Any) -> dict[str, Any]:  # noqa: ANN401 -- fields of the request
        """The answer to `GET /stats`."""
        request = pb.RenderStatsRequest(campaign_id=campaign_id, to=end, **parameters)
        setattr(request, "from", start)
        answer: dict[str, Any] = msgspec.json.decode((await self.rendered_stats(request)).data)
        return answer

    async def rendered_stats(self, request: pb.RenderStatsRequest, *, accept: str = "*/*") -> httpbody_pb2.HttpBody:
        """The text that `GET /stats` answers, its parts in one."""
        parts = self.stub.RenderStats(request, metadata=(*THROUGH_GATEWAY, ("accept", accept)))
        whole = httpbody_pb2.HttpBody()
        async for part in parts:
            whole.content_type = whole.content_type or part.rendered.content_type
            whole.data += part.rendered.data
        return whole

    async def metrics(self, window: int | None = None, group_by: Sequence[str] = ()) -> dict[str, Any]:
        """The answer to `GET /metrics`."""
        request = pb.GetMetricsRequest(window=window, group_by=group_by)
        response = await self.stub.GetMetrics(request, metadata=THROUGH_GATEWAY)
        answer: dict[str, Any] = msgspec.json.decode(response.rendered.data)
        return answer

    async def put_reference(self, users: Mapping[str, Mapping[str, object] | None], ts: str) -> int:
        """`PUT /reference/users`; the generation."""
        data = msgspec.json.encode({"user_metadata": users, "ts": ts})
        return await self.put_body(data)

    async def put_body(self, data: bytes) -> int:
        """`PUT /reference/users` with a body as it is; the generation."""
        response = await self.stub.ReplaceReferenceUsersJson(
            pb.ReplaceReferenceUsersJsonRequest(body=httpbody_pb2.HttpBody(data=data))
        )
        generation: int = response.generation
        return generation


class StatsCluster:
    """Replicas of one stats service on one database."""

    def __init__(self, database_url: str, redis_url: str) -> None:
        self.database_url = database_url
        self.redis_url = redis_url
        self.clock = Clock()
        self._stack = AsyncExitStack()

    async def start(self, **changes: Any) -> Replica:  # noqa: ANN401 -- fields of Settings
        """One more replica, with the default settings except for `changes`."""
        defaults = Settings(
            common=CommonSettings(
                database_url=self.database_url,
                redis_url=self.redis_url,
                listen="127.0.0.1:0",
                log_level="info",
                drain_seconds=0.0,
                action_retention_days=0,
            ),
            pool_size=4,
            window_seconds=1800,
            fold_interval_seconds=0.1,
            minute_retention_days=0,
            hour_retention_days=0,
            day_retention_days=0,
            inbox_retention_days=30,
            reference_max_users=2_000_000,
        )
        parts = assemble(replace(defaults, **changes), clock=self.clock.microseconds)
        server = await start_server(SERVICE.api, parts)
        self._stack.push_async_callback(server.close, end_seconds=0.4)
        opened = channel(server.address)
        self._stack.push_async_callback(opened.close)
        return Replica(server=server, channel=opened, measured=parts.metrics)

    async def all_folded(self) -> None:
        """Waits until no delta is left."""
        async with await psycopg.AsyncConnection.connect(self.database_url, autocommit=True) as connection:

            async def none_is_left() -> bool:
                found = await connection.execute("SELECT EXISTS (SELECT FROM rollup_delta)")
                return await found.fetchone() == (False,)

            await eventually(none_is_left, within_seconds=20)

    async def __aenter__(self) -> StatsCluster:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()


def batch_of(events: Sequence[Event], batch_id: str | None = None) -> accepted_batch_pb2.AcceptedBatch:
    """The batch that ingest would publish for these events."""
    places: dict[str, int] = {"": 0}

    def place(text: str) -> int:
        return places.setdefault(text, len(places))

    batch = accepted_batch_pb2.AcceptedBatch(
        batch_id=batch_id or uuid7_text(),
        accepted_at_us=int(time.time() * 1_000_000),
        event_ids=[event.event_id for event in events],
        event_keys=b"".join(event_key(event.event_id) for event in events),
        occurred_at_us=[round(event.at * 1_000_000) for event in events],
        types=[place(event.type) for event in events],
        sources=[place(event.source) for event in events],
        campaigns=[place(event.campaign) for event in events],
        creatives=[place(event.creative) for event in events],
        users=[place(event.user) for event in events],
        counts_as=[COUNTS_AS.get(event.type, 0) for event in events],
    )
    batch.texts.extend(places)
    return batch


def event_key(event_id: str) -> bytes:
    """A 16-byte key for an event id."""
    return hashlib.blake2b(event_id.encode(), digest_size=16).digest()
