"""A client of a real cluster: where commands go, what happens when slots move and nodes go, and whom it believes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.crc import key_slot
from redis.exceptions import ClusterDownError, ConnectionError, RedisError, TryAgainError

from dmp_chassis.outages import outage
from dmp_chassis.redis_client import check_redis, open_redis, run, run_each
from dmp_chassis.redis_cluster import ClusterClient, Command
from tests.conditions import eventually
from tests.redis_cluster import RunningCluster

KEYS = [b"key %d" % number for number in range(60)]


@pytest.fixture
async def client(redis_cluster: RunningCluster) -> AsyncIterator[ClusterClient]:
    opened = open_redis(redis_cluster.url, client_name="chassis-test", timeout_seconds=2)
    assert isinstance(opened, ClusterClient)
    yield opened
    await opened.aclose()


def setting(keys: list[bytes], value: bytes) -> list[Command]:
    return [Command(key, ("SET", key, value)) for key in keys]


def getting(keys: list[bytes]) -> list[Command]:
    return [Command(key, ("GET", key)) for key in keys]


async def test_commands_go_to_the_nodes_of_their_slots_in_one_round_trip_each(
    client: ClusterClient, redis_cluster: RunningCluster
) -> None:
    ports = {key: redis_cluster.owner(key_slot(key)).port for key in KEYS}
    asked = sum(node.calls("cluster|slots") for node in redis_cluster.nodes)
    assert await run_each(client, setting(KEYS, b"1")) == [True] * len(KEYS)
    assert await run_each(client, getting(KEYS)) == [b"1"] * len(KEYS)
    assert sum(node.calls("cluster|slots") for node in redis_cluster.nodes) == asked + 1
    for node in redis_cluster.masters:
        mine = [key for key in KEYS if ports[key] == node.port]
        assert len(mine) > 10
        assert (node.calls("get"), node.calls("set")) == (len(mine), len(mine))
    assert b"name=chassis-test" in redis_cluster.masters[0].says("CLIENT", "LIST")


async def test_an_error_of_one_command_is_the_answer_to_that_command(client: ClusterClient) -> None:
    await run(client, Command(b"list", ("RPUSH", "list", "a")))
    answers = await run_each(client, [*setting(KEYS[:5], b"1"), Command(b"list", ("GET", "list"))])
    assert answers[:5] == [True] * 5
    assert isinstance(answers[5], RedisError)
    with pytest.raises(RedisError, match="WRONGTYPE"):
        await run(client, Command(b"list", ("GET", "list")))


async def test_while_a_slot_moves_each_key_is_where_it_is(client: ClusterClient, redis_cluster: RunningCluster) -> None:
    old_key, new_key = b"{one slot}old", b"{one slot}new"
    await run_each(client, setting([old_key], b"old"))
    with redis_cluster.moving(key_slot(old_key)) as (old, new):
        # Several at a time: each is asked for on the connection on which it was announced.
        answers = await asyncio.gather(
            *(run_each(client, setting([b"%b %d" % (new_key, number)], b"new")) for number in range(20))
        )
        assert answers == [[True]] * 20
        assert await run_each(client, getting([old_key, b"%b 1" % new_key])) == [b"old", b"new"]
        assert (old.says("CLUSTER", "COUNTKEYSINSLOT", key_slot(old_key)), new.calls("set")) == (1, 20)
        both = Command(old_key, ("MGET", old_key, b"%b 1" % new_key))
        assert isinstance((await run_each(client, [both]))[0], TryAgainError)
    assert await run(client, both) == [b"old", b"new"]
    # It was told once that the slot has moved.
    asked = old.calls("mget")
    assert await run(client, both) == [b"old", b"new"]
    assert old.calls("mget") == asked


async def test_a_replica_that_takes_over_is_found(client: ClusterClient, redis_cluster: RunningCluster) -> None:
    await run_each(client, setting(KEYS, b"1"))
    master = redis_cluster.masters[1]
    replica = redis_cluster.replica(master)
    lost = [key for key in KEYS if redis_cluster.owner(key_slot(key)) is master]
    kept = [key for key in KEYS if key not in lost]
    redis_cluster.kill(master)
    answers = dict(zip(KEYS, await run_each(client, setting(KEYS, b"2")), strict=True))
    assert [answers[key] for key in kept] == [True] * len(kept)
    assert all(isinstance(answers[key], ConnectionError) for key in lost)
    with pytest.raises(RedisError) as raised:
        await check_redis(client)
    assert outage(raised.value) is not None
    redis_cluster.take_over(replica)

    async def all_is_well() -> bool:
        return await run_each(client, setting(KEYS, b"3")) == [True] * len(KEYS)

    await eventually(all_is_well)
    await check_redis(client)


async def test_a_frozen_node_holds_up_only_what_is_for_it(client: ClusterClient, redis_cluster: RunningCluster) -> None:
    await run_each(client, setting(KEYS, b"1"))
    frozen = redis_cluster.masters[2]
    of_others = [key for key in KEYS if redis_cluster.owner(key_slot(key)) is not frozen]
    frozen.child.pause()
    answers = await run_each(client, setting(KEYS, b"2"), timeout_seconds=0.3)
    failed = {key for key, answer in zip(KEYS, answers, strict=True) if isinstance(answer, Exception)}
    assert failed == {*KEYS} - {*of_others}
    # While it is found out who has which slot, also from the frozen node, others go on.
    for _ in range(30):
        assert await run_each(client, setting(of_others, b"3")) == [True] * len(of_others)
    frozen.child.resume()

    async def all_answer() -> bool:
        return not any(isinstance(answer, Exception) for answer in await run_each(client, getting(KEYS)))

    await eventually(all_answer)
    # No answer that came too late was taken for that of another command.
    values = dict(zip(KEYS, await run_each(client, getting(KEYS)), strict=True))
    assert all(values[key] == b"3" if key in of_others else values[key] in {b"1", b"2"} for key in KEYS)


async def test_a_cluster_that_is_not_there_is_an_outage() -> None:
    client = open_redis("redis+cluster://127.0.0.1:1,127.0.0.1:2", client_name="chassis-test")
    for _ in range(2):
        with pytest.raises(ClusterDownError) as raised:
            await check_redis(client)
        assert outage(raised.value) is not None
    assert all(isinstance(answer, ClusterDownError) for answer in await run_each(client, getting(KEYS)))
    await client.aclose()
