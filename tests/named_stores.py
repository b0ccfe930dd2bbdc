"""Stores that the environment names, instead of those that the session starts: `make test-cluster`.

They are emptied for each test. Whoever runs the suites against a database says so: DMP_TEST_CLUSTER=1.
"""

from __future__ import annotations

import os
from typing import Final

import psycopg
import redis
from psycopg import sql

from dmp_chassis.redis_address import redis_address
from dmp_chassis.service_settings import database_variable
from dmp_stack.settings import CONTEXTS

_KEPT: Final = ("alembic_version", "graph_version", "erasure_salt")
"""What a migrated database has in it."""


def named_database(context: str) -> str | None:
    """The URL of a service's database, None if the session starts one."""
    return os.environ.get(database_variable(context)) if os.environ.get("DMP_TEST_CLUSTER") else None


def named_databases() -> dict[str, str]:
    """The URLs of all databases that are named, by service."""
    return {context: url for context in CONTEXTS if (url := named_database(context))}


def named_redis() -> str | None:
    """The URL of the Redis, None if the session starts one."""
    return os.environ.get("DMP_REDIS_URL") if os.environ.get("DMP_TEST_CLUSTER") else None


def empty_redis(url: str) -> None:
    """Deletes all keys of a server, or of all nodes of a cluster."""
    address = redis_address(url)
    if address.kind != "cluster":
        with redis.Redis.from_url(url) as client:
            client.flushall()
        return
    host, port = address.nodes[0]
    options = {"ssl": address.options.get("connection_class") is not None, **address.options}
    options.pop("connection_class", None)
    with redis.RedisCluster(host=host, port=port, **options) as cluster:
        cluster.flushall(target_nodes=redis.RedisCluster.PRIMARIES)


def empty_database(url: str) -> None:
    """Leaves the tables and nothing in them. Sequences begin again."""
    with psycopg.connect(url, autocommit=True) as connection:
        found = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        tables = [name for (name,) in found.fetchall() if name not in _KEPT]
        for name in tables:
            table = sql.Identifier(name)
            # Whoever may make the tables may also empty those that are kept from being emptied.
            guarded = name == "action"
            if guarded:
                connection.execute(sql.SQL("ALTER TABLE {} DISABLE TRIGGER USER").format(table))
            connection.execute(sql.SQL("TRUNCATE {} RESTART IDENTITY").format(table))
            if guarded:
                connection.execute(sql.SQL("ALTER TABLE {} ENABLE TRIGGER USER").format(table))
        found = connection.execute("SELECT relname FROM pg_class WHERE relname IN ('profile_ids', 'contact_ids')")
        for (name,) in found.fetchall():
            connection.execute(sql.SQL("ALTER SEQUENCE {} RESTART").format(sql.Identifier(name)))
