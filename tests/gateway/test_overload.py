"""A gateway whose heap is full refuses new requests, ends those that hold most, goes on with others, and recovers."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import httpx
import pytest

from dmp.identity.v1.identity_service_pb2 import GetProfileResponse
from dmp_stack.gateway import Gateway
from tests.conditions import wait_until
from tests.contracts.wire import open_connection, request_head
from tests.gateway.answers import assert_error
from tests.gateway.conftest import Backends, GatewayRunner
from tests.gateway.http2 import Http2Client, native_call

MIB = 1 << 20
RECOVERED_SECONDS = 30
RESETS = r"envoy\.overload_actions\.reset_high_memory_stream\.count"


class SmallGateway(Gateway):
    """The gateway with a small heap."""

    heap_bytes: ClassVar[int] = 64 * MIB

    def configuration(self) -> dict[str, Any]:
        configuration: dict[str, Any] = super().configuration()
        heap = configuration["overload_manager"]["resource_monitors"][0]
        assert heap["name"] == "envoy.resource_monitors.fixed_heap"
        heap["typed_config"]["max_heap_size_bytes"] = self.heap_bytes
        return configuration


@pytest.fixture
def small_url(runner: GatewayRunner, backends: Backends) -> str:
    return runner.run(SmallGateway, **backends.ports())


@contextlib.contextmanager
def half_sent(url: str, method: str, path: str, size_bytes: int, *, bodies: int) -> Iterator[None]:
    """Bodies that are not sent to their end. Those that the gateway refuses are given up."""
    with contextlib.ExitStack() as held:
        for _ in range(bodies):
            connection = held.enter_context(open_connection(url))
            with contextlib.suppress(OSError):
                connection.sendall(request_head(method, path, [("Content-Length", str(size_bytes))]))
                connection.sendall(b" " * (size_bytes - 1))
        yield


def status_of(url: str, path: str) -> int:
    return httpx.get(f"{url}{path}", trust_env=False, timeout=10).status_code


@contextlib.contextmanager
def a_request_under_way(url: str, backends: Backends) -> Iterator[None]:
    """A request that was there before: it is answered when the block ends, as ever."""
    released = threading.Event()

    def answer(request: object, context: object) -> GetProfileResponse:
        assert released.wait(30)
        return GetProfileResponse(internal_user_id="user_a")

    backends.identity.answer("GetProfile", answer)
    with ThreadPoolExecutor(1) as caller:
        under_way = caller.submit(httpx.get, f"{url}/users/user_a", trust_env=False, timeout=30)
        wait_until(lambda: bool(backends.identity.calls), "the request at the service")
        try:
            yield
        finally:
            released.set()
        assert under_way.result().status_code == 200


def test_a_full_heap_refuses_new_requests_until_there_is_room_again(small_url: str, backends: Backends) -> None:
    with a_request_under_way(small_url, backends), half_sent(small_url, "POST", "/merge", 900_000, bodies=120):
        wait_until(lambda: status_of(small_url, "/healthz") == 503, "the refusal of new requests")
        for path in ("/healthz", "/docs", "/stats?campaign_id=c"):
            refused = httpx.get(f"{small_url}{path}", trust_env=False)
            assert_error(refused, 503, "UNAVAILABLE")
            assert int(refused.headers["retry-after"]) >= 1
        assert native_call(small_url, "/dmp.stats.v1.StatsService/GetReference")["grpc-status"] == "14"
        assert not backends.stats.calls, "no service hears of what is refused"
    wait_until(
        lambda: status_of(small_url, "/healthz") == 200, "requests taken again", timeout_seconds=RECOVERED_SECONDS
    )


def test_who_holds_most_over_http2_is_ended_and_others_are_served(
    small_url: str, backends: Backends, runner: GatewayRunner
) -> None:
    """Over HTTP/1.1 Envoy does not know what a stream holds: there the refusal of new requests is the bound."""
    with a_request_under_way(small_url, backends), contextlib.ExitStack() as held:
        for _ in range(4):
            client = held.enter_context(Http2Client(small_url))
            client.send("PUT", "/reference/users", body=b" " * (40 * MIB), end=False)
            if runner.counter(small_url, RESETS) > 0:
                break
        assert runner.counter(small_url, RESETS) > 0
        wait_until(
            lambda: status_of(small_url, "/healthz") == 200, "requests taken again", timeout_seconds=RECOVERED_SECONDS
        )
    assert not backends.stats.calls
