"""No log of the gateway or of a service holds what a caller said: no query, no id, no header, nothing of a body."""

from __future__ import annotations

import contextlib
import http.client
import json
import secrets
import socket
from urllib.parse import urlsplit

import httpx
import pytest

from dmp_stack.settings import CONTEXTS
from dmp_stack.stack import Stack
from tests.conditions import wait_until
from tests.contracts.payloads import campaign_event, identified_event
from tests.gateway.http2 import EMPTY_MESSAGE, GRPC_HEADERS, Http2Client

MARK = f"secret{secrets.token_hex(6)}"
BARE_MARK = MARK.encode()
PATHS = ["/events", "/identify", "/merge", "/reference/users", f"/never-merges/{MARK}:remove", f"/users/{MARK}", "/no"]
READS = ["/stats", "/metrics", "/debug/match", "/debug/explain", "/audit", f"/users/{MARK}", f"/events/{MARK}", "/live"]
NATIVE = ["/dmp.ingest.v1.IngestService/GetEvent", "/dmp.ingest.v1.IngestService/PublishEventStream"]
NATIVE_OF = {
    "ingest": NATIVE[0],
    "identity": "/dmp.identity.v1.IdentityService/GetProfile",
    "stats": "/dmp.stats.v1.StatsService/GetCampaignStats",
}

BROKEN_HEADERS: list[tuple[bytes, bytes]] = [
    (b"grpc-timeout", BARE_MARK),
    (b"grpc-encoding", BARE_MARK),
    (b"grpc-accept-encoding", BARE_MARK),
    (b"content-type", b"application/grpc;" + BARE_MARK),
    (b"te", BARE_MARK),
    (b"authorization", b"Bearer " + BARE_MARK),
    (b"x-" + BARE_MARK, b"\xff" + BARE_MARK),
    (b"x-token-bin", b"!" + BARE_MARK),
    (b"traceparent", BARE_MARK),
    (b"x-request-id", BARE_MARK + b"\xc3"),
]


def http2_requests(address: str, paths: list[str]) -> None:
    """Sends each broken header with a native call over HTTP/2 to each path, and waits for what comes."""
    for path in paths:
        for name, value in BROKEN_HEADERS:
            headers = [*((key, text) for key, text in GRPC_HEADERS if key != name.decode()), (name, value)]
            with contextlib.suppress(ConnectionError), Http2Client(address) as client:
                client.wait(client.send("POST", path, headers, body=EMPTY_MESSAGE + BARE_MARK))


def too_large(url: str) -> None:
    """Announces bodies over every limit, over HTTP/1.1 and HTTP/2, and sends only their beginning."""
    parts = urlsplit(url)
    for path in PATHS:
        target = f"{path}?{MARK}={MARK}"
        length = ("content-length", "999999999")
        with contextlib.closing(http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=15)) as connection:
            connection.request("POST", target, headers=dict([length]), body=BARE_MARK)
            assert connection.getresponse().status in (404, 405, 413)
        with contextlib.suppress(ConnectionError), Http2Client(url) as client:
            client.wait(client.send("POST", target, [length], body=BARE_MARK, end=False))


def damaged(url: str) -> None:
    """Sends what is no HTTP, with the mark in each place."""
    parts = urlsplit(url)
    for message in (
        b"%b /%b HTTP/1.1\r\n\r\n",
        b"GET /%b HTTP/9.9\r\nhost: %b\r\n\r\n",
        b"GET /stats?%b HTTP/1.1\r\nhost: a\r\n%b\xff\r\n\r\n",
        b"POST /merge?%b HTTP/1.1\r\nhost: a\r\ncontent-length: %b\r\n\r\n",
        b"POST /merge?%b HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nz%b\r\n",
    ):
        with socket.create_connection((parts.hostname or "", parts.port or 80), timeout=15) as connection:
            connection.sendall(message.replace(b"%b", BARE_MARK))
            assert connection.recv(4096)[8:10] == b" 4"  # HTTP/1.0 or 1.1


def json_requests(api: httpx.Client) -> None:
    """Sends valid and invalid requests with the mark in paths, queries, headers and bodies."""
    headers = {"authorization": f"Bearer {MARK}", "cookie": f"a={MARK}", "idempotency-key": MARK, "user-agent": MARK}
    for path in READS:
        for query in (f"?{MARK}={MARK}", f"?campaign_id={MARK}&from={MARK}&identifier=email&value={MARK}@a.example"):
            api.get(path + query, headers=headers)
    email = f"{MARK}@example.org"
    bodies: list[object] = [
        campaign_event(event_id=MARK, campaign_id=MARK, user_id=MARK, metadata={MARK: MARK}),
        campaign_event(event_id=MARK, type=MARK),
        campaign_event(occurred_at=MARK),
        identified_event(identifiers={"email": email, "browser_id": MARK}),
        {"email": email, "phoneNumber": MARK},
        {"internal_user_ids": [MARK, MARK + "2"], "reason": MARK},
        {"user_metadata": {MARK: {"plan": MARK}}, "ts": MARK},
        [MARK],
        MARK,
    ]
    for path in PATHS:
        for body in (*(json.dumps(each) for each in bodies), f'{{"{MARK}": "{MARK}"', MARK):
            for query in ("", f"?{MARK}"):
                api.post(path + query, content=body.encode(), headers=headers)
        api.post(path, content=b"\x1f\x8b" + BARE_MARK, headers={"content-encoding": "gzip"})
        api.post(path, content=BARE_MARK, headers={"content-encoding": MARK, "content-type": f"text/{MARK}"})


@pytest.fixture(scope="module")
def logs(own_stack: Stack, own_api: httpx.Client) -> dict[str, bytes]:
    """What each process has logged after all of it, by the name of its log."""
    json_requests(own_api)
    damaged(own_stack.http_url)
    too_large(own_stack.http_url)
    http2_requests(own_stack.http_url, NATIVE)
    for context in CONTEXTS:
        http2_requests(own_stack.service_address(context), [NATIVE_OF[context]])
    assert own_api.get("/healthz").status_code == 200
    # A line that must come shows that what was said before is on the disk: the gateway writes in this order.
    own_stack.child("identity").stop(5)
    wait_until(lambda: own_api.get(f"/users/{MARK}?{MARK}").status_code == 503, "identity is away")
    path = own_stack.log_directory / "gateway.log"
    wait_until(lambda: b'"path":"/users/*"' in path.read_bytes(), "the gateway's line on it")
    return {path.stem: path.read_bytes() for path in own_stack.log_directory.glob("*.log")}


@pytest.mark.parametrize("name", ["gateway", *CONTEXTS])
def test_no_log_holds_what_a_caller_said(logs: dict[str, bytes], name: str) -> None:
    assert logs[name], "nothing is logged at all"
    assert [line for line in logs[name].splitlines() if BARE_MARK in line] == []
