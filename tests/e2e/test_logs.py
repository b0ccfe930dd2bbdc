"""No log of the gateway or of a service holds what a caller said: no query, no id, no header, nothing of a body. The
gateway logs every answer here, and the services are at debug level."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import secrets
import signal
import socket
from typing import Any
from urllib.parse import urlsplit

import grpc
import httpx
import psycopg
import psycopg.sql
import pytest

from dmp.ingest.v1 import event_pb2, ingest_service_pb2
from dmp.ingest.v1.ingest_service_pb2_grpc import IngestServiceStub
from dmp_stack.settings import CONTEXTS
from dmp_stack.stack import Stack
from tests.conditions import wait_until
from tests.contracts.payloads import campaign_event, identified_event
from tests.gateway.http2 import EMPTY_MESSAGE, GRPC_HEADERS, Http2Client

HEALTHY = {"ok": True, "status": "healthy", "degraded": []}
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
    headers |= {
        "x-api-key": MARK,
        "x-forwarded-for": MARK,
        "x-internal-caller": MARK,
        "referer": f"https://{MARK}.example",
    }
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


def natively(stack: Stack) -> None:
    """Sends typed events with the mark in each field, good ones and bad ones, and asks for them."""
    good = event_pb2.Event(event_id=f"{MARK}-native", type="click", campaign_id=MARK, source=MARK, user_id=MARK)
    good.occurred_at.GetCurrentTime()
    for kind in ("email", "phone", "wallet_address", "ip_address", "browser_id"):
        good.identifiers[kind] = f"{MARK}@a.example"
    bad = event_pb2.Event(event_id=MARK, type=MARK, campaign_id=MARK)
    with grpc.insecure_channel(stack.grpc_address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        stub = IngestServiceStub(channel)
        answer = stub.PublishEvents(ingest_service_pb2.PublishEventsRequest(events=[good, bad]), timeout=20)
        assert (answer.accepted, answer.rejected) == (1, 1)
        with pytest.raises(grpc.RpcError):
            stub.EraseUser(ingest_service_pb2.EraseUserRequest(identifier="email", value=f"no-{MARK}"), timeout=20)


def a_few(api: httpx.Client) -> None:
    """Requests with the mark that need each store; whatever becomes of them."""
    campaign = campaign_event(campaign_id=MARK, user_id=MARK, identifiers={"email": f"{MARK}@example.org"})
    for method, path, body in (
        ("POST", "/events", campaign),
        ("POST", "/identify", {"email": f"{MARK}@example.org", "phoneNumber": MARK}),
        ("POST", "/never-merges", {"internal_user_ids": ["user_1", "user_2"], "reason": MARK}),
        ("PUT", "/reference/users", {"user_metadata": {MARK: {"plan": MARK}}, "ts": "2026-01-01T00:00:00Z"}),
        ("GET", f"/debug/match?identifier=email&value={MARK}@example.org", None),
        ("GET", f"/stats?campaign_id={MARK}&from=2026-01-01T00:00:00Z&to=2026-01-01T01:00:00Z", None),
        ("POST", "/erasures", {"identifier": "email", "value": f"{MARK}@nobody.example"}),
    ):
        api.request(method, path, json=body)


def without_stores(stack: Stack, api: httpx.Client) -> None:
    """The same while a store is away, and while another one is."""
    for name in ("valkey", "postgres"):
        child = stack.child(name)
        child.stop(10)
        a_few(api)
        child.start()
        wait_until(lambda: api.get("/healthz").json() == HEALTHY, f"all is well after {name}", timeout_seconds=60)


def failing_statements(stack: Stack) -> None:
    """What PostgreSQL would explain with the values of a row, and with the text of the statement."""
    with psycopg.connect(stack.database_url("identity"), autocommit=True) as connection:
        connection.execute("CREATE TEMP TABLE t (v text UNIQUE, n integer)")
        quoted = psycopg.sql.Literal(MARK)
        for statement in ("INSERT INTO t VALUES ({0}, 1), ({0}, 2)", "SELECT nothing_of_the_kind({0})"):
            with pytest.raises(psycopg.Error):
                connection.execute(psycopg.sql.SQL(statement).format(quoted))
        with pytest.raises(psycopg.Error), connection.cursor().copy("COPY t FROM STDIN") as copy:
            copy.write(f"{MARK}\tno number\n")


REQUEST_IDS: list[str] = []
"""Of the last request to ingest."""


def access_lines(log: bytes) -> list[dict[str, Any]]:
    """What the gateway says of requests, in whole lines."""
    whole, _, _ = log.rpartition(b"\n")
    return [json.loads(line) for line in whole.splitlines() if line.startswith(b"{")]


@pytest.fixture(scope="module")
def logs(own_stack: Stack, own_api: httpx.Client) -> dict[str, bytes]:
    """What each process has logged after all of it, by the name of its log."""
    for context in CONTEXTS:
        os.kill(own_stack.pids[context], signal.SIGUSR1)
    json_requests(own_api)
    natively(own_stack)
    failing_statements(own_stack)
    without_stores(own_stack, own_api)
    damaged(own_stack.http_url)
    too_large(own_stack.http_url)
    http2_requests(own_stack.http_url, NATIVE)
    for context in CONTEXTS:
        http2_requests(own_stack.service_address(context), [NATIVE_OF[context]])
    assert own_api.get("/healthz", headers={"x-request-id": MARK}).status_code == 200
    REQUEST_IDS.append(own_api.get("/events/no-such-event").headers["x-request-id"])
    # A line that must come shows that what was said before is on the disk: the gateway writes in this order.
    own_stack.child("identity").stop(5)
    wait_until(lambda: own_api.get(f"/users/{MARK}?{MARK}").status_code == 503, "identity is away")
    last = own_api.get(f"/users/{MARK}?{MARK}").headers["x-request-id"]
    path = own_stack.log_directory / "gateway.log"
    wait_until(lambda: any(each["request_id"] == last for each in access_lines(path.read_bytes())), "a line on it")
    return {path.stem: path.read_bytes() for path in own_stack.log_directory.glob("*.log")}


@pytest.mark.parametrize("name", ["gateway", *CONTEXTS])
def test_no_log_holds_what_a_caller_said(logs: dict[str, bytes], name: str) -> None:
    assert logs[name], "nothing is logged at all"
    assert [line for line in logs[name].splitlines() if BARE_MARK in line] == []


def test_no_log_of_a_store_holds_it_either(logs: dict[str, bytes]) -> None:
    assert b"ERROR" in logs["postgres"], "the statements failed"
    assert {"postgres", "valkey"} < set(logs)
    assert [(name, line) for name, log in logs.items() for line in log.splitlines() if BARE_MARK in line] == []


def test_the_gateway_names_routes_and_not_paths_and_errors_by_their_level(logs: dict[str, bytes]) -> None:
    lines = access_lines(logs["gateway"])
    assert {("GET", "/users/*"), ("POST", "/events"), ("GET", "/stats")} <= {
        (each["method"], each["path"]) for each in lines
    }
    for each in lines:
        assert (each["level"] == "error") == (each["status"] >= 500), each
        assert each["service"] == "gateway"
        assert "?" not in str(each["path"])


def test_a_request_is_found_in_both_logs_by_its_id(logs: dict[str, bytes]) -> None:
    """That id is the gateway's own: what a caller sends in its place is in no log."""
    (request_id,) = REQUEST_IDS
    (at_gateway,) = [each for each in access_lines(logs["gateway"]) if each["request_id"] == request_id]
    assert (at_gateway["path"], at_gateway["status"]) == ("/events/*", 404)
    at_ingest = [json.loads(line) for line in logs["ingest"].splitlines() if request_id.encode() in line]
    assert {"a call was answered with an error", "call"} <= {each["message"] for each in at_ingest}
    assert {each["request_id"] for each in at_ingest} == {request_id}
