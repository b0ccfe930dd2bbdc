"""Keys change while requests run: added, revoked, expired, and a file of them that is broken or missing."""

from __future__ import annotations

import secrets
import threading
from datetime import timedelta
from pathlib import Path

import grpc
import httpx
import pytest

from dmp.ingest.v1 import ingest_service_pb2 as ingest_pb
from dmp.ingest.v1.ingest_service_pb2_grpc import IngestServiceStub
from dmp_stack.keys.api_key import now
from tests.conditions import wait_until
from tests.gateway.conftest import Backends, GatewayRunner
from tests.gateway.keyring import Keyring, post, wait_for_status


def test_rotation_fails_no_request(key_url: str, key_client: httpx.Client, keyring: Keyring) -> None:
    old = keyring.add("rotating", "ingest")
    wait_for_status(key_client, {"x-api-key": old}, 202)
    statuses: list[int] = []
    current = [old]
    over = threading.Event()

    def send() -> None:
        with httpx.Client(base_url=key_url, timeout=20.0, trust_env=False) as mine:
            while not over.is_set():
                statuses.append(post(mine, {"x-api-key": current[0]}).status_code)

    senders = [threading.Thread(target=send) for _ in range(3)]
    for sender in senders:
        sender.start()
    for _ in range(4):
        fresh = keyring.add("rotating", "ingest")
        wait_for_status(key_client, {"x-api-key": fresh}, 202)
        current[0] = fresh
        sent = len(statuses)
        wait_until(lambda sent=sent: len(statuses) > sent + 20, "requests with the new key")  # type: ignore[misc]
    over.set()
    for sender in senders:
        sender.join()
    assert set(statuses) == {202}
    keyring.revoke("rotating")
    wait_for_status(key_client, {"x-api-key": current[0]}, 401)


def test_a_key_expires_by_itself(key_client: httpx.Client, keyring: Keyring) -> None:
    key = {"x-api-key": keyring.add("brief", "ingest", expires_at=now() + timedelta(seconds=3))}
    wait_for_status(key_client, key, 202)
    wait_for_status(key_client, key, 401)
    assert post(key_client, key).json()["error"]["message"] == "this key has expired"


@pytest.mark.parametrize(
    "broken", ["", "{", '{"resources": []}', '{"resources": [{"@type": "nobody"}]}', "broken Lua", None]
)
def test_a_broken_or_missing_file_keeps_the_keys(
    key_client: httpx.Client, keyring: Keyring, runner: GatewayRunner, key_url: str, broken: str | None
) -> None:
    file, log = keyring.directory.gateway / "authenticate.json", runner.log(key_url)
    good, logged = file.read_text(), len(log.read_text())
    try:
        if broken is None:
            file.unlink()
        else:
            fresh = file.with_name("fresh")
            fresh.write_text(good.replace("local KEYS", "local = KEYS") if broken == "broken Lua" else broken)
            fresh.replace(file)
            wait_until(lambda: len(log.read_text()) > logged, "a warning about the file")
        for _ in range(20):
            assert post(key_client, keyring.bearer("ingest")).status_code == 202
            assert key_client.get("/audit").status_code == 401
    finally:
        file.unlink(missing_ok=True)
        keyring.directory.tell_gateway()
    wait_for_status(key_client, {"x-api-key": keyring.add(f"after-{secrets.token_hex(4)}", "ingest")}, 202)


def test_a_gateway_that_was_never_told_its_keys_says_so(
    runner: GatewayRunner, backends: Backends, tmp_path: Path
) -> None:
    keyring = Keyring(path=tmp_path / "keys")
    keyring.directory.gateway.mkdir(parents=True)
    for name in ("authenticate.json", "limit.json"):
        (keyring.directory.gateway / name).touch()  # as the image has them
    url = runner.run_with_keys(keyring.directory.gateway, **backends.ports())
    message = "the gateway has not been told its keys; `dmp_stack keys first` does it"
    with (
        httpx.Client(base_url=url, timeout=20.0, trust_env=False) as client,
        grpc.insecure_channel(url.removeprefix("http://"), options=[("grpc.enable_http_proxy", 0)]) as channel,
    ):
        for answer in (client.get("/healthz"), client.get("/stats"), post(client, {})):
            assert answer.status_code == 503
            assert answer.json() == {"error": {"code": 503, "status": "UNAVAILABLE", "message": message, "details": []}}
            assert answer.headers["retry-after"] == "1"
        with pytest.raises(grpc.RpcError) as refusal:
            IngestServiceStub(channel).PublishEvents(ingest_pb.PublishEventsRequest(), timeout=20)
        assert (refusal.value.code(), refusal.value.details()) == (grpc.StatusCode.UNAVAILABLE, message)
        assert client.get("/docs").status_code == 200
        wait_for_status(client, {"x-api-key": keyring.add("first", "ingest")}, 202)
