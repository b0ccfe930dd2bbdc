"""Requests of which a replica lets go: what is safe to repeat is asked of another, with the same stamp."""

from __future__ import annotations

import re
from collections.abc import Iterator

import grpc
import httpx
import pytest

from dmp.ingest.v1.ingest_service_pb2 import PublishEventsRequest
from dmp.ingest.v1.ingest_service_pb2_grpc import IngestServiceStub
from tests.conditions import wait_until
from tests.gateway.answers import assert_error
from tests.gateway.backends import Backend, failing
from tests.gateway.conftest import GatewayRunner, channel_of, client_of

STAMP = "x-internal-stamp"
STOPPING = failing(grpc.StatusCode.CANCELLED, "it stops")
FORGED = "00000000-0000-0000-0000-000000000000 1000000000000"
REPEATED = [
    ("POST", "/events", "PublishEventsJson"),
    ("POST", "/events:validate", "ValidateEventsJson"),
    ("POST", "/identify", "IdentifyJson"),
    ("GET", "/users/user_a", "GetProfile"),
]


class Pair:
    """A gateway before two replicas of everything."""

    def __init__(self, url: str, replicas: tuple[Backend, Backend]) -> None:
        self.url = url
        self.stopping, self.well = replicas

    def reset(self) -> None:
        for replica in (self.stopping, self.well):
            replica.reset()


@pytest.fixture(scope="module")
def _pair(runner: GatewayRunner) -> Iterator[Pair]:
    replicas = (Backend(), Backend())
    for replica in replicas:
        replica.start()
    ports = [replica.port for replica in replicas]
    url = runner.run(ingest=ports, identity=ports, stats=ports)
    well = [f"cluster.{service}.membership_healthy" for service in ("ingest", "identity")]
    wait_until(lambda: [runner.counter(url, name) for name in well] == [2, 2], "both replicas known to be well")
    yield Pair(url, replicas)
    for replica in replicas:
        replica.close()


@pytest.fixture
def pair(_pair: Pair) -> Pair:
    _pair.reset()
    return _pair


@pytest.fixture
def api(pair: Pair) -> Iterator[httpx.Client]:
    with client_of(pair.url) as opened:
        yield opened


def stamps(replica: Backend) -> list[str]:
    """Of its calls, in order."""
    return [str(call.metadata[STAMP]) for call in replica.calls]


@pytest.mark.parametrize(("method", "path", "rpc"), REPEATED)
def test_what_is_safe_to_repeat_is_asked_of_another(
    pair: Pair, api: httpx.Client, method: str, path: str, rpc: str
) -> None:
    pair.stopping.answer(rpc, STOPPING)
    statuses = [api.request(method, path, content=b"{}").status_code for _ in range(20)]
    assert set(statuses) <= {200, 202}
    assert stamps(pair.stopping), "every request went to the other replica"
    assert set(stamps(pair.stopping)) <= set(stamps(pair.well))
    assert len(set(stamps(pair.well))) == len(statuses)


def test_what_may_not_be_repeated_is_asked_once(pair: Pair, api: httpx.Client) -> None:
    for replica in (pair.stopping, pair.well):
        replica.answer("MergeProfilesJson", STOPPING)
    assert_error(api.post("/merge", json={}), 503, "UNAVAILABLE")
    assert len(pair.stopping.calls) + len(pair.well.calls) == 1


def test_a_large_body_is_repeated_whole(pair: Pair, api: httpx.Client) -> None:
    body = b'{"a": "' + b"x" * 6 * 1024 * 1024 + b'"}'
    pair.stopping.answer("PublishEventsJson", STOPPING)
    for _ in range(6):
        assert api.post("/events", content=body).status_code == 202
    assert pair.stopping.calls, "every request went to the other replica"
    assert {call.request.body.data == body for call in pair.well.calls} == {True}


def test_a_native_caller_of_what_is_safe_to_repeat_does_not_notice(pair: Pair) -> None:
    pair.stopping.answer("PublishEvents", STOPPING)
    with channel_of(pair.url) as channel:
        publish = IngestServiceStub(channel).PublishEvents
        for _ in range(10):
            publish(PublishEventsRequest(), timeout=10, metadata=((STAMP, FORGED),))
    assert set(stamps(pair.stopping)) < set(stamps(pair.well))
    assert FORGED not in stamps(pair.well)


def test_each_request_has_a_stamp_of_its_own_and_no_caller_sets_it(pair: Pair, api: httpx.Client) -> None:
    for name in (STAMP, STAMP.upper(), STAMP.replace("-", "_")):
        assert api.post("/events", content=b"{}", headers={name: FORGED}).status_code == 202
    given = stamps(pair.stopping) + stamps(pair.well)
    assert len(set(given)) == 3
    assert all(re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12} 1[0-9]{12}", text) for text in given)
    assert FORGED not in given
