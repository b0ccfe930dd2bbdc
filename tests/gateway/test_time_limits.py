"""How long anything may take: services that are slow, and clients that are."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import httpx
import pytest
from google.api.httpbody_pb2 import HttpBody

from dmp.identity.v1.identity_service_pb2 import MergeProfilesJsonResponse
from dmp.ingest.v1.ingest_service_pb2 import (
    GetEventRequest,
    GetEventResponse,
    PublishEventStreamJsonRequest,
    PublishEventStreamJsonResponse,
    PublishEventStreamRequest,
    PublishEventStreamResponse,
)
from dmp.ingest.v1.ingest_service_pb2_grpc import IngestServiceStub
from dmp.stats.v1.stats_service_pb2 import (
    ReplaceReferenceUsersRequest,
    ReplaceReferenceUsersResponse,
    WatchLiveRequest,
    WatchLiveResponse,
)
from dmp.stats.v1.stats_service_pb2_grpc import StatsServiceStub
from dmp_stack.gateway import Gateway
from tests.conditions import wait_until
from tests.contracts.wire import exchange, open_connection, request_head
from tests.gateway.answers import assert_error
from tests.gateway.conftest import Backends, GatewayRunner, channel_of
from tests.gateway.http2 import GRPC_HEADERS, Http2Client, headers_of

SHORT = {"timeout": "1s", "max_stream_duration": "2s", "stream_idle_timeout": "1s", "request_headers_timeout": "1s"}

LONGER_THAN_ANY_LIMIT_SECONDS = 3
STREAMS_END = "600s"
"""What the gateway gives to a native stream, however much is on its way."""


class HastyGateway(Gateway):
    """The gateway with all limits on requests at a second or two."""

    def configuration(self) -> dict[str, Any]:
        configuration: dict[str, Any] = super().configuration()
        configuration["static_resources"]["listeners"] = shortened(configuration["static_resources"]["listeners"])
        return configuration


def shortened(value: object, short: Mapping[str, str] = SHORT) -> object:
    """A copy in which every limit that there is, is short, but for the one of streams."""
    if isinstance(value, list):
        return [shortened(item, short) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: short[key]
        if key in short and item != STREAMS_END and re.fullmatch(r"[1-9]\d*[sS]", str(item))
        else shortened(item, short)
        for key, item in value.items()
    }


@pytest.fixture(scope="module")
def hasty_url(runner: GatewayRunner, _backends: Backends) -> str:
    return runner.run(HastyGateway, **_backends.ports())


@pytest.mark.parametrize(
    ("method", "path", "rpc"), [("POST", "/merge", "MergeProfilesJson"), ("GET", "/users/user_a", "GetProfile")]
)
def test_a_service_that_does_not_answer_in_time_is_a_504(
    hasty_url: str, backends: Backends, method: str, path: str, rpc: str
) -> None:
    released = threading.Event()
    backends.identity.answer(rpc, lambda request, context: released.wait(10))
    response = httpx.request(method, f"{hasty_url}{path}", trust_env=False, timeout=10)
    released.set()
    assert assert_error(response, 504, "DEADLINE_EXCEEDED")["message"] == "identity did not answer in time"


@pytest.mark.parametrize("path", ["/events", "/identify", "/merge"])
def test_a_body_that_stops_coming_is_a_408(hasty_url: str, backends: Backends, path: str) -> None:
    answer = exchange(hasty_url, [request_head("POST", path, [("Content-Length", "100")]), b"{"])
    assert answer.status == 408
    assert answer.json()["error"]["status"] == "DEADLINE_EXCEEDED"
    assert not any(backend.calls for backend in backends.all())


def test_a_body_that_comes_drop_by_drop_is_a_408(hasty_url: str, backends: Backends) -> None:
    with open_connection(hasty_url) as connection:
        connection.sendall(request_head("POST", "/events", [("Content-Length", "100")]))
        connection.settimeout(0.2)
        received = b""
        for _ in range(60):
            try:
                received = connection.recv(65536)
                break
            except TimeoutError:
                connection.sendall(b" ")
    assert received.startswith(b"HTTP/1.1 408 ")
    assert not backends.ingest.calls


def test_headers_that_do_not_end_are_a_408(hasty_url: str) -> None:
    answer = exchange(hasty_url, [b"GET /stats HTTP/1.1\r\nHost: a\r\n"])
    assert answer.status == 408


class PatientGateway(Gateway):
    """The gateway with long limits on bodies and on whole requests, and a second for the work."""

    def configuration(self) -> dict[str, Any]:
        configuration: dict[str, Any] = super().configuration()
        configuration["static_resources"]["listeners"] = shortened(
            configuration["static_resources"]["listeners"], {"timeout": "1s", "value": "1S"}
        )
        return configuration


@pytest.fixture(scope="module")
def patient_url(runner: GatewayRunner, _backends: Backends) -> str:
    return runner.run(PatientGateway, **_backends.ports())


@pytest.mark.parametrize(
    ("method", "path", "service", "status"),
    [
        ("POST", "/events", "ingest", 202),
        ("PUT", "/reference/users", "stats", 200),
        ("POST", "/identify", "identity", 200),
        ("POST", "/merge", "identity", 200),
    ],
)
def test_the_time_for_the_work_begins_when_the_body_is_there(
    patient_url: str, backends: Backends, method: str, path: str, service: str, status: int
) -> None:
    def slowly() -> Iterator[bytes]:
        yield request_head(method, path, [("Content-Length", "8")])
        for piece in (b"{ ", b"  ", b"  ", b" }"):
            threading.Event().wait(0.6)
            yield piece

    assert exchange(patient_url, slowly()).status == status
    assert 0.5 < getattr(backends, service).only_call().seconds_left <= 1


@pytest.fixture(scope="module")
def stopped_url(runner: GatewayRunner) -> Iterator[str]:
    """A patient gateway before one process that is all three services, and is stopped."""
    command = [sys.executable, "-m", "tests.gateway.backend_process"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        url = runner.run(PatientGateway, ingest=[port], identity=[port], stats=[port])
        assert httpx.get(f"{url}/healthz", trust_env=False).status_code == 200
        process.send_signal(signal.SIGSTOP)
        yield url
        process.kill()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/healthz"),
        ("GET", "/users/user_a"),
        ("GET", "/stats?campaign_id=c"),
        ("POST", "/identify"),
        ("POST", "/events"),
        ("PUT", "/reference/users"),
    ],
)
def test_a_service_that_is_stopped_costs_a_caller_the_time_for_the_work_and_no_more(
    stopped_url: str, method: str, path: str
) -> None:
    """Or less, where the gateway hears in the meantime that nobody is there: its pings were not answered."""
    started = time.monotonic()
    body = b"{}" if method != "GET" else None
    response = httpx.request(method, f"{stopped_url}{path}", content=body, trust_env=False, timeout=20)
    took = time.monotonic() - started
    if response.status_code == 503:
        assert_error(response, 503, "UNAVAILABLE")
    else:
        assert_error(response, 504, "DEADLINE_EXCEEDED")
        assert took > 0.9
    assert took < 5


@pytest.fixture
def hasty_channel(hasty_url: str) -> Iterator[grpc.Channel]:
    """A native gRPC channel to the hasty gateway."""
    options = [("grpc.enable_http_proxy", 0)]
    with grpc.insecure_channel(hasty_url.removeprefix("http://"), options=options) as opened:
        yield opened


def test_a_stream_outlives_every_limit_of_requests(hasty_channel: grpc.Channel, backends: Backends) -> None:
    def one_each(requests: Iterator[object], context: grpc.ServicerContext) -> Iterator[PublishEventStreamResponse]:
        for _ in requests:
            yield PublishEventStreamResponse(accepted=1)

    def requests() -> Iterator[PublishEventStreamRequest]:
        yield PublishEventStreamRequest()
        threading.Event().wait(LONGER_THAN_ANY_LIMIT_SECONDS)
        yield PublishEventStreamRequest()

    backends.ingest.answer("PublishEventStream", one_each)
    answers = IngestServiceStub(hasty_channel).PublishEventStream(requests())
    assert [answer.accepted for answer in answers] == [1, 1]


class BriefGateway(Gateway):
    """The gateway whose streams end after two seconds, `/live` with them."""

    def configuration(self) -> dict[str, Any]:
        text = json.dumps(super().configuration())
        brief: dict[str, Any] = json.loads(text.replace(f'"{STREAMS_END}"', '"2s"').replace('"480s"', '"2s"'))
        return brief


@pytest.fixture(scope="module")
def brief_url(runner: GatewayRunner, _backends: Backends) -> str:
    return runner.run(BriefGateway, **_backends.ports())


def test_a_stream_ends_however_much_is_on_its_way(brief_url: str, backends: Backends) -> None:
    """A key that was revoked is not used for longer: it is asked for when a stream begins."""
    ended = threading.Event()

    def one_each(requests: Iterator[object], context: grpc.ServicerContext) -> Iterator[object]:
        answer = PublishEventStreamResponse if hasattr(next(requests), "events") else PublishEventStreamJsonResponse
        yield answer()
        for _ in requests:
            yield answer()

    def again_and_again(request: object, context: grpc.ServicerContext) -> Iterator[WatchLiveResponse]:
        while not ended.wait(0.1):
            yield WatchLiveResponse(rendered=HttpBody(data=b"data: {}\n\n"))

    def without_end(request: Any) -> Iterator[Any]:  # noqa: ANN401 -- of several types
        yield request
        while not ended.wait(0.1):
            yield request

    backends.ingest.answer("PublishEventStream", one_each)
    backends.ingest.answer("PublishEventStreamJson", one_each)
    backends.stats.answer("WatchLive", again_and_again)
    backends.stats.answer(
        "ReplaceReferenceUsers", lambda sent, context: ReplaceReferenceUsersResponse(users=len(list(sent)))
    )

    def live() -> None:
        with httpx.stream("GET", f"{brief_url}/live", trust_env=False, timeout=60) as answer:
            answer.read()

    with channel_of(brief_url) as channel, ThreadPoolExecutor() as pool:
        ingest, stats = IngestServiceStub(channel), StatsServiceStub(channel)
        streams = {
            "PublishEventStream": lambda: list(
                ingest.PublishEventStream(without_end(PublishEventStreamRequest()), timeout=60)
            ),
            "PublishEventStreamJson": lambda: list(
                ingest.PublishEventStreamJson(without_end(PublishEventStreamJsonRequest()), timeout=60)
            ),
            "ReplaceReferenceUsers": lambda: stats.ReplaceReferenceUsers(
                without_end(ReplaceReferenceUsersRequest()), timeout=60
            ),
            "WatchLive": lambda: list(stats.WatchLive(WatchLiveRequest(), timeout=60)),
            "/live": live,
        }
        began = time.monotonic()
        running = {name: pool.submit(stream) for name, stream in streams.items()}
        failures = {name: stream.exception(50) for name, stream in running.items()}
        ended.set()
    assert time.monotonic() - began < 50
    assert all(isinstance(error, grpc.RpcError | httpx.RemoteProtocolError) for error in failures.values()), failures


def test_an_upload_without_an_answer_outlives_them_too(hasty_channel: grpc.Channel, backends: Backends) -> None:
    def requests() -> Iterator[ReplaceReferenceUsersRequest]:
        yield ReplaceReferenceUsersRequest()
        threading.Event().wait(LONGER_THAN_ANY_LIMIT_SECONDS)
        yield ReplaceReferenceUsersRequest()

    backends.stats.answer(
        "ReplaceReferenceUsers", lambda sent, context: ReplaceReferenceUsersResponse(users=len(list(sent)))
    )
    assert StatsServiceStub(hasty_channel).ReplaceReferenceUsers(requests()).users == 2


def test_a_native_call_has_no_time_but_its_callers(hasty_channel: grpc.Channel, backends: Backends) -> None:
    def slow(request: object, context: grpc.ServicerContext) -> GetEventResponse:
        threading.Event().wait(LONGER_THAN_ANY_LIMIT_SECONDS)
        return GetEventResponse()

    backends.ingest.answer("GetEvent", slow)
    assert IngestServiceStub(hasty_channel).GetEvent(GetEventRequest(event_id="e")) == GetEventResponse()


def test_a_client_that_goes_away_ends_its_call(hasty_url: str, backends: Backends) -> None:
    ended = threading.Event()

    def wait_for_the_end(request: object, context: grpc.ServicerContext) -> MergeProfilesJsonResponse:
        context.add_callback(ended.set)
        ended.wait(10)
        return MergeProfilesJsonResponse()

    backends.identity.answer("MergeProfilesJson", wait_for_the_end)
    with open_connection(hasty_url) as connection:
        connection.sendall(request_head("POST", "/merge", [("Content-Length", "2")]) + b"{}")
        wait_until(lambda: bool(backends.identity.calls), "the call arrives")
        connection.shutdown(socket.SHUT_RDWR)
    assert ended.wait(0.9), "the call ends before its deadline"


@pytest.mark.parametrize(
    "rpc",
    [
        "ingest.v1.IngestService/PublishEvents",
        "stats.v1.StatsService/UpdateReferenceUsersJson",
        "identity.v1.IdentityService/Identify",
    ],
)
def test_a_native_message_that_stops_coming_does_not_reach_its_service(
    rpc: str, runner: GatewayRunner, gateway_url: str, backends: Backends
) -> None:
    """gRPC's library would hold what there is of it, for each of a thousand calls."""
    cluster = rpc.partition(".")[0]
    half = b"\0" + (1_000_000).to_bytes(4) + bytes(500_000)

    def begun() -> int:
        return runner.counter(gateway_url, f"cluster.{cluster}.upstream_rq_total")

    with Http2Client(gateway_url) as slow, Http2Client(gateway_url) as quick:
        before = begun()
        held = [slow.send("POST", f"/dmp.{rpc}", GRPC_HEADERS, body=half, end=False) for _ in range(3)]
        slow.wait(slow.send("GET", "/openapi.json"))  # by now the gateway has read what was sent before
        assert begun() == before
        whole = quick.send("POST", f"/dmp.{rpc}", GRPC_HEADERS, body=b"\0\0\0\0\0")
        assert headers_of(quick.wait(whole))["grpc-status"] == "0"
        assert begun() == before + 1
        for stream in held:
            slow.more(stream, bytes(500_000), end=True)
            assert "grpc-status" in headers_of(slow.wait(stream))
        assert begun() == before + 4
