"""Services that are away, unwell or at odds with themselves."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import httpx
import pytest

from dmp.identity.v1.identity_service_pb2 import GetProfileRequest
from dmp.identity.v1.identity_service_pb2_grpc import IdentityServiceStub
from tests.conditions import wait_until
from tests.gateway.answers import assert_error
from tests.gateway.backends import Backend, failing
from tests.gateway.conftest import Backends, GatewayRunner

WELL = "cluster.identity.membership_healthy"
BUSY = failing(grpc.StatusCode.UNAVAILABLE, "cannot read now")


@pytest.fixture(scope="module")
def _replicas() -> Iterator[tuple[Backend, Backend]]:
    replicas = (Backend(), Backend())
    yield replicas
    for replica in replicas:
        replica.close()


@pytest.fixture(scope="module")
def replicated_url(runner: GatewayRunner, _replicas: tuple[Backend, Backend]) -> str:
    """A gateway before two replicas of identity; of ingest and stats there is none."""
    away = Backend()
    url = runner.run(identity=[replica.port for replica in _replicas], ingest=[away.port], stats=[away.port])
    away.close()
    return url


@pytest.fixture
def replicas(runner: GatewayRunner, _replicas: tuple[Backend, Backend], replicated_url: str) -> tuple[Backend, Backend]:
    """Both replicas, running and well, and known to be."""
    for replica in _replicas:
        replica.stop()
        replica.reset()
        replica.start()
    with httpx.Client(base_url=replicated_url, trust_env=False) as client:

        def both_are_called() -> bool:
            return client.get("/users/user_a").status_code == 200 and all(replica.calls for replica in _replicas)

        # While both count as unwell, both are called, too.
        wait_until(lambda: runner.counter(replicated_url, WELL) == 2, "both replicas known to be well")
        wait_until(both_are_called, "both replicas called")
    for replica in _replicas:
        replica.reset()
    return _replicas


@pytest.fixture
def client(replicated_url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=replicated_url, trust_env=False, timeout=20) as opened:
        yield opened


@pytest.mark.parametrize(
    ("method", "path", "service"),
    [
        ("POST", "/events", "ingest"),
        ("GET", "/health", "ingest"),
        ("GET", "/healthz", "ingest"),
        ("GET", "/events/a", "ingest"),
        ("GET", "/stats?campaign_id=a", "stats"),
        ("PUT", "/reference/users", "stats"),
    ],
)
def test_a_service_that_is_away_is_named(client: httpx.Client, method: str, path: str, service: str) -> None:
    response = client.request(method, path, content=b"{}" if method != "GET" else None)
    error = assert_error(response, 503, "UNAVAILABLE")
    assert error["message"] == f"{service} is not available now; try again"
    assert response.headers["retry-after"] == "1"


def test_grpc_callers_read_the_same(replicated_url: str, replicas: tuple[Backend, Backend]) -> None:
    for replica in replicas:
        replica.stop()
    address = replicated_url.removeprefix("http://")
    options = [("grpc.enable_http_proxy", 0)]
    with grpc.insecure_channel(address, options=options) as channel, pytest.raises(grpc.RpcError) as failure:
        IdentityServiceStub(channel).GetProfile(GetProfileRequest(internal_user_id="a"), timeout=10)
    assert failure.value.code() == grpc.StatusCode.UNAVAILABLE
    assert failure.value.details() == "identity is not available now; try again"


def test_a_service_that_comes_back_is_used_again(client: httpx.Client, replicas: tuple[Backend, Backend]) -> None:
    for replica in replicas:
        replica.stop()
    assert client.get("/users/user_a").status_code == 503
    replicas[0].start()
    wait_until(lambda: client.get("/users/user_a").status_code == 200, "identity used again", timeout_seconds=10)


def goes_only_to(client: httpx.Client, well: Backend, other: Backend) -> bool:
    """Whether enough requests to leave nothing to chance go to one replica and succeed."""
    for replica in (well, other):
        replica.reset()
    return all(client.get("/users/user_a").status_code == 200 for _ in range(30)) and len(well.calls) == 30


def test_a_replica_that_is_unwell_gets_nothing(client: httpx.Client, replicas: tuple[Backend, Backend]) -> None:
    unwell, well = replicas
    unwell.set_serving(False)
    wait_until(
        lambda: goes_only_to(client, well, unwell), "all calls go to the replica that is well", timeout_seconds=10
    )
    unwell.set_serving(True)

    def it_is_called() -> bool:
        return client.get("/users/user_a").status_code == 200 and bool(unwell.calls)

    wait_until(it_is_called, "it is used again", timeout_seconds=10)


def test_if_all_are_unwell_they_speak_for_themselves(client: httpx.Client, replicas: tuple[Backend, Backend]) -> None:
    first, second = replicas
    first.set_serving(False)
    wait_until(lambda: goes_only_to(client, second, first), "the first gets nothing", timeout_seconds=10)
    second.set_serving(False)
    for replica in replicas:
        replica.answer("MergeProfilesJson", failing(grpc.StatusCode.UNAVAILABLE, "the database is away"))

    def the_first_is_called_again() -> bool:
        error = assert_error(client.post("/merge", json={}), 503, "UNAVAILABLE")
        assert error["message"] == "the database is away"
        return bool(first.calls)

    wait_until(the_first_is_called_again, "both are called although unwell", timeout_seconds=10)


def test_a_read_is_tried_on_another_replica(client: httpx.Client, replicas: tuple[Backend, Backend]) -> None:
    replicas[0].answer("GetProfile", BUSY)
    assert [client.get("/users/user_a").status_code for _ in range(20)] == [200] * 20
    assert replicas[0].calls
    assert len(replicas[1].calls) == 20


def test_a_write_is_never_tried_twice(client: httpx.Client, replicas: tuple[Backend, Backend]) -> None:
    for replica in replicas:
        replica.answer("MergeProfilesJson", BUSY)
    for _ in range(10):
        assert_error(client.post("/merge", json={}), 503, "UNAVAILABLE")
    assert sum(len(replica.calls) for replica in replicas) == 10


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN])
def test_errors_of_the_application_do_not_take_a_replica_out(
    client: httpx.Client,
    replicas: tuple[Backend, Backend],
    runner: GatewayRunner,
    replicated_url: str,
    code: grpc.StatusCode,
) -> None:
    for replica in replicas:
        replica.answer("MergeProfilesJson", failing(code, "no"))
    for _ in range(40):
        client.post("/merge", json={})
    assert all(replica.calls for replica in replicas)
    assert runner.counter(replicated_url, WELL) == 2


def test_health_is_asked_once(api: httpx.Client, backends: Backends) -> None:
    backends.ingest.answer("CheckHealth", BUSY)
    assert_error(api.get("/health"), 503, "UNAVAILABLE")
    assert len(backends.ingest.calls) == 1
