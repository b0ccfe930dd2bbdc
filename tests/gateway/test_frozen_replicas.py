"""A replica that is frozen and does not say so: reads are answered by another before its health is known."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from dmp.identity.v1.identity_service_pb2 import GetProfileResponse
from dmp_stack.gateway import Gateway
from tests.gateway.answers import assert_error
from tests.gateway.backends import Backend
from tests.gateway.conftest import GatewayRunner
from tests.gateway.test_shared_connections import configured_routes

READS = ["/users/user_a", "/events/a", "/stats?campaign_id=c", "/metrics"]
ANOTHER_IS_ASKED_AFTER_SECONDS = 0.5


class OneThatLooksAtNobodysHealth(Gateway):
    """A gateway that soon asks another replica, and never hears that one is unwell."""

    def configuration(self) -> dict[str, Any]:
        configuration: dict[str, Any] = super().configuration()
        for cluster in configuration["static_resources"]["clusters"]:
            cluster.pop("health_checks")
            cluster["lb_policy"] = "ROUND_ROBIN"  # so that every second request meets the frozen one
            (options,) = cluster["typed_extension_protocol_options"].values()
            del options["explicit_http_config"]["http2_protocol_options"]["connection_keepalive"]
        for route in configured_routes(configuration):
            policy = route.get("route", {}).get("retry_policy", {})
            if "per_try_timeout" in policy:
                policy["per_try_timeout"] = f"{ANOTHER_IS_ASKED_AFTER_SECONDS}s"
            elif "timeout" in route.get("route", {}):
                route["route"]["timeout"] = "2s"
        return configuration


class Pair:
    """A gateway before a replica in this process and one in another, which is stopped."""

    def __init__(self, url: str, well: Backend) -> None:
        self.url = url
        self.well = well


@pytest.fixture(scope="module")
def pair(runner: GatewayRunner) -> Iterator[Pair]:
    command = [sys.executable, "-m", "tests.gateway.backend_process"]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True) as process,
        contextlib.closing(Backend()) as well,
    ):
        assert process.stdout is not None
        ports = [int(process.stdout.readline()), well.port]
        well.start()
        url = runner.run(OneThatLooksAtNobodysHealth, ingest=ports, identity=ports, stats=ports)
        for path in READS * 4:
            assert httpx.get(f"{url}{path}", trust_env=False).status_code == 200
        process.send_signal(signal.SIGSTOP)
        yield Pair(url, well)
        process.kill()


@pytest.mark.parametrize("path", READS)
def test_a_read_is_answered_by_another_replica(pair: Pair, path: str) -> None:
    def ask(_: int) -> tuple[int, float]:
        started = time.monotonic()
        response = httpx.get(f"{pair.url}{path}", trust_env=False, timeout=20)
        return response.status_code, time.monotonic() - started

    with ThreadPoolExecutor(6) as callers:
        statuses, durations = zip(*callers.map(ask, range(6)), strict=True)
    assert set(statuses) == {200}
    assert max(durations) >= ANOTHER_IS_ASKED_AFTER_SECONDS, "no request met the frozen replica"
    assert max(durations) < 8


def test_a_read_that_takes_its_time_is_not_cut_off(pair: Pair) -> None:
    def slowly(request: object, context: object) -> GetProfileResponse:
        time.sleep(3 * ANOTHER_IS_ASKED_AFTER_SECONDS)  # the work itself
        return GetProfileResponse()

    pair.well.answer("GetProfile", slowly)
    for _ in range(2):
        assert httpx.get(f"{pair.url}/users/user_a", trust_env=False, timeout=20).status_code == 200
    pair.well.reset()


def test_nothing_that_writes_is_asked_of_another(pair: Pair) -> None:
    """The second answer would call what the first has done a duplicate, or do it twice."""
    for _ in range(8):  # which of the two is asked is chance
        response = httpx.post(f"{pair.url}/merge", json={}, trust_env=False, timeout=20)
        if response.status_code == 504:
            assert_error(response, 504, "DEADLINE_EXCEEDED")
            return
        assert response.status_code == 200
    pytest.fail("no request met the frozen replica, or another was asked in its place")
