"""CONTRACT 5: errors are always the same JSON, from the gateway as from the services; numbers are numbers."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.contracts.answers import assert_error, identify, metrics, post_events, stored
from tests.contracts.payloads import campaign_event, fresh, fresh_email, from_now, identified_event

STATS = {"campaign_id": "c", "from": "2026-02-10T21:00:00Z", "to": "2026-02-10T21:10:00Z", "granularity": "minute"}

REFUSALS: dict[str, tuple[str, str, dict[str, Any], int, str]] = {
    "unknown path": ("GET", "/nowhere", {}, 404, "NOT_FOUND"),
    "unknown path under a known one": ("GET", "/users/user_a/b/c", {}, 404, "NOT_FOUND"),
    "the root": ("POST", "/", {}, 404, "NOT_FOUND"),
    "unknown user": ("GET", "/users/user_doesnotexist", {}, 404, "NOT_FOUND"),
    "unknown identifier value": (
        "GET",
        "/debug/match",
        {"params": {"identifier": "email", "value": "nobody@example.net"}},
        404,
        "NOT_FOUND",
    ),
    "unknown identifier type": (
        "GET",
        "/debug/match",
        {"params": {"identifier": "x", "value": "y"}},
        400,
        "INVALID_ARGUMENT",
    ),
    "unknown user to merge": (
        "POST",
        "/merge",
        {"json": {"internal_user_ids": ["user_nobody1", "user_nobody2"]}},
        404,
        "NOT_FOUND",
    ),
    "no JSON to events": ("POST", "/events", {"content": b"{"}, 400, "INVALID_ARGUMENT"),
    "no JSON to identify": ("POST", "/identify", {"content": b"{"}, 400, "INVALID_ARGUMENT"),
    "no JSON to merge": ("POST", "/merge", {"content": b"{"}, 400, "INVALID_ARGUMENT"),
    "no JSON to reference": ("PUT", "/reference/users", {"content": b"{"}, 400, "INVALID_ARGUMENT"),
    "nobody to identify": ("POST", "/identify", {"json": {}}, 400, "INVALID_ARGUMENT"),
    "no campaign": ("GET", "/stats", {"params": {**STATS, "campaign_id": ""}}, 400, "INVALID_ARGUMENT"),
    "no time": ("GET", "/stats", {"params": {**STATS, "from": "soon"}}, 400, "INVALID_ARGUMENT"),
    "no number": ("GET", "/metrics", {"params": {"window": "wide"}}, 400, "INVALID_ARGUMENT"),
    "too wide": ("GET", "/metrics", {"params": {"window": "1801"}}, 400, "INVALID_ARGUMENT"),
    "stale reference": (
        "PUT",
        "/reference/users",
        {"json": {"user_metadata": {}, "ts": "1999-01-01T00:00:00Z"}},
        409,
        "ABORTED",
    ),
    "too large for events": ("POST", "/events", {"content": b" " * 9_000_000}, 413, "RESOURCE_EXHAUSTED"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal_has_the_error_envelope(api: httpx.Client, name: str) -> None:
    method, path, options, code, status = REFUSALS[name]
    if name == "stale reference":
        assert api.put("/reference/users", json={"user_metadata": {}, "ts": from_now(0)}).status_code == 200
    error = assert_error(api.request(method, path, **options), code)
    if code in (400, 404):
        assert error["status"] == status


@pytest.mark.parametrize("name", [name for name in REFUSALS if not name.startswith("too large")])
def test_a_refusal_has_the_error_envelope_over_http2(http2_api: httpx.Client, name: str) -> None:
    method, path, options, code, _ = REFUSALS[name]
    if name == "stale reference":
        assert http2_api.put("/reference/users", json={"user_metadata": {}, "ts": from_now(0)}).status_code == 200
    assert_error(http2_api.request(method, path, **options), code)


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/identify"), ("DELETE", "/events"), ("POST", "/stats"), ("PUT", "/merge"), ("POST", "/metrics")],
)
def test_a_wrong_method_has_the_error_envelope(api: httpx.Client, method: str, path: str) -> None:
    response = api.request(method, path)
    assert response.status_code in (404, 405)
    assert_error(response, response.status_code)


def test_a_bad_parameter_is_named_in_the_details(api: httpx.Client) -> None:
    for path, params, field in (
        ("/stats", {**STATS, "from": "soon"}, "from"),
        ("/stats", {**STATS, "granularity": "century"}, "granularity"),
        ("/metrics", {"window": "0"}, "window"),
        ("/debug/match", {"identifier": "shoe_size", "value": "44"}, "identifier"),
    ):
        error = assert_error(api.get(path, params=params), 400, "INVALID_ARGUMENT")
        assert field in str(error["details"]) + error["message"]


NUMBERS = {
    *("accepted", "duplicates", "rejected", "impressions", "clicks", "events", "timestamp", "generation", "code"),
    *("window_sec", "events_per_sec", "unique_users", "unknown", "unknown_users", "users"),
    *("primaryContactId", "primaryContatctId"),
}


def assert_numbers_are_numbers(value: object, path: str = "") -> None:
    """No text that stands where a count or a time in seconds belongs."""
    if isinstance(value, dict):
        for name, item in value.items():
            if name in NUMBERS and not isinstance(item, list | dict):
                assert type(item) in (int, float), f"{path}.{name} is {item!r}"
            if name == "secondaryContactIds":
                assert all(type(number) is int for number in item)
            if name.startswith("by_"):
                assert all(type(number) is int for number in item.values()), f"{path}.{name}"
            assert_numbers_are_numbers(item, f"{path}.{name}")
    elif isinstance(value, list):
        for item in value:
            assert_numbers_are_numbers(item, f"{path}[]")


def test_numbers_are_never_printed_as_texts(api: httpx.Client) -> None:
    campaign, email, name = fresh("camp"), fresh_email(), fresh("u")
    result = stored(api, campaign_event(campaign_id=campaign, user_id=name))[0]
    stored(api, identified_event(identifiers={"email": email}, timestamp=1700000000.5))
    answers = [
        post_events(api, [campaign_event(type="nonsense"), campaign_event()]).json(),
        api.get("/stats", params={**STATS, "campaign_id": campaign}).json(),
        api.get(
            "/stats", params={**STATS, "to": "2026-02-10T22:10:00Z", "campaign_id": campaign, "fill": "zero"}
        ).json(),
        api.put("/reference/users", json={"user_metadata": {name: {"plan": "pro"}}, "ts": from_now(0)}).json(),
        metrics(api),
        api.get(f"/users/{result['internal_user_id']}").json(),
        api.get("/debug/match", params={"identifier": "email", "value": email}).json(),
        identify(api, email=email, phoneNumber="1234567"),
        api.post("/identify", json={"email": email}).json(),
        api.get("/nowhere").json(),
    ]
    for answer in answers:
        assert_numbers_are_numbers(answer)


def test_every_answer_is_json_in_utf8(api: httpx.Client) -> None:
    for response in (
        api.get("/healthz"),
        api.get("/metrics"),
        api.get("/stats", params=STATS),
        post_events(api, campaign_event()),
        api.post("/identify", json={"email": fresh_email()}),
    ):
        content_type = response.headers["content-type"].lower()
        assert content_type.startswith("application/json")
        assert "charset" not in content_type or "utf-8" in content_type
