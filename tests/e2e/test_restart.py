"""A system that was stopped and started again on the same data has forgotten nothing."""

from __future__ import annotations

import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from dmp_stack.stack import Stack


@pytest.fixture
def data_directory() -> Iterator[Path]:
    """Where a system keeps its data; every user of the machine may pass through it, as through any home of servers."""
    path = Path(tempfile.mkdtemp(prefix="dmp-e2e-"))
    path.chmod(0o755)
    yield path / "data"
    shutil.rmtree(path)


def client_of(stack: Stack) -> httpx.Client:
    return httpx.Client(base_url=stack.http_url, timeout=30.0, trust_env=False)


def test_a_restart_keeps_everything(new_stack: Callable[..., Stack], data_directory: Path) -> None:
    now = datetime.now(UTC).isoformat()
    event: dict[str, Any] = {
        "event_id": str(uuid.uuid4()),
        "type": "click",
        "campaign_id": "camp_restart",
        "source": "web",
        "occurred_at": now,
        "user_id": "u-restart",
        "identifiers": {"email": "restart@example.org"},
    }
    stats = {"campaign_id": "camp_restart", "from": now, "to": now, "granularity": "minute"}
    table = {"user_metadata": {"u-restart": {"plan": "pro", "region": "eu"}}, "ts": now}
    with new_stack(data_directory=data_directory) as stack, client_of(stack) as api:
        assert api.put("/reference/users", json=table).json()["generation"] == 1
        first = api.post("/events", json=event).json()
        profile = first["results"][0]["internal_user_id"]
        contact = api.post("/identify", json={"email": "restart@example.org", "phoneNumber": "12345"}).json()
        shown = api.get(f"/users/{profile}").json()
        series = api.get("/stats", params=stats).json()["series"]
        assert first["accepted"] == 1
        assert [point["clicks"] for point in series] == [1]
    with new_stack(data_directory=data_directory) as stack, client_of(stack) as api:
        assert api.get("/stats", params=stats).json()["series"] == series
        assert api.get(f"/users/{profile}").json() == shown
        assert api.post("/identify", json={"phoneNumber": "12345"}).json() == contact
        metrics = api.get("/metrics", params={"window": 1800}).json()
        assert (metrics["by_plan"], metrics["by_region"], metrics["generation"]) == ({"pro": 1}, {"eu": 1}, 1)
        again = api.post("/events", json=event).json()
        assert (again["accepted"], again["duplicates"]) == (0, 1)
        assert api.get("/stats", params=stats).json()["series"] == series
        old = {**table, "ts": "2020-01-01T00:00:00Z"}
        assert api.put("/reference/users", json=old).status_code == 409
        assert api.put("/reference/users", json=table).json()["generation"] == 2
