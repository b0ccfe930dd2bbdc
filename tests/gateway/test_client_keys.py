"""The Python client with an API key, over both transports: the scope `ingest` is enough, and a refusal is told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from google.api import httpbody_pb2

from dmp.ingest.v1 import ingest_service_pb2 as pb
from dmp_client import DmpClient, RetryPolicy
from tests.conditions import wait_until
from tests.gateway.conftest import Backends, GatewayRunner
from tests.gateway.keyring import Keyring

ANSWER = json.dumps({"accepted": 1, "duplicates": 0, "rejected": 0, "applied": True, "results": []}).encode()
QUICK = RetryPolicy(first_seconds=0.02, most_seconds=0.1)


@pytest.fixture
def keyring(tmp_path: Path) -> Keyring:
    ring = Keyring(path=tmp_path)
    for name in ("ingest", "read"):
        ring.add(name, name)
    return ring


@pytest.fixture
def url(runner: GatewayRunner, backends: Backends, keyring: Keyring) -> str:
    """A gateway that asks for keys, and an ingest that accepts one event in each request."""

    def accept(
        requests: Iterator[pb.PublishEventStreamJsonRequest], context: grpc.ServicerContext
    ) -> Iterator[pb.PublishEventStreamJsonResponse]:
        for _ in requests:
            yield pb.PublishEventStreamJsonResponse(http_status=202, body=ANSWER)

    backends.ingest.answer("PublishEventStreamJson", accept)
    body = httpbody_pb2.HttpBody(content_type="application/json", data=ANSWER)
    backends.ingest.answer("PublishEventsJson", lambda request, context: pb.PublishEventsJsonResponse(body=body))
    return runner.run_with_keys(keyring.directory.gateway, **backends.ports())


@pytest.mark.parametrize("transport", ["json", "grpc"])
def test_a_key_is_taken_refused_and_revoked(url: str, keyring: Keyring, tmp_path: Path, transport: str) -> None:
    def client(key: str) -> DmpClient:
        spool = tmp_path / "events.spool"
        text = keyring.texts[key]
        return DmpClient(url, spool=spool, source="test", retry=QUICK, transport=transport, api_key=text)

    with client("ingest") as dmp:
        dmp.track("click", campaign_id="c")
        assert dmp.flush(20)
        assert dmp.health().failures == 0
    refused = client("read")
    refused.track("click", campaign_id="c")
    wait_until(lambda: "scope" in refused.health().last_error, "the refusal is told")
    refused.close(0)
    with client("ingest") as dmp:
        dmp.resume()
        assert dmp.flush(20), "what was refused waits for a better key"
    keyring.revoke("ingest")

    def is_refused() -> bool:
        dmp = client("ingest")
        dmp.track("click", campaign_id="c")
        dmp.flush(0.3)
        told = dmp.health().last_error
        dmp.close(0)
        return "key" in told

    wait_until(is_refused, "a revoked key is told")
