"""Something breaks, and the alert that names it becomes true on a real Prometheus; it is mended, and it is false again.

What alerts wait for before they tell somebody (`for`) is tested by promtool, in minutes that nobody has to wait for.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from deploy.certificates.make_certificates import make_certificates
from dmp_stack.settings import CONTEXTS
from dmp_stack.stack import Stack
from dmp_stack.stores import role_of
from tests.conditions import wait_until
from tests.freezing import frozen
from tests.observability.prometheus import Prometheus

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("certificates")
    make_certificates(directory)
    return directory


@pytest.fixture(scope="module")
def system(new_stack: Callable[..., Stack], certificates: Path) -> Iterator[Stack]:
    """A system of this module's own, with a canary every second, an audit that hardly pauses, and a short queue."""
    environment = {
        "DMP_CANARY_EVERY_SECONDS": "1",
        "DMP_INGEST_AUDIT_HOURS": "1",
        "DMP_INGEST_AUDIT_PAUSE_SECONDS": "0.1",
        "DMP_INGEST_MAX_QUEUED_EVENTS": "2000",
    }
    with new_stack(canary=True, service_environment=environment, certificates_directory=certificates) as running:
        yield running


@pytest.fixture(scope="module")
def api(system: Stack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=system.http_url, timeout=30.0, trust_env=False) as client:
        yield client


@pytest.fixture(scope="module")
def prometheus(system: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    urls = {**{context: system.metrics_url(context) for context in CONTEXTS}, "canary": system.canary_metrics_url}
    targets = {job: url.removeprefix("http://").removesuffix("/metrics") for job, url in urls.items()}
    fresh = 'sum(dmp_canary_journeys_total{outcome="fresh"}) > 0'
    with contextlib.closing(Prometheus(tmp_path_factory.mktemp("prometheus"), targets)) as running:
        wait_until(lambda: len(running.query("up == 1")) == len(targets), "every target scraped", timeout_seconds=60)
        wait_until(lambda: bool(running.query(fresh)), "a canary that was seen everywhere", timeout_seconds=60)
        yield running


def campaign_event(campaign: str, **fields: str) -> dict[str, Any]:
    moment = (datetime.now(UTC) - timedelta(minutes=5)).isoformat()
    return {
        "event_id": str(uuid.uuid4()),
        "type": "click",
        "campaign_id": campaign,
        "source": "web",
        "occurred_at": moment,
        **fields,
    }


def test_a_full_queue(system: Stack, api: httpx.Client, prometheus: Prometheus) -> None:
    """It is silent again when nobody has been refused for a minute: the last test of this module looks."""

    def refuse() -> bool:
        batches = [[campaign_event("burst") for _ in range(1000)] for _ in range(16)]
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(lambda batch: api.post("/events", json=batch), batches))
        return prometheus.rings("QueueFull")

    wait_until(refuse, "QueueFull rings", timeout_seconds=60)


def test_stats_frozen(system: Stack, prometheus: Prometheus) -> None:
    with frozen(system.child("stats")):
        prometheus.wait_until_it_rings("ConsumerAway", consumer="stats")
        prometheus.wait_until_it_rings("ServiceDown", job="stats")
        assert not prometheus.rings("ConsumerAway", consumer="identity")
    prometheus.wait_until_it_is_silent("ConsumerAway")
    prometheus.wait_until_it_is_silent("ServiceDown")


