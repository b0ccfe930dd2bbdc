"""A few kilobytes of a stranger cost nobody else anything: each of these once stopped a service or took gigabytes."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import httpx
import pytest

from dmp.identity.v1 import identity_service_pb2 as pb
from dmp.identity.v1.identity_service_pb2_grpc import IdentityServiceStub
from tests.conditions import wait_until
from tests.gateway.http2 import GRPC_HEADERS, Http2Client, headers_of
from tests.hostile.harness import System

MIB = 1 << 20
LARGEST_SENT = [("grpc.max_send_message_length", 128 * MIB), ("grpc.enable_http_proxy", 0)]


def sent(system: System, method: str, path: str, body: bytes, *, coding: str = "") -> httpx.Response:
    """The answer to a body."""
    headers = {"content-encoding": coding} if coding else {}
    return httpx.request(method, f"{system.url}{path}", content=body, headers=headers, timeout=70.0, trust_env=False)


def native(system: System, path: str, message: bytes) -> grpc.StatusCode:
    """The status of a native call whose message is sent as gzip."""
    with grpc.insecure_channel(system.grpc_address, LARGEST_SENT, grpc.Compression.Gzip) as connection:
        call: Any = connection.unary_unary(path)
        try:
            call(message, timeout=30)
        except grpc.RpcError as error:
            return error.code()
    return grpc.StatusCode.OK


def framed(system: System, path: str, packed: bytes) -> grpc.StatusCode:
    """The status of a native call whose message is gzip already."""
    with Http2Client(system.url) as client:
        headers = [*GRPC_HEADERS, ("grpc-encoding", "gzip")]
        body = b"\x01" + len(packed).to_bytes(4, "big") + packed
        answer = headers_of(client.wait(client.send("POST", path, headers, body=body)))
    number = int(answer["grpc-status"])
    return next(code for code in grpc.StatusCode if code.value[0] == number)


@pytest.mark.parametrize(
    "policy",
    [
        b"a." * 40_000 + b"a=1",
        b"a." * 30_000 + b"a=1",
        b"[types.email]\nstrength='strong'\nblocked_patterns=['" + b"(?:a|a)" * 29 + b"c']",
        b"[types.email]\nstrength='strong'\nblocked_patterns=[" + b"'(a{30}){30}'," * 4000 + b"]",
        b"x=" + b"[" * 60_000,
    ],
    ids=["dotted key over the bound", "dotted key", "pattern", "many patterns", "nested arrays"],
)
def test_a_costly_policy_is_tried_at_nobody_elses_cost(system: System, policy: bytes) -> None:
    statuses: set[int] = set()

    def attack() -> None:
        with ThreadPoolExecutor(4) as callers:
            statuses.update(
                callers.map(lambda _: sent(system, "POST", "/debug/policy:try", policy).status_code, range(8))
            )

    system.assert_nobody_else_is_harmed_by(attack)
    assert statuses <= {200, 400, 429}


MANY_NUMBERS = b"[" + b"1," * (4 * MIB - 2) + b"1]"
MANY_MEMBERS = b'{"event_id":"' + b"x" * 10 + b'","metadata":{' + b'"\\u0000":1,' * 65_000 + b'"a":1}}'


@pytest.mark.parametrize(
    "body",
    [
        MANY_NUMBERS[: 8 * MIB - 200_000] + b"1]",
        b"[" + b"{}," * (2 * MIB) + b"{}]",
        b"[" * (7 * MIB),
        b'"' + b"\\" * (7 * MIB),
        MANY_MEMBERS,
    ],
    ids=["numbers", "empty events", "brackets", "escapes", "NUL members"],
)
def test_bodies_of_events_that_are_none(system: System, body: bytes) -> None:
    packed = gzip.compress(body)
    statuses: list[int] = []

    def attack() -> None:
        with ThreadPoolExecutor(3) as callers:
            answers = list(callers.map(lambda _: sent(system, "POST", "/events", packed, coding="gzip"), range(3)))
        statuses.extend(answer.status_code for answer in answers)
        assert all(len(answer.content) < MIB for answer in answers)

    system.assert_nobody_else_is_harmed_by(attack)
    assert set(statuses) <= {400, 413, 422, 429}


def varint(number: int) -> bytes:
    """A number as protobuf writes lengths."""
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


@pytest.mark.parametrize(
    "message",
    [b"\x0a\x00" * (8 * MIB), b"\x0a\x00" * (34 * MIB), b"\x0a" + varint(16 * MIB) + b"\x00" * (16 * MIB)],
    ids=["16 MiB of empty events", "68 MiB of empty events", "one event of NUL"],
)
def test_typed_events_that_are_none(system: System, message: bytes) -> None:
    codes: set[grpc.StatusCode] = set()

    def attack() -> None:
        codes.add(native(system, "/dmp.ingest.v1.IngestService/PublishEvents", message))

    system.assert_nobody_else_is_harmed_by(attack)
    assert codes <= {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED}


CREATIVES = 1000
YEAR = "campaign_id=camp_wide&from=2026-01-01T00:00:00Z&to=2027-01-02T00:00:00Z&granularity=minute"


@pytest.fixture(scope="module")
def wide_campaign(system: System) -> None:
    """A campaign of many creatives."""
    events = [
        {
            "event_id": f"wide-{number}",
            "type": "click",
            "campaign_id": "camp_wide",
            "creative_id": f"creative-{number}",
            "source": "web",
            "occurred_at": f"2026-{1 + number % 10:02}-{1 + number % 28:02}T{number % 24:02}:{number % 60:02}:00Z",
            "user_id": f"u-{number}",
        }
        for number in range(CREATIVES)
    ]
    assert sent(system, "POST", "/events", json.dumps(events).encode()).status_code == 202
    seen = "/stats?campaign_id=camp_wide&from=2026-01-01T00:00:00Z&to=2027-01-01T00:00:00Z&granularity=day"
    wait_until(lambda: sent(system, "GET", seen, b"").text.count("click") > 0, "the events are counted")


@pytest.mark.usefixtures("wide_campaign")
@pytest.mark.parametrize(
    "more", ["&group_by=creative_id", "&group_by=creative_id&fill=zero", "&group_by=type&fill=zero"]
)
def test_a_year_of_minutes_by_creative(system: System, more: str) -> None:
    statuses: set[int] = set()

    def attack() -> None:
        with ThreadPoolExecutor(2) as callers:
            statuses.update(
                callers.map(lambda _: sent(system, "GET", f"/stats?{YEAR}{more}", b"").status_code, range(4))
            )

    system.assert_nobody_else_is_harmed_by(attack)
    assert statuses <= {200, 400, 429}


def table(users: int, names: int, *, own: bool) -> bytes:
    """A reference table; `own`: each user has attribute names of its own."""
    rows = [
        {"user_id": f"u{user}", **{f"a{user if own else ''}_{name}": "x" for name in range(names)}}
        for user in range(users)
    ]
    return json.dumps({"ts": "2026-02-10T21:10:00Z", "users": rows}).encode()


@pytest.mark.parametrize(
    "bodies",
    [[table(2000, 64, own=True)], [table(40_000, 10, own=False)] * 6],
    ids=["attribute names of their own", "six at once"],
)
def test_large_reference_tables(system: System, bodies: Sequence[bytes]) -> None:
    packed = [gzip.compress(body, 1) for body in bodies]
    statuses: set[int] = set()

    def attack() -> None:
        with ThreadPoolExecutor(len(packed)) as callers:
            send = [callers.submit(sent, system, "PUT", "/reference/users", body, coding="gzip") for body in packed]
            statuses.update(each.result().status_code for each in send)

    system.assert_nobody_else_is_harmed_by(attack)
    assert statuses <= {200, 202, 400, 409, 413, 429}


def test_very_long_values_are_refused_and_not_remembered(system: System) -> None:
    request = pb.MatchIdentifierRequest(identifier="email", value="x" * (20 * MIB))
    codes: set[grpc.StatusCode] = set()

    def attack() -> None:
        with grpc.insecure_channel(system.grpc_address, LARGEST_SENT, grpc.Compression.Gzip) as connection:
            stub = IdentityServiceStub(connection)
            for call in [stub.MatchIdentifier.future(request, timeout=30) for _ in range(20)]:
                codes.add(call.code())

    system.assert_nobody_else_is_harmed_by(attack)
    assert codes <= {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED}


@pytest.mark.parametrize(
    "path",
    [
        "/dmp.identity.v1.IdentityService/MatchIdentifier",
        "/dmp.ingest.v1.IngestService/GetEvent",
        "/dmp.ingest.v1.IngestService/PublishEvents",
        "/dmp.stats.v1.StatsService/QueryStats",
    ],
)
def test_a_message_that_inflates_to_a_thousandfold(system: System, path: str) -> None:
    bomb = b"\x12" + varint(600 * MIB) + bytes(600 * MIB)
    codes: set[grpc.StatusCode] = set()
    packed = gzip.compress(bomb, 1)
    del bomb

    def attack() -> None:
        codes.add(framed(system, path, packed))

    system.assert_nobody_else_is_harmed_by(attack)
    assert codes <= {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED}
