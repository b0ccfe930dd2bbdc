"""The users of Redis that docs/operations.md describes: each service can do its work as its user, and nothing else."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import redis
from redis.exceptions import NoPermissionError

from dmp_chassis.domain_events import DomainEvent, RedisStreamPublisher
from dmp_chassis.redis_client import RedisClient, check_redis, open_redis, run
from dmp_chassis.redis_cluster import Command
from dmp_cli.domain_events import EventStream
from dmp_cli.redis_servers import server_of
from dmp_ingest.adapters.claim_cache import Claimed, Claims
from tests.redis_cluster import RunningCluster

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"
KEYS = [bytes([first]) * 16 for first in range(256)]
TOKEN, EPOCH = b"token...", b"epoch-00"
EVENT = DomainEvent(kind="Happened", payload={})
STREAM = b"dmp:{domain-events}"


def rules() -> dict[str, list[str]]:
    """The rules of each user, as in an ACL file."""
    text = OPERATIONS.read_text("utf-8")
    (rights,) = re.findall(r"^`RIGHTS` stands for `(.*)`\.$", text, flags=re.MULTILINE)
    lines = re.findall(r"^user (\S+) (on >PASSWORD .*)$", text, flags=re.MULTILINE)
    return {user: given.replace("RIGHTS", rights).split() for user, given in lines}


@pytest.fixture(params=["one server", "a cluster"])
def url_with_users(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a Redis that has the users, with a place for the user's name."""
    if request.param == "a cluster":
        cluster: RunningCluster = request.getfixturevalue("redis_cluster")
        servers = [node.client for node in cluster.nodes]
        url = cluster.url.replace("://", "://{user}:PASSWORD@")
    else:
        path = request.getfixturevalue("redis_url").removeprefix("unix://")
        servers = [redis.Redis.from_url(f"unix://{path}")]
        url = f"unix://{{user}}:PASSWORD@{path}"
    for server in servers:
        for user, given in rules().items():
            server.execute_command("ACL", "SETUSER", user, "reset", *given)  # type: ignore[no-untyped-call]
    yield url
    for server in servers:
        server.execute_command("ACL", "DELUSER", *rules())  # type: ignore[no-untyped-call]


@asynccontextmanager
async def being(user: str, url: str) -> AsyncIterator[RedisClient]:
    client = open_redis(url.format(user=user), client_name="test", timeout_seconds=2)
    await check_redis(client)
    yield client
    await client.aclose()


async def is_refused(client: RedisClient, *words: str) -> bool:
    with pytest.raises(NoPermissionError):
        await run(client, Command(STREAM, words))
    return True


async def test_ingest_claims_and_publishes(url_with_users: str) -> None:
    async with being("dmp_ingest", url_with_users) as client:
        claims = Claims(client, window_seconds=60)
        assert await claims.claim(KEYS, [0] * 256, token=TOKEN, epoch=EPOCH) == Claimed()
        await claims.release(KEYS[:10], token=TOKEN, epoch=EPOCH)
        await claims.settle(KEYS[10:20], [0] * 10, applied=True, epoch=EPOCH)
        await claims.settle_group(TOKEN, applied=True)
        again = await claims.claim(KEYS, [0] * 256, token=b"other...", epoch=EPOCH)
        assert (set(again.stored), again.all_decided) == ({*KEYS[10:]}, True)
        await RedisStreamPublisher(client).publish([EVENT])
        assert await is_refused(client, "XREAD", "STREAMS", STREAM.decode(), "0")
        assert await is_refused(client, "SET", "something", "else")
        assert await is_refused(client, "FLUSHALL")


@pytest.mark.parametrize("user", ["dmp_identity", "dmp_stats"])
async def test_identity_and_stats_publish_and_do_not_see_claims(url_with_users: str, user: str) -> None:
    async with being(user, url_with_users) as client:
        publisher = RedisStreamPublisher(client)
        await publisher.publish([EVENT])
        if user == "dmp_stats":
            assert await publisher.read(None, 10, block_seconds=0.01) == ([EVENT], (await publisher.read(None, 10))[1])
        else:
            with pytest.raises(NoPermissionError):
                await publisher.read(None, 10)
        assert await is_refused(client, "GET", "dmp:{claim}:x")
        assert await is_refused(client, "XTRIM", STREAM.decode(), "MAXLEN", "0")


async def test_a_reader_follows_the_stream_and_writes_nothing(url_with_users: str) -> None:
    async with being("dmp_stats", url_with_users) as client:
        await RedisStreamPublisher(client).publish([EVENT])
    server = server_of(url_with_users.format(user="dmp_reader"), STREAM.decode())
    with redis.Redis.from_url(server, decode_responses=True, protocol=2) as connection:
        stream = EventStream(connection)
        assert [event.id for event in stream.read(stream.beginning(), 10).events] == [EVENT.id]
        stream.wait(stream.end(), 0.001)
        with pytest.raises(NoPermissionError):
            connection.xadd(STREAM, {"id": "1"})
        with pytest.raises(NoPermissionError):
            connection.keys("*")


def test_each_service_and_a_reader_have_a_user() -> None:
    assert rules().keys() == {"dmp_ingest", "dmp_identity", "dmp_stats", "dmp_reader"}
