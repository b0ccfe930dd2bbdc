"""The whole system on PostgreSQL and Valkey that compose's own scripts have started, over TLS only."""

from __future__ import annotations

import itertools
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psycopg
import pytest
import redis

from deploy.passwords.make_passwords import CONTEXTS
from dmp_stack.stack import Stack
from tests.conditions import wait_until
from tests.contracts.payloads import campaign_event
from tests.tls_stores import TlsStores

SSL_REQUEST = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"


@pytest.fixture(scope="module")
def system(new_stack: Callable[..., Stack], tls_stores: TlsStores) -> Iterator[Stack]:
    urls = {"database_urls": tls_stores.database_urls, "redis_url": tls_stores.redis_url}
    with new_stack(**urls, postgres_seed=None) as running:
        yield running


def superuser(stores: TlsStores) -> psycopg.Connection:
    return psycopg.connect(
        f"host=localhost port={stores.ports['postgres']} user=postgres dbname=postgres "
        f"password={stores.told('postgres/superuser')} sslmode=verify-full sslrootcert={stores.authority}",
        autocommit=True,
    )


def shown_certificate(port: int, *, postgres: bool) -> bytes:
    """The certificate that a server shows to a new connection."""
    unverified = ssl.create_default_context()
    unverified.check_hostname, unverified.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        if postgres:
            connection.sendall(SSL_REQUEST)
            assert connection.recv(1) == b"S"
        with unverified.wrap_socket(connection) as secured:
            return secured.getpeercert(binary_form=True) or b""


def test_events_are_applied_and_every_connection_speaks_tls(system: Stack, tls_stores: TlsStores) -> None:
    with httpx.Client(base_url=system.http_url, trust_env=False, timeout=30) as client:
        answer = client.post("/events", json=campaign_event()).raise_for_status().json()
        assert answer["applied"] is True
        assert client.get("/healthz").json()["degraded"] == []
    with superuser(tls_stores) as connection:
        found = connection.execute(
            "SELECT usename, bool_and(ssl) FROM pg_stat_activity JOIN pg_stat_ssl USING (pid) "
            "WHERE usename LIKE 'dmp%' GROUP BY 1 ORDER BY 1"
        ).fetchall()
    assert found == [(f"dmp_{context}", True) for context in sorted(CONTEXTS)]


@pytest.mark.parametrize("context", CONTEXTS)
def test_postgres_takes_nobody_without_tls_or_a_password_or_into_another_database(
    context: str, tls_stores: TlsStores
) -> None:
    url = tls_stores.database_urls[context]
    psycopg.connect(url).close()
    for refused, why in (
        (url.replace("verify-full", "disable"), "no encryption"),
        (url.replace(f"dmp_{context}:", f"dmp_{context}:x"), "password authentication failed"),
        (url.replace(f"/dmp_{context}?", "/postgres?"), "permission denied"),
    ):
        with pytest.raises(psycopg.OperationalError, match=why):
            psycopg.connect(refused)


def test_valkey_takes_nobody_without_tls_and_the_services_may_only_do_their_work(tls_stores: TlsStores) -> None:
    with redis.Redis.from_url(tls_stores.redis_url) as client:
        for refused in (client.flushall, client.config_get, client.keys, lambda: client.set("elsewhere", "x")):
            with pytest.raises(redis.exceptions.NoPermissionError):
                refused()
    with (
        redis.Redis.from_url(tls_stores.redis_url.replace("rediss:", "redis:").partition("?")[0]) as plain,
        pytest.raises(redis.exceptions.ConnectionError),
    ):
        plain.ping()


def test_new_certificates_are_taken_and_no_call_fails(system: Stack, tls_stores: TlsStores) -> None:
    def shown() -> dict[str, bytes]:
        return {name: shown_certificate(port, postgres=name == "postgres") for name, port in tls_stores.ports.items()}

    before, numbers = shown(), itertools.count()
    tls_stores.renew()
    expected = {name: certificate(tls_stores.certificates / name / "cert.pem") for name in tls_stores.ports}
    assert all(before[name] != expected[name] for name in before)
    with httpx.Client(base_url=system.http_url, trust_env=False, timeout=30) as client:

        def taken() -> bool:
            next(numbers)
            assert client.post("/events", json=campaign_event()).raise_for_status().json()["accepted"] == 1
            return shown() == expected

        wait_until(taken, "the new certificates are shown", timeout_seconds=60)
        assert client.post("/events", json=campaign_event()).raise_for_status().json()["applied"]
    psycopg.connect(tls_stores.database_urls["stats"]).close()


def test_a_password_that_was_changed_counts_after_the_next_start(tls_stores: TlsStores) -> None:
    old = tls_stores.database_urls["stats"]
    tls_stores.environment["DMP_STATS_DATABASE_PASSWORD"] = "an'other \\ %/@:one"
    tls_stores.hand_out()
    tls_stores.postgres.stop(30)
    tls_stores.postgres.start()
    tls_stores.wait_for_postgres()
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(old)


def certificate(path: Path) -> bytes:
    return ssl.PEM_cert_to_DER_cert(path.read_text())
