"""CONTRACT 1: 1 to 10,000 events, 8 MiB inflated; over either: `413`, nothing stored."""

from __future__ import annotations

import gzip
import zlib

import httpx
import pytest

from tests.contracts.answers import assert_error, stored
from tests.contracts.payloads import SHAPES, Json, campaign_event, compact, fresh
from tests.contracts.wire import exchange, in_chunks, request_head
from tests.contracts.wire_http2 import post_over_http2

MOST_EVENTS = 10_000
MOST_BYTES = 8 * 1024 * 1024


def many(count: int) -> list[Json]:
    """Campaign events that differ by their id."""
    event = campaign_event(event_id="", campaign_id=fresh("camp"))
    stem = fresh("many")
    return [{**event, "event_id": f"{stem}-{number}"} for number in range(count)]


def inflated_to(size: int) -> tuple[bytes, Json]:
    """A body of exactly `size` bytes with one valid event in it, and that event."""
    event = campaign_event()
    body = compact([event])
    return body[:-1] + b" " * (size - len(body)) + b"]", event


@pytest.mark.parametrize("shape", ["batch", "array"])
def test_ten_thousand_events_are_accepted(api: httpx.Client, shape: str) -> None:
    events = many(MOST_EVENTS)
    results = stored(api, SHAPES[shape](events))
    assert [result["event_id"] for result in results] == [event["event_id"] for event in events]


@pytest.mark.parametrize("shape", ["batch", "array"])
def test_one_event_more_is_refused_and_nothing_is_stored(api: httpx.Client, shape: str) -> None:
    events = many(MOST_EVENTS + 1)
    assert_error(api.post("/events", content=compact(SHAPES[shape](events))), 413)
    stored(api, [events[0], events[-1]])


def test_ten_thousand_and_one_junk_entries_are_refused(api: httpx.Client) -> None:
    assert_error(api.post("/events", content=b"[" + b",".join([b"0"] * (MOST_EVENTS + 1)) + b"]"), 413)


def test_a_body_of_8_mib_is_accepted(api: httpx.Client) -> None:
    body, _ = inflated_to(MOST_BYTES)
    response = api.post("/events", content=body)
    assert response.status_code == 202, response.text


def test_a_body_over_8_mib_is_refused_and_nothing_is_stored(api: httpx.Client) -> None:
    body, event = inflated_to(MOST_BYTES + 1)
    assert_error(api.post("/events", content=body), 413)
    stored(api, event)


def test_a_chunked_body_over_8_mib_is_refused_and_nothing_is_stored(gateway_url: str, api: httpx.Client) -> None:
    body, event = inflated_to(MOST_BYTES + 1)
    head = request_head("POST", "/events", [("Transfer-Encoding", "chunked")])
    answer = exchange(gateway_url, [head, *in_chunks(body, 65536)])
    assert answer.status == 413
    assert answer.json()["error"]["code"] == 413
    stored(api, event)


def test_a_gzip_body_of_8_mib_inflated_is_accepted(api: httpx.Client) -> None:
    body, _ = inflated_to(MOST_BYTES)
    response = api.post("/events", content=_gzip_stored(body), headers={"content-encoding": "gzip"})
    assert response.status_code == 202, response.text


def test_a_well_squeezed_batch_is_accepted(api: httpx.Client) -> None:
    body = compact(many(MOST_EVENTS))
    response = api.post("/events", content=gzip.compress(body, 9), headers={"content-encoding": "gzip"})
    assert response.status_code == 202, response.text
    assert response.json()["accepted"] == MOST_EVENTS


@pytest.mark.parametrize("pack", ["stored", "squeezed"])
def test_a_gzip_body_over_8_mib_inflated_is_refused_and_nothing_is_stored(api: httpx.Client, pack: str) -> None:
    body, event = inflated_to(MOST_BYTES + 1)
    packed = _gzip_stored(body) if pack == "stored" else gzip.compress(body)
    assert_error(api.post("/events", content=packed, headers={"content-encoding": "gzip"}), 413)
    stored(api, event)


def test_a_gzip_bomb_is_refused_at_once(api: httpx.Client) -> None:
    packed = gzip.compress(b"[" + b" " * (100 * 1024 * 1024) + b"]", compresslevel=1)
    response = api.post("/events", content=packed, headers={"content-encoding": "gzip"})
    assert 400 <= response.status_code < 500
    assert response.json()["error"]["code"] == response.status_code


@pytest.mark.parametrize("announced", [True, False])
def test_ten_megabytes_are_refused_over_http2(gateway_url: str, announced: bool) -> None:
    answer = post_over_http2(gateway_url, "/events", b" " * 10_000_000, announced=announced)
    assert answer.status == 413
    assert answer.json()["error"]["code"] == 413


def test_a_full_size_batch_of_rich_events_is_accepted(api: httpx.Client) -> None:
    events = [{**event, "metadata": {"text": "m" * 650}} for event in many(MOST_EVENTS)]
    body = compact(events)
    assert MOST_BYTES * 0.85 < len(body) <= MOST_BYTES
    response = api.post("/events", content=body)
    assert response.status_code == 202, response.text
    assert response.json()["accepted"] == MOST_EVENTS


def _gzip_stored(body: bytes) -> bytes:
    """Gzip without compression, so that inflating gains nothing."""
    packer = zlib.compressobj(0, zlib.DEFLATED, 31)
    return packer.compress(body) + packer.flush()
