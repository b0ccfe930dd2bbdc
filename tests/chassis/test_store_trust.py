"""A database or a Redis on another machine has to prove who it is, unless the network is trusted."""

from __future__ import annotations

import pytest

from dmp_chassis.service_settings import database_url_from_env, read_common
from dmp_chassis.settings import EnvReader, SettingsError
from dmp_chassis.store_trust import proves_itself
from dmp_stack.settings import StackSettings


@pytest.mark.parametrize(
    "url",
    [
        "",
        "postgresql:///dmp?host=/run/pg",
        "postgresql://u:p@/dmp",
        "postgresql://u:p@%2Frun%2Fpg/dmp",
        "postgresql://u:p@localhost:5432/dmp",
        "postgresql://u:p@127.0.0.3/dmp",
        "postgresql://u:p@[::1]:5432/dmp?sslmode=disable",
        "postgresql://u:p@db.example/dmp?host=/run/pg",
        "postgresql://u:p@db.example/dmp?sslmode=verify-full",
        "postgresql://u:p@db.example/dmp?sslmode=disable&sslmode=verify-full&sslrootcert=/ca.pem",
        "unix:///run/valkey.sock?db=0",
        "redis://localhost:6379/0",
        "redis://:p@127.0.0.1/0",
        "rediss://:p@redis.example:6380/0",
        "rediss://redis.example/0?ssl_ca_certs=/ca.pem&ssl_cert_reqs=required&ssl_check_hostname=True",
        "rediss+cluster://u:p@one.example,two.example:7000",
        "rediss+sentinel://one.example:26379/0?service=dmp&ssl_ca_certs=/ca.pem",
    ],
)
def test_a_server_of_this_machine_and_one_that_is_verified_are_believed(url: str) -> None:
    assert proves_itself(url)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:p@db.example/dmp",
        "postgresql://u:p@10.0.0.7:5432/dmp?sslmode=require",
        "postgresql://u:p@db.example/dmp?sslmode=verify-ca&sslrootcert=/ca.pem",
        "postgresql://u:p@db.example/dmp?sslmode=verify-full&sslmode=prefer",
        "postgresql:///dmp?host=db.example",
        "postgresql://u:p@localhost/dmp?host=/run/pg,db.example",
        "postgresql://u:p@localhost/dmp?host=localhost&hostaddr=10.0.0.7",
        "postgresql://u:p@localhost.example/dmp",
        "redis://redis.example/0",
        "redis://redis.example/0?ssl_cert_reqs=required",
        "rediss://redis.example/0?ssl_cert_reqs=none",
        "rediss://redis.example/0?ssl_cert_reqs=optional",
        "rediss://redis.example/0?ssl_check_hostname=False",
        "redis+cluster://redis.example",
        # They say themselves where the servers are.
        "redis+cluster://127.0.0.1:7000,127.0.0.1:7001",
        "redis+sentinel://localhost:26379/0?service=dmp",
        "rediss+cluster://redis.example?ssl_cert_reqs=none",
    ],
)
def test_a_server_elsewhere_that_nobody_asks_who_it_is_is_not(url: str) -> None:
    assert not proves_itself(url)


ELSEWHERE = {
    "DMP_TEST_DATABASE_URL": "postgresql://u:hunter2@db.example/dmp",
    "DMP_REDIS_URL": "redis://:hunter2@redis.example/0",
    "DMP_TEST_LISTEN": "127.0.0.1:1",
}


def problems(environ: dict[str, str]) -> list[str]:
    env = EnvReader(environ)
    read_common(env, "test", port=1)
    try:
        env.finish()
    except SettingsError as error:
        return error.problems
    return []


def test_a_service_names_each_variable_and_the_way_out_and_shows_no_value() -> None:
    said = problems(ELSEWHERE)
    assert [text.partition(" ")[0] for text in said] == ["DMP_TEST_DATABASE_URL", "DMP_REDIS_URL"]
    assert all("DMP_PLAIN_STORES=1" in text for text in said)
    assert "sslmode=verify-full" in said[0]
    assert "rediss://" in said[1]
    assert "hunter2" not in str(said)
    assert problems({**ELSEWHERE, "DMP_PLAIN_STORES": "1"}) == []


def test_nodes_that_name_others_need_a_proof_also_on_this_machine() -> None:
    environ = {**ELSEWHERE, "DMP_REDIS_URL": "redis+cluster://:hunter2@localhost:7000"}
    (said,) = problems({**environ, "DMP_TEST_DATABASE_URL": "postgresql:///dmp"})
    assert said.startswith("DMP_REDIS_URL finds servers on any machine")
    assert "rediss+cluster://" in said
    assert problems({**environ, "DMP_PLAIN_STORES": "1"}) == []


def test_migrating_asks_for_the_same_proof() -> None:
    with pytest.raises(SettingsError, match="DMP_TEST_DATABASE_URL leads to another machine"):
        database_url_from_env(ELSEWHERE, "test")
    url = database_url_from_env({**ELSEWHERE, "DMP_PLAIN_STORES": "1"}, "test")
    assert url == ELSEWHERE["DMP_TEST_DATABASE_URL"]


def test_the_embedded_stack_says_so_before_it_starts_anything() -> None:
    elsewhere = {
        "DMP_STATS_DATABASE_URL": ELSEWHERE["DMP_TEST_DATABASE_URL"],
        "DMP_REDIS_URL": ELSEWHERE["DMP_REDIS_URL"],
    }
    with pytest.raises(SettingsError) as raised:
        StackSettings.from_env(elsewhere)
    assert [text.partition(" ")[0] for text in raised.value.problems] == ["DMP_STATS_DATABASE_URL", "DMP_REDIS_URL"]
    assert StackSettings.from_env({**elsewhere, "DMP_PLAIN_STORES": "1"}).redis_url == elsewhere["DMP_REDIS_URL"]
