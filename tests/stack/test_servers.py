"""The servers that every other suite stands on."""

from __future__ import annotations

import psycopg
import pytest
import redis

from tests.servers import PostgresFixture


def test_a_clone_has_its_templates_tables_and_keeps_its_own_rows(postgres: PostgresFixture) -> None:
    template = postgres.create_database("clone_template")
    with psycopg.connect(template) as connection:
        connection.execute("CREATE TABLE thing (id int PRIMARY KEY)")
    for name in ("clone_one", "clone_two"):
        with psycopg.connect(postgres.create_database(name, template="clone_template")) as connection:
            connection.execute("INSERT INTO thing VALUES (1)")
    with psycopg.connect(template) as connection:
        row = connection.execute("SELECT count(*) FROM thing").fetchone()
    assert row == (0,)
    for name in ("clone_one", "clone_two", "clone_template"):
        postgres.drop_database(name)


def test_a_role_reaches_its_own_database_only(postgres: PostgresFixture) -> None:
    postgres.server.provision("own_a", role="role_a", password=None)
    postgres.server.provision("own_b", role="role_b", password=None)
    with psycopg.connect(postgres.url("own_a", "role_a")) as connection:
        connection.execute("CREATE TABLE mine (id int)")
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        psycopg.connect(postgres.url("own_b", "role_a"))
    for name in ("own_a", "own_b"):
        postgres.drop_database(name)


def test_redis_is_empty_at_the_start_of_a_test(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0
        client.set("left", "behind")


def test_redis_is_empty_again_for_the_next_test(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0
