"""HTTP statuses and bodies: what the services say arrives, in the form of the public contract."""

from __future__ import annotations

import grpc
import httpx
import pytest
from google.protobuf.wrappers_pb2 import Int32Value
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from h2.events import TrailersReceived

from dmp.identity.v1.identity_service_pb2 import GetProfileResponse
from dmp.ingest.v1.ingest_service_pb2 import CheckHealthResponse, PublishEventsJsonResponse
from dmp.stats.v1.stats_service_pb2 import GetMetricsResponse, RenderStatsResponse
from tests.gateway.answers import assert_error, json_body
from tests.gateway.backends import Answer, failing
from tests.gateway.conftest import Backends
from tests.gateway.http2 import http2_get

Code = grpc.StatusCode
INFO = ErrorInfo(reason="TOO_LARGE", domain="ingest.dmp", metadata={"limit": "10000"})


def says(text: str, status: str | None = None) -> Answer:
    """PublishEventsJson's answer with this body and, by `x-http-status`, this HTTP status."""

    def answer(request: object, context: grpc.ServicerContext) -> PublishEventsJsonResponse:
        if status is not None:
            context.send_initial_metadata((("x-http-status", status),))
        return PublishEventsJsonResponse(body=json_body(text))

    return answer


@pytest.mark.parametrize("status", [202, 422, 207])
def test_the_service_chooses_the_status_and_every_byte(api: httpx.Client, backends: Backends, status: int) -> None:
    text = '{"accepted": 1,  "z":1.50, "a":12345678901234567890, "é":null}'
    backends.ingest.answer("PublishEventsJson", says(text, str(status)))
    response = api.post("/events", content=b"{}")
    assert response.status_code == status
    assert response.text == text
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-request-id"]
    assert not [name for name in response.headers if name.startswith(("grpc-", "x-http-", "x-envoy-"))]


@pytest.mark.parametrize("status", ["abc", "99", "1000", "20x", ""])
def test_a_status_that_is_none_changes_nothing(api: httpx.Client, backends: Backends, status: str) -> None:
    backends.ingest.answer("PublishEventsJson", says("{}", status))
    assert api.post("/events", content=b"{}").status_code == 202


def test_a_success_has_the_status_of_its_path(api: httpx.Client, backends: Backends) -> None:
    backends.ingest.answer("PublishEventsJson", says("{}", None))
    assert api.post("/events", content=b"{}").status_code == 202
    assert api.post("/events/", content=b"{}").status_code == 202
    assert api.get("/events/a").status_code == 200
    assert api.post("/identify", json={}).status_code == 200


def test_reads_of_stats_answer_with_the_rendered_body_alone(api: httpx.Client, backends: Backends) -> None:
    backends.stats.answer(
        "RenderStats",
        lambda request, context: iter([RenderStatsResponse(rendered=json_body('{"series":[{"clicks":32}]}'))]),
    )
    backends.stats.answer(
        "GetMetrics", lambda request, context: GetMetricsResponse(rendered=json_body('{"by_plan":{"pro":0}}'))
    )
    assert api.get("/stats", params={"campaign_id": "c"}).text == '{"series":[{"clicks":32}]}'
    assert api.get("/metrics").text == '{"by_plan":{"pro":0}}'


def test_a_long_answer_is_not_cut(api: httpx.Client, backends: Backends) -> None:
    text = '{"series":[' + ",".join(['{"ts":"2026-02-10T21:10:00Z","impressions":1,"clicks":0}'] * 527_040) + "]}"
    backends.stats.answer("RenderStats", lambda request, context: iter([RenderStatsResponse(rendered=json_body(text))]))
    assert api.get("/stats", params={"campaign_id": "c"}).text == text


def test_a_long_typed_answer_is_not_cut(api: httpx.Client, backends: Backends) -> None:
    profile = GetProfileResponse(internal_user_id="user_a", merged_ids=["user_" + "x" * 1000] * 10_000)
    backends.identity.answer("GetProfile", lambda request, context: profile)
    assert len(api.get("/users/user_a").json()["merged_ids"]) == 10_000


def test_a_long_refusal_is_not_cut(api: httpx.Client, backends: Backends) -> None:
    text = (
        '{"results":['
        + ",".join(['{"event_id":"","status":"error","errors":{"type":["is missing"]}}'] * 100_000)
        + "]}"
    )
    backends.ingest.answer("PublishEventsJson", says(text, "422"))
    response = api.post("/events", content=b"{}")
    assert (response.status_code, response.text) == (422, text)


