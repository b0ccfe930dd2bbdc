"""What becomes of one `POST /events`, in the spans that a collector gets of the whole system."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from dmp_stack.stack import Stack
from tests.conditions import wait_until
from tests.contracts.payloads import campaign_event
from tests.otlp import Collector, Span, collecting

MARK = f"secret{secrets.token_hex(6)}"
PUBLISH = "dmp.ingest.v1.IngestService/PublishEventsJson"
IDENTITY = "dmp.identity.v1.IdentityService/ApplyBatch"
STATS = "dmp.stats.v1.StatsService/ApplyBatch"
GROUP = (("ingest", PUBLISH), ("ingest", "group"))
HAND_OVER = (*GROUP, ("ingest", "hand over"))
WAYS = (
    (*GROUP, ("ingest", "claim ids"), ("ingest", "EVALSHA")),
    (*GROUP, ("ingest", "append to the log"), ("ingest", "ingest groups")),
    (
        *HAND_OVER,
        ("ingest", IDENTITY),
        ("identity", IDENTITY),
        ("identity", "apply batches"),
        ("identity", "transaction"),
    ),
    (*HAND_OVER, ("ingest", STATS), ("stats", STATS), ("stats", "apply batches"), ("stats", "dmp-stats batches")),
)
"""From the gateway to each end: service and name of each span, every one the parent of the next."""


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with collecting() as running:
        yield running


@pytest.fixture(scope="module")
def traced(new_stack: Callable[..., Stack], collector: Collector) -> Iterator[Stack]:
    """A system that traces every request."""
    with new_stack(otlp_endpoint=collector.url, trace_percent=100.0, access_log_percent=100) as running:
        yield running


def way_to(span: Span, spans: list[Span]) -> list[Span]:
    """The span and those above it, the first one first."""
    by_id = {each.id: each for each in spans}
    way = [span]
    while way[0].parent in by_id:
        way.insert(0, by_id[way[0].parent])
    return way


def ways(spans: list[Span]) -> set[tuple[tuple[str, str], ...]]:
    """Of each span the way to it, without the gateway, in which it must begin."""
    found = set()
    for span in spans:
        first, *rest = way_to(span, spans)
        if first.service == "gateway" and not first.parent:
            found.add(tuple((each.service, each.name) for each in rest))
    return found


def post(stack: Stack, collector: Collector, **event: object) -> list[Span]:
    """Sends an event; the spans of its trace once all stations are there."""
    event_id = f"{MARK}-{secrets.token_hex(4)}"
    body = campaign_event(event_id=event_id, campaign_id=MARK, identifiers={"email": f"{MARK}@example.org"}, **event)
    headers = {
        "user-agent": MARK,
        "x-request-id": MARK,
        "traceparent": CALLERS_TRACEPARENT,
        "x-forwarded-for": "203.0.113.9",
    }
    before = {each.trace for each in collector.spans}
    with httpx.Client(base_url=stack.http_url, trust_env=False, timeout=30) as client:
        client.post("/events", json=body, headers=headers).raise_for_status()

    def traces() -> set[str]:
        found = {each.trace for each in collector.spans if each.name == PUBLISH}
        return found - before

    wait_until(lambda: len(traces()) == 1, "the span of the call")
    (trace,) = traces()
    return collector.trace(trace) or []


CALLERS_TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLERS_TRACEPARENT = f"00-{CALLERS_TRACE}-b7ad6b7169203331-01"


def test_one_event_is_seen_at_every_station(traced: Stack, collector: Collector) -> None:
    trace = post(traced, collector)[0].trace
    wait_until(lambda: set(WAYS) <= ways(collector.trace(trace)), f"{set(WAYS)}", timeout_seconds=30)
    spans = collector.trace(trace)
    (call,) = [each for each in spans if each.name == PUBLISH]
    (group,) = [each for each in spans if each.name == "group"]
    assert (group.links, call.links) == ((call.id,), (group.id,))
    assert call.attributes["rpc.status_code"] == "OK"
    # Redis is sent a script when it does not know it yet.
    assert {each.attributes.get("error.type") for each in spans if each.failed} <= {"NoScriptError"}
    (at_gateway,) = [each for each in spans if each.service == "gateway"]
    assert at_gateway.attributes["http.route"] == "/events"


def found_ways(collector: Collector, route: str) -> set[tuple[tuple[str, str], ...]]:
    """Of every trace that began with a request of this route."""
    traces = {each.trace for each in collector.spans if each.attributes.get("http.route") == route}
    return {way for trace in traces for way in ways(collector.trace(trace))}


def test_a_fold_goes_on_with_what_it_adds_up(traced: Stack, collector: Collector) -> None:
    """A fold that begins just as a batch is committed may take it before its trace is noted: another is tried."""

    def folded_something() -> bool:
        trace = post(traced, collector)[0].trace

        def folds() -> list[Span]:
            """Linked to the trace, and in that of the first batch that they add up, which may be another one."""
            own = {each.id for each in collector.trace(trace)}
            ended = {each.parent for each in collector.spans if each.name == "transaction"}
            found = [each for each in collector.spans if (each.service, each.name) == ("stats", "fold")]
            return [each for each in found if own.intersection(each.links) and each.id in ended]

        wait_until(lambda: bool(folds()), "its fold and the transaction in it", timeout_seconds=30)
        return all(fold.attributes["dmp.batches"] != "0" for fold in folds())

    wait_until(folded_something, "a fold of a traced batch", timeout_seconds=100)


def test_a_contact_is_seen_in_its_group(traced: Stack, collector: Collector) -> None:
    httpx.post(f"{traced.http_url}/identify", json={"email": f"{MARK}@example.org"}, trust_env=False).raise_for_status()
    identify = ("identity", "dmp.identity.v1.IdentityService/IdentifyJson")
    way = (identify, ("identity", "contacts"), ("identity", "transaction"))
    wait_until(lambda: way in found_ways(collector, "/identify"), "its way", timeout_seconds=30)


def test_an_erasure_is_seen_to_its_end(traced: Stack, collector: Collector) -> None:
    """Most of it is done after the answer."""
    with httpx.Client(base_url=traced.http_url, trust_env=False, timeout=30) as client:
        event = campaign_event(
            event_id=secrets.token_hex(8), identifiers={"email": f"{secrets.token_hex(8)}@example.org"}
        )
        (result,) = client.post("/events", json=event).raise_for_status().json()["results"]
        receipt = client.delete(f"/users/{result['internal_user_id']}").raise_for_status().json()["receipt"]
        erasure = f"/erasures/{receipt['erasure_id']}"
        wait_until(lambda: client.get(erasure).json()["receipt"]["complete"], "the end", timeout_seconds=60)
    call, turn = ("ingest", "dmp.ingest.v1.IngestService/EraseUser"), ("ingest", "erasure")
    confirm = "dmp.identity.v1.IdentityService/ConfirmErasure"
    way = (call, turn, ("ingest", confirm), ("identity", confirm))
    wait_until(lambda: way in found_ways(collector, "/users/*"), "its way", timeout_seconds=30)


def test_no_span_says_who_called_or_what_was_said(traced: Stack, collector: Collector) -> None:
    post(traced, collector)
    with httpx.Client(base_url=traced.http_url, trust_env=False) as client:
        for path in (f"/users/{MARK}?{MARK}={MARK}", f"/events/{MARK}", f"/{MARK}", f"/debug/match?value={MARK}"):
            client.get(
                path, headers={"user-agent": MARK, "x-forwarded-for": "203.0.113.9", "referer": MARK, "host": MARK}
            )
        client.post("/identify", json={"email": f"{MARK}@example.org", "phoneNumber": MARK})
        last = client.get("/stats?campaign_id=last").headers["x-request-id"]
    wait_until(lambda: any(last in each.attributes.values() for each in collector.spans), "the last span")
    for each in collector.spans:
        said = repr(each)
        assert MARK not in said, each
        assert "203.0.113.9" not in said, each
        assert "127.0.0.1" not in str(each.attributes.get("peer.address")), each


def test_who_calls_has_no_say_in_what_is_traced(traced: Stack, collector: Collector) -> None:
    post(traced, collector)
    assert CALLERS_TRACE not in {each.trace for each in collector.spans}


def test_a_trace_is_found_in_the_log_of_the_gateway(traced: Stack, collector: Collector) -> None:
    trace = post(traced, collector)[0].trace
    log = traced.log_directory / "gateway.log"

    def lines() -> list[dict[str, object]]:
        return [json.loads(line) for line in log.read_text().splitlines(keepends=True) if line.endswith("}\n")]

    wait_until(lambda: any(each.get("trace_id") == trace for each in lines()), "its line")


def test_requests_that_share_a_group_share_its_span(traced: Stack, collector: Collector) -> None:
    def send(_: int) -> None:
        body = campaign_event(event_id=secrets.token_hex(8))
        httpx.post(f"{traced.http_url}/events", json=body, trust_env=False, timeout=30).raise_for_status()

    def shared() -> list[Span]:
        return [each for each in collector.spans if each.name == "group" and len(each.links) > 1]

    with ThreadPoolExecutor(16) as clients:

        def are_shared() -> bool:
            list(clients.map(send, range(64)))
            return bool(shared())

        wait_until(are_shared, "a group of several requests", timeout_seconds=60)
    group = shared()[0]
    wait_until(
        lambda: set(group.links) <= {each.id for each in collector.spans}, "the spans of its calls", timeout_seconds=30
    )
    calls = [each for each in collector.spans if each.id in group.links]
    assert {each.name for each in calls} == {PUBLISH}
    assert len({each.trace for each in calls}) == len(calls), "each has a trace of its own"
    assert all(group.id in each.links for each in calls)
    assert group.attributes["dmp.joined"] == str(len(calls))


def test_a_batch_that_another_process_delivers_later_goes_on_with_its_trace(
    traced: Stack, collector: Collector
) -> None:
    traced.child("stats").stop(10)
    trace = post(traced, collector)[0].trace
    traced.child("ingest").kill()
    traced.child("stats").start()
    traced.wait_healthy()

    def relayed() -> bool:
        spans = collector.trace(trace)
        found = [tuple((each.service, each.name) for each in way_to(span, spans)) for span in spans]
        return any(("ingest", "relay to stats") in way and ("stats", "apply batches") in way for way in found)

    wait_until(relayed, "the relay's way", timeout_seconds=60)
