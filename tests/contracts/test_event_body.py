"""CONTRACT 1: how the body of `POST /events` may travel, and what is no body at all."""

from __future__ import annotations

import gzip
import socket
from collections.abc import Iterator

import httpx
import pytest

from tests.contracts.answers import assert_error, post_events, stored
from tests.contracts.payloads import SHAPES, campaign_event, compact
from tests.contracts.wire import exchange, in_chunks, open_connection, request_head

JSON = ("Content-Type", "application/json")
CHUNKED = ("Transfer-Encoding", "chunked")
GZIP = ("Content-Encoding", "gzip")

NOT_JSON = {
    "nothing": b"",
    "blanks": b"  \n ",
    "half an object": b"{",
    "half an array": b"[",
    "cut in a text": b'{"event_id":"abc',
    "words": b"hello",
    "single quotes": b"{'event_id':'a'}",
    "bare key": b'{event_id:"a"}',
    "trailing comma": b'[{"event_id":"a"},]',
    "two values": b'{"event_id":"a"}{"event_id":"b"}',
    "trailing words": b"[] nonsense",
    "NaN": b'{"timestamp":NaN}',
    "comment": b"/* c */ []",
    "form": b"event_id=a&type=click",
    "NUL byte": b"\x00",
    "raw NUL in a text": b'{"event_id":"a\x00b"}',
    "unpaired escape": b'{"event_id":"\\x"}',
    "xml": b"<event/>",
}
NO_SHAPE = {
    "null": b"null",
    "number": b"5",
    "text": b'"text"',
    "true": b"true",
    "empty object": b"{}",
    "empty array": b"[]",
    "no events": b'{"source":"x","events":[]}',
    "null events": b'{"source":"x","events":null}',
    "events is an object": b'{"source":"x","events":{}}',
    "events is text": b'{"source":"x","events":"none"}',
    "array of null": b"[null]",
    "array of arrays": b"[[[]]]",
    "array of texts": b'["a"]',
}


@pytest.mark.parametrize("name", NOT_JSON)
def test_a_body_that_is_not_json_is_refused_with_400(api: httpx.Client, name: str) -> None:
    assert_error(api.post("/events", content=NOT_JSON[name]), 400, "INVALID_ARGUMENT")


@pytest.mark.parametrize("name", NO_SHAPE)
def test_json_that_holds_no_event_is_refused(api: httpx.Client, name: str) -> None:
    response = api.post("/events", content=NO_SHAPE[name])
    assert response.status_code in (400, 422), response.text
    if response.status_code == 400:
        assert_error(response, 400, "INVALID_ARGUMENT")
    else:
        assert response.json()["accepted"] == 0


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'[{"a":', b'{"source":"s","events":['])
@pytest.mark.parametrize("depth", [10_000, 200_000])
def test_a_bottomless_body_is_refused(api: httpx.Client, opening: bytes, depth: int) -> None:
    response = api.post("/events", content=opening * depth)
    assert_error(response, 400)


@pytest.mark.parametrize("depth", [100, 1_000, 10_000])
def test_a_deep_but_closed_body_is_answered(api: httpx.Client, depth: int) -> None:
    response = api.post("/events", content=b"[" * depth + b"]" * depth)
    assert response.status_code in (400, 422), response.text


@pytest.mark.parametrize("size", [1, 7, 4096])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_chunked_body_is_accepted(gateway_url: str, shape: str, size: int) -> None:
    body = compact(SHAPES[shape]([campaign_event()]))
    answer = exchange(gateway_url, [request_head("POST", "/events", [JSON, CHUNKED]), *in_chunks(body, size)])
    assert answer.status == 202, answer.body
    assert answer.json()["accepted"] == 1


@pytest.mark.parametrize("shape", SHAPES)
def test_a_gzip_body_is_accepted(api: httpx.Client, shape: str) -> None:
    body = gzip.compress(compact(SHAPES[shape]([campaign_event()])))
    response = api.post("/events", content=body, headers={"content-encoding": "gzip"})
    assert response.status_code == 202, response.text
    assert response.json()["accepted"] == 1


def test_a_gzip_body_is_accepted_over_http2(http2_api: httpx.Client) -> None:
    body = gzip.compress(compact([campaign_event()] + [campaign_event() for _ in range(999)]))
    response = http2_api.post("/events", content=body, headers={"content-encoding": "gzip"})
    assert response.status_code == 202, response.text
    assert response.json()["accepted"] == 1000


def test_a_gzip_body_in_chunks_is_accepted(gateway_url: str) -> None:
    body = gzip.compress(compact([campaign_event() for _ in range(200)]))
    answer = exchange(gateway_url, [request_head("POST", "/events", [JSON, CHUNKED, GZIP]), *in_chunks(body, 100)])
    assert answer.status == 202, answer.body
    assert answer.json()["accepted"] == 200


