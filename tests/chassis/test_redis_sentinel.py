"""A server that Sentinels point to: found by its name, and found again when another has taken its place."""

from __future__ import annotations

from pathlib import Path

import pytest
from redis.exceptions import RedisError

from dmp_chassis.redis_client import check_redis, connect_redis
from dmp_cli.redis_servers import server_of
from tests.conditions import eventually, wait_until
from tests.redis_cluster import new_place, running_node

SECRET, OF_SENTINEL = "hunter2", "hunter3"


async def test_who_takes_over_is_found_by_asking_a_sentinel(
    server_directory: Path, server_environment: dict[str, str]
) -> None:
    folder = server_directory / "sentinel"
    with (
        new_place(folder / "first") as first_place,
        new_place(folder / "second") as second_place,
        new_place(folder / "sentinel") as sentinel_place,
        running_node(first_place, server_environment, password=SECRET) as first,
        running_node(second_place, server_environment, f"replicaof 127.0.0.1 {first.port}", password=SECRET) as second,
        running_node(
            sentinel_place,
            server_environment,
            f"sentinel monitor dmp 127.0.0.1 {first.port} 1",
            f"sentinel auth-pass dmp {SECRET}",
            f"sentinel known-replica dmp 127.0.0.1 {second_place.port}",  # which takes it ten seconds to find out
            "sentinel down-after-milliseconds dmp 500",
            arguments=["--sentinel"],
            password=OF_SENTINEL,
        ) as sentinel,
    ):
        for node in (first, second, sentinel):
            wait_until(node.answers, f"an answer of {node.child.name}")
        # With the least rights, as docs/operations.md has them.
        sentinel.says(
            "ACL", "SETUSER", "asker", "on", f">{OF_SENTINEL}", "-@all", "+client|setinfo", "+sentinel|masters"
        )
        url = f"redis+sentinel://:{SECRET}@127.0.0.1:1,127.0.0.1:{sentinel.port}/0?service=dmp"
        login = f"sentinel_username=asker&sentinel_password={OF_SENTINEL}"
        client = connect_redis(f"{url}&{login}", client_name="test", timeout_seconds=2)
        stranger = connect_redis(url, client_name="test", timeout_seconds=2)
        assert await client.set("key", "value")
        await check_redis(client)
        assert first.says("GET", "key") == b"value"
        with pytest.raises(RedisError):  # whom the Sentinel does not answer
            await check_redis(stranger)
        wait_until(lambda: second.info("replication")["master_link_status"] == "up", "a replica that follows")
        wait_until(lambda: _knows_a_replica(sentinel.says("SENTINEL", "REPLICAS", "dmp")), "a Sentinel that knows it")
        first.child.stop(5)

        async def takes_writes_again() -> bool:
            try:
                return bool(await client.set("key", "another"))
            except RedisError:
                return False

        await eventually(takes_writes_again, within_seconds=30)
        found = server_of(f"{url}&{login}", "key")
        assert found.partition("?")[0] == f"redis://:{SECRET}@127.0.0.1:{second.port}/0"
        assert (second.says("GET", "key"), second.info("replication")["role"]) == (b"another", "master")
        await client.aclose()
        await stranger.aclose()


def _knows_a_replica(replicas: list[object]) -> bool:
    return len(replicas) == 1
