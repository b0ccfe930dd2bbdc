"""Keys are held to their limits: requests a second, bytes a second, and no noise for others."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import grpc
import httpx
import pytest

from dmp.ingest.v1 import ingest_service_pb2 as ingest_pb
from dmp.ingest.v1.ingest_service_pb2_grpc import IngestServiceStub
from tests.conditions import wait_until
from tests.gateway.keyring import ORIGIN, Keyring, post, wait_for_status

MIB = 1024 * 1024


def test_a_key_has_its_requests_a_second(key_client: httpx.Client, key_channel: grpc.Channel, keyring: Keyring) -> None:
    limited = {"x-api-key": keyring.add("limited", "ingest", requests_per_second=20)}
    wait_for_status(key_client, limited, 202)
    answers = [post(key_client, limited) for _ in range(60)]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert len(refused) >= 10
    assert {answer.status_code for answer in answers} == {202, 429}
    assert refused[0].headers["retry-after"] == "1"
    assert refused[0].json() == {
        "error": {
            "code": 429,
            "status": "RESOURCE_EXHAUSTED",
            "message": "this key sends more than it may; try again later",
            "details": [],
        }
    }
    publish = IngestServiceStub(key_channel).PublishEvents
    refusals = list(failures(lambda: publish(ingest_pb.PublishEventsRequest(), metadata=tuple(limited.items())), 60))
    assert len(refusals) >= 10
    assert set(refusals) == {(grpc.StatusCode.RESOURCE_EXHAUSTED, "this key sends more than it may; try again later")}
    assert post(key_client, keyring.bearer("ingest")).status_code == 202, "others are as before"
    wait_for_status(key_client, limited, 202)


def failures(call: Callable[[], object], times: int) -> Iterator[tuple[grpc.StatusCode, str]]:
    """The codes and texts of the calls that failed."""
    for _ in range(times):
        try:
            call()
        except grpc.RpcError as error:
            yield error.code(), error.details() or ""


def test_a_public_key_has_its_requests_for_each_address(key_client: httpx.Client, keyring: Keyring) -> None:
    key = keyring.add("small-page", "ingest", public=True, address_requests_per_second=5)
    page, path = {"origin": ORIGIN}, f"/events?key={key}"
    wait_until(lambda: post(key_client, page, path).status_code == 202, "the page's key")
    transport = httpx.HTTPTransport(local_address="127.0.0.2")
    with httpx.Client(base_url=key_client.base_url, transport=transport, trust_env=False) as elsewhere:
        here = [post(key_client, page, path).status_code for _ in range(20)]
        assert here.count(429) >= 10
        assert post(elsewhere, page, path).status_code == 202, "another address has a limit of its own"


@pytest.mark.parametrize("form", ["announced", "chunked"])
def test_a_key_has_its_bytes_a_second(key_client: httpx.Client, keyring: Keyring, form: str) -> None:
    """16 MiB may come at once, since one request may have them; after that, 1,000 bytes a second.

    What is chunked is charged later: one more such body gets in for each of the gateway's two threads.
    """
    key = {"x-api-key": keyring.add(f"bytes-{form}", "ingest", bytes_per_second=1000)}
    wait_for_status(key_client, key, 202)
    statuses = []
    for _ in range(10):
        content = b" " * (6 * MIB) if form == "announced" else iter([b" " * (2 * MIB)] * 3)
        statuses.append(key_client.post("/events", content=content, headers=key).status_code)
    assert statuses[:2] == [202, 202]
    assert statuses.count(202) <= (2 if form == "announced" else 2 + 2)
    assert set(statuses[2:]) <= {202, 429}  # a new connection may find the other thread, at any time
    assert post(key_client, keyring.bearer("ingest")).status_code == 202


def test_native_messages_count_too(key_url: str, key_client: httpx.Client, keyring: Keyring) -> None:
    key = {"x-api-key": keyring.add("native-bytes", "ingest", bytes_per_second=1000)}
    wait_for_status(key_client, key, 202)
    options = [("grpc.enable_http_proxy", 0), ("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(key_url.removeprefix("http://"), options=options) as channel:
        stub = IngestServiceStub(channel)
        request = ingest_pb.PublishEventsRequest(idempotency_key="k" * (6 * MIB))
        refusals = list(failures(lambda: stub.PublishEvents(request, metadata=tuple(key.items()), timeout=20), 6))
    assert len(refusals) >= 2
    assert {code for code, _ in refusals} == {grpc.StatusCode.RESOURCE_EXHAUSTED}


def p99(client: httpx.Client, headers: dict[str, str]) -> float:
    """The 99th percentile of 200 requests, in seconds."""
    took = []
    for _ in range(200):
        begun = time.perf_counter()
        assert post(client, headers).status_code == 202
        took.append(time.perf_counter() - begun)
    return sorted(took)[197]


NOISE = """
import http.client, sys, time
host, port, key = sys.argv[1:]
connection = http.client.HTTPConnection(host, int(port), timeout=20)
counted = {}
begun = time.monotonic()
while time.monotonic() < begun + 600:
    connection.request("GET", "/stats?campaign_id=c", headers={"x-api-key": key})
    answer = connection.getresponse()
    answer.read()
    counted[answer.status] = counted.get(answer.status, 0) + 1
    print(counted.get(200, 0), counted.get(429, 0), flush=True)
    # The rate is what is tested: 200 a second.
    time.sleep(max(0, begun + sum(counted.values()) / 200 - time.monotonic()))
"""
"""Sends 200 requests a second over one connection, and says after each how many were answered and refused."""


def test_a_noisy_key_does_not_slow_a_quiet_one(key_url: str, key_client: httpx.Client, keyring: Keyring) -> None:
    """The noisy one sends ten times what it may. Other work on the machine spoils a round: the best of some counts."""
    key = keyring.add("noisy", "read", requests_per_second=20)
    wait_until(lambda: key_client.get("/stats", headers={"x-api-key": key}).status_code == 200, "the noisy key")
    host, _, port = key_url.removeprefix("http://").partition(":")
    ratios = []
    for _ in range(6):
        alone = p99(key_client, keyring.bearer("ingest"))
        with subprocess.Popen([sys.executable, "-c", NOISE, host, port, key], stdout=subprocess.PIPE) as noise:
            assert noise.stdout is not None
            noise.stdout.readline()
            beside = p99(key_client, keyring.bearer("ingest"))
            noise.kill()
            *_, said, _ = noise.stdout.read().splitlines()  # the last line may be half of one
            answered, refused = map(int, said.split())
        ratios.append(beside / alone)
        if ratios[-1] < 2 and refused > answered:
            return
    raise AssertionError(ratios)
