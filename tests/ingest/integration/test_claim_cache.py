"""Claims in a real Valkey and in a real cluster: who may store an event, what is known of it, and what is not kept for
others."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis

from dmp_chassis.redis_client import connect_redis, open_redis
from dmp_ingest.adapters.claim_cache import Claimed, Claims
from tests.servers import running_valkey

KEYS = [bytes([50 * number]) * 16 for number in range(5)]
PRINTS = [0, 1, 2**63 - 1, -(2**63), -1]
OURS, THEIRS = b"ours....", b"theirs.."
EPOCH = b"epoch-00"


@dataclass(frozen=True, slots=True)
class Stored:
    """What the servers have, whichever of them."""

    servers: list[redis.Redis]

    def names(self) -> list[bytes]:
        return [name for server in self.servers for name in server.keys("*") if isinstance(name, bytes)]

    def left(self, name: bytes) -> int:
        """Milliseconds for which a key is kept."""
        return max(server.pttl(name) for server in self._having(name))

    def overwrite(self, name: bytes, value: bytes) -> None:
        """Puts another value in the place of one."""
        for server in self._having(name):
            server.set(name, value)

    def _having(self, name: bytes) -> list[redis.Redis]:
        return [server for server in self.servers if name in server.keys("*")]


@pytest.fixture(params=["one server", "a cluster"])
def redis_of(request: pytest.FixtureRequest) -> Iterator[tuple[str, Stored]]:
    """The URL of an empty Redis, and what it has."""
    if request.param == "one server":
        url = request.getfixturevalue("redis_url")
        with closing(redis.Redis.from_url(url)) as server:
            yield url, Stored([server])
    else:
        cluster = request.getfixturevalue("redis_cluster")
        yield cluster.url, Stored([node.client for node in cluster.masters])


@pytest.fixture
def stored(redis_of: tuple[str, Stored]) -> Stored:
    return redis_of[1]


@pytest.fixture
async def claims(redis_of: tuple[str, Stored]) -> AsyncIterator[Claims]:
    client = open_redis(redis_of[0], client_name="test")
    yield Claims(client, window_seconds=60)
    await client.aclose()


async def test_new_events_are_the_callers(claims: Claims) -> None:
    assert await claims.claim(KEYS, PRINTS, token=OURS, epoch=EPOCH) == Claimed()


async def test_what_somebody_else_is_storing_is_not_decided(claims: Claims) -> None:
    await claims.claim(KEYS[:2], PRINTS[:2], token=THEIRS, epoch=EPOCH)
    assert await claims.claim(KEYS, PRINTS, token=OURS, epoch=EPOCH) == Claimed(all_decided=False)


async def test_what_the_log_has_comes_with_its_own_fingerprint(claims: Claims) -> None:
    await claims.claim(KEYS, PRINTS, token=OURS, epoch=EPOCH)
    await claims.settle(KEYS[3:], PRINTS[3:], applied=True, epoch=EPOCH)
    await claims.settle(KEYS[1:3], PRINTS[1:3], applied=False, epoch=EPOCH)
    await claims.release(KEYS[:1], token=OURS, epoch=EPOCH)
    claimed = await claims.claim(KEYS, [7] * len(KEYS), token=THEIRS, epoch=EPOCH)
    assert claimed.stored == dict(zip(KEYS[1:], PRINTS[1:], strict=True))
    assert claimed.in_doubt == KEYS[1:3]
    assert claimed.all_decided


@pytest.mark.parametrize("knows_msetex", [True, False])
async def test_many_are_claimed_at_once_but_none_that_was_seen(
    server_directory: Path, server_environment: dict[str, str], knows_msetex: bool
) -> None:
    keys = [number.to_bytes(16, "big") for number in range(100)]
    with running_valkey("claiming-valkey", server_directory, server_environment) as (server, _):
        async with connect_redis(server.url, client_name="test") as client:
            await client.acl_setuser("default", commands=["+msetex" if knows_msetex else "-msetex"])
            claims = Claims(client, window_seconds=60)
            await claims.claim(keys[40:41], [4], token=THEIRS, epoch=EPOCH)
            await claims.claim(keys[99:], [9], token=THEIRS, epoch=EPOCH)
            await claims.settle_group(THEIRS, applied=True)
            calls = (await client.info("commandstats")).get("cmdstat_msetex", {"calls": 0})["calls"]
            assert calls == (2 if knows_msetex else 0)
            claimed = await claims.claim(keys, list(range(100)), token=OURS, epoch=EPOCH)
            assert claimed == Claimed(stored={keys[40]: 4, keys[99]: 9})
            await claims.settle_group(OURS, applied=True)
            for name in await client.keys("*"):
                assert 30_000 < await client.pttl(name) <= 60_000
            again = await claims.claim(keys, [0] * 100, token=b"others..", epoch=EPOCH)
            assert again.stored == {key: n for n, key in enumerate(keys)} | {keys[40]: 4, keys[99]: 9}


async def test_a_group_is_settled_with_one_word(claims: Claims, stored: Stored) -> None:
    await claims.claim(KEYS[:2], PRINTS[:2], token=OURS, epoch=EPOCH)
    await claims.claim(KEYS[2:4], PRINTS[2:4], token=THEIRS, epoch=EPOCH)
    before = stored.names()
    await claims.settle_group(OURS, applied=True)
    await claims.settle_group(THEIRS, applied=False)
    assert len(stored.names()) == len(before) + 2
    claimed = await claims.claim(KEYS, [7] * len(KEYS), token=b"others..", epoch=EPOCH)
    assert claimed.stored == dict(zip(KEYS[:4], PRINTS[:4], strict=True))
    assert claimed.in_doubt == KEYS[2:4]
    assert claimed.all_decided


async def test_a_group_that_says_nothing_decides_nothing(claims: Claims) -> None:
    await claims.claim(KEYS[:2], PRINTS[:2], token=OURS, epoch=EPOCH)
    await claims.claim(KEYS[2:], PRINTS[2:], token=THEIRS, epoch=EPOCH)
    await claims.settle_group(OURS, applied=True)
    claimed = await claims.claim(KEYS, PRINTS, token=b"others..", epoch=EPOCH)
    assert claimed.stored == dict(zip(KEYS[:2], PRINTS[:2], strict=True))
    assert not claimed.all_decided


async def test_only_the_holder_gives_a_claim_up(claims: Claims) -> None:
    await claims.claim(KEYS, PRINTS, token=OURS, epoch=EPOCH)
    await claims.release(KEYS, token=THEIRS, epoch=EPOCH)
    assert not (await claims.claim(KEYS, PRINTS, token=THEIRS, epoch=EPOCH)).all_decided
    await claims.release(KEYS, token=OURS, epoch=EPOCH)
    assert await claims.claim(KEYS, PRINTS, token=THEIRS, epoch=EPOCH) == Claimed()


async def test_what_is_settled_is_not_given_up(claims: Claims) -> None:
    await claims.claim(KEYS, PRINTS, token=OURS, epoch=EPOCH)
    await claims.settle(KEYS, PRINTS, applied=True, epoch=EPOCH)
    await claims.release(KEYS, token=OURS, epoch=EPOCH)
    assert (await claims.claim(KEYS, PRINTS, token=THEIRS, epoch=EPOCH)).stored == dict(zip(KEYS, PRINTS, strict=True))


async def test_a_value_that_nobody_here_wrote_decides_nothing(claims: Claims, stored: Stored) -> None:
    await claims.claim(KEYS[:1], PRINTS[:1], token=THEIRS, epoch=EPOCH)
    await claims.settle_group(THEIRS, applied=True)
    assert (await claims.claim(KEYS[:1], PRINTS[:1], token=OURS, epoch=EPOCH)).stored
    stored.overwrite(next(name for name in stored.names() if name.endswith(KEYS[0])), b"d")
    assert await claims.claim(KEYS[:1], PRINTS[:1], token=OURS, epoch=EPOCH) == Claimed(all_decided=False)


async def test_what_was_noted_in_another_epoch_is_not_known(claims: Claims) -> None:
    await claims.claim(KEYS, PRINTS, token=OURS, epoch=EPOCH)
    await claims.settle(KEYS[:2], PRINTS[:2], applied=True, epoch=EPOCH)
    await claims.settle_group(OURS, applied=True)
    assert await claims.claim(KEYS, PRINTS, token=THEIRS, epoch=b"epoch-01") == Claimed()
    await claims.release(KEYS, token=THEIRS, epoch=b"epoch-01")
    assert len((await claims.claim(KEYS, PRINTS, token=THEIRS, epoch=EPOCH)).stored) == len(KEYS)


async def test_claims_expire(claims: Claims, stored: Stored) -> None:
    await claims.claim(KEYS, PRINTS, token=OURS, epoch=EPOCH)
    await claims.settle(KEYS[:1], PRINTS[:1], applied=True, epoch=EPOCH)
    await claims.settle_group(OURS, applied=True)
    assert len(stored.names()) == len(KEYS) + 1
    for name in stored.names():
        assert 30_000 < stored.left(name) <= 60_000


async def test_claims_are_not_written_to_the_append_only_file(
    server_directory: Path, server_environment: dict[str, str]
) -> None:
    valkey = running_valkey("appending-valkey", server_directory, server_environment, persistent=True)
    with valkey as (server, _):
        async with connect_redis(server.url, client_name="test") as client:

            async def appended() -> int:
                return int((await client.info("persistence"))["aof_current_size"])

            before = await appended()
            claims = Claims(client, window_seconds=60)
            await claims.claim(KEYS, PRINTS, token=OURS, epoch=EPOCH)
            await claims.settle(KEYS[1:], PRINTS[1:], applied=True, epoch=EPOCH)
            await claims.settle_group(OURS, applied=True)
            await claims.release(KEYS, token=OURS, epoch=EPOCH)
            assert await appended() == before
            await client.set("something", "else")
            assert await appended() > before


async def test_a_redis_that_is_away_decides_nothing_and_is_left_alone(redis_url: str) -> None:
    async with connect_redis("redis://127.0.0.1:1/0", client_name="test") as nobody:
        claims = Claims(nobody, window_seconds=60)
        assert await claims.claim(KEYS, PRINTS, token=OURS, epoch=EPOCH) == Claimed(all_decided=False)
        await claims.settle(KEYS, PRINTS, applied=True, epoch=EPOCH)
        await claims.settle_group(OURS, applied=True)
        await claims.release(KEYS, token=OURS, epoch=EPOCH)