@pytest.mark.parametrize("kept", [0, 1, 5, 10, 50, -9, -8, -1])
def test_a_truncated_gzip_body_is_refused_and_nothing_is_stored(gateway_url: str, api: httpx.Client, kept: int) -> None:
    events = [campaign_event() for _ in range(20)]
    body = gzip.compress(compact(events))[:kept]
    head = request_head("POST", "/events", [JSON, GZIP, ("Content-Length", str(len(body)))])
    answer = exchange(gateway_url, [head, body])
    assert answer.status == 400, answer.body
    assert answer.json()["error"]["status"] == "INVALID_ARGUMENT"
    assert api.get(f"/events/{events[0]['event_id']}").status_code == 404


@pytest.mark.parametrize("place", [-8, -5, -4, -1])
def test_a_gzip_body_with_a_wrong_checksum_or_length_is_refused_and_nothing_is_stored(
    api: httpx.Client, place: int
) -> None:
    events = [campaign_event() for _ in range(20)]
    body = bytearray(gzip.compress(compact(events)))
    body[place] ^= 1
    assert_error(api.post("/events", content=bytes(body), headers={"content-encoding": "gzip"}), 400)
    assert api.get(f"/events/{events[0]['event_id']}").status_code == 404


@pytest.mark.parametrize("coding", ["gzip", "x-gzip"])
def test_every_member_of_a_gzip_body_is_read(api: httpx.Client, coding: str) -> None:
    first, second = [campaign_event() for _ in range(3)], [campaign_event() for _ in range(4)]
    whole = compact([*first, *second])
    cut = len(compact(first))
    body = gzip.compress(whole[:cut]) + gzip.compress(b"") + gzip.compress(whole[cut:])
    response = api.post("/events", content=body, headers={"content-encoding": coding})
    assert response.status_code == 202, response.text
    assert response.json()["accepted"] == 7
    two_arrays = gzip.compress(compact([campaign_event()])) + gzip.compress(compact([campaign_event()]))
    assert_error(api.post("/events", content=two_arrays, headers={"content-encoding": coding}), 400)


@pytest.mark.parametrize(
    "body", [b"[]", b"not gzip at all", b"\x1f\x8b" + b"\xff" * 200], ids=["plain", "words", "junk"]
)
def test_a_body_that_only_says_it_is_gzip_is_refused(gateway_url: str, body: bytes) -> None:
    head = request_head("POST", "/events", [JSON, GZIP, ("Content-Length", str(len(body)))])
    assert 400 <= exchange(gateway_url, [head, body]).status < 500


def test_a_body_that_trickles_in_is_accepted(gateway_url: str) -> None:
    body = compact(campaign_event())
    head = request_head("POST", "/events", [JSON, ("Content-Length", str(len(body)))])
    answer = exchange(gateway_url, [head, *(body[place : place + 1] for place in range(len(body)))])
    assert answer.status == 202, answer.body


def test_a_client_that_waits_for_100_continue_is_served(gateway_url: str) -> None:
    body = compact([campaign_event() for _ in range(10)])
    head = request_head("POST", "/events", [JSON, ("Content-Length", str(len(body))), ("Expect", "100-continue")])
    with open_connection(gateway_url) as connection:
        connection.sendall(head)
        assert connection.recv(1024).startswith(b"HTTP/1.1 100 ")
        connection.sendall(body)
        assert connection.recv(1024).startswith(b"HTTP/1.1 202 ")


def test_a_client_that_leaves_in_the_middle_harms_nobody(gateway_url: str, api: httpx.Client) -> None:
    event = campaign_event()
    body = compact(event)
    with open_connection(gateway_url) as connection:
        connection.sendall(request_head("POST", "/events", [JSON, ("Content-Length", str(len(body)))]))
        connection.sendall(body[:-10])
        connection.shutdown(socket.SHUT_RDWR)
    stored(api, event)


def test_requests_on_one_connection_are_answered_in_turn(gateway_url: str) -> None:
    def requests() -> Iterator[bytes]:
        for _ in range(3):
            body = compact(campaign_event())
            yield request_head("POST", "/events", [JSON, ("Content-Length", str(len(body)))]) + body

    pending = 3
    with open_connection(gateway_url) as connection:
        connection.sendall(b"".join(requests()))
        received = b""
        while received.count(b"HTTP/1.1 202 ") < pending:
            piece = connection.recv(65536)
            assert piece, received
            received += piece


@pytest.mark.parametrize("target", ["/events?source=query", "/events?api_key=x"])
def test_an_unexpected_query_never_breaks_ingest(api: httpx.Client, target: str) -> None:
    response = api.post(target, json=campaign_event())
    assert response.status_code in (202, 400), response.text


def test_the_answer_can_be_read_by_a_client_that_takes_gzip(api: httpx.Client) -> None:
    response = post_events(api, [campaign_event() for _ in range(500)], accept_encoding="gzip")
    assert response.json()["accepted"] == 500
