"""Every service's metrics on the embedded stack: where the operator is told, not at the public gateway, and true."""

from __future__ import annotations

import time
import uuid
from datetime import UTC, datetime

import httpx

from dmp_stack.services import metrics_addresses
from dmp_stack.settings import CONTEXTS
from dmp_stack.stack import Stack
from tests.conditions import wait_until
from tests.scraping import Series, grown, parsed


def _read(stack: Stack, context: str) -> Series:
    return parsed(httpx.get(stack.metrics_url(context)).raise_for_status().content)


def test_each_service_shows_its_metrics_on_loopback_and_the_gateway_does_not(stack: Stack) -> None:
    for context in CONTEXTS:
        assert httpx.URL(stack.metrics_url(context)).host == "127.0.0.1"
        assert any(name.startswith(f"dmp_{context}_") for name in _read(stack, context))
    public = httpx.get(f"{stack.http_url}/metrics").raise_for_status()
    assert "window_sec" in public.json()
    assert "dmp_ingest" not in public.text


def test_an_event_and_an_erasure_are_seen_from_outside(stack: Stack) -> None:
    before = {context: _read(stack, context) for context in CONTEXTS}
    now, secret = datetime.now(UTC).isoformat(), uuid.uuid4().hex
    event = {"event_id": secret, "type": "click", "campaign_id": secret, "source": secret, "occurred_at": now}
    answer = httpx.post(f"{stack.http_url}/events", json={**event, "identifiers": {"email": f"{secret}@example.com"}})
    assert answer.raise_for_status().json()["applied"]
    changes = {context: grown(before[context], _read(stack, context)) for context in CONTEXTS}
    assert changes["ingest"]["dmp_ingest_events_total form=campaign transport=json verdict=accepted"] == 1
    assert changes["identity"]["dmp_identity_events_total attributed_by=graph"] == 1
    assert changes["stats"]["dmp_stats_events_total"] == 1
    for context in ("identity", "stats"):
        method = f"dmp.{context}.v1.{context.capitalize()}Service/ApplyBatch"
        for side, where in (("server", context), ("client", "ingest")):
            name = f"rpc_{side}_call_duration_seconds_count rpc_method={method} rpc_status_code=OK"
            assert changes[where][name] == 1
    person = answer.json()["results"][0]["internal_user_id"]
    httpx.delete(f"{stack.http_url}/users/{person}").raise_for_status()

    def completed() -> bool:
        return grown(before["ingest"], _read(stack, "ingest")).get("dmp_ingest_erasures_completed_total") == 1

    wait_until(completed, "the erasure is complete", timeout_seconds=60)
    assert not [name for context in CONTEXTS for name in _read(stack, context) if secret in name]


def test_an_audit_says_when_it_was_and_what_differed(stack: Stack) -> None:
    asked = time.time()
    httpx.get(f"{stack.http_url}/audit", params={"from": "2020-01-01T00:00:00Z", "to": "2020-01-01T01:00:00Z"})
    found = _read(stack, "ingest")
    assert found["dmp_ingest_audit_timestamp_seconds"] >= asked - 1
    assert found["dmp_ingest_audit_differences of=counts"] == 0
    assert found["dmp_ingest_audit_differences of=timelines"] == 0


def test_the_first_replica_listens_where_it_is_told_and_others_on_free_ports() -> None:
    taken = iter(range(1, 100))
    addresses = metrics_addresses(
        {"ingest": "127.0.0.1:7000", "stats": "off"}, {"ingest": 2}, reserve=lambda _, port: port or next(taken)
    )
    assert addresses == {"ingest": ["127.0.0.1:7000", "127.0.0.1:1"], "identity": ["127.0.0.1:2"], "stats": [""]}