def test_typed_answers_print_every_field_under_its_contract_name(api: httpx.Client, backends: Backends) -> None:
    profile = GetProfileResponse(internal_user_id="user_a")
    profile.events.add(event_id="e", event_type="click", timestamp=1700000000)
    backends.identity.answer("GetProfile", lambda request, context: profile)
    assert api.get("/users/user_a").json() == {
        "internal_user_id": "user_a",
        "events": [{"event_id": "e", "event_type": "click", "source": "", "timestamp": 1700000000}],
        "merged_ids": [],
        "possible_matches": [],
        "next_page_token": "",
        "next_matches_token": "",
    }
    contact = api.post("/identify", content=b"{}").json()
    assert contact == {"primaryContactId": 0, "emails": [], "phoneNumbers": [], "secondaryContactIds": []}


@pytest.mark.parametrize("path", ["/health", "/healthz"])
def test_health_is_what_ingest_says(api: httpx.Client, backends: Backends, path: str) -> None:
    backends.ingest.answer("CheckHealth", lambda request, context: CheckHealthResponse(ok=True, status="healthy"))
    assert api.get(path).json() == {"ok": True, "status": "healthy", "degraded": []}
    missing = ErrorInfo(reason="UNHEALTHY", domain="ingest.dmp", metadata={"missing": "stats,postgresql"})
    backends.ingest.answer("CheckHealth", failing(Code.UNAVAILABLE, "missing: stats, postgresql", missing))
    error = assert_error(api.get(path), 503, "UNAVAILABLE")
    assert error["message"] == "missing: stats, postgresql"
    assert error["details"][0]["metadata"] == {"missing": "stats,postgresql"}


@pytest.mark.parametrize(
    ("code", "http", "status"),
    [
        (Code.INVALID_ARGUMENT, 400, "INVALID_ARGUMENT"),
        (Code.FAILED_PRECONDITION, 400, "FAILED_PRECONDITION"),
        (Code.OUT_OF_RANGE, 400, "OUT_OF_RANGE"),
        (Code.UNAUTHENTICATED, 401, "UNAUTHENTICATED"),
        (Code.PERMISSION_DENIED, 403, "PERMISSION_DENIED"),
        (Code.NOT_FOUND, 404, "NOT_FOUND"),
        (Code.ALREADY_EXISTS, 409, "ALREADY_EXISTS"),
        (Code.ABORTED, 409, "ABORTED"),
        (Code.RESOURCE_EXHAUSTED, 429, "RESOURCE_EXHAUSTED"),
        (Code.UNAVAILABLE, 503, "UNAVAILABLE"),
        (Code.DEADLINE_EXCEEDED, 504, "DEADLINE_EXCEEDED"),
    ],
)
def test_a_status_of_the_service_arrives_with_its_words(
    api: httpx.Client, backends: Backends, code: Code, http: int, status: str
) -> None:
    violation = BadRequest.FieldViolation(field="from", description='is "x", not a time')
    backends.stats.answer("RenderStats", failing(code, 'says "é\\"', INFO, BadRequest(field_violations=[violation])))
    error = assert_error(api.get("/stats", params={"campaign_id": "c"}), http, status)
    assert error["message"] == 'says "é\\"'
    info, bad_request = error["details"]
    assert info == {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "TOO_LARGE",
        "domain": "ingest.dmp",
        "metadata": {"limit": "10000"},
    }
    assert bad_request["fieldViolations"][0]["field"] == "from"


def test_a_failure_before_and_after_initial_metadata_looks_the_same(api: httpx.Client, backends: Backends) -> None:
    backends.ingest.answer("GetEvent", failing(Code.NOT_FOUND, "no such event"))
    before = assert_error(api.get("/events/a"), 404, "NOT_FOUND")
    backends.ingest.answer("GetEvent", failing(Code.NOT_FOUND, "no such event", initial_metadata=(("a", "b"),)))
    assert assert_error(api.get("/events/a"), 404, "NOT_FOUND") == before


def test_an_error_may_choose_its_status_too(api: httpx.Client, backends: Backends) -> None:
    refusal = failing(Code.RESOURCE_EXHAUSTED, "at most 10000", INFO, initial_metadata=(("x-http-status", "413"),))
    backends.ingest.answer("PublishEventsJson", refusal)
    error = assert_error(api.post("/events", content=b"{}"), 413, "RESOURCE_EXHAUSTED")
    assert error["message"] == "at most 10000"


