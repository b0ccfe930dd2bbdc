"""What DMP_REDIS_URL may say, and what is said of one that cannot be read."""

from __future__ import annotations

import pytest
from redis.asyncio import SSLConnection

from dmp_chassis.redis_address import read_redis_url, redis_address
from dmp_chassis.redis_client import connect_redis
from dmp_chassis.settings import EnvReader, SettingsError


def test_one_server_is_what_the_library_reads() -> None:
    address = redis_address("rediss://u:p%40ss@host:7000/3?ssl_ca_certs=/ca.pem")
    assert (address.kind, address.nodes) == ("server", ())
    assert address.options == {
        "host": "host",
        "port": 7000,
        "db": 3,
        "username": "u",
        "password": "p@ss",
        "ssl_ca_certs": "/ca.pem",
        "connection_class": SSLConnection,
    }
    assert redis_address("unix:///run/valkey.sock").options["path"] == "/run/valkey.sock"


def test_a_cluster_is_some_of_its_nodes_and_one_login() -> None:
    address = redis_address("redis+cluster://u:p%2Cq@a:7001,b,10.0.0.7:7002/0")
    assert (address.kind, address.nodes) == ("cluster", (("a", 7001), ("b", 6379), ("10.0.0.7", 7002)))
    assert address.options == {"username": "u", "password": "p,q"}
    encrypted = redis_address("rediss+cluster://a,b?ssl_ca_certs=/ca.pem&ssl_check_hostname=True").options
    assert encrypted == {"ssl_ca_certs": "/ca.pem", "ssl_check_hostname": True, "connection_class": SSLConnection}


def test_sentinels_have_a_name_for_the_server_and_perhaps_a_login_of_their_own() -> None:
    url = "rediss+sentinel://:p@a,b:1/2?service=dmp&sentinel_username=s&sentinel_password=t%26&ssl_ca_certs=/ca.pem"
    address = redis_address(url)
    assert (address.kind, address.nodes, address.service) == ("sentinel", (("a", 26379), ("b", 1)), "dmp")
    assert address.sentinel_login == {"username": "s", "password": "t&"}
    assert (address.options["db"], address.options["password"]) == (2, "p")
    # Sentinels are asked with the same proofs as the server, and with their login, not with its.
    pool = connect_redis(url, client_name="test", timeout_seconds=0.7).connection_pool
    for sentinel in pool.sentinel_manager.sentinels:  # type: ignore[attr-defined]  # it is one of Sentinels
        given = sentinel.connection_pool.connection_kwargs
        assert (given["username"], given["password"], given["socket_timeout"]) == ("s", "t&", 0.7)
        assert (sentinel.connection_pool.connection_class, given["ssl_ca_certs"]) == (SSLConnection, "/ca.pem")


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("redis+cluster://secret@a/1", "must name no other database than 0"),
        ("redis+cluster://", "must name hosts"),
        ("redis+cluster://a,,b", "must name hosts"),
        ("redis+cluster://a,b:99999", "must be a URL that starts with"),
        ("redis+cluster://a:x,b", "must be a URL that starts with"),
        ("redis+cluster://" + "a," * 100 + "a", "names more than 100 hosts"),
        ("redis+sentinel://secret@a", "must say ?service="),
        ("redis+cluster://a?socket_timeout=secret", "has an option whose value cannot be read"),
        ("redis://a?db=secret", "has an option whose value cannot be read"),
        ("redis://a:1,b:2", "must be a URL that starts with redis:// or rediss:// or unix:// or redis+cluster://"),
        ("redis-cluster://a", "must be a URL that starts with"),
    ],
)
def test_what_cannot_be_read_is_said_without_a_value(url: str, problem: str) -> None:
    env = EnvReader({"DMP_REDIS_URL": url})
    assert read_redis_url(env) == ""
    with pytest.raises(SettingsError) as raised:
        env.finish()
    (said,) = raised.value.problems
    assert said.startswith(f"DMP_REDIS_URL {problem}")
    assert "secret" not in said


def test_a_client_of_one_server_refuses_a_cluster() -> None:
    with pytest.raises(ValueError, match="names a cluster"):
        connect_redis("redis+cluster://a", client_name="test")