@contextlib.contextmanager
def without_identitys_database(system: Stack) -> Iterator[None]:
    """Nobody can connect to identity's database; the others are there."""
    name = role_of("identity")
    with system.postgres.connect() as superuser:
        superuser.execute(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS false".encode())
        try:
            superuser.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
            yield
        finally:
            superuser.execute(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS true".encode())


def test_identitys_database_away_and_an_erasure_that_cannot_finish(
    system: Stack, api: httpx.Client, prometheus: Prometheus
) -> None:
    answer = api.post("/events", json=campaign_event("erased", user_id=f"u-{uuid.uuid4()}")).raise_for_status().json()
    person = answer["results"][0]["internal_user_id"]
    with without_identitys_database(system):
        prometheus.wait_until_it_rings("DatabaseAway", job="identity")
        prometheus.wait_until_it_rings("ConsumerAway", consumer="identity")
        assert not prometheus.rings("DatabaseAway", job="ingest")
        assert api.delete(f"/users/{person}").status_code == 503
        assert not prometheus.rings("ErasureStuck")
        with psycopg.connect(system.database_url("ingest"), autocommit=True) as connection:
            # Nobody waits for an hour here.
            aged = connection.execute(
                "UPDATE erasure SET requested_at = now() - interval '2 hours' WHERE completed_at IS NULL"
            )
            assert aged.rowcount == 1
        prometheus.wait_until_it_rings("ErasureStuck")
    prometheus.wait_until_it_is_silent("DatabaseAway")
    prometheus.wait_until_it_is_silent("ErasureStuck")
    prometheus.wait_until_it_is_silent("ConsumerAway")


def test_redis_away(system: Stack, prometheus: Prometheus) -> None:
    system.child("valkey").stop(10)
    prometheus.wait_until_it_rings("RedisAway", job="ingest")
    assert not prometheus.rings("DatabaseAway")
    system.child("valkey").start()
    prometheus.wait_until_it_is_silent("RedisAway")


def test_certificates_that_are_about_to_end(certificates: Path, prometheus: Prometheus) -> None:
    assert not prometheus.rings("CertificateExpires")
    make_certificates(certificates, days=3, renew=True)
    for context in CONTEXTS:
        prometheus.wait_until_it_rings("CertificateExpires", job=context, severity="ticket")
    assert not prometheus.rings("CertificateExpires", severity="page")
    make_certificates(certificates, days=0.5, renew=True)
    for context in CONTEXTS:
        prometheus.wait_until_it_rings("CertificateExpires", job=context, severity="page")
    make_certificates(certificates, renew=True)
    prometheus.wait_until_it_is_silent("CertificateExpires")


def test_a_damaged_cell(system: Stack, api: httpx.Client, prometheus: Prometheus) -> None:
    campaign = f"damaged-{uuid.uuid4()}"
    event = campaign_event(campaign)
    assert api.post("/events", json=event).raise_for_status().json()["applied"]
    whole = "max(dmp_ingest_continuous_audit_age_seconds) < 30 and max(dmp_ingest_continuous_audit_age_seconds) > 0"
    wait_until(lambda: bool(prometheus.query(whole)), "a whole pass", timeout_seconds=60)
    ever = prometheus.query('count_over_time(ALERTS{alertname="AuditDifference"}[1h])')
    assert ever == [], "none of the faults so far was one: what is under way never rings"
    with psycopg.connect(system.database_url("stats"), autocommit=True) as connection:

        def damaged() -> bool:
            statement = "UPDATE rollup SET count = count + 1 WHERE campaign_id = %s AND grain = 1"
            return connection.execute(statement, (campaign,)).rowcount == 1

        wait_until(damaged, "the batch is folded, and its cell damaged")
    prometheus.wait_until_it_rings("AuditDifference", of="counts", severity="page")
    hour = {"from": event["occurred_at"], "to": datetime.now(UTC).isoformat()}
    repaired = api.post("/audit/repair", json={"campaign_id": campaign, **hour})
    assert len(repaired.raise_for_status().json()["minutes"]) == 1
    prometheus.wait_until_it_is_silent("AuditDifference")


def test_the_relay_stopped(system: Stack, api: httpx.Client, prometheus: Prometheus) -> None:
    """Somebody holds a lock on a batch of the outbox, so no relay can take it, although its consumer is there."""
    system.child("stats").stop(10)
    assert not api.post("/events", json=campaign_event("relayed")).raise_for_status().json()["applied"]
    url = system.database_url("ingest")
    with psycopg.connect(url) as holder:
        found = holder.execute("SELECT batch_id FROM outbox WHERE NOT stats_applied ORDER BY 1 LIMIT 1 FOR UPDATE")
        row = found.fetchone()
        assert row is not None
        # Its id says when it was made: nobody waits for minutes here.
        older = uuid.UUID(int=row[0].int - (120_000 << 80))
        holder.execute("UPDATE outbox SET batch_id = %s WHERE batch_id = %s", (older, row[0]))
        holder.commit()
        holder.execute("SELECT FROM outbox WHERE batch_id = %s FOR UPDATE", (older,))
        assert not prometheus.rings("RelayStopped"), "a consumer that is away is another alert"
        system.child("stats").start()
        prometheus.wait_until_it_rings("RelayStopped", consumer="stats")
    prometheus.wait_until_it_is_silent("RelayStopped")


def test_all_is_silent_again(prometheus: Prometheus) -> None:
    for alert in ("QueueFull", "ConsumerAway", "RelayStopped", "AuditDifference", "ErasureStuck", "RedisAway"):
        prometheus.wait_until_it_is_silent(alert)