def test_retry_after_is_the_services_header(api: httpx.Client, backends: Backends) -> None:
    busy = failing(Code.RESOURCE_EXHAUSTED, "busy", INFO, initial_metadata=(("retry-after", "7"),))
    backends.ingest.answer("PublishEventsJson", busy)
    assert api.post("/events", content=b"{}").headers["retry-after"] == "7"


@pytest.mark.parametrize(("seconds", "expected"), [(2.5, "3"), (0.2, "1"), (4, "4"), (None, "1")])
def test_retry_after_is_made_from_the_details_or_a_second(
    api: httpx.Client, backends: Backends, seconds: float | None, expected: str
) -> None:
    details: list[ErrorInfo | RetryInfo] = [INFO]
    if seconds is not None:
        delay = RetryInfo()
        delay.retry_delay.FromMilliseconds(int(seconds * 1000))
        details.append(delay)
    for code, http in ((Code.RESOURCE_EXHAUSTED, 429), (Code.UNAVAILABLE, 503)):
        backends.ingest.answer("PublishEventsJson", failing(code, "busy", *details))
        response = api.post("/events", content=b"{}")
        assert_error(response, http, code.name)
        assert response.headers["retry-after"] == expected


@pytest.mark.parametrize("code", [Code.UNKNOWN, Code.INTERNAL, Code.DATA_LOSS])
def test_words_of_a_failure_stay_inside_but_its_details_do_not(
    api: httpx.Client, backends: Backends, code: Code
) -> None:
    backends.identity.answer("GetProfile", failing(code, 'secret "details":[1] at line 3', INFO))
    response = api.get("/users/user_a")
    error = assert_error(response, 500, "INTERNAL")
    assert "secret" not in response.text
    assert "x-request-id" in error["message"]
    assert error["details"][0]["reason"] == "TOO_LARGE"


def test_the_text_of_an_exception_stays_inside(api: httpx.Client, backends: Backends) -> None:
    def crash(request: object, context: grpc.ServicerContext) -> None:
        raise RuntimeError("secret")

    backends.identity.answer("GetProfile", crash)
    response = api.get("/users/user_a")
    assert_error(response, 500, "INTERNAL")
    assert "secret" not in response.text


def test_a_call_that_the_service_gave_up_can_be_tried_again(api: httpx.Client, backends: Backends) -> None:
    backends.identity.answer("GetProfile", failing(Code.CANCELLED, "stopping"))
    response = api.get("/users/user_a")
    assert_error(response, 503, "UNAVAILABLE")
    assert response.headers["retry-after"] == "1"


def test_an_error_with_a_detail_that_the_gateway_cannot_print_is_still_an_envelope(
    api: httpx.Client, backends: Backends
) -> None:
    backends.identity.answer("GetProfile", failing(Code.NOT_FOUND, 'nobody "é"\n', Int32Value(value=1)))
    error = assert_error(api.get("/users/user_a"), 404, "NOT_FOUND")
    assert error["message"] == 'nobody "é"\n'


@pytest.mark.parametrize("path", ["/users/user_a", "/stats?campaign_id=c", "/health"])
def test_http2_answers_end_without_trailers_of_grpc(gateway_url: str, backends: Backends, path: str) -> None:
    received = http2_get(gateway_url, path)
    names = {name for event in received if isinstance(event, TrailersReceived) for name, _ in event.headers}
    assert not names


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/users/user_1", 200),
        ("/healthz", 200),
        ("/live?seconds=1", 200),
        ("/no", 404),
        ("/", 302),
        ("/merge", 405),
        ("/stats?no=1", 400),
        ("/users/user_1?page_size=x", 400),
    ],
)
def test_nothing_on_the_way_keeps_an_answer(api: httpx.Client, path: str, status: int) -> None:
    for method in ("GET", "HEAD"):
        answer = api.request(method, path, follow_redirects=False)
        assert answer.status_code == status
        assert answer.headers["cache-control"] == "no-store"


def test_an_error_of_a_service_is_not_kept_either(api: httpx.Client, backends: Backends) -> None:
    backends.ingest.answer("PublishEventsJson", failing(Code.UNAVAILABLE, "away"))
    answer = api.post("/events", content=b"{}")
    assert (answer.status_code, answer.headers["cache-control"]) == (503, "no-store")


@pytest.mark.parametrize("path", ["/docs", "/openapi.json", "/docs/swagger-ui.css"])
def test_documentation_may_be_kept(api: httpx.Client, path: str) -> None:
    assert "no-store" not in api.get(path).headers.get("cache-control", "")
