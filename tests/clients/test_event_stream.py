"""Events on one gRPC stream through faults: every event is counted once, whatever happens to the stream."""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest

from dmp.ingest.v1.ingest_service_pb2 import PublishEventStreamJsonRequest as Request
from dmp.ingest.v1.ingest_service_pb2 import PublishEventStreamJsonResponse as Response
from dmp_client import MEMORY, AsyncDmpClient, DeliveryOptions, DmpClient, RetryPolicy, Verdict, VerdictKind
from tests.clients.interposed import Interposed, Said
from tests.clients.interposed_stream import Behaviour, InterposedStream, busy, interposed_stream
from tests.conditions import wait_until

Make = Callable[..., DmpClient]
AssertCounted = Callable[[str, int], None]
SMALL = DeliveryOptions(max_events=10, linger_seconds=0.01)


@pytest.fixture
def stream(gateway_url: str) -> Iterator[InterposedStream]:
    """A server between client and gateway."""
    with interposed_stream(gateway_url) as opened:
        yield opened


def first(times: int, said: Response | grpc.StatusCode) -> Behaviour:
    """Says so to the first few bodies, then passes on."""
    left = iter(range(times))
    return lambda _: said if next(left, None) is not None else None


def holds(body: bytes, text: str) -> bool:
    return text.encode() in (gzip.decompress(body) if body.startswith(b"\x1f\x8b") else body)


@pytest.mark.parametrize("said", [busy(503), busy(429), grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNAUTHENTICATED])
def test_what_was_not_taken_is_sent_again_with_the_same_bytes(
    make_client: Make,
    stream: InterposedStream,
    campaign: str,
    assert_counted: AssertCounted,
    said: Response | grpc.StatusCode,
) -> None:
    stream.behaviour = first(3, said)
    one_request = DeliveryOptions(max_events=100, linger_seconds=5)
    client = make_client(stream.url, transport="grpc", delivery=one_request)
    for number in range(100):
        client.track("view", campaign_id=campaign, metadata={"number": number})
    assert client.flush(20)
    assert len(set(stream.seen[:4])) == 1
    assert client.health().failures == 3
    assert_counted(campaign, 100)


def test_the_service_is_left_alone_for_as_long_as_it_asks(make_client: Make, stream: InterposedStream) -> None:
    stream.behaviour = first(1, busy(429, seconds=0.4))
    patient = RetryPolicy(first_seconds=0.01, most_seconds=5)
    client = make_client(stream.url, transport="grpc", retry=patient)
    client.track("view", campaign_id="c")
    begun = time.monotonic()
    assert client.flush(20)
    assert time.monotonic() - begun >= 0.4


def test_an_answer_that_was_lost_is_a_duplicate_not_a_second_count(
    make_client: Make,
    stream: InterposedStream,
    campaign: str,
    assert_counted: AssertCounted,
    verdicts: list[Verdict],
) -> None:
    lost: list[bytes] = []

    def lose_the_answer(body: Request) -> grpc.StatusCode | None:
        if lost:
            return None
        lost.append(stream.pass_on(body).body)
        return grpc.StatusCode.UNAVAILABLE

    stream.behaviour = lose_the_answer
    client = make_client(stream.url, transport="grpc")
    client.track("click", campaign_id=campaign)
    assert client.flush(20)
    assert [verdict.kind for verdict in verdicts] == [VerdictKind.DUPLICATE]
    assert_counted(campaign, 1)


def test_a_black_hole_holds_nobody_up_and_loses_nothing(
    make_client: Make, stream: InterposedStream, campaign: str, assert_counted: AssertCounted
) -> None:
    stream.open.clear()
    client = make_client(stream.url, transport="grpc", timeout_seconds=1.0)
    for _ in range(1000):
        client.track("click", campaign_id=campaign)
    begun = time.monotonic()
    assert not client.flush(2.0)
    assert time.monotonic() - begun < 2.2
    wait_until(lambda: stream.streams > 1, "a stream that is silent is given up for another")
    stream.open.set()
    assert client.flush(30)
    assert_counted(campaign, 1000)


def test_a_few_requests_are_sent_ahead_of_the_answers_and_no_more(
    make_client: Make, stream: InterposedStream, campaign: str, assert_counted: AssertCounted
) -> None:
    answers = threading.Semaphore(0)

    def when_released(_: Request) -> None:
        assert answers.acquire(timeout=60)

    stream.behaviour = when_released
    client = make_client(stream.url, transport="grpc", delivery=SMALL)
    client.track("click", campaign_id=campaign)
    wait_until(lambda: len(stream.seen) == 1, "the first request is under way")
    for _ in range(199):
        client.track("click", campaign_id=campaign)
    answers.release()
    wait_until(lambda: len(stream.seen) == 5, "four requests are under way after the first")
    assert not client.flush(0.3)
    assert len(stream.seen) == 5
    answers.release(200)
    assert client.flush(20)
    assert (client.health().accepted, client.health().failures, stream.streams) == (200, 0, 1)
    assert_counted(campaign, 200)


