"""The health that a server reports, from what the checks of its dependencies say."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import asynccontextmanager

import grpc
import pytest
from grpc_health.v1 import health_pb2_grpc

from dmp_chassis.client import channel
from dmp_chassis.health import Check, DependencyHealth
from dmp_chassis.server import Parts, start_server
from tests.chassis.echo_service import API, SERVICE, EchoServicer, health_of
from tests.conditions import eventually
from tests.scraping import scrape

# One event loop for all of them: grpc.aio's poller belongs to the process and outlives the loop of a single test.
pytestmark = pytest.mark.asyncio(loop_scope="session")


class Dependency:
    """Something that can be away, or not answer at all."""

    def __init__(self, *, away: bool = False) -> None:
        self.away = away
        self.mute = False
        self.asked = 0

    async def check(self) -> None:
        self.asked += 1
        if self.mute:
            await asyncio.Event().wait()
        if self.away:
            raise ConnectionRefusedError("away")


@asynccontextmanager
async def polling(checks: Mapping[str, Check], degrading: Sequence[str] = ()) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to a server that only tells its health, which is polled fifty times a second."""
    health = DependencyHealth([SERVICE], checks, degrading=degrading, interval_seconds=0.02, timeout_seconds=0.2)
    server = grpc.aio.server()
    health_pb2_grpc.add_HealthServicer_to_server(health.servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await health.start()
    await server.start()
    loop = asyncio.ensure_future(health.poll())
    async with channel(f"127.0.0.1:{port}") as to_server:
        yield to_server
    loop.cancel()
    await asyncio.wait({loop})
    await server.stop(0)


def becomes(to_server: grpc.aio.Channel, name: str, status: str) -> Awaitable[None]:
    async def condition() -> bool:
        return await health_of(to_server, name) == status

    return eventually(condition)


async def test_a_server_without_dependencies_is_serving_at_once() -> None:
    async with polling({}) as to_server:
        assert await health_of(to_server, "") == await health_of(to_server, SERVICE) == "SERVING"


async def test_an_unknown_name_has_no_health() -> None:
    async with polling({}) as to_server:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await health_of(to_server, "dmp.test.v1.Other")
        assert raised.value.code() is grpc.StatusCode.NOT_FOUND


async def test_the_loss_of_a_critical_dependency_stops_serving_until_it_is_back() -> None:
    postgres = Dependency()
    async with polling({"postgres": postgres.check}) as to_server:
        assert await health_of(to_server, SERVICE) == await health_of(to_server, "dependency.postgres") == "SERVING"
        postgres.away = True
        await becomes(to_server, SERVICE, "NOT_SERVING")
        assert await health_of(to_server, "") == await health_of(to_server, "dependency.postgres") == "NOT_SERVING"
        postgres.away = False
        await becomes(to_server, SERVICE, "SERVING")
        assert await health_of(to_server, "") == await health_of(to_server, "dependency.postgres") == "SERVING"


async def test_the_loss_of_a_degrading_dependency_is_only_reported() -> None:
    redis = Dependency()
    checks = {"postgres": Dependency().check, "redis": redis.check}
    async with polling(checks, ["redis"]) as to_server:
        redis.away = True
        await becomes(to_server, "dependency.redis", "NOT_SERVING")
        assert await health_of(to_server, "") == await health_of(to_server, SERVICE) == "SERVING"
        assert await health_of(to_server, "dependency.postgres") == "SERVING"


async def test_a_server_starts_without_its_dependency_and_says_so() -> None:
    postgres = Dependency(away=True)
    async with polling({"postgres": postgres.check}) as to_server:
        assert await health_of(to_server, SERVICE) == "NOT_SERVING"
        postgres.away = False
        await becomes(to_server, SERVICE, "SERVING")


async def test_one_failed_check_changes_nothing() -> None:
    postgres = Dependency()
    async with polling({"postgres": postgres.check}) as to_server:
        postgres.away = True
        asked = postgres.asked

        async def was_asked_once_more() -> bool:
            return postgres.asked > asked

        await eventually(was_asked_once_more)
        postgres.away = False
        seen = set()

        async def was_asked_again() -> bool:
            seen.add(await health_of(to_server, SERVICE))
            return postgres.asked > asked + 2

        await eventually(was_asked_again)
        assert seen == {"SERVING"}


async def test_a_check_that_never_answers_counts_as_failed_and_holds_up_no_other() -> None:
    mute, other = Dependency(), Dependency()
    checks = {"mute": mute.check, "other": other.check}
    async with polling(checks, ["mute"]) as to_server:
        mute.mute = True
        await becomes(to_server, "dependency.mute", "NOT_SERVING")
        other.away = True
        await becomes(to_server, "dependency.other", "NOT_SERVING")
        assert mute.asked == 2


async def test_degrading_must_name_a_check() -> None:
    with pytest.raises(ValueError, match="redis"):
        DependencyHealth([SERVICE], {}, degrading=["redis"])


async def test_what_a_check_uses_is_closed_after_the_check() -> None:
    dependency, order = Dependency(), []

    async def check() -> None:
        try:
            await dependency.check()
        finally:
            order.append("checked")

    async def close() -> None:
        order.append("closed")

    parts = Parts(servicer=EchoServicer({}), checks={"mute": check}, degrading=["mute"], on_close=[close])
    server = await start_server(API, parts)
    dependency.mute = True

    async def is_asked() -> bool:
        return dependency.asked > 1

    await eventually(is_asked)
    order.clear()
    await server.close()
    assert order == ["checked", "closed"]


async def test_which_stores_answer_is_a_metric_and_other_checks_are_not() -> None:
    postgres, redis = Dependency(), Dependency(away=True)
    checks = {"postgres": postgres.check, "redis": redis.check, "key_rules": Dependency().check}
    parts = Parts(servicer=EchoServicer({}), checks=checks, degrading=["redis"], metrics_listen="127.0.0.1:0")
    async with await start_server(API, parts) as running:
        found = await scrape(running.metrics_port)
        shown = {name: value for name, value in found.items() if name.startswith("dmp_dependency_up")}
        assert shown == {"dmp_dependency_up dependency=postgres": 1, "dmp_dependency_up dependency=redis": 0}
