"""What a service notices of a Redis that is away, restarts or does not answer any more."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from dmp_chassis.outages import outage
from dmp_chassis.redis_client import check_redis, connect_redis
from dmp_stack.child import Child
from tests.conditions import eventually


@pytest_asyncio.fixture
async def client(fragile_valkey: tuple[str, Child]) -> AsyncIterator[Redis]:
    """A client with four connections that have been used."""
    opened = connect_redis(fragile_valkey[0], client_name="chassis-test", pool_size=4)
    await asyncio.gather(*(opened.set(f"key {number}", "value") for number in range(4)))
    yield opened
    await opened.aclose()


async def fails_quickly(client: Redis) -> None:
    """A command and the check fail as an outage, each within twice the timeout of half a second."""
    started = time.monotonic()
    for command in (client.get("key"), check_redis(client)):
        with pytest.raises(Exception) as raised:  # noqa: PT011 -- several kinds, all of which are outages
            await command
        assert outage(raised.value) is not None
    assert time.monotonic() - started < 3.5


async def recovers(client: Redis) -> None:
    """The check succeeds again before long; from then on every command does, on all connections."""

    async def is_up() -> bool:
        try:
            await check_redis(client)
        except Exception:  # noqa: BLE001 -- still away
            return False
        return True

    await eventually(is_up)
    await asyncio.gather(*(client.set("key", "value") for _ in range(8)))


async def test_a_client_says_who_it_is_and_speaks_bytes(client: Redis) -> None:
    assert await client.client_getname() in {"chassis-test", b"chassis-test"}
    assert await client.get("key 1") == b"value"
    await check_redis(client)


async def test_a_redis_that_never_was_there_fails_at_once(tmp_path: Path) -> None:
    client = connect_redis(f"unix://{tmp_path}/none", client_name="chassis-test")
    await fails_quickly(client)
    await client.aclose()


async def test_a_restart_goes_unnoticed(client: Redis, fragile_valkey: tuple[str, Child]) -> None:
    _, child = fragile_valkey
    await asyncio.to_thread(child.stop, 5)
    await fails_quickly(client)
    await asyncio.to_thread(child.start)
    await recovers(client)


async def test_a_frozen_redis_fails_quickly_and_recovers(client: Redis, fragile_valkey: tuple[str, Child]) -> None:
    _, child = fragile_valkey
    child.pause()
    for _ in range(5):
        await fails_quickly(client)
    child.resume()
    await recovers(client)


async def test_more_callers_than_connections_wait_for_each_other(client: Redis) -> None:
    assert sorted(await asyncio.gather(*(client.incr("counter") for _ in range(48)))) == list(range(1, 49))
