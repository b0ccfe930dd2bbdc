"""The stack as a library: handles on every child, and more than one replica of a service."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import psutil
import psycopg
import pytest
import redis

from dmp_stack.settings import CONTEXTS
from dmp_stack.stack import Stack
from tests.conditions import wait_until

pytestmark = pytest.mark.timeout(180)


def test_it_tells_where_everything_is(stack: Stack) -> None:
    assert set(stack.pids) == {"gateway", "ingest", "identity", "stats", "postgres", "valkey"}
    assert stack.http_url == f"http://{stack.grpc_address}"
    assert httpx.get(f"{stack.http_url}/healthz", trust_env=False).status_code == 200
    for context in CONTEXTS:
        with psycopg.connect(stack.database_url(context)) as connection:
            row = connection.execute("SELECT current_user, current_database()").fetchone()
            assert row == (f"dmp_{context}", f"dmp_{context}")
        assert (stack.log_directory / f"{context}.log").exists()
    with redis.Redis.from_url(stack.redis_url) as client:
        assert client.ping()


def test_no_service_can_open_the_database_of_another(stack: Stack) -> None:
    for context in CONTEXTS:
        for other in set(CONTEXTS) - {context}:
            foreign = stack.database_url(context).replace(f"/dmp_{context}?", f"/dmp_{other}?")
            with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
                psycopg.connect(foreign)


def test_a_service_knows_the_way_to_its_own_database_only(stack: Stack) -> None:
    for context in CONTEXTS:
        environment = psutil.Process(stack.pids[context]).environ()
        known = {name for name in environment if name.endswith("_DATABASE_URL")}
        assert known == {f"DMP_{context.upper()}_DATABASE_URL"}


def test_a_service_can_be_stopped_and_started_by_itself(stack: Stack) -> None:
    child = stack.child("identity")
    assert child.stop(10)
    assert "identity" not in stack.pids
    child.start()
    stack.wait_healthy()
    assert "identity" in stack.pids


def test_replicas_share_the_work_and_one_is_enough(new_stack: Callable[..., Stack]) -> None:
    with new_stack(replicas={"ingest": 2}) as stack:
        assert {"ingest", "ingest-2"} <= set(stack.pids)
        assert stack.service_address("ingest", 1) != stack.service_address("ingest", 2)
        assert stack.child("ingest").stop(10)

        def accepted() -> bool:
            event = {"type": "click", "campaign_id": "c", "source": "s", "occurred_at": "2026-01-01T00:00:00Z"}
            answer = httpx.post(
                f"{stack.http_url}/events", json={**event, "event_id": "r-1"}, timeout=20, trust_env=False
            )
            return answer.status_code == 202

        wait_until(accepted, "accepted by the other replica")
