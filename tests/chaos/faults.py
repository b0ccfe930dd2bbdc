"""What can break: processes that die or freeze, a cache that forgets, connections that are cut."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Mapping

import psycopg
import redis

from dmp_stack.stack import Stack
from tests.freezing import frozen
from tests.named_stores import named_databases, named_redis

PROCESSES = ("ingest", "identity", "stats", "gateway", "postgres", "valkey")


def _kill(name: str) -> Callable[[Stack, random.Random], None]:
    def fault(stack: Stack, chance: random.Random) -> None:
        stack.child(name).kill()

    return fault


def _freeze(name: str) -> Callable[[Stack, random.Random], None]:
    def fault(stack: Stack, chance: random.Random) -> None:
        with frozen(stack.child(name)):
            time.sleep(chance.uniform(0.3, 2.5))  # how long it is frozen is the fault

    return fault


def _forget(stack: Stack, chance: random.Random) -> None:
    with contextlib.suppress(redis.RedisError), redis.Redis.from_url(stack.redis_url) as client:
        client.flushall()


def _cut_redis(stack: Stack, chance: random.Random) -> None:
    with contextlib.suppress(redis.RedisError), redis.Redis.from_url(stack.redis_url) as client:
        client.execute_command("CLIENT", "KILL", "TYPE", "NORMAL", "SKIPME", "YES")


def _cut_postgres(stack: Stack, chance: random.Random) -> None:
    with contextlib.suppress(psycopg.Error), stack.postgres.connect() as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend'"
            " AND pid <> pg_backend_pid()"
        )


FAULTS: Mapping[str, Callable[[Stack, random.Random], None]] = {
    **{f"kill {name}": _kill(name) for name in PROCESSES},
    **{f"freeze {name}": _freeze(name) for name in PROCESSES},
    "flush valkey": _forget,
    "cut connections to valkey": _cut_redis,
    "cut connections to postgres": _cut_postgres,
}
"""Every kind of fault. Killed processes are restarted by the stack; a fault returns when the thing itself is over."""


def faults_within_reach() -> list[str]:
    """The names of the faults that can be caused: not those of stores that somebody else runs."""
    others = {*(["postgres"] if named_databases() else []), *(["valkey"] if named_redis() else [])}
    of_others = {f"{what} {name}" for what in ("kill", "freeze", "cut connections to") for name in others}
    return sorted(FAULTS.keys() - of_others)