@pytest.mark.parametrize("said", [Response(http_status=413), grpc.StatusCode.INVALID_ARGUMENT])
def test_an_event_that_spoils_its_request_is_found_and_spoils_no_other(
    make_client: Make,
    stream: InterposedStream,
    campaign: str,
    assert_counted: AssertCounted,
    verdicts: list[Verdict],
    said: Response | grpc.StatusCode,
) -> None:
    stream.behaviour = lambda body: said if holds(body.body, "poison") else None
    one_by_one = DeliveryOptions(max_events=5, linger_seconds=0.1)
    client = make_client(stream.url, transport="grpc", delivery=one_by_one)
    for number in range(31):
        client.track("click", campaign_id=campaign, event_id=f"{campaign}-{'poison' if number == 15 else number}")
    assert client.flush(20)
    rejected = [verdict.event_id for verdict in verdicts if verdict.kind is VerdictKind.REJECTED]
    assert rejected == [f"{campaign}-poison"]
    assert_counted(campaign, 30)


def test_a_request_of_more_than_a_mebibyte_is_halved(
    make_client: Make, gateway_url: str, campaign: str, assert_counted: AssertCounted
) -> None:
    client = make_client(gateway_url, transport="grpc", delivery=DeliveryOptions(max_bytes=8 << 20))
    for number in range(60):
        noise = "".join(chr(0x4E00 + (number * 7919 + place * 104_729) % 20_000) for place in range(5_000))
        client.track("click", campaign_id=campaign, metadata={"noise": noise, "number": number})
    assert client.flush(20)
    assert_counted(campaign, 60)
    assert client.health().rejected == 0


@pytest.mark.parametrize("before", ["json", "grpc"])
def test_a_spool_is_resumed_over_the_other_transport(
    make_client: Make,
    between: Interposed,
    stream: InterposedStream,
    campaign: str,
    assert_counted: AssertCounted,
    verdicts: list[Verdict],
    before: str,
) -> None:
    """The first client's events are stored, and it never hears of it."""

    def lose(seen: object) -> Said:
        between._pass_on(seen)  # type: ignore[arg-type]
        return Said(status=504)

    def lose_too(body: Request) -> grpc.StatusCode:
        stream.pass_on(body)
        return grpc.StatusCode.UNAVAILABLE

    between.behaviour, stream.behaviour = lose, lose_too
    after = "grpc" if before == "json" else "json"
    urls = {"json": between.url, "grpc": stream.url}
    client = make_client(urls[before], transport=before)
    strange = {"big": 2**63, "deep": {"b": [1.5, -0.0, 1e-300], "a": None}, "text": "é😀", "true": True}
    for _ in range(20):
        client.track("click", campaign_id=campaign, user_id=7, identifiers={"email": "a@x.com"}, metadata=strange)
    assert not client.flush(0.5)
    client.close(0)
    between.behaviour, stream.behaviour = (lambda _: None), (lambda _: None)
    client = make_client(urls[after], transport=after)
    assert client.resume() == 20
    assert client.flush(20)
    assert {verdict.kind for verdict in verdicts} == {VerdictKind.DUPLICATE}
    assert_counted(campaign, 20)


@pytest.mark.parametrize(("name", "seconds"), [("_IDLE_SECONDS", 0.05), ("_LONGEST_SECONDS", 0.0)])
def test_a_stream_without_work_or_of_some_age_ends_and_the_next_event_opens_another(
    make_client: Make, stream: InterposedStream, monkeypatch: pytest.MonkeyPatch, name: str, seconds: float
) -> None:
    monkeypatch.setattr(f"dmp_client.event_stream.{name}", seconds)
    client = make_client(stream.url, transport="grpc")
    for number in (1, 2):
        client.track("click", campaign_id="c")
        assert client.flush(20)
        wait_until(lambda number=number: stream.ended == number, "the stream has ended")  # type: ignore[misc]
    assert stream.streams == 2
    assert client.health().failures == 0


def test_a_transport_that_cannot_be_used_is_refused_when_the_client_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="json or grpc"):
        DmpClient("http://127.0.0.1:9", transport="carrier-pigeon")
    monkeypatch.setattr("dmp_client.publishing.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"dmp-client\[grpc\]"):
        DmpClient("http://127.0.0.1:9", transport="grpc")


def test_clients_leave_no_thread_behind(gateway_url: str, campaign: str, assert_counted: AssertCounted) -> None:
    before = threading.active_count()
    for _ in range(20):
        with DmpClient(gateway_url, spool=MEMORY, source="test", transport="grpc") as client:
            client.track("click", campaign_id=campaign)
            assert client.flush(20)
    wait_until(lambda: threading.active_count() <= before, "the threads have ended")
    assert_counted(campaign, 20)


async def test_it_is_the_same_on_asyncio(
    gateway_url: str, campaign: str, assert_counted: AssertCounted, tmp_path: Path
) -> None:
    async with AsyncDmpClient(gateway_url, spool=tmp_path / "a.spool", source="test", transport="grpc") as client:
        client.track("click", campaign_id=campaign)
        assert await client.flush(20)
        assert (await client.system_health()).ok
    assert_counted(campaign, 1)


def test_where_no_thread_starts_the_same_bytes_go_over_http(
    make_client: Make,
    between: Interposed,
    campaign: str,
    assert_counted: AssertCounted,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As while Python ends, since 3.12."""
    client = make_client(between.url, transport="grpc")
    here = threading.current_thread()
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if threading.current_thread() is here:
            raise RuntimeError("can't create new thread at interpreter shutdown")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    client.track("click", campaign_id=campaign)
    assert client.flush(20)
    monkeypatch.undo()
    assert [seen.path for seen in between.seen] == ["/events"]
    assert_counted(campaign, 1)
